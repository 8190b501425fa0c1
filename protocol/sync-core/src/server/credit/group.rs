//! How much is committed together.
//!
//! While one group commits the next one gathers, so groups grow with the load, and the cost of an event falls. But a group
//! that takes longer than stores wait for an answer would be sent again while it is at work. So a slow commit makes the
//! next groups smaller, and quick full ones make them larger again.

/// The smallest limit: one largest batch.
const EVENTS_MIN: u64 = 500;

/// A commit that takes longer halves the limit, in milliseconds.
const SLOW_MS: u64 = 1_000;

/// A full group that takes less doubles it, in milliseconds.
const QUICK_MS: u64 = 300;

/// The limit on the events of a group.
#[derive(Debug)]
pub(super) struct GroupSize {
    events_max: u64,
    most: u64,
}

impl GroupSize {
    /// Begins with the largest groups, of `most` events.
    pub(super) fn new(most: u64) -> Self {
        Self { events_max: most, most }
    }

    pub(super) fn events_max(&self) -> u64 {
        self.events_max
    }

    pub(super) fn committed(&mut self, events: u64, commit_ms: u64) {
        if commit_ms > SLOW_MS {
            self.events_max = (self.events_max.min(events.max(EVENTS_MIN)) / 2).max(EVENTS_MIN).min(self.most);
        } else if commit_ms < QUICK_MS && events.saturating_mul(4) >= self.events_max.saturating_mul(3) {
            self.events_max = self.events_max.saturating_mul(2).min(self.most);
        }
    }
}
