//! The centre's end: what a batch means ([`judge`]), what waits and is committed together ([`ServerSync`]), and how fast
//! stores may send ([`credit`]).

pub mod credit;
mod judge;
mod outcome;
mod queue;
mod sync;

pub use judge::{Held, Shape, Verdict, judge};
pub use outcome::{BatchOutcome, HelloOutcome, Outcome};
pub use sync::{Admission, Overload, Question, Route, ServerEffect, ServerSync, Ticket};
