//! What a group will ask, told by its messages before anything is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pos_model::{Epoch, SaleId};
use protocol::latest::{Event, EventBody};

use crate::ledger::group::FactKind;
use crate::ledger::{Job, Message, Restored};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::ledger::postgres) struct Reading<'g> {
    /// Stores and the epochs that are spoken of.
    pub(super) epochs: BTreeMap<&'g str, BTreeSet<i64>>,
    /// Stores by number, where there are no messages.
    pub(super) store_numbers: BTreeSet<i64>,
    /// Stores that ask which receipts are known.
    pub(super) receipts: BTreeSet<&'g str>,
    /// Events, each of which may take a number.
    pub(super) events: i64,
    /// Ids of what happens beside sales.
    pub(super) facts: BTreeSet<(FactKind, [u8; 16])>,
    /// Ids of the sales, for those who look them up.
    pub(super) sales: Vec<[u8; 16]>,
    /// Sales of which something came back.
    pub(super) refunded: HashSet<SaleId>,
}

impl<'g> Reading<'g> {
    /// Of a group.
    pub(in crate::ledger::postgres) fn of(group: &'g [Job]) -> Self {
        let mut reading = Self::default();
        for job in group {
            let epochs = reading.epochs.entry(job.store.as_str()).or_default();
            match &job.message {
                Message::Batch(batch) => {
                    epochs.insert(batch.epoch.to_sql());
                    reading.events += i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
                    batch.events.iter().flatten().for_each(|event| reading.event(job.store.as_str(), event));
                }
                Message::Hello(hello) => {
                    epochs.extend(hello.epochs.iter().map(|report| report.epoch.to_sql()));
                    epochs.insert(hello.health.epoch.to_sql());
                    reading.receipts.insert(job.store.as_str());
                }
                Message::Heartbeat(heartbeat) => {
                    epochs.insert(heartbeat.health.epoch.to_sql());
                }
            }
        }
        reading
    }

    /// Of stores about whose parked events something is done; `events` of them may take a number.
    pub(in crate::ledger::postgres) fn of_stores(stores: impl Iterator<Item = i64>, events: i64) -> Self {
        Self { store_numbers: stores.collect(), events, ..Self::default() }
    }

    /// The same where the sale may be one of which something came back.
    pub(in crate::ledger::postgres) fn with_sale(mut self, sale: Option<SaleId>) -> Self {
        self.refunded.extend(sale);
        self
    }

    /// Of a message that a store has sent again.
    pub(in crate::ledger::postgres) fn of_restored(restored: &'g Restored) -> Self {
        let epochs = BTreeMap::from([(restored.store.as_str(), BTreeSet::from([restored.epoch().to_sql()]))]);
        Self { epochs, events: i64::try_from(restored.events()).unwrap_or(i64::MAX), ..Self::default() }
    }

    fn event(&mut self, store: &'g str, event: &Event) {
        let mut fact = |kind, id: &[u8; 16]| {
            self.facts.insert((kind, *id));
        };
        match &event.body {
            EventBody::SaleCompleted(sale) => self.sales.push(*sale.sale_id.as_bytes()),
            EventBody::EpochOpened(opened) => {
                if let Some(previous) = &opened.previous {
                    self.epoch(store, previous.epoch);
                }
            }
            EventBody::RefundCompleted(refund) => {
                fact(FactKind::Refund, refund.refund_id.as_bytes());
                self.refunded.insert(refund.sale_id);
            }
            EventBody::ShiftOpened(opened) => fact(FactKind::ShiftOpen, opened.shift_id.as_bytes()),
            EventBody::ShiftClosed(closed) => fact(FactKind::ZReport, closed.shift_id.as_bytes()),
            EventBody::ShiftAmended(amended) => fact(FactKind::ShiftAmendment, amended.movement_id.as_bytes()),
            EventBody::CashMoved(moved) => fact(FactKind::CashMovement, moved.movement_id.as_bytes()),
            EventBody::StockMoved(moved) => fact(FactKind::StockMovement, moved.movement_id.as_bytes()),
            EventBody::StockCounted(counted) => fact(FactKind::StockCount, counted.movement_id.as_bytes()),
            EventBody::DayClosed(_) | EventBody::SoldOutChanged(_) | EventBody::AuditMarked(_) => {}
        }
    }

    fn epoch(&mut self, store: &'g str, epoch: Epoch) {
        self.epochs.entry(store).or_default().insert(epoch.to_sql());
    }
}
