//! What a print job may do next.
//!
//! ```text
//!            queued --> sending --> printed
//!             ^ |          |------> maybe_printed --> printed | not_printed      (a person says which)
//!             | |          '------> queued            (nothing reached the printer)
//!             | '--> failed         (no printer could be reached for too long)
//!             '-------'             (a person asks for it again)
//! ```
//!
//! While nothing has reached a printer, a job goes round its printers by itself. From the first byte on it is never sent again by
//! itself: half of a receipt may be on paper. Then it is `maybe_printed`, and a person looks at the paper.

/// How long a job goes round its printers by itself: kitchen labels of the evening must not come out in the morning.
pub const GIVE_UP_AFTER_MS: i64 = 30 * 60 * 1_000;
/// Pause before the first printer is tried again when none could be reached; it doubles with each round.
pub const PAUSE_MS: i64 = 1_000;
/// The longest such pause. A cashier who put paper in waits no longer for the receipt.
pub const PAUSE_MS_MAX: i64 = 15_000;

/// The pause in milliseconds after so many rounds in vain, from 1.
pub fn pause_ms(rounds: u32) -> i64 {
    (PAUSE_MS << rounds.saturating_sub(1).min(10)).min(PAUSE_MS_MAX)
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its printer. Nothing of it has reached one.
    Queued,
    /// Bytes are on their way.
    Sending,
    /// On paper, as far as the printer tells.
    Printed,
    /// Bytes reached a printer, and nobody knows how many came out.
    MaybePrinted,
    /// A person looked: it did not come out. Another copy is another job.
    NotPrinted,
    /// No printer could be reached. Nothing of it is on paper.
    Failed,
    /// A person took it back before it was sent.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Sending,
        Self::Printed,
        Self::MaybePrinted,
        Self::NotPrinted,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Printed => "printed",
            Self::MaybePrinted => "maybe_printed",
            Self::NotPrinted => "not_printed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more happens to it, so that it may be forgotten after a while.
    pub fn is_over(self) -> bool {
        match self {
            Self::Printed | Self::NotPrinted | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Sending | Self::MaybePrinted => false,
        }
    }
}

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No byte of the document reached the printer: no connection, cover open, paper out.
    NotReached,
    /// The connection broke or stood still after at least one byte.
    CutOff,
    /// Every byte was taken, and the printer is one that does not answer: that is all that can be known.
    Taken,
    /// Every byte was taken, and the printer said that all of it is on paper.
    Confirmed,
    /// Every byte was taken, and the answer that this printer gives did not come, or said that the paper ended.
    Unconfirmed,
}

/// Why something cannot be done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobRefusal {
    /// The job is not where this could be done.
    #[error("a job that is {} cannot do that", .0.name())]
    State(State),
    /// Its time has not come.
    #[error("the job waits")]
    Waits,
}

/// Where a job is on its way, all that has to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub state: State,
    /// How often it was tried, by itself or because a person asked.
    pub tries: u32,
    /// Which printer of its list comes next, from 0.
    pub printer: usize,
    /// Not before then.
    pub due_ms: i64,
    /// Since when it goes round by itself.
    pub since_ms: i64,
}

impl Progress {
    /// A job that was put in.
    pub fn queued(now_ms: i64) -> Self {
        Self { state: State::Queued, tries: 0, printer: 0, due_ms: now_ms, since_ms: now_ms }
    }

    /// Whether it can be tried.
    pub fn is_due(&self, now_ms: i64) -> bool {
        // A clock that was set back must not hold a job for longer than any pause would.
        self.state == State::Queued && (now_ms >= self.due_ms || self.due_ms - now_ms > PAUSE_MS_MAX)
    }

    /// The printer is ready and the first byte comes next. To be kept before that byte is sent.
    pub fn begin(&mut self, now_ms: i64) -> Result<(), JobRefusal> {
        self.expect(State::Queued)?;
        if !self.is_due(now_ms) {
            return Err(JobRefusal::Waits);
        }
        self.state = State::Sending;
        Ok(())
    }

    /// What became of a try, with `printers` printers in the job's list. [`Outcome::NotReached`] can be noted before the job
    /// was begun as well: it is known before any byte.
    pub fn note(&mut self, outcome: Outcome, printers: usize, now_ms: i64) -> Result<(), JobRefusal> {
        if outcome == Outcome::NotReached && self.state == State::Queued {
            self.state = State::Sending;
        }
        self.expect(State::Sending)?;
        self.tries = self.tries.saturating_add(1);
        match outcome {
            Outcome::Taken | Outcome::Confirmed => self.state = State::Printed,
            Outcome::CutOff | Outcome::Unconfirmed => self.state = State::MaybePrinted,
            Outcome::NotReached => self.go_on(printers.max(1), now_ms),
        }
        Ok(())
    }

    /// The next printer at once; after the last one a pause, then the first one.
    fn go_on(&mut self, printers: usize, now_ms: i64) {
        if self.is_too_late(now_ms) {
            self.state = State::Failed;
            return;
        }
        self.state = State::Queued;
        self.printer = (self.printer + 1) % printers;
        if self.printer > 0 {
            self.due_ms = now_ms;
            return;
        }
        let rounds = usize::try_from(self.tries).unwrap_or(usize::MAX) / printers;
        self.due_ms = now_ms.saturating_add(pause_ms(u32::try_from(rounds).unwrap_or(u32::MAX)));
    }

    /// Whether it has waited for so long that the next printer that cannot be reached is its last.
    pub fn is_too_late(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= GIVE_UP_AFTER_MS
    }

    /// The program starts again, after a power cut perhaps. What was being sent may be on paper.
    pub fn recover(&mut self, now_ms: i64) {
        match self.state {
            State::Sending => self.state = State::MaybePrinted,
            State::Queued => self.due_ms = self.due_ms.min(now_ms),
            State::Printed | State::MaybePrinted | State::NotPrinted | State::Failed | State::Cancelled => {}
        }
    }

    /// A person looked at the paper.
    pub fn resolve(&mut self, is_on_paper: bool) -> Result<(), JobRefusal> {
        self.expect(State::MaybePrinted)?;
        self.state = if is_on_paper { State::Printed } else { State::NotPrinted };
        Ok(())
    }

    /// A person takes it back.
    pub fn cancel(&mut self) -> Result<(), JobRefusal> {
        self.expect(State::Queued)?;
        self.state = State::Cancelled;
        Ok(())
    }

    /// A person asks for a job of which nothing has reached a printer. No copy: the first one never was.
    pub fn retry(&mut self, now_ms: i64) -> Result<(), JobRefusal> {
        self.expect(State::Failed)?;
        *self = Self { tries: self.tries, ..Self::queued(now_ms) };
        Ok(())
    }

    fn expect(&self, state: State) -> Result<(), JobRefusal> {
        if self.state == state { Ok(()) } else { Err(JobRefusal::State(self.state)) }
    }
}

#[cfg(test)]
mod tests;
