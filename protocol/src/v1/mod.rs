//! Version 1 of every message.

pub mod audit;
pub mod basket_api;
pub mod event;
pub mod kitchen;
pub mod local_api;
pub mod order;
pub mod payment;
pub mod people;
pub mod print;
mod quantity_json;
pub mod reconcile;
pub mod refund;
pub mod refund_api;
pub mod sale;
pub mod shift;
pub mod shift_api;
pub mod sold_out;
pub mod state;
pub mod stock;
pub mod stock_api;
pub mod sync;

/// The number of this version, as it stands in `Hello` and in topics (`bw1/...`).
pub const VERSION: u16 = 1;
