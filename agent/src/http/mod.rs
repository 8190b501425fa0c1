//! The local API under `/v1`: what tills speak.
//!
//! `routes` names the paths of sales and of the store itself and joins the families, each of which is a module with its
//! `routes()` and its `Document`; `said` is how a command comes in and is answered once; `from_wire` and `to_wire` convert at the edge; `orders` prices by the book; `problem` is how every error
//! looks, and `describe` says of all operations what holds for each; `stock` is a family; `events` is the stream of changes. The types are `protocol`'s, the decisions are `till`'s.
//!
//! `caller` finds out who speaks: on loopback anybody may, if the configuration says so; else tills name the token that
//! they got when they were paired (`pairing`). `people` is operators and approvals.

mod baskets;
mod caller;
mod describe;
mod events;
pub mod from_wire;
mod kitchen;
pub(crate) mod listener;
mod orders;
mod pairing;
mod payments;
mod people;
mod print;
mod problem;
mod receipts;
mod refunds;
mod routes;
pub(crate) mod said;
mod shifts;
mod sold_out;
mod state;
pub(crate) mod stock;
mod to_wire;

pub use orders::Counter;
pub(crate) use print::PICTURES_MAX;
pub use problem::ApiError;
pub use routes::{ApiParts, openapi, router};
