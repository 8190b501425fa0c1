//! Money that must not get lost at the counter: refunds, prices, drawers and reports.

use std::sync::Arc;

use agent::clock::SystemClock;
use pricing::book::PriceBook;
use serde_json::{Value, json};

use crate::api_support::Store;
use crate::kit::{book, cash, id, sale_of};

/// A book in which tea costs 17.97, and cash is rounded.
fn rounding_book(unit_minor: i64, direction: &str) -> PriceBook {
    let mut book = book();
    book["version"] = json!("rounding-1");
    book["items"]["tea"]["variants"][1]["price_minor"] = json!(1797);
    book["cash_rounding"] = json!({"unit_minor": unit_minor, "direction": direction});
    PriceBook::from_json(book.to_string().as_bytes()).expect("a book")
}

fn refund(sale_id: &impl ToString, lines: Value) -> Value {
    json!({"refund_id": id(), "till_id": "T1", "sale_id": sale_id.to_string(), "lines": lines, "reason": "cold"})
}

#[tokio::test]
async fn refunds_in_parts_give_back_no_more_cash_than_was_kept() {
    for (direction, expected) in [("up", 1332), ("nearest", 1330), ("down", 1330)] {
        let store = Store::open().await;
        store.sell_by(&rounding_book(10, direction)).await;
        let mut sale = sale_of("T1", 4, cash(1332));
        sale["lines"][0]["unit_price_minor"] = json!(333);
        let sold = store.sell(&sale).await;
        let mut given = 0;
        for _ in 0..4 {
            let back = store.act("/v1/refunds", &refund(&sold.sale_id, json!([{"line": 0, "count": 1}]))).await;
            given += back["tenders"][0]["amount_minor"].as_i64().unwrap_or_default();
        }
        assert_eq!(given, expected, "{direction}");
    }
}

#[tokio::test]
async fn tenders_of_a_report_come_to_its_sales_less_refunds_with_what_was_rounded() {
    let store = Store::open().await;
    store.sell_by(&rounding_book(10, "nearest")).await;
    let shift = store.open_shift("T1", 0).await;
    let order = |tenders: Value| json!({"sale_id": id(), "till_id": "T1", "tenders": tenders, "order": {"lines": [{"sku": "tea-l"}]}});
    let sold = store.sell(&order(cash(2000))).await;
    store.sell(&order(json!([{"kind": "card", "amount_minor": 1797}]))).await;
    store.act("/v1/refunds", &refund(&sold.sale_id, json!([{"line": 0}]))).await;
    store.sell(&order(cash(1800))).await;
    let z = store.close_shift("T1", &shift, 1800).await;
    assert_eq!((&z["cash_rounding_minor"], &z["drawer"]["difference_minor"]), (&json!(3), &json!(0)));
    let tenders: i64 =
        z["tenders"].as_array().expect("tenders").iter().filter_map(|sum| sum["amount_minor"].as_i64()).sum();
    let net = z["sales"]["gross_minor"].as_i64().expect("a sum") - z["refunds"]["gross_minor"].as_i64().expect("a sum");
    assert_eq!(tenders, net + 3);
}

#[tokio::test]
async fn a_line_that_is_named_twice_is_restocked_once() {
    let store = Store::open().await;
    let sold = store.buy("T1", 2).await;
    let lines = json!([{"line": 0, "count": 1, "goods": "restocked"}, {"line": 0, "count": 1, "goods": "wasted"}]);
    let given = store.act("/v1/refunds", &refund(&sold.sale_id, lines)).await;
    assert_eq!((&given["lines"][0]["goods"], &given["lines"][1]["goods"]), (&json!("restocked"), &json!("wasted")));
    let events = store.outbox();
    let event = events.iter().find(|event| event["refund_id"].is_string()).expect("a refund");
    assert_eq!(event["lines"][0]["restocked"].as_array().map(Vec::len), Some(1), "{event}");
    assert!(event["lines"][1].get("restocked").is_none_or(|items| items == &json!([])), "{event}");
}

#[tokio::test]
async fn money_that_goes_back_in_another_way_than_it_came_is_marked_and_named() {
    let store = Store::open().await;
    let card = json!([{"kind": "card", "amount_minor": 3600}]);
    let sold = store.sell(&sale_of("T1", 2, card)).await;
    let one = json!([{"line": 0, "count": 1}]);
    let given = store.act("/v1/refunds", &refund(&sold.sale_id, one.clone())).await;
    assert_eq!(given["by_hand"], json!([{"kind": "card", "amount_minor": 1800}]), "somebody goes to the terminal");
    let marks = |store: &Store| {
        let events = store.outbox();
        let marks = events.iter().filter(|event| event["action"] == "refund_other_tender");
        marks.map(|mark| mark["amount_minor"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(marks(&store), Vec::<Value>::new());
    let mut in_cash = refund(&sold.sale_id, one);
    in_cash["tenders"] = cash(1800);
    let given = store.act("/v1/refunds", &in_cash).await;
    assert!(given.get("by_hand").is_none(), "{given}");
    assert_eq!(marks(&store), [json!(1800)]);
    let unknown = store.sell(&sale_of("T1", 1, json!([{"kind": "card", "amount_minor": 1800}]))).await;
    let mut named = refund(&unknown.sale_id, json!([{"line": 0}]));
    named["tenders"] = json!([{"kind": "card", "amount_minor": 1800, "attempt_id": id()}]);
    store.refused("/v1/refunds", &named, 422, "refund.other_attempt").await;
}

/// Each promotion of a chain may have a long name, and a day may know hundreds of them.
#[tokio::test]
async fn a_shift_of_hundreds_of_promotions_is_closed() {
    let store = Store::open().await;
    let shift = store.open_shift("T1", 0).await;
    let mut taken = 0;
    for number in 0..30 {
        let mut sale = sale_of("T1", 1, cash(1800));
        let adjustments = (0..20).map(|place| {
            let promotion_id = format!("{}-{number}-{place}", "\u{676d}".repeat(50));
            json!({"reason": "promotion", "promotion_id": promotion_id, "amount_minor": -1 - place})
        });
        sale["lines"][0]["adjustments"] = adjustments.collect();
        store.sell(&sale).await;
        taken -= 210;
    }
    let counted = 30 * 1800 + taken;
    let z = store.close_shift("T1", &shift, counted).await;
    assert_eq!(z["drawer"]["difference_minor"], 0);
    let adjustments = z["adjustments"].as_array().expect("adjustments");
    assert_eq!(adjustments.len(), 40);
    let sum: i64 = adjustments.iter().filter_map(|sum| sum["amount_minor"].as_i64()).sum();
    let count: i64 = adjustments.iter().filter_map(|sum| sum["count"].as_i64()).sum();
    assert_eq!((sum, count), (taken, 600), "nothing of it is lost");
    assert!(adjustments.iter().any(|sum| sum["reason"] == "other"));
}

#[tokio::test]
async fn a_basket_is_paid_as_it_was_shown_or_not_at_all() {
    let store = Store::open_with_book().await;
    let basket = id();
    let add = |sku: &str| json!({"change": "add_line", "line_id": id(), "sku": sku});
    let open = json!({"command_id": id(), "till_id": "T1", "basket_id": basket, "changes": [add("tea-m")]});
    let shown = store.act("/v1/baskets", &open).await["basket"]["revision"].clone();
    let more = json!({"command_id": id(), "till_id": "T2", "changes": [add("tea-l")]});
    let changed = store.act(&format!("/v1/baskets/{basket}/changes"), &more).await["basket"]["revision"].clone();
    let mut sale = json!({"sale_id": id(), "till_id": "T1", "basket_id": basket, "tenders": cash(5000)});
    store.refused("/v1/sales", &sale, 422, "sale.basket_revision").await;
    sale["basket_revision"] = shown;
    store.refused("/v1/sales", &sale, 409, "basket.changed").await;
    sale["basket_revision"] = changed;
    let sold = store.sell(&sale).await;
    assert_eq!(sold.total_minor.minor(), 3300);
    assert_eq!(store.sell(&sale).await, sold, "the same again, though the basket is paid");
    let mut without = sale_of("T1", 1, cash(1800));
    without["basket_revision"] = json!(1);
    store.refused("/v1/sales", &without, 422, "sale.basket_revision").await;
}

// ---- in a store with operators ----

#[tokio::test]
async fn prices_of_a_tills_own_are_allowed_by_somebody_where_there_is_a_book() {
    let store = Store::open().await;
    store.staff().await;
    let mut sale = sale_of("T1", 1, cash(1800));
    sale["operator_id"] = json!("li");
    store.sell(&sale).await;
    store.load_book().await;
    sale["sale_id"] = json!(id());
    sale["lines"][0]["unit_price_minor"] = json!(1);
    store.refused("/v1/sales", &sale, 403, "approval.needed").await;
    let approval = store.approve("T1", "price_override", sale["sale_id"].as_str().expect("text")).await;
    sale["approval_id"] = json!(approval);
    let sold = store.sell(&sale).await;
    let events = store.outbox();
    let mark = events.iter().find(|event| event["action"] == "price_overridden").expect("a mark");
    assert_eq!((&mark["operator_id"], &mark["approver_id"]), (&json!("li"), &json!("wu")));
    // What the approval was used for shows in the books.
    let books = agent::folder::books(&store.folder.path().join("data"));
    let connection = rusqlite::Connection::open(books).expect("opens");
    let used_by: Vec<u8> =
        connection.query_row("SELECT used_by FROM approval", [], |row| row.get(0)).expect("an approval");
    assert_eq!(used_by, sold.sale_id.as_bytes());
    // An order is priced by the book, and asks nobody.
    let order = json!({"sale_id": id(), "till_id": "T1", "operator_id": "li", "tenders": cash(1800),
        "order": {"lines": [{"sku": "tea-l"}]}});
    store.sell(&order).await;
}

#[tokio::test]
async fn a_store_may_leave_prices_to_its_tills() {
    let settings = [("store.own_prices", "allow")];
    let store = Store::open_with(tempfile::tempdir().expect("a folder"), Arc::new(SystemClock), &settings).await;
    store.staff().await;
    store.load_book().await;
    let mut sale = sale_of("T1", 1, cash(1800));
    sale["operator_id"] = json!("li");
    store.sell(&sale).await;
}

#[tokio::test]
async fn who_counts_a_drawer_does_not_know_what_should_be_in_it() {
    let store = Store::open().await;
    store.staff().await;
    let shift = store.open_shift_of("T1", "li", 20_000).await;
    let x =
        async |query: &str| store.read::<Value>(&format!("/v1/shifts/{shift}/x-report{query}")).await["report"].clone();
    for query in ["", "?till_id=T1"] {
        let blind = x(query).await;
        assert!(blind.get("drawer").is_none() && blind.get("tenders").is_none(), "{blind}");
        assert_eq!(blind["sales"]["count"], 0);
    }
    assert_eq!(x("?till_id=T2").await["drawer"]["expected_minor"], 20_000, "a shift lead is signed on there");
    let closed = json!({"command_id": id(), "till_id": "T1", "operator_id": "li", "counted_minor": 19_000});
    store.act(&format!("/v1/shifts/{shift}/close"), &closed).await;
    assert_eq!(x("").await["drawer"]["difference_minor"], -1000, "what is counted is no secret");
}

#[tokio::test]
async fn a_shift_lead_closes_the_shift_of_a_till_that_is_gone() {
    let store = Store::open().await;
    store.staff().await;
    let shift = store.open_shift_of("T1", "li", 500).await;
    let path = format!("/v1/shifts/{shift}/close");
    let close =
        |operator: &str| json!({"command_id": id(), "till_id": "T2", "operator_id": operator, "counted_minor": 500});
    store.refused(&path, &close("li"), 403, "operator.not_signed_on").await;
    let closed = store.act(&path, &close("wu")).await;
    assert_eq!((&closed["till_id"], &closed["report"]["z_no"]), (&json!("T1"), &json!(1)));
    let events = store.outbox();
    let mark = events.iter().find(|event| event["action"] == "shift_closed_elsewhere").expect("a mark");
    assert_eq!((&mark["till_id"], &mark["operator_id"]), (&json!("T2"), &json!("wu")));
    let next = store.open_shift_of("T1", "li", 0).await;
    let own = json!({"command_id": id(), "till_id": "T1", "operator_id": "li", "counted_minor": 0});
    assert_eq!(store.act(&format!("/v1/shifts/{next}/close"), &own).await["report"]["z_no"], 2);
}

#[tokio::test]
async fn who_allows_cash_to_be_taken_out_allows_an_amount() {
    let store = Store::open().await;
    store.staff().await;
    let shift = store.open_shift_of("T1", "li", 20_000).await;
    let approval = store.approve("T1", "paid_out", &format!("{shift}/1500")).await;
    let take = |amount: i64| {
        json!({"command_id": id(), "till_id": "T1", "operator_id": "li", "approval_id": approval,
        "kind": "paid_out", "amount_minor": amount, "reason": "milk"})
    };
    let path = format!("/v1/shifts/{shift}/cash");
    store.refused(&path, &take(15_000), 403, "approval.for_other").await;
    store.act(&path, &take(1500)).await;
}

#[tokio::test]
async fn a_refund_in_another_way_needs_an_approval_of_its_own() {
    let store = Store::open().await;
    store.staff().await;
    let mut sale = sale_of("T1", 1, json!([{"kind": "card", "amount_minor": 1800}]));
    sale["operator_id"] = json!("li");
    let sold = store.sell(&sale).await;
    let mut back = refund(&sold.sale_id, json!([{"line": 0}]));
    back["operator_id"] = json!("li");
    back["tenders"] = cash(1800);
    let subject = sold.sale_id.to_string();
    back["approval_id"] = json!(store.approve("T1", "refund", &subject).await);
    store.refused("/v1/refunds", &back, 403, "approval.for_other").await;
    back["approval_id"] = json!(store.approve("T1", "refund_other_tender", &subject).await);
    store.act("/v1/refunds", &back).await;
}

#[tokio::test]
async fn a_sale_of_another_tills_open_shift_is_voided_there() {
    let store = Store::open().await;
    store.open_shift("T1", 0).await;
    let sold = store.buy("T1", 1).await;
    store.open_shift("T2", 0).await;
    let void = json!({"refund_id": id(), "till_id": "T2", "sale_id": sold.sale_id.to_string(), "void": true, "reason": "mistake"});
    store.refused("/v1/refunds", &void, 422, "void.other_till").await;
}
