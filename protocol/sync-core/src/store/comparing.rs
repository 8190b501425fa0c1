//! When a store sends its digests: once soon after the centre has asked, and again and again after that.
//!
//! The first ones come at a random moment of the period, so that a country that reconnects does not send them at once.

use protocol::latest::{Compare, DIGEST_DATES_MAX};

use crate::{Instant, Random, StoreLimits};

/// What the centre wants to compare.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparing {
    newest: usize,
    every_ms: u64,
    at: Instant,
}

impl Comparing {
    /// Takes the centre's wish up, within what this store is ready to do.
    pub(super) fn begin(compare: &Compare, limits: &StoreLimits, random: &mut Random, now: Instant) -> Self {
        let every_ms = u64::from(compare.every_ms).max(limits.digests_ms_min);
        let first_ms = random.below(every_ms.min(limits.first_digests_ms_max).max(1));
        Self { newest: usize::from(compare.newest).min(DIGEST_DATES_MAX), every_ms, at: now.after_ms(first_ms) }
    }

    /// The same, with the next ones not later than they were due before.
    pub(super) fn no_later_than(self, before: Self) -> Self {
        Self { at: self.at.min(before.at), ..self }
    }

    /// When they are due.
    pub(super) fn next_at(self) -> Instant {
        self.at
    }

    /// Of how many dates.
    pub(super) fn newest(self) -> usize {
        self.newest
    }

    /// They are being sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.at = now.after_ms(self.every_ms);
    }
}
