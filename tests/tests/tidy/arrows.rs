//! Which crate may use which. The arrows point inward: what is pure knows nothing of what surrounds it.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::DependencyKind;

use crate::repository::Crate;

/// Each crate of the project with the crates of the project it may use, for its tests too. `tests` may use every crate, and no
/// crate may use `tests`. `agent` and `sync-server` meet only in `protocol` and in `tests`.
const ARROWS: [(&str, &[&str]); 10] = [
    ("pos-model", &[]),
    ("protocol", &["pos-model"]),
    ("sync-core", &["pos-model", "protocol"]),
    ("pricing", &["pos-model"]),
    ("till", &["pos-model", "pricing"]),
    ("printing", &[]),
    ("agent", &["pos-model", "protocol", "sync-core", "pricing", "till", "printing"]),
    ("sync-server", &["pos-model", "protocol", "sync-core", "pricing", "test-postgres"]),
    ("test-postgres", &[]),
    ("pos-ui", &["pos-model", "protocol"]),
];

/// What a pure crate must not reach, directly or through another crate: runtimes, storage, network, randomness.
const IMPURE: [&str; 23] = [
    "async-std",
    "axum",
    "fastrand",
    "getrandom",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "mqtt-protocol-core",
    "native-tls",
    "oorandom",
    "postgres",
    "rand",
    "rand_core",
    "reqwest",
    "rumqttc",
    "rusqlite",
    "rustls",
    "slint",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-postgres",
];

/// Runs while a crate is built and is no part of what is built, which the lock file does not tell apart.
const BUILD_TOOLS: [&str; 2] = ["cc", "pkg-config"];

/// Arrows between our crates that the table does not allow.
pub(crate) fn reversed(crates: &[Crate]) -> Vec<String> {
    let ours: BTreeSet<&str> = crates.iter().map(|krate| krate.name.as_str()).collect();
    let mut findings = Vec::new();
    for krate in crates {
        let row = ARROWS.iter().find(|(name, _)| *name == krate.name).map(|(_, allowed)| *allowed);
        if row.is_none() && krate.name != "tests" {
            findings
                .push(format!("{}: no row in the table of arrows says what {} may use", krate.manifest, krate.name));
        }
        for (used, kind) in &krate.uses {
            let outward = used == "tests" || row.is_some_and(|allowed| !allowed.contains(&used.as_str()));
            if ours.contains(used.as_str()) && outward {
                findings.push(format!("{}: {} must not use {used} ({kind} dependency)", krate.manifest, krate.name));
            }
        }
    }
    findings
}

/// Dependencies of pure crates that bring in what they must not know. Their tests may use anything.
pub(crate) fn impure_dependencies(pure: &[&str], crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for krate in crates.iter().filter(|krate| pure.contains(&krate.name.as_str())) {
        for used in direct(krate).filter(|used| IMPURE.contains(used)) {
            findings.push(format!("{}: {} is pure and must not use {used}", krate.manifest, krate.name));
        }
    }
    findings
}

/// The same through any number of crates in between, as the lock file has them.
///
/// The lock file is the union over all systems and all features, so this is stricter than one build: that a feature could bring
/// in a runtime is worth knowing too.
pub(crate) fn impure_through_others(pure: &[&str], crates: &[Crate], lock: &str) -> Vec<String> {
    let graph = locked_graph(lock);
    let mut findings = Vec::new();
    for krate in crates.iter().filter(|krate| pure.contains(&krate.name.as_str())) {
        let mut ways: Vec<Vec<&str>> =
            direct(krate).filter(|used| !pure.contains(used)).map(|used| vec![krate.name.as_str(), used]).collect();
        let mut seen = BTreeSet::from(BUILD_TOOLS);
        while let Some(way) = ways.pop() {
            let last = *way.last().expect("a way has at least its start");
            if !seen.insert(last) {
                continue;
            }
            if way.len() > 2 && IMPURE.contains(&last) {
                findings.push(format!("{}: {} is pure but reaches {}", krate.manifest, krate.name, way.join(" -> ")));
            }
            let next = graph.get(last).into_iter().flatten();
            ways.extend(next.map(|used| way.iter().copied().chain([used.as_str()]).collect()));
        }
    }
    findings
}

fn direct(krate: &Crate) -> impl Iterator<Item = &str> {
    krate.uses.iter().filter(|(_, kind)| *kind != DependencyKind::Development).map(|(name, _)| name.as_str())
}

/// Crate to the crates it uses. Versions are left out: two versions of a crate count as one.
fn locked_graph(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lock: toml::Table = lock.parse().expect("cargo wrote the lock file");
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let name = package.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        let uses = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let uses = uses.filter_map(toml::Value::as_str).filter_map(|entry| entry.split(' ').next());
        graph.entry(name.to_owned()).or_default().extend(uses.map(str::to_owned));
    }
    graph
}

#[cfg(test)]
mod cases {
    use super::*;

    fn krate(name: &str, uses: &[(&str, DependencyKind)]) -> Crate {
        Crate {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml"),
            licence: None,
            uses: uses.iter().map(|(used, kind)| ((*used).to_owned(), *kind)).collect(),
        }
    }

    #[test]
    fn outward_arrows_are_found() {
        let check = |from: &str, to: &str, kind: DependencyKind, allowed: bool| {
            let findings = reversed(&[krate(from, &[(to, kind)]), krate(to, &[])]);
            assert_eq!(findings.is_empty(), allowed, "{from} -> {to}: {findings:?}");
        };
        check("protocol", "pos-model", DependencyKind::Normal, true);
        check("pos-model", "protocol", DependencyKind::Normal, false);
        check("pos-model", "protocol", DependencyKind::Development, false);
        check("pricing", "protocol", DependencyKind::Normal, false);
        check("sync-core", "pricing", DependencyKind::Normal, false);
        check("till", "pricing", DependencyKind::Normal, true);
        check("agent", "till", DependencyKind::Normal, true);
        check("agent", "printing", DependencyKind::Normal, true);
        check("printing", "till", DependencyKind::Normal, false);
        check("agent", "sync-server", DependencyKind::Development, false);
        check("sync-server", "agent", DependencyKind::Build, false);
        check("sync-server", "till", DependencyKind::Normal, false);
        check("pos-ui", "pricing", DependencyKind::Normal, false);
        check("pos-ui", "agent", DependencyKind::Normal, false);
        check("tests", "agent", DependencyKind::Normal, true);
        check("agent", "tests", DependencyKind::Development, false);
        check("newcomer", "pos-model", DependencyKind::Normal, false);
    }

    #[test]
    fn impurity_is_found_directly_and_behind_others() {
        let crates = [krate(
            "pricing",
            &[
                ("tokio", DependencyKind::Normal),
                ("rand", DependencyKind::Development),
                ("uuid", DependencyKind::Normal),
            ],
        )];
        assert_eq!(
            impure_dependencies(&["pricing"], &crates),
            ["pricing/Cargo.toml: pricing is pure and must not use tokio"]
        );
        assert_eq!(impure_dependencies(&["till"], &crates), [""; 0]);
        let lock = r#"
            [[package]]
            name = "uuid"
            version = "1.0.0"
            dependencies = ["between 0.1.0", "cc"]
            [[package]]
            name = "cc"
            version = "1.0.0"
            dependencies = ["getrandom", "tokio"]
            [[package]]
            name = "between"
            version = "0.1.0"
            dependencies = ["getrandom", "uuid"]
        "#;
        assert_eq!(
            impure_through_others(&["pricing"], &crates, lock),
            ["pricing/Cargo.toml: pricing is pure but reaches pricing -> uuid -> between -> getrandom"]
        );
    }
}
