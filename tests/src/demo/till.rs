//! A till that shows the price of an order and sells it, and asks again under the same sale id until it has an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use pos_model::{SaleId, Tag, TillId};
use pricing::book::PriceBook;
use protocol::latest::local_api::{CompleteSale, SaleReceipt};
use protocol::latest::order::PriceOrder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sync_core::Random;
use tokio::task::JoinHandle;

use crate::workload::{self, BookOrder};

/// Between two sales at the most; the mean is half of it.
const PAUSE_MS_MAX: u64 = 400;

/// Between two tries of a sale that got no answer.
const RETRY: Duration = Duration::from_millis(200);

/// How long a till waits for an answer before it asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a till is.
#[derive(Debug)]
pub(super) struct TillPlan {
    pub(super) store: &'static str,
    /// The agent's address.
    pub(super) url: String,
    pub(super) till_id: String,
    pub(super) seed: u64,
    /// The menu from which its customers order.
    pub(super) book: Arc<PriceBook>,
}

/// A sale that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sold {
    /// Where.
    pub(super) store: &'static str,
    /// Its id.
    pub(super) sale_id: SaleId,
    /// Its total in minor units.
    pub(super) total_minor: i64,
}

/// A running till.
#[derive(Debug)]
pub(super) struct Till {
    store: &'static str,
    sold: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<Vec<Sold>>>,
}

impl Till {
    /// Starts to sell until told to stop.
    pub(super) fn start(plan: TillPlan, client: reqwest::Client, stop: Arc<AtomicBool>) -> Self {
        let sold = Arc::new(AtomicU64::new(0));
        let store = plan.store;
        let task = tokio::spawn(sell(plan, client, stop, Arc::clone(&sold)));
        Self { store, sold, task }
    }

    pub(super) fn store(&self) -> &'static str {
        self.store
    }

    /// Sales answered so far.
    pub(super) fn sold(&self) -> u64 {
        self.sold.load(Ordering::Relaxed)
    }

    /// Whether it has stopped.
    pub(super) fn is_done(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for it to stop; returns what it sold.
    pub(super) async fn finish(self) -> anyhow::Result<Vec<Sold>> {
        self.task.await.context("a till ended badly")?
    }
}

async fn sell(
    plan: TillPlan,
    client: reqwest::Client,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> anyhow::Result<Vec<Sold>> {
    let mut random = Random::new(plan.seed);
    let till_id = TillId::new(plan.till_id.clone())?;
    let mut sold = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let order = workload::book_order(plan.seed, number, &plan.book);
        let receipt = loop {
            let shown = price(&client, &plan.url, &order).await?;
            // A promotion may have begun or ended since: then the customer is shown the other price.
            if let Some(receipt) = complete(&client, &plan.url, &order.sell(&till_id, shown)).await? {
                break receipt;
            }
        };
        sold.push(Sold { store: plan.store, sale_id: receipt.sale_id, total_minor: receipt.total_minor.minor() });
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(random.below(PAUSE_MS_MAX))).await;
    }
    Ok(sold)
}

/// Asks what an order costs, until there is an answer.
async fn price(client: &reqwest::Client, url: &str, order: &BookOrder) -> anyhow::Result<i64> {
    #[derive(Deserialize)]
    struct Price {
        gross_minor: i64,
    }
    let asked = PriceOrder { channel: Tag::new("counter").context("a tag")?, order: order.order.clone() };
    let answer = ask(client, &format!("{url}/v1/price"), &asked).await?;
    let price: Price = answer.map_err(|problem| anyhow::anyhow!("an order has no price: {problem}"))?;
    Ok(price.gross_minor)
}

/// Asks until there is an answer; none if the price is another one by now. The till keeps the command, so nothing depends
/// on whether an earlier try arrived.
async fn complete(client: &reqwest::Client, url: &str, command: &CompleteSale) -> anyhow::Result<Option<SaleReceipt>> {
    match ask(client, &format!("{url}/v1/sales"), command).await? {
        Ok(receipt) => Ok(Some(receipt)),
        Err(problem) if problem.contains("sale.total_differs") => Ok(None),
        Err(problem) => bail!("a sale was refused: {problem}"),
    }
}

/// Posts until there is an answer: what was asked for, or why the agent refuses it.
async fn ask<T: DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    body: &impl Serialize,
) -> anyhow::Result<Result<T, String>> {
    loop {
        match client.post(url).timeout(ANSWER_TIMEOUT).json(body).send().await {
            Ok(response) if response.status().is_success() => {
                if let Ok(answer) = response.json().await {
                    return Ok(Ok(answer));
                }
            }
            Ok(response) if response.status().is_client_error() => {
                return Ok(Err(response.text().await.unwrap_or_default()));
            }
            // Busy, or the agent is down.
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}
