//! One price everywhere: what a store sells by its price book, the centre computes again.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use agent::price_book;
use anyhow::{Context, ensure};
use pos_model::{Currency, TillId};
use pricing::book::PriceBook;
use protocol::latest::order::PriceOrder;
use serde_json::{Value, json};
use tests::process::program;
use tests::workload::{book_order, tea_book_path};

use super::site::{PATIENCE, Site, StoreApi, on_processes, seed, until};

const SALES: u64 = 60;

#[test]
fn the_centre_computes_the_price_of_each_sale_again() {
    on_processes("prices", async |folder| {
        let seed = seed();
        let book = price_book::read(&tea_book_path(), Currency::CNY)?;
        let mut site = Site::start(folder)?;
        let mut agent = site.store(folder, "HARBOUR")?;
        let store = site.at(&agent);
        agent.load_price_book(&tea_book_path())?;
        until("the store has its price book", PATIENCE, async || {
            store.sync().await?.price_book.map(drop).context("it has none")
        })
        .await?;

        // Without the book at the centre nothing can be compared, and that is counted.
        sell(&store, &book, seed, 0..1).await?;
        checked(&site, "unknown_book", 1).await?;

        price_book_command(&site, &["add"], &tea_book_path())?;
        let next = Cell::new(1_000);
        until("the centre has found the book", PATIENCE, async || {
            let looks = count(&site, "same").await?;
            if looks == 0 {
                let number = next.replace(next.get() + 1);
                sell(&store, &book, seed, number..number + 1).await?;
            }
            ensure!(looks > 0, "no sale was priced again");
            Ok(())
        })
        .await?;
        store.is_drained().await?;
        sell(&store, &book, seed, 1..SALES).await?;
        until("all were priced again", PATIENCE, async || {
            let (same, unknown) = (count(&site, "same").await?, count(&site, "unknown_book").await?);
            let sold = SALES + next.get() - 1_000;
            ensure!(same + unknown == sold && same >= SALES, "{same} and {unknown} of {sold}");
            Ok(())
        })
        .await?;
        ensure!(site.centre().alerts("HARBOUR").await?.is_empty(), "there is nothing to alarm anybody");

        // The book makes of the sales what they were; a dearer one says by how much. Some become cheaper by it: they
        // reach the amount from which a promotion holds.
        let sold = SALES + next.get() - 1_000;
        let same = backtest(&site, &[], &tea_book_path())?;
        ensure!(same["total"]["sales"] == sold && same["left_out"] == json!({}), "{same}");
        ensure!(same["total"]["dearer"] == 0 && same["total"]["cheaper"] == 0, "{same}");
        ensure!(same["total"]["discount_after_minor"] == same["total"]["discount_before_minor"], "{same}");
        ensure!(same["new_pairs"] == json!([]) && same["strangest"] == json!([]), "{same}");
        let dearer = folder.join("dearer.json");
        std::fs::write(&dearer, dearer_by_one(&book)?.canonical()).context("write a book")?;
        let other = backtest(&site, &["--against", &tea_book_path().display().to_string()], &dearer)?;
        let total = |field: &str| other["total"][field].as_i64().unwrap_or_default();
        ensure!(total("after_minor") > total("before_minor") && total("dearer") > total("cheaper"), "{other}");
        let strangest = other["strangest"].as_array().context("a list")?;
        ensure!(strangest.len() == usize::try_from((total("dearer") + total("cheaper")).min(50))?, "{other}");

        // A centre whose book says otherwise than the store's, under the same name, has to notice.
        site.server.stop()?;
        make_dearer(&site.server.data_dir().join("ledger.db"), &book)?;
        site.server.restart()?;
        let first_of_these = SALES;
        sell(&store, &book, seed, first_of_these..first_of_these + 5).await?;
        checked(&site, "differs", 5).await?;
        until("the alarm is raised", PATIENCE, async || {
            let alerts = site.centre().alerts("HARBOUR").await?;
            ensure!(alerts == ["prices"], "{alerts:?}");
            Ok(())
        })
        .await?;
        let detail: Value = site.centre().get("/api/v1/stores/HARBOUR").await?;
        let differences = detail["price_differences"].as_array().context("a list")?;
        ensure!(differences.len() == 5, "{differences:?}");
        for one in differences {
            ensure!(
                one["sold_minor"].is_i64()
                    && one["computed_minor"].is_i64()
                    && one["what"].as_str().is_some_and(|what| what.contains("unit price")),
                "{one}"
            );
        }
        agent.stop()?;
        site.server.stop()
    });
}

/// Sells orders as a till does: shows a price and sells at it.
async fn sell(store: &StoreApi, book: &PriceBook, seed: u64, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let till = TillId::new("T1").context("a till")?;
    for number in numbers {
        let order = book_order(seed, number, book);
        loop {
            let asked = PriceOrder { channel: "counter".parse().context("a tag")?, order: order.order.clone() };
            let price = store.http.post(format!("{}/v1/price", store.url)).json(&asked).send().await?;
            let price: Value = price.error_for_status().context("price an order")?.json().await?;
            let shown = price["gross_minor"].as_i64().with_context(|| format!("no price: {price}"))?;
            let sale = order.sell(&till, shown);
            let answer = store.http.post(format!("{}/v1/sales", store.url)).json(&sale).send().await?;
            if answer.status().is_success() {
                break;
            }
            // A promotion began or ended in between.
            let problem: Value = answer.json().await?;
            ensure!(problem["message_key"] == "sale.total_differs", "refused: {problem}");
        }
    }
    Ok(())
}

async fn count(site: &Site, result: &str) -> anyhow::Result<u64> {
    site.centre().metrics().await?.counter(&format!("breakwater_price_checks_total{{result=\"{result}\"}}"))
}

async fn checked(site: &Site, result: &str, sales: u64) -> anyhow::Result<()> {
    until(result, PATIENCE, async || {
        let found = count(site, result).await?;
        ensure!(found == sales, "{found} of {sales}");
        Ok(())
    })
    .await
}

fn backtest(site: &Site, arguments: &[&str], book: &Path) -> anyhow::Result<Value> {
    let mut command = Command::new(program("breakwater-server")?);
    command.arg("backtest").arg("--book").arg(book).args(arguments);
    command.arg("--json").arg("--data-dir").arg(site.server.data_dir());
    let output = command.output().context("run breakwater-server backtest")?;
    ensure!(output.status.success(), "backtest failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("understand what backtest printed")
}

fn price_book_command(site: &Site, arguments: &[&str], file: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program("breakwater-server")?);
    command.arg("price-book").args(arguments).arg(file).arg("--data-dir").arg(site.server.data_dir());
    let output = command.output().context("run breakwater-server price-book")?;
    ensure!(output.status.success(), "price-book failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Puts another document under the book's name, with every article a unit dearer.
fn make_dearer(ledger: &Path, book: &PriceBook) -> anyhow::Result<()> {
    let dearer = dearer_by_one(book)?;
    let ledger = rusqlite::Connection::open(ledger).context("open the ledger")?;
    let changed =
        ledger.execute("UPDATE price_books SET json = ?1", [dearer.canonical()]).context("change the book")?;
    ensure!(changed == 1, "{changed} books");
    Ok(())
}

fn dearer_by_one(book: &PriceBook) -> anyhow::Result<PriceBook> {
    let mut dearer = book.clone();
    for variant in dearer.items.values_mut().flat_map(|item| &mut item.variants) {
        variant.price_minor = variant.price_minor.checked_add(pos_model::Money::from_minor(100))?;
    }
    Ok(dearer)
}
