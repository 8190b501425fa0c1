//! Price books at the centre, and sales that do not cost what their book says.

use pos_model::{BookHash, Money, SaleId, StoreId};

use super::LedgerError;

/// A price book as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBookRow {
    /// Its content's name.
    pub hash: BookHash,
    /// Its version, for people.
    pub version: String,
    /// When it was added, in milliseconds since 1970 (UTC).
    pub added_at_ms: i64,
}

/// A sale that does not cost what its price book says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceDifference {
    /// The sale.
    pub sale_id: SaleId,
    /// When it was found, in milliseconds since 1970 (UTC).
    pub found_at_ms: i64,
    /// What the customer paid.
    pub sold: Money,
    /// What the book says.
    pub computed: Money,
    /// The first thing that differs.
    pub what: String,
}

/// Keeps price books and what was found by them, beside the writer of the ledger.
pub trait PriceBooks {
    /// Adds a book in its canonical form; says whether it was not there yet.
    fn add_price_book(&self, hash: BookHash, version: &str, json: &[u8], now_ms: i64) -> Result<bool, LedgerError>;

    /// The books, those added last first.
    fn price_books(&self) -> Result<Vec<PriceBookRow>, LedgerError>;

    /// A book's document.
    fn price_book(&self, hash: BookHash) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Notes differences of applied sales, all together; one that is known stays as it was found first, and one of a sale
    /// that the store has not among its own is left out.
    fn note_price_differences(&self, differences: &[(StoreId, PriceDifference)]) -> Result<(), LedgerError>;

    /// The differences of a store, those found last first.
    fn price_differences(&self, store: &StoreId, limit: u32) -> Result<Vec<PriceDifference>, LedgerError>;
}
