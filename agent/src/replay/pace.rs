//! When each sale is due.

use std::str::FromStr;
use std::time::Duration;

use pos_model::Quantity;

/// How fast to sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// As fast as the agent answers.
    Max,
    /// As it was recorded, so many times faster. More than zero.
    Times(Quantity),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<Quantity>() {
            Ok(times) if times > Quantity::ZERO => Ok(Self::Times(times)),
            _ => Err("is neither `max` nor a number above zero, such as 60".to_owned()),
        }
    }
}

/// When each sale is due, counted from the first. No wait between two sales is longer than `gap_max`, so that a replay
/// does not sit through the nights.
pub(super) fn due(sold_at_ms: impl IntoIterator<Item = i64>, speed: Speed, gap_max: Option<Duration>) -> Vec<Duration> {
    let mut last = None;
    let mut at = Duration::ZERO;
    let mut due = Vec::new();
    for sold_at in sold_at_ms {
        let recorded = sold_at.saturating_sub(last.unwrap_or(sold_at)).max(0);
        last = Some(sold_at);
        let gap = scaled(recorded, speed);
        at = at.saturating_add(gap_max.map_or(gap, |max| gap.min(max)));
        due.push(at);
    }
    due
}

fn scaled(recorded_ms: i64, speed: Speed) -> Duration {
    let Speed::Times(times) = speed else { return Duration::ZERO };
    // Microseconds by millionths: the scale of the quantity and of the duration cancel out in two steps.
    let micros = i128::from(recorded_ms) * 1_000 * i128::from(Quantity::MICRO_PER_UNIT) / i128::from(times.micro());
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse(), Ok(Speed::Times(Quantity::from_units(60).expect("small"))));
        for text in ["0", "-1", "", "fast", "1e3"] {
            assert!(text.parse::<Speed>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn due_times() {
        #[track_caller]
        fn check(speed: &str, gap_max_ms: Option<u64>, due_ms: &[u64]) {
            let sold_at = [1_000, 61_000, 61_000, 3_661_000, 3_600_000];
            let speed = speed.parse().expect("a speed");
            let expected: Vec<Duration> = due_ms.iter().copied().map(Duration::from_millis).collect();
            assert_eq!(due(sold_at, speed, gap_max_ms.map(Duration::from_millis)), expected);
        }
        check("max", None, &[0, 0, 0, 0, 0]);
        check("1", None, &[0, 60_000, 60_000, 3_660_000, 3_660_000]);
        check("60", None, &[0, 1_000, 1_000, 61_000, 61_000]);
        check("0.5", None, &[0, 120_000, 120_000, 7_320_000, 7_320_000]);
        check("60", Some(5_000), &[0, 1_000, 1_000, 6_000, 6_000]);
        let far = due([i64::MIN, i64::MAX], Speed::Times(Quantity::from_micro(1)), None);
        assert!(far[1] > Duration::from_secs(1_000_000));
    }
}
