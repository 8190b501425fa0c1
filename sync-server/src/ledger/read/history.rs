//! Every applied sale again, from the events.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::StoreId;
use protocol::latest::{Event, EventBody, SaleCompleted, decode_event};

use super::frames;
use crate::ledger::LedgerError;
use crate::ledger::books::TotalsFilter;
use crate::ledger::database::{Database, Row, cells};

const DOING: &str = "read the sales";

/// Messages that are looked at together. Their frames are read one by one, and only where a sale is asked for.
const PAGE_BATCHES: i64 = 256;

/// Hands each sale to `each`, in the order in which they came. It reads one state of the database, however long it takes.
pub(super) fn each_sale<D: Database>(
    database: &D,
    filter: &TotalsFilter,
    each: &mut dyn FnMut(&StoreId, &SaleCompleted),
) -> Result<(), LedgerError> {
    database.prepare_walk();
    database.snapshot(DOING, |database| {
        let mut behind = 0;
        while let Some(last) = page(database, filter, behind, each)? {
            behind = last;
        }
        fixed_beside(database, filter, each)
    })
}

/// Sales that came beside a followed history and that a person has fixed: no message of that history holds them.
fn fixed_beside<D: Database>(
    database: &D,
    filter: &TotalsFilter,
    each: &mut dyn FnMut(&StoreId, &SaleCompleted),
) -> Result<(), LedgerError> {
    let query = "SELECT superseding.bytes, store_id FROM superseding JOIN stores USING (store_no)
        WHERE is_beside AND coalesce(store_id = ?1, true) ORDER BY event_no";
    let values = cells![filter.store.as_ref().map(StoreId::as_str)];
    database.query(DOING, query, values, &mut |row| {
        if let Ok(Event { body: EventBody::SaleCompleted(sale), .. }) = decode_event(row.bytes(0)?)
            && filter.from.is_none_or(|from| from <= sale.business_date)
            && filter.to.is_none_or(|to| sale.business_date <= to)
        {
            each(&row.store(1)?, &sale);
        }
        Ok(())
    })
}

/// Looks at the next messages behind an event number; says the number of the last of them.
fn page<D: Database>(
    database: &D,
    filter: &TotalsFilter,
    behind: i64,
    each: &mut dyn FnMut(&StoreId, &SaleCompleted),
) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT first_event_no, batches.events, store_id
        FROM batches JOIN streams USING (stream_no) JOIN stores USING (store_no)
        WHERE first_event_no > ?1 AND coalesce(store_id = ?2, true) ORDER BY first_event_no LIMIT ?3";
    let values = cells![behind, filter.store.as_ref().map(StoreId::as_str), PAGE_BATCHES];
    let batches = database.all(DOING, query, values, |row| Ok((row.number(0)?, row.number(1)?, row.store(2)?)))?;
    let (Some((first, ..)), Some((last, events, _))) = (batches.first(), batches.last()) else { return Ok(None) };
    let (first, last, end) = (*first, *last, last.saturating_add(*events));
    // Parked events have a number and no row among the sales.
    let (from, to) = (filter.from.map_or(DAYS.0, |date| date.days()), filter.to.map_or(DAYS.1, |date| date.days()));
    let query = "SELECT event_no FROM sales WHERE event_no BETWEEN ?1 AND ?2 AND business_date BETWEEN ?3 AND ?4";
    let applied = database.all(DOING, query, cells![first, end, from, to], |row| row.number(0))?;
    let applied: BTreeSet<i64> = applied.into_iter().collect();
    let query = "SELECT event_no, bytes FROM superseding WHERE event_no BETWEEN ?1 AND ?2";
    let fixed = database.all(DOING, query, cells![first, end], |row| Ok((row.number(0)?, row.bytes(1)?.to_vec())))?;
    let fixed: BTreeMap<i64, Vec<u8>> = fixed.into_iter().collect();
    for (first, events, store) in batches {
        let mut numbers = applied.range(first..first.saturating_add(events)).peekable();
        if numbers.peek().is_none() {
            continue;
        }
        // What retention has taken is not there to be read any more.
        let Some(batch) = frames::holding(database, first)? else { continue };
        for event_no in numbers {
            let bytes = fixed.get(event_no).map(Vec::as_slice).or_else(|| batch.bytes(*event_no));
            match bytes.map(decode_event).transpose() {
                Ok(Some(Event { body: EventBody::SaleCompleted(sale), .. })) => each(&store, &sale),
                Ok(_) | Err(_) => return Err(LedgerError::Damaged { what: "event of a sale" }),
            }
        }
    }
    Ok(Some(last))
}

/// Days since 1970 that lie before and behind all business dates, and that every database knows as dates.
const DAYS: (i32, i32) = (-2_000_000, 4_000_000);
