//! QR codes as dots, for printers that cannot make them, and for the preview of those that can.

use qrcodegen::{QrCode, QrCodeEcc};

use crate::bitmap::Bitmap;

/// The modules of a code with medium error correction, which a crumpled receipt needs.
pub(crate) struct Modules(QrCode);

impl Modules {
    /// The code for a text, or nothing if no code holds as much.
    pub(crate) fn new(text: &str) -> Option<Self> {
        QrCode::encode_text(text, QrCodeEcc::Medium).ok().map(Self)
    }

    /// The same for bytes that need not be text.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(_) => QrCode::encode_binary(bytes, QrCodeEcc::Medium).ok().map(Self),
        }
    }

    /// Modules on each side, from 21 to 177.
    pub(crate) fn side(&self) -> usize {
        usize::try_from(self.0.size()).unwrap_or(0)
    }

    /// The code with `dots` dots for each module, without a margin.
    pub(crate) fn draw(&self, dots: usize) -> Bitmap {
        let side = self.side() * dots;
        let mut bitmap = Bitmap::new(side, side);
        for y in 0..side {
            for x in 0..side {
                let module = |at: usize| i32::try_from(at / dots.max(1)).unwrap_or(-1);
                if self.0.get_module(module(x), module(y)) {
                    bitmap.set(x, y);
                }
            }
        }
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_eyes() {
        let code = Modules::new("https://breakwater.example/r/1").expect("fits");
        let bitmap = code.draw(2);
        assert_eq!(bitmap.width(), code.side() * 2);
        let last = bitmap.width() - 1;
        assert!(bitmap.get(0, 0) && bitmap.get(last, 0) && bitmap.get(0, last));
        assert!(bitmap.get(13, 0) && !bitmap.get(14, 0), "an eye is seven modules wide");
        assert!(Modules::new(&"x".repeat(4_000)).is_none());
        assert!(Modules::from_bytes(&[0xFF, 0x00]).is_some());
    }
}
