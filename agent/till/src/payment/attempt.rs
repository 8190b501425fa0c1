//! What is kept of an attempt.

use std::fmt;
use std::str::FromStr;

use pos_model::{AttemptId, Money, OperatorId, SaleId, Stamp, Tag, TillId};

use super::PaymentRefusal;
use crate::limits::{AMOUNT_MINOR_MAX, ATTEMPTS_MAX};
use crate::tender::CASH;
use crate::word::UnknownWord;

/// One try to take money at a terminal, as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Made by the till, and kept there before it asked.
    pub attempt_id: AttemptId,
    /// The sale that it pays for.
    pub sale_id: SaleId,
    /// The till that asked.
    pub till_id: TillId,
    /// Who asked.
    pub operator_id: Option<OperatorId>,
    /// The kind of tender: `card`, `wallet`, `voucher` and so on.
    pub kind: Tag,
    /// How much.
    pub amount: Money,
    /// The name of the terminal.
    pub terminal: Tag,
    /// When the till asked.
    pub asked_at: Stamp,
    /// What is known of it.
    pub state: AttemptState,
    /// Set once it has to be reversed: nobody can pay with it any more.
    pub reversal: Option<ReversalReason>,
    /// The terminal's own name for what it did, for people.
    pub reference: Option<String>,
    /// Why it was declined, or what was odd, in words.
    pub detail: Option<String>,
    /// How many answers named another attempt or another amount, or contradicted an earlier one.
    pub odd_answers: u32,
    /// Whether the terminal has ever said that it has taken money for it.
    pub taken: Taken,
}

impl Attempt {
    /// Whether a sale may be paid with it.
    pub fn is_usable(&self) -> bool {
        self.state == AttemptState::Approved && self.reversal.is_none()
    }

    /// Whether the terminal has the money, as far as it says, or had it and has not said what became of it.
    pub fn holds_money(&self) -> bool {
        self.state == AttemptState::Approved || self.is_open() && self.taken == Taken::Said
    }

    /// Whether something of it is still to come: an answer, or a reversal.
    pub fn is_open(&self) -> bool {
        match self.state {
            AttemptState::Asked | AttemptState::Unknown => true,
            AttemptState::Approved => self.reversal.is_some(),
            AttemptState::Declined | AttemptState::Reversed => false,
        }
    }
}

/// What is known of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// The terminal is asked, and may be waiting for the customer.
    Asked,
    /// The terminal has taken exactly this amount for exactly this attempt.
    Approved,
    /// Nothing was taken, and nothing will be.
    Declined,
    /// The terminal has not answered, or not in a way that could be believed. It is asked again.
    Unknown,
    /// What was taken has gone back.
    Reversed,
}

impl AttemptState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Asked, Self::Approved, Self::Declined, Self::Unknown, Self::Reversed];

    /// The word under which it is kept and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Unknown => "unknown",
            Self::Reversed => "reversed",
        }
    }
}

/// Whether a terminal has ever said that it has taken money for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It has not said so.
    Never,
    /// It has said so.
    Said,
    /// It has said so, and later that it had not heard of the attempt. From there on its word that nothing was taken means
    /// nothing: only a reversal ends the attempt, or a person who has looked.
    Forgotten,
}

impl Taken {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Never, Self::Said, Self::Forgotten];

    /// The word under which it is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Said => "said",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What a person says of an attempt that no terminal settles, after a look at the terminal's own list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was taken.
    NothingTaken,
    /// What was taken has gone back to the customer, in whatever way.
    GivenBack,
}

impl Outcome {
    /// The state that follows from it.
    pub const fn state(self) -> AttemptState {
        match self {
            Self::NothingTaken => AttemptState::Declined,
            Self::GivenBack => AttemptState::Reversed,
        }
    }
}

/// Why an attempt is to be reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReversalReason {
    /// A person wants it.
    Person,
    /// The sale that it pays for will not be made.
    SaleGivenUp,
    /// The customer has not paid in time.
    Unpaid,
    /// The terminal had not heard of it when it was asked about it.
    NeverArrived,
    /// The terminal has taken another amount.
    OtherAmount,
    /// The terminal says that it has taken the money, after it was known that it had not.
    Late,
    /// Its sale was paid in another way.
    PaidOtherwise,
}

impl ReversalReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Person,
        Self::SaleGivenUp,
        Self::Unpaid,
        Self::NeverArrived,
        Self::OtherAmount,
        Self::Late,
        Self::PaidOtherwise,
    ];

    /// The word under which it is kept and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::SaleGivenUp => "sale_given_up",
            Self::Unpaid => "unpaid",
            Self::NeverArrived => "never_arrived",
            Self::OtherAmount => "other_amount",
            Self::Late => "late",
            Self::PaidOtherwise => "paid_otherwise",
        }
    }
}

impl FromStr for AttemptState {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownWord)
    }
}

impl FromStr for Taken {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|taken| taken.as_str() == word).ok_or(UnknownWord)
    }
}

impl FromStr for ReversalReason {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).ok_or(UnknownWord)
    }
}

impl fmt::Display for AttemptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a terminal may be asked for this attempt, beside the other attempts of the same sale.
///
/// As long as one of them is open the customer may have paid with it, so there is no further one, unless a person has
/// looked at the terminal and says that nothing was taken.
pub fn may_ask<'a>(
    wanted: &Attempt,
    others: impl IntoIterator<Item = &'a Attempt>,
    nothing_taken: bool,
) -> Result<(), PaymentRefusal> {
    if wanted.kind.as_str() == CASH {
        return Err(PaymentRefusal::Cash);
    }
    if !(1..=AMOUNT_MINOR_MAX).contains(&wanted.amount.minor()) {
        return Err(PaymentRefusal::Amount { amount: wanted.amount, max_minor: AMOUNT_MINOR_MAX });
    }
    let mut count = 0;
    for other in others {
        count += 1;
        if other.is_open() && !nothing_taken {
            return Err(PaymentRefusal::OtherAttemptOpen { attempt_id: other.attempt_id, state: other.state });
        }
    }
    if count >= ATTEMPTS_MAX { Err(PaymentRefusal::AttemptCount { max: ATTEMPTS_MAX }) } else { Ok(()) }
}
