//! What an analyst reads in the ledger's views, compared with what the stores recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use pos_model::StoreId;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::{rows, same};
use crate::reference::facts::{CashKind, Fact, IdOf, What};
use crate::reference::shift::Report;
use crate::reference::sums::date_text;
use crate::reference::{Key, Reference, Rule, Violation};

/// Rows as text, each with how often it is there.
type Table = BTreeMap<String, u64>;

/// Puts the cells of a row together.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { [$(cell(&$cell)),+].join("|") };
}

/// The views show what is applied, once, and nothing else.
pub(super) fn views_agree(
    reference: &Reference,
    centre: &Connection,
    stores: &[StoreId],
    applied: &BTreeSet<Key>,
) -> Result<(), Violation> {
    let facts: Vec<&Fact> = applied.iter().filter_map(|key| reference.fact(key)).collect();
    let known: BTreeSet<(usize, uuid::Uuid)> = facts
        .iter()
        .filter_map(|fact| match fact.what.id() {
            Some((IdOf::Sale, sale_id)) => Some((fact.store, sale_id)),
            _ => None,
        })
        .collect();
    for (view, sql) in VIEWS {
        let mut expected = Table::new();
        for fact in &facts {
            let store = &stores[fact.store];
            for row in expected_rows(view, store, &fact.what, |sale_id| known.contains(&(fact.store, sale_id))) {
                *expected.entry(row).or_default() += 1;
            }
        }
        same(Rule::Rows, view, &table(centre, sql)?, &expected)?;
    }
    let mut expected = Table::new();
    for (number, store) in stores.iter().enumerate() {
        for (sale_id, (sold, back, refunds)) in reference.over_refunded(number, applied) {
            *expected.entry(row![store, sale_id, sold, back, refunds]).or_default() += 1;
        }
    }
    let sql = "SELECT store_id, sale_id, sold_minor, refunded_minor, refunds FROM v_over_refunds";
    same(Rule::Rows, "v_over_refunds", &table(centre, sql)?, &expected)
}

/// Which columns of which view.
const VIEWS: [(&str, &str); 13] = [
    (
        "v_sales",
        "SELECT store_id, business_date, sale_id, till_id, receipt_no, pickup_no, lines, quantity_micro, gross_minor,
            tax_minor FROM v_sales",
    ),
    (
        "v_refunds",
        "SELECT store_id, business_date, refund_id, sale_id, sale_is_known, kind, till_id, shift_id, receipt_no, lines,
            gross_minor, tax_minor FROM v_refunds",
    ),
    (
        "v_refund_lines",
        "SELECT store_id, refund_id, sale_id, sale_position, quantity_micro, gross_minor, tax_minor, tax_group, goods
         FROM v_refund_lines",
    ),
    (
        "v_shifts, opened",
        "SELECT store_id, shift_id, till_id, float_minor FROM v_shifts WHERE opened_event_no IS NOT NULL",
    ),
    (
        "v_shifts, closed",
        "SELECT store_id, business_date, shift_id, till_id, z_no, sales, sales_gross_minor, sales_tax_minor, refunds,
            refunds_gross_minor, refunds_tax_minor, quantity_micro, float_minor, cash_sales_minor, cash_refunds_minor,
            paid_in_minor, paid_out_minor, drops_minor, expected_minor, counted_minor, difference_minor,
            opened_without_sale, receipt_no_first, receipt_no_last, grand_total_before_minor, grand_total_after_minor
         FROM v_shifts WHERE closed_event_no IS NOT NULL",
    ),
    ("v_shift_amendments", "SELECT store_id, shift_id, till_id, z_no, counted_minor FROM v_shift_amendments"),
    (
        "v_day_closes",
        "SELECT store_id, business_date, sales, sales_gross_minor, sales_tax_minor, refunds, refunds_gross_minor,
            refunds_tax_minor, shifts FROM v_day_closes",
    ),
    ("v_z_taxes", "SELECT store_id, till_id, z_no, tax_group, tax_rate_ppm, gross_minor, tax_minor FROM v_z_taxes"),
    ("v_z_tenders", "SELECT store_id, till_id, z_no, kind, count, amount_minor FROM v_z_tenders"),
    (
        "v_cash_movements",
        "SELECT store_id, business_date, movement_id, shift_id, till_id, kind, amount_minor FROM v_cash_movements",
    ),
    (
        "v_stock_movements",
        "SELECT store_id, business_date, movement_id, kind, item_id, quantity_micro, till_id FROM v_stock_movements",
    ),
    (
        "v_stock_counts",
        "SELECT store_id, business_date, movement_id, item_id, counted_micro, expected_micro, frontier_epoch,
            frontier_seq, till_id FROM v_stock_counts",
    ),
    ("v_audit", "SELECT store_id, action, subject FROM v_audit"),
];

/// The rows that an event makes in a view.
fn expected_rows(view: &str, store: &StoreId, what: &What, sale_is_known: impl Fn(uuid::Uuid) -> bool) -> Vec<String> {
    match (view, what) {
        ("v_sales", What::Sale(sold)) => {
            let sums = sold.sums();
            vec![row![
                store,
                date_text(sold.day),
                sold.sale_id,
                sold.till_id,
                sold.receipt_no,
                sold.pickup_no,
                sums.lines,
                sums.quantity_micro,
                sums.gross_minor,
                sums.tax_minor,
            ]]
        }
        ("v_refunds", What::Refund(refund)) => vec![row![
            store,
            date_text(refund.day),
            refund.refund_id,
            refund.sale_id,
            i64::from(sale_is_known(refund.sale_id)),
            if refund.void { "void" } else { "refund" },
            refund.till_id,
            or_nothing(refund.shift_id),
            refund.receipt_no,
            refund.lines.len(),
            refund.gross_minor(),
            refund.tax_minor(),
        ]],
        ("v_refund_lines", What::Refund(refund)) => {
            let lines = refund.lines.iter().map(|line| {
                row![
                    store,
                    refund.refund_id,
                    refund.sale_id,
                    line.line + 1,
                    line.quantity_micro,
                    line.gross_minor,
                    line.tax_minor,
                    line.tax_group,
                    if line.is_restocked { "restocked" } else { "wasted" },
                ]
            });
            lines.collect()
        }
        ("v_shifts, opened", What::ShiftOpened(opened)) => {
            vec![row![store, opened.shift_id, opened.till_id, opened.float_minor]]
        }
        ("v_shifts, closed", What::ShiftClosed(report)) => vec![report_row(store, report)],
        ("v_shift_amendments", What::Amended(amended)) => {
            let counted = or_nothing(amended.counted_minor);
            vec![row![store, amended.shift_id, amended.till_id, amended.z_no, counted]]
        }
        ("v_day_closes", What::DayClosed(closed)) => {
            let reports: Vec<String> =
                closed.reports.iter().map(|(till, z_no)| format!("[\"{till}\",{z_no}]")).collect();
            vec![row![
                store,
                date_text(closed.day),
                closed.sales.count,
                closed.sales.gross_minor,
                closed.sales.tax_minor,
                closed.refunds.count,
                closed.refunds.gross_minor,
                closed.refunds.tax_minor,
                format!("[{}]", reports.join(",")),
            ]]
        }
        ("v_z_taxes", What::ShiftClosed(report)) => {
            let taxes = report
                .taxes
                .iter()
                .map(|((group, ppm), (gross, tax))| row![store, report.till_id, report.z_no, group, ppm, gross, tax]);
            taxes.collect()
        }
        ("v_z_tenders", What::ShiftClosed(report)) => {
            let tenders = report.tenders.iter();
            tenders.map(|(kind, (count, minor))| row![store, report.till_id, report.z_no, kind, count, minor]).collect()
        }
        ("v_cash_movements", What::Cash(cash)) => {
            let kind = match cash.kind {
                CashKind::PaidIn => "paid_in",
                CashKind::PaidOut => "paid_out",
                CashKind::Drop => "drop",
                CashKind::NoSale => "no_sale",
            };
            let (id, shift_id, date) = (cash.movement_id, cash.shift_id, date_text(cash.day));
            vec![row![store, date, id, shift_id, cash.till_id, kind, cash.amount_minor]]
        }
        ("v_stock_movements", What::Stock(moved)) => {
            let (id, kind, date) = (moved.movement_id, moved.kind.name(), date_text(moved.day));
            moved.items.iter().map(|(item, micro)| row![store, date, id, kind, item, micro, moved.till_id]).collect()
        }
        ("v_stock_counts", What::Count(counted)) => {
            let items = counted.items.iter().map(|(item, (micro, expected))| {
                row![
                    store,
                    date_text(counted.day),
                    counted.count_id,
                    item,
                    micro,
                    or_nothing(*expected),
                    counted.frontier.epoch,
                    counted.frontier.seq,
                    counted.till_id,
                ]
            });
            items.collect()
        }
        ("v_audit", What::Mark(marked)) => vec![row![store, marked.action, marked.subject]],
        _ => Vec::new(),
    }
}

fn report_row(store: &StoreId, report: &Report) -> String {
    let drawer = &report.drawer;
    row![
        store,
        date_text(report.day),
        report.shift_id,
        report.till_id,
        report.z_no,
        report.sales.count,
        report.sales.gross_minor,
        report.sales.tax_minor,
        report.refunds.count,
        report.refunds.gross_minor,
        report.refunds.tax_minor,
        report.quantity_micro,
        drawer.float,
        drawer.sales,
        drawer.refunds,
        drawer.paid_in,
        drawer.paid_out,
        drawer.drops,
        drawer.expected,
        drawer.counted,
        drawer.difference,
        drawer.opened_without_sale,
        report.receipts.0,
        report.receipts.1,
        report.grand_total_minor.0,
        report.grand_total_minor.1,
    ]
}

fn cell(value: &dyn Display) -> String {
    value.to_string()
}

fn or_nothing(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn table(centre: &Connection, sql: &str) -> Result<Table, Violation> {
    let mut table = Table::new();
    let read = |row: &rusqlite::Row<'_>| {
        let columns = row.as_ref().column_count();
        (0..columns).map(|column| row.get_ref(column).map(text)).collect::<rusqlite::Result<Vec<String>>>()
    };
    for row in rows(centre, sql, [], read)? {
        *table.entry(row.join("|")).or_default() += 1;
    }
    Ok(table)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{bytes:?}"),
    }
}
