//! What a rendered template means: lines with a few words in brackets become a document.
//!
//! Only what the template itself says can be markup. What came from data is text, whatever it looks like.

use crate::document::{Align, Document, DocumentError, DrawerPin, Item, PLAIN, Rule, Style, Text};

/// The dots of a QR module unless the template says otherwise: a link is then two centimetres wide.
const QR_DOTS: u8 = 6;

/// A character and whether the template itself has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Char {
    pub(crate) c: char,
    pub(crate) literal: bool,
}

/// One line of what a template gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLine {
    /// In the template, from 1.
    pub(crate) number: usize,
    pub(crate) chars: Vec<Char>,
}

/// Why a line says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MarkupError {
    #[error("`[` without `]`; write `\\[` for a bracket that is printed")]
    Open,
    #[error("`{0}` is not known; known are bold, wide, tall, big, huge, left, center, right, qr, feed, cut, drawer")]
    Word(String),
    #[error("`{word}={value}` needs a number from 1 to 20")]
    Number { word: String, value: String },
    #[error("`[{0}]` stands alone on its line")]
    Alone(&'static str),
    #[error("a line has at most one `||`")]
    Columns,
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// Reads lines into a document; the error names the line of the template.
pub(crate) fn read(lines: &[SourceLine]) -> Result<Document, (usize, MarkupError)> {
    let mut document = Document::new();
    for line in lines {
        let item = item(&line.chars).map_err(|error| (line.number, error))?;
        document.push(item).map_err(|error| (line.number, error.into()))?;
    }
    Ok(document)
}

enum Kind {
    Text,
    Qr(u8),
    Feed(u8),
    Cut,
    Drawer(DrawerPin),
}

struct Words {
    kind: Kind,
    align: Align,
    style: Style,
}

fn item(chars: &[Char]) -> Result<Item, MarkupError> {
    if let Some(rule) = rule(chars) {
        return Ok(Item::Rule(rule));
    }
    let (words, rest) = words(chars)?;
    let alone =
        |name| if rest.iter().all(|char| char.c.is_whitespace()) { Ok(()) } else { Err(MarkupError::Alone(name)) };
    Ok(match words.kind {
        Kind::Text => text(words.align, words.style, rest)?,
        Kind::Qr(dots) => Item::Qr { data: unescaped(rest).trim().to_owned(), dots, align: words.align },
        Kind::Feed(lines) => {
            alone("feed")?;
            Item::Feed(lines)
        }
        Kind::Cut => {
            alone("cut")?;
            Item::Cut
        }
        Kind::Drawer(pin) => {
            alone("drawer")?;
            Item::Drawer(pin)
        }
    })
}

/// Three strokes or more and nothing else.
fn rule(chars: &[Char]) -> Option<Rule> {
    let all = |stroke: char| chars.len() >= 3 && chars.iter().all(|char| char.literal && char.c == stroke);
    if all('-') {
        Some(Rule::Thin)
    } else if all('=') {
        Some(Rule::Thick)
    } else {
        None
    }
}

fn words(chars: &[Char]) -> Result<(Words, &[Char]), MarkupError> {
    let mut words = Words { kind: Kind::Text, align: Align::Left, style: PLAIN };
    if !chars.first().is_some_and(|first| is(*first, '[')) {
        return Ok((words, chars));
    }
    let end = chars.iter().position(|char| is(*char, ']')).ok_or(MarkupError::Open)?;
    let inside: String = chars.get(1..end).unwrap_or_default().iter().map(|char| char.c).collect();
    for word in inside.split_whitespace() {
        apply(&mut words, word)?;
    }
    Ok((words, chars.get(end + 1..).unwrap_or_default()))
}

fn apply(words: &mut Words, word: &str) -> Result<(), MarkupError> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let number = |default: u8| match value {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| (1..=20).contains(number))
            .ok_or_else(|| MarkupError::Number { word: name.to_owned(), value: text.to_owned() }),
    };
    match (name, value) {
        ("qr", _) => words.kind = Kind::Qr(number(QR_DOTS)?),
        ("feed", _) => words.kind = Kind::Feed(number(1)?),
        ("drawer", _) => {
            words.kind = Kind::Drawer(if number(1)? == 1 { DrawerPin::Two } else { DrawerPin::Five });
        }
        ("cut", None) => words.kind = Kind::Cut,
        ("bold", None) => words.style.bold = true,
        ("wide", None) => words.style.width = 2,
        ("tall", None) => words.style.height = 2,
        ("big", None) => (words.style.width, words.style.height) = (2, 2),
        ("huge", None) => (words.style.width, words.style.height) = (3, 3),
        ("left", None) => words.align = Align::Left,
        ("center", None) => words.align = Align::Center,
        ("right", None) => words.align = Align::Right,
        _ => return Err(MarkupError::Word(word.to_owned())),
    }
    Ok(())
}

fn text(align: Align, style: Style, chars: &[Char]) -> Result<Item, MarkupError> {
    let bars: Vec<usize> = (0..chars.len()).filter(|&at| is_bars(chars, at)).collect();
    let (left, right) = match bars.as_slice() {
        [] => (unescaped(chars).trim_end().to_owned(), None),
        [at] => {
            let (left, right) = (chars.get(..*at).unwrap_or_default(), chars.get(at + 2..).unwrap_or_default());
            (unescaped(left).trim_end().to_owned(), Some(unescaped(right).trim().to_owned()))
        }
        _ => return Err(MarkupError::Columns),
    };
    Ok(Item::Text(Text { left, right, align, style }))
}

fn is(char: Char, c: char) -> bool {
    char.literal && char.c == c
}

fn is_bars(chars: &[Char], at: usize) -> bool {
    let bar = |at: usize| chars.get(at).is_some_and(|char| is(*char, '|'));
    let escaped = at.checked_sub(1).and_then(|before| chars.get(before)).is_some_and(|char| is(*char, '\\'));
    bar(at) && bar(at + 1) && !escaped
}

/// The text without the backslashes that kept the template's own characters from being markup.
fn unescaped(chars: &[Char]) -> String {
    let mut text = String::new();
    let mut rest = chars.iter().copied().peekable();
    while let Some(char) = rest.next() {
        let next = rest.peek().copied();
        match next {
            Some(next) if is(char, '\\') && next.literal && r"[]|-=\".contains(next.c) => {
                text.push(next.c);
                rest.next();
            }
            _ => text.push(char.c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Vec<Char> {
        text.chars().map(|c| Char { c, literal: true }).collect()
    }

    fn plain(left: &str, right: Option<&str>) -> Item {
        Item::Text(Text { left: left.to_owned(), right: right.map(str::to_owned), align: Align::Left, style: PLAIN })
    }

    #[test]
    fn lines_say_what_the_manual_says() {
        let check = |line: &str, expected: Item| assert_eq!(item(&literal(line)), Ok(expected), "{line}");
        let styled = |align, bold, width, height| {
            Item::Text(Text { left: "a".to_owned(), right: None, align, style: Style { bold, width, height } })
        };
        check("", plain("", None));
        check("  tea  ", plain("  tea", None));
        check("tea || 3.00 ", plain("tea", Some("3.00")));
        check("a | b", plain("a | b", None));
        check(r"a \|| b", plain("a || b", None));
        check(r"\[bold]", plain("[bold]", None));
        check(r"\---", plain("---", None));
        check("--", plain("--", None));
        check("----", Item::Rule(Rule::Thin));
        check("===", Item::Rule(Rule::Thick));
        check("[center bold]a", styled(Align::Center, true, 1, 1));
        check("[big right]a", styled(Align::Right, false, 2, 2));
        check("[qr]x y", Item::Qr { data: "x y".to_owned(), dots: QR_DOTS, align: Align::Left });
        check("[center qr=3] x", Item::Qr { data: "x".to_owned(), dots: 3, align: Align::Center });
        check("[feed=2]", Item::Feed(2));
        check("[cut] ", Item::Cut);
        check("[drawer]", Item::Drawer(DrawerPin::Two));
        check("[drawer=2]", Item::Drawer(DrawerPin::Five));
    }

    #[test]
    fn what_says_nothing_is_told() {
        let check = |line: &str, part: &str| {
            let error = item(&literal(line)).expect_err("must be refused").to_string();
            assert!(error.contains(part), "{line}: {error}");
        };
        check("[bold", "without `]`");
        check("[bald]x", "`bald` is not known");
        check("[bold=2]x", "`bold=2` is not known");
        check("[feed=0]", "from 1 to 20");
        check("[feed=x]", "`feed=x`");
        check("[cut]x", "`[cut]` stands alone");
        check("a || b || c", "at most one");
    }

    #[test]
    fn data_is_text_whatever_it_looks_like() {
        let check = |data: &str| {
            let chars: Vec<Char> = data.chars().map(|c| Char { c, literal: false }).collect();
            assert_eq!(item(&chars), Ok(plain(data, None)));
        };
        check("[cut]");
        check("---");
        check("a || b");
        check(r"\[x\]");
        check("[drawer]");
    }
}
