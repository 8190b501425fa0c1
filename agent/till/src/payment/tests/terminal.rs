//! A terminal with books of its own, and an agent that can crash.

use pos_model::{AttemptId, Money};

use super::super::{Answer, Attempt, Call, Effect, Input, Moment, Notice, Patience, Payment, ReversalReason, Standing};
use super::{AMOUNT, attempt, id};

/// What the terminal has in its books about the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It was never heard of.
    Nothing,
    /// The customer has not decided.
    Paying,
    Charged(Money),
    Declined,
    Reversed,
    /// It was reversed before it came: whatever comes is declined.
    Closed,
}

/// What happens to a question, decided by a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The terminal acts, and its answer arrives.
    Answered,
    /// The terminal acts, and its answer is lost.
    AnswerLost,
    /// The terminal never hears of it.
    Lost,
    /// The network holds it back, and the asker gives up; it arrives later.
    Delayed,
    /// The terminal acts, and answers about another attempt.
    OtherAttempt,
    /// The terminal acts, and says another amount.
    OtherAmountSaid,
    /// The question to pay waits at the terminal without an answer.
    Waits,
}

/// What else can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    CustomerPays,
    CustomerPaysAnotherAmount,
    CustomerDeclines,
    CashierGivesUp,
    CashierAsks,
    AgentCrashes,
    DelayedArrives,
    PayAnswers,
    TerminalForgets,
    TimePasses(u16),
}

pub(super) struct World {
    pub(super) entry: Entry,
    pub(super) charges: u32,
    pub(super) payment: Payment,
    pub(super) kept: Attempt,
    pub(super) pays: u32,
    pub(super) reversals: Vec<u64>,
    delayed: Vec<Call>,
    pay_waits: bool,
    pub(super) now_ms: u64,
    pub(super) charge_at_terminal: bool,
    /// The terminal has lost its memory of the attempt.
    pub(super) forgot: bool,
    /// People were told that it has.
    pub(super) told_forgotten: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            entry: Entry::Nothing,
            charges: 0,
            payment: Payment::ask(attempt(), Patience::USUAL, Moment::from_ms(0)),
            kept: attempt(),
            pays: 0,
            reversals: Vec::new(),
            delayed: Vec::new(),
            pay_waits: false,
            now_ms: 0,
            charge_at_terminal: false,
            forgot: false,
            told_forgotten: false,
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_ms(self.now_ms)
    }

    /// Carries out all effects; each question has the next fate.
    pub(super) fn perform(&mut self, fates: &mut impl Iterator<Item = Fate>, crash_before: Option<Effect>) {
        while let Some(effect) = self.payment.poll_effect() {
            if crash_before == Some(effect) {
                return self.crash();
            }
            match effect {
                Effect::Keep => self.kept = self.payment.attempt().clone(),
                Effect::Ask(call) => {
                    assert_eq!(&self.kept, self.payment.attempt(), "kept before anything is asked");
                    let fate = fates.next().unwrap_or(Fate::Answered);
                    self.ask(call, fate);
                }
                Effect::Notify(notice) => self.told_forgotten |= notice == Notice::Forgotten,
            }
        }
    }

    fn ask(&mut self, call: Call, fate: Fate) {
        match call {
            Call::Pay => self.pays += 1,
            Call::Reverse => self.reversals.push(self.now_ms),
            Call::Query => {}
        }
        let said = match fate {
            Fate::Lost => None,
            Fate::Delayed => {
                self.delayed.push(call);
                None
            }
            Fate::Waits if call == Call::Pay => {
                self.pay_waits = true;
                self.act(call);
                return;
            }
            Fate::AnswerLost => {
                self.act(call);
                None
            }
            Fate::Answered | Fate::Waits => Some((id(1), self.act(call))),
            Fate::OtherAttempt => {
                self.act(call);
                Some((id(2), Standing::Approved { amount: AMOUNT, reference: None }))
            }
            Fate::OtherAmountSaid => {
                self.act(call);
                Some((id(1), Standing::Approved { amount: Money::from_minor(9), reference: None }))
            }
        };
        self.tell(call, said);
    }

    fn tell(&mut self, call: Call, said: Option<(AttemptId, Standing)>) {
        let input = match said {
            Some((attempt_id, standing)) => Input::Answered(call, Answer { attempt_id, standing }),
            None => Input::NoAnswer(call),
        };
        self.payment.handle(input, self.now());
    }

    /// A terminal that obeys the protocol, but charges anew whenever it is asked to pay.
    fn act(&mut self, call: Call) -> Standing {
        self.entry = match (call, self.entry) {
            (Call::Pay, Entry::Closed) => Entry::Closed,
            (Call::Pay, _) if self.charge_at_terminal => {
                self.charges += 1;
                Entry::Charged(AMOUNT)
            }
            (Call::Pay, _) => Entry::Paying,
            (Call::Reverse, Entry::Nothing) => Entry::Closed,
            (Call::Reverse, Entry::Charged(_)) => Entry::Reversed,
            (_, entry) => entry,
        };
        self.standing()
    }

    fn standing(&self) -> Standing {
        match self.entry {
            Entry::Nothing => Standing::NotFound,
            Entry::Paying => Standing::StillPaying,
            Entry::Charged(amount) => Standing::Approved { amount, reference: Some("R7".to_owned()) },
            Entry::Declined | Entry::Closed => Standing::Declined { reason: None },
            Entry::Reversed => Standing::Reversed,
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::CustomerPays | Happening::CustomerPaysAnotherAmount if self.entry == Entry::Paying => {
                let amount =
                    if happening == Happening::CustomerPays { AMOUNT } else { Money::from_minor(AMOUNT.minor() - 1) };
                self.entry = Entry::Charged(amount);
                self.charges += 1;
            }
            Happening::CustomerDeclines if self.entry == Entry::Paying => self.entry = Entry::Declined,
            Happening::CashierGivesUp => {
                self.payment.handle(Input::ReverseWanted(ReversalReason::SaleGivenUp), self.now());
            }
            Happening::CashierAsks => self.payment.handle(Input::QueryWanted, self.now()),
            Happening::AgentCrashes => self.crash(),
            Happening::DelayedArrives => {
                if let Some(call) = self.delayed.pop() {
                    self.act(call);
                }
            }
            Happening::PayAnswers if self.pay_waits => {
                self.pay_waits = false;
                let standing = self.standing();
                self.tell(Call::Pay, Some((id(1), standing)));
            }
            Happening::TerminalForgets => {
                self.forgot = true;
                self.entry = Entry::Nothing;
            }
            Happening::TimePasses(ms) => {
                self.now_ms += u64::from(ms);
                self.payment.handle_timeout(self.now());
            }
            _ => {}
        }
    }

    fn crash(&mut self) {
        self.pay_waits = false;
        self.payment = Payment::resume(self.kept.clone(), Patience::USUAL, self.now());
    }

    /// The network heals and everybody behaves: lets all deadlines pass for so long.
    pub(super) fn settle(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        while let Some(call) = self.delayed.pop() {
            self.act(call);
        }
        self.happen(Happening::PayAnswers);
        self.perform(&mut std::iter::empty(), None);
        while let Some((at, _)) = self.payment.poll_timeout().filter(|(at, _)| at.ms() <= end) {
            self.now_ms = self.now_ms.max(at.ms());
            if self.now_ms > 100_000 && self.entry == Entry::Paying {
                self.entry = Entry::Declined;
            }
            self.payment.handle_timeout(self.now());
            self.perform(&mut std::iter::empty(), None);
        }
    }
}
