//! Quantities as integers with a fixed scale of a millionth.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What can go wrong with a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text has another form than sign, digits, point and at most six decimals.
    #[error("{0:?} is not a quantity with at most six decimals")]
    Format(String),
    /// The result does not fit in 64 bits.
    #[error("the quantity does not fit in 64 bits")]
    Overflow,
}

/// A quantity of one unit of measure, in millionths of that unit. May be negative (a correction).
/// On the wire it is the number of millionths; its text is a decimal without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(i64);

impl Quantity {
    /// How many parts make one unit.
    pub const MICRO_PER_UNIT: i64 = 1_000_000;
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One unit.
    pub const ONE: Self = Self(Self::MICRO_PER_UNIT);

    const DECIMALS: u8 = 6;

    /// A quantity of whole units.
    pub fn from_units(units: i64) -> Result<Self, QuantityError> {
        units.checked_mul(Self::MICRO_PER_UNIT).map(Self).ok_or(QuantityError::Overflow)
    }

    /// A quantity of millionths.
    pub const fn from_micro(micro: i64) -> Self {
        Self(micro)
    }

    /// The quantity in millionths.
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// The number of whole units, if there is no rest.
    pub const fn whole_units(self) -> Option<i64> {
        if self.0 % Self::MICRO_PER_UNIT == 0 { Some(self.0 / Self::MICRO_PER_UNIT) } else { None }
    }

    /// The sum, or [`QuantityError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, QuantityError> {
        self.0.checked_add(other.0).map(Self).ok_or(QuantityError::Overflow)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse_decimal(text, Self::DECIMALS).map(Self).map_err(|problem| match problem {
            DecimalProblem::Overflow => QuantityError::Overflow,
            DecimalProblem::Format => QuantityError::Format(text.chars().take(40).collect()),
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FixedPoint { value: self.0, decimals: Self::DECIMALS, trim: true }.fmt(f)
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

pub(crate) enum DecimalProblem {
    Format,
    Overflow,
}

/// Parses `[-]digits[.digits]` into an integer scaled by ten to the power of `decimals`. More decimals are refused
/// rather than rounded: whoever has them must choose a rounding.
pub(crate) fn parse_decimal(text: &str, decimals: u8) -> Result<i64, DecimalProblem> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(DecimalProblem::Format),
        None => (unsigned, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > usize::from(decimals) {
        return Err(DecimalProblem::Format);
    }
    let zeros = usize::from(decimals) - fraction.len();
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', zeros));
    // Counting down from zero reaches i64::MIN, which has no positive twin.
    let mut value: i64 = 0;
    for digit in digits {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_sub(i64::from(digit - b'0')))
            .ok_or(DecimalProblem::Overflow)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(DecimalProblem::Overflow) }
}

/// Writes a scaled integer as a decimal.
pub(crate) struct FixedPoint {
    pub(crate) value: i64,
    pub(crate) decimals: u8,
    /// Leave trailing zeros of the fraction out.
    pub(crate) trim: bool,
}

impl fmt::Display for FixedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10u64.pow(u32::from(self.decimals));
        let magnitude = self.value.unsigned_abs();
        let sign = if self.value < 0 { "-" } else { "" };
        let (whole, fraction) = (magnitude / scale, magnitude % scale);
        let width = usize::from(self.decimals);
        if width == 0 || (self.trim && fraction == 0) {
            return f.pad(&format!("{sign}{whole}"));
        }
        let text = format!("{sign}{whole}.{fraction:0width$}");
        f.pad(if self.trim { text.trim_end_matches('0') } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text() {
        #[track_caller]
        fn check(text: &str, micro: Option<i64>) {
            assert_eq!(text.parse::<Quantity>().ok().map(Quantity::micro), micro, "{text:?}");
        }
        check("1", Some(1_000_000));
        check("0.25", Some(250_000));
        check("-0.000001", Some(-1));
        check("0.0000001", None);
        check("abc", None);
        check("9223372036854.775807", Some(i64::MAX));
        check("9223372036854.775808", None);
    }

    #[test]
    fn whole_units() {
        assert_eq!(Quantity::from_units(3).expect("small").whole_units(), Some(3));
        assert_eq!(Quantity::from_micro(1).whole_units(), None);
        assert!(Quantity::from_units(i64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn text_round_trips(micro: i64) {
            let quantity = Quantity::from_micro(micro);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }
    }
}
