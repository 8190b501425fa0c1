//! Durations as text with their unit.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// The longest time that is taken.
const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A duration as people write it: `500ms`, `30s`, `1m30s`, `2h`, `1d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// In milliseconds.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration such as \"30s\" or \"1m30s\"");
        let (mut rest, mut ms) = (text.trim(), 0u64);
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, behind) = rest.split_at(digits);
            let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
            let (unit, behind) = behind.split_at(letters);
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(wrong()),
            };
            let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)?;
            ms = ms.checked_add(part).ok_or_else(wrong)?;
            rest = behind;
        }
        let span = Duration::from_millis(ms);
        if span > SPAN_MAX { Err(format!("{text:?} is longer than a year")) } else { Ok(Self(span)) }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&span(self.ms()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Milliseconds as people write them.
pub fn span(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = ms;
    let mut text = String::new();
    for (unit, name) in units {
        if rest >= unit {
            let _ = write!(text, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[track_caller]
        fn check(text: &str, ms: Option<u64>) {
            assert_eq!(text.parse::<Span>().ok().map(Span::ms), ms, "{text:?}");
        }
        check("500ms", Some(500));
        check("1m30s", Some(90_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        check("", None);
        check("30", None);
        check("s", None);
        check("1.5s", None);
        check("99999999999999999999s", None);
        for ms in [0, 1, 999, 1_000, 90_500, 86_400_000] {
            assert_eq!(span(ms).parse::<Span>().map(Span::ms), Ok(ms));
        }
    }
}
