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
    let doing = "read event";
    let query = "SELECT first_event_no, events, frame_skip, frame FROM batches WHERE first_event_no <= ?1
        ORDER BY first_event_no DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query).during(doing)?;
    let found = statement.query_row([event_no], |row| <(i64, i64, i64, Vec<u8>)>::try_from(row)).optional();
    let Some((first_event_no, events, skip, frame)) = found.during(doing)? else { return Ok(None) };
    let offset = event_no - first_event_no;
    if offset >= events {
        return Ok(None);
    }
    let mut batch = open(&frame)?;
    let index = usize::try_from(skip + offset).ok().filter(|index| *index < batch.events.len());
    let index = index.ok_or(LedgerError::Damaged { what: "frame" })?;
    Ok(Some(batch.events.swap_remove(index).into_vec()))
}
