//! The thread that drives the [`Reconciler`], slowly.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use pos_model::StoreId;

use super::{Centre, Moment, Reconciler, Said};
use crate::ingest::utc_ms;

/// How long it sleeps when nothing is to be done, or nothing may be.
const TICK: Duration = Duration::from_millis(250);

/// After each step the thread rests for so many times as long as the step took, so that it takes a small share of the machine
/// and of the writer's time.
const REST: u32 = 3;

/// The shortest and the longest such rest.
const REST_MS: (u64, u64) = (5, 2_000);

/// Works until nothing more can come.
pub(crate) fn run<C: Centre>(mut reconciler: Reconciler, centre: &C, said: &Receiver<(StoreId, Said)>) {
    let started = Instant::now();
    let now = || Moment { since_start: started.elapsed(), utc_ms: utc_ms() };
    let mut next_step = started;
    loop {
        match said.recv_timeout(next_step.saturating_duration_since(Instant::now())) {
            Ok((store, Said::Digests(digests))) => reconciler.hear(&store, digests, now()),
            Ok((store, Said::Recalled(recalled))) => reconciler.take(centre, &store, recalled, now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let began = Instant::now();
        if began >= next_step {
            let goes_on = reconciler.step(centre, now());
            let rest = began.elapsed() * REST;
            let (least, most) = (Duration::from_millis(REST_MS.0), Duration::from_millis(REST_MS.1));
            next_step = Instant::now() + if goes_on { rest.clamp(least, most) } else { TICK.max(rest.min(most)) };
        }
    }
}
