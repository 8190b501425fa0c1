//! Comparing business dates with what the stores hold, and putting right what the ledger lost.
//!
//! The cursor says what was applied, and a batch behind it is a replay that changes nothing; so what somebody deletes or
//! changes behind the cursor stays so for ever, unless it is looked for. A store's digest of a date is what it is looked for
//! with. Whatever is found is put right from the events: those whose bytes are held here by themselves, the others after
//! the store has sent them again. Nothing is ever deleted because a store lacks it.

use pos_model::{BusinessDate, Epoch, Seq, StoreId};
use protocol::latest::DayDigest;

use super::LedgerError;
pub use super::group::{Repair, RestoreRefused, Restored};

/// What a look at a date showed.
#[derive(Debug)]
pub struct Examined {
    /// Sales and refunds that the store counts.
    pub store_facts: i64,
    /// Those of them that are in the ledger's tables, or parked.
    pub ledger_facts: i64,
    /// How the ledger stands to the store.
    pub standing: Standing,
}

/// How the ledger stands to what a store holds of a date.
#[derive(Debug)]
pub enum Standing {
    /// It holds the same, and its sums are those of the events.
    Agrees,
    /// The store has confirmed events that have not been applied, as after the ledger was put back: the cursor brings them.
    Behind,
    /// The month is not kept any more: there is nothing left to compare, and nothing is asked for.
    NotKept,
    /// The store speaks of more events than a date can have.
    TooLarge,
    /// Its runs lie over each other: it says nothing that could be compared.
    NotADigest,
    /// It follows another history than the store's.
    OtherHistory,
    /// Events are held no more, or are damaged.
    Lacks(Vec<Gap>),
    /// Rows or sums are not what the events say.
    Wrong {
        /// What would put some of it right, or all.
        repair: Repair,
        /// What it is, in words.
        what: String,
    },
    /// All that the store holds is here; and this many sales and refunds of the date more, which the store does not hold.
    HoldsMore(i64),
    /// The digests differ, and nothing is found by which they could.
    Unexplained,
}

/// Events of an epoch that are not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The epoch.
    pub epoch: Epoch,
    /// The first of them.
    pub from: Seq,
    /// The last.
    pub to: Seq,
}

impl Gap {
    /// How many events it is.
    pub fn events(&self) -> u64 {
        self.to.since(self.from).saturating_add(1)
    }
}

/// A difference that was found, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconciliationRow {
    /// Its number.
    pub reconciliation_no: i64,
    /// The store.
    pub store: StoreId,
    /// The business date.
    pub business_date: BusinessDate,
    /// When it was found, in milliseconds since 1970 (UTC).
    pub found_at_ms: i64,
    /// What differed, in words.
    pub what: String,
    /// Sales and refunds that the store counted.
    pub store_facts: i64,
    /// Those that the ledger had when it was found.
    pub ledger_facts: i64,
    /// Events that the store was asked for again.
    pub asked_events: i64,
    /// Events that came again.
    pub received_events: i64,
    /// Events that have their rows again.
    pub restored_events: i64,
    /// When ledger and store agreed again.
    pub repaired_at_ms: Option<i64>,
    /// What came of it.
    pub outcome: String,
}

/// Which differences are asked for.
#[derive(Debug, Clone, Default)]
pub struct ReconciliationFilter {
    /// Only of this store.
    pub store: Option<StoreId>,
    /// Only of this date.
    pub business_date: Option<BusinessDate>,
    /// Only those that last.
    pub open_only: bool,
    /// Only those before this number; the list begins with the newest.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// What is noted of a difference. Counts are added to those that are kept.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// What differed, in words; what is kept stays if this is empty.
    pub what: String,
    /// Sales and refunds that the store counts.
    pub store_facts: i64,
    /// Those that the ledger has.
    pub ledger_facts: i64,
    /// More events that the store was asked for.
    pub asked_events: i64,
    /// More events that came.
    pub received_events: i64,
    /// More events that have their rows again.
    pub restored_events: i64,
    /// What came of it.
    pub outcome: &'static str,
    /// Whether ledger and store agree again.
    pub is_repaired: bool,
}

/// Compares, and keeps what was found, beside the writer of the ledger.
pub trait Reconciliations {
    /// Compares a date with a store's digest of it, which was heard at `heard_at_ms`. Reads one state of the database; takes
    /// some milliseconds for each thousand events, and far longer only where a sum is wrong.
    fn examine(&self, store: &StoreId, digest: &DayDigest, heard_at_ms: i64) -> Result<Examined, LedgerError>;

    /// Notes what was found of a date, in the row of the difference that lasts or in a new one. With `is_repaired` and no
    /// such row nothing is noted. Says whether there was such a row.
    fn note_finding(
        &self,
        store: &StoreId,
        business_date: BusinessDate,
        finding: &Finding,
        now_ms: i64,
    ) -> Result<bool, LedgerError>;

    /// Differences, the newest first.
    fn reconciliations(&self, filter: &ReconciliationFilter) -> Result<Vec<ReconciliationRow>, LedgerError>;

    /// Notes that a person wants a date to be compared. Says whether the store is known.
    fn wish(&self, store: &StoreId, business_date: BusinessDate, now_ms: i64) -> Result<bool, LedgerError>;

    /// Wishes that are not fulfilled, the newest first, a bounded number.
    fn wishes(&self) -> Result<Vec<(StoreId, BusinessDate)>, LedgerError>;

    /// Takes a wish away, because it is fulfilled.
    fn fulfil(&self, store: &StoreId, business_date: BusinessDate) -> Result<(), LedgerError>;
}
