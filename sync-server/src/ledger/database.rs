//! What both homes of the ledger can do, so that what is read is written once.
//!
//! The SQL over this trait is the part that SQLite and PostgreSQL have in common: parameters are `?1`, `?2`, identifiers
//! are those of the tables, which both homes share. Where the two cannot say the same, [`Dialect`] has the words.

use pos_model::{ChainHash, StoreId};
use uuid::Uuid;

use super::LedgerError;

/// A value on its way into a statement or out of a row. A home converts it to the column's type: an identifier is 16 bytes
/// here, a business date is days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Cell<'a> {
    /// No value.
    Nothing,
    /// A whole number, a date, or 0 and 1 for no and yes.
    Number(i64),
    /// Text.
    Text(&'a str),
    /// Bytes, a hash or an identifier.
    Bytes(&'a [u8]),
}

/// Values for a statement, each converted.
macro_rules! cells {
    ($($value:expr),* $(,)?) => { &[$($crate::ledger::database::Cell::from($value)),*] };
}
pub(in crate::ledger) use cells;

macro_rules! from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Cell<'_> {
            fn from(number: $number) -> Self {
                Self::Number(i64::from(number))
            }
        }
    )*};
}
from_number!(i64, i32, u32, u16, bool);

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Cell<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Cell<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Nothing, Into::into)
    }
}

/// A row that was read.
pub(in crate::ledger) trait Row {
    /// The value in a column, from zero.
    fn cell(&self, column: usize) -> Result<Cell<'_>, LedgerError>;

    /// A number.
    fn number(&self, column: usize) -> Result<i64, LedgerError> {
        self.maybe_number(column)?.ok_or(DAMAGED)
    }

    /// A number that may be missing.
    fn maybe_number(&self, column: usize) -> Result<Option<i64>, LedgerError> {
        match self.cell(column)? {
            Cell::Number(number) => Ok(Some(number)),
            Cell::Nothing => Ok(None),
            Cell::Text(_) | Cell::Bytes(_) => Err(DAMAGED),
        }
    }

    /// A number that fits in a smaller type.
    fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T, LedgerError>
    where
        Self: Sized,
    {
        T::try_from(self.number(column)?).map_err(|_| DAMAGED)
    }

    /// A yes or no.
    fn is(&self, column: usize) -> Result<bool, LedgerError> {
        Ok(self.number(column)? != 0)
    }

    /// Text.
    fn text(&self, column: usize) -> Result<String, LedgerError> {
        self.maybe_text(column)?.ok_or(DAMAGED)
    }

    /// Text that may be missing.
    fn maybe_text(&self, column: usize) -> Result<Option<String>, LedgerError> {
        match self.cell(column)? {
            Cell::Text(text) => Ok(Some(text.to_owned())),
            Cell::Nothing => Ok(None),
            Cell::Number(_) | Cell::Bytes(_) => Err(DAMAGED),
        }
    }

    /// Bytes.
    fn bytes(&self, column: usize) -> Result<&[u8], LedgerError> {
        match self.cell(column)? {
            Cell::Bytes(bytes) => Ok(bytes),
            Cell::Nothing | Cell::Number(_) | Cell::Text(_) => Err(DAMAGED),
        }
    }

    /// A hash.
    fn hash(&self, column: usize) -> Result<ChainHash, LedgerError> {
        ChainHash::from_slice(self.bytes(column)?).ok_or(LedgerError::Damaged { what: "hash" })
    }

    /// An identifier.
    fn id(&self, column: usize) -> Result<Uuid, LedgerError> {
        Uuid::from_slice(self.bytes(column)?).map_err(|_| LedgerError::Damaged { what: "identifier" })
    }

    /// A store's id.
    fn store(&self, column: usize) -> Result<StoreId, LedgerError> {
        StoreId::new(self.text(column)?).map_err(|_| LedgerError::Damaged { what: "store id" })
    }
}

const DAMAGED: LedgerError = LedgerError::Damaged { what: "value" };

/// What the two homes say differently.
#[derive(Debug)]
pub(in crate::ledger) struct Dialect {
    /// Of which events the tables hold the hash beside the message.
    pub(in crate::ledger) kept_hashes: KeptHashes,
    /// The query of those hashes: numbers of events between `?1` and `?2`, each with its hash.
    pub(in crate::ledger) hashes: &'static str,
    /// The condition of an epoch that went on behind the place from which the next one started.
    pub(in crate::ledger) went_back: &'static str,
    /// The condition of an epoch that two others follow.
    pub(in crate::ledger) forked: &'static str,
    /// The condition of an epoch of which the store reported more than has arrived.
    pub(in crate::ledger) behind: &'static str,
    /// The applied sales by id: `sale_id`, `store_no` and `event_no`.
    pub(in crate::ledger) applied_sales: &'static str,
    /// The query of the number up to which every event is there or will never come.
    pub(in crate::ledger) settled: &'static str,
    /// The rows of an array that is handed over as JSON in `?1`, each an array, as the column `value`.
    pub(in crate::ledger) rows_of_json: &'static str,
    /// The date of days since 1970-01-01 that stand at place 1 of such a row.
    pub(in crate::ledger) date_of_json: &'static str,
    /// The condition of a line that belongs to the sale.
    pub(in crate::ledger) line_of_sale: &'static str,
    /// The condition of a line that belongs to the refund.
    pub(in crate::ledger) line_of_refund: &'static str,
}

/// Of which events the tables hold the hash beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum KeptHashes {
    /// Of each.
    Each,
    /// Of the last one that a message brought; those before it follow from the message.
    Last,
}

/// A connection to a home.
pub(in crate::ledger) trait Database {
    /// What this home says differently.
    const DIALECT: Dialect;

    /// Hands each row of a query to `each`. No other statement is given to the database meanwhile by `each`.
    fn query(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[Cell<'_>],
        each: &mut dyn FnMut(&AnyRow<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError>;

    /// Runs a statement and says how many rows it touched.
    fn execute(&self, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<u64, LedgerError>;

    /// Reads several things of one state of the database.
    fn snapshot<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError>;

    /// Changes several things in one database transaction, or none of them if `work` fails. Others that change the
    /// registry wait.
    fn change<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError>;

    /// Changes several things in one database transaction, or none of them if `work` fails. Nobody waits for it but whoever
    /// changes the same rows.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError>;

    /// Before all of the ledger is walked through: makes what was written last quick to find.
    fn prepare_walk(&self) {}

    /// Reads all rows of a query.
    fn all<T>(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[Cell<'_>],
        read: impl Fn(&AnyRow<'_>) -> Result<T, LedgerError>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut found = Vec::new();
        self.query(doing, sql, values, &mut |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Reads the first row of a query.
    fn first<T>(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[Cell<'_>],
        read: impl Fn(&AnyRow<'_>) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        Ok(self.all(doing, sql, values, read)?.into_iter().next())
    }
}

/// A row of either home.
pub(in crate::ledger) enum AnyRow<'r> {
    /// Of SQLite.
    Sqlite(&'r rusqlite::Row<'r>, &'static str),
    /// Of PostgreSQL.
    Postgres(&'r tokio_postgres::Row, &'static str),
}

impl Row for AnyRow<'_> {
    fn cell(&self, column: usize) -> Result<Cell<'_>, LedgerError> {
        match self {
            Self::Sqlite(row, doing) => super::sqlite::cell(row, column, doing),
            Self::Postgres(row, doing) => super::postgres::cell(row, column, doing),
        }
    }
}
