//! The report of a shift, made of its sums.

use pos_model::{ChainHash, Currency, Money, Quantity, Stamp, Tag};
use protocol::latest::{AdjustmentSum, CountAndAmount, DrawerSum, TaxSum, TenderSum, ZReport};
use till::{ShiftSums, Sum, largest};

use super::shift_view::ShiftRow;

/// Tax groups in one report.
const TAX_SUMS_MAX: usize = 40;

/// Kinds of tender in one report.
const TENDER_SUMS_MAX: usize = 40;

/// Reasons and promotions in one report. With the longest names all these parts take little more than half an event.
const ADJUSTMENT_SUMS_MAX: usize = 40;

/// Under which the rest is joined.
const OTHER: &str = "other";

/// What closing adds to the sums.
pub(super) struct Close {
    pub(super) z_no: u64,
    pub(super) closed_at: Stamp,
    pub(super) counted: Money,
    pub(super) grand_total_before: Money,
    pub(super) history: ChainHash,
}

/// The report of a shift with these sums. It fits into one event, whatever was sold: of taxes, tenders and adjustments the
/// largest stay, and the rest is one sum.
pub(super) fn report(row: &ShiftRow, sums: &ShiftSums, currency: Currency, close: Close) -> ZReport {
    let money = Money::from_minor;
    let expected = sums.expected(row.float);
    let of = |sum: Sum, tax_minor: i64| CountAndAmount {
        count: sum.count,
        gross_minor: money(sum.minor),
        tax_minor: money(tax_minor),
    };
    let (receipt_no_first, receipt_no_last) = sums.receipts.unwrap_or((0, 0));
    ZReport {
        till_id: row.till_id.clone(),
        z_no: close.z_no,
        operator_id: row.operator_id.clone(),
        opened_at: row.opened_at,
        closed_at: close.closed_at,
        business_date: row.business_date,
        currency,
        sales: of(sums.sales, sums.sales_tax_minor),
        refunds: of(sums.refunds, sums.refunds_tax_minor),
        quantity: Quantity::from_micro(sums.quantity_micro),
        taxes: taxes(sums),
        tenders: tenders(sums),
        adjustments: adjustments(sums),
        drawer: DrawerSum {
            float_minor: row.float,
            sales_minor: money(sums.cash_sales_minor),
            refunds_minor: money(sums.cash_refunds_minor),
            paid_in_minor: money(sums.paid_in_minor),
            paid_out_minor: money(sums.paid_out_minor),
            drops_minor: money(sums.drops_minor),
            expected_minor: expected,
            counted_minor: close.counted,
            difference_minor: money(close.counted.minor().saturating_sub(expected.minor())),
            opened_without_sale: sums.opened_without_sale,
        },
        cash_rounding_minor: money(sums.cash_rounding_minor),
        receipt_no_first,
        receipt_no_last,
        grand_total_before_minor: close.grand_total_before,
        grand_total_after_minor: money(close.grand_total_before.minor().saturating_add(sums.net_minor())),
        history: close.history,
    }
}

fn other() -> Tag {
    Tag::new(OTHER).expect("a word of small letters is a tag")
}

fn taxes(sums: &ShiftSums) -> Vec<TaxSum> {
    let join = |sum: &mut (i64, i64), more: &(i64, i64)| {
        *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
    };
    let shown = largest(&sums.taxes, TAX_SUMS_MAX, &(other(), 0), |(gross, _)| gross.unsigned_abs(), join);
    let row = |((tax_group, tax_rate_ppm), (gross, tax))| TaxSum {
        tax_group,
        tax_rate_ppm,
        gross_minor: Money::from_minor(gross),
        tax_minor: Money::from_minor(tax),
    };
    shown.into_iter().map(row).collect()
}

fn tenders(sums: &ShiftSums) -> Vec<TenderSum> {
    let shown = largest(&sums.tenders, TENDER_SUMS_MAX, &other(), weight, join);
    let row = |(kind, sum): (_, Sum)| TenderSum { kind, count: sum.count, amount_minor: Money::from_minor(sum.minor) };
    shown.into_iter().map(row).collect()
}

fn adjustments(sums: &ShiftSums) -> Vec<AdjustmentSum> {
    let shown = largest(&sums.adjustments, ADJUSTMENT_SUMS_MAX, &(other(), None), weight, join);
    let row = |((reason, promotion_id), sum): (_, Sum)| AdjustmentSum {
        reason,
        promotion_id,
        count: sum.count,
        amount_minor: Money::from_minor(sum.minor),
    };
    shown.into_iter().map(row).collect()
}

fn weight(sum: &Sum) -> u64 {
    sum.minor.unsigned_abs()
}

fn join(sum: &mut Sum, more: &Sum) {
    sum.join(*more);
}
