//! What somebody deletes or changes by hand behind the cursor is found by a store's digest and put right, once.

#![allow(clippy::panic, reason = "helpers of tests may panic")]

mod support;

use pos_model::{BusinessDate, Seq};
use protocol::digest::{FactsDigest, date_of};
use protocol::latest::{DayDigest, RunOfDay, StockMovement, Uplink, decode_event};
use serde_json::json;
use support::counter::*;
use support::parking::*;
use support::*;
use sync_server::ledger::{
    AlertKind, DateRange, Examined, Finding, ParkedFilter, ParkedState, ReconciliationFilter, Reconciliations,
    RestoreRefused, Restored, SqliteLedger, SqliteSettings, Standing,
};

const DATE: &str = "2026-03-01";

fn date() -> BusinessDate {
    DATE.parse().expect("a date")
}

trait ComparedHome: Home + Reconciliations {}
impl<T: Home + Reconciliations> ComparedHome for T {}

/// A home, and a hand that reaches into its tables.
fn each_home_and_hand(case: impl Fn(&mut dyn ComparedHome, &dyn Fn(&str))) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    case(&mut ledger, &|sql| {
        let hand = rusqlite::Connection::open(&path).expect("opens");
        // Dates are days since 1970 in a file.
        hand.execute_batch(&sql.replace("'2026-03-05'", "20517")).expect("is understood");
    });
    let server = database_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    case(&mut ledger, &|sql| drop(server.query(&url, sql)));
}

fn open_events(ledger: &dyn ComparedHome) -> usize {
    ledger.parked(&ParkedFilter { state: Some(ParkedState::Open), ..no_filter() }).expect("readable").len()
}

/// What a store holds of a date, as its agent would say it.
fn digest(histories: &[&History], business_date: BusinessDate) -> DayDigest {
    let mut facts = FactsDigest::default();
    let mut runs = Vec::new();
    for history in histories {
        let mut run: Option<RunOfDay> = None;
        for (index, bytes) in history.events.iter().enumerate() {
            let Ok(event) = decode_event(bytes) else { continue };
            if date_of(&event.body) != Some(business_date) {
                continue;
            }
            facts.event(&event.body);
            let mark = history.mark_at(index + 1);
            let first = run.map_or(mark.seq, |run| run.first);
            run = Some(RunOfDay { epoch: history.epoch, first, last: mark });
        }
        runs.extend(run);
    }
    DayDigest { business_date, runs, sums: facts.sums(), hash: facts.hash(), partial: false }
}

fn examine(ledger: &dyn ComparedHome, a: &History, digest: &DayDigest) -> Examined {
    ledger.examine(&a.store, digest, NOW + 86_400_000).expect("readable")
}

/// Does what the service does until store and ledger agree. Says how many events got their rows again, and how many came
/// again.
#[track_caller]
fn put_right(ledger: &mut dyn ComparedHome, a: &History, digest: &DayDigest) -> (usize, usize) {
    let (mut repaired, mut received) = (0, 0);
    for _ in 0..50 {
        match examine(ledger, a, digest).standing {
            Standing::Agrees => return (repaired, received),
            Standing::Wrong { repair, .. } => {
                repaired += repair.events();
                ledger.repair(&repair, NOW).expect("the database is well");
            }
            Standing::Lacks(gaps) => {
                let gap = gaps[0];
                let (from, to) = (gap.from, gap.to.min(gap.from.plus(6)));
                let index = |seq: Seq| usize::try_from(seq.get()).expect("small");
                let Uplink::Batch(batch) = a.batch_message(index(from), index(to)) else { panic!("a batch") };
                let restored = Restored::of(a.store.clone(), batch, gap.epoch, from, gap.to).expect("fits");
                received += restored.events();
                ledger.restore(&restored, NOW).expect("the database is well").expect("it is the history");
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("they never agree: {:?}", examine(ledger, a, digest).standing);
}

/// Makes the roll-ups as far as they can be made.
fn roll_up(ledger: &dyn ComparedHome) {
    while ledger.roll_up(1, NOW).expect("the database is well").more {}
}

/// The roll-ups are the sums of the events.
#[track_caller]
fn roll_ups_are_right(ledger: &dyn ComparedHome, what: &str) {
    let report = ledger.check_roll_ups(DateRange::default(), &mut |_| {}).expect("readable");
    assert_eq!((report.differences, report.days_waiting), (vec![], 0), "{what}");
}

fn gross(ledger: &dyn ComparedHome) -> i64 {
    let filter = sync_server::ledger::TotalsFilter::default();
    ledger.totals(&filter).expect("readable").iter().map(|day| day.gross_minor).sum()
}

/// Forty sales in messages of several sizes, among those of another store, with other dates between.
fn filled(ledger: &mut dyn ComparedHome) -> (History, History) {
    let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
    for number in 1..=40 {
        let date = if number % 10 == 0 { "2026-03-02" } else { DATE };
        a.sell(&SaleSpec {
            id: 1_000 + u128::from(number),
            receipt_no: number,
            gross: 100,
            lines: 3,
            date,
            ..SaleSpec::default()
        });
    }
    b.sell_many(1, 40);
    for (from, to) in [(1, 1), (2, 2), (3, 9), (10, 30), (31, 41)] {
        apply_batch(ledger, a.batch(from, to));
        apply_batch(ledger, b.batch(from, to));
    }
    (a, b)
}

#[test]
fn what_nobody_touched_agrees() {
    each_home_and_hand(|ledger, _| {
        let (a, b) = filled(ledger);
        for history in [&a, &b] {
            let examined = examine(ledger, history, &digest(&[history], date()));
            assert!(matches!(examined.standing, Standing::Agrees), "{examined:?}");
            assert_eq!(examined.store_facts, examined.ledger_facts);
        }
    });
}

#[test]
fn whatever_is_lost_comes_back_once() {
    let damages: &[(&str, &str)] = &[
        (
            "thirty sales with their lines",
            "DELETE FROM sale_lines WHERE line_no / 1024 IN (SELECT event_no FROM sales WHERE stream_no = 1
                AND seq BETWEEN 4 AND 33);
            DELETE FROM sales WHERE stream_no = 1 AND seq BETWEEN 4 AND 33",
        ),
        ("lines of a sale", "DELETE FROM sale_lines WHERE line_no / 1024 = (SELECT min(event_no) FROM sales)"),
        ("an amount", "UPDATE sales SET gross_minor = 1 WHERE stream_no = 1 AND seq = 7"),
        ("a business date", "UPDATE sales SET business_date = '2026-03-05' WHERE stream_no = 1 AND seq = 8"),
        ("sums of the day", "DELETE FROM day_totals WHERE store_no = 1"),
        ("a sum of the day", "UPDATE day_totals SET gross_minor = gross_minor - 77 WHERE store_no = 1"),
        ("frames", "DELETE FROM batches WHERE stream_no = 1 AND first_seq IN (2, 10)"),
        ("all frames", "DELETE FROM batches WHERE stream_no = 1 AND first_seq > 1"),
        ("rows of receipts", "DELETE FROM receipt_runs WHERE store_no = 1"),
        ("stock, with a row", "DELETE FROM stock_used WHERE stream_no = 1; DELETE FROM sales WHERE seq = 5"),
        (
            "all of it",
            "DELETE FROM batches WHERE stream_no = 1 AND first_seq > 2; DELETE FROM sales WHERE stream_no = 1;
            DELETE FROM sale_lines; DELETE FROM day_totals; DELETE FROM stock_used",
        ),
    ];
    each_home_and_hand(|ledger, hand| {
        let (a, b) = filled(ledger);
        let sold = gross(ledger);
        roll_up(ledger);
        roll_ups_are_right(ledger, "nothing was touched");
        for (what, sql) in damages {
            hand(sql);
            // All is summed up from what is left.
            ledger.mark_roll_ups(DateRange::default()).expect("writable");
            roll_up(ledger);
            for history in [&a, &b] {
                for day in [date(), "2026-03-02".parse().expect("a date")] {
                    put_right(ledger, history, &digest(&[history], day));
                }
            }
            assert_eq!(gross(ledger), sold, "{what}");
            roll_up(ledger);
            roll_ups_are_right(ledger, what);
            let report = ledger.verify().expect("readable");
            assert_eq!(report.differences, [], "{what}");
            // What came back is what a replay finds there.
            assert_eq!(apply_batch(ledger, a.all()).applied, 0, "{what}");
        }
    });
}

#[test]
fn thirty_rows_are_restored_from_what_is_held_and_frames_from_the_store() {
    each_home_and_hand(|ledger, hand| {
        let (a, _) = filled(ledger);
        let digest = digest(&[&a], date());
        hand("DELETE FROM sales WHERE stream_no = 1 AND seq BETWEEN 2 AND 33");
        let examined = examine(ledger, &a, &digest);
        assert!(matches!(examined.standing, Standing::Wrong { .. }), "{examined:?}");
        assert_eq!((examined.store_facts, examined.ledger_facts), (36, 7));
        ledger.mark_roll_ups(DateRange::default()).expect("writable");
        roll_up(ledger);
        assert_eq!(put_right(ledger, &a, &digest), (32, 0));
        roll_up(ledger);
        roll_ups_are_right(ledger, "thirty rows are back");
        hand("DELETE FROM batches WHERE stream_no = 1 AND first_seq = 10");
        assert_eq!(put_right(ledger, &a, &digest), (0, 21));
    });
}

/// A late copy of a message that is held no more looks like another history.
#[test]
fn what_was_parked_beside_the_history_leaves_when_it_is_back_at_its_place() {
    each_home_and_hand(|ledger, hand| {
        let (a, _) = filled(ledger);
        let (sold, digest) = (gross(ledger), digest(&[&a], date()));
        hand("DELETE FROM batches WHERE stream_no = 1 AND first_seq = 10");
        hand("DELETE FROM sales WHERE stream_no = 1 AND seq BETWEEN 10 AND 30");
        let outcome = apply_batch(ledger, a.batch(10, 30));
        assert_eq!((outcome.forked, outcome.applied, outcome.parked.len()), (true, 0, 21), "{outcome:?}");
        assert_eq!(open_events(ledger), 21);
        put_right(ledger, &a, &digest);
        assert_eq!((open_events(ledger), gross(ledger)), (0, sold));
        assert_eq!(ledger.verify().expect("readable").differences, []);
        let outcome = apply_batch(ledger, a.batch(10, 30));
        assert_eq!((outcome.forked, outcome.applied, outcome.parked.len()), (false, 0, 0), "{outcome:?}");
    });
}

/// The digest was made before the newest events came.
#[test]
fn what_came_behind_a_digest_is_not_taken_from_the_sums() {
    each_home_and_hand(|ledger, hand| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 3);
        apply_batch(ledger, a.all());
        let before = digest(&[&a], date());
        let known = a.events.len();
        a.record(stock_moved(7, StockMovement::Received));
        a.sell_many(4, 2);
        a.record(stock_moved(8, StockMovement::Received));
        apply_batch(ledger, a.batch(known + 1, known + 2));
        assert!(matches!(examine(ledger, &a, &before).standing, Standing::Agrees | Standing::HoldsMore(_)));
        apply_batch(ledger, a.batch(known + 3, a.events.len()));
        // Neither where the rows of these newest ones are gone.
        hand("DELETE FROM sales WHERE seq > 5; DELETE FROM sales WHERE seq = 2");
        let sold = gross(ledger);
        for _ in 0..3 {
            if let Standing::Wrong { repair, .. } = examine(ledger, &a, &before).standing {
                ledger.repair(&repair, NOW).expect("the database is well");
            }
            assert_eq!(gross(ledger), sold);
        }
        put_right(ledger, &a, &digest(&[&a], date()));
        books_balance_of(ledger);
    });
}

#[test]
fn what_a_run_leaves_out_of_its_date_is_not_taken_from_the_stock() {
    each_home_and_hand(|ledger, _| {
        let mut a = History::open("a", 1, None);
        for (receipt_no, date) in (1..).zip([DATE, DATE, "2026-02-11", DATE, DATE]) {
            a.sell(&SaleSpec { id: receipt_no.into(), receipt_no, date, ..SaleSpec::default() });
        }
        apply_batch(ledger, a.all());
        // An agent that looks back no further than other dates lie between names the afternoon alone.
        let whole = digest(&[&a], date());
        let mut facts = FactsDigest::default();
        a.events[4..].iter().for_each(|bytes| facts.event(&decode_event(bytes).expect("readable").body));
        let runs = whole.runs.iter().map(|run| RunOfDay { first: Seq::from_sql(5), ..*run }).collect();
        let part = DayDigest { runs, sums: facts.sums(), hash: facts.hash(), ..whole };
        let examined = examine(ledger, &a, &part);
        assert!(matches!(examined.standing, Standing::HoldsMore(_)), "{examined:?}");
    });
}

#[test]
fn a_digest_that_names_its_events_twice_moves_no_sum() {
    each_home_and_hand(|ledger, _| {
        let (a, _) = filled(ledger);
        let mut twice = digest(&[&a], date());
        twice.runs.extend(twice.runs.clone());
        let examined = examine(ledger, &a, &twice);
        assert!(matches!(examined.standing, Standing::NotADigest), "{examined:?}");
        let sold = gross(ledger);
        put_right(ledger, &a, &digest(&[&a], date()));
        assert_eq!(gross(ledger), sold);
    });
}

#[test]
fn a_damaged_message_of_a_parked_event_stops_nothing_else() {
    each_home_and_hand(|ledger, hand| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        a.sell_many(1, 2);
        b.sell_many(11, 2);
        for history in [&a, &b] {
            apply_batch(ledger, as_known_by_older(history.all(), ONLY_EPOCHS));
        }
        hand("UPDATE batches SET frame = substr(frame, 1, 9) WHERE stream_no = (SELECT min(stream_no) FROM streams)");
        assert_eq!(open_events(ledger), 4, "they are told all the same");
        assert_eq!(replay(ledger, no_filter()).applied, 2);
        roll_up(ledger);
        let held = a.events.len();
        put_right(ledger, &b, &digest(&[&b], date()));
        assert_eq!(put_right(ledger, &a, &digest(&[&a], date())).1, held, "and come back");
        assert_eq!(replay(ledger, no_filter()).applied, 2);
        roll_up(ledger);
        roll_ups_are_right(ledger, "all are sold");
        books_balance_of(ledger);
    });
}

#[test]
fn a_refund_that_came_while_its_sale_was_gone_finds_it_again() {
    let rows = "DELETE FROM sale_lines; DELETE FROM sales";
    for damage in [rows.to_owned(), format!("{rows}; DELETE FROM batches WHERE first_seq = 1")] {
        each_home_and_hand(|ledger, hand| {
            let mut a = History::open("a", 1, None);
            for id in [1, 2] {
                let receipt_no = u64::try_from(id).expect("small");
                a.sell(&SaleSpec { id, receipt_no, ..SaleSpec::default() });
            }
            a.record(refund(&RefundSpec { id: 9, sale: 2, receipt_no: 3, ..RefundSpec::default() }));
            apply_batch(ledger, a.all());
            hand(&damage);
            let known = a.events.len();
            a.record(refund(&RefundSpec { id: 8, sale: 1, receipt_no: 4, ..RefundSpec::default() }));
            apply_batch(ledger, a.batch(known + 1, known + 1));
            put_right(ledger, &a, &digest(&[&a], date()));
            books_balance_of(ledger);
        });
    }
}

#[test]
fn what_was_dropped_with_its_month_is_no_difference() {
    each_home_and_hand(|ledger, hand| {
        let (a, _) = filled(ledger);
        let digest = digest(&[&a], date());
        hand("DELETE FROM sales; DELETE FROM batches");
        assert!(matches!(examine(ledger, &a, &digest).standing, Standing::Lacks(_)));
        hand("UPDATE rollup_state SET facts_from = '2026-03-05'");
        let examined = examine(ledger, &a, &digest);
        assert!(matches!(examined.standing, Standing::NotKept), "{examined:?}");
    });
    // The same where the home itself has dropped them.
    let server = database_server();
    let mut ledger = postgres(&server.database());
    let (a, _) = filled(&mut ledger);
    let digest = digest(&[&a], date());
    roll_up(&ledger);
    let (before, dropped) = ledger.keep_months(1, NOW).expect("is dropped");
    assert!(before.as_str() > "2026-03" && !dropped.is_empty(), "{before}: {dropped:?}");
    let examined = examine(&ledger, &a, &digest);
    assert!(matches!(examined.standing, Standing::NotKept), "{examined:?}");
}

#[test]
fn what_a_person_has_fixed_is_neither_undone_nor_a_difference() {
    each_home_and_hand(|ledger, hand| {
        let mut a = History::open("a", 1, None);
        // Its receipt number cannot be one, so that it is parked.
        a.sell(&SaleSpec { id: 1, receipt_no: u64::MAX / 4, ..SaleSpec::default() });
        a.sell_many(2, 5);
        for (from, to) in [(1, 1), (2, 4), (5, 7)] {
            apply_batch(ledger, a.batch(from, to));
        }
        let digest = digest(&[&a], date());
        assert!(matches!(examine(ledger, &a, &digest).standing, Standing::Agrees), "it is parked");
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["receipt_no"] = json!(1);
        assert_eq!(fix(ledger, 1, content), Ok(()));
        let examined = examine(ledger, &a, &digest);
        assert!(matches!(examined.standing, Standing::Agrees), "{examined:?}");
        let sold = gross(ledger);
        hand("DELETE FROM sale_lines; DELETE FROM sales; DELETE FROM day_totals");
        put_right(ledger, &a, &digest);
        assert_eq!(gross(ledger), sold);
        books_balance_of(ledger);
        hand("DELETE FROM batches WHERE first_seq = 2");
        let Standing::Lacks(gaps) = examine(ledger, &a, &digest).standing else { panic!("a message is gone") };
        let Uplink::Batch(batch) = a.batch_message(2, 4) else { panic!("a batch") };
        let restored = Restored::of(a.store.clone(), batch, a.epoch, gaps[0].from, gaps[0].to).expect("fits");
        assert_eq!(ledger.restore(&restored, NOW).expect("well"), Err(RestoreRefused::Fixed));
    });
}

#[test]
fn what_the_store_lacks_stays() {
    each_home_and_hand(|ledger, _| {
        let (a, _) = filled(ledger);
        let before = gross(ledger);
        // The store was put back to its first events, and goes on in another epoch.
        let mut shorter = a.clone();
        shorter.events.truncate(20);
        shorter.hashes.truncate(20);
        let mut next = History::open("a", 9, Some(&shorter));
        next.sell(&SaleSpec { id: 77, receipt_no: 50, gross: 5, ..SaleSpec::default() });
        apply_batch(ledger, next.all());
        let examined = examine(ledger, &a, &digest(&[&shorter, &next], date()));
        assert!(matches!(examined.standing, Standing::HoldsMore(18)), "{examined:?}");
        assert_eq!(gross(ledger), before + 5);
        let fresh = ledger.examine(&a.store, &digest(&[&shorter, &next], date()), NOW).expect("readable");
        assert!(matches!(fresh.standing, Standing::Agrees), "what has just come is not in the digest: {fresh:?}");
    });
}

#[test]
fn another_history_is_told_and_not_mixed_in() {
    each_home_and_hand(|ledger, hand| {
        let (a, _) = filled(ledger);
        let mut other = History::open("a", 1, None);
        other.sell_many(500, 40);
        let examined = examine(ledger, &a, &digest(&[&other], date()));
        assert!(matches!(examined.standing, Standing::OtherHistory), "{examined:?}");
        hand("DELETE FROM batches WHERE stream_no = 1 AND first_seq = 10");
        let Uplink::Batch(batch) = other.batch_message(10, 30) else { panic!("a batch") };
        let restored = Restored::of(a.store.clone(), batch, a.epoch, Seq::new(10), Seq::new(30)).expect("fits");
        assert!(ledger.restore(&restored, NOW).expect("well").is_err(), "it does not follow from what is held");
        let ahead = digest(
            &[&{
                let mut ahead = a.clone();
                ahead.sell_many(900, 1);
                ahead
            }],
            date(),
        );
        assert!(matches!(examine(ledger, &a, &ahead).standing, Standing::Behind));
    });
}

#[test]
fn what_happens_beside_sales_comes_back_too() {
    each_home_and_hand(|ledger, hand| {
        let mut a = History::open("a", 1, None);
        a.sell(&SaleSpec { id: 5, receipt_no: 1, gross: 500, ..SaleSpec::default() });
        for body in one_of_each() {
            a.record(body);
        }
        apply_batch(ledger, a.all());
        books_balance_of(ledger);
        // The run reaches over all that happened, whatever its date.
        let mut digest = digest(&[&a], date());
        digest.runs = vec![RunOfDay { epoch: a.epoch, first: Seq::FIRST, last: a.mark() }];
        put_right(ledger, &a, &digest);
        for table in [
            "refund_lines",
            "refunds",
            "z_reports",
            "shift_opens",
            "cash_movements",
            "day_closes",
            "stock_movements",
            "stock_movement_items",
            "stock_counts",
            "sold_out_changes",
            "audit_marks",
            "shift_amendments",
        ] {
            hand(&format!("DELETE FROM {table}"));
            put_right(ledger, &a, &digest);
            books_balance_of(ledger);
        }
        hand("DELETE FROM batches WHERE first_seq = 1");
        put_right(ledger, &a, &digest);
        books_balance_of(ledger);
    });
}

fn books_balance_of(ledger: &dyn ComparedHome) {
    assert_eq!(ledger.verify().expect("readable").differences, []);
}

#[test]
fn a_difference_is_one_row_as_long_as_it_lasts() {
    each_home_and_hand(|ledger, _| {
        let (a, _) = filled(ledger);
        let rows = |ledger: &dyn ComparedHome, open_only| {
            let filter = ReconciliationFilter { open_only, limit: 10, ..ReconciliationFilter::default() };
            ledger.reconciliations(&filter).expect("readable")
        };
        let note = |ledger: &dyn ComparedHome, outcome, is_repaired| {
            let finding = Finding { what: "x".into(), asked_events: 3, outcome, is_repaired, ..Finding::default() };
            ledger.note_finding(&a.store, date(), &finding, NOW).expect("writable")
        };
        assert!(!note(ledger, "repaired", true), "nothing is noted of what agrees");
        assert_eq!(rows(ledger, false), []);
        assert!(!note(ledger, "open", false));
        assert!(note(ledger, "asked", false));
        let open = rows(ledger, true);
        assert_eq!((open.len(), open[0].asked_events, open[0].outcome.as_str()), (1, 6, "asked"));
        let store = ledger.store(&a.store).expect("readable").expect("known");
        assert!(store.alerts.iter().any(|alert| alert.kind == AlertKind::Reconciliation), "{:?}", store.alerts);
        assert!(note(ledger, "repaired", true));
        assert_eq!((rows(ledger, true), rows(ledger, false).len()), (vec![], 1));

        assert!(ledger.wish(&a.store, date(), NOW).expect("writable"));
        assert!(ledger.wish(&a.store, date(), NOW).expect("writable"));
        assert!(!ledger.wish(&store_id("nobody"), date(), NOW).expect("writable"));
        assert_eq!(ledger.wishes().expect("readable"), [(a.store.clone(), date())]);
        ledger.fulfil(&a.store, date()).expect("writable");
        assert_eq!(ledger.wishes().expect("readable"), []);
    });
}
