//! Events that were parked because an older program did not know their kind, applied by one that does.
//!
//! - Only those that have a place in the followed history: the cursor has passed them once, so each is here once.
//! - A step is one database transaction. The event's rows, its effects and its way out of the parked events move together,
//!   so whoever ends the program between two steps or within one finds each event either parked or applied.
//! - In order of the events' numbers, in which they came.

use pos_model::{Epoch, Seq};
use protocol::latest::{Batch, decode_event};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::apply::{Care, Group};
use super::fault::{During, Fault, read_all};
use super::frames;
use super::record::{DOES_NOT_FIT, Place, Received, Refusal};
use super::rows::hash_of;
use crate::ledger::{LedgerError, ParkedStep};

/// Events in one step: a transaction of some milliseconds.
const STEP_EVENTS: usize = 500;

const DOING: &str = "apply parked events";

/// How much of a detail is kept, as when an event is parked.
const DETAIL_CHARS_MAX: usize = 400;

struct Waiting {
    parked_no: i64,
    place: Place,
    received: Received,
}

/// Looks at the next events behind number `after` that are parked as of an unknown kind.
pub(super) fn apply(connection: &mut Connection, after: i64, now_ms: i64) -> Result<ParkedStep, LedgerError> {
    match attempt(connection, after, now_ms, Care::FullSpeed) {
        Ok(step) => Ok(step),
        Err(Fault::Database(error)) => Err(error),
        Err(Fault::Content(detail)) => {
            tracing::warn!(detail, "parked events do not fit the ledger at once and are applied one by one");
            attempt(connection, after, now_ms, Care::Events).map_err(|fault| match fault {
                Fault::Database(error) => error,
                Fault::Content(_) => LedgerError::Damaged { what: "schema: a parked event was refused" },
            })
        }
    }
}

fn attempt(connection: &mut Connection, after: i64, now_ms: i64, care: Care) -> Result<ParkedStep, Fault> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate).during(DOING)?;
    let waiting = next(&transaction, after)?;
    let mut step = ParkedStep { looked_at: waiting.len(), applied: 0, next: None };
    if waiting.len() == STEP_EVENTS {
        step.next = waiting.last().map(|last| last.place.event_no);
    }
    if !waiting.is_empty() {
        let mut group = Group::begin(&transaction, now_ms, care)?;
        for one in &waiting {
            step.applied += usize::from(group.unpark(one)?);
        }
        group.write_effects()?;
    }
    transaction.commit().during(DOING)?;
    Ok(step)
}

fn next(connection: &Connection, after: i64) -> Result<Vec<Waiting>, Fault> {
    let query = "SELECT parked_no, event_no, parked.store_no, stream_no, epoch, seq, hash
        FROM parked CROSS JOIN streams USING (stream_no)
        WHERE reason = 'unknown_kind' AND event_no > ?1 ORDER BY event_no LIMIT ?2";
    let mut statement = connection.prepare_cached(query).during(DOING)?;
    let limit = i64::try_from(STEP_EVENTS).unwrap_or(i64::MAX);
    let mut frame = Frame::default();
    let waiting = read_all(&mut statement, params![after, limit], DOING, |row| {
        let event_no = row.get(1).during(DOING)?;
        let place = Place {
            event_no,
            store_no: row.get(2).during(DOING)?,
            stream_no: row.get(3).during(DOING)?,
            epoch: Epoch::from_sql(row.get(4).during(DOING)?),
            seq: Seq::from_sql(row.get(5).during(DOING)?),
            hash: hash_of(row.get_ref(6).during(DOING)?)?,
        };
        let received = decode_event(frame.event(connection, event_no)?);
        Ok(Waiting { parked_no: row.get(0).during(DOING)?, place, received })
    })?;
    Ok(waiting)
}

/// The frame that was opened last: events that came in one message are asked for one after the other.
#[derive(Default)]
struct Frame {
    first_event_no: i64,
    skip: usize,
    batch: Option<Batch>,
}

impl Frame {
    fn event(&mut self, connection: &Connection, event_no: i64) -> Result<&[u8], LedgerError> {
        if self.bytes(event_no).is_none() {
            let (first_event_no, skip, batch) =
                frames::holding(connection, event_no)?.ok_or(LedgerError::Damaged { what: "parked event" })?;
            *self = Self { first_event_no, skip, batch: Some(batch) };
        }
        self.bytes(event_no).ok_or(LedgerError::Damaged { what: "frame" })
    }

    fn bytes(&self, event_no: i64) -> Option<&[u8]> {
        let offset = usize::try_from(event_no.checked_sub(self.first_event_no)?).ok()?;
        self.batch.as_ref()?.events.get(self.skip + offset).map(|bytes| bytes.as_slice())
    }
}

impl<'g> Group<'_, 'g> {
    /// Applies a parked event, or leaves it parked with the reason that this program has; says which.
    fn unpark(&mut self, waiting: &'g Waiting) -> Result<bool, Fault> {
        if self.care != Care::Events {
            return self.enact_parked(waiting);
        }
        match self.in_savepoint(|group| group.enact_parked(waiting)) {
            Err(Fault::Content(detail)) => {
                self.keep_parked(waiting, &(DOES_NOT_FIT, detail))?;
                Ok(false)
            }
            applied => applied,
        }
    }

    fn enact_parked(&mut self, waiting: &'g Waiting) -> Result<bool, Fault> {
        if let Some(refusal) = self.enact(waiting.place, &waiting.received)? {
            self.keep_parked(waiting, &refusal)?;
            return Ok(false);
        }
        let sql =
            "INSERT INTO parked_applied SELECT parked_no, store_no, event_no, parked_at_ms, reason, ?2 FROM parked
            WHERE parked_no = ?1";
        let mut note = self.connection.prepare_cached(sql).during(DOING)?;
        note.execute(params![waiting.parked_no, self.now_ms]).during(DOING)?;
        let mut delete = self.connection.prepare_cached("DELETE FROM parked WHERE parked_no = ?1").during(DOING)?;
        delete.execute([waiting.parked_no]).during(DOING)?;
        self.effects.unparked(waiting.place.store_no);
        Ok(true)
    }

    fn keep_parked(&mut self, waiting: &Waiting, (reason, detail): &Refusal) -> Result<(), Fault> {
        let detail: String = detail.chars().take(DETAIL_CHARS_MAX).collect();
        let sql = "UPDATE parked SET reason = ?2, detail = ?3
            WHERE parked_no = ?1 AND (reason <> ?2 OR detail <> ?3)";
        let mut update = self.connection.prepare_cached(sql).during(DOING)?;
        update.execute(params![waiting.parked_no, reason, detail]).during(DOING)?;
        self.receipt_of_parked(waiting.place.store_no, &waiting.received)
    }
}
