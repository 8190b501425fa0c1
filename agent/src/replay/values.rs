//! Text of a cell becomes a value: money, quantity, a moment, chosen options.

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use pos_model::{Currency, Money, MoneyError, Quantity, QuantityError, Stamp};
use serde::Deserialize;

/// How amounts are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoneyFormat {
    /// The currency, which sets the number of decimals.
    pub(super) currency: Currency,
    /// A sign before or behind the number, such as `$`; nothing if there is none.
    #[serde(default)]
    pub(super) symbol: String,
    /// Between whole and fraction.
    #[serde(default = "point")]
    pub(super) decimal_point: char,
    /// Between groups of digits, such as `,` in `1,234.50`.
    #[serde(default)]
    pub(super) thousands: Option<char>,
}

fn point() -> char {
    '.'
}

impl MoneyFormat {
    /// Parses an amount such as `$1,234.50 ` or `-3.5`.
    pub(super) fn parse(&self, text: &str) -> Result<Money, MoneyError> {
        let number = text.trim();
        let (negative, number) = strip_minus(number);
        let number = number.strip_prefix(self.symbol.as_str()).unwrap_or(number);
        let number = number.strip_suffix(self.symbol.as_str()).unwrap_or(number).trim();
        // A minus stands before the sign of the currency or behind it, not in both places.
        let (negative, number) = if negative { (true, number) } else { strip_minus(number) };
        let plain = self.plain(number);
        let signed = if negative { format!("-{plain}") } else { plain };
        Money::parse(&signed, self.currency.decimals()).map_err(|error| match error {
            MoneyError::Format { decimals, .. } => {
                MoneyError::Format { text: text.trim().chars().take(40).collect(), decimals }
            }
            other => other,
        })
    }

    /// Parses a quantity written with the same point.
    pub(super) fn parse_quantity(&self, text: &str) -> Result<Quantity, QuantityError> {
        self.plain(text.trim()).parse()
    }

    fn plain(&self, number: &str) -> String {
        number
            .chars()
            .filter(|&c| Some(c) != self.thousands)
            // A point that is not the decimal point stays in the way on purpose: `1.234` is no amount where it is a comma.
            .map(|c| match c {
                c if c == self.decimal_point => '.',
                '.' => '\'',
                c => c,
            })
            .collect()
    }
}

fn strip_minus(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    }
}

/// How the moment of an order is written: columns joined by one blank, read by one format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeFormat {
    /// In the form of `strftime`.
    pub(super) format: String,
    /// The zone in which local times are meant.
    pub(super) zone: TimeZone,
}

impl TimeFormat {
    /// Parses a moment. A local time that a clock change skips or doubles is read as most calendars read it: later if
    /// skipped, the earlier one if doubled.
    pub(super) fn parse(&self, text: &str) -> Result<Stamp, jiff::Error> {
        let parts = BrokenDownTime::parse(&self.format, text)?;
        if parts.offset().is_some() {
            return Ok(stamp(&parts.to_timestamp()?.to_zoned(self.zone.clone())));
        }
        Ok(stamp(&parts.to_datetime()?.to_zoned(self.zone.clone())?))
    }
}

/// A moment with its zone, as the product writes it.
pub(super) fn stamp(zoned: &jiff::Zoned) -> Stamp {
    Stamp { utc_ms: zoned.timestamp().as_millisecond(), offset_s: zoned.offset().seconds() }
}

/// How chosen options are written in one cell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptionsFormat {
    /// The column.
    pub(super) column: String,
    /// Between two options.
    #[serde(default = "comma")]
    pub(super) separator: char,
    /// Opens a group; groups may nest, and are read as one flat list.
    #[serde(default = "opening")]
    pub(super) open: char,
    /// Closes it.
    #[serde(default = "closing")]
    pub(super) close: char,
    /// Texts that mean no options.
    #[serde(default)]
    pub(super) none: Vec<String>,
}

fn comma() -> char {
    ','
}
fn opening() -> char {
    '['
}
fn closing() -> char {
    ']'
}

/// Brackets that do not pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the brackets around the options do not pair")]
pub(super) struct UnpairedBrackets;

impl OptionsFormat {
    /// Splits `[a, [b, c]]` into `a`, `b`, `c`.
    pub(super) fn parse<'a>(&self, text: &'a str) -> Result<Vec<&'a str>, UnpairedBrackets> {
        let text = text.trim();
        if self.none.iter().any(|none| none == text) {
            return Ok(Vec::new());
        }
        let mut depth = 0usize;
        let mut options = Vec::new();
        for piece in text.split_inclusive([self.separator, self.open, self.close]) {
            let ends_with = |c: char| piece.ends_with(c);
            options.push(piece.trim_end_matches([self.separator, self.open, self.close]).trim());
            if ends_with(self.open) {
                depth += 1;
            } else if ends_with(self.close) {
                depth = depth.checked_sub(1).ok_or(UnpairedBrackets)?;
            }
        }
        options.retain(|option| !option.is_empty());
        if depth == 0 { Ok(options) } else { Err(UnpairedBrackets) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(currency: &str, symbol: &str, decimal_point: char, thousands: Option<char>) -> MoneyFormat {
        MoneyFormat { currency: currency.parse().expect("valid"), symbol: symbol.to_owned(), decimal_point, thousands }
    }

    #[test]
    fn amounts() {
        #[track_caller]
        fn check(format: &MoneyFormat, text: &str, minor: Option<i64>) {
            assert_eq!(format.parse(text).ok().map(Money::minor), minor, "{text:?}");
        }
        let usd = format("USD", "$", '.', Some(','));
        check(&usd, "$18.00 ", Some(1800));
        check(&usd, "2.5", Some(250));
        check(&usd, "1,234.50", Some(123_450));
        check(&usd, "-$3.50", Some(-350));
        check(&usd, "$-3.50", Some(-350));
        check(&usd, "$ 3", Some(300));
        check(&usd, "3.505", None);
        check(&usd, "--3", None);
        check(&usd, "-$-3", None);
        check(&usd, "", None);
        check(&usd, "$", None);
        check(&usd, "free", None);
        let eur = format("EUR", "\u{20ac}", ',', Some('.'));
        check(&eur, "1.234,50 \u{20ac}", Some(123_450));
        check(&format("EUR", "", ',', None), "1.234", None);
        check(&format("JPY", "", '.', None), "350", Some(350));
        check(&format("JPY", "", '.', None), "3.50", None);
        check(&format("USD", "", '.', None), "$1", None);
    }

    #[test]
    fn moments() {
        #[track_caller]
        fn check(zone: &str, format: &str, text: &str, expected: Option<(&str, i32)>) {
            let zone = TimeZone::get(zone).expect("known");
            let read = TimeFormat { format: format.to_owned(), zone }.parse(text).ok();
            let expected = expected.map(|(utc, offset_s)| {
                let utc: jiff::Timestamp = utc.parse().expect("valid");
                Stamp { utc_ms: utc.as_millisecond(), offset_s }
            });
            assert_eq!(read, expected, "{text}");
        }
        let seconds = "%Y-%m-%d %H:%M:%S";
        check("America/New_York", seconds, "2019-04-01 12:04:43", Some(("2019-04-01T16:04:43Z", -14_400)));
        check("Europe/London", seconds, "2016-10-30 00:59:59", Some(("2016-10-29T23:59:59Z", 3_600)));
        // Doubled by the end of summer time, and skipped by its beginning.
        check("Europe/London", seconds, "2016-10-30 01:30:00", Some(("2016-10-30T00:30:00Z", 3_600)));
        check("Europe/London", seconds, "2017-03-26 01:30:00", Some(("2017-03-26T01:30:00Z", 3_600)));
        check("Asia/Shanghai", "%m/%d/%Y", "4/1/2019", Some(("2019-03-31T16:00:00Z", 28_800)));
        check("UTC", "%Y-%m-%dT%H:%M:%S%z", "2019-04-01T12:00:00+0200", Some(("2019-04-01T10:00:00Z", 0)));
        check("UTC", seconds, "2019-02-30 12:00:00", None);
        check("UTC", seconds, "2019-02-03", None);
        check("UTC", "%H:%M:%S", "12:00:00", None);
        check("UTC", seconds, "", None);
    }

    #[test]
    fn options() {
        #[track_caller]
        fn check(text: &str, options: Option<&[&str]>) {
            let format = OptionsFormat {
                column: String::new(),
                separator: ',',
                open: '[',
                close: ']',
                none: vec!["NULL".to_owned()],
            };
            assert_eq!(format.parse(text).ok().as_deref(), options, "{text:?}");
        }
        check("NULL", Some(&[]));
        check("", Some(&[]));
        check("[Oat milk]", Some(&["Oat milk"]));
        check("half sugar, no ice", Some(&["half sugar", "no ice"]));
        check("[Mild (1), [Rice, Cheese]]", Some(&["Mild (1)", "Rice", "Cheese"]));
        check("[[a, b], [c]]", Some(&["a", "b", "c"]));
        check("[a, [b]", None);
        check("a]", None);
    }
}
