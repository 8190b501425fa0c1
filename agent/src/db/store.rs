//! The write connection, and how operations become database transactions.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pos_model::{ChainHash, Currency, DayCutOff, Epoch, Place, Seq};
use protocol::latest::EpochReport;
use protocol::latest::local_api::Change;
use rusqlite::{Connection, OptionalExtension, params};
use till::sold_out::SoldOut;

use super::error::{Doing, Error, Failure};
use super::paper::PaperPlan;
use super::schema;
use super::view::View;
use crate::defect::caught;

/// What the store's configuration says about sales.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The currency of every amount. The first opening of a folder fixes it; none means that one, or yuan in a new folder.
    pub currency: Option<Currency>,
    /// When the business day turns over.
    pub cut_off: DayCutOff,
}

/// The newest event of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Where it stands.
    pub place: Place,
    /// The hash of the history up to it.
    pub hash: ChainHash,
}

/// What a commit has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: somebody is told that it happened.
    Promise,
    /// The end of the process. After a power cut it may be gone, along with nothing that came before it: the log is
    /// lost from its end only. For what the centre says again, such as a confirmation.
    Hint,
}

/// What the operations need to know of the newest row, kept so that no sale has to ask for it.
/// It is a copy of what is stored, and goes back with it when a savepoint or a database transaction is undone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    /// The newest position; zero if there never was an event.
    pub(super) position: i64,
    /// The hash of the history up to it.
    pub(super) hash: ChainHash,
    /// The place of the newest event, in whichever epoch.
    pub(super) place: Option<Place>,
    /// The epoch that this run has opened, and its base.
    pub(super) current: Option<(Epoch, i64)>,
}

/// The books, open for writing. There is one per folder.
///
/// Every operation is all or nothing. Between [`Store::begin`] and [`Store::commit`] operations share one database
/// transaction and each has a savepoint of its own; outside of them each has a transaction of its own.
pub struct Store {
    pub(super) connection: Connection,
    pub(super) rules: Rules,
    pub(super) currency: Currency,
    pub(super) tail: Tail,
    tail_at_begin: Tail,
    /// What screens are told when the group is committed.
    pub(super) changes: Vec<Change>,
    pub(super) paper: PaperPlan,
    /// A copy of what is sold out; none where it has to be read.
    pub(super) sold_out: Option<Arc<SoldOut>>,
    synced: Durability,
    stopped: Option<String>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("tail", &self.tail).field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the database file. The caller holds the lock on the folder.
    ///
    /// What the log holds is first moved into the file, and so written and synced anew: if the last run ended because a
    /// sync had failed, its rows might be in the system's memory only, where they look as if they were on disk.
    pub fn open(path: &Path, rules: Rules) -> Result<Self, Error> {
        let connection = Connection::open(path).doing("open the database")?;
        let store = Self::from_connection(connection, rules)?;
        store.checkpoint()?;
        Ok(store)
    }

    /// Makes empty books in memory.
    pub fn open_in_memory(rules: Rules) -> Result<Self, Error> {
        let connection = Connection::open_in_memory().doing("open a database in memory")?;
        Self::from_connection(connection, rules)
    }

    /// Takes over a connection, whatever it holds: an empty database, or a store's books.
    pub fn from_connection(mut connection: Connection, rules: Rules) -> Result<Self, Error> {
        schema::prepare_writer(&mut connection)?;
        let currency = settle_currency(&connection, rules.currency)?;
        let tail = read_tail(&connection)?;
        Ok(Self {
            connection,
            rules,
            currency,
            tail,
            tail_at_begin: tail,
            changes: Vec::new(),
            paper: PaperPlan::default(),
            sold_out: None,
            synced: Durability::Promise,
            stopped: None,
        })
    }

    /// Gives the connection back. What was not committed is undone.
    pub fn into_connection(self) -> Connection {
        if self.in_group() {
            // Closing would undo it as well; a failure leaves that to the next opening.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.connection
    }

    /// Everything that can be read.
    pub fn view(&self) -> View<'_> {
        View::new(&self.connection)
    }

    /// The newest event of this run; none before [`Store::open_epoch`].
    pub fn head(&self) -> Option<Head> {
        self.tail.current.and(self.tail.place).map(|place| Head { place, hash: self.tail.hash })
    }

    /// The currency of every amount.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// What the sales obey.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Why nothing is written any more, if the disk has failed.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    // ---- groups ----

    /// Whether a database transaction is open.
    pub fn in_group(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Begins a database transaction that several operations share. One that only hints takes no operation that
    /// promises.
    pub fn begin(&mut self, durability: Durability) -> Result<(), Error> {
        self.check_running()?;
        self.sync_for(durability)?;
        self.tail_at_begin = self.tail;
        // Whatever nobody has taken was of no interest to anybody.
        self.changes.clear();
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut statement| statement.execute([]));
        begun.doing("begin a database transaction").map(drop).map_err(|error| self.noted(error))
    }

    /// Commits it. On an error nothing of the group has happened, except where [`Failure::Unknown`] says that this is
    /// open.
    pub fn commit(&mut self) -> Result<(), Error> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut statement| statement.execute([]));
        committed.map(drop).map_err(|source| {
            self.rollback();
            self.noted(Error::of_commit(source))
        })
    }

    /// Undoes it.
    pub fn rollback(&mut self) {
        if self.in_group()
            && let Err(source) = self.connection.execute_batch("ROLLBACK")
        {
            // The books may not be what the tail says, so nothing may build on them.
            self.stopped.get_or_insert_with(|| Error::Sql { doing: "roll back", source }.chain());
        }
        self.tail = self.tail_at_begin;
        self.changes.clear();
        self.sold_out = None;
    }

    /// Runs an operation: all of it, or nothing. One that panics is undone as one that fails: the books, and what this value
    /// knows of them, are as they were before it.
    pub(super) fn atomically<T>(
        &mut self,
        durability: Durability,
        operation: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_running()?;
        if !self.in_group() {
            self.begin(durability)?;
            return match whole(operation, self) {
                Ok(value) => self.commit().map(|()| value),
                Err(error) => {
                    self.rollback();
                    Err(self.noted(error))
                }
            };
        }
        assert!(
            durability == Durability::Hint || self.synced == Durability::Promise,
            "a group that only hints takes no operation that promises"
        );
        let (tail, changes) = (self.tail, self.changes.len());
        self.run("SAVEPOINT operation")?;
        let done = whole(operation, self).and_then(|value| self.run("RELEASE operation").map(|()| value));
        done.map_err(|error| {
            self.tail = tail;
            self.changes.truncate(changes);
            self.sold_out = None;
            // A full or failing disk may already have undone the whole transaction: then there is no savepoint, and the
            // group is over, which its owner sees by `in_group`.
            if self.in_group()
                && self.run("ROLLBACK TO operation").and_then(|()| self.run("RELEASE operation")).is_err()
            {
                self.rollback();
            }
            if !self.in_group() {
                self.tail = self.tail_at_begin;
                self.changes.clear();
            }
            self.noted(error)
        })
    }

    fn run(&self, sql: &'static str) -> Result<(), Error> {
        let run = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run.doing("mark an operation").map(drop)
    }

    /// Moves the log into the file and empties it, as far as no reader is in the way. The file is synced before the log
    /// is emptied. Not within a group.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .doing("move the write-ahead log into the database")
    }

    /// Sets whether the next commit is synced. SQLite takes that outside of a database transaction only.
    fn sync_for(&mut self, durability: Durability) -> Result<(), Error> {
        if self.synced != durability {
            // Not a cached statement: this pragma acts while it is prepared.
            let pragma = match durability {
                Durability::Promise => "PRAGMA synchronous = FULL",
                Durability::Hint => "PRAGMA synchronous = NORMAL",
            };
            self.connection.execute_batch(pragma).doing("set whether commits are synced")?;
            self.synced = durability;
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), Error> {
        self.stopped.as_ref().map_or(Ok(()), |why| Err(Error::Stopped(why.clone())))
    }

    /// Takes note of a failure that ends all writing.
    pub(super) fn noted(&mut self, error: Error) -> Error {
        if matches!(error.failure(), Failure::DiskFailed | Failure::Unknown) && self.stopped.is_none() {
            self.stopped = Some(error.chain());
        }
        error
    }
}

/// What an operation comes to, if it comes to an end.
fn whole<T>(operation: impl FnOnce(&mut Store) -> Result<T, Error>, store: &mut Store) -> Result<T, Error> {
    caught(|| operation(store)).unwrap_or_else(|defect| Err(Error::Defect(defect)))
}

fn settle_currency(connection: &Connection, wanted: Option<Currency>) -> Result<Currency, Error> {
    let found: Option<String> = connection
        .query_row("SELECT currency FROM folder", [], |row| row.get(0))
        .optional()
        .doing("read the folder's currency")?;
    let Some(found) = found else {
        let currency = wanted.unwrap_or(Currency::CNY);
        return connection
            .execute("INSERT INTO folder (id, currency, running_ms) VALUES (1, ?1, 0)", params![currency.as_str()])
            .doing("write the folder's currency")
            .map(|_| currency);
    };
    let found: Currency =
        found.parse().map_err(|_| Error::Damaged(format!("the folder's currency {found:?} is none")))?;
    match wanted.filter(|wanted| *wanted != found) {
        None => Ok(found),
        Some(wanted) => Err(Error::OtherCurrency { wanted, found }),
    }
}

fn read_tail(connection: &Connection) -> Result<Tail, Error> {
    let Some(report) = View::new(connection).newest_epoch()? else {
        return Ok(Tail { position: 0, hash: ChainHash::GENESIS, place: None, current: None });
    };
    let position = report.base + report.report.head.to_sql();
    let hash = if report.report.head < report.report.first_held {
        report.report.hash_before
    } else {
        View::new(connection).hash_at(position)?
    };
    let EpochReport { epoch, head, .. } = report.report;
    if head < Seq::FIRST {
        return Err(Error::Damaged(format!("epoch {epoch} lacks its opening")));
    }
    let place = Some(Place { epoch, seq: head });
    Ok(Tail { position, hash, place, current: None })
}
