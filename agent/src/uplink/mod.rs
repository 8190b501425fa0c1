//! The way to the centre: `sync-core` decides, this module does.
//!
//! [`perform`] makes messages out of the books and writes answers into them; [`link`] says what a connection must offer
//! and [`mqtt`] offers it.

pub mod link;
pub mod mqtt;
pub mod perform;
