//! The load generator against a real server: what it says of the balance is true, whatever happens on the way.

use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use tests::bench::sales;
use tests::load::{Page, Played, Settings, Shape, Site, Told, Way, run};

use super::site::{on_processes, seed};

/// Lines that are cut, a backlog, poison, a flood and a clock ten years off, all at once.
const SHAPE: &str = r#"
title = "Everything"
stores = 40
lasts = "6s"
drains = "90s"
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

fn settings(site: &Site, shape: Shape, seed: u64) -> Settings {
    Settings {
        shape,
        seed,
        threads: 2,
        connects_per_s: 500,
        batch: 50,
        way: Way::Uplink(site.server.addresses().mqtt),
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
        let site = Site::start(folder, "LOAD", shape.stores, 1, |_| {}).await?;
        let settings = settings(&site, shape, seed());
        let templates = sales::templates(1)?;
        let played = run(&settings, &templates, |_| {}).await?;
        check(&played)?;
        let (machine, shape) = (tests::bench::Machine::here(folder), &settings.shape);
        let (words, happenings) = (settings.in_words(), shape.happenings());
        let (title, about, began) = (&shape.title, &shape.about, "now".to_owned());
        let page =
            Page { title, about, settings: words, happenings, played: &played, machine: &machine, began }.to_html();
        ensure!(page.contains("Balance exact"), "the report does not say so");

        // One more run, at a centre that loses a sale behind everybody's back, just before it is asked.
        let site = Site::start(&folder.join("again"), "LOAD", settings.shape.stores, 0, |_| {}).await?;
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

fn check(played: &Played) -> anyhow::Result<()> {
    let balance = &played.balance;
    ensure!(balance.is_exact(), "{balance}: {:?}", balance.differs);
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
