//! Refunds and voided sales.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{cash, id, sale_of};

fn refund(sale_id: &impl ToString, till: &str, lines: Value) -> Value {
    json!({"refund_id": id(), "till_id": till, "sale_id": sale_id.to_string(), "lines": lines, "reason": "wrong_drink"})
}

#[tokio::test]
async fn units_come_back_once_and_at_what_was_paid() {
    let store = Store::open().await;
    let mut sale = sale_of("T1", 3, cash(5000));
    sale["lines"][0]["adjustments"] = json!([{"reason": "promotion", "amount_minor": -400}]);
    let sold = store.sell(&sale).await;
    let one = refund(&sold.sale_id, "T1", json!([{"line": 0, "count": 1, "goods": "restocked"}]));
    let given = store.act("/v1/refunds", &one).await;
    assert_eq!((&given["total_minor"], &given["receipt_no"]), (&json!(1666), &json!(2)));
    assert_eq!(given["tenders"], cash(1666));
    assert_eq!(store.act("/v1/refunds", &one).await, given, "the same command");
    let mut other = one.clone();
    other["reason"] = json!("cold");
    store.refused("/v1/refunds", &other, 409, "refund.conflict").await;

    let rest = refund(&sold.sale_id, "T2", json!([{"line": 0}]));
    assert_eq!(store.act("/v1/refunds", &rest).await["total_minor"], 5000 - 1666);
    let more = refund(&sold.sale_id, "T1", json!([{"line": 0, "count": 1}]));
    store.refused("/v1/refunds", &more, 422, "refund.too_many").await;
    let rest_again = refund(&sold.sale_id, "T1", json!([{"line": 0}]));
    store.refused("/v1/refunds", &rest_again, 422, "refund.nothing_left").await;
    let all: Vec<Value> = store.read(&format!("/v1/sales/{}/refunds", sold.sale_id)).await;
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_refunded_is_said() {
    let store = Store::open().await;
    let sold = store.buy("T1", 1).await;
    let line = json!([{"line": 0}]);
    let check = async |body: &Value, status, key| store.refused("/v1/refunds", body, status, key).await;
    check(&refund(&id(), "T1", line.clone()), 404, "refund.sale_unknown").await;
    check(&refund(&sold.sale_id, "T1", json!([{"line": 7}])), 422, "refund.not_sold").await;
    check(&refund(&sold.sale_id, "T1", json!([])), 422, "refund.nothing").await;
    check(&refund(&sold.sale_id, "T1", json!([{"line": 0, "units": [0, 0]}])), 422, "refund.returned_before").await;
    let mut tenders = refund(&sold.sale_id, "T1", line.clone());
    tenders["tenders"] = cash(1799);
    check(&tenders, 422, "refund.tenders_differ").await;
    let first = refund(&sold.sale_id, "T1", line.clone());
    store.act("/v1/refunds", &first).await;
    check(&refund(&first["refund_id"].as_str().expect("text"), "T1", line), 422, "refund.of_refund").await;
    store.post_to("/v1/refunds", "{").await;
}

#[tokio::test]
async fn money_goes_back_the_way_it_came() {
    let store = Store::open().await;
    let mixed = json!([{"kind": "card", "amount_minor": 2500}, {"kind": "cash", "amount_minor": 2000}]);
    let sold = store.sell(&sale_of("T1", 2, mixed)).await;
    let given = store.act("/v1/refunds", &refund(&sold.sale_id, "T1", json!([{"line": 0, "count": 1}]))).await;
    assert_eq!(given["tenders"], json!([{"kind": "card", "amount_minor": 1800}]));
    let given = store.act("/v1/refunds", &refund(&sold.sale_id, "T1", json!([{"line": 0, "count": 1}]))).await;
    assert_eq!(
        given["tenders"],
        json!([{"kind": "card", "amount_minor": 700}, {"kind": "cash", "amount_minor": 1100}])
    );
}

#[tokio::test]
async fn a_sale_is_voided_whole_and_in_its_shift_only() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 0).await;
    let [voided, partly, late] = [store.buy("T1", 1).await, store.buy("T1", 2).await, store.buy("T1", 1).await];
    let void = |sale_id: &dyn ToString| json!({"refund_id": id(), "till_id": "T1", "sale_id": sale_id.to_string(), "void": true, "reason": "mistake"});
    let given = store.act("/v1/refunds", &void(&voided.sale_id)).await;
    assert_eq!(given["total_minor"], 1800);
    store.refused("/v1/refunds", &void(&voided.sale_id), 422, "void.partly_refunded").await;
    store.act("/v1/refunds", &refund(&partly.sale_id, "T1", json!([{"line": 0, "count": 1}]))).await;
    store.refused("/v1/refunds", &void(&partly.sale_id), 422, "void.partly_refunded").await;
    let z = store.close_shift("T1", &shift, 3600).await;
    assert_eq!(z["refunds"]["count"], 2);
    assert_eq!((&z["drawer"]["expected_minor"], &z["drawer"]["refunds_minor"]), (&json!(3600), &json!(3600)));
    assert_eq!((&z["receipt_no_first"], &z["receipt_no_last"]), (&json!(1), &json!(5)));
    assert_eq!(z["grand_total_after_minor"], 3600);
    store.open_shift("T1", 0).await;
    store.refused("/v1/refunds", &void(&late.sale_id), 422, "void.too_late").await;
    store.act("/v1/refunds", &refund(&late.sale_id, "T1", json!([{"line": 0}]))).await;
}

/// Others: the same sale was refunded again and again.
#[tokio::test(flavor = "multi_thread")]
async fn t28_refunds_of_all_tills_at_once_never_exceed_the_sale() {
    let store = Arc::new(Store::open().await);
    let sold = store.sell(&sale_of("T1", 5, cash(9000))).await;
    let refunds: Vec<_> = (0..12)
        .map(|till| {
            let (store, sale_id) = (Arc::clone(&store), sold.sale_id);
            tokio::spawn(async move {
                let body = refund(&sale_id, &format!("T{till}"), json!([{"line": 0, "count": 1}]));
                let response = store.post_to("/v1/refunds", body.to_string()).await;
                if !response.status().is_success() {
                    return 0;
                }
                response.json::<Value>().await.expect("an answer")["total_minor"].as_i64().expect("a number")
            })
        })
        .collect();
    let mut back = 0;
    for given in refunds {
        back += given.await.expect("no panic");
    }
    assert_eq!(back, 9000);
}
