//! The rules of the counter: a command becomes a sale, or is refused with a reason.
//!
//! [`complete`] takes what the till says and answers with a [`SaleDraft`], which is right by construction: within every
//! limit, priced, and paid. What a draft lacks is what only the agent can give: the receipt and pickup number, the time
//! and the business date. A [`Refusal`] carries the numbers for the screen's text and a key under which a screen finds
//! its own words. [`payment`] is how money is taken at a terminal before that.
//!
//! The crate does not know how a command arrives or where a sale is kept: `agent/src/http/from_wire.rs` converts the one,
//! `agent/src/db/` does the other.

#![forbid(unsafe_code)]

pub mod basket;
mod complete;
pub mod kitchen;
pub mod limits;
mod order;
pub mod payment;
pub mod people;
mod refund;
mod refund_tender;
mod refusal;
mod sale;
mod shift;
mod shift_sums;
pub mod sold_out;
pub mod stock;
mod tender;
mod word;

pub use complete::complete;
pub use order::{PricedOrder, check_sellable, price_order, sell_order};
pub use refund::{GivenBack, RefundRefusal, SoldUnits, Wanted, give_back};
pub use refund_tender::{CashBack, Origin, WayBack, beyond_origin, note_gone, origins, way_of_origin};
pub use refusal::Refusal;
pub use sale::{
    Adjustment, BasketAt, ChosenOption, CompleteSale, Consumption, DraftLine, Imported, Line, PricedBy, SaleDraft,
    Tender,
};
pub use shift::{CashMove, ShiftSums, Sum, Turnover};
pub use shift_sums::largest;
pub use tender::{CASH, Settlement, settle};
pub use word::UnknownWord;
