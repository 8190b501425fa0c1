//! Chinese and Korean characters that a printer has, two bytes each.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK};

use crate::font::columns;

/// Which set of characters a printer has in its font memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubleByte {
    /// Mainland China. Only what takes two bytes there: the printers that know the longer form are too few to count on.
    Gb18030,
    /// Taiwan and Hong Kong.
    Big5,
    /// Korea.
    EucKr,
}

impl DoubleByte {
    /// The set of that name, as a configuration names it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gb18030" => Self::Gb18030,
            "big5" => Self::Big5,
            "euc-kr" => Self::EucKr,
            _ => return None,
        })
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Self::Gb18030 => GBK,
            Self::Big5 => BIG5,
            Self::EucKr => EUC_KR,
        }
    }

    /// The two bytes of a character. A character that the set has at double width and the font at single width is not taken:
    /// columns would not line up.
    pub(crate) fn encode(self, c: char) -> Option<[u8; 2]> {
        if columns(c) != 2 {
            return None;
        }
        let mut utf8 = [0; 4];
        let (bytes, _, unknown) = self.encoding().encode(c.encode_utf8(&mut utf8));
        if unknown { None } else { bytes.as_ref().try_into().ok() }
    }

    /// The character of two bytes, if the set has one there.
    pub(crate) fn decode(self, bytes: [u8; 2]) -> Option<char> {
        let (text, unknown) = self.encoding().decode_without_bom_handling(&bytes);
        let mut chars = text.chars();
        let first = chars.next()?;
        (!unknown && chars.next().is_none()).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_two_bytes_or_none() {
        let check = |set: DoubleByte, c: char, expected: Option<[u8; 2]>| {
            assert_eq!(set.encode(c), expected, "{set:?} {c}");
            if let Some(bytes) = expected {
                assert_eq!(set.decode(bytes), Some(c));
            }
        };
        check(DoubleByte::Gb18030, '茶', Some([0xB2, 0xE8]));
        check(DoubleByte::Gb18030, 'a', None);
        check(DoubleByte::Gb18030, '€', None);
        check(DoubleByte::Gb18030, '\u{1F9CB}', None);
        check(DoubleByte::Big5, '茶', Some([0xAF, 0xF9]));
        check(DoubleByte::EucKr, '차', Some([0xC2, 0xF7]));
        check(DoubleByte::EucKr, '们', None);
        assert_eq!(DoubleByte::Gb18030.decode([0x20, 0x20]), None);
    }
}
