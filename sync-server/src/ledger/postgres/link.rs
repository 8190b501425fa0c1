//! A connection that is made when it is needed, and made again when it was lost.

use std::cell::{Cell as Slot, RefCell};

use super::session::{Purpose, Session};
use super::settings::PostgresSettings;
use crate::ledger::LedgerError;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    settings: PostgresSettings,
    purpose: Purpose,
    session: RefCell<Option<Session>>,
    /// A transaction is open, which ends with its connection.
    in_transaction: Slot<bool>,
    /// The connection was made since somebody looked.
    is_new: Slot<bool>,
}

impl Link {
    pub(super) fn writer(settings: &PostgresSettings) -> Self {
        Self::new(settings, Purpose::Write)
    }

    pub(super) fn reader(settings: &PostgresSettings) -> Self {
        Self::new(settings, Purpose::Read)
    }

    pub(super) fn registry(settings: &PostgresSettings) -> Self {
        Self::new(settings, Purpose::Registry)
    }

    pub(super) fn leases(settings: &PostgresSettings) -> Self {
        Self::new(settings, Purpose::Lease)
    }

    pub(super) fn roll_ups(settings: &PostgresSettings) -> Self {
        Self::new(settings, Purpose::RollUps)
    }

    fn new(settings: &PostgresSettings, purpose: Purpose) -> Self {
        Self {
            settings: settings.clone(),
            purpose,
            session: RefCell::new(None),
            in_transaction: Slot::new(false),
            is_new: Slot::new(false),
        }
    }

    /// Whether the connection was made since [`seen`](Self::seen).
    pub(super) fn is_fresh(&self) -> bool {
        self.is_new.get()
    }

    pub(super) fn seen(&self) {
        self.is_new.set(false);
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.session.borrow().as_ref().map_or(0, Session::round_trips)
    }

    /// Works on a connection. One that turns out to be lost is replaced, and the work done again, unless a transaction was
    /// open on it: the work must be such that it may be done twice.
    pub(super) fn with<T>(&self, work: impl Fn(&Session) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let had_session = self.session.borrow().is_some();
        match self.with_once(&work) {
            Err(error)
                if error.is_busy() && had_session && !self.in_transaction.get() && self.session.borrow().is_none() =>
            {
                self.with_once(work)
            }
            done => done,
        }
    }

    /// Works on a connection, once.
    pub(super) fn with_once<T>(&self, work: impl FnOnce(&Session) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let mut slot = self.session.borrow_mut();
        if slot.as_ref().is_some_and(Session::is_broken) {
            *slot = None;
        }
        let session = match &mut *slot {
            Some(session) => session,
            None if self.in_transaction.get() => return Err(LedgerError::Away("the connection was lost".to_owned())),
            empty => {
                let session = Session::connect(&self.settings, self.purpose)?;
                self.is_new.set(true);
                empty.insert(session)
            }
        };
        let done = work(session);
        if session.is_broken() {
            *slot = None;
        }
        done
    }

    /// Works within a transaction, which `begin` opens.
    pub(super) fn transaction<T>(
        &self,
        doing: &'static str,
        begin: &str,
        work: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if self.in_transaction.get() {
            return work();
        }
        self.with(|session| {
            session.batch(doing, begin).or_else(|error| {
                session.batch(doing, "ROLLBACK").inspect_err(|_| session.give_up())?;
                Err(error)
            })
        })?;
        self.in_transaction.set(true);
        let done = work();
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.with_once(|session| session.batch(doing, end).inspect_err(|_| session.give_up()));
        self.in_transaction.set(false);
        done.and_then(|done| ended.map(|()| done))
    }
}
