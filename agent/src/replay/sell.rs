//! Sends planned sales to the agent: several workers, each with tills of its own, so that a till's sales stay in order.
//!
//! A request that got no answer is sent again with the same id until it has one: an agent that was killed and comes back
//! has either made the sale or not, and answers the same either way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use pos_model::{Currency, TillId};
use protocol::latest::local_api::SaleReceipt;
use sync_core::Random;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::client::{AgentClient, Answer};
use super::journal::{Journal, JournalError};
use super::plan::PlannedSale;
use super::refusal::{RowNote, RowRefusal};
use super::report::Report;

/// The first wait after a failed request.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);

/// The longest, before jitter. Short: the agent is near, and its return is what everybody waits for.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// Answers that wait to be counted. Full, workers wait; counting is much faster than selling.
const ANSWERS_MAX: usize = 1_024;

/// How often progress is written.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How long a request that is under way may still take once the replay is to stop.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why a replay did not finish that somebody stopped.
pub(super) const INTERRUPTED: &str = "interrupted";

/// What selling needs beside the sales.
#[derive(Debug)]
pub(super) struct Selling<'a> {
    pub(super) client: AgentClient,
    /// When each sale is due; as long as the sales.
    pub(super) due: Vec<Duration>,
    pub(super) workers: NonZeroUsize,
    pub(super) give_up_after: Duration,
    pub(super) currency: Currency,
    pub(super) journal: Option<&'a mut Journal>,
    pub(super) quiet: bool,
    /// By the clock that stamps sales, in milliseconds since 1970: a sale recorded before this was there already. An
    /// agent whose clock is behind this machine's lets new sales count as old; they are made all the same.
    pub(super) started_ms: i64,
}

/// What a worker tells.
enum Told {
    Sold { sale: usize, receipt: SaleReceipt, took: Duration },
    Refused { sale: usize, status: u16, detail: String },
    Retrying { reason: String },
    Failed { reason: String, hopeless: bool },
}

/// Sells all of them, or stops at the first failure, or when `stop` turns true. What happened is in the report; the rows of
/// refused sales are added to `refused`.
pub(super) async fn sell(
    sales: Vec<PlannedSale>,
    mut selling: Selling<'_>,
    report: &mut Report,
    refused: &mut Vec<RowNote>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), JournalError> {
    let sales = Arc::new(sales);
    let shares = shares(&sales, selling.workers);
    let (tell, mut told) = mpsc::channel(ANSWERS_MAX);
    let (halt, halted) = watch::channel(false);
    let started = Instant::now();
    let due = Arc::new(std::mem::take(&mut selling.due));
    for (number, share) in shares.into_iter().enumerate() {
        let mut worker = Worker {
            client: selling.client.clone(),
            sales: Arc::clone(&sales),
            due: Arc::clone(&due),
            started,
            give_up_after: selling.give_up_after,
            tell: tell.clone(),
            jitter: Random::new(u64::try_from(number).unwrap_or(0)),
            halted: halted.clone(),
        };
        let mut halted = halted.clone();
        let patience = async move {
            asked_to(&mut halted).await;
            tokio::time::sleep(LAST_ANSWER_WITHIN).await;
        };
        tokio::spawn(async move {
            tokio::select! {
                () = worker.run(share) => {}
                // A request that is cut off here may have made its sale: the next run finds it there.
                () = patience => {}
            }
        });
    }
    drop(tell);

    let mut count = Count { latencies_us: Vec::with_capacity(sales.len()), last_trouble: None };
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            heard = told.recv() => match heard {
                None => break,
                Some(Told::Failed { reason, hopeless }) => {
                    report.hopeless |= hopeless;
                    report.failure.get_or_insert(reason);
                    break;
                }
                Some(heard) => count.take(heard, &sales, &mut selling, report, refused)?,
            },
            _ = ticks.tick() => {
                if let Some(journal) = selling.journal.as_deref_mut() {
                    journal.flush()?;
                }
                if !selling.quiet {
                    count.progress(sales.len(), started.elapsed(), report);
                }
            }
            () = asked_to(&mut stop) => {
                report.failure.get_or_insert_with(|| INTERRUPTED.to_owned());
                break;
            }
        }
        if report.failure.is_some() {
            break;
        }
    }
    let _ = halt.send(true);
    // What is answered within the patience counts.
    while let Some(heard) = told.recv().await {
        count.take(heard, &sales, &mut selling, report, refused)?;
    }
    if let Some(journal) = selling.journal.as_deref_mut() {
        journal.flush()?;
    }
    report.set_times(started.elapsed(), count.latencies_us);
    Ok(())
}

/// Waits until somebody asks to stop; for ever once nobody can ask any more.
pub(super) async fn asked_to(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Deals the tills out to the workers, and with them their sales in order.
fn shares(sales: &[PlannedSale], workers: NonZeroUsize) -> Vec<Vec<usize>> {
    let tills: BTreeSet<&TillId> = sales.iter().map(|sale| &sale.command.till_id).collect();
    let worker_of: BTreeMap<&TillId, usize> =
        tills.into_iter().enumerate().map(|(place, till)| (till, place % workers)).collect();
    let mut shares = vec![Vec::new(); workers.get()];
    for (place, sale) in sales.iter().enumerate() {
        if let Some(&worker) = worker_of.get(&sale.command.till_id) {
            shares[worker].push(place);
        }
    }
    shares.retain(|share| !share.is_empty());
    shares
}

struct Count {
    latencies_us: Vec<u32>,
    last_trouble: Option<String>,
}

impl Count {
    fn take(
        &mut self,
        told: Told,
        sales: &[PlannedSale],
        selling: &mut Selling<'_>,
        report: &mut Report,
        refused: &mut Vec<RowNote>,
    ) -> Result<(), JournalError> {
        match told {
            Told::Sold { sale, receipt, took } => {
                self.last_trouble = None;
                self.latencies_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                let sale = &sales[sale];
                let already_there = receipt.recorded_at_ms < selling.started_ms;
                count_sold(report, sale, already_there);
                if let Some(journal) = selling.journal.as_deref_mut() {
                    journal.confirm(sale.command.sale_id)?;
                }
                if receipt.currency != selling.currency {
                    report.hopeless = true;
                    report.failure.get_or_insert(format!(
                        "the agent sells in {} and the mapping says {}",
                        receipt.currency, selling.currency
                    ));
                }
            }
            Told::Refused { sale, status, detail } => {
                self.last_trouble = None;
                let sale = &sales[sale];
                count_answered(report, sale);
                report.sales_refused += 1;
                let reason = RowRefusal::Agent { status, detail }.to_string();
                refused.extend(sale.rows.iter().map(|&line| RowNote { line, reason: reason.clone() }));
            }
            Told::Retrying { reason } => {
                report.retries += 1;
                self.last_trouble = Some(reason);
            }
            Told::Failed { reason, hopeless } => {
                report.hopeless |= hopeless;
                report.failure.get_or_insert(reason);
            }
        }
        Ok(())
    }

    fn progress(&self, all: usize, passed: Duration, report: &Report) {
        let answered = self.latencies_us.len();
        let per_s = u128::try_from(answered).unwrap_or(0) * 1_000 / passed.as_millis().max(1);
        let percent = answered * 100 / all.max(1);
        let refused = report.sales_refused;
        let trouble = self.last_trouble.as_ref().map_or(String::new(), |reason| format!(", trying again: {reason}"));
        // Progress is a courtesy: a closed stderr does not stop the sales.
        let _ = writeln!(
            std::io::stderr(),
            "{percent:>3} %  {answered} of {all} sales, {per_s}/s, {refused} refused{trouble}"
        );
    }
}

/// Adds a sale to the sums.
pub(super) fn count_sold(report: &mut Report, sale: &PlannedSale, already_there: bool) {
    count_answered(report, sale);
    if already_there {
        report.sales_already_there += 1;
    } else {
        report.sales_new += 1;
    }
    add_to_sums(report, sale);
}

fn count_answered(report: &mut Report, sale: &PlannedSale) {
    report.sales_open = report.sales_open.saturating_sub(1);
    let rows = u64::try_from(sale.rows.len()).unwrap_or(u64::MAX);
    report.rows_open = report.rows_open.saturating_sub(rows);
}

/// Adds what a sale consists of.
pub(super) fn add_to_sums(report: &mut Report, sale: &PlannedSale) {
    let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
    report.rows_sold += count(sale.rows.len());
    report.lines += count(sale.command.lines.len());
    // Sums over a whole file are for people; one that leaves 64 bits stays where it was.
    report.units = report.units.checked_add(sale.units).unwrap_or(report.units);
    report.amount_minor = report.amount_minor.checked_add(sale.total).unwrap_or(report.amount_minor);
}

struct Worker {
    client: AgentClient,
    sales: Arc<Vec<PlannedSale>>,
    due: Arc<Vec<Duration>>,
    started: Instant,
    give_up_after: Duration,
    tell: mpsc::Sender<Told>,
    jitter: Random,
    halted: watch::Receiver<bool>,
}

impl Worker {
    async fn run(&mut self, share: Vec<usize>) {
        for sale in share {
            let due = self.due.get(sale).copied().unwrap_or_default();
            if self.is_halted_within(self.started + due).await {
                return;
            }
            let Some(told) = self.sell(sale).await else { return };
            let failed = matches!(told, Told::Failed { .. });
            if self.tell.send(told).await.is_err() || failed {
                return;
            }
        }
    }

    /// Waits until a moment; whether the replay is to stop before it.
    async fn is_halted_within(&mut self, until: Instant) -> bool {
        if *self.halted.borrow() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => false,
            () = asked_to(&mut self.halted) => true,
        }
    }

    /// Asks until there is an answer; none if the replay stops before.
    async fn sell(&mut self, sale: usize) -> Option<Told> {
        let first_asked = Instant::now();
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let asked = Instant::now();
            match self.client.complete(&self.sales[sale].command).await {
                Answer::Done(receipt) => return Some(Told::Sold { sale, receipt, took: asked.elapsed() }),
                Answer::Refused { status, detail } => return Some(Told::Refused { sale, status, detail }),
                Answer::Hopeless(reason) => return Some(Told::Failed { reason, hopeless: true }),
                Answer::Later { reason, .. } if first_asked.elapsed() >= self.give_up_after => {
                    let reason = format!("the agent has not answered for {:?}: {reason}", self.give_up_after);
                    return Some(Told::Failed { reason, hopeless: false });
                }
                Answer::Later { reason, after } => {
                    // Whether anybody listens shows when the sale itself is told.
                    let _ = self.tell.send(Told::Retrying { reason }).await;
                    let pause = pause(after.unwrap_or_default(), delay, &mut self.jitter);
                    if self.is_halted_within(Instant::now() + pause).await {
                        return None;
                    }
                    delay = delay.saturating_mul(2).min(RETRY_DELAY_MAX);
                }
            }
        }
    }
}

/// How long to wait: what the agent asked for, at most the longest delay, and a part of `delay` by chance, so that workers
/// that lost the agent together do not return together.
pub(super) fn pause(asked_for: Duration, delay: Duration, jitter: &mut Random) -> Duration {
    let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    let by_chance = Duration::from_micros(jitter.below(micros.saturating_add(1)));
    asked_for.min(RETRY_DELAY_MAX).saturating_add(by_chance)
}
