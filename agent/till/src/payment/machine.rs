//! The attempt's state machine.

use std::collections::VecDeque;

use super::patience::{OPEN_NOTICE_MS, REVERSE_AGAIN_MS, REVERSE_REFUSED_MS, ask_again_ms};
use super::{
    Answer, Attempt, AttemptState, Call, Effect, Input, Moment, Notice, Outcome, Patience, ReversalReason, Standing,
    Taken,
};

/// Drives one attempt. After each call take the effects with [`Payment::poll_effect`], in order.
#[derive(Debug)]
pub struct Payment {
    attempt: Attempt,
    patience: Patience,
    /// The terminal is asked to pay and has not answered.
    pay_waits: bool,
    /// The terminal is asked something else and has not answered. Never two of these at a time.
    other_waits: Option<Call>,
    /// What is asked next, and when.
    next: Option<(Moment, Call)>,
    reverse_not_before: Moment,
    unpaid_at: Moment,
    /// When people are told that it is as it is.
    notice_at: Option<Moment>,
    /// Questions in a row that were not answered, or oddly.
    unanswered: u32,
    /// What a person has said became of it, unless the terminal has said since that it has the money.
    closed_by_person: Option<Outcome>,
    effects: VecDeque<Effect>,
}

impl Payment {
    /// A new attempt, which the shell has kept. The terminal is asked to pay.
    pub fn ask(attempt: Attempt, patience: Patience, now: Moment) -> Self {
        let mut payment = Self::new(Attempt { state: AttemptState::Asked, ..attempt }, patience, now);
        payment.effects.push_back(Effect::Ask(Call::Pay));
        payment.pay_waits = true;
        payment
    }

    /// An attempt that was kept by an earlier run. Whether the terminal was reached is not known, so it is asked about
    /// the attempt, and never again to pay. What counts from the question to pay is counted from this moment, which is
    /// later.
    pub fn resume(attempt: Attempt, patience: Patience, now: Moment) -> Self {
        let mut payment = Self::new(attempt, patience, now);
        payment.change(|payment| {
            if payment.attempt.is_open() {
                payment.attempt.state = AttemptState::Unknown;
                payment.next = Some((now, Call::Query));
            }
        });
        payment.handle_timeout(now);
        payment
    }

    fn new(attempt: Attempt, patience: Patience, now: Moment) -> Self {
        let mut payment = Self {
            attempt,
            patience,
            pay_waits: false,
            other_waits: None,
            next: None,
            reverse_not_before: now.after_ms(patience.reverse_not_before_ms),
            unpaid_at: now.after_ms(patience.unpaid_ms),
            notice_at: None,
            unanswered: 0,
            closed_by_person: None,
            effects: VecDeque::new(),
        };
        payment.set_notice(now);
        payment
    }

    /// The attempt as it is to be kept.
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Whether nothing more comes of it unless somebody wants something. It can be forgotten then, and resumed.
    pub fn is_idle(&self) -> bool {
        !self.attempt.is_open()
            && !self.pay_waits
            && self.other_waits.is_none()
            && self.next.is_none()
            && self.effects.is_empty()
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, input: Input, now: Moment) {
        let before = self.attempt.is_open();
        self.change(|payment| match input {
            Input::Answered(call, answer) => payment.answered(call, answer, now),
            Input::NoAnswer(call) => payment.no_answer(call, now),
            Input::ReverseWanted(reason) if !payment.is_settled() => payment.reverse_because(reason, now),
            Input::ReverseWanted(_) => {}
            Input::QueryWanted => payment.next = Some((now, Call::Query)),
            Input::Settled(outcome) => payment.closed_by_person(outcome, now),
        });
        if before != self.attempt.is_open() {
            self.set_notice(now);
        }
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment) {
        if let Some((at, call)) = self.sendable()
            && at <= now
        {
            self.next = None;
            self.other_waits = Some(call);
            self.effects.push_back(Effect::Ask(call));
        }
        if self.notice_at.is_some_and(|at| at <= now) {
            self.notice_at = None;
            self.effects.push_back(Effect::Notify(Notice::StillOpen));
        }
    }

    /// What the shell must do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Payment::handle_timeout`] has something to do, and why.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let next = self.sendable().map(|(at, call)| match call {
            Call::Reverse => (at, "give the money back"),
            Call::Pay | Call::Query => (at, "ask what became of it"),
        });
        let notice = self.notice_at.map(|at| (at, "tell people about it"));
        next.into_iter().chain(notice).min_by_key(|(at, _)| *at)
    }

    /// What is asked next, unless an answer has to come first. There is no sense in a query while the question to pay
    /// is under way; a reversal is what ends one that takes too long.
    fn sendable(&self) -> Option<(Moment, Call)> {
        self.next.filter(|(_, call)| self.other_waits.is_none() && (*call == Call::Reverse || !self.pay_waits))
    }

    /// Does something to the attempt. If it changed, it is kept before anything that follows from the change.
    fn change(&mut self, work: impl FnOnce(&mut Self)) {
        let (before, earlier) = (self.attempt.clone(), self.effects.len());
        work(self);
        if self.attempt != before {
            self.effects.insert(earlier, Effect::Keep);
        }
    }

    fn set_notice(&mut self, now: Moment) {
        self.notice_at = self.attempt.is_open().then(|| now.after_ms(OPEN_NOTICE_MS));
    }

    fn is_settled(&self) -> bool {
        matches!(self.attempt.state, AttemptState::Declined | AttemptState::Reversed)
    }

    // ---- answers ----

    fn call_ended(&mut self, call: Call) {
        match call {
            Call::Pay => self.pay_waits = false,
            Call::Query | Call::Reverse => self.other_waits = None,
        }
    }

    fn no_answer(&mut self, call: Call, now: Moment) {
        self.call_ended(call);
        self.doubt(now);
    }

    fn answered(&mut self, call: Call, answer: Answer, now: Moment) {
        self.call_ended(call);
        if answer.attempt_id != self.attempt.attempt_id {
            self.odd(format!("the terminal answered {call} for attempt {}", answer.attempt_id));
            return self.doubt(now);
        }
        if self.closed_by_person == Some(Outcome::GivenBack) {
            // What the terminal has, a person has given back: that goes back once.
            return;
        }
        if self.denies(call, &answer.standing) {
            return self.forgotten(now);
        }
        self.unanswered = 0;
        match answer.standing {
            Standing::Approved { amount, reference } => {
                self.attempt.taken = Taken::Said;
                self.closed_by_person = None;
                if amount == self.attempt.amount {
                    self.approved(call, reference, now);
                } else {
                    self.odd(format!("the terminal says to {call} that it has taken {} minor units", amount.minor()));
                    self.other_amount(call, now);
                }
            }
            Standing::Declined { .. } | Standing::NotFound | Standing::StillPaying if self.contradicts(call) => {
                self.odd(format!("the terminal had approved it, and says otherwise to {call}"));
                self.attempt.state = AttemptState::Unknown;
                self.doubt(now);
            }
            Standing::Declined { reason } => self.settled(AttemptState::Declined, reason),
            Standing::Reversed => self.settled(AttemptState::Reversed, None),
            Standing::NotFound => self.not_found(call, now),
            Standing::StillPaying => self.still_paying(call, now),
        }
    }

    /// Whether a terminal that has said that it has the money now knows nothing of it. "Declined" alone says no such thing: a
    /// payment may fail after its approval. But it does where the money was to go back, which a terminal that remembers it
    /// calls reversed, and where the terminal has forgotten the attempt before.
    fn denies(&self, call: Call, standing: &Standing) -> bool {
        let is_denial = match (standing, self.attempt.taken) {
            (Standing::NotFound, Taken::Said) | (Standing::NotFound | Standing::Declined { .. }, Taken::Forgotten) => {
                true
            }
            (Standing::Declined { .. }, Taken::Said) => call == Call::Reverse || self.attempt.reversal.is_some(),
            _ => false,
        };
        is_denial && !self.is_settled()
    }

    /// Whether anything but an approval is the opposite of what is known. An answer to a reversal never is.
    fn contradicts(&self, call: Call) -> bool {
        call != Call::Reverse && self.attempt.is_usable()
    }

    fn approved(&mut self, call: Call, reference: Option<String>, now: Moment) {
        if self.is_settled() {
            self.odd(format!("the terminal says to {call} that it was approved after all"));
            self.attempt.state = AttemptState::Approved;
            self.attempt.reference = reference;
            return self.reverse_because(ReversalReason::Late, now);
        }
        self.attempt.state = AttemptState::Approved;
        self.attempt.reference = reference;
        match call {
            Call::Reverse => self.not_reversible(now),
            Call::Pay | Call::Query if self.attempt.reversal.is_some() => self.reverse_soon(now),
            Call::Pay | Call::Query => self.next = None,
        }
    }

    /// This attempt was approved, but with an amount that nobody asked for: whatever it is, it has to go back.
    fn other_amount(&mut self, call: Call, now: Moment) {
        self.attempt.state = AttemptState::Unknown;
        match call {
            // An answer that is wrong in this may be wrong in all.
            Call::Pay => self.doubt(now),
            Call::Query => self.reverse_because(ReversalReason::OtherAmount, now),
            Call::Reverse => self.not_reversible(now),
        }
    }

    fn not_reversible(&mut self, now: Moment) {
        self.next = Some((now.after_ms(REVERSE_REFUSED_MS), Call::Reverse));
        self.effects.push_back(Effect::Notify(Notice::NotReversible));
    }

    /// The terminal has said that it has the money, and has lost its memory of it, so the money is with neither of the two
    /// books. Its word that nothing was taken is worth nothing; that it went back would be.
    fn forgotten(&mut self, now: Moment) {
        if self.attempt.taken == Taken::Said {
            self.attempt.taken = Taken::Forgotten;
            self.odd("the terminal had taken the money, and knows nothing of it by now".to_owned());
            self.effects.push_back(Effect::Notify(Notice::Forgotten));
        }
        self.attempt.state = AttemptState::Unknown;
        if self.attempt.reversal.is_some() {
            self.next = Some((now.after_ms(REVERSE_REFUSED_MS), Call::Reverse));
        } else {
            // It counts as a question without an answer, so that it is asked less and less often.
            self.doubt(now);
        }
    }

    fn not_found(&mut self, call: Call, now: Moment) {
        match call {
            Call::Reverse => {
                let reason = "the terminal had not heard of it, and declines it from there on";
                self.settled(AttemptState::Declined, Some(reason.to_owned()));
            }
            Call::Pay => {
                self.odd("the terminal says to pay that it has not heard of it".to_owned());
                self.doubt(now);
            }
            // The question to pay may still reach the terminal.
            Call::Query if !self.is_settled() => self.reverse_because(ReversalReason::NeverArrived, now),
            Call::Query => {}
        }
    }

    fn still_paying(&mut self, call: Call, now: Moment) {
        if self.closed_by_person.is_some() {
            // It stays closed, and goes on being cancelled at the terminal.
            self.next = Some((now.after_ms(REVERSE_REFUSED_MS), Call::Reverse));
            return;
        }
        if self.is_settled() {
            self.odd(format!("the terminal says to {call} that the customer is paying after all"));
            self.attempt.state = AttemptState::Unknown;
            return self.reverse_because(ReversalReason::Late, now);
        }
        self.attempt.state = AttemptState::Asked;
        if call == Call::Reverse {
            self.next = Some((now.after_ms(REVERSE_AGAIN_MS), Call::Reverse));
        } else if self.attempt.reversal.is_some() {
            self.reverse_soon(now);
        } else if now >= self.unpaid_at {
            self.reverse_because(ReversalReason::Unpaid, now);
        } else {
            self.next = Some((now.after_ms(self.patience.poll_ms), Call::Query));
        }
    }

    // ---- what follows ----

    fn odd(&mut self, what: String) {
        self.attempt.odd_answers = self.attempt.odd_answers.saturating_add(1);
        self.attempt.detail = Some(what);
    }

    /// Nothing that could be believed was heard. What is settled or approved stays so; all else is unknown.
    fn doubt(&mut self, now: Moment) {
        if self.is_settled() {
            return;
        }
        if !self.attempt.is_usable() {
            self.attempt.state = AttemptState::Unknown;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.next = Some((now.after_ms(ask_again_ms(self.unanswered)), Call::Query));
    }

    fn settled(&mut self, state: AttemptState, detail: Option<String>) {
        self.next = None;
        // What has gone back was taken; a later "declined" means no more than that it is not there.
        if self.attempt.state != AttemptState::Reversed {
            self.attempt.state = state;
            self.attempt.detail = detail.or(self.attempt.detail.take());
        }
    }

    /// A person has looked, and that is the end of it for the store. Where nothing was taken the terminal is told so, once: a
    /// customer who still stands there must not pay what nobody waits for.
    fn closed_by_person(&mut self, outcome: Outcome, now: Moment) {
        if self.closed_by_person.is_some() || self.is_settled() {
            return;
        }
        self.settled(outcome.state(), None);
        self.closed_by_person = Some(outcome);
        if outcome == Outcome::NothingTaken {
            self.reverse_soon(now);
        }
    }

    fn reverse_because(&mut self, reason: ReversalReason, now: Moment) {
        self.attempt.reversal.get_or_insert(reason);
        self.reverse_soon(now);
    }

    fn reverse_soon(&mut self, now: Moment) {
        self.next = Some((now.max(self.reverse_not_before), Call::Reverse));
    }
}
