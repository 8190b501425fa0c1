//! Whether the books balance. Every counter, column and hash is computed again from the events and compared with what
//! the ledger holds. It reads one state of the database, however long it takes, and keeps the counters in memory: some
//! hundred bytes for each store, business date and item.

mod counter;
mod fixed;
mod page;

use std::collections::BTreeMap;
use std::fmt::Display;

use pos_model::{BusinessDate, ChainHash, Epoch};
use protocol::latest::{EventBody, SaleCompleted, decode_event};

use self::counter::Counter;
pub(super) use self::counter::CounterRows;
use self::fixed::Fixed;
pub(super) use self::page::Parked;
use self::page::{BatchHead, Page};
use crate::ledger::LedgerError;
use crate::ledger::books::{DIFFERENCES_MAX, Difference, VerifyReport};
use crate::ledger::database::{Database, KeptHashes, Row};

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

pub(super) fn verify<D: Database>(database: &D) -> Result<VerifyReport, LedgerError> {
    database.prepare_walk();
    database.snapshot(DOING, |database| {
        let mut report = VerifyReport::default();
        let fixed = Fixed::read(database)?;
        let computed = walk_batches(database, &fixed, &mut report)?;
        compare_totals(database, &computed, &mut report)?;
        compare_used(database, &computed, &mut report)?;
        compare_stores(database, &computed, &mut report)?;
        computed.counter.compare(database, &mut report)?;
        compare_cursors(database, &computed, &mut report)?;
        fixed.compare(database, &mut report)?;
        Ok(report)
    })
}

/// Opens every frame: follows the hash chains from message to message, compares the columns of the sales with what
/// their events say, and sums up.
fn walk_batches<D: Database>(database: &D, fixed: &Fixed, report: &mut VerifyReport) -> Result<Computed, LedgerError> {
    let mut computed = Computed::default();
    let parked = Parked::read(database)?;
    let mut behind = 0;
    while let Some(page) = Page::read(database, behind)? {
        for batch in &page.batches {
            computed.batch::<D>(&page, (&parked, fixed), batch, report);
        }
        behind = page.last_first_event_no();
    }
    fixed.add_beside(database, &parked, &mut computed, report)?;
    fixed::parked_receipts(database, &mut computed)?;
    Ok(computed)
}

impl Computed {
    fn batch<D: Database>(
        &mut self,
        page: &Page,
        (parked, fixed): (&Parked, &Fixed),
        head: &BatchHead,
        report: &mut VerifyReport,
    ) {
        let BatchHead { first_event_no, stream_no, store_no, first_seq, count, epoch, .. } = *head;
        let held = head.batch.events.get(head.skip..).unwrap_or_default();
        report.compare(i128::from(count), held.len() as i128, || format!("events from {epoch}/{first_seq}"));
        // The frame says what stood before it; the batch before must have ended there.
        let skipped = head.batch.events.iter().take(head.skip);
        let mut hash = skipped.fold(head.batch.prev_hash, |hash, bytes| hash.then(bytes));
        let before = match self.ends.get(&stream_no) {
            Some((seq, hash)) if *seq + 1 == first_seq => Some(*hash),
            _ if first_seq == 1 => Some(head.base_hash),
            // Behind a loss the event before never arrived.
            _ => None,
        };
        report.compare(before.unwrap_or(hash), hash, || format!("hash before event {epoch}/{first_seq}"));
        for (((event_no, seq), bytes), left) in (first_event_no..).zip(first_seq..).zip(held).zip((0..held.len()).rev())
        {
            hash = hash.then(bytes);
            report.events += 1;
            if D::DIALECT.kept_hashes == KeptHashes::Each || left == 0 {
                let stored = page.hashes.get(&event_no).copied().unwrap_or(ChainHash::GENESIS);
                report.compare(stored, hash, || format!("hash of event {epoch}/{seq}"));
            }
            let Ok(event) = decode_event(fixed.content(event_no, bytes, report)) else { continue };
            self.event(page, parked, (event_no, store_no, stream_no), &event.body, report);
        }
        // A message that a store has sent again lies behind later ones.
        let end = (first_seq + count - 1, hash);
        if self.ends.get(&stream_no).is_none_or(|(seq, _)| *seq < end.0) {
            self.ends.insert(stream_no, end);
        }
    }

    /// Compares an event's rows with what it says, and adds it up if it is applied.
    fn event(
        &mut self,
        page: &Page,
        parked: &Parked,
        (event_no, store_no, stream_no): (i64, i64, i64),
        body: &EventBody,
        report: &mut VerifyReport,
    ) {
        if let EventBody::SaleCompleted(sale) = body {
            if page.compare_sale(event_no, sale, report) {
                report.sales += 1;
                self.add(store_no, stream_no, sale);
            }
        } else if page.counter.compare(parked, event_no, body, report) {
            self.counter.add(store_no, stream_no, body, &mut self.used);
        }
    }

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

fn compare_totals<D: Database>(
    database: &D,
    computed: &Computed,
    report: &mut VerifyReport,
) -> Result<(), LedgerError> {
    let query =
        "SELECT store_no, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor
        FROM day_totals";
    let mut held = BTreeMap::new();
    database.query(DOING, query, &[], &mut |row| {
        let number = |column: usize| row.number(column).map(i128::from);
        let totals = Totals {
            sales: number(3)?,
            lines: number(4)?,
            quantity_micro: number(5)?,
            gross_minor: number(6)?,
            tax_minor: number(7)?,
            net_minor: number(8)?,
        };
        held.insert((row.number(0)?, row.small(1)?, row.text(2)?), totals);
        Ok(())
    })?;
    let stores = names(database, "SELECT store_no, store_id FROM stores")?;
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

/// The rows of a counter of stock: of a stream, business date and item.
fn stock<D: Database>(database: &D, query: &str) -> Result<BTreeMap<(i64, i32, String), i128>, LedgerError> {
    let mut held = BTreeMap::new();
    database.query(DOING, query, &[], &mut |row| {
        held.insert((row.number(0)?, row.small(1)?, row.text(2)?), i128::from(row.number(3)?));
        Ok(())
    })?;
    Ok(held)
}

fn compare_used<D: Database>(database: &D, computed: &Computed, report: &mut VerifyReport) -> Result<(), LedgerError> {
    let held = stock(database, "SELECT stream_no, business_date, item_id, used_micro FROM stock_used")?;
    let mut streams = BTreeMap::new();
    let query = "SELECT stream_no, store_id, epoch FROM streams JOIN stores USING (store_no)";
    database.query(DOING, query, &[], &mut |row| {
        streams.insert(row.number(0)?, format!("{} in epoch {}", row.text(1)?, Epoch::from_sql(row.number(2)?)));
        Ok(())
    })?;
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

fn compare_stores<D: Database>(
    database: &D,
    computed: &Computed,
    report: &mut VerifyReport,
) -> Result<(), LedgerError> {
    let query = "SELECT store_no, store_id, applied_sales FROM store_state JOIN stores USING (store_no)";
    database.query(DOING, query, &[], &mut |row| {
        let (store_no, store, held) = (row.number(0)?, row.text(1)?, row.number(2)?);
        let computed = computed.sales_of_store.get(&store_no).copied().unwrap_or_default();
        report.compare(i128::from(held), computed, || format!("applied sales of store {store}"));
        Ok(())
    })
}

/// The cursor stands where the history ends, unless what lies between was lost.
fn compare_cursors<D: Database>(
    database: &D,
    computed: &Computed,
    report: &mut VerifyReport,
) -> Result<(), LedgerError> {
    let query = "SELECT stream_no, epoch, applied_seq, applied_hash, EXISTS (SELECT 1 FROM losses
            WHERE losses.stream_no = streams.stream_no AND to_seq = applied_seq) FROM streams";
    database.query(DOING, query, &[], &mut |row| {
        let (stream_no, epoch, applied) = (row.number(0)?, Epoch::from_sql(row.number(1)?), row.number(2)?);
        let hash = row.hash(3)?;
        if row.is(4)? {
            return Ok(());
        }
        let (seq, end) = computed.ends.get(&stream_no).copied().unwrap_or((0, hash));
        report.compare(applied, seq, || format!("cursor of epoch {epoch}"));
        report.compare(hash, end, || format!("hash at the cursor of epoch {epoch}"));
        Ok(())
    })
}

fn names<D: Database>(database: &D, query: &str) -> Result<BTreeMap<i64, String>, LedgerError> {
    let names = database.all(DOING, query, &[], |row| Ok((row.number(0)?, row.text(1)?)))?;
    Ok(names.into_iter().collect())
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
