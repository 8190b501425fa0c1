//! The bitmap font: GNU Unifont, 8 x 16 dots a letter and 16 x 16 a Chinese character, drawn at the size of a printer's own
//! font A, 12 x 24 and 24 x 24.
//!
//! A receipt printer's head has 8 dots to the millimetre, so Unifont as it is would be two millimetres tall. Each dot becomes one
//! and a half, rounded up: all strokes are two dots wide, whatever their place, and the gap between two of them stays open.

use unifont::Glyph;

use crate::bitmap::Bitmap;

/// One column of text, in dots.
pub(crate) const CELL_WIDTH: usize = 12;
/// One line of text without the space below it, in dots.
pub(crate) const CELL_HEIGHT: usize = 24;

/// What stands in for a character that the font lacks, such as an emoji.
const MISSING: char = '\u{FFFD}';

/// Marks that are drawn over the character before them.
const COMBINING: [(char, char); 13] = [
    ('\u{0300}', '\u{036F}'),
    ('\u{0483}', '\u{0489}'),
    ('\u{0591}', '\u{05BD}'),
    ('\u{064B}', '\u{065F}'),
    ('\u{0E31}', '\u{0E31}'),
    ('\u{0E34}', '\u{0E3A}'),
    ('\u{0E47}', '\u{0E4E}'),
    ('\u{1AB0}', '\u{1AFF}'),
    ('\u{1DC0}', '\u{1DFF}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{20D0}', '\u{20FF}'),
    ('\u{3099}', '\u{309A}'),
    ('\u{FE00}', '\u{FE0F}'),
];

/// Marks without ink: joiners and choosers of a variant.
const INVISIBLE: [(char, char); 2] = [('\u{200B}', '\u{200F}'), ('\u{FE00}', '\u{FE0F}')];

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|&(first, last)| (first..=last).contains(&c))
}

fn glyph(c: char) -> Option<&'static Glyph> {
    unifont::get_glyph(c).or_else(|| unifont::get_glyph(MISSING))
}

/// How many columns a character takes: 0 for a mark over the one before, 2 for Chinese, Japanese and Korean, else 1.
pub(crate) fn columns(c: char) -> usize {
    if c.is_ascii() {
        1
    } else if is_in(&COMBINING, c) {
        0
    } else {
        glyph(c).map_or(1, |glyph| if glyph.is_fullwidth() { 2 } else { 1 })
    }
}

/// How many columns a text takes.
pub(crate) fn text_columns(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// How a character is drawn, besides its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    /// Times as wide, at least 1.
    pub(crate) width: usize,
    /// Times as tall, at least 1.
    pub(crate) height: usize,
    /// One dot fatter.
    pub(crate) bold: bool,
}

/// Draws a character with its left upper corner at the given dot.
pub(crate) fn draw(onto: &mut Bitmap, left: usize, top: usize, c: char, face: Face) {
    if is_in(&INVISIBLE, c) {
        return;
    }
    let Some(glyph) = glyph(c) else { return };
    let dots = glyph.get_width() / 8 * CELL_WIDTH;
    for y in 0..CELL_HEIGHT {
        for x in 0..dots {
            if inked(glyph, x, y) || (face.bold && x > 0 && inked(glyph, x - 1, y)) {
                fill(onto, left + x * face.width, top + y * face.height, face);
            }
        }
    }
}

fn fill(onto: &mut Bitmap, left: usize, top: usize, face: Face) {
    for y in top..top + face.height {
        for x in left..left + face.width {
            onto.set(x, y);
        }
    }
}

/// Whether the dot is black once the glyph is half as large again.
fn inked(glyph: &Glyph, x: usize, y: usize) -> bool {
    let (x0, x1) = sources(x);
    let (y0, y1) = sources(y);
    glyph.get_pixel(x0, y0) || glyph.get_pixel(x1, y0) || glyph.get_pixel(x0, y1) || glyph.get_pixel(x1, y1)
}

/// Which dots of the font lie under a dot of the enlarged glyph: two make three, and the one in the middle lies over both.
fn sources(at: usize) -> (usize, usize) {
    let pair = at / 3 * 2;
    match at % 3 {
        0 => (pair, pair),
        1 => (pair, pair + 1),
        _ => (pair + 1, pair + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_a_terminal() {
        let check = |c: char, expected: usize| assert_eq!(columns(c), expected, "{c:?}");
        check('a', 1);
        check('é', 1);
        check('Ж', 1);
        check('茶', 2);
        check('한', 2);
        check('か', 2);
        check('，', 2);
        check('\u{0301}', 0);
        check('\u{1F9CB}', 1);
        assert_eq!(text_columns("珍珠 tea"), 8);
    }

    #[test]
    fn a_stroke_is_two_dots_wide_and_a_gap_stays_open() {
        // The letter i has a stem of one dot, the sign for ten one bar and one stem.
        let check = |c: char, y: usize, expected: &str| {
            let mut bitmap = Bitmap::new(24, 24);
            draw(&mut bitmap, 0, 0, c, Face { width: 1, height: 1, bold: false });
            let row: String = (0..24).map(|x| if bitmap.get(x, y) { '#' } else { '.' }).collect();
            assert_eq!(row.trim_end_matches('.'), expected, "{c}");
        };
        check('|', 10, "......##");
        check('十', 20, "..........##");
    }
}
