//! What operators, tills and other programs ask, before and after the programs were started again.

use std::time::Duration;

use anyhow::{Context, ensure};
use protocol::latest::local_api::SaleReceipt;
use serde_json::Value;

use super::counter::command;
use super::site::{PATIENCE, Site, StoreApi, get, on_processes, seed, until};

#[test]
fn restart_keeps_apis() {
    on_processes("apis", async |folder| {
        let seed = seed();
        let mut site = Site::start(folder)?;
        let mut agent = site.store(folder, "HARBOUR")?;
        let mut sold = Vec::new();
        for round in 0..2 {
            let store = site.at(&agent);
            answers(&site, &store).await?;
            sold.push(sale_is_announced(&store, seed, round).await?);
            store.is_drained().await?;
            for receipt in &sold {
                readable_at_both_ends(&site, &store, receipt).await?;
            }
            if round == 0 {
                agent.stop()?;
                site.server.stop()?;
                site.server.restart()?;
                agent.start()?;
            }
        }
        agent.stop()?;
        site.server.stop()
    });
}

/// Every page answers and says what it should.
async fn answers(site: &Site, store: &StoreApi) -> anyhow::Result<()> {
    let text = async |url: String| -> anyhow::Result<String> {
        let response = store.http.get(&url).send().await.with_context(|| format!("ask {url}"))?;
        ensure!(response.status().is_success(), "{url} answered {}", response.status());
        Ok(response.text().await?)
    };
    for path in ["/healthz", "/readyz"] {
        until(path, PATIENCE, async || text(site.server.url(path)).await).await?;
    }
    text(format!("{}/healthz", store.url)).await?;
    let metrics = text(site.server.url("/metrics")).await?;
    ensure!(metrics.contains("breakwater_") && metrics.contains("# TYPE"), "no metrics: {metrics}");
    let page = text(site.server.url("/")).await?;
    ensure!(page.contains("<title>Breakwater"), "no page: {page}");
    for (url, paths) in [
        (site.server.url("/api/v1/openapi.json"), vec!["/api/v1/stores", "/api/v1/totals", "/api/v1/parked"]),
        (format!("{}/v1/openapi.json", store.url), vec!["/v1/sales", "/v1/totals", "/v1/sync", "/v1/events"]),
    ] {
        let document: Value = get(&store.http, &url).await?;
        ensure!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{url}: {document}");
        for path in paths {
            ensure!(document["paths"][path].is_object(), "{url} does not describe {path}");
        }
    }
    Ok(())
}

/// Sells while listening; the sale comes as an event.
async fn sale_is_announced(store: &StoreApi, seed: u64, n: u64) -> anyhow::Result<SaleReceipt> {
    let mut stream = store.http.get(format!("{}/v1/events", store.url)).send().await.context("listen to changes")?;
    let kind = stream.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ensure!(kind.starts_with("text/event-stream"), "changes come as {kind:?}");
    // The state of the link comes first: from then on nothing is missed.
    let mut heard = String::new();
    hear(&mut stream, &mut heard, "event: sync\n").await?;
    let receipt = store.sell(&command(seed, "T1", n)).await?;
    hear(&mut stream, &mut heard, "event: sale_completed\n").await?;
    hear(&mut stream, &mut heard, &receipt.sale_id.to_string()).await?;
    Ok(receipt)
}

async fn hear(stream: &mut reqwest::Response, heard: &mut String, wanted: &str) -> anyhow::Result<()> {
    let listen = async {
        while !heard.contains(wanted) {
            let chunk = stream.chunk().await.context("read the changes")?.context("the changes ended")?;
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(10), listen).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("waited in vain for {wanted:?} in {heard:?}"),
    }
}

async fn readable_at_both_ends(site: &Site, store: &StoreApi, receipt: &SaleReceipt) -> anyhow::Result<()> {
    let sale_id = receipt.sale_id;
    let here: Value = get(&store.http, &format!("{}/v1/sales/{sale_id}", store.url)).await?;
    let there = site.centre().get(&format!("/api/v1/sales/{sale_id}")).await?;
    ensure!(here["synced"] == true, "{here}");
    for (what, here, there) in [
        ("receipt number", &here["receipt_no"], &there["receipt_no"]),
        ("business date", &here["business_date"], &there["business_date"]),
        ("total", &here["total_minor"], &there["gross_minor"]),
        ("tax", &here["tax_minor"], &there["tax_minor"]),
        ("tenders", &here["tenders"], &there["tenders"]),
    ] {
        ensure!(here == there && !here.is_null(), "{what} of {sale_id}: {here} at the store, {there} at the centre");
    }
    let skus = |sale: &Value| -> Vec<Value> {
        sale["lines"].as_array().into_iter().flatten().map(|line| line["sku"].clone()).collect()
    };
    ensure!(skus(&here) == skus(&there) && !skus(&here).is_empty(), "lines: {here}, {there}");
    Ok(())
}
