//! How a store and the centre compare a business date, and how events come to the centre again that it has lost.
//!
//! The centre begins: it tells each store after its `Hello` what it wants to compare, and a store says nothing of the kind
//! before. So a centre that does not know these messages never gets one, and a store that does not know them skips the
//! question.

use pos_model::{BusinessDate, Currency, Epoch, FactsHash, Seq};
use serde::{Deserialize, Serialize};

use super::sync::{Batch, Mark};

/// The most dates that one [`Digests`] holds, or one [`Compare`] names.
pub const DIGEST_DATES_MAX: usize = 31;

/// The most epochs that the digest of one date names. A store that was started more often in a day says so.
pub const DIGEST_RUNS_MAX: usize = 256;

/// From the centre: which business dates it wants to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// These at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<BusinessDate>,
    /// So many of the newest that the store holds, again and again. Zero leaves it as it was.
    #[serde(default)]
    pub newest: u8,
    /// How often, in milliseconds. The first ones come within this time, too, each store at a moment of its own.
    #[serde(default)]
    pub every_ms: u32,
}

/// From a store: what it holds of business dates, as far as the centre has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// One for each date, each date once.
    pub dates: Vec<DayDigest>,
}

/// What a store holds of a business date. Only events within `runs` are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayDigest {
    /// The date.
    pub business_date: BusinessDate,
    /// Where its sales, refunds and movements of stock lie: for each epoch a part from the first to the last of them. Others,
    /// of other dates and kinds, may lie between, and what has no date may lie behind them or before.
    pub runs: Vec<RunOfDay>,
    /// How many sales and refunds there are and what they come to, by currency.
    pub sums: Vec<FactSums>,
    /// The hash over them.
    pub hash: FactsHash,
    /// The store may have let go of older events of this date, so there may have been more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// A part of an epoch in which events of a date lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOfDay {
    /// The epoch.
    pub epoch: Epoch,
    /// The first of them.
    pub first: Seq,
    /// The last of them, and the hash of the history up to it.
    pub last: Mark,
}

/// The sales and refunds of one currency. Sums that leave 64 bits begin anew at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactSums {
    /// The currency.
    pub currency: Currency,
    /// How many sales.
    pub sales: u64,
    /// What was paid, tax included.
    pub sales_gross_minor: i64,
    /// The tax in it.
    pub sales_tax_minor: i64,
    /// How many refunds.
    pub refunds: u64,
    /// What was given back, tax included.
    pub refunds_gross_minor: i64,
    /// The tax in it.
    pub refunds_tax_minor: i64,
}

impl FactSums {
    /// Without a sale.
    pub const fn nothing(currency: Currency) -> Self {
        Self {
            currency,
            sales: 0,
            sales_gross_minor: 0,
            sales_tax_minor: 0,
            refunds: 0,
            refunds_gross_minor: 0,
            refunds_tax_minor: 0,
        }
    }
}

/// From the centre: it lacks events that it had confirmed, and asks for them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Chosen for this question; the answer repeats it.
    pub request: u64,
    /// The epoch.
    pub epoch: Epoch,
    /// The first event.
    pub from: Seq,
    /// The last one. The answer may end before it.
    pub to: Seq,
}

/// From a store: the answer to [`Recall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// Repeated from the question.
    pub request: u64,
    /// Events from the first that was asked for, as many as one message holds; none if the store does not hold it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
}

fn is_false(value: &bool) -> bool {
    !value
}
