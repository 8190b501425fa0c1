//! Parked events, tried again: as a newer program starts that knows their kind, or because somebody asks for it.
//!
//! - A step is one database transaction. The event's rows, its effects and its way out of the parked events move together,
//!   so whoever ends the program between two steps or within one finds each event either parked or applied.
//! - In order of their numbers, in which they came.
//! - Only those that have a place in the followed history can be applied as they came: the cursor has passed them once, so
//!   each is here once. What lies beside it stays parked, until somebody fixes it.

use protocol::latest::{Mark, decode_event};

use super::batch::FORK;
use super::numbers::ParkedNumber;
use super::parked_rows::{self, Act};
use super::record::{DOES_NOT_FIT, Place, Received, Refusal, kept_detail, kind_of};
use super::tables::Tables;
use super::{Care, Group};
use crate::ledger::fault::Fault;
use crate::ledger::parking::{ActionKind, Note, ParkedFilter, ParkedState};
use crate::ledger::read::parked::{self, ParkedHeld};
use crate::ledger::{LedgerError, ParkedStep};

/// Events in one step: a transaction of some milliseconds.
pub(super) const STEP_EVENTS: u32 = 500;

struct Waiting {
    held: ParkedHeld,
    received: Received,
}

/// The next parked events that are to be tried, decoded by this program.
pub(in crate::ledger) struct Step {
    waiting: Vec<Waiting>,
    step: ParkedStep,
    note: Option<Note>,
}

impl ParkedHeld {
    /// Where it stands, if it has a place in the followed history.
    fn place(&self) -> Option<Place> {
        self.event_no.map(|event_no| self.place_as(event_no))
    }

    /// Where it stands under a number.
    pub(super) fn place_as(&self, event_no: i64) -> Place {
        let Self { store_no, stream_no, epoch, seq, hash, .. } = *self;
        Place { event_no, store_no, stream_no, epoch, seq, hash }
    }
}

impl Step {
    /// Looks at the next ones that a filter picks, of those that count neither as they came nor fixed. Without a note it is
    /// the program itself that tries.
    pub(in crate::ledger) fn next<'g, T: Tables<'g>>(
        tables: &mut T,
        filter: &ParkedFilter,
        note: Option<&Note>,
    ) -> Result<Self, Fault> {
        let database = tables.access()?;
        let filter = ParkedFilter { limit: STEP_EVENTS, ..filter.clone() };
        let found = parked::select(&database, &filter)?;
        let mut step = ParkedStep { looked_at: 0, applied: 0, next: None };
        if found.len() == STEP_EVENTS as usize {
            step.next = found.last().map(|last| last.parked_no);
        }
        let mut waiting = Vec::with_capacity(found.len());
        let mut message = None;
        for held in found.into_iter().filter(|held| held.state != ParkedState::Fixed) {
            match held.bytes(&database, &mut message) {
                Ok(bytes) => waiting.push(Waiting { held, received: decode_event(&bytes) }),
                // It waits until its store has sent it again. Nobody else waits for it.
                Err(LedgerError::Damaged { what }) => {
                    tracing::warn!(parked_no = held.parked_no, what, "the bytes of a parked event are not held");
                }
                Err(error) => return Err(error.into()),
            }
        }
        step.looked_at = waiting.len();
        Ok(Self { waiting, step, note: note.cloned() })
    }

    /// The stores whose events these are.
    pub(in crate::ledger) fn stores(&self) -> impl Iterator<Item = i64> {
        self.waiting.iter().map(|one| one.held.store_no)
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
                step.applied += usize::from(group.unpark(one, self.note.as_ref())?);
            }
            group.write_effects()?;
            tables.flush()?;
        }
        Ok(step)
    }
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    /// Applies a parked event, or leaves it parked with the reason that this program has; says which.
    fn unpark(&mut self, waiting: &'g Waiting, note: Option<&Note>) -> Result<bool, Fault> {
        if self.care != Care::Events {
            return self.enact_parked(waiting, note);
        }
        match self.in_savepoint(|group| group.enact_parked(waiting, note)) {
            Err(Fault::Content(detail)) => {
                self.keep_parked(waiting, Some((DOES_NOT_FIT, detail)), note)?;
                Ok(false)
            }
            applied => applied,
        }
    }

    fn enact_parked(&mut self, waiting: &'g Waiting, note: Option<&Note>) -> Result<bool, Fault> {
        let held = &waiting.held;
        let Some(place) = held.place() else {
            self.keep_parked(waiting, None, note)?;
            return Ok(false);
        };
        self.given.clone_from(&held.given);
        let refusal = self.enact(place, &waiting.received);
        self.given = None;
        if let Some(refusal) = refusal? {
            self.keep_parked(waiting, Some(refusal), note)?;
            return Ok(false);
        }
        self.count_as_applied(held);
        self.roll_up_anew(place, &waiting.received)?;
        let (now_ms, database) = (self.now_ms, self.tables.access()?);
        parked_rows::leave(&database, held.parked_no, now_ms)?;
        act(&database, held, ActionKind::Applied, (&held.reason, &held.detail), note, now_ms)?;
        Ok(true)
    }

    /// Leaves an event parked and open: for the reason that there is now, or for its old one.
    fn keep_parked(
        &mut self,
        waiting: &'g Waiting,
        refusal: Option<Refusal>,
        note: Option<&Note>,
    ) -> Result<(), Fault> {
        let held = &waiting.held;
        let (reason, detail) = match &refusal {
            Some((reason, detail)) => (*reason, kept_detail(detail)),
            None => (held.reason.as_str(), held.detail.clone()),
        };
        if held.state == ParkedState::Waived {
            self.count_as_open(held.store_no, &held.reason, 1);
        }
        let (now_ms, database) = (self.now_ms, self.tables.access()?);
        parked_rows::keep(&database, held.parked_no, reason, &detail, kind_of(&waiting.received))?;
        act(&database, held, ActionKind::Tried, (reason, &detail), note, now_ms)?;
        drop(database);
        if held.given.is_some() {
            return Ok(());
        }
        let mark = Mark { seq: held.seq, hash: held.hash };
        let event_no = held.event_no.unwrap_or(self.next_event_no);
        let place = ParkedNumber { number: 0, event_no, stream_no: held.stream_no, mark };
        self.receipt_of_parked(held.store_no, place, &waiting.received)
    }

    /// Moves the counts of a store by events that are open among the parked ones for this reason, or are not any more.
    pub(super) fn count_as_open(&mut self, store_no: i64, reason: &str, more: i64) {
        let counts = self.effects.counts(store_no);
        if reason == FORK.reason {
            counts.forked += more;
        } else {
            counts.parked += more;
            counts.taken += more;
        }
    }

    /// Moves the counts of a store by a parked event that counts.
    pub(super) fn count_as_applied(&mut self, held: &ParkedHeld) {
        if held.state == ParkedState::Open {
            self.count_as_open(held.store_no, &held.reason, -1);
        }
        let counts = self.effects.counts(held.store_no);
        counts.events += 1;
        counts.taken += 1;
    }
}

/// Notes what somebody did; what the program does by itself, the rows say without it.
fn act(
    database: &impl crate::ledger::database::Database,
    held: &ParkedHeld,
    what: ActionKind,
    (reason, detail): (&str, &str),
    note: Option<&Note>,
    at_ms: i64,
) -> Result<(), LedgerError> {
    let Some(note) = note else { return Ok(()) };
    parked_rows::act(database, &Act { parked_no: held.parked_no, at_ms, what, note, reason, detail, bytes: None })
}
