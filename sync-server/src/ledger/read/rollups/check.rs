//! Whether the roll-ups are the sums of what they follow from: hours and items straight from the rows of sales and refunds,
//! promotions from the messages, which alone have them.

use std::collections::BTreeSet;

use pos_model::BusinessDate;

use super::sums::{Day, KeyPart, RollUpTable, Rows, Sums, TABLES, hour_in_sql};
use super::write::{State, held};
use super::{days_of, facts};
use crate::ledger::LedgerError;
use crate::ledger::books::{DIFFERENCES_MAX, Difference};
use crate::ledger::database::{AnyRow, Database, Dialect, Row, cells};
use crate::ledger::rollups::{DateRange, RollUpReport};

const DOING: &str = "check the roll-ups";

/// Compares date by date; each is read in one state of the database.
pub(super) fn check<D: Database>(
    database: &D,
    range: DateRange,
    each_date: &mut dyn FnMut(BusinessDate),
) -> Result<RollUpReport, LedgerError> {
    database.prepare_walk();
    let mut report = RollUpReport::default();
    let (from, to) = days_of(range);
    let query = "SELECT DISTINCT business_date FROM (
            SELECT business_date FROM day_totals UNION SELECT business_date FROM rollup_hours
            UNION SELECT business_date FROM rollup_items UNION SELECT business_date FROM rollup_promotions) AS dates
        WHERE business_date BETWEEN ?1 AND ?2 ORDER BY business_date";
    for date in database.all(DOING, query, cells![from, to], |row| row.small::<i32>(0))? {
        each_date(BusinessDate::from_days(date.into()));
        database.snapshot(DOING, |database| check_date(database, date, &mut report))?;
    }
    Ok(report)
}

fn check_date<D: Database>(database: &D, date: i32, report: &mut RollUpReport) -> Result<(), LedgerError> {
    let state = State::read(database)?;
    if state.facts_from.is_some_and(|first| i64::from(date) < first) {
        return Ok(());
    }
    report.dates += 1;
    let query = "SELECT DISTINCT store_no FROM rollup_marks WHERE business_date = ?1";
    let waiting = database.all(DOING, query, cells![date], |row| row.number(0))?;
    let waiting: BTreeSet<i64> = waiting.into_iter().collect();
    report.days_waiting += waiting.len() as u64;
    let query = "SELECT store_no, store_id FROM stores WHERE store_no IN
        (SELECT store_no FROM day_totals WHERE business_date = ?1)";
    let stores = database.all(DOING, query, cells![date], |row| Ok((row.number(0)?, row.text(1)?)))?;
    let days: BTreeSet<Day> = stores.iter().map(|(store_no, _)| (*store_no, date)).collect();
    let facts::Anew { sums, incomplete } = facts::anew(database, &days, state.through)?;
    let has_messages = incomplete.is_empty();
    report.dates_without_messages += u64::from(!has_messages);
    let mut computed = Sums { rows: [Rows::new(), Rows::new(), sums.rows.into_iter().nth(2).unwrap_or_default()] };
    sum_columns(database, date, state.through, &mut computed)?;
    let tables = TABLES.iter().zip(&computed.rows).take(if has_messages { 3 } else { 2 });
    for (table, computed) in tables {
        let in_table = rows_of(database, table, date)?;
        let keys: BTreeSet<_> = in_table.keys().chain(computed.keys()).collect();
        for key in keys.into_iter().filter(|((store_no, _), _)| !waiting.contains(store_no)) {
            report.rows += 1;
            let nothing = vec![0; table.counters.len()];
            let (ours, theirs) = (in_table.get(key).unwrap_or(&nothing), computed.get(key).unwrap_or(&nothing));
            for ((counter, ours), theirs) in table.counters.iter().zip(ours).zip(theirs) {
                if *ours != i128::from(held(*theirs)) {
                    let ((store_no, _), rest) = key;
                    let store = stores.iter().find(|(number, _)| number == store_no).map_or("?", |(_, name)| name);
                    let rest: Vec<String> = rest.iter().map(KeyPart::to_string).collect();
                    let date = BusinessDate::from_days(date.into());
                    let what = format!("{counter} of {} of store {store} on {date}, {}", table.name, rest.join(", "));
                    report.differ(what, *ours, *theirs);
                }
            }
        }
    }
    Ok(())
}

impl RollUpReport {
    fn differ(&mut self, what: String, held: i128, computed: i128) {
        self.differences_total += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { what, held: held.to_string(), computed: computed.to_string() });
        }
    }
}

impl std::fmt::Display for KeyPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hour(hour) => write!(f, "hour {hour}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The key behind the day, in the columns from `first` on.
fn key_of(row: &AnyRow<'_>, table: &RollUpTable, first: usize) -> Result<Vec<KeyPart>, LedgerError> {
    let part = |(place, (_, ty)): (usize, &(&str, &str))| match *ty {
        "INTEGER" => Ok(KeyPart::Hour(row.number(place)?)),
        _ => Ok(KeyPart::Text(row.text(place)?)),
    };
    (first..).zip(table.keys).map(part).collect()
}

/// The rows of a table on a date.
fn rows_of<D: Database>(database: &D, table: &RollUpTable, date: i32) -> Result<Rows, LedgerError> {
    let keys: Vec<&str> = table.keys.iter().map(|(name, _)| *name).collect();
    let query = format!(
        "SELECT store_no, {}, {} FROM {} WHERE business_date = ?1",
        keys.join(", "),
        table.counters.join(", "),
        table.name
    );
    let mut rows = Rows::new();
    database.query(DOING, &query, cells![date], &mut |row| {
        let first = 1 + table.keys.len();
        let counters = (first..first + table.counters.len()).map(|place| row.number(place).map(i128::from));
        let counters = counters.collect::<Result<Vec<_>, _>>()?;
        rows.insert(((row.number(0)?, date), key_of(row, table, 1)?), counters);
        Ok(())
    })?;
    Ok(rows)
}

/// A query that adds columns up.
struct ColumnSums {
    /// The number of the table that it is compared with.
    table: usize,
    /// The first counter that it brings, and how many.
    counters: (usize, usize),
    query: String,
}

/// The queries of hours and items, from the columns of sales and refunds of the business date `?1`, up to the event `?2`.
///
/// To SQLite the words CROSS JOIN say that sales come first and their lines are looked up. Otherwise it looks for the sale of
/// each line among all of a date, which takes minutes where this takes a second.
fn column_sums(dialect: &Dialect) -> [ColumnSums; 4] {
    let sum = |columns: &[&str]| {
        columns.iter().map(|column| format!("CAST(sum({column}) AS BIGINT)")).collect::<Vec<_>>().join(", ")
    };
    let (sold, refunded) = (hour_in_sql("sales.sold"), hour_in_sql("refunds.refunded"));
    let (of_sale, of_refund) = (dialect.line_of_sale, dialect.line_of_refund);
    let sale_columns = sum(&["lines", "quantity_micro", "gross_minor", "tax_minor", "net_minor"]);
    let line_columns = sum(&[
        "sale_lines.quantity_micro",
        "sale_lines.gross_minor",
        "sale_lines.adjustment_minor",
        "sale_lines.tax_minor",
    ]);
    let refund_columns = sum(&["gross_minor", "tax_minor"]);
    let refund_line_columns =
        sum(&["refund_lines.quantity_micro", "refund_lines.gross_minor", "refund_lines.tax_minor"]);
    [
        ColumnSums {
            table: 0,
            counters: (0, 6),
            query: format!(
                "SELECT store_no, {sold}, currency, count(*), {sale_columns} FROM sales
                WHERE business_date = ?1 AND event_no <= ?2 GROUP BY 1, 2, 3"
            ),
        },
        ColumnSums {
            table: 0,
            counters: (6, 3),
            query: format!(
                "SELECT store_no, {refunded}, currency, count(*), {refund_columns} FROM refunds
                WHERE business_date = ?1 AND event_no <= ?2 GROUP BY 1, 2, 3"
            ),
        },
        ColumnSums {
            table: 1,
            counters: (0, 5),
            query: format!(
                "SELECT store_no, {sold}, sku, currency, count(*), {line_columns}
                FROM sales CROSS JOIN sale_lines
                WHERE {of_sale} AND sales.business_date = ?1 AND sales.event_no <= ?2 GROUP BY 1, 2, 3, 4"
            ),
        },
        ColumnSums {
            table: 1,
            counters: (5, 4),
            query: format!(
                "SELECT store_no, {refunded}, sku, currency, count(*), {refund_line_columns}
                FROM refunds CROSS JOIN refund_lines
                WHERE {of_refund} AND refunds.business_date = ?1 AND refunds.event_no <= ?2 GROUP BY 1, 2, 3, 4"
            ),
        },
    ]
}

/// Adds up hours and items of a date in the database.
fn sum_columns<D: Database>(database: &D, date: i32, through: i64, sums: &mut Sums) -> Result<(), LedgerError> {
    for ColumnSums { table: number, counters: (first_counter, count), query } in column_sums(&D::DIALECT) {
        let table = TABLES[number];
        database.query(DOING, &query, cells![date, through], &mut |row| {
            let key = ((row.number(0)?, date), key_of(row, table, 1)?);
            let counters = sums.rows[number].entry(key).or_insert_with(|| vec![0; table.counters.len()]);
            let first = 1 + table.keys.len();
            for (place, counter) in (first..first + count).zip(counters.iter_mut().skip(first_counter)) {
                *counter += i128::from(row.number(place)?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{SqliteLedger, SqliteReader, SqliteSettings};

    fn dialect_of<D: Database>(_: &D) -> &'static Dialect {
        &D::DIALECT
    }

    #[test]
    fn lines_are_looked_up_by_their_sale() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        drop(SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens"));
        let reader = SqliteReader::open(&path).expect("opens");
        for ColumnSums { query, .. } in column_sums(dialect_of(&reader)) {
            let explain = format!("EXPLAIN QUERY PLAN {query}");
            let plan = reader.all(DOING, &explain, cells![20_000, 1], |row| row.text(3)).expect("a plan");
            assert!(!plan.iter().any(|step| step.contains("_lines") && step.contains("SCAN")), "{plan:?}");
        }
    }
}
