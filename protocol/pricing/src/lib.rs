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
//! 2. Its adjustments added give what is paid for it, which is never less than nothing.
//! 3. What is paid for all lines of a tax group gives the group's tax, rounded half away from zero; the tax is in it, or
//!    comes on top.
//! 4. The group's tax is shared out to its lines by largest remainder, ties to the earlier line. A line's *gross* is what
//!    the customer pays, tax included.
//!
//! The crate does not know which lines are allowed, who pays, or where a book comes from: limits and tenders are the
//! business of `till`.

#![forbid(unsafe_code)]

mod allocate;
pub mod book;
mod engine;
mod explain;
mod line;
mod quote;
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
pub use quote::Quote;
pub use refund::{Refund, RefundError, Return, SoldLine, equal_units, refund};
pub use tax::{tax_in_gross, tax_on_top};
pub use total::{LineTotals, PricingError, Totals, total};
