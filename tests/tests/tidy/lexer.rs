//! Enough of Rust's tokens to look at code without being misled by comments, strings and test modules.
//!
//! It does not resolve names: `use std::time::Instant as Clock; Clock::now()` slips through here, and is what the lists in the
//! clippy.toml files catch. The two together leave little room.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// A number with a fraction, an exponent or a float suffix.
    Float,
    /// A whole number, a string, a character or a lifetime.
    Literal,
    Punctuation,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Literal
    }
}

/// Whether the tokens from `at` on read as `pattern`.
pub(crate) fn reads(tokens: &[Token<'_>], at: usize, pattern: &[&str]) -> bool {
    pattern.iter().enumerate().all(|(i, text)| tokens.get(at + i).is_some_and(|token| token.is(text)))
}

/// The tokens of a source, comments left out.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found: Vec<Token<'_>> = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let after_dot = found.last().is_some_and(|token| token.is(".")) && !ends_range(&found);
        let (length, kind) = scan(rest, first, after_dot);
        let (text, tail) = rest.split_at(length);
        if let Some(kind) = kind {
            found.push(Token {
                text: text.strip_prefix("r#").filter(|_| kind == Kind::Word).unwrap_or(text),
                kind,
                line,
            });
        }
        line += text.matches('\n').count();
        rest = tail;
    }
    found
}

/// Whether the last two tokens are the dots of a range, after which a number is not the index of a tuple.
fn ends_range(found: &[Token<'_>]) -> bool {
    found.len() >= 2 && found[found.len() - 2].is(".")
}

/// Length and kind of what `rest` begins with; no kind for white space and comments.
fn scan(rest: &str, first: char, after_dot: bool) -> (usize, Option<Kind>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(length) = raw_string(rest) {
        return (length, Some(Kind::Literal));
    }
    for prefix in ["\"", "b\"", "c\""] {
        if let Some(body) = rest.strip_prefix(prefix) {
            return (prefix.len() + quoted(body, '"'), Some(Kind::Literal));
        }
    }
    if first == '\'' || rest.starts_with("b'") {
        return (character_or_lifetime(rest), Some(Kind::Literal));
    }
    if first.is_ascii_digit() {
        return number(rest, after_dot);
    }
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    if let Some(raw) = rest.strip_prefix("r#").filter(|raw| raw.starts_with(is_word)) {
        return (2 + raw.find(|c| !is_word(c)).unwrap_or(raw.len()), Some(Kind::Word));
    }
    if is_word(first) {
        return (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), Some(Kind::Word));
    }
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (length, Some(Kind::Punctuation))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(next) = rest[at..].find(['/', '*']) {
        at += next;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let body = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix).filter(|body| body.trim_start_matches('#').starts_with('"')))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let open = rest.len() - body.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()))
}

/// Length up to and with the closing quote.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

fn character_or_lifetime(rest: &str) -> usize {
    let open = if rest.starts_with('b') { 2 } else { 1 };
    let body = &rest[open..];
    let mut chars = body.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => open + quoted(body, '\''),
        _ => open + body.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(body.len()),
    }
}

fn number(rest: &str, after_dot: bool) -> (usize, Option<Kind>) {
    let is_digit = |c: char| c == '_' || c.is_alphanumeric();
    let whole = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
    if after_dot {
        return (rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()), Some(Kind::Literal));
    }
    let radix = ["0x", "0b", "0o"].iter().any(|prefix| rest.starts_with(prefix));
    if radix {
        return (whole, Some(Kind::Literal));
    }
    let fraction = rest[whole..].strip_prefix('.').filter(|tail| tail.starts_with(|c: char| c.is_ascii_digit()));
    let length =
        fraction.map_or(whole, |tail| rest.len() - tail.len() + tail.find(|c| !is_digit(c)).unwrap_or(tail.len()));
    let text = &rest[..length];
    let float = fraction.is_some()
        || text.contains(['e', 'E']) && !text.ends_with("size")
        || text.ends_with("f32")
        || text.ends_with("f64");
    (length, Some(if float { Kind::Float } else { Kind::Literal }))
}

/// The tokens that are compiled outside of tests too, and the names of modules in files of their own that are tests only.
pub(crate) fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    let mut kept = Vec::new();
    let mut test_files = Vec::new();
    if (0..tokens.len()).any(|at| reads(tokens, at, &["#", "!", "[", "cfg", "(", "test", ")", "]"])) {
        return (kept, test_files);
    }
    let mut at = 0;
    while at < tokens.len() {
        if !reads(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut item = at + 7;
        while reads(tokens, item, &["#", "["]) {
            item = end_of_item(tokens, item + 1, true);
        }
        let end = end_of_item(tokens, item, false);
        let body = &tokens[item..end];
        if let [.., keyword, name, last] = body
            && keyword.is("mod")
            && last.is(";")
        {
            test_files.push(name.text);
        }
        at = end;
    }
    (kept, test_files)
}

/// Where the item that begins at `at` is over: past its first `;`, or past its first closed `{}` (for an attribute, its `[]`).
fn end_of_item(tokens: &[Token<'_>], at: usize, attribute: bool) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[at..].iter().enumerate() {
        if token.kind != Kind::Punctuation {
            continue;
        }
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                // The end of what encloses a field or a variant.
                if depth == 0 {
                    return at + offset;
                }
                depth -= 1;
                if depth == 0 && (token.is("}") || attribute) {
                    return at + offset + 1;
                }
            }
            ";" if depth == 0 => return at + offset + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path the code mentions, with its line: `use` trees written out, elsewhere words joined by `::`.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<(Vec<&'a str>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("use") && tokens.get(at + 1).is_some_and(|next| !next.is("<")) {
            at = use_tree(tokens, at + 1, &mut Vec::new(), &mut found);
        } else if tokens[at].kind == Kind::Word {
            let line = tokens[at].line;
            let mut path = vec![tokens[at].text];
            while reads(tokens, at + 1, &["::"]) && tokens.get(at + 2).is_some_and(|next| next.kind == Kind::Word) {
                at += 2;
                path.push(tokens[at].text);
            }
            found.push((path, line));
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use` tree and returns where it ends: at its `,`, `}` or `;`.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    found: &mut Vec<(Vec<&'a str>, usize)>,
) -> usize {
    let depth = prefix.len();
    let mut line = 0;
    while let Some(token) = tokens.get(at) {
        line = token.line;
        if token.is("{") {
            at += 1;
            while tokens.get(at).is_some_and(|token| !token.is("}")) {
                at = use_tree(tokens, at, prefix, found);
                if reads(tokens, at, &[","]) {
                    at += 1;
                } else if reads(tokens, at, &[";"]) {
                    break;
                }
            }
            prefix.truncate(depth);
            return at + 1;
        } else if token.is("as") {
            at += 2;
        } else if token.is(",") || token.is("}") || token.is(";") {
            break;
        } else {
            if token.kind == Kind::Word {
                prefix.push(token.text);
            }
            at += 1;
        }
    }
    found.push((prefix.clone(), line));
    prefix.truncate(depth);
    at
}

#[cfg(test)]
mod cases {
    use super::*;

    fn words(source: &str) -> String {
        tokens(source).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_vanish_and_strings_stay_whole() {
        let check = |source: &str, expected: &str| assert_eq!(words(source), expected, "{source}");
        check("a // f64\nb", "a b");
        check("a /* x /* y */ f64 */ b", "a b");
        check(r#"let s = "a \" // b";"#, r#"let s = "a \" // b" ;"#);
        check("r#\"a \" b\"# c", "r#\"a \" b\"# c");
        check("br\"x\" b'\\'' b\"y\"", "br\"x\" b'\\'' b\"y\"");
        check("fn f<'a>(c: &'a str) { 'x' }", "fn f < 'a > ( c : & 'a str ) { 'x' }");
        check("'\\u{1F600}' '\"' x", "'\\u{1F600}' '\"' x");
        check("r#type::r#move", "type :: move");
        check("é::ü", "é :: ü");
    }

    #[test]
    fn only_real_floats_count() {
        let check = |source: &str, expected: &[&str]| {
            let found = tokens(source);
            let floats: Vec<_> =
                found.iter().filter(|token| token.kind == Kind::Float).map(|token| token.text).collect();
            assert_eq!(floats, expected, "{source}");
        };
        check("1.5 + 2e3 + 7f32 + 1_0.0_1", &["1.5", "2e3", "7f32", "1_0.0_1"]);
        check("1..2 x.0.1 0xe3 1usize 3isize 5.max(1) 0b1 1u64", &[]);
        check("0..1.5", &["1.5"]);
    }

    #[test]
    fn lines_are_counted() {
        let found = tokens("a\n/* \n */ \"x\ny\" b");
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn test_items_are_left_out() {
        let check = |source: &str, expected: &str| {
            let found = tokens(source);
            let kept = without_tests(&found).0;
            assert_eq!(kept.iter().map(|token| token.text).collect::<Vec<_>>().join(" "), expected, "{source}");
        };
        check("a; #[cfg(test)] mod t { fn f() { x } } b", "a ; b");
        check("#[cfg(test)] #[expect(x, reason = \"y\")] fn f<A, B>(a: [u8; 2]) { x } b", "b");
        check("#[cfg(test)] use x::y; b", "b");
        check("#[cfg(test)] mod t; b", "b");
        check("struct S { a: u8, #[cfg(test)] b: u8 } c", "struct S { a : u8 , } c");
        check("#![cfg(test)] a", "");
        check("#[cfg(not(test))] a", "# [ cfg ( not ( test ) ) ] a");
        let found = tokens("#[cfg(test)] mod one; mod two; #[cfg(test)] pub(crate) mod three;");
        assert_eq!(without_tests(&found).1, ["one", "three"]);
    }

    #[test]
    fn use_trees_are_written_out() {
        let check = |source: &str, expected: &str| {
            let found = tokens(source);
            let all: Vec<_> = paths(&found).into_iter().map(|(path, _)| path.join("::")).collect();
            assert_eq!(all.join(" "), expected, "{source}");
        };
        check(
            "use std::{fs, time::{self, Instant as I}, env::*}; a::b(c)",
            "std::fs std::time::self std::time::Instant std::env a::b c",
        );
        check("pub use ::std::net;", "pub std::net");
        check("let x: std::time::Instant = Instant::now();", "let x std::time::Instant Instant::now");
        check("fn f() -> impl Iterator + use<'_> {}", "fn f impl Iterator use");
    }
}
