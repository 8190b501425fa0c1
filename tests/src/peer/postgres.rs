//! The peer's rows in PostgreSQL: a small pool of connections, a transaction for each request, and an insert for each table
//! that takes all rows of the request at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::server::{PeerCount, Posted};

/// Connections of the pool: what is usual, and more than two processors keep busy.
const CONNECTIONS: usize = 8;

const SCHEMA: &str = "
    CREATE TABLE sales (
        sale_id uuid PRIMARY KEY, store text NOT NULL, till text NOT NULL, receipt_no bigint NOT NULL,
        business_date text NOT NULL, sold_at_ms bigint NOT NULL, channel text NOT NULL, currency text NOT NULL,
        gross_minor bigint NOT NULL, tax_minor bigint NOT NULL, body text NOT NULL
    );
    CREATE TABLE sale_lines (
        sale_id uuid NOT NULL, line bigint NOT NULL, sku text NOT NULL, quantity_micro bigint NOT NULL,
        gross_minor bigint NOT NULL, PRIMARY KEY (sale_id, line)
    );";

const INSERT_SALES: &str = "
    INSERT INTO sales SELECT sale_id, $11, till, receipt_no, business_date, sold_at_ms, channel, currency, gross_minor, tax_minor, body
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
        $10::text[]) AS row (sale_id, till, receipt_no, business_date, sold_at_ms, channel, currency, gross_minor, tax_minor, body)
    ON CONFLICT DO NOTHING";

const INSERT_LINES: &str = "
    INSERT INTO sale_lines SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
    ON CONFLICT DO NOTHING";

/// The tables.
pub(super) struct PostgresTable {
    pool: Vec<Mutex<Link>>,
    next: AtomicUsize,
}

/// A connection with what it has prepared.
struct Link {
    client: Client,
    insert_sales: Statement,
    insert_lines: Statement,
}

impl PostgresTable {
    /// Makes them in an empty database.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut pool = Vec::new();
        for number in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connect to the database")?;
            tokio::spawn(connection);
            if number == 0 {
                client.batch_execute(SCHEMA).await.context("make the tables")?;
            }
            let insert_sales = client.prepare(INSERT_SALES).await.context("prepare")?;
            let insert_lines = client.prepare(INSERT_LINES).await.context("prepare")?;
            pool.push(Mutex::new(Link { client, insert_sales, insert_lines }));
        }
        Ok(Self { pool, next: AtomicUsize::new(0) })
    }

    /// The connections are taken in turn.
    fn any(&self) -> &Mutex<Link> {
        &self.pool[self.next.fetch_add(1, Ordering::Relaxed) % self.pool.len()]
    }

    /// Stores what is new of a request; says how many sales that were.
    pub(super) async fn insert(&self, posted: &Posted) -> anyhow::Result<u64> {
        let sales = Sales::of(posted)?;
        let mut link = self.any().lock().await;
        let Link { client, insert_sales, insert_lines } = &mut *link;
        let transaction = client.transaction().await.context("begin")?;
        let stored = transaction
            .execute(
                insert_sales,
                &[
                    &sales.sale_id,
                    &sales.till,
                    &sales.receipt_no,
                    &sales.business_date,
                    &sales.sold_at_ms,
                    &sales.channel,
                    &sales.currency,
                    &sales.gross_minor,
                    &sales.tax_minor,
                    &sales.body,
                    &posted.store,
                ],
            )
            .await
            .context("insert sales")?;
        let lines = sales.lines;
        transaction
            .execute(
                insert_lines,
                &[&lines.sale_id, &lines.line, &lines.sku, &lines.quantity_micro, &lines.gross_minor],
            )
            .await
            .context("insert lines")?;
        transaction.commit().await.context("commit")?;
        Ok(stored)
    }

    /// What is stored.
    pub(super) async fn count(&self) -> anyhow::Result<PeerCount> {
        let query = "SELECT count(*), coalesce(sum(gross_minor), 0)::bigint FROM sales";
        let row = self.any().lock().await.client.query_one(query, &[]).await.context("count")?;
        Ok(PeerCount { sales: u64::try_from(row.try_get::<_, i64>(0)?)?, gross_minor: row.try_get(1)? })
    }
}

/// The columns of a request's sales.
#[derive(Default)]
struct Sales<'a> {
    sale_id: Vec<Uuid>,
    till: Vec<&'a str>,
    receipt_no: Vec<i64>,
    business_date: Vec<String>,
    sold_at_ms: Vec<i64>,
    channel: Vec<&'a str>,
    currency: Vec<String>,
    gross_minor: Vec<i64>,
    tax_minor: Vec<i64>,
    body: Vec<String>,
    lines: Lines<'a>,
}

/// The columns of their lines.
#[derive(Default)]
struct Lines<'a> {
    sale_id: Vec<Uuid>,
    line: Vec<i64>,
    sku: Vec<&'a str>,
    quantity_micro: Vec<i64>,
    gross_minor: Vec<i64>,
}

impl<'a> Sales<'a> {
    fn of(posted: &'a Posted) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for sale in &posted.sales {
            all.sale_id.push(sale.sale_id.uuid());
            all.till.push(sale.till_id.as_str());
            all.receipt_no.push(i64::try_from(sale.receipt_no)?);
            all.business_date.push(sale.business_date.to_string());
            all.sold_at_ms.push(sale.sold_at.utc_ms);
            all.channel.push(sale.channel.as_str());
            all.currency.push(sale.currency.to_string());
            all.gross_minor.push(sale.totals.gross_minor.minor());
            all.tax_minor.push(sale.totals.tax_minor.minor());
            all.body.push(serde_json::to_string(sale)?);
            for (number, line) in (0i64..).zip(&sale.lines) {
                all.lines.sale_id.push(sale.sale_id.uuid());
                all.lines.line.push(number);
                all.lines.sku.push(line.sku.as_str());
                all.lines.quantity_micro.push(line.quantity.micro());
                all.lines.gross_minor.push(line.gross_minor.minor());
            }
        }
        Ok(all)
    }
}
