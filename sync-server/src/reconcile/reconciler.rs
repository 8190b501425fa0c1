//! What is decided about the stores' digests: which date is looked at, who is asked for what, and what is put right. Without
//! a thread or a clock of its own, so that the simulation runs the same.
//!
//! Each step does at most one piece: one look at a date with one repair of some hundred events, or one message of a store
//! taken in. So whoever drives it decides how much of the machine it gets.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pos_model::StoreId;
use protocol::latest::{
    Batch, Compare, DIGEST_DATES_MAX, DIGEST_RUNS_MAX, DayDigest, Digests, Downlink, Recall, Recalled,
};

use super::claims::{Claim, Claims, Key};
use super::{Centre, Moment, Work};
use crate::ledger::{Finding, Gap, LedgerError, Reader, Repair, RestoreRefused, Restored, Standing};
use crate::telemetry::Metrics;

/// Stores that are asked for events at a time. Each answer is one message of at most [`ASK_EVENTS_MAX`] events.
const ASKED_MAX: usize = 4;

/// Events that are asked for in one message. The store sends fewer if they do not fit into one.
const ASK_EVENTS_MAX: u64 = 500;

/// How long an answer is waited for. After that the date is left for the store's next digest.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How often the wishes of people are looked at, and how soon a store is told of one again.
const LOOK_FOR_WISHES: Duration = Duration::from_secs(2);
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Repairs of one date for one digest. Each puts hundreds of events right; a date with more goes on with the next digest.
const REPAIRS_MAX: u32 = 1_000;

/// A question that waits for its answer.
#[derive(Debug)]
struct Asked {
    request: u64,
    gap: Gap,
    since_start: Duration,
    claim: Claim,
}

/// An answer that waits to be taken in.
#[derive(Debug)]
struct Answer {
    gap: Gap,
    claim: Claim,
    batch: Batch,
}

/// See the module above.
#[derive(Debug)]
pub struct Reconciler {
    books: Box<dyn Reader + Send>,
    metrics: Arc<Metrics>,
    claims: Claims,
    /// By store; at most [`ASKED_MAX`] of them and of the answers together.
    asked: BTreeMap<StoreId, Asked>,
    answers: VecDeque<Answer>,
    requests: u64,
    /// When each store was told of a wish.
    wishes: HashMap<Key, Duration>,
    wishes_due: Duration,
}

impl Reconciler {
    /// `every` is how often a date is looked at. `seed` differs from that of other runs, so that no answer to an earlier run
    /// is taken for one to this.
    pub fn new(books: Box<dyn Reader + Send>, metrics: Arc<Metrics>, every: Duration, seed: u64) -> Self {
        Self {
            books,
            metrics,
            claims: Claims::new(every),
            asked: BTreeMap::new(),
            answers: VecDeque::new(),
            requests: seed,
            wishes: HashMap::new(),
            wishes_due: LOOK_FOR_WISHES,
        }
    }

    /// Takes up what a store says of its dates.
    pub fn hear(&mut self, store: &StoreId, digests: Digests, now: Moment) {
        let newest = digests.dates.iter().map(|digest| digest.business_date).max();
        let sound = |digest: &DayDigest| digest.runs.len() <= DIGEST_RUNS_MAX;
        for digest in digests.dates.into_iter().filter(sound).take(DIGEST_DATES_MAX) {
            let is_newest = Some(digest.business_date) == newest;
            let is_in_hand =
                self.asked.get(store).is_some_and(|asked| asked.claim.digest.business_date == digest.business_date);
            let claim = Claim { store: store.clone(), digest, heard_at_ms: now.utc_ms, is_newest, repairs: 0 };
            let is_wished = self.wishes.contains_key(&claim.key()) && !is_in_hand;
            self.claims.hear(claim, is_wished, now.since_start);
        }
    }

    /// Takes the answer of a store to a question for events; what was not asked for is nothing.
    pub fn take<C: Centre>(&mut self, centre: &C, store: &StoreId, recalled: Recalled, now: Moment) {
        if self.asked.get(store).is_none_or(|asked| asked.request != recalled.request) {
            return;
        }
        let Some(Asked { gap, claim, .. }) = self.asked.remove(store) else { return };
        centre.expect_answer(store, false);
        match recalled.batch {
            Some(batch) => self.answers.push_back(Answer { gap, claim, batch }),
            None => self.end(&claim, Finding { outcome: "store_does_not_hold", ..Finding::default() }, now),
        }
    }

    /// Does one piece of work, if there is any and the centre is calm. Says whether there is more to do.
    pub fn step<C: Centre>(&mut self, centre: &C, now: Moment) -> bool {
        self.give_up_waiting(centre, now);
        if now.since_start >= self.wishes_due {
            self.look_for_wishes(centre, now);
        }
        if !centre.is_calm() {
            return false;
        }
        if let Some(answer) = self.answers.pop_front() {
            self.restore(centre, answer, now);
            return true;
        }
        let Some(claim) = self.claims.next() else { return false };
        self.look(centre, claim, now) && !self.claims.is_empty()
    }

    /// Looks at a date, and has a piece of it put right. Says whether it could be gone on at once.
    fn look<C: Centre>(&mut self, centre: &C, claim: Claim, now: Moment) -> bool {
        let examined = match self.books.examine(&claim.store, &claim.digest, claim.heard_at_ms) {
            Ok(examined) => examined,
            Err(error) => {
                self.metrics.comparing_failed(&claim.store, claim.digest.business_date, &error);
                self.claims.give_up(&claim);
                return false;
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
            Standing::Behind | Standing::TooLarge => self.claims.give_up(&claim),
            Standing::NotADigest => {
                let (store, date) = (claim.store.as_str(), claim.digest.business_date);
                tracing::warn!(store, %date, "a store's digest names events twice, and is passed over");
                self.claims.give_up(&claim);
            }
            Standing::NotKept => self.close(&claim, now),
            Standing::Agrees => self.end(&claim, Finding { is_repaired: true, ..finding("", "repaired") }, now),
            Standing::OtherHistory => {
                self.end(&claim, finding("the store's events are of another history", "other_history"), now);
            }
            Standing::Unexplained => {
                let what = "count, sums or hash differ, and every event has its rows";
                self.end(&claim, finding(what, "unexplained"), now);
            }
            Standing::HoldsMore(more) => {
                let what = format!("the store does not hold {more} of the sales and refunds that are here");
                self.end(&claim, finding(&what, "store_holds_less"), now);
            }
            Standing::Lacks(gaps) => {
                let events: u64 = gaps.iter().map(Gap::events).sum();
                self.note(&claim, &finding(&format!("the bytes of {events} events are not held"), "open"), now);
                return match gaps.first() {
                    Some(gap) => self.ask(centre, claim, *gap, now),
                    None => true,
                };
            }
            Standing::Wrong { repair, what } => {
                self.note(&claim, &finding(&what, "open"), now);
                self.repair(centre, claim, repair, now);
            }
        }
        true
    }

    fn repair<C: Centre>(&mut self, centre: &C, mut claim: Claim, repair: Repair, now: Moment) {
        if claim.repairs >= REPAIRS_MAX {
            return self.claims.give_up(&claim);
        }
        claim.repairs += 1;
        let restored_events = count(repair.events());
        match centre.change(Work::Repair(repair)) {
            Some(Ok(_)) => {
                self.note(&claim, &Finding { restored_events, outcome: "open", ..Finding::default() }, now);
                self.claims.go_on(claim);
            }
            Some(Err(error)) => self.fail(&claim, &error, now),
            None => self.claims.give_up(&claim),
        }
    }

    /// Asks the store for events that are held no more. Says whether others could be gone on with at once.
    fn ask<C: Centre>(&mut self, centre: &C, mut claim: Claim, gap: Gap, now: Moment) -> bool {
        if claim.repairs >= REPAIRS_MAX {
            self.claims.give_up(&claim);
            return true;
        }
        if self.asked.len() + self.answers.len() >= ASKED_MAX || self.asked.contains_key(&claim.store) {
            self.claims.postpone(claim);
            return false;
        }
        claim.repairs += 1;
        let to = gap.to.min(gap.from.plus(ASK_EVENTS_MAX - 1));
        let asked_events = i64::try_from(to.since(gap.from).saturating_add(1)).unwrap_or(i64::MAX);
        self.requests = self.requests.wrapping_add(1);
        let request = self.requests;
        centre.expect_answer(&claim.store, true);
        let recall = Recall { request, epoch: gap.epoch, from: gap.from, to };
        if !centre.tell(&claim.store, &Downlink::Recall(recall)) {
            centre.expect_answer(&claim.store, false);
            self.note(&claim, &Finding { outcome: "store_away", ..Finding::default() }, now);
            self.claims.give_up(&claim);
            return true;
        }
        self.metrics.events_recalled(&claim.store, claim.digest.business_date, asked_events);
        self.note(&claim, &Finding { asked_events, outcome: "asked", ..Finding::default() }, now);
        self.asked.insert(claim.store.clone(), Asked { request, gap, since_start: now.since_start, claim });
        true
    }

    /// Has a message taken in that a store has sent again.
    fn restore<C: Centre>(&mut self, centre: &C, answer: Answer, now: Moment) {
        let Answer { gap, claim, batch } = answer;
        let other_history = Finding { outcome: "other_history", ..Finding::default() };
        let Ok(restored) = Restored::of(claim.store.clone(), batch, gap.epoch, gap.from, gap.to) else {
            return self.end(&claim, other_history, now);
        };
        let received_events = count(restored.events());
        match centre.change(Work::Restore(restored)) {
            Some(Ok(Ok(()))) => {
                let (outcome, restored_events) = ("open", received_events);
                self.note(&claim, &Finding { received_events, restored_events, outcome, ..Finding::default() }, now);
                self.claims.go_on(claim);
            }
            Some(Ok(Err(RestoreRefused::Fixed))) => {
                self.end(&claim, Finding { outcome: "holds_fixed", ..Finding::default() }, now);
            }
            Some(Ok(Err(RestoreRefused::OtherEvents | RestoreRefused::OtherHistory))) => {
                self.end(&claim, other_history, now);
            }
            Some(Err(error)) => self.fail(&claim, &error, now),
            None => self.claims.give_up(&claim),
        }
    }

    fn give_up_waiting<C: Centre>(&mut self, centre: &C, now: Moment) {
        let is_late = |asked: &Asked| now.since_start.saturating_sub(asked.since_start) >= ANSWER_PATIENCE;
        let late: Vec<StoreId> =
            self.asked.iter().filter(|(_, asked)| is_late(asked)).map(|(store, _)| store.clone()).collect();
        for store in late {
            if let Some(asked) = self.asked.remove(&store) {
                centre.expect_answer(&store, false);
                self.note(&asked.claim, &Finding { outcome: "no_answer", ..Finding::default() }, now);
                self.claims.give_up(&asked.claim);
            }
        }
    }

    fn look_for_wishes<C: Centre>(&mut self, centre: &C, now: Moment) {
        self.wishes_due = now.since_start.saturating_add(LOOK_FOR_WISHES);
        let wishes = match self.books.wishes() {
            Ok(wishes) => wishes,
            Err(error) => return self.metrics.wishes_failed(&error),
        };
        let present: HashSet<Key> = wishes.iter().cloned().collect();
        self.wishes.retain(|key, _| present.contains(key));
        for (store, date) in wishes {
            let key = (store, date);
            if self.wishes.get(&key).is_some_and(|told| now.since_start.saturating_sub(*told) < TELL_AGAIN) {
                continue;
            }
            let compare = Compare { dates: vec![date], newest: 0, every_ms: 0 };
            // A store without a connection here may have one with another server, or come back.
            if centre.tell(&key.0, &Downlink::Compare(compare)) {
                self.wishes.insert(key, now.since_start);
            }
        }
    }

    fn note(&self, claim: &Claim, finding: &Finding, now: Moment) {
        let (store, date) = (&claim.store, claim.digest.business_date);
        match self.books.note_finding(store, date, finding, now.utc_ms) {
            Ok(was_known) => {
                if finding.is_repaired && was_known {
                    self.metrics.date_repaired(store, date);
                } else if !finding.is_repaired && !was_known {
                    self.metrics.date_differs(store, date, finding);
                }
                self.metrics.events_restored(finding.restored_events);
            }
            Err(error) => self.metrics.comparing_failed(store, date, &error),
        }
    }

    fn fail(&mut self, claim: &Claim, error: &LedgerError, now: Moment) {
        self.metrics.comparing_failed(&claim.store, claim.digest.business_date, error);
        self.note(claim, &Finding { outcome: "failed", ..Finding::default() }, now);
        self.claims.give_up(claim);
    }

    /// Nothing more can be done about the date until it is looked at again.
    fn end(&mut self, claim: &Claim, finding: Finding, now: Moment) {
        self.note(claim, &finding, now);
        self.close(claim, now);
    }

    fn close(&mut self, claim: &Claim, now: Moment) {
        let key = claim.key();
        if self.wishes.remove(&key).is_some()
            && let Err(error) = self.books.fulfil(&key.0, key.1)
        {
            self.metrics.wishes_failed(&error);
        }
        self.claims.end(claim, now.since_start);
    }
}

fn count(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}
