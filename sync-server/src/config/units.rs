//! Durations and sizes as text with their unit.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration: `500ms`, `30s`, `10m`, `24h`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(Duration);

/// A size in memory: `512B`, `64KiB`, `64MiB`, `2GiB`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByteSize(u64);

impl Span {
    pub(super) fn positive(self) -> Result<Duration, String> {
        if self.0.is_zero() { Err("is zero".to_owned()) } else { Ok(self.0) }
    }

    pub(super) fn millis(self) -> Result<u32, String> {
        u32::try_from(self.0.as_millis()).map_err(|_| "is too long".to_owned())
    }

    /// Limits of whole seconds.
    pub(super) fn between(self, least: Duration, most: Duration) -> Result<Duration, String> {
        if self.0 < least || self.0 > most {
            return Err(format!("is not between {}s and {}s", least.as_secs(), most.as_secs()));
        }
        Ok(self.0)
    }

    /// Seconds that MQTT can say.
    pub(super) fn keep_alive(self) -> Result<u16, String> {
        let seconds = u16::try_from(self.0.as_secs()).ok().filter(|seconds| *seconds > 0);
        seconds.ok_or_else(|| "is not between 1s and 65535s".to_owned())
    }
}

impl ByteSize {
    pub(super) fn at_least(self, least: usize) -> Result<usize, String> {
        match usize::try_from(self.0) {
            Ok(bytes) if bytes >= least => Ok(bytes),
            Ok(_) => Err(format!("is below {least} bytes")),
            Err(_) => Err("is too large".to_owned()),
        }
    }

    pub(super) fn kib(self) -> Result<u32, String> {
        match u32::try_from(self.0 / 1024) {
            Ok(kib) if kib > 0 => Ok(kib),
            _ => Err("is not between 1KiB and 4095GiB".to_owned()),
        }
    }
}

/// Splits `64MiB` into 64 and the factor of its unit.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ms = parse(&text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]);
        let ms = ms.ok_or_else(|| de::Error::custom(format!("{text:?} is not a duration such as \"30s\"")))?;
        Ok(Self(Duration::from_millis(ms)))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = parse(&text, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]);
        bytes.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is not a size such as \"64MiB\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units() {
        let check = |text: &str, expected| assert_eq!(parse(text, &[("s", 1000), ("ms", 1)]), expected, "{text:?}");
        check("30s", Some(30_000));
        check("30 s", Some(30_000));
        check("5ms", Some(5));
        check("30", None);
        check("s", None);
        check("-1s", None);
        check("1.5s", None);
        check("30S", None);
        check("", None);
        check("99999999999999999999s", None);
        check("9999999999999999999s", None);
    }
}
