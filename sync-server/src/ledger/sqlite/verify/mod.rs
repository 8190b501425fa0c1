//! Whether the books balance. Every counter, column and hash is computed again from the events and compared with what
//! the ledger holds. It reads one state of the database, however long it takes, and keeps the counters in memory: some
//! hundred bytes for each store, business date and item.

mod counter;

use std::collections::BTreeMap;
use std::fmt::Display;

use pos_model::{BusinessDate, ChainHash, Epoch};
use protocol::latest::{EventBody, SaleCompleted, decode_event};
use rusqlite::{Connection, OptionalExtension, Statement};

use self::counter::{Counter, CounterWalker};
use super::fault::During;
use super::frames;
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
    /// Where each stream's history ends: its last number and the hash there.
    ends: BTreeMap<i64, (i64, ChainHash)>,
    counter: Counter,
}

const DOING: &str = "verify the books";

pub(super) fn verify(connection: &Connection) -> Result<VerifyReport, LedgerError> {
    let _snapshot = connection.unchecked_transaction().during(DOING)?;
    let mut report = VerifyReport::default();
    let computed = walk_batches(connection, &mut report)?;
    compare_totals(connection, &computed, &mut report)?;
    compare_used(connection, &computed, &mut report)?;
    compare_stores(connection, &computed, &mut report)?;
    computed.counter.compare(connection, &mut report)?;
    compare_cursors(connection, &computed, &mut report)?;
    Ok(report)
}

/// Opens every frame: follows the hash chains from message to message, compares the columns of the sales with what
/// their events say, and sums up.
fn walk_batches(connection: &Connection, report: &mut VerifyReport) -> Result<Computed, LedgerError> {
    let mut computed = Computed::default();
    let query =
        "SELECT first_event_no, stream_no, first_seq, batches.events, frame_skip, frame, epoch, base_hash, store_no
        FROM batches JOIN streams USING (stream_no) ORDER BY first_event_no";
    let mut batches = connection.prepare(query).during(DOING)?;
    let mut events = Walker::prepare(connection)?;
    let mut counter = CounterWalker::prepare(connection)?;
    let mut rows = batches.query([]).during(DOING)?;
    while let Some(row) = rows.next().during(DOING)? {
        let number = |column: usize| row.get::<_, i64>(column).during(DOING);
        let (first_event_no, stream_no, first_seq, count) = (number(0)?, number(1)?, number(2)?, number(3)?);
        let epoch = Epoch::from_sql(number(6)?);
        let frame = row.get_ref(5).during(DOING)?.as_blob().map_err(|_| LedgerError::Damaged { what: "frame" })?;
        let batch = frames::open(frame)?;
        let skip = usize::try_from(number(4)?).unwrap_or(usize::MAX);
        let held = batch.events.get(skip..).unwrap_or_default();
        report.compare(i128::from(count), held.len() as i128, || format!("events from {epoch}/{first_seq}"));
        // The frame says what stood before it; the batch before must have ended there.
        let mut hash = batch.events.iter().take(skip).fold(batch.prev_hash, |hash, bytes| hash.then(bytes));
        let before = match computed.ends.get(&stream_no) {
            Some((seq, hash)) if *seq + 1 == first_seq => Some(*hash),
            _ if first_seq == 1 => Some(hash_of(row.get_ref(7).during(DOING)?)?),
            // Behind a loss the event before never arrived.
            _ => None,
        };
        report.compare(before.unwrap_or(hash), hash, || format!("hash before event {epoch}/{first_seq}"));
        for ((event_no, seq), bytes) in (first_event_no..).zip(first_seq..).zip(held) {
            hash = hash.then(bytes);
            report.events += 1;
            let stored = events.hash(event_no)?;
            report.compare(stored.unwrap_or(ChainHash::GENESIS), hash, || format!("hash of event {epoch}/{seq}"));
            let Ok(event) = decode_event(bytes) else { continue };
            if let EventBody::SaleCompleted(sale) = &event.body {
                if events.compare_sale(event_no, sale, report)? {
                    report.sales += 1;
                    computed.add(number(8)?, stream_no, sale);
                }
            } else if counter.compare(event_no, &event.body, report)? {
                computed.counter.add(number(8)?, stream_no, &event.body, &mut computed.used);
            }
        }
        computed.ends.insert(stream_no, (first_seq + count - 1, hash));
    }
    Ok(computed)
}

/// Looks up what the tables hold of one event.
struct Walker<'c> {
    hash: Statement<'c>,
    sale: Statement<'c>,
    lines: Statement<'c>,
}

impl<'c> Walker<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, LedgerError> {
        let sale = "SELECT sale_id, gross_minor, tax_minor, net_minor, quantity_micro, lines, business_date
            FROM sales WHERE event_no = ?1";
        let lines = "SELECT gross_minor FROM sale_lines WHERE line_no BETWEEN ?1 * 1024 AND ?1 * 1024 + 1023";
        Ok(Self {
            hash: connection.prepare("SELECT hash FROM events WHERE event_no = ?1").during(DOING)?,
            sale: connection.prepare(sale).during(DOING)?,
            lines: connection.prepare(lines).during(DOING)?,
        })
    }

    fn hash(&mut self, event_no: i64) -> Result<Option<ChainHash>, LedgerError> {
        let found = self.hash.query_row([event_no], |row| row.get_ref(0).map(hash_of)).optional();
        found.during(DOING)?.transpose()
    }

    /// Compares a sale's columns; says whether the sale is in the tables. One that is parked is not.
    fn compare_sale(
        &mut self,
        event_no: i64,
        sale: &SaleCompleted,
        report: &mut VerifyReport,
    ) -> Result<bool, LedgerError> {
        let mut rows = self.sale.query([event_no]).during(DOING)?;
        let Some(row) = rows.next().during(DOING)? else { return Ok(false) };
        let number = |column: usize| row.get::<_, i64>(column).during(DOING).map(i128::from);
        let id = row.get_ref(0).during(DOING)?.as_blob().ok() == Some(sale.sale_id.as_bytes());
        let gross_of_lines: i128 = sale.lines.iter().map(|line| i128::from(line.gross_minor.minor())).sum();
        let lines = sale.lines.len() as i128;
        let what = |column: &str| format!("{column} of sale {}", sale.sale_id);
        report.compare(id, true, || what("id"));
        report.compare(number(1)?, i128::from(sale.totals.gross_minor.minor()), || what("gross_minor"));
        report.compare(number(2)?, i128::from(sale.totals.tax_minor.minor()), || what("tax_minor"));
        report.compare(number(3)?, i128::from(sale.totals.net_minor.minor()), || what("net_minor"));
        report.compare(number(4)?, i128::from(sale.totals.quantity.micro()), || what("quantity_micro"));
        report.compare(number(5)?, lines, || what("lines"));
        report.compare(number(6)?, i128::from(sale.business_date.days()), || what("business_date"));
        let (line_rows, gross_of_rows) = gross_of_line_rows(&mut self.lines, event_no)?;
        report.compare(line_rows, lines, || what("number of line rows"));
        report.compare(gross_of_rows, gross_of_lines, || what("gross_minor of the lines"));
        Ok(true)
    }
}

/// How many rows the lines of a sale have, and the sum of their gross.
fn gross_of_line_rows(statement: &mut Statement<'_>, event_no: i64) -> Result<(i128, i128), LedgerError> {
    let (mut count, mut sum) = (0, 0);
    let rows = statement.query_map([event_no], |row| row.get::<_, i64>(0)).during(DOING)?;
    for gross_minor in rows {
        count += 1;
        sum += i128::from(gross_minor.during(DOING)?);
    }
    Ok((count, sum))
}

impl Computed {
    fn add(&mut self, store_no: i64, stream_no: i64, sale: &SaleCompleted) {
        let date = sale.business_date.days();
        *self.sales_of_store.entry(store_no).or_default() += 1;
        self.counter.receipt(store_no, sale.till_id.as_str(), sale.receipt_no);
        let totals = self.totals.entry((store_no, date, sale.currency.to_string())).or_default();
        totals.sales += 1;
        totals.lines += sale.lines.len() as i128;
        totals.quantity_micro += i128::from(sale.totals.quantity.micro());
        totals.gross_minor += i128::from(sale.totals.gross_minor.minor());
        totals.tax_minor += i128::from(sale.totals.tax_minor.minor());
        totals.net_minor += i128::from(sale.totals.net_minor.minor());
        for consumption in sale.lines.iter().flat_map(|line| &line.consumption) {
            let used = self.used.entry((stream_no, date, consumption.item_id.to_string())).or_default();
            *used += i128::from(consumption.quantity.micro());
        }
    }
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

/// The cursor stands where the history ends, unless what lies between was lost.
fn compare_cursors(connection: &Connection, computed: &Computed, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let query = "SELECT stream_no, epoch, applied_seq, applied_hash, EXISTS (SELECT 1 FROM losses
            WHERE losses.stream_no = streams.stream_no AND to_seq = applied_seq) FROM streams";
    let mut statement = connection.prepare(query).during(DOING)?;
    let mut rows = statement.query([]).during(DOING)?;
    while let Some(row) = rows.next().during(DOING)? {
        let stream_no: i64 = row.get(0).during(DOING)?;
        let epoch = Epoch::from_sql(row.get(1).during(DOING)?);
        let applied: i64 = row.get(2).during(DOING)?;
        let hash = hash_of(row.get_ref(3).during(DOING)?)?;
        if row.get(4).during(DOING)? {
            continue;
        }
        let (seq, end) = computed.ends.get(&stream_no).copied().unwrap_or((0, hash));
        report.compare(applied, seq, || format!("cursor of epoch {epoch}"));
        report.compare(hash, end, || format!("hash at the cursor of epoch {epoch}"));
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
