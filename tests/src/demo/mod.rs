//! The demonstration: a server and three stores sell through a minute of trouble, and the balance is drawn up at the end.
//!
//! Everything is real: the released programs as processes, the network between them through a proxy that can be cut,
//! `kill -9` for an agent and for the server. What is counted as sold is what an agent has answered to a till.

mod balance;
mod screen;
mod till;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent::price_book;
use anyhow::Context;
use pos_model::Currency;
use pricing::book::PriceBook;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::process::{Agent, Server};
use crate::proxy::{Mode, Proxy};
use crate::workload;
pub use balance::Balance;
use screen::Screen;
use till::{Sold, Till, TillPlan};

/// How the demonstration runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the tills sell.
    pub selling: Duration,
    /// Stay up after the balance, selling slowly, until interrupted.
    pub keep: bool,
    /// Seed of the sales.
    pub seed: u64,
}

/// The three stores.
const STORES: [&str; 3] = ["HARBOUR", "LAGOON", "DELTA"];

/// Tills in each store.
const TILLS: u64 = 2;

/// How long the outboxes may take to drain after the last sale, far beyond what they take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

struct Store {
    id: &'static str,
    agent: Arc<Mutex<Agent>>,
    url: String,
    proxy: Proxy,
}

/// What one store looks like at a moment.
#[derive(Debug, Clone, Default)]
struct Row {
    store: &'static str,
    sold: u64,
    applied: u64,
    /// Unconfirmed events; none while the agent is down.
    backlog: Option<u64>,
    link: String,
}

/// Runs the demonstration in a folder; returns the balance, none if it was interrupted before it had sold.
pub async fn run(folder: &Path, settings: &Settings) -> anyhow::Result<Option<Balance>> {
    let interrupts = Interrupts::listen()?;
    tokio::select! {
        balance = demonstrate(folder, settings, &interrupts) => balance.map(Some),
        () = interrupts.end_all() => Ok(None),
    }
}

async fn demonstrate(folder: &Path, settings: &Settings, interrupts: &Interrupts) -> anyhow::Result<Balance> {
    let opened = Instant::now();
    let client = agent::trust::http_client(None)?;
    let mut server = Server::start_apart(&folder.join("server"))?;
    let page = server.url("/");
    let mut screen = Screen::new(page.clone());
    screen.say(&format!("the live page is at {page}"));
    let stores = open_stores(folder, &server).await?;
    let book = Arc::new(price_book::read(&workload::tea_book_path(), Currency::CNY)?);
    let mut sold = sell_through_trouble(settings, &book, &client, &mut server, &stores, &mut screen).await?;
    let balance = Balance::draw_up(&client, &server.url(""), &sold).await?;
    if !settings.keep {
        return Ok(balance);
    }
    println!("{balance}");
    for store in &stores {
        println!("till API of {}: {}/v1/openapi.json", store.id, store.url);
    }
    screen.say(&format!("staying up: {page} shows the stores, a till in each still sells; end with Ctrl-C"));
    let tills = open_slow_tills(settings, &book, &client, &stores);
    interrupts.first().await;
    tills.stop.store(true, Ordering::Relaxed);
    screen.say("the tills are closed; the outboxes drain; Ctrl-C again ends it at once");
    for store in &stores {
        let mut agent = store.agent.lock().await;
        if !agent.is_alive() {
            agent.start()?;
            screen.say(&format!("the agent of {}, which somebody had ended, was started again", store.id));
        }
    }
    let draw = |rows: &[Row], last| screen.draw(rows, opened.elapsed(), last);
    let more = drain(&client, &server, &stores, tills.tills, &sold, draw).await?;
    sold.extend(more);
    Balance::draw_up(&client, &server.url(""), &sold).await
}

async fn open_stores(folder: &Path, server: &Server) -> anyhow::Result<Vec<Store>> {
    let mut stores = Vec::new();
    for id in STORES {
        let proxy = Proxy::start(server.addresses().mqtt).await?;
        let mut agent = Agent::new(&folder.join(id), "[store]\ntime_zone = \"UTC\"");
        agent.set_apart();
        agent.enroll(server, id, proxy.address())?;
        agent.load_price_book(&workload::tea_book_path())?;
        agent.start()?;
        let url = agent.url("");
        stores.push(Store { id, agent: Arc::new(Mutex::new(agent)), url, proxy });
    }
    Ok(stores)
}

/// Sells for as long as the settings say, with everything that goes wrong on the way; returns what was answered.
async fn sell_through_trouble(
    settings: &Settings,
    book: &Arc<PriceBook>,
    client: &reqwest::Client,
    server: &mut Server,
    stores: &[Store],
    screen: &mut Screen,
) -> anyhow::Result<Vec<Sold>> {
    let stop = Arc::new(AtomicBool::new(false));
    let tills: Vec<Till> = stores
        .iter()
        .enumerate()
        .flat_map(|(index, store)| (1..=TILLS).map(move |till| (index as u64, store, till)))
        .map(|(index, store, till)| {
            let seed = settings.seed.wrapping_mul(1000).wrapping_add(index * 100 + till);
            let plan = TillPlan {
                store: store.id,
                url: store.url.clone(),
                till_id: format!("T{till}"),
                seed,
                book: Arc::clone(book),
            };
            Till::start(plan, client.clone(), Arc::clone(&stop))
        })
        .collect();
    let started = Instant::now();
    let mut trouble = Trouble::plan(settings.selling);
    while started.elapsed() < settings.selling {
        trouble.act(started.elapsed(), stores, server, screen).await?;
        screen.draw(&look(client, server, stores, &tills, &[]).await, started.elapsed(), false);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    trouble.end(stores, server, screen).await?;
    stop.store(true, Ordering::Relaxed);
    screen.say("the tills are closed; the outboxes drain");
    drain(client, server, stores, tills, &[], |rows, last| screen.draw(rows, started.elapsed(), last)).await
}

/// Waits until the tills, which were told to stop, have their last answers and all that they sold is at the centre.
async fn drain(
    client: &reqwest::Client,
    server: &Server,
    stores: &[Store],
    tills: Vec<Till>,
    earlier: &[Sold],
    mut draw: impl FnMut(&[Row], bool),
) -> anyhow::Result<Vec<Sold>> {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    loop {
        let rows = look(client, server, stores, &tills, earlier).await;
        let quiet = tills.iter().all(Till::is_done) && rows.iter().all(|row| row.backlog == Some(0));
        let done = quiet && rows.iter().all(|row| row.applied >= row.sold) || Instant::now() > deadline;
        draw(&rows, done);
        if done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut sold = Vec::new();
    for till in tills {
        anyhow::ensure!(till.is_done(), "a till of {} has waited {DRAIN_PATIENCE:?} for an answer", till.store());
        sold.extend(till.finish().await?);
    }
    Ok(sold)
}

/// Tills that sell on, slowly, until they are told to stop: one in each store.
struct SlowTills {
    tills: Vec<Till>,
    stop: Arc<AtomicBool>,
}

fn open_slow_tills(
    settings: &Settings,
    book: &Arc<PriceBook>,
    client: &reqwest::Client,
    stores: &[Store],
) -> SlowTills {
    let stop = Arc::new(AtomicBool::new(false));
    let tills = stores.iter().enumerate().map(|(index, store)| {
        let seed = settings.seed.wrapping_add(1_000_000 + index as u64);
        let plan = TillPlan {
            store: store.id,
            url: store.url.clone(),
            till_id: "T9".to_owned(),
            seed,
            book: Arc::clone(book),
        };
        Till::start(plan, client.clone(), Arc::clone(&stop))
    });
    SlowTills { tills: tills.collect(), stop }
}

/// How often somebody has asked for the end.
struct Interrupts {
    count: watch::Receiver<u32>,
    /// Whether the first one is asked for, and only the next ends all at once.
    staying: AtomicBool,
}

impl Interrupts {
    /// Listens from here on, so that no program that this one starts is left behind.
    fn listen() -> anyhow::Result<Self> {
        let (add, count) = watch::channel(0);
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        tokio::spawn(async move {
            loop {
                let more = tokio::select! {
                    _ = interrupt.recv() => 1,
                    _ = terminate.recv() => 2,
                    _ = hangup.recv() => 2,
                };
                add.send_modify(|count| *count += more);
            }
        });
        Ok(Self { count, staying: AtomicBool::new(false) })
    }

    /// Waits for the first one, which then only ends the staying.
    async fn first(&self) {
        self.staying.store(true, Ordering::Relaxed);
        // The sender lives as long as the runtime.
        let _ = self.count.clone().wait_for(|count| *count >= 1).await;
    }

    /// Waits for the one that ends all at once.
    async fn end_all(&self) {
        let enough = |count: &u32| *count >= if self.staying.load(Ordering::Relaxed) { 2 } else { 1 };
        let _ = self.count.clone().wait_for(enough).await;
    }
}

/// What goes wrong, and when.
struct Trouble {
    steps: Vec<(Duration, Step)>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    CutNetwork(usize),
    JoinNetwork(usize),
    KillAgent(usize),
    StartAgent(usize),
    KillServer,
    StartServer,
}

impl Trouble {
    fn plan(selling: Duration) -> Self {
        let at = |percent: u32| selling * percent / 100;
        let steps = [
            (12, Step::CutNetwork(0)),
            (30, Step::KillAgent(1)),
            (36, Step::StartAgent(1)),
            (52, Step::JoinNetwork(0)),
            (62, Step::KillServer),
            (76, Step::StartServer),
        ];
        Self { steps: steps.into_iter().rev().map(|(percent, step)| (at(percent), step)).collect() }
    }

    async fn act(
        &mut self,
        now: Duration,
        stores: &[Store],
        server: &mut Server,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        while let Some((_, step)) = self.steps.pop_if(|(at, _)| *at <= now) {
            match step {
                Step::CutNetwork(store) => {
                    stores[store].proxy.set_mode(Mode::Cut);
                    screen.say(&format!("the network of {} is cut", stores[store].id));
                }
                Step::JoinNetwork(store) => {
                    stores[store].proxy.set_mode(Mode::Pass);
                    screen.say(&format!("the network of {} is back", stores[store].id));
                }
                Step::KillAgent(store) => {
                    stores[store].agent.lock().await.kill();
                    screen.say(&format!("the agent of {} was killed with -9", stores[store].id));
                }
                Step::StartAgent(store) => {
                    stores[store].agent.lock().await.start()?;
                    screen.say(&format!("the agent of {} was started again", stores[store].id));
                }
                Step::KillServer => {
                    server.kill();
                    screen.say("the server was killed with -9");
                }
                Step::StartServer => {
                    server.restart()?;
                    screen.say("the server was started again");
                }
            }
        }
        Ok(())
    }

    /// Carries out what is left, so that everything runs again.
    async fn end(&mut self, stores: &[Store], server: &mut Server, screen: &mut Screen) -> anyhow::Result<()> {
        self.act(Duration::MAX, stores, server, screen).await
    }
}

/// What can be seen of the stores: first what was sold, then what still waits, then what has arrived, so that nothing
/// seems to be missing that is only under way.
async fn look(
    client: &reqwest::Client,
    server: &Server,
    stores: &[Store],
    tills: &[Till],
    earlier: &[Sold],
) -> Vec<Row> {
    #[derive(Deserialize)]
    struct OfDay {
        store_id: String,
        sales: u64,
    }
    #[derive(Deserialize)]
    struct Totals {
        rows: Vec<OfDay>,
    }
    #[derive(Deserialize)]
    struct AtStore {
        link: String,
        outbox_events: u64,
    }
    let sold = |store: &Store| {
        let before = earlier.iter().filter(|sale| sale.store == store.id).count() as u64;
        before + tills.iter().filter(|till| till.store() == store.id).map(Till::sold).sum::<u64>()
    };
    let sold: Vec<u64> = stores.iter().map(sold).collect();
    let mut at_stores: Vec<Option<AtStore>> = Vec::new();
    for store in stores {
        at_stores.push(get(client, &format!("{}/v1/sync", store.url)).await);
    }
    let totals: Option<Totals> = get(client, &server.url("/api/v1/totals")).await;
    let applied = |store: &Store| {
        let days = totals.iter().flat_map(|totals| &totals.rows).filter(|row| row.store_id == store.id);
        days.map(|row| row.sales).sum()
    };
    let seen = stores.iter().zip(sold).zip(at_stores);
    seen.map(|((store, sold), at_store)| Row {
        store: store.id,
        sold,
        applied: applied(store),
        backlog: at_store.as_ref().map(|state| state.outbox_events),
        link: match (at_store, &totals) {
            (None, _) => "agent down".to_owned(),
            (Some(state), None) => format!("{} (server down)", state.link),
            (Some(state), Some(_)) => state.link,
        },
    })
    .collect()
}

async fn get<T: for<'de> Deserialize<'de>>(client: &reqwest::Client, url: &str) -> Option<T> {
    let response = client.get(url).timeout(Duration::from_secs(2)).send().await.ok()?;
    response.json().await.ok()
}
