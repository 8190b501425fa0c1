//! The central ledger: what every store sold, each sale exactly once.
//!
//! Constraints:
//! - One group of messages is one database transaction. Cursor, facts and effects move together or not at all.
//! - A sale is a fact. What cannot be applied is parked with its bytes and the reason, and the cursor passes over it;
//!   the content of one message never fails another.
//! - A failure of the database is nobody's fault: the group is taken back whole, nothing is acknowledged, the stores
//!   send again.
//! - Doubles are told by the cursor of `(store, epoch)`: no window, no cache, no timer. `sync_core::server::judge` is
//!   the only place that decides; the ledger does as it says.
//! - Nothing on the path of a sale grows with history, but the depth of an index.
//!
//! Layout: [`Job`] is a message with its hashes computed and its events decoded. [`Ledger`] applies groups; [`Registry`]
//! keeps stores, claim codes and secrets; [`Books`] and [`CounterBooks`] read; [`RollUps`] are derived behind it. [`SqliteLedger`] and [`SqliteReader`] are their home in
//! SQLite. The module knows no network and no clock: time comes in as an argument.

mod books;
mod counter_books;
mod database;
mod fault;
mod group;
mod home;
mod instances;
mod job;
mod parking;
mod postgres;
mod prices;
mod read;
mod reconcile;
mod registry;
mod rollups;
mod sqlite;
mod text;

use sync_core::server::Outcome;

use self::group::UNKNOWN_KIND;

pub use books::{
    Alert, AlertKind, Books, DIFFERENCES_MAX, DayTotals, Difference, DuplicateReceipt, EpochRow, HealthRow, LatestDay,
    ParkedEvent, ReceiptGap, SaleRecord, StoreRow, TotalsFilter, VerifyReport,
};
pub use counter_books::{CounterBooks, OverRefund, RefundLineRow, RefundRow, ReportRow, ShiftRow, StorePage, ZNumbers};
pub use home::{LedgerHome, Reader};
pub use instances::{
    BrokerLink, InstanceCard, InstanceId, InstanceRow, InstanceView, Instances, LEASE_AHEAD_MS_MAX, LeaseRow,
};
pub use job::{BATCH_EVENTS_MAX, Job, Message, RECEIPT_HEADS_MAX, ReceivedBatch, UnfitMessage};
pub use parking::{
    ActionKind, Correction, NUMBERS_MAX, Note, NoteError, ParkedAction, ParkedBacklog, ParkedFilter, ParkedRefused,
    ParkedState,
};
pub use postgres::{
    DroppedMonth, MonthRow, PostgresInstances, PostgresLedger, PostgresReader, PostgresSettings, UrlError,
};
pub use prices::{PriceBookRow, PriceBooks, PriceDifference};
pub use reconcile::{
    Examined, Finding, Gap, ReconciliationFilter, ReconciliationRow, Reconciliations, Repair, RestoreRefused, Restored,
    Standing,
};
pub use registry::{Claim, CodeHash, Credential, EnrollRefused, Registry, SecretHash, StoreStatus};
pub use rollups::{
    DateRange, HourRow, ItemRow, MARKS_COUNTED_MAX, PromotionRow, RollUpFilter, RollUpReport, RollUpState, RollUpStep,
    RollUps,
};
pub use sqlite::{SqliteLedger, SqliteReader, SqliteSettings};

/// The writer. There is one per database.
pub trait Ledger: Send {
    /// Applies a group of messages in one database transaction, and says what became of each, in order.
    /// `now_ms` is when they arrived. An error means that nothing of it was applied.
    fn apply(&mut self, group: &[Job], now_ms: i64) -> Result<Vec<Outcome>, LedgerError>;

    /// Tries the next parked events again that a filter picks, a bounded number whatever its limit, in one database
    /// transaction. Each that can be applied is, as if it came just then; the others stay parked and open, with the reason
    /// that they have at this time. `now_ms` is when. Without a note it is the program itself that tries.
    fn replay(&mut self, filter: &ParkedFilter, note: Option<&Note>, now_ms: i64) -> Result<ParkedStep, LedgerError>;

    /// Puts other content in the place of a parked event, and applies it under the event's place and id, in one database
    /// transaction; or says why not, and nothing is changed.
    fn fix(
        &mut self,
        parked_no: i64,
        correction: &Correction,
        note: &Note,
        now_ms: i64,
    ) -> Result<Result<(), ParkedRefused>, LedgerError>;

    /// Says that a parked event is never to count; or says why not, and nothing is changed.
    fn waive(&mut self, parked_no: i64, note: &Note, now_ms: i64) -> Result<Result<(), ParkedRefused>, LedgerError>;

    /// Puts right what a look at a business date has found, in one database transaction. `now_ms` is when.
    fn repair(&mut self, repair: &Repair, now_ms: i64) -> Result<(), LedgerError>;

    /// Takes events in that were held before and that a store has sent again, in one database transaction: all, or none if
    /// they are not the ones that were held.
    fn restore(&mut self, restored: &Restored, now_ms: i64) -> Result<Result<(), RestoreRefused>, LedgerError>;

    /// Does the housekeeping that is due, outside any group: short when little is due.
    fn tidy(&mut self) -> Result<(), LedgerError>;

    /// Whether the database was found to lack what had been committed in it, since this was asked last: it was put back, or
    /// replaced by a copy that was behind. Stores must then be asked anew what they hold.
    fn went_back(&mut self) -> bool {
        false
    }

    /// Leaves all in order when the service ends; nothing is applied after it.
    fn end(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// What one step over the parked events did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedStep {
    /// Events looked at.
    pub looked_at: usize,
    /// Those of them that are applied.
    pub applied: usize,
    /// Behind which number of a parked event to go on; none if there is nothing more.
    pub next: Option<i64>,
}

/// How far the parked events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParkedProgress {
    /// Events looked at.
    pub looked_at: u64,
    /// Those of them that are applied.
    pub applied: u64,
}

/// Applies all events that are parked because an older program did not know their kind, step by step. `now_ms` tells the
/// time of each step, and `each_step` hears how far it is. May be ended at any place and done again: what is applied is not
/// parked any more.
pub fn apply_all_parked<L: Ledger + ?Sized>(
    ledger: &mut L,
    now_ms: impl FnMut() -> i64,
    each_step: impl FnMut(ParkedProgress),
) -> Result<ParkedProgress, LedgerError> {
    let (reason, state) = (Some(UNKNOWN_KIND.to_owned()), Some(ParkedState::Open));
    let filter = ParkedFilter { reason, state, ..ParkedFilter::default() };
    replay_all(ledger, &filter, None, now_ms, each_step)
}

/// Tries all parked events again that a filter picks, step by step, as [`apply_all_parked`] does.
pub fn replay_all<L: Ledger + ?Sized>(
    ledger: &mut L,
    filter: &ParkedFilter,
    note: Option<&Note>,
    mut now_ms: impl FnMut() -> i64,
    mut each_step: impl FnMut(ParkedProgress),
) -> Result<ParkedProgress, LedgerError> {
    let mut progress = ParkedProgress::default();
    let mut after = Some(filter.after);
    while let Some(behind) = after {
        let step = ledger.replay(&ParkedFilter { after: behind, ..filter.clone() }, note, now_ms())?;
        ledger.tidy()?;
        progress.looked_at += step.looked_at as u64;
        progress.applied += step.applied as u64;
        after = step.next;
        each_step(progress);
    }
    Ok(progress)
}

/// The ledger's database failed, or is not one.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database refused or failed.
    #[error("{doing}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// PostgreSQL refused or failed, or went away.
    #[error("{doing}")]
    Postgres {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<tokio_postgres::Error>,
    },
    /// PostgreSQL is not there, or does not answer.
    #[error("reach the database: {0}")]
    Away(String),
    /// The file could not be opened.
    #[error("open ledger {path}")]
    Open {
        /// The file.
        path: String,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer program has written the database.
    #[error("ledger has schema {found}, and this program knows schemas up to {known}: a newer program has written it")]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version here.
        known: i64,
    },
    /// An older program has written the database, and only the writer brings it up to date.
    #[error(
        "ledger has schema {found}, and this program wants schema {known}: start the server once to bring it up to date"
    )]
    OlderSchema {
        /// The version in the database.
        found: i64,
        /// The version here.
        known: i64,
    },
    /// There is no ledger yet.
    #[error("there is no ledger in the database")]
    NoLedger,
    /// Sales of months that are to be dropped are not in the roll-ups, which are to stay.
    #[error("what lies before {month} is not in the roll-ups yet: let the service catch up, or run `rollups rebuild`")]
    NotRolledUp {
        /// The first month that is to be kept, as `YYYY-MM`.
        month: String,
    },
    /// A month that is not over was to be dropped.
    #[error("only months that are over are dropped, and {month} lies behind the present month {present}")]
    NotOver {
        /// The first month that was to be kept, as `YYYY-MM`.
        month: String,
        /// The present month.
        present: String,
    },
    /// A database of something else.
    #[error("{0} is not a ledger of Breakwater")]
    NotALedger(String),
    /// The SQLite library has a known defect that damages databases in WAL mode.
    #[error("SQLite {found} is older than 3.51.3, which is the first without the WAL-reset defect")]
    OldSqlite {
        /// The library's version.
        found: &'static str,
    },
    /// What was taken in before does not fit now.
    #[error("event does not fit the ledger: {0}")]
    Unfit(String),
    /// A value in the database cannot be what it is supposed to be.
    #[error("ledger holds a damaged {what}")]
    Damaged {
        /// Which value.
        what: &'static str,
    },
}

impl LedgerError {
    /// Whether it may pass by itself: the database was busy, or away.
    pub fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match self {
            Self::Sqlite { source, .. } | Self::Open { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
            }
            Self::Postgres { source, .. } => postgres::passes(source),
            Self::Away(_) => true,
            _ => false,
        }
    }

    /// What the database says of the content that it refuses, if it is well and refuses just that.
    fn content(&self) -> Option<String> {
        match self {
            Self::Sqlite { source: rusqlite::Error::SqliteFailure(code, text), doing } if sqlite::is_content(*code) => {
                Some(format!("{doing}: {}", text.clone().unwrap_or_else(|| code.to_string())))
            }
            Self::Postgres { source, doing } => postgres::content(source).map(|text| format!("{doing}: {text}")),
            _ => None,
        }
    }
}
