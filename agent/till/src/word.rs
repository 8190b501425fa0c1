//! Words that stand for something, in commands and in the books.

/// A word that stands for nothing of its kind: no role, no action, no state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a word for it")]
pub struct UnknownWord;
