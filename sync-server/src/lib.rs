//! The central sync service: takes the stores' sales in over MQTT, applies each exactly once, and answers for them.
//!
//! Layout: [`mqtt`] speaks to the stores; [`ledger`] is the database.
//!
//! It does not know the agent: the two meet in the crate `protocol`, and in `tests`.

pub mod ledger;
pub mod mqtt;
