//! Rows that somebody deletes at the centre by hand, behind the cursor, while everything runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use rusqlite::Connection;
use serde_json::Value;
use tests::process::Server;

use super::counter::command;
use super::site::{PATIENCE, Site, http_client, on_processes, said, seed, until};

/// How often dates are looked at here; a service does so once a day.
const EVERY: &str = "2s";

/// Rows that are deleted.
const ROWS: i64 = 30;

fn rows(ledger: &Connection, table: &str) -> anyhow::Result<i64> {
    Ok(ledger.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

#[test]
fn thirty_rows_deleted_by_hand_come_back_by_themselves() {
    on_processes("reconcile", async |folder| {
        let settings = vec![("BREAKWATER_RECONCILE_EVERY".to_owned(), EVERY.to_owned())];
        let site = Site::with(Server::start_with(&folder.join("server"), settings)?, http_client()?);
        let agent = site.store(folder, "HARBOUR")?;
        let (store, centre) = (site.at(&agent), site.centre());
        let stop = Arc::new(AtomicBool::new(false));
        let till = tokio::spawn(store.clone().sell_until(seed(), "T1", Arc::clone(&stop)));
        until("enough is sold", PATIENCE, async || {
            ensure!(centre.applied_sales("HARBOUR").await? >= 60);
            Ok(())
        })
        .await?;
        stop.store(true, Ordering::Relaxed);
        till.await.context("the till ended badly")??;
        store.is_drained().await?;
        let totals = centre.totals("HARBOUR").await?;

        let ledger = Connection::open(site.server.data_dir().join("ledger.db"))?;
        ledger.busy_timeout(PATIENCE)?;
        let held = (rows(&ledger, "sales")?, rows(&ledger, "sale_lines")?, rows(&ledger, "batches")?);
        let (mut found, mut restored) = (0, 0);
        let deletions = [
            // Rows alone: their events are held. Then the messages as well: the store has to send them again.
            "CREATE TEMP TABLE gone AS SELECT event_no FROM sales ORDER BY event_no LIMIT 30;
            DELETE FROM sale_lines WHERE line_no / 1024 IN (SELECT event_no FROM gone);
            DELETE FROM sales WHERE event_no IN (SELECT event_no FROM gone); DROP TABLE gone",
            "DELETE FROM sale_lines WHERE line_no / 1024 IN (SELECT event_no FROM sales);
            DELETE FROM sales; DELETE FROM batches WHERE first_seq > 1; DELETE FROM day_totals",
        ];
        for deletion in deletions {
            ledger.execute_batch(&format!("BEGIN IMMEDIATE; {deletion}; COMMIT"))?;
            ensure!(rows(&ledger, "sales")? <= held.0 - ROWS, "nothing was deleted");
            until("what was deleted is back, and the event is told", PATIENCE, async || {
                ensure!(rows(&ledger, "sales")? == held.0 && rows(&ledger, "sale_lines")? == held.1);
                let told = centre.get("/api/v1/reconciliation?store=HARBOUR").await?;
                let told: Vec<&Value> = told["differences"].as_array().into_iter().flatten().collect();
                ensure!(told.len() > found && told.iter().all(|row| row["outcome"] == "repaired"), "{told:?}");
                let events: i64 = told.iter().filter_map(|row| row["restored_events"].as_i64()).sum();
                ensure!(events >= restored + ROWS, "{told:?}");
                (found, restored) = (told.len(), events);
                Ok(())
            })
            .await?;
            ensure!(centre.totals("HARBOUR").await? == totals, "the sums differ from before");
        }
        let alerts = centre.alerts("HARBOUR").await?;
        ensure!(alerts.is_empty(), "{alerts:?}");
        let log = std::fs::read_to_string(folder.join("server/server.log"))?;
        ensure!(log.contains("a business date differs from what the store holds"), "the finding is not in the log");
        ensure!(log.contains("a business date was put right"), "the repair is not in the log");
        ensure!(centre.metrics().await?.counter("breakwater_reconciliation_recalled_events_total")? >= 1);

        // A person asks, and the sums that nothing else would notice are put right.
        let date = totals.keys().next().context("a date")?.clone();
        ledger.execute_batch("UPDATE stock_used SET used_micro = used_micro + 5")?;
        let asked = site.server.command(&["reconcile", "--store", "HARBOUR", "--date", &date])?.output()?;
        ensure!(asked.status.success(), "reconcile: {}", said(&asked));
        let verified = site.server.command(&["verify"])?.output()?;
        ensure!(verified.status.success(), "verify: {}", said(&verified));
        Ok(())
    });
}

#[test]
fn a_person_who_asks_is_told_what_was_put_right() {
    on_processes("reconcile-asked", async |folder| {
        let site = Site::start(folder)?;
        let agent = site.store(folder, "HARBOUR")?;
        let (store, centre) = (site.at(&agent), site.centre());
        let seed = seed();
        for n in 0..20 {
            store.sell_through(&command(seed, "T1", n)).await?;
        }
        store.is_drained().await?;
        let date = centre.totals("HARBOUR").await?.keys().next().context("a date")?.clone();
        let reconcile = |format: &[&str]| -> anyhow::Result<String> {
            let mut command = site.server.command(&["reconcile", "--store", "HARBOUR", "--date", &date])?;
            let asked = command.args(format).output().context("reconcile")?;
            ensure!(asked.status.success(), "reconcile: {}", said(&asked));
            Ok(String::from_utf8(asked.stdout)?)
        };
        let agrees = format!("HARBOUR on {date} is in the ledger as the store holds it\n");
        ensure!(reconcile(&[])? == agrees);

        let ledger = Connection::open(site.server.data_dir().join("ledger.db"))?;
        ledger.busy_timeout(PATIENCE)?;
        let delete = "DELETE FROM sale_lines WHERE line_no / 1024 IN (SELECT event_no FROM sales); DELETE FROM sales";
        ledger.execute_batch(&format!("BEGIN IMMEDIATE; {delete}; COMMIT"))?;
        let told = reconcile(&[])?;
        ensure!(told.starts_with(&format!("HARBOUR on {date} differed and was put right: ")), "{told}");
        ensure!(told.contains("(20 events restored, 0 received again)"), "{told}");
        ensure!(rows(&ledger, "sales")? == 20);

        // What was put right before is not told again.
        ensure!(reconcile(&[])? == agrees);
        ledger.execute_batch(&format!("BEGIN IMMEDIATE; {delete}; DELETE FROM batches; COMMIT"))?;
        let told: Value = serde_json::from_str(&reconcile(&["--json"])?)?;
        ensure!(told["compared"] == true && told["differs"] == false && told["outcome"] == "repaired", "{told}");
        ensure!(told["received_events"].as_u64() >= Some(20), "{told}");
        ensure!(rows(&ledger, "sales")? == 20);
        Ok(())
    });
}
