//! Everything goes wrong at once: agents and server are killed with -9, and each store's network is bad half of the time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tests::process::{Agent, Server, program};
use tests::proxy::Proxy;
use tokio::task::JoinHandle;

use super::chaos::{Faults, Killing};
use super::counter::{all_days, amount_minor};
use super::site::{Centre, PATIENCE, STORE_CONFIG, Site, StoreApi, on_processes, said, seed, until};

/// A storm has at least so many kills.
const KILLS_MIN: u64 = 60;

/// Its networks are bad half of the time; a short one may miss that by so much.
const BAD_PERCENT_MIN: u128 = 35;

/// A store behind a network of its own.
pub(super) struct Store {
    pub(super) store_id: String,
    pub(super) api: StoreApi,
    /// Of the agent's books.
    pub(super) data_dir: PathBuf,
    proxy: Arc<Proxy>,
    /// None while a storm has it.
    agent: Option<Agent>,
}

impl Store {
    pub(super) async fn start(folder: &Path, site: &Site, store_id: &str, config: &str) -> anyhow::Result<Self> {
        let proxy = Arc::new(Proxy::start(site.server.addresses().mqtt).await?);
        let mut agent = Agent::new(&folder.join(store_id), config);
        agent.enroll(&site.server, store_id, proxy.address())?;
        agent.start()?;
        let (store_id, data_dir) = (store_id.to_owned(), agent.data_dir());
        Ok(Self { store_id, api: site.at(&agent), data_dir, proxy, agent: Some(agent) })
    }
}

/// A storm that rages until it is calmed.
pub(super) struct Storm {
    centre: Centre,
    http: reqwest::Client,
    faults: Faults,
    networks: Vec<JoinHandle<(Duration, Duration)>>,
    agents: Vec<Killing<Agent>>,
    server: Killing<Server>,
    began: Instant,
}

impl Storm {
    pub(super) fn begin(site: Site, stores: &mut [Store], seed: u64) -> anyhow::Result<Self> {
        let centre = site.centre();
        let faults = Faults::default();
        let (mut networks, mut agents) = (Vec::new(), Vec::new());
        for (number, store) in (1..).zip(stores) {
            let seed = seed + 10 * number;
            let network = faults.clone().disturb(Arc::clone(&store.proxy), seed, 200..2_000, 300..2_300);
            networks.push(tokio::spawn(network));
            let agent = store.agent.take().context("the agent runs")?;
            agents.push(faults.kill(agent, seed + 1, 100..1_200, 10..300));
        }
        let server = faults.kill(site.server, seed, 200..1_500, 10..500);
        Ok(Self { centre, http: site.http, faults, networks, agents, server, began: Instant::now() })
    }

    /// How often a process was killed.
    pub(super) fn kills(&self) -> u64 {
        self.faults.kills()
    }

    /// Says what the storm was, and that it was one; ends it, and gives everything back running.
    pub(super) async fn calm(self, stores: &mut [Store]) -> anyhow::Result<Site> {
        let (kills, took) = (self.kills(), self.began.elapsed());
        let mut applied = 0;
        for store in stores.iter() {
            let asked = async || self.centre.applied_sales(&store.store_id).await;
            applied += until("the server is up for a moment", PATIENCE, asked).await?;
        }
        self.faults.end();
        for (store, agent) in stores.iter_mut().zip(self.agents) {
            store.agent = Some(agent.survivor().await?);
        }
        let server = self.server.survivor().await?;
        let (mut bad, mut whole) = (Duration::ZERO, Duration::ZERO);
        for network in self.networks {
            let spans = network.await.context("wait for the network")?;
            bad += spans.0;
            whole += spans.1;
        }
        let percent = bad.as_millis() * 100 / whole.as_millis().max(1);
        eprintln!("the networks were bad for {percent} % of the time");
        ensure!(percent >= BAD_PERCENT_MIN, "the networks were bad for only {percent} % of the time");
        eprintln!("{kills} kills while selling, in {took:?}; {applied} sales were applied before the faults ended");
        ensure!(kills >= KILLS_MIN, "only {kills} kills in {took:?}: the tills were too fast for the plan");
        ensure!(applied > 0, "nothing came through while the faults lasted, so they tested nothing");
        Ok(Site::with(server, self.http))
    }
}

/// Everything drains, nobody has anything to say about it, and each end's own check of hashes and counters passes.
pub(super) async fn all_is_quiet(site: &Site, stores: &[Store]) -> anyhow::Result<()> {
    let centre = site.centre();
    let started = Instant::now();
    for store in stores {
        let state = store.api.is_drained().await?;
        // A centre that confirmed what it did not hold would have been told so here.
        ensure!(state.notices.is_empty(), "{} has notices: {:?}", store.store_id, state.notices);
    }
    eprintln!("drained in {:?}", started.elapsed());
    let parked = centre.parked().await?;
    ensure!(parked.is_empty(), "parked: {parked:?}");
    let mut verify = std::process::Command::new(program("breakwater-server")?);
    verify.args(["verify", "--data-dir"]).arg(site.server.data_dir());
    let mut checks = vec![verify];
    for store in stores {
        let alerts = centre.alerts(&store.store_id).await?;
        ensure!(alerts.is_empty(), "{} has alerts: {alerts:?}", store.store_id);
        checks.push(store.agent.as_ref().context("the agent runs")?.command("verify")?);
    }
    for mut check in checks {
        let output = check.output().context("run verify")?;
        ensure!(output.status.success(), "{check:?}: {}", said(&output));
    }
    Ok(())
}

/// What customers made up from a seed buy at six tills, for as long as it takes to see so many kills.
#[test]
fn t08_t20_tills_in_a_storm() {
    on_processes("storm", async |folder| {
        let seed = seed();
        let site = Site::start(folder)?;
        let mut stores = Vec::new();
        for store_id in ["HARBOUR", "LAGOON", "DELTA"] {
            stores.push(Store::start(folder, &site, store_id, STORE_CONFIG).await?);
        }
        let storm = Storm::begin(site, &mut stores, seed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let tills: Vec<_> = (0..)
            .zip(&stores)
            .flat_map(|(number, store)| ["T1", "T2"].map(|till| (seed + number, store, till)))
            .map(|(seed, store, till)| tokio::spawn(store.api.clone().sell_until(seed, till, Arc::clone(&stop))))
            .collect();
        until("there are enough kills", PATIENCE, async || {
            ensure!(storm.kills() >= KILLS_MIN, "{} kills", storm.kills());
            Ok(())
        })
        .await?;
        // While the storm goes on, so that the last answers are as hard to get as the others.
        stop.store(true, Ordering::Relaxed);
        let mut receipts = Vec::new();
        for till in tills {
            receipts.push(till.await.context("a till ended badly")??);
        }
        let site = storm.calm(&mut stores).await?;
        all_is_quiet(&site, &stores).await?;
        let centre = site.centre();
        for (store, receipts) in stores.iter().zip(receipts.chunks(2)) {
            let receipts = receipts.concat();
            let distinct: BTreeSet<_> = receipts.iter().map(|receipt| receipt.sale_id).collect();
            ensure!(distinct.len() == receipts.len(), "the test itself sold a sale twice");
            centre.has_applied(&store.store_id, receipts.len() as u64).await?;
            let sums = all_days(&centre.totals(&store.store_id).await?);
            let expected = (i64::try_from(receipts.len())?, amount_minor(&receipts));
            ensure!((sums.sales, sums.amount_minor) == expected, "{}: {sums:?}, {expected:?}", store.store_id);
            for sale_id in distinct {
                ensure!(centre.has_sale(sale_id).await?, "{sale_id} is not at the centre");
            }
        }
        Ok(())
    });
}
