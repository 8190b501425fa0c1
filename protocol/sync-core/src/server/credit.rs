//! How fast stores may send.
//!
//! An idle centre lets each store send every sale at once. A busy one asks for fewer and larger batches by a longer hold:
//! the fuller its queue and the slower its commits, the longer. Holds are integers of milliseconds and never above
//! [`ServerLimits::hold_ms_max`], so a store comes back by itself when the cause is gone.

use protocol::latest::Credit;

use crate::ServerLimits;

/// Below this fill of the queue, in parts per thousand, nobody waits.
const CALM_PERMILLE: u64 = 100;

/// How the centre is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Bytes that wait for a commit.
    pub queued_bytes: usize,
    /// How long the newest commit took, in milliseconds.
    pub commit_ms: u64,
    /// Commits that failed since the last that did not.
    pub failures: u32,
}

/// Grants credit under a load.
pub fn grant(load: Load, limits: &ServerLimits) -> Credit {
    let fill_permille = permille(load.queued_bytes as u64, limits.queue_bytes_max as u64);
    let slow_permille = permille(load.commit_ms, limits.commit_target_ms).saturating_sub(1000);
    let broken_permille = u64::from(load.failures) * 250;
    let pressure = fill_permille.saturating_sub(CALM_PERMILLE).max(slow_permille / 4).max(broken_permille).min(1000);
    let hold_ms = u64::from(limits.hold_ms_max) * pressure / 1000;
    Credit { events: limits.batch_events_max, hold_ms: u32::try_from(hold_ms).unwrap_or(limits.hold_ms_max) }
}

fn permille(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1000).checked_div(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds() {
        #[track_caller]
        fn check(fill_permille: usize, commit_ms: u64, failures: u32, hold_ms: u32) {
            let limits = ServerLimits::PRODUCTION;
            let load = Load { queued_bytes: limits.queue_bytes_max / 1000 * fill_permille, commit_ms, failures };
            let credit = grant(load, &limits);
            assert!(credit.hold_ms.abs_diff(hold_ms) <= 5, "{credit:?}, expected {hold_ms}");
            assert_eq!(credit.events, 500);
        }
        check(0, 0, 0, 0);
        check(100, 200, 0, 0);
        check(300, 20, 0, 1000);
        check(1000, 20, 0, 4500);
        check(0, 400, 0, 1250);
        check(0, 60_000, 0, 5000);
        check(0, 20, 1, 1250);
        check(0, 20, 100, 5000);
    }
}
