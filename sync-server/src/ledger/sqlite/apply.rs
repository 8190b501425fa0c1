//! A group of messages as one database transaction.
//!
//! Order of events: the group is tried at full speed, with the effects of all its messages gathered and written once at
//! the end. If the content of some message breaks a rule of the database there, the transaction is taken back and the
//! group is done again carefully: message by message under savepoints, and a batch that still fails event by event, so
//! that only the guilty event is parked. A failure of the database itself ends either way at once.

use std::collections::{HashMap, HashSet};

use pos_model::StoreId;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use sync_core::server::Outcome;

use super::effects::Effects;
use super::fault::{During, Fault};
use super::rows::Rows;
use crate::ledger::{Job, LedgerError, Message};

/// What one transaction works with.
pub(super) struct Group<'c, 'g> {
    pub(super) connection: &'c Connection,
    pub(super) rows: Rows<'c>,
    pub(super) effects: Effects<'g>,
    pub(super) now_ms: i64,
    pub(super) next_event_no: i64,
    pub(super) care: Care,
    /// Stores that have refunds of which the sale is not applied: each sale of these is looked up among them.
    pub(super) stores_waiting: HashSet<i64>,
    /// Reused for the JSON of tenders and options.
    pub(super) text: String,
}

/// How a group is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Effects are written once, at the end.
    FullSpeed,
    /// Each message under a savepoint of its own, with its effects.
    Messages,
    /// Each event under a savepoint of its own, with its effects.
    Events,
}

pub(super) fn apply(connection: &mut Connection, group: &[Job], now_ms: i64) -> Result<Vec<Outcome>, LedgerError> {
    match attempt(connection, group, now_ms, Care::FullSpeed) {
        Ok(outcomes) => Ok(outcomes),
        Err(Fault::Database(error)) => Err(error),
        Err(Fault::Content(detail)) => {
            tracing::warn!(detail, "group does not fit the ledger at once and is done message by message");
            attempt(connection, group, now_ms, Care::Messages).map_err(|fault| match fault {
                Fault::Database(error) => error,
                // Parking writes rows that no content can make invalid.
                Fault::Content(_) => LedgerError::Damaged { what: "schema: a parked event was refused" },
            })
        }
    }
}

fn attempt(connection: &mut Connection, jobs: &[Job], now_ms: i64, care: Care) -> Result<Vec<Outcome>, Fault> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate).during("begin group")?;
    let outcomes = {
        let mut group = Group::begin(&transaction, now_ms, care)?;
        let stores = store_numbers(&mut group.rows, jobs, now_ms)?;
        let outcomes = jobs.iter().map(|job| {
            let store_no = stores.get(&job.store).copied().expect("every store of the group was numbered");
            group.message(store_no, &job.message)
        });
        let outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
        group.write_effects()?;
        outcomes
    };
    transaction.commit().during("commit group")?;
    Ok(outcomes)
}

/// The numbers of the group's stores. A store that the ledger has never heard of gets one: whoever let its message in
/// knows it, and a sale is a fact.
fn store_numbers<'g>(rows: &mut Rows<'_>, jobs: &'g [Job], now_ms: i64) -> Result<HashMap<&'g StoreId, i64>, Fault> {
    let mut stores = HashMap::new();
    for job in jobs {
        if !stores.contains_key(&job.store) {
            stores.insert(&job.store, rows.store_no(&job.store, now_ms)?);
        }
    }
    Ok(stores)
}

impl<'c, 'g> Group<'c, 'g> {
    pub(super) fn begin(connection: &'c Connection, now_ms: i64, care: Care) -> Result<Self, Fault> {
        let mut rows = Rows::prepare(connection)?;
        let next_event_no = rows.next_event_no()?;
        let stores_waiting = rows.stores_waiting()?;
        let (effects, text) = (Effects::default(), String::new());
        Ok(Self { connection, rows, effects, now_ms, next_event_no, care, stores_waiting, text })
    }

    fn message(&mut self, store_no: i64, message: &'g Message) -> Result<Outcome, Fault> {
        if self.care == Care::FullSpeed {
            return self.one(store_no, message);
        }
        match self.in_savepoint(|group| group.one(store_no, message)) {
            Err(Fault::Content(_)) if matches!(message, Message::Batch(_)) => {
                self.care = Care::Events;
                let outcome = self.one(store_no, message);
                self.care = Care::Messages;
                outcome
            }
            // Nothing of it was noted. The store hears nothing, and asks again.
            Err(Fault::Content(_)) => Ok(Outcome::Noted),
            outcome => outcome,
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
    pub(super) fn in_savepoint<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let next_event_no = self.next_event_no;
        self.connection.execute_batch("SAVEPOINT step").during("open savepoint")?;
        let done = work(self).and_then(|done| self.write_effects().map(|()| done));
        if done.is_err() {
            self.effects = Effects::default();
            self.next_event_no = next_event_no;
            self.connection.execute_batch("ROLLBACK TO step").during("roll back to savepoint")?;
        }
        self.connection.execute_batch("RELEASE step").during("release savepoint")?;
        done
    }

    /// Writes what the messages so far have gathered.
    pub(super) fn write_effects(&mut self) -> Result<(), Fault> {
        let mut effects = std::mem::take(&mut self.effects);
        effects.write(&mut self.rows)?;
        effects.counter.write(self.connection, &mut self.stores_waiting)
    }
}
