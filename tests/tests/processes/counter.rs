//! Selling at an agent's counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pos_model::TillId;
use protocol::latest::local_api::{CompleteSale, Problem, SaleReceipt};
use tests::workload;

use super::site::{Day, StoreApi};

/// A till keeps a command until it has an answer, but not for ever.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Sale number `n` of a till. Ids are distinct over tills and seeds.
pub(super) fn command(seed: u64, till: &str, n: u64) -> CompleteSale {
    let till_seed = till.bytes().fold(seed, |seed, byte| seed.wrapping_mul(257).wrapping_add(u64::from(byte)));
    let mut command = workload::sale(till_seed, n);
    command.till_id = TillId::new(till).expect("a till's name");
    command
}

/// How an agent answered.
#[derive(Debug)]
pub(super) enum Answer {
    Sold(SaleReceipt),
    Refused(Problem),
}

impl StoreApi {
    /// Posts a sale once. Fails if nobody answers.
    pub(super) async fn post(&self, command: &CompleteSale) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/sales", self.url);
        let response = self.http.post(&url).json(command).send().await.context("post a sale")?;
        let status = response.status();
        let body = response.bytes().await.context("read the answer")?;
        if status.is_success() {
            return Ok(Answer::Sold(serde_json::from_slice(&body).context("understand a receipt")?));
        }
        let problem: Problem =
            serde_json::from_slice(&body).with_context(|| format!("a problem with status {status}"))?;
        ensure!(problem.status == status.as_u16(), "the status is {status} and the problem says {}", problem.status);
        Ok(Answer::Refused(problem))
    }

    /// Sells: posts once, and it must be taken.
    pub(super) async fn sell(&self, command: &CompleteSale) -> anyhow::Result<SaleReceipt> {
        match self.post(command).await? {
            Answer::Sold(receipt) => Ok(receipt),
            Answer::Refused(problem) => bail!("sale {} was refused: {problem:?}", command.sale_id),
        }
    }

    /// Sells the numbers of a till one after the other.
    pub(super) async fn sell_all(
        &self,
        seed: u64,
        till: &str,
        numbers: std::ops::Range<u64>,
    ) -> anyhow::Result<Vec<SaleReceipt>> {
        let mut receipts = Vec::new();
        for n in numbers {
            receipts.push(self.sell(&command(seed, till, n)).await?);
        }
        Ok(receipts)
    }

    /// Sells through crashes: the command stays the same until there is an answer.
    pub(super) async fn sell_through(&self, command: &CompleteSale) -> anyhow::Result<SaleReceipt> {
        let deadline = Instant::now() + ANSWER_PATIENCE;
        loop {
            match self.post(command).await {
                Ok(Answer::Sold(receipt)) => return Ok(receipt),
                Ok(Answer::Refused(problem)) if problem.status != 503 => {
                    bail!("sale {} was refused: {problem:?}", command.sale_id)
                }
                Ok(Answer::Refused(_)) | Err(_) if Instant::now() < deadline => {}
                Ok(Answer::Refused(problem)) => bail!("sale {} stays refused: {problem:?}", command.sale_id),
                Err(error) => return Err(error.context(format!("sale {} gets no answer", command.sale_id))),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A till that sells until told to stop; returns what was answered.
    pub(super) async fn sell_until(
        self,
        seed: u64,
        till: &'static str,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Vec<SaleReceipt>> {
        let mut receipts = Vec::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            receipts.push(self.sell_through(&command(seed, till, n)).await?);
        }
        Ok(receipts)
    }
}

/// The sums of receipts. Lines and units do not stand on a receipt.
pub(super) fn amount_minor(receipts: &[SaleReceipt]) -> i64 {
    receipts.iter().map(|receipt| receipt.total_minor.minor()).sum()
}

/// The sum over days.
pub(super) fn all_days(days: &super::site::Days) -> Day {
    days.values().fold(Day::default(), |sum, day| Day {
        sales: sum.sales + day.sales,
        lines: sum.lines + day.lines,
        units: sum.units + day.units,
        amount_minor: sum.amount_minor + day.amount_minor,
    })
}
