//! Reading the ledger.

use pos_model::{BusinessDate, ChainHash, Epoch, EventId, RefundId, SaleId, Seq, StoreId};
use protocol::latest::SaleCompleted;

use super::LedgerError;
use super::parking::{ParkedAction, ParkedBacklog, ParkedFilter, ParkedState};
use super::registry::StoreStatus;

/// A store, how it said it is, and how far the ledger is with it.
#[derive(Debug, Clone)]
pub struct StoreRow {
    /// The store.
    pub store: StoreId,
    /// Its name for people; may be empty.
    pub name: String,
    /// Whether it may come in.
    pub status: StoreStatus,
    /// Whether it has a secret.
    pub enrolled: bool,
    /// When it was heard last.
    pub last_contact_ms: Option<i64>,
    /// When a sale of it was applied last.
    pub last_sale_at_ms: Option<i64>,
    /// Events applied.
    pub applied_events: i64,
    /// Sales applied.
    pub applied_sales: i64,
    /// Events that are parked and wait for a person, those beside the history included.
    pub parked_events: i64,
    /// When the oldest of them was parked.
    pub oldest_parked_ms: Option<i64>,
    /// What it said of itself last.
    pub health: Option<HealthRow>,
    /// What needs a person.
    pub alerts: Vec<Alert>,
}

/// What a store said of itself.
#[derive(Debug, Clone)]
pub struct HealthRow {
    /// When it said so, by the centre's clock.
    pub at_ms: i64,
    /// Its clock at that time.
    pub clock_ms: i64,
    /// How far its clock was ahead of the centre's.
    pub clock_ahead_ms: i64,
    /// How far its local time is ahead of UTC.
    pub clock_offset_s: i32,
    /// Its program's version.
    pub agent_version: String,
    /// The version of the messages that it speaks, as its last Hello said.
    pub protocol_version: Option<u16>,
    /// The epoch in which it sells.
    pub epoch: Epoch,
    /// The newest event there.
    pub head: Seq,
    /// Events that it had not got confirmed.
    pub outbox_events: i64,
    /// The same, less what has arrived since.
    pub backlog_events: i64,
    /// When the oldest of them was recorded.
    pub outbox_oldest_ms: Option<i64>,
    /// Free bytes on its disk.
    pub disk_free_bytes: Option<i64>,
}

/// What needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Which kind.
    pub kind: AlertKind,
    /// How many events, receipts or milliseconds it is about.
    pub count: i64,
    /// What it is, in words.
    pub text: String,
}

/// The kinds of what needs a person, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// Events were gone at the store before they arrived.
    Losses,
    /// The store went on from an older state than the centre holds: its folder was put back.
    WentBack,
    /// Two agents sold as one store.
    Fork,
    /// Sales do not cost what their price book says.
    Prices,
    /// More came back of sales than was sold.
    OverRefunds,
    /// A business date is not here as the store holds it.
    Reconciliation,
    /// Receipt numbers that never arrived.
    ReceiptGaps,
    /// Z reports that never arrived.
    ZGaps,
    /// Receipt numbers that stand on two sales.
    DuplicateReceipts,
    /// Z numbers that stand on two reports.
    DuplicateZ,
    /// Refunds of sales that have not arrived.
    RefundsWithoutSale,
    /// Events wait for a person.
    Parked,
    /// The store's clock is wrong.
    Clock,
}

impl AlertKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 13] = [
        Self::Losses,
        Self::WentBack,
        Self::Fork,
        Self::Prices,
        Self::OverRefunds,
        Self::Reconciliation,
        Self::ReceiptGaps,
        Self::ZGaps,
        Self::DuplicateReceipts,
        Self::DuplicateZ,
        Self::RefundsWithoutSale,
        Self::Parked,
        Self::Clock,
    ];

    /// Whether somebody has to look now, and not only at some time.
    pub const fn is_grave(self) -> bool {
        match self {
            Self::Losses | Self::WentBack | Self::Fork | Self::Prices | Self::OverRefunds => true,
            Self::Reconciliation
            | Self::ReceiptGaps
            | Self::ZGaps
            | Self::DuplicateReceipts
            | Self::DuplicateZ
            | Self::RefundsWithoutSale
            | Self::Parked
            | Self::Clock => false,
        }
    }

    /// What to do, for whoever is called.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Losses => {
                "Compare the store's receipts with those that never arrived (receipts/missing); what an older copy of its folder still holds is taken in when that copy connects."
            }
            Self::WentBack => {
                "Nothing to do for the sales: what had arrived is kept here. Look at the receipts that never arrived; a copy of the folder as it was may still hold them."
            }
            Self::Fork => {
                "Find out whether one box or two sell under this id. The sales of both are kept. Of two, let one send all it has, shut it down, and enrol it with an empty folder as a store of its own."
            }
            Self::Prices => {
                "Look at the sales listed for the store: its agent computes otherwise than the centre, by another version or through a defect. The sales stay as they were sold."
            }
            Self::OverRefunds => {
                "Look at the sales listed for the store and at their refunds: who gave the money back, who allowed it, and why. Nothing is refused; the money has left the drawer."
            }
            Self::Reconciliation => {
                "GET /api/v1/reconciliation?open=true says what differs. What the ledger lost comes back by itself once the store is connected; what the store lost, as with a folder that was put back, is kept here and only told."
            }
            Self::ReceiptGaps => {
                "If the store's backlog is empty and numbers stay missing, they were lost with a folder that was put back, or a till skipped them. Compare with the paper receipts."
            }
            Self::ZGaps => {
                "Look at the store's parked events first. If its backlog is empty and reports stay missing, they were lost with a folder that was put back: ask the store for its printed reports."
            }
            Self::DuplicateReceipts => {
                "Two sales or refunds carry one receipt number, as after a folder was put back. Both are kept and counted; tell whoever does the books."
            }
            Self::DuplicateZ => {
                "Two Z reports of a till carry one number, as after a folder was put back. Both are kept; tell whoever does the books."
            }
            Self::RefundsWithoutSale => {
                "Look at the store's parked events and missing receipts: the sales may be among them. If nothing is missing and the backlog is empty, ask who gave money back for sales that were never made there."
            }
            Self::Parked => {
                "breakwater-server parked list and parked show NO name the reason. parked replay tries them again, parked fix NO puts right what they say, parked waive NO says that one is never to count."
            }
            Self::Clock => "Set the store's clock. Sales keep the time that it showed.",
        }
    }

    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Losses => "losses",
            Self::WentBack => "went_back",
            Self::Fork => "fork",
            Self::Prices => "prices",
            Self::OverRefunds => "over_refunds",
            Self::Reconciliation => "reconciliation",
            Self::ReceiptGaps => "receipt_gaps",
            Self::ZGaps => "z_gaps",
            Self::DuplicateReceipts => "duplicate_receipts",
            Self::DuplicateZ => "duplicate_z",
            Self::RefundsWithoutSale => "refunds_without_sale",
            Self::Parked => "parked",
            Self::Clock => "clock",
        }
    }
}

/// One epoch of a store.
#[derive(Debug, Clone)]
pub struct EpochRow {
    /// The epoch.
    pub epoch: Epoch,
    /// Up to where its events are applied or parked.
    pub applied: Seq,
    /// The hash there.
    pub applied_hash: ChainHash,
    /// The newest event that the store reported there.
    pub reported_head: Seq,
    /// When the ledger heard of it first.
    pub first_seen_ms: i64,
    /// When it was opened, by the store's clock.
    pub opened_at_ms: Option<i64>,
    /// Why.
    pub opened_why: Option<String>,
    /// The place from which it went on.
    pub previous: Option<(Epoch, Seq)>,
    /// How many epochs go on from this one.
    pub successors: i64,
}

/// A run of receipt numbers that never arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptGap {
    /// The till.
    pub till_id: String,
    /// The first missing number.
    pub first_no: i64,
    /// The last missing number.
    pub last_no: i64,
}

/// A receipt number that an earlier sale or refund of the till has too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateReceipt {
    /// The till.
    pub till_id: String,
    /// The number.
    pub receipt_no: i64,
    /// The later sale, if it is one.
    pub sale_id: Option<SaleId>,
    /// The later refund, if it is one.
    pub refund_id: Option<RefundId>,
}

/// An applied sale with its place.
#[derive(Debug, Clone)]
pub struct SaleRecord {
    /// The store.
    pub store: StoreId,
    /// The epoch.
    pub epoch: Epoch,
    /// Its number there.
    pub seq: Seq,
    /// The event.
    pub event_id: EventId,
    /// The hash of the history up to it.
    pub hash: ChainHash,
    /// When it arrived.
    pub received_at_ms: i64,
    /// The sale.
    pub sale: SaleCompleted,
}

/// Which totals.
#[derive(Debug, Clone, Default)]
pub struct TotalsFilter {
    /// Of this store only.
    pub store: Option<StoreId>,
    /// From this business date on.
    pub from: Option<BusinessDate>,
    /// Up to this business date.
    pub to: Option<BusinessDate>,
    /// At most so many rows; all without it.
    pub rows_max: Option<u32>,
}

/// The totals of a store's business date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayTotals {
    /// The store.
    pub store: String,
    /// The business date.
    pub business_date: BusinessDate,
    /// The currency of the amounts.
    pub currency: String,
    /// Sales.
    pub sales: i64,
    /// Their lines.
    pub lines: i64,
    /// The sum of the lines' quantities, in millionths.
    pub quantity_micro: i64,
    /// What customers paid, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// Without the tax.
    pub net_minor: i64,
    /// Refunds.
    pub refunds: i64,
    /// What went back, tax included.
    pub refund_gross_minor: i64,
    /// The tax in it.
    pub refund_tax_minor: i64,
}

/// What was sold on the newest business date, over all stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestDay {
    /// The business date.
    pub business_date: BusinessDate,
    /// The currency of the amount.
    pub currency: String,
    /// Sales.
    pub sales: i64,
    /// What customers paid, tax included.
    pub gross_minor: i64,
    /// Refunds.
    pub refunds: i64,
    /// What went back, tax included.
    pub refund_gross_minor: i64,
}

/// A parked event.
#[derive(Debug, Clone)]
pub struct ParkedEvent {
    /// Its number in the list of parked events.
    pub parked_no: i64,
    /// The store.
    pub store: String,
    /// The epoch.
    pub epoch: Epoch,
    /// Its number there.
    pub seq: Seq,
    /// The hash of the history up to it.
    pub hash: ChainHash,
    /// When it was parked.
    pub parked_at_ms: i64,
    /// Why, as a word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// Its kind, where its bytes say one.
    pub kind: Option<String>,
    /// What became of it.
    pub state: ParkedState,
    /// Its bytes, as the store committed them; empty of one that counts and whose message retention has taken.
    pub bytes: Vec<u8>,
    /// The bytes that count in their place, where it was fixed.
    pub fixed: Option<Vec<u8>>,
}

/// What `verify` looked at and found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Events looked at.
    pub events: u64,
    /// Sales among them.
    pub sales: u64,
    /// Counters compared.
    pub counters: u64,
    /// What differs; empty if the books balance. At most the first [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub differences_total: u64,
}

/// How many differences a report names.
pub const DIFFERENCES_MAX: usize = 100;

/// Two things that should be equal and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: a counter, a column, a hash.
    pub what: String,
    /// What the ledger holds.
    pub held: String,
    /// What follows from the events.
    pub computed: String,
}

/// Reads the ledger. No method changes anything.
pub trait Books {
    /// All stores with their alerts, in order of their names.
    fn stores(&self) -> Result<Vec<StoreRow>, LedgerError>;

    /// One store with its alerts.
    fn store(&self, store: &StoreId) -> Result<Option<StoreRow>, LedgerError>;

    /// The epochs of a store, newest first, at most `limit`.
    fn epochs(&self, store: &StoreId, limit: u32) -> Result<Vec<EpochRow>, LedgerError>;

    /// The receipt numbers of a store that never arrived, by till, at most `limit` runs.
    fn receipt_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ReceiptGap>, LedgerError>;

    /// The receipt numbers of a store that were given twice, at most `limit`.
    fn duplicate_receipts(&self, store: &StoreId, limit: u32) -> Result<Vec<DuplicateReceipt>, LedgerError>;

    /// An applied sale.
    fn sale(&self, sale_id: &SaleId) -> Result<Option<SaleRecord>, LedgerError>;

    /// Totals by store and business date, in that order.
    fn totals(&self, filter: &TotalsFilter) -> Result<Vec<DayTotals>, LedgerError>;

    /// Hands every applied sale to `each`, in the order in which they came.
    fn each_sale(
        &self,
        filter: &TotalsFilter,
        each: &mut dyn FnMut(&StoreId, &SaleCompleted),
    ) -> Result<(), LedgerError>;

    /// The newest business date that has sales and is not in the future (which a wrong clock may claim).
    fn newest_date(&self, now_ms: i64) -> Result<Option<BusinessDate>, LedgerError>;

    /// What was sold on that date, by currency.
    fn latest_day(&self, now_ms: i64) -> Result<Vec<LatestDay>, LedgerError>;

    /// A page of the parked events, in the order of their numbers.
    fn parked(&self, filter: &ParkedFilter) -> Result<Vec<ParkedEvent>, LedgerError>;

    /// One event that is parked, or was.
    fn parked_event(&self, parked_no: i64) -> Result<Option<ParkedEvent>, LedgerError>;

    /// What people did about a parked event, in order.
    fn parked_actions(&self, parked_no: i64) -> Result<Vec<ParkedAction>, LedgerError>;

    /// How many parked events wait for a person.
    fn parked_backlog(&self) -> Result<ParkedBacklog, LedgerError>;

    /// Whether the books balance: recomputes every counter and hash from the events and compares.
    fn verify(&self) -> Result<VerifyReport, LedgerError>;
}
