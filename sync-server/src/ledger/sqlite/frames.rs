//! The frames in which events' bytes are kept, opened again.

use protocol::envelope::open_uplink;
use protocol::latest::{Batch, Uplink};
use rusqlite::{Connection, OptionalExtension};

use super::fault::During;
use crate::ledger::LedgerError;

/// Opens a frame. It was opened before it was kept, so it can be.
pub(super) fn open(frame: &[u8]) -> Result<Batch, LedgerError> {
    match open_uplink(frame) {
        Ok((_, Uplink::Batch(batch))) => Ok(batch),
        Ok(_) | Err(_) => Err(LedgerError::Damaged { what: "frame" }),
    }
}

/// The bytes of an event, if it is held.
pub(super) fn event_bytes(connection: &Connection, event_no: i64) -> Result<Option<Vec<u8>>, LedgerError> {
    let Some((first_event_no, skip, mut batch)) = holding(connection, event_no)? else { return Ok(None) };
    let index = usize::try_from(event_no - first_event_no).ok().map(|offset| skip + offset);
    let index = index.filter(|index| *index < batch.events.len()).ok_or(LedgerError::Damaged { what: "frame" })?;
    Ok(Some(batch.events.swap_remove(index).into_vec()))
}

/// The message that brought an event, with the number of the first event that it brought and where that stands in it; none
/// if the event is not held.
pub(super) fn holding(connection: &Connection, event_no: i64) -> Result<Option<(i64, usize, Batch)>, LedgerError> {
    let doing = "read event";
    let query = "SELECT first_event_no, events, frame_skip, frame FROM batches WHERE first_event_no <= ?1
        ORDER BY first_event_no DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query).during(doing)?;
    let found = statement.query_row([event_no], |row| <(i64, i64, i64, Vec<u8>)>::try_from(row)).optional();
    let Some((first_event_no, events, skip, frame)) = found.during(doing)? else { return Ok(None) };
    if event_no - first_event_no >= events {
        return Ok(None);
    }
    let skip = usize::try_from(skip).map_err(|_| LedgerError::Damaged { what: "frame" })?;
    Ok(Some((first_event_no, skip, open(&frame)?)))
}
