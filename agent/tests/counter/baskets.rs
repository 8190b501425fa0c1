//! Baskets of a store with several tills.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{cash, id};

async fn open(store: &Store, till: &str, changes: Value) -> String {
    let basket_id = id();
    let command = json!({"command_id": id(), "till_id": till, "basket_id": basket_id, "changes": changes});
    store.act("/v1/baskets", &command).await;
    basket_id
}

fn changes(till: &str, changes: Value) -> Value {
    json!({"command_id": id(), "till_id": till, "changes": changes})
}

fn add(line_id: &str, sku: &str) -> Value {
    json!({"change": "add_line", "line_id": line_id, "sku": sku, "options": ["pearls"]})
}

#[tokio::test]
async fn a_basket_is_held_here_recalled_there_and_paid_once() {
    let store = Store::open_with_book().await;
    let line = id();
    let basket = open(&store, "T1", json!([add(&line, "tea-l"), {"change": "repeat_last", "line_id": id()}])).await;
    let path = format!("/v1/baskets/{basket}/changes");
    store.refused(&path, &changes("T2", json!([{"change": "recall"}])), 409, "basket.on_another_till").await;
    store.act(&path, &changes("T1", json!([{"change": "set_label", "label": "Table 7"}, {"change": "hold"}]))).await;
    let held: Vec<Value> = store.read("/v1/baskets").await;
    assert_eq!((&held[0]["state"], &held[0]["label"]), (&json!("held"), &json!("Table 7")));
    let set =
        json!([{"change": "recall"}, {"change": "set_line", "line_id": line, "quantity": 2, "note": "extra hot"}]);
    let priced = store.act(&path, &changes("T2", set)).await;
    assert_eq!((&priced["basket"]["till_id"], &priced["quote"]["gross_minor"]), (&json!("T2"), &json!(6300)));

    let sale = store.to_pay(&basket, "T2", 6300).await;
    let receipt = store.sell(&sale).await;
    assert_eq!(receipt.total_minor.minor(), 6300);
    assert_eq!(store.sell(&sale).await, receipt, "the same command again");
    let paid: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    let paid = &paid["basket"];
    assert_eq!((&paid["state"], &paid["pickup_no"]), (&json!("paid"), &json!(receipt.pickup_no)));
    assert_eq!(paid["sale_id"], json!(receipt.sale_id.to_string()));
    store.refused(&path, &changes("T1", json!([{"change": "hold"}])), 409, "basket.paid").await;
    store.refused("/v1/sales", &store.to_pay(&basket, "T1", 6300).await, 409, "basket.paid").await;
    assert_eq!(store.read::<Vec<Value>>("/v1/baskets").await, Vec::<Value>::new());
}

#[tokio::test]
async fn eating_here_or_taking_away_is_priced_anew() {
    let store = Store::open_with_book().await;
    let basket = open(&store, "T1", json!([add(&id(), "tea-l")])).await;
    let path = format!("/v1/baskets/{basket}/changes");
    let tax = async |takeaway: bool| {
        let change = json!([{"change": "set_takeaway", "takeaway": takeaway}]);
        store.act(&path, &changes("T1", change)).await["quote"]["tax_minor"].as_i64().expect("a number")
    };
    assert_eq!((tax(false).await, tax(true).await, tax(false).await), (119, 242, 119));
}

#[tokio::test]
async fn what_the_kitchen_has_is_voided_with_a_reason_and_stays_to_be_seen() {
    let store = Store::open_with_book().await;
    let (sent, open_line) = (id(), id());
    let basket = open(&store, "T1", json!([add(&sent, "tea-l"), {"change": "send"}, add(&open_line, "tea-m")])).await;
    let path = format!("/v1/baskets/{basket}/changes");
    let remove = |line: &str| changes("T2", json!([{"change": "remove_line", "line_id": line}]));
    let void = |line: &str| changes("T2", json!([{"change": "void_line", "line_id": line, "reason": "wrong_drink"}]));
    store.refused(&path, &remove(&sent), 409, "basket.line_sent").await;
    store.refused(&path, &void(&open_line), 422, "basket.line_not_sent").await;
    store.act(&path, &remove(&open_line)).await;
    let priced = store.act(&path, &void(&sent)).await;
    let lines = &priced["basket"]["lines"];
    assert_eq!((&lines[0]["state"], &lines[0]["void_reason"]), (&json!("voided"), &json!("wrong_drink")));
    store.refused("/v1/sales", &store.to_pay(&basket, "T1", 100).await, 422, "sale.line_count").await;
    let pickup: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    assert_eq!(pickup["basket"]["pickup_no"], 1, "it was called a number when it went to the kitchen");
}

/// Others: a draft that the server knew came back over a sale that was paid offline.
#[tokio::test]
async fn t03_a_paid_basket_never_opens_again() {
    let store = Store::open_with_book().await;
    let basket = open(&store, "T1", json!([add(&id(), "tea-l")])).await;
    let late = changes("T2", json!([add(&id(), "tea-m")]));
    store.sell(&store.to_pay(&basket, "T1", 2100).await).await;
    store.refused(&format!("/v1/baskets/{basket}/changes"), &late, 409, "basket.paid").await;
    let view: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    assert_eq!(view["basket"]["lines"].as_array().expect("lines").len(), 1);
}

/// Others: two devices on one ticket, and beers vanished.
#[tokio::test(flavor = "multi_thread")]
async fn t32_changes_of_two_tills_merge_line_by_line() {
    let store = Arc::new(Store::open_with_book().await);
    let basket = open(&store, "T1", json!([])).await;
    let path = format!("/v1/baskets/{basket}/changes");
    let tills: Vec<_> = ["T1", "T2", "T3"]
        .into_iter()
        .map(|till| {
            let (store, path) = (Arc::clone(&store), path.clone());
            tokio::spawn(async move {
                for round in 0..8 {
                    let mut all = vec![add(&id(), "tea-m")];
                    if round % 3 == 0 {
                        all.push(json!({"change": "send"}));
                    }
                    store.act(&path, &changes(till, Value::Array(all))).await;
                }
            })
        })
        .collect();
    for till in tills {
        till.await.expect("no panic");
    }
    let view: Value = store.read(&format!("/v1/baskets/{basket}")).await;
    let lines = view["basket"]["lines"].as_array().expect("lines");
    assert_eq!((lines.len(), &view["basket"]["revision"]), (24, &json!(25)));
    assert!(lines.iter().filter(|line| line["state"] == "sent").count() >= 9);
}

/// Others: one tap that counted twice made two sales.
#[tokio::test(flavor = "multi_thread")]
async fn t11_a_double_tap_makes_one_sale() {
    let store = Arc::new(Store::open_with_book().await);
    let basket = open(&store, "T1", json!([add(&id(), "tea-l")])).await;
    // A till that taps twice sends the same command; a till that lost its memory makes another id for the same basket.
    let (same, other) = (store.to_pay(&basket, "T1", 2100).await, store.to_pay(&basket, "T1", 2100).await);
    let taps: Vec<_> = [&same, &same, &other, &same, &other]
        .map(|sale| {
            let (store, body) = (Arc::clone(&store), sale.to_string());
            tokio::spawn(async move { store.post(body).await.status().as_u16() })
        })
        .into_iter()
        .collect();
    let mut statuses = Vec::new();
    for tap in taps {
        statuses.push(tap.await.expect("no panic"));
    }
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let totals: Vec<Value> = store.read("/v1/totals").await;
    assert_eq!(totals[0]["sales"], 1);
}

#[tokio::test]
async fn a_sale_is_of_lines_or_of_an_order_or_of_a_basket() {
    let store = Store::open_with_book().await;
    let basket = open(&store, "T1", json!([add(&id(), "tea-l")])).await;
    let mut both = store.to_pay(&basket, "T1", 2100).await;
    both["order"] = json!({"lines": [{"sku": "tea-l"}]});
    store.refused("/v1/sales", &both, 422, "sale.lines_and_order").await;
    store
        .refused(
            "/v1/sales",
            &json!({"sale_id": id(), "till_id": "T1", "basket_id": id(), "basket_revision": 1, "tenders": cash(2100)}),
            404,
            "basket.unknown",
        )
        .await;
    let order = json!({"sale_id": id(), "till_id": "T1", "label": "Ada", "tenders": cash(1800),
        "order": {"lines": [{"sku": "tea-l", "note": "extra hot"}]}});
    let sold = store.sell(&order).await;
    let view: Value = store.read(&format!("/v1/sales/{}", sold.sale_id)).await;
    assert_eq!((&view["label"], &view["lines"][0]["note"]), (&json!("Ada"), &json!("extra hot")));
}

/// Others: the bar made drinks that the till then could not sell.
#[tokio::test]
async fn what_cannot_be_sold_is_not_sent_to_the_stations() {
    let store = Store::open().await;
    let send = |line: Value| json!({"command_id": id(), "till_id": "T1", "basket_id": id(), "changes": [line, {"change": "send"}]});
    store.refused("/v1/baskets", &send(add(&id(), "tea-l")), 422, "sale.no_price_book").await;
    store.load_book().await;
    store.refused("/v1/baskets", &send(add(&id(), "coffee")), 422, "sale.not_by_the_book").await;
    let excluded = json!({"change": "add_line", "line_id": id(), "sku": "tea-l", "options": ["pearls", "pudding"]});
    store.refused("/v1/baskets", &send(excluded), 422, "sale.not_by_the_book").await;
    let cups: Value = store.read("/v1/kitchen").await;
    assert_eq!(cups["cups"], json!([]));
    store.act("/v1/baskets", &send(add(&id(), "tea-l"))).await;
    let cups: Value = store.read("/v1/kitchen").await;
    assert_eq!(cups["cups"].as_array().map(Vec::len), Some(1));
}
