//! Stock over HTTP, as a till asks.

#[path = "api_support/mod.rs"]
mod api_support;

use api_support::{PATIENCE, Store, problem};
use protocol::latest::local_api::{QuantityJson, SyncState};
use protocol::latest::stock_api::{CountState, CountView, CoverView, MovementView, StockFlag, StockItem};
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn uuid(number: u64) -> String {
    format!("018f0000-0000-7000-8000-{number:012x}")
}

fn sale(number: u64, milk: &str) -> Value {
    json!({
        "sale_id": uuid(1_000_000 + number), "till_id": "T1",
        "lines": [{ "sku": "milk-tea", "quantity": 1, "unit_price_minor": 1800,
            "consumption": [{ "item_id": "milk", "quantity": milk }] }],
        "tenders": [{ "kind": "cash", "amount_minor": 1800 }],
    })
}

fn delivery(number: u64) -> Value {
    json!({
        "command_id": uuid(number), "till_id": "T1", "movement_id": uuid(number), "kind": "received",
        "reference": "note 17", "items": [{ "item_id": "milk", "quantity": 8, "expected": "10" }],
    })
}

async fn done<T: DeserializeOwned>(response: Response) -> T {
    assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap_or_default());
    response.json().await.expect("of this form")
}

#[tokio::test]
async fn stock_comes_in_is_sold_and_is_counted() {
    let store = Store::open().await;
    let moved: MovementView = done(store.post_to("/v1/stock/movements", delivery(1).to_string()).await).await;
    assert_eq!(moved.items[0].difference, Some(QuantityJson::Whole(-2)));
    let again: MovementView = done(store.post_to("/v1/stock/movements", delivery(1).to_string()).await).await;
    assert_eq!(again, moved, "the same again gets the same answer");
    let listed: Vec<MovementView> = store.read("/v1/stock/movements").await;
    assert_eq!(listed, std::slice::from_ref(&moved));
    let listed: Vec<MovementView> = store.read(&format!("/v1/stock/movements?after={}&limit=5", moved.number)).await;
    assert_eq!(listed, []);

    store.sell(&sale(1, "0.5")).await;
    let items: Vec<StockItem> = store.read("/v1/stock").await;
    let [milk] = &items[..] else { panic!("{items:?}") };
    assert_eq!(
        (&milk.on_hand, &milk.flags[..]),
        (&QuantityJson::Decimal("7.5".to_owned()), &[StockFlag::NeverCounted][..])
    );
    // Fifteen times what was used today, at twelve hours of trading.
    assert_eq!(milk.cover, CoverView::Lasts { trading_minutes: 15 * 720 });
    assert_eq!(store.read::<StockItem>("/v1/stock/items/milk").await, *milk);
    let behind: Vec<StockItem> = store.read("/v1/stock?after=milk&limit=1").await;
    assert_eq!(behind, []);

    let begin = json!({ "command_id": uuid(2), "till_id": "T1", "count_id": uuid(3) });
    let begun: CountView = done(store.post_to("/v1/stock/counts", begin.to_string()).await).await;
    assert_eq!((begun.state, begun.items.len()), (CountState::Open, 1));
    // The agent starts again while somebody counts, and the store sells on.
    let store = Store::open_on(store.close().await).await;
    store.sell(&sale(2, "1")).await;
    let counts: Vec<CountView> = store.read("/v1/stock/counts").await;
    assert_eq!(counts, std::slice::from_ref(&begun));
    let path = format!("/v1/stock/counts/{}/finish", uuid(3));
    let finish = json!({ "command_id": uuid(4), "till_id": "T2", "items": [{ "item_id": "milk", "counted": "7.25" }] });
    let counted: CountView = done(store.post_to(&path, finish.to_string()).await).await;
    assert_eq!((counted.state, &counted.frontier), (CountState::Finished, &begun.frontier));
    let milk: StockItem = store.read("/v1/stock/items/milk").await;
    assert_eq!((milk.on_hand, milk.flags.len()), (QuantityJson::Decimal("6.25".to_owned()), 0));
    let again: CountView = done(store.post_to(&path, finish.to_string()).await).await;
    assert_eq!(again, counted);
    let other = format!("/v1/stock/counts/{}/finish", uuid(9));
    problem(store.post_to(&other, finish.to_string()).await, 409, "command.conflict").await;
    store.close().await;
}

#[tokio::test]
async fn what_is_refused_says_why_and_leaves_nothing() {
    let store = Store::open().await;
    let with = |path: &str, value: Value| {
        let mut command = delivery(1);
        *command.pointer_mut(path).expect("is there") = value;
        command.to_string()
    };
    let post =
        async |body: String, status, key| problem(store.post_to("/v1/stock/movements", body).await, status, key).await;
    post(with("/items", json!([])), 422, "stock.item_count").await;
    post(with("/items/0/quantity", json!("1.0000001")), 422, "stock.quantity_format").await;
    post(with("/items/0/quantity", json!(-1)), 422, "stock.quantity_range").await;
    post(with("/kind", json!("wasted")), 422, "stock.expected_not_incoming").await;
    post(with("/kind", json!("transferred_in")), 422, "stock.other_store_missing").await;
    post(with("/kind", json!("lost")), 400, "request.malformed").await;
    post(with("/movement_id", json!("1")), 400, "request.malformed").await;
    let post = async |path: String, body: Value, status, key| {
        problem(store.post_to(&path, body.to_string()).await, status, key).await
    };
    let finish = |id: &str| format!("/v1/stock/counts/{id}/finish");
    let counted = json!({ "command_id": uuid(4), "till_id": "T1", "items": [{ "item_id": "milk", "counted": 1 }] });
    post(finish(&uuid(7)), counted.clone(), 404, "stock.count_unknown").await;
    post(finish("x"), counted, 400, "request.malformed").await;
    let abandon = json!({ "command_id": uuid(5), "till_id": "T1" });
    post(format!("/v1/stock/counts/{}/abandon", uuid(7)), abandon, 404, "stock.count_unknown").await;
    for (path, status, key) in [
        ("/v1/stock/items/milk", 404, "stock.item_unknown"),
        ("/v1/stock/items/%00", 400, "request.malformed"),
        ("/v1/stock/items/%ff", 400, "request.malformed"),
        ("/v1/stock?limit=0", 400, "request.malformed"),
        ("/v1/stock?limit=501", 400, "request.malformed"),
        ("/v1/stock/movements?limit=-1", 400, "request.malformed"),
        ("/v1/stock/movements?business_date=2026-02-30", 400, "request.malformed"),
        ("/v1/stock/counts/x", 400, "request.malformed"),
        ("/v1/stock/counts/018f0000-0000-7000-8000-000000000007", 404, "stock.count_unknown"),
    ] {
        problem(store.get(path).await, status, key).await;
    }
    let sync: SyncState = store.read("/v1/sync").await;
    assert_eq!(sync.head_seq, 1, "nothing of it was recorded");
    store.close().await;
}

#[tokio::test]
async fn screens_hear_of_movements_and_counts_and_the_description_names_every_path() {
    let store = Store::open().await;
    let mut stream = store.get("/v1/events").await;
    let _: MovementView = done(store.post_to("/v1/stock/movements", delivery(1).to_string()).await).await;
    let heard = tokio::time::timeout(PATIENCE, async {
        let mut text = String::new();
        while !(text.contains("event: stock\n") && text.ends_with("\n\n")) {
            let chunk = stream.chunk().await.expect("goes on").expect("is not over");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    });
    let heard = heard.await.expect("in time");
    assert!(heard.contains(r#""kind":"moved""#) && heard.contains(r#""items":["milk"]"#), "{heard}");

    let document: Value = store.read("/v1/openapi.json").await;
    for (path, methods) in [
        ("/v1/stock", &["get"][..]),
        ("/v1/stock/items/{item_id}", &["get"]),
        ("/v1/stock/movements", &["get", "post"]),
        ("/v1/stock/counts", &["get", "post"]),
        ("/v1/stock/counts/{count_id}", &["get"]),
        ("/v1/stock/counts/{count_id}/finish", &["post"]),
        ("/v1/stock/counts/{count_id}/abandon", &["post"]),
    ] {
        for method in methods {
            assert!(document["paths"][path][method]["responses"]["200"].is_object(), "{method} {path}");
        }
    }
    for schema in ["StockItem", "MovementView", "CountView", "MoveStock", "StockChanged", "CoverView"] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
    store.close().await;
}

#[tokio::test]
async fn the_commands_read_the_folder() {
    let store = Store::open().await;
    let _: MovementView = done(store.post_to("/v1/stock/movements", delivery(1).to_string()).await).await;
    store.sell(&sale(1, "0.5")).await;
    let reader = agent::commands::open(&store.folder.path().join("data")).expect("opens");
    let rule = till::stock::CoverRule { trading_minutes: 720, low_minutes: 720 };
    let today = store.read::<Vec<MovementView>>("/v1/stock/movements").await[0].business_date;
    let listed = |as_json| {
        let mut out = Vec::new();
        agent::commands::stock::list(&reader, today, rule, as_json, &mut out).expect("lists");
        String::from_utf8(out).expect("text")
    };
    let text = listed(false);
    assert!(text.starts_with("ITEM") && text.contains("milk"), "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.contains("7.5") && line.contains("180.0 h")), "{text}");
    let item: StockItem = serde_json::from_str(&listed(true)).expect("an item");
    assert_eq!(item, store.read::<StockItem>("/v1/stock/items/milk").await);

    let mut out = Vec::new();
    let id = "SH-1".parse().expect("valid");
    assert!(agent::commands::stock::check(&reader, Some(&id), false, &mut out).expect("checks"));
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("of store SH-1") && text.contains("balanced"), "{text}");
    let mut out = Vec::new();
    assert!(agent::commands::stock::check(&reader, None, true, &mut out).expect("checks"));
    let found: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!((found["balanced"].clone(), found["compared"].clone()), (json!(true), json!([today])));
    store.close().await;
}
