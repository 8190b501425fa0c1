//! Whose turn it is.
//!
//! A store with more to send than a few events waits in a queue, first come first served, until the window has room for a
//! batch of it. Its turn lasts until that batch is committed, or is not heard of for too long. How much a store has is what it
//! said last, in a `Hello` or a heartbeat, less what it has sent since; one that fills its batches has more, whatever it said.
//! What a turn takes of the window is what the store may send; once its batch is there, what it did send. A store whose batches
//! stay small, though it has more, is expected to send as little again: or the window would be full of nothing.

use std::collections::{BTreeMap, VecDeque};

use pos_model::StoreId;

use super::super::Route;
use crate::Instant;

/// A store that was not heard of for this long is forgotten, in milliseconds: several heartbeats.
const SILENT_MS: u64 = 120_000;

/// Who has no more than this to send needs no turn.
const FEW: u64 = 10;

/// For how long a turn is kept for a batch that does not come, in milliseconds: the way there, the way back, and what a
/// store needs to read its disk.
const TURN_MS: u64 = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has nothing to send, or next to nothing.
    Free,
    /// It waits for its turn, by this entry of the queue.
    Waiting { entry: u64 },
    /// It has its turn: a batch of about so many events is to come before that moment.
    Called { events: u64, before: Instant },
    /// That batch has come.
    Sent { events: u64 },
}

#[derive(Debug)]
struct Known {
    to: Route,
    backlog: u64,
    heard: Instant,
    place: Place,
    /// The size of its last batch, if it had more to send and was allowed to: what it can put into one.
    batch_most: Option<u64>,
}

impl Known {
    /// What its next batch is expected to hold, of `more` that it has.
    fn expected(&self, more: u64, batch: u64) -> u64 {
        more.clamp(1, batch).min(self.batch_most.map_or(u64::MAX, |most| most.max(FEW)))
    }
}

/// The stores that were heard of lately, and the queue.
#[derive(Debug, Default)]
pub(super) struct Turns {
    stores: BTreeMap<StoreId, Known>,
    /// Those that wait, and some that do no more: who waits does so by one entry.
    queue: VecDeque<(u64, StoreId)>,
    entries: u64,
    waiting: usize,
    on_their_way: u64,
}

impl Turns {
    fn known(&mut self, store: &StoreId, to: Route, now: Instant) -> &mut Known {
        if !self.stores.contains_key(store) {
            self.stores
                .insert(store.clone(), Known { to, backlog: 0, heard: now, place: Place::Free, batch_most: None });
        }
        let known = self.stores.get_mut(store).expect("it was put in");
        (known.to, known.heard) = (to, now);
        known
    }

    /// A store says that it has so many events to send.
    pub(super) fn heard(&mut self, store: &StoreId, to: Route, backlog: u64, now: Instant) {
        self.known(store, to, now).backlog = backlog;
    }

    /// The same, of a store that begins anew: nothing of it is on its way any more.
    pub(super) fn came_in(&mut self, store: &StoreId, to: Route, backlog: u64, now: Instant) {
        self.known(store, to, now).batch_most = None;
        self.heard(store, to, backlog, now);
        self.over(store);
    }

    /// A store's batch of so many events is committed. Returns how many it has left; `batch` is what it may send at once.
    pub(super) fn sent(&mut self, store: &StoreId, to: Route, events: u64, batch: u64, now: Instant) -> u64 {
        self.over(store);
        let known = self.known(store, to, now);
        known.backlog = known.backlog.saturating_sub(events);
        known.batch_most = (known.backlog > 0 && events < batch).then_some(events);
        if events.saturating_mul(2) > batch { known.backlog.max(events) } else { known.backlog }
    }

    /// A store's batch of so many events has come.
    pub(super) fn arrived(&mut self, store: &StoreId, events: u64) {
        if let Some(known) = self.stores.get_mut(store)
            && let Place::Called { events: expected, .. } = known.place
        {
            known.place = Place::Sent { events };
            self.on_their_way = self.on_their_way.saturating_sub(expected).saturating_add(events);
        }
    }

    /// A store's turn is over.
    pub(super) fn over(&mut self, store: &StoreId) {
        if let Some(known) = self.stores.get_mut(store)
            && let Place::Called { events, .. } | Place::Sent { events } = known.place
        {
            known.place = Place::Free;
            self.on_their_way = self.on_their_way.saturating_sub(events);
        }
    }

    /// A store is served by another server: its turn, or its place in the queue, is others'.
    pub(super) fn forget(&mut self, store: &StoreId) {
        self.over(store);
        if let Some(known) = self.stores.remove(store)
            && let Place::Waiting { .. } = known.place
        {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    /// Whether a store that has so much more to send may go on at once. If not, it waits for its turn.
    pub(super) fn may_send(&mut self, store: &StoreId, more: u64, window: u64, batch: u64, now: Instant) -> bool {
        let Some(known) = self.stores.get_mut(store) else { return true };
        if let Place::Waiting { .. } = known.place {
            return false;
        }
        if more <= FEW {
            return true;
        }
        let events = known.expected(more, batch);
        let has_room = self.on_their_way == 0 || self.on_their_way.saturating_add(events) <= window;
        if self.waiting == 0 && has_room {
            known.place = Place::Called { events, before: now.after_ms(TURN_MS) };
            self.on_their_way = self.on_their_way.saturating_add(events);
            return true;
        }
        self.entries += 1;
        known.place = Place::Waiting { entry: self.entries };
        self.waiting += 1;
        self.queue.push_back((self.entries, store.clone()));
        false
    }

    /// Calls the first store of the queue, if there is room for it.
    pub(super) fn next(&mut self, window: u64, batch: u64, now: Instant) -> Option<(StoreId, Route)> {
        loop {
            let &(entry, ref store) = self.queue.front()?;
            let waits = |known: &&mut Known| known.place == Place::Waiting { entry };
            let Some(known) = self.stores.get_mut(store).filter(waits) else {
                self.queue.pop_front();
                continue;
            };
            let events = known.expected(known.backlog, batch);
            if self.on_their_way > 0 && self.on_their_way.saturating_add(events) > window {
                return None;
            }
            known.place = Place::Called { events, before: now.after_ms(TURN_MS) };
            self.on_their_way = self.on_their_way.saturating_add(events);
            self.waiting = self.waiting.saturating_sub(1);
            let to = known.to;
            return self.queue.pop_front().map(|(_, store)| (store, to));
        }
    }

    /// Stores that wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// Events of the turns that are not over.
    pub(super) fn on_their_way(&self) -> u64 {
        self.on_their_way
    }

    /// Stores that were heard of lately.
    pub(super) fn heard_count(&self) -> usize {
        self.stores.len()
    }

    /// Ends the turns of those of whom nothing has come, and forgets stores that were not heard of for long.
    pub(super) fn forget_silent(&mut self, now: Instant) {
        let (mut given_back, mut gone) = (0, 0);
        self.stores.retain(|_, known| {
            if let Place::Called { events, before } = known.place
                && before <= now
            {
                known.place = Place::Free;
                given_back += events;
            }
            let is_at_work = matches!(known.place, Place::Called { .. } | Place::Sent { .. });
            let is_there = is_at_work || now.ms_since(known.heard) < SILENT_MS;
            if !is_there && matches!(known.place, Place::Waiting { .. }) {
                gone += 1;
            }
            is_there
        });
        self.on_their_way = self.on_their_way.saturating_sub(given_back);
        self.waiting = self.waiting.saturating_sub(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_another_server_serves_is_not_waited_for() {
        let at = Instant::from_ms(1_000);
        let [a, b, c] = ["a", "b", "c"].map(|id| StoreId::new(id).expect("valid"));
        let mut turns = Turns::default();
        let mut comes_in = |store: &StoreId| {
            turns.came_in(store, Route(0), 1_000, at);
            turns.may_send(store, 1_000, 500, 500, at)
        };
        assert_eq!([&a, &b, &c].map(&mut comes_in), [true, false, false]);
        assert_eq!((turns.waiting_count(), turns.on_their_way()), (2, 500));
        turns.forget(&a);
        turns.forget(&b);
        assert_eq!((turns.waiting_count(), turns.on_their_way()), (1, 0));
        assert_eq!(turns.next(500, 500, at).map(|(store, _)| store), Some(c));
        // What was on its way from it is committed all the same, and counts for nothing here.
        assert_eq!((turns.sent(&a, Route(0), 500, 500, at), turns.on_their_way()), (500, 500));
    }

    #[test]
    fn a_store_that_falls_silent_before_its_turn_gives_its_share_back() {
        let at = |ms: u64| Instant::from_ms(1_000 + ms);
        let [a, b] = ["a", "b"].map(|id| StoreId::new(id).expect("valid"));
        let mut turns = Turns::default();
        for store in [&a, &b] {
            turns.came_in(store, Route(0), 1_000, at(0));
            turns.may_send(store, 1_000, 500, 500, at(0));
        }
        turns.over(&a);
        let before_its_end = SILENT_MS - 3_000;
        assert_eq!(turns.next(500, 500, at(before_its_end)).map(|(store, _)| store), Some(b));
        for ms in [SILENT_MS, before_its_end + TURN_MS, SILENT_MS + TURN_MS] {
            turns.forget_silent(at(ms));
        }
        assert_eq!((turns.on_their_way(), turns.heard_count()), (0, 0));
    }

    #[test]
    fn a_store_that_comes_back_waits_at_the_end_of_the_queue() {
        let at = |ms: u64| Instant::from_ms(1_000 + ms);
        let [a, b, c] = ["a", "b", "c"].map(|id| StoreId::new(id).expect("valid"));
        let mut turns = Turns::default();
        for store in [&a, &b] {
            turns.came_in(store, Route(0), 1_000, at(0));
            turns.may_send(store, 1_000, 500, 500, at(0));
        }
        turns.forget_silent(at(SILENT_MS));
        for store in [&a, &c, &b] {
            turns.came_in(store, Route(0), 1_000, at(SILENT_MS));
            turns.may_send(store, 1_000, 500, 500, at(SILENT_MS));
        }
        turns.over(&a);
        assert_eq!(turns.next(500, 500, at(SILENT_MS)).map(|(store, _)| store), Some(c));
    }
}
