//! How many events may be on their way.
//!
//! The measure is the lag: how long messages wait from their arrival to the end of their commit, queue and ledger together.
//! Several times a second it is looked at: above the target the window is cut, by a fifth, or by half if it is far above;
//! below it the window grows by one batch, or by half while messages hardly wait at all, if stores wait for their turn. That
//! is the slow start, the additive increase and the multiplicative decrease of TCP, and as there it is the commits that let
//! new events in: the window sets how long they wait, the ledger how many there are a second. While an operator's limit holds
//! messages back, their lag says nothing about the ledger, and the window stays as it is. If the ledger gets too slow even for
//! that limit, the first cut begins at what the limit lets be on its way, not at a window that was never used.

use crate::Instant;

/// Between two looks, in milliseconds.
const LOOK_MS: u64 = 250;

/// After a cut the next one waits at least this long, in milliseconds: until what was on its way has gone through.
const SETTLE_MS: u64 = 1_000;

/// And at the most this long, in milliseconds.
const SETTLE_MS_MAX: u64 = 10_000;

/// A lag of so many targets is far above.
const FAR: u64 = 4;

/// The window before anything was measured, in events: a fraction of a second of any ledger.
const START: u64 = 10_000;

/// The largest window, in events.
const MOST: u64 = 200_000;

/// The smallest window, in events: one largest batch.
const LEAST: u64 = 500;

/// By how much it grows at a time, in events.
const GROWTH: u64 = 500;

/// A lag below this part of the target is hardly any: growing by half leaves it well below the target.
const NEAR: u64 = 4;

/// Why the window is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All is well; nobody waits for a turn.
    Open,
    /// All is well, stores wait for their turn, and the window grows.
    Growing,
    /// Messages wait too long, and the window was cut.
    Cut,
    /// The operator's limit holds messages back.
    Limited,
    /// Commits fail.
    Failing,
}

impl Reason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Growing => "growing",
            Self::Cut => "cut",
            Self::Limited => "limited",
            Self::Failing => "failing",
        }
    }
}

/// What there is to see beside the commits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// For how long the oldest message waits, in milliseconds.
    pub(super) waits_ms: u64,
    /// The queue holds as much as it should.
    pub(super) is_full: bool,
    /// Stores wait for their turn.
    pub(super) is_short: bool,
    /// The operator's limit held messages back since the last look.
    pub(super) is_limited: bool,
    /// So many events may be on their way at the most, by the operator's limit: what was beyond it is nothing to cut.
    pub(super) at_most: u64,
}

/// The window, and what it follows from.
#[derive(Debug)]
pub(super) struct Window {
    events: u64,
    reason: Reason,
    settled_at: Instant,
    looked_at: Option<Instant>,
    /// Of the groups since the last look.
    groups: u64,
    committed: u64,
    lags_ms: u64,
    has_failed: bool,
    /// Of the last look.
    lag_ms: u64,
    /// A mean over about a second.
    committed_per_s: u64,
    cuts: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            events: START,
            reason: Reason::Open,
            settled_at: Instant::default(),
            looked_at: None,
            groups: 0,
            committed: 0,
            lags_ms: 0,
            has_failed: false,
            lag_ms: 0,
            committed_per_s: 0,
            cuts: 0,
        }
    }
}

impl Window {
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    pub(super) fn lag_ms(&self) -> u64 {
        self.lag_ms
    }

    pub(super) fn committed_per_s(&self) -> u64 {
        self.committed_per_s
    }

    pub(super) fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(super) fn committed(&mut self, events: u64, lag_ms: u64) {
        self.groups += 1;
        self.committed = self.committed.saturating_add(events);
        self.lags_ms = self.lags_ms.saturating_add(lag_ms);
    }

    pub(super) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Looks at what was committed, if it is time to; says whether it was.
    pub(super) fn look(&mut self, now: Instant, sight: Sight, lag_ms_target: u64) -> bool {
        let span_ms = now.ms_since(*self.looked_at.get_or_insert(now));
        if span_ms < LOOK_MS {
            return false;
        }
        self.looked_at = Some(now);
        let (groups, committed, lags_ms) = (self.groups, self.committed, self.lags_ms);
        (self.groups, self.committed, self.lags_ms) = (0, 0, 0);
        let has_failed = std::mem::take(&mut self.has_failed);
        // A single look may fall between two groups.
        let weight = (span_ms / LOOK_MS).min(4);
        let lately = committed.saturating_mul(1000) / span_ms;
        self.committed_per_s = (self.committed_per_s * (4 - weight) + lately * weight) / 4;
        self.lag_ms = lags_ms.checked_div(groups).unwrap_or(0).max(sight.waits_ms);
        let is_bad = has_failed || sight.is_full;
        let is_far = is_bad || self.lag_ms > lag_ms_target.saturating_mul(FAR);
        if sight.is_limited && !is_bad {
            self.reason = Reason::Limited;
        } else if is_far || self.lag_ms > lag_ms_target {
            if now >= self.settled_at {
                let in_use = self.events.min(sight.at_most);
                let cut = if is_far { in_use / 2 } else { in_use / 5 };
                let events = (in_use - cut).max(LEAST).min(self.events);
                self.cuts += u64::from(events < self.events);
                self.events = events;
                self.settled_at = now.after_ms(self.lag_ms.clamp(SETTLE_MS, SETTLE_MS_MAX));
            }
            self.reason = Reason::Cut;
        } else if sight.is_short {
            let is_near = self.lag_ms.saturating_mul(NEAR) > lag_ms_target;
            let growth = if is_near { GROWTH } else { GROWTH.max(self.events / 2) };
            self.events = self.events.saturating_add(growth).min(MOST);
            self.reason = Reason::Growing;
        } else {
            self.reason = Reason::Open;
        }
        true
    }
}
