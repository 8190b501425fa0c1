//! Reading PostgreSQL, and changing the registry there.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Row, Statement};

use super::link::Link;
use super::session::Session;
use super::{PostgresInstances, PostgresLedger, PostgresReader};
use crate::ledger::LedgerError;
use crate::ledger::database::{AnyRow, Cell, Database, Dialect, KeptHashes, Row as _};

/// A session that is used for reading while something else holds it, such as a group.
pub(super) struct Access<'s>(pub(super) &'s Session);

/// Days from 1970-01-01, from which we count, to 2000-01-01, from which PostgreSQL does.
const DAYS_1970_TO_2000: i64 = 10_957;

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Number(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Number(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Number(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Number(bool::from_sql(ty, raw)?.into()),
            Type::DATE => Self::Number(i64::from(i32::from_sql(&Type::INT4, raw)?) + DAYS_1970_TO_2000),
            Type::BYTEA | Type::UUID => Self::Bytes(raw),
            _ => Self::Text(<&str>::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Nothing)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL | Type::DATE | Type::BYTEA | Type::UUID | Type::TEXT
        )
    }
}

impl Cell<'_> {
    /// Writes the value in the binary form of a column's type, without its length; says whether there is one.
    pub(super) fn encode(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, ValueError> {
        match (self, ty) {
            (Self::Nothing, _) => return Ok(IsNull::Yes),
            (Self::Number(number), &Type::INT8) => out.put_i64(*number),
            (Self::Number(number), &Type::INT4) => out.put_i32(narrow(*number)?),
            (Self::Number(number), &Type::INT2) => out.put_i16(narrow(*number)?),
            (Self::Number(number), &Type::BOOL) => out.put_u8(u8::from(*number != 0)),
            (Self::Number(days), &Type::DATE) => out.put_i32(narrow(days.saturating_sub(DAYS_1970_TO_2000))?),
            (Self::Text(text), &Type::TEXT) => put_text(text, out),
            (Self::Bytes(bytes), &Type::BYTEA | &Type::UUID) => out.put_slice(bytes),
            _ => return Err(ValueError("is not of the column's type")),
        }
        Ok(IsNull::No)
    }
}

/// Text as a database takes it: the character NUL, which it does not, is replaced. The event's bytes keep it.
pub(super) fn put_text(text: &str, out: &mut BytesMut) {
    let mut parts = text.split('\0');
    out.put_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.put_slice("\u{fffd}".as_bytes());
        out.put_slice(part.as_bytes());
    }
}

/// A value that does not fit its column.
#[derive(Debug, thiserror::Error)]
#[error("a value {0}")]
pub(super) struct ValueError(&'static str);

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, ValueError> {
    T::try_from(number).map_err(|_| ValueError("is too large for its column"))
}

impl ToSql for Cell<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(self.encode(ty, out)?)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

pub(in crate::ledger) fn cell<'r>(row: &'r Row, column: usize, doing: &'static str) -> Result<Cell<'r>, LedgerError> {
    row.try_get(column).map_err(|source| LedgerError::Postgres { doing, source: Box::new(source) })
}

const DIALECT: Dialect = Dialect {
    kept_hashes: KeptHashes::Last,
    hashes: "SELECT first_event_no + events - 1, last_hash FROM batches WHERE first_event_no BETWEEN ?1 AND ?2",
    went_back: "streams.went_back",
    forked: "successors > 1",
    behind: "streams.is_behind",
    applied_sales: "(SELECT id AS sale_id, store_no, event_no FROM fact_ids WHERE kind = 0) AS applied",
    settled: "SELECT settled_event_no()",
    rows_of_json: "json_array_elements(CAST(CAST(?1 AS text) AS json)) AS given (value)",
    date_of_json: "(date '1970-01-01' + CAST(value ->> 1 AS integer))",
    line_of_sale: "sales.event_no = sale_lines.line_no >> 10 AND sale_lines.business_date = sales.business_date",
    line_of_refund: "refunds.event_no = refund_lines.line_no >> 10",
};

fn parameters<'a>(values: &'a [Cell<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn query(session: &Session, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<Vec<Row>, LedgerError> {
    let statement: Statement = session.statement(doing, sql)?;
    session.wait(doing, session.client().query(&statement, &parameters(values)))
}

fn execute(session: &Session, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<u64, LedgerError> {
    let statement = session.statement(doing, sql)?;
    session.wait(doing, session.client().execute(&statement, &parameters(values)))
}

fn each_row(
    rows: &[Row],
    doing: &'static str,
    each: &mut dyn FnMut(&AnyRow<'_>) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    rows.iter().try_for_each(|row| each(&AnyRow::Postgres(row, doing)))
}

impl Database for Access<'_> {
    const DIALECT: Dialect = DIALECT;

    fn query(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[Cell<'_>],
        each: &mut dyn FnMut(&AnyRow<'_>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        each_row(&query(self.0, doing, sql, values)?, doing, each)
    }

    fn execute(&self, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<u64, LedgerError> {
        execute(self.0, doing, sql, values)
    }

    /// It is within a transaction already.
    fn snapshot<T>(
        &self,
        _doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        work(self)
    }

    /// It is within a transaction already.
    fn write<T>(
        &self,
        _doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        work(self)
    }

    /// It is within a transaction already.
    fn change<T>(
        &self,
        _doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        work(self)
    }
}

/// The store of a parked event, which is locked before anything is done about it.
pub(super) fn store_of_parked(session: &Session, parked_no: i64) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT store_no FROM parked WHERE parked_no = ?1";
    Access(session).first("read parked event", query, &[Cell::Number(parked_no)], |row| row.number(0))
}

trait Linked {
    fn link(&self) -> &Link;
}

impl Linked for PostgresLedger {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Linked for PostgresInstances {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Linked for PostgresReader {
    fn link(&self) -> &Link {
        &self.link
    }
}

/// Implements [`Database`] for what has a link.
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
                let rows = self.link().with(|session| query(session, doing, sql, values))?;
                each_row(&rows, doing, each)
            }

            fn execute(&self, doing: &'static str, sql: &str, values: &[Cell<'_>]) -> Result<u64, LedgerError> {
                self.link().with(|session| execute(session, doing, sql, values))
            }

            fn snapshot<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                self.link().transaction(doing, begin, || work(self))
            }

            fn change<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                // Whoever changes the registry holds its row, so changes follow one another.
                let begin = "BEGIN; SELECT 1 FROM registry WHERE id = 1 FOR UPDATE";
                self.link().transaction(doing, begin, || work(self))
            }

            fn write<T>(
                &self,
                doing: &'static str,
                work: impl FnOnce(&Self) -> Result<T, LedgerError>,
            ) -> Result<T, LedgerError> {
                self.link().transaction(doing, "BEGIN", || work(self))
            }

            fn prepare_walk(&self) {
                // Without the right to do so it is only slower.
                let summarize = "BEGIN READ WRITE; SELECT count(brin_summarize_new_values(pg_class.oid)) FROM pg_class
                    JOIN pg_am ON pg_am.oid = relam WHERE amname = 'brin' AND relkind = 'i'
                        AND relnamespace = current_schema()::regnamespace AND pg_has_role(relowner, 'USAGE'); COMMIT";
                let done = self.link().with(|session| {
                    session.batch("summarize indexes", summarize).or_else(|error| {
                        session.batch("roll back", "ROLLBACK")?;
                        Err(error)
                    })
                });
                if let Err(error) = done {
                    tracing::debug!(error = crate::telemetry::chain(&error), "indexes were not summarized");
                }
            }
        }
    )*};
}
databases!(PostgresLedger, PostgresReader, PostgresInstances);
