//! A hand that deletes rows at the centre behind the cursor, and the centre's way to get them back: the shipped `Reconciler`
//! on the centre's database, driven by the world's clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pos_model::{ChainHash, StoreId};
use protocol::envelope::seal_downlink;
use protocol::latest::{Compare, DIGEST_DATES_MAX, Downlink, Uplink};
use rusqlite::Connection;
use sync_core::server::Route;
use sync_server::ledger::{Ledger, LedgerError, SqliteLedger};
use sync_server::reconcile::{self, Done, Moment, Questions, Reconciler, Work};
use sync_server::telemetry::Metrics;

use super::plan::{Fault, Plan, below_usize, wait_ms};
use super::{Event, World};
use crate::reference::{Rule, Violation, violated};

/// Between two deletions, on average, in milliseconds.
const GAP_MS: u64 = 60_000;

/// Rows that are deleted together.
const ROWS: usize = 30;

/// How often the centre looks whether something is to be compared, in milliseconds.
const STEP_MS: u64 = 500;

/// How often stores send their digests, and dates are looked at.
const EVERY: Duration = Duration::from_secs(30);

/// How seldom stores give a sign of life, at the most, in milliseconds.
const HEARTBEAT_MS_MAX: u64 = 300_000;

/// What may happen beside. What takes events from a store, or moves its dates, would take away what has to come back.
const BESIDE: [Fault; 9] = [
    Fault::LinkDrop,
    Fault::Partition,
    Fault::BrokerWipe,
    Fault::StoreCrash,
    Fault::CentreCrash,
    Fault::Repost,
    Fault::OtherBody,
    Fault::LedgerSlow,
    Fault::StoreFull,
];

/// What was deleted, until it is back.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    sales: BTreeSet<[u8; 16]>,
    events: BTreeSet<[u8; 32]>,
}

/// The centre's end of the comparing, as long as it runs.
#[derive(Debug)]
pub(super) struct Comparing {
    reconciler: Reconciler,
    questions: Questions,
    ways: BTreeMap<StoreId, Route>,
}

impl Comparing {
    pub(super) fn new(books: SqliteLedger, seed: u64) -> Self {
        let metrics = Arc::new(Metrics::unregistered());
        let newest = u8::try_from(DIGEST_DATES_MAX).unwrap_or(u8::MAX);
        let every_ms = u32::try_from(EVERY.as_millis()).unwrap_or(u32::MAX);
        let questions = Questions::asking(Compare { dates: Vec::new(), newest, every_ms });
        Self { reconciler: Reconciler::new(Box::new(books), metrics, EVERY, seed), questions, ways: BTreeMap::new() }
    }

    /// A store was heard, on this way.
    pub(super) fn heard(&mut self, store: &StoreId, way: Route) {
        self.ways.insert(store.clone(), way);
    }
}

/// The world, as the reconciler sees it.
struct Reach<'w> {
    ledger: RefCell<&'w mut SqliteLedger>,
    ways: &'w BTreeMap<StoreId, Route>,
    said: RefCell<Vec<(StoreId, Route, Downlink)>>,
    failed: RefCell<Option<LedgerError>>,
    changes: RefCell<Vec<&'static str>>,
    is_calm: bool,
    now_ms: i64,
}

impl reconcile::Centre for Reach<'_> {
    fn tell(&self, store: &StoreId, message: &Downlink) -> bool {
        let way = self.ways.get(store);
        if let Some(way) = way {
            self.said.borrow_mut().push((store.clone(), *way, message.clone()));
        }
        way.is_some()
    }

    fn expect_answer(&self, _: &StoreId, _: bool) {}

    fn change(&self, work: Work) -> Option<Done> {
        let mut ledger = self.ledger.borrow_mut();
        let (what, done) = match work {
            Work::Repair(repair) => ("hand: rows came back", ledger.repair(&repair, self.now_ms).map(Ok)),
            Work::Restore(restored) => ("hand: messages came again", ledger.restore(&restored, self.now_ms)),
        };
        self.changes.borrow_mut().push(what);
        match done {
            Ok(done) => Some(Ok(done)),
            Err(error) => {
                *self.failed.borrow_mut() = Some(error);
                None
            }
        }
    }

    fn is_calm(&self) -> bool {
        self.is_calm
    }
}

impl Plan {
    /// Leaves out what would take away what has to come back.
    pub(super) fn with_hand(&mut self) {
        self.faults.retain(|fault| BESIDE.contains(fault));
        self.store_limits.digests_ms_min = 1_000;
        // A question that got lost is asked again with a heartbeat.
        self.store_limits.heartbeat_ms = self.store_limits.heartbeat_ms.min(HEARTBEAT_MS_MAX);
    }
}

impl World {
    /// The centre begins to compare, in its run `seed`.
    pub(super) fn begin_comparing(&mut self, seed: u64) -> Result<Comparing, Violation> {
        let life = self.centre.life;
        self.scheduler.after(STEP_MS, Event::Reconcile { life });
        match SqliteLedger::from_connection(self.centre.disk.open()) {
            Ok(books) => Ok(Comparing::new(books, seed)),
            Err(error) => violated(Rule::Failed, format!("open the books to be compared: {error:?}")),
        }
    }

    /// Asks a store for its dates behind an answer, if it is to be asked.
    pub(super) fn ask_for_dates(&mut self, store: &StoreId, way: Route, message: &Downlink) -> Result<(), Violation> {
        let comparing = self.centre.running.as_ref().and_then(|server| server.comparing.as_ref());
        let question = comparing.and_then(|comparing| comparing.questions.behind(store, message));
        question.map_or(Ok(()), |question| self.tell(store, way, &question))
    }

    fn tell(&mut self, store: &StoreId, way: Route, message: &Downlink) -> Result<(), Violation> {
        match seal_downlink(store, message) {
            Ok(bytes) => self.send_to(store, way, &bytes),
            Err(error) => return violated(Rule::Failed, format!("wrap a question: {error:?}")),
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        Moment { since_start: Duration::from_millis(self.now().ms()), utc_ms: self.centre_ms() }
    }

    /// A store says what it holds, or sends again what was asked for.
    pub(super) fn hear_of_dates(&mut self, store: &StoreId, message: Uplink, way: Route) -> Result<(), Violation> {
        let now = self.moment();
        let comparing = self.centre.running.as_mut().and_then(|server| server.comparing.as_mut());
        if let Some(comparing) = comparing {
            comparing.heard(store, way);
            if matches!(message, Uplink::Digests(_)) {
                comparing.questions.answered(store);
            }
        }
        self.at_reconciler(|reconciler, centre| match message {
            Uplink::Digests(digests) => reconciler.hear(store, digests, now),
            Uplink::Recalled(recalled) => reconciler.take(centre, store, recalled, now),
            Uplink::Hello(_) | Uplink::Batch(_) | Uplink::Heartbeat(_) => {}
        })
    }

    /// The centre does the next piece.
    pub(super) fn reconcile(&mut self, life: u64) -> Result<(), Violation> {
        if self.centre.life != life {
            return Ok(());
        }
        self.scheduler.after(STEP_MS, Event::Reconcile { life });
        let now = self.moment();
        self.at_reconciler(|reconciler, centre| {
            reconciler.step(centre, now);
        })?;
        self.what_is_back()
    }

    fn at_reconciler(&mut self, work: impl FnOnce(&mut Reconciler, &Reach<'_>)) -> Result<(), Violation> {
        let now_ms = self.centre_ms();
        let beside_before = read(beside(self.centre.disk.look()))?;
        let Some(server) = &mut self.centre.running else { return Ok(()) };
        let Some(mut comparing) = server.comparing.take() else { return Ok(()) };
        let is_calm = server.is_idle();
        let reach = Reach {
            ledger: RefCell::new(server.ledger()),
            ways: &comparing.ways,
            said: RefCell::default(),
            failed: RefCell::default(),
            changes: RefCell::default(),
            is_calm,
            now_ms,
        };
        work(&mut comparing.reconciler, &reach);
        let Reach { said, failed, changes, .. } = reach;
        server.comparing = Some(comparing);
        if let Some(error) = failed.into_inner() {
            return violated(Rule::Failed, format!("put right what was deleted: {error:?}"));
        }
        // What stood beside the history, and has its place in it again.
        let beside_after = read(beside(self.centre.disk.look()))?;
        self.reference.centre_lost(beside_before.difference(&beside_after).map(|hash| ChainHash::from_bytes(*hash)));
        for change in changes.into_inner() {
            self.coverage.saw(change);
            self.note(format_args!("{change}"));
            self.look_at_ledger()?;
        }
        said.into_inner().into_iter().try_for_each(|(store, way, message)| self.tell(&store, way, &message))
    }

    /// Deletes rows of sales, or whole messages with all that follows from them.
    pub(super) fn delete_by_hand(&mut self) -> Result<(), Violation> {
        if !self.is_open() {
            return Ok(());
        }
        let wait_ms = wait_ms(&mut self.random, GAP_MS);
        self.scheduler.after(wait_ms, Event::Hand);
        if !self.centre.is_idle() {
            return Ok(());
        }
        let sales = read(numbers(self.centre.disk.look(), "SELECT event_no FROM sales ORDER BY event_no"))?;
        if sales.is_empty() {
            return Ok(());
        }
        let at = below_usize(&mut self.random, sales.len());
        if self.random.below(2) == 0 {
            let rows = &sales[at..sales.len().min(at + ROWS)];
            let deleted = read(delete_sales(self.centre.disk.look(), rows))?;
            self.note(format_args!("{} sales are deleted by hand", deleted.len()));
            self.coverage.saw("hand: rows deleted");
            self.centre.deleted.sales.extend(deleted);
        } else {
            let (sales, events) = read(delete_message(self.centre.disk.look(), sales[at]))?;
            if events.is_empty() {
                return Ok(());
            }
            self.note(format_args!("a message of {} events is deleted by hand", events.len()));
            self.coverage.saw("hand: message deleted");
            self.reference.centre_lost(events.iter().map(|hash| ChainHash::from_bytes(*hash)));
            self.centre.deleted.sales.extend(sales);
            self.centre.deleted.events.extend(events);
        }
        Ok(())
    }

    /// Strikes out what is back.
    fn what_is_back(&mut self) -> Result<(), Violation> {
        let centre = self.centre.disk.look();
        let deleted = &mut self.centre.deleted;
        let mut here = BTreeSet::new();
        for sale_id in &deleted.sales {
            if read(is_there(centre, "SELECT 1 FROM sales WHERE sale_id = ?1", sale_id))? {
                here.insert(*sale_id);
            }
        }
        deleted.sales.retain(|sale_id| !here.contains(sale_id));
        let mut here = BTreeSet::new();
        for hash in &deleted.events {
            if read(is_there(centre, "SELECT 1 FROM events WHERE hash = ?1", hash))? {
                here.insert(*hash);
            }
        }
        deleted.events.retain(|hash| !here.contains(hash));
        Ok(())
    }
}

impl Deleted {
    /// Whether all is back.
    pub(super) fn is_nothing(&self) -> bool {
        self.sales.is_empty() && self.events.is_empty()
    }

    /// What is not back, in words.
    pub(super) fn in_words(&self) -> Option<String> {
        let (sales, events) = (self.sales.len(), self.events.len());
        (!self.is_nothing())
            .then(|| format!("{sales} sales and {events} events that were deleted by hand are not back"))
    }
}

fn read<T>(result: rusqlite::Result<T>) -> Result<T, Violation> {
    result.or_else(|error| violated(Rule::Failed, format!("reach into the ledger: {error}")))
}

fn numbers(centre: &Connection, sql: &str) -> rusqlite::Result<Vec<i64>> {
    centre.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn is_there(centre: &Connection, sql: &str, key: &[u8]) -> rusqlite::Result<bool> {
    centre.prepare_cached(sql)?.exists([key])
}

/// The hashes of parked events that have no place in a history.
fn beside(centre: &Connection) -> rusqlite::Result<BTreeSet<[u8; 32]>> {
    let mut select = centre.prepare_cached("SELECT hash FROM parked WHERE event_no IS NULL")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// Deletes sales with their lines. Says which they were.
fn delete_sales(centre: &Connection, event_nos: &[i64]) -> rusqlite::Result<Vec<[u8; 16]>> {
    let mut deleted = Vec::new();
    for event_no in event_nos {
        let mut select = centre.prepare_cached("SELECT sale_id FROM sales WHERE event_no = ?1")?;
        deleted.push(select.query_row([event_no], |row| row.get(0))?);
        centre.execute("DELETE FROM sale_lines WHERE line_no / 1024 = ?1", [event_no])?;
        centre.execute("DELETE FROM sales WHERE event_no = ?1", [event_no])?;
    }
    Ok(deleted)
}

type Gone = (Vec<[u8; 16]>, Vec<[u8; 32]>);

/// Deletes the message that brought a sale, with the hashes of its events and its sales. Nothing if it is the newest
/// message, whose numbers would be given again.
fn delete_message(centre: &Connection, event_no: i64) -> rusqlite::Result<Gone> {
    let message = "SELECT first_event_no, first_event_no + events - 1 FROM batches
        WHERE first_event_no <= ?1 AND first_event_no + events > ?1";
    let mut select = centre.prepare_cached(message)?;
    let found = select.query_map([event_no], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?.next();
    let Some((first, last)) = found.transpose()? else { return Ok(Gone::default()) };
    let newest: i64 = centre.query_row("SELECT max(event_no) FROM events", [], |row| row.get(0))?;
    if last >= newest {
        return Ok(Gone::default());
    }
    let between = "BETWEEN ?1 AND ?2";
    let mut select = centre.prepare_cached(&format!("SELECT hash FROM events WHERE event_no {between}"))?;
    let hashes: Vec<[u8; 32]> = select.query_map([first, last], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut select = centre.prepare_cached(&format!("SELECT event_no FROM sales WHERE event_no {between}"))?;
    let sales: Vec<i64> = select.query_map([first, last], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let sales = delete_sales(centre, &sales)?;
    centre.execute("DELETE FROM batches WHERE first_event_no = ?1", [first])?;
    centre.execute(&format!("DELETE FROM events WHERE event_no {between}"), [first, last])?;
    Ok((sales, hashes))
}
