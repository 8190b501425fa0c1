//! Rules of the repository as tests: which crate may use which, what a pure crate must not know, what documents promise.
//!
//! Each rule is a function over text or metadata that returns what it found wrong, so that it can be fed a bad sample too:
//! the tests beside each rule show that it is able to fail, the tests in this file run it over the project.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/text.rs"]
mod text;

use repository::Repository;

/// Crates that know no runtime, SQL, MQTT, HTTP, files, clock or randomness, with their folders.
const PURE_CRATES: [(&str, &str); 6] = [
    ("pos-model", "protocol/pos-model"),
    ("protocol", "protocol"),
    ("pricing", "protocol/pricing"),
    ("sync-core", "protocol/sync-core"),
    ("till", "agent/till"),
    ("printing", "agent/printing"),
];

/// Pure crates outside of `protocol/`, which need the list of banned calls beside them.
const CLIPPY_LISTS: [&str; 2] = ["agent/till", "agent/printing"];

/// Folders outside the pure crates where amounts of money are handled: no floating point there either.
const MONEY_FOLDERS: [&str; 2] = ["agent/src/db", "sync-server/src/ledger"];

#[track_caller]
fn accept(findings: &[String]) {
    assert!(findings.is_empty(), "{} finding(s):\n  {}\n", findings.len(), findings.join("\n  "));
}

#[test]
fn crate_arrows_point_inward() {
    accept(&arrows::reversed(&Repository::open().crates()));
}

#[test]
fn pure_crates_depend_on_no_runtime_clock_or_randomness() {
    let repository = Repository::open();
    let pure: Vec<&str> = PURE_CRATES.iter().map(|(name, _)| *name).collect();
    let crates = repository.crates();
    accept(&arrows::impure_dependencies(&pure, &crates));
    accept(&arrows::impure_through_others(&pure, &crates, &repository.read("Cargo.lock")));
}

#[test]
fn pure_crates_contain_no_clock_randomness_or_io() {
    let repository = Repository::open();
    let mut findings = Vec::new();
    for (name, folder) in PURE_CRATES {
        let sources = repository.sources_under(&format!("{folder}/src"));
        assert!(
            !sources.is_empty(),
            "no sources of {name} under {folder}/src: does the table in this test still hold?"
        );
        findings.extend(purity::impure_code(&sources));
        assert!(!repository.has(&format!("{folder}/build.rs")), "{name} is pure, so it has no build script");
    }
    accept(&findings);
}

#[test]
fn money_has_no_floating_point() {
    let repository = Repository::open();
    let mut findings = Vec::new();
    let pure = PURE_CRATES.iter().map(|(_, folder)| format!("{folder}/src"));
    for folder in pure.chain(MONEY_FOLDERS.iter().map(ToString::to_string)) {
        // `agent/src/db` stands for the file agent/src/db.rs as well.
        let mut sources = repository.sources_under(&folder);
        sources.extend(repository.sources_under(&format!("{folder}.rs")));
        findings.extend(purity::floating_point(&sources));
    }
    accept(&findings);
}

#[test]
fn pure_crates_share_one_list_of_banned_calls() {
    let repository = Repository::open();
    for copy in CLIPPY_LISTS {
        assert!(
            repository.read("protocol/clippy.toml") == repository.read(&format!("{copy}/clippy.toml")),
            "protocol/clippy.toml and {copy}/clippy.toml are the same list in two places"
        );
    }
    for (name, folder) in PURE_CRATES {
        assert!(
            folder == "protocol" || CLIPPY_LISTS.contains(&folder) || !repository.has(&format!("{folder}/clippy.toml")),
            "{name} has a clippy.toml of its own, which hides protocol/clippy.toml"
        );
    }
}

#[test]
fn documents_name_paths_that_exist() {
    let repository = Repository::open();
    let document = repository.read("ARCHITECTURE.md");
    accept(&documents::missing_paths(&document, |path| repository.has_path(path)));
}

#[test]
fn versions_stand_in_the_workspace_manifest_only() {
    let repository = Repository::open();
    let crates = repository.crates();
    let findings =
        crates.iter().flat_map(|krate| manifests::own_versions(&krate.manifest, &repository.read(&krate.manifest)));
    accept(&findings.collect::<Vec<_>>());
}

#[test]
fn crates_share_lints_and_state_a_licence() {
    let repository = Repository::open();
    let mut findings = Vec::new();
    for krate in repository.crates() {
        findings.extend(manifests::missing_lints(&krate.manifest, &repository.read(&krate.manifest)));
        findings.extend(manifests::wrong_licence(&krate));
    }
    accept(&findings);
    assert!(repository.has("LICENSE"), "the text of the licence is missing");
}

#[test]
fn toolchain_is_not_pinned_by_a_file() {
    // The manifest's rust-version says which compiler; a toolchain file would make rustup look for a download.
    let repository = Repository::open();
    for file in ["rust-toolchain.toml", "rust-toolchain"] {
        assert!(!repository.has(file), "{file} must not exist");
    }
}

#[test]
fn sources_have_nothing_left_open() {
    accept(&text::left_open(&Repository::open().sources_under("")));
}

#[test]
fn sources_are_short_enough_to_read() {
    accept(&text::too_long(&Repository::open().sources_under("")));
}

#[test]
fn no_file_names_a_package_registry() {
    let repository = Repository::open();
    let findings = repository.texts().flat_map(|(path, content)| text::registry_hosts(&path, &content));
    accept(&findings.collect::<Vec<_>>());
    accept(&text::foreign_sources(&repository.read("Cargo.lock")));
}
