//! `bench counter`: sales over HTTP at several tills at once, while a backlog drains to a real centre and a Z report of
//! thousands of sales is made.
//!
//! Each sale is an order that the agent prices by the sample book: with its cups, its use of stock and its event on disk
//! before the answer. Beside it stands the same number of tills that only ask `/healthz` of the same agent, which is what
//! HTTP alone costs on this machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agent::clock::{StoreClock, SystemClock, random_epoch, random_event_id};
use agent::db::{CommandKey, Durability, Moment, Once, Recorded, Store};
use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use pos_model::{CommandId, ShiftId, TillId};
use protocol::latest::OpenReason;
use protocol::latest::local_api::SyncState;
use protocol::latest::shift_api::OpenShift;
use serde_json::{Value, json};
use uuid::Uuid;

use super::edge::{self, Command};
use super::{Machine, Report, Round, folder, per_second};
use crate::process::{Agent, Server};
use crate::workload::tea_book_path;

/// The till whose shift is closed during the measurement.
const Z_TILL: &str = "Z";

/// How long anything around the measurement may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tills that sell at once, each waiting for its answer before the next sale.
    pub tills: usize,
    /// How long each round lasts.
    pub seconds: u64,
    /// How often to repeat; the figures are medians.
    pub rounds: usize,
    /// Sales that wait for the centre when a round begins.
    pub backlog: u64,
    /// Sales in the shift that is closed.
    pub z_sales: u64,
}

/// Runs the case. `commands` makes the n-th sale of the backlog.
pub fn run(settings: &Settings, commands: &(dyn Fn(u64) -> Command + Sync)) -> anyhow::Result<Report> {
    // Another part of the program may have chosen a provider before; either serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).context("make a histogram")?;
    let (mut rounds, mut closes_ms, mut drained) = (Vec::new(), Vec::new(), Vec::new());
    let mut machine = None;
    for number in 1..=settings.rounds {
        let folder = folder()?;
        machine.get_or_insert_with(|| Machine::here(folder.path()));
        let round = runtime.block_on(round(folder.path(), settings, commands, &mut latency))?;
        eprintln!(
            "round {number}/{}: {} sales/s, HTTP alone {}/s, Z of {} sales in {} ms, {} events drained meanwhile",
            settings.rounds,
            round.figures.sales_per_s,
            round.figures.bare_per_s,
            settings.z_sales,
            round.close_ms,
            round.drained
        );
        rounds.push(round.figures);
        closes_ms.push(round.close_ms);
        drained.push(round.drained);
    }
    let settings = json!({
        "tills": settings.tills, "seconds": settings.seconds, "rounds": settings.rounds, "backlog": settings.backlog,
        "z_sales": settings.z_sales, "z_ms": closes_ms, "drained": drained, "machine": machine,
    });
    Ok(Report {
        case: "counter",
        settings,
        p50_us: Some(latency.value_at_quantile(0.5)),
        p99_us: Some(latency.value_at_quantile(0.99)),
        max_us: Some(latency.max()),
        ..Report::default()
    }
    .with_rounds(rounds))
}

struct Measured {
    figures: Round,
    close_ms: u64,
    drained: u64,
}

async fn round(
    folder: &Path,
    settings: &Settings,
    commands: &(dyn Fn(u64) -> Command + Sync),
    latency: &mut Histogram<u64>,
) -> anyhow::Result<Measured> {
    let server = Server::start(&folder.join("server"))?;
    let mut agent = Agent::new(&folder.join("agent"), "[store]\ntime_zone = \"UTC\"");
    agent.enroll(&server, "COUNTER", server.addresses().mqtt)?;
    let shift_id = prepare(&agent.database(), settings, commands)?;
    agent.start()?;
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().context("make an HTTP client")?;
    agent.load_price_book(&tea_book_path())?;
    until_it_sells_by_a_book(&client, &agent).await?;

    let before = sync_state(&client, &agent).await?;
    let time = Duration::from_secs(settings.seconds);
    let close = async {
        tokio::time::sleep(time / 3).await;
        let asked = Instant::now();
        let body = json!({"command_id": Uuid::from_u64_pair(0x0199_0000_0001_7000, 0x8000_0000_0000_0002), "till_id": Z_TILL, "counted_minor": 0});
        let answer = client.post(agent.url(&format!("/v1/shifts/{shift_id}/close"))).json(&body).send().await?;
        let closed: Value = answer.error_for_status().context("close the shift")?.json().await?;
        let took = asked.elapsed();
        ensure!(closed["report"]["sales"]["count"] == json!(settings.z_sales), "the report says {}", closed["report"]);
        u64::try_from(took.as_millis()).context("a time")
    };
    let next = Arc::new(AtomicU64::new(1));
    let sell = |till: usize| {
        let (client, url, next) = (client.clone(), agent.url("/v1/sales"), Arc::clone(&next));
        async move {
            let body = sale(till, next.fetch_add(1, Ordering::Relaxed));
            let answer = client.post(&url).json(&body).send().await.context("sell")?;
            let status = answer.status();
            let text = answer.bytes().await.context("read the receipt")?;
            ensure!(status.is_success(), "a sale was answered {status}: {}", String::from_utf8_lossy(&text));
            Ok(())
        }
    };
    let (sold, close_ms) = tokio::join!(drive(settings.tills, time, sell), close);
    let (sold, elapsed) = sold?;
    for took in &sold {
        latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
    let sales = u64::try_from(sold.len()).context("a count")?;
    let after = sync_state(&client, &agent).await?;
    let drained = (before.outbox_events + sales).saturating_sub(after.outbox_events);

    let ask = |_| {
        let (client, url) = (client.clone(), agent.url("/healthz"));
        async move { client.get(&url).send().await.context("ask")?.bytes().await.context("read").map(drop) }
    };
    let (asked, asking) = drive(settings.tills, time / 3, ask).await?;
    let figures = Round {
        sales_per_s: per_second(sales, elapsed),
        bare_per_s: per_second(u64::try_from(asked.len()).context("a count")?, asking),
    };
    Ok(Measured { figures, close_ms: close_ms?, drained })
}

/// Lets each till ask again and again, and says how long each answer took.
async fn drive<F>(tills: usize, time: Duration, ask: impl Fn(usize) -> F) -> anyhow::Result<(Vec<Duration>, Duration)>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let mut all = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for till in 0..tills {
        running.spawn(timed(till, ask(till)));
    }
    while let Some(done) = running.join_next().await {
        let (till, took) = done.context("a till")??;
        all.push(took);
        if started.elapsed() < time {
            running.spawn(timed(till, ask(till)));
        }
    }
    Ok((all, started.elapsed()))
}

async fn timed(till: usize, asked: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<(usize, Duration)> {
    let started = Instant::now();
    asked.await?;
    Ok((till, started.elapsed()))
}

/// An order of two drinks.
fn sale(till: usize, number: u64) -> Value {
    let sale_id = Uuid::from_u64_pair(0x0199_0000_0000_7000, 0x8000_0000_0000_0000 | number);
    json!({
        "sale_id": sale_id, "till_id": format!("T{till}"),
        "order": {"lines": [{"sku": "classic-milk-tea-l"}, {"sku": "pearl-milk-tea-m", "quantity": 1}], "takeaway": true},
        "tenders": [{"kind": "cash", "amount_minor": 100_000}],
    })
}

/// Writes the backlog, and a shift of the till that is to be closed.
fn prepare(path: &Path, settings: &Settings, commands: &(dyn Fn(u64) -> Command + Sync)) -> anyhow::Result<ShiftId> {
    let clock = StoreClock::new(Arc::new(SystemClock), TimeZone::UTC);
    let mut store = edge::open(path)?;
    let now = clock.now();
    store.open_epoch(random_epoch()?, random_event_id(now.utc_ms)?, now, OpenReason::Start, "bench")?;
    let till_id = TillId::new(Z_TILL)?;
    let shift_id = ShiftId::new(Uuid::from_u128(1));
    let key = CommandKey { id: CommandId::new(Uuid::from_u128(1)), digest: [1; 32] };
    let mut moment = Moment::new(now, random_event_id(now.utc_ms)?);
    let open = OpenShift {
        command_id: key.id,
        till_id: till_id.clone(),
        operator_id: None,
        shift_id,
        float_minor: pos_model::Money::ZERO,
    };
    let opened = store.once(key, &mut moment, |store, moment| store.open_shift(moment, open))?;
    ensure!(matches!(opened, Once::New(_)), "the shift was not opened: {opened:?}");
    let numbers: Vec<u64> = (0..settings.backlog + settings.z_sales).collect();
    for chunk in numbers.chunks(500) {
        store.begin(Durability::Promise)?;
        for &number in chunk {
            record(&mut store, &clock, commands(number), (number < settings.z_sales).then_some(&till_id))?;
        }
        store.commit()?;
    }
    store.checkpoint()?;
    Ok(shift_id)
}

fn record(store: &mut Store, clock: &StoreClock, command: Command, till: Option<&TillId>) -> anyhow::Result<()> {
    let (mut draft, digest) = command;
    if let Some(till) = till {
        draft.till_id = till.clone();
    }
    let now = clock.now();
    match store.record_sale(draft, &digest, random_event_id(now.utc_ms)?, now)? {
        Recorded::New(_) => Ok(()),
        other => bail!("a sale of the backlog was not recorded: {other:?}"),
    }
}

async fn sync_state(client: &reqwest::Client, agent: &Agent) -> anyhow::Result<SyncState> {
    client.get(agent.url("/v1/sync")).send().await?.error_for_status()?.json().await.context("read the state")
}

async fn until_it_sells_by_a_book(client: &reqwest::Client, agent: &Agent) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while sync_state(client, agent).await?.price_book.is_none() {
        ensure!(Instant::now() < deadline, "the price book never came into force");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
