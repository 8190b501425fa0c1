//! The load generator against a real server: what it says of the balance is true, whatever happens on the way.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use tests::bench::sales;
use tests::load::{Crowd, Page, Played, Settings, Shape, Site, Told, Way, run};
use tests::surroundings::{Home, Surroundings, Via};

use super::site::{on_processes, seed};

/// Lines that are cut, a backlog, poison, a flood and a clock ten years off, all at once. The span to drain is for a busy
/// machine; a store that is stuck ends the run long before.
const SHAPE: &str = r#"
title = "Everything"
stores = 40
lasts = "6s"
drains = "4m"
[[sales]]
at = "0s"
per_s = 20
[[sales]]
at = "2s"
per_s = 200
[backlog]
per_store = 30
over = "1d"
[[line]]
cut = "0s"
back = "1s"
within = "1s"
percent = 30
[[line]]
cut = "3s"
back = "4s"
percent = 50
[[odd]]
kind = "poison"
every = 4
[[odd]]
kind = "flood"
per_s = 150
copies = 10
[[odd]]
kind = "clock"
off_days = -3652
[[odd]]
kind = "clock"
off_days = 3652
"#;

/// Three stores that misbehave, each in its own way, among stores that do not.
const BAD_NEIGHBOURS: &str = r#"
title = "Bad neighbours"
stores = 60
lasts = "8s"
drains = "15s"
[[sales]]
at = "0s"
per_s = 100
[[odd]]
kind = "poison"
every = 3
per_s = 10
[[odd]]
kind = "clock"
off_days = -3652
per_s = 5
[[odd]]
kind = "flood"
per_s = 100
copies = 20
"#;

/// What a fresh sale of an ordinary store may take until it is confirmed, in 99 of 100 cases and in the middle, in
/// microseconds. On a machine that does nothing else it takes a twentieth; a store that waits for another one's turn, for a
/// message to be sent again or for a new connection takes longer.
const FRESH_P99_US_MAX: u64 = 2_000_000;
const FRESH_P50_US_MAX: u64 = 500_000;

async fn site_for(folder: &Path, shape: &Shape, agents: usize) -> anyhow::Result<Site> {
    let surroundings = Surroundings::prepare(folder, Home::Sqlite, Via::Listener)?;
    Site::start(folder, surroundings, Crowd { prefix: "LOAD", stores: shape.stores, agents }, |_| {}).await
}

fn settings(site: &Site, shape: Shape, seed: u64) -> Settings {
    Settings {
        shape,
        seed,
        threads: 2,
        connects_per_s: 500,
        batch: 50,
        way: Way::Uplink(site.mqtt()),
        proofs: site.surroundings.asks_for_proofs(),
        logins: site.logins.clone(),
        centre: Some(site.centre.clone()),
        check: true,
        server_pid: site.server.pid(),
        agents: site.agent_urls(),
        till_pause: Duration::from_millis(50),
    }
}

#[test]
fn whatever_happens_to_stores_the_balance_is_exact() {
    on_processes("load", async |folder| {
        let shape = Shape::parse(SHAPE).map_err(anyhow::Error::msg)?;
        let site = site_for(folder, &shape, 1).await?;
        let settings = settings(&site, shape, seed());
        let templates = sales::templates(1)?;
        let played = run(&settings, &templates, |_| {}).await?;
        let refused: u64 = played.rows.iter().map(|row| row.refused).sum();
        eprintln!("all is over after {} s, {refused} messages were refused", played.rows.len());
        check(&played)?;
        let (machine, shape) = (tests::bench::Machine::here(folder), &settings.shape);
        let (words, happenings) = (settings.in_words(), shape.happenings());
        let (title, about, began) = (&shape.title, &shape.about, "now".to_owned());
        let page =
            Page { title, about, settings: words, happenings, played: &played, machine: &machine, began }.to_html();
        ensure!(page.contains("Balance exact"), "the report does not say so");

        // One more run, at a centre that loses a sale behind everybody's back, just before it is asked.
        let site = site_for(&folder.join("again"), &settings.shape, 0).await?;
        let ledger = site.server.data_dir().join("ledger.db");
        let settings = self::settings(&site, settings.shape, seed());
        let spoil = || -> anyhow::Result<()> {
            let one = "UPDATE day_totals SET sales = sales - 1 WHERE (store_no, business_date, currency) IN
                (SELECT store_no, business_date, currency FROM day_totals LIMIT 1)";
            let changed = Connection::open(&ledger).context("open the ledger")?.execute(one, []).context("spoil it")?;
            ensure!(changed == 1, "{changed} rows were changed");
            Ok(())
        };
        let mut spoilt = None;
        let tell = |told: Told<'_>| {
            if matches!(told, Told::Checking) {
                spoilt = Some(spoil());
            }
        };
        let wrong = run(&settings, &templates, tell).await?.balance;
        spoilt.context("the centre was not asked")??;
        ensure!(wrong.made == wrong.acked && wrong.applied == Some(wrong.expected - 1), "{wrong}");
        ensure!(!wrong.is_exact() && wrong.differing == 1 && wrong.differs.len() == 1, "{wrong:?}");
        Ok(())
    });
}

#[test]
fn bad_neighbours_cost_the_other_stores_nothing() {
    on_processes("neighbours", async |folder| {
        let shape = Shape::parse(BAD_NEIGHBOURS).map_err(anyhow::Error::msg)?;
        let site = site_for(folder, &shape, 0).await?;
        let played = run(&settings(&site, shape, seed()), &sales::templates(1)?, |_| {}).await?;
        let balance = &played.balance;
        ensure!(balance.is_exact(), "{balance}: {:?} {:?}", balance.differs, balance.behind);
        ensure!(balance.applied_minor == Some(balance.expected_minor), "{balance}");
        ensure!(balance.expected_parked > 0 && balance.parked == Some(balance.expected_parked), "{balance}");
        let (fresh, odd) = played.fresh.zip(played.odd).context("nothing was measured")?;
        eprintln!("ordinary stores: {fresh:?}\nbad neighbours: {odd:?}");
        ensure!(odd.count > 500 && fresh.count > 500, "too few sales: {fresh:?}, {odd:?}");
        ensure!(fresh.p99_us < FRESH_P99_US_MAX && fresh.p50_us < FRESH_P50_US_MAX, "they wait: {fresh:?}");
        Ok(())
    });
}

fn check(played: &Played) -> anyhow::Result<()> {
    let balance = &played.balance;
    ensure!(balance.is_exact(), "{balance}: {:?} {:?}", balance.differs, balance.behind);
    ensure!(balance.applied == Some(balance.expected) && balance.applied_minor == Some(balance.expected_minor));
    ensure!(balance.made == balance.expected + balance.expected_parked, "{balance}");
    ensure!(balance.expected_parked >= 7 && balance.parked == Some(balance.expected_parked), "{balance}");
    ensure!(played.stale >= 40 * 30 && played.square_ms.is_some(), "what waited was not told apart: {played:?}");
    ensure!(played.fresh.is_some() && played.odd.is_some() && played.till_sales > 0, "{played:?}");
    let lost: u64 = played.rows.iter().map(|row| row.lost).sum();
    ensure!(lost >= 10, "only {lost} lines were cut");
    let made: u64 = played.rows.iter().map(|row| row.made).sum();
    ensure!(made + 40 * 30 == balance.made, "the seconds have {made} sales of {}", balance.made);
    Ok(())
}
