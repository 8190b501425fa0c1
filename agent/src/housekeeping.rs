//! What happens beside the selling: letting old events go, emptying the log when nobody sells, and reminding of shifts that
//! nobody has closed.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::telemetry;
use crate::writer::{WriteError, Writer};

/// Between two looks at whether anybody sells.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Between two notes of the running time. What a crash forgets of it keeps events longer, which is the safe side.
const NOTE_EVERY: Duration = Duration::from_mins(10);

/// Rows that go at once: a few milliseconds in which no sale is committed.
const TRIM_ROWS: u32 = 200;

/// Between two steps of trimming, so that sales come first.
const TRIM_PAUSE: Duration = Duration::from_millis(50);

/// Runs until the agent ends.
pub async fn run(writer: Writer, retention_ms: i64, mut shutdown: watch::Receiver<bool>) {
    let (noted_at, reminded_at) = (Instant::now(), None);
    let mut house = Housekeeping { writer, retention_ms, noted_at, reminded_at, checkpointed: 0, last_look: 0 };
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = shutdown.wait_for(|&ending| ending) => break,
        }
        house.empty_log_when_idle().await;
        if house.reminded_at.is_none_or(|at| at.elapsed() >= NOTE_EVERY) {
            house.remind_of_shifts().await;
        }
        if house.noted_at.elapsed() >= NOTE_EVERY {
            house.note_and_trim(&mut shutdown).await;
        }
    }
    let elapsed = house.elapsed_ms();
    house.note(elapsed).await;
}

struct Housekeeping {
    writer: Writer,
    retention_ms: i64,
    noted_at: Instant,
    reminded_at: Option<Instant>,
    /// The count of commits at the last emptying, and at the last look.
    checkpointed: u64,
    last_look: u64,
}

impl Housekeeping {
    async fn empty_log_when_idle(&mut self) {
        let commits = *self.writer.commits().borrow();
        let idle = commits == self.last_look;
        self.last_look = commits;
        if idle && commits != self.checkpointed {
            match self.writer.checkpoint().await {
                Ok(()) => self.checkpointed = commits,
                Err(WriteError::Closed) => {}
                Err(error) => telemetry::checkpoint_failed(&error),
            }
        }
    }

    async fn note_and_trim(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let elapsed = self.elapsed_ms();
        self.noted_at = Instant::now();
        self.note(elapsed).await;
        let mut gone = 0;
        while !*shutdown.borrow() {
            match self.writer.trim(self.retention_ms, TRIM_ROWS).await {
                Ok(0) => break,
                Ok(rows) => gone += rows,
                Err(error) => {
                    telemetry::housekeeping_failed(&error);
                    break;
                }
            }
            tokio::time::sleep(TRIM_PAUSE).await;
        }
        if gone > 0 {
            telemetry::trimmed(gone);
        }
    }

    async fn remind_of_shifts(&mut self) {
        self.reminded_at = Some(Instant::now());
        if let Err(error) = self.writer.remind_of_shifts().await {
            telemetry::housekeeping_failed(&error);
        }
    }

    async fn note(&self, elapsed_ms: i64) {
        if let Err(error) = self.writer.note_running(elapsed_ms).await {
            telemetry::housekeeping_failed(&error);
        }
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.noted_at.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
