//! Why a payment is not asked for, not reversed, or does not pay for a sale.

use pos_model::{AttemptId, Money, Tag};

use super::{AttemptState, ReversalReason};

/// A rule of payments that a command breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum PaymentRefusal {
    /// Cash needs no terminal.
    #[error("cash is not paid at a terminal")]
    Cash,
    /// An amount of nothing, of less, or beyond all sense.
    #[error("{} minor units cannot be asked for, only 1 to {max_minor}", amount.minor())]
    Amount { amount: Money, max_minor: i64 },
    /// Another attempt of the sale may yet take the money.
    #[error("attempt {attempt_id} of the same sale is {state}: the customer may have paid with it")]
    OtherAttemptOpen { attempt_id: AttemptId, state: AttemptState },
    /// Somebody tries for ever.
    #[error("a sale has at most {max} attempts")]
    AttemptCount { max: usize },
    /// The sale is made.
    #[error("the sale is recorded already")]
    SaleRecorded,
    /// No such terminal in the configuration.
    #[error("there is no terminal {terminal}")]
    UnknownTerminal { terminal: Tag },
    /// There are several terminals, or none, and the command names none.
    #[error("the command has to name a terminal: there are {count}")]
    TerminalNeeded { count: usize },
    /// A code beyond all sense.
    #[error("the customer's code has more than {max} characters")]
    CodeTooLong { max: usize },
    /// Too many attempts of the store are open.
    #[error("{count} attempts are open already; find out what became of them first")]
    TooManyOpen { count: usize },
    /// The attempt is not kept here.
    #[error("attempt {attempt_id} is not kept here")]
    UnknownAttempt { attempt_id: AttemptId },
    /// The attempt has paid for a sale: what goes back then is a refund.
    #[error("attempt {attempt_id} has paid for a sale; refund that")]
    Used { attempt_id: AttemptId },
    /// The attempt was made for another sale.
    #[error("attempt {attempt_id} belongs to another sale")]
    OtherSale { attempt_id: AttemptId },
    /// The tender says another kind than the attempt.
    #[error("attempt {attempt_id} was made as {kind}")]
    OtherKind { attempt_id: AttemptId, kind: Tag },
    /// The tender says another amount than the attempt.
    #[error("attempt {attempt_id} was made for {} minor units", amount.minor())]
    OtherAmount { attempt_id: AttemptId, amount: Money },
    /// The terminal has not approved it.
    #[error("attempt {attempt_id} is {state} and pays for nothing")]
    NotApproved { attempt_id: AttemptId, state: AttemptState },
    /// It was approved, and nobody can pay with it any more.
    #[error("attempt {attempt_id} is going back to the customer ({}) and pays for nothing", reason.as_str())]
    ToBeReversed { attempt_id: AttemptId, reason: ReversalReason },
    /// A person settles what is settled.
    #[error("attempt {attempt_id} is {state}: there is nothing to settle")]
    NotOpen { attempt_id: AttemptId, state: AttemptState },
    /// A person settles what the terminal may yet do otherwise.
    #[error(
        "the terminal is at work on attempt {attempt_id}: have it reversed; if it is at work {minutes} minutes after it was \
         asked for the money, settle it"
    )]
    AtWork { attempt_id: AttemptId, minutes: i64 },
    /// Two tenders name one attempt.
    #[error("attempt {attempt_id} stands in two tenders of the sale")]
    NamedTwice { attempt_id: AttemptId },
    /// A tender of this kind needs an attempt in this store, or one for just this was approved.
    #[error("a tender of kind {kind} has to name the attempt by which it was paid")]
    AttemptNeeded { kind: Tag },
}

impl PaymentRefusal {
    /// The key under which a screen finds its own words.
    pub const fn message_key(&self) -> &'static str {
        match self {
            Self::Cash => "payment.cash",
            Self::Amount { .. } => "payment.amount",
            Self::OtherAttemptOpen { .. } => "payment.other_attempt_open",
            Self::AttemptCount { .. } => "payment.attempt_count",
            Self::SaleRecorded => "payment.sale_recorded",
            Self::UnknownTerminal { .. } => "payment.unknown_terminal",
            Self::TerminalNeeded { .. } => "payment.terminal_needed",
            Self::CodeTooLong { .. } => "payment.code_too_long",
            Self::TooManyOpen { .. } => "payment.too_many_open",
            Self::UnknownAttempt { .. } => "payment.unknown_attempt",
            Self::Used { .. } => "payment.used",
            Self::OtherSale { .. } => "payment.other_sale",
            Self::OtherKind { .. } => "payment.other_kind",
            Self::OtherAmount { .. } => "payment.other_amount",
            Self::NotApproved { .. } => "payment.not_approved",
            Self::ToBeReversed { .. } => "payment.to_be_reversed",
            Self::NotOpen { .. } => "payment.not_open",
            Self::AtWork { .. } => "payment.at_work",
            Self::NamedTwice { .. } => "payment.named_twice",
            Self::AttemptNeeded { .. } => "payment.attempt_needed",
        }
    }
}
