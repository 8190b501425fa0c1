//! Clocks that jump: noticed, and marked for the auditor.
//!
//! While the agent runs, the wall clock is compared with one that nobody can set. At the start there is only the time of
//! the newest event: a clock that stands before it was set back, or has lost its battery. How long the machine was off,
//! nobody can tell.

use std::time::Duration;

use pos_model::Place;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::db::audit::word;
use crate::db::{Noteworthy, Refused};
use crate::readers::Readers;
use crate::telemetry;
use crate::writer::{WriteError, Writer};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A difference that is a jump, in milliseconds. Time servers correct a few seconds at once, which harms nothing; a minute
/// moves a sale into another hour or day.
const JUMP_MS_LEAST: i64 = 60_000;

/// Compares the two clocks.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    wall_ms: i64,
    running: Instant,
}

impl Clocks {
    /// By how much the wall clock has jumped since the last look, in milliseconds; positive if it went ahead. Small
    /// differences add up until they are a jump.
    fn jumped(&mut self, wall_ms: i64, running: Instant) -> Option<i64> {
        let passed = running.saturating_duration_since(self.running).as_millis();
        let expected = self.wall_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        let jump_ms = wall_ms.saturating_sub(expected);
        if jump_ms.unsigned_abs() < JUMP_MS_LEAST.unsigned_abs() {
            return None;
        }
        *self = Self { wall_ms, running };
        Some(jump_ms)
    }
}

/// Watches the clock until the agent ends. `opened` is the opening of this run. The clocks are compared from the call on,
/// not from when the task first runs: what happens between the two is a jump as well.
pub fn run(
    writer: Writer,
    readers: Readers,
    opened: Place,
    shutdown: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let clocks = Clocks { wall_ms: writer.clock().now().utc_ms, running: Instant::now() };
    look_out(clocks, writer, readers, opened, shutdown)
}

async fn look_out(
    mut clocks: Clocks,
    writer: Writer,
    readers: Readers,
    opened: Place,
    mut shutdown: watch::Receiver<bool>,
) {
    match readers.read(move |view| view.recorded_around(opened)).await {
        Ok(Some((before_ms, opened_ms))) if before_ms.saturating_sub(opened_ms) >= JUMP_MS_LEAST => {
            let back_ms = before_ms - opened_ms;
            let detail = format!("at the start the clock stands {} before the newest event", in_words(back_ms));
            mark(&writer, back_ms.saturating_neg(), detail).await;
        }
        Ok(_) => {}
        Err(error) => telemetry::clock_not_compared(&error),
    }
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = shutdown.wait_for(|&ending| ending) => return,
        }
        if let Some(jump_ms) = clocks.jumped(writer.clock().now().utc_ms, Instant::now()) {
            let how = if jump_ms < 0 { "was set back by" } else { "went ahead, or the machine slept, by" };
            mark(&writer, jump_ms, format!("the clock {how} {}", in_words(jump_ms))).await;
        }
    }
}

async fn mark(writer: &Writer, jump_ms: i64, detail: String) {
    let noteworthy = Noteworthy::new(word::CLOCK_JUMPED).about(format!("{jump_ms} ms")).saying(detail);
    let marked: Result<Result<_, Refused>, WriteError> =
        writer.act(move |store, moment| store.mark(moment, noteworthy)).await;
    telemetry::clock_jumped(jump_ms, marked.err().as_ref());
}

fn in_words(ms: i64) -> String {
    let seconds = ms.unsigned_abs() / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_told_from_what_drifts() {
        let start = Instant::now();
        let mut clocks = Clocks { wall_ms: 0, running: start };
        let mut look = |after_s: u64, wall_s: i64| {
            clocks.jumped(wall_s * 1000, start + Duration::from_secs(after_s)).map(|ms| ms / 1000)
        };
        assert_eq!(look(5, 5), None);
        assert_eq!(look(10, 69), None, "59 seconds ahead");
        assert_eq!(look(15, 75), Some(60), "a minute, in two steps");
        assert_eq!(look(20, 80), None, "it is compared with the clock as it is since");
        assert_eq!(look(25, -7115), Some(-7200));
        assert_eq!(look(30, i64::MAX / 1000), Some(i64::MAX / 1000), "it stops at the end of the scale");
    }

    #[test]
    fn words() {
        assert_eq!(in_words(60_000), "1 min");
        assert_eq!(in_words(-7_261_999), "2 h 1 min 1 s");
        assert_eq!(in_words(90_000_000), "1 d 1 h");
    }
}
