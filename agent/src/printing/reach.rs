//! Whether a printer is reached: said when that turns, and not for each job that waits.
//!
//! While it is not, one job tries for all that wait. A full queue costs as much as a single receipt then, for the books as
//! for the log, and a printer that is switched on finds all of them due.

use printing::job::{Outcome, pause_ms};

/// How often in a row a printer was tried in vain, and when last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    tries_in_vain: u32,
    tried_at_ms: i64,
}

/// What has turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// It was reached, or was not tried yet, and is not reached.
    Lost,
    /// It is reached again.
    Back {
        /// How often it was tried in vain.
        tries: u32,
    },
}

impl Reach {
    /// Notes a try; says what has turned with it, if something has.
    pub(super) fn note(&mut self, outcome: Outcome, now_ms: i64) -> Option<Turned> {
        if outcome == Outcome::NotReached {
            self.tries_in_vain = self.tries_in_vain.saturating_add(1);
            self.tried_at_ms = now_ms;
            return (self.tries_in_vain == 1).then_some(Turned::Lost);
        }
        let tries = std::mem::take(&mut self.tries_in_vain);
        (tries > 0).then_some(Turned::Back { tries })
    }

    /// Whether a job that waits since `since_ms` is worth a try. What came in behind the last try is tried at once, for
    /// somebody stands there; everything else after the pause that one job would make.
    pub(super) fn is_worth_a_try(&self, since_ms: i64, now_ms: i64) -> bool {
        // A clock that was set back holds nothing up.
        let pauses = (0..pause_ms(self.tries_in_vain)).contains(&now_ms.saturating_sub(self.tried_at_ms));
        self.tries_in_vain == 0 || !pauses || since_ms > self.tried_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_that_is_off_is_told_of_once_and_once_more_when_it_is_back() {
        let mut reach = Reach::default();
        let mut check = |outcome, expected| assert_eq!(reach.note(outcome, 0), expected, "{outcome:?}");
        check(Outcome::Taken, None);
        check(Outcome::NotReached, Some(Turned::Lost));
        check(Outcome::NotReached, None);
        check(Outcome::NotReached, None);
        check(Outcome::Confirmed, Some(Turned::Back { tries: 3 }));
        check(Outcome::Confirmed, None);
        check(Outcome::NotReached, Some(Turned::Lost));
        // It took a byte at least, so it is there.
        check(Outcome::CutOff, Some(Turned::Back { tries: 1 }));
    }

    #[test]
    fn one_job_tries_for_all_that_wait() {
        let mut reach = Reach::default();
        assert!(reach.is_worth_a_try(0, 100), "nobody has tried yet");
        reach.note(Outcome::NotReached, 1_000_000);
        let check = |reach: &Reach, since_ms, now_ms, expected: bool| {
            assert_eq!(reach.is_worth_a_try(since_ms, now_ms), expected, "{since_ms} {now_ms}");
        };
        check(&reach, 0, 1_000_000, false);
        check(&reach, 1_000_000, 1_000_999, false);
        check(&reach, 1_000_001, 1_000_001, true);
        check(&reach, 0, 1_001_000, true);
        check(&reach, 0, 999_999, true);
        for _ in 0..20 {
            reach.note(Outcome::NotReached, 1_000_000);
        }
        check(&reach, 0, 1_014_999, false);
        check(&reach, 0, 1_015_000, true);
        reach.note(Outcome::Taken, 1_000_000);
        check(&reach, 0, 1_000_000, true);
    }
}
