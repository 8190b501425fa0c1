//! The ledger in SQLite: one file, one writing connection, any number of readers beside it.

mod database;
mod log;
mod migrate;
mod sale_ids;
mod statements;
mod tables;

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use sync_core::server::Outcome;

use self::database::Access;
pub(in crate::ledger) use self::database::cell;
use self::log::LogBound;
use self::sale_ids::{Room, SaleIds};
use self::tables::SqliteTables;
use super::fault::{Fault, as_error};
use super::group::{self, Fix, Repair, RestoreRefused, Restored, Step};
use super::parking::{Correction, Note, ParkedFilter, ParkedRefused};
use super::{Job, Ledger, LedgerError, ParkedStep};

/// Says what was being done when a statement failed.
trait During<T> {
    fn during(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|source| LedgerError::Sqlite { doing, source })
    }
}

/// Whether a statement failed because of what it was given, and not because of the database.
pub(in crate::ledger) fn is_content(error: rusqlite::ffi::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    matches!(error.code, ConstraintViolation | TypeMismatch | TooBig | ParameterOutOfRange)
}

/// Whether a statement failed because a unique index holds the key already.
fn is_known_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// How the file is treated. Durability is not a setting: every commit is synced (`synchronous=FULL`).
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// Memory for the page cache of the writer, in KiB.
    pub cache_kib: u32,
    /// How much is written to the write-ahead log before its pages are moved into the database file, in KiB. It bounds
    /// what a start after a crash has to read again, unless a reader kept the pages from being moved.
    pub wal_kib_max: u32,
}

impl SqliteSettings {
    /// Good for a small machine: 64 MiB of cache keep the growing ends of all tables and the ids of sales at hand.
    pub const STANDARD: Self = Self { cache_kib: 64 * 1024, wal_kib_max: 64 * 1024 };
}

/// Measured for the writer: a page holds some twenty events, and the growing ends split rarely.
const PAGE_BYTES: u32 = 8 * 1024;

/// Statements that a connection keeps prepared: more than all texts in this module.
const STATEMENTS_MAX: usize = 128;

/// How long a connection waits for another one that writes: longer than any group, shorter than a store's patience.
const BUSY_WAIT: Duration = Duration::from_secs(8);

/// The writer.
#[derive(Debug)]
pub struct SqliteLedger {
    connection: Connection,
    sale_ids: SaleIds,
    log: Option<LogBound>,
}

/// A reader. It sees what was committed when each of its queries began, and never holds the writer up.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
}

impl SqliteLedger {
    /// Opens the ledger in a file, makes it if there is none, and brings its schema up to date.
    pub fn open(path: &Path, settings: &SqliteSettings) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::Open { path: path.display().to_string(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        wait_for_a_gap(&mut connection).map_err(failed)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(failed)?;
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        connection.pragma_update(None, "cache_size", -i64::from(settings.cache_kib)).map_err(failed)?;
        // The writer moves pages itself, between two groups: see `tidy`.
        let log = LogBound::set(&connection, i64::from(settings.wal_kib_max) * 1024).map_err(failed)?;
        Self::prepare(connection, Some(log), Room::STANDARD, path)
    }

    /// A ledger in memory, gone when it is dropped.
    pub fn in_memory() -> Result<Self, LedgerError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory()
            .map_err(|source| LedgerError::Open { path: path.display().to_string(), source })?;
        Self::from_connection(connection)
    }

    /// A ledger on a connection that the caller opened, such as one to a copy that was restored in memory.
    /// How durable it is, is the caller's matter.
    pub fn from_connection(connection: Connection) -> Result<Self, LedgerError> {
        let path = connection.path().unwrap_or(":memory:").to_owned();
        Self::prepare(connection, None, Room::SMALL, Path::new(&path))
    }

    /// Gives the connection back, for instance to copy the database.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    fn prepare(
        mut connection: Connection,
        log: Option<LogBound>,
        room: Room,
        path: &Path,
    ) -> Result<Self, LedgerError> {
        check_library()?;
        cache_statements(&connection)?;
        connection.pragma_update(None, "foreign_keys", true).during("turn foreign keys on")?;
        connection.pragma_update(None, "temp_store", "memory").during("keep temporary tables in memory")?;
        migrate::migrate(&mut connection, path)?;
        let sale_ids = SaleIds::read(&connection, room)?;
        Ok(Self { connection, sale_ids, log })
    }

    /// Does something to the tables in one database transaction, or nothing.
    fn in_transaction<T>(&mut self, work: impl FnOnce(&mut SqliteTables<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let begun = Transaction::new(&mut self.connection, TransactionBehavior::Immediate);
        let transaction = begun.during("begin group")?;
        let mut tables = SqliteTables::begin(&transaction)?;
        let done = work(&mut tables)?;
        let mut sale_ids = self.sale_ids;
        sale_ids.make_room(&transaction, tables.sale_ids_added())?;
        drop(tables);
        transaction.commit().during("commit group")?;
        self.sale_ids = sale_ids;
        Ok(done)
    }
}

impl Ledger for SqliteLedger {
    fn apply(&mut self, group: &[Job], now_ms: i64) -> Result<Vec<Outcome>, LedgerError> {
        group::carefully(|care| self.in_transaction(|tables| group::apply(tables, group, now_ms, care)))
    }

    fn replay(&mut self, filter: &ParkedFilter, note: Option<&Note>, now_ms: i64) -> Result<ParkedStep, LedgerError> {
        group::carefully(|care| {
            self.in_transaction(|tables| {
                let step = Step::next(tables, filter, note)?;
                step.apply(tables, now_ms, care)
            })
        })
    }

    fn repair(&mut self, repair: &Repair, now_ms: i64) -> Result<(), LedgerError> {
        self.in_transaction(|tables| group::repair(tables, repair, now_ms)).map_err(as_error)
    }

    fn restore(&mut self, restored: &Restored, now_ms: i64) -> Result<Result<(), RestoreRefused>, LedgerError> {
        self.in_transaction(|tables| group::restore(tables, restored, now_ms)).map_err(as_error)
    }

    fn fix(
        &mut self,
        parked_no: i64,
        correction: &Correction,
        note: &Note,
        now_ms: i64,
    ) -> Result<Result<(), ParkedRefused>, LedgerError> {
        let done = self.in_transaction(|tables| match Fix::prepare(tables, parked_no, correction, note)? {
            Ok(fix) => fix.apply(tables, now_ms),
            Err(refused) => Ok(Err(refused)),
        });
        group::sound(done)
    }

    fn waive(&mut self, parked_no: i64, note: &Note, now_ms: i64) -> Result<Result<(), ParkedRefused>, LedgerError> {
        group::sound(self.in_transaction(|tables| group::waive(tables, parked_no, note, now_ms)))
    }

    fn tidy(&mut self) -> Result<(), LedgerError> {
        self.log.as_mut().map_or(Ok(()), |log| log.keep(&self.connection))
    }

    fn end(&mut self) -> Result<(), LedgerError> {
        if self.log.is_some() { log::empty(&self.connection) } else { Ok(()) }
    }
}

impl SqliteReader {
    /// Opens a ledger for reading; there must be one, of this program's schema.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, flags)
    }

    /// Opens a ledger for the registry: stores and claim codes are changed beside the writer, in transactions of one
    /// row or two.
    pub fn open_registry(path: &Path) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let registry = Self::open_with(path, flags)?;
        registry.connection.pragma_update(None, "synchronous", "full").during("sync every commit")?;
        registry.connection.pragma_update(None, "wal_autocheckpoint", 0).during("leave the log to the writer")?;
        Ok(registry)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<Self, LedgerError> {
        check_library()?;
        let failed = |source| LedgerError::Open { path: path.display().to_string(), source };
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        wait_for_a_gap(&mut connection).map_err(failed)?;
        cache_statements(&connection)?;
        migrate::check(&connection, path)?;
        Ok(Self { connection })
    }
}

/// A busy writer leaves gaps of a millisecond between its groups. SQLite's own waiting sleeps for up to 100 ms at a time
/// and misses them; this one looks every millisecond.
fn wait_for_a_gap(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tries| {
        std::thread::sleep(Duration::from_millis(1));
        u128::try_from(tries).is_ok_and(|tries| tries < BUSY_WAIT.as_millis())
    }))
}

fn cache_statements(connection: &Connection) -> Result<(), LedgerError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Without it SQLite, built with STAT4 as it is here, may plan a cached statement anew for every value bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).during("keep the plans of statements")?;
    Ok(())
}

fn check_library() -> Result<(), LedgerError> {
    if rusqlite::version_number() < 3_051_003 {
        return Err(LedgerError::OldSqlite { found: rusqlite::version() });
    }
    Ok(())
}
