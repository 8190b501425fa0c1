//! What the centre has to withstand while stores send: it is killed, its database is stopped without warning, its broker
//! forgets everything. At the end the balance is exact, store by store, and nobody had to do anything.
//!
//! Each fault strikes a few times. `BREAKWATER_FAULTS=100` asks for the long run: a hundred kills of the server, ten restarts
//! of the database and ten wipes of the broker; other numbers in proportion.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::json;
use sync_core::Random;
use test_postgres::{Durability, TestServer};
use tests::bench::{rss_kb, sales};
use tests::load::{self, Crowd, Login, Played, Settings, Shape, Way, run};
use tests::process::Agent;
use tests::surroundings::Surroundings;
use tests::throttle::Throttle;

use super::broker::{Harbour, Selling};
use super::chaos::draw;
use super::site::{Centre, PATIENCE, Site, http_client, on_processes, said, seed, until};

/// Stores of the load, each on a connection of its own.
const STORES: u64 = 40;

/// What a till may wait for its answer, in microseconds: far more than it does where all this happens on two processors, and
/// far less than any of the faults lasts.
const TILL_WAIT_US_MAX: u64 = 1_000_000;

/// How much the centre takes in a second while it is being killed or loses its database: little enough that there is
/// always something on its way.
const DRAIN_PER_S: u64 = 2_000;

/// What stores have in stock for each kill, and for each restart of the database, so that the last one still finds a drain.
const SALES_PER_KILL: u64 = 2_000;
const SALES_PER_RESTART: u64 = 10_000;

/// How often things go wrong.
struct Often {
    kills: u64,
    restarts: u64,
    wipes: u64,
}

impl Often {
    fn asked() -> Self {
        let Ok(faults) = std::env::var("BREAKWATER_FAULTS") else {
            return Self { kills: 12, restarts: 3, wipes: 3 };
        };
        let kills: u64 = faults.parse().expect("BREAKWATER_FAULTS is a number");
        let tenth = kills.div_ceil(10);
        Self { kills, restarts: tenth, wipes: tenth }
    }
}

/// What the centre says of its credit.
#[derive(Debug, Deserialize)]
struct Credit {
    reason: String,
    window_events: u64,
    lag_ms: u64,
    lag_target_ms: u64,
    cuts: u64,
}

/// A centre with the stores of a load, and a real agent at which a till sells.
struct Chain {
    site: Site,
    load: load::Centre,
    logins: Vec<Login>,
    agent: Agent,
}

impl Chain {
    async fn start(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let calm = [("BREAKWATER_INGEST_RECONNECT_SPREAD", "100ms")];
        let settings: Vec<_> = calm.iter().chain(settings).copied().collect();
        let crowd = Crowd { prefix: "FAULTS", stores: STORES, agents: 1 };
        let started = load::Site::start(folder, Surroundings::plain(&settings), crowd, |_| {}).await?;
        let load::Site { server, centre, logins, mut agents, .. } = started;
        let agent = agents.pop().context("one agent was asked for")?;
        Ok(Self { site: Site::with(server, http_client()?), load: centre, logins, agent })
    }

    /// A run in which stores have `backlog` sales together and go on selling for so long.
    fn settings(&self, seed: u64, backlog: u64, lasts: Duration) -> anyhow::Result<Settings> {
        let (per_store, lasts) = (backlog.div_ceil(STORES), lasts.as_secs());
        let shape = format!(
            "title = \"Faults\"\nstores = {STORES}\nlasts = \"{lasts}s\"\ndrains = \"300s\"\n\
             [[sales]]\nat = \"0s\"\nper_s = 200\n[backlog]\nper_store = {per_store}\nover = \"1d\"\n"
        );
        Ok(Settings {
            shape: Shape::parse(&shape).map_err(anyhow::Error::msg)?,
            seed,
            threads: 1,
            connects_per_s: 100,
            batch: 50,
            way: Way::Uplink(self.site.server.addresses().mqtt),
            proofs: false,
            logins: self.logins.clone(),
            centre: Some(self.load.clone()),
            check: true,
            server_pid: None,
            agents: vec![self.agent.url("")],
            till_pause: Duration::from_millis(50),
        })
    }

    /// How fast stores may send at present, and why.
    async fn credit(&self) -> anyhow::Result<Credit> {
        serde_json::from_value(self.site.centre().get("/api/v1/credit").await?).context("understand the credit")
    }

    /// Lifts the limit on what the centre takes in.
    async fn lift_limit(&self) -> anyhow::Result<()> {
        let put = self.site.http.put(self.site.server.url("/api/v1/credit/limit")).json(&json!({}));
        put.send().await.context("lift the limit")?.error_for_status().context("lift the limit").map(drop)
    }

    /// Everything that was sold is at the centre, once, for the right money; nothing is odd, and the till did not wait.
    async fn agrees(&self, played: &Played) -> anyhow::Result<()> {
        let (balance, till) = (&played.balance, played.till.context("a till sold")?);
        let lost: u64 = played.rows.iter().map(|row| row.lost).sum();
        let seconds = played.rows.len();
        eprintln!("{balance}, in {seconds} s; {lost} connections were lost");
        eprintln!("a till sold {} times and waited {} us at the most", played.till_sales, till.max_us);
        ensure!(balance.is_exact(), "{balance}: {:?}", balance.differs);
        ensure!(balance.applied == Some(balance.made) && balance.expected == balance.made, "{balance}");
        ensure!(balance.applied_minor == Some(balance.expected_minor), "{balance:?}");
        ensure!(till.max_us < TILL_WAIT_US_MAX, "a till waited: {till:?}");
        let centre = self.site.centre();
        centre.has_applied("FAULTS-agent-1", played.till_sales).await?;
        let (parked, alerts) = (centre.parked().await?, centre.alerts("FAULTS-agent-1").await?);
        ensure!(parked.is_empty() && alerts.is_empty(), "{parked:?} {alerts:?}");
        for check in [["verify"].as_slice(), &["rollups", "check"]] {
            let checked = self.site.server.command(check)?.output().with_context(|| format!("run {check:?}"))?;
            ensure!(checked.status.success(), "{check:?}: {}", said(&checked));
        }
        Ok(())
    }
}

/// Events that the server has applied since it started.
async fn applied(centre: &Centre) -> anyhow::Result<u64> {
    centre.metrics().await?.counter("breakwater_ingest_applied_events_total")
}

async fn applies_more_than(centre: &Centre, before: u64) -> anyhow::Result<()> {
    until("the centre goes on applying", PATIENCE, async || {
        let present = applied(centre).await?;
        ensure!(present > before, "{present} events are applied, as before");
        Ok(())
    })
    .await
}

/// The table of sales has each of them once.
fn has_each_once(postgres: &TestServer, url: &str, played: &Played) -> anyhow::Result<()> {
    let counted = postgres.query(url, "SELECT count(*), count(DISTINCT sale_id) FROM v_sales");
    let all = played.balance.made + played.till_sales;
    ensure!(counted == [format!("{all} {all}")], "{all} were sold, the table has {counted:?}");
    Ok(())
}

fn postgres() -> anyhow::Result<(TestServer, String)> {
    let postgres = TestServer::start(Durability::Full).map_err(anyhow::Error::msg)?;
    let url = postgres.database();
    Ok((postgres, url))
}

/// Drains the stores of a centre that is killed at random moments: most of them soon after it has begun to apply something,
/// some before that.
async fn drain_through_kills(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<(Chain, Played)> {
    let (seed, kills) = (seed(), Often::asked().kills);
    let limit = DRAIN_PER_S.to_string();
    let settings: Vec<_> =
        settings.iter().copied().chain([("BREAKWATER_INGEST_EVENTS_PER_SECOND_MAX", &*limit)]).collect();
    let mut chain = Chain::start(folder, &settings).await?;
    let run_settings = chain.settings(seed, kills * SALES_PER_KILL, Duration::from_secs(5))?;
    let (templates, began) = (sales::templates(1)?, Instant::now());
    let kill = async {
        let (mut random, centre) = (Random::new(seed), chain.site.centre());
        for kill in 0..kills {
            if kill == 0 || random.below(4) > 0 {
                applies_more_than(&centre, 0).await?;
            }
            tokio::time::sleep(draw(&mut random, &(0..300))).await;
            chain.site.server.restart()?;
        }
        eprintln!("{kills} kills in {:?}", began.elapsed());
        // The last one has left something to do.
        applies_more_than(&centre, 0).await?;
        chain.lift_limit().await
    };
    let (played, ()) = tokio::try_join!(run(&run_settings, &templates, |_| {}), kill)?;
    chain.agrees(&played).await?;
    Ok((chain, played))
}

#[test]
fn a_server_killed_at_random_applies_each_sale_once() {
    on_processes("faults-kill", async |folder| drain_through_kills(folder, &[]).await.map(drop));
}

#[test]
fn a_server_killed_at_random_applies_each_sale_once_to_a_database() {
    on_processes("faults-kill-postgres", async |folder| {
        let (postgres, url) = postgres()?;
        let (_chain, played) = drain_through_kills(folder, &[("BREAKWATER_LEDGER_URL", &url)]).await?;
        has_each_once(&postgres, &url, &played)
    });
}

#[test]
fn a_database_that_is_restarted_loses_and_doubles_nothing() {
    on_processes("faults-database", async |folder| {
        let (seed, restarts) = (seed(), Often::asked().restarts);
        let (postgres, url) = postgres()?;
        let limit = DRAIN_PER_S.to_string();
        let settings = [("BREAKWATER_LEDGER_URL", &*url), ("BREAKWATER_INGEST_EVENTS_PER_SECOND_MAX", &*limit)];
        let chain = Chain::start(folder, &settings).await?;
        let pid = chain.site.server.pid();
        let run_settings = chain.settings(seed, restarts * SALES_PER_RESTART, Duration::from_secs(5))?;
        let (templates, began) = (sales::templates(1)?, Instant::now());
        let restart = async {
            let (mut random, centre) = (Random::new(seed), chain.site.centre());
            let mut longest = Duration::ZERO;
            for _ in 0..restarts {
                applies_more_than(&centre, applied(&centre).await?).await?;
                tokio::time::sleep(draw(&mut random, &(0..300))).await;
                // At once and without a word to its clients, who find their connections cut and nobody there.
                postgres.kill();
                until("the server misses its database", PATIENCE, async || {
                    let credit = centre.get("/api/v1/credit").await?;
                    ensure!(credit["reason"] == "failing", "it says {credit}");
                    Ok(())
                })
                .await?;
                tokio::time::sleep(draw(&mut random, &(0..2_000))).await;
                postgres.restart().map_err(anyhow::Error::msg)?;
                let back = Instant::now();
                let before = until("the server answers again", PATIENCE, async || applied(&centre).await).await?;
                applies_more_than(&centre, before).await?;
                longest = longest.max(back.elapsed());
            }
            eprintln!("{restarts} restarts in {:?}, the longest return took {longest:?}", began.elapsed());
            chain.lift_limit().await
        };
        let (played, ()) = tokio::try_join!(run(&run_settings, &templates, |_| {}), restart)?;
        ensure!(chain.site.server.pid() == pid, "the server was started again");
        chain.agrees(&played).await?;
        has_each_once(&postgres, &url, &played)
    });
}

/// How many times slower the database gets, and for how long: in the long run for a minute.
const SLOWER: u64 = 100;
const SLOW_FOR: Duration = Duration::from_secs(20);
const SLOW_FOR_IN_A_LONG_RUN: Duration = Duration::from_secs(60);

/// What stores have in stock when it does: enough that the centre is still at it when it has recovered.
const SALES_BEFORE_SLOW: u64 = 100_000;

/// For how long the pace is measured before and afterwards, and what part of the one has to be reached by the other.
const PACE_FOR: Duration = Duration::from_secs(5);
const PACE_PERCENT_MIN: u64 = 80;

/// By how much the server's memory may differ, in KiB.
const MEMORY_GROWTH_KB_MAX: u64 = 24 * 1024;

/// How much a slow database has to show in the time that a commit takes, for the test to mean anything.
const COMMIT_TIMES_MIN: u128 = 10;

/// Commits in a span of time: how many there were, what they took together, and how many events they held.
#[derive(Debug, Clone, Copy)]
struct Commits {
    count: u64,
    took: Duration,
    events: u64,
}

impl Commits {
    async fn until_now(centre: &Centre) -> anyhow::Result<Self> {
        let metrics = centre.metrics().await?;
        Ok(Self {
            count: metrics.counter("breakwater_ledger_commit_seconds_count")?,
            took: metrics.duration("breakwater_ledger_commit_seconds_sum")?,
            events: metrics.counter("breakwater_ingest_applied_events_total")?,
        })
    }

    async fn during(centre: &Centre, span: Duration) -> anyhow::Result<Self> {
        let before = Self::until_now(centre).await?;
        tokio::time::sleep(span).await;
        Ok(Self::until_now(centre).await?.since(before))
    }

    fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            took: self.took.saturating_sub(before.took),
            events: self.events - before.events,
        }
    }

    /// What one took, in microseconds.
    fn mean_us(self) -> u128 {
        self.took.as_micros() / u128::from(self.count.max(1))
    }
}

#[test]
fn a_slow_database_lowers_the_credit_and_recovers_by_itself() {
    on_processes("faults-slow", async |folder| {
        let seed = seed();
        let slow_for = if Often::asked().kills < 100 { SLOW_FOR } else { SLOW_FOR_IN_A_LONG_RUN };
        let (postgres, url) = postgres()?;
        let limit = DRAIN_PER_S.to_string();
        let settings = [
            ("BREAKWATER_LEDGER_URL", &*url),
            ("BREAKWATER_INGEST_EVENTS_PER_SECOND_MAX", &*limit),
            // The limit lets a second of it be on its way, which is more than the least window: so it can be cut.
            ("BREAKWATER_INGEST_LAG_TARGET", "1s"),
        ];
        let chain = Chain::start(folder, &settings).await?;
        let pid = chain.site.server.pid().context("the server runs")?;
        let run_settings = chain.settings(seed, SALES_BEFORE_SLOW, Duration::from_secs(5))?;
        let templates = sales::templates(1)?;
        let slow = async {
            let centre = chain.site.centre();
            applies_more_than(&centre, 0).await?;
            let before = Commits::during(&centre, PACE_FOR).await?;
            let (open, memory) = (chain.credit().await?, rss_kb(pid).context("the server runs")?);
            eprintln!("before: {before:?}, {open:?}, {memory} KiB");

            let throttle = Throttle::start(postgres.pid().context("the database runs")?, SLOWER)?;
            let began = Commits::until_now(&centre).await?;
            let (since, mut most, mut narrowest, mut slowest) = (Instant::now(), memory, open.window_events, 0);
            while since.elapsed() < slow_for {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let credit = chain.credit().await?;
                most = most.max(rss_kb(pid).context("the server runs")?);
                (narrowest, slowest) = (narrowest.min(credit.window_events), slowest.max(credit.lag_ms));
            }
            let (during, credit) = (Commits::until_now(&centre).await?.since(began), chain.credit().await?);
            drop(throttle);
            eprintln!("while it was slow: {during:?}, {credit:?}, {most} KiB, messages waited up to {slowest} ms");
            let (quick, slow) = (before.mean_us(), during.mean_us());
            ensure!(
                slow >= quick * COMMIT_TIMES_MIN,
                "a commit took {slow} us instead of {quick} us: that is not slow"
            );
            ensure!(credit.cuts > open.cuts && narrowest <= open.window_events / 2, "{open:?} before, then {credit:?}");
            ensure!(most <= memory + MEMORY_GROWTH_KB_MAX, "{most} KiB, {memory} KiB before");

            let lifted = Instant::now();
            let after = until("the old pace is back", PATIENCE, async || {
                let after = Commits::during(&centre, PACE_FOR).await?;
                ensure!(after.events * 100 >= before.events * PACE_PERCENT_MIN, "{after:?}, {before:?} before");
                Ok(after)
            })
            .await?;
            let credit = chain.credit().await?;
            eprintln!("after {:?}: {after:?}, {credit:?}", lifted.elapsed().saturating_sub(PACE_FOR));
            ensure!(
                after.mean_us() * COMMIT_TIMES_MIN <= slow,
                "a commit takes {} us, {slow} us before",
                after.mean_us()
            );
            chain.lift_limit().await
        };
        let (played, ()) = tokio::try_join!(run(&run_settings, &templates, |_| {}), slow)?;
        until("the credit is open", PATIENCE, async || {
            let credit = chain.credit().await?;
            ensure!(credit.reason == "open" && credit.lag_ms <= credit.lag_target_ms, "{credit:?}");
            Ok(())
        })
        .await?;
        chain.agrees(&played).await?;
        has_each_once(&postgres, &url, &played)
    });
}

/// Sales that a store has piled up before the broker is back.
const PILED_UP_MIN: u64 = 100;

#[test]
fn a_broker_that_is_wiped_again_and_again() {
    on_processes("faults-broker", async |folder| {
        let (seed, wipes) = (seed(), Often::asked().wipes);
        let mut harbour = Harbour::start(folder, &[]).await?;
        let (mut stores, mut tills) = (Vec::new(), Vec::new());
        for (id, till) in [("HARBOUR", "T1"), ("LAGOON", "T2")] {
            let mut agent = harbour.enroll(folder, id).await?;
            agent.start()?;
            tills.push((harbour.site.at(&agent), till));
            stores.push((id, harbour.site.at(&agent), agent));
        }
        let selling = Selling::begin(tills, seed);
        let (mut random, centre, began) = (Random::new(seed), harbour.site.centre(), Instant::now());
        for _ in 0..wipes {
            // Soon after something has come through, so that the broker has more of the kind when it dies.
            applies_more_than(&centre, applied(&centre).await?).await?;
            tokio::time::sleep(draw(&mut random, &(0..300))).await;
            harbour.mosquitto.kill();
            for (id, api, _) in &stores {
                until("stores sell on without the broker", PATIENCE, async || {
                    let waiting = api.sync().await?.outbox_events;
                    ensure!(waiting >= PILED_UP_MIN, "{waiting} events of {id} wait");
                    Ok(())
                })
                .await?;
            }
            harbour.mosquitto.start()?;
            harbour.is_heard().await?;
        }
        let sold = selling.end().await?;
        let all: usize = sold.iter().map(Vec::len).sum();
        eprintln!("{all} sales were answered through {wipes} wipes in {:?}", began.elapsed());
        for ((id, _, agent), sold) in stores.iter().zip(&sold) {
            harbour.agrees(agent, id, sold).await?;
        }
        let verified = harbour.site.server.command(&["verify"])?.output().context("run verify")?;
        ensure!(verified.status.success(), "{}", said(&verified));
        Ok(())
    });
}
