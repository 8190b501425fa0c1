//! The bare limit: the rows that a program of ours wrote, read back and inserted once more by prepared statements into
//! the same tables, with the same pages, journal and syncs, and nothing else. No decoding, no checks, no effects.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// The rows of one table, each with the number of the sale (from 0) that it belongs to.
#[derive(Debug)]
pub struct Rows {
    insert: String,
    rows: Vec<(usize, Vec<Value>)>,
}

impl Rows {
    /// Reads rows of a table. `select` gives the sale's number first, counted from 0, then every column of the table.
    /// Rows must come in the order of sales.
    pub fn read(connection: &Connection, table: &str, select: &str) -> anyhow::Result<Self> {
        let mut statement = connection.prepare(select).with_context(|| format!("read {table}"))?;
        let columns = statement.column_count() - 1;
        let mut rows = Vec::new();
        let mut cursor = statement.query([]).context("query")?;
        while let Some(row) = cursor.next().context("step")? {
            let sale: i64 = row.get(0).context("the sale's number")?;
            let values = (1..=columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?;
            rows.push((usize::try_from(sale).context("a sale's number is not negative")?, values));
        }
        let marks = vec!["?"; columns].join(",");
        Ok(Self { insert: format!("INSERT INTO {table} VALUES ({marks})"), rows })
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }
}

/// Inserts the rows of `sales` sales, a database transaction for every `sales_per_commit` of them; returns how long it
/// took. The connection is prepared by the caller exactly as ours is.
pub fn insert(
    connection: &mut Connection,
    tables: &[Rows],
    sales: usize,
    sales_per_commit: usize,
    mut between: impl FnMut(&Connection) -> rusqlite::Result<()>,
) -> anyhow::Result<Duration> {
    let mut next = vec![0; tables.len()];
    let started = Instant::now();
    let mut first = 0;
    while first < sales {
        let end = (first + sales_per_commit).min(sales);
        let transaction = connection.transaction().context("begin")?;
        for (table, next) in tables.iter().zip(&mut next) {
            let mut insert = transaction.prepare_cached(&table.insert).context("prepare")?;
            while let Some((_, values)) = table.rows.get(*next).filter(|(sale, _)| *sale < end) {
                insert.execute(params_from_iter(values)).context("insert")?;
                *next += 1;
            }
        }
        transaction.commit().context("commit")?;
        between(connection).context("between commits")?;
        first = end;
    }
    Ok(started.elapsed())
}

/// Opens a database file with the settings under which both sides are measured.
pub fn open(path: &Path, cache_kib: u32) -> anyhow::Result<Connection> {
    let connection = Connection::open(path).context("open the database")?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).context("journal_mode")?;
    connection.pragma_update(None, "synchronous", "full").context("synchronous")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib)).context("cache_size")?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).context("keep the plans of statements")?;
    Ok(connection)
}
