//! Makes the roll-ups, on a thread of its own behind the ledger: it follows the events by their numbers and knows nothing of
//! the ingest. Of several servers on one database one does it, and another goes on when that one is gone.
//!
//! The same thread drops old months, where that is wished: it knows which of them are summed up.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ingest::utc_ms;
use crate::ledger::{LedgerError, LedgerHome, PostgresLedger, Reader, RollUpStep};
use crate::telemetry::Metrics;

/// How often is looked for what was applied.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How soon is tried again after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// After each step the thread rests for so many times as long as the step took, so that catching up takes a small share of
/// the machine and of the writer's time.
const REST: u32 = 3;

/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(2);

/// How often old months are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// The running thread.
#[derive(Debug)]
pub struct RollUpWatch {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What the thread works with.
#[derive(Debug)]
pub struct RollUpParts {
    /// A connection of its own.
    pub books: Box<dyn Reader + Send>,
    /// Where the ledger is.
    pub home: LedgerHome,
    /// How many months are kept behind the present one; 0 keeps all.
    pub keep_months: u32,
    /// A number of this run's own.
    pub worker: i64,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl RollUpWatch {
    /// Starts the thread.
    pub fn start(parts: RollUpParts) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let watcher = Watcher { parts, retained: None };
        let thread = std::thread::Builder::new().name("roll-ups".to_owned()).spawn(move || watcher.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread behind the step that it is in.
    pub fn stop(self) {
        // A full channel says it already, and a thread that is gone needs not be told.
        let _ = self.stop.try_send(());
        let _ = self.thread.join();
    }
}

struct Watcher {
    parts: RollUpParts,
    /// When old months were looked for last.
    retained: Option<Instant>,
}

impl Watcher {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            let began = Instant::now();
            let pause = match self.step() {
                Ok(step) if step.more => (began.elapsed() * REST).min(REST_MAX),
                Ok(_) => LOOK_EVERY,
                Err(error) => {
                    self.parts.metrics.roll_up_failed(&error);
                    TRY_AGAIN
                }
            };
            if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                break;
            }
        }
        // If it cannot be told, the others notice within seconds.
        let _ = self.parts.books.leave_roll_ups(self.parts.worker);
    }

    fn step(&mut self) -> Result<RollUpStep, LedgerError> {
        let step = self.parts.books.roll_up(self.parts.worker, utc_ms())?;
        self.parts.metrics.rolled_up(step);
        if !step.more && !step.is_elsewhere {
            self.retain()?;
        }
        Ok(step)
    }

    /// Drops the months that are not to be kept, once a day.
    fn retain(&mut self) -> Result<(), LedgerError> {
        let (LedgerHome::Postgres(settings), keep @ 1..) = (&self.parts.home, self.parts.keep_months) else {
            return Ok(());
        };
        if self.retained.is_some_and(|at| at.elapsed() < RETAIN_EVERY) {
            return Ok(());
        }
        let (before, dropped) = PostgresLedger::open(settings)?.keep_months(keep, utc_ms())?;
        self.retained = Some(Instant::now());
        let tables: Vec<&str> = dropped.iter().map(|one| one.table.as_str()).collect();
        tracing::info!(keep_months = keep, before, tables = tables.join(" "), "months before this one are not kept");
        Ok(())
    }
}
