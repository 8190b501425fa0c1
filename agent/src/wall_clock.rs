//! A moment as the clock on the store's wall showed it.

use jiff::Timestamp;
use jiff::tz::Offset;
use pos_model::Stamp;

/// Date and time to the minute, such as `2026-03-02 18:00`; nothing if the moment is outside of the calendar.
pub(crate) fn local_time(at: Stamp) -> String {
    let offset = Offset::from_seconds(at.offset_s).unwrap_or(Offset::UTC);
    Timestamp::from_millisecond(at.utc_ms)
        .map(|moment| offset.to_datetime(moment).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_on_the_wall() {
        assert_eq!(local_time(Stamp { utc_ms: 1_772_445_600_000, offset_s: 28_800 }), "2026-03-02 18:00");
        assert_eq!(local_time(Stamp { utc_ms: i64::MAX, offset_s: i32::MAX }), "");
    }
}
