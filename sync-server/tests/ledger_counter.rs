//! What every home of the ledger does with what happens at the counter beside sales, family by family.

mod support;

use pos_model::{Money, Quantity, RefundId, SaleId};
use protocol::latest::{CashMovement, EventBody, RefundCompleted, ReturnedGoods, StockMovement};
use support::counter::*;
use support::*;
use sync_server::ledger::{
    AlertKind, Books, CounterBooks, OverRefund, ParkedFilter, SqliteLedger, StorePage, TotalsFilter, ZNumbers,
};
use uuid::Uuid;

fn parked_reasons(ledger: &dyn Home) -> Vec<(u64, String)> {
    let filter = ParkedFilter { limit: 100, ..ParkedFilter::default() };
    let parked = ledger.parked(&filter).expect("readable");
    parked.into_iter().map(|event| (event.seq.get(), event.reason)).collect()
}

fn alerts(ledger: &dyn Home, store: &str) -> Vec<(AlertKind, i64)> {
    let store = ledger.store(&store_id(store)).expect("readable").expect("known");
    store.alerts.iter().map(|alert| (alert.kind, alert.count)).collect()
}

fn page(store: &str) -> StorePage {
    StorePage { store: store_id(store), before: None, limit: 10 }
}

fn sale_id(number: u128) -> SaleId {
    SaleId::new(Uuid::from_u128(number))
}

/// All of a family: its events are applied once, replays change nothing, and the same facts from another place are parked.
#[track_caller]
fn check_family(facts: &[EventBody], known: &[&str]) {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        facts.iter().for_each(|fact| a.record(fact.clone()));
        let first = apply_batch(ledger, a.all());
        assert_eq!((first.applied, first.parked.len(), first.cursor), (1 + facts.len() as u64, 0, a.mark()));
        books_balance(ledger);
        for _ in 0..2 {
            assert_eq!(apply_batch(ledger, a.all()).applied, 0, "a replay");
        }
        // The store was put back, and its tills post the same again.
        let mut again = History::open("a", 2, Some(&a));
        facts.iter().for_each(|fact| again.record(fact.clone()));
        apply_batch(ledger, again.all());
        let reasons: Vec<_> = parked_reasons(ledger).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, known);
        // Another store that uses the same ids says something else, however alike.
        let mut b = History::open("b", 3, None);
        facts.iter().for_each(|fact| b.record(fact.clone()));
        apply_batch(ledger, b.all());
        let conflicts: Vec<_> = known.iter().map(|reason| reason.replace("_known", "_conflict")).collect();
        let reasons: Vec<_> = parked_reasons(ledger).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons[known.len()..], conflicts);
        books_balance(ledger);
    });
}

#[test]
fn refunds_are_applied_once() {
    let one = refund(&RefundSpec::default());
    let other = refund(&RefundSpec { id: 2, receipt_no: 3, ..RefundSpec::default() });
    check_family(&[one.into(), other.into()], &["refund_id_known", "refund_id_known"]);
}

#[test]
fn shifts_and_cash_are_applied_once() {
    let facts = [
        shift_opened(1).into(),
        cash_moved(1, CashMovement::PaidIn).into(),
        cash_moved(2, CashMovement::Drop).into(),
        shift_closed(1, 1).into(),
        shift_amended(1).into(),
    ];
    let (shift, movement) = ("shift_id_known", "movement_id_known");
    check_family(&facts, &[shift, movement, movement, shift, movement]);
}

#[test]
fn stock_is_applied_once() {
    let facts = [
        stock_moved(1, StockMovement::Received).into(),
        stock_moved(2, StockMovement::TransferredOut).into(),
        stock_counted(3).into(),
    ];
    check_family(&facts, &["movement_id_known"; 3]);
}

#[test]
fn facts_without_an_id_are_let_in_by_the_cursor_alone() {
    let facts = [day_closed("2026-03-01").into(), sold_out("tea-0", true).into(), audit_marked("drawer_opened").into()];
    check_family(&facts, &[]);
}

#[test]
fn the_same_id_with_other_content_is_a_conflict() {
    #[track_caller]
    fn check(first: impl Into<EventBody>, second: impl Into<EventBody>, reason: &str) {
        let (first, second) = (first.into(), second.into());
        each_home(|ledger| {
            let mut a = History::open("a", 1, None);
            a.record(first.clone());
            a.record(second.clone());
            apply_batch(ledger, a.all());
            assert_eq!(parked_reasons(ledger), [(3, reason.to_owned())]);
            books_balance(ledger);
        });
    }
    let spec = RefundSpec::default();
    check(refund(&spec), refund(&RefundSpec { receipt_no: 3, ..spec.clone() }), "refund_id_known");
    check(refund(&spec), refund(&RefundSpec { gross: 60, ..spec.clone() }), "refund_id_conflict");
    check(refund(&spec), refund(&RefundSpec { sale: 9, ..spec }), "refund_id_conflict");
    check(shift_closed(1, 1), shift_closed(1, 2), "shift_id_known");
    let mut recounted = shift_closed(1, 1);
    recounted.report.drawer.counted_minor = Money::from_minor(1);
    check(shift_closed(1, 1), recounted, "shift_id_conflict");
    check(cash_moved(1, CashMovement::PaidIn), cash_moved(1, CashMovement::PaidOut), "movement_id_conflict");
    check(stock_moved(1, StockMovement::Wasted), stock_moved(1, StockMovement::Received), "movement_id_conflict");
}

#[test]
fn a_refund_counts_on_its_own_day_and_in_the_row_of_receipts() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&SaleSpec { id: 1, receipt_no: 1, gross: 500, ..SaleSpec::default() });
        a.record(refund(&RefundSpec { date: "2026-03-02", receipt_no: 2, ..RefundSpec::default() }));
        a.sell(&SaleSpec { id: 2, receipt_no: 3, ..SaleSpec::default() });
        a.record(refund(&RefundSpec { id: 2, receipt_no: 5, goods: ReturnedGoods::Wasted, ..RefundSpec::default() }));
        a.sell(&SaleSpec { id: 3, receipt_no: 5, ..SaleSpec::default() });
        a.record(refund(&RefundSpec { id: 3, sale: 2, receipt_no: 3, ..RefundSpec::default() }));
        apply_batch(ledger, a.all());
        let days = ledger.totals(&TotalsFilter::default()).expect("readable");
        let days: Vec<_> = days
            .iter()
            .map(|day| (day.sales, day.gross_minor, day.refunds, day.refund_gross_minor, day.refund_tax_minor))
            .collect();
        assert_eq!(days, [(3, 1_500, 2, 100, 2), (0, 0, 1, 50, 1)]);
        let gaps = ledger.receipt_gaps(&store_id("a"), 10).expect("readable");
        assert_eq!(gaps.iter().map(|gap| (gap.first_no, gap.last_no)).collect::<Vec<_>>(), [(4, 4)]);
        let twice = ledger.duplicate_receipts(&store_id("a"), 10).expect("readable");
        let twice: Vec<_> = twice.iter().map(|one| (one.receipt_no, one.sale_id, one.refund_id)).collect();
        let refund_id = RefundId::new(Uuid::from_u128(3));
        assert_eq!(twice, [(3, None, Some(refund_id)), (5, Some(sale_id(3)), None)]);
        let found = ledger.refunds(&page("a")).expect("readable");
        let found: Vec<_> = found.iter().map(|one| (one.sale_is_known, one.lines[0].goods.as_str())).collect();
        assert_eq!(found, [(true, "restocked"), (true, "wasted"), (true, "restocked")]);
        books_balance(ledger);
    });
}

#[test]
fn a_store_is_told_the_newest_report_of_each_till() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        let mut newest = shift_closed(2, 7);
        newest.report.grand_total_after_minor = Money::from_minor(98_765);
        a.record(newest);
        a.record(shift_closed(1, 6));
        apply_batch(ledger, a.all());
        let answer = apply_hello(ledger, a.hello(vec![a.report(1)]));
        let head = answer.receipts.iter().find(|head| head.till_id.as_str() == "t1").expect("told");
        assert_eq!((head.z_no, head.grand_total_minor.minor()), (7, 98_765), "tills go on above it");
    });
}

#[test]
fn a_parked_refund_has_its_receipt_number_all_the_same() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.record(refund(&RefundSpec::default()));
        a.record(refund(&RefundSpec { receipt_no: 9, gross: 60, ..RefundSpec::default() }));
        a.record(refund(&RefundSpec { id: 2, receipt_no: 1_000_000_000_001, ..RefundSpec::default() }));
        apply_batch(ledger, a.all());
        assert_eq!(parked_reasons(ledger), [(3, "refund_id_conflict".into()), (4, "malformed".into())]);
        let answer = apply_hello(ledger, a.hello(vec![a.report(1)]));
        assert_eq!(answer.receipts, [receipt_head("t1", 9)], "tills go on above it");
    });
}

/// Sales of 500 with two lines of two units and 250 each; then refunds of them, each a sale, a line, units and an amount.
#[track_caller]
fn check_refunds(refunds: &[(u128, u32, u32, i64)], over: &[u128]) {
    let mut sales = History::open("a", 1, None);
    for id in 1..=2 {
        sales.sell(&SaleSpec {
            id,
            receipt_no: u64::try_from(id).expect("small"),
            gross: 500,
            lines: 2,
            ..SaleSpec::default()
        });
    }
    let mut back = History::open("a", 2, Some(&sales));
    for (&(sale, line, units, gross), number) in refunds.iter().zip(1u64..) {
        let id = u128::from(number);
        let spec = RefundSpec { id, sale, receipt_no: 2 + number, line, units, gross, ..RefundSpec::default() };
        back.record(refund(&spec));
    }
    let batches = |history: &History| (1..=history.events.len()).map(|at| history.batch(at, at)).collect::<Vec<_>>();
    let check = |ledger: &dyn Home, order: &str| {
        let mut found = ledger.over_refunds(&store_id("a"), 10).expect("readable");
        found.sort_by_key(|one| one.sale_id);
        let found: Vec<_> = found.iter().map(|one| one.sale_id).collect();
        assert_eq!(found, over.iter().map(|id| sale_id(*id)).collect::<Vec<_>>(), "{order}");
        let expected = if over.is_empty() {
            vec![]
        } else {
            vec![(AlertKind::OverRefunds, i64::try_from(over.len()).expect("few"))]
        };
        assert_eq!(alerts(ledger, "a"), expected, "{order}");
        books_balance(ledger);
    };
    each_home(|ledger| {
        for batch in batches(&sales).into_iter().chain(batches(&back)) {
            apply_batch(ledger, batch);
        }
        check(ledger, "in order, one by one");
    });
    each_home(|ledger| {
        for batch in batches(&back).into_iter().chain(batches(&sales)) {
            apply_batch(ledger, batch);
        }
        check(ledger, "refunds before their sales, one by one");
    });
    each_home(|ledger| {
        ledger.apply(&[back.all(), sales.all()], NOW).expect("the database is well");
        check(ledger, "refunds before their sales, in one group");
    });
}

#[test]
fn more_refunded_than_sold_is_an_alarm_and_no_refusal() {
    check_refunds(&[(1, 0, 2, 250), (1, 1, 2, 250)], &[]);
    check_refunds(&[(1, 0, 1, 125), (1, 0, 1, 125), (2, 1, 2, 250)], &[]);
    check_refunds(&[(1, 0, 2, 250), (1, 1, 2, 251)], &[1]);
    check_refunds(&[(1, 0, 1, 10), (1, 0, 1, 10), (1, 0, 1, 10)], &[1]);
    check_refunds(&[(1, 0, 1, 10), (1, 2, 1, 10)], &[1]);
    check_refunds(&[(1, u32::MAX, 1, 10)], &[1]);
    check_refunds(&[(2, 0, 1, 251), (1, 0, 3, 20)], &[1, 2]);
}

#[test]
fn refunds_wait_for_their_sale() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        let mut b = History::open("b", 2, None);
        b.sell(&SaleSpec { id: 7, ..SaleSpec::default() });
        a.record(refund(&RefundSpec { sale: 7, receipt_no: 1, ..RefundSpec::default() }));
        a.record(refund(&RefundSpec { id: 2, sale: 8, receipt_no: 2, ..RefundSpec::default() }));
        ledger.apply(&[b.all(), a.all()], NOW).expect("the database is well");
        let waiting = |ledger: &dyn Home| alerts(ledger, "a");
        assert_eq!(waiting(ledger), [(AlertKind::RefundsWithoutSale, 2)], "a sale of another store is none");
        a.sell(&SaleSpec { id: 8, receipt_no: 3, ..SaleSpec::default() });
        apply_batch(ledger, a.all());
        assert_eq!(waiting(ledger), [(AlertKind::RefundsWithoutSale, 1)]);
        assert!(!ledger.refunds(&page("a")).expect("readable")[1].sale_is_known);
        books_balance(ledger);
    });
}

#[test]
fn stock_counters_only_grow() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 1, None);
    a.sell(&SaleSpec { id: 1, ..SaleSpec::default() });
    a.record(refund(&RefundSpec::default()));
    a.record(stock_moved(1, StockMovement::Received));
    a.record(stock_moved(2, StockMovement::Wasted));
    a.record(stock_moved(3, StockMovement::TransferredIn));
    a.record(stock_moved(4, StockMovement::TransferredOut));
    a.record(stock_moved(5, StockMovement::Other));
    a.record(cash_moved(1, CashMovement::Other));
    let mut negative = stock_moved(6, StockMovement::Received);
    negative.items[0].quantity = Quantity::from_micro(-1);
    a.record(negative);
    let mut negative = refund(&RefundSpec { id: 2, ..RefundSpec::default() });
    negative.lines[0].restocked[0].quantity = Quantity::from_micro(-1);
    a.record(negative);
    apply_batch(&mut ledger, a.all());
    let (unknown, malformed) = ("unknown_kind".to_owned(), "malformed".to_owned());
    let expected = [(8, unknown.clone()), (9, unknown), (10, malformed.clone()), (11, malformed)];
    assert_eq!(parked_reasons(&ledger), expected);
    books_balance(&ledger);
    let connection = ledger.into_connection();
    let text = |query: &str| connection.query_row(query, [], |row| row.get::<_, String>(0)).expect("a row");
    let sums = "group_concat(item_id || ' ' ||";
    // Sold: 1 cup and 0.25 milk; moved each time: 0.5 cups and 10 milk; taken back: 0.1 milk.
    assert_eq!(text(&format!("SELECT {sums} used_micro, ', ') FROM v_stock_used")), "cup 2000000, milk 20250000");
    assert_eq!(text(&format!("SELECT {sums} added_micro, ', ') FROM v_stock_added")), "cup 1000000, milk 20100000");
}

#[test]
fn z_numbers_make_runs() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        for (shift, z_no) in [(1, 1), (2, 2), (3, 5), (4, 5)] {
            a.record(shift_opened(shift));
            a.record(shift_closed(shift, z_no));
        }
        a.record(shift_opened(9));
        a.record(shift_closed(10, 1_000_000_000_001));
        apply_batch(ledger, a.all());
        assert_eq!(parked_reasons(ledger), [(11, "malformed".into())]);
        let missing = ledger.z_gaps(&store_id("a"), 10).expect("readable");
        assert_eq!(missing, [ZNumbers { till_id: "t1".into(), first_no: 3, last_no: 4 }]);
        assert_eq!(alerts(ledger, "a"), [(AlertKind::ZGaps, 2), (AlertKind::DuplicateZ, 1), (AlertKind::Parked, 1)]);
        let shifts = ledger.shifts(&page("a")).expect("readable");
        let numbers: Vec<_> = shifts.iter().map(|shift| shift.report.as_ref().map(|report| report.z_no)).collect();
        assert_eq!(numbers, [None, Some(5), Some(5), Some(2), Some(1)], "open ones first");
        let newest = StorePage { limit: 2, ..page("a") };
        let first = ledger.shifts(&newest).expect("readable");
        let next = StorePage { before: Some(first[1].event_no), ..newest };
        let next: Vec<_> = ledger.shifts(&next).expect("readable").into_iter().map(|shift| shift.shift_id).collect();
        assert_eq!((first.len(), next), (2, vec![shift_id(3), shift_id(2)]));
        // What was missing arrives.
        a.record(shift_closed(20, 4));
        a.record(shift_closed(21, 3));
        apply_batch(ledger, a.all());
        assert_eq!(ledger.z_gaps(&store_id("a"), 10).expect("readable"), []);
        books_balance(ledger);
    });
}

/// A refund whose amounts fit alone, but not into a sum with others.
fn huge(id: u128) -> RefundCompleted {
    let mut refund = refund(&RefundSpec { id, gross: i64::MAX - 10, ..RefundSpec::default() });
    refund.lines[0].restocked[0].quantity = Quantity::from_micro(i64::MAX);
    refund
}

#[test]
fn sums_that_do_not_fit_are_parked_and_stop_nobody() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&SaleSpec { id: 1, ..SaleSpec::default() });
        a.record(refund(&RefundSpec { id: 1, ..RefundSpec::default() }));
        a.record(huge(100));
        let mut counts = shift_closed(1, 1);
        counts.report.sales.count = u64::MAX;
        a.record(counts);
        a.record(shift_closed(2, 1));
        let mut milk = stock_moved(1, StockMovement::Received);
        milk.items[0].quantity = Quantity::from_micro(i64::MAX);
        a.record(milk);
        a.record(stock_moved(2, StockMovement::Received));
        apply_batch(ledger, a.all());
        let fit = |seq| (seq, "does_not_fit".to_owned());
        assert_eq!(parked_reasons(ledger), [fit(4), fit(5), fit(7)]);
        // Against what is in the database.
        a.record(huge(101));
        a.record(audit_marked("line_voided"));
        assert_eq!(apply_batch(ledger, a.all()).applied, 1);
        assert_eq!(parked_reasons(ledger)[3], fit(9));
        books_balance(ledger);
    });
}

#[test]
fn a_refund_of_many_lines_is_kept_whole() {
    let mut many = refund(&RefundSpec::default());
    let mut line = many.lines[0].clone();
    (line.name, line.units, line.restocked) = (String::new(), vec![], vec![]);
    many.lines = vec![line; 200];
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.record(many.clone());
        assert_eq!(apply_batch(ledger, a.all()).applied, 2);
        assert_eq!(ledger.refunds(&page("a")).expect("readable")[0].lines.len(), 200);
        books_balance(ledger);
    });
}

#[test]
fn columns_for_analysts() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 255, None);
    a.sell(&SaleSpec { id: 1, lines: 2, ..SaleSpec::default() });
    one_of_each().into_iter().for_each(|body| a.record(body));
    a.record(refund(&RefundSpec { id: 0xabc, gross: 460, receipt_no: 3, ..RefundSpec::default() }));
    apply_batch(&mut ledger, a.all());
    assert_eq!(parked_reasons(&ledger), []);
    let over =
        OverRefund { sale_id: sale_id(1), currency: "CNY".into(), sold_minor: 500, refunded_minor: 510, refunds: 2 };
    assert_eq!(ledger.over_refunds(&store_id("a"), 10).expect("readable"), [over]);
    let connection = ledger.into_connection();
    let check = |query: &str, expected: &str| {
        let mut statement = connection.prepare(query).expect("a query");
        let columns = statement.column_count();
        let cells = statement.query_map([], |row| {
            let text = |column| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Null => "-".to_owned(),
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    value => value.as_str().expect("text").to_owned(),
                })
            };
            (0..columns).map(text).collect::<rusqlite::Result<Vec<_>>>().map(|cells| cells.join(" "))
        });
        let rows: Vec<_> = cells.expect("readable").map(|row| row.expect("readable")).collect();
        assert_eq!(rows.join("; "), expected, "{query}");
    };
    check(
        "SELECT store_id, business_date, refunded_at_local, sale_id, sale_is_known, kind, shift_id, gross_minor, tenders,
            epoch, seq FROM v_refunds WHERE refund_id = '00000000-0000-0000-0000-000000000abc'",
        "a 2026-03-01 2026-05-29 04:26:40 00000000-0000-0000-0000-000000000001 1 refund \
            00000000-0000-0000-0000-000000000001 460 [[\"cash\",460]] 00000000000000ff 14",
    );
    check(
        "SELECT position, sale_position, sku, units, quantity_micro, gross_minor, goods, restocked FROM v_refund_lines LIMIT 1",
        "1 1 tea-0 [0] 1000000 50 restocked [[\"milk\",100000]]",
    );
    check("SELECT sold_minor, refunded_minor, refunds FROM v_over_refunds", "500 510 2");
    check(
        "SELECT till_id, z_no, operator_id, closed_by, float_minor, sales, refunds_gross_minor, expected_minor,
            counted_minor, difference_minor, grand_total_after_minor, amendments FROM v_shifts",
        "t1 1 ann bo 20000 3 50 19450 19400 -50 1450 1",
    );
    check("SELECT z_no, tax_group, gross_minor, tax_minor FROM v_z_taxes", "1 standard 1450 8");
    check("SELECT kind, count, amount_minor FROM v_z_tenders ORDER BY kind", "card 1 500; cash 3 950");
    check("SELECT reason, promotion_id, amount_minor FROM v_z_adjustments", "promotion second-half -100");
    check("SELECT z_no, reason, counted_minor FROM v_shift_amendments", "1 miscounted 19450");
    check("SELECT business_date, sales, refunds, shifts FROM v_day_closes", "2026-03-01 3 1 [[\"t1\",1],[\"t2\",7]]");
    check("SELECT kind, amount_minor, reason FROM v_cash_movements", "paid_out 1500 milk_run");
    check(
        "SELECT kind, item_id, quantity_micro, expected_micro, reference FROM v_stock_movements WHERE kind = 'received'",
        "received milk 10000000 12000000 note 77; received cup 500000 - note 77",
    );
    check(
        "SELECT item_id, counted_micro, difference_micro, frontier_seq FROM v_stock_counts",
        "milk 4000000 -250000 2",
    );
    check("SELECT what, code, sold_out, remaining FROM v_sold_out", "sku tea-0 1 3");
    check("SELECT action, operator_id, subject, amount_minor FROM v_audit", "line_voided ann basket 5 700");
    check("SELECT sales, refunds, refund_gross_minor, turnover_minor FROM v_day_totals", "1 2 510 -10");
}

#[test]
fn wrong_books_are_found() {
    let mut a = History::open("a", 1, None);
    a.sell(&SaleSpec { id: 1, lines: 2, ..SaleSpec::default() });
    one_of_each().into_iter().for_each(|body| a.record(body));
    #[track_caller]
    fn check(a: &History, damage: &str, what: &str) {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        apply_batch(&mut ledger, a.all());
        let connection = ledger.into_connection();
        assert!(connection.execute(damage, []).expect("writable") > 0, "{damage}");
        let ledger = SqliteLedger::from_connection(connection).expect("opens");
        let report = Books::verify(&ledger).expect("readable");
        assert!(report.differences.iter().any(|difference| difference.what.contains(what)), "{damage}: {report:?}");
    }
    check(&a, "UPDATE day_totals SET refunds = 0", "refunds of store a on 2026-03-01 in CNY");
    check(&a, "UPDATE day_totals SET refund_gross_minor = 1", "refund_gross_minor of store a");
    check(&a, "UPDATE stock_added SET added_micro = 1 WHERE item_id = 'milk'", "milk added");
    check(&a, "UPDATE stock_used SET used_micro = 1 WHERE item_id = 'milk'", "milk used by store a");
    check(&a, "UPDATE refunds SET tax_minor = 7", "tax_minor of refund");
    check(&a, "DELETE FROM refund_lines", "number of line rows");
    check(&a, "UPDATE refunded_sales SET is_over = 1", "excess of the refunds");
    check(&a, "UPDATE refunded_sales SET gross_minor = 1", "gross_minor of the refunds");
    check(&a, "DELETE FROM refunded_sales", "number of sales with refunds");
    check(&a, "UPDATE store_state SET refunds_waiting = 1", "refunds of unknown sales");
    check(&a, "UPDATE receipt_runs SET last_no = 9", "runs of receipt numbers of till t1");
    check(&a, "DELETE FROM z_runs", "runs of Z numbers of till t1");
    check(&a, "UPDATE z_reports SET counted_minor = 1", "amounts of the Z report");
    check(&a, "UPDATE stock_movement_items SET quantity_micro = 1", "quantities of stock movement");
    for table in [
        "refunds",
        "shift_opens",
        "z_reports",
        "shift_amendments",
        "day_closes",
        "cash_movements",
        "stock_movements",
        "stock_counts",
        "sold_out_changes",
        "audit_marks",
    ] {
        check(&a, &format!("DELETE FROM {table}"), &format!("in {table}"));
    }
}
