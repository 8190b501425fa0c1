//! The price book and what baskets cost by it.

mod book;
mod cases;
mod fuzz;
mod properties;
mod support;
mod taxes;
