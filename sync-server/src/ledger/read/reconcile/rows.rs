//! The rows that events have, compared with what the events say.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, Currency};
use protocol::digest::{FactKind, FactsDigest, HeaderRecord, LineRecord};
use protocol::latest::EventBody;

use super::DOING;
use super::walk::{Seen, Walked};
use crate::ledger::LedgerError;
use crate::ledger::books::VerifyReport;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::read::verify::{CounterRows, Parked};

/// Numbers of events that are read together although no event of the date lies between: fewer than a look costs.
const HOLE_MAX: i64 = 64;

/// The most numbers that are read together.
const WINDOW_MAX: i64 = 4_096;

/// What the tables hold of an event.
struct Held {
    id: [u8; 16],
    business_date: BusinessDate,
    digest: FactsDigest,
}

/// What the rows showed.
#[derive(Default)]
pub(super) struct Compared {
    /// Places in the list of events whose rows are not what the event says.
    pub(super) wrong: Vec<usize>,
    /// The sales and refunds of the date by their rows, and those that are parked.
    pub(super) ledger: FactsDigest,
}

/// Compares the rows of all events that were found.
pub(super) fn compare<D: Database>(database: &D, walked: &Walked, date: BusinessDate) -> Result<Compared, LedgerError> {
    let mut compared = Compared::default();
    let by_number: BTreeMap<i64, usize> =
        walked.events.iter().enumerate().map(|(index, seen)| (seen.event_no, index)).collect();
    let parked = Parked::of(walked.parked.clone());
    let mut numbers = by_number.keys().copied().peekable();
    while let Some(first) = numbers.next() {
        let mut last = first;
        while let Some(next) = numbers.next_if(|next| *next - last <= HOLE_MAX && *next - first < WINDOW_MAX) {
            last = next;
        }
        let window: Vec<(usize, &Seen)> =
            by_number.range(first..=last).map(|(_, index)| (*index, &walked.events[*index])).collect();
        compare_window(database, &window, (first, last), &parked, date, &mut compared)?;
    }
    compared.wrong.sort_unstable();
    Ok(compared)
}

fn compare_window<D: Database>(
    database: &D,
    window: &[(usize, &Seen)],
    (first, last): (i64, i64),
    parked: &Parked,
    date: BusinessDate,
    compared: &mut Compared,
) -> Result<(), LedgerError> {
    let wanted: BTreeSet<i64> = window.iter().map(|(_, seen)| seen.event_no).collect();
    let has = |is: &dyn Fn(&EventBody) -> bool| {
        window.iter().any(|(_, seen)| seen.counts().as_ref().is_ok_and(|event| is(&event.body)))
    };
    let mut held = BTreeMap::new();
    if has(&|body| matches!(body, EventBody::SaleCompleted(_))) {
        facts(database, FactKind::Sale, &wanted, (first, last), &mut held)?;
    }
    if has(&|body| matches!(body, EventBody::RefundCompleted(_))) {
        facts(database, FactKind::Refund, &wanted, (first, last), &mut held)?;
    }
    let others = has(&|body| !matches!(body, EventBody::SaleCompleted(_) | EventBody::EpochOpened(_)));
    let counter = if others { CounterRows::read(database, first, last)? } else { CounterRows::default() };
    // Of an event that a person has fixed the store holds the original.
    let is_fixed: BTreeSet<i64> =
        window.iter().filter(|(_, seen)| seen.fixed.is_some()).map(|(_, seen)| seen.event_no).collect();
    for (_, row) in held.iter().filter(|(event_no, row)| row.business_date == date && !is_fixed.contains(event_no)) {
        compared.ledger.merge(&row.digest);
    }
    for (index, seen) in window {
        let is_parked = parked.contains(seen.event_no);
        if (is_parked || seen.fixed.is_some())
            && let Ok(event) = &seen.received
            && protocol::digest::date_of(&event.body) == Some(date)
        {
            compared.ledger.event(&event.body);
        }
        if is_parked {
            continue;
        }
        let is_right = match seen.counts() {
            Err(_) => false,
            Ok(event) => match &event.body {
                EventBody::EpochOpened(_) => true,
                EventBody::SaleCompleted(_) | EventBody::RefundCompleted(_) => {
                    let mut said = FactsDigest::default();
                    said.event(&event.body);
                    held.get(&seen.event_no).is_some_and(|row| row.digest == said)
                }
                body => {
                    let mut report = VerifyReport::default();
                    counter.compare(parked, seen.event_no, body, &mut report);
                    report.differences_total == 0
                }
            },
        };
        if !is_right || !seen.has_hash {
            compared.wrong.push(*index);
        }
    }
    Ok(())
}

/// Reads headers and lines of sales or refunds.
fn facts<D: Database>(
    database: &D,
    kind: FactKind,
    wanted: &BTreeSet<i64>,
    (first, last): (i64, i64),
    held: &mut BTreeMap<i64, Held>,
) -> Result<(), LedgerError> {
    let (headers, lines) = match kind {
        FactKind::Sale => (
            "SELECT event_no, sale_id, business_date, sold_at_ms, till_id, receipt_no, currency, lines, quantity_micro,
                gross_minor, tax_minor, net_minor FROM sales WHERE event_no BETWEEN ?1 AND ?2",
            "SELECT line_no, sku, quantity_micro, gross_minor, tax_minor, unit_price_minor FROM sale_lines
            WHERE line_no BETWEEN ?1 AND ?2",
        ),
        FactKind::Refund => (
            "SELECT event_no, refund_id, business_date, refunded_at_ms, till_id, receipt_no, currency, lines,
                quantity_micro, gross_minor, tax_minor, net_minor FROM refunds WHERE event_no BETWEEN ?1 AND ?2",
            "SELECT line_no, sku, quantity_micro, gross_minor, tax_minor, sale_line FROM refund_lines
            WHERE line_no BETWEEN ?1 AND ?2",
        ),
    };
    database.query(DOING, headers, cells![first, last], &mut |row| {
        let event_no = row.number(0)?;
        if !wanted.contains(&event_no) {
            return Ok(());
        }
        let id = *row.id(1)?.as_bytes();
        let business_date = BusinessDate::from_days(row.number(2)?);
        let till_id = row.text(4)?;
        let mut digest = FactsDigest::default();
        // A currency that is none was changed by hand, as was a number below zero: the row then differs.
        if let Ok(currency) = row.text(6)?.parse::<Currency>() {
            let count = |column| Ok::<_, LedgerError>(u64::try_from(row.number(column)?).unwrap_or(u64::MAX));
            digest.header(&HeaderRecord {
                kind,
                id: &id,
                business_date,
                at_ms: row.number(3)?,
                till_id: &till_id,
                receipt_no: count(5)?,
                currency,
                lines: count(7)?,
                quantity_micro: row.number(8)?,
                gross_minor: row.number(9)?,
                tax_minor: row.number(10)?,
                net_minor: row.number(11)?,
            });
        }
        match held.entry(event_no) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Held { id, business_date, digest });
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().digest.merge(&digest),
        }
        Ok(())
    })?;
    let between = cells![first.saturating_mul(1024), last.saturating_mul(1024).saturating_add(1023)];
    database.query(DOING, lines, between, &mut |row| {
        let line_no = row.number(0)?;
        let Some(held) = held.get_mut(&line_no.div_euclid(1024)) else { return Ok(()) };
        let sku = row.text(1)?;
        held.digest.line(&LineRecord {
            kind,
            id: &held.id,
            position: u64::try_from(line_no.rem_euclid(1024)).unwrap_or(u64::MAX),
            sku: &sku,
            quantity_micro: row.number(2)?,
            gross_minor: row.number(3)?,
            tax_minor: row.number(4)?,
            reference: row.number(5)?,
        });
        Ok(())
    })
}
