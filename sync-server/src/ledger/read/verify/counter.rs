//! What happened at the counter beside sales, computed again.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, SaleId};
use protocol::latest::{Event, EventBody, RefundCompleted, StockMoved};

use super::page::Parked;
use super::{DOING, names, stock, union};
use crate::ledger::LedgerError;
use crate::ledger::books::VerifyReport;
use crate::ledger::database::{Cell, Database, Row, cells};
use crate::ledger::group::{Direction, direction};
use crate::ledger::read::books::held_event;

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

/// The tables in which events of the counter have a row.
const TABLES: [&str; 10] = [
    "refunds",
    "shift_opens",
    "z_reports",
    "shift_amendments",
    "cash_movements",
    "day_closes",
    "stock_movements",
    "stock_counts",
    "sold_out_changes",
    "audit_marks",
];

/// The rows that a run of events has.
#[derive(Debug, Default)]
pub(in crate::ledger::read) struct CounterRows {
    /// Numbers of the events with a row, by table.
    exists: BTreeMap<&'static str, BTreeSet<i64>>,
    /// Gross, tax, net, quantity, business date and lines of each refund.
    refunds: BTreeMap<i64, [i64; 6]>,
    /// How many rows the lines of each refund have.
    refund_lines: BTreeMap<i64, i128>,
    /// Gross of sales, gross of refunds, what was counted, and the grand total, of each Z report.
    reports: BTreeMap<i64, [i64; 4]>,
    /// The quantities of each movement of stock, in order.
    moved: BTreeMap<i64, Vec<i64>>,
}

impl CounterRows {
    /// The rows of the events between two numbers.
    pub(in crate::ledger::read) fn read<D: Database>(database: &D, first: i64, last: i64) -> Result<Self, LedgerError> {
        let between = cells![first, last];
        let mut rows = Self::default();
        for table in TABLES {
            let query = format!("SELECT event_no FROM {table} WHERE event_no BETWEEN ?1 AND ?2");
            let found = database.all(DOING, &query, between, |row| row.number(0))?;
            rows.exists.insert(table, found.into_iter().collect());
        }
        let query =
            "SELECT event_no, gross_minor, tax_minor, net_minor, quantity_micro, business_date, lines FROM refunds
            WHERE event_no BETWEEN ?1 AND ?2";
        rows.refunds = numbers(database, query, between)?;
        let query = "SELECT line_no FROM refund_lines WHERE line_no BETWEEN ?1 AND ?2";
        let lines = cells![first.saturating_mul(1024), last.saturating_mul(1024).saturating_add(1023)];
        for line_no in database.all(DOING, query, lines, |row| row.number(0))? {
            *rows.refund_lines.entry(line_no.div_euclid(1024)).or_default() += 1;
        }
        let query = "SELECT event_no, sales_gross_minor, refunds_gross_minor, counted_minor, grand_total_after_minor
            FROM z_reports WHERE event_no BETWEEN ?1 AND ?2";
        rows.reports = numbers(database, query, between)?;
        let query = "SELECT event_no, quantity_micro FROM stock_movement_items WHERE event_no BETWEEN ?1 AND ?2
            ORDER BY event_no, position";
        for (event_no, quantity) in database.all(DOING, query, between, |row| Ok((row.number(0)?, row.number(1)?)))? {
            rows.moved.entry(event_no).or_default().push(quantity);
        }
        Ok(rows)
    }

    /// Compares the rows of an event with what it says; says whether it is applied.
    pub(in crate::ledger::read) fn compare(
        &self,
        parked: &Parked,
        event_no: i64,
        body: &EventBody,
        report: &mut VerifyReport,
    ) -> bool {
        let Some(table) = table(body) else { return false };
        let held = self.exists.get(table).is_some_and(|events| events.contains(&event_no));
        let applied = !parked.contains(event_no);
        report.compare(held, applied, || format!("row of event {event_no} in {table}"));
        if held && applied {
            match body {
                EventBody::RefundCompleted(refund) => self.compare_refund(event_no, refund, report),
                EventBody::StockMoved(moved) => self.compare_moved(event_no, moved, report),
                EventBody::ShiftClosed(closed) => {
                    let (report_of, id) = (&closed.report, closed.shift_id);
                    let expected = [
                        report_of.sales.gross_minor,
                        report_of.refunds.gross_minor,
                        report_of.drawer.counted_minor,
                        report_of.grand_total_after_minor,
                    ];
                    let held = self.reports.get(&event_no).copied().unwrap_or_default();
                    for (held, expected) in held.into_iter().zip(expected) {
                        report.compare(held, expected.minor(), || format!("amounts of the Z report of shift {id}"));
                    }
                }
                _ => {}
            }
        }
        held && applied
    }

    fn compare_refund(&self, event_no: i64, refund: &RefundCompleted, report: &mut VerifyReport) {
        let [gross, tax, net, quantity, date, lines] = self.refunds.get(&event_no).copied().unwrap_or_default();
        let line_rows = self.refund_lines.get(&event_no).copied().unwrap_or_default();
        let what = |column: &str| format!("{column} of refund {}", refund.refund_id);
        let totals = &refund.totals;
        let count = refund.lines.len() as i128;
        report.compare(gross, totals.gross_minor.minor(), || what("gross_minor"));
        report.compare(tax, totals.tax_minor.minor(), || what("tax_minor"));
        report.compare(net, totals.net_minor.minor(), || what("net_minor"));
        report.compare(quantity, totals.quantity.micro(), || what("quantity_micro"));
        report.compare(date, i64::from(refund.business_date.days()), || what("business_date"));
        report.compare(i128::from(lines), count, || what("lines"));
        report.compare(line_rows, count, || what("number of line rows"));
    }

    fn compare_moved(&self, event_no: i64, moved: &StockMoved, report: &mut VerifyReport) {
        let nothing = Vec::new();
        let held = self.moved.get(&event_no).unwrap_or(&nothing);
        let said: Vec<_> = moved.items.iter().map(|item| item.quantity.micro()).collect();
        report.compare(*held == said, true, || format!("quantities of stock movement {}", moved.movement_id));
    }
}

/// Reads rows of a number of an event and `N` other numbers.
fn numbers<D: Database, const N: usize>(
    database: &D,
    query: &str,
    values: &[Cell<'_>],
) -> Result<BTreeMap<i64, [i64; N]>, LedgerError> {
    let rows = database.all(DOING, query, values, |row| {
        let mut found = [0; N];
        for (column, value) in found.iter_mut().enumerate() {
            *value = row.number(column + 1)?;
        }
        Ok((row.number(0)?, found))
    })?;
    Ok(rows.into_iter().collect())
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

    pub(super) fn compare<D: Database>(&self, database: &D, report: &mut VerifyReport) -> Result<(), LedgerError> {
        self.compare_totals(database, report)?;
        self.compare_added(database, report)?;
        compare_runs(database, "receipt_runs", "receipt numbers", &self.receipts, report)?;
        compare_runs(database, "z_runs", "Z numbers", &self.z, report)?;
        self.compare_refunded(database, report)
    }

    fn compare_totals<D: Database>(&self, database: &D, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let query = "SELECT store_no, business_date, currency, refunds, refund_gross_minor, refund_tax_minor
            FROM day_totals";
        let mut held = BTreeMap::new();
        database.query(DOING, query, &[], &mut |row| {
            let number = |column: usize| row.number(column).map(i128::from);
            let refunds = Refunds { refunds: number(3)?, gross_minor: number(4)?, tax_minor: number(5)? };
            held.insert((row.number(0)?, row.small(1)?, row.text(2)?), refunds);
            Ok(())
        })?;
        let stores = stores(database)?;
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

    fn compare_added<D: Database>(&self, database: &D, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let held = stock(database, "SELECT stream_no, business_date, item_id, added_micro FROM stock_added")?;
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
    fn compare_refunded<D: Database>(&self, database: &D, report: &mut VerifyReport) -> Result<(), LedgerError> {
        let query = "SELECT store_no, sale_id, refunds, gross_minor, sale_event_no, is_over FROM refunded_sales";
        let held = database.all(DOING, query, &[], |row| {
            let key = (row.number(0)?, SaleId::new(row.id(1)?));
            Ok((key, row.number(2)?, row.number(3)?, row.maybe_number(4)?, row.number(5)? == 1))
        })?;
        let mut waiting = BTreeMap::<i64, i64>::new();
        report.compare(held.len(), self.refunded.len(), || "number of sales with refunds".to_owned());
        for ((store_no, sale_id), refunds, gross_minor, sale, is_over) in held {
            let nothing = Refunded::default();
            let computed = self.refunded.get(&(store_no, sale_id)).unwrap_or(&nothing);
            let what = |column: &str| format!("{column} of the refunds of sale {sale_id}");
            report.compare(i128::from(refunds), computed.refunds, || what("number"));
            report.compare(i128::from(gross_minor), computed.gross_minor, || what("gross_minor"));
            let sold = sale_event(database, store_no, &sale_id)?;
            report.compare(sale.unwrap_or_default(), sold.unwrap_or_default(), || what("sale"));
            let over = match sold {
                Some(event_no) => computed.is_over(database, event_no)?,
                None => false,
            };
            report.compare(is_over, over, || what("excess"));
            if sold.is_none() {
                *waiting.entry(store_no).or_default() += 1;
            }
        }
        let query = "SELECT store_no, store_id, refunds_waiting FROM store_state JOIN stores USING (store_no)";
        database.query(DOING, query, &[], &mut |row| {
            let (store_no, store, held) = (row.number(0)?, row.text(1)?, row.number(2)?);
            let computed = waiting.get(&store_no).copied().unwrap_or_default();
            report.compare(held, computed, || format!("refunds of unknown sales of store {store}"));
            Ok(())
        })
    }
}

impl Refunded {
    fn is_over<D: Database>(&self, database: &D, sale_event_no: i64) -> Result<bool, LedgerError> {
        let Some(Event { body: EventBody::SaleCompleted(sale), .. }) = held_event(database, sale_event_no)? else {
            return Ok(false);
        };
        let within = |(line, (quantity, gross)): (&u32, &(i128, i128))| {
            let sold = usize::try_from(*line).ok().and_then(|line| sale.lines.get(line));
            sold.is_some_and(|sold| {
                *quantity <= i128::from(sold.quantity.micro()) && *gross <= i128::from(sold.gross_minor.minor())
            })
        };
        Ok(self.gross_minor > i128::from(sale.totals.gross_minor.minor()) || !self.lines.iter().all(within))
    }
}

fn sale_event<D: Database>(database: &D, store_no: i64, sale_id: &SaleId) -> Result<Option<i64>, LedgerError> {
    let query = format!("SELECT event_no FROM {} WHERE sale_id = ?1 AND store_no = ?2", D::DIALECT.applied_sales);
    database.first(DOING, &query, cells![sale_id.as_bytes(), store_no], |row| row.number(0))
}

fn compare_runs<D: Database>(
    database: &D,
    table: &str,
    numbers: &str,
    computed: &BTreeMap<(i64, String), Runs>,
    report: &mut VerifyReport,
) -> Result<(), LedgerError> {
    let query = format!("SELECT store_no, till_id, first_no, last_no FROM {table}");
    let mut held = BTreeMap::<(i64, String), Runs>::new();
    database.query(DOING, &query, &[], &mut |row| {
        let runs = held.entry((row.number(0)?, row.text(1)?)).or_default();
        runs.0.insert(row.number(2)?, row.number(3)?);
        Ok(())
    })?;
    let stores = stores(database)?;
    for key in union(&held, computed) {
        let store = stores.get(&key.0).map_or("?", String::as_str);
        let same = held.get(key) == computed.get(key);
        report.compare(same, true, || format!("runs of {numbers} of till {} of store {store}", key.1));
    }
    Ok(())
}

fn stores<D: Database>(database: &D) -> Result<BTreeMap<i64, String>, LedgerError> {
    names(database, "SELECT store_no, store_id FROM stores")
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
