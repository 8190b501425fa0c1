//! Events that were parked because an older program did not know their kind, applied by one that does.
//!
//! - Only those that have a place in the followed history: the cursor has passed them once, so each is here once.
//! - A step is one database transaction. The event's rows, its effects and its way out of the parked events move together,
//!   so whoever ends the program between two steps or within one finds each event either parked or applied.
//! - In order of the events' numbers, in which they came.

use protocol::latest::decode_event;

use super::record::{DOES_NOT_FIT, Place, Received, Refusal, kept_detail};
use super::tables::{Tables, WaitingRow};
use super::{Care, Group};
use crate::ledger::fault::Fault;
use crate::ledger::read::frames::HeldBatch;
use crate::ledger::{LedgerError, ParkedStep};

/// Events in one step: a transaction of some milliseconds.
const STEP_EVENTS: usize = 500;

struct Waiting {
    parked_no: i64,
    place: Place,
    received: Received,
}

/// The next events that are parked as of an unknown kind, decoded by this program.
pub(in crate::ledger) struct Step {
    waiting: Vec<Waiting>,
    step: ParkedStep,
}

impl Step {
    /// Looks at those behind number `after`.
    pub(in crate::ledger) fn next<'g, T: Tables<'g>>(tables: &mut T, after: i64) -> Result<Self, Fault> {
        let rows = tables.waiting(after, STEP_EVENTS)?;
        let mut step = ParkedStep { looked_at: rows.len(), applied: 0, next: None };
        if rows.len() == STEP_EVENTS {
            step.next = rows.last().map(|last| last.event_no);
        }
        let mut waiting = Vec::with_capacity(rows.len());
        // Events that came in one message are asked for one after the other.
        let mut message: Option<HeldBatch> = None;
        for row in rows {
            let WaitingRow { parked_no, event_no, store_no, stream_no, epoch, seq, hash } = row;
            let place = Place { event_no, store_no, stream_no, epoch, seq, hash };
            if message.as_ref().is_none_or(|message| message.bytes(event_no).is_none()) {
                message = tables.holding(event_no)?;
            }
            let bytes = message.as_ref().and_then(|message| message.bytes(event_no));
            let bytes = bytes.ok_or(LedgerError::Damaged { what: "parked event" })?;
            waiting.push(Waiting { parked_no, place, received: decode_event(bytes) });
        }
        Ok(Self { waiting, step })
    }

    /// The stores whose events these are.
    pub(in crate::ledger) fn stores(&self) -> impl Iterator<Item = i64> {
        self.waiting.iter().map(|one| one.place.store_no)
    }

    /// Applies them within a database transaction.
    pub(in crate::ledger) fn apply<'g, T: Tables<'g>>(
        &'g self,
        tables: &mut T,
        now_ms: i64,
        care: Care,
    ) -> Result<ParkedStep, Fault> {
        // A step that is undone takes one event back, not a message.
        let care = if care == Care::FullSpeed { care } else { Care::Events };
        let mut step = self.step;
        if !self.waiting.is_empty() {
            let mut group = Group::begin(tables, now_ms, care)?;
            for one in &self.waiting {
                step.applied += usize::from(group.unpark(one)?);
            }
            group.write_effects()?;
            tables.flush()?;
        }
        Ok(step)
    }
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
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
        self.tables.unpark(waiting.parked_no, self.now_ms)?;
        self.roll_up_anew(waiting.place, &waiting.received)?;
        self.effects.unparked(waiting.place.store_no);
        Ok(true)
    }

    fn keep_parked(&mut self, waiting: &Waiting, (reason, detail): &Refusal) -> Result<(), Fault> {
        self.tables.keep_parked(waiting.parked_no, reason, &kept_detail(detail))?;
        self.receipt_of_parked(waiting.place.store_no, &waiting.received)
    }
}
