//! A store of the peer: posts what it has, and tries again until it is answered.

use std::time::Duration;

use sync_core::Random;

use super::server::Posted;
use crate::load::peer_side::{RunClock, StoreWatch};
use crate::load::{History, Story, Watch};

/// Sales in one request.
const SALES_MAX: u64 = 500;

/// The first wait after a request that failed; it doubles up to the longest, and each is drawn from the whole of it.
const BACKOFF_MS: u64 = 500;
const BACKOFF_MS_MAX: u64 = 60_000;

/// How long a store waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to the peer's server.
#[derive(Debug, Clone)]
pub(crate) struct PeerLink {
    client: reqwest::Client,
    url: String,
}

impl PeerLink {
    /// `url` is the server's, such as `http://127.0.0.1:8080`.
    pub(crate) fn new(url: &str) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self { client, url: format!("{}/sales", url.trim_end_matches('/')) })
    }
}

/// A store of the peer.
#[derive(Debug)]
pub(crate) struct PeerStore {
    pub(crate) store: String,
    pub(crate) story: Story,
    pub(crate) watch: StoreWatch,
    pub(crate) link: PeerLink,
    pub(crate) random: Random,
    /// When it starts, in milliseconds on the clock of the run's stores.
    pub(crate) first_ms: u64,
}

impl PeerStore {
    /// Plays the store's part, until it is dropped.
    pub(crate) async fn play(mut self) {
        let clock = self.watch.clock();
        let backlog = self.story.sales();
        self.watch.made(&self.story, backlog);
        sleep_until(clock, self.first_ms).await;
        self.watch.connected();
        let mut failures = 0;
        loop {
            let at_ms = u64::try_from(clock.micros() / 1000).unwrap_or(0);
            let made = self.story.advance(at_ms);
            if made > 0 {
                self.watch.made(&self.story, made);
            }
            if let Some(back_ms) = self.watch.back_at(at_ms) {
                sleep_until(clock, clock.of_ms(back_ms)).await;
                continue;
            }
            if self.story.acked_sales() == self.story.sales() {
                match self.story.next_sale_ms() {
                    Some(next_ms) => sleep_until(clock, clock.of_ms(next_ms)).await,
                    None => std::future::pending().await,
                }
                continue;
            }
            if self.post().await {
                failures = 0;
            } else {
                self.watch.refused();
                let window = (BACKOFF_MS << failures.min(10u32)).min(BACKOFF_MS_MAX);
                failures += 1;
                tokio::time::sleep(Duration::from_millis(self.random.below(window + 1))).await;
            }
        }
    }

    async fn post(&mut self) -> bool {
        let from = self.story.acked_sales();
        let through = self.story.sales().min(from + SALES_MAX);
        let sales = (from..through).map(|sale| self.story.sale_body(sale)).collect();
        let Ok(body) = serde_json::to_vec(&Posted { store: self.store.clone(), sales }) else { return false };
        self.watch.sent(through - from, body.len() as u64);
        let request = self.link.client.post(&self.link.url).header("content-type", "application/json").body(body);
        if !request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return false;
        }
        let before = History::acked(&self.story);
        self.story.settle(through);
        self.watch.confirmed(&self.story, before);
        true
    }
}

async fn sleep_until(clock: RunClock, at_ms: u64) {
    tokio::time::sleep_until((clock.started() + Duration::from_millis(at_ms)).into()).await;
}
