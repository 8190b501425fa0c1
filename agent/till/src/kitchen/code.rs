//! The short form of a cup's id, for its QR code.

use std::fmt;
use std::str::FromStr;

use pos_model::CupId;
use uuid::Uuid;

/// The first 60 bits of a cup's id, as twelve letters and digits.
///
/// A scanner reads them in the QR code's smallest alphabet, and a person can key them: there is no I, L, O or U. Of the
/// 60 bits 56 differ from cup to cup, so that among a million cups two of one code are a chance of less than one in a
/// hundred thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CupCode(u64);

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const CHARS: u32 = 12;

const BITS: u32 = 5 * CHARS;

/// The text is no code of a cup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cup's code has {CHARS} letters and digits, without I, L, O and U")]
pub struct NoCupCode;

impl CupCode {
    /// The code of a cup.
    pub fn of(cup: CupId) -> Self {
        let (high, _) = cup.uuid().as_u64_pair();
        Self(high >> (u64::BITS - BITS))
    }

    /// The first and the last id that have this code.
    pub fn range(self) -> (CupId, CupId) {
        let high = self.0 << (u64::BITS - BITS);
        let rest = (1 << (u64::BITS - BITS)) - 1;
        let id = |high, low| CupId::new(Uuid::from_u64_pair(high, low));
        (id(high, 0), id(high | rest, u64::MAX))
    }
}

impl fmt::Display for CupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..CHARS).rev().try_for_each(|place| {
            let digit = (self.0 >> (5 * place)) & 31;
            let at = usize::try_from(digit).expect("five bits fit");
            write!(f, "{}", char::from(ALPHABET[at]))
        })
    }
}

impl FromStr for CupCode {
    type Err = NoCupCode;

    fn from_str(text: &str) -> Result<Self, NoCupCode> {
        if text.len() != 12 {
            return Err(NoCupCode);
        }
        let digit = |byte: u8| ALPHABET.iter().position(|&letter| letter == byte.to_ascii_uppercase());
        text.bytes()
            .try_fold(0u64, |code, byte| Some((code << 5) | u64::try_from(digit(byte)?).ok()?))
            .map(Self)
            .ok_or(NoCupCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_leads_back_to_its_cup() {
        for high in [0, u64::MAX, 0x0123_4567_89ab_8def, 0xfedc_ba98_7654_8321] {
            let cup = CupId::new(Uuid::from_u64_pair(high, 0x8000_0000_0000_0005));
            let code = CupCode::of(cup);
            let (first, last) = code.range();
            assert!(first <= cup && cup <= last, "{cup}");
            assert_eq!((CupCode::of(first), CupCode::of(last)), (code, code));
            assert_eq!(code.to_string().parse(), Ok(code));
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(code));
        }
    }

    #[test]
    fn a_code_is_written_in_one_way() {
        let cup = CupId::new(Uuid::from_u64_pair(0x0123_4567_89ab_cdef, 0));
        assert_eq!(CupCode::of(cup).to_string(), "04HMASW9NF6Y");
        for text in ["", "04HMASW9NF6", "04HMASW9NF6YY", "04HMASW9NFIY", "\u{8336}\u{8336}\u{8336}\u{8336}"] {
            assert_eq!(text.parse::<CupCode>(), Err(NoCupCode), "{text}");
        }
    }
}
