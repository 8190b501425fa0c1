//! Real order data through three agents: what the centre holds is what an independent script adds up from the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tests::process::program;

use super::counter::all_days;
use super::site::{Day, Days, Site, on_processes, said, seed};
use super::storm::{Store, Storm, all_is_quiet};

/// The outlets in the file.
const OUTLETS: [&str; 3] = ["3", "5", "8"];

/// What is known of the file from its description, so that an empty script cannot agree with an empty centre.
const ORDERS: i64 = 39_271;
const LINES: i64 = 49_894;

/// How much faster than recorded the tills sell in that run: half a minute for the 29 days, on a fast machine too.
const UNDER_FAULTS: &str = "80000";

const CONFIG: &str = "[store]\ncurrency = \"USD\"\ntime_zone = \"America/New_York\"\nday_cut_off = \"00:00\"";

#[test]
fn coffee_undisturbed() {
    let Some(data) = Data::find() else { return };
    on_processes("coffee", async |folder| {
        let expected = data.expected()?;
        let site = Site::start(folder)?;
        let stores = start_stores(folder, &site).await?;
        let started = Instant::now();
        data.replay_all(&stores, folder, "max").await?;
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
        let site = Site::start(folder)?;
        let mut stores = start_stores(folder, &site).await?;
        let storm = Storm::begin(site, &mut stores, seed)?;
        data.replay_all(&stores, folder, UNDER_FAULTS).await?;
        let site = storm.calm(&mut stores).await?;
        agree(&site, &stores, &expected).await
    });
}

/// A store for each outlet, in their order.
async fn start_stores(folder: &Path, site: &Site) -> anyhow::Result<Vec<Store>> {
    let mut stores = Vec::new();
    for outlet in OUTLETS {
        stores.push(Store::start(folder, site, &format!("outlet-{outlet}"), CONFIG).await?);
    }
    Ok(stores)
}

/// Everything drains, and then both ends hold what the script added up.
async fn agree(site: &Site, stores: &[Store], expected: &BTreeMap<String, Days>) -> anyhow::Result<()> {
    all_is_quiet(site, stores).await?;
    let centre = site.centre();
    for (store, outlet) in stores.iter().zip(OUTLETS) {
        let expected = expected.get(outlet).context("the script knows the outlet")?;
        centre.has_applied(&store.store_id, u64::try_from(all_days(expected).sales)?).await?;
        same_days("centre", &store.store_id, &centre.totals(&store.store_id).await?, expected)?;
        same_days("store", &store.store_id, &store.api.totals("2019-01-01", "2019-12-31").await?, expected)?;
    }
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

    /// Sells each outlet's receipts through its agent, all at the same time.
    async fn replay_all(&self, stores: &[Store], folder: &Path, speed: &str) -> anyhow::Result<()> {
        let replays: Vec<_> =
            stores.iter().zip(OUTLETS).map(|(store, outlet)| self.replay(outlet, store, folder, speed)).collect();
        for replay in replays {
            replay.await.context("wait for a replay")??.is_clean()?;
        }
        Ok(())
    }

    fn replay(
        &self,
        outlet: &str,
        store: &Store,
        folder: &Path,
        speed: &str,
    ) -> tokio::task::JoinHandle<anyhow::Result<Report>> {
        let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/mappings/coffee-3-stores.toml");
        let pick = format!("sales_outlet_id={outlet}");
        let log = folder.join(format!("replay-{outlet}.log"));
        let (agent, data_dir) = (store.api.url.clone(), store.data_dir.clone());
        let (file, speed) = (self.file(), speed.to_owned());
        tokio::task::spawn_blocking(move || {
            let log = std::fs::File::create(&log).context("make the replay's log")?;
            let mut command = Command::new(program("breakwater-agent")?);
            command.arg("replay").arg("--mapping").arg(mapping).args(["--where", &pick, "--agent", &agent]);
            command.arg("--data-dir").arg(data_dir);
            command.args(["--speed", &speed, "--give-up-after", "2m", "--json"]).arg(file);
            let output = command.stdin(Stdio::null()).stderr(log).output().context("run a replay")?;
            serde_json::from_slice(&output.stdout).with_context(|| format!("understand a replay: {}", said(&output)))
        })
    }
}
