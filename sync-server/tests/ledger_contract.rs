//! What every home of the ledger does, message by message.

mod support;

use pos_model::{ChainHash, Epoch, Money, Quantity, SaleId, Seq};
use protocol::latest::{
    Consumption, Cursor, EpochReport, Event, EventBody, Hello, Mark, ReceiptHead, StoreHealth, Uplink, encode_event,
};
use support::*;
use sync_server::ledger::{
    AlertKind, Books, Job, LedgerError, ParkedFilter, RECEIPT_HEADS_MAX, SqliteLedger, TotalsFilter,
};
use uuid::Uuid;

fn parked_reasons(ledger: &dyn Home) -> Vec<(u64, String)> {
    let filter = ParkedFilter { limit: 100, ..ParkedFilter::default() };
    let parked = ledger.parked(&filter).expect("readable");
    parked.into_iter().map(|event| (event.seq.get(), event.reason)).collect()
}

fn applied_sales(ledger: &dyn Home) -> i64 {
    ledger.stores().expect("readable").iter().map(|store| store.applied_sales).sum()
}

fn gross(ledger: &dyn Home) -> i64 {
    ledger.totals(&TotalsFilter::default()).expect("readable").iter().map(|day| day.gross_minor).sum()
}

fn alerts(ledger: &dyn Home, store: &str) -> Vec<(AlertKind, i64)> {
    let store = ledger.store(&store_id(store)).expect("readable").expect("known");
    store.alerts.iter().map(|alert| (alert.kind, alert.count)).collect()
}

#[test]
fn a_batch_is_applied_once() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 5);
        let first = apply_batch(ledger, a.all());
        assert_eq!((first.applied, first.through, first.cursor), (6, a.mark(), a.mark()));
        assert_eq!((first.parked.len(), first.forked, first.rewind), (0, false, false));
        for _ in 0..3 {
            let again = apply_batch(ledger, a.all());
            assert_eq!((again.applied, again.through, again.cursor), (0, a.mark(), a.mark()));
        }
        assert_eq!((applied_sales(ledger), gross(ledger)), (5, 500));
        books_balance(ledger);
    });
}

#[test]
fn what_a_batch_means_for_the_cursor() {
    // The ledger holds events 1 to 4; a batch of the same history arrives.
    #[track_caller]
    fn check(from: usize, to: usize, applied: u64, cursor: usize, rewind: bool) {
        each_home(|ledger| {
            let mut a = History::open("a", 1, None);
            a.sell_many(1, 9);
            apply_batch(ledger, a.batch(1, 4));
            let outcome = apply_batch(ledger, a.batch(from, to));
            let cursor = a.mark_at(cursor);
            let through = if rewind { cursor } else { a.mark_at(to) };
            assert_eq!((outcome.applied, outcome.cursor, outcome.rewind), (applied, cursor, rewind));
            assert_eq!((outcome.through, outcome.forked), (through, false));
            books_balance(ledger);
        });
    }
    check(5, 7, 3, 7, false);
    check(1, 4, 0, 4, false);
    check(2, 3, 0, 4, false);
    check(1, 9, 5, 9, false);
    check(4, 5, 1, 5, false);
    check(6, 7, 0, 4, true);
}

#[test]
fn an_epoch_never_heard_of_begins_at_one() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 4);
        let ahead = apply_batch(ledger, a.batch(3, 4));
        let nothing = Mark { seq: Seq::ZERO, hash: ChainHash::GENESIS };
        assert_eq!((ahead.rewind, ahead.applied, ahead.through, ahead.cursor), (true, 0, nothing, nothing));
        assert_eq!(apply_batch(ledger, a.all()).applied, 5);
    });
}

#[test]
fn another_history_at_the_same_place_is_parked_beside_it() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 3);
        let mut twin = a.clone();
        a.sell_many(4, 2);
        twin.sell_many(104, 3);
        apply_batch(ledger, a.all());
        let fork = apply_batch(ledger, twin.batch(2, 7));
        assert_eq!((fork.forked, fork.applied, fork.through, fork.cursor), (true, 0, twin.mark(), a.mark()));
        assert_eq!(fork.parked.iter().map(|seq| seq.get()).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(apply_batch(ledger, twin.batch(2, 7)), fork, "a replay of the fork is absorbed");
        assert_eq!(parked_reasons(ledger), [(5, "fork".into()), (6, "fork".into()), (7, "fork".into())]);
        let parked = ledger.parked_event(2).expect("readable").expect("parked");
        assert_eq!((parked.bytes, parked.hash), (twin.events[5].clone(), twin.hashes[5]));
        assert_eq!(applied_sales(ledger), 5);
        a.sell_many(6, 1);
        assert_eq!(apply_batch(ledger, a.batch(7, 7)).applied, 1, "the first history goes on");
        // The parked receipts are given, so those between them and the applied ones are missing.
        let gap = (AlertKind::ReceiptGaps, 97);
        assert_eq!(alerts(ledger, "a"), [(AlertKind::Fork, 3), gap, (AlertKind::Parked, 3)]);
        books_balance(ledger);
    });
}

#[test]
fn the_longer_history_of_a_fork_is_parked_batch_by_batch() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 2);
        let mut twin = a.clone();
        a.sell_many(3, 1);
        twin.sell_many(103, 6);
        apply_batch(ledger, a.all());
        let ahead = apply_batch(ledger, twin.batch(6, 7));
        assert_eq!((ahead.rewind, ahead.forked), (true, false), "what lies between is not there");
        for (first, last, parked) in [(3, 5, 2), (6, 7, 2), (8, 9, 2), (6, 7, 2)] {
            let fork = apply_batch(ledger, twin.batch(first, last));
            assert_eq!((fork.forked, fork.rewind, fork.applied, fork.parked.len()), (true, false, 0, parked));
            assert_eq!(fork.through, twin.mark_at(last));
        }
        assert_eq!(parked_reasons(ledger).len(), 6, "doubles are absorbed");
        let gap = (AlertKind::ReceiptGaps, 99);
        assert_eq!(alerts(ledger, "a"), [(AlertKind::Fork, 6), gap, (AlertKind::Parked, 6)]);
        let answer = apply_hello(ledger, a.hello(vec![a.report(1)]));
        assert_eq!(answer.receipts, [receipt_head("t1", 108)], "a parked sale's receipt is printed too");
        books_balance(ledger);
    });
}

#[test]
fn t12_poison_is_parked_and_the_rest_flows() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 2);
        a.push_bytes(b"not an event".to_vec());
        a.push_bytes(vec![]);
        a.push_bytes(
            [
                b"\x84\xa2id\xc4\x10",
                &[7u8; 16][..],
                b"\xa2at\x82\xa6utc_ms\x01\xa8offset_s\x00\xa4kind\xa5dance\xa4body\x80",
            ]
            .concat(),
        );
        a.sell_many(3, 2);
        let outcome = apply_batch(ledger, a.all());
        assert_eq!((outcome.applied, outcome.cursor), (5, a.mark()));
        assert_eq!(outcome.parked.iter().map(|seq| seq.get()).collect::<Vec<_>>(), [4, 5, 6]);
        let reasons: Vec<_> = parked_reasons(ledger);
        assert_eq!(reasons, [(4, "malformed".into()), (5, "malformed".into()), (6, "unknown_kind".into())]);
        let parked = ledger.parked_event(1).expect("readable").expect("parked");
        assert_eq!((parked.bytes.as_slice(), parked.store.as_str()), (b"not an event".as_slice(), "a"));
        assert_eq!(applied_sales(ledger), 4);
        assert_eq!(apply_batch(ledger, a.all()).applied, 0);
        assert_eq!(parked_reasons(ledger).len(), 3);
        books_balance(ledger);
    });
}

#[test]
fn a_sale_id_counts_once() {
    each_home(|ledger| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        let spec = SaleSpec { id: 42, ..SaleSpec::default() };
        a.sell(&spec);
        a.sell(&spec);
        b.sell(&SaleSpec { receipt_no: 9, ..spec.clone() });
        b.sell(&SaleSpec { gross: 999, ..spec });
        let group = [a.all(), b.all()];
        let outcomes = ledger.apply(&group, NOW).expect("the database is well");
        assert_eq!(outcomes.len(), 2);
        // What another store sells is another sale, however alike.
        let conflict = "sale_id_conflict".to_owned();
        let expected = [(3, "sale_id_known".to_owned()), (2, conflict.clone()), (3, conflict)];
        assert_eq!(parked_reasons(ledger), expected);
        assert_eq!((applied_sales(ledger), gross(ledger)), (1, 500));
        let record = ledger.sale(&SaleId::new(Uuid::from_u128(42))).expect("readable").expect("applied");
        assert_eq!((record.store, record.seq, record.sale.receipt_no), (store_id("a"), Seq::new(2), 1));
        assert_eq!((record.hash, record.received_at_ms), (a.hashes[1], NOW));
        books_balance(ledger);
    });
}

/// A sale whose amounts fit alone, but not into a sum with others.
fn huge(id: u128) -> Vec<u8> {
    let mut sale = sale(&SaleSpec { id, receipt_no: 1, gross: i64::MAX - 10, ..SaleSpec::default() });
    sale.lines[0].consumption =
        vec![Consumption { item_id: "milk".parse().expect("valid"), quantity: Quantity::from_micro(i64::MAX) }];
    encode_event(&Event { id: event_id(id), at: stamp(), body: EventBody::SaleCompleted(Box::new(sale)) })
        .expect("encodes")
}

#[test]
fn sums_that_do_not_fit_are_parked_and_stop_nobody() {
    each_home(|ledger| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        a.sell_many(1, 1);
        a.push_bytes(huge(100));
        a.push_bytes(huge(101));
        a.sell_many(2, 1);
        b.sell_many(1, 3);
        let outcomes = ledger.apply(&[a.all(), b.all()], NOW).expect("the database is well");
        assert_eq!(outcomes.len(), 2);
        assert!(
            parked_reasons(ledger).iter().all(|(_, reason)| reason == "does_not_fit"),
            "{:?}",
            parked_reasons(ledger)
        );
        assert_eq!((applied_sales(ledger), gross(ledger)), (5, 500));
        // Against the sum that is in the database, not only against those of the group.
        a.push_bytes(huge(102));
        a.sell_many(3, 1);
        let outcome = apply_batch(ledger, a.batch(6, 7));
        assert_eq!((outcome.applied, outcome.parked.len(), outcome.cursor), (1, 1, a.mark()));
        assert_eq!(parked_reasons(ledger).len(), 3);
        books_balance(ledger);
    });
}

#[test]
fn a_receipt_number_that_no_till_reaches_is_parked() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        for (id, receipt_no) in [(1, 1), (2, 1_000_000_000_001), (3, u64::MAX), (4, 2)] {
            a.sell(&SaleSpec { id, receipt_no, ..SaleSpec::default() });
        }
        assert_eq!(apply_batch(ledger, a.all()).applied, 3);
        assert_eq!(parked_reasons(ledger), [(3, "malformed".into()), (4, "malformed".into())]);
        assert_eq!(alerts(ledger, "a"), [(AlertKind::Parked, 2)]);
        let answer = apply_hello(ledger, a.hello(vec![a.report(1)]));
        assert_eq!(answer.receipts, [receipt_head("t1", 2)], "tills do not go on above it");
        books_balance(ledger);
    });
}

#[test]
fn lines_whose_sum_does_not_fit_can_be_verified() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        let mut sale = sale(&SaleSpec { lines: 3, ..SaleSpec::default() });
        sale.lines.iter_mut().for_each(|line| line.gross_minor = Money::from_minor(i64::MAX));
        a.push(&Event { id: event_id(1), at: stamp(), body: EventBody::SaleCompleted(Box::new(sale)) });
        assert_eq!(apply_batch(ledger, a.all()).applied, 2);
        books_balance(ledger);
    });
}

#[test]
fn sums_that_do_not_fit_leave_the_stores_readable() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let stores = ["a", "b"];
    for (store, epoch) in stores.into_iter().zip([10, 20]) {
        let mut history = History::open(store, epoch, None);
        history.sell_many(1, 1);
        apply_batch(&mut ledger, history.all());
        let next = History::open(store, epoch + 1, Some(&history));
        apply_batch(&mut ledger, next.all());
        let last = History::open(store, epoch + 2, Some(&next));
        apply_batch(&mut ledger, last.all());
        apply(&mut ledger, last.heartbeat(0));
    }
    let connection = ledger.into_connection();
    let max = i64::MAX;
    connection
        .execute_batch(&format!(
            "UPDATE day_totals SET sales = {max}, gross_minor = {max};
            UPDATE streams SET successors = {max};
            UPDATE streams SET applied_seq = {max}, continued_at = 0 WHERE epoch % 10 = 0;
            UPDATE streams SET reported_head = {max}, applied_seq = 0 WHERE epoch % 10 = 1;
            INSERT INTO streams (store_no, epoch, applied_seq, applied_hash, base_hash, first_seen_ms, reported_head,
                    continued_at) SELECT store_no, epoch + 5, applied_seq, applied_hash, base_hash, 0, reported_head,
                    continued_at FROM streams;
            INSERT INTO losses SELECT stream_no, 1, {max}, 0 FROM streams;
            INSERT INTO receipt_runs SELECT store_no, 'far-' || epoch, {max}, {max} FROM streams;
            UPDATE store_state SET outbox_events = 0"
        ))
        .expect("writable");
    let ledger = SqliteLedger::from_connection(connection).expect("opens");
    for store in stores {
        let counts = alerts(&ledger, store);
        assert_eq!(counts.len(), 5, "{counts:?}");
        assert!(counts.iter().all(|(_, count)| *count == max), "{counts:?}");
    }
    assert_eq!(ledger.stores().expect("readable").len(), 2);
    let day = ledger.latest_day(NOW).expect("readable");
    assert_eq!((day.len(), day[0].sales, day[0].gross_minor), (1, max, max));
}

#[test]
fn the_cursors_of_a_hello() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 5);
        let fresh = apply_hello(ledger, a.hello(vec![a.report(1)]));
        let at = |applied: u64, common: Mark| Cursor { epoch: a.epoch, applied: Seq::new(applied), common };
        assert_eq!(fresh.cursors, [at(0, a.mark_at(0))]);
        apply_batch(ledger, a.batch(1, 4));
        assert_eq!(apply_hello(ledger, a.hello(vec![a.report(1)])).cursors, [at(4, a.mark_at(4))]);
        // The store was put back to a copy that ends at event 3.
        let mut copy = a.clone();
        copy.events.truncate(3);
        copy.hashes.truncate(3);
        let answer = apply_hello(ledger, copy.hello(vec![copy.report(1)]));
        assert_eq!(answer.cursors, [at(4, a.mark_at(3))]);
        assert_eq!(answer.receipts, [receipt_head("t1", 3)]);
        // One that the ledger never heard of, beside one that it did.
        let other = History::open("a", 7, Some(&copy));
        let both = apply_hello(ledger, other.hello(vec![copy.report(1), other.report(1)])).cursors;
        assert_eq!(both[0], at(4, a.mark_at(3)));
        assert_eq!((both[1].epoch, both[1].applied, both[1].common), (Epoch::new(7), Seq::ZERO, other.mark_at(0)));
    });
}

#[test]
fn a_trimmed_history_is_a_loss_and_no_obstacle() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 9);
        apply_batch(ledger, a.batch(1, 3));
        // The ledger holds 1 to 3, the store only 7 to 10: the ledger was put back, the store had trimmed.
        let answer = apply_hello(ledger, a.hello(vec![a.report(7)]));
        assert_eq!((answer.cursors[0].applied, answer.cursors[0].common), (Seq::new(6), a.mark_at(6)));
        assert_eq!(apply_batch(ledger, a.batch(7, 10)).cursor, a.mark());
        assert_eq!(alerts(ledger, "a")[0], (AlertKind::Losses, 3));
        apply_hello(ledger, a.hello(vec![a.report(7)]));
        assert_eq!(alerts(ledger, "a")[0], (AlertKind::Losses, 3), "a question that comes twice loses nothing more");
        // A copy of the store that ends within what was lost gets an answer that it can use.
        let mut copy = a.clone();
        copy.events.truncate(5);
        copy.hashes.truncate(5);
        let answer = apply_hello(ledger, copy.hello(vec![copy.report(2)]));
        assert_eq!((answer.cursors[0].applied, answer.cursors[0].common), (Seq::new(10), copy.mark_at(3)));
        // An epoch of which nothing at all is left.
        let mut gone = History::open("a", 2, Some(&a));
        gone.sell_many(20, 4);
        let answer = apply_hello(ledger, gone.hello(vec![gone.report(6)]));
        assert_eq!((answer.cursors[0].applied, answer.cursors[0].common), (Seq::new(5), gone.mark()));
        assert_eq!(alerts(ledger, "a")[0], (AlertKind::Losses, 8));
        books_balance(ledger);
    });
}

#[test]
fn what_was_lost_and_turns_up_in_an_older_copy_is_kept() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 9);
        apply_batch(ledger, a.batch(1, 3));
        apply_hello(ledger, a.hello(vec![a.report(7)]));
        apply_batch(ledger, a.batch(7, 10));
        assert_eq!(alerts(ledger, "a")[0], (AlertKind::Losses, 3));
        // The store's folder is put back to a copy that still holds 4 to 6, and something beside them.
        let cursor = apply_hello(ledger, a.hello(vec![a.report(3)])).cursors.remove(0);
        assert_eq!((cursor.applied, cursor.common), (Seq::new(10), a.mark_at(3)));
        let part = apply_batch(ledger, a.batch(4, 5));
        assert_eq!((part.through, part.cursor, part.parked.len()), (a.mark_at(5), a.mark_at(5), 2), "there is more");
        assert_eq!(apply_batch(ledger, a.batch(4, 5)), part, "a replay");
        let rest = apply_batch(ledger, a.batch(6, 8));
        assert_eq!((rest.through, rest.cursor, rest.parked.len(), rest.forked), (a.mark_at(8), a.mark(), 1, false));
        let cursor = apply_hello(ledger, a.hello(vec![a.report(3)])).cursors.remove(0);
        assert_eq!((cursor.applied, cursor.common), (Seq::new(10), a.mark()), "nothing is asked for again");
        a.sell_many(10, 1);
        let on = apply_batch(ledger, a.batch(5, 11));
        assert_eq!((on.applied, on.cursor, on.parked.len()), (1, a.mark(), 2), "the history goes on");
        assert_eq!(parked_reasons(ledger), [(4, "found".into()), (5, "found".into()), (6, "found".into())]);
        let parked = ledger.parked_event(1).expect("readable").expect("parked");
        assert_eq!((parked.bytes, parked.hash), (a.events[3].clone(), a.hashes[3]));
        books_balance(ledger);
    });
}

#[test]
fn a_report_of_which_no_agent_is_capable_moves_nothing() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 2);
        apply_batch(ledger, a.all());
        let far = 1 << 50;
        for (first_held, head) in [(9, 3), (u64::MAX, u64::MAX), (u64::MAX, 0), (far, far), (1, far)] {
            let report = EpochReport { first_held: Seq::new(first_held), head: Seq::new(head), ..a.report(1) };
            let answer = apply_hello(ledger, a.hello(vec![report]));
            assert_eq!(answer.cursors[0].applied, Seq::new(3));
        }
        apply(ledger, a.heartbeat_with(StoreHealth { head: Seq::new(far), ..a.health(0) }));
        assert_eq!(ledger.epochs(&store_id("a"), 1).expect("readable")[0].reported_head, Seq::new(3));
        assert_eq!(alerts(ledger, "a"), []);
    });
}

#[test]
fn one_message_brings_a_bounded_number_of_receipt_heads() {
    each_home(|ledger| {
        let a = History::open("a", 1, None);
        let heads = |count: usize| -> Vec<_> { (0..count).map(|till| receipt_head(&format!("t{till}"), 1)).collect() };
        let of_tills = |count: usize| StoreHealth { receipts: heads(count), ..a.health(0) };
        let (few, many) = (a.heartbeat_with(of_tills(10)), a.heartbeat_with(of_tills(30_000)));
        let bytes = a.heartbeat(0).memory_bytes();
        assert!(few.memory_bytes() >= bytes + 10 * size_of::<ReceiptHead>(), "they occupy memory");
        assert!(many.memory_bytes() < bytes + 64 * RECEIPT_HEADS_MAX, "what is left out does not");
        apply(ledger, many);
        assert_eq!(apply_hello(ledger, a.hello(vec![])).receipts.len(), RECEIPT_HEADS_MAX);
        let Uplink::Hello(hello) = a.hello_message(vec![], 0) else { unreachable!("it is one") };
        let hello = Uplink::Hello(Hello { health: of_tills(30_000), ..hello });
        let hello = Job::new(store_id("b"), hello).expect("fit");
        assert_eq!(apply_hello(ledger, hello).receipts.len(), RECEIPT_HEADS_MAX);
    });
}

#[test]
fn a_folder_put_back_is_seen() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 5);
        let copy = {
            let mut copy = a.clone();
            copy.events.truncate(3);
            copy.hashes.truncate(3);
            copy
        };
        apply_batch(ledger, a.all());
        // Two more sales were made and reported, but never sent; receipt 7 is the newest.
        a.sell_many(6, 2);
        let mut health = a.health(2);
        health.receipts = vec![receipt_head("t1", 7), receipt_head("t2", u64::MAX)];
        apply(ledger, a.heartbeat_with(health));
        assert_eq!(alerts(ledger, "a"), []);
        let mut b = History::open("a", 2, Some(&copy));
        let answer = apply_hello(ledger, b.hello(vec![copy.report(1), b.report(1)]));
        assert_eq!(answer.receipts, [receipt_head("t1", 7)], "the store goes on above what was ever reported");
        b.sell_many(8, 2);
        apply_batch(ledger, b.all());
        let alerts = alerts(ledger, "a");
        assert_eq!(alerts, [(AlertKind::WentBack, 3), (AlertKind::WentBack, 2), (AlertKind::ReceiptGaps, 2)]);
        let gaps = ledger.receipt_gaps(&store_id("a"), 10).expect("readable");
        assert_eq!((gaps.len(), gaps[0].first_no, gaps[0].last_no), (1, 6, 7));
        let epochs = ledger.epochs(&store_id("a"), 10).expect("readable");
        assert_eq!(epochs[0].previous, Some((Epoch::new(1), Seq::new(3))));
        assert_eq!((epochs[1].successors, epochs[1].reported_head, epochs[1].applied), (1, Seq::new(8), Seq::new(6)));
        books_balance(ledger);
    });
}

#[test]
fn t16_a_copied_folder_is_seen_and_both_boxes_keep_their_sales() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 3);
        apply_batch(ledger, a.all());
        let (mut b, mut c) = (History::open("a", 2, Some(&a)), History::open("a", 3, Some(&a)));
        b.sell_many(4, 2);
        for number in 4..6 {
            c.sell(&SaleSpec { id: 1000 + u128::from(number), receipt_no: number, gross: 100, ..SaleSpec::default() });
        }
        ledger.apply(&[c.all(), b.all()], NOW).expect("the database is well");
        assert_eq!(applied_sales(ledger), 7);
        assert_eq!(alerts(ledger, "a"), [(AlertKind::Fork, 1), (AlertKind::DuplicateReceipts, 2)]);
        let twice = ledger.duplicate_receipts(&store_id("a"), 10).expect("readable");
        assert_eq!(twice.iter().map(|one| one.receipt_no).collect::<Vec<_>>(), [4, 5]);
        books_balance(ledger);
    });
}

#[test]
fn an_epoch_may_arrive_before_the_one_before_it() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 3);
        let b = History::open("a", 2, Some(&a));
        apply_batch(ledger, b.all());
        assert_eq!(apply_batch(ledger, a.all()).cursor, a.mark());
        assert_eq!(alerts(ledger, "a"), []);
        books_balance(ledger);
    });
}

#[test]
fn t06_receipt_numbers_make_runs_and_one_given_twice_is_told() {
    #[track_caller]
    fn check(batches: &[&[u64]], gaps: &[(i64, i64)], twice: &[i64]) {
        each_home(|ledger| {
            let mut a = History::open("a", 1, None);
            let mut id = 0;
            for numbers in batches {
                let from = a.events.len() + 1;
                for &receipt_no in *numbers {
                    id += 1;
                    a.sell(&SaleSpec { id, receipt_no, ..SaleSpec::default() });
                }
                let from = if from == 2 { 1 } else { from };
                apply_batch(ledger, a.batch(from, a.events.len()));
            }
            let found = ledger.receipt_gaps(&store_id("a"), 100).expect("readable");
            assert_eq!(found.iter().map(|gap| (gap.first_no, gap.last_no)).collect::<Vec<_>>(), gaps);
            let found = ledger.duplicate_receipts(&store_id("a"), 100).expect("readable");
            assert_eq!(found.iter().map(|one| one.receipt_no).collect::<Vec<_>>(), twice);
        });
    }
    check(&[&[1, 2, 3], &[4, 5]], &[], &[]);
    check(&[&[1, 2], &[5, 6], &[3, 4]], &[], &[]);
    check(&[&[3, 1, 2]], &[], &[]);
    check(&[&[3, 4]], &[(1, 2)], &[]);
    check(&[&[1, 5], &[9]], &[(2, 4), (6, 8)], &[]);
    check(&[&[1, 5, 9], &[2, 3, 4, 5, 6, 7, 8, 9, 10]], &[], &[5, 9]);
    check(&[&[1, 2, 2, 3]], &[], &[2]);
    check(&[&[1, 2, 3], &[2], &[2]], &[], &[2, 2]);
    check(&[&[1], &[0]], &[], &[]);
    check(&[&[1, 1_000_000_000_000]], &[(2, 999_999_999_999)], &[]);
}

#[test]
fn the_backlog_shrinks_as_events_arrive() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        a.sell_many(1, 9);
        apply(ledger, a.heartbeat(10));
        let health = |ledger: &dyn Home| {
            let store = ledger.store(&store_id("a")).expect("readable").expect("known");
            store.health.expect("reported")
        };
        assert_eq!((health(ledger).backlog_events, health(ledger).outbox_oldest_ms), (10, Some(NOW - 60_000)));
        apply_batch(ledger, a.batch(1, 6));
        assert_eq!((health(ledger).outbox_events, health(ledger).backlog_events), (10, 4));
        // What arrived in the same group before the report is not in the report.
        ledger.apply(&[a.batch(7, 8), a.heartbeat(2)], NOW + 5).expect("the database is well");
        assert_eq!(health(ledger).backlog_events, 2);
        apply_batch(ledger, a.batch(9, 10));
        assert_eq!((health(ledger).backlog_events, health(ledger).outbox_oldest_ms), (0, None));
        let store = ledger.store(&store_id("a")).expect("readable").expect("known");
        assert_eq!(store.last_contact_ms, Some(NOW + 5));
    });
}

#[test]
fn totals_by_store_and_business_date() {
    each_home(|ledger| {
        let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
        a.sell(&SaleSpec { id: 1, receipt_no: 1, date: "2026-03-01", gross: 500, lines: 3, ..SaleSpec::default() });
        a.sell(&SaleSpec { id: 2, receipt_no: 2, date: "2026-03-02", gross: 700, ..SaleSpec::default() });
        b.sell(&SaleSpec { id: 3, receipt_no: 1, date: "2026-03-02", gross: -50, ..SaleSpec::default() });
        ledger.apply(&[a.all(), b.all()], NOW).expect("the database is well");
        let check = |store: Option<&str>, from: Option<&str>, to: Option<&str>, expected: &[(&str, &str, i64, i64)]| {
            let filter = TotalsFilter {
                store: store.map(store_id),
                from: from.map(|date| date.parse().expect("valid")),
                to: to.map(|date| date.parse().expect("valid")),
                rows_max: None,
            };
            let days = ledger.totals(&filter).expect("readable");
            let days: Vec<_> = days
                .iter()
                .map(|day| (day.store.clone(), day.business_date.to_string(), day.lines, day.gross_minor))
                .collect();
            let days: Vec<_> = days
                .iter()
                .map(|(store, date, lines, gross)| (store.as_str(), date.as_str(), *lines, *gross))
                .collect();
            assert_eq!(days, expected);
        };
        let (a1, a2, b2) = (("a", "2026-03-01", 3, 500), ("a", "2026-03-02", 1, 700), ("b", "2026-03-02", 1, -50));
        check(None, None, None, &[a1, a2, b2]);
        check(Some("a"), None, None, &[a1, a2]);
        check(None, Some("2026-03-02"), None, &[a2, b2]);
        check(None, None, Some("2026-03-01"), &[a1]);
        check(Some("b"), Some("2026-03-01"), Some("2026-03-02"), &[b2]);
        check(Some("c"), None, None, &[]);
        let one = TotalsFilter { store: Some(store_id("a")), rows_max: Some(1), ..TotalsFilter::default() };
        assert_eq!(ledger.totals(&one).expect("readable").len(), 1);
        let days = ledger.totals(&TotalsFilter::default()).expect("readable");
        let first = &days[0];
        assert_eq!((first.sales, first.quantity_micro, first.tax_minor, first.net_minor), (1, 6_000_000, 3, 497));
    });
}

#[test]
fn a_ledger_put_back_takes_all_again() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 1, None);
    a.sell_many(1, 3);
    apply_batch(&mut ledger, a.all());
    let mut connection = ledger.into_connection();
    let copy = connection.serialize("main").expect("copies").to_vec();
    let mut ledger = SqliteLedger::from_connection(connection).expect("opens");
    a.sell_many(4, 3);
    apply_batch(&mut ledger, a.batch(5, 7));
    let mut connection = rusqlite::Connection::open_in_memory().expect("opens");
    connection.deserialize_read_exact("main", copy.as_slice(), copy.len(), false).expect("restores");
    let mut ledger = SqliteLedger::from_connection(connection).expect("opens");
    assert_eq!(apply_hello(&mut ledger, a.hello(vec![a.report(1)])).cursors[0].applied, Seq::new(4));
    assert_eq!(apply_batch(&mut ledger, a.batch(5, 7)).applied, 3);
    assert_eq!(applied_sales(&ledger), 6);
    books_balance(&ledger);
}

#[test]
fn a_ledger_of_a_newer_program_is_refused() {
    let connection = SqliteLedger::in_memory().expect("opens").into_connection();
    connection.pragma_update(None, "user_version", 99).expect("writable");
    let error = SqliteLedger::from_connection(connection).expect_err("too new");
    assert!(matches!(error, LedgerError::NewerSchema { found: 99, .. }), "{error}");
    let connection = rusqlite::Connection::open_in_memory().expect("opens");
    connection.execute_batch("CREATE TABLE songs (name TEXT)").expect("writable");
    let error = SqliteLedger::from_connection(connection).expect_err("something else");
    assert!(matches!(error, LedgerError::NotALedger(_)), "{error}");
}

#[test]
fn wrong_books_are_found() {
    let mut a = History::open("a", 1, None);
    a.sell_many(1, 3);
    #[track_caller]
    fn check(a: &History, damage: &str, what: &str) {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        apply_batch(&mut ledger, a.all());
        let connection = ledger.into_connection();
        connection.execute_batch(damage).expect("writable");
        let ledger = SqliteLedger::from_connection(connection).expect("opens");
        let report = Books::verify(&ledger).expect("readable");
        assert!(report.differences.iter().any(|difference| difference.what.contains(what)), "{damage}: {report:?}");
    }
    check(&a, "UPDATE day_totals SET gross_minor = gross_minor + 1", "gross_minor of store a on 2026-03-01 in CNY");
    check(&a, "UPDATE stock_used SET used_micro = 0 WHERE item_id = 'milk'", "milk used by store a");
    check(&a, "UPDATE sales SET net_minor = 0 WHERE seq = 3", "net_minor of sale");
    check(&a, "DELETE FROM sale_lines WHERE line_no = 2048", "number of line rows");
    check(&a, "DELETE FROM sales WHERE seq = 2", "sales of store a");
    check(
        &a,
        "UPDATE events SET hash = (SELECT hash FROM events WHERE event_no = 3) WHERE event_no = 2",
        "hash of event",
    );
    check(&a, "DELETE FROM events WHERE event_no = 4", "hash of event");
    check(&a, "UPDATE batches SET events = 3", "events from");
    check(&a, "UPDATE streams SET base_hash = randomblob(32)", "hash before event");
    check(&a, "DELETE FROM batches", "cursor of epoch");
}

#[test]
fn columns_for_analysts() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 255, None);
    a.sell(&SaleSpec { id: 0xabc, lines: 2, ..SaleSpec::default() });
    apply_batch(&mut ledger, a.all());
    let connection = ledger.into_connection();
    let text = |query: &str| connection.query_row(query, [], |row| row.get::<_, String>(0)).expect("a row");
    assert_eq!(
        text("SELECT store_id || ' ' || business_date || ' ' || sold_at_local || ' ' || epoch || '/' || seq || ' ' || tenders
            FROM v_sales WHERE sale_id = '00000000-0000-0000-0000-000000000abc'"),
        "a 2026-03-01 2026-05-29 04:26:39 00000000000000ff/2 [[\"cash\",500]]"
    );
    assert_eq!(
        text(
            "SELECT group_concat(position || ' ' || sku || ' ' || gross_minor || ' ' || adjustment_minor || ' ' ||
            json_extract(options, '$[0]'), '; ') FROM v_sale_lines"
        ),
        "1 tea-0 250 -50 size \"L\"; 2 tea-1 250 -50 size \"L\""
    );
    assert_eq!(
        text("SELECT store_id || ' ' || item_id || ' ' || used_micro FROM v_stock_used WHERE item_id = 'milk'"),
        "a milk 500000"
    );
    assert_eq!(text("SELECT store_id || gross_minor FROM v_day_totals"), "a500");
}
