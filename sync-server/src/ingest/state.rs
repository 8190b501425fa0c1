//! What the rest of the service may see of the ingest, and ask of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pos_model::StoreId;
use protocol::envelope::seal_downlink;
use sync_core::server::credit::CreditState;

use super::{Shared, utc_ms};
use crate::ledger::Ledger;
use crate::partitions::PartitionSet;

/// What others may know of it.
#[derive(Debug, Clone)]
pub struct IngestState {
    pub(super) shared: Arc<Shared>,
}

impl IngestState {
    /// Whether the last group was committed.
    pub fn ledger_well(&self) -> bool {
        self.shared.ledger_well.load(Ordering::Relaxed)
    }

    /// Messages and bytes that wait for the ledger.
    pub fn queued(&self) -> (usize, usize) {
        let queue = self.shared.lock();
        (queue.sync.queued_jobs(), queue.sync.queued_bytes())
    }

    /// How fast stores may send at present, and why.
    pub fn credit(&self) -> CreditState {
        self.shared.lock().sync.credit_state()
    }

    /// Sets the operator's limit on events a second, or none.
    pub fn set_events_per_s_max(&self, per_s: Option<u64>) {
        let now = self.shared.now();
        self.shared.lock().sync.set_events_per_s_max(per_s, now);
        self.shared.queued.notify_one();
    }

    /// The database was found to lack what had been committed in it: every store is to ask anew where it may go on.
    pub fn begin_anew(&self) {
        self.shared.lock().sync.begin_anew();
    }

    /// Another server consumes these partitions: their stores, as far as they came by the broker, wait here for nothing.
    pub fn forget(&self, partitions: PartitionSet) {
        let mut queue = self.shared.lock();
        let gone =
            queue.ways.iter().filter(|(store, way)| way.is_by_broker() && partitions.contains(store.partition()));
        let gone: Vec<StoreId> = gone.map(|(store, _)| store.clone()).collect();
        for store in gone {
            queue.ways.remove(&store);
            queue.sync.forget_store(&store);
        }
    }

    /// A message to a store, sealed, that says which server answers it; none if it cannot be built.
    pub fn pulse(&self, store: &StoreId) -> Option<Vec<u8>> {
        let pulse = self.shared.lock().sync.pulse(utc_ms());
        let sealed = seal_downlink(store, &pulse);
        sealed.inspect_err(|error| self.shared.metrics.answer_failed(store, error)).ok()
    }

    /// Has work done by the thread that owns the writing connection, behind the group that it is at. None if it has too
    /// much to do, or ends.
    pub async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Ledger) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        let order = move |ledger: &mut dyn Ledger| {
            // Whoever has stopped waiting took it for not done.
            if !sender.is_closed() {
                let _ = sender.send(work(ledger));
            }
        };
        if !self.shared.lock().order(Box::new(order)) {
            return None;
        }
        self.shared.queued.notify_one();
        done.await.ok()
    }

    /// Resolves when a thread died: a bug, after which the service must be started again.
    pub async fn broken(&self) {
        self.shared.broken.notified().await;
    }
}
