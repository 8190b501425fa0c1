//! A document becomes ESC/POS bytes.
//!
//! Only commands that every maker has are used, and each sheet stands on its own: it starts with a reset, so a job that was cut
//! off before it leaves no style behind.

use crate::bitmap::Bitmap;
use crate::document::{Align, Document, DrawerPin, Item, Rule, Style, Text};
use crate::font::{self, CELL_HEIGHT, CELL_WIDTH, Face};
use crate::layout::{Row, rows};
use crate::profile::{CutMode, Profile};
use crate::qr::Modules;

/// White below a line of text, in dots.
const LINE_GAP: usize = 6;
/// White below a QR code, in dots.
const QR_GAP: u8 = 12;
/// Rows of a picture in one command: printers with little memory print it strip by strip.
const STRIP_ROWS: usize = 128;
/// Lines from the head to the edge where paper is torn off.
const TEAR_LINES: u8 = 4;
/// How long the drawer's coil is on and then off, in units of 2 ms.
const DRAWER_ON: u8 = 60;
const DRAWER_OFF: u8 = 120;

const ESC: u8 = 0x1B;
const GS: u8 = 0x1D;
const FS: u8 = 0x1C;

/// The bytes that print the document on such a printer.
pub fn encode(document: &Document, profile: &Profile) -> Vec<u8> {
    let mut encoder = Encoder::new(profile);
    for item in document.items() {
        encoder.item(item);
    }
    encoder.out
}

/// What the printer is set to, so that only changes are sent.
struct Encoder<'a> {
    profile: &'a Profile,
    out: Vec<u8>,
    align: Align,
    bold: bool,
    size: u8,
    spacing: u8,
    double_byte: bool,
}

impl<'a> Encoder<'a> {
    fn new(profile: &'a Profile) -> Self {
        let mut out = vec![ESC, b'@'];
        if profile.double_byte.is_some() {
            // Such a printer starts out with taking pairs of high bytes for Chinese.
            out.extend([FS, b'.']);
        }
        out.extend(profile.code_page.number().into_iter().flat_map(|number| [ESC, b't', number]));
        Self { profile, out, align: Align::Left, bold: false, size: 0, spacing: 0, double_byte: false }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Text(text) => self.text(text),
            Item::Rule(rule) => self.rule(*rule),
            Item::Qr { data, dots, align } => self.qr(data, *dots, *align),
            Item::Image { bitmap, align } => self.image(bitmap, *align),
            Item::Feed(lines) => self.feed(*lines),
            Item::Cut => self.cut(),
            Item::Drawer(pin) => {
                let pin = if *pin == DrawerPin::Two { 0 } else { 1 };
                self.out.extend([ESC, b'p', pin, DRAWER_ON, DRAWER_OFF]);
            }
        }
    }

    fn text(&mut self, text: &Text) {
        for row in rows(text, self.profile.columns() / usize::from(text.style.width)) {
            if row.text.chars().all(|c| self.has(c)) {
                self.letters(&row, text.style);
            } else {
                self.picture_of(&row, text.style);
            }
        }
    }

    fn has(&self, c: char) -> bool {
        let single = font::columns(c) == 1 && self.profile.code_page.encode(c).is_some();
        single || self.profile.double_byte.is_some_and(|set| set.encode(c).is_some())
    }

    /// A row in the printer's own letters.
    fn letters(&mut self, row: &Row, style: Style) {
        self.set_align(row.align);
        if self.bold != style.bold {
            self.bold = style.bold;
            self.out.extend([ESC, b'E', u8::from(style.bold)]);
        }
        let size = (style.width - 1) << 4 | (style.height - 1);
        if self.size != size {
            self.size = size;
            self.out.extend([GS, b'!', size]);
        }
        self.set_spacing(CELL_HEIGHT * usize::from(style.height) + LINE_GAP);
        for c in row.text.chars() {
            match (self.profile.code_page.encode(c), self.profile.double_byte.and_then(|set| set.encode(c))) {
                (Some(byte), _) => {
                    self.set_double_byte(false);
                    self.out.push(byte);
                }
                (None, Some(bytes)) => {
                    self.set_double_byte(true);
                    self.out.extend(bytes);
                }
                (None, None) => {}
            }
        }
        self.set_double_byte(false);
        self.out.push(b'\n');
    }

    /// A row as a picture, dot for dot where the printer's own letters would stand.
    fn picture_of(&mut self, row: &Row, style: Style) {
        let (wide, tall) = (usize::from(style.width), usize::from(style.height));
        let face = Face { width: wide, height: tall, bold: style.bold };
        let width = font::text_columns(&row.text) * CELL_WIDTH * wide;
        let mut x = match row.align {
            Align::Left => 0,
            Align::Center => self.profile.dots.saturating_sub(width) / 2,
            Align::Right => self.profile.dots.saturating_sub(width),
        };
        let mut picture = Bitmap::new(self.profile.dots, CELL_HEIGHT * tall + LINE_GAP);
        let mut last = x;
        for c in row.text.chars() {
            let columns = font::columns(c);
            font::draw(&mut picture, if columns == 0 { last } else { x }, 0, c, face);
            last = x;
            x += columns * CELL_WIDTH * wide;
        }
        self.raster(&picture);
    }

    fn rule(&mut self, rule: Rule) {
        let stroke = if rule == Rule::Thin { '-' } else { '=' };
        let text = std::iter::repeat_n(stroke, self.profile.columns()).collect();
        self.letters(&Row { text, align: Align::Left }, crate::document::PLAIN);
    }

    fn qr(&mut self, data: &str, dots: u8, align: Align) {
        let Some(modules) = Modules::new(data) else { return };
        let room = self.profile.dots / modules.side().max(1);
        let dots = dots.min(u8::try_from(room).unwrap_or(u8::MAX)).max(1);
        if self.profile.qr {
            self.set_align(align);
            // Model 2, size of a module, medium error correction, the data, and print it.
            self.out.extend([GS, b'(', b'k', 4, 0, 49, 65, 50, 0]);
            self.out.extend([GS, b'(', b'k', 3, 0, 49, 67, dots]);
            self.out.extend([GS, b'(', b'k', 3, 0, 49, 69, 49]);
            let [low, high] = length(data.len() + 3);
            self.out.extend([GS, b'(', b'k', low, high, 49, 80, 48]);
            self.out.extend(data.as_bytes());
            self.out.extend([GS, b'(', b'k', 3, 0, 49, 81, 48]);
        } else {
            self.image(&modules.draw(usize::from(dots)), align);
        }
        self.out.extend([ESC, b'J', QR_GAP]);
    }

    /// A picture with the white to its left in it: not every printer lets `ESC a` move a picture.
    fn image(&mut self, bitmap: &Bitmap, align: Align) {
        let free = self.profile.dots.saturating_sub(bitmap.width());
        match align {
            Align::Left => self.raster(bitmap),
            Align::Center | Align::Right => {
                let mut moved = Bitmap::new(self.profile.dots, bitmap.height());
                moved.draw(if align == Align::Center { free / 2 } else { free }, 0, bitmap);
                self.raster(&moved);
            }
        }
    }

    fn raster(&mut self, bitmap: &Bitmap) {
        self.set_align(Align::Left);
        let bytes = bitmap.used_width().min(self.profile.dots).div_ceil(8).max(1);
        let [width_low, width_high] = length(bytes);
        for top in (0..bitmap.height()).step_by(STRIP_ROWS) {
            let rows = STRIP_ROWS.min(bitmap.height() - top);
            let [rows_low, rows_high] = length(rows);
            self.out.extend([GS, b'v', b'0', 0, width_low, width_high, rows_low, rows_high]);
            for y in top..top + rows {
                self.out.extend(bitmap.row(y).iter().take(bytes));
            }
        }
    }

    fn feed(&mut self, lines: u8) {
        self.set_spacing(CELL_HEIGHT + LINE_GAP);
        self.out.extend([ESC, b'd', lines]);
    }

    fn cut(&mut self) {
        match self.profile.cut {
            CutMode::Partial => self.out.extend([GS, b'V', 66, 0]),
            CutMode::Full => self.out.extend([GS, b'V', 65, 0]),
            CutMode::Tear => self.feed(TEAR_LINES),
            CutMode::LabelGap => self.out.extend([GS, 0x0C]),
        }
    }

    fn set_align(&mut self, align: Align) {
        if self.align != align {
            self.align = align;
            let number = match align {
                Align::Left => 0,
                Align::Center => 1,
                Align::Right => 2,
            };
            self.out.extend([ESC, b'a', number]);
        }
    }

    fn set_spacing(&mut self, dots: usize) {
        let dots = u8::try_from(dots).unwrap_or(u8::MAX);
        if self.spacing != dots {
            self.spacing = dots;
            self.out.extend([ESC, b'3', dots]);
        }
    }

    fn set_double_byte(&mut self, on: bool) {
        if self.double_byte != on {
            self.double_byte = on;
            self.out.extend([FS, if on { b'&' } else { b'.' }]);
        }
    }
}

/// A length as printers take it: low byte, high byte. What is longer than that was refused before.
fn length(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::PLAIN;

    #[track_caller]
    fn check(profile: &str, item: Item, expected: &[u8]) {
        let mut document = Document::new();
        document.push(item).expect("fits");
        let profile = Profile::named(profile).expect("known");
        assert_eq!(encode(&document, &profile), expected);
    }

    fn text(left: &str, style: Style, align: Align) -> Item {
        Item::Text(Text { left: left.to_owned(), right: None, align, style })
    }

    #[test]
    fn items_become_the_commands_of_the_manual() {
        let bold = Style { bold: true, width: 2, height: 3 };
        check("80mm", text("a", PLAIN, Align::Left), b"\x1b@\x1bt\x13\x1b3\x1ea\n");
        check("80mm-cp437", text("\u{e9}", PLAIN, Align::Left), b"\x1b@\x1bt\x00\x1b3\x1e\x82\n");
        check("80mm", text("a", bold, Align::Center), b"\x1b@\x1bt\x13\x1ba\x01\x1bE\x01\x1d!\x12\x1b3\x4ea\n");
        check("80mm-gb18030", text("a\u{8336}b", PLAIN, Align::Left), b"\x1b@\x1c.\x1b3\x1ea\x1c&\xb2\xe8\x1c.b\n");
        check("80mm", Item::Drawer(DrawerPin::Five), b"\x1b@\x1bt\x13\x1bp\x01\x3c\x78");
        check("80mm", Item::Cut, b"\x1b@\x1bt\x13\x1dVB\x00");
        check("58mm-plain", Item::Cut, b"\x1b@\x1b3\x1e\x1bd\x04");
        check("label-50mm", Item::Cut, b"\x1b@\x1d\x0c");
    }

    #[test]
    fn what_the_code_page_lacks_goes_as_a_picture() {
        let mut document = Document::new();
        document.push(text("茶", PLAIN, Align::Left)).expect("fits");
        let bytes = encode(&document, &Profile::named("58mm-plain").expect("known"));
        assert_eq!(&bytes[..10], b"\x1b@\x1dv0\x00\x03\x00\x1e\x00");
        assert_eq!(bytes.len(), 10 + 3 * 30);
    }
}
