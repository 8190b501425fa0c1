//! Every applied sale again, from the events.

use std::collections::BTreeSet;

use pos_model::StoreId;
use protocol::latest::{Event, EventBody, SaleCompleted, decode_event};
use rusqlite::Connection;

use super::fault::During;
use super::frames;
use crate::ledger::LedgerError;
use crate::ledger::books::TotalsFilter;

const DOING: &str = "read the sales";

/// Hands each sale to `each`, in the order in which they came. It reads one state of the database, however long it takes.
pub(super) fn each_sale(
    connection: &Connection,
    filter: &TotalsFilter,
    each: &mut dyn FnMut(&StoreId, &SaleCompleted),
) -> Result<(), LedgerError> {
    let _snapshot = connection.unchecked_transaction().during(DOING)?;
    let query = "SELECT first_event_no, batches.events, frame_skip, frame, store_id
        FROM batches JOIN streams USING (stream_no) JOIN stores USING (store_no)
        WHERE ifnull(store_id = ?1, true) ORDER BY first_event_no";
    let mut batches = connection.prepare(query).during(DOING)?;
    // Parked events have a number and no row among the sales.
    let mut applied = connection
        .prepare("SELECT event_no FROM sales WHERE event_no BETWEEN ?1 AND ?2 AND business_date BETWEEN ?3 AND ?4")
        .during(DOING)?;
    let (from, to) = (filter.from.map_or(i32::MIN, |date| date.days()), filter.to.map_or(i32::MAX, |date| date.days()));
    let mut rows = batches.query([filter.store.as_ref().map(StoreId::as_str)]).during(DOING)?;
    while let Some(row) = rows.next().during(DOING)? {
        let number = |column: usize| row.get::<_, i64>(column).during(DOING);
        let (first, count) = (number(0)?, number(1)?);
        let last = first.saturating_add(count).saturating_sub(1);
        let numbers: BTreeSet<i64> = applied
            .query_map((first, last, from, to), |row| row.get(0))
            .during(DOING)?
            .collect::<Result<_, _>>()
            .during(DOING)?;
        if numbers.is_empty() {
            continue;
        }
        let store: String = row.get(4).during(DOING)?;
        let store = StoreId::new(store).map_err(|_| LedgerError::Damaged { what: "store id" })?;
        let frame = row.get_ref(3).during(DOING)?.as_blob().map_err(|_| LedgerError::Damaged { what: "frame" })?;
        let batch = frames::open(frame)?;
        let skip = usize::try_from(number(2)?).unwrap_or(usize::MAX);
        let events = batch.events.get(skip..).ok_or(LedgerError::Damaged { what: "frame" })?;
        for event_no in numbers {
            let bytes = usize::try_from(event_no - first).ok().and_then(|place| events.get(place));
            match bytes.map(|bytes| decode_event(bytes)).transpose() {
                Ok(Some(Event { body: EventBody::SaleCompleted(sale), .. })) => each(&store, &sale),
                Ok(_) | Err(_) => return Err(LedgerError::Damaged { what: "event of a sale" }),
            }
        }
    }
    Ok(())
}
