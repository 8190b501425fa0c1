//! Payment terminals: what they are, and the tasks that drive attempts.
//!
//! `terminal` is what a terminal can be asked; `simulator` and `http` are two of them; `task` gives each open attempt a
//! `driver`, which carries out what `till::payment` decides. What is known of an attempt is in the books
//! (`agent/src/db/payment.rs`) before anything follows from it, so the end of the process loses nothing: the next run asks
//! what became of every open attempt.

mod driver;
mod http;
mod simulator;
mod task;
mod terminal;

pub use http::{HttpTerminal, HttpTerminalError};
pub use simulator::{Script, Simulator, Step};
pub use task::{Payments, PaymentsError};
pub use terminal::{Code, PayOrder, Reply, Silence, Terminal};
