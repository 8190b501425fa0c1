//! Reading SQLite, and changing the registry there.

use pos_model::ChainHash;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params_from_iter};

use super::sale_ids::APPLIED_SALES;
use super::{During, SqliteLedger, SqliteReader};
use crate::ledger::LedgerError;
use crate::ledger::database::{AnyRow, Cell, Database, Dialect, KeptHashes};

/// A connection that is used for reading while something else holds it, such as a group.
pub(super) struct Access<'c>(pub(super) &'c Connection);

trait Connected {
    fn connection(&self) -> &Connection;
}

impl Connected for SqliteLedger {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Connected for SqliteReader {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Connected for Access<'_> {
    fn connection(&self) -> &Connection {
        self.0
    }
}

/// Implements [`Database`] for what has a connection.
macro_rules! databases {
    ($($home:ty),*) => {$(
        impl Database for $home {
            const DIALECT: Dialect = DIALECT;

            fn query(
                &self,
                doing: &'static str,
                sql: &str,
                values: &[Cell<'_>],
                each: &mut dyn FnMut(&AnyRow<'_>) -> Result<(), LedgerError>,
            ) -> Result<(), LedgerError> {
                let mut statement = self.connection().prepare_cached(sql).during(doing)?;
                let mut rows = statement.query(params_from_iter(values)).during(doing)?;
                while let Some(row) = rows.next().during(doing)? {
                    each(&AnyRow::Sqlite(row, doing))?;
                }
                Ok(())
            }

            fn execute(&self, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<u64, LedgerError> {
                let mut statement = self.connection().prepare_cached(sql).during(doing)?;
                let rows = statement.execute(params_from_iter(values)).during(doing)?;
                Ok(u64::try_from(rows).unwrap_or(u64::MAX))
            }

            fn snapshot<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                let _snapshot = self.connection().unchecked_transaction().during(doing)?;
                work(self)
            }

            fn change<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                let transaction = Transaction::new_unchecked(self.connection(), TransactionBehavior::Immediate);
                let transaction = transaction.during(doing)?;
                let done = work(self)?;
                transaction.commit().during(doing)?;
                Ok(done)
            }

            fn write<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                self.change(doing, work)
            }
        }
    )*};
}
databases!(SqliteLedger, SqliteReader, Access<'_>);

const DIALECT: Dialect = Dialect {
    kept_hashes: KeptHashes::Each,
    hashes: "SELECT event_no, hash FROM events WHERE event_no BETWEEN ?1 AND ?2",
    went_back: "applied_seq > continued_at",
    forked: "successors > 1",
    behind: "reported_head > applied_seq",
    applied_sales: APPLIED_SALES,
    settled: "SELECT max(event_no) FROM events",
    rows_of_json: "json_each(?1)",
    date_of_json: "CAST(value ->> 1 AS INTEGER)",
    line_of_sale: "sale_lines.line_no BETWEEN 1024 * sales.event_no AND 1024 * sales.event_no + 1023",
    line_of_refund: "refund_lines.line_no BETWEEN 1024 * refunds.event_no AND 1024 * refunds.event_no + 1023",
};

pub(in crate::ledger) fn cell<'r>(
    row: &'r Row<'_>,
    column: usize,
    doing: &'static str,
) -> Result<Cell<'r>, LedgerError> {
    match row.get_ref(column).during(doing)? {
        ValueRef::Null => Ok(Cell::Nothing),
        ValueRef::Integer(number) => Ok(Cell::Number(number)),
        ValueRef::Text(text) => {
            std::str::from_utf8(text).map(Cell::Text).map_err(|_| LedgerError::Damaged { what: "text" })
        }
        ValueRef::Blob(bytes) => Ok(Cell::Bytes(bytes)),
        ValueRef::Real(_) => Err(LedgerError::Damaged { what: "number" }),
    }
}

/// A hash that this program wrote.
pub(super) fn hash_of(value: ValueRef<'_>) -> Result<ChainHash, LedgerError> {
    let damaged = LedgerError::Damaged { what: "hash" };
    value.as_blob().ok().and_then(ChainHash::from_slice).ok_or(damaged)
}
