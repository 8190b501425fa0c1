//! What the centre does about the stores' digests: how much at a time, when, and whom it asks.

#![allow(clippy::panic, reason = "helpers of tests may panic")]

mod support;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use pos_model::{BusinessDate, Seq, StoreId};
use protocol::digest::{FactsDigest, date_of};
use protocol::latest::{Batch, DayDigest, Digests, Downlink, Recall, Recalled, RunOfDay, Uplink, decode_event};
use support::*;
use sync_server::ledger::{
    Books, Ledger, ReconciliationFilter, Reconciliations, SqliteLedger, SqliteReader, SqliteSettings,
};
use sync_server::reconcile::{Centre, Done, Moment, Reconciler, Work};
use sync_server::telemetry::Metrics;

const DATE: &str = "2026-03-01";

/// Sales of a whole day of a large store.
const SALES: u64 = 5_000;

/// The most events that one message asks for or brings, and that one database transaction puts right.
const EVENTS_MAX: usize = 500;

/// A centre of which a test sees all that is done.
struct Seen {
    ledger: RefCell<SqliteLedger>,
    recalls: RefCell<Vec<Recall>>,
    /// Events of each database transaction.
    changes: RefCell<Vec<usize>>,
    is_calm: Cell<bool>,
}

impl Centre for Seen {
    fn tell(&self, _: &StoreId, message: &Downlink) -> bool {
        if let Downlink::Recall(recall) = message {
            self.recalls.borrow_mut().push(*recall);
        }
        true
    }

    fn expect_answer(&self, _: &StoreId, _: bool) {}

    fn change(&self, work: Work) -> Option<Done> {
        let mut ledger = self.ledger.borrow_mut();
        Some(match work {
            Work::Repair(repair) => {
                self.changes.borrow_mut().push(repair.events());
                ledger.repair(&repair, NOW).map(Ok)
            }
            Work::Restore(restored) => {
                self.changes.borrow_mut().push(restored.events());
                ledger.restore(&restored, NOW)
            }
        })
    }

    fn is_calm(&self) -> bool {
        self.is_calm.get()
    }
}

struct Place {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    centre: Seen,
    reconciler: Reconciler,
    a: History,
    seconds: u64,
}

impl Place {
    /// A store with a day of so many sales, all of them applied.
    fn with(sales: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("ledger.sqlite");
        let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
        let mut a = History::open("a", 1, None);
        a.sell_many(1, sales);
        for from in (1..=a.events.len()).step_by(EVENTS_MAX) {
            apply_batch(&mut ledger, a.batch(from, a.events.len().min(from + EVENTS_MAX - 1)));
        }
        let books = SqliteReader::open_registry(&path).expect("opens");
        let metrics = Arc::new(Metrics::new(&mut prometheus_client::registry::Registry::default()));
        let reconciler = Reconciler::new(Box::new(books), metrics, Duration::from_secs(86_400), 7);
        let centre = Seen {
            ledger: RefCell::new(ledger),
            recalls: RefCell::default(),
            changes: RefCell::default(),
            is_calm: Cell::new(true),
        };
        Self { _folder: folder, path, centre, reconciler, a, seconds: 0 }
    }

    fn hand(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).expect("opens").execute_batch(sql).expect("is understood");
    }

    fn now(&self) -> Moment {
        let day_behind = NOW + 86_400_000;
        Moment { since_start: Duration::from_secs(self.seconds), utc_ms: day_behind }
    }

    /// What the store says of the day.
    fn digest(&self) -> DayDigest {
        let date: BusinessDate = DATE.parse().expect("a date");
        let mut facts = FactsDigest::default();
        let dated = |bytes: &Vec<u8>| decode_event(bytes).is_ok_and(|event| date_of(&event.body) == Some(date));
        let first = 1 + self.a.events.iter().position(dated).expect("a sale");
        for event in self.a.events.iter().filter_map(|bytes| decode_event(bytes).ok()) {
            facts.event(&event.body);
        }
        let run = RunOfDay { epoch: self.a.epoch, first: Seq::new(first as u64), last: self.a.mark() };
        DayDigest { business_date: date, runs: vec![run], sums: facts.sums(), hash: facts.hash(), partial: false }
    }

    fn hear(&mut self) {
        let digests = Digests { dates: vec![self.digest()] };
        let now = self.now();
        self.reconciler.hear(&self.a.store, digests, now);
    }

    fn step(&mut self) -> bool {
        let now = self.now();
        self.reconciler.step(&self.centre, now)
    }

    /// Answers the newest question as an agent does: with fewer events than were asked for.
    fn answer(&mut self, recall: Recall, fitting: usize) {
        let index = |seq: Seq| usize::try_from(seq.get()).expect("small");
        let (from, to) = (index(recall.from), index(recall.to).min(index(recall.from) + fitting - 1));
        let Uplink::Batch(batch) = self.a.batch_message(from, to) else { panic!("a batch") };
        self.answer_with(recall, Some(batch));
    }

    fn answer_with(&mut self, recall: Recall, batch: Option<Batch>) {
        let now = self.now();
        self.reconciler.take(&self.centre, &self.a.store, Recalled { request: recall.request, batch }, now);
    }

    fn outcome(&self) -> (String, i64, i64) {
        let filter = ReconciliationFilter { limit: 10, ..ReconciliationFilter::default() };
        let rows = self.centre.ledger.borrow().reconciliations(&filter).expect("readable");
        let [row] = &rows[..] else { panic!("one difference and not {rows:?}") };
        (row.outcome.clone(), row.asked_events, row.restored_events)
    }
}

#[test]
fn a_whole_day_is_put_right_in_pieces_and_fresh_sales_come_in_between() {
    let mut place = Place::with(SALES);
    place.hand("DELETE FROM sales; DELETE FROM sale_lines; DELETE FROM day_totals");
    place.hear();
    let mut fresh = History::open("b", 2, None);
    let mut pieces = 0;
    while place.step() {
        pieces += 1;
        assert!(place.centre.changes.borrow().len() <= pieces, "one database transaction in each step");
        fresh.sell_many(pieces as u64, 1);
        let last = fresh.events.len();
        let outcome =
            apply_batch(&mut *place.centre.ledger.borrow_mut(), fresh.batch(if last == 2 { 1 } else { last }, last));
        assert!(outcome.applied > 0, "{outcome:?}");
        assert!(pieces < 100, "it never ends");
    }
    let changes = place.centre.changes.borrow().clone();
    assert!(changes.iter().all(|events| *events <= EVENTS_MAX), "{changes:?}");
    assert_eq!(changes.iter().sum::<usize>(), 5_000, "{changes:?}");
    assert_eq!(place.outcome(), ("repaired".to_owned(), 0, 5_000));
    assert_eq!(place.centre.ledger.borrow().verify().expect("readable").differences, []);
}

#[test]
fn a_whole_day_comes_again_message_by_message_and_waits_while_the_centre_is_busy() {
    let mut place = Place::with(SALES);
    place.hand(
        "DELETE FROM sales; DELETE FROM sale_lines; DELETE FROM day_totals; DELETE FROM batches WHERE first_seq > 1",
    );
    place.centre.is_calm.set(false);
    place.hear();
    assert!(!place.step() && place.centre.recalls.borrow().is_empty(), "nothing is asked for while stores wait");
    place.centre.is_calm.set(true);
    let mut asked = 0;
    for _ in 0..1_000 {
        place.step();
        let recalls = place.centre.recalls.borrow().clone();
        assert!(recalls.len() <= asked + 1, "one question at a time to a store");
        if let Some(recall) = recalls.get(asked) {
            assert!(recall.to.since(recall.from) < EVENTS_MAX as u64, "{recall:?}");
            asked = recalls.len();
            let before = place.centre.changes.borrow().len();
            place.answer(*recall, 380);
            place.centre.is_calm.set(false);
            place.step();
            assert_eq!(place.centre.changes.borrow().len(), before, "an answer waits as well");
            place.centre.is_calm.set(true);
        }
    }
    let (outcome, _, restored) = place.outcome();
    assert_eq!(outcome, "repaired");
    assert!(restored >= 4_501 && asked >= 10, "{restored} events in {asked} messages");
    assert!(place.centre.changes.borrow().iter().all(|events| *events <= EVENTS_MAX));
    assert_eq!(place.centre.ledger.borrow().verify().expect("readable").differences, []);
}

#[test]
fn who_holds_it_no_more_is_asked_once_in_a_period() {
    let mut place = Place::with(20);
    place.hand("DELETE FROM batches WHERE first_seq = 1");
    for _ in 0..5 {
        place.hear();
        while place.step() {}
        let recalls = place.centre.recalls.borrow().clone();
        assert_eq!(recalls.len(), 1, "{recalls:?}");
        place.answer_with(recalls[0], None);
        place.seconds += 3_600;
    }
    assert_eq!(place.outcome().0, "store_does_not_hold");
    place.seconds += 86_400;
    place.hear();
    while place.step() {}
    assert_eq!(place.centre.recalls.borrow().len(), 2);
}

#[test]
fn dates_of_dropped_months_are_not_asked_for() {
    let mut place = Place::with(20);
    place.hand("DELETE FROM batches; DELETE FROM sales; UPDATE rollup_state SET facts_from = 20517");
    for _ in 0..3 {
        place.hear();
        while place.step() {}
        place.seconds += 2 * 86_400;
    }
    assert!(place.centre.recalls.borrow().is_empty() && place.centre.changes.borrow().is_empty());
    let filter = ReconciliationFilter { limit: 10, ..ReconciliationFilter::default() };
    assert_eq!(place.centre.ledger.borrow().reconciliations(&filter).expect("readable"), []);
}

#[test]
fn silence_is_given_up_and_a_late_answer_is_nothing() {
    let mut place = Place::with(20);
    place.hand("DELETE FROM batches WHERE first_seq = 1");
    place.hear();
    while place.step() {}
    let recall = place.centre.recalls.borrow()[0];
    place.seconds += 31;
    place.step();
    assert_eq!(place.outcome().0, "no_answer");
    place.answer(recall, 20);
    place.step();
    assert!(place.centre.changes.borrow().is_empty());
    place.hear();
    while place.step() {}
    let recall = place.centre.recalls.borrow()[1];
    place.answer(recall, 21);
    while place.step() {}
    assert_eq!(place.outcome().0, "repaired");
}
