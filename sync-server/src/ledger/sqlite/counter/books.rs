//! Reading what happened at the counter, in SQLite.

use pos_model::{BusinessDate, RefundId, SaleId, ShiftId, StoreId};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::super::Connected;
use super::super::fault::{During, read_all};
use crate::ledger::LedgerError;
use crate::ledger::counter_books::{
    CounterBooks, OverRefund, RefundLineRow, RefundRow, ReportRow, ShiftRow, StorePage, ZNumbers,
};

const STORE_NO: &str = "(SELECT store_no FROM stores WHERE store_id = ?1)";

impl<C: Connected> CounterBooks for C {
    fn refunds(&self, page: &StorePage) -> Result<Vec<RefundRow>, LedgerError> {
        let doing = "read refunds";
        let connection = self.connection();
        let query = format!(
            "SELECT event_no, refund_id, sale_id, EXISTS (SELECT 1 FROM sales WHERE sales.sale_id = refunds.sale_id
                    AND sales.store_no = refunds.store_no), kind, business_date, refunded_at_ms, refunded_offset_s,
                till_id, operator_id, approver_id, reason, note, receipt_no, currency, gross_minor, tax_minor, tenders
            FROM refunds WHERE store_no = {STORE_NO} AND event_no < ifnull(?2, 9223372036854775807)
            ORDER BY event_no DESC LIMIT ?3"
        );
        let mut statement = connection.prepare_cached(&query).during(doing)?;
        read_all(&mut statement, params![page.store.as_str(), page.before, page.limit], doing, |row| {
            let mut refund = refund(row).during(doing)?;
            refund.lines = refund_lines(connection, refund.event_no)?;
            Ok(refund)
        })
    }

    fn shifts(&self, page: &StorePage) -> Result<Vec<ShiftRow>, LedgerError> {
        let mut found = Vec::new();
        // The first page begins with what is open.
        if page.before.is_none() {
            found = open_shifts(self.connection(), page)?;
        }
        let open = u32::try_from(found.len()).unwrap_or(u32::MAX);
        found.extend(closed_shifts(self.connection(), page, page.limit.saturating_sub(open))?);
        Ok(found)
    }

    fn z_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ZNumbers>, LedgerError> {
        let doing = "read missing Z numbers";
        let query = format!(
            "SELECT till_id, 1 + ifnull((SELECT max(before.last_no) FROM z_runs AS before
                    WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                        AND before.first_no < runs.first_no), 0) AS gap_first, first_no - 1
            FROM z_runs AS runs WHERE store_no = {STORE_NO} AND first_no > 1 ORDER BY till_id, gap_first LIMIT ?2"
        );
        let mut statement = self.connection().prepare_cached(&query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let (till_id, first_no, last_no) = row.try_into().during(doing)?;
            Ok(ZNumbers { till_id, first_no, last_no })
        })
    }

    fn over_refunds(&self, store: &StoreId, limit: u32) -> Result<Vec<OverRefund>, LedgerError> {
        let doing = "read sales with too much refunded";
        let query = format!(
            "SELECT back.sale_id, sales.currency, sales.gross_minor, back.gross_minor, back.refunds
            FROM refunded_sales AS back JOIN sales ON sales.event_no = back.sale_event_no
            WHERE back.store_no = {STORE_NO} AND back.is_over = 1 ORDER BY sales.event_no DESC LIMIT ?2"
        );
        let mut statement = self.connection().prepare_cached(&query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let (sale_id, currency, sold_minor, refunded_minor, refunds): ([u8; 16], _, _, _, _) =
                row.try_into().during(doing)?;
            let sale_id = SaleId::new(Uuid::from_bytes(sale_id));
            Ok(OverRefund { sale_id, currency, sold_minor, refunded_minor, refunds })
        })
    }
}

fn refund(row: &Row<'_>) -> rusqlite::Result<RefundRow> {
    let tenders: String = row.get(17)?;
    Ok(RefundRow {
        event_no: row.get(0)?,
        refund_id: RefundId::new(Uuid::from_bytes(row.get(1)?)),
        sale_id: SaleId::new(Uuid::from_bytes(row.get(2)?)),
        sale_is_known: row.get(3)?,
        kind: row.get(4)?,
        business_date: BusinessDate::from_days(row.get(5)?),
        refunded_at_ms: row.get(6)?,
        refunded_offset_s: row.get(7)?,
        till_id: row.get(8)?,
        operator_id: row.get(9)?,
        approver_id: row.get(10)?,
        reason: row.get(11)?,
        note: row.get(12)?,
        receipt_no: row.get(13)?,
        currency: row.get(14)?,
        gross_minor: row.get(15)?,
        tax_minor: row.get(16)?,
        // The ledger wrote it; what somebody else may have put there is left out.
        tenders: serde_json::from_str(&tenders).unwrap_or_default(),
        lines: Vec::new(),
    })
}

fn refund_lines(connection: &Connection, event_no: i64) -> Result<Vec<RefundLineRow>, LedgerError> {
    let doing = "read the lines of a refund";
    let query = "SELECT sale_line, sku, name, quantity_micro, gross_minor, tax_minor, goods FROM refund_lines
        WHERE line_no BETWEEN ?1 * 1024 AND ?1 * 1024 + 1023 ORDER BY line_no";
    let mut statement = connection.prepare_cached(query).during(doing)?;
    read_all(&mut statement, [event_no], doing, |row| {
        let (sale_line, sku, name, quantity_micro, gross_minor, tax_minor, goods) = row.try_into().during(doing)?;
        Ok(RefundLineRow { sale_line, sku, name, quantity_micro, gross_minor, tax_minor, goods })
    })
}

fn open_shifts(connection: &Connection, page: &StorePage) -> Result<Vec<ShiftRow>, LedgerError> {
    let doing = "read open shifts";
    let query = format!(
        "SELECT event_no, shift_id, till_id, operator_id, business_date, opened_at_ms, opened_offset_s, currency,
            float_minor
        FROM shift_opens WHERE store_no = {STORE_NO} AND NOT EXISTS (SELECT 1 FROM z_reports
            WHERE z_reports.shift_id = shift_opens.shift_id AND z_reports.store_no = shift_opens.store_no)
        ORDER BY event_no DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&query).during(doing)?;
    read_all(&mut statement, params![page.store.as_str(), page.limit], doing, |row| shift(row).during(doing))
}

fn closed_shifts(connection: &Connection, page: &StorePage, limit: u32) -> Result<Vec<ShiftRow>, LedgerError> {
    let doing = "read closed shifts";
    let query = format!(
        "SELECT event_no, shift_id, till_id, operator_id, business_date, opened_at_ms, opened_offset_s, currency,
            float_minor, z_no, closed_by, closed_at_ms, sales, sales_gross_minor, refunds, refunds_gross_minor,
            cash_sales_minor, cash_refunds_minor, paid_in_minor, paid_out_minor, drops_minor, expected_minor,
            counted_minor, difference_minor, opened_without_sale, receipt_no_first, receipt_no_last,
            grand_total_before_minor, grand_total_after_minor, (SELECT count(*) FROM shift_amendments AS amendment
                WHERE amendment.shift_id = z_reports.shift_id AND amendment.store_no = z_reports.store_no)
        FROM z_reports WHERE store_no = {STORE_NO} AND event_no < ifnull(?2, 9223372036854775807)
        ORDER BY event_no DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&query).during(doing)?;
    read_all(&mut statement, params![page.store.as_str(), page.before, limit], doing, |row| {
        let mut shift = shift(row).during(doing)?;
        let mut report = report(row).during(doing)?;
        report.tenders = tenders(connection, shift.event_no)?;
        shift.report = Some(report);
        Ok(shift)
    })
}

fn shift(row: &Row<'_>) -> rusqlite::Result<ShiftRow> {
    Ok(ShiftRow {
        event_no: row.get(0)?,
        shift_id: ShiftId::new(Uuid::from_bytes(row.get(1)?)),
        till_id: row.get(2)?,
        operator_id: row.get(3)?,
        business_date: BusinessDate::from_days(row.get(4)?),
        opened_at_ms: row.get(5)?,
        opened_offset_s: row.get(6)?,
        currency: row.get(7)?,
        float_minor: row.get(8)?,
        report: None,
    })
}

fn report(row: &Row<'_>) -> rusqlite::Result<ReportRow> {
    Ok(ReportRow {
        z_no: row.get(9)?,
        closed_by: row.get(10)?,
        closed_at_ms: row.get(11)?,
        sales: row.get(12)?,
        sales_gross_minor: row.get(13)?,
        refunds: row.get(14)?,
        refunds_gross_minor: row.get(15)?,
        cash_sales_minor: row.get(16)?,
        cash_refunds_minor: row.get(17)?,
        paid_in_minor: row.get(18)?,
        paid_out_minor: row.get(19)?,
        drops_minor: row.get(20)?,
        expected_minor: row.get(21)?,
        counted_minor: row.get(22)?,
        difference_minor: row.get(23)?,
        opened_without_sale: row.get(24)?,
        receipt_no_first: row.get(25)?,
        receipt_no_last: row.get(26)?,
        grand_total_before_minor: row.get(27)?,
        grand_total_after_minor: row.get(28)?,
        tenders: Vec::new(),
        amendments: row.get(29)?,
    })
}

fn tenders(connection: &Connection, event_no: i64) -> Result<Vec<(String, i64, i64)>, LedgerError> {
    let doing = "read the tenders of a Z report";
    let query = "SELECT kind, count, amount_minor FROM z_tenders WHERE event_no = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(query).during(doing)?;
    read_all(&mut statement, [event_no], doing, |row| row.try_into().during(doing))
}
