//! What happened at the counter beside sales, computed again.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, SaleId};
use protocol::latest::{EventBody, RefundCompleted, StockMoved};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use uuid::Uuid;

use super::super::counter::{Direction, direction};
use super::super::fault::During;
use super::{DOING, names, union};
use crate::ledger::LedgerError;
use crate::ledger::books::VerifyReport;

/// What the events of the counter give.
#[derive(Debug, Default)]
pub(super) struct Counter {
    refunds: BTreeMap<(i64, i32, String), Refunds>,
    added: BTreeMap<(i64, i32, String), i128>,
    refunded: BTreeMap<(i64, SaleId), Refunded>,
    receipts: BTreeMap<(i64, String), Runs>,
    z: BTreeMap<(i64, String), Runs>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Refunds {
    refunds: i128,
    gross_minor: i128,
    tax_minor: i128,
}

#[derive(Debug, Default)]
struct Refunded {
    refunds: i128,
    gross_minor: i128,
    /// Quantity and gross, by line of the sale.
    lines: BTreeMap<u32, (i128, i128)>,
}

/// Unbroken runs of numbers: the last of each by its first.
#[derive(Debug, Default, PartialEq, Eq)]
struct Runs(BTreeMap<i64, i64>);

impl Runs {
    fn insert(&mut self, number: i64) {
        let before = self.0.range(..=number).next_back().map(|(first, last)| (*first, *last));
        let (first, last) = match before {
            Some((_, last)) if last >= number => return,
            Some((first, last)) if last + 1 == number => (first, number),
            _ => (number, number),
        };
        let last = self.0.remove(&(number + 1)).unwrap_or(last);
        self.0.insert(first, last);
    }
}

/// Looks up whether the rows of an event are there.
pub(super) struct CounterWalker<'c> {
    connection: &'c Connection,
    exists: BTreeMap<&'static str, Statement<'c>>,
    /// Numbers of the events that are parked; they have no rows.
    parked: BTreeSet<i64>,
}

/// The table in which an event of the counter has a row.
fn table(body: &EventBody) -> Option<&'static str> {
    match body {
        EventBody::SaleCompleted(_) | EventBody::EpochOpened(_) => None,
        EventBody::RefundCompleted(_) => Some("refunds"),
        EventBody::ShiftOpened(_) => Some("shift_opens"),
        EventBody::ShiftClosed(_) => Some("z_reports"),
        EventBody::ShiftAmended(_) => Some("shift_amendments"),
        EventBody::CashMoved(_) => Some("cash_movements"),
        EventBody::DayClosed(_) => Some("day_closes"),
        EventBody::StockMoved(_) => Some("stock_movements"),
        EventBody::StockCounted(_) => Some("stock_counts"),
        EventBody::SoldOutChanged(_) => Some("sold_out_changes"),
        EventBody::AuditMarked(_) => Some("audit_marks"),
    }
}

impl<'c> CounterWalker<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> Result<Self, LedgerError> {
        let mut parked = connection.prepare("SELECT event_no FROM parked WHERE event_no IS NOT NULL").during(DOING)?;
        let parked = parked.query_map([], |row| row.get(0)).during(DOING)?;
        let parked = parked.collect::<rusqlite::Result<_>>().during(DOING)?;
        Ok(Self { connection, exists: BTreeMap::new(), parked })
    }

    /// Compares the rows of an event with what it says; says whether it is applied.
    pub(super) fn compare(
        &mut self,
        event_no: i64,
        body: &EventBody,
        report: &mut VerifyReport,
    ) -> Result<bool, LedgerError> {
        let Some(table) = table(body) else { return Ok(false) };
        let statement = match self.exists.entry(table) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let query = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE event_no = ?1)");
                entry.insert(self.connection.prepare(&query).during(DOING)?)
            }
        };
        let held: bool = statement.query_row([event_no], |row| row.get(0)).during(DOING)?;
        let applied = !self.parked.contains(&event_no);
        report.compare(held, applied, || format!("row of event {event_no} in {table}"));
        if held && applied {
            match body {
                EventBody::RefundCompleted(refund) => self.compare_refund(event_no, refund, report)?,
                EventBody::StockMoved(moved) => self.compare_moved(event_no, moved, report)?,
                EventBody::ShiftClosed(closed) => {
                    let (report_of, id) = (&closed.report, closed.shift_id);
                    let query = "SELECT sales_gross_minor, refunds_gross_minor, counted_minor, grand_total_after_minor
                        FROM z_reports WHERE event_no = ?1";
                    let expected = [
                        report_of.sales.gross_minor,
                        report_of.refunds.gross_minor,
                        report_of.drawer.counted_minor,
                        report_of.grand_total_after_minor,
                    ];
                    let held: [i64; 4] = self.row(query, event_no)?;
                    for (held, expected) in held.into_iter().zip(expected) {
                        report.compare(held, expected.minor(), || format!("amounts of the Z report of shift {id}"));
                    }
                }
                _ => {}
            }
        }
        Ok(held && applied)
    }

    fn row<const N: usize>(&self, query: &str, event_no: i64) -> Result<[i64; N], LedgerError> {
        let mut statement = self.connection.prepare_cached(query).during(DOING)?;
        let read = |row: &rusqlite::Row<'_>| {
            let mut values = [0; N];
            for (column, value) in values.iter_mut().enumerate() {
                *value = row.get(column)?;
            }
            Ok(values)
        };
        statement.query_row([event_no], read).during(DOING)
    }

    fn compare_refund(
        &self,
        event_no: i64,
        refund: &RefundCompleted,
        report: &mut VerifyReport,
    ) -> Result<(), LedgerError> {
        let query = "SELECT gross_minor, tax_minor, net_minor, quantity_micro, business_date, lines,
                (SELECT count(*) FROM refund_lines WHERE line_no BETWEEN event_no * 1024 AND event_no * 1024 + 1023)
            FROM refunds WHERE event_no = ?1";
        let [gross, tax, net, quantity, date, lines, line_rows] = self.row(query, event_no)?;
        let what = |column: &str| format!("{column} of refund {}", refund.refund_id);
        let totals = &refund.totals;
        let count = refund.lines.len() as i128;
        report.compare(gross, totals.gross_minor.minor(), || what("gross_minor"));
        report.compare(tax, totals.tax_minor.minor(), || what("tax_minor"));
        report.compare(net, totals.net_minor.minor(), || what("net_minor"));
        report.compare(quantity, totals.quantity.micro(), || what("quantity_micro"));
        report.compare(date, i64::from(refund.business_date.days()), || what("business_date"));
        report.compare(i128::from(lines), count, || what("lines"));
        report.compare(i128::from(line_rows), count, || what("number of line rows"));
        Ok(())
    }

    fn compare_moved(&self, event_no: i64, moved: &StockMoved, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let mut items = self
            .connection
            .prepare_cached("SELECT quantity_micro FROM stock_movement_items WHERE event_no = ?1 ORDER BY position")
            .during(DOING)?;
        let held = items.query_map([event_no], |row| row.get::<_, i64>(0)).during(DOING)?;
        let held = held.collect::<rusqlite::Result<Vec<_>>>().during(DOING)?;
        let said: Vec<_> = moved.items.iter().map(|item| item.quantity.micro()).collect();
        report.compare(held == said, true, || format!("quantities of stock movement {}", moved.movement_id));
        Ok(())
    }
}

impl Counter {
    pub(super) fn receipt(&mut self, store_no: i64, till_id: &str, receipt_no: u64) {
        let runs = self.receipts.entry((store_no, till_id.to_owned())).or_default();
        runs.insert(i64::try_from(receipt_no).unwrap_or(i64::MAX - 1));
    }

    /// Adds an applied event; what it used of stock goes into `used`.
    pub(super) fn add(
        &mut self,
        store_no: i64,
        stream_no: i64,
        body: &EventBody,
        used: &mut BTreeMap<(i64, i32, String), i128>,
    ) {
        match body {
            EventBody::RefundCompleted(refund) => self.refund(store_no, stream_no, refund),
            EventBody::StockMoved(moved) => {
                let date = moved.business_date.days();
                let counter = match direction(moved.kind) {
                    Some((_, Direction::Added)) => &mut self.added,
                    Some((_, Direction::Used)) => used,
                    None => return,
                };
                for item in &moved.items {
                    *counter.entry((stream_no, date, item.item_id.to_string())).or_default() +=
                        i128::from(item.quantity.micro());
                }
            }
            EventBody::ShiftClosed(closed) => {
                let runs = self.z.entry((store_no, closed.report.till_id.to_string())).or_default();
                runs.insert(i64::try_from(closed.report.z_no).unwrap_or(i64::MAX - 1));
            }
            _ => {}
        }
    }

    fn refund(&mut self, store_no: i64, stream_no: i64, refund: &RefundCompleted) {
        self.receipt(store_no, refund.till_id.as_str(), refund.receipt_no);
        let (gross, tax) = (i128::from(refund.totals.gross_minor.minor()), i128::from(refund.totals.tax_minor.minor()));
        let date = refund.business_date.days();
        let totals = self.refunds.entry((store_no, date, refund.currency.to_string())).or_default();
        totals.refunds += 1;
        totals.gross_minor += gross;
        totals.tax_minor += tax;
        let refunded = self.refunded.entry((store_no, refund.sale_id)).or_default();
        refunded.refunds += 1;
        refunded.gross_minor += gross;
        for line in &refund.lines {
            let (quantity, gross) = refunded.lines.entry(line.line).or_default();
            *quantity += i128::from(line.quantity.micro());
            *gross += i128::from(line.gross_minor.minor());
            for item in &line.restocked {
                *self.added.entry((stream_no, date, item.item_id.to_string())).or_default() +=
                    i128::from(item.quantity.micro());
            }
        }
    }

    pub(super) fn compare(&self, connection: &Connection, report: &mut VerifyReport) -> Result<(), LedgerError> {
        self.compare_totals(connection, report)?;
        self.compare_added(connection, report)?;
        compare_runs(connection, "receipt_runs", "receipt numbers", &self.receipts, report)?;
        compare_runs(connection, "z_runs", "Z numbers", &self.z, report)?;
        self.compare_refunded(connection, report)
    }

    fn compare_totals(&self, connection: &Connection, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let query = "SELECT store_no, business_date, currency, refunds, refund_gross_minor, refund_tax_minor
            FROM day_totals";
        let mut statement = connection.prepare(query).during(DOING)?;
        let rows = statement.query_map([], |row| {
            let number = |column: usize| row.get::<_, i64>(column).map(i128::from);
            let refunds = Refunds { refunds: number(3)?, gross_minor: number(4)?, tax_minor: number(5)? };
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?), refunds))
        });
        let held = rows.during(DOING)?.collect::<rusqlite::Result<BTreeMap<_, _>>>().during(DOING)?;
        let stores = stores(connection)?;
        for key in union(&held, &self.refunds) {
            let (store_no, date, currency) = key;
            let nothing = Refunds::default();
            let (ours, theirs) = (held.get(key).unwrap_or(&nothing), self.refunds.get(key).unwrap_or(&nothing));
            let store = stores.get(store_no).map_or("?", String::as_str);
            let date = BusinessDate::from_days(i64::from(*date));
            let what = |counter: &str| format!("{counter} of store {store} on {date} in {currency}");
            report.compare(ours.refunds, theirs.refunds, || what("refunds"));
            report.compare(ours.gross_minor, theirs.gross_minor, || what("refund_gross_minor"));
            report.compare(ours.tax_minor, theirs.tax_minor, || what("refund_tax_minor"));
        }
        Ok(())
    }

    fn compare_added(&self, connection: &Connection, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let query = "SELECT stream_no, business_date, item_id, added_micro FROM stock_added";
        let mut statement = connection.prepare(query).during(DOING)?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), i128::from(row.get::<_, i64>(3)?))));
        let held = rows.during(DOING)?.collect::<rusqlite::Result<BTreeMap<_, _>>>().during(DOING)?;
        for key in union(&held, &self.added) {
            let (stream_no, date, item) = key;
            let date = BusinessDate::from_days(i64::from(*date));
            let (ours, theirs) = (held.get(key).copied(), self.added.get(key).copied());
            report.compare(ours.unwrap_or_default(), theirs.unwrap_or_default(), || {
                format!("{item} added in stream {stream_no} on {date}")
            });
        }
        Ok(())
    }

    /// The sums of what came back of each sale, and whether it is more than was sold.
    fn compare_refunded(&self, connection: &Connection, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let query = "SELECT store_no, sale_id, refunds, gross_minor, sale_event_no, is_over FROM refunded_sales";
        let mut statement = connection.prepare(query).during(DOING)?;
        let mut rows = statement.query([]).during(DOING)?;
        let (mut seen, mut waiting) = (0usize, BTreeMap::<i64, i64>::new());
        while let Some(row) = rows.next().during(DOING)? {
            let number = |column: usize| row.get::<_, i64>(column).during(DOING);
            let store_no = number(0)?;
            let sale_id = SaleId::new(Uuid::from_bytes(row.get(1).during(DOING)?));
            let nothing = Refunded::default();
            let computed = self.refunded.get(&(store_no, sale_id)).unwrap_or(&nothing);
            let what = |column: &str| format!("{column} of the refunds of sale {sale_id}");
            report.compare(i128::from(number(2)?), computed.refunds, || what("number"));
            report.compare(i128::from(number(3)?), computed.gross_minor, || what("gross_minor"));
            let sale: Option<i64> = row.get(4).during(DOING)?;
            let sold = sale_event(connection, store_no, &sale_id)?;
            report.compare(sale.unwrap_or_default(), sold.unwrap_or_default(), || what("sale"));
            let over = match sold {
                Some(event_no) => computed.is_over(connection, event_no)?,
                None => false,
            };
            report.compare(number(5)? == 1, over, || what("excess"));
            if sold.is_none() {
                *waiting.entry(store_no).or_default() += 1;
            }
            seen += 1;
        }
        report.compare(seen, self.refunded.len(), || "number of sales with refunds".to_owned());
        let query = "SELECT store_no, store_id, refunds_waiting FROM store_state JOIN stores USING (store_no)";
        let mut statement = connection.prepare(query).during(DOING)?;
        let rows = statement.query_map([], |row| <(i64, String, i64)>::try_from(row)).during(DOING)?;
        for row in rows {
            let (store_no, store, held) = row.during(DOING)?;
            let computed = waiting.get(&store_no).copied().unwrap_or_default();
            report.compare(held, computed, || format!("refunds of unknown sales of store {store}"));
        }
        Ok(())
    }
}

impl Refunded {
    fn is_over(&self, connection: &Connection, sale_event_no: i64) -> Result<bool, LedgerError> {
        let mut sale = connection.prepare_cached("SELECT gross_minor FROM sales WHERE event_no = ?1").during(DOING)?;
        let gross: i64 = sale.query_row([sale_event_no], |row| row.get(0)).during(DOING)?;
        if self.gross_minor > i128::from(gross) {
            return Ok(true);
        }
        let query = "SELECT quantity_micro, gross_minor FROM sale_lines WHERE line_no = ?1 * 1024 + ?2";
        let mut sold = connection.prepare_cached(query).during(DOING)?;
        for (line, (quantity, gross)) in &self.lines {
            let found = if *line < 1024 {
                let read = |row: &rusqlite::Row<'_>| <(i64, i64)>::try_from(row);
                sold.query_row(params![sale_event_no, line], read).optional().during(DOING)?
            } else {
                None
            };
            let within = found.is_some_and(|(sold_quantity, sold_gross)| {
                *quantity <= i128::from(sold_quantity) && *gross <= i128::from(sold_gross)
            });
            if !within {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn sale_event(connection: &Connection, store_no: i64, sale_id: &SaleId) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT event_no FROM sales WHERE sale_id = ?1 AND store_no = ?2";
    let mut statement = connection.prepare_cached(query).during(DOING)?;
    statement.query_row(params![sale_id.as_bytes(), store_no], |row| row.get(0)).optional().during(DOING)
}

fn compare_runs(
    connection: &Connection,
    table: &str,
    numbers: &str,
    computed: &BTreeMap<(i64, String), Runs>,
    report: &mut VerifyReport,
) -> Result<(), LedgerError> {
    let query = format!("SELECT store_no, till_id, first_no, last_no FROM {table}");
    let mut statement = connection.prepare(&query).during(DOING)?;
    let mut rows = statement.query([]).during(DOING)?;
    let mut held = BTreeMap::<(i64, String), Runs>::new();
    while let Some(row) = rows.next().during(DOING)? {
        let (store_no, till_id, first, last): (i64, String, i64, i64) = row.try_into().during(DOING)?;
        held.entry((store_no, till_id)).or_default().0.insert(first, last);
    }
    let stores = stores(connection)?;
    for key in union(&held, computed) {
        let store = stores.get(&key.0).map_or("?", String::as_str);
        let same = held.get(key) == computed.get(key);
        report.compare(same, true, || format!("runs of {numbers} of till {} of store {store}", key.1));
    }
    Ok(())
}

fn stores(connection: &Connection) -> Result<BTreeMap<i64, String>, LedgerError> {
    names(connection, "SELECT store_no, store_id FROM stores")
}

#[cfg(test)]
mod tests {
    use super::Runs;

    #[test]
    fn numbers_make_runs_in_any_order() {
        #[track_caller]
        fn check(numbers: &[i64], expected: &[(i64, i64)]) {
            let mut runs = Runs::default();
            numbers.iter().for_each(|number| runs.insert(*number));
            assert_eq!(runs.0.into_iter().collect::<Vec<_>>(), expected);
        }
        check(&[1, 2, 3], &[(1, 3)]);
        check(&[3, 1, 2, 2], &[(1, 3)]);
        check(&[5, 1, 9, 2], &[(1, 2), (5, 5), (9, 9)]);
        check(&[1, 3, 2, 4, 3], &[(1, 4)]);
    }
}
