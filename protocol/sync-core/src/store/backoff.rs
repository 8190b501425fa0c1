//! When to try again.

use crate::{Random, StoreLimits};

/// Counts failures in a row and draws the wait before the next try: uniformly from a window that doubles up to its cap
/// ("full jitter", with the jitter after the cap).
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure, in milliseconds, drawn from a window at least `floor_window_ms` wide.
    pub(super) fn next_ms(&mut self, floor_window_ms: u64, limits: &StoreLimits, random: &mut Random) -> u64 {
        let window = self.window_ms(limits.backoff_cap_ms, limits).max(floor_window_ms);
        random.below(window.saturating_add(1))
    }

    /// As [`Backoff::next_ms`], after a refusal for overload: the centre is there, and soon has room again.
    pub(super) fn next_after_refusal_ms(&mut self, limits: &StoreLimits, random: &mut Random) -> u64 {
        let window = self.window_ms(limits.refusal_backoff_cap_ms, limits);
        random.below(window.saturating_add(1))
    }

    fn window_ms(&mut self, cap_ms: u64, limits: &StoreLimits) -> u64 {
        let doubled = limits.backoff_base_ms.saturating_mul(1 << self.failures.min(32));
        self.failures = self.failures.saturating_add(1);
        doubled.min(cap_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_up_to_its_cap_and_the_wait_is_drawn_from_all_of_it() {
        let (limits, mut random) = (StoreLimits::PRODUCTION, Random::new(1));
        for failures in 0..40 {
            let window = (500u64 << failures.min(20)).min(60_000);
            let waits: Vec<_> = (0..400).map(|_| Backoff { failures }.next_ms(0, &limits, &mut random)).collect();
            let (low, high) = (waits.iter().min().expect("some"), waits.iter().max().expect("some"));
            assert!(*high <= window && *high > window * 9 / 10, "{failures}: {high} of {window}");
            assert!(*low < window / 10, "{failures}: {low} of {window}");
        }
    }
}
