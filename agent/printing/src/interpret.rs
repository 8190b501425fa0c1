//! ESC/POS bytes become paper, as a printer would print them.
//!
//! It covers what [`crate::encode()`] sends and what stands around it in practice. A command that it does not know is counted and
//! skipped. No bytes make it panic, and no bytes make it draw more than [`crate::bitmap::HEIGHT_MAX`] rows.

use crate::bitmap::Bitmap;
use crate::document::Align;
use crate::font::{self, CELL_HEIGHT, CELL_WIDTH, Face};
use crate::profile::{CodePage, CutMode, Profile};
use crate::qr::Modules;

/// What a printer does between two lines unless it is told, in dots.
const SPACING: usize = 30;
/// Bytes that the memory for a QR code holds.
const QR_STORE_BYTES: usize = 7_089;

/// Something that happened while printing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The paper was cut, or the label ended.
    Cut {
        /// Above which row of dots.
        row: usize,
    },
    /// The drawer was opened.
    Drawer {
        /// Which line of its plug: 0 or 1.
        pin: u8,
    },
}

/// What came out of the printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paper {
    /// The dots.
    pub bitmap: Bitmap,
    /// Cuts and pulses, in order.
    pub marks: Vec<Mark>,
    /// Each line that was printed in the printer's own letters.
    pub text: Vec<String>,
    /// Commands that are not known, and bytes that no letter has.
    pub unknown: usize,
    /// Whether everything fitted on the longest paper there is.
    pub complete: bool,
}

/// Prints the bytes on paper of that profile.
pub fn interpret(bytes: &[u8], profile: &Profile) -> Paper {
    let mut printer = Printer::new(profile);
    let mut input = Input { bytes, at: 0 };
    while printer.paper.complete && input.at < bytes.len() {
        if printer.step(&mut input).is_none() {
            // The bytes end within a command; a printer would wait for the rest of it.
            printer.paper.unknown += 1;
            break;
        }
    }
    printer.finish()
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn length(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_le_bytes([self.byte()?, self.byte()?])))
    }

    /// What of the next `length` bytes there is; the rest never came.
    fn run(&mut self, length: usize) -> &'a [u8] {
        let end = self.at.saturating_add(length).min(self.bytes.len());
        let run = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        run
    }
}

struct Printer<'a> {
    profile: &'a Profile,
    paper: Paper,
    /// The first row of dots that is still white.
    row: usize,
    line: Vec<(char, Face)>,
    face: Face,
    align: Align,
    spacing: usize,
    code_page: CodePage,
    double_byte: bool,
    qr_dots: usize,
    qr_data: Vec<u8>,
}

const PLAIN: Face = Face { width: 1, height: 1, bold: false };

impl<'a> Printer<'a> {
    fn new(profile: &'a Profile) -> Self {
        let paper = Paper {
            bitmap: Bitmap::new(profile.dots, 0),
            marks: Vec::new(),
            text: Vec::new(),
            unknown: 0,
            complete: true,
        };
        Self {
            profile,
            paper,
            row: 0,
            line: Vec::new(),
            face: PLAIN,
            align: Align::Left,
            spacing: SPACING,
            code_page: CodePage::Cp437,
            double_byte: profile.double_byte.is_some(),
            qr_dots: 3,
            qr_data: Vec::new(),
        }
    }

    /// `ESC @`. What stands in the line and was not printed is dropped, as printers do.
    fn reset(&mut self) {
        self.line.clear();
        self.face = PLAIN;
        self.align = Align::Left;
        self.spacing = SPACING;
        self.code_page = CodePage::Cp437;
        self.double_byte = self.profile.double_byte.is_some();
        self.qr_data.clear();
    }

    /// One command or one character; nothing if the bytes end within it.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? {
            0x1B => self.escape(input),
            0x1D => self.group(input),
            0x1C => self.kanji(input),
            0x10 => {
                // DLE EOT and its like ask for an answer and print nothing.
                input.byte()?;
                input.byte().map(drop)
            }
            b'\n' => {
                self.print_line();
                Some(())
            }
            b'\r' => Some(()),
            byte => self.character(byte, input),
        }
    }

    fn character(&mut self, byte: u8, input: &mut Input<'_>) -> Option<()> {
        let c = match self.profile.double_byte {
            Some(set) if self.double_byte && byte >= 0x80 => set.decode([byte, input.byte()?]),
            _ => self.code_page.decode(byte),
        };
        match c {
            Some(c) => {
                let takes = font::columns(c) * CELL_WIDTH * self.face.width;
                if self.line_width() + takes > self.profile.dots {
                    self.print_line();
                }
                self.line.push((c, self.face));
            }
            None => self.paper.unknown += 1,
        }
        Some(())
    }

    fn escape(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? {
            b'@' => self.reset(),
            b'E' => self.face.bold = input.byte()? & 1 == 1,
            b'a' => self.set_align(input.byte()?),
            b't' => {
                let number = input.byte()?;
                match CodePage::numbered(number) {
                    Some(page) => self.code_page = page,
                    None => self.paper.unknown += 1,
                }
            }
            b'2' => self.spacing = SPACING,
            b'3' => self.spacing = usize::from(input.byte()?),
            b'd' => {
                let lines = usize::from(input.byte()?);
                self.print_pending();
                self.advance(lines * self.spacing);
            }
            b'J' => {
                let dots = usize::from(input.byte()?);
                self.print_pending();
                self.advance(dots);
            }
            b'p' => {
                let pin = input.byte()?;
                input.byte()?;
                input.byte()?;
                self.paper.marks.push(Mark::Drawer { pin });
            }
            _ => self.paper.unknown += 1,
        }
        Some(())
    }

    fn set_align(&mut self, number: u8) {
        match number {
            0 | 48 => self.align = Align::Left,
            1 | 49 => self.align = Align::Center,
            2 | 50 => self.align = Align::Right,
            _ => self.paper.unknown += 1,
        }
    }

    fn kanji(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? {
            b'&' => self.double_byte = true,
            b'.' => self.double_byte = false,
            _ => self.paper.unknown += 1,
        }
        Some(())
    }

    fn group(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? {
            b'!' => {
                let size = input.byte()?;
                self.face.width = usize::from(size >> 4 & 7) + 1;
                self.face.height = usize::from(size & 7) + 1;
            }
            b'V' => {
                let kind = input.byte()?;
                let feed = if matches!(kind, 65 | 66) { usize::from(input.byte()?) } else { 0 };
                self.cut(feed);
            }
            0x0C if self.profile.cut == CutMode::LabelGap => self.cut(0),
            b'r' => {
                input.byte()?;
            }
            b'v' => return self.raster(input),
            b'(' => return self.block(input),
            _ => self.paper.unknown += 1,
        }
        Some(())
    }

    fn cut(&mut self, feed: usize) {
        self.print_pending();
        self.advance(feed + SPACING);
        self.paper.marks.push(Mark::Cut { row: self.row });
        self.advance(SPACING);
    }

    /// `GS v 0`: rows of dots.
    fn raster(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (_, _) = (input.byte()?, input.byte()?);
        let (across, rows) = (input.length()?, input.length()?);
        self.print_pending();
        let left = self.left_of(across * 8);
        for _ in 0..rows {
            let run = input.run(across);
            if !self.paper.bitmap.grow(self.row + 1) {
                self.paper.complete = false;
                return Some(());
            }
            for (at, byte) in run.iter().enumerate() {
                for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
                    self.paper.bitmap.set(left + at * 8 + bit, self.row);
                }
            }
            if run.len() < across {
                return None;
            }
            self.row += 1;
        }
        Some(())
    }

    /// `GS ( x`: a block of bytes of a stated length. Only QR codes are known.
    fn block(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.byte()?;
        let length = input.length()?;
        let run = input.run(length);
        if run.len() < length {
            return None;
        }
        match (kind, run) {
            (b'k', [49, 65, ..] | [49, 69, ..]) => {}
            (b'k', [49, 67, dots]) => self.qr_dots = usize::from(*dots).clamp(1, 16),
            (b'k', [49, 80, 48, data @ ..]) => self.qr_data = data.iter().copied().take(QR_STORE_BYTES).collect(),
            (b'k', [49, 81, 48]) => self.print_qr(),
            _ => self.paper.unknown += 1,
        }
        Some(())
    }

    fn print_qr(&mut self) {
        let Some(modules) = Modules::from_bytes(&self.qr_data) else {
            self.paper.unknown += 1;
            return;
        };
        self.print_pending();
        let code = modules.draw(self.qr_dots);
        let left = self.left_of(code.width());
        let top = self.row;
        self.advance(code.height());
        self.paper.bitmap.draw(left, top, &code);
    }

    /// Commands that move the paper first print what stands in the line.
    fn print_pending(&mut self) {
        if !self.line.is_empty() {
            self.print_line();
        }
    }

    fn print_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let width = line.iter().map(|(c, face)| font::columns(*c) * CELL_WIDTH * face.width).sum();
        let tallest = line.iter().map(|(_, face)| face.height).max().unwrap_or(1) * CELL_HEIGHT;
        let (mut x, top) = (self.left_of(width), self.row);
        self.advance(tallest.max(self.spacing));
        for (c, face) in &line {
            // Letters of different heights stand on one base line.
            let down = tallest - face.height * CELL_HEIGHT;
            font::draw(&mut self.paper.bitmap, x, top + down, *c, *face);
            x += font::columns(*c) * CELL_WIDTH * face.width;
        }
        self.paper.text.push(line.into_iter().map(|(c, _)| c).collect());
    }

    fn line_width(&self) -> usize {
        self.line.iter().map(|(c, face)| font::columns(*c) * CELL_WIDTH * face.width).sum()
    }

    fn left_of(&self, width: usize) -> usize {
        let free = self.profile.dots.saturating_sub(width);
        match self.align {
            Align::Left => 0,
            Align::Center => free / 2,
            Align::Right => free,
        }
    }

    fn advance(&mut self, dots: usize) {
        self.row += dots;
        if !self.paper.bitmap.grow(self.row) {
            self.paper.complete = false;
        }
    }

    /// Letters that never saw the end of their line stay in the printer's memory: they are not on the paper.
    fn finish(mut self) -> Paper {
        let last_cut = self.paper.marks.iter().rev().find_map(|mark| match mark {
            Mark::Cut { row } => Some(*row),
            Mark::Drawer { .. } => None,
        });
        if let Some(row) = last_cut
            && self.row == row + SPACING
        {
            self.paper.bitmap.shrink(row + 1);
        }
        self.paper
    }
}

#[cfg(test)]
mod tests;
