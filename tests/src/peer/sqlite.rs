//! The peer's rows in SQLite: one connection that requests take in turn, as SQLite has one writer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rusqlite::{Connection, params};
use sync_server::ledger::SqliteSettings;

use super::server::{PeerCount, Posted};
use crate::bench::bare;

const SCHEMA: &str = "
    CREATE TABLE sales (
        sale_id BLOB PRIMARY KEY, store TEXT NOT NULL, till TEXT NOT NULL, receipt_no INTEGER NOT NULL,
        business_date TEXT NOT NULL, sold_at_ms INTEGER NOT NULL, channel TEXT NOT NULL, currency TEXT NOT NULL,
        gross_minor INTEGER NOT NULL, tax_minor INTEGER NOT NULL, body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sale_lines (
        sale_id BLOB NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, quantity_micro INTEGER NOT NULL,
        gross_minor INTEGER NOT NULL, PRIMARY KEY (sale_id, line)
    ) STRICT, WITHOUT ROWID;";

/// The tables.
pub(super) struct SqliteTable(Arc<Mutex<Connection>>);

impl SqliteTable {
    /// Makes them in a fresh folder.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).context("make the folder")?;
        let connection = bare::open(&folder.join("peer.db"), SqliteSettings::STANDARD.cache_kib)?;
        connection.execute_batch(SCHEMA).context("make the tables")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Stores what is new of a request; says how many sales that were.
    pub(super) async fn insert(&self, posted: Posted) -> anyhow::Result<u64> {
        self.with(move |connection| insert(connection, &posted)).await
    }

    /// What is stored.
    pub(super) async fn count(&self) -> anyhow::Result<PeerCount> {
        let count = |connection: &mut Connection| {
            let query = "SELECT count(*), coalesce(sum(gross_minor), 0) FROM sales";
            let (sales, gross_minor): (i64, i64) =
                connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).context("count")?;
            Ok(PeerCount { sales: u64::try_from(sales)?, gross_minor })
        };
        self.with(count).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let connection = Arc::clone(&self.0);
        let work = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.context("the work ended badly")?
    }
}

fn insert(connection: &mut Connection, posted: &Posted) -> anyhow::Result<u64> {
    let transaction = connection.transaction().context("begin")?;
    let mut stored = 0;
    {
        let mut sale_row = transaction.prepare_cached(
            "INSERT INTO sales VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?;
        let mut line_row =
            transaction.prepare_cached("INSERT INTO sale_lines VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?;
        for sale in &posted.sales {
            let sale_id = sale.sale_id.uuid();
            let new = sale_row.execute(params![
                sale_id.as_bytes(),
                posted.store,
                sale.till_id.as_str(),
                i64::try_from(sale.receipt_no)?,
                sale.business_date.to_string(),
                sale.sold_at.utc_ms,
                sale.channel.as_str(),
                sale.currency.to_string(),
                sale.totals.gross_minor.minor(),
                sale.totals.tax_minor.minor(),
                serde_json::to_string(sale)?,
            ])?;
            if new == 0 {
                continue;
            }
            stored += 1;
            for (number, line) in (0i64..).zip(&sale.lines) {
                line_row.execute(params![
                    sale_id.as_bytes(),
                    number,
                    line.sku.as_str(),
                    line.quantity.micro(),
                    line.gross_minor.minor(),
                ])?;
            }
        }
    }
    transaction.commit().context("commit")?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sales;

    #[test]
    fn a_sale_that_comes_twice_is_stored_once() {
        let mut connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(SCHEMA).expect("valid");
        let sales = sales::templates(1).expect("an agent records them");
        let posted = Posted { store: "S-1".to_owned(), sales: sales[..20].to_vec() };
        assert_eq!(insert(&mut connection, &posted).expect("writable"), 20);
        assert_eq!(insert(&mut connection, &posted).expect("writable"), 0);
        let lines: i64 = connection.query_row("SELECT count(*) FROM sale_lines", [], |row| row.get(0)).expect("rows");
        let expected: usize = posted.sales.iter().map(|sale| sale.lines.len()).sum();
        assert_eq!(usize::try_from(lines), Ok(expected));
    }
}
