//! `bench steady`, `bench surge` and `bench return`: a chain of thousands of stores played against a real server.
//!
//! Each round has a server process on a fresh folder, stores that are enrolled with claim codes, and the load generator of
//! [`crate::load`] in this process. A round whose balance is not exact is an error: what was lost or doubled fast is no
//! figure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::latest::SaleCompleted;
use serde_json::{Value, json};

use super::{Machine, Report, Round, drain, folder, median, per_second};
use crate::load::{self, Crowd, Page, Played, Shape, Site, Way, grouped, line, make_room};
use crate::peer::PeerCount;
use crate::process::Peer;
use crate::surroundings::{Database, Home, Surroundings, Via};

/// First connections per second.
const CONNECTS_PER_S: u64 = 500;

/// Real agents beside the stores, each with a till that sells.
const AGENTS: usize = 1;

/// How long the peer may take to count what it holds.
const COUNT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a till rests between two sales.
const TILL_PAUSE: Duration = Duration::from_millis(50);

/// Which case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// All stores connected, the same number of sales every second.
    Steady,
    /// Ten times as many sales within ten seconds.
    Surge,
    /// Every store has a day of sales to send, and all come back within a minute.
    Return,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Surge => "surge",
            Self::Return => "return",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Surge => "surge",
            Self::Return => "outage",
        }
    }

    /// Only a backlog runs as fast as the ledger can.
    fn has_bare_limit(self) -> bool {
        self == Self::Return
    }
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The way in.
    pub via: Via,
    /// Where the ledger is at home.
    pub home: Home,
    /// Stores; the shape's number without it.
    pub stores: Option<u64>,
    /// Hundredths of the shape's rate.
    pub rate_percent: u64,
    /// Seconds of selling, instead of the shape's.
    pub seconds: Option<u64>,
    /// The operator's limit, in events a second.
    pub limit: Option<u64>,
    /// How often to repeat; the figures are medians.
    pub rounds: usize,
    /// Threads for the stores.
    pub threads: usize,
    /// Whether the peer is measured too, on the same load.
    pub peer: bool,
    /// The seed of the sales.
    pub seed: u64,
    /// Where to write the last round's charts.
    pub report: Option<PathBuf>,
}

/// Runs a case.
pub fn run(case: Case, settings: &Settings, templates: &[SaleCompleted]) -> anyhow::Result<Report> {
    let shape = Shape::find(case.shape())?.scaled(settings.stores, settings.rate_percent);
    let shape = shape.lasting(settings.seconds.map(|seconds| seconds * 1000));
    make_room(shape.stores)?;
    eprint!("{}", shape.describe());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let (mut rounds, mut bare_rounds, mut peer_rounds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut machine, mut ledger_in_words) = (None, String::new());
    for number in 1..=settings.rounds {
        let folder = folder()?;
        machine.get_or_insert_with(|| Machine::here(folder.path()));
        eprintln!("round {number}/{}: enrolling {} stores", settings.rounds, grouped(shape.stores));
        let Ours { played, words, surroundings } =
            runtime.block_on(round(folder.path(), &shape, settings, templates))?;
        eprintln!("round {number}/{}: {}", settings.rounds, played.balance);
        ensure!(!played.interrupted, "interrupted");
        ensure!(
            played.balance.is_exact(),
            "the balance is not exact: {:?} {:?}",
            played.balance.differs,
            played.balance.behind
        );
        if case.has_bare_limit() {
            let square = Duration::from_millis(played.square_ms.context("the backlog never was in")?);
            let ledger = surroundings.ledger(&folder.path().join("server/data"))?;
            let bare_per_s = drain::bare_limit(&surroundings, &ledger, folder.path(), played.balance.expected)?;
            bare_rounds.push(Round { sales_per_s: per_second(played.stale, square), bare_per_s });
        }
        ledger_in_words = surroundings.ledger_in_words();
        drop(surroundings);
        if settings.peer {
            eprintln!("round {number}/{}: the same load at the peer", settings.rounds);
            let played = runtime.block_on(peer_round(folder.path(), &shape, settings, templates))?;
            eprintln!("round {number}/{}: the peer: {}", settings.rounds, played.balance);
            ensure!(!played.interrupted, "interrupted");
            peer_rounds.push(played);
        }
        if let (Some(path), Some(machine)) = (&settings.report, &machine) {
            write_report(path, &shape, &played, words, machine)?;
        }
        rounds.push(played);
    }
    let middle = |value: fn(&Played) -> Option<u64>| median(rounds.iter().filter_map(value));
    let setting = json!({
        "via": settings.via.as_str(), "into": settings.home.as_str(), "stores": shape.stores, "lasts_s": shape.lasts_ms / 1000,
        "rate_percent": settings.rate_percent, "events_per_s_max": settings.limit, "backlog_per_store": shape.backlog, "seed": settings.seed,
        "rounds": settings.rounds, "ledger": ledger_in_words, "agents": AGENTS,
        "load_generator": format!("same machine, {} thread(s)", settings.threads), "machine": machine,
    });
    let report = Report {
        case: case.name(),
        settings: setting,
        sales_per_s: middle(|played| (played.acked_in_that_time * 1000).checked_div(u64::max(1, selling_ms(played)))),
        p50_us: middle(|played| played.fresh.map(|fresh| fresh.p50_us)),
        p99_us: middle(|played| played.fresh.map(|fresh| fresh.p99_us)),
        max_us: middle(|played| played.fresh.map(|fresh| fresh.max_us)),
        rss_mb: middle(|played| played.server_rss_kb.map(|kb| kb.div_ceil(1024))),
        more: Some(more(case, &shape, &rounds, &peer_rounds)),
        ..Report::default()
    };
    Ok(if case.has_bare_limit() { report.with_rounds(bare_rounds) } else { report })
}

/// How long the stores sold, in milliseconds, as far as the run came.
fn selling_ms(played: &Played) -> u64 {
    played.rows.iter().filter(|row| row.made > 0 || row.acked > 0).count() as u64 * 1000
}

/// What each case shows beside what all have.
fn more(case: Case, shape: &Shape, rounds: &[Played], peer: &[Played]) -> Value {
    let middle = |value: &dyn Fn(&Played) -> Option<u64>| median(rounds.iter().filter_map(value));
    let peak = |value: fn(&load::Row) -> Option<u64>| middle(&|played| played.rows.iter().filter_map(value).max());
    // A till before the surge, and while it lasts and its backlog drains: the medians of the seconds' own p99.
    let quiet_until = shape.points.get(1).map_or(0, |point| point.at_ms / 1000);
    let till = |quiet: bool| {
        middle(&|played| {
            let seconds = played.rows.iter().filter(|row| (row.second <= quiet_until) == quiet);
            median(seconds.filter_map(|row| row.till_p99_us))
        })
    };
    let mut more = json!({
        "server_cpu_ms_per_1000_sales": middle(&Played::cpu_ms_per_1000),
        "load_generator_rss_mb": middle(&|played| Some(played.own_rss_kb.div_ceil(1024))),
        "backlog_max": peak(|row| Some(row.backlog)),
        "acked_per_s_max": peak(|row| Some(row.acked)),
        "refused_messages": middle(&|played| Some(played.rows.iter().map(|row| row.refused).sum())),
        "hold_ms_max": peak(|row| row.hold_ms_max),
        "till_p50_us": middle(&|played| played.till.map(|till| till.p50_us)),
        "till_p99_us": middle(&|played| played.till.map(|till| till.p99_us)),
    });
    let case_own = match case {
        Case::Steady => json!({}),
        Case::Surge => json!({
            "till_quiet_p99_us": till(true), "till_surge_p99_us": till(false),
            "drained_after_ms": middle(&|played| Some((played.rows.len() as u64 * 1000).saturating_sub(shape.lasts_ms))),
        }),
        Case::Return => json!({
            "square_ms": middle(&|played| played.square_ms),
            "worst_fresh_ms": middle(&|played| played.fresh.map(|fresh| fresh.max_us / 1000)),
            "oldest_backlog_sales": middle(&|played| Some(played.stale)),
        }),
    };
    if let (Some(more), Value::Object(own)) = (more.as_object_mut(), case_own) {
        more.extend(own);
    }
    if let (Some(more), false) = (more.as_object_mut(), peer.is_empty()) {
        more.insert("peer".to_owned(), peer_figures(peer));
    }
    more
}

/// The peer's figures on the same load.
fn peer_figures(rounds: &[Played]) -> Value {
    let middle = |value: &dyn Fn(&Played) -> Option<u64>| median(rounds.iter().filter_map(value));
    json!({
        "exact": rounds.iter().all(|played| played.balance.is_exact()),
        "p50_us": middle(&|played| played.fresh.map(|fresh| fresh.p50_us)),
        "p99_us": middle(&|played| played.fresh.map(|fresh| fresh.p99_us)),
        "max_us": middle(&|played| played.fresh.map(|fresh| fresh.max_us)),
        "square_ms": middle(&|played| played.square_ms),
        "acked_per_s_max": middle(&|played| played.rows.iter().map(|row| row.acked).max()),
        "failed_requests": middle(&|played| Some(played.rows.iter().map(|row| row.refused).sum())),
        "rss_mb": middle(&|played| played.server_rss_kb.map(|kb| kb.div_ceil(1024))),
        "cpu_ms_per_1000_sales": middle(&Played::cpu_ms_per_1000),
    })
}

/// The same load at the peer. Its balance is what it counts itself.
async fn peer_round(
    folder: &Path,
    shape: &Shape,
    settings: &Settings,
    templates: &[SaleCompleted],
) -> anyhow::Result<Played> {
    let database = (settings.home == Home::Postgres).then(Database::start).transpose()?;
    let peer = Peer::start(&folder.join("peer"), database.as_ref().map(|database| database.url.as_str()))?;
    let ids = load::store_ids("LOAD", shape.stores)?;
    let run = load::Settings {
        shape: shape.clone(),
        seed: settings.seed,
        threads: settings.threads,
        connects_per_s: CONNECTS_PER_S,
        batch: sync_core::StoreLimits::PRODUCTION.batch_events_max,
        way: Way::Peer(peer.url("")),
        proofs: false,
        logins: ids.into_iter().map(|store_id| load::Login { store_id, secret: String::new() }).collect(),
        centre: None,
        check: false,
        server_pid: Some(peer.pid()),
        agents: Vec::new(),
        till_pause: TILL_PAUSE,
    };
    let mut played = load::run(&run, templates, |told| eprintln!("  {}", line(&told))).await?;
    let count: PeerCount = reqwest::Client::builder()
        .no_proxy()
        .timeout(COUNT_TIMEOUT)
        .build()?
        .get(peer.url("/count"))
        .send()
        .await
        .context("ask the peer what it holds")?
        .error_for_status()?
        .json()
        .await?;
    let balance = &mut played.balance;
    (balance.applied, balance.applied_minor) = (Some(count.sales), Some(count.gross_minor));
    balance.differing = u64::from((count.sales, count.gross_minor) != (balance.expected, balance.expected_minor));
    Ok(played)
}

/// What a round of ours showed, what was set, and where it was.
struct Ours {
    played: Played,
    words: Vec<(String, String)>,
    surroundings: Surroundings,
}

async fn round(folder: &Path, shape: &Shape, settings: &Settings, templates: &[SaleCompleted]) -> anyhow::Result<Ours> {
    let surroundings = Surroundings::prepare(folder, settings.home, settings.via)?.with_limit(settings.limit);
    let crowd = Crowd { prefix: "LOAD", stores: shape.stores, agents: AGENTS };
    let mut site = Site::start(folder, surroundings, crowd, |_| {}).await?;
    let run = load::Settings {
        shape: shape.clone(),
        seed: settings.seed,
        threads: settings.threads,
        connects_per_s: CONNECTS_PER_S,
        batch: sync_core::StoreLimits::PRODUCTION.batch_events_max,
        way: Way::Uplink(site.mqtt()),
        proofs: site.surroundings.asks_for_proofs(),
        logins: std::mem::take(&mut site.logins),
        centre: Some(site.centre.clone()),
        check: true,
        server_pid: site.server.pid(),
        agents: site.agent_urls(),
        till_pause: TILL_PAUSE,
    };
    let played = load::run(&run, templates, |told| eprintln!("  {}", line(&told))).await?;
    site.stop()?;
    let ledger = ("Ledger".to_owned(), site.surroundings.ledger_in_words());
    let limit = settings.limit.map(|per_s| ("The operator's limit".to_owned(), format!("{}/s", grouped(per_s))));
    let words = run.in_words().into_iter().chain([ledger]).chain(limit).collect();
    Ok(Ours { played, words, surroundings: site.surroundings })
}

fn write_report(
    path: &Path,
    shape: &Shape,
    played: &Played,
    settings: Vec<(String, String)>,
    machine: &Machine,
) -> anyhow::Result<()> {
    let page = Page {
        title: &shape.title,
        about: &shape.about,
        settings,
        happenings: shape.happenings(),
        played,
        machine,
        began: jiff::Zoned::now().strftime("ended %Y-%m-%d %H:%M:%S %Z").to_string(),
    };
    std::fs::write(path, page.to_html()).with_context(|| format!("write {}", path.display()))
}
