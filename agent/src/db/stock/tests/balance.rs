//! Whether the books balance, and how quick they are when there is much in them.

use std::time::Instant;

use super::*;
use crate::db::stock::check::StockCheck;
use crate::db::testing::{open_epoch, reopen, store};
use crate::db::{HEADERS_KEPT_MS, RETENTION_MS_MIN};
use pos_model::{Currency, Money};
use protocol::latest::{Mark, RefundCompleted, RefundKind, RefundLine, ReturnedGoods, SaleTotals};

fn check(store: &Store) -> StockCheck {
    store.view().check_stock().expect("reads")
}

fn refund(number: u64, restocked: Vec<protocol::latest::Consumption>) -> RefundCompleted {
    RefundCompleted {
        refund_id: "018f0000-0000-7000-8000-000000000001".parse().expect("valid"),
        sale_id: sale_id(number),
        kind: RefundKind::Refund,
        till_id: "T1".parse().expect("valid"),
        shift_id: None,
        operator_id: None,
        approver_id: None,
        reason: "wrong".parse().expect("valid"),
        note: String::new(),
        receipt_no: 1,
        refunded_at: stamp(0),
        business_date: today(),
        currency: Currency::CNY,
        lines: vec![RefundLine {
            line: 0,
            sku: "milk-tea".parse().expect("valid"),
            name: "Milk tea".to_owned(),
            units: vec![0],
            quantity: Quantity::ONE,
            gross_minor: Money::from_minor(1800),
            tax_minor: Money::ZERO,
            tax_group: "standard".parse().expect("valid"),
            tax_rate_ppm: 0,
            goods: ReturnedGoods::Restocked,
            restocked,
        }],
        tenders: Vec::new(),
        cash_rounding_minor: Money::ZERO,
        totals: SaleTotals {
            quantity: Quantity::ONE,
            gross_minor: Money::from_minor(1800),
            tax_minor: Money::ZERO,
            net_minor: Money::from_minor(1800),
        },
        points: 0,
    }
}

/// Records a refund that puts so many units back.
fn give_back(store: &mut Store, number: u64, name: &str, units: i64) {
    let quantity = Quantity::from_units(units).expect("small");
    let refund = refund(number, vec![protocol::latest::Consumption { item_id: item(name), quantity }]);
    let mut moment = moment(5000 + number);
    store
        .atomically(Durability::Promise, |store| {
            store.restock(refund.business_date, refund.lines.iter().flat_map(|line| &line.restocked))?;
            store.record(&mut moment, refund).map(drop)
        })
        .expect("refunds");
}

/// Two epochs, two dates, everything that moves stock.
fn lived() -> Store {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, MovementKind::Received, "milk", 20)).expect("moves");
    use_up(&mut store, 2, "milk", 3, 0);
    use_up(&mut store, 3, "milk", 1, 1);
    let mut store = reopen(store);
    open_epoch(&mut store, 2);
    use_up(&mut store, 4, "milk", 3, 0);
    moves(&mut store, movement(5, MovementKind::Wasted, "tea", 1)).expect("moves");
    give_back(&mut store, 4, "milk", 2);
    store
}

#[test]
fn a_counter_that_somebody_edited_is_found() {
    assert_eq!(on_hand(&lived(), "milk"), 15);
    #[track_caller]
    fn found(damage: &str, expected: &[(i64, &str, u64)]) {
        let store = lived();
        store.connection.execute_batch(damage).expect("works");
        let found = check(&store);
        assert_eq!((found.compared.len(), found.out_of_reach.len()), (2, 0), "{damage}");
        let differences: Vec<(i64, &str, u64)> = found
            .differences
            .iter()
            .map(|found| {
                let days_ago = i64::from(today().days() - found.key.business_date.days());
                (days_ago, found.key.item_id.as_str(), found.key.epoch.get())
            })
            .collect();
        assert_eq!(differences, expected, "{damage}");
        assert_eq!(found.differences_count, u64::try_from(expected.len()).expect("few"));
    }
    found("", &[]);
    found("UPDATE stock_usage SET used_micro = used_micro + 1 WHERE item_id = 'tea'", &[(0, "tea", 2)]);
    found("DELETE FROM stock_usage WHERE epoch = 1", &[(1, "milk", 1), (0, "milk", 1)]);
    found("UPDATE stock_added SET added_micro = 5 WHERE epoch = 2", &[(0, "milk", 2)]);
    found("UPDATE stock_usage SET item_id = 'cups' WHERE item_id = 'tea'", &[(0, "cups", 2), (0, "tea", 2)]);
    found("UPDATE stock_usage SET used_micro = 0 WHERE epoch = 2 AND item_id = 'milk'", &[(0, "milk", 2)]);
}

#[test]
fn dates_whose_events_have_gone_are_out_of_reach() {
    let mut store = lived();
    for epoch in store.view().epochs().expect("reads") {
        let hash = store.view().events(None, false, 100).expect("reads");
        let hash = hash.iter().rfind(|row| row.place.epoch == epoch.epoch).expect("is held").hash;
        store.confirm(epoch.epoch, Mark { seq: epoch.head, hash }).expect("confirms");
    }
    store.note_running(1).expect("notes");
    store.note_running(RETENTION_MS_MIN).expect("notes");
    // The opening, the delivery of today, and a sale of today.
    assert_eq!(store.trim(RETENTION_MS_MIN, 3).expect("trims"), 3);
    let days = |dates: &std::collections::BTreeSet<BusinessDate>| -> Vec<i32> {
        dates.iter().map(|date| today().days() - date.days()).collect()
    };
    let found = check(&store);
    assert_eq!((days(&found.compared), days(&found.out_of_reach)), (vec![1], vec![0]));
    assert_eq!(found.differences, []);
    while store.trim(RETENTION_MS_MIN, 100).expect("trims") > 0 {}
    assert_eq!(days(&check(&store).out_of_reach), [1, 0]);
    assert_eq!(on_hand(&store, "milk"), 15, "what is on hand needs no event");
    store.note_running(HEADERS_KEPT_MS).expect("notes");
    while store.trim(RETENTION_MS_MIN, 100).expect("trims") > 0 {}
    assert_eq!(on_hand(&store, "milk"), 15);
}

#[test]
fn counters_of_the_past_are_moved_and_then_only_their_sum_is_kept() {
    let mut store = store();
    open_epoch(&mut store, 1);
    // From the newest date to the oldest, so that each is a late one.
    (0..500).for_each(|days| use_up(&mut store, u64::try_from(days).expect("small") + 1, "milk", 1, days));
    moves(&mut store, movement(900, MovementKind::Received, "milk", 600)).expect("moves");
    let rows = |store: &Store, table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        store.connection.query_row(&count, [], |row| row.get(0)).expect("reads")
    };
    let trim = |store: &mut Store| {
        let step = |store: &mut Store| store.atomically(Durability::Hint, |store| store.trim_stock(7)).expect("trims");
        while step(store) > 0 {}
    };
    trim(&mut store);
    assert_eq!((rows(&store, "stock_usage"), rows(&store, "stock_past")), (35, 365));
    assert_eq!(on_hand(&store, "milk"), 100);
    // A late sale of such a date: what counts is the sum of both parts.
    use_up(&mut store, 1000, "milk", 2, 100);
    assert_eq!(on_hand(&store, "milk"), 98);
    let found = check(&store);
    assert_eq!((found.compared.len(), found.out_of_reach.len(), found.differences_count), (400, 100, 0));
    trim(&mut store);
    assert_eq!((rows(&store, "stock_usage"), rows(&store, "stock_past")), (35, 365));
    assert_eq!(on_hand(&store, "milk"), 98);
}

#[test]
fn movements_and_counts_go_after_a_year() {
    let mut store = store();
    open_epoch(&mut store, 1);
    for number in 1..=3 {
        moves(&mut store, movement(number, MovementKind::Received, "milk", 1)).expect("moves");
    }
    store.connection.execute("UPDATE stock_movement SET business_date = business_date - 1000", []).expect("works");
    (0..400).for_each(|days| use_up(&mut store, u64::try_from(days).expect("small") + 10, "tea", 1, days));
    for number in 500..705 {
        begin(&mut store, number, &[]).expect("begins");
        finish(&mut store, number, &[("milk", 5)]).expect("finishes");
    }
    begin(&mut store, 800, &[]).expect("begins");
    let rows = |store: &Store, table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        store.connection.query_row(&count, [], |row| row.get(0)).expect("reads")
    };
    while store.atomically(Durability::Hint, |store| store.trim_stock(5)).expect("trims") > 0 {}
    assert_eq!((rows(&store, "stock_movement"), rows(&store, "stock_moved_item")), (0, 0));
    assert_eq!(rows(&store, "stock_count"), 201, "the open one stays");
    assert_eq!(rows(&store, "stock_count_item"), 202, "one of each, and two of the open one");
    assert_eq!(on_hand(&store, "milk"), 5);
}

#[test]
fn absurd_quantities_stop_at_the_end_of_the_scale() {
    let mut store = lived();
    let nearly = i64::MAX - 1;
    store.connection.execute("UPDATE stock_usage SET used_micro = ?1", [nearly]).expect("works");
    use_up(&mut store, 50, "milk", 3, 0);
    let milk = &stock(&store)[&item("milk")];
    assert!(milk.on_hand.micro() < 0);
    begin(&mut store, 51, &[]).expect("begins");
    finish(&mut store, 51, &[("milk", 1)]).expect("finishes");
    assert_eq!(on_hand(&store, "milk"), 1);
}

/// Prints how long it takes to look at a year of a large store, and how long the writer is held by a count that begins.
#[test]
fn a_year_of_a_hundred_items_is_quick_to_look_at() {
    let mut store = store();
    open_epoch(&mut store, 1);
    let today = i64::from(today().days());
    store
        .connection
        .execute_batch(&format!(
            "WITH RECURSIVE day(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM day WHERE n < 399),
                item(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM item WHERE n < 99),
                run(n) AS (VALUES (1), (2))
             INSERT INTO stock_usage SELECT {today} - day.n, printf('item-%03d', item.n), run.n, 1000000
             FROM day, item, run;
             INSERT INTO day_total (business_date, sales, lines, units_micro, gross_minor, tax_minor) SELECT DISTINCT business_date, 0, 0, 0, 0, 0 FROM stock_usage;"
        ))
        .expect("works");
    let looked = |store: &Store| {
        let before = Instant::now();
        let stock = stock(store);
        let took = before.elapsed();
        assert_eq!((stock.len(), stock[&item("item-042")].on_hand.whole_units()), (100, Some(-800)));
        took
    };
    let unmoved = looked(&store);
    while store.atomically(Durability::Hint, |store| store.trim_stock(5000)).expect("trims") > 0 {}
    let moved = looked(&store);
    let before = Instant::now();
    assert_eq!(begin(&mut store, 1, &[]).expect("begins").items.len(), 100);
    println!(
        "all on hand: {unmoved:?} as one table, {moved:?} with the past moved; a count began in {:?}",
        before.elapsed()
    );
}
