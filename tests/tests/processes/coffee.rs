//! Real order data through three agents: what the centre holds is what an independent script adds up from the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tests::process::{Agent, program};
use tests::proxy::Proxy;
use tokio::task::JoinHandle;

use super::chaos::Faults;
use super::counter::all_days;
use super::site::{Day, Days, PATIENCE, Site, on_processes, said, seed, until};

/// The outlets in the file.
const OUTLETS: [&str; 3] = ["3", "5", "8"];

/// What is known of the file from its description, so that an empty script cannot agree with an empty centre.
const ORDERS: i64 = 39_271;
const LINES: i64 = 49_894;

/// The run with faults has at least so many kills while the tills sell.
const KILLS_MIN: u64 = 60;

/// How much faster than recorded the tills sell in that run: half a minute for the 29 days, on a fast machine too.
const UNDER_FAULTS: &str = "80000";

const CONFIG: &str = "[store]\ncurrency = \"USD\"\ntime_zone = \"America/New_York\"\nday_cut_off = \"00:00\"";

#[test]
fn coffee_undisturbed() {
    let Some(data) = Data::find() else { return };
    on_processes("coffee", async |folder| {
        let expected = data.expected()?;
        let site = Site::start(folder)?;
        let mut stores = Vec::new();
        for outlet in OUTLETS {
            stores.push(Store::start(folder, &site, outlet).await?);
        }
        let started = Instant::now();
        let replays: Vec<_> = stores.iter().map(|store| data.replay(store, folder, "max")).collect();
        for replay in replays {
            let report = replay.await.context("wait for a replay")??;
            report.is_clean()?;
        }
        eprintln!("sold in {:?}", started.elapsed());
        agree(&site, &stores, &expected).await
    });
}

#[test]
fn coffee_with_faults() {
    let Some(data) = Data::find() else { return };
    on_processes("coffee-faults", async |folder| {
        let seed = seed();
        let expected = data.expected()?;
        let mut site = Site::start(folder)?;
        let centre = site.centre();
        let faults = Faults::default();
        let mut stores = Vec::new();
        let mut networks = Vec::new();
        let mut agents = Vec::new();
        for (number, outlet) in (1..).zip(OUTLETS) {
            let mut store = Store::start(folder, &site, outlet).await?;
            let network = faults.clone().disturb(Arc::clone(&store.proxy), seed + 10 * number, 200..2_000, 300..2_300);
            networks.push(tokio::spawn(network));
            let agent = store.agent.take().context("the agent runs")?;
            agents.push(faults.kill(agent, seed + 10 * number + 1, 100..1_200, 10..300));
            stores.push(store);
        }
        let server = faults.kill(site.server, seed, 200..1_500, 10..500);
        let started = Instant::now();
        let replays: Vec<_> = stores.iter().map(|store| data.replay(store, folder, UNDER_FAULTS)).collect();
        let mut reports = Vec::new();
        for replay in replays {
            reports.push(replay.await.context("wait for a replay")??);
        }
        let (kills, took) = (faults.kills(), started.elapsed());
        let mut applied = 0;
        for store in &stores {
            let asked = async || centre.applied_sales(&store.store_id).await;
            applied += until("the server is up for a moment", PATIENCE, asked).await?;
        }
        faults.end();
        for agent in agents {
            let agent = agent.survivor().await?;
            let store = stores.iter_mut().find(|store| agent.url("") == store.url).context("its store")?;
            store.agent = Some(agent);
        }
        site.server = server.survivor().await?;
        for network in networks {
            let (bad, whole) = network.await.context("wait for the network")?;
            eprintln!("a network was bad for {bad:?} of {whole:?}");
            ensure!(bad * 5 >= whole * 2, "a network was bad for only {bad:?} of {whole:?}");
        }
        eprintln!("{kills} kills while selling, in {took:?}; {applied} sales were applied before the faults ended");
        reports.iter().try_for_each(Report::is_clean)?;
        ensure!(kills >= KILLS_MIN, "only {kills} kills in {took:?}: the tills were too fast for the plan");
        ensure!(applied > 0, "nothing came through while the faults lasted, so they tested nothing");
        agree(&site, &stores, &expected).await
    });
}

/// Everything drains, and then both ends hold what the script added up.
async fn agree(site: &Site, stores: &[Store], expected: &BTreeMap<String, Days>) -> anyhow::Result<()> {
    let centre = site.centre();
    let started = Instant::now();
    for store in stores {
        let expected = expected.get(store.outlet).context("the script knows the outlet")?;
        let agent = store.agent.as_ref().context("the agent runs")?;
        let state = site.at(agent).is_drained().await?;
        // A centre that confirmed what it did not hold would have been told so here.
        ensure!(state.notices.is_empty(), "{} has notices: {:?}", store.store_id, state.notices);
        let sales = u64::try_from(all_days(expected).sales)?;
        centre.has_applied(&store.store_id, sales).await?;
        same_days("centre", &store.store_id, &centre.totals(&store.store_id).await?, expected)?;
        same_days("store", &store.store_id, &site.at(agent).totals("2019-01-01", "2019-12-31").await?, expected)?;
    }
    eprintln!("drained in {:?}", started.elapsed());
    let parked = centre.parked().await?;
    ensure!(parked.is_empty(), "parked: {parked:?}");
    for store in stores {
        let alerts = centre.alerts(&store.store_id).await?;
        ensure!(alerts.is_empty(), "{} has alerts: {alerts:?}", store.store_id);
    }

    // And both ends' own check of every hash and counter.
    let mut verify = Command::new(program("breakwater-server")?);
    verify.args(["verify", "--data-dir"]).arg(site.server.data_dir());
    balances(verify)?;
    for agent in stores.iter().filter_map(|store| store.agent.as_ref()) {
        balances(agent.command("verify")?)?;
    }
    Ok(())
}

fn balances(mut verify: Command) -> anyhow::Result<()> {
    let output = verify.output().context("run verify")?;
    ensure!(output.status.success(), "{verify:?}: {}", said(&output));
    Ok(())
}

fn same_days(who: &str, store_id: &str, held: &Days, expected: &Days) -> anyhow::Result<()> {
    let differing: Vec<_> = held
        .keys()
        .chain(expected.keys())
        .filter(|date| held.get(*date) != expected.get(*date))
        .map(|date| format!("{date}: {:?} instead of {:?}", held.get(date), expected.get(date)))
        .collect();
    ensure!(differing.is_empty(), "the {who} differs from the script for {store_id}: {differing:#?}");
    Ok(())
}

struct Store {
    outlet: &'static str,
    store_id: String,
    url: String,
    proxy: Arc<Proxy>,
    /// None while somebody kills it.
    agent: Option<Agent>,
}

impl Store {
    async fn start(folder: &Path, site: &Site, outlet: &'static str) -> anyhow::Result<Self> {
        let store_id = format!("outlet-{outlet}");
        let proxy = Proxy::start(site.server.addresses().mqtt).await?;
        let mut agent = Agent::new(&folder.join(&store_id), CONFIG);
        agent.enroll(&site.server, &store_id, proxy.address())?;
        agent.start()?;
        let url = agent.url("");
        Ok(Self { outlet, store_id, url, proxy: Arc::new(proxy), agent: Some(agent) })
    }
}

/// The closing report of a replay, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Report {
    finished: bool,
    failure: Option<String>,
    rows_refused: u64,
    #[serde(flatten)]
    more: Value,
}

impl Report {
    fn is_clean(&self) -> anyhow::Result<()> {
        let words = ["sales_new", "sales_already_there", "sales_per_s", "p50_us", "p99_us", "retries"];
        let numbers: Vec<_> = words.iter().map(|word| format!("{word} {}", self.more[word])).collect();
        eprintln!("a replay: {}", numbers.join(", "));
        ensure!(self.finished && self.failure.is_none() && self.rows_refused == 0, "a replay failed: {self:?}");
        Ok(())
    }
}

/// The folder of the data set.
struct Data {
    folder: PathBuf,
}

impl Data {
    /// None, said on stderr, where the data are not: they are not part of the project.
    fn find() -> Option<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace around the crate");
        let data = std::env::var_os("BREAKWATER_DATA").map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
        let folder = data.join("coffee-3-stores");
        if folder.join("receipts.csv").is_file() {
            return Some(Self { folder });
        }
        eprintln!("skipped: {} holds no receipts.csv; BREAKWATER_DATA names the data's folder", folder.display());
        None
    }

    fn file(&self) -> PathBuf {
        self.folder.join("receipts.csv")
    }

    /// What the script adds up, by outlet and date.
    fn expected(&self) -> anyhow::Result<BTreeMap<String, Days>> {
        #[derive(Deserialize)]
        struct Sums {
            orders: i64,
            lines: i64,
            units: i64,
            amount_minor: i64,
        }
        #[derive(Deserialize)]
        struct Answer {
            outlets: BTreeMap<String, BTreeMap<String, Sums>>,
            total: Sums,
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/totals.py");
        let output = Command::new(super::clients::python()).arg(script).arg("coffee").arg(self.file()).output();
        let output = output.context("run the script")?;
        ensure!(output.status.success(), "the script failed: {}", said(&output));
        let answer: Answer = serde_json::from_slice(&output.stdout).context("understand the script")?;
        assert_eq!((answer.total.orders, answer.total.lines), (ORDERS, LINES), "the file is another one");
        let day = |sums: &Sums| Day {
            sales: sums.orders,
            lines: sums.lines,
            units: sums.units,
            amount_minor: sums.amount_minor,
        };
        let days = |days: BTreeMap<String, Sums>| days.iter().map(|(date, sums)| (date.clone(), day(sums))).collect();
        let outlets: BTreeMap<String, Days> =
            answer.outlets.into_iter().map(|(outlet, sums)| (outlet, days(sums))).collect();
        assert!(outlets.keys().eq(&OUTLETS), "other outlets: {:?}", outlets.keys());
        Ok(outlets)
    }

    /// Sells one outlet's receipts through an agent.
    fn replay(&self, store: &Store, folder: &Path, speed: &str) -> JoinHandle<anyhow::Result<Report>> {
        let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/mappings/coffee-3-stores.toml");
        let pick = format!("sales_outlet_id={}", store.outlet);
        let log = folder.join(format!("replay-{}.log", store.outlet));
        let (agent, file, speed) = (store.url.clone(), self.file(), speed.to_owned());
        tokio::task::spawn_blocking(move || {
            let log = std::fs::File::create(&log).context("make the replay's log")?;
            let mut command = Command::new(program("breakwater-agent")?);
            command.arg("replay").arg("--mapping").arg(mapping).args(["--where", &pick, "--agent", &agent]);
            command.args(["--speed", &speed, "--give-up-after", "2m", "--json"]).arg(file);
            let output = command.stdin(Stdio::null()).stderr(log).output().context("run a replay")?;
            serde_json::from_slice(&output.stdout).with_context(|| format!("understand a replay: {}", said(&output)))
        })
    }
}
