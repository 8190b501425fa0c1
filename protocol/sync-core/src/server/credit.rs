//! How fast stores may send.
//!
//! An idle centre lets each store send every sale at once, and as many as a batch holds. The fuller its queue, the smaller
//! the batches that it grants, so that all stores together settle below what it can hold and none has to be refused.
//! Beyond half of the queue a store also waits for as long as the ledger needs for what lies above that half, at the
//! pace of its newest groups: the queue does not run dry while stores hold back, and a ledger that becomes slow slows
//! them down by itself. Holds are never above [`ServerLimits::hold_ms_max`], so every store comes back when the cause is
//! gone.

use protocol::latest::Credit;

use crate::ServerLimits;

/// The smallest batch that is granted: smaller ones cost more to carry than they bring.
const EVENTS_MIN: u64 = 10;

/// The first hold after a failed commit, in milliseconds; it doubles with each further one.
const FAILURE_HOLD_MS: u64 = 500;

/// How the centre is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Bytes that wait for a commit or are in one.
    pub queued_bytes: u64,
    /// The ledger's pace; none before its first group.
    pub pace: Option<Pace>,
    /// Commits that failed since the last that did not.
    pub failures: u32,
}

/// How fast the ledger takes groups in: a running mean that forgets half of the past with each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    bytes_per_s: u64,
}

impl Pace {
    /// The pace after one more group.
    pub fn after(before: Option<Self>, bytes: u64, commit_ms: u64) -> Self {
        let newest = bytes.saturating_mul(1000) / commit_ms.max(1);
        let bytes_per_s = before.map_or(newest, |before| before.bytes_per_s.midpoint(newest));
        Self { bytes_per_s: bytes_per_s.max(1) }
    }

    /// How long so many bytes take, in milliseconds.
    fn ms_for(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.bytes_per_s
    }
}

/// Grants credit under a load.
pub fn grant(load: Load, limits: &ServerLimits) -> Credit {
    let full_bytes = limits.queue_bytes_max as u64;
    let excess_bytes = load.queued_bytes.saturating_sub(full_bytes / 2);
    let queue_ms = load.pace.map_or(0, |pace| pace.ms_for(excess_bytes));
    let failure_ms = match load.failures {
        0 => 0,
        failures => FAILURE_HOLD_MS.saturating_mul(1 << (failures - 1).min(32)),
    };
    let hold_ms = queue_ms.max(failure_ms).min(u64::from(limits.hold_ms_max));
    let room_bytes = full_bytes.saturating_sub(load.queued_bytes);
    let share = u64::from(limits.batch_events_max).saturating_mul(room_bytes).checked_div(full_bytes).unwrap_or(0);
    Credit {
        events: u32::try_from(share.max(EVENTS_MIN)).unwrap_or(limits.batch_events_max).min(limits.batch_events_max),
        hold_ms: u32::try_from(hold_ms).unwrap_or(limits.hold_ms_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn grants() {
        #[track_caller]
        fn check(queued_mib: u64, mib_per_s: u64, failures: u32, events: u32, hold_ms: u32) {
            let limits = ServerLimits::PRODUCTION;
            let pace = Some(Pace::after(None, mib_per_s * MIB, 1000));
            let credit = grant(Load { queued_bytes: queued_mib * MIB, pace, failures }, &limits);
            assert_eq!((credit.events, credit.hold_ms), (events, hold_ms));
        }
        check(0, 100, 0, 500, 0);
        check(16, 100, 0, 375, 0);
        check(32, 100, 0, 250, 0);
        check(48, 100, 0, 125, 160);
        check(64, 100, 0, 10, 320);
        // A slow ledger slows the stores down.
        check(48, 10, 0, 125, 1_600);
        check(64, 1, 0, 10, 5_000);
        check(0, 100, 1, 500, 500);
        check(0, 100, 3, 500, 2_000);
        check(0, 100, 1_000, 500, 5_000);
    }

    #[test]
    fn the_pace_follows_the_newest_groups() {
        let fast = Pace::after(None, 10 * MIB, 100);
        let slow = (0..10).fold(fast, |pace, _| Pace::after(Some(pace), MIB, 1_000));
        assert!(slow.ms_for(MIB) > 900, "{slow:?}");
        // A group of nothing in no time is no pace to count on, and no division by zero.
        assert_eq!(Pace::after(None, 0, 0).ms_for(1), 1_000);
    }
}
