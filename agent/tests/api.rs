//! The local API, asked over HTTP as a till does.

#[path = "api_support/mod.rs"]
mod api_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::config::{Config, Sources};
use agent::run;
use api_support::{PATIENCE, Store, problem};
use protocol::latest::local_api::{Change, DayTotals, LinkState, SaleReceipt, SaleView, SyncState};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

fn new_sale() -> Value {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({
        "sale_id": format!("018f0000-0000-7000-8000-{number:012x}"),
        "till_id": "T1",
        "lines": [{
            "sku": "milk-tea", "name": "Milk tea", "quantity": 2, "unit_price_minor": 1800,
            "options": [{ "code": "pearls", "price_minor": 200 }],
            "adjustments": [{ "reason": "promotion", "promotion_id": "bogo", "amount_minor": -500 }],
            "tax_rate_ppm": 60_000,
            "consumption": [{ "item_id": "milk", "quantity": "0.5" }],
        }],
        "tenders": [{ "kind": "card", "amount_minor": 1000 }, { "kind": "cash", "amount_minor": 3000 }],
    })
}

#[tokio::test]
async fn a_sale_is_recorded_once_and_read_back() {
    let store = Store::open().await;
    let sale = new_sale();
    let receipt = store.sell(&sale).await;
    assert_eq!(
        (receipt.total_minor.minor(), receipt.tax_minor.minor(), receipt.change_minor.minor()),
        (3500, 198, 500)
    );
    assert_eq!(store.sell(&sale).await, receipt, "the same again gets the same answer");

    let mut other = sale.clone();
    other["tenders"][1]["amount_minor"] = json!(2500);
    problem(store.post(other.to_string()).await, 409, "sale.conflict").await;

    let view: SaleView = store.read(&format!("/v1/sales/{}", receipt.sale_id)).await;
    assert_eq!(view.receipt, receipt);
    assert_eq!((view.lines[0].gross_minor.minor(), view.lines[0].options[0].name.as_deref()), (3500, Some("pearls")));
    assert!(!view.synced);

    let days: Vec<DayTotals> = store.read("/v1/totals").await;
    assert_eq!((days.len(), days[0].sales, days[0].gross_minor.minor()), (1, 1, 3500));
    assert_eq!(days[0].business_date, receipt.business_date);
    let none: Vec<DayTotals> = store.read("/v1/totals?from=2001-01-01&to=2001-12-31").await;
    assert_eq!(none, []);

    let sync: SyncState = store.read("/v1/sync").await;
    assert_eq!((sync.link, sync.head_seq, sync.outbox_events), (LinkState::NotEnrolled, 2, 2));
    assert_eq!(store.get("/healthz").await.text().await.expect("text"), "ok\n");

    // The next run of the agent knows it as well.
    let store = Store::open_on(store.close().await).await;
    assert_eq!(store.sell(&sale).await, receipt);
    assert_eq!(store.sell(&new_sale()).await.receipt_no, 2);
    let sync: SyncState = store.read("/v1/sync").await;
    assert_eq!((sync.head_seq, sync.outbox_events), (2, 4), "a new epoch, and all events of both");
    store.close().await;
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let store = Store::open().await;
    let with = |path: &str, value: Value| {
        let mut sale = new_sale();
        *sale.pointer_mut(path).expect("is there") = value;
        sale.to_string()
    };
    let post = async |body: String, status, key| problem(store.post(body).await, status, key).await;

    let detail = post(with("/tenders/1/amount_minor", json!(2499)), 422, "sale.tender_too_small").await.detail;
    assert_eq!(detail, "3499 minor units were tendered, the sale comes to 3500");
    post(with("/tenders/0/amount_minor", json!(3501)), 422, "sale.tender_without_change").await;
    post(with("/lines/0/quantity", json!("1.0000001")), 422, "sale.quantity_format").await;
    post(with("/lines/0/quantity", json!(0)), 422, "sale.quantity_not_positive").await;
    post(with("/lines", json!([])), 422, "sale.line_count").await;
    post(with("/till_id", json!("a till")), 400, "request.malformed").await;
    post(with("/sale_id", json!("1")), 400, "request.malformed").await;
    for made_badly in ["00000000-0000-0000-0000-000000000000", "9f2c1a0e-6d1b-4a53-8c0f-0d5f6a7b8c9d"] {
        post(with("/sale_id", json!(made_badly)), 422, "command.id_version").await;
    }
    let detail = post("[5]".to_owned(), 400, "request.malformed").await.detail;
    assert!(!detail.contains("struct"), "{detail}");
    post(with("/lines/0/unit_price_minor", json!(18.5)), 400, "request.malformed").await;
    let detail = post(new_sale().to_string().replace("till_id", "till_idd"), 400, "request.malformed").await.detail;
    assert!(detail.contains("till_idd"), "{detail}");
    post("{".to_owned(), 400, "request.malformed").await;
    post(String::new(), 400, "request.malformed").await;
    post("[".repeat(100_000), 400, "request.malformed").await;
    post(with("/lines/0/name", json!("x".repeat(300_000))), 413, "request.too_large").await;

    let request = store.client.post(format!("{}/v1/sales", store.url)).body(new_sale().to_string());
    problem(request.send().await.expect("answers"), 415, "request.not_json").await;
    let request = store.client.delete(format!("{}/v1/sales", store.url));
    let response = request.send().await.expect("answers");
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    problem(response, 405, "request.other_method").await;
    for (path, status, key) in [
        ("/v1/sales/018f0000-0000-7000-8000-00000000dead", 404, "sale.unknown"),
        ("/v1/sales/x", 400, "request.malformed"),
        ("/v1/sales/%ff", 400, "request.malformed"),
        ("/v1/nothing", 404, "request.unknown_path"),
        ("/", 404, "request.unknown_path"),
        ("/v1/totals?from=2026-02-30", 400, "request.malformed"),
        // A name that the query has not: ignored, it would answer another question.
        ("/v1/shifts?date=2026-02-28", 400, "request.malformed"),
        ("/v1/payments?sale=1", 400, "request.malformed"),
        ("/v1/stock/movements?date=2026-02-28", 400, "request.malformed"),
        ("/v1/totals?from=2026-02-02&to=2026-02-01", 400, "request.malformed"),
        ("/v1/totals?from=1000-01-01&to=2026-02-01", 400, "request.malformed"),
    ] {
        problem(store.get(path).await, status, key).await;
    }
    let sync: SyncState = store.read("/v1/sync").await;
    assert_eq!(sync.head_seq, 1, "nothing of it was recorded");
    store.close().await;
}

#[tokio::test]
async fn two_taps_at_the_same_moment_are_one_sale() {
    let store = Store::open().await;
    let sale = new_sale().to_string();
    let taps: [_; 16] = std::array::from_fn(|_| {
        let request = store.client.post(format!("{}/v1/sales", store.url)).header("content-type", "application/json");
        tokio::spawn(request.body(sale.clone()).send())
    });
    let mut receipts = Vec::new();
    for tap in taps {
        let response = tap.await.expect("no panic").expect("answers");
        receipts.push(response.json::<SaleReceipt>().await.expect("a receipt"));
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    let days: Vec<DayTotals> = store.read("/v1/totals").await;
    assert_eq!(days[0].sales, 1);
    store.close().await;
}

/// Reads server-sent events.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).expect("a change")),
                    None => continue,
                }
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("in time").expect("reads")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

#[tokio::test]
async fn changes_are_told_and_the_stream_ends_with_the_agent() {
    let store = Store::open().await;
    let response = store.get("/v1/events").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = Events { response, text: String::new() };
    assert!(matches!(events.next().await, Some(Change::Sync(state)) if state.head_seq == 1), "the state comes first");
    let receipt = store.sell(&new_sale()).await;
    let (mut sold, mut counted) = (false, false);
    while !(sold && counted) {
        match events.next().await.expect("goes on") {
            Change::SaleCompleted(told) => sold = told == receipt,
            Change::Sync(state) => counted = state.outbox_events == 2,
            other => panic!("{other:?}"),
        }
    }
    store.close().await;
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn the_description_names_every_path_and_type() {
    let store = Store::open().await;
    let document: Value = store.read("/v1/openapi.json").await;
    let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
    assert_eq!(
        paths,
        [
            "/healthz",
            "/v1/approvals",
            "/v1/baskets",
            "/v1/baskets/{basket_id}",
            "/v1/baskets/{basket_id}/changes",
            "/v1/days/close",
            "/v1/days/{business_date}",
            "/v1/events",
            "/v1/kitchen",
            "/v1/kitchen/bump",
            "/v1/kitchen/call-screen",
            "/v1/kitchen/hand-over",
            "/v1/kitchen/orders/{order_id}",
            "/v1/kitchen/recall",
            "/v1/notices/{key}",
            "/v1/operators",
            "/v1/operators/sign-off",
            "/v1/operators/sign-on",
            "/v1/operators/{operator_id}",
            "/v1/pair",
            "/v1/pair-codes",
            "/v1/payments",
            "/v1/payments/{attempt_id}",
            "/v1/payments/{attempt_id}/retry-query",
            "/v1/payments/{attempt_id}/reverse",
            "/v1/payments/{attempt_id}/settle",
            "/v1/price",
            "/v1/price-book",
            "/v1/print-jobs",
            "/v1/print-jobs/{job_id}",
            "/v1/print-jobs/{job_id}/cancel",
            "/v1/print-jobs/{job_id}/preview.png",
            "/v1/print-jobs/{job_id}/reprint",
            "/v1/print-jobs/{job_id}/resolve",
            "/v1/print-jobs/{job_id}/retry",
            "/v1/print-templates",
            "/v1/print-templates/{kind}/preview.png",
            "/v1/printers",
            "/v1/printers/{name}/open-drawer",
            "/v1/printers/{name}/test-page",
            "/v1/refunds",
            "/v1/refunds/{refund_id}",
            "/v1/sales",
            "/v1/sales/{sale_id}",
            "/v1/sales/{sale_id}/refunds",
            "/v1/shifts",
            "/v1/shifts/{shift_id}",
            "/v1/shifts/{shift_id}/amend",
            "/v1/shifts/{shift_id}/cash",
            "/v1/shifts/{shift_id}/close",
            "/v1/shifts/{shift_id}/x-report",
            "/v1/sold-out",
            "/v1/state",
            "/v1/stock",
            "/v1/stock/counts",
            "/v1/stock/counts/{count_id}",
            "/v1/stock/counts/{count_id}/abandon",
            "/v1/stock/counts/{count_id}/finish",
            "/v1/stock/items/{item_id}",
            "/v1/stock/movements",
            "/v1/sync",
            "/v1/tills",
            "/v1/tills/{till_id}",
            "/v1/totals",
        ]
    );
    let text = document.to_string();
    let mut references =
        text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().expect("a name"));
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.len() > 12);
    assert!(references.all(|name| schemas.contains_key(name)), "every reference leads somewhere");
    store.close().await;
}

#[tokio::test]
async fn a_notice_stays_until_it_is_settled() {
    let store = Store::open().await;
    let writer = store.running.as_ref().expect("runs").writer.clone();
    writer.raise_notice("went_back.7".to_owned(), "put back".to_owned()).await.expect("keeps");
    let state: SyncState = store.read("/v1/sync").await;
    assert_eq!((state.notices[0].key.as_str(), state.notices[0].text.as_str()), ("went_back.7", "put back"));
    let settle = || store.client.delete(format!("{}/v1/notices/went_back.7", store.url)).send();
    assert_eq!(settle().await.expect("answers").status(), StatusCode::NO_CONTENT);
    problem(settle().await.expect("answers"), 404, "notice.unknown").await;
    let state: SyncState = store.read("/v1/sync").await;
    assert!(state.notices.is_empty(), "{state:?}");
    store.close().await;
}

#[tokio::test]
async fn connections_are_bounded_and_room_is_given_back() {
    let store = Store::open().await;
    let address = store.running.as_ref().expect("runs").address;
    let mut idle = Vec::new();
    for _ in 0..256 {
        idle.push(tokio::net::TcpStream::connect(address).await.expect("connects"));
    }
    let url = format!("{}/healthz", store.url);
    let mut asked = tokio::spawn(store.client.get(url).send());
    let early = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
    assert!(early.is_err(), "one more than there may be is answered");
    drop(idle);
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("in time").expect("no panic").expect("answers");
    assert_eq!(answer.status(), StatusCode::OK);
    store.close().await;
}

#[tokio::test]
async fn a_second_agent_on_the_folder_is_refused() {
    let store = Store::open().await;
    let sources = Sources {
        flags: vec![
            ("data_dir", store.folder.path().join("data").display().to_string()),
            ("http.listen", "127.0.0.1:0".to_owned()),
        ],
        ..Sources::none()
    };
    let config = Config::load(&sources).expect("sound").config;
    let error = run(config, std::future::pending()).await.expect_err("must be refused");
    let text = agent::telemetry::chain(&error);
    assert!(text.contains("another agent") && text.contains(&std::process::id().to_string()), "{text}");
    store.close().await;
}
