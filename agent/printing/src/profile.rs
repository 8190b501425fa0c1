//! What a printer can do.

mod code_page;
mod double_byte;

pub use code_page::CodePage;
pub use double_byte::DoubleByte;

use crate::font::CELL_WIDTH;

/// What happens at the end of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutMode {
    /// The knife leaves a bridge of paper, so that the sheet does not fall.
    Partial,
    /// The knife cuts through.
    Full,
    /// No knife: the paper is moved to the edge where it is torn off.
    Tear,
    /// Labels on a roll: the printer moves to the gap before the next one.
    LabelGap,
}

/// What a printer can do. Profiles that differ give other bytes for the same document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Dots across the paper.
    pub dots: usize,
    /// The letters beyond ASCII that it has.
    pub code_page: CodePage,
    /// The Chinese or Korean characters that it has.
    pub double_byte: Option<DoubleByte>,
    /// What happens at the end of a sheet.
    pub cut: CutMode,
    /// Whether it draws QR codes by itself.
    pub qr: bool,
}

/// Every profile that a configuration can name, with what it is.
const NAMED: [(&str, &str, Profile); 8] = [
    ("80mm", "receipts on 80 mm paper, Western letters, knife, QR", Profile::USUAL),
    (
        "80mm-gb18030",
        "the same with Chinese characters",
        Profile {
            dots: 576,
            code_page: CodePage::Ascii,
            double_byte: Some(DoubleByte::Gb18030),
            cut: CutMode::Partial,
            qr: true,
        },
    ),
    (
        "80mm-cp437",
        "the same with the oldest code page",
        Profile { dots: 576, code_page: CodePage::Cp437, double_byte: None, cut: CutMode::Partial, qr: true },
    ),
    (
        "80mm-plain",
        "80 mm paper; only plain letters are the printer's own, all else is sent as pictures, QR too",
        Profile { dots: 576, code_page: CodePage::Ascii, double_byte: None, cut: CutMode::Partial, qr: false },
    ),
    (
        "58mm",
        "receipts on 58 mm paper, Western letters, no knife, QR",
        Profile { dots: 384, code_page: CodePage::Cp858, double_byte: None, cut: CutMode::Tear, qr: true },
    ),
    (
        "58mm-gb18030",
        "the same with Chinese characters",
        Profile {
            dots: 384,
            code_page: CodePage::Ascii,
            double_byte: Some(DoubleByte::Gb18030),
            cut: CutMode::Tear,
            qr: true,
        },
    ),
    (
        "58mm-plain",
        "58 mm paper; only plain letters are the printer's own, all else is sent as pictures, QR too",
        Profile { dots: 384, code_page: CodePage::Ascii, double_byte: None, cut: CutMode::Tear, qr: false },
    ),
    (
        "label-50mm",
        "labels 50 mm wide on a roll with gaps; all but plain letters as pictures",
        Profile { dots: 400, code_page: CodePage::Ascii, double_byte: None, cut: CutMode::LabelGap, qr: false },
    ),
];

impl Profile {
    /// The profile `80mm`: what a receipt is drawn on where nothing else is known.
    pub const USUAL: Self =
        Self { dots: 576, code_page: CodePage::Cp858, double_byte: None, cut: CutMode::Partial, qr: true };

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|(known, ..)| *known == name).map(|&(_, _, profile)| profile)
    }

    /// Every name with what it is for.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        NAMED.iter().map(|&(name, about, _)| (name, about))
    }

    /// Characters of the font as it is in one line.
    pub fn columns(&self) -> usize {
        self.dots / CELL_WIDTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paper_has_as_many_columns_as_usual() {
        let check = |name: &str, expected: usize| {
            assert_eq!(Profile::named(name).map(|profile| profile.columns()), Some(expected), "{name}");
        };
        check("80mm", 48);
        check("58mm", 32);
        check("label-50mm", 33);
        assert_eq!(Profile::named("90mm"), None);
        for (name, _) in Profile::names() {
            assert!(Profile::named(name).is_some_and(|profile| profile.dots <= crate::bitmap::WIDTH_MAX));
        }
    }
}
