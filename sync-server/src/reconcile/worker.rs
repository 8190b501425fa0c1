//! The thread that looks, asks and has things put right.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use pos_model::{BusinessDate, StoreId};
use protocol::latest::{Compare, DIGEST_DATES_MAX, DayDigest, Digests, Downlink, Recall, Recalled};

use super::{Awaited, Centre, Said, Work};
use crate::ingest::utc_ms;
use crate::ledger::{Finding, Gap, LedgerError, Reader, Restored, Standing};
use crate::telemetry::Metrics;

/// How long it sleeps when nothing comes.
const TICK: Duration = Duration::from_millis(250);

/// Digests that wait to be looked at, each some hundred bytes. When more come the newest are dropped; they come again.
const CLAIMS_WAITING_MAX: usize = 8_192;

/// Stores that are asked for events at a time. Each answer is one message of at most 500 events.
const ASKED_MAX: usize = 4;

/// Events that are asked for in one message.
const ASK_EVENTS_MAX: u64 = 500;

/// How long an answer is waited for. After that the date is left for the store's next digest.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How often the wishes of people are looked at, and how soon a store is told of one again.
const LOOK_FOR_WISHES: Duration = Duration::from_secs(2);
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Repairs of one date in a row. Each puts hundreds of events right; a date with more goes on with the next digest.
const REPAIRS_MAX: u32 = 1_000;

/// Dates that are remembered as looked at. What is forgotten is looked at once more.
const LOOKED_AT_MAX: usize = 200_000;

type Key = (StoreId, BusinessDate);

/// A digest that waits, and what has been done about its date.
#[derive(Debug)]
struct Claim {
    store: StoreId,
    digest: DayDigest,
    /// When it was heard, in milliseconds since 1970 (UTC).
    heard_at_ms: i64,
    repairs: u32,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Asked {
    request: u64,
    gap: Gap,
    since: Instant,
    claim: Claim,
}

/// See the module above.
pub(crate) struct Reconciler<'c, C> {
    centre: &'c C,
    books: Box<dyn Reader + Send>,
    metrics: Arc<Metrics>,
    awaited: &'c Awaited,
    every: Duration,
    waiting: VecDeque<Claim>,
    /// The dates of which a digest waits.
    pending: HashSet<Key>,
    looked_at: HashMap<Key, Instant>,
    asked: HashMap<StoreId, Asked>,
    requests: u64,
    wishes: HashMap<Key, Instant>,
    wishes_looked_at: Instant,
}

impl<'c, C: Centre> Reconciler<'c, C> {
    pub(crate) fn new(
        centre: &'c C,
        books: Box<dyn Reader + Send>,
        metrics: Arc<Metrics>,
        awaited: &'c Awaited,
        every: Duration,
        seed: u64,
    ) -> Self {
        Self {
            centre,
            books,
            metrics,
            awaited,
            every,
            waiting: VecDeque::new(),
            pending: HashSet::new(),
            looked_at: HashMap::new(),
            asked: HashMap::new(),
            requests: seed,
            wishes: HashMap::new(),
            wishes_looked_at: Instant::now(),
        }
    }

    /// Works until nothing more can come.
    pub(crate) fn run(mut self, said: &Receiver<(StoreId, Said)>) {
        loop {
            let wait = if self.waiting.is_empty() { TICK } else { Duration::ZERO };
            match said.recv_timeout(wait) {
                Ok((store, Said::Digests(digests))) => self.hear(&store, digests),
                Ok((store, Said::Recalled(recalled))) => self.take(&store, recalled),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.give_up_waiting();
            if self.wishes_looked_at.elapsed() >= LOOK_FOR_WISHES {
                self.look_for_wishes();
            }
            if !self.centre.is_calm() {
                std::thread::sleep(TICK);
            } else if let Some(claim) = self.waiting.pop_front() {
                self.pending.remove(&(claim.store.clone(), claim.digest.business_date));
                self.look(claim);
            }
        }
    }

    fn hear(&mut self, store: &StoreId, digests: Digests) {
        for digest in digests.dates.into_iter().take(DIGEST_DATES_MAX) {
            let key = (store.clone(), digest.business_date);
            let is_wished = self.wishes.contains_key(&key);
            let is_recent = self.looked_at.get(&key).is_some_and(|at| at.elapsed() < self.every);
            if is_recent && !is_wished {
                continue;
            }
            let claim = Claim { store: key.0.clone(), digest, heard_at_ms: utc_ms(), repairs: 0 };
            if is_wished {
                self.waiting.push_front(claim);
            } else if self.waiting.len() < CLAIMS_WAITING_MAX && self.pending.insert(key) {
                self.waiting.push_back(claim);
            }
        }
    }

    /// Looks at a date, and has it put right as far as the ledger can by itself.
    fn look(&mut self, mut claim: Claim) {
        loop {
            let examined = match self.books.examine(&claim.store, &claim.digest, claim.heard_at_ms) {
                Ok(examined) => examined,
                Err(error) => {
                    self.metrics.comparing_failed(&claim.store, claim.digest.business_date, &error);
                    return;
                }
            };
            let (store_facts, ledger_facts) = (examined.store_facts, examined.ledger_facts);
            let finding = |what: &str, outcome| Finding {
                what: what.to_owned(),
                store_facts,
                ledger_facts,
                outcome,
                ..Finding::default()
            };
            match examined.standing {
                // What is on its way, or was never there, is the cursor's business.
                Standing::Behind | Standing::TooLarge => return,
                Standing::Agrees => {
                    self.note(&claim, Finding { is_repaired: true, ..finding("", "repaired") });
                    return self.end(&claim);
                }
                Standing::OtherHistory => {
                    self.note(&claim, finding("the store's events are of another history", "other_history"));
                    return self.end(&claim);
                }
                Standing::Unexplained => {
                    let what = "count, sums or hash differ, and every event has its rows";
                    self.note(&claim, finding(what, "unexplained"));
                    return self.end(&claim);
                }
                Standing::HoldsMore(more) => {
                    let what = format!("the store does not hold {more} of the sales and refunds that are here");
                    self.note(&claim, finding(&what, "store_holds_less"));
                    return self.end(&claim);
                }
                Standing::Lacks(gaps) => {
                    let events: u64 = gaps.iter().map(Gap::events).sum();
                    self.note(&claim, finding(&format!("the bytes of {events} events are not held"), "open"));
                    if let Some(gap) = gaps.first() {
                        self.ask(claim, *gap);
                    }
                    return;
                }
                Standing::Wrong { repair, what } => {
                    self.note(&claim, finding(&what, "open"));
                    let events = count(repair.events());
                    if claim.repairs >= REPAIRS_MAX {
                        return;
                    }
                    claim.repairs += 1;
                    match self.centre.change(Work::Repair(repair)) {
                        Some(Ok(_)) => self.note(&claim, Finding { restored_events: events, ..finding("", "open") }),
                        Some(Err(error)) => return self.fail(&claim, &error),
                        None => return,
                    }
                }
            }
        }
    }

    /// Asks the store for events that are held no more.
    fn ask(&mut self, mut claim: Claim, gap: Gap) {
        if claim.repairs >= REPAIRS_MAX {
            return;
        }
        if self.asked.len() >= ASKED_MAX || self.asked.contains_key(&claim.store) {
            self.waiting.push_back(claim);
            // Whoever waits for others looks again a little later.
            std::thread::sleep(TICK);
            return;
        }
        claim.repairs += 1;
        let to = gap.to.min(gap.from.plus(ASK_EVENTS_MAX - 1));
        let events = to.since(gap.from).saturating_add(1);
        self.requests = self.requests.wrapping_add(1);
        let request = self.requests;
        self.awaited.set(&claim.store, true);
        let recall = Recall { request, epoch: gap.epoch, from: gap.from, to };
        if !self.centre.tell(&claim.store, &Downlink::Recall(recall)) {
            self.awaited.set(&claim.store, false);
            self.note(&claim, Finding { outcome: "store_away", ..Finding::default() });
            return;
        }
        let asked_events = i64::try_from(events).unwrap_or(i64::MAX);
        self.metrics.events_recalled(&claim.store, claim.digest.business_date, asked_events);
        self.note(&claim, Finding { asked_events, outcome: "asked", ..Finding::default() });
        self.asked.insert(claim.store.clone(), Asked { request, gap, since: Instant::now(), claim });
    }

    /// Takes the answer of a store.
    fn take(&mut self, store: &StoreId, recalled: Recalled) {
        if self.asked.get(store).is_none_or(|asked| asked.request != recalled.request) {
            return;
        }
        let Some(Asked { gap, claim, .. }) = self.asked.remove(store) else { return };
        self.awaited.set(store, false);
        let refused = |outcome| Finding { outcome, ..Finding::default() };
        let Some(batch) = recalled.batch else {
            self.note(&claim, refused("store_does_not_hold"));
            return self.end(&claim);
        };
        let restored = match Restored::of(store.clone(), batch, gap.epoch, gap.from, gap.to) {
            Ok(restored) => restored,
            Err(_) => {
                self.note(&claim, refused("other_history"));
                return self.end(&claim);
            }
        };
        let received_events = count(restored.events());
        match self.centre.change(Work::Restore(restored)) {
            Some(Ok(Ok(()))) => {
                let (outcome, restored_events) = ("open", received_events);
                self.note(&claim, Finding { received_events, restored_events, outcome, ..Finding::default() });
                self.waiting.push_front(claim);
            }
            Some(Ok(Err(_))) => {
                self.note(&claim, refused("other_history"));
                self.end(&claim);
            }
            Some(Err(error)) => self.fail(&claim, &error),
            None => {}
        }
    }

    fn give_up_waiting(&mut self) {
        let late: Vec<StoreId> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.since.elapsed() >= ANSWER_PATIENCE)
            .map(|(store, _)| store.clone())
            .collect();
        for store in late {
            if let Some(asked) = self.asked.remove(&store) {
                self.awaited.set(&store, false);
                self.note(&asked.claim, Finding { outcome: "no_answer", ..Finding::default() });
            }
        }
    }

    fn look_for_wishes(&mut self) {
        self.wishes_looked_at = Instant::now();
        let wishes = match self.books.wishes() {
            Ok(wishes) => wishes,
            Err(error) => return self.metrics.wishes_failed(&error),
        };
        let present: HashSet<Key> = wishes.iter().cloned().collect();
        self.wishes.retain(|key, _| present.contains(key));
        for (store, date) in wishes {
            let key = (store, date);
            if self.wishes.get(&key).is_some_and(|told| told.elapsed() < TELL_AGAIN) {
                continue;
            }
            let compare = Compare { dates: vec![date], newest: 0, every_ms: 0 };
            // A store without a connection here may have one with another server, or come back.
            if self.centre.tell(&key.0, &Downlink::Compare(compare)) {
                self.wishes.insert(key, Instant::now());
            }
        }
    }

    fn note(&self, claim: &Claim, finding: Finding) {
        let (store, date) = (&claim.store, claim.digest.business_date);
        match self.books.note_finding(store, date, &finding, utc_ms()) {
            Ok(was_known) => {
                if finding.is_repaired && was_known {
                    self.metrics.date_repaired(store, date);
                } else if !finding.is_repaired && !was_known {
                    self.metrics.date_differs(store, date, &finding);
                }
            }
            Err(error) => self.metrics.comparing_failed(store, date, &error),
        }
    }

    fn fail(&self, claim: &Claim, error: &LedgerError) {
        self.metrics.comparing_failed(&claim.store, claim.digest.business_date, error);
        self.note(claim, Finding { outcome: "failed", ..Finding::default() });
    }

    /// Nothing more can be done about the date until it is looked at again.
    fn end(&mut self, claim: &Claim) {
        let key = (claim.store.clone(), claim.digest.business_date);
        if self.wishes.remove(&key).is_some()
            && let Err(error) = self.books.fulfil(&key.0, key.1)
        {
            self.metrics.wishes_failed(&error);
        }
        if self.looked_at.len() >= LOOKED_AT_MAX {
            self.looked_at.retain(|_, at| at.elapsed() < self.every);
            if self.looked_at.len() >= LOOKED_AT_MAX {
                self.looked_at.clear();
            }
        }
        self.looked_at.insert(key, Instant::now());
    }
}

fn count(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}
