//! What every run needs: a folder that stays behind when the test fails, a server, enrolled stores, and waiting for a
//! condition with a deadline.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use pos_model::SaleId;
use protocol::latest::local_api::{DayTotals, LinkState, QuantityJson, SyncState};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tests::process::{Agent, Server};

/// How long anything may take that takes seconds on a machine that is not busy. A store that was cut off for long waits up
/// to a minute before it tries again.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// The books of a test's store turn over at midnight UTC.
pub(super) const STORE_CONFIG: &str = "[store]\ntime_zone = \"UTC\"\nday_cut_off = \"00:00\"";

/// Runs of real processes take turns also where the test runner starts them together.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test in a folder of its own. The folder stays behind, and is named, if the test fails.
pub(super) fn on_processes(name: &str, test: impl AsyncFnOnce(&Path) -> anyhow::Result<()>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Folder::new(name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("starts").block_on(test(&folder.path)).expect("the run goes as it should");
}

struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("breakwater-{name}-")).tempdir().expect("a folder");
        Self { path: folder.keep() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs (*.log) and data folders of this run are in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// The seed of a run: from the variable, or always the same.
pub(super) fn seed() -> u64 {
    let seed = std::env::var("BREAKWATER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    eprintln!("seed {seed} (BREAKWATER_SEED={seed} runs the same plan again)");
    seed
}

/// Looks again and again until `look` succeeds; its last error says what was missing when the patience ended.
pub(super) async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("waited {patience:?} in vain: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub(super) fn http_client() -> anyhow::Result<reqwest::Client> {
    // Another part of the test may have chosen a provider before; either serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().context("make an HTTP client")
}

/// A server, and the way to talk to it and its stores.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) http: reqwest::Client,
}

impl Site {
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self::with(Server::start(&folder.join("server"))?, http_client()?))
    }

    pub(super) fn with(server: Server, http: reqwest::Client) -> Self {
        Self { server, http }
    }

    /// An enrolled and running store that reaches the server straight.
    pub(super) fn store(&self, folder: &Path, store_id: &str) -> anyhow::Result<Agent> {
        let mut agent = Agent::new(&folder.join(store_id), STORE_CONFIG);
        agent.enroll(&self.server, store_id, self.server.addresses().mqtt)?;
        agent.start()?;
        Ok(agent)
    }

    /// The centre as seen over HTTP. It stays valid when the server is started again.
    pub(super) fn centre(&self) -> Centre {
        Centre { url: self.server.url(""), http: self.http.clone() }
    }

    pub(super) fn at(&self, agent: &Agent) -> StoreApi {
        StoreApi { url: agent.url(""), http: self.http.clone() }
    }
}

pub(super) async fn get<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> anyhow::Result<T> {
    let response = http.get(url).send().await.with_context(|| format!("ask {url}"))?;
    let status = response.status();
    let body = response.text().await.with_context(|| format!("read the answer of {url}"))?;
    ensure!(status.is_success(), "{url} answered {status}: {body}");
    serde_json::from_str(&body).with_context(|| format!("understand the answer of {url}: {body}"))
}

/// The sums of a business date, in the words that both ends and the independent script share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Day {
    pub(super) sales: i64,
    pub(super) lines: i64,
    pub(super) units: i64,
    pub(super) amount_minor: i64,
}

/// The sums by business date.
pub(super) type Days = BTreeMap<String, Day>;

/// What the server's API says.
#[derive(Debug, Clone)]
pub(super) struct Centre {
    url: String,
    http: reqwest::Client,
}

impl Centre {
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        get(&self.http, &format!("{}{path}", self.url)).await
    }

    /// How many sales of a store count.
    pub(super) async fn applied_sales(&self, store_id: &str) -> anyhow::Result<u64> {
        let store = self.get(&format!("/api/v1/stores/{store_id}")).await?;
        store["applied_sales"].as_u64().with_context(|| format!("applied_sales in {store}"))
    }

    /// Waits until so many sales of a store count, and not one more.
    pub(super) async fn has_applied(&self, store_id: &str, sales: u64) -> anyhow::Result<()> {
        until(&format!("{sales} sales of {store_id} at the centre"), PATIENCE, async || {
            let applied = self.applied_sales(store_id).await?;
            ensure!(applied == sales, "{applied} sales of {store_id} are applied");
            Ok(())
        })
        .await
    }

    /// The kinds of a store's alerts.
    pub(super) async fn alerts(&self, store_id: &str) -> anyhow::Result<Vec<String>> {
        let store = self.get(&format!("/api/v1/stores/{store_id}")).await?;
        let alerts = store["alerts"].as_array().with_context(|| format!("alerts in {store}"))?;
        Ok(alerts.iter().filter_map(|alert| alert["kind"].as_str()).map(str::to_owned).collect())
    }

    pub(super) async fn parked(&self) -> anyhow::Result<Vec<Value>> {
        let page = self.get("/api/v1/parked").await?;
        page["parked"].as_array().cloned().with_context(|| format!("parked in {page}"))
    }

    /// The totals of one store.
    pub(super) async fn totals(&self, store_id: &str) -> anyhow::Result<Days> {
        #[derive(Deserialize)]
        struct Row {
            store_id: String,
            business_date: String,
            sales: i64,
            lines: i64,
            units: QuantityJson,
            gross_minor: i64,
        }
        #[derive(Deserialize)]
        struct Totals {
            rows: Vec<Row>,
        }
        let url = format!("{}/api/v1/totals?store={store_id}", self.url);
        let totals: Totals = get(&self.http, &url).await?;
        let mut days = Days::new();
        for row in totals.rows {
            ensure!(row.store_id == store_id, "a row of {} among those of {store_id}", row.store_id);
            let day =
                Day { sales: row.sales, lines: row.lines, units: whole(&row.units)?, amount_minor: row.gross_minor };
            ensure!(days.insert(row.business_date.clone(), day).is_none(), "two rows for {}", row.business_date);
        }
        Ok(days)
    }

    pub(super) async fn has_sale(&self, sale_id: SaleId) -> anyhow::Result<bool> {
        let url = format!("{}/api/v1/sales/{sale_id}", self.url);
        let status = self.http.get(&url).send().await.with_context(|| format!("ask {url}"))?.status();
        ensure!(status.is_success() || status.as_u16() == 404, "{url} answered {status}");
        Ok(status.is_success())
    }

    pub(super) async fn metrics(&self) -> anyhow::Result<Metrics> {
        let url = format!("{}/metrics", self.url);
        let response = self.http.get(&url).send().await.context("ask for the metrics")?.error_for_status()?;
        let text = response.text().await.context("read the metrics")?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| line.rsplit_once(' '));
        Ok(Metrics(values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

fn whole(units: &QuantityJson) -> anyhow::Result<i64> {
    match units {
        QuantityJson::Whole(units) => Ok(*units),
        QuantityJson::Decimal(text) => anyhow::bail!("{text} units are not whole"),
    }
}

/// A page of metrics.
#[derive(Debug)]
pub(super) struct Metrics(BTreeMap<String, String>);

impl Metrics {
    /// A counter, by its name with its labels as they stand on the page; zero if it has not counted yet.
    pub(super) fn counter(&self, name: &str) -> anyhow::Result<u64> {
        self.0.get(name).map_or(Ok(0), |value| value.parse().with_context(|| format!("{name} is {value}")))
    }

    /// A sum of seconds; zero if there is none yet.
    pub(super) fn duration(&self, name: &str) -> anyhow::Result<Duration> {
        let seconds = self.0.get(name).map_or("0", String::as_str);
        let parsed = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        parsed.with_context(|| format!("{name} is {seconds}"))
    }
}

/// What an agent's API says.
#[derive(Debug, Clone)]
pub(super) struct StoreApi {
    pub(super) url: String,
    pub(super) http: reqwest::Client,
}

impl StoreApi {
    pub(super) async fn sync(&self) -> anyhow::Result<SyncState> {
        get(&self.http, &format!("{}/v1/sync", self.url)).await
    }

    /// Waits until the centre has confirmed everything.
    pub(super) async fn is_drained(&self) -> anyhow::Result<SyncState> {
        until("the outbox is empty and the link stands", PATIENCE, async || {
            let state = self.sync().await?;
            ensure!(state.outbox_events == 0 && state.link == LinkState::Online, "the store says {state:?}");
            Ok(state)
        })
        .await
    }

    /// The totals of a span of business dates.
    pub(super) async fn totals(&self, from: &str, to: &str) -> anyhow::Result<Days> {
        let rows: Vec<DayTotals> = get(&self.http, &format!("{}/v1/totals?from={from}&to={to}", self.url)).await?;
        let mut days = Days::new();
        for row in rows {
            let count = |number: u64| i64::try_from(number).context("a count");
            let day = Day {
                sales: count(row.sales)?,
                lines: count(row.lines)?,
                units: whole(&row.units)?,
                amount_minor: row.gross_minor.minor(),
            };
            days.insert(row.business_date.to_string(), day);
        }
        Ok(days)
    }

    /// The status of a sale at the store.
    pub(super) async fn sale_status(&self, sale_id: SaleId) -> anyhow::Result<u16> {
        let url = format!("{}/v1/sales/{sale_id}", self.url);
        Ok(self.http.get(&url).send().await.with_context(|| format!("ask {url}"))?.status().as_u16())
    }
}

/// Copies a folder with all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Puts a copy in the place of a folder.
pub(super) fn put_back(copy: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    copy_folder(copy, folder)
}

/// What a program said, for messages.
pub(super) fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}, stdout: {out}, stderr: {err}", output.status)
}
