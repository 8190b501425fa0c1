//! What needs somebody's approval at the counter.

use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{cash, id, sale_of};

#[tokio::test]
async fn a_store_without_operators_asks_nobody() {
    let store = Store::open().await;
    let sold = store.buy("T1", 1).await;
    let back = json!({"refund_id": id(), "till_id": "T1", "sale_id": sold.sale_id.to_string(), "lines": [{"line": 0}], "reason": "cold"});
    store.act("/v1/refunds", &back).await;
}

#[tokio::test]
async fn a_price_that_somebody_has_overridden_is_marked() {
    let store = Store::open().await;
    let mut sale = sale_of("T1", 1, cash(1000));
    sale["lines"][0]["adjustments"] = json!([{"reason": "override", "amount_minor": -800}]);
    store.sell(&sale).await;
    let events = store.outbox();
    let marks: Vec<&Value> = events.iter().filter(|event| event["action"] == "price_overridden").collect();
    assert_eq!((marks.len(), &marks[0]["amount_minor"]), (1, &json!(-800)));
}
