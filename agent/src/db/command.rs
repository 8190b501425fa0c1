//! Commands that are carried out once.
//!
//! A till makes an id for what it wants, keeps it, and sends it as often as it must. The first time the command is carried
//! out and its answer is kept, in one database transaction; every other time the kept answer is given. A command that was
//! refused has left nothing behind, so the same command may succeed later.

use pos_model::{CommandId, EventId, Stamp};
use protocol::latest::local_api::Change;
use protocol::latest::{Event, EventBody};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{Doing, Error};
use super::sale::CommandDigest;
use super::store::{Durability, Head, Store};

/// Which command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandKey {
    /// Made by the till.
    pub id: CommandId,
    /// What it says: the same id with another digest is another command.
    pub digest: CommandDigest,
}

impl CommandKey {
    /// Refuses an id that no till can have made as it should: one of version 7 has a time and chance in it, and no other command
    /// has it. The same id sent twice is one command, so an id that is empty or counted up would make the second one vanish.
    pub fn check_made_by_till(id: Uuid) -> Result<(), Refused> {
        if id.get_version_num() == 7 {
            return Ok(());
        }
        let text = format!("id {id} is no UUID of version 7; a till makes a new one for each command");
        Err(Refused::rule("command.id_version", text))
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It has been carried out.
    New(T),
    /// It was carried out before; this is what was answered then.
    Replayed(T),
    /// Another command has been carried out under this id.
    Conflict,
    /// It breaks a rule. Nothing of it has happened.
    Refused(Refused),
}

/// A rule that a command breaks, in the words of the one whose rule it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// What kind of refusal it is.
    pub kind: RefusedAs,
    /// The key under which a screen finds its own words.
    pub message_key: &'static str,
    /// In words.
    pub text: String,
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAs {
    /// What it is about does not exist here.
    Unknown,
    /// Another command came first: look again, and decide anew.
    Overtaken,
    /// A rule forbids it.
    Rule,
    /// Who asks may not do this; somebody else may.
    NotAllowed,
}

impl Refused {
    /// A rule forbids it.
    pub fn rule(message_key: &'static str, text: impl ToString) -> Self {
        Self { kind: RefusedAs::Rule, message_key, text: text.to_string() }
    }

    /// What it is about does not exist here.
    pub fn unknown(message_key: &'static str, text: impl ToString) -> Self {
        Self { kind: RefusedAs::Unknown, message_key, text: text.to_string() }
    }

    /// Another command came first.
    pub fn overtaken(message_key: &'static str, text: impl ToString) -> Self {
        Self { kind: RefusedAs::Overtaken, message_key, text: text.to_string() }
    }

    /// Who asks may not do this.
    pub fn not_allowed(message_key: &'static str, text: impl ToString) -> Self {
        Self { kind: RefusedAs::NotAllowed, message_key, text: text.to_string() }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// When something is recorded, and the ids of the events that it becomes.
#[derive(Debug)]
pub struct Moment {
    at: Stamp,
    next: EventId,
    /// The command that is being carried out, where there is one.
    command: Option<CommandId>,
}

impl Moment {
    /// A moment, and a random id of version 7 from which the ids of its events are counted.
    pub const fn new(at: Stamp, seed: EventId) -> Self {
        Self { at, next: seed, command: None }
    }

    /// When it is.
    pub const fn at(&self) -> Stamp {
        self.at
    }

    /// Says which command is being carried out: what an approval was used for shows by it.
    pub(super) const fn carries_out(&mut self, command: CommandId) {
        self.command = Some(command);
    }

    /// The command that is being carried out; none if it is the agent's own doing.
    pub(super) const fn command(&self) -> Option<CommandId> {
        self.command
    }

    /// An id that no other event has.
    pub(super) fn event_id(&mut self) -> EventId {
        let id = self.next;
        // The low 62 bits are random: counting on from there meets another id as rarely as a random one would.
        let uuid = id.uuid().as_u128();
        let mask = (1u128 << 62) - 1;
        self.next = EventId::new(Uuid::from_u128((uuid & !mask) | (uuid.wrapping_add(1) & mask)));
        id
    }
}

impl Store {
    /// Carries a command out, or finds that it was. Its effect and its answer are durable when the group commits.
    pub fn once<T: Serialize + DeserializeOwned>(
        &mut self,
        command: CommandKey,
        moment: &mut Moment,
        operation: impl FnOnce(&mut Self, &mut Moment) -> Result<T, Error>,
    ) -> Result<Once<T>, Error> {
        if let Some((digest, answer)) = self.answered(command.id).map_err(|error| self.noted(error))? {
            if digest != command.digest {
                return Ok(Once::Conflict);
            }
            let answer = serde_json::from_slice(&answer)
                .map_err(|error| Error::Damaged(format!("the answer to command {}: {error}", command.id)))?;
            return Ok(Once::Replayed(answer));
        }
        moment.carries_out(command.id);
        let done = self.atomically(Durability::Promise, |store| {
            let answer = operation(store, moment)?;
            let json = serde_json::to_vec(&answer).expect("an answer of text and numbers always encodes");
            store
                .connection
                .prepare_cached("INSERT INTO command (command_id, digest, position, answer) VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| {
                    insert.execute(params![command.id.as_bytes(), command.digest, store.tail.position, json])
                })
                .doing("keep the answer to a command")?;
            Ok(answer)
        });
        match done {
            Ok(answer) => Ok(Once::New(answer)),
            Err(error) => error.into_refusal().map(Once::Refused),
        }
    }

    /// Carries out what is no till's command, such as a word of the folder's owner: all of it, or nothing where a rule
    /// forbids it. Its effect is durable when the group commits.
    pub fn act<T>(
        &mut self,
        moment: &mut Moment,
        operation: impl FnOnce(&mut Self, &mut Moment) -> Result<T, Error>,
    ) -> Result<Result<T, Refused>, Error> {
        match self.atomically(Durability::Promise, |store| operation(store, moment)) {
            Ok(value) => Ok(Ok(value)),
            Err(error) => error.into_refusal().map(Err),
        }
    }

    fn answered(&self, id: CommandId) -> Result<Option<(CommandDigest, Vec<u8>)>, Error> {
        self.connection
            .prepare_cached("SELECT digest, answer FROM command WHERE command_id = ?1")
            .and_then(|mut select| select.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .doing("look for a command")
    }

    /// Adds an event to the history. Within an operation.
    pub(super) fn record(&mut self, moment: &mut Moment, body: impl Into<EventBody>) -> Result<Head, Error> {
        let (id, at) = (moment.event_id(), moment.at());
        self.append(&Event { id, at, body: body.into() })
    }

    /// Something changed that screens show. They are told when it is committed.
    pub(super) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What has changed and is committed, for the screens. Not within a group.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{NOON_MS, event_id, open_epoch, reopen, sell, stamp, store};
    use protocol::latest::AuditMarked;

    fn key(number: u64, digest: u8) -> CommandKey {
        CommandKey { id: CommandId::new(Uuid::from_u64_pair(0xc, number)), digest: [digest; 32] }
    }

    fn mark(store: &mut Store, moment: &mut Moment) -> Result<u64, Error> {
        let mark = AuditMarked {
            action: "drawer_opened".parse().expect("valid"),
            till_id: None,
            operator_id: None,
            approver_id: None,
            reason: None,
            subject: String::new(),
            detail: String::new(),
            amount_minor: None,
            marked_at: moment.at(),
        };
        store.record(moment, mark).map(|head| head.place.seq.get())
    }

    fn run(store: &mut Store, key: CommandKey) -> Once<u64> {
        let mut moment = Moment::new(stamp(0), event_id(1 << 20));
        store.once(key, &mut moment, mark).expect("works")
    }

    #[test]
    fn a_command_is_carried_out_once() {
        let mut store = store();
        open_epoch(&mut store, 1);
        assert_eq!(run(&mut store, key(1, 1)), Once::New(2));
        assert_eq!(run(&mut store, key(1, 1)), Once::Replayed(2));
        assert_eq!(run(&mut store, key(1, 2)), Once::Conflict);
        let mut store = reopen(store);
        open_epoch(&mut store, 2);
        assert_eq!(run(&mut store, key(1, 1)), Once::Replayed(2));
        assert_eq!(run(&mut store, key(2, 1)), Once::New(2));
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn a_refused_command_leaves_nothing_and_may_come_again() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let head = store.head();
        let mut moment = Moment::new(stamp(0), event_id(9));
        let refused = Refused::rule("drawer.closed", "the drawer is closed");
        let answer = store.once(key(1, 1), &mut moment, |store, moment| {
            mark(store, moment)?;
            store.changed(Change::PriceBook(protocol::latest::order::PriceBookView {
                version: String::new(),
                hash: String::new(),
                active_since_ms: NOON_MS,
            }));
            Err::<u64, _>(refused.clone().into())
        });
        assert_eq!(answer.expect("works"), Once::Refused(refused));
        assert_eq!(store.head(), head);
        assert_eq!(store.take_changes(), []);
        assert_eq!(run(&mut store, key(1, 1)), Once::New(2));
        sell(&mut store, 1);
    }

    #[test]
    fn the_events_of_one_moment_have_ids_of_their_own() {
        let seed = EventId::new("018f0000-0000-7000-bfff-ffffffffffff".parse::<Uuid>().expect("valid"));
        let mut moment = Moment::new(stamp(0), seed);
        let [first, second, third] = std::array::from_fn(|_| moment.event_id());
        assert_eq!(first, seed);
        assert_eq!(second.to_string(), "018f0000-0000-7000-8000-000000000000");
        assert_ne!(second, third);
        assert_eq!(third.uuid().get_version_num(), 7);
    }
}
