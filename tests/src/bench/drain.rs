//! `bench drain`: a backlog drained into the ledger, beside the bare writing of the rows that it left there: prepared inserts
//! into SQLite, or copies into PostgreSQL.
//!
//! A real server process on a fresh folder; in this process, stores with the real `StoreSync` over real connections,
//! whose events are encoded before the clock starts, as they are in an agent's outbox. The clock runs from the first
//! connect until the last event is confirmed by an ack, so that every sale of the count is committed and answered. The way
//! in is the server's listener, or a real Mosquitto between the stores and the server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use pos_model::StoreId;
use protocol::latest::SaleCompleted;
use rusqlite::Connection;
use serde_json::json;
use sync_core::{Random, StoreLimits};
use sync_server::ledger::{Claim, CodeHash, LedgerHome, SecretHash, SqliteLedger, SqliteSettings};

use super::{Machine, Report, Round, backlog, bare, bare_postgres, folder, peak_rss_kb, per_second};
use crate::load::{LoadStore, Outbox, Progress, Target};
use crate::process::Server;
use crate::surroundings::{Home, Surroundings, Via};

/// What to drain.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The way in.
    pub via: Via,
    /// Where the ledger is at home.
    pub home: Home,
    /// Stores, each with a connection of its own.
    pub stores: u64,
    /// Sales in the outbox of each.
    pub sales_per_store: u64,
    /// Events that a store puts into one batch at the most.
    pub batch: u32,
    /// How often to repeat; the figures are medians.
    pub rounds: usize,
    /// The seed of the backlog.
    pub seed: u64,
}

/// Rows of the bare run: enough to last for seconds, few enough to hold in memory as values.
const BARE_SALES_MAX: usize = 400_000;

/// Sales in one database transaction of the bare run: what the server's own groups reach under this load.
const BARE_SALES_PER_COMMIT: usize = 5_000;

/// Runs the case.
pub fn run(settings: &Settings, templates: &[SaleCompleted]) -> anyhow::Result<Report> {
    let total = settings.stores * settings.sales_per_store;
    let mut rounds = Vec::new();
    let mut rss_kb = 0;
    let (mut machine, mut ledger) = (None, String::new());
    for number in 1..=settings.rounds {
        let folder = folder()?;
        machine.get_or_insert_with(|| Machine::here(folder.path()));
        eprintln!(
            "round {number}/{}: making a backlog of {total} sales in {} stores",
            settings.rounds, settings.stores
        );
        let outboxes = backlog::outboxes(settings.stores, settings.sales_per_store, templates, settings.seed);
        let drained = drain(folder.path(), outboxes, settings)?;
        rss_kb = rss_kb.max(drained.rss_kb);
        let sales_per_s = per_second(total, drained.elapsed);
        eprintln!(
            "round {number}/{}: {sales_per_s} sales/s, {} batches, {} bytes on the wire per sale",
            settings.rounds,
            drained.batches,
            drained.bytes / total.max(1),
        );
        let bare_per_s = bare_limit(&drained.surroundings, &drained.ledger, folder.path(), total)?;
        eprintln!("round {number}/{}: bare rows {bare_per_s} sales/s", settings.rounds);
        ledger = drained.surroundings.ledger_in_words();
        rounds.push(Round { sales_per_s, bare_per_s });
    }
    let settings = json!({
        "via": settings.via.as_str(), "into": settings.home.as_str(),
        "stores": settings.stores, "sales_per_store": settings.sales_per_store, "batch": settings.batch,
        "rounds": settings.rounds, "seed": settings.seed,
        "ledger": ledger, "bare_sales_per_commit": BARE_SALES_PER_COMMIT,
        "load_generator": "same machine, one thread", "machine": machine,
    });
    Ok(Report { case: "drain", settings, rss_mb: Some(rss_kb / 1024), ..Report::default() }.with_rounds(rounds))
}

struct Drained {
    elapsed: Duration,
    batches: u64,
    bytes: u64,
    rss_kb: u64,
    ledger: LedgerHome,
    surroundings: Surroundings,
}

fn drain(folder: &Path, outboxes: Vec<Outbox>, settings: &Settings) -> anyhow::Result<Drained> {
    let data = folder.join("server").join("data");
    std::fs::create_dir_all(&data).context("make the server's folder")?;
    let mut surroundings = Surroundings::prepare(folder, settings.home, settings.via)?;
    let ledger = surroundings.ledger(&data)?;
    let stores = enroll(&ledger, settings)?;
    let mut server = Server::start_with(&folder.join("server"), surroundings.server_settings())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(surroundings.start_broker(&server, stores.len()))?;
    let mqtt = surroundings.mqtt(&server);
    let target = Target { mqtt, started: Instant::now() };
    let progress = Arc::new(Progress::default());
    let limits = StoreLimits { batch_events_max: settings.batch, ..StoreLimits::PRODUCTION };
    let events: u64 = outboxes.iter().map(|outbox| outbox.head().get()).sum();
    let elapsed = runtime.block_on(async {
        let tasks = tokio::task::LocalSet::new();
        let started = Instant::now();
        for (index, ((store, secret), outbox)) in stores.into_iter().zip(outboxes).enumerate() {
            let seed = settings.seed ^ index as u64;
            let store = LoadStore::new(store, secret, outbox, limits.clone(), target, seed, Arc::clone(&progress));
            let store = if surroundings.asks_for_proofs() { store.proving() } else { store };
            tasks.spawn_local(store.drain());
        }
        let watch = Arc::clone(&progress);
        let reporter = tokio::spawn(async move {
            let mut before = 0;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let confirmed = watch.confirmed_events.load(Ordering::Relaxed);
                let connects = watch.connects.load(Ordering::Relaxed);
                let refused = watch.refused.load(Ordering::Relaxed);
                eprintln!(
                    "  {confirmed}/{events} events, {}/s, {connects} connects, {refused} refused",
                    confirmed - before
                );
                before = confirmed;
            }
        });
        tasks.await;
        reporter.abort();
        started.elapsed()
    });
    let rss_kb = server.pid().and_then(peak_rss_kb).unwrap_or(0);
    server.stop()?;
    let applied = count_sales(&surroundings, &ledger)?;
    ensure!(applied == settings.stores * settings.sales_per_store, "{applied} sales are in the ledger");
    Ok(Drained {
        elapsed,
        batches: progress.batches.load(Ordering::Relaxed),
        bytes: progress.batch_bytes.load(Ordering::Relaxed),
        rss_kb,
        ledger,
        surroundings,
    })
}

/// How many sales are in a ledger.
fn count_sales(surroundings: &Surroundings, ledger: &LedgerHome) -> anyhow::Result<u64> {
    const COUNT: &str = "SELECT count(*) FROM sales";
    if let Some(database) = surroundings.database() {
        return database.server.query(&database.url, COUNT).concat().parse().context("a number of sales");
    }
    let file = ledger.file().context("the ledger is a file")?;
    let connection = Connection::open(file).context("open the ledger")?;
    let sales: i64 = connection.query_row(COUNT, [], |row| row.get(0)).context("count")?;
    u64::try_from(sales).context("a number of sales")
}

/// Adds the stores to a fresh ledger as an enrolment would, a thousand times faster.
fn enroll(ledger: &LedgerHome, settings: &Settings) -> anyhow::Result<Vec<(StoreId, String)>> {
    drop(ledger.open().context("make the ledger")?);
    let registry = ledger.registry().context("open the registry")?;
    let mut random = Random::new(settings.seed);
    (0..settings.stores)
        .map(|number| {
            let store = StoreId::new(format!("S{number:05}")).context("a store id")?;
            let secret = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
            let code = CodeHash::of(secret.as_bytes());
            registry.add_store(&store, None, Claim { code, expires_at_ms: i64::MAX }, 0).context("add a store")?;
            registry.enroll(&store, code, SecretHash::of(secret.as_bytes()), 0)?.context("enroll a store")?;
            Ok((store, secret))
        })
        .collect()
}

/// Writes the rows that the server wrote once more into a fresh ledger of the same schema; gives sales per second.
pub(super) fn bare_limit(
    surroundings: &Surroundings,
    ledger: &LedgerHome,
    folder: &Path,
    total: u64,
) -> anyhow::Result<u64> {
    let sales_max = usize::try_from(total).unwrap_or(usize::MAX).min(BARE_SALES_MAX);
    match surroundings.database() {
        Some(database) => bare_postgres::copy(database, sales_max, BARE_SALES_PER_COMMIT),
        None => bare_inserts(ledger.file().context("the ledger is a file")?, folder, sales_max),
    }
}

/// Inserts the rows of a file into another one.
fn bare_inserts(ledger: &Path, folder: &Path, sales: usize) -> anyhow::Result<u64> {
    let from = Connection::open(ledger).context("open the ledger")?;
    // Sales by the number of their event: the messages that brought them, their events, the sales, their lines.
    from.execute_batch(&format!(
        "CREATE TEMP TABLE pick AS
         SELECT row_number() OVER (ORDER BY event_no) - 1 AS n, event_no FROM sales ORDER BY event_no LIMIT {sales};
         CREATE UNIQUE INDEX temp.pick_by_event ON pick (event_no);"
    ))
    .context("pick sales")?;
    let tables = [
        bare::Rows::read(
            &from,
            "batches",
            "SELECT (SELECT n FROM pick WHERE event_no >= first_event_no ORDER BY event_no LIMIT 1) AS n, batches.* FROM batches
             WHERE n IS NOT NULL ORDER BY n",
        )?,
        bare::Rows::read(&from, "events", "SELECT n, events.* FROM pick JOIN events USING (event_no) ORDER BY n")?,
        // The ids as one index.
        bare::Rows::read(
            &from,
            "sale_ids",
            "SELECT n, ids.sale_id, ids.event_no, ids.store_no FROM pick JOIN (SELECT * FROM new_sale_ids
                UNION ALL SELECT * FROM sale_ids) AS ids USING (event_no) ORDER BY n",
        )?,
        bare::Rows::read(&from, "sales", "SELECT n, sales.* FROM pick JOIN sales USING (event_no) ORDER BY n")?,
        bare::Rows::read(
            &from,
            "sale_lines",
            "SELECT n, sale_lines.* FROM sale_lines JOIN pick ON pick.event_no = sale_lines.line_no >> 10 ORDER BY line_no",
        )?,
    ];
    drop(from);
    let path = folder.join("bare.db");
    // The same pages, schema and cache as the server's.
    drop(SqliteLedger::open(&path, &SqliteSettings::STANDARD).context("make the bare database")?);
    let mut connection = bare::open(&path, SqliteSettings::STANDARD.cache_kib)?;
    move_pages_as_the_server_does(&connection)?;
    let elapsed = bare::insert(&mut connection, &tables, sales, BARE_SALES_PER_COMMIT, |_| Ok(()))?;
    Ok(per_second(sales as u64, elapsed))
}

/// SQLite's own checkpoints, after the commit with which as much has been written as the server waits for. They wait
/// for nobody either, so the bare side does the same work for its log as the server does and no more.
fn move_pages_as_the_server_does(connection: &Connection) -> anyhow::Result<()> {
    let log_bytes = i64::from(SqliteSettings::STANDARD.wal_kib_max) * 1024;
    let page_bytes: i64 =
        connection.pragma_query_value(None, "page_size", |row| row.get(0)).context("read the page size")?;
    connection.pragma_update(None, "wal_autocheckpoint", log_bytes / page_bytes).context("wal_autocheckpoint")?;
    connection.pragma_update(None, "journal_size_limit", log_bytes).context("journal_size_limit")
}
