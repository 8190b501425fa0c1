//! Real agents that sell beside the load: what a till waits for its answer while the centre is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use protocol::latest::local_api::SyncState;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

use super::record::{Spread, histogram};
use crate::workload;

/// How long a till waits for an answer; far longer than any customer would.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an agent may take until the centre has all its sales.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);

/// What the tills of a run measured.
#[derive(Debug)]
pub(super) struct TillTimes {
    pub(super) second: Histogram<u64>,
    pub(super) whole: Histogram<u64>,
}

/// Tills that sell.
#[derive(Debug)]
pub(super) struct Tills {
    times: Arc<Mutex<TillTimes>>,
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<anyhow::Result<u64>>>,
    agents: Vec<String>,
    client: reqwest::Client,
}

/// What the tills did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sold {
    pub(super) sales: u64,
    pub(super) spread: Option<Spread>,
}

impl Tills {
    /// Starts one till at each agent, which sells and then rests for `pause`.
    pub(super) fn start(agents: &[String], pause: Duration, seed: u64) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build();
        let client = client.context("make an HTTP client")?;
        let times = Arc::new(Mutex::new(TillTimes { second: histogram()?, whole: histogram()? }));
        let stop = Arc::new(AtomicBool::new(false));
        let running = (0..).zip(agents).map(|(number, agent)| {
            let (client, times, stop) = (client.clone(), Arc::clone(&times), Arc::clone(&stop));
            tokio::spawn(sell(client, agent.clone(), pause, seed.wrapping_add(number), times, stop))
        });
        let running = running.collect();
        Ok(Self { times, stop, running, agents: agents.to_vec(), client })
    }

    pub(super) fn times(&self) -> MutexGuard<'_, TillTimes> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops selling and waits until the centre has everything.
    pub(super) async fn finish(&mut self) -> anyhow::Result<Sold> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sales = 0;
        for till in self.running.drain(..) {
            sales += till.await.context("a till ended badly")??;
        }
        let deadline = Instant::now() + DRAIN_PATIENCE;
        for agent in &self.agents {
            loop {
                let answer = self.client.get(format!("{agent}/v1/sync")).send().await.context("ask an agent")?;
                let state: SyncState = answer.json().await.context("understand an agent's state")?;
                if state.outbox_events == 0 {
                    break;
                }
                ensure!(Instant::now() < deadline, "{agent} still has {} events for the centre", state.outbox_events);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(Sold { sales, spread: Spread::of(&self.times().whole) })
    }
}

async fn sell(
    client: reqwest::Client,
    agent: String,
    pause: Duration,
    seed: u64,
    times: Arc<Mutex<TillTimes>>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<u64> {
    let url = format!("{agent}/v1/sales");
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return Ok(number);
        }
        let sale = workload::sale(seed, number);
        let asked = Instant::now();
        let answer = client.post(&url).json(&sale).send().await.with_context(|| format!("sell at {agent}"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("sell at {agent}"))?;
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        ensure!(status.is_success(), "a sale at {agent} was answered {status}: {text}");
        {
            let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
            times.second.saturating_record(took);
            times.whole.saturating_record(took);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(0)
}
