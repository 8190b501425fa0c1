//! Version 1 of every message.

pub mod audit;
pub mod event;
pub mod local_api;
pub mod order;
pub mod people;
pub mod refund;
pub mod sale;
pub mod shift;
pub mod stock;
pub mod sync;

/// The number of this version, as it stands in `Hello` and in topics (`bw1/...`).
pub const VERSION: u16 = 1;
