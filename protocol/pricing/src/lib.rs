//! Pure arithmetic of a basket: line amounts, the tax in them, and shares that add up.
//!
//! The same code runs at the till's agent and at the centre, so both reach the same minor unit. Amounts are whole minor
//! units, quantities millionths, rates parts per million; every division names its rounding, and nothing can overflow
//! silently: [`price`] computes in 128 bits and answers [`PricingError::Overflow`] where a result leaves 64.
//!
//! Order of computation:
//! 1. A line's *list* amount is (unit price + options) × quantity, rounded half away from zero.
//! 2. Its adjustments added give its *gross*: what the customer pays, tax included. Never less than nothing.
//! 3. The gross of all lines of a tax group gives the group's tax, rounded half away from zero.
//! 4. The group's tax is shared out to its lines by largest remainder, ties to the earlier line.
//!
//! The crate does not know which lines are allowed, who pays, or where a price comes from: limits and tenders are the
//! business of `till`.

#![forbid(unsafe_code)]

mod allocate;
mod basket;
mod line;
mod round;
mod tax;

pub use allocate::allocate;
pub use basket::{PricedBasket, PricedLine, PricingError, price};
pub use line::{LineInput, line_gross};
pub use tax::tax_in_gross;
