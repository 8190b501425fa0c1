//! Roll-ups are the sums of what counts, whatever people do about parked events, on every home of the ledger.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::latest::{EventBody, SaleCompleted};
use serde_json::{Value, json};
use support::counter::*;
use support::parking::*;
use support::rollups::*;
use support::*;
use sync_server::ledger::{Books, DateRange, ParkedFilter, RollUps, SqliteLedger, TotalsFilter};

/// The roll-ups hold what is expected: as they followed, and as a rebuild makes them from the events.
#[track_caller]
fn comes_to(ledger: &dyn Home, expected: &Rows) {
    roll_up(ledger);
    assert_eq!(&held(ledger), expected);
    right(ledger);
    assert!(ledger.mark_roll_ups(DateRange::default()).expect("writable") > 0);
    roll_up(ledger);
    assert_eq!(&held(ledger), expected, "summed up anew");
    right(ledger);
}

/// Something is parked, and then somebody does something about it: before the roll-ups have come by, and after.
#[track_caller]
fn check(parked: impl Fn(&mut dyn Home), done: impl Fn(&mut dyn Home), expected: &Rows) {
    for is_behind in [false, true] {
        each_home(|ledger| {
            parked(ledger);
            if is_behind {
                roll_up(ledger);
                right(ledger);
            }
            done(ledger);
            comes_to(ledger, expected);
            books_balance(ledger);
        });
    }
}

/// A sale with promotions.
fn told(id: u128, receipt_no: u64, date: &'static str, given: i64) -> SaleCompleted {
    let spec = SaleSpec { id, receipt_no, gross: 300, date, lines: 2, ..SaleSpec::default() };
    sale_at(&spec, 9, &[(0, "happy-hour", -given), (1, "bundle", -5)])
}

/// A store with three sales, of which the second has a receipt number that cannot be one.
fn with_unprintable() -> History {
    let mut store = History::open("a", 1, None);
    push_sale(&mut store, 1, told(1, 1, "2026-03-01", 40));
    push_sale(&mut store, 2, told(2, u64::MAX / 4, "2026-03-01", 40));
    push_sale(&mut store, 3, told(3, 3, "2026-03-01", 40));
    store
}

/// What it comes to when the second sale is as told here, or not at all.
fn with_second(second: Option<&SaleCompleted>) -> Rows {
    let mut store = History::open("a", 1, None);
    push_sale(&mut store, 1, told(1, 1, "2026-03-01", 40));
    if let Some(second) = second {
        push_sale(&mut store, 2, second.clone());
    }
    push_sale(&mut store, 3, told(3, 3, "2026-03-01", 40));
    naive([&store])
}

fn content(sale: &SaleCompleted) -> Value {
    json!({ "event": serde_json::to_value(EventBody::from(sale.clone())).expect("JSON") })
}

#[test]
fn what_is_replayed_is_in_them_once() {
    let mut a = with_unprintable();
    a.record(refund(&RefundSpec { id: 900, sale: 1, receipt_no: 4, date: "2026-03-02", ..RefundSpec::default() }));
    let mut applied = History::open("a", 1, None);
    push_sale(&mut applied, 1, told(1, 1, "2026-03-01", 40));
    push_sale(&mut applied, 3, told(3, 3, "2026-03-01", 40));
    applied.record(refund(&RefundSpec {
        id: 900,
        sale: 1,
        receipt_no: 4,
        date: "2026-03-02",
        ..RefundSpec::default()
    }));
    check(
        |ledger| {
            apply_batch(ledger, a.batch(1, 2));
            apply_batch(ledger, as_known_by_older(a.all(), ONLY_EPOCHS));
        },
        |ledger| assert_eq!(replay(ledger, no_filter()).applied, 2),
        &naive([&applied]),
    );
}

#[test]
fn what_is_fixed_is_in_them_as_it_was_fixed() {
    // Another promotion, and another day: nothing of what the message says may be left.
    let fixed = told(2, 2, "2026-03-02", 70);
    check(
        |ledger| drop(apply_batch(ledger, with_unprintable().all())),
        |ledger| assert_eq!(fix(ledger, 1, content(&fixed)), Ok(())),
        &with_second(Some(&fixed)),
    );
    let returned =
        |receipt_no| RefundSpec { id: 900, sale: 1, receipt_no, date: "2026-03-02", ..RefundSpec::default() };
    let (mut a, mut meant) = (with_unprintable(), History::open("a", 1, None));
    a.record(refund(&returned(u64::MAX / 4)));
    push_sale(&mut meant, 1, told(1, 1, "2026-03-01", 40));
    push_sale(&mut meant, 3, told(3, 3, "2026-03-01", 40));
    meant.record(refund(&returned(4)));
    check(
        |ledger| drop(apply_batch(ledger, a.all())),
        |ledger| {
            let refund = serde_json::to_value(EventBody::from(refund(&returned(4)))).expect("JSON");
            assert_eq!(fix(ledger, 2, json!({ "event": refund })), Ok(()));
        },
        &naive([&meant]),
    );
}

#[test]
fn what_is_fixed_beside_the_history_is_in_no_message_and_in_them_once() {
    let (mut a, mut twin) = (with_unprintable(), with_unprintable());
    push_sale(&mut a, 4, told(4, 4, "2026-03-01", 40));
    push_sale(&mut twin, 104, told(104, 4, "2026-03-01", 40));
    push_sale(&mut twin, 105, told(105, 5, "2026-03-01", 40));
    let mut longer = a.clone();
    push_sale(&mut longer, 6, told(6, 6, "2026-03-01", 40));
    let (first, second) = (told(104, 5, "2026-03-01", 9), told(105, 7, "2026-03-04", 40));
    let mut meant = History::open("a", 1, None);
    for sale in [told(1, 1, "2026-03-01", 40), told(3, 3, "2026-03-01", 40), told(4, 4, "2026-03-01", 40)] {
        push_sale(&mut meant, sale.sale_id.uuid().as_u128(), sale);
    }
    for sale in [&first, &second, &told(6, 6, "2026-03-01", 40)] {
        push_sale(&mut meant, sale.sale_id.uuid().as_u128(), sale.clone());
    }
    let parked = |ledger: &mut dyn Home| {
        apply_batch(ledger, a.all());
        assert!(apply_batch(ledger, twin.all()).forked);
    };
    // Numbers 2 and 3 are those of the twin, which both were parked behind the unprintable sale.
    check(
        parked,
        |ledger| {
            assert_eq!(fix(ledger, 2, content(&first)), Ok(()));
            assert_eq!(fix(ledger, 3, content(&second)), Ok(()));
            assert_eq!(apply_batch(ledger, longer.all()).applied, 1);
        },
        &naive([&meant]),
    );
    // The roll-ups come by between the two, and the twin sends its events again.
    check(
        parked,
        |ledger| {
            assert_eq!(fix(ledger, 2, content(&first)), Ok(()));
            roll_up(ledger);
            right(ledger);
            assert!(apply_batch(ledger, twin.all()).forked);
            assert_eq!(apply_batch(ledger, longer.all()).applied, 1);
            assert_eq!(fix(ledger, 3, content(&second)), Ok(()));
        },
        &naive([&meant]),
    );
}

#[test]
fn what_is_waived_is_not_in_them_until_it_counts_all_the_same() {
    let parked = |ledger: &mut dyn Home| drop(apply_batch(ledger, with_unprintable().all()));
    check(parked, |ledger| assert_eq!(waive(ledger, 1), Ok(())), &with_second(None));
    let fixed = told(2, 2, "2026-03-02", 70);
    check(
        parked,
        |ledger| {
            assert_eq!(waive(ledger, 1), Ok(()));
            assert_eq!(fix(ledger, 1, content(&fixed)), Ok(()));
        },
        &with_second(Some(&fixed)),
    );
    let mut a = History::open("a", 1, None);
    push_sale(&mut a, 1, told(1, 1, "2026-03-01", 40));
    push_sale(&mut a, 2, told(2, 2, "2026-03-01", 40));
    push_sale(&mut a, 3, told(3, 3, "2026-03-01", 40));
    check(
        |ledger| {
            apply_batch(ledger, a.batch(1, 2));
            apply_batch(ledger, as_known_by_older(a.batch(3, 3), ONLY_EPOCHS));
            apply_batch(ledger, a.all());
        },
        |ledger| {
            assert_eq!(waive(ledger, 1), Ok(()));
            assert_eq!(replay(ledger, ParkedFilter { numbers: vec![1], ..no_filter() }).applied, 1);
        },
        &naive([&a]),
    );
}

/// What happens, one after the other.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A store sends its next event or two, to a program that knows only sales where it is `true`.
    Send(u8, usize, bool),
    /// The store's twin sends all that it has.
    Fork(u8),
    Replay,
    /// One of those that are or were parked.
    Fix(u8),
    Waive(u8),
    Retry(u8),
    /// The roll-ups do a step.
    Step,
    Rebuild,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (any::<u8>(), 1..4usize, any::<bool>()).prop_map(|(store, count, old)| Happening::Send(store, count, old)),
        1 => any::<u8>().prop_map(Happening::Fork),
        1 => Just(Happening::Replay),
        4 => any::<u8>().prop_map(Happening::Fix),
        1 => any::<u8>().prop_map(Happening::Waive),
        1 => any::<u8>().prop_map(Happening::Retry),
        4 => Just(Happening::Step),
        1 => Just(Happening::Rebuild),
    ]
}

/// A store and its twin, which went ways of their own behind the tenth event. Some sales of each are parked.
fn twins(name: &str, number: u64) -> [History; 2] {
    let mut store = History::open(name, number + 1, None);
    let sell = |store: &mut History, first: u64, last: u64, twin: u64| {
        for sale in first..=last {
            let id = u128::from(number + 1) << 64 | u128::from(twin + sale);
            let receipt_no = if sale % 3 == 0 { u64::MAX / 4 } else { twin + sale * 2 };
            push_sale(store, id, told(id, receipt_no, "2026-03-01", 40));
            if sale % 4 == 0 {
                let (receipt_no, date) = (twin + sale * 2 + 1, "2026-03-02");
                store.record(refund(&RefundSpec {
                    id: id | 1 << 40,
                    sale: id,
                    receipt_no,
                    date,
                    ..RefundSpec::default()
                }));
            }
        }
    };
    sell(&mut store, 1, 8, 0);
    let mut twin = store.clone();
    sell(&mut store, 9, 16, 0);
    sell(&mut twin, 9, 13, 1_000);
    [store, twin]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_people_do_the_sums_are_those_of_what_counts(happenings in vec(happening(), 0..60)) {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        let stores = [twins("a", 0), twins("b", 1)];
        let mut sent = [0; 2];
        let mut fixes = 0;
        for happening in happenings {
            let number = |pick: u8| i64::from(pick) % 12 + 1;
            match happening {
                Happening::Send(store, count, old) => {
                    let store = usize::from(store) % stores.len();
                    let end = (sent[store] + count).min(stores[store][0].events.len());
                    if end > sent[store] {
                        let job = stores[store][0].batch(sent[store] + 1, end);
                        apply_batch(&mut ledger, if old { as_known_by_older(job, SALES_ONLY) } else { job });
                        sent[store] = end;
                    }
                }
                Happening::Fork(store) => {
                    let store = usize::from(store) % stores.len();
                    if sent[store] == stores[store][0].events.len() {
                        apply_batch(&mut ledger, stores[store][1].all());
                    }
                }
                Happening::Replay => drop(replay(&mut ledger, no_filter())),
                Happening::Retry(pick) => drop(replay(&mut ledger, ParkedFilter { numbers: vec![number(pick)], ..no_filter() })),
                Happening::Waive(pick) => drop(waive(&mut ledger, number(pick))),
                Happening::Fix(pick) => {
                    let parked_no = number(pick);
                    if ledger.parked_event(parked_no).expect("readable").is_some() {
                        let mut event = said(&ledger, parked_no);
                        fixes += 1;
                        event["receipt_no"] = json!(5_000 + fixes);
                        event["business_date"] = json!(format!("2026-03-0{}", 1 + fixes % 4));
                        drop(fix(&mut ledger, parked_no, json!({ "event": event })));
                    }
                }
                Happening::Step => drop(ledger.roll_up(1, NOW).expect("well")),
                Happening::Rebuild => drop(ledger.mark_roll_ups(DateRange::default()).expect("well")),
            }
        }
        apply_batch(&mut ledger, stores[0][0].all());
        roll_up(&ledger);
        right(&ledger);
        let followed = held(&ledger);
        ledger.mark_roll_ups(DateRange::default()).expect("well");
        roll_up(&ledger);
        prop_assert_eq!(&held(&ledger), &followed);
        right(&ledger);
        books_balance(&ledger);
        let days = ledger.totals(&TotalsFilter::default()).expect("readable");
        let of_days = days.iter().map(|day| day.gross_minor).sum::<i64>();
        let of_hours: i64 = followed.iter().filter(|(key, _)| key.starts_with("hour")).map(|(_, row)| row[3]).sum();
        prop_assert_eq!(of_hours, of_days);
    }
}
