//! The frames in which events' bytes are kept, opened again.

use pos_model::{ChainHash, Seq};
use protocol::envelope::open_uplink;
use protocol::latest::{Batch, Uplink};

use crate::ledger::database::{AnyRow, Database, Row, cells};
use crate::ledger::{BATCH_EVENTS_MAX, LedgerError};

/// A message that is held, and what of it is in the ledger: event `first_event_no + n` is number `first_seq + n` of the
/// stream, and stands at place `skip + n` in the message.
#[derive(Debug)]
pub(in crate::ledger) struct HeldBatch {
    pub(in crate::ledger) first_event_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) first_seq: Seq,
    pub(in crate::ledger) received_at_ms: i64,
    skip: usize,
    events: usize,
    batch: Batch,
}

impl HeldBatch {
    /// The bytes of an event, if the message brought it.
    pub(in crate::ledger) fn bytes(&self, event_no: i64) -> Option<&[u8]> {
        let offset = self.offset(event_no)?;
        self.batch.events.get(self.skip.checked_add(offset)?).map(|bytes| bytes.as_slice())
    }

    /// The number of an event in its epoch.
    pub(in crate::ledger) fn seq(&self, event_no: i64) -> Option<Seq> {
        self.offset(event_no).map(|offset| self.first_seq.plus(offset as u64))
    }

    /// The hash of the history up to an event.
    pub(in crate::ledger) fn hash(&self, event_no: i64) -> Option<ChainHash> {
        let through = self.skip.checked_add(self.offset(event_no)?)?;
        let events = self.batch.events.get(..=through)?;
        Some(events.iter().fold(self.batch.prev_hash, |hash, bytes| hash.then(bytes)))
    }

    /// The hash of the history before the first event that the message brought.
    pub(in crate::ledger) fn hash_before(&self) -> ChainHash {
        self.batch.events.iter().take(self.skip).fold(self.batch.prev_hash, |hash, bytes| hash.then(bytes))
    }

    /// The hash of the history up to a number of the stream, if the message brought it.
    pub(in crate::ledger) fn hash_at_seq(&self, seq: Seq) -> Option<ChainHash> {
        let offset = i64::try_from(seq.get().checked_sub(self.first_seq.get())?).ok()?;
        self.hash(self.first_event_no.checked_add(offset)?)
    }

    /// Number, place in the stream, and bytes of each event that the message brought.
    pub(in crate::ledger) fn each(&self) -> impl Iterator<Item = (i64, Seq, &[u8])> {
        let events = self.batch.events.iter().skip(self.skip).take(self.events);
        (self.first_event_no..)
            .zip(events)
            .zip(0..)
            .map(|((event_no, bytes), offset)| (event_no, self.first_seq.plus(offset), bytes.as_slice()))
    }

    fn offset(&self, event_no: i64) -> Option<usize> {
        let offset = usize::try_from(event_no.checked_sub(self.first_event_no)?).ok()?;
        (offset < self.events).then_some(offset)
    }
}

/// Opens a frame. It was opened before it was kept, so it can be.
pub(in crate::ledger) fn open(frame: &[u8]) -> Result<Batch, LedgerError> {
    match open_uplink(frame) {
        Ok((_, Uplink::Batch(batch))) => Ok(batch),
        Ok(_) | Err(_) => Err(LedgerError::Damaged { what: "frame" }),
    }
}

/// The message that brought an event; none if the event is not held.
pub(in crate::ledger) fn holding<D: Database>(database: &D, event_no: i64) -> Result<Option<HeldBatch>, LedgerError> {
    // A message has no more events than this, so the look never goes far.
    let from = event_no.saturating_sub(i64::try_from(BATCH_EVENTS_MAX).unwrap_or(i64::MAX));
    let query = "SELECT first_event_no, events, frame_skip, frame, received_at_ms, stream_no, first_seq FROM batches
        WHERE first_event_no > ?1 AND first_event_no <= ?2 ORDER BY first_event_no DESC LIMIT 1";
    let found = database.first("read event", query, cells![from, event_no], |row| {
        let damaged = || LedgerError::Damaged { what: "frame" };
        Ok(HeldBatch {
            first_event_no: row.number(0)?,
            events: usize::try_from(row.number(1)?).map_err(|_| damaged())?,
            skip: usize::try_from(row.number(2)?).map_err(|_| damaged())?,
            batch: open(row.bytes(3)?)?,
            received_at_ms: row.number(4)?,
            stream_no: row.number(5)?,
            first_seq: Seq::from_sql(row.number(6)?),
        })
    })?;
    Ok(found.filter(|held| held.offset(event_no).is_some()))
}

/// The message that brought a number of a stream; none if it is not held, or cannot be read.
pub(in crate::ledger) fn at<D: Database>(
    database: &D,
    stream_no: i64,
    seq: Seq,
) -> Result<Option<HeldBatch>, LedgerError> {
    let query = "SELECT first_event_no FROM batches WHERE stream_no = ?1 AND first_seq <= ?2
        ORDER BY first_seq DESC LIMIT 1";
    let found = database.first("find batch", query, cells![stream_no, seq.to_sql()], |row| row.number(0))?;
    let Some(first_event_no) = found else { return Ok(None) };
    match holding(database, first_event_no) {
        Ok(held) => Ok(held.filter(|held| held.hash_at_seq(seq).is_some())),
        Err(LedgerError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of an event that counts, if it is held: that of its message, unless a person has put other content in its
/// place.
pub(in crate::ledger) fn event_bytes<D: Database>(database: &D, event_no: i64) -> Result<Option<Vec<u8>>, LedgerError> {
    if let Some(fixed) = superseding(database, event_no)? {
        return Ok(Some(fixed.bytes));
    }
    let Some(held) = holding(database, event_no)? else { return Ok(None) };
    let bytes = held.bytes(event_no).ok_or(LedgerError::Damaged { what: "frame" })?;
    Ok(Some(bytes.to_vec()))
}

/// What counts in the place of a parked event.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Superseding {
    pub(in crate::ledger) event_no: i64,
    pub(in crate::ledger) parked_no: i64,
    pub(in crate::ledger) store_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) hash: ChainHash,
    pub(in crate::ledger) fixed_at_ms: i64,
    /// Whether the original lies beside the followed history, so that no message holds this event.
    pub(in crate::ledger) is_beside: bool,
    /// The bytes as they came.
    pub(in crate::ledger) original: Vec<u8>,
    /// The bytes that count.
    pub(in crate::ledger) bytes: Vec<u8>,
}

/// The columns that [`superseding_row`] reads.
pub(in crate::ledger) const SUPERSEDING: &str =
    "SELECT event_no, parked_no, superseding.store_no, stream_no, seq, superseding.hash, fixed_at_ms, is_beside, original, bytes
    FROM superseding";

pub(in crate::ledger) fn superseding_row(row: &AnyRow<'_>) -> Result<Superseding, LedgerError> {
    Ok(Superseding {
        event_no: row.number(0)?,
        parked_no: row.number(1)?,
        store_no: row.number(2)?,
        stream_no: row.number(3)?,
        seq: Seq::from_sql(row.number(4)?),
        hash: row.hash(5)?,
        fixed_at_ms: row.number(6)?,
        is_beside: row.is(7)?,
        original: row.bytes(8)?.to_vec(),
        bytes: row.bytes(9)?.to_vec(),
    })
}

/// What counts in the place of an event, if a person has fixed it.
pub(in crate::ledger) fn superseding<D: Database>(
    database: &D,
    event_no: i64,
) -> Result<Option<Superseding>, LedgerError> {
    let query = format!("{SUPERSEDING} WHERE event_no = ?1");
    database.first("read a fixed event", &query, cells![event_no], superseding_row)
}
