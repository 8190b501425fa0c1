//! Reading what happened at the counter.

use pos_model::{BusinessDate, RefundId, SaleId, ShiftId, StoreId};
use protocol::latest::EventBody;

use super::books::{gaps, held_event};
use crate::ledger::LedgerError;
use crate::ledger::counter_books::{
    CounterBooks, OverRefund, RefundLineRow, RefundRow, ReportRow, ShiftRow, StorePage, ZNumbers,
};
use crate::ledger::database::{AnyRow, Database, Row, cells};

const STORE_NO: &str = "(SELECT store_no FROM stores WHERE store_id = ?1)";

impl<D: Database> CounterBooks for D {
    fn refunds(&self, page: &StorePage) -> Result<Vec<RefundRow>, LedgerError> {
        let query = format!(
            "SELECT event_no, refund_id, sale_id, EXISTS (SELECT 1 FROM refunded_sales AS back
                    WHERE back.store_no = refunds.store_no AND back.sale_id = refunds.sale_id
                        AND back.sale_event_no IS NOT NULL),
                kind, business_date, refunded_at_ms, refunded_offset_s, till_id, operator_id, approver_id, reason, note,
                receipt_no, currency, gross_minor, tax_minor, tenders
            FROM refunds WHERE store_no = {STORE_NO} AND event_no < coalesce(?2, 9223372036854775807)
            ORDER BY event_no DESC LIMIT ?3"
        );
        let values = cells![page.store.as_str(), page.before, page.limit];
        let mut refunds = self.all("read refunds", &query, values, refund)?;
        for refund in &mut refunds {
            refund.lines = refund_lines(self, refund.event_no)?;
        }
        Ok(refunds)
    }

    fn shifts(&self, page: &StorePage) -> Result<Vec<ShiftRow>, LedgerError> {
        let mut found = Vec::new();
        // The first page begins with what is open.
        if page.before.is_none() {
            found = open_shifts(self, page)?;
        }
        let open = u32::try_from(found.len()).unwrap_or(u32::MAX);
        found.extend(closed_shifts(self, page, page.limit.saturating_sub(open))?);
        Ok(found)
    }

    fn z_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ZNumbers>, LedgerError> {
        let gaps = gaps(self, "read missing Z numbers", "z_runs", store, limit)?;
        Ok(gaps.into_iter().map(|(till_id, first_no, last_no)| ZNumbers { till_id, first_no, last_no }).collect())
    }

    fn over_refunds(&self, store: &StoreId, limit: u32) -> Result<Vec<OverRefund>, LedgerError> {
        let query = format!(
            "SELECT sale_id, gross_minor, refunds, sale_event_no FROM refunded_sales
            WHERE store_no = {STORE_NO} AND is_over = 1 ORDER BY sale_event_no DESC LIMIT ?2"
        );
        let values = cells![store.as_str(), limit];
        let found = self.all("read sales with too much refunded", &query, values, |row| {
            Ok((SaleId::new(row.id(0)?), row.number(1)?, row.number(2)?, row.number(3)?))
        })?;
        let mut over = Vec::with_capacity(found.len());
        for (sale_id, refunded_minor, refunds, event_no) in found {
            // What retention has taken cannot be compared any more.
            let Some(event) = held_event(self, event_no)? else { continue };
            let EventBody::SaleCompleted(sale) = event.body else {
                return Err(LedgerError::Damaged { what: "event of a sale" });
            };
            let (currency, sold_minor) = (sale.currency.to_string(), sale.totals.gross_minor.minor());
            over.push(OverRefund { sale_id, currency, sold_minor, refunded_minor, refunds });
        }
        Ok(over)
    }
}

fn refund(row: &AnyRow<'_>) -> Result<RefundRow, LedgerError> {
    Ok(RefundRow {
        event_no: row.number(0)?,
        refund_id: RefundId::new(row.id(1)?),
        sale_id: SaleId::new(row.id(2)?),
        sale_is_known: row.is(3)?,
        kind: row.text(4)?,
        business_date: BusinessDate::from_days(row.number(5)?),
        refunded_at_ms: row.number(6)?,
        refunded_offset_s: row.small(7)?,
        till_id: row.text(8)?,
        operator_id: row.maybe_text(9)?,
        approver_id: row.maybe_text(10)?,
        reason: row.text(11)?,
        note: row.text(12)?,
        receipt_no: row.number(13)?,
        currency: row.text(14)?,
        gross_minor: row.number(15)?,
        tax_minor: row.number(16)?,
        // The ledger wrote it; what somebody else may have put there is left out.
        tenders: serde_json::from_str(&row.text(17)?).unwrap_or_default(),
        lines: Vec::new(),
    })
}

fn refund_lines<D: Database>(database: &D, event_no: i64) -> Result<Vec<RefundLineRow>, LedgerError> {
    let query = "SELECT sale_line, sku, name, quantity_micro, gross_minor, tax_minor, goods FROM refund_lines
        WHERE line_no BETWEEN ?1 AND ?2 ORDER BY line_no";
    let first = event_no.saturating_mul(1024);
    database.all("read the lines of a refund", query, cells![first, first.saturating_add(1023)], |row| {
        Ok(RefundLineRow {
            sale_line: row.small(0)?,
            sku: row.text(1)?,
            name: row.text(2)?,
            quantity_micro: row.number(3)?,
            gross_minor: row.number(4)?,
            tax_minor: row.number(5)?,
            goods: row.text(6)?,
        })
    })
}

fn open_shifts<D: Database>(database: &D, page: &StorePage) -> Result<Vec<ShiftRow>, LedgerError> {
    let query = format!(
        "SELECT event_no, shift_id, till_id, operator_id, business_date, opened_at_ms, opened_offset_s, currency,
            float_minor
        FROM shift_opens WHERE store_no = {STORE_NO} AND NOT EXISTS (SELECT 1 FROM z_reports
            WHERE z_reports.shift_id = shift_opens.shift_id AND z_reports.store_no = shift_opens.store_no)
        ORDER BY event_no DESC LIMIT ?2"
    );
    database.all("read open shifts", &query, cells![page.store.as_str(), page.limit], shift)
}

fn closed_shifts<D: Database>(database: &D, page: &StorePage, limit: u32) -> Result<Vec<ShiftRow>, LedgerError> {
    let query = format!(
        "SELECT event_no, shift_id, till_id, operator_id, business_date, opened_at_ms, opened_offset_s, currency,
            float_minor, z_no, closed_by, closed_at_ms, sales, sales_gross_minor, refunds, refunds_gross_minor,
            cash_sales_minor, cash_refunds_minor, paid_in_minor, paid_out_minor, drops_minor, expected_minor,
            counted_minor, difference_minor, opened_without_sale, receipt_no_first, receipt_no_last,
            grand_total_before_minor, grand_total_after_minor, (SELECT count(*) FROM shift_amendments AS amendment
                WHERE amendment.shift_id = z_reports.shift_id AND amendment.store_no = z_reports.store_no)
        FROM z_reports WHERE store_no = {STORE_NO} AND event_no < coalesce(?2, 9223372036854775807)
        ORDER BY event_no DESC LIMIT ?3"
    );
    let values = cells![page.store.as_str(), page.before, limit];
    let mut shifts = database.all("read closed shifts", &query, values, |row| {
        let mut shift = shift(row)?;
        shift.report = Some(report(row)?);
        Ok(shift)
    })?;
    for shift in &mut shifts {
        if let Some(report) = &mut shift.report {
            report.tenders = tenders(database, shift.event_no)?;
        }
    }
    Ok(shifts)
}

fn shift(row: &AnyRow<'_>) -> Result<ShiftRow, LedgerError> {
    Ok(ShiftRow {
        event_no: row.number(0)?,
        shift_id: ShiftId::new(row.id(1)?),
        till_id: row.text(2)?,
        operator_id: row.maybe_text(3)?,
        business_date: BusinessDate::from_days(row.number(4)?),
        opened_at_ms: row.number(5)?,
        opened_offset_s: row.small(6)?,
        currency: row.text(7)?,
        float_minor: row.number(8)?,
        report: None,
    })
}

fn report(row: &AnyRow<'_>) -> Result<ReportRow, LedgerError> {
    Ok(ReportRow {
        z_no: row.number(9)?,
        closed_by: row.maybe_text(10)?,
        closed_at_ms: row.number(11)?,
        sales: row.number(12)?,
        sales_gross_minor: row.number(13)?,
        refunds: row.number(14)?,
        refunds_gross_minor: row.number(15)?,
        cash_sales_minor: row.number(16)?,
        cash_refunds_minor: row.number(17)?,
        paid_in_minor: row.number(18)?,
        paid_out_minor: row.number(19)?,
        drops_minor: row.number(20)?,
        expected_minor: row.number(21)?,
        counted_minor: row.number(22)?,
        difference_minor: row.number(23)?,
        opened_without_sale: row.number(24)?,
        receipt_no_first: row.number(25)?,
        receipt_no_last: row.number(26)?,
        grand_total_before_minor: row.number(27)?,
        grand_total_after_minor: row.number(28)?,
        tenders: Vec::new(),
        amendments: row.number(29)?,
    })
}

fn tenders<D: Database>(database: &D, event_no: i64) -> Result<Vec<(String, i64, i64)>, LedgerError> {
    let query = "SELECT kind, count, amount_minor FROM z_tenders WHERE event_no = ?1 ORDER BY position";
    let doing = "read the tenders of a Z report";
    database.all(doing, query, cells![event_no], |row| Ok((row.text(0)?, row.number(1)?, row.number(2)?)))
}
