//! What a [`super::Payment`] hears, and what it asks of its shell.

use std::fmt;

use pos_model::{AttemptId, Money};

use super::{Outcome, ReversalReason};

/// A question to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Take the money.
    Pay,
    /// What became of the attempt?
    Query,
    /// Give the money back, or never take it.
    Reverse,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pay => "pay",
            Self::Query => "query",
            Self::Reverse => "reverse",
        })
    }
}

/// What a terminal says. Every question has the same answer: how an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of which attempt it speaks. That need not be the one that was asked about.
    pub attempt_id: AttemptId,
    /// How it stands.
    pub standing: Standing,
}

/// How an attempt stands, as a terminal sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The money is taken. Said to [`Call::Reverse`]: it is taken, and cannot be given back.
    Approved {
        /// How much was taken.
        amount: Money,
        /// The terminal's own name for it.
        reference: Option<String>,
    },
    /// Nothing is taken, and nothing will be.
    Declined {
        /// Why, in the terminal's words.
        reason: Option<String>,
    },
    /// What was taken has gone back.
    Reversed,
    /// The customer is still at it.
    StillPaying,
    /// The terminal has not heard of it. Said to [`Call::Reverse`]: and it will decline the attempt if it comes.
    NotFound,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The terminal has answered a question.
    Answered(Call, Answer),
    /// The terminal has not answered in time, or in no way that could be understood. It may have acted all the same.
    NoAnswer(Call),
    /// It is to be reversed.
    ReverseWanted(ReversalReason),
    /// A person wants the terminal asked about it at once.
    QueryWanted,
    /// A person has looked at the terminal and says what became of it.
    Settled(Outcome),
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Keep the attempt as it is, on disk. Nothing behind this is done before it has succeeded.
    Keep,
    /// Ask the terminal, then call `handle` with its answer, or with its silence.
    Ask(Call),
    /// Tell people.
    Notify(Notice),
}

/// What people must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It has been open for so long that somebody should look at the terminal.
    StillOpen,
    /// The terminal has the money and refuses to give it back.
    NotReversible,
    /// The terminal has said that it has the money, and no longer knows of it.
    Forgotten,
}
