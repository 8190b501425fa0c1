//! A run: stores in threads of their own, a row a second, an end when everything is confirmed, and the balance.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use anyhow::Context;
use pos_model::StoreId;
use protocol::latest::SaleCompleted;
use serde::Serialize;
use sync_core::{Instant, Random, StoreLimits};
use tokio::sync::watch;

use super::balance::{self, Balance, Expected, Sums};
use super::enrol::Login;
use super::play::{RunClock, StoreWatch};
use super::record::{Board, Row, Spread};

use super::seconds::Seconds;
use super::settings::{Settings, Way};
use super::shape::Shape;
use super::store::{LoadStore, Target, utc_ms};
use super::story::{Part, Plan, Story, Templates};
use super::tills::Tills;
use crate::peer::{PeerLink, PeerStore};

/// Between the last first connection and the beginning of the shape.
const SETTLE_MS: u64 = 2_000;

/// When no store sells any more, and the centre has confirmed nothing for so long, the run is over: a store is stuck. That is
/// longer than any wait of a store that goes on by itself: the largest back-off, and then a connection and a question that
/// take all the time which they may.
const STUCK_MS: u64 = 120_000;

/// What a run showed.
#[derive(Debug, Clone, Serialize)]
pub struct Played {
    /// Every second.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// The balance.
    pub balance: Balance,
    /// From a sale's moment to its ack: sales of ordinary stores that were made while the line was up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Spread>,
    /// The same of the odd stores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odd: Option<Spread>,
    /// What tills waited for their answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub till: Option<Spread>,
    /// Sales of those tills.
    pub till_sales: u64,
    /// From the moment when the first line was back until the centre had all that was made before or meanwhile, in
    /// milliseconds. None if nothing was, or it never had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub square_ms: Option<u64>,
    /// Sales that were made before the run or without a line.
    pub stale: u64,
    /// How many stores were connected when the shape began.
    pub connected_at_start: u64,
    /// The server's resident memory at its peak, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_kb: Option<u64>,
    /// Processor time of the server from the beginning until the stores were done selling, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_ms: Option<u64>,
    /// Sales confirmed in that time.
    pub acked_in_that_time: u64,
    /// The load generator's resident memory at its peak, in KiB.
    pub own_rss_kb: u64,
    /// Whether somebody ended it before its end.
    pub interrupted: bool,
}

impl Played {
    /// Processor time of the server for a thousand sales, in milliseconds.
    pub fn cpu_ms_per_1000(&self) -> Option<u64> {
        (self.server_cpu_ms? * 1000).checked_div(self.acked_in_that_time)
    }
}

/// Plays a shape. `templates` are sales that an agent has priced; `tell` hears every second, and how many stores are
/// connected before the shape begins.
pub async fn run(
    settings: &Settings,
    templates: &[SaleCompleted],
    mut tell: impl FnMut(Told<'_>),
) -> anyhow::Result<Played> {
    let shape = &settings.shape;
    anyhow::ensure!(settings.logins.len() as u64 == shape.stores, "there is not a login for each store");
    let started = Clock::now();
    let begins_ms = shape.stores * 1000 / settings.connects_per_s.max(1) + SETTLE_MS;
    let clock = RunClock { started, begins_ms };
    let begins_utc_ms = utc_ms().saturating_add(i64::try_from(begins_ms).context("a short while")?);
    let plan = Plan { seed: settings.seed, begins_utc_ms, backlog_ms: shape.backlog_ms };
    let board = Arc::new(Board::new(settings.logins.len(), shape.lasts_ms)?);
    let (stop, stopped) = watch::channel(false);
    let planned = planned(shape, templates, &plan);
    let threads = start(settings, templates, &plan, &board, clock, &stopped)?;

    while clock.micros() < 0 {
        tell(Told::Connecting { connected: board.connections.load(Ordering::Relaxed), stores: shape.stores });
        let left_us = u64::try_from(-clock.micros()).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(left_us.min(1_000_000))).await;
    }
    let connected_at_start = board.connections.load(Ordering::Relaxed);
    // Sales that no earlier run has made at the same agent.
    let till_seed = settings.seed ^ begins_utc_ms.unsigned_abs();
    let mut tills = Tills::start(&settings.agents, settings.till_pause, till_seed)?;
    let mut seconds = Seconds::new(settings, Arc::clone(&board));
    let mut interrupted = false;
    let (mut acked_before, mut moved_ms) = (0, 0);
    let ended = loop {
        let next = Duration::from_millis(begins_ms + (seconds.rows.len() as u64 + 1) * 1000);
        tokio::select! {
            () = tokio::time::sleep_until((started + next).into()) => {}
            _ = tokio::signal::ctrl_c() => {
                interrupted = true;
                break false;
            }
        }
        let row = seconds.take(&tills).await;
        tell(Told::Second(row));
        let at_ms = row.second * 1000;
        let acked = board.acked.load(Ordering::Relaxed);
        if at_ms >= shape.lasts_ms && acked >= planned {
            break true;
        }
        if acked > acked_before || at_ms < shape.lasts_ms {
            (acked_before, moved_ms) = (acked, at_ms);
        }
        if at_ms >= shape.lasts_ms + shape.drains_ms || at_ms - moved_ms >= STUCK_MS {
            break false;
        }
    };
    let sold = if ended { tills.finish().await? } else { Default::default() };
    // Nobody listens any more only if the threads are gone already.
    let _ = stop.send(true);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread of stores ended badly"))??;
    }
    seconds.correct_made();
    let balance = draw_up(settings, templates, &plan, &board, &mut tell).await?;
    let latencies = board.latencies();
    Ok(Played {
        balance,
        fresh: Spread::of(&latencies.fresh),
        odd: Spread::of(&latencies.odd),
        till: sold.spread,
        till_sales: sold.sales,
        square_ms: seconds.square_ms(shape),
        stale: board.stale.load(Ordering::Relaxed),
        connected_at_start,
        server_rss_kb: seconds.rows.iter().filter_map(|row| row.server_rss_kb).max(),
        server_cpu_ms: seconds.server_cpu_ms(),
        acked_in_that_time: seconds
            .rows
            .iter()
            .filter(|row| row.second * 1000 <= shape.lasts_ms)
            .map(|row| row.acked)
            .sum(),
        own_rss_kb: crate::bench::peak_rss_kb(std::process::id()).unwrap_or(0),
        rows: seconds.rows,
        interrupted,
    })
}

/// All sales of a run: a store that is busy with its connection may not have made its last ones when selling ends.
fn planned(shape: &Shape, templates: &[SaleCompleted], plan: &Plan) -> u64 {
    let templates = Rc::new(Templates::new(templates));
    let sales = |part| {
        let mut story = Story::new(plan, part, Rc::clone(&templates));
        story.advance(shape.lasts_ms);
        story.sales()
    };
    shape.parts().map(sales).sum()
}

/// What is heard of a run while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// Stores connect before the shape begins.
    Connecting {
        /// Those that are connected.
        connected: u64,
        /// All of them.
        stores: u64,
    },
    /// A second has passed.
    Second(&'a Row),
    /// The centre is asked for what it holds.
    Checking,
}

/// Starts the threads in which stores live.
fn start(
    settings: &Settings,
    templates: &[SaleCompleted],
    plan: &Plan,
    board: &Arc<Board>,
    clock: RunClock,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Vec<JoinHandle<anyhow::Result<()>>>> {
    let threads = settings.threads.max(1);
    let templates: Arc<[SaleCompleted]> = templates.into();
    let parts: Vec<Part> = settings.shape.parts().collect();
    let spawn = |thread: usize| {
        let stores: Vec<(Part, Login)> = parts
            .iter()
            .zip(&settings.logins)
            .skip(thread)
            .step_by(threads)
            .map(|(part, login)| (part.clone(), login.clone()))
            .collect();
        let crew = Crew {
            stores,
            plan: plan.clone(),
            board: Arc::clone(board),
            clock,
            way: settings.way.clone(),
            proofs: settings.proofs,
            limits: StoreLimits { batch_events_max: settings.batch, ..StoreLimits::PRODUCTION },
            connects_per_s: settings.connects_per_s.max(1),
            shape: settings.shape.clone(),
        };
        let (templates, stopped) = (Arc::clone(&templates), stopped.clone());
        std::thread::Builder::new()
            .name(format!("stores-{thread}"))
            .spawn(move || crew.live(&templates, stopped))
            .context("start a thread of stores")
    };
    (0..threads).map(spawn).collect()
}

/// The stores of one thread.
struct Crew {
    stores: Vec<(Part, Login)>,
    plan: Plan,
    board: Arc<Board>,
    clock: RunClock,
    way: Way,
    proofs: bool,
    limits: StoreLimits,
    connects_per_s: u64,
    shape: Shape,
}

impl Crew {
    fn live(self, templates: &[SaleCompleted], mut stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        let templates = Rc::new(Templates::new(templates));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("start a runtime")?;
        let peer = match &self.way {
            Way::Peer(url) => Some(PeerLink::new(url).context("make an HTTP client")?),
            Way::Uplink(_) => None,
        };
        runtime.block_on(async {
            let tasks = tokio::task::LocalSet::new();
            for (part, login) in self.stores {
                let number = part.number;
                let away = self.shape.away(number, self.plan.seed);
                let odd = self.shape.odd(number);
                let watch = StoreWatch {
                    board: Arc::clone(&self.board),
                    number: usize::try_from(number).context("a store's number")?,
                    is_odd: odd.is_some(),
                    clock: self.clock,
                    away,
                };
                // A store that is cut from the beginning starts when its line is back, as a box does that was switched on.
                let first_ms = match watch.away.first() {
                    Some((0, until)) => self.clock.begins_ms + until,
                    _ => number * 1000 / self.connects_per_s,
                };
                let story = Story::new(&self.plan, part, Rc::clone(&templates));
                let seed = self.plan.seed ^ number;
                let (limits, first) = (self.limits.clone(), Instant::from_ms(first_ms));
                let Login { store_id, secret } = login;
                let mqtt = match (&self.way, &peer) {
                    (Way::Uplink(mqtt), _) => *mqtt,
                    (Way::Peer(_), Some(link)) => {
                        let (store, link, random) = (store_id.to_string(), link.clone(), Random::new(seed));
                        tasks.spawn_local(PeerStore { store, story, watch, link, random, first_ms }.play());
                        continue;
                    }
                    (Way::Peer(_), None) => continue,
                };
                let target = Target { mqtt, started: self.clock.started };
                let mut store = LoadStore::starting(store_id, secret, story, limits, target, seed, watch, first);
                if self.proofs {
                    store = store.proving();
                }
                if let Some(super::shape::Odd::Flood { copies, .. }) = odd {
                    store.copies = copies;
                }
                tasks.spawn_local(store.play());
            }
            tasks.run_until(async { stopped.wait_for(|stopped| *stopped).await.map(drop) }).await.ok();
            Ok(())
        })
    }
}

/// Compares what the stores made with what the centre holds.
async fn draw_up(
    settings: &Settings,
    templates: &[SaleCompleted],
    plan: &Plan,
    board: &Board,
    tell: &mut impl FnMut(Told<'_>),
) -> anyhow::Result<Balance> {
    let expected = expect(settings, templates, plan, board);
    let mut balance = Balance {
        made: board.sales(),
        acked: board.acked.load(Ordering::Relaxed),
        expected: expected.iter().map(|store| store.sums.sales).sum(),
        expected_minor: expected.iter().map(|store| store.sums.gross_minor).sum(),
        expected_parked: expected.iter().map(|store| store.sums.parked).sum(),
        behind: behind(settings, board),
        ..Balance::default()
    };
    if settings.check
        && let Some(centre) = &settings.centre
    {
        tell(Told::Checking);
        let held = balance::ask(centre, &expected, plan.begins_utc_ms, plan.backlog_ms).await?;
        balance.compare(&expected, &held);
    }
    Ok(balance)
}

/// Stores that still wait for the centre, in words.
fn behind(settings: &Settings, board: &Board) -> Vec<String> {
    let lines = settings.logins.iter().zip(&board.stores).filter_map(|(login, line)| {
        let (made, acked) = (line.sales.load(Ordering::Relaxed), line.acked.load(Ordering::Relaxed));
        (acked < made).then(|| format!("{}: {acked} of {made} sales are confirmed", login.store_id))
    });
    lines.take(balance::NAMED_MAX).collect()
}

/// What the centre must hold, from the seed alone.
fn expect(settings: &Settings, templates: &[SaleCompleted], plan: &Plan, board: &Board) -> Vec<Expected> {
    let templates = Rc::new(Templates::new(templates));
    let stores = settings.shape.parts().zip(&settings.logins).zip(&board.stores);
    let sums = |((part, login), line): ((Part, &Login), &super::record::Line)| {
        let number = part.number;
        let story = Story::new(plan, part, Rc::clone(&templates));
        let mut sums = Sums::default();
        for sale in 0..line.sales.load(Ordering::Relaxed) {
            if story.is_poison(sale) {
                sums.parked += 1;
            } else {
                sums.sales += 1;
                sums.gross_minor += story.gross_minor(sale);
            }
        }
        let store: &StoreId = &login.store_id;
        Expected { store: store.to_string(), sums, is_odd: settings.shape.odd(number).is_some() }
    };
    stores.map(sums).collect()
}
