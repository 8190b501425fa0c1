//! Documents keep their promises: a path that they name exists.

/// What begins like this has slashes but is no path of the project: topics, media types, build output.
const NOT_PATHS: [&str; 5] = ["bw1/", "application/", "text/", "target/", "v1/"];

/// Ends by which a bare file name is known.
const FILE_ENDS: [&str; 13] =
    [".rs", ".toml", ".md", ".sql", ".slint", ".json", ".txt", ".html", ".css", ".js", ".sh", ".service", ".lock"];

/// Paths in backticks that `exists` does not know. Blocks of code are left out; `a/{b,c}.rs` names two paths.
pub(crate) fn missing_paths(document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut in_block = false;
    for (number, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let named = line.split('`').skip(1).step_by(2).flat_map(written_out);
            let missing = named.filter(|text| looks_like_path(text) && !exists(text));
            findings.extend(missing.map(|text| format!("line {}: `{text}` does not exist", number + 1)));
        }
    }
    findings
}

fn written_out(text: &str) -> Vec<String> {
    let braces = text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match braces {
        Some((before, (choices, after))) => {
            choices.split(',').flat_map(|choice| written_out(&format!("{before}{}{after}", choice.trim()))).collect()
        }
        None => vec![text.to_owned()],
    }
}

fn looks_like_path(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    // A leading slash is a route of an HTTP API or a place on somebody's machine, a lone end is a kind of file.
    let known = text.contains('/') || FILE_ENDS.iter().any(|end| text.ends_with(end) && text.len() > end.len());
    plain && known && !text.starts_with('/') && !NOT_PATHS.iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod cases {
    use super::*;

    #[test]
    fn paths_that_do_not_exist_are_found() {
        let check = |document: &str, expected: &[&str]| {
            let exists = |path: &str| ["agent/src/main.rs", "agent/", "deny.toml", "a/b.rs"].contains(&path);
            assert_eq!(missing_paths(document, exists), expected, "{document}");
        };
        check("`agent/src/main.rs`, `agent/` and `deny.toml`", &[]);
        check("see\n`agent/src/mian.rs`", &["line 2: `agent/src/mian.rs` does not exist"]);
        check("`gone.toml` and `deny.toml`", &["line 1: `gone.toml` does not exist"]);
        check("`a/{b,c}.rs`", &["line 1: `a/c.rs` does not exist"]);
        check("`GET /v1/sales`, `/metrics`, `bw1/d/x`, `a::b`, `x <- y`, `1/2 of it`, `application/json`, `.rs`", &[]);
        check("```\nagent/`gone/away`\n```\n`gone/again`", &["line 4: `gone/again` does not exist"]);
    }
}
