//! Amounts of money in minor units. No floating point, and no operation that can overflow silently.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What can go wrong with an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text has another form than the currency's: sign, digits, point, at most the currency's decimals.
    #[error("{text:?} is not an amount with at most {decimals} decimals")]
    Format {
        /// The text, shortened.
        text: String,
        /// How many decimals the currency has.
        decimals: u8,
    },
    /// The result does not fit in 64 bits.
    #[error("the amount does not fit in 64 bits")]
    Overflow,
    /// The text is no currency code.
    #[error("{0:?} is not a currency code of three capital letters")]
    Currency(String),
}

/// An amount in the minor unit of the store's currency: cents, fen, or yen. May be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of minor units.
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// True for less than nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum, or [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The difference, or [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The sum of many, or [`MoneyError::Overflow`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// Parses a decimal such as `12`, `-3.5` or `1234.50` with at most `decimals` digits behind the point.
    pub fn parse(text: &str, decimals: u8) -> Result<Self, MoneyError> {
        crate::quantity::parse_decimal(text, decimals).map(Self).map_err(|problem| match problem {
            crate::quantity::DecimalProblem::Overflow => MoneyError::Overflow,
            crate::quantity::DecimalProblem::Format => {
                MoneyError::Format { text: text.chars().take(40).collect(), decimals }
            }
        })
    }

    /// Writes the amount with the currency's decimals, such as `-3.50`, for people.
    pub fn display(self, currency: Currency) -> impl fmt::Display {
        crate::quantity::FixedPoint { value: self.0, decimals: currency.decimals(), trim: false }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({})", self.0)
    }
}

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Renminbi, with two decimals.
    pub const CNY: Self = Self(*b"CNY");
    /// United States dollar, with two decimals.
    pub const USD: Self = Self(*b"USD");

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three capital letters are UTF-8")
    }

    /// How many decimals the minor unit stands for, after ISO 4217 (list one, amendment 176): none, two or three.
    pub fn decimals(&self) -> u8 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let code: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        code.filter(|code| code.iter().all(u8::is_ascii_uppercase))
            .map(Self)
            .ok_or_else(|| MoneyError::Currency(text.chars().take(8).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_text() {
        #[track_caller]
        fn check(text: &str, decimals: u8, minor: Option<i64>) {
            assert_eq!(Money::parse(text, decimals).ok().map(Money::minor), minor, "{text:?} with {decimals}");
        }
        check("0", 2, Some(0));
        check("2.50", 2, Some(250));
        check("2.5", 2, Some(250));
        check("-0.05", 2, Some(-5));
        check("18", 0, Some(18));
        check("1.234", 3, Some(1234));
        check("2.505", 2, None);
        check("2.500", 2, None);
        check("", 2, None);
        check("-", 2, None);
        check(".5", 2, None);
        check("5.", 2, None);
        check("1e3", 2, None);
        check("1,000", 2, None);
        check(" 1", 2, None);
        check("92233720368547758.07", 2, Some(i64::MAX));
        check("-92233720368547758.08", 2, Some(i64::MIN));
        check("92233720368547758.08", 2, None);
    }

    #[test]
    fn amounts_for_people() {
        #[track_caller]
        fn check(minor: i64, currency: &str, text: &str) {
            let currency = currency.parse::<Currency>().expect("valid");
            assert_eq!(Money::from_minor(minor).display(currency).to_string(), text);
        }
        check(0, "CNY", "0.00");
        check(-5, "CNY", "-0.05");
        check(123_456, "USD", "1234.56");
        check(18, "JPY", "18");
        check(1_234, "KWD", "1.234");
        check(i64::MIN, "USD", "-92233720368547758.08");
    }

    #[test]
    fn sums_do_not_wrap() {
        assert_eq!(Money(i64::MAX).checked_add(Money(1)), Err(MoneyError::Overflow));
        assert_eq!(Money(i64::MIN).checked_sub(Money(1)), Err(MoneyError::Overflow));
        assert_eq!(Money::checked_sum([Money(1), Money(2)]), Ok(Money(3)));
    }

    #[test]
    fn currency_codes() {
        assert!("CNY".parse::<Currency>().is_ok());
        for text in ["", "cny", "EURO", "\u{20ac}"] {
            assert!(text.parse::<Currency>().is_err(), "{text:?}");
        }
    }
}
