//! Keeps one connection alive after the other.

use std::sync::Arc;
use std::time::Duration;

use sync_core::Random;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, End};
use super::limits::{BACKOFF, ROOM_PATIENCE, STOOD_WELL};
use super::window::Room;
use super::{Phase, Shared, telemetry};
use crate::partitions::PartitionSet;

/// One of the connections, over all its generations.
#[derive(Debug)]
pub(super) struct Consumer {
    index: usize,
    shared: Arc<Shared>,
    share: PartitionSet,
    room: Arc<Room>,
    wanted: watch::Receiver<PartitionSet>,
    phase: watch::Receiver<Phase>,
}

impl Consumer {
    pub(super) fn new(
        index: usize,
        shared: Arc<Shared>,
        wanted: watch::Receiver<PartitionSet>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let share = PartitionSet::share(index, shared.settings.connections);
        let room = Arc::new(Room::new(shared.window_bytes, ROOM_PATIENCE));
        Self { index, shared, share, room, wanted, phase }
    }

    /// Connects again and again until the link leaves.
    pub(super) async fn run(mut self) {
        let mut random = Random::new(seed());
        let mut failures = 0;
        while *self.phase.borrow() == Phase::Open {
            let started = Instant::now();
            let connection = Connection {
                index: self.index,
                shared: &self.shared,
                share: self.share,
                room: Arc::clone(&self.room),
                wanted: self.wanted.clone(),
                phase: self.phase.clone(),
            };
            let end = connection.carry().await;
            if matches!(end, End::Left) {
                break;
            }
            failures = if started.elapsed() >= STOOD_WELL { 1 } else { failures + 1 };
            telemetry::lost(&self.shared.stats, self.index, &end, failures);
            tokio::select! {
                () = sleep(pause(failures, &mut random)) => {}
                // Whatever it changed to, the loop looks.
                _ = self.phase.changed() => {}
            }
        }
        telemetry::left(self.index);
    }
}

/// A random part of a window that doubles with each failure in a row. The jitter is drawn from the capped window, so that
/// servers which lost the same broker do not come back in step.
fn pause(failures: u32, random: &mut Random) -> Duration {
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let window = BACKOFF.0.saturating_mul(doubled).min(BACKOFF.1);
    Duration::from_millis(random.below(u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1)))
}

/// Without random numbers of the system all servers would draw the same, which is no more than impolite.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_cap_and_are_spread() {
        let mut random = Random::new(1);
        for (failures, most) in [(1, 500), (2, 1_000), (5, 8_000), (6, 15_000), (200, 15_000)] {
            let drawn: Vec<_> = (0..100).map(|_| pause(failures, &mut random).as_millis()).collect();
            assert!(drawn.iter().all(|pause| *pause < most), "{failures}: {drawn:?}");
            assert!(drawn.iter().any(|pause| *pause > most / 2) && drawn.iter().any(|pause| *pause < most / 2));
        }
    }
}
