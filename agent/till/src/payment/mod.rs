//! Payment at a terminal: one attempt to take money, from the question to what is known of it for certain.
//!
//! Constraints. Money is never taken twice, and never kept without anybody knowing. A terminal can be slow, silent, or
//! answer a question that nobody asked; the agent can end at any moment.
//!
//! Layout. [`Attempt`] is what is kept on disk. [`Payment`] drives it: it takes [`Input`] and the time, and asks its shell
//! for an [`Effect`]. It holds what may be forgotten besides: what is under way, and when to ask again.
//!
//! Operation.
//! - An attempt is on disk before the terminal hears of it, and each change of it before anything follows from the change.
//! - The terminal is asked to pay once for each attempt, whatever happens, also after a restart. What is unknown is
//!   resolved by asking about it.
//! - Every answer names the attempt, and an approval the amount. One that names others approves nothing.
//! - An attempt of which the terminal has not heard may still be on its way to it. So it is reversed, which makes the
//!   terminal decline it for ever; only then is it known that nothing was taken.
//! - An approval that nobody wants any more is reversed, and until the terminal says that it is, this is tried again.
//! - A terminal that has taken money and no longer knows of it is not believed: the attempt stays open, and a person is
//!   told, until the terminal says that the money went back or a person does.
//!
//! The other half is in `agent/src/payment/`: terminals, and the task that carries out effects.

mod attempt;
mod machine;
mod message;
mod patience;
mod refusal;
#[cfg(test)]
mod tests;

pub use attempt::{Attempt, AttemptState, Outcome, ReversalReason, Taken, may_ask};
pub use machine::Payment;
pub use message::{Answer, Call, Effect, Input, Notice, Standing};
pub use patience::{Moment, Patience};
pub use refusal::PaymentRefusal;
