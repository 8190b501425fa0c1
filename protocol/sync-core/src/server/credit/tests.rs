//! A chain of stores against a centre of a certain speed, in milliseconds that only exist here.

use std::collections::{BTreeMap, VecDeque};

use pos_model::{ChainHash, Epoch, Seq, StoreId};
use protocol::latest::{Credit, Downlink, Mark};

use super::*;
use crate::server::{
    Admission, BatchOutcome, HelloOutcome, Outcome, Question, Route, ServerEffect, ServerSync, Ticket,
};

/// Both ways over the network, in milliseconds.
const TRIP_MS: u64 = 4;

/// What a commit costs beside its events, in milliseconds.
const COMMIT_MS: u64 = 5;

/// What an event occupies while it waits, in bytes.
const EVENT_BYTES: usize = 1_000;

struct Store {
    id: StoreId,
    backlog: u64,
    /// Sales a thousand seconds.
    sells: u64,
    sold_milli: u64,
    /// What it puts into one batch at the most.
    batch_max: u64,
    credit: Credit,
    ready_at: u64,
    is_waiting: bool,
    committed: u64,
    refused: u64,
}

struct Chain {
    now: u64,
    sync: ServerSync,
    stores: Vec<Store>,
    /// Events a second that the ledger takes.
    speed: u64,
    group: Vec<Ticket>,
    done_at: u64,
    tickets: BTreeMap<Ticket, (usize, u64, u64)>,
    next: u64,
    /// For each committed batch: when, how many events, how long it took from the store's sending.
    commits: VecDeque<(u64, u64, u64)>,
}

impl Chain {
    fn new(stores: usize, backlog: u64, speed: u64, limits: ServerLimits) -> Self {
        let store = |number: usize| Store {
            id: StoreId::new(format!("s{number}")).expect("valid"),
            backlog,
            sells: 0,
            sold_milli: 0,
            batch_max: 500,
            credit: Credit { events: 500, hold_ms: 0 },
            ready_at: 0,
            is_waiting: false,
            committed: 0,
            refused: 0,
        };
        Self {
            now: 0,
            sync: ServerSync::new(1, limits),
            stores: (0..stores).map(store).collect(),
            speed,
            group: Vec::new(),
            done_at: 0,
            tickets: BTreeMap::new(),
            next: 0,
            commits: VecDeque::new(),
        }
    }

    fn ask(&mut self, number: usize, question: Question, events: u64) {
        self.next += 1;
        let (ticket, bytes) = (Ticket(self.next), 200 + usize::try_from(events).expect("small") * EVENT_BYTES);
        let store = &mut self.stores[number];
        let now = Instant::from_ms(self.now);
        match self.sync.handle_message(ticket, Route(0), store.id.clone(), question, bytes, now) {
            Admission::Queued => {
                store.is_waiting = true;
                self.tickets.insert(ticket, (number, events, self.now));
            }
            Admission::Refused(_) => {
                store.refused += 1;
                store.ready_at = self.now + 500 + (self.next * 7_919) % 3_500;
            }
        }
    }

    /// Lets all stores say hello at once.
    fn come_in(&mut self) {
        for number in 0..self.stores.len() {
            let backlog = self.stores[number].backlog;
            self.ask(number, Question::Hello { session: 1, backlog }, 0);
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for number in 0..self.stores.len() {
            let store = &mut self.stores[number];
            store.sold_milli += store.sells;
            store.backlog += store.sold_milli / 1_000_000;
            store.sold_milli %= 1_000_000;
            if !store.is_waiting && store.backlog > 0 && store.ready_at <= now {
                if store.credit.events == 0 {
                    let backlog = store.backlog;
                    self.ask(number, Question::Hello { session: 1, backlog }, 0);
                    continue;
                }
                let events = store.backlog.min(u64::from(store.credit.events)).min(store.batch_max);
                let size = usize::try_from(events).expect("small");
                self.ask(number, Question::Batch { epoch: Epoch::new(1), events: size }, events);
            }
        }
        if !self.group.is_empty() && self.done_at <= now {
            self.commit();
        }
        if self.group.is_empty()
            && let Some(group) = self.sync.poll_group(Instant::from_ms(now))
        {
            let events: u64 = group.iter().map(|ticket| self.tickets[ticket].1).sum();
            self.done_at = now + COMMIT_MS + events * 1000 / self.speed;
            self.group = group;
        }
        self.hear();
    }

    fn commit(&mut self) {
        let outcome = |ticket: &Ticket| {
            let mark = Mark { seq: Seq::new(1), hash: ChainHash::GENESIS };
            if self.tickets[ticket].1 == 0 {
                return Outcome::Hello(HelloOutcome { cursors: vec![], receipts: vec![] });
            }
            let batch =
                BatchOutcome { through: mark, cursor: mark, applied: 1, parked: vec![], forked: false, rewind: false };
            Outcome::Batch(batch)
        };
        let outcomes = self.group.iter().map(outcome).collect();
        self.sync.handle_committed(outcomes, Instant::from_ms(self.now), 0);
        for ticket in std::mem::take(&mut self.group) {
            let (number, events, sent_at) = self.tickets[&ticket];
            let store = &mut self.stores[number];
            store.is_waiting = false;
            store.backlog -= events;
            store.committed += events;
            if events > 0 {
                self.commits.push_back((self.now, events, self.now - sent_at));
            }
        }
    }

    fn hear(&mut self) {
        while let Some(effect) = self.sync.poll_effect() {
            if let ServerEffect::Send { store, message, .. } | ServerEffect::Call { store, message, .. } = effect {
                let credit = match message {
                    Downlink::Ack(ack) => ack.credit,
                    Downlink::Welcome(welcome) => welcome.credit,
                    Downlink::Turn(turn) => turn.credit,
                    Downlink::Pulse(_) | Downlink::Compare(_) | Downlink::Recall(_) => continue,
                };
                let number: usize = store.as_str()[1..].parse().expect("a number");
                self.stores[number].credit = credit;
                self.stores[number].ready_at = self.now + TRIP_MS + u64::from(credit.hold_ms);
            }
        }
    }

    /// Events a second, and the longest and the mean time of a batch, of the last `ms`.
    fn lately(&self, ms: u64) -> (u64, u64, u64) {
        let since = self.now - ms;
        let recent: Vec<_> = self.commits.iter().filter(|commit| commit.0 > since).collect();
        let events: u64 = recent.iter().map(|commit| commit.1).sum();
        let longest = recent.iter().map(|commit| commit.2).max().unwrap_or(0);
        let mean = recent.iter().map(|commit| commit.2).sum::<u64>() / (recent.len().max(1) as u64);
        (events * 1000 / ms, longest, mean)
    }
}

#[test]
fn a_backlog_is_taken_in_near_the_speed_of_the_ledger_and_nothing_waits_long() {
    for (stores, speed) in [(20, 100_000), (300, 20_000), (1_000, 100_000), (1_000, 3_000)] {
        let mut chain = Chain::new(stores, 100_000_000, speed, ServerLimits::PRODUCTION);
        chain.come_in();
        chain.run(240_000);
        let (per_s, longest_ms, mean_ms) = chain.lately(30_000);
        let state = chain.sync.credit_state();
        let text = format!("{stores} stores at {speed}: {per_s}/s, {mean_ms} to {longest_ms} ms, {state:?}");
        assert!(per_s >= speed * 3 / 4, "{text}");
        assert!(mean_ms <= 500 && longest_ms <= 3_000, "{text}");
        let shares: Vec<u64> = chain.stores.iter().map(|store| store.committed).collect();
        let (least, most) = (shares.iter().min().expect("stores"), shares.iter().max().expect("stores"));
        // The first batches were larger than those that a slow ledger grants.
        assert!(least * 3 > *most, "fair over stores: {least} to {most}; {text}");
    }
}

#[test]
fn small_batches_fill_the_ledger_as_large_ones_do() {
    let mut chain = Chain::new(1_000, 100_000_000, 100_000, ServerLimits::PRODUCTION);
    chain.stores.iter_mut().for_each(|store| store.batch_max = 10);
    chain.come_in();
    chain.run(30_000);
    let (per_s, _, mean_ms) = chain.lately(20_000);
    let text = format!("{per_s}/s, {mean_ms} ms, {:?}", chain.sync.credit_state());
    assert!(per_s >= 75_000 && mean_ms <= 500, "{text}");
}

#[test]
fn a_fast_ledger_is_found_to_be_fast_within_seconds() {
    let mut chain = Chain::new(1_000, 100_000_000, 400_000, ServerLimits::PRODUCTION);
    chain.come_in();
    chain.run(4_000);
    assert!(chain.lately(1_000).0 >= 300_000, "{:?} {:?}", chain.lately(1_000), chain.sync.credit_state());
}

#[test]
fn whoever_sends_little_does_not_wait_behind_those_with_a_backlog() {
    let mut chain = Chain::new(110, 100_000_000, 20_000, ServerLimits::PRODUCTION);
    for store in &mut chain.stores[100..] {
        (store.backlog, store.sells) = (0, 1_000);
    }
    chain.come_in();
    chain.run(60_000);
    for store in &chain.stores[100..] {
        assert!(store.backlog <= 3, "a fresh sale waits: {}", store.backlog);
    }
    assert!(chain.lately(30_000).0 >= 15_000);
}

#[test]
fn a_ledger_that_is_slow_for_a_minute_is_left_in_peace_and_found_well_again() {
    let mut chain = Chain::new(500, 100_000_000, 100_000, ServerLimits::PRODUCTION);
    chain.come_in();
    chain.run(30_000);
    assert!(chain.lately(10_000).0 >= 75_000, "{:?}", chain.lately(10_000));
    chain.speed = 1_000;
    chain.run(60_000);
    let slow = chain.sync.credit_state();
    assert!(slow.window_events <= 1_000, "{slow:?}");
    let queued = chain.sync.queued_bytes();
    assert!(queued < ServerLimits::PRODUCTION.queue_bytes_max / 4, "{queued} bytes wait");
    chain.speed = 100_000;
    chain.run(60_000);
    assert!(chain.lately(20_000).0 >= 70_000, "{:?}", chain.lately(20_000));
}

#[test]
fn the_operators_limit_is_kept_in_every_second() {
    let limits = ServerLimits { events_per_s_max: Some(5_000), ..ServerLimits::PRODUCTION };
    let mut chain = Chain::new(200, 100_000_000, 100_000, limits);
    chain.come_in();
    chain.run(40_000);
    let mut seconds = BTreeMap::<u64, u64>::new();
    for (at, events, _) in &chain.commits {
        *seconds.entry(at / 1000).or_default() += events;
    }
    // A second, the bucket, and one batch across the border.
    assert!(seconds.values().all(|&events| events <= 6_000), "{seconds:?}");
    assert!(chain.lately(20_000).0 >= 4_000, "{:?}", chain.lately(20_000));
    assert!(chain.lately(20_000).2 <= 1_000, "{:?}", chain.lately(20_000));
    chain.sync.set_events_per_s_max(None, Instant::from_ms(chain.now));
    chain.run(60_000);
    assert!(chain.lately(10_000).0 >= 70_000, "{:?}", chain.lately(10_000));
}

#[test]
fn the_first_cut_is_felt_also_below_the_operators_limit() {
    let limits = ServerLimits { events_per_s_max: Some(8_000), ..ServerLimits::PRODUCTION };
    let mut chain = Chain::new(500, 100_000_000, 100_000, limits);
    chain.come_in();
    chain.run(20_000);
    let limited = chain.sync.credit_state();
    assert_eq!(limited.window_events, 2_000, "{limited:?}");
    chain.speed = 1_000;
    chain.run(5_000);
    let slow = chain.sync.credit_state();
    assert!(slow.cuts > limited.cuts && slow.window_events <= 1_000, "{slow:?}");
}

#[test]
fn the_operators_limit_is_kept_whoever_sends_and_however_low_it_is() {
    for (stores, per_s) in [(1, 10), (1, 1_000), (1, 4_000), (3, 100), (500, 10), (500, 200)] {
        let limits = ServerLimits { events_per_s_max: Some(per_s), ..ServerLimits::PRODUCTION };
        let mut chain = Chain::new(stores, 100_000_000, 100_000, limits);
        chain.come_in();
        chain.run(90_000);
        let (lately, longest_ms, _) = chain.lately(60_000);
        let refused: u64 = chain.stores.iter().map(|store| store.refused).sum();
        let state = chain.sync.credit_state();
        let text = format!("{stores} stores, {per_s}/s: {lately}/s, {longest_ms} ms, {refused} refused, {state:?}");
        assert!(lately <= per_s + per_s / 10 && lately >= per_s * 8 / 10, "{text}");
        assert!(longest_ms <= 2_500 && refused == 0, "{text}");
        assert_eq!((state.reason, state.cuts), (Reason::Limited, 0), "{text}");
    }
}

#[test]
fn a_limit_that_is_raised_holds_nobody_back_for_what_was_taken_before() {
    let limits = ServerLimits { events_per_s_max: Some(10), ..ServerLimits::PRODUCTION };
    let mut sync = ServerSync::new(1, limits);
    let store = StoreId::new("s0").expect("valid");
    for (ticket, ms) in [(1, 1_000), (2, 1_010)] {
        let question = Question::Batch { epoch: Epoch::new(1), events: 500 };
        sync.handle_message(Ticket(ticket), Route(0), store.clone(), question, 1, Instant::from_ms(ms));
    }
    assert_eq!(sync.poll_group(Instant::from_ms(1_010)), Some(vec![Ticket(1)]));
    let mark = Mark { seq: Seq::new(1), hash: ChainHash::GENESIS };
    let applied =
        BatchOutcome { through: mark, cursor: mark, applied: 1, parked: vec![], forked: false, rewind: false };
    sync.handle_committed(vec![Outcome::Batch(applied)], Instant::from_ms(1_020), 0);
    assert_eq!(sync.poll_group(Instant::from_ms(2_000)), None);
    sync.set_events_per_s_max(Some(5_000), Instant::from_ms(2_000));
    assert_eq!(sync.poll_group(Instant::from_ms(2_100)), Some(vec![Ticket(2)]));
}

#[test]
fn stores_that_come_back_begin_one_after_the_other() {
    let mut chain = Chain::new(2_000, 400, 100_000, ServerLimits::PRODUCTION);
    chain.come_in();
    chain.run(30_000);
    assert!(chain.stores.iter().all(|store| store.backlog == 0));
    let refused: u64 = chain.stores.iter().map(|store| store.refused).sum();
    assert_eq!(refused, 0);
    // Eight hundred thousand events at a hundred thousand a second.
    let last = chain.commits.back().expect("commits").0;
    assert!((8_000..12_000).contains(&last), "{last} ms");
    assert!(chain.commits.iter().all(|commit| commit.2 < 500));
}

#[test]
fn a_quiet_centre_holds_nobody() {
    let mut chain = Chain::new(50, 0, 100_000, ServerLimits::PRODUCTION);
    chain.stores.iter_mut().for_each(|store| store.sells = 500);
    chain.come_in();
    chain.run(20_000);
    let state = chain.sync.credit_state();
    assert_eq!((state.reason, state.stores_waiting, state.batch_events), (Reason::Open, 0, 500), "{state:?}");
    assert_eq!(state.stores_heard, 50);
    assert!(chain.commits.iter().all(|commit| commit.2 <= 20));
}
