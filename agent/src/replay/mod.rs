//! `breakwater-agent replay`: sells a file of receipts through a running agent, as a till would.
//!
//! The way of a row: `rows` splits the file into cells, `receipts` groups rows into orders by what `mapping` says,
//! `plan` makes each order a command whose id and content follow from the file alone, `pace` says when it is due, and
//! `sell` asks the agent until it has an answer. `journal` remembers answers between runs, `report` counts every row.
//!
//! The replay is a client like any till: it opens no database, and knows the agent by its local API only.

mod args;
mod catalogue;
mod client;
mod columns;
mod journal;
mod mapping;
mod pace;
mod plan;
mod receipts;
mod refusal;
mod report;
mod rows;
mod sell;
mod values;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use pos_model::{Money, Quantity};
use protocol::latest::local_api::SyncState;
use sync_core::Random;
use tokio::sync::watch;
use tokio::time::Instant;

pub use args::ReplayArgs;
pub use pace::Speed;
pub use plan::PlannedSale;
pub use refusal::RowNote;
pub use report::Report;

use catalogue::Catalogue;
use client::{AgentClient, Answer};
use journal::Journal;
use mapping::Mapping;
use receipts::{Picked, Receipts};

/// The store's name in ids where a dry run has neither `--store` nor an agent to ask.
const STORE_OF_DRY_RUN: &str = "dry-run";

/// How a replay ended; the exit statuses are in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every row has its place.
    Done,
    /// It did not come to its end.
    NotFinished,
    /// It did, and some rows were refused.
    RowsRefused,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::NotFinished => Self::from(1),
            Outcome::RowsRefused => Self::from(3),
        }
    }
}

impl Report {
    /// How the replay ended.
    pub fn outcome(&self) -> Outcome {
        match (self.finished, self.rows_refused) {
            (false, _) => Outcome::NotFinished,
            (true, 0) => Outcome::Done,
            (true, _) => Outcome::RowsRefused,
        }
    }
}

/// The command: replays until the end, or until the process is asked to stop, and prints the report.
///
/// # Errors
///
/// Fails before the first sale: a file that cannot be read, a mapping that does not fit, an agent that stays away.
pub async fn run(args: ReplayArgs) -> anyhow::Result<Outcome> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = stop.send(true);
        }
    });
    let (report, sales) = replay(&args, stopped).await?;
    if let Some(path) = &args.refused {
        let file = std::fs::File::create(path).with_context(|| format!("write {}", path.display()))?;
        report.write_refused(std::io::BufWriter::new(file)).with_context(|| format!("write {}", path.display()))?;
    }
    print(&args, &report, &sales).or_else(ignore_closed_pipe).context("print the report")?;
    Ok(report.outcome())
}

fn print(args: &ReplayArgs, report: &Report, sales: &[PlannedSale]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else if args.dry_run {
        for sale in sales {
            serde_json::to_writer(&mut out, &sale.command)?;
            writeln!(out)?;
        }
        write!(std::io::stderr(), "{report}")?;
    } else {
        write!(out, "{report}")?;
    }
    out.flush()
}

/// `replay --dry-run | head` closes the pipe early, and that is no failure.
fn ignore_closed_pipe(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Replays without printing a report. A dry run returns the sales that it would have made.
///
/// # Errors
///
/// Fails before the first sale, or when the journal cannot be written; an agent that goes away later is in the report.
pub async fn replay(args: &ReplayArgs, stop: watch::Receiver<bool>) -> anyhow::Result<(Report, Vec<PlannedSale>)> {
    let (mapping, receipts) = read_files(args)?;
    let client = AgentClient::new(args.agent_url(), args.data_dir.as_deref()).context("reach the agent")?;
    let store = if args.dry_run {
        args.store.clone().unwrap_or_else(|| STORE_OF_DRY_RUN.to_owned())
    } else {
        let mut stopping = stop.clone();
        let state = tokio::select! {
            state = ask_for_state(&client, args) => state?,
            () = sell::asked_to(&mut stopping) => {
                anyhow::bail!("reach the agent at {}: interrupted before it answered; nothing was sold", args.agent_url())
            }
        };
        anyhow::ensure!(
            state.currency == mapping.money.currency,
            "sell in {}: the agent at {} sells in {}; a store's first start fixes its currency",
            mapping.money.currency,
            args.agent_url(),
            state.currency
        );
        match &args.store {
            Some(store) => store.clone(),
            None if state.store_id.is_empty() => {
                anyhow::bail!("learn the store from the agent, which is not enrolled: name one with --store")
            }
            None => state.store_id,
        }
    };
    let started_ms = jiff::Timestamp::now().as_millisecond();

    let mut report = empty_report(&mapping, &store, &receipts, args.dry_run);
    let (mut sales, mut refused) = plan_all(receipts, &mapping, &store);
    for sale in sales.drain(args.limit.unwrap_or(usize::MAX).min(sales.len())..) {
        report.rows_not_picked += count(sale.rows.len());
    }
    report.sales_open = count(sales.len());

    if args.dry_run {
        for sale in &sales {
            sell::add_to_sums(&mut report, sale);
        }
        report.finished = true;
        report.set_refused(refused);
        return Ok((report, sales));
    }

    report.rows_open = sales.iter().map(|sale| count(sale.rows.len())).sum();

    let mut journal = args
        .journal
        .as_deref()
        .map(|path| Journal::open(path, &store, &mapping.source).with_context(|| format!("use {}", path.display())))
        .transpose()?;
    if let Some(journal) = &journal {
        sales.retain(|sale| {
            let confirmed = journal.has(sale.command.sale_id);
            if confirmed {
                sell::count_sold(&mut report, sale, true);
            }
            !confirmed
        });
    }
    let selling = sell::Selling {
        client,
        due: pace::due(sales.iter().map(|sale| sale.sold_at.utc_ms), args.speed, args.gap_max),
        workers: args.tills,
        give_up_after: args.give_up_after,
        currency: mapping.money.currency,
        journal: journal.as_mut(),
        quiet: args.quiet,
        started_ms,
    };
    sell::sell(sales, selling, &mut report, &mut refused, stop).await.context("keep the journal")?;
    if report.sales_open == 0 && report.failure.as_deref() == Some(sell::INTERRUPTED) {
        // The last answers came before the end.
        report.failure = None;
    }
    report.finished = report.sales_open == 0 && report.failure.is_none();
    report.resumes = report.failure.is_some() && !report.hopeless;
    report.set_refused(refused);
    Ok((report, Vec::new()))
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

fn read_files(args: &ReplayArgs) -> anyhow::Result<(Mapping, Receipts)> {
    let named = |path: &Path| path.display().to_string();
    let text = std::fs::read_to_string(&args.mapping).with_context(|| format!("read {}", named(&args.mapping)))?;
    let mapping = Mapping::parse(&text).with_context(|| format!("use {}", named(&args.mapping)))?;
    let read = |path: &Path| -> anyhow::Result<String> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", named(path)))?;
        receipts::decode(bytes, mapping.encoding).with_context(|| format!("read {}", named(path)))
    };
    let text = read(&args.file)?;
    let catalogue = match &mapping.catalogue {
        None => Catalogue::default(),
        Some(format) => {
            let beside = || -> PathBuf { args.file.parent().unwrap_or(Path::new("")).join(&format.file) };
            let path = args.catalogue.clone().unwrap_or_else(beside);
            Catalogue::read(&read(&path)?, format, &mapping).with_context(|| format!("read {}", named(&path)))?
        }
    };
    let mut picked = Picked::new();
    for (column, text) in &args.picked {
        picked.entry(column.clone()).or_default().push(text.clone());
    }
    let receipts = receipts::read("the file", &text, &mapping, &catalogue, &picked)
        .with_context(|| format!("read {}", named(&args.file)))?;
    if receipts.rows_read > 0 && receipts.rows_read == receipts.rows_not_picked {
        let wanted: Vec<String> = args.picked.iter().map(|(column, text)| format!("{column}={text}")).collect();
        anyhow::bail!(
            "pick rows of {}: none of its {} fits --where {}",
            named(&args.file),
            receipts.rows_read,
            wanted.join(" --where ")
        );
    }
    Ok((mapping, receipts))
}

/// Makes commands of all orders; what cannot be one is refused with its rows.
fn plan_all(receipts: Receipts, mapping: &Mapping, store: &str) -> (Vec<PlannedSale>, Vec<RowNote>) {
    let mut refused = receipts.refused;
    let mut sales = Vec::with_capacity(receipts.orders.len());
    for order in receipts.orders {
        let rows = order.rows.clone();
        match plan::plan(order, mapping, store) {
            Ok(sale) => sales.push(sale),
            Err(reason) => {
                refused.extend(rows.into_iter().map(|line| RowNote { line, reason: reason.to_string() }));
            }
        }
    }
    (sales, refused)
}

async fn ask_for_state(client: &AgentClient, args: &ReplayArgs) -> anyhow::Result<SyncState> {
    let asked = Instant::now();
    let mut jitter = Random::new(0);
    loop {
        match client.sync_state().await {
            Answer::Done(state) => return Ok(state),
            Answer::Later { reason, .. } if asked.elapsed() >= args.give_up_after => {
                anyhow::bail!("reach the agent at {}, which does not answer: {reason}", args.agent_url())
            }
            Answer::Later { after, .. } => {
                let pause = sell::pause(after.unwrap_or_default(), Duration::from_millis(200), &mut jitter);
                tokio::time::sleep(pause).await;
            }
            Answer::Refused { detail: reason, .. } | Answer::Hopeless(reason) => {
                anyhow::bail!("ask {} for its state: {reason}", args.agent_url())
            }
        }
    }
}

fn empty_report(mapping: &Mapping, store: &str, receipts: &Receipts, dry_run: bool) -> Report {
    let mut rows_left_out = BTreeMap::new();
    for note in &receipts.left_out {
        *rows_left_out.entry(note.reason.clone()).or_insert(0) += 1;
    }
    Report {
        source: mapping.source.clone(),
        store: store.to_owned(),
        finished: false,
        failure: None,
        dry_run,
        rows_read: receipts.rows_read,
        rows_sold: 0,
        rows_open: 0,
        rows_not_picked: receipts.rows_not_picked,
        rows_left_out,
        rows_refused: 0,
        orders_empty: receipts.orders_empty,
        sales_new: 0,
        sales_already_there: 0,
        sales_refused: 0,
        sales_open: 0,
        resumes: false,
        hopeless: false,
        lines: 0,
        units: Quantity::ZERO,
        amount_minor: Money::ZERO,
        currency: mapping.money.currency,
        duration_ms: 0,
        sales_per_s: 0,
        p50_us: 0,
        p99_us: 0,
        max_us: 0,
        retries: 0,
        refused: Vec::new(),
        left_out: receipts.left_out.clone(),
    }
}
