//! An agent that is killed a hundred times while four tills sell.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use sync_core::Random;

use super::chaos::draw;
use super::counter::{all_days, amount_minor};
use super::site::{Site, get, on_processes, said, seed};

const KILLS: u32 = 100;

const TILLS: [&str; 4] = ["T1", "T2", "T3", "T4"];

#[test]
fn kill_agent_loop() {
    on_processes("kill-loop", async |folder| {
        let seed = seed();
        let site = Site::start(folder)?;
        let mut agent = site.store(folder, "HARBOUR")?;
        let store = site.at(&agent);
        let stop = Arc::new(AtomicBool::new(false));
        let tills: Vec<_> =
            TILLS.iter().map(|till| tokio::spawn(store.clone().sell_until(seed, till, Arc::clone(&stop)))).collect();
        let mut random = Random::new(seed);
        for _ in 0..KILLS {
            tokio::time::sleep(draw(&mut random, &(0..150))).await;
            agent.kill();
            agent = tokio::task::spawn_blocking(move || agent.start().map(|()| agent)).await??;
        }
        stop.store(true, Ordering::Relaxed);
        let mut receipts = Vec::new();
        for till in tills {
            receipts.extend(till.await.context("a till ended badly")??);
        }
        eprintln!("{} sales were answered through {KILLS} kills", receipts.len());
        ensure!(receipts.len() >= 2 * KILLS as usize, "only {} sales: the kills hit nothing", receipts.len());

        // At the store: every answered sale as it was answered, and no other.
        for receipt in &receipts {
            let held: protocol::latest::local_api::SaleView =
                get(&store.http, &format!("{}/v1/sales/{}", store.url, receipt.sale_id)).await?;
            ensure!(held.receipt == *receipt, "answered {receipt:?}, held {:?}", held.receipt);
        }
        let numbers: BTreeSet<_> = receipts.iter().map(|receipt| (&receipt.till_id, receipt.receipt_no)).collect();
        ensure!(numbers.len() == receipts.len(), "receipt numbers stand on two sales");
        let sales = i64::try_from(receipts.len())?;
        let date = |pick: fn(BTreeSet<String>) -> Option<String>| {
            pick(receipts.iter().map(|receipt| receipt.business_date.to_string()).collect()).context("there are sales")
        };
        let (from, to) = (date(|mut dates| dates.pop_first())?, date(|mut dates| dates.pop_last())?);
        let at_store = all_days(&store.totals(&from, &to).await?);
        ensure!(
            (at_store.sales, at_store.amount_minor) == (sales, amount_minor(&receipts)),
            "the store has {at_store:?}"
        );

        // At the centre the same.
        store.is_drained().await?;
        let centre = site.centre();
        centre.has_applied("HARBOUR", receipts.len() as u64).await?;
        let at_centre = all_days(&centre.totals("HARBOUR").await?);
        ensure!(at_centre == at_store, "the centre has {at_centre:?}, the store {at_store:?}");
        ensure!(centre.parked().await?.is_empty(), "events are parked");
        let alerts = centre.alerts("HARBOUR").await?;
        ensure!(alerts.is_empty(), "{alerts:?}");

        agent.stop()?;
        let verified = agent.command("verify")?.output().context("run verify")?;
        ensure!(verified.status.success(), "verify: {}", said(&verified));
        Ok(())
    });
}
