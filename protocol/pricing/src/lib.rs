//! What a basket costs, and why: the price book, the promotions, the tax, the shares, the refund.
//!
//! The same code runs at the till's agent and at the centre, so both reach the same minor unit. Amounts are whole minor
//! units, quantities millionths, rates parts per million; every division names its rounding, products are computed in
//! 128 bits, and what does not fit is said.
//!
//! [`price`] prices a basket by a [`book`]; [`refund`] gives back what a sale has stored; [`explain`] puts a priced basket
//! into words. [`total`] adds up lines that carry their prices already, as an imported receipt does:
//!
//! 1. A line's *list* amount is (unit price + options) × quantity, rounded half away from zero.
//! 2. Its adjustments added give its *gross*: what the customer pays, tax included. Never less than nothing.
//! 3. The gross of all lines of a tax group gives the group's tax, rounded half away from zero.
//! 4. The group's tax is shared out to its lines by largest remainder, ties to the earlier line.
//!
//! The crate does not know which lines are allowed, who pays, or where a book comes from: limits and tenders are the
//! business of `till`.

#![forbid(unsafe_code)]

mod allocate;
pub mod book;
mod engine;
mod explain;
mod line;
mod refund;
mod round;
mod tax;
mod total;

pub use allocate::allocate;
pub use engine::{
    Applied, Basket, BasketLine, Context, IssuedCoupon, Member, NotApplied, Offer, PricedBasket, PricedLine,
    PricedOption, PricedUnit, Problem, Right, Rules, TaxOfGroup, UNITS_MAX, WhyNot, cash_rounding, price,
};
pub use explain::explain;
pub use line::{LineInput, line_gross};
pub use refund::{Refund, RefundError, Return, SoldLine, refund};
pub use tax::tax_in_gross;
pub use total::{LineTotals, PricingError, Totals, total};
