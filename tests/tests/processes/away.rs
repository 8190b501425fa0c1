//! The server is away for a whole sale: the till does not notice, and all arrives afterwards.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::counter::all_days;
use super::counter::{amount_minor, command};
use super::site::{Site, StoreApi, on_processes, seed};

const SALES: u64 = 400;

/// The till may be so much slower without a server than with one: half again, and what a busy machine adds.
const SLACK: Duration = Duration::from_millis(3);

#[test]
fn server_away_for_the_whole_sale() {
    on_processes("away", async |folder| {
        let seed = seed();
        let mut site = Site::start(folder)?;
        let agent = site.store(folder, "HARBOUR")?;
        let store = site.at(&agent);
        store.is_drained().await?;
        let present = sell_timed(&store, seed, "T1").await?;
        store.is_drained().await?;
        site.server.kill();
        let away = sell_timed(&store, seed, "T2").await?;
        let waiting = store.sync().await?.outbox_events;
        ensure!(waiting >= SALES, "{SALES} sales were made without a server and {waiting} events wait for it");

        eprintln!("with the server: p50 {:?}, p99 {:?}", present.at(50), present.at(99));
        eprintln!("without it:      p50 {:?}, p99 {:?}", away.at(50), away.at(99));
        let bound = present.at(50) * 3 / 2 + SLACK;
        ensure!(away.at(50) <= bound, "the median without a server is {:?}, above {bound:?}", away.at(50));

        site.server.restart()?;
        store.is_drained().await?;
        let centre = site.centre();
        centre.has_applied("HARBOUR", 2 * SALES).await?;
        let whole = all_days(&centre.totals("HARBOUR").await?);
        ensure!(whole.amount_minor == present.amount_minor + away.amount_minor, "the centre holds {whole:?}");
        Ok(())
    });
}

struct Timed {
    sorted: Vec<Duration>,
    amount_minor: i64,
}

impl Timed {
    fn at(&self, percent: usize) -> Duration {
        self.sorted[(self.sorted.len() * percent / 100).min(self.sorted.len() - 1)]
    }
}

/// One till sells one sale after the other.
async fn sell_timed(store: &StoreApi, seed: u64, till: &str) -> anyhow::Result<Timed> {
    let mut sorted = Vec::new();
    let mut receipts = Vec::new();
    for n in 0..SALES {
        let command = command(seed, till, n);
        let asked = Instant::now();
        receipts.push(store.sell(&command).await?);
        sorted.push(asked.elapsed());
    }
    sorted.sort_unstable();
    Ok(Timed { sorted, amount_minor: amount_minor(&receipts) })
}
