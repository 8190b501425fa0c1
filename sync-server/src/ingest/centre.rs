//! What comparing with the stores needs of the ingest.

use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use pos_model::StoreId;
use protocol::latest::Downlink as Answer;

use super::answer::tell;
use super::{Shared, utc_ms};
use crate::ledger::Ledger;
use crate::reconcile::{Centre, Done, Work};

impl Centre for Shared {
    fn tell(&self, store: &StoreId, message: &Answer) -> bool {
        let way = self.lock().ways.get(store).cloned();
        tell(self, way.as_ref(), store, message);
        way.is_some()
    }

    fn expect_answer(&self, store: &StoreId, is_expected: bool) {
        self.awaited.set(store, is_expected);
    }

    fn change(&self, work: Work) -> Option<Done> {
        let (done, waiting) = sync_channel(1);
        let order = move |ledger: &mut dyn Ledger| {
            // Fails only if nobody waits for it any more.
            let _ = done.send(put_right(ledger, &work));
        };
        if !self.lock().order(Box::new(order)) {
            return None;
        }
        self.queued.notify_all();
        // An error means that the ledger's thread has ended, or will not do it.
        waiting.recv().ok()
    }

    fn is_calm(&self) -> bool {
        let queue = self.lock();
        let credit = queue.sync.credit_state();
        self.ledger_well.load(Ordering::Relaxed)
            && credit.failures == 0
            && credit.lag_ms <= credit.lag_ms_target
            && queue.sync.queued_bytes() <= queue.bytes_max / 4
    }
}

fn put_right(ledger: &mut dyn Ledger, work: &Work) -> Done {
    match work {
        Work::Repair(repair) => ledger.repair(repair, utc_ms()).map(Ok),
        Work::Restore(restored) => ledger.restore(restored, utc_ms()),
    }
}
