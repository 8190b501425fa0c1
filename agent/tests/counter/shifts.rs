//! Shifts, drawers and days.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{cash, id, sale_of};

#[tokio::test]
async fn a_drawer_is_counted_against_what_should_be_in_it() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 20_000).await;
    store.sell(&sale_of("T1", 1, cash(2000))).await;
    store
        .sell(&sale_of(
            "T1",
            2,
            json!([{"kind": "card", "amount_minor": 3000}, {"kind": "cash", "amount_minor": 1000}]),
        ))
        .await;
    let moved = |kind: &str, amount: i64| json!({"command_id": id(), "till_id": "T1", "kind": kind, "amount_minor": amount, "reason": "change"});
    let path = format!("/v1/shifts/{shift}/cash");
    for (kind, amount) in [("paid_in", 5000), ("paid_out", 700), ("drop", 10_000), ("no_sale", 0)] {
        store.act(&path, &moved(kind, amount)).await;
    }
    store.refused(&path, &moved("no_sale", 5), 422, "shift.amount").await;
    store.refused(&path, &moved("drop", -5), 422, "shift.amount").await;

    let expected = 20_000 + 1800 + 600 + 5000 - 700 - 10_000;
    for kind in ["paid_out", "drop"] {
        store.refused(&path, &moved(kind, expected + 1), 422, "shift.more_than_drawer").await;
    }
    let x: Value = store.read(&format!("/v1/shifts/{shift}/x-report")).await;
    assert_eq!((&x["report"]["z_no"], &x["report"]["drawer"]["expected_minor"]), (&json!(0), &json!(expected)));
    let is_there = |pointer: &str| x["report"].pointer(pointer).is_some();
    assert!(is_there("/read_at_ms") && !is_there("/closed_at"), "{x}");
    assert!(!is_there("/drawer/counted_minor") && !is_there("/drawer/difference_minor"), "nobody has counted: {x}");

    let z = store.close_shift("T1", &shift, expected - 50).await;
    assert_eq!(z["z_no"], 1);
    assert_eq!(z["sales"], json!({"count": 2, "gross_minor": 5400, "tax_minor": 102 + 204}));
    let drawer = &z["drawer"];
    assert_eq!(drawer["expected_minor"], expected);
    assert_eq!((&drawer["difference_minor"], &drawer["opened_without_sale"]), (&json!(-50), &json!(1)));
    assert_eq!((&z["receipt_no_first"], &z["receipt_no_last"]), (&json!(1), &json!(2)));
    assert_eq!((&z["grand_total_before_minor"], &z["grand_total_after_minor"]), (&json!(0), &json!(5400)));
    let tenders: Vec<_> =
        z["tenders"].as_array().expect("tenders").iter().map(|sum| (&sum["kind"], &sum["amount_minor"])).collect();
    assert_eq!(tenders, [(&json!("card"), &json!(3000)), (&json!("cash"), &json!(2400))]);

    let shift = store.open_shift("T1", 0).await;
    store.buy("T1", 1).await;
    let z = store.close_shift("T1", &shift, 1800).await;
    assert_eq!(
        (&z["z_no"], &z["grand_total_before_minor"], &z["grand_total_after_minor"]),
        (&json!(2), &json!(5400), &json!(7200))
    );
}

#[tokio::test]
async fn a_till_with_shifts_sells_within_them_only_and_the_same_sale_goes_through_later() {
    let store = Store::open().await;
    store.buy("T1", 1).await;
    let shift = store.open_shift("T1", 0).await;
    store.close_shift("T1", &shift, 0).await;
    let sale = sale_of("T1", 1, cash(1800));
    store.refused("/v1/sales", &sale, 422, "till.closed").await;
    store.buy("T2", 1).await;
    let shift = store.open_shift("T1", 0).await;
    assert_eq!(store.sell(&sale).await.receipt_no, 2, "the refused sale took no number");
    let z = store.close_shift("T1", &shift, 1800).await;
    assert_eq!(z["sales"]["count"], 1, "what was sold before the till had shifts is in none");
}

#[tokio::test]
async fn a_command_that_is_repeated_is_answered_as_before() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 100).await;
    let close = json!({"command_id": id(), "till_id": "T1", "counted_minor": 100});
    let path = format!("/v1/shifts/{shift}/close");
    let first = store.act(&path, &close).await;
    assert_eq!(store.act(&path, &close).await, first);
    let other = json!({"command_id": close["command_id"], "till_id": "T1", "counted_minor": 99});
    store.refused(&path, &other, 409, "command.conflict").await;
    let again = json!({"command_id": id(), "till_id": "T1", "counted_minor": 100});
    store.refused(&path, &again, 409, "shift.closed").await;
    let unknown = format!("/v1/shifts/{}/close", id());
    store.refused(&unknown, &again, 404, "shift.unknown").await;
    let open = json!({"command_id": id(), "till_id": "T1", "shift_id": shift, "float_minor": 0});
    store.refused("/v1/shifts", &open, 409, "shift.id_known").await;
}

/// Others: a sale in the same minute as the close was never consolidated.
#[tokio::test(flavor = "multi_thread")]
async fn t22_a_sale_that_races_with_the_close_is_in_exactly_one_report() {
    let store = Arc::new(Store::open().await);
    let mut reported = 0;
    let mut sold = 0;
    for _ in 0..8 {
        let shift = store.open_shift("T1", 0).await;
        let sales: Vec<_> = (0..6)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let sale = sale_of("T1", 1, cash(1800));
                    store.post(sale.to_string()).await.status().is_success()
                })
            })
            .collect();
        let z = store.close_shift("T1", &shift, 0).await;
        reported += z["sales"]["count"].as_u64().expect("a number");
        let mut late = 0;
        for sale in sales {
            if sale.await.expect("no panic") {
                late += 1;
            }
        }
        sold += late;
    }
    assert_eq!(reported, sold, "each sale that was answered is in one report, and no other is");
}

/// Others: a failed close left documents behind that blocked each other.
#[tokio::test]
async fn t21_a_close_that_was_refused_can_be_tried_again() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 100).await;
    let path = format!("/v1/shifts/{shift}/close");
    let wrong = json!({"command_id": id(), "till_id": "T2", "counted_minor": 100});
    store.refused(&path, &wrong, 422, "shift.other_till").await;
    let absurd = json!({"command_id": id(), "till_id": "T1", "counted_minor": -1});
    store.refused(&path, &absurd, 422, "shift.counted").await;
    assert_eq!(store.close_shift("T1", &shift, 100).await["z_no"], 1);
}

#[tokio::test]
async fn a_closed_report_is_amended_and_never_edited() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 100).await;
    let amend = json!({"command_id": id(), "till_id": "T1", "reason": "recount", "counted_minor": 100, "note": "a coin under the tray"});
    let path = format!("/v1/shifts/{shift}/amend");
    store.refused(&path, &amend, 422, "shift.open").await;
    let z = store.close_shift("T1", &shift, 90).await;
    let amended = store.act(&path, &amend).await;
    assert_eq!((&amended["report"], &amended["amendments"]), (&z, &json!(1)));
}

/// Others: open tickets vanished when the session was closed; late orders landed in a session of their own.
#[tokio::test]
async fn t05_t18_a_day_closes_with_its_baskets_carried_and_late_sales_amend_it() {
    let store = Store::open_with_book().await;
    let shift = store.open_shift("T1", 0).await;
    let sold = store.buy("T1", 1).await;
    let date = sold.business_date.to_string();
    let basket = json!({"command_id": id(), "till_id": "T1", "basket_id": id(),
        "changes": [{"change": "add_line", "line_id": id(), "sku": "tea-l"}, {"change": "send"}]});
    store.act("/v1/baskets", &basket).await;
    let close = json!({"command_id": id(), "till_id": "T1", "business_date": date});
    store.refused("/v1/days/close", &close, 422, "day.shift_open").await;
    store.close_shift("T1", &shift, 1800).await;
    let day = store.act("/v1/days/close", &close).await;
    assert_eq!(
        (&day["sales"]["count"], &day["shifts"], &day["open_baskets"]),
        (&json!(1), &json!([["T1", 1]]), &json!(1))
    );
    let again = json!({"command_id": id(), "till_id": "T1", "business_date": date});
    store.refused("/v1/days/close", &again, 409, "day.closed").await;
    let later = json!({"command_id": id(), "till_id": "T1", "business_date": "9999-01-01"});
    store.refused("/v1/days/close", &later, 422, "day.not_begun").await;

    let mistyped = json!({"command_id": id(), "till_id": "T1", "business_date": "2020-01-01"});
    store.refused("/v1/days/close", &mistyped, 422, "day.empty").await;

    let mut late = sale_of("T1", 1, cash(1800));
    late["imported"] = json!({"source": "paper", "reference": "slip 1", "sold_at_utc_ms": sold.recorded_at_ms, "sold_at_offset_s": 28_800});
    assert_eq!(store.import(&late).await.business_date.to_string(), date);
    let day: Value = store.read(&format!("/v1/days/{date}")).await;
    assert_eq!((&day["amendments"], &day["sales"]["count"], &day["open_baskets"]), (&json!(1), &json!(2), &json!(1)));
    let notices = async || store.read::<Value>("/v1/sync").await["notices"].clone();
    assert_eq!(notices().await, json!([]), "the owner knows what was read in");

    store.open_shift("T1", 0).await;
    store.buy("T1", 1).await;
    let told = notices().await;
    assert_eq!(told[0]["key"], format!("day_amended.{date}.T1"));
    store.buy("T1", 1).await;
    assert_eq!(notices().await, told, "once, and since the first sale");
    assert_eq!(store.read::<Value>(&format!("/v1/days/{date}")).await["amendments"], 3);
}

#[tokio::test]
async fn change_that_nobody_gives_is_a_slip_of_the_finger() {
    let store = Store::open().await;
    // Ten notes of a hundred is the most that anybody lays down.
    store.refused("/v1/sales", &sale_of("T1", 1, cash(1800 + 100_001)), 422, "sale.change_too_large").await;
    let receipt = store.sell(&sale_of("T1", 1, cash(1800 + 100_000))).await;
    assert_eq!(receipt.change_minor.minor(), 100_000);
}
