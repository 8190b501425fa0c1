//! The server of the peer: a table behind a POST.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::latest::SaleCompleted;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::postgres::PostgresTable;
use super::sqlite::SqliteTable;

/// A request of 500 sales is about a megabyte of JSON.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a store posts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Posted {
    pub(super) store: String,
    pub(super) sales: Vec<SaleCompleted>,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCount {
    /// Sales.
    pub sales: u64,
    /// What customers paid for them, in minor units.
    pub gross_minor: i64,
}

/// The line on standard output that says where it listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PeerReady {
    /// Its HTTP address.
    pub http: SocketAddr,
}

/// Where the rows are.
enum Table {
    Sqlite(SqliteTable),
    Postgres(PostgresTable),
}

impl Table {
    async fn insert(&self, posted: Posted) -> anyhow::Result<u64> {
        match self {
            Self::Sqlite(table) => table.insert(posted).await,
            Self::Postgres(table) => table.insert(&posted).await,
        }
    }

    async fn count(&self) -> anyhow::Result<PeerCount> {
        match self {
            Self::Sqlite(table) => table.count().await,
            Self::Postgres(table) => table.count().await,
        }
    }
}

/// Serves on a free port of this machine until the process ends, on a file in a folder, or on a PostgreSQL database that is
/// empty.
pub async fn serve(folder: &Path, database: Option<&str>) -> anyhow::Result<()> {
    let table = match database {
        Some(url) => Table::Postgres(PostgresTable::open(url).await?),
        None => Table::Sqlite(SqliteTable::open(folder)?),
    };
    let app = Router::new()
        .route("/sales", post(take))
        .route("/count", get(count))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(table));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen")?;
    let ready = PeerReady { http: listener.local_addr().context("ask for the address")? };
    println!("{}", serde_json::to_string(&ready)?);
    axum::serve(listener, app).await.context("serve")
}

async fn take(State(table): State<Arc<Table>>, Json(posted): Json<Posted>) -> Result<Json<Value>, StatusCode> {
    let stored = table.insert(posted).await.map_err(unavailable)?;
    Ok(Json(json!({ "stored": stored })))
}

async fn count(State(table): State<Arc<Table>>) -> Result<Json<PeerCount>, StatusCode> {
    table.count().await.map(Json).map_err(unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn unavailable(error: anyhow::Error) -> StatusCode {
    eprintln!("{error:#}");
    StatusCode::SERVICE_UNAVAILABLE
}
