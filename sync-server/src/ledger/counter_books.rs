//! Reading what happened at the counter beside sales.

use pos_model::{BusinessDate, RefundId, SaleId, ShiftId, StoreId};

use super::LedgerError;

/// Which rows of a store, the newest first: those whose event's number is below `before`, at most `limit`.
#[derive(Debug, Clone)]
pub struct StorePage {
    /// The store.
    pub store: StoreId,
    /// Only events before this number; none for the first page.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// An applied refund. Amounts are what went back, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRow {
    /// The number of its event.
    pub event_no: i64,
    /// The refund.
    pub refund_id: RefundId,
    /// The sale of which something came back.
    pub sale_id: SaleId,
    /// Whether that sale is applied.
    pub sale_is_known: bool,
    /// `refund`, `void` or `other`.
    pub kind: String,
    /// The business date on which it counts.
    pub business_date: BusinessDate,
    /// When, by the store's clock.
    pub refunded_at_ms: i64,
    /// How far local time was ahead of UTC.
    pub refunded_offset_s: i32,
    /// The till.
    pub till_id: String,
    /// Who did it.
    pub operator_id: Option<String>,
    /// Who allowed it, where that was somebody else.
    pub approver_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Why, in somebody's words.
    pub note: String,
    /// The number on its receipt.
    pub receipt_no: i64,
    /// The currency.
    pub currency: String,
    /// What went back, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// Kinds of tender, and what went back by each.
    pub tenders: Vec<(String, i64)>,
    /// What came back.
    pub lines: Vec<RefundLineRow>,
}

/// What came back of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundLineRow {
    /// The line of the sale, from zero.
    pub sale_line: u32,
    /// What was sold.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How much came back, in millionths.
    pub quantity_micro: i64,
    /// What went back for it, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// `restocked`, `wasted` or `other`.
    pub goods: String,
}

/// A shift: as it was opened, and its Z report once it is closed. One of both may not have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftRow {
    /// The number of its newest event: of the close, or else of the opening.
    pub event_no: i64,
    /// The shift.
    pub shift_id: ShiftId,
    /// The till.
    pub till_id: String,
    /// Who answers for the drawer.
    pub operator_id: Option<String>,
    /// The business date on which it was opened.
    pub business_date: BusinessDate,
    /// When it was opened, by the store's clock.
    pub opened_at_ms: i64,
    /// How far local time was ahead of UTC.
    pub opened_offset_s: i32,
    /// The currency.
    pub currency: String,
    /// The cash with which the drawer began.
    pub float_minor: i64,
    /// The report; none while the shift is open.
    pub report: Option<ReportRow>,
}

/// The Z report of a shift. Amounts are in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// Its number: per till, from one.
    pub z_no: i64,
    /// Who closed the shift.
    pub closed_by: Option<String>,
    /// When, by the store's clock.
    pub closed_at_ms: i64,
    /// Sales.
    pub sales: i64,
    /// What customers paid, tax included.
    pub sales_gross_minor: i64,
    /// Refunds.
    pub refunds: i64,
    /// What went back, tax included.
    pub refunds_gross_minor: i64,
    /// Cash of sales, less the change.
    pub cash_sales_minor: i64,
    /// Cash of refunds.
    pub cash_refunds_minor: i64,
    /// Cash that was put in.
    pub paid_in_minor: i64,
    /// Cash that was taken out.
    pub paid_out_minor: i64,
    /// Cash that went into the safe.
    pub drops_minor: i64,
    /// What should have been in the drawer.
    pub expected_minor: i64,
    /// What was counted.
    pub counted_minor: i64,
    /// What was counted less what should have been there.
    pub difference_minor: i64,
    /// How often the drawer was opened without a sale.
    pub opened_without_sale: i64,
    /// The lowest receipt number; zero if there was none.
    pub receipt_no_first: i64,
    /// The highest.
    pub receipt_no_last: i64,
    /// What the till has sold less what came back, since its first sale, before the shift.
    pub grand_total_before_minor: i64,
    /// The same after it.
    pub grand_total_after_minor: i64,
    /// Kinds of tender: how many, and what they come to.
    pub tenders: Vec<(String, i64, i64)>,
    /// How often something was found out later.
    pub amendments: i64,
}

/// Reports that never arrived, or that share a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZNumbers {
    /// The till.
    pub till_id: String,
    /// The first number.
    pub first_no: i64,
    /// The last number.
    pub last_no: i64,
}

/// A sale of which more came back than was sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverRefund {
    /// The sale.
    pub sale_id: SaleId,
    /// Its currency.
    pub currency: String,
    /// What the customer paid.
    pub sold_minor: i64,
    /// What went back. It may be less than what was paid: then it is more of one line than was sold of it.
    pub refunded_minor: i64,
    /// In how many refunds.
    pub refunds: i64,
}

/// Reads what happened at the counter beside sales. No method changes anything.
pub trait CounterBooks {
    /// The refunds of a store, the newest first.
    fn refunds(&self, page: &StorePage) -> Result<Vec<RefundRow>, LedgerError>;

    /// The shifts of a store: those that are open, then the closed ones, the newest first.
    fn shifts(&self, page: &StorePage) -> Result<Vec<ShiftRow>, LedgerError>;

    /// The Z numbers of a store that never arrived, by till, at most `limit` runs.
    fn z_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ZNumbers>, LedgerError>;

    /// The sales of a store of which more came back than was sold, at most `limit`.
    fn over_refunds(&self, store: &StoreId, limit: u32) -> Result<Vec<OverRefund>, LedgerError>;
}
