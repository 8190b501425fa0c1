//! The day to which a sale belongs.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{InvalidId, Stamp};

/// The hour and minute at which a store's business day turns over, as minutes after local midnight (0 to 1439).
/// A shop that closes at two in the night sets it to, say, four o'clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayCutOff(u16);

impl DayCutOff {
    /// Parses minutes after midnight; `None` from 1440 on.
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes < 1440 { Some(Self(minutes)) } else { None }
    }

    /// Minutes after local midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// The day to which a sale belongs: the date of local time minus the cut-off. Its text is `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDate(Date);

const MS_PER_DAY: i64 = 86_400_000;

impl BusinessDate {
    /// The business date of a moment. A clock outside the years -9999 to 9999 is held at the nearest end:
    /// a sale is kept whatever the clock says.
    pub fn of(stamp: Stamp, cut_off: DayCutOff) -> Self {
        let shifted_ms = stamp.local_ms().saturating_sub(i64::from(cut_off.0) * 60_000);
        Self::from_days(shifted_ms.div_euclid(MS_PER_DAY))
    }

    /// The date that lies `days` after 1970-01-01, held at the ends of the calendar.
    pub fn from_days(days: i64) -> Self {
        let epoch = Date::constant(1970, 1, 1);
        let span = jiff::Span::new().try_days(days);
        match span.and_then(|span| epoch.checked_add(span)) {
            Ok(date) => Self(date),
            Err(_) if days < 0 => Self(Date::MIN),
            Err(_) => Self(Date::MAX),
        }
    }

    /// How many days after 1970-01-01 it lies: the form in which databases hold it.
    pub fn days(self) -> i32 {
        let epoch = Date::constant(1970, 1, 1);
        epoch.until(self.0).expect("any two dates differ by a span of days").get_days()
    }
}

impl fmt::Display for BusinessDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BusinessDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusinessDate({self})")
    }
}

impl FromStr for BusinessDate {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // jiff would also take a date with a time behind it; this text is a key, so it has one form.
        let well_formed = text.len() == 10 && text.as_bytes()[4] == b'-';
        well_formed.then(|| text.parse().ok().map(Self)).flatten().ok_or_else(|| InvalidId::date(text))
    }
}

impl Serialize for BusinessDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BusinessDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a UTC date and time.
    fn utc(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("valid").as_millisecond()
    }

    #[test]
    fn cut_off() {
        #[track_caller]
        fn check(moment: &str, offset_h: i32, cut_off_h: u16, date: &str) {
            let stamp = Stamp { utc_ms: utc(moment), offset_s: offset_h * 3600 };
            let cut_off = DayCutOff::from_minutes(cut_off_h * 60).expect("valid");
            assert_eq!(BusinessDate::of(stamp, cut_off).to_string(), date);
        }
        check("2026-03-01T23:59:59Z", 0, 0, "2026-03-01");
        check("2026-03-02T00:00:00Z", 0, 0, "2026-03-02");
        check("2026-03-02T00:01:00Z", 0, 4, "2026-03-01");
        check("2026-03-02T03:59:59.999Z", 0, 4, "2026-03-01");
        check("2026-03-02T04:00:00Z", 0, 4, "2026-03-02");
        // Shanghai: 18:30 UTC is half past two on the next morning.
        check("2026-03-01T18:30:00Z", 8, 4, "2026-03-01");
        check("2026-03-01T20:00:00Z", 8, 4, "2026-03-02");
        // New York before and after the night of 8 March 2026, on which the clock jumps from 2 to 3.
        check("2026-03-08T06:59:00Z", -5, 4, "2026-03-07");
        check("2026-03-08T07:59:00Z", -4, 4, "2026-03-07");
        check("2026-03-08T08:00:00Z", -4, 4, "2026-03-08");
        check("1969-12-31T23:00:00Z", 0, 0, "1969-12-31");
    }

    #[test]
    fn absurd_clocks_are_held() {
        let at = |utc_ms| BusinessDate::of(Stamp { utc_ms, offset_s: i32::MAX }, DayCutOff::default()).to_string();
        assert_eq!(at(i64::MAX), "9999-12-31");
        assert_eq!(at(i64::MIN), "-009999-01-01");
    }

    #[test]
    fn text() {
        assert_eq!("2019-04-01".parse::<BusinessDate>().expect("valid").days(), 17_987);
        for text in ["2019-4-1", "20190401", "2019-02-30", "2019-04-01T00", "", "\u{20ac}\u{20ac}\u{20ac}a"] {
            assert!(text.parse::<BusinessDate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn days_round_trip() {
        for days in [-800_000, -1, 0, 1, 17_987, 2_000_000] {
            assert_eq!(i64::from(BusinessDate::from_days(days).days()), days);
        }
    }
}
