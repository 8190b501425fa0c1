//! `bench edge`: durable sale commits through the agent's writer, beside bare SQLite doing the same rows with the same
//! syncs.
//!
//! Ours is everything between the till's checked command and the answer: the writer's channel, the numbers, the event's
//! encoding and hash, the rows, and the commit that is synced before the answer. Bare is the same inserts and upserts by
//! prepared statements, in database transactions of the size that ours had on average, with values read back from what
//! ours wrote.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agent::changes::Changes;
use agent::clock::{StoreClock, SystemClock, random_epoch, random_event_id};
use agent::db::{CommandDigest, Durability, Recorded, Rules, Store};
use agent::readers::Readers;
use agent::uplink::perform::{self, Speaker};
use agent::writer::Writer;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use pos_model::{Currency, DayCutOff, Seq, StoreId};
use protocol::latest::{EventBody, OpenReason, decode_event};
use rusqlite::{Connection, params};
use serde_json::json;
use till::SaleDraft;

use super::{Machine, Report, Round, bare, folder, per_second};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tills that sell at once, each waiting for its answer before the next sale.
    pub tills: usize,
    /// How long each round of ours lasts.
    pub seconds: u64,
    /// How often to repeat; the figures are medians.
    pub rounds: usize,
    /// Whether a backlog is read and confirmed at the same time, as while the store syncs.
    pub syncing: bool,
}

/// A checked command with its digest, as the local API hands it to the writer.
pub type Command = (SaleDraft, CommandDigest);

/// Runs the case. `commands` makes the n-th command.
pub fn run(settings: &Settings, commands: &(dyn Fn(u64) -> Command + Sync)) -> anyhow::Result<Report> {
    let mut rounds = Vec::new();
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).context("make a histogram")?;
    let mut machine = None;
    let mut group_sizes = Vec::new();
    for number in 1..=settings.rounds {
        let folder = folder()?;
        machine.get_or_insert_with(|| Machine::here(folder.path()));
        let path = folder.path().join("store.db");
        let ours = sell(&path, settings, commands, &mut latency)?;
        let sales_per_s = per_second(ours.sales, ours.elapsed);
        let group = usize::try_from(ours.sales / ours.commits.max(1)).unwrap_or(1).max(1);
        eprintln!("round {number}/{}: {sales_per_s} sales/s, {group} in a commit", settings.rounds);
        let bare_per_s = bare_commits(&path, folder.path(), group, Duration::from_secs(settings.seconds))?;
        eprintln!("round {number}/{}: bare SQLite {bare_per_s} sales/s", settings.rounds);
        group_sizes.push(group);
        rounds.push(Round { sales_per_s, bare_per_s });
    }
    let settings = json!({
        "tills": settings.tills, "seconds": settings.seconds, "rounds": settings.rounds, "syncing": settings.syncing,
        "sales_per_commit": group_sizes, "journal": "WAL, synchronous=FULL", "machine": machine,
    });
    Ok(Report {
        case: "edge",
        settings,
        p50_us: Some(latency.value_at_quantile(0.5)),
        p99_us: Some(latency.value_at_quantile(0.99)),
        max_us: Some(latency.max()),
        ..Report::default()
    }
    .with_rounds(rounds))
}

struct Ours {
    sales: u64,
    commits: u64,
    elapsed: Duration,
}

/// What a measured store's sales obey.
fn rules() -> Rules {
    Rules { currency: Some(Currency::CNY), cut_off: DayCutOff::default() }
}

/// Opens a store's books for a measurement.
pub(super) fn open(path: &Path) -> anyhow::Result<Store> {
    Store::open(path, rules()).context("open the store's books")
}

/// Books in memory.
pub(super) fn open_in_memory() -> anyhow::Result<Store> {
    Store::open_in_memory(rules()).context("open a store's books in memory")
}

fn sell(
    path: &Path,
    settings: &Settings,
    commands: &(dyn Fn(u64) -> Command + Sync),
    latency: &mut Histogram<u64>,
) -> anyhow::Result<Ours> {
    let clock = StoreClock::new(Arc::new(SystemClock), TimeZone::UTC);
    let mut store = open(path)?;
    let now = clock.now();
    let head = store.open_epoch(random_epoch()?, random_event_id(now.utc_ms)?, now, OpenReason::Start, "bench")?;
    if settings.syncing {
        backlog(&mut store, &clock, commands)?;
    }
    let head = store.head().unwrap_or(head);
    let (writer, thread) =
        Writer::start(store, head, clock, Changes::new(head.place.epoch)).context("start the writer")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let next = AtomicU64::new(BACKLOG);
    let stop = Arc::new(AtomicBool::new(false));
    let result = runtime.block_on(async {
        let syncing =
            settings.syncing.then(|| tokio::spawn(sync_backlog(Readers::new(path), writer.clone(), Arc::clone(&stop))));
        let before = *writer.commits().borrow();
        let started = Instant::now();
        let deadline = started + Duration::from_secs(settings.seconds);
        let tills = (0..settings.tills).map(|_| async {
            let mut latencies = Vec::new();
            while Instant::now() < deadline {
                let (draft, digest) = commands(next.fetch_add(1, Ordering::Relaxed));
                let asked = Instant::now();
                match writer.record_sale(draft, digest).await {
                    Ok(Recorded::New(_)) => latencies.push(asked.elapsed()),
                    other => bail!("a sale was not recorded: {other:?}"),
                }
            }
            Ok(latencies)
        });
        let latencies = join_all(tills.collect()).await;
        let elapsed = started.elapsed();
        let commits = *writer.commits().borrow() - before;
        stop.store(true, Ordering::Relaxed);
        if let Some(syncing) = syncing {
            let confirmed = syncing.await.context("the syncing task")??;
            eprintln!("  {confirmed} events were sent and confirmed meanwhile");
        }
        anyhow::Ok((latencies, elapsed, commits))
    });
    let (latencies, elapsed, commits) = result?;
    let mut sales = 0;
    for latencies in latencies {
        for took in latencies? {
            sales += 1;
            latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }
    runtime.block_on(writer.close());
    drop(writer);
    thread.join();
    Ok(Ours { sales, commits, elapsed })
}

/// Waits for all futures, polling them as one task.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

/// Sales in the backlog that is synced while tills sell: half a day of a busy store.
const BACKLOG: u64 = 20_000;

fn backlog(store: &mut Store, clock: &StoreClock, commands: &dyn Fn(u64) -> Command) -> anyhow::Result<()> {
    let numbers: Vec<u64> = (0..BACKLOG).collect();
    for chunk in numbers.chunks(500) {
        store.begin(Durability::Promise)?;
        for number in chunk {
            let (draft, digest) = commands(*number);
            let now = clock.now();
            store.record_sale(draft, &digest, random_event_id(now.utc_ms)?, now)?;
        }
        store.commit()?;
    }
    Ok(())
}

/// Does what the uplink does with a backlog, without a network: reads and seals a batch, then confirms it.
async fn sync_backlog(readers: Readers, writer: Writer, stop: Arc<AtomicBool>) -> anyhow::Result<u64> {
    let speaker = Speaker { store_id: StoreId::new("bench")?, agent_version: "bench".to_owned() };
    let epoch = writer.head().borrow().place.epoch;
    let mut next = Seq::FIRST;
    while !stop.load(Ordering::Relaxed) {
        let speaker = speaker.clone();
        let from = next;
        let made = readers.read(move |view| Ok(perform::batch(view, &speaker, epoch, from, 500))).await?;
        match made? {
            Some((_, sent)) => {
                writer.confirm(epoch, sent.through).await?;
                next = sent.through.seq.next();
            }
            // The tills are slower than this loop.
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    Ok(next.previous().get())
}

/// One sale's rows, as values.
struct BareSale {
    event: (i64, String, i64, Vec<u8>, Vec<u8>),
    sale: Vec<rusqlite::types::Value>,
    till: String,
    date: i64,
    stock: Vec<(String, i64)>,
}

/// Writes the same rows without anything else, for as long as ours took.
fn bare_commits(ours: &Path, folder: &Path, group: usize, time: Duration) -> anyhow::Result<u64> {
    let sales = read_sales(ours)?;
    let path = folder.join("bare.db");
    drop(open(&path)?);
    let mut connection = bare::open(&path, 2 * 1024)?;
    let settings = Connection::open(ours).context("open ours")?;
    for pragma in ["wal_autocheckpoint", "journal_size_limit"] {
        let value: i64 = settings.pragma_query_value(None, pragma, |row| row.get(0)).context("read a pragma")?;
        connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).context("set a pragma")?;
    }
    let marks = vec!["?"; sales.first().map_or(0, |sale| sale.sale.len())].join(",");
    let insert_sale = format!("INSERT INTO sale VALUES ({marks})");
    let started = Instant::now();
    let mut done = 0;
    for chunk in sales.chunks(group) {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).context("begin")?;
        for sale in chunk {
            bare_sale(&transaction, &insert_sale, sale).context("write a sale's rows")?;
        }
        transaction.commit().context("commit")?;
        done += chunk.len() as u64;
        if started.elapsed() >= time {
            break;
        }
    }
    Ok(per_second(done, started.elapsed()))
}

fn bare_sale(connection: &Connection, insert_sale: &str, sale: &BareSale) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO till_head VALUES (?1, 1) ON CONFLICT DO UPDATE SET receipt_no = receipt_no + 1
             RETURNING receipt_no",
        )?
        .query_row([&sale.till], |row| row.get::<_, i64>(0))?;
    connection
        .prepare_cached(
            "INSERT INTO pickup_head VALUES (?1, 1) ON CONFLICT DO UPDATE SET pickup_no = pickup_no + 1
             RETURNING pickup_no",
        )?
        .query_row([sale.date], |row| row.get::<_, i64>(0))?;
    connection
        .prepare_cached(
            "INSERT INTO day_total (business_date, sales, lines, units_micro, gross_minor, tax_minor) VALUES (?1, 1, 1, 1, 1, 1) ON CONFLICT DO UPDATE SET sales = sales + 1,
             lines = lines + 1, units_micro = units_micro + 1, gross_minor = gross_minor + 1, tax_minor = tax_minor + 1",
        )?
        .execute([sale.date])?;
    let mut stock = connection.prepare_cached(
        "INSERT INTO stock_usage VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET used_micro = used_micro + ?3",
    )?;
    for (item, used) in &sale.stock {
        stock.execute(params![sale.date, item, used])?;
    }
    let (position, kind, at, hash, bytes) = &sale.event;
    connection
        .prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![position, kind, at, hash, bytes])?;
    connection.prepare_cached(insert_sale)?.execute(rusqlite::params_from_iter(&sale.sale))?;
    Ok(())
}

fn read_sales(path: &Path) -> anyhow::Result<Vec<BareSale>> {
    let connection = Connection::open(path).context("open ours")?;
    let mut select = connection.prepare(
        "SELECT event.position, kind, event.recorded_at, hash, bytes, sale.* FROM event JOIN sale USING (position)
         ORDER BY position",
    )?;
    let columns = select.column_count();
    let rows = select.query_map([], |row| {
        let event = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?);
        let sale = (5..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<_>>>()?;
        Ok((event, sale))
    })?;
    rows.map(|row| {
        let (event, sale) = row.context("read a sale")?;
        let EventBody::SaleCompleted(completed) = decode_event(&event.4)?.body else { bail!("an event is no sale") };
        let lines = completed.lines.iter().flat_map(|line| &line.consumption);
        let stock = lines.map(|used| (used.item_id.to_string(), used.quantity.micro())).collect();
        let date = i64::from(completed.business_date.days());
        Ok(BareSale { event, sale, till: completed.till_id.to_string(), date, stock })
    })
    .collect()
}
