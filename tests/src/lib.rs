//! What proves the product: simulation, real processes under faults, load, and the measurements.
//!
//! The crate sees every other one and nobody sees it. Nothing in it ships.

pub mod bench;
pub mod checks;
pub mod demo;
pub mod load;
pub mod mosquitto;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod reference;
pub mod surroundings;
pub mod throttle;
pub mod workload;
pub mod world;
