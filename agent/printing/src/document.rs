//! What is to be printed, without a thought of the device.

use crate::bitmap::Bitmap;

/// Items in one document: a receipt of a thousand lines is eight metres long.
pub const ITEMS_MAX: usize = 2_000;
/// Characters in one text, before it is broken into lines.
pub const TEXT_CHARS_MAX: usize = 1_000;
/// Bytes in one QR code: more makes modules too small for a receipt.
pub const QR_BYTES_MAX: usize = 600;
/// How much larger than the font a text can be: beyond it four characters fill a line.
pub const SCALE_MAX: u8 = 6;
/// Lines that one feed moves the paper by.
pub const FEED_LINES_MAX: u8 = 20;
/// Dots of one module of a QR code.
pub const QR_DOTS_MAX: u8 = 16;

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Fatter strokes.
    pub bold: bool,
    /// Times as wide as the font, from 1 to [`SCALE_MAX`].
    pub width: u8,
    /// Times as tall as the font, from 1 to [`SCALE_MAX`].
    pub height: u8,
}

/// The font as it is.
pub const PLAIN: Style = Style { bold: false, width: 1, height: 1 };

/// Where a text or picture stands on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left edge.
    Left,
    /// In the middle.
    Center,
    /// At the right edge.
    Right,
}

/// A text; it is broken into as many lines as it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What is printed, at the left when there is a right part.
    pub left: String,
    /// What stands at the right edge of the same line; the place is ignored then.
    pub right: Option<String>,
    /// Where it stands.
    pub align: Align,
    /// How it looks.
    pub style: Style,
}

/// A line across the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One stroke.
    Thin,
    /// Two strokes.
    Thick,
}

/// Which of the two lines of the drawer's plug gets the pulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrawerPin {
    /// The usual one.
    Two,
    /// For a second drawer.
    Five,
}

/// One thing after another on the paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text.
    Text(Text),
    /// A line across.
    Rule(Rule),
    /// A QR code.
    Qr {
        /// What a reader gets.
        data: String,
        /// Dots of a module, from 1 to [`QR_DOTS_MAX`]; fewer are taken where the paper is too narrow.
        dots: u8,
        /// Where it stands.
        align: Align,
    },
    /// A picture; cut at the right where the paper is too narrow.
    Image {
        /// The dots.
        bitmap: Bitmap,
        /// Where it stands.
        align: Align,
    },
    /// White paper, in lines.
    Feed(u8),
    /// Cuts the paper, or ends the label.
    Cut,
    /// Opens the drawer.
    Drawer(DrawerPin),
}

/// Why something cannot be part of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Too many items.
    #[error("more than {ITEMS_MAX} lines")]
    TooManyItems,
    /// A text is too long.
    #[error("a text of {0} characters, at most {TEXT_CHARS_MAX}")]
    TextTooLong(usize),
    /// A size that no printer has.
    #[error("a size of {0}, from 1 to {SCALE_MAX}")]
    Scale(u8),
    /// A QR code without content, or with too much.
    #[error("a QR code of {0} bytes, from 1 to {QR_BYTES_MAX}")]
    QrLength(usize),
    /// The modules of a QR code are too large.
    #[error("QR modules of {0} dots, from 1 to {QR_DOTS_MAX}")]
    QrDots(u8),
    /// A long feed.
    #[error("a feed of {0} lines, from 1 to {FEED_LINES_MAX}")]
    Feed(u8),
}

/// What is to be printed, from top to bottom. Everything in it is within its limits, and its text has no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    items: Vec<Item>,
}

impl Document {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds, from top to bottom.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Puts something below the rest.
    pub fn push(&mut self, mut item: Item) -> Result<(), DocumentError> {
        if self.items.len() >= ITEMS_MAX {
            return Err(DocumentError::TooManyItems);
        }
        match &mut item {
            Item::Text(text) => check_text(text)?,
            Item::Qr { data, dots, .. } => {
                if data.is_empty() || data.len() > QR_BYTES_MAX {
                    return Err(DocumentError::QrLength(data.len()));
                }
                if !(1..=QR_DOTS_MAX).contains(dots) {
                    return Err(DocumentError::QrDots(*dots));
                }
            }
            Item::Feed(lines) if !(1..=FEED_LINES_MAX).contains(lines) => return Err(DocumentError::Feed(*lines)),
            Item::Feed(_) | Item::Rule(_) | Item::Image { .. } | Item::Cut | Item::Drawer(_) => {}
        }
        self.items.push(item);
        Ok(())
    }

    /// Whether anything of it marks paper.
    pub fn is_visible(&self) -> bool {
        let marks = |item: &Item| !matches!(item, Item::Feed(_) | Item::Cut | Item::Drawer(_));
        self.items.iter().any(marks)
    }

    /// The same with a word above everything and below everything, such as `COPY 2`. Each piece of paper that is cut off gets
    /// both. What marks no paper stays as it is.
    ///
    /// It does not depend on a template, so no template can leave it out.
    pub fn bannered(self, banner: &str) -> Self {
        if !self.is_visible() {
            return self;
        }
        let text: String = clean(banner).chars().take(TEXT_CHARS_MAX).collect();
        let style = Style { bold: true, width: 2, height: 2 };
        let line = Item::Text(Text { left: text, right: None, align: Align::Center, style });
        let mut items = Vec::with_capacity(self.items.len() + 2);
        for sheet in self.items.split_inclusive(|item| *item == Item::Cut) {
            let (body, cut) = match sheet.split_last() {
                Some((Item::Cut, body)) => (body, true),
                _ => (sheet, false),
            };
            if body.iter().all(|item| matches!(item, Item::Feed(_) | Item::Drawer(_))) {
                items.extend_from_slice(sheet);
                continue;
            }
            items.push(line.clone());
            items.extend_from_slice(body);
            items.push(line.clone());
            items.extend(cut.then_some(Item::Cut));
        }
        Self { items }
    }

    /// The same without opening the drawer: whoever prints a receipt again takes no money.
    pub fn without_drawer(mut self) -> Self {
        self.items.retain(|item| !matches!(item, Item::Drawer(_)));
        self
    }
}

fn check_text(text: &mut Text) -> Result<(), DocumentError> {
    for scale in [text.style.width, text.style.height] {
        if !(1..=SCALE_MAX).contains(&scale) {
            return Err(DocumentError::Scale(scale));
        }
    }
    for part in [Some(&mut text.left), text.right.as_mut()].into_iter().flatten() {
        let chars = part.chars().count();
        if chars > TEXT_CHARS_MAX {
            return Err(DocumentError::TextTooLong(chars));
        }
        *part = clean(part);
    }
    Ok(())
}

/// A control character in a product's name could be a printer's command; none is let through.
fn clean(text: &str) -> String {
    let space = |c: char| if matches!(c, '\t' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
    text.chars().map(space).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(left: &str) -> Item {
        Item::Text(Text { left: left.to_owned(), right: None, align: Align::Left, style: PLAIN })
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let check = |item: Item, expected: Result<(), DocumentError>| {
            assert_eq!(Document::new().push(item.clone()), expected, "{item:?}");
        };
        let qr = |data: &str, dots| Item::Qr { data: data.to_owned(), dots, align: Align::Left };
        check(text(&"x".repeat(TEXT_CHARS_MAX)), Ok(()));
        check(text(&"x".repeat(TEXT_CHARS_MAX + 1)), Err(DocumentError::TextTooLong(TEXT_CHARS_MAX + 1)));
        check(qr("", 4), Err(DocumentError::QrLength(0)));
        check(qr(&"x".repeat(QR_BYTES_MAX + 1), 4), Err(DocumentError::QrLength(QR_BYTES_MAX + 1)));
        check(qr("x", 0), Err(DocumentError::QrDots(0)));
        check(Item::Feed(0), Err(DocumentError::Feed(0)));
        check(Item::Feed(FEED_LINES_MAX), Ok(()));
        let mut document = Document::new();
        for _ in 0..ITEMS_MAX {
            document.push(Item::Cut).expect("fits");
        }
        assert_eq!(document.push(Item::Cut), Err(DocumentError::TooManyItems));
    }

    #[test]
    fn text_carries_no_command_to_the_printer() {
        let mut document = Document::new();
        document.push(text("Tea\u{1b}p\0\tgreen\r\n")).expect("fits");
        let Item::Text(text) = &document.items()[0] else { panic!("a text") };
        assert_eq!(text.left, "Teap green");
    }

    #[test]
    fn each_sheet_says_that_it_is_a_copy_and_opens_no_drawer() {
        let mut document = Document::new();
        for item in [Item::Drawer(DrawerPin::Two), text("one"), Item::Cut, text("two"), Item::Cut] {
            document.push(item).expect("fits");
        }
        let copy = document.bannered("COPY 1").without_drawer();
        let words: Vec<&str> = copy
            .items()
            .iter()
            .map(|item| match item {
                Item::Text(text) => text.left.as_str(),
                Item::Cut => "cut",
                _ => "other",
            })
            .collect();
        assert_eq!(words, ["COPY 1", "one", "COPY 1", "cut", "COPY 1", "two", "COPY 1", "cut"]);
    }
}
