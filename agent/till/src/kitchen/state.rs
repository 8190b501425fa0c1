//! How far a cup is, and what may happen to it next.

/// For how long after it was made or handed over a cup may be recalled, in milliseconds: an hour, in which a wrong tap is
/// seen and a customer comes back with a drink. Later the drink is another one.
pub const RECALL_MS_MAX: i64 = 60 * 60 * 1000;

/// How far a cup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CupState {
    /// Sent, and nobody has begun.
    Queued,
    /// Somebody makes it.
    Making,
    /// It stands ready.
    Ready,
    /// The customer has it.
    Handed,
    /// It was voided after it was sent. The station still sees it, so that nobody goes on making it.
    Voided,
    /// It was voided, and the station knows.
    Discarded,
}

/// What a person at a station or at the counter does to a cup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One step on; of a voided cup, that it was seen.
    Bump,
    /// One step back.
    Recall,
    /// The customer takes it, however far it is marked to be.
    HandOver,
}

/// A step that a cup cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoStep {
    /// It is at its end.
    #[error("the cup is {} already", .0.as_str())]
    Done(CupState),
    /// Nothing has happened that could be taken back.
    #[error("the cup is {}: only what is ready or handed over is recalled", .0.as_str())]
    NothingToRecall(CupState),
    /// It was too long ago.
    #[error("the cup was marked more than {} minutes ago", RECALL_MS_MAX / 60_000)]
    TooLate,
    /// Its line was voided.
    #[error("the cup was voided")]
    Voided,
}

impl NoStep {
    /// The key under which a screen finds its own words.
    pub const fn message_key(self) -> &'static str {
        match self {
            Self::Done(_) => "cup.done",
            Self::NothingToRecall(_) => "cup.nothing_to_recall",
            Self::TooLate => "cup.recall_too_late",
            Self::Voided => "cup.voided",
        }
    }
}

impl CupState {
    /// All of them, from the first to the last.
    pub const ALL: [Self; 6] = [Self::Queued, Self::Making, Self::Ready, Self::Handed, Self::Voided, Self::Discarded];

    /// The word under which it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Making => "making",
            Self::Ready => "ready",
            Self::Handed => "handed",
            Self::Voided => "voided",
            Self::Discarded => "discarded",
        }
    }

    /// Reads that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it is still to be made.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Making)
    }

    /// Whether the customer still waits for it.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Making | Self::Ready)
    }

    /// The state after a step that is taken `after_ms` after the last one, by the wall clock. A clock that was set back
    /// in between is no reason to refuse anything.
    pub fn after(self, step: Step, after_ms: i64) -> Result<Self, NoStep> {
        match (step, self) {
            (Step::Bump, Self::Queued) => Ok(Self::Making),
            (Step::Bump, Self::Making) => Ok(Self::Ready),
            (Step::Bump, Self::Ready) => Ok(Self::Handed),
            (Step::Bump, Self::Voided) => Ok(Self::Discarded),
            (Step::Bump, Self::Handed | Self::Discarded) => Err(NoStep::Done(self)),
            (Step::Recall, Self::Ready | Self::Handed) if after_ms > RECALL_MS_MAX => Err(NoStep::TooLate),
            (Step::Recall, Self::Ready) => Ok(Self::Making),
            (Step::Recall, Self::Handed) => Ok(Self::Ready),
            (Step::Recall, Self::Queued | Self::Making) => Err(NoStep::NothingToRecall(self)),
            (Step::HandOver, state) if state.is_live() => Ok(Self::Handed),
            // Whoever hands over what was handed over already is told so by the same answer.
            (Step::HandOver, Self::Handed) => Ok(Self::Handed),
            (Step::Recall | Step::HandOver, _) => Err(NoStep::Voided),
        }
    }

    /// The state after its line was voided; none if that changes nothing: the customer has it, or it is voided.
    pub const fn voided(self) -> Option<Self> {
        if self.is_live() { Some(Self::Voided) } else { None }
    }
}

impl Step {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bump => "bump",
            Self::Recall => "recall",
            Self::HandOver => "hand_over",
        }
    }

    /// Which cups of an order take a step that is meant for the order as a whole: those in one of these states.
    ///
    /// An order moves on by those that are farthest behind, and back by those that are farthest on; it is handed over at
    /// once. Cups that were voided move only if nothing else does.
    pub fn of_order(self, states: &[CupState]) -> Vec<CupState> {
        let live = || states.iter().copied().filter(|state| state.is_live());
        let among = |wanted: &[CupState]| wanted.iter().copied().find(|state| states.contains(state));
        let one = match self {
            Self::Bump => live().min().or_else(|| among(&[CupState::Voided])),
            Self::Recall => among(&[CupState::Handed, CupState::Ready]),
            Self::HandOver if live().next().is_some() => {
                return vec![CupState::Queued, CupState::Making, CupState::Ready];
            }
            Self::HandOver => among(&[CupState::Handed]),
        };
        // If there is nothing that can move, the first one says why.
        one.or(states.first().copied()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::CupState::{Discarded, Handed, Making, Queued, Ready, Voided};
    use super::*;

    #[test]
    fn every_step_from_every_state() {
        #[track_caller]
        fn check(step: Step, expected: [Result<CupState, NoStep>; 6]) {
            let after = CupState::ALL.map(|state| state.after(step, 0));
            assert_eq!(after, expected, "{step:?}");
        }
        let void = Err(NoStep::Voided);
        let done = |state| Err(NoStep::Done(state));
        let nothing = |state| Err(NoStep::NothingToRecall(state));
        //                     queued            making            ready        handed        voided         discarded
        check(Step::Bump, [Ok(Making), Ok(Ready), Ok(Handed), done(Handed), Ok(Discarded), done(Discarded)]);
        check(Step::Recall, [nothing(Queued), nothing(Making), Ok(Making), Ok(Ready), void, void]);
        check(Step::HandOver, [Ok(Handed), Ok(Handed), Ok(Handed), Ok(Handed), void, void]);
        let voided = CupState::ALL.map(CupState::voided);
        assert_eq!(voided, [Some(Voided), Some(Voided), Some(Voided), None, None, None]);
    }

    #[test]
    fn a_recall_comes_in_time() {
        #[track_caller]
        fn check(after_ms: i64, expected: Result<CupState, NoStep>) {
            assert_eq!(Handed.after(Step::Recall, after_ms), expected);
        }
        check(0, Ok(Ready));
        check(RECALL_MS_MAX, Ok(Ready));
        check(RECALL_MS_MAX + 1, Err(NoStep::TooLate));
        check(i64::MAX, Err(NoStep::TooLate));
        check(-1, Ok(Ready));
        check(i64::MIN, Ok(Ready));
    }

    #[test]
    fn which_cups_of_an_order_move() {
        #[track_caller]
        fn check(states: &[CupState], bump: &[CupState], recall: &[CupState], hand_over: &[CupState]) {
            let moves = [Step::Bump, Step::Recall, Step::HandOver].map(|step| step.of_order(states));
            assert_eq!(moves, [bump, recall, hand_over], "{states:?}");
        }
        let live = [Queued, Making, Ready];
        check(&[Queued, Queued], &[Queued], &[Queued], &live);
        check(&[Ready, Queued, Making], &[Queued], &[Ready], &live);
        check(&[Handed, Ready, Making], &[Making], &[Handed], &live);
        check(&[Handed, Ready], &[Ready], &[Handed], &live);
        check(&[Handed, Handed], &[Handed], &[Handed], &[Handed]);
        check(&[Voided, Ready], &[Ready], &[Ready], &live);
        check(&[Discarded, Voided], &[Voided], &[Discarded], &[Discarded]);
        check(&[], &[], &[], &[]);
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for state in CupState::ALL {
            assert_eq!(CupState::parse(state.as_str()), Some(state));
        }
        assert_eq!(CupState::parse("Ready"), None);
    }
}
