//! Operators: who works in the store, their PINs, and who is signed on where.
//!
//! A PIN is compared outside of the writer, because that takes a tenth of a second on purpose: [`Store::begin_pin`] gives
//! the hash, or says why no PIN is looked at; then either [`Store::fail_pin`], or an operation that takes the [`PinHash`]
//! as the proof, and refuses it if the operator was changed meanwhile.

use std::fmt;

use pos_model::{OperatorId, TillId};
use protocol::latest::local_api::Change;
use protocol::latest::people::{OperatorView, RoleName, SignedOff, SignedOn};
use rusqlite::{OptionalExtension, Row, params};
use till::limits::OPERATORS_MAX;
use till::people::{Attempts, Role};

use super::audit::{Noteworthy, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::permit::Permit;
use super::store::{Durability, Store};
use super::view::View;

/// The Argon2id hash of a PIN, as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PinHash(String);

impl PinHash {
    /// Takes over what the hasher made.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash([redacted])")
    }
}

/// What is to be known before a PIN is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinToCheck {
    /// Compare it with this.
    Compare(PinHash),
    /// The store has no such operator, or they have left.
    Unknown,
    /// Too many wrong ones: none is looked at for so many milliseconds.
    Locked {
        /// How long.
        for_ms: i64,
    },
}

/// What an operator is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorChange {
    /// Who.
    pub operator_id: OperatorId,
    /// The name on the screen.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// Whether they may sign on.
    pub active: bool,
    /// A new PIN; `None` keeps the one they have.
    pub pin_hash: Option<PinHash>,
}

/// An operator as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperatorRow {
    pub(super) operator_id: OperatorId,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) active: bool,
    pub(super) pin_hash: PinHash,
    pub(super) attempts: Attempts,
}

impl Store {
    /// Before a PIN is compared. A moment before the last wrong one means that the clock was set back, which is noted, so
    /// that the wait goes on from here.
    pub fn begin_pin(&mut self, operator_id: &OperatorId, now_ms: i64) -> Result<PinToCheck, Error> {
        self.atomically(Durability::Hint, |store| {
            let Some(row) = store.view().active_operator(operator_id)? else { return Ok(PinToCheck::Unknown) };
            let seen = row.attempts.seen_at(now_ms);
            if seen != row.attempts {
                store.write_attempts(operator_id, seen)?;
            }
            Ok(match seen.locked_for_ms(now_ms) {
                Some(for_ms) => PinToCheck::Locked { for_ms },
                None => PinToCheck::Compare(row.pin_hash),
            })
        })
    }

    /// A PIN was wrong. Returns for how many milliseconds none is looked at, if that was one too many.
    /// Within an operation.
    pub fn fail_pin(
        &mut self,
        moment: &mut Moment,
        till_id: &TillId,
        operator_id: &OperatorId,
        purpose: &str,
    ) -> Result<Option<i64>, Error> {
        let Some(row) = self.view().operator_row(operator_id)? else { return Ok(None) };
        let now_ms = moment.at().utc_ms;
        let attempts = row.attempts.failed_at(now_ms);
        self.write_attempts(operator_id, attempts)?;
        let about = |action| Noteworthy::new(action).at(till_id).by(operator_id).about(operator_id);
        let failed = about(word::PIN_FAILED).saying(format!("wrong PIN {} {purpose}", attempts.failed));
        self.mark(moment, failed)?;
        let locked = attempts.locked_for_ms(now_ms);
        if let Some(for_ms) = locked {
            let seconds = for_ms / 1000;
            self.mark(moment, about(word::OPERATOR_LOCKED).saying(format!("no PIN is looked at for {seconds} s")))?;
        }
        self.operator_changed(operator_id)?;
        Ok(locked)
    }

    /// The PIN was right. Within an operation, whose refusal undoes it. What was compared must still hold.
    pub(super) fn pin_was_right(&mut self, operator_id: &OperatorId, proof: &PinHash) -> Result<Role, Error> {
        let row = self.view().active_operator(operator_id)?.filter(|row| row.pin_hash == *proof);
        let row = row.ok_or_else(|| {
            Refused::overtaken("operator.changed", format!("operator {operator_id} was changed meanwhile: try again"))
        })?;
        if row.attempts.failed > 0 {
            self.write_attempts(operator_id, Attempts::NONE)?;
        }
        Ok(row.role)
    }

    /// An operator begins to work at a till; whoever was there leaves it. Within an operation.
    pub fn sign_on(
        &mut self,
        moment: &mut Moment,
        till_id: &TillId,
        operator_id: &OperatorId,
        proof: &PinHash,
    ) -> Result<SignedOn, Error> {
        let role = self.pin_was_right(operator_id, proof)?;
        let before = self.view().signed_on_at(till_id)?.filter(|before| before != operator_id);
        if let Some(before) = before {
            self.leave(moment, till_id, &before)?;
        }
        let since_ms = moment.at().utc_ms;
        self.connection
            .execute(
                "INSERT OR REPLACE INTO sign_on (till_id, operator_id, since) VALUES (?1, ?2, ?3)",
                params![till_id.as_str(), operator_id.as_str(), since_ms],
            )
            .doing("sign an operator on")?;
        self.mark(moment, Noteworthy::new(word::SIGNED_ON).at(till_id).by(operator_id).about(operator_id))?;
        let view = self.operator_changed(operator_id)?;
        let (till_id, operator_id, name) = (till_id.clone(), operator_id.clone(), view.name);
        Ok(SignedOn { till_id, operator_id, name, role: role_name(role), since_ms })
    }

    /// An operator leaves a till. It is no error if they have left already. Within an operation.
    pub fn sign_off(
        &mut self,
        moment: &mut Moment,
        till_id: &TillId,
        operator_id: &OperatorId,
    ) -> Result<SignedOff, Error> {
        let here = self.view().signed_on_at(till_id)?;
        match here {
            Some(here) if here == *operator_id => self.leave(moment, till_id, operator_id)?,
            Some(here) => {
                let text = format!("operator {here} is signed on at till {till_id}, not {operator_id}");
                return Err(Refused::overtaken("operator.other_signed_on", text).into());
            }
            None => return Ok(SignedOff { till_id: till_id.clone(), operator_id: None }),
        }
        Ok(SignedOff { till_id: till_id.clone(), operator_id: Some(operator_id.clone()) })
    }

    fn leave(&mut self, moment: &mut Moment, till_id: &TillId, operator_id: &OperatorId) -> Result<(), Error> {
        self.connection
            .execute("DELETE FROM sign_on WHERE till_id = ?1", [till_id.as_str()])
            .doing("sign an operator off")?;
        self.mark(moment, Noteworthy::new(word::SIGNED_OFF).at(till_id).by(operator_id).about(operator_id))?;
        self.operator_changed(operator_id).map(drop)
    }

    /// Adds an operator, or makes one what `change` says. A new PIN, or a return, forgets wrong ones. Someone who may not
    /// sign on any more leaves every till. `permit` says who asks; nobody if it is the owner of the folder, who alone may
    /// take the last manager away.
    pub fn put_operator(
        &mut self,
        moment: &mut Moment,
        change: OperatorChange,
        till_id: Option<&TillId>,
        permit: &Permit,
    ) -> Result<OperatorView, Error> {
        let OperatorChange { operator_id, name, role, active, pin_hash } = change;
        let before = self.view().operator_row(&operator_id)?;
        let is_manager = |role, active| active && role == Role::Manager;
        let was_manager = before.as_ref().is_some_and(|row| is_manager(row.role, row.active));
        if till_id.is_some() && was_manager && !is_manager(role, active) && self.managers()? <= 1 {
            let text = format!(
                "{operator_id} is the last manager: add another one first, or ask the owner of the agent's folder"
            );
            return Err(Refused::rule("operator.last_manager", text).into());
        }
        let (action, pin_hash, said) = match (&before, pin_hash) {
            (None, None) => {
                let text = format!("operator {operator_id} is added, and needs a PIN");
                return Err(Refused::rule("operator.pin_needed", text).into());
            }
            (None, Some(hash)) => {
                self.check_room()?;
                (word::OPERATOR_ADDED, hash, format!("{role}, {name:?}"))
            }
            (Some(before), given) => {
                let said = difference(before, &name, role, active, given.is_some());
                (word::OPERATOR_CHANGED, given.unwrap_or_else(|| before.pin_hash.clone()), said)
            }
        };
        let forgets = before.as_ref().is_some_and(|before| before.pin_hash != pin_hash || (active && !before.active));
        let attempts = before.map(|row| row.attempts).filter(|_| !forgets).unwrap_or(Attempts::NONE);
        self.connection
            .execute(
                "INSERT INTO operator (operator_id, name, role, active, pin_hash, failed, last_failed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET name = excluded.name, role = excluded.role, active = excluded.active,
                    pin_hash = excluded.pin_hash, failed = excluded.failed, last_failed_at = excluded.last_failed_at",
                params![
                    operator_id.as_str(),
                    name,
                    role.as_str(),
                    active,
                    pin_hash.as_str(),
                    attempts.failed,
                    attempts.last_failed_ms
                ],
            )
            .doing("keep an operator")?;
        let mut noteworthy = Noteworthy::new(action).permitted(permit).about(&operator_id).saying(said);
        if let Some(till_id) = till_id {
            noteworthy = noteworthy.at(till_id);
        }
        self.mark(moment, noteworthy)?;
        if !active {
            for till_id in self.view().tills_of(&operator_id)? {
                self.leave(moment, &till_id, &operator_id)?;
            }
        }
        self.operator_changed(&operator_id)
    }

    fn managers(&self) -> Result<i64, Error> {
        self.connection
            .query_row(
                "SELECT count(*) FROM operator WHERE active = 1 AND role = ?1",
                [Role::Manager.as_str()],
                |row| row.get(0),
            )
            .doing("count the managers")
    }

    fn check_room(&self) -> Result<(), Error> {
        let operators: i64 = self
            .connection
            .query_row("SELECT count(*) FROM operator", [], |row| row.get(0))
            .doing("count the operators")?;
        if operators >= OPERATORS_MAX {
            let text = format!("this store has {OPERATORS_MAX} operators already, those that left among them");
            return Err(Refused::rule("operator.too_many", text).into());
        }
        Ok(())
    }

    fn write_attempts(&self, operator_id: &OperatorId, attempts: Attempts) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE operator SET failed = ?2, last_failed_at = ?3 WHERE operator_id = ?1")
            .and_then(|mut update| {
                update.execute(params![operator_id.as_str(), attempts.failed, attempts.last_failed_ms])
            })
            .doing("count wrong PINs")
            .map(drop)
    }

    /// Tells screens what an operator is.
    fn operator_changed(&mut self, operator_id: &OperatorId) -> Result<OperatorView, Error> {
        let view = self.view();
        let row = view.operator_row(operator_id)?;
        let row = row.ok_or_else(|| Error::Damaged(format!("operator {operator_id} is gone")))?;
        let shown = shown(row, view.tills_of(operator_id)?);
        self.changed(Change::Operator(shown.clone()));
        Ok(shown)
    }
}

fn difference(before: &OperatorRow, name: &str, role: Role, active: bool, pin: bool) -> String {
    let mut parts = Vec::new();
    if before.name != name {
        parts.push(format!("name {:?} to {name:?}", before.name));
    }
    if before.role != role {
        parts.push(format!("{} to {role}", before.role));
    }
    match (before.active, active) {
        (true, false) => parts.push("may not sign on any more".to_owned()),
        (false, true) => parts.push("may sign on again".to_owned()),
        _ => {}
    }
    if pin {
        parts.push("another PIN".to_owned());
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// The wire's word for a role.
pub(super) fn role_name(role: Role) -> RoleName {
    match role {
        Role::Cashier => RoleName::Cashier,
        Role::ShiftLead => RoleName::ShiftLead,
        Role::Manager => RoleName::Manager,
    }
}

fn shown(row: OperatorRow, till_ids: Vec<TillId>) -> OperatorView {
    OperatorView {
        locked_until_ms: row.attempts.locked_until_ms(),
        operator_id: row.operator_id,
        name: row.name,
        role: role_name(row.role),
        active: row.active,
        till_ids,
    }
}

impl View<'_> {
    /// All operators that the store has ever had, by id.
    pub fn operators(&self) -> Result<Vec<OperatorView>, Error> {
        self.consistent(|view| {
            let rows = view.operator_rows("ORDER BY operator_id", &[])?;
            rows.into_iter()
                .map(|row| {
                    let till_ids = view.tills_of(&row.operator_id)?;
                    Ok(shown(row, till_ids))
                })
                .collect()
        })
    }

    /// Whether people were ever set up: until then, everything is allowed to everybody. Where all have left, nothing is,
    /// until the owner of the folder adds somebody.
    pub fn has_operators(&self) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM operator)")
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .doing("look for operators")
    }

    /// Who is signed on at a till.
    pub fn signed_on_at(&self, till_id: &TillId) -> Result<Option<OperatorId>, Error> {
        let found: Option<String> = self
            .connection
            .prepare_cached("SELECT operator_id FROM sign_on WHERE till_id = ?1")
            .and_then(|mut select| select.query_row([till_id.as_str()], |row| row.get(0)).optional())
            .doing("look who is signed on")?;
        found.map(|text| parsed(&text)).transpose()
    }

    pub(super) fn active_operator(&self, operator_id: &OperatorId) -> Result<Option<OperatorRow>, Error> {
        Ok(self.operator_row(operator_id)?.filter(|row| row.active))
    }

    pub(super) fn operator_row(&self, operator_id: &OperatorId) -> Result<Option<OperatorRow>, Error> {
        Ok(self.operator_rows("WHERE operator_id = ?1", &[&operator_id.as_str()])?.pop())
    }

    fn operator_rows(&self, rest: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<OperatorRow>, Error> {
        let sql =
            format!("SELECT operator_id, name, role, active, pin_hash, failed, last_failed_at FROM operator {rest}");
        let mut select = self.connection.prepare_cached(&sql).doing("read operators")?;
        let rows = select.query_map(params, |row| Ok(read_operator(row))).doing("read operators")?;
        rows.map(|row| row.doing("read operators")?).collect()
    }

    fn tills_of(&self, operator_id: &OperatorId) -> Result<Vec<TillId>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT till_id FROM sign_on WHERE operator_id = ?1 ORDER BY till_id")
            .doing("look where an operator is signed on")?;
        let rows = select
            .query_map([operator_id.as_str()], |row| row.get::<_, String>(0))
            .doing("look where an operator is signed on")?;
        rows.map(|row| parsed(&row.doing("look where an operator is signed on")?)).collect()
    }
}

fn read_operator(row: &Row<'_>) -> Result<OperatorRow, Error> {
    let text = |column| row.get::<_, String>(column).doing("read an operator");
    let last_failed_ms = row.get(6).doing("read an operator")?;
    Ok(OperatorRow {
        operator_id: parsed(&text(0)?)?,
        name: text(1)?,
        role: parsed(&text(2)?)?,
        active: row.get(3).doing("read an operator")?,
        pin_hash: PinHash(text(4)?),
        attempts: Attempts { failed: row.get(5).doing("read an operator")?, last_failed_ms },
    })
}

/// Parses an id that is stored.
pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Damaged(format!("{text:?} is not what may stand there")))
}
