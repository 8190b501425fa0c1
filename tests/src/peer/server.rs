//! The server of the peer: a table behind a POST.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::latest::SaleCompleted;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync_server::ledger::SqliteSettings;
use tokio::net::TcpListener;

use crate::bench::bare;

/// A request of 500 sales is about a megabyte of JSON.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

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

/// What a store posts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Posted {
    pub(super) store: String,
    pub(super) sales: Vec<SaleCompleted>,
}

/// The line on standard output that says where it listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PeerReady {
    /// Its HTTP address.
    pub http: SocketAddr,
}

type Shared = Arc<Mutex<Connection>>;

/// Serves on a free port of this machine, on a database in a folder, until the process ends.
pub async fn serve(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).context("make the folder")?;
    let connection = bare::open(&folder.join("peer.db"), SqliteSettings::STANDARD.cache_kib)?;
    connection.execute_batch(SCHEMA).context("make the tables")?;
    let app = Router::new()
        .route("/sales", post(take))
        .route("/count", get(count))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(Mutex::new(connection)));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen")?;
    let ready = PeerReady { http: listener.local_addr().context("ask for the address")? };
    println!("{}", serde_json::to_string(&ready)?);
    axum::serve(listener, app).await.context("serve")
}

async fn take(State(shared): State<Shared>, Json(posted): Json<Posted>) -> Result<Json<Value>, StatusCode> {
    let work = move || {
        let mut connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
        insert(&mut connection, &posted)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(stored)) => Ok(Json(json!({ "stored": stored }))),
        _ => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn insert(connection: &mut Connection, posted: &Posted) -> anyhow::Result<usize> {
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

async fn count(State(shared): State<Shared>) -> Result<Json<Value>, StatusCode> {
    let work = move || {
        let connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let query = "SELECT count(*), coalesce(sum(gross_minor), 0) FROM sales";
        connection.query_row(query, [], |row| {
            Ok(json!({ "sales": row.get::<_, i64>(0)?, "gross_minor": row.get::<_, i64>(1)? }))
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(found)) => Ok(Json(found)),
        _ => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
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
