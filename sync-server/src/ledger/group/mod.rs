//! A group of messages as one database transaction.
//!
//! Order of events: the group is tried at full speed, with the effects of all its messages gathered and written once at
//! the end. If the content of some message breaks a rule of the database there, the transaction is taken back and the
//! group is done again carefully: halves of its messages under savepoints, and halves of those that fail, down to the
//! guilty message; then in the same way its events, so that only the guilty event is parked. What one of them costs the
//! others grows with the logarithm of the group. A failure of the database itself ends either way at once.

mod amounts;
mod batch;
mod counter;
mod effects;
mod fix;
mod hello;
mod numbers;
mod parked;
mod parked_rows;
mod record;
mod repair;
mod roll_up;
mod tables;

use std::collections::{HashMap, HashSet};

use pos_model::StoreId;
use sync_core::server::Outcome;

use self::effects::Effects;
use super::fault::Fault;
use super::{Job, LedgerError, Message};

pub(super) use self::counter::direction;
pub(super) use self::fix::{Fix, waive};
pub(super) use self::parked::Step;
pub(super) use self::parked_rows::{Sealed, hash_of};
pub(super) use self::record::UNKNOWN_KIND;
pub use self::repair::{Repair, RestoreRefused, Restored};
pub(super) use self::repair::{repair, restore};
pub(super) use self::tables::{
    BatchRow, DayKey, Direction, FactKind, FactPlace, GivenNumbers, HealthNote, KnownHead, NumberKind, ParkedRow,
    RefundTotals, Refunded, SaleRow, Sold, StoreCounts, StreamRow, Table, Tables, Totals,
};

/// What one transaction works with.
struct Group<'t, 'g, T> {
    tables: &'t mut T,
    effects: Effects<'g>,
    now_ms: i64,
    next_event_no: i64,
    care: Care,
    /// The till and the receipt number that the event at work has given already, when it was parked.
    given: Option<(String, i64)>,
    /// Stores that have refunds of which the sale is not applied: each sale of these is looked up among them.
    stores_waiting: HashSet<i64>,
}

/// How a group is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Effects are written once, at the end.
    FullSpeed,
    /// Messages under savepoints, with their effects, as many together as fit.
    Messages,
    /// Events under savepoints, with their effects, as many together as fit.
    Events,
}

/// Tries a group at full speed, and with care if its content does not fit. Each attempt is a database transaction.
pub(super) fn carefully<T>(mut attempt: impl FnMut(Care) -> Result<T, Fault>) -> Result<T, LedgerError> {
    match attempt(Care::FullSpeed) {
        Ok(done) => Ok(done),
        Err(Fault::Database(error)) => Err(error),
        Err(Fault::Content(detail)) => {
            tracing::warn!(detail, "group does not fit the ledger at once and is done in parts");
            attempt(Care::Messages).map_err(|fault| match fault {
                Fault::Database(error) => error,
                // Parking writes rows that no content can make invalid.
                Fault::Content(_) => LedgerError::Damaged { what: "schema: a parked event was refused" },
            })
        }
    }
}

/// The outcome of work of which no content is at fault any more.
pub(super) fn sound<T>(done: Result<T, Fault>) -> Result<T, LedgerError> {
    done.map_err(|fault| match fault {
        Fault::Database(error) => error,
        Fault::Content(_) => LedgerError::Damaged { what: "schema: a row about a parked event was refused" },
    })
}

/// Applies the messages within a database transaction, and says what became of each, in order.
pub(super) fn apply<'g, T: Tables<'g>>(
    tables: &mut T,
    jobs: &'g [Job],
    now_ms: i64,
    care: Care,
) -> Result<Vec<Outcome>, Fault> {
    let stores = store_numbers(tables, jobs, now_ms)?;
    let mut group = Group::begin(tables, now_ms, care)?;
    let messages: Vec<_> = jobs
        .iter()
        .map(|job| {
            let store_no = stores.get(&job.store).copied().expect("every store of the group was numbered");
            (store_no, &job.message)
        })
        .collect();
    let mut outcomes = Vec::with_capacity(jobs.len());
    match care {
        Care::FullSpeed => group.messages(&messages, &mut outcomes)?,
        // All of them at once have just been tried.
        Care::Messages | Care::Events => {
            let (first, second) = messages.split_at(messages.len() / 2);
            group.messages_carefully(first, &mut outcomes)?;
            group.messages_carefully(second, &mut outcomes)?;
        }
    }
    group.write_effects()?;
    tables.flush()?;
    Ok(outcomes)
}

/// The numbers of the group's stores. A store that the ledger has never heard of gets one: whoever let its message in
/// knows it, and a sale is a fact.
fn store_numbers<'g, T: Tables<'g>>(
    tables: &mut T,
    jobs: &'g [Job],
    now_ms: i64,
) -> Result<HashMap<&'g StoreId, i64>, Fault> {
    let mut stores = HashMap::new();
    for job in jobs {
        if !stores.contains_key(&job.store) {
            stores.insert(&job.store, tables.store_no(&job.store, now_ms)?);
        }
    }
    Ok(stores)
}

impl<'t, 'g, T: Tables<'g>> Group<'t, 'g, T> {
    fn begin(tables: &'t mut T, now_ms: i64, care: Care) -> Result<Self, Fault> {
        let next_event_no = tables.next_event_no()?;
        let stores_waiting = tables.stores_waiting()?;
        Ok(Self { tables, effects: Effects::default(), now_ms, next_event_no, care, given: None, stores_waiting })
    }

    fn messages(&mut self, messages: &[(i64, &'g Message)], outcomes: &mut Vec<Outcome>) -> Result<(), Fault> {
        for &(store_no, message) in messages {
            outcomes.push(self.one(store_no, message)?);
        }
        Ok(())
    }

    /// The same for messages among which some do not fit, in halves down to the single message.
    fn messages_carefully(
        &mut self,
        messages: &[(i64, &'g Message)],
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Fault> {
        if messages.is_empty() {
            return Ok(());
        }
        let done_before = outcomes.len();
        match (self.in_savepoint(|group| group.messages(messages, outcomes)), messages) {
            (Err(Fault::Content(_)), &[(store_no, message)]) => {
                outcomes.truncate(done_before);
                if matches!(message, Message::Batch(_)) {
                    self.care = Care::Events;
                    let outcome = self.one(store_no, message);
                    self.care = Care::Messages;
                    outcomes.push(outcome?);
                } else {
                    // Nothing of it was noted. The store hears nothing, and asks again.
                    outcomes.push(Outcome::Noted);
                }
                Ok(())
            }
            (Err(Fault::Content(_)), messages) => {
                outcomes.truncate(done_before);
                let (first, second) = messages.split_at(messages.len() / 2);
                self.messages_carefully(first, outcomes)?;
                self.messages_carefully(second, outcomes)
            }
            (done, _) => done,
        }
    }

    fn one(&mut self, store_no: i64, message: &'g Message) -> Result<Outcome, Fault> {
        self.effects.contact(store_no, self.now_ms);
        match message {
            Message::Batch(batch) => self.batch(store_no, batch).map(Outcome::Batch),
            Message::Hello(hello) => self.hello(store_no, hello).map(Outcome::Hello),
            Message::Heartbeat(heartbeat) => self.health(store_no, &heartbeat.health, None).map(|()| Outcome::Noted),
        }
    }

    /// Does something with its effects, or nothing of it.
    fn in_savepoint<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R, Fault>) -> Result<R, Fault> {
        // What was gathered before is not the step's, and stays.
        self.write_effects()?;
        let next_event_no = self.next_event_no;
        self.tables.begin_step()?;
        let done = work(self).and_then(|done| self.write_effects().map(|()| done));
        let done = done.and_then(|done| self.tables.flush().map(|()| done));
        if done.is_err() {
            self.effects = Effects::default();
            self.next_event_no = next_event_no;
            self.tables.undo_step()?;
        }
        self.tables.end_step()?;
        done
    }

    /// Writes what the messages so far have gathered.
    fn write_effects(&mut self) -> Result<(), Fault> {
        let mut effects = std::mem::take(&mut self.effects);
        effects.write(self.tables)?;
        effects.counter.write(self.tables, &mut self.stores_waiting)
    }
}
