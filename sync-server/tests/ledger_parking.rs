//! What people do about parked events: try again, fix, waive, on every home of the ledger.

mod support;

use pos_model::{Money, SaleId, Seq};
use protocol::latest::{Event, EventBody, StockMovement, encode_event};
use serde_json::{Value, json};
use support::counter::{RefundSpec, as_known_by_older, refund, stock_moved};
use support::parking::*;
use support::*;
use sync_server::ledger::{
    ActionKind, AlertKind, ParkedFilter, ParkedRefused, ParkedState, SqliteLedger, TotalsFilter,
};
use uuid::Uuid;

fn open(ledger: &dyn Home) -> Vec<(u64, String)> {
    let events = ledger.parked(&ParkedFilter { state: Some(ParkedState::Open), ..no_filter() }).expect("readable");
    events.into_iter().map(|event| (event.seq.get(), event.reason)).collect()
}

fn history(ledger: &dyn Home, parked_no: i64) -> Vec<ActionKind> {
    ledger.parked_actions(parked_no).expect("readable").into_iter().map(|action| action.what).collect()
}

fn gross(ledger: &dyn Home) -> i64 {
    ledger.totals(&TotalsFilter::default()).expect("readable").iter().map(|day| day.gross_minor).sum()
}

/// Applied and parked events, and the kinds of alerts.
fn counts(ledger: &dyn Home, store: &str) -> (i64, i64, Vec<AlertKind>) {
    let store = ledger.store(&store_id(store)).expect("readable").expect("known");
    (store.applied_events, store.parked_events, store.alerts.iter().map(|alert| alert.kind).collect())
}

/// A sale whose receipt number cannot be one, so that it is parked.
fn unprintable(id: u128) -> SaleSpec {
    SaleSpec { id, receipt_no: u64::MAX / 4, ..SaleSpec::default() }
}

#[test]
fn a_replay_ends_where_the_events_would_have_ended_that_were_never_parked() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 3);
        a.record(refund(&RefundSpec { sale: 1, receipt_no: 4, ..RefundSpec::default() }));
        a.sell(&SaleSpec { id: 1, receipt_no: 5, ..SaleSpec::default() });
        a.record(stock_moved(7, StockMovement::Received));
        apply_batch(ledger, as_known_by_older(a.all(), ONLY_EPOCHS));
        assert_eq!((open(ledger).len(), gross(ledger)), (6, 0));
        let done = replay(ledger, no_filter());
        assert_eq!((done.looked_at, done.applied, done.next), (6, 6, None));
        assert_eq!((open(ledger), gross(ledger)), (vec![], 800));
        assert_eq!(counts(ledger, "a").0, 7);
        books_balance(ledger);
        assert_eq!(replay(ledger, no_filter()).looked_at, 0, "done again, it finds nothing");
        assert_eq!(apply_batch(ledger, a.all()).applied, 0, "and the store's own replay changes nothing");
        let first = event(ledger, 1);
        assert_eq!((first.state, first.seq, first.bytes), (ParkedState::Applied, Seq::new(2), a.events[1].clone()));
        assert_eq!(history(ledger, 1), [ActionKind::Applied]);
    });
}

#[test]
fn a_replay_judges_ids_as_always_and_leaves_the_reason_that_holds_then() {
    each_home(|ledger| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        a.sell(&SaleSpec { id: 1, gross: 300, ..SaleSpec::default() });
        b.sell(&SaleSpec { id: 1, gross: 400, ..SaleSpec::default() });
        apply_batch(ledger, as_known_by_older(a.all(), ONLY_EPOCHS));
        apply_batch(ledger, b.all());
        let done = replay(ledger, no_filter());
        assert_eq!((done.looked_at, done.applied), (1, 0));
        assert_eq!(open(ledger), [(2, "sale_id_conflict".into())]);
        assert_eq!(history(ledger, 1), [ActionKind::Tried]);
        assert_eq!(gross(ledger), 400);
        books_balance(ledger);
    });
}

#[test]
fn a_replay_takes_what_its_filter_picks() {
    #[track_caller]
    fn check(filter: &ParkedFilter, looked_at: usize, applied: usize) {
        each_home(|ledger| {
            let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
            a.sell_many(1, 2);
            a.record(stock_moved(7, StockMovement::Received));
            b.sell(&unprintable(50));
            b.sell(&SaleSpec { id: 51, ..SaleSpec::default() });
            ledger.apply(&[as_known_by_older(a.all(), ONLY_EPOCHS)], NOW).expect("well");
            ledger.apply(&[b.batch(1, 2)], NOW + 1).expect("well");
            ledger.apply(&[as_known_by_older(b.batch(3, 3), ONLY_EPOCHS)], NOW + 1).expect("well");
            assert_eq!(open(ledger).len(), 5);
            let done = replay(ledger, filter.clone());
            assert_eq!((done.looked_at, done.applied), (looked_at, applied), "{filter:?}");
            books_balance(ledger);
        });
    }
    check(&no_filter(), 5, 4);
    check(&ParkedFilter { store: Some(store_id("b")), ..no_filter() }, 2, 1);
    check(&ParkedFilter { reason: Some("malformed".into()), ..no_filter() }, 1, 0);
    check(&ParkedFilter { kind: Some("sale_completed".into()), ..no_filter() }, 4, 3);
    check(&ParkedFilter { kind: Some("stock_moved".into()), store: Some(store_id("a")), ..no_filter() }, 1, 1);
    check(&ParkedFilter { parked_from_ms: Some(NOW + 1), ..no_filter() }, 2, 1);
    check(&ParkedFilter { parked_before_ms: Some(NOW + 1), ..no_filter() }, 3, 3);
    check(&ParkedFilter { numbers: vec![5, 1, 99, 1], ..no_filter() }, 2, 2);
    check(&ParkedFilter { numbers: vec![4], after: 4, ..no_filter() }, 0, 0);
    check(&ParkedFilter { reason: Some("fork".into()), ..no_filter() }, 0, 0);
}

#[test]
fn a_replay_goes_on_where_it_was_interrupted() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 620);
        for first in (1..=a.events.len()).step_by(300) {
            apply_batch(ledger, as_known_by_older(a.batch(first, (first + 299).min(a.events.len())), ONLY_EPOCHS));
        }
        let first = replay(ledger, no_filter());
        assert_eq!((first.applied, first.next), (500, Some(500)));
        books_balance(ledger);
        // Whoever was interrupted begins anew, and not where the first one was.
        let second = replay(ledger, no_filter());
        assert_eq!((second.applied, second.next), (120, None));
        assert_eq!((gross(ledger), counts(ledger, "a").1), (62_000, 0));
        books_balance(ledger);
    });
}

#[test]
fn a_fixed_sale_counts_once_under_the_place_of_the_original() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&unprintable(1));
        a.sell(&SaleSpec { id: 2, receipt_no: 2, gross: 70, ..SaleSpec::default() });
        apply_batch(ledger, a.all());
        assert_eq!(open(ledger), [(2, "malformed".into())]);
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["receipt_no"] = json!(1);
        assert_eq!(fix(ledger, 1, content.clone()), Ok(()));
        assert_eq!((open(ledger), gross(ledger)), (vec![], 570));
        assert_eq!(counts(ledger, "a"), (3, 0, vec![]), "nothing is missing, and nothing waits");
        books_balance(ledger);
        let sale = ledger.sale(&SaleId::new(Uuid::from_u128(1))).expect("readable").expect("applied");
        assert_eq!((sale.seq, sale.hash, sale.sale.receipt_no), (Seq::new(2), a.hashes[1], 1));
        let fixed = event(ledger, 1);
        assert_eq!((fixed.state, &fixed.bytes, fixed.hash), (ParkedState::Fixed, &a.events[1], a.hashes[1]));
        assert!(fixed.fixed.is_some_and(|bytes| bytes != a.events[1]));
        let mut seen = Vec::new();
        ledger.each_sale(&TotalsFilter::default(), &mut |_, sale| seen.push(sale.receipt_no)).expect("readable");
        assert_eq!(seen, [1, 2]);
        assert_eq!(fix(ledger, 1, content), Err(ParkedRefused::Fixed(1)));
        assert_eq!(waive(ledger, 1), Err(ParkedRefused::Fixed(1)));
        assert_eq!(replay(ledger, ParkedFilter { numbers: vec![1], ..no_filter() }).looked_at, 0);
        let actions = ledger.parked_actions(1).expect("readable");
        let said: Vec<_> =
            actions.iter().map(|one| (one.what, one.who.as_str(), one.why.as_str(), one.at_ms)).collect();
        assert_eq!(said, [(ActionKind::Fixed, "Li Na", "ticket 88", NOW + 7)]);
        // The store goes on as if nothing had been.
        a.sell(&SaleSpec { id: 3, receipt_no: 3, ..SaleSpec::default() });
        let outcome = apply_batch(ledger, a.all());
        assert_eq!((outcome.applied, outcome.forked), (1, false));
        books_balance(ledger);
    });
}

#[test]
fn a_fixed_sale_settles_the_refunds_that_waited_for_it() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&unprintable(1));
        a.record(refund(&RefundSpec { sale: 1, gross: 600, receipt_no: 1, ..RefundSpec::default() }));
        apply_batch(ledger, a.all());
        assert_eq!(counts(ledger, "a").2, [AlertKind::RefundsWithoutSale, AlertKind::Parked]);
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["receipt_no"] = json!(2);
        assert_eq!(fix(ledger, 1, content), Ok(()));
        assert_eq!(counts(ledger, "a").2, [AlertKind::OverRefunds]);
        books_balance(ledger);
    });
}

#[test]
fn a_sale_that_could_not_be_read_settles_the_refunds_that_waited_for_it() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.push_bytes(b"not an event".to_vec());
        a.record(refund(&RefundSpec { sale: 1, gross: 300, receipt_no: 1, ..RefundSpec::default() }));
        apply_batch(ledger, a.all());
        let told = sale(&SaleSpec { id: 1, receipt_no: 2, ..SaleSpec::default() });
        let content = json!({
            "event": serde_json::to_value(EventBody::from(told)).expect("JSON"),
            "event_id": Uuid::from_u128(9),
            "recorded_at": { "utc_ms": NOW, "offset_s": 0 },
            "kind": "sale_completed",
        });
        assert_eq!(fix(ledger, 1, content), Ok(()));
        assert_eq!(counts(ledger, "a").2, []);
        books_balance(ledger);
    });
}

#[test]
fn an_event_of_another_history_counts_when_somebody_says_so() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 2);
        let mut twin = a.clone();
        a.sell_many(3, 1);
        twin.sell_many(103, 2);
        apply_batch(ledger, a.all());
        apply_batch(ledger, twin.all());
        assert_eq!(open(ledger), [(4, "fork".into()), (5, "fork".into())]);
        assert_eq!(replay(ledger, no_filter()).applied, 0, "nobody can tell by itself which of two histories is right");
        let content = json!({ "event": said(ledger, 1), "seq": 4, "store_id": "a" });
        assert_eq!(fix(ledger, 1, content.clone()), Ok(()));
        assert_eq!((gross(ledger), counts(ledger, "a").0), (400, 5));
        assert_eq!(open(ledger), [(5, "fork".into())]);
        books_balance(ledger);
        let again = apply_batch(ledger, twin.all());
        assert_eq!((again.forked, again.through), (true, twin.mark()));
        assert_eq!((open(ledger).len(), gross(ledger)), (1, 400), "what was fixed is not parked again");
        assert_eq!(fix(ledger, 1, content), Err(ParkedRefused::Fixed(1)));
        let mut gross_seen = 0;
        ledger
            .each_sale(&TotalsFilter::default(), &mut |_, sale| gross_seen += sale.totals.gross_minor.minor())
            .expect("readable");
        assert_eq!(gross_seen, 400);
        a.sell_many(5, 1);
        assert_eq!(apply_batch(ledger, a.all()).applied, 1, "the numbers of events go on behind it");
        let content = json!({ "event": said(ledger, 2) });
        assert_eq!(fix(ledger, 2, content), Ok(()));
        assert_eq!(counts(ledger, "a").1, 0);
        books_balance(ledger);
    });
}

#[test]
fn what_says_which_event_it_is_stays() {
    // Two parked sales: number 1 has an unprintable receipt, number 2 an id that is another store's.
    #[track_caller]
    fn check(parked_no: i64, change: impl Fn(&mut Value), expected: impl Fn(&Result<(), ParkedRefused>) -> bool) {
        each_home(|ledger| {
            let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
            b.sell(&SaleSpec { id: 60, gross: 9, ..SaleSpec::default() });
            a.sell(&unprintable(1));
            a.sell(&SaleSpec { id: 60, receipt_no: 2, ..SaleSpec::default() });
            apply_batch(ledger, b.all());
            apply_batch(ledger, a.all());
            let mut content = json!({ "event": said(ledger, parked_no) });
            if parked_no == 1 {
                content["event"]["receipt_no"] = json!(1);
            }
            change(&mut content);
            let before = (gross(ledger), open(ledger));
            let done = fix(ledger, parked_no, content);
            assert!(expected(&done), "{done:?}");
            assert!(done.is_ok() || before == (gross(ledger), open(ledger)), "a refusal changes nothing");
            assert!(done.is_ok() || history(ledger, parked_no).is_empty());
            books_balance(ledger);
        });
    }
    type Done = Result<(), ParkedRefused>;
    fn identity(part: &'static str) -> impl Fn(&Done) -> bool {
        move |done| matches!(done, Err(ParkedRefused::Identity { what, .. }) if *what == part)
    }
    check(1, |_| {}, Result::is_ok);
    check(1, |content| content["parked_no"] = json!(2), identity("number"));
    check(1, |content| content["store_id"] = json!("b"), identity("store"));
    check(1, |content| content["epoch"] = json!("0000000000000009"), identity("epoch"));
    check(1, |content| content["epoch"] = json!("0000000000000001"), Result::is_ok);
    check(1, |content| content["seq"] = json!(3), identity("number in the epoch"));
    check(1, |content| content["event_id"] = json!(Uuid::from_u128(5)), identity("id"));
    check(1, |content| content["kind"] = json!("stock_moved"), identity("kind"));
    let later = json!({ "utc_ms": 5, "offset_s": 0 });
    check(1, |content| content["recorded_at"] = later.clone(), identity("time at which it was recorded"));
    let new_id = json!(Uuid::from_u128(77));
    let fact = |done: &Done| matches!(done, Err(ParkedRefused::FactId { .. }));
    check(1, |content| content["event"]["sale_id"] = new_id.clone(), fact);
    check(2, |content| content["event"]["sale_id"] = new_id.clone(), Result::is_ok);
    let refused = |word: &'static str| move |done: &Done| matches!(done, Err(ParkedRefused::StillRefused { reason, .. }) if reason == word);
    check(2, |_| {}, refused("sale_id_conflict"));
    check(1, |content| content["event"]["receipt_no"] = json!(u64::MAX / 8), refused("malformed"));
    let unreadable = |done: &Done| matches!(done, Err(ParkedRefused::Unreadable(_)));
    check(1, |content| content["event"]["currency"] = json!(7), unreadable);
    check(1, |content| content["event"] = json!([]), unreadable);
    check(1, |content| content["event"]["lines"][0]["name"] = json!("a".repeat(60_000)), unreadable);
}

/// A slip in it would count for good.
#[test]
fn what_a_person_writes_must_agree_with_itself() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&unprintable(1));
        apply_batch(ledger, a.all());
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["receipt_no"] = json!(1);
        let slips = [
            ("/totls", json!({ "gross_minor": 1 }), "it says totls,"),
            ("/lines/0/nmae", json!("Tea"), "it says lines.0.nmae,"),
            ("/totals/gross_minor", json!(999_999), "totals.gross_minor is 999999"),
            ("/totals/tax_minor", json!(1), "totals.tax_minor is 1"),
            ("/totals/net_minor", json!(0), "totals.net_minor is 0"),
            ("/lines/0/gross_minor", json!(600), "come to 600"),
            ("/lines/0/gross_minor", json!(-500), "gross of line 1 is below zero"),
            ("/lines/0/quantity", json!(-5), "quantity of line 1 is below zero"),
            ("/lines", json!([]), "no lines"),
            ("/tenders", json!([]), "what was paid"),
        ];
        for (path, value, words) in slips {
            let mut slipped = content.clone();
            let (above, name) = path.rsplit_once('/').expect("a path");
            slipped["event"].pointer_mut(above).expect("it is there")[name] = value;
            let done = fix(ledger, 1, slipped);
            assert!(matches!(&done, Err(ParkedRefused::Unreadable(said)) if said.contains(words)), "{path}: {done:?}");
        }
        assert_eq!((gross(ledger), open(ledger).len(), history(ledger, 1).len()), (0, 1, 0));
        content["event"]["basket_id"] = json!(null);
        assert_eq!(fix(ledger, 1, content), Ok(()));
        books_balance(ledger);
    });
}

#[test]
fn what_cannot_be_read_is_fixed_by_who_says_it_all() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.push_bytes(b"not an event".to_vec());
        apply_batch(ledger, a.all());
        let told = sale(&SaleSpec::default());
        let mut content = json!({ "event": serde_json::to_value(EventBody::from(told)).expect("JSON") });
        assert_eq!(fix(ledger, 1, content.clone()), Err(ParkedRefused::Missing("id")));
        content["event_id"] = json!(Uuid::from_u128(9));
        assert_eq!(fix(ledger, 1, content.clone()), Err(ParkedRefused::Missing("time")));
        content["recorded_at"] = json!({ "utc_ms": NOW, "offset_s": 0 });
        assert_eq!(fix(ledger, 1, content.clone()), Err(ParkedRefused::Missing("kind")));
        content["kind"] = json!("dance");
        assert!(matches!(fix(ledger, 1, content.clone()), Err(ParkedRefused::Unreadable(_))));
        content["kind"] = json!("sale_completed");
        assert_eq!(fix(ledger, 1, content), Ok(()));
        assert_eq!((gross(ledger), event(ledger, 1).bytes.as_slice()), (500, b"not an event".as_slice()));
        books_balance(ledger);
    });
}

#[test]
fn what_was_applied_meanwhile_is_not_fixed_or_waived() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 1);
        apply_batch(ledger, as_known_by_older(a.all(), ONLY_EPOCHS));
        let content = json!({ "event": said(ledger, 1) });
        replay(ledger, no_filter());
        assert_eq!(fix(ledger, 1, content.clone()), Err(ParkedRefused::Applied(1)));
        assert_eq!(waive(ledger, 1), Err(ParkedRefused::Applied(1)));
        assert_eq!(fix(ledger, 2, content), Err(ParkedRefused::Unknown(2)));
        assert_eq!(waive(ledger, 2), Err(ParkedRefused::Unknown(2)));
        assert_eq!(gross(ledger), 100);
        books_balance(ledger);
    });
}

#[test]
fn a_waived_event_waits_for_nobody_until_it_is_tried_again() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell(&unprintable(1));
        apply_batch(ledger, a.all());
        apply_batch(
            ledger,
            as_known_by_older(
                {
                    a.sell_many(2, 1);
                    a.all()
                },
                ONLY_EPOCHS,
            ),
        );
        apply(ledger, a.heartbeat(1));
        let backlog = |ledger: &dyn Home| {
            let store = ledger.store(&store_id("a")).expect("readable").expect("known");
            store.health.map(|health| health.backlog_events)
        };
        assert_eq!((counts(ledger, "a").1, backlog(ledger)), (2, Some(1)));
        assert_eq!((waive(ledger, 1), waive(ledger, 2)), (Ok(()), Ok(())));
        assert_eq!(waive(ledger, 1), Err(ParkedRefused::Waived(1)));
        assert_eq!((counts(ledger, "a"), open(ledger)), ((1, 0, vec![]), vec![]));
        assert_eq!(ledger.parked_backlog().expect("readable").open, 0);
        assert_eq!(backlog(ledger), Some(1), "what the store holds is not changed by it");
        books_balance(ledger);
        assert_eq!(replay(ledger, no_filter()).looked_at, 0, "what is waived is left alone");
        let named = replay(ledger, ParkedFilter { numbers: vec![1, 2], ..no_filter() });
        assert_eq!((named.looked_at, named.applied), (2, 1), "unless it is named");
        assert_eq!((counts(ledger, "a").0, open(ledger)), (2, vec![(2, "malformed".into())]));
        assert_eq!(history(ledger, 1), [ActionKind::Waived, ActionKind::Tried]);
        assert_eq!(history(ledger, 2), [ActionKind::Waived, ActionKind::Applied]);
        assert_eq!(backlog(ledger), Some(1));
        books_balance(ledger);
        // And one that is waived can still be fixed.
        assert_eq!(waive(ledger, 1), Ok(()));
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["receipt_no"] = json!(1);
        assert_eq!(fix(ledger, 1, content), Ok(()));
        assert_eq!(counts(ledger, "a"), (3, 0, vec![]));
        books_balance(ledger);
    });
}

#[test]
fn a_waived_event_of_another_agent_is_no_fork_that_waits() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        let mut twin = a.clone();
        a.sell_many(1, 1);
        twin.sell(&SaleSpec { id: 101, receipt_no: 1, ..SaleSpec::default() });
        apply_batch(ledger, a.all());
        apply_batch(ledger, twin.all());
        assert_eq!(counts(ledger, "a").1, 1);
        assert_eq!(waive(ledger, 1), Ok(()));
        assert_eq!(counts(ledger, "a"), (2, 0, vec![]));
        apply_batch(ledger, twin.all());
        assert_eq!(counts(ledger, "a"), (2, 0, vec![]), "it is known when it comes again");
        books_balance(ledger);
    });
}

#[test]
fn the_receipt_of_a_parked_sale_is_given_and_not_missing() {
    // A sale with receipt 2 is parked between 1 and 3; the group is one, or one for each event.
    #[track_caller]
    fn check(parked: impl Fn(&mut History), reason: &str, at_once: bool) {
        each_home(|ledger| {
            let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
            b.sell(&SaleSpec { id: 60, gross: 9, ..SaleSpec::default() });
            apply_batch(ledger, b.all());
            a.sell(&SaleSpec { id: 1, receipt_no: 1, ..SaleSpec::default() });
            parked(&mut a);
            a.sell(&SaleSpec { id: 3, receipt_no: 3, ..SaleSpec::default() });
            if at_once {
                apply_batch(ledger, a.all());
            } else {
                (1..=a.events.len()).for_each(|seq| drop(apply_batch(ledger, a.batch(seq, seq))));
            }
            assert_eq!(open(ledger), [(3, reason.to_owned())]);
            assert_eq!(counts(ledger, "a").2, [AlertKind::Parked]);
            assert_eq!(ledger.receipt_gaps(&store_id("a"), 10).expect("readable"), []);
            books_balance(ledger);
            assert_eq!(waive(ledger, 1), Ok(()));
            assert_eq!(counts(ledger, "a").2, [], "waived, it is given all the same");
            books_balance(ledger);
        });
    }
    for at_once in [true, false] {
        let again = |a: &mut History| a.sell(&SaleSpec { id: 60, receipt_no: 2, ..SaleSpec::default() });
        check(again, "sale_id_conflict", at_once);
        let too_much =
            |a: &mut History| a.sell(&SaleSpec { id: 61, receipt_no: 2, gross: i64::MAX, ..SaleSpec::default() });
        check(too_much, "does_not_fit", at_once);
        let lines = |a: &mut History| {
            let mut long = sale(&SaleSpec { id: 62, receipt_no: 2, ..SaleSpec::default() });
            long.tenders.clear();
            long.totals.gross_minor = Money::from_minor(i64::MAX);
            let event = Event { id: event_id(62), at: stamp(), body: EventBody::SaleCompleted(Box::new(long)) };
            a.push_bytes(encode_event(&event).expect("encodes"));
        };
        check(lines, "does_not_fit", at_once);
    }
}

#[test]
fn a_receipt_that_was_given_when_its_sale_was_parked_is_not_given_twice_when_it_counts() {
    each_home(|ledger| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        b.sell(&SaleSpec { id: 60, gross: 9, ..SaleSpec::default() });
        apply_batch(ledger, b.all());
        a.sell(&SaleSpec { id: 60, receipt_no: 1, ..SaleSpec::default() });
        a.sell(&SaleSpec { id: 61, receipt_no: 2, ..SaleSpec::default() });
        // The same number once more, by another sale: that one is the double.
        a.sell(&SaleSpec { id: 62, receipt_no: 1, ..SaleSpec::default() });
        apply_batch(ledger, a.all());
        let doubles = |ledger: &dyn Home| {
            let doubles = ledger.duplicate_receipts(&store_id("a"), 10).expect("readable");
            doubles.into_iter().map(|one| (one.receipt_no, one.sale_id)).collect::<Vec<_>>()
        };
        let double = [(1, Some(SaleId::new(Uuid::from_u128(62))))];
        assert_eq!(doubles(ledger), double);
        let mut content = json!({ "event": said(ledger, 1) });
        content["event"]["sale_id"] = json!(Uuid::from_u128(63));
        assert_eq!(fix(ledger, 1, content), Ok(()));
        assert_eq!(doubles(ledger), double, "its own number was its own before");
        assert_eq!(counts(ledger, "a").2, [AlertKind::DuplicateReceipts]);
        books_balance(ledger);
    });
}

#[test]
fn what_one_poisoned_event_costs_the_others_does_not_grow_with_them() {
    each_home(|ledger| {
        let mut jobs = Vec::new();
        let mut stores: Vec<_> =
            (0..40u64).map(|number| History::open(&format!("s{number}"), number + 1, None)).collect();
        for (store, first) in stores.iter_mut().zip((0..).step_by(100)) {
            for number in 1..=20 {
                let id = first + u128::from(number);
                store.sell(&SaleSpec { id, receipt_no: number, gross: 1, ..SaleSpec::default() });
            }
        }
        // Alone it fits; with the others of its day it does not.
        stores[17].sell(&SaleSpec { id: 99_999, receipt_no: 21, gross: i64::MAX, ..SaleSpec::default() });
        jobs.extend(stores.iter().map(History::all));
        let outcomes = ledger.apply(&jobs, NOW).expect("the database is well");
        assert_eq!(outcomes.len(), 40);
        assert_eq!((open(ledger), gross(ledger)), (vec![(22, "does_not_fit".into())], 800));
        assert_eq!(counts(ledger, "s17").1, 1);
        books_balance(ledger);
    });
}

#[test]
fn what_was_done_is_only_added_to_and_who_tampers_with_it_is_found() {
    let filled = || {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        let mut a = History::open("a", 1, None);
        let mut twin = a.clone();
        a.sell(&unprintable(1));
        a.sell(&unprintable(2));
        twin.sell(&SaleSpec { id: 3, ..SaleSpec::default() });
        apply_batch(&mut ledger, a.all());
        apply_batch(&mut ledger, twin.all());
        let mut content = json!({ "event": said(&ledger, 1) });
        content["event"]["receipt_no"] = json!(1);
        assert_eq!(fix(&mut ledger, 1, content), Ok(()));
        assert_eq!(waive(&mut ledger, 2), Ok(()));
        let content = json!({ "event": said(&ledger, 3) });
        assert_eq!(fix(&mut ledger, 3, content), Ok(()));
        books_balance(&ledger);
        ledger.into_connection()
    };
    let connection = filled();
    for change in [
        "UPDATE parked_actions SET who = 'somebody else'",
        "DELETE FROM parked_actions",
        "UPDATE superseding SET bytes = original",
        "DELETE FROM superseding",
    ] {
        let error = connection.execute_batch(change).expect_err("refused").to_string();
        assert!(error.contains("only ever added"), "{change}: {error}");
    }
    let check = |damage: &str, what: &str| {
        let connection = filled();
        let triggers = "DROP TRIGGER parked_actions_stay; DROP TRIGGER parked_actions_are_kept;
            DROP TRIGGER superseding_stays; DROP TRIGGER superseding_is_kept;";
        connection.execute_batch(&format!("{triggers} {damage}")).expect("writable");
        let ledger = SqliteLedger::from_connection(connection).expect("opens");
        let report = sync_server::ledger::Books::verify(&ledger).expect("readable");
        let found = report.differences.iter().any(|difference| difference.what.contains(what));
        assert!(found, "{damage}: {:?}", report.differences);
    };
    check("UPDATE superseding SET bytes = original", "content of the fixed event 1");
    check("UPDATE superseding SET original = bytes", "original of the fixed event 1");
    check("UPDATE superseding SET original = x'00', bytes = x'00' WHERE is_beside", "original of the fixed event 3");
    check("DELETE FROM superseding WHERE parked_no = 1", "content of the fixed event 1");
    check("UPDATE parked_actions SET who = 'somebody else' WHERE parked_no = 2", "action 2 about the parked event 2");
    check("UPDATE parked_actions SET why = '' WHERE what = 'fixed'", "about the parked event 1");
    check("DELETE FROM parked_actions WHERE parked_no = 1", "action that fixed the parked event 1");
    check("DELETE FROM parked_actions WHERE parked_no = 2", "state of the parked event 2");
    check("UPDATE parked SET state = 'waived' WHERE parked_no = 3", "state of the parked event 3");
    check("UPDATE parked SET state = 'open' WHERE parked_no = 2", "parked events of store a");
    check("UPDATE sales SET gross_minor = 1 WHERE seq = 2", "gross_minor of sale");
}
