//! What proves the product: simulation, real processes under faults, load, and the measurements.
//!
//! The crate sees every other one and nobody sees it. Nothing in it ships.

pub mod load;
pub mod process;
pub mod proxy;
