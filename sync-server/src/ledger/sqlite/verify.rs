//! Whether the books balance. Every counter, column and hash is computed again from the events and compared with what
//! the ledger holds. It reads one state of the database, however long it takes, and keeps the counters in memory: some
//! hundred bytes for each store, business date and item.

use std::collections::BTreeMap;
use std::fmt::Display;

use pos_model::{BusinessDate, ChainHash, Epoch};
use protocol::latest::{EventBody, decode_event};
use rusqlite::Connection;

use super::fault::During;
use super::rows::hash_of;
use crate::ledger::LedgerError;
use crate::ledger::books::{DIFFERENCES_MAX, Difference, VerifyReport};

/// Sums are wider than what they sum, so that a sum itself is never in doubt.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    sales: i128,
    lines: i128,
    quantity_micro: i128,
    gross_minor: i128,
    tax_minor: i128,
    net_minor: i128,
}

#[derive(Debug, Default)]
struct Computed {
    totals: BTreeMap<(i64, i32, String), Totals>,
    used: BTreeMap<(i64, i32, String), i128>,
    sales_of_store: BTreeMap<i64, i128>,
}

const DOING: &str = "verify the books";

pub(super) fn verify(connection: &Connection) -> Result<VerifyReport, LedgerError> {
    let _snapshot = connection.unchecked_transaction().during(DOING)?;
    let mut report = VerifyReport::default();
    let computed = walk_events(connection, &mut report)?;
    compare_totals(connection, &computed, &mut report)?;
    compare_used(connection, &computed, &mut report)?;
    compare_stores(connection, &computed, &mut report)?;
    walk_chains(connection, &mut report)?;
    Ok(report)
}

/// Sums up the sales that are in the tables, from their events' bytes, and compares the columns on the way.
fn walk_events(connection: &Connection, report: &mut VerifyReport) -> Result<Computed, LedgerError> {
    let mut computed = Computed::default();
    let query = "SELECT event_no, sales.store_no, stream_no, gross_minor, tax_minor, net_minor, quantity_micro, lines,
            business_date, bytes, (SELECT count(*) FROM sale_lines
                WHERE line_no BETWEEN event_no * 1024 AND event_no * 1024 + 1023),
            (SELECT ifnull(sum(sale_lines.gross_minor), 0) FROM sale_lines
                WHERE line_no BETWEEN event_no * 1024 AND event_no * 1024 + 1023)
        FROM sales JOIN events USING (event_no) ORDER BY event_no";
    let mut statement = connection.prepare(query).during(DOING)?;
    let mut rows = statement.query([]).during(DOING)?;
    while let Some(row) = rows.next().during(DOING)? {
        let number = |column: usize| row.get::<_, i64>(column).during(DOING);
        let event_no = number(0)?;
        report.sales += 1;
        let bytes = row.get_ref(9).during(DOING)?.as_blob().map_err(|_| LedgerError::Damaged { what: "event" })?;
        let sale = match decode_event(bytes).map(|event| event.body) {
            Ok(EventBody::SaleCompleted(sale)) => sale,
            Ok(_) | Err(_) => {
                report.differ(&format!("event {event_no}"), &"a sale", &"no sale");
                continue;
            }
        };
        let (store_no, stream_no) = (number(1)?, number(2)?);
        let date = sale.business_date.days();
        let gross_of_lines: i128 = sale.lines.iter().map(|line| i128::from(line.gross_minor.minor())).sum();
        let lines = sale.lines.len() as i128;
        let what = |column: &str| format!("{column} of sale {}", sale.sale_id);
        report.compare(i128::from(number(3)?), i128::from(sale.totals.gross_minor.minor()), || what("gross_minor"));
        report.compare(i128::from(number(4)?), i128::from(sale.totals.tax_minor.minor()), || what("tax_minor"));
        report.compare(i128::from(number(5)?), i128::from(sale.totals.net_minor.minor()), || what("net_minor"));
        report.compare(i128::from(number(6)?), i128::from(sale.totals.quantity.micro()), || what("quantity_micro"));
        report.compare(i128::from(number(7)?), lines, || what("lines"));
        report.compare(i128::from(number(8)?), i128::from(date), || what("business_date"));
        report.compare(i128::from(number(10)?), lines, || what("number of line rows"));
        report.compare(i128::from(number(11)?), gross_of_lines, || what("gross_minor of the lines"));
        *computed.sales_of_store.entry(store_no).or_default() += 1;
        let totals = computed.totals.entry((store_no, date, sale.currency.to_string())).or_default();
        totals.sales += 1;
        totals.lines += lines;
        totals.quantity_micro += i128::from(sale.totals.quantity.micro());
        totals.gross_minor += i128::from(sale.totals.gross_minor.minor());
        totals.tax_minor += i128::from(sale.totals.tax_minor.minor());
        totals.net_minor += i128::from(sale.totals.net_minor.minor());
        for consumption in sale.lines.iter().flat_map(|line| &line.consumption) {
            let used = computed.used.entry((stream_no, date, consumption.item_id.to_string())).or_default();
            *used += i128::from(consumption.quantity.micro());
        }
    }
    Ok(computed)
}

fn compare_totals(connection: &Connection, computed: &Computed, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let query =
        "SELECT store_no, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor
        FROM day_totals";
    let mut statement = connection.prepare(query).during(DOING)?;
    let mut rows = statement.query([]).during(DOING)?;
    let mut held = BTreeMap::new();
    while let Some(row) = rows.next().during(DOING)? {
        let number = |column: usize| row.get::<_, i64>(column).during(DOING).map(i128::from);
        let key: (i64, i32, String) = (row.get(0).during(DOING)?, row.get(1).during(DOING)?, row.get(2).during(DOING)?);
        let totals = Totals {
            sales: number(3)?,
            lines: number(4)?,
            quantity_micro: number(5)?,
            gross_minor: number(6)?,
            tax_minor: number(7)?,
            net_minor: number(8)?,
        };
        held.insert(key, totals);
    }
    let stores = names(connection, "SELECT store_no, store_id FROM stores")?;
    for key in union(&held, &computed.totals) {
        let (store_no, date, currency) = key;
        let nothing = Totals::default();
        let (ours, theirs) = (held.get(key).unwrap_or(&nothing), computed.totals.get(key).unwrap_or(&nothing));
        let store = stores.get(store_no).map_or("?", String::as_str);
        let date = BusinessDate::from_days(i64::from(*date));
        let what = |counter: &str| format!("{counter} of store {store} on {date} in {currency}");
        report.compare(ours.sales, theirs.sales, || what("sales"));
        report.compare(ours.lines, theirs.lines, || what("lines"));
        report.compare(ours.quantity_micro, theirs.quantity_micro, || what("quantity_micro"));
        report.compare(ours.gross_minor, theirs.gross_minor, || what("gross_minor"));
        report.compare(ours.tax_minor, theirs.tax_minor, || what("tax_minor"));
        report.compare(ours.net_minor, theirs.net_minor, || what("net_minor"));
    }
    Ok(())
}

fn compare_used(connection: &Connection, computed: &Computed, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let query = "SELECT stream_no, business_date, item_id, used_micro FROM stock_used";
    let mut statement = connection.prepare(query).during(DOING)?;
    let rows = statement.query_map([], |row| {
        Ok((
            (row.get::<_, i64>(0)?, row.get::<_, i32>(1)?, row.get::<_, String>(2)?),
            i128::from(row.get::<_, i64>(3)?),
        ))
    });
    let held = rows.during(DOING)?.collect::<rusqlite::Result<BTreeMap<_, _>>>().during(DOING)?;
    let streams = names(
        connection,
        "SELECT stream_no, store_id || ' in epoch ' || printf('%016x', epoch) FROM streams JOIN stores USING (store_no)",
    )?;
    for key in union(&held, &computed.used) {
        let (stream_no, date, item) = key;
        let stream = streams.get(stream_no).map_or("?", String::as_str);
        let date = BusinessDate::from_days(i64::from(*date));
        let (ours, theirs) =
            (held.get(key).copied().unwrap_or_default(), computed.used.get(key).copied().unwrap_or_default());
        report.compare(ours, theirs, || format!("{item} used by store {stream} on {date}"));
    }
    Ok(())
}

fn compare_stores(connection: &Connection, computed: &Computed, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let query = "SELECT store_no, store_id, applied_sales FROM store_state JOIN stores USING (store_no)";
    let mut statement = connection.prepare(query).during(DOING)?;
    let rows = statement.query_map([], |row| <(i64, String, i64)>::try_from(row));
    for row in rows.during(DOING)? {
        let (store_no, store, held) = row.during(DOING)?;
        let computed = computed.sales_of_store.get(&store_no).copied().unwrap_or_default();
        report.compare(i128::from(held), computed, || format!("applied sales of store {store}"));
    }
    Ok(())
}

/// Follows each epoch's hash chain from message to message.
fn walk_chains(connection: &Connection, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let query =
        "SELECT stream_no, first_seq, first_event_no, batches.events, epoch, base_hash, applied_seq, applied_hash
        FROM batches JOIN streams USING (stream_no) ORDER BY stream_no, first_seq";
    let mut batches = connection.prepare(query).during(DOING)?;
    let mut events = connection
        .prepare("SELECT hash, bytes FROM events WHERE event_no BETWEEN ?1 AND ?2 ORDER BY event_no")
        .during(DOING)?;
    let mut rows = batches.query([]).during(DOING)?;
    // The stream and the number that would follow without a gap, with the hash before it.
    let mut expected: Option<(i64, i64, ChainHash)> = None;
    while let Some(row) = rows.next().during(DOING)? {
        let number = |column: usize| row.get::<_, i64>(column).during(DOING);
        let (stream_no, first_seq, first_event_no, count) = (number(0)?, number(1)?, number(2)?, number(3)?);
        let epoch = Epoch::from_sql(number(4)?);
        let mut hash = match expected {
            Some((stream, seq, hash)) if stream == stream_no && seq == first_seq => Some(hash),
            _ if first_seq == 1 => Some(hash_of(row.get_ref(5).during(DOING)?)?),
            // Behind a loss the hash before is that of an event that never arrived.
            _ => None,
        };
        let mut held = events.query([first_event_no, first_event_no + count - 1]).during(DOING)?;
        let mut seq = first_seq;
        while let Some(event) = held.next().during(DOING)? {
            report.events += 1;
            let stored = hash_of(event.get_ref(0).during(DOING)?)?;
            let bytes = event.get_ref(1).during(DOING)?;
            let bytes = bytes.as_blob().map_err(|_| LedgerError::Damaged { what: "event" })?;
            if let Some(before) = hash {
                report.compare(stored, before.then(bytes), || format!("hash of event {epoch}/{seq}"));
            }
            hash = Some(stored);
            seq += 1;
        }
        report.compare(count, seq - first_seq, || format!("events from {epoch}/{first_seq}"));
        if number(6)? == seq - 1 {
            let cursor = hash_of(row.get_ref(7).during(DOING)?)?;
            report.compare(cursor, hash.unwrap_or(cursor), || format!("hash at the cursor of epoch {epoch}"));
        }
        expected = hash.map(|hash| (stream_no, seq, hash));
    }
    Ok(())
}

fn names(connection: &Connection, query: &str) -> Result<BTreeMap<i64, String>, LedgerError> {
    let mut statement = connection.prepare(query).during(DOING)?;
    let rows = statement.query_map([], |row| <(i64, String)>::try_from(row));
    rows.during(DOING)?.collect::<rusqlite::Result<_>>().during(DOING)
}

fn union<'a, K: Ord, V>(a: &'a BTreeMap<K, V>, b: &'a BTreeMap<K, V>) -> std::collections::BTreeSet<&'a K> {
    a.keys().chain(b.keys()).collect()
}

impl VerifyReport {
    fn compare<T: PartialEq + Display>(&mut self, held: T, computed: T, what: impl FnOnce() -> String) {
        self.counters += 1;
        if held != computed {
            self.differ(&what(), &held, &computed);
        }
    }

    fn differ(&mut self, what: &str, held: &dyn Display, computed: &dyn Display) {
        self.differences_total += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            let (what, held, computed) = (what.to_owned(), held.to_string(), computed.to_string());
            self.differences.push(Difference { what, held, computed });
        }
    }
}
