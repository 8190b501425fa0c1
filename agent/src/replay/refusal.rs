//! Why a row is not sold.

use pos_model::{InvalidId, MoneyError, QuantityError};

use super::values::UnpairedBrackets;

/// Why a row of the file is refused. Every row of an order is refused together: a receipt with a line missing would be
/// another receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowRefusal {
    /// Too few or too many cells, so nobody knows which cell is which.
    #[error("has {cells} cells where the file has {columns} columns")]
    Cells {
        /// In the row.
        cells: usize,
        /// In the file.
        columns: usize,
    },
    /// A rule of the mapping.
    #[error("{0}")]
    Rule(String),
    /// The cell of the item is empty.
    #[error("names no item")]
    NoItem,
    /// A text that is no name of its kind.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// The quantity.
    #[error("quantity: {0}")]
    Quantity(QuantityError),
    /// A quantity of nothing or less.
    #[error("quantity: {0:?} is not more than nothing (a return is not sold again)")]
    QuantityNotPositive(String),
    /// The unit price or the line's amount.
    #[error("{column}: {source}")]
    Money {
        /// The column.
        column: String,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// A price or an amount below nothing.
    #[error("{column}: {text:?} is less than nothing (a return is not sold again)")]
    Negative {
        /// The column.
        column: String,
        /// The text.
        text: String,
    },
    /// Neither the row nor the catalogue nor the mapping has a price.
    #[error("there is no price for item {0:?}")]
    NoPrice(String),
    /// The options.
    #[error(transparent)]
    Options(#[from] UnpairedBrackets),
    /// Date and time.
    #[error("time: {text:?}: {problem}")]
    Time {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The order's sums.
    #[error("the order's amounts do not fit in 64 bits")]
    Overflow,
    /// A row of the same order is refused.
    #[error("belongs to the same order as line {0}, which is refused")]
    SameOrder(u64),
    /// The agent refused the order.
    #[error("the agent refused the order ({status}): {detail}")]
    Agent {
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
}

/// A row that is not sold, by its line in the file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RowNote {
    /// The line on which the row starts, from one.
    pub line: u64,
    /// Why.
    pub reason: String,
}
