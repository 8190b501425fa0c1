//! What the API says of what happened at the counter beside sales. Amounts are integers in minor units, times are
//! milliseconds since 1970 (UTC).

use pos_model::Quantity;
use protocol::latest::local_api::QuantityJson;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wire::MissingRun;
use crate::ledger::{OverRefund, RefundLineRow, RefundRow, ReportRow, ShiftRow, ZNumbers};

/// Which page of a list that begins with the newest.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Go on before this number: `next_before` of the page before.
    pub before: Option<i64>,
    /// At most so many, up to 200; 50 without it.
    pub limit: Option<u32>,
}

/// `GET /api/v1/stores/{store_id}/refunds`
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundPage {
    /// The store.
    pub store_id: String,
    /// The refunds, the newest first.
    pub refunds: Vec<RefundJson>,
    /// `before` of the next page, if there may be one.
    pub next_before: Option<i64>,
}

/// A refund. Amounts are what went back.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundJson {
    /// The refund.
    pub refund_id: String,
    /// The sale of which something came back.
    pub sale_id: String,
    /// Whether that sale is in the ledger.
    pub sale_is_known: bool,
    /// `refund`, `void` or `other`.
    pub kind: String,
    /// The business date on which it counts.
    pub business_date: String,
    /// When, by the store's clock.
    pub refunded_at_ms: i64,
    /// How far local time was ahead of UTC, in seconds.
    pub refunded_offset_s: i32,
    /// The till.
    pub till_id: String,
    /// Who did it.
    pub operator_id: Option<String>,
    /// Who allowed it, where that was somebody else.
    pub approver_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Why, in somebody's words; may be empty.
    pub note: String,
    /// The number on its receipt, from the same row of numbers as the till's sales.
    pub receipt_no: i64,
    /// The currency.
    pub currency: String,
    /// What went back, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// How the money went back.
    pub tenders: Vec<RefundTenderJson>,
    /// What came back.
    pub lines: Vec<RefundLineJson>,
}

/// A means by which money went back.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundTenderJson {
    /// Which.
    pub kind: String,
    /// How much.
    pub amount_minor: i64,
}

/// What came back of a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefundLineJson {
    /// The line of the sale, from zero.
    pub sale_line: u32,
    /// What was sold.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How much of it came back.
    pub quantity: QuantityJson,
    /// What went back for it, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// What became of the goods: `restocked`, `wasted` or `other`.
    pub goods: String,
}

/// `GET /api/v1/stores/{store_id}/shifts`
#[derive(Debug, Serialize, ToSchema)]
pub struct ShiftPage {
    /// The store.
    pub store_id: String,
    /// The shifts.
    pub shifts: Vec<ShiftJson>,
    /// `before` of the next page, if there may be one.
    pub next_before: Option<i64>,
}

/// A shift.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShiftJson {
    /// The shift.
    pub shift_id: String,
    /// The till.
    pub till_id: String,
    /// Who answers for the drawer.
    pub operator_id: Option<String>,
    /// The business date on which it was opened.
    pub business_date: String,
    /// When it was opened, by the store's clock.
    pub opened_at_ms: i64,
    /// How far local time was ahead of UTC, in seconds.
    pub opened_offset_s: i32,
    /// The currency.
    pub currency: String,
    /// The cash with which the drawer began.
    pub float_minor: i64,
    /// The Z report; none while the shift is open.
    pub report: Option<ReportJson>,
}

/// A Z report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportJson {
    /// Its number: per till, from one, without gaps.
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
    /// Sales less refunds.
    pub turnover_minor: i64,
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
    /// The lowest receipt number of the shift; zero if it gave none.
    pub receipt_no_first: i64,
    /// The highest.
    pub receipt_no_last: i64,
    /// What the till has sold less what came back, since its first sale, before the shift.
    pub grand_total_before_minor: i64,
    /// The same after it.
    pub grand_total_after_minor: i64,
    /// What was paid less what went back, by kind of tender.
    pub tenders: Vec<ReportTenderJson>,
    /// How often something was found out later; the report stays as it was.
    pub amendments: i64,
}

/// A kind of tender in a Z report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportTenderJson {
    /// Which.
    pub kind: String,
    /// How many tenders.
    pub count: i64,
    /// What they come to.
    pub amount_minor: i64,
}

/// `GET /api/v1/stores/{store_id}/z-reports/missing`
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingZ {
    /// The store.
    pub store_id: String,
    /// Runs of Z numbers that never arrived, by till; at most 1000.
    pub missing: Vec<MissingRun>,
}

/// A sale of which more came back than was sold.
#[derive(Debug, Serialize, ToSchema)]
pub struct OverRefundJson {
    /// The sale.
    pub sale_id: String,
    /// Its currency.
    pub currency: String,
    /// What the customer paid.
    pub sold_minor: i64,
    /// What went back. Where it is not more than was paid, more came back of one line than was sold of it.
    pub refunded_minor: i64,
    /// In how many refunds.
    pub refunds: i64,
}

impl From<RefundRow> for RefundJson {
    fn from(row: RefundRow) -> Self {
        let tenders = row.tenders.into_iter();
        Self {
            refund_id: row.refund_id.to_string(),
            sale_id: row.sale_id.to_string(),
            sale_is_known: row.sale_is_known,
            kind: row.kind,
            business_date: row.business_date.to_string(),
            refunded_at_ms: row.refunded_at_ms,
            refunded_offset_s: row.refunded_offset_s,
            till_id: row.till_id,
            operator_id: row.operator_id,
            approver_id: row.approver_id,
            reason: row.reason,
            note: row.note,
            receipt_no: row.receipt_no,
            currency: row.currency,
            gross_minor: row.gross_minor,
            tax_minor: row.tax_minor,
            tenders: tenders.map(|(kind, amount_minor)| RefundTenderJson { kind, amount_minor }).collect(),
            lines: row.lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<RefundLineRow> for RefundLineJson {
    fn from(row: RefundLineRow) -> Self {
        let RefundLineRow { sale_line, sku, name, quantity_micro, gross_minor, tax_minor, goods } = row;
        let quantity = Quantity::from_micro(quantity_micro).into();
        Self { sale_line, sku, name, quantity, gross_minor, tax_minor, goods }
    }
}

impl From<ShiftRow> for ShiftJson {
    fn from(row: ShiftRow) -> Self {
        Self {
            shift_id: row.shift_id.to_string(),
            till_id: row.till_id,
            operator_id: row.operator_id,
            business_date: row.business_date.to_string(),
            opened_at_ms: row.opened_at_ms,
            opened_offset_s: row.opened_offset_s,
            currency: row.currency,
            float_minor: row.float_minor,
            report: row.report.map(Into::into),
        }
    }
}

impl From<ReportRow> for ReportJson {
    fn from(row: ReportRow) -> Self {
        let tenders = row.tenders.into_iter();
        Self {
            z_no: row.z_no,
            closed_by: row.closed_by,
            closed_at_ms: row.closed_at_ms,
            sales: row.sales,
            sales_gross_minor: row.sales_gross_minor,
            refunds: row.refunds,
            refunds_gross_minor: row.refunds_gross_minor,
            turnover_minor: row.sales_gross_minor.saturating_sub(row.refunds_gross_minor),
            cash_sales_minor: row.cash_sales_minor,
            cash_refunds_minor: row.cash_refunds_minor,
            paid_in_minor: row.paid_in_minor,
            paid_out_minor: row.paid_out_minor,
            drops_minor: row.drops_minor,
            expected_minor: row.expected_minor,
            counted_minor: row.counted_minor,
            difference_minor: row.difference_minor,
            opened_without_sale: row.opened_without_sale,
            receipt_no_first: row.receipt_no_first,
            receipt_no_last: row.receipt_no_last,
            grand_total_before_minor: row.grand_total_before_minor,
            grand_total_after_minor: row.grand_total_after_minor,
            tenders: tenders
                .map(|(kind, count, amount_minor)| ReportTenderJson { kind, count, amount_minor })
                .collect(),
            amendments: row.amendments,
        }
    }
}

impl From<ZNumbers> for MissingRun {
    fn from(row: ZNumbers) -> Self {
        Self { till_id: row.till_id, first_no: row.first_no, last_no: row.last_no }
    }
}

impl From<OverRefund> for OverRefundJson {
    fn from(row: OverRefund) -> Self {
        let OverRefund { sale_id, currency, sold_minor, refunded_minor, refunds } = row;
        Self { sale_id: sale_id.to_string(), currency, sold_minor, refunded_minor, refunds }
    }
}
