//! Moments and spans: how long is waited for what.

/// A moment of a monotonic clock, in milliseconds since some start. It has nothing to do with the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// A moment `ms` milliseconds after the start.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the start.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// How long a terminal is waited for. It may differ from terminal to terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After how long a customer who is still paying is given up, in milliseconds since the terminal was asked.
    pub unpaid_ms: u64,
    /// How soon a payment may be reversed, in milliseconds since the terminal was asked. Wallets ask for this, because
    /// a payment that is reversed while it is made may end either way.
    pub reverse_not_before_ms: u64,
    /// Between two questions about a customer who is still paying, in milliseconds.
    pub poll_ms: u64,
}

impl Patience {
    /// What the rules of the large wallets ask for.
    pub const USUAL: Self = Self { unpaid_ms: 30_000, reverse_not_before_ms: 15_000, poll_ms: 2_000 };
}

/// Before a terminal that did not answer is asked again, in milliseconds: the last span repeats. It begins short, because
/// a cashier and a customer stand there and wait.
const ASK_AGAIN_MS: [u64; 6] = [500, 1_000, 2_000, 5_000, 15_000, 30_000];

/// Before a terminal that was not able to reverse because the customer is still paying is asked again, in milliseconds.
pub(super) const REVERSE_AGAIN_MS: u64 = 5_000;

/// Before a terminal that refuses to reverse is asked again, in milliseconds. A person has been told by then.
pub(super) const REVERSE_REFUSED_MS: u64 = 60_000;

/// After how long people are told that an attempt is still open, in milliseconds: longer than any customer takes.
pub(super) const OPEN_NOTICE_MS: u64 = 120_000;

/// The span after so many unanswered questions in a row, counted from one.
pub(super) fn ask_again_ms(unanswered: u32) -> u64 {
    let place = usize::try_from(unanswered.saturating_sub(1)).unwrap_or(usize::MAX);
    ASK_AGAIN_MS[place.min(ASK_AGAIN_MS.len() - 1)]
}
