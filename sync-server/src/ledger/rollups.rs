//! Roll-ups: what was sold and what came back, by store, hour, item and promotion.
//!
//! - They are derived from the applied events and nothing else, off the path of a sale, and can be made anew at any time for
//!   the dates of which the events are kept.
//! - They hold the sums of all applied events up to a number, the watermark, which moves in the database transaction that
//!   writes the sums: a program that ends at any place loses and doubles nothing.
//! - The watermark never runs over a number whose event may come yet. Of an event that is applied later, or otherwise than it
//!   came, whoever applies it leaves a mark in the same transaction, and its store's date is summed up anew.
//! - Who writes finds the state as it was read, or writes nothing: of two who try, one does it.

use pos_model::BusinessDate;

use super::{Difference, LedgerError, TotalsFilter};

/// What one step did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RollUpStep {
    /// Another server does it at present.
    pub is_elsewhere: bool,
    /// Events that were added to the sums.
    pub events: u64,
    /// Dates of stores that were summed up anew.
    pub days: u64,
    /// Dates of stores that were left as they are, because what they follow from was dropped.
    pub days_left: u64,
    /// There is more to do at once.
    pub more: bool,
}

/// How far the roll-ups are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollUpState {
    /// The number of the newest event that is in the sums.
    pub through: i64,
    /// When the oldest message arrived that is not in them; none if there is none.
    pub oldest_ms: Option<i64>,
    /// Dates of stores that are to be summed up anew, up to [`MARKS_COUNTED_MAX`].
    pub days_waiting: i64,
    /// Business dates before it cannot be summed up anew.
    pub facts_from: Option<BusinessDate>,
}

impl RollUpState {
    /// By how much the sums are behind what has arrived, in milliseconds.
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        self.oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest).max(0))
    }
}

/// Above so many marks nobody counts on.
pub const MARKS_COUNTED_MAX: i64 = 100_000;

/// Which business dates, both ends included; all without them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first one.
    pub from: Option<BusinessDate>,
    /// The last one.
    pub to: Option<BusinessDate>,
}

/// Which rows of roll-ups.
#[derive(Debug, Clone, Default)]
pub struct RollUpFilter {
    /// Which stores and dates, and how many rows at most.
    pub totals: TotalsFilter,
    /// Summed up over the stores.
    pub over_stores: bool,
}

/// What was sold and came back in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRow {
    /// The store; none if it is the sum over stores.
    pub store: Option<String>,
    /// The business date.
    pub business_date: BusinessDate,
    /// The hour on the store's clock, 0 to 23.
    pub hour: i64,
    /// The currency of the amounts.
    pub currency: String,
    /// Sales.
    pub sales: i64,
    /// Their lines.
    pub lines: i64,
    /// The sum of the lines' quantities, in millionths.
    pub quantity_micro: i64,
    /// What customers paid, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// Without the tax.
    pub net_minor: i64,
    /// Refunds; each counts in its own hour and date.
    pub refunds: i64,
    /// What went back, tax included.
    pub refund_gross_minor: i64,
    /// The tax in it.
    pub refund_tax_minor: i64,
}

/// What was sold and came back of an article in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// The store; none if it is the sum over stores.
    pub store: Option<String>,
    /// The business date.
    pub business_date: BusinessDate,
    /// The hour on the store's clock, 0 to 23.
    pub hour: i64,
    /// The article with its variant.
    pub sku: String,
    /// The currency of the amounts.
    pub currency: String,
    /// Lines of sales.
    pub lines: i64,
    /// The sum of their quantities, in millionths.
    pub quantity_micro: i64,
    /// What customers paid for them, tax included.
    pub gross_minor: i64,
    /// What changed their prices; below zero in the customers' favour.
    pub adjustment_minor: i64,
    /// The tax in the gross.
    pub tax_minor: i64,
    /// Lines of refunds.
    pub refund_lines: i64,
    /// How much came back, in millionths.
    pub refund_quantity_micro: i64,
    /// What went back for it, tax included.
    pub refund_gross_minor: i64,
    /// The tax in it.
    pub refund_tax_minor: i64,
}

/// What a promotion did on a business date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionRow {
    /// The store; none if it is the sum over stores.
    pub store: Option<String>,
    /// The business date.
    pub business_date: BusinessDate,
    /// The promotion.
    pub promotion_id: String,
    /// The currency of the amount.
    pub currency: String,
    /// Sales in which it changed a price.
    pub sales: i64,
    /// How often it changed the price of a line.
    pub times: i64,
    /// What it gave away; above zero in the customers' favour.
    pub given_minor: i64,
}

/// What a comparison of the roll-ups with the events looked at and found.
#[derive(Debug, Clone, Default)]
pub struct RollUpReport {
    /// Business dates looked at.
    pub dates: u64,
    /// Rows compared.
    pub rows: u64,
    /// Dates of stores that were left out, because they are to be summed up anew.
    pub days_waiting: u64,
    /// Dates of which promotions were left out, because messages of them were dropped.
    pub dates_without_messages: u64,
    /// What differs, at most [`DIFFERENCES_MAX`](super::DIFFERENCES_MAX).
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub differences_total: u64,
}

/// Makes, compares and reads roll-ups, beside the writer of the ledger.
pub trait RollUps {
    /// Does the next bounded piece of work: adds what was applied behind the watermark, then sums up anew what is marked.
    /// `worker` is a number of the caller's own, by which several of them take turns.
    fn roll_up(&self, worker: i64, now_ms: i64) -> Result<RollUpStep, LedgerError>;

    /// Lets another one go on at once.
    fn leave_roll_ups(&self, worker: i64) -> Result<(), LedgerError>;

    /// Marks dates to be summed up anew, of all stores; says how many dates of stores.
    fn mark_roll_ups(&self, range: DateRange) -> Result<u64, LedgerError>;

    /// How far they are.
    fn roll_up_state(&self) -> Result<RollUpState, LedgerError>;

    /// Compares them with sums straight from the rows and messages of the events. `each_date` hears of each date.
    fn check_roll_ups(
        &self,
        range: DateRange,
        each_date: &mut dyn FnMut(BusinessDate),
    ) -> Result<RollUpReport, LedgerError>;

    /// Sales and refunds by hour: by store, date, hour and currency, in that order.
    fn hours(&self, filter: &RollUpFilter) -> Result<Vec<HourRow>, LedgerError>;

    /// The same by article.
    fn items(&self, filter: &RollUpFilter) -> Result<Vec<ItemRow>, LedgerError>;

    /// What promotions gave away: by store, date, promotion and currency, in that order.
    fn promotions(&self, filter: &RollUpFilter) -> Result<Vec<PromotionRow>, LedgerError>;
}
