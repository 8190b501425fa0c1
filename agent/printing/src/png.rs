//! The paper as a PNG picture: one bit for each dot.

use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::bitmap::Bitmap;
use crate::interpret::{Mark, Paper};

/// White on each side of the paper's printable width, in dots: about two millimetres.
const MARGIN: usize = 16;

/// How hard to compress: receipts are mostly white, and the picture is made while a person waits.
const LEVEL: u8 = 6;

/// Draws the paper with its margins; a dashed line shows where it is cut.
pub fn preview(paper: &Paper) -> Vec<u8> {
    let width = paper.bitmap.width() + 2 * MARGIN;
    let mut picture = Bitmap::new(width, paper.bitmap.height() + 2 * MARGIN);
    picture.draw(MARGIN, MARGIN, &paper.bitmap);
    for mark in &paper.marks {
        let Mark::Cut { row } = mark else { continue };
        for x in (0..width).filter(|x| x % 12 < 6) {
            picture.set(x, row + MARGIN);
        }
    }
    encode(&picture)
}

/// Writes a picture as PNG.
pub fn encode(bitmap: &Bitmap) -> Vec<u8> {
    let mut scanlines = Vec::with_capacity(bitmap.height() * (bitmap.width() / 8 + 2));
    for y in 0..bitmap.height() {
        // Filter type none; black is 0 in a PNG and 1 here.
        scanlines.push(0);
        scanlines.extend(bitmap.row(y).iter().map(|byte| !byte));
    }
    let mut header = Vec::with_capacity(13);
    header.extend(side(bitmap.width()));
    header.extend(side(bitmap.height()));
    // One bit a dot, grey, deflate, filtered, not interlaced.
    header.extend([1, 0, 0, 0, 0]);
    let mut out = Vec::from(*b"\x89PNG\r\n\x1a\n");
    chunk(&mut out, *b"IHDR", &header);
    chunk(&mut out, *b"IDAT", &compress_to_vec_zlib(&scanlines, LEVEL));
    chunk(&mut out, *b"IEND", &[]);
    out
}

/// A PNG has no picture without dots.
fn side(dots: usize) -> [u8; 4] {
    u32::try_from(dots.max(1)).unwrap_or(1).to_be_bytes()
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&kind);
    sum.update(data);
    out.extend(kind);
    out.extend(data);
    out.extend(sum.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_framed_as_png_wants_it() {
        let mut bitmap = Bitmap::new(9, 2);
        bitmap.set(0, 0);
        let png = encode(&bitmap);
        assert_eq!(&png[..16], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
        assert_eq!(&png[16..24], [0, 0, 0, 9, 0, 0, 0, 2]);
        let data = &png[41..png.len() - 16];
        let rows = miniz_oxide::inflate::decompress_to_vec_zlib(data).expect("inflates");
        assert_eq!(rows, [0, 0x7F, 0xFF, 0, 0xFF, 0xFF]);
        assert_eq!(&png[png.len() - 12..], b"\0\0\0\0IEND\xAE\x42\x60\x82");
    }
}
