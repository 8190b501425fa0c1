//! Time and chance, which the inner layers get as arguments.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pos_model::{Epoch, EventId, Stamp};

/// A wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z, as the machine believes.
    fn utc_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn utc_ms(&self) -> i64 {
        // A clock before 1970 is a battery that has gone; the sale is recorded all the same.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::wrapping_neg),
        }
    }
}

/// A clock and the store's time zone.
#[derive(Clone)]
pub struct StoreClock {
    clock: Arc<dyn Clock>,
    zone: TimeZone,
}

impl StoreClock {
    /// Joins the two.
    pub fn new(clock: Arc<dyn Clock>, zone: TimeZone) -> Self {
        Self { clock, zone }
    }

    /// The moment, with the store's offset at that moment.
    pub fn now(&self) -> Stamp {
        let utc_ms = self.clock.utc_ms();
        // A clock outside of jiff's calendar (years -9999 to 9999) has no offset worth knowing.
        let offset_s = Timestamp::from_millisecond(utc_ms).map_or(0, |moment| self.zone.to_offset(moment).seconds());
        Stamp { utc_ms, offset_s }
    }
}

impl fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreClock").field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("get random bytes from the system: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Bytes that nobody can guess.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut random = [0; N];
    getrandom::fill(&mut random).map_err(NoRandomness)?;
    Ok(random)
}

/// A number that nobody can guess.
pub fn random_u64() -> Result<u64, NoRandomness> {
    getrandom::u64().map_err(NoRandomness)
}

/// A new epoch.
pub fn random_epoch() -> Result<Epoch, NoRandomness> {
    random_u64().map(Epoch::new)
}

/// A new event id: a UUID of version 7.
pub fn random_event_id(utc_ms: i64) -> Result<EventId, NoRandomness> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(NoRandomness)?;
    let millis = u64::try_from(utc_ms).unwrap_or(0);
    Ok(EventId::new(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(i64);

    impl Clock for Fixed {
        fn utc_ms(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn the_offset_is_that_of_the_moment() {
        #[track_caller]
        fn check(zone: &str, utc: &str, offset_h: i32) {
            let utc_ms = utc.parse::<Timestamp>().expect("valid").as_millisecond();
            let zone = TimeZone::get(zone).expect("a zone");
            let stamp = StoreClock::new(Arc::new(Fixed(utc_ms)), zone).now();
            assert_eq!(stamp, Stamp { utc_ms, offset_s: offset_h * 3600 });
        }
        check("Asia/Shanghai", "2026-03-01T00:00:00Z", 8);
        check("America/New_York", "2026-03-08T06:59:59Z", -5);
        check("America/New_York", "2026-03-08T07:00:00Z", -4);
        check("UTC", "1969-12-31T23:59:59Z", 0);
    }

    #[test]
    fn an_absurd_clock_is_no_reason_to_fail() {
        for utc_ms in [i64::MIN, i64::MAX] {
            let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
            assert_eq!(StoreClock::new(Arc::new(Fixed(utc_ms)), zone).now(), Stamp { utc_ms, offset_s: 0 });
        }
    }

    #[test]
    fn event_ids_are_of_version_7_and_differ() {
        let (a, b) = (random_event_id(1_772_445_600_000).expect("random"), random_event_id(-1).expect("random"));
        assert_eq!(a.uuid().get_version_num(), 7);
        assert!(b.to_string().starts_with("00000000-0000-7"), "{b}");
        assert_ne!(a, random_event_id(1_772_445_600_000).expect("random"));
    }
}
