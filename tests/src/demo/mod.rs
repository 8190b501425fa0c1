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

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::process::{Agent, Server};
use crate::proxy::{Mode, Proxy};
pub use balance::Balance;
use screen::Screen;
use till::{Till, TillPlan};

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

/// Runs the demonstration in a folder; returns the balance.
pub async fn run(folder: &Path, settings: &Settings) -> anyhow::Result<Balance> {
    let client = agent::trust::http_client(None)?;
    let mut server = Server::start(&folder.join("server"))?;
    let page = server.url("/");
    eprintln!("the live page is at {page}");
    let mut stores = Vec::new();
    for id in STORES {
        let proxy = Proxy::start(server.addresses().mqtt).await?;
        let mut agent = Agent::new(&folder.join(id), "[store]\ntime_zone = \"UTC\"");
        agent.enroll(&server, id, proxy.address())?;
        agent.start()?;
        let url = agent.url("");
        stores.push(Store { id, agent: Arc::new(Mutex::new(agent)), url, proxy });
    }

    let stop = Arc::new(AtomicBool::new(false));
    let tills: Vec<Till> = stores
        .iter()
        .enumerate()
        .flat_map(|(index, store)| (1..=TILLS).map(move |till| (index as u64, store, till)))
        .map(|(index, store, till)| {
            let seed = settings.seed.wrapping_mul(1000).wrapping_add(index * 100 + till);
            let plan = TillPlan { store: store.id, url: store.url.clone(), till_id: format!("T{till}"), seed };
            Till::start(plan, client.clone(), Arc::clone(&stop))
        })
        .collect();

    let mut screen = Screen::new(page.clone());
    let started = Instant::now();
    let mut trouble = Trouble::plan(settings.selling);
    while started.elapsed() < settings.selling {
        trouble.act(started.elapsed(), &stores, &mut server, &mut screen).await?;
        screen.draw(&look(&client, &server, &stores, &tills).await, started.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    trouble.end(&stores, &mut server, &mut screen).await?;
    stop.store(true, Ordering::Relaxed);
    screen.say("the tills are closed; the outboxes drain");
    let deadline = Instant::now() + DRAIN_PATIENCE;
    loop {
        let rows = look(&client, &server, &stores, &tills).await;
        screen.draw(&rows, started.elapsed());
        let sold: u64 = rows.iter().map(|row| row.sold).sum();
        let applied: u64 = rows.iter().map(|row| row.applied).sum();
        let quiet = tills.iter().all(Till::is_done) && rows.iter().all(|row| row.backlog == Some(0));
        if (quiet && applied >= sold) || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut sold = Vec::new();
    for till in tills {
        sold.extend(till.finish().await?);
    }
    let balance = Balance::draw_up(&client, &server.url(""), &sold).await?;
    if settings.keep {
        screen.say(&format!("staying up: {page} shows the stores, each still sells; end with Ctrl-C"));
        stay(&stores, &client, settings.seed, balance).await?;
    }
    Ok(balance)
}

/// Sells on, slowly, until interrupted.
async fn stay(stores: &[Store], client: &reqwest::Client, seed: u64, balance: Balance) -> anyhow::Result<()> {
    println!("{balance}");
    for store in stores {
        println!("till API of {}: {}/v1/openapi.json", store.id, store.url);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let tills: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(index, store)| {
            let seed = seed.wrapping_add(1_000_000 + index as u64);
            let plan = TillPlan { store: store.id, url: store.url.clone(), till_id: "T9".to_owned(), seed };
            Till::start(plan, client.clone(), Arc::clone(&stop))
        })
        .collect();
    tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
    stop.store(true, Ordering::Relaxed);
    for till in tills {
        till.finish().await?;
    }
    Ok(())
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

async fn look(client: &reqwest::Client, server: &Server, stores: &[Store], tills: &[Till]) -> Vec<Row> {
    #[derive(Deserialize)]
    struct AtCentre {
        store_id: String,
        applied_sales: u64,
    }
    #[derive(Deserialize)]
    struct Stores {
        stores: Vec<AtCentre>,
    }
    #[derive(Deserialize)]
    struct AtStore {
        link: String,
        outbox_events: u64,
    }
    let centre: Option<Stores> = get(client, &server.url("/api/v1/stores")).await;
    let mut rows = Vec::new();
    for store in stores {
        let at_store: Option<AtStore> = get(client, &format!("{}/v1/sync", store.url)).await;
        let at_centre = centre.as_ref().and_then(|centre| centre.stores.iter().find(|row| row.store_id == store.id));
        rows.push(Row {
            store: store.id,
            sold: tills.iter().filter(|till| till.store() == store.id).map(Till::sold).sum(),
            applied: at_centre.map_or(0, |row| row.applied_sales),
            backlog: at_store.as_ref().map(|state| state.outbox_events),
            link: match (&at_store, &centre) {
                (None, _) => "agent down".to_owned(),
                (Some(state), None) => format!("{} (server down)", state.link),
                (Some(state), Some(_)) => state.link.clone(),
            },
        });
    }
    rows
}

async fn get<T: for<'de> Deserialize<'de>>(client: &reqwest::Client, url: &str) -> Option<T> {
    let response = client.get(url).timeout(Duration::from_secs(2)).send().await.ok()?;
    response.json().await.ok()
}
