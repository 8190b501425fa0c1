//! A store's history that is made again on demand: nothing of it is held but what is in flight.
//!
//! Every event follows from the run's seed, the store and its number, and so does the moment at which it happens. Ten
//! thousand stores with a day's backlog each therefore need no memory for it, a batch that is sent again has the same
//! bytes, and what the centre must hold in the end can be computed without asking the stores.
//!
//! Event 1 opens the epoch. Event `n + 2` is sale `n`: first those of the backlog, spread evenly over the time before the
//! run, then those of the run, one at a random moment of each stretch in which the store's share of the curve is one sale.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pos_model::{BusinessDate, ChainHash, DayCutOff, Epoch, EventId, SaleId, Seq, Stamp, TillId};
use protocol::latest::{
    Batch, EpochOpened, Event, EventBody, Mark, OpenReason, ReceiptHead, SaleCompleted, StoreHealth, encode_event,
};
use serde_bytes::ByteBuf;
use sync_core::Random;
use uuid::Uuid;

use super::curve::{Curve, MICRO};
use super::outbox::History;

/// Tills of a store, which take turns.
const TILLS: u64 = 3;

/// Pickup numbers begin anew after this many.
const PICKUP_NUMBERS: u64 = 9_000;

/// The place before the first event.
const BEFORE_ALL: Mark = Mark { seq: Seq::ZERO, hash: ChainHash::GENESIS };

/// Sales that an agent has priced, to be sold again under ids of their own. Encoded in place, so that nothing is copied.
#[derive(Debug)]
pub struct Templates {
    events: RefCell<Vec<Event>>,
    gross_minor: Vec<i64>,
    tills: Vec<TillId>,
}

impl Templates {
    /// Takes sales of one currency.
    pub fn new(sales: &[SaleCompleted]) -> Self {
        let at = Stamp { utc_ms: 0, offset_s: 0 };
        let event = |sale: &SaleCompleted| Event { id: EventId::new(Uuid::nil()), at, body: sale.clone().into() };
        let till = |number| TillId::new(format!("T{number}")).expect("a letter and a digit");
        Self {
            events: RefCell::new(sales.iter().map(event).collect()),
            gross_minor: sales.iter().map(|sale| sale.totals.gross_minor.minor()).collect(),
            tills: (1..=TILLS).map(till).collect(),
        }
    }
}

/// What is the same for all stores of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From which everything follows.
    pub seed: u64,
    /// When the run begins, in milliseconds since 1970 (UTC).
    pub begins_utc_ms: i64,
    /// Over how much time before the run a backlog was sold, in milliseconds.
    pub backlog_ms: u64,
}

/// Events that the centre cannot apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poison {
    /// One sale in so many; at least two.
    pub every: u64,
}

/// What one store does.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its number in the run, from zero.
    pub number: u64,
    /// Sales that it made before the run.
    pub backlog: u64,
    /// The sales of all who share the curve.
    pub curve: Arc<Curve>,
    /// How many stores share it.
    pub share: u64,
    /// What its clock is off by, in milliseconds.
    pub clock_off_ms: i64,
    /// What it sends that cannot be applied.
    pub poison: Option<Poison>,
}

/// One store's history.
#[derive(Debug)]
pub struct Story {
    plan: Plan,
    part: Part,
    templates: Rc<Templates>,
    seed: u64,
    epoch: Epoch,
    /// Sales that have happened.
    sales: u64,
    acked: Mark,
    /// The end of the batch that was made last.
    end: Mark,
}

impl Story {
    /// A store at the beginning of the run, with its backlog.
    pub fn new(plan: &Plan, part: Part, templates: Rc<Templates>) -> Self {
        let seed = Random::new(plan.seed ^ part.number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).next_u64();
        Self {
            epoch: Epoch::new(Random::new(seed).next_u64()),
            seed,
            sales: part.backlog,
            acked: BEFORE_ALL,
            end: BEFORE_ALL,
            plan: plan.clone(),
            part,
            templates,
        }
    }

    /// Lets everything happen up to a moment of the run. Says how many sales were made.
    pub fn advance(&mut self, at_ms: u64) -> u64 {
        let before = self.sales;
        let whole = self.part.curve.sum(at_ms) / self.stretch();
        let mut live = u64::try_from(whole).unwrap_or(u64::MAX);
        if self.moment_of_live(live).is_some_and(|moment| moment <= at_ms) {
            live += 1;
        }
        self.sales = self.sales.max(self.part.backlog.saturating_add(live));
        self.sales - before
    }

    /// When the next sale is made, in milliseconds since the beginning; none if there is none any more.
    pub fn next_sale_ms(&self) -> Option<u64> {
        self.moment_of_live(self.sales - self.part.backlog)
    }

    /// Sales that have happened.
    pub fn sales(&self) -> u64 {
        self.sales
    }

    /// Sales of them that are confirmed.
    pub fn acked_sales(&self) -> u64 {
        sales_up_to(self.acked.seq)
    }

    /// When a sale is made, by the true time: milliseconds since the beginning, negative before it.
    pub fn moment_ms(&self, sale: u64) -> i64 {
        let Some(live) = sale.checked_sub(self.part.backlog) else {
            let spread = u128::from(self.plan.backlog_ms) * u128::from(sale) / u128::from(self.part.backlog.max(1));
            return i64::try_from(spread).unwrap_or(i64::MAX) - i64::try_from(self.plan.backlog_ms).unwrap_or(i64::MAX);
        };
        self.moment_of_live(live).and_then(|ms| i64::try_from(ms).ok()).unwrap_or(i64::MAX)
    }

    /// Whether the centre has to park it.
    pub fn is_poison(&self, sale: u64) -> bool {
        self.part.poison.is_some_and(|poison| sale % poison.every == poison.every - 1)
    }

    /// What customers paid for it, in minor units.
    pub fn gross_minor(&self, sale: u64) -> i64 {
        let template = self.template(&mut self.random_of(sale));
        self.templates.gross_minor.get(template).copied().unwrap_or(0)
    }

    /// The bytes of an event.
    pub fn event(&self, seq: Seq) -> Vec<u8> {
        match seq.get().checked_sub(2) {
            None => self.opening(),
            Some(sale) if self.is_poison(sale) => self.poisoned(sale),
            Some(sale) => self.sale(sale),
        }
    }

    /// How much of the curve is one sale of this store, in millionths.
    fn stretch(&self) -> u128 {
        u128::from(self.part.share.max(1)) * MICRO
    }

    fn moment_of_live(&self, live: u64) -> Option<u64> {
        let mut random = Random::new(self.seed ^ live.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0x5EED);
        let within = random.below(u64::try_from(self.stretch()).unwrap_or(u64::MAX));
        // The first millionth of a stretch belongs to the one before.
        self.part.curve.reach(self.stretch() * u128::from(live) + u128::from(within) + 1)
    }

    fn random_of(&self, sale: u64) -> Random {
        Random::new(self.seed ^ sale.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn template(&self, random: &mut Random) -> usize {
        let count = self.templates.gross_minor.len().max(1) as u64;
        usize::try_from(random.below(count)).unwrap_or(0)
    }

    /// The store's own clock at a moment of the run.
    fn clock(&self, moment_ms: i64) -> Stamp {
        let utc_ms = self.plan.begins_utc_ms.saturating_add(moment_ms).saturating_add(self.part.clock_off_ms);
        Stamp { utc_ms, offset_s: 0 }
    }

    fn opening(&self) -> Vec<u8> {
        let before_all = i64::try_from(self.plan.backlog_ms).unwrap_or(i64::MAX).saturating_add(1_000);
        let at = self.clock(-before_all);
        let mut random = Random::new(self.seed ^ 0x09E4);
        let opened = EpochOpened {
            epoch: self.epoch,
            previous: None,
            reason: OpenReason::Start,
            agent_version: "load".to_owned(),
        };
        let event = Event { id: EventId::new(uuid_v7(at.utc_ms, &mut random)), at, body: opened.into() };
        encode_event(&event).expect("a small event")
    }

    fn sale(&self, sale: u64) -> Vec<u8> {
        self.with_sale(sale, |event| encode_event(event).expect("a generated sale is small"))
    }

    /// A sale as a body of its own.
    pub(crate) fn sale_body(&self, sale: u64) -> SaleCompleted {
        self.with_sale(sale, |event| match &event.body {
            EventBody::SaleCompleted(body) => (**body).clone(),
            _ => unreachable!("templates are sales"),
        })
    }

    fn with_sale<T>(&self, sale: u64, make: impl FnOnce(&Event) -> T) -> T {
        let mut random = self.random_of(sale);
        let template = self.template(&mut random);
        let at = self.clock(self.moment_ms(sale));
        let mut events = self.templates.events.borrow_mut();
        let event = events.get_mut(template).expect("there are templates");
        event.at = at;
        let sale_id = SaleId::new(uuid_v7(at.utc_ms, &mut random));
        event.id = EventId::new(uuid_v7(at.utc_ms, &mut random));
        if let EventBody::SaleCompleted(body) = &mut event.body {
            body.sale_id = sale_id;
            // Each till numbers its own receipts without gaps, as the agent does.
            let till = usize::try_from(sale % TILLS).unwrap_or(0);
            body.till_id.clone_from(&self.templates.tills[till]);
            body.receipt_no = sale / TILLS + 1;
            body.pickup_no = u32::try_from(sale % PICKUP_NUMBERS).unwrap_or(0) + 1;
            body.sold_at = at;
            body.business_date = BusinessDate::of(at, DayCutOff::default());
        }
        make(event)
    }

    /// So many sales are confirmed, by somebody who knows no hashes.
    pub(crate) fn settle(&mut self, sales: u64) {
        self.acked = Mark { seq: Seq::new(sales + 1), hash: ChainHash::GENESIS };
    }

    /// In turn: bytes that are no message, and an event of a kind that no centre knows.
    fn poisoned(&self, sale: u64) -> Vec<u8> {
        if (sale / self.part.poison.map_or(1, |poison| poison.every)).is_multiple_of(2) {
            return format!("\u{c1}this is no event: {sale}").into_bytes();
        }
        let mut bytes = self.sale(sale);
        let (known, unknown) = (SaleCompleted::KIND.as_bytes(), b"sale_levitated");
        if let Some(at) = bytes.windows(known.len()).position(|window| window == known) {
            bytes[at..at + unknown.len()].copy_from_slice(unknown);
        }
        bytes
    }

    /// Makes the hash up to an event; the bytes of those from `from` on go to `keep`.
    fn chain_to(&self, through: Seq, from: Seq, mut keep: impl FnMut(Vec<u8>)) -> ChainHash {
        let mut mark = self.nearest_before(from);
        while mark.seq < through {
            let seq = mark.seq.next();
            let bytes = self.event(seq);
            mark = Mark { seq, hash: mark.hash.then(&bytes) };
            if seq >= from {
                keep(bytes);
            }
        }
        mark.hash
    }

    /// The newest known mark before an event.
    fn nearest_before(&self, seq: Seq) -> Mark {
        [self.end, self.acked].into_iter().find(|mark| mark.seq < seq).unwrap_or(BEFORE_ALL)
    }
}

impl History for Story {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> Seq {
        Seq::new(self.sales + 1)
    }

    fn acked(&self) -> Seq {
        self.acked.seq
    }

    fn batch(&mut self, from: Seq, events_max: usize) -> Option<Batch> {
        if from < Seq::FIRST || from > self.head() {
            return None;
        }
        let through = from.previous().plus(events_max as u64).min(self.head());
        let prev_hash = self.hash_at(from.previous())?;
        let mut events = Vec::new();
        let hash = self.chain_to(through, from, |bytes| events.push(ByteBuf::from(bytes)));
        self.end = Mark { seq: through, hash };
        (!events.is_empty()).then_some(Batch { epoch: self.epoch, first_seq: from, prev_hash, events })
    }

    fn note_end(&mut self, end: Mark) {
        self.end = end;
    }

    fn hash_at(&self, seq: Seq) -> Option<ChainHash> {
        if seq > self.head() {
            return None;
        }
        let known = self.nearest_before(seq.next());
        if known.seq == seq {
            return Some(known.hash);
        }
        Some(self.chain_to(seq, seq, drop))
    }

    fn confirm(&mut self, mark: Mark) -> bool {
        let agrees = self.hash_at(mark.seq) == Some(mark.hash);
        if agrees && mark.seq > self.acked.seq {
            self.acked = mark;
        }
        agrees
    }

    fn rewind(&mut self, to: Seq) {
        if let Some(hash) = self.hash_at(to) {
            self.acked = Mark { seq: to, hash };
        }
    }

    fn health(&self, utc_ms: i64) -> StoreHealth {
        let acked = self.acked_sales();
        let oldest = (acked < self.sales).then(|| self.clock(self.moment_ms(acked)).utc_ms);
        let receipts = (0..TILLS).zip(&self.templates.tills).filter_map(|(till, till_id)| {
            let receipt_no = (self.sales + TILLS - 1 - till) / TILLS;
            (receipt_no > 0).then(|| ReceiptHead::new(till_id.clone(), receipt_no))
        });
        StoreHealth {
            clock: Stamp { utc_ms: utc_ms.saturating_add(self.part.clock_off_ms), offset_s: 0 },
            agent_version: "load".to_owned(),
            epoch: self.epoch,
            head: History::head(self),
            outbox_events: History::head(self).since(self.acked.seq),
            outbox_oldest_ms: oldest,
            disk_free_bytes: None,
            receipts: receipts.collect(),
        }
    }
}

/// How many sales there are up to an event.
pub(super) fn sales_up_to(seq: Seq) -> u64 {
    seq.get().saturating_sub(1)
}

/// A version 7 UUID (RFC 9562): 48 bits of time in milliseconds, then random bits.
fn uuid_v7(utc_ms: i64, random: &mut Random) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(u64::try_from(utc_ms).unwrap_or(0) << 16 | random.next_u64() & 0xffff).to_be_bytes());
    bytes[8..].copy_from_slice(&random.next_u64().to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
