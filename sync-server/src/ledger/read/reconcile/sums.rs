//! What the events of a date move beside their rows, and by how much the ledger's sums miss it.
//!
//! Sums are put right by what they miss and not by setting them: a sale of the same date may come in between the look and
//! the repair, and moves both alike.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, Currency};
use protocol::digest::date_of;
use protocol::latest::{EventBody, decode_event};

use super::DOING;
use super::walk::Walked;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::group::{Direction, GivenNumbers, NumberKind, RefundTotals, Totals, direction};
use crate::ledger::{BATCH_EVENTS_MAX, LedgerError};

/// What a date comes to, by currency.
pub(super) type DaySums = BTreeMap<Currency, (Totals, RefundTotals)>;

/// A counter of stock: direction, stream and item.
pub(super) type StockKey = (Direction, i64, String);

/// What events move.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) sums: DaySums,
    pub(super) stock: BTreeMap<StockKey, i64>,
    /// Numbers of receipts and of Z reports with their events, by till.
    pub(super) numbers: BTreeMap<(NumberKind, String), Vec<(i64, i64)>>,
}

impl Moved {
    /// What the events move that are not parked.
    pub(super) fn by(walked: &Walked, date: BusinessDate) -> Self {
        let mut moved = Self::default();
        moved.add_all(walked, date);
        moved
    }

    /// Adds what events move that are not parked. Says which of them are sales and refunds of the date.
    pub(super) fn add_all(&mut self, walked: &Walked, date: BusinessDate) -> Vec<i64> {
        let mut facts = Vec::new();
        for seen in walked.events.iter().filter(|seen| !walked.parked.contains(&seen.event_no)) {
            let Ok(event) = seen.counts() else { continue };
            self.add(seen.stream_no, seen.event_no, &event.body, date);
            let is_fact = matches!(event.body, EventBody::SaleCompleted(_) | EventBody::RefundCompleted(_));
            if is_fact && date_of(&event.body) == Some(date) {
                facts.push(seen.event_no);
            }
        }
        facts
    }

    /// Adds what people have put in the place of events beside the histories that were looked at: it counts in the same sums,
    /// and is in no message. Says which numbers it has.
    pub(super) fn add_beside<D: Database>(
        &mut self,
        database: &D,
        store_no: i64,
        walked: &Walked,
        date: BusinessDate,
    ) -> Result<Vec<i64>, LedgerError> {
        let query = "SELECT event_no, stream_no, bytes FROM superseding WHERE store_no = ?1 AND is_beside";
        let mut numbers = Vec::new();
        database.query(DOING, query, cells![store_no], &mut |row| {
            let (event_no, stream_no) = (row.number(0)?, row.number(1)?);
            if walked.streams.contains(&stream_no)
                && let Ok(event) = decode_event(row.bytes(2)?)
            {
                self.add(stream_no, event_no, &event.body, date);
                numbers.push(event_no);
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    fn add(&mut self, stream_no: i64, event_no: i64, body: &EventBody, date: BusinessDate) {
        match body {
            EventBody::SaleCompleted(sale) if sale.business_date == date => {
                let sums = &mut self.sums.entry(sale.currency).or_default().0;
                sums.sales += 1;
                plus(&mut sums.lines, i64::try_from(sale.lines.len()).unwrap_or(i64::MAX));
                plus(&mut sums.quantity_micro, sale.totals.quantity.micro());
                plus(&mut sums.gross_minor, sale.totals.gross_minor.minor());
                plus(&mut sums.tax_minor, sale.totals.tax_minor.minor());
                plus(&mut sums.net_minor, sale.totals.net_minor.minor());
                for used in sale.lines.iter().flat_map(|line| &line.consumption) {
                    self.stock(Direction::Used, stream_no, used.item_id.as_str(), used.quantity.micro());
                }
                self.number(NumberKind::Receipt, sale.till_id.as_str(), sale.receipt_no, event_no);
            }
            EventBody::RefundCompleted(refund) if refund.business_date == date => {
                let sums = &mut self.sums.entry(refund.currency).or_default().1;
                sums.refunds += 1;
                plus(&mut sums.gross_minor, refund.totals.gross_minor.minor());
                plus(&mut sums.tax_minor, refund.totals.tax_minor.minor());
                for back in refund.lines.iter().flat_map(|line| &line.restocked) {
                    self.stock(Direction::Added, stream_no, back.item_id.as_str(), back.quantity.micro());
                }
                self.number(NumberKind::Receipt, refund.till_id.as_str(), refund.receipt_no, event_no);
            }
            EventBody::StockMoved(moved) if moved.business_date == date => {
                let Some((_, direction)) = direction(moved.kind) else { return };
                for item in &moved.items {
                    self.stock(direction, stream_no, item.item_id.as_str(), item.quantity.micro());
                }
            }
            EventBody::ShiftClosed(closed) => {
                self.number(NumberKind::Z, closed.report.till_id.as_str(), closed.report.z_no, event_no);
            }
            _ => {}
        }
    }

    fn stock(&mut self, direction: Direction, stream_no: i64, item: &str, micro: i64) {
        plus(self.stock.entry((direction, stream_no, item.to_owned())).or_default(), micro);
    }

    fn number(&mut self, kind: NumberKind, till: &str, number: u64, event_no: i64) {
        if let Ok(number) = i64::try_from(number) {
            self.numbers.entry((kind, till.to_owned())).or_default().push((number, event_no));
        }
    }
}

/// Adds; a sum that leaves 64 bits was refused before it was written, so none is lost here.
fn plus(sum: &mut i64, more: i64) {
    *sum = sum.wrapping_add(more);
}

/// The sums as they are kept.
pub(super) fn kept<D: Database>(database: &D, store_no: i64, date: BusinessDate) -> Result<DaySums, LedgerError> {
    let query = "SELECT currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor, refunds,
            refund_gross_minor, refund_tax_minor FROM day_totals WHERE store_no = ?1 AND business_date = ?2";
    let rows = database.all(DOING, query, cells![store_no, date.days()], |row| {
        let sales = Totals {
            sales: row.number(1)?,
            lines: row.number(2)?,
            quantity_micro: row.number(3)?,
            gross_minor: row.number(4)?,
            tax_minor: row.number(5)?,
            net_minor: row.number(6)?,
        };
        let refunds = RefundTotals { refunds: row.number(7)?, gross_minor: row.number(8)?, tax_minor: row.number(9)? };
        Ok((row.text(0)?, (sales, refunds)))
    })?;
    Ok(rows.into_iter().filter_map(|(currency, sums)| Some((currency.parse().ok()?, sums))).collect())
}

/// Adds the sales and refunds of the date that the ledger holds beside the events that were looked at, and says which
/// they are. It reads all sales of the month, or of the whole file: it is only asked where a sum is wrong.
pub(super) fn add_others<D: Database>(
    database: &D,
    store_no: i64,
    date: BusinessDate,
    seen: &BTreeSet<i64>,
    sums: &mut DaySums,
) -> Result<Vec<i64>, LedgerError> {
    let mut others = Vec::new();
    let values = cells![store_no, date.days()];
    let query = "SELECT event_no, currency, lines, quantity_micro, gross_minor, tax_minor, net_minor FROM sales
        WHERE store_no = ?1 AND business_date = ?2";
    database.query(DOING, query, values, &mut |row| {
        let Ok(currency) = row.text(1)?.parse() else { return Ok(()) };
        let event_no = row.number(0)?;
        if !seen.contains(&event_no) {
            others.push(event_no);
            let sums = &mut sums.entry(currency).or_default().0;
            sums.sales += 1;
            plus(&mut sums.lines, row.number(2)?);
            plus(&mut sums.quantity_micro, row.number(3)?);
            plus(&mut sums.gross_minor, row.number(4)?);
            plus(&mut sums.tax_minor, row.number(5)?);
            plus(&mut sums.net_minor, row.number(6)?);
        }
        Ok(())
    })?;
    let query = "SELECT event_no, currency, gross_minor, tax_minor FROM refunds
        WHERE store_no = ?1 AND business_date = ?2";
    database.query(DOING, query, values, &mut |row| {
        let Ok(currency) = row.text(1)?.parse() else { return Ok(()) };
        let event_no = row.number(0)?;
        if !seen.contains(&event_no) {
            others.push(event_no);
            let sums = &mut sums.entry(currency).or_default().1;
            sums.refunds += 1;
            plus(&mut sums.gross_minor, row.number(2)?);
            plus(&mut sums.tax_minor, row.number(3)?);
        }
        Ok(())
    })?;
    Ok(others)
}

/// How many of these events came before a moment; at most the first two thousand are looked at.
pub(super) fn came_before<D: Database>(database: &D, events: &[i64], at_ms: i64) -> Result<i64, LedgerError> {
    let query = "SELECT received_at_ms FROM batches WHERE first_event_no <= ?1 AND first_event_no > ?2
        ORDER BY first_event_no DESC LIMIT 1";
    let most = i64::try_from(BATCH_EVENTS_MAX).unwrap_or(i64::MAX);
    let mut count = 0;
    for event_no in events.iter().take(2_000) {
        // What a person has put in the place of an event is of no store.
        let fixed = "SELECT 1 FROM superseding WHERE event_no = ?1";
        if database.first(DOING, fixed, cells![*event_no], |row| row.number(0))?.is_some() {
            continue;
        }
        let values = cells![*event_no, event_no.saturating_sub(most)];
        let came_at_ms = database.first(DOING, query, values, |row| row.number(0))?;
        count += i64::from(came_at_ms.is_none_or(|came_at_ms| came_at_ms < at_ms));
    }
    Ok(count)
}

/// What is missing in sums that are kept, by currency; only where something is.
pub(super) fn missing(wanted: &DaySums, kept: &DaySums) -> Vec<(Currency, Totals, RefundTotals)> {
    let currencies: BTreeSet<Currency> = wanted.keys().chain(kept.keys()).copied().collect();
    let differences = currencies.into_iter().map(|currency| {
        let (wanted, kept) = (wanted.get(&currency), kept.get(&currency));
        let ((sales, refunds), (held, held_refunds)) =
            (wanted.copied().unwrap_or_default(), kept.copied().unwrap_or_default());
        let sales = Totals {
            sales: sales.sales.wrapping_sub(held.sales),
            lines: sales.lines.wrapping_sub(held.lines),
            quantity_micro: sales.quantity_micro.wrapping_sub(held.quantity_micro),
            gross_minor: sales.gross_minor.wrapping_sub(held.gross_minor),
            tax_minor: sales.tax_minor.wrapping_sub(held.tax_minor),
            net_minor: sales.net_minor.wrapping_sub(held.net_minor),
        };
        let refunds = RefundTotals {
            refunds: refunds.refunds.wrapping_sub(held_refunds.refunds),
            gross_minor: refunds.gross_minor.wrapping_sub(held_refunds.gross_minor),
            tax_minor: refunds.tax_minor.wrapping_sub(held_refunds.tax_minor),
        };
        (currency, sales, refunds)
    });
    differences
        .filter(|(_, sales, refunds)| *sales != Totals::default() || *refunds != RefundTotals::default())
        .collect()
}

/// What is missing in the counters of stock of the streams.
pub(super) fn missing_stock<D: Database>(
    database: &D,
    streams: &BTreeSet<i64>,
    date: BusinessDate,
    wanted: &BTreeMap<StockKey, i64>,
) -> Result<Vec<(StockKey, i64)>, LedgerError> {
    let mut missing = wanted.clone();
    for stream_no in streams {
        for (direction, query) in [
            (Direction::Used, "SELECT item_id, used_micro FROM stock_used WHERE stream_no = ?1 AND business_date = ?2"),
            (
                Direction::Added,
                "SELECT item_id, added_micro FROM stock_added WHERE stream_no = ?1 AND business_date = ?2",
            ),
        ] {
            database.query(DOING, query, cells![*stream_no, date.days()], &mut |row| {
                let micro = missing.entry((direction, *stream_no, row.text(0)?)).or_default();
                *micro = micro.wrapping_sub(row.number(1)?);
                Ok(())
            })?;
        }
    }
    Ok(missing.into_iter().filter(|(_, micro)| *micro != 0).collect())
}

/// Numbers of tills that lie in no run.
pub(super) fn missing_numbers<D: Database>(
    database: &D,
    store_no: i64,
    given: &BTreeMap<(NumberKind, String), Vec<(i64, i64)>>,
) -> Result<GivenNumbers, LedgerError> {
    let mut missing = given.clone();
    for (kind, query) in [
        (NumberKind::Receipt, "SELECT till_id, first_no, last_no FROM receipt_runs WHERE store_no = ?1"),
        (NumberKind::Z, "SELECT till_id, first_no, last_no FROM z_runs WHERE store_no = ?1"),
    ] {
        database.query(DOING, query, cells![store_no], &mut |row| {
            let run = row.number(1)?..=row.number(2)?;
            if let Some(numbers) = missing.get_mut(&(kind, row.text(0)?)) {
                numbers.retain(|(number, _)| !run.contains(number));
            }
            Ok(())
        })?;
    }
    Ok(missing.into_iter().filter(|(_, numbers)| !numbers.is_empty()).collect())
}
