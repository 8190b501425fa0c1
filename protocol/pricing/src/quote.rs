//! A priced basket as data for programs: the same at the till's agent and at the centre.

use pos_model::{BookHash, Currency, Tag};
use serde::Serialize;

use crate::engine::{PricedBasket, Rules};

/// A priced basket with the name of the book that priced it.
#[derive(Debug, Serialize)]
pub struct Quote<'a> {
    price_book_version: &'a Tag,
    price_book_hash: BookHash,
    currency: Currency,
    #[serde(flatten)]
    basket: &'a PricedBasket,
}

impl<'a> Quote<'a> {
    /// Puts them together; `rules` are those by which it was priced.
    pub fn new(basket: &'a PricedBasket, rules: &'a Rules) -> Self {
        let book = rules.book();
        Self { price_book_version: &book.version, price_book_hash: rules.hash(), currency: book.currency, basket }
    }
}
