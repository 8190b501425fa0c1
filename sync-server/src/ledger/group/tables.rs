//! What a home of the ledger does for a group: reads of single rows, and writes that say what they mean.
//!
//! A home may answer reads from what it has read ahead, and may keep writes back until [`Tables::flush`]; what is read
//! after a write is as if the write had happened.

use std::collections::{BTreeMap, HashSet};

use pos_model::{ChainHash, Currency, Epoch, SaleId, Seq, StoreId, TillId};
use protocol::latest::{Mark, Predecessor, SaleCompleted, StoreHealth};

use crate::ledger::database::{Cell, Database};
use crate::ledger::fault::Fault;
use crate::ledger::read::frames::HeldBatch;

/// The tables of what happens beside sales, whose rows are written as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Table {
    Refunds,
    RefundLines,
    ShiftOpens,
    ZReports,
    ZTaxes,
    ZTenders,
    ZAdjustments,
    ShiftAmendments,
    DayCloses,
    CashMovements,
    StockMovements,
    StockMovementItems,
    StockCounts,
    StockCountItems,
    SoldOutChanges,
    AuditMarks,
}

impl Table {
    /// All of them, in the order of their numbers.
    pub(in crate::ledger) const ALL: [Self; 16] = [
        Self::Refunds,
        Self::RefundLines,
        Self::ShiftOpens,
        Self::ZReports,
        Self::ZTaxes,
        Self::ZTenders,
        Self::ZAdjustments,
        Self::ShiftAmendments,
        Self::DayCloses,
        Self::CashMovements,
        Self::StockMovements,
        Self::StockMovementItems,
        Self::StockCounts,
        Self::StockCountItems,
        Self::SoldOutChanges,
        Self::AuditMarks,
    ];

    pub(in crate::ledger) const fn name(self) -> &'static str {
        match self {
            Self::Refunds => "refunds",
            Self::RefundLines => "refund_lines",
            Self::ShiftOpens => "shift_opens",
            Self::ZReports => "z_reports",
            Self::ZTaxes => "z_taxes",
            Self::ZTenders => "z_tenders",
            Self::ZAdjustments => "z_adjustments",
            Self::ShiftAmendments => "shift_amendments",
            Self::DayCloses => "day_closes",
            Self::CashMovements => "cash_movements",
            Self::StockMovements => "stock_movements",
            Self::StockMovementItems => "stock_movement_items",
            Self::StockCounts => "stock_counts",
            Self::StockCountItems => "stock_count_items",
            Self::SoldOutChanges => "sold_out_changes",
            Self::AuditMarks => "audit_marks",
        }
    }
}

/// Facts that have an id and happen once, whatever a till says again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) enum FactKind {
    Sale,
    Refund,
    ShiftOpen,
    ZReport,
    ShiftAmendment,
    CashMovement,
    StockMovement,
    StockCount,
}

/// Numbers that a till gives without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) enum NumberKind {
    /// Of receipts.
    Receipt,
    /// Of Z reports.
    Z,
}

/// Where a fact with an id is held, such as a sale.
#[derive(Debug)]
pub(in crate::ledger) struct FactPlace {
    pub(in crate::ledger) store: String,
    pub(in crate::ledger) store_no: i64,
    pub(in crate::ledger) epoch: Epoch,
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) event_no: i64,
}

/// A stream as the path of a batch needs it.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct StreamRow {
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) applied: Mark,
    pub(in crate::ledger) base_hash: ChainHash,
}

/// A sale and its place.
#[derive(Debug)]
pub(in crate::ledger) struct SaleRow<'g> {
    pub(in crate::ledger) event_no: i64,
    pub(in crate::ledger) store_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) receipt_no: i64,
    pub(in crate::ledger) lines: i64,
    pub(in crate::ledger) sale: &'g SaleCompleted,
}

/// A message and what of it is new.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct BatchRow<'a> {
    pub(in crate::ledger) first_event_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) first_seq: Seq,
    pub(in crate::ledger) events: usize,
    pub(in crate::ledger) skip: usize,
    pub(in crate::ledger) received_at_ms: i64,
    pub(in crate::ledger) frame: &'a [u8],
    /// The hash of the history up to its last event.
    pub(in crate::ledger) last_hash: ChainHash,
}

/// An event to be parked.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct ParkedRow<'a> {
    pub(in crate::ledger) store_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) hash: ChainHash,
    pub(in crate::ledger) parked_at_ms: i64,
    /// A word for machines.
    pub(in crate::ledger) reason: &'static str,
    /// Words for people, not too many.
    pub(in crate::ledger) detail: &'a str,
    /// The kind of event, where it says one.
    pub(in crate::ledger) kind: Option<&'a str>,
    /// Its number, or else its bytes.
    pub(in crate::ledger) event_no: Option<i64>,
    pub(in crate::ledger) bytes: Option<&'a [u8]>,
}

/// The newest numbers that are known of a till.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct KnownHead {
    pub(in crate::ledger) till_id: String,
    pub(in crate::ledger) receipt_no: i64,
    pub(in crate::ledger) z_no: i64,
    /// The till's grand total after its newest Z report.
    pub(in crate::ledger) grand_total_minor: i64,
}

/// How a store is, as it said.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct HealthNote<'a> {
    pub(in crate::ledger) now_ms: i64,
    pub(in crate::ledger) health: &'a StoreHealth,
    /// The version of its messages, if it said so.
    pub(in crate::ledger) version: Option<u16>,
    pub(in crate::ledger) agent_version: &'a str,
}

/// By how much a store's own counters move.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::ledger) struct StoreCounts {
    pub(in crate::ledger) contact_ms: i64,
    pub(in crate::ledger) events: i64,
    pub(in crate::ledger) sales: i64,
    pub(in crate::ledger) parked: i64,
    pub(in crate::ledger) forked: i64,
    /// By how much the events move that were here when the store said last what it holds.
    pub(in crate::ledger) taken: i64,
    pub(in crate::ledger) last_sale_at_ms: Option<i64>,
}

/// A store's business date in one currency, the date as days since 1970.
pub(in crate::ledger) type DayKey = (i64, i32, Currency);

/// By how much the sales of a day move.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Totals {
    pub(in crate::ledger) sales: i64,
    pub(in crate::ledger) lines: i64,
    pub(in crate::ledger) quantity_micro: i64,
    pub(in crate::ledger) gross_minor: i64,
    pub(in crate::ledger) tax_minor: i64,
    pub(in crate::ledger) net_minor: i64,
}

/// By how much the refunds of a day move.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct RefundTotals {
    pub(in crate::ledger) refunds: i64,
    pub(in crate::ledger) gross_minor: i64,
    pub(in crate::ledger) tax_minor: i64,
}

/// The two counters of stock. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) enum Direction {
    Added,
    Used,
}

/// Numbers with the events that have them, by till.
pub(in crate::ledger) type GivenNumbers = Vec<((NumberKind, String), Vec<(i64, i64)>)>;

/// What came back of a sale, over all its refunds.
#[derive(Debug, Default, Clone)]
pub(in crate::ledger) struct Refunded {
    pub(in crate::ledger) refunds: i64,
    pub(in crate::ledger) gross_minor: i64,
    pub(in crate::ledger) tax_minor: i64,
    /// The sale, once it is applied.
    pub(in crate::ledger) sale_event_no: Option<i64>,
    pub(in crate::ledger) is_over: bool,
    /// Quantity and gross, by line of the sale.
    pub(in crate::ledger) lines: BTreeMap<u32, (i64, i64)>,
}

/// What was sold, as far as refunds are compared with it.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Sold {
    pub(in crate::ledger) gross_minor: i64,
    /// Quantity and gross of each line.
    pub(in crate::ledger) lines: Vec<(i64, i64)>,
}

/// A home's tables within one database transaction. Keys and frames live as long as the group, `'g`.
pub(in crate::ledger) trait Tables<'g> {
    /// The number of a store; a new one if it is not known.
    fn store_no(&mut self, store: &StoreId, now_ms: i64) -> Result<i64, Fault>;
    /// The number for the next event of the group; those behind it are the group's as well.
    fn next_event_no(&mut self) -> Result<i64, Fault>;
    /// The stores that have refunds of which the sale is not applied: few, and none as a rule.
    fn stores_waiting(&mut self) -> Result<HashSet<i64>, Fault>;

    fn stream(&mut self, store_no: i64, epoch: Epoch) -> Result<Option<StreamRow>, Fault>;
    fn add_stream(
        &mut self,
        store_no: i64,
        epoch: Epoch,
        applied: Mark,
        base_hash: ChainHash,
        now_ms: i64,
    ) -> Result<i64, Fault>;
    fn move_cursor(&mut self, stream_no: i64, applied: Mark, base_hash: ChainHash) -> Result<(), Fault>;
    fn open_stream(
        &mut self,
        stream_no: i64,
        at_ms: i64,
        why: &'static str,
        previous: Option<&Predecessor>,
    ) -> Result<(), Fault>;
    /// Notes at an epoch that another one goes on from it; says whether the epoch is known.
    fn continue_stream(&mut self, store_no: i64, previous: &Predecessor) -> Result<bool, Fault>;
    fn report_head(&mut self, store_no: i64, epoch: Epoch, head: Seq) -> Result<(), Fault>;
    /// The hash of the followed history at a number, if the event there was taken in.
    fn held(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault>;
    /// The first run of lost places within `from..=to`.
    fn lost(&mut self, stream_no: i64, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Fault>;
    /// The history up to a lost place, if its event has turned up since.
    fn found(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault>;
    fn add_loss(&mut self, stream_no: i64, from: Seq, to: Seq, now_ms: i64) -> Result<(), Fault>;

    fn add_batch(&mut self, row: &BatchRow<'g>) -> Result<(), Fault>;
    fn add_event(&mut self, event_no: i64, hash: &ChainHash) -> Result<(), Fault>;
    /// Adds a sale with its lines; `false`, and nothing is added, if the ledger has a sale of this id.
    fn add_sale(&mut self, row: &SaleRow<'g>) -> Result<bool, Fault>;
    /// Adds the row of a fact; `false`, and nothing is added, if its id is known.
    fn add_fact(
        &mut self,
        kind: FactKind,
        table: Table,
        id: &[u8; 16],
        place: (i64, i64),
        row: &[Cell<'_>],
    ) -> Result<bool, Fault>;
    /// Adds a row that needs no id: the cursor lets its event in once.
    fn add_row(&mut self, table: Table, row: &[Cell<'_>]) -> Result<(), Fault>;
    /// Where the fact with this id is, which is known.
    fn fact_place(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<FactPlace, Fault>;
    /// The message that brought an event, if it is held.
    fn holding(&mut self, event_no: i64) -> Result<Option<HeldBatch>, Fault>;

    /// Parks an event; says whether it was not parked before, which a home need not know of one that has a number.
    fn park(&mut self, row: &ParkedRow<'_>) -> Result<bool, Fault>;
    /// Whether an event at this place with this history is parked.
    fn is_parked(&mut self, stream_no: i64, mark: Mark) -> Result<bool, Fault>;
    /// The database within this transaction, for what is seldom done. What is kept back is not in it yet.
    fn access(&mut self) -> Result<impl Database + '_, Fault>;

    /// Has a date of a store, as days since 1970, summed up anew in the roll-ups, once they have come to an event.
    fn roll_up_anew(&mut self, store_no: i64, date: i32, event_no: i64) -> Result<(), Fault>;

    fn report_receipt(&mut self, store_no: i64, till: &TillId, receipt_no: i64) -> Result<(), Fault>;
    /// The newest numbers that are known of each till of a store, in order of tills.
    fn known_receipts(&mut self, store_no: i64) -> Result<Vec<KnownHead>, Fault>;
    fn note_health(&mut self, store_no: i64, note: &HealthNote<'_>) -> Result<(), Fault>;

    fn count_store(&mut self, store_no: i64, counts: &StoreCounts) -> Result<(), Fault>;
    fn add_totals(&mut self, key: DayKey, totals: &Totals) -> Result<(), Fault>;
    fn add_refund_totals(&mut self, key: DayKey, totals: &RefundTotals) -> Result<(), Fault>;
    /// Counts stock of a stream, business date and item.
    fn add_stock(&mut self, direction: Direction, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault>;

    /// Announces the numbers that are about to be noted: store, till, lowest and highest.
    fn expect_numbers(&mut self, _kind: NumberKind, _ranges: &[(i64, &'g str, i64, i64)]) -> Result<(), Fault> {
        Ok(())
    }
    /// The runs of a till's numbers that overlap or touch the numbers from `first` to `last`, in any order.
    fn runs(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<Vec<(i64, i64)>, Fault>;
    /// Writes a run.
    fn put_run(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<(), Fault>;
    /// Deletes the run that begins at a number.
    fn drop_run(&mut self, kind: NumberKind, store_no: i64, till_id: &'g str, first: i64) -> Result<(), Fault>;
    /// Notes that an event has a number that was given before.
    fn add_duplicate(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        number: i64,
        event_no: i64,
    ) -> Result<(), Fault>;

    /// Announces the sales of which refunds are about to be settled.
    fn expect_refunds(&mut self, _sales: &[(i64, SaleId)]) -> Result<(), Fault> {
        Ok(())
    }
    fn refunded(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<Refunded>, Fault>;
    /// Writes what came back of a sale; only the lines of `changed` differ from before.
    fn put_refunded(
        &mut self,
        store_no: i64,
        sale_id: SaleId,
        refunded: &Refunded,
        changed: &[u32],
    ) -> Result<(), Fault>;
    /// The event of a sale, if it is applied and of this store.
    fn sale_event(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<i64>, Fault>;
    /// What was sold by the sale of an event; none if its bytes are not kept any more.
    fn sold(&mut self, event_no: i64) -> Result<Option<Sold>, Fault>;
    fn count_waiting(&mut self, store_no: i64, more: i64) -> Result<(), Fault>;

    // ---- what only a repair does ----

    /// Changes rows as no group does. What is kept back is written before. Says how many rows.
    fn change(&mut self, sql: &str, values: &[Cell<'_>]) -> Result<u64, Fault>;
    /// The store and the event of the fact with this id, if there is one.
    fn find_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<Option<(i64, i64)>, Fault>;
    /// Lets the id of a fact be used again, whose rows are deleted.
    fn forget_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<(), Fault>;
    /// Writes the hash of an event, where the home keeps it beside the message.
    fn put_hash(&mut self, event_no: i64, hash: &ChainHash) -> Result<(), Fault>;
    /// The message that brought a number of a stream, if it is held and can be read.
    fn message_at(&mut self, stream_no: i64, seq: Seq) -> Result<Option<HeldBatch>, Fault>;

    /// Begins a step that can be undone.
    fn begin_step(&mut self) -> Result<(), Fault>;
    /// Undoes what the step did.
    fn undo_step(&mut self) -> Result<(), Fault>;
    /// Ends the step, done or undone.
    fn end_step(&mut self) -> Result<(), Fault>;
    /// Writes what was kept back.
    fn flush(&mut self) -> Result<(), Fault>;
}
