//! Whether a printer is reached: said when that turns, and not for each job that waits.

use printing::job::Outcome;

/// How often in a row a printer was not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    tries_in_vain: u64,
}

/// What has turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// It was reached, or was not tried yet, and is not reached.
    Lost,
    /// It is reached again.
    Back {
        /// How often it was tried in vain.
        tries: u64,
    },
}

impl Reach {
    /// Notes a try; says what has turned with it, if something has.
    pub(super) fn note(&mut self, outcome: Outcome) -> Option<Turned> {
        if outcome == Outcome::NotReached {
            self.tries_in_vain = self.tries_in_vain.saturating_add(1);
            return (self.tries_in_vain == 1).then_some(Turned::Lost);
        }
        let tries = std::mem::take(&mut self.tries_in_vain);
        (tries > 0).then_some(Turned::Back { tries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printer_that_is_off_is_told_of_once_and_once_more_when_it_is_back() {
        let mut reach = Reach::default();
        let mut check = |outcome, expected| assert_eq!(reach.note(outcome), expected, "{outcome:?}");
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
}
