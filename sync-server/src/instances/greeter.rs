//! Tells stores which server answers them from here on.
//!
//! A store may be waiting for an answer, or for its turn, at a server that has died: left alone it would ask again when its
//! patience ends. One small message with this run's number has it ask at once. Stores are told at a pace, so that a takeover
//! is no surge.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::broker::BrokerHandle;
use crate::credentials::Credentials;
use crate::ingest::IngestState;
use crate::partitions::PartitionSet;

/// Stores that are told at once, and the pause after them: five hundred a second, of which each asks one question.
const AT_ONCE: usize = 25;
const PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked whether the broker has granted the subscriptions.
const LOOK: Duration = Duration::from_millis(100);

/// What it needs.
#[derive(Debug, Clone)]
pub(super) struct Greeter {
    pub(super) broker: BrokerHandle,
    pub(super) ingest: IngestState,
    pub(super) credentials: Arc<Credentials>,
    pub(super) gained: Arc<Gained>,
}

/// Partitions whose stores are to be told.
#[derive(Debug, Default)]
pub(super) struct Gained {
    partitions: Mutex<PartitionSet>,
    noted: Notify,
}

impl Gained {
    pub(super) fn add(&self, partitions: PartitionSet) {
        self.change(|all| *all = all.union(partitions));
        self.noted.notify_one();
    }

    /// Takes those of some partitions out, and returns them.
    fn take(&self, partitions: PartitionSet) -> PartitionSet {
        let mut taken = PartitionSet::NONE;
        self.change(|all| (taken, *all) = (all.both(partitions), all.without(partitions)));
        taken
    }

    /// Keeps only those that are still held.
    fn keep(&self, held: PartitionSet) -> bool {
        let mut is_empty = true;
        self.change(|all| {
            *all = all.both(held);
            is_empty = all.is_empty();
        });
        !is_empty
    }

    fn change(&self, change: impl FnOnce(&mut PartitionSet)) {
        change(&mut self.partitions.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Greeter {
    /// Tells stores for as long as it is let.
    pub(super) async fn run(self) {
        loop {
            if !self.gained.keep(self.broker.wanted()) {
                self.gained.noted.notified().await;
                continue;
            }
            // Whoever asks must be heard.
            let ready = self.gained.take(self.broker.subscribed());
            if ready.is_empty() {
                sleep(LOOK).await;
            } else {
                self.greet(ready).await;
            }
        }
    }

    async fn greet(&self, partitions: PartitionSet) {
        let stores = self.credentials.enrolled_in(partitions);
        for some in stores.chunks(AT_ONCE) {
            for store in some {
                let Some(keys) = self.credentials.keys(store) else { continue };
                if let Some(mut pulse) = self.ingest.pulse(store) {
                    keys.downlink.prove(&mut pulse);
                    self.broker.tell(store, &Bytes::from(pulse));
                }
            }
            sleep(PAUSE).await;
        }
    }
}
