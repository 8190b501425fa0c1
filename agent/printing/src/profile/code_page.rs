//! Code pages: which letter stands at the bytes from 128 to 255.

/// The letters beyond ASCII that a printer has. The number is that of `ESC t` in the tables of Epson, which nearly every maker
/// took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePage {
    /// None: the printer's page is unknown, or not one of these.
    Ascii,
    /// The first PC: some Western letters, boxes.
    Cp437,
    /// Western Europe.
    Cp850,
    /// Central Europe.
    Cp852,
    /// Western Europe with the euro sign.
    Cp858,
    /// Cyrillic.
    Cp866,
    /// Western Europe as Windows has it.
    Windows1252,
}

const CP437: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ",
    "áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}",
);
const CP850: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒ",
    "áíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐",
    "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀",
    "ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■\u{A0}",
);
const CP852: &str = concat!(
    "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×č",
    "áíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐",
    "└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀",
    "ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{AD}˝˛ˇ˘§÷¸°¨˙űŘř■\u{A0}",
);
const CP858: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒ",
    "áíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐",
    "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈ€ÍÎÏ┘┌█▄¦Ì▀",
    "ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■\u{A0}",
);
const CP866: &str = concat!(
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "абвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■\u{A0}",
);
const WINDOWS_1252: &str = concat!(
    "€\u{FFFD}‚ƒ„…†‡ˆ‰Š‹Œ\u{FFFD}Ž\u{FFFD}\u{FFFD}‘’“”•–—˜™š›œ\u{FFFD}žŸ",
    "\u{A0}¡¢£¤¥¦§¨©ª«¬\u{AD}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß",
    "àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
);

/// Stands where a page has nothing.
const NOTHING: char = '\u{FFFD}';

impl CodePage {
    /// The page of that name, as a configuration names it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::Ascii,
            "cp437" => Self::Cp437,
            "cp850" => Self::Cp850,
            "cp852" => Self::Cp852,
            "cp858" => Self::Cp858,
            "cp866" => Self::Cp866,
            "windows-1252" => Self::Windows1252,
            _ => return None,
        })
    }

    /// The number after `ESC t`; none if the page need not be chosen.
    pub(crate) fn number(self) -> Option<u8> {
        match self {
            Self::Ascii => None,
            Self::Cp437 => Some(0),
            Self::Cp850 => Some(2),
            Self::Windows1252 => Some(16),
            Self::Cp866 => Some(17),
            Self::Cp852 => Some(18),
            Self::Cp858 => Some(19),
        }
    }

    /// The page of that number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        let all = [Self::Cp437, Self::Cp850, Self::Cp852, Self::Cp858, Self::Cp866, Self::Windows1252];
        all.into_iter().find(|page| page.number() == Some(number))
    }

    fn upper(self) -> &'static str {
        match self {
            Self::Ascii => "",
            Self::Cp437 => CP437,
            Self::Cp850 => CP850,
            Self::Cp852 => CP852,
            Self::Cp858 => CP858,
            Self::Cp866 => CP866,
            Self::Windows1252 => WINDOWS_1252,
        }
    }

    /// The byte of a character, if the page has it.
    pub(crate) fn encode(self, c: char) -> Option<u8> {
        if matches!(c, ' '..='~') {
            return u8::try_from(c).ok();
        }
        let at = self.upper().chars().position(|known| known == c && c != NOTHING)?;
        u8::try_from(at).ok()?.checked_add(128)
    }

    /// The character of a byte, if the page has one there.
    pub(crate) fn decode(self, byte: u8) -> Option<char> {
        match byte {
            b' '..=b'~' => Some(char::from(byte)),
            128.. => self.upper().chars().nth(usize::from(byte - 128)).filter(|&c| c != NOTHING),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_the_bytes_that_the_tables_give() {
        let check =
            |page: CodePage, c: char, expected: Option<u8>| assert_eq!(page.encode(c), expected, "{page:?} {c}");
        check(CodePage::Ascii, 'A', Some(0x41));
        check(CodePage::Ascii, 'é', None);
        check(CodePage::Cp437, 'é', Some(0x82));
        check(CodePage::Cp437, '¥', Some(0x9D));
        check(CodePage::Cp437, '€', None);
        check(CodePage::Cp850, 'ı', Some(0xD5));
        check(CodePage::Cp858, '€', Some(0xD5));
        check(CodePage::Cp852, 'ł', Some(0x88));
        check(CodePage::Cp866, 'я', Some(0xEF));
        check(CodePage::Windows1252, '€', Some(0x80));
        check(CodePage::Windows1252, '\u{FFFD}', None);
        check(CodePage::Cp858, '茶', None);
        check(CodePage::Cp858, '\u{1b}', None);
    }

    #[test]
    fn every_byte_of_every_page_comes_back() {
        for number in 0..=u8::MAX {
            let Some(page) = CodePage::numbered(number) else { continue };
            assert_eq!(page.upper().chars().count(), 128, "{page:?}");
            for byte in 32..=u8::MAX {
                let Some(c) = page.decode(byte) else { continue };
                assert_eq!(page.encode(c), Some(byte), "{page:?} {byte:#x}");
            }
        }
    }
}
