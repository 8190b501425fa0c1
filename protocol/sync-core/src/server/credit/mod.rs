//! How fast stores may send.
//!
//! Four rules work together, each in a file of its own:
//! - [`window`]: how many events may be on their way from stores with a backlog, sent or about to be, and not yet committed.
//!   It grows while commits are in time and shrinks when messages wait too long. New ones are let in as old ones are
//!   committed, so the stores follow the ledger at once, however fast or slow it is.
//! - [`turns`]: who has more to send waits for a turn, which the centre tells; turns go round, a batch each. So backlogs share
//!   the centre evenly, however large each is and however many come back at once. A store that has sent all it had waits
//!   for nothing, so a fresh sale passes beside other stores' backlogs.
//! - [`group`]: how much is committed together, so that a commit takes no longer than a store's patience.
//! - [`cap`]: an operator's limit on events a second, which no group exceeds.
//!
//! All is decided from what was measured here; a store says nothing but how much it has to send, which it may.

mod cap;
mod group;
#[cfg(test)]
mod tests;
mod turns;
mod window;

pub use window::Reason;

use pos_model::StoreId;
use protocol::latest::Credit;

use super::Route;
use crate::{Instant, ServerLimits};
use cap::Cap;
use group::GroupSize;
use turns::Turns;
use window::{Sight, Window};

/// The smallest batch that is granted: smaller ones cost more to carry than they bring.
const EVENTS_MIN: u64 = 10;

/// A full batch is at the most this part of the window, so that several stores share a small one.
const BATCH_SHARE: u64 = 8;

/// What one store more adds to the span over which stores come back, in milliseconds: five hundred log in a second, which
/// leaves most of the centre to the sales.
const RECONNECT_MS: u32 = 2;

/// The longest such span, in milliseconds.
const RECONNECT_SPREAD_MS_MAX: u32 = 60_000;

/// How the controller stands, and why: for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditState {
    /// Events that may be on their way from stores with a backlog.
    pub window_events: u64,
    /// Events that are.
    pub on_their_way_events: u64,
    /// Events that the next batch of a store may hold.
    pub batch_events: u32,
    /// Stores that wait for their turn.
    pub stores_waiting: usize,
    /// Why the window is what it is.
    pub reason: Reason,
    /// How long messages waited from their arrival to their commit lately, in milliseconds.
    pub lag_ms: u64,
    /// How long they may, before the window shrinks, in milliseconds.
    pub lag_ms_target: u64,
    /// Events that were committed a second lately.
    pub committed_per_s: u64,
    /// Stores that were heard of lately.
    pub stores_heard: usize,
    /// How often the window was cut.
    pub cuts: u64,
    /// Commits that failed since the last one that did not.
    pub failures: u32,
    /// The operator's limit, in events a second.
    pub cap_per_s: Option<u64>,
}

/// A store's turn has come.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) to: Route,
    pub(super) store: StoreId,
    pub(super) credit: Credit,
}

/// The controller.
#[derive(Debug)]
pub(super) struct CreditControl {
    limits: ServerLimits,
    window: Window,
    turns: Turns,
    group: GroupSize,
    cap: Cap,
    failures: u32,
    /// The operator's limit held messages back since the last look.
    is_limited: bool,
}

impl CreditControl {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self {
            window: Window::default(),
            turns: Turns::default(),
            group: GroupSize::new(limits.group_events_max as u64),
            cap: Cap::new(limits.events_per_s_max),
            failures: 0,
            is_limited: false,
            limits,
        }
    }

    /// A store's batch of so many events has come, and waits for its group.
    pub(super) fn arrived(&mut self, store: &StoreId, events: usize) {
        self.turns.arrived(store, u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// A store's batch is gone: it was refused, or its group failed. The store comes again by itself.
    pub(super) fn gone(&mut self, store: &StoreId) {
        self.turns.over(store);
    }

    /// A store is served by another server.
    pub(super) fn forget(&mut self, store: &StoreId) {
        self.turns.forget(store);
    }

    /// A group of so many events is durable. Its oldest message came at `arrived`, its commit began at `began`.
    pub(super) fn committed(&mut self, events: u64, arrived: Instant, began: Instant, now: Instant) {
        self.failures = 0;
        self.window.committed(events, now.ms_since(arrived));
        self.group.committed(events, now.ms_since(began));
    }

    /// A group could not be committed.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.window.failed();
    }

    /// Looks whether the window is to change. `oldest` is when the oldest message that is not committed came; `is_full` says
    /// that the queue holds as much as it should.
    pub(super) fn look(&mut self, oldest: Option<Instant>, is_full: bool, now: Instant) {
        let sight = Sight {
            waits_ms: oldest.map_or(0, |oldest| now.ms_since(oldest)),
            is_full,
            is_short: self.turns.waiting_count() > 0,
            is_limited: self.is_limited,
            at_most: self.limited_events(),
        };
        if self.window.look(now, sight, self.limits.lag_ms_target) {
            self.is_limited = false;
            self.turns.forget_silent(now);
        }
    }

    /// The next store whose turn has come.
    pub(super) fn next_turn(&mut self, now: Instant) -> Option<Turn> {
        if self.failures > 0 {
            return None;
        }
        let batch = self.batch_events();
        let (store, to) = self.turns.next(self.window_events(), u64::from(batch), now)?;
        Some(Turn { to, store, credit: Credit { events: batch, hold_ms: 0 } })
    }

    /// What goes with the answer to a store's batch of so many events.
    pub(super) fn after_batch(&mut self, store: &StoreId, to: Route, events: usize, now: Instant) -> Credit {
        let (events, batch) = (u64::try_from(events).unwrap_or(u64::MAX), u64::from(self.batch_events()));
        let more = self.turns.sent(store, to, events, batch, now);
        self.credit(store, more, now)
    }

    /// What goes with the answer to a store that comes in and says that it has so many events to send.
    pub(super) fn for_newcomer(&mut self, store: &StoreId, to: Route, backlog: u64, now: Instant) -> Credit {
        self.turns.came_in(store, to, backlog, now);
        self.credit(store, backlog, now)
    }

    /// Notes that a store is there, and how much it has to send.
    pub(super) fn heard(&mut self, store: &StoreId, to: Route, backlog: u64, now: Instant) {
        self.turns.heard(store, to, backlog, now);
    }

    fn credit(&mut self, store: &StoreId, more: u64, now: Instant) -> Credit {
        let events = self.batch_events();
        if self.turns.may_send(store, more, self.window_events(), u64::from(events), now) {
            Credit { events, hold_ms: 0 }
        } else {
            // A pause, which its turn ends. If that is lost on the way the store asks after it.
            Credit { events: 0, hold_ms: self.limits.hold_ms_max }
        }
    }

    /// The window, or less.
    fn window_events(&self) -> u64 {
        self.window.events().min(self.limited_events())
    }

    /// What an operator's limit lets through within the lag that is aimed at.
    fn limited_events(&self) -> u64 {
        self.cap.in_ms(self.limits.lag_ms_target).map_or(u64::MAX, |events| events.max(EVENTS_MIN))
    }

    fn batch_events(&self) -> u32 {
        let events = (self.window_events() / BATCH_SHARE).max(EVENTS_MIN);
        u32::try_from(events).unwrap_or(u32::MAX).min(self.limits.batch_events_max)
    }

    /// How wide stores are to spread when they come back after a loss, in milliseconds.
    pub(super) fn reconnect_spread_ms(&self) -> u32 {
        let by_number = u32::try_from(self.turns.heard_count()).unwrap_or(u32::MAX).saturating_mul(RECONNECT_MS);
        let least = self.limits.reconnect_spread_ms;
        by_number.clamp(least, RECONNECT_SPREAD_MS_MAX.max(least))
    }

    /// Events that the next group may hold.
    pub(super) fn room(&mut self, now: Instant) -> u64 {
        self.cap.room(now).min(self.group.events_max())
    }

    /// A group of so many events begins.
    pub(super) fn began(&mut self, events: u64) {
        self.cap.spend(events);
    }

    /// The operator's limit lets nothing through at present.
    pub(super) fn limited(&mut self) {
        self.is_limited = true;
    }

    /// When the limit lets so many events through, if it does not yet.
    pub(super) fn opens_at(&self, events: u64, now: Instant) -> Option<Instant> {
        self.cap.opens_at(events, now)
    }

    /// Sets the operator's limit, or none.
    pub(super) fn set_cap(&mut self, per_s: Option<u64>, now: Instant) {
        self.cap.set(per_s, now);
    }

    /// How it stands.
    pub(super) fn state(&self) -> CreditState {
        CreditState {
            window_events: self.window_events(),
            on_their_way_events: self.turns.on_their_way(),
            batch_events: self.batch_events(),
            stores_waiting: self.turns.waiting_count(),
            reason: if self.failures > 0 { Reason::Failing } else { self.window.reason() },
            lag_ms: self.window.lag_ms(),
            lag_ms_target: self.limits.lag_ms_target,
            committed_per_s: self.window.committed_per_s(),
            stores_heard: self.turns.heard_count(),
            cuts: self.window.cuts(),
            failures: self.failures,
            cap_per_s: self.cap.per_s(),
        }
    }
}
