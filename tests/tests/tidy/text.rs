//! What no source leaves behind, and what no file of the project names.

use crate::lexer::{reads, tokens};
use crate::repository::Source;

/// Longer files hold more than one idea.
const LINES_MAX: usize = 800;

/// Words in comments that put work off. They are put together here, or this file would find itself.
const PUT_OFF: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Hosts of package registries, in two halves for the same reason. A project that names one can't be built beside another.
const REGISTRY_HOSTS: [(&str, &str); 14] = [
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("pypi", ".org/simple"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
    ("registry.yarnpkg", ".com"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("archive.ubuntu", ".com"),
    ("proxy.golang", ".org"),
    ("repo.maven.apache", ".org"),
    ("repo1.maven", ".org"),
    ("rubygems", ".org"),
    ("index", ".docker.io"),
];

/// Settings that point a package client at another registry.
const REGISTRY_SETTINGS: [(&str, &str); 5] =
    [("index", "-url"), ("find", "-links"), ("replace", "-with ="), ("sparse", "+http"), ("trusted", "-host")];

/// Work put off, debug output, tests switched off. A test may carry the word for a known wrong behaviour that it asserts: it is
/// the second one of `PUT_OFF`, and files of tests are told by the folder `tests/`.
pub(crate) fn left_open(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, source) in sources {
        let is_test = path.starts_with("tests/") || path.contains("/tests/");
        for (number, line) in source.lines().enumerate() {
            let mut words = line.split(|c: char| c != '_' && !c.is_alphanumeric());
            let put_off = words.find(|word| PUT_OFF.contains(word) && !(is_test && *word == PUT_OFF[1]));
            findings.extend(put_off.map(|word| format!("{path}:{}: {word}", number + 1)));
        }
        let tokens = tokens(source);
        for (at, token) in tokens.iter().enumerate() {
            for name in ["dbg", "todo", "unimplemented"] {
                if token.is(name) && reads(&tokens, at + 1, &["!"]) {
                    findings.push(format!("{path}:{}: {name}!", token.line));
                }
            }
            if reads(&tokens, at, &["#", "[", "ignore"]) {
                findings.push(format!("{path}:{}: a test that is switched off tests nothing", token.line));
            }
        }
    }
    findings
}

pub(crate) fn too_long(sources: &[Source]) -> Vec<String> {
    let lengths = sources.iter().map(|(path, source)| (path, source.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path}: {lines} lines, at most {LINES_MAX}")).collect()
}

/// Package registries named in a file of any kind.
pub(crate) fn registry_hosts(path: &str, content: &str) -> Vec<String> {
    let words = REGISTRY_HOSTS.iter().chain(&REGISTRY_SETTINGS).map(|(left, right)| format!("{left}{right}"));
    let mut findings = Vec::new();
    for word in words {
        for (number, line) in content.lines().enumerate() {
            if line.to_ascii_lowercase().contains(&word) {
                findings.push(format!("{path}:{}: names `{word}`", number + 1));
            }
        }
    }
    findings
}

/// Locked dependencies that come from elsewhere than the public crate registry.
pub(crate) fn foreign_sources(lock: &str) -> Vec<String> {
    let sources = lock.lines().enumerate().filter_map(|(number, line)| Some((number, line.strip_prefix("source = ")?)));
    let foreign = sources.filter(|(_, source)| !source.contains("/rust-lang/crates.io-index"));
    foreign
        .map(|(number, _)| format!("Cargo.lock:{}: comes from elsewhere than the public registry", number + 1))
        .collect()
}

#[cfg(test)]
mod cases {
    use super::*;

    #[test]
    fn what_is_left_open_is_found() {
        let check = |path: &str, text: &str, expected: &[&str]| {
            assert_eq!(left_open(&[(path.to_owned(), text.to_owned())]), expected, "{text}");
        };
        let [later, wrong, _] = PUT_OFF;
        check("a.rs", "// a mastodon is fine\nfn todo_list() {}", &[]);
        check("a.rs", &format!("\n// {later}: more"), &[&format!("a.rs:2: {later}")]);
        check("a.rs", &format!("// {wrong} later"), &[&format!("a.rs:1: {wrong}")]);
        check("a/tests/x.rs", &format!("// {wrong}: rounds twice"), &[]);
        check("a/tests/x.rs", &format!("// {later}"), &[&format!("a/tests/x.rs:1: {later}")]);
        check("a.rs", "dbg!(x)", &["a.rs:1: dbg!"]);
        check("a.rs", "todo!()", &["a.rs:1: todo!"]);
        check(
            "a.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
            &["a.rs:2: a test that is switched off tests nothing"],
        );
        check("a.rs", "\"#[ignore]\" // dbg!()", &[]);
    }

    #[test]
    fn long_files_are_found() {
        let check = |lines: usize, expected: usize| {
            assert_eq!(too_long(&[("a.rs".to_owned(), "x\n".repeat(lines))]).len(), expected, "{lines}");
        };
        check(LINES_MAX, 0);
        check(LINES_MAX + 1, 1);
    }

    #[test]
    fn registries_are_found() {
        let check =
            |content: &str, expected: usize| assert_eq!(registry_hosts("f", content).len(), expected, "{content}");
        check("crates.io and PyPI may be called by their names", 0);
        for (left, right) in REGISTRY_HOSTS.iter().chain(&REGISTRY_SETTINGS) {
            check(&format!("x\nhttps://{left}{right}/a"), 1);
        }
        check(&format!("HTTPS://DEB.DEBIAN{}", ".ORG"), 1);
    }

    #[test]
    fn foreign_sources_are_found() {
        let ours = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert_eq!(foreign_sources(ours), [""; 0]);
        assert_eq!(foreign_sources(&format!("{ours}\nsource = \"git+https://example.org/a\"")).len(), 1);
    }
}
