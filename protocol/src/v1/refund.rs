//! Goods or money that came back.
//!
//! A refund gives back what the sale has stored, unit by unit; it prices nothing. All refunds of a sale together never come
//! to more than the sale, over all tills of the store.

use pos_model::{
    BusinessDate, Currency, Money, OperatorId, Quantity, RefundId, SaleId, ShiftId, Sku, Stamp, Tag, TillId,
};
use serde::{Deserialize, Serialize};

use super::sale::{Consumption, SaleTotals, Tender};

/// A customer got money back. The amounts are what goes back, so they are above zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefundCompleted {
    /// Made by the till.
    pub refund_id: RefundId,
    /// The sale of which something comes back.
    pub sale_id: SaleId,
    /// Whether the sale was taken back whole, as if it had not been.
    pub kind: RefundKind,
    /// Where.
    pub till_id: TillId,
    /// The shift in which it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_id: Option<ShiftId>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Who allowed it, where that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver_id: Option<OperatorId>,
    /// Why.
    pub reason: Tag,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The number on the receipt, from the same row of numbers as the till's sales.
    pub receipt_no: u64,
    /// When, by the store's clock.
    pub refunded_at: Stamp,
    /// The business date in which it counts.
    pub business_date: BusinessDate,
    /// The currency of every amount in it.
    pub currency: Currency,
    /// What came back; at least one line.
    pub lines: Vec<RefundLine>,
    /// How the money went back.
    pub tenders: Vec<Tender>,
    /// By how much the cash that went back differs from what was owed, because of the coins there are.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub cash_rounding_minor: Money,
    /// The sums over all lines.
    pub totals: SaleTotals,
    /// The points that the member loses again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub points: i64,
}

impl RefundCompleted {
    /// The kind's name.
    pub const KIND: &'static str = "refund_completed";
}

/// What kind of return it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundKind {
    /// Goods or money came back.
    Refund,
    /// The sale was a mistake and is taken back whole.
    Void,
    /// What a newer agent knows.
    #[serde(other)]
    Other,
}

/// Units of one line that came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line of the sale, counted from zero.
    pub line: u32,
    /// What was sold.
    pub sku: Sku,
    /// Its name at that time.
    pub name: String,
    /// Which units of the line, counted from zero. A line that is no whole number of units is one unit.
    pub units: Vec<u32>,
    /// How much of it.
    pub quantity: Quantity,
    /// What the customer gets back for it, tax included.
    pub gross_minor: Money,
    /// The tax in that.
    pub tax_minor: Money,
    /// The tax group.
    pub tax_group: Tag,
    /// The rate of that group in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// What became of the goods.
    pub goods: ReturnedGoods,
    /// What goes back into stock, per item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restocked: Vec<Consumption>,
}

/// What became of goods that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnedGoods {
    /// They are in stock again.
    Restocked,
    /// They are gone.
    Wasted,
    /// What a newer agent knows.
    #[serde(other)]
    Other,
}

fn is_nothing(amount: &Money) -> bool {
    *amount == Money::ZERO
}

fn is_zero(points: &i64) -> bool {
    *points == 0
}
