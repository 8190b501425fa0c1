//! What the code of pure crates must not contain: anything that answers differently when it is asked again.

use std::collections::BTreeSet;

use crate::lexer::{Kind, Token, paths, reads, tokens, without_tests};
use crate::repository::Source;

/// Paths a pure crate must not mention, with what they would let in.
const BANNED_PATHS: [(&[&str], &str); 22] = [
    (&["std", "fs"], "files"),
    (&["std", "net"], "the network"),
    (&["std", "env"], "the environment"),
    (&["std", "thread"], "threads"),
    (&["std", "process"], "processes"),
    (&["std", "os"], "the operating system"),
    (&["stdin"], "input"),
    (&["stdout"], "output"),
    (&["stderr"], "output"),
    (&["Instant", "now"], "a clock"),
    (&["SystemTime", "now"], "a clock"),
    (&["Timestamp", "now"], "a clock"),
    (&["Zoned", "now"], "a clock"),
    (&["Uuid", "now_v7"], "a clock and randomness"),
    (&["Uuid", "new_v4"], "randomness"),
    (&["getrandom"], "randomness"),
    (&["rand"], "randomness"),
    (&["TimeZone", "system"], "this machine's time zone"),
    (&["HashMap"], "an order that differs from run to run"),
    (&["HashSet"], "an order that differs from run to run"),
    (&["RandomState"], "randomness"),
    (&["tokio"], "a runtime"),
];

const BANNED_MACROS: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Clock, randomness and I/O in the code of pure crates, their tests left out.
pub(crate) fn impure_code(sources: &[Source]) -> Vec<String> {
    in_shipped_code(sources, |tokens| {
        let mut found: Vec<(usize, String)> = Vec::new();
        for (path, line) in paths(tokens) {
            for (banned, what) in BANNED_PATHS {
                if path.windows(banned.len()).any(|part| part == banned) {
                    found.push((line, format!("`{}` lets in {what}", path.join("::"))));
                }
            }
        }
        for (at, token) in tokens.iter().enumerate() {
            if BANNED_MACROS.contains(&token.text) && reads(tokens, at + 1, &["!"]) {
                found.push((token.line, format!("`{}!` lets in output", token.text)));
            }
            if reads(tokens, at, &[".", "elapsed", "("]) {
                found.push((token.line, "`.elapsed()` lets in a clock".to_owned()));
            }
        }
        found
    })
}

/// Floating point in code that handles money, its tests left out.
pub(crate) fn floating_point(sources: &[Source]) -> Vec<String> {
    in_shipped_code(sources, |tokens| {
        let floats = tokens.iter().filter(|token| token.kind == Kind::Float || token.is("f32") || token.is("f64"));
        floats.map(|token| (token.line, format!("`{}` is floating point", token.text))).collect()
    })
}

/// Runs a rule over the tokens of each source that are not for tests only, and says where it found something.
fn in_shipped_code(sources: &[Source], rule: impl Fn(&[Token<'_>]) -> Vec<(usize, String)>) -> Vec<String> {
    let mut test_files = BTreeSet::new();
    let mut found = Vec::new();
    for (path, source) in sources {
        let tokens = tokens(source);
        let (kept, test_modules) = without_tests(&tokens);
        test_files.extend(test_modules.into_iter().map(|module| module_file(path, module)));
        found.extend(rule(&kept).into_iter().map(|(line, what)| (path, line, what)));
    }
    let for_tests = |path: &str| {
        test_files
            .iter()
            .any(|module| path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
    };
    found.retain(|(path, _, _)| !for_tests(path));
    found.into_iter().map(|(path, line, what)| format!("{path}:{line}: {what}")).collect()
}

/// Where the file of module `name`, declared in `path`, lies, without `.rs` or `/mod.rs`.
fn module_file(path: &str, name: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/{name}"),
        _ => format!("{}/{name}", path.trim_end_matches(".rs")),
    }
}

#[cfg(test)]
mod cases {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn impure_code_is_found() {
        let check = |text: &str, expected: &[&str]| {
            let findings = impure_code(&[source("a.rs", text)]);
            assert_eq!(findings, expected, "{text}");
        };
        check("fn f(now: Instant) { /* Instant::now() */ g(\"SystemTime::now\") }", &[]);
        check("\nlet t = std::time::Instant::now();", &["a.rs:2: `std::time::Instant::now` lets in a clock"]);
        check("let t = SystemTime::now();", &["a.rs:1: `SystemTime::now` lets in a clock"]);
        check("jiff::Timestamp::now()", &["a.rs:1: `jiff::Timestamp::now` lets in a clock"]);
        check("jiff::Zoned::now()", &["a.rs:1: `jiff::Zoned::now` lets in a clock"]);
        check("start.elapsed()", &["a.rs:1: `.elapsed()` lets in a clock"]);
        check("use std::{fmt, fs::File};", &["a.rs:1: `std::fs::File` lets in files"]);
        check("std::net::TcpStream::connect(a)", &["a.rs:1: `std::net::TcpStream::connect` lets in the network"]);
        check("std::env::var(a)", &["a.rs:1: `std::env::var` lets in the environment"]);
        check("env!(\"CARGO_PKG_VERSION\")", &[]);
        check("std::thread::spawn(f)", &["a.rs:1: `std::thread::spawn` lets in threads"]);
        check(
            "use std::collections::{BTreeMap, HashMap};",
            &["a.rs:1: `std::collections::HashMap` lets in an order that differs from run to run"],
        );
        check("Uuid::now_v7()", &["a.rs:1: `Uuid::now_v7` lets in a clock and randomness"]);
        check("getrandom::fill(&mut b)", &["a.rs:1: `getrandom::fill` lets in randomness"]);
        check("println!(\"x\")", &["a.rs:1: `println!` lets in output"]);
        check("#[cfg(test)] mod tests { fn f() { std::fs::read(p); } }", &[]);
        check("#[cfg(feature = \"x\")] fn f() { std::fs::read(p); }", &["a.rs:1: `std::fs::read` lets in files"]);
    }

    #[test]
    fn floating_point_is_found() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(floating_point(&[source("a.rs", text)]), expected, "{text}");
        };
        check("fn f(rate_ppm: u32) -> i64 { 1_000 } // f64", &[]);
        check("fn f(a: f64) {}", &["a.rs:1: `f64` is floating point"]);
        check("a as f32", &["a.rs:1: `f32` is floating point"]);
        check("a * 1.19", &["a.rs:1: `1.19` is floating point"]);
        check("a.0.1", &[]);
        check("#[cfg(test)] fn f() { 1.5 }", &[]);
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_left_out() {
        let check = |declared_in: &str, at: &str, expected: usize| {
            let sources = [source(declared_in, "#[cfg(test)] mod cases;"), source(at, "fn f() { 1.5 }")];
            assert_eq!(floating_point(&sources).len(), expected, "{declared_in} {at}");
        };
        check("p/src/lib.rs", "p/src/cases.rs", 0);
        check("p/src/lib.rs", "p/src/cases/more.rs", 0);
        check("p/src/money.rs", "p/src/money/cases.rs", 0);
        check("p/src/money.rs", "p/src/cases.rs", 1);
        check("p/src/lib.rs", "p/src/cases_of_money.rs", 1);
    }
}
