//! The way to the centre: `sync-core` decides, this module does.
//!
//! [`perform`] makes messages out of the books and writes answers into them; [`link`] says what a connection must offer
//! and [`mqtt`] offers it; [`task`] drives the machine.

pub mod link;
pub mod mqtt;
pub mod perform;
pub mod task;
mod telemetry;
