//! The ledger in PostgreSQL: one writing connection for each server, any number of readers beside it.
//!
//! - The traits of the ledger are synchronous, because whoever calls them is a thread that has nothing else to do. Each
//!   connection therefore has a small runtime of its own, on the thread that uses it: [`session`].
//! - A group is one database transaction with a fixed number of round trips, whatever is in it: one reads what the group
//!   needs and takes the locks, one reads runs of numbers, two for each table that is copied into, one for all upserts, one
//!   commits. See [`tables`].
//! - The row of a store in `store_state` is its lock and its fence: a second server waits there, and then reads the cursors
//!   as the first one left them. So two of them never apply an event twice, and never wait for each other in a circle.
//! - A lost connection, a lock that is held too long, a deadlock with somebody else's session: the group is tried again on
//!   a connection that works, a few times. Whether a commit whose answer was lost has happened, the cursors say: what is
//!   there already is a replay.

mod copy;
mod database;
mod fault;
mod instances;
mod link;
mod migrate;
mod months;
mod session;
mod settings;
mod tables;
mod tls;
mod verifier;

use std::collections::BTreeSet;
use std::time::Duration;

use sync_core::server::Outcome;

pub(in crate::ledger) use self::database::cell;
pub(in crate::ledger) use self::fault::{content, passes};
pub use self::instances::PostgresInstances;
use self::link::Link;
use self::months::Months;
pub use self::months::{DroppedMonth, MonthRow};
use self::session::Session;
pub use self::settings::{PostgresSettings, UrlError};
use self::tables::{PostgresTables, Reading};
use super::fault::{Fault, as_error};
use super::group::{self, Care, Fix, Repair, RestoreRefused, Restored, Step};
use super::parking::{Correction, Note, ParkedFilter, ParkedRefused};
use super::{Job, Ledger, LedgerError, ParkedStep};

/// How often a group is tried before it is given up. Its stores send again.
const ATTEMPTS_MAX: u32 = 3;

/// The first pause between two attempts at most; each further one is twice as long. The pause itself is a random part.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells all servers of this database that it is an older copy; see `ledger_incarnation`.
const MARK_INCARNATION: &str = "UPDATE ledger_incarnation SET number = (random() * 9e15)::bigint";

/// The writer.
#[derive(Debug)]
pub struct PostgresLedger {
    link: Link,
    months: Months,
    /// The newest place that this server has committed, to notice a database that lacks it.
    committed: Option<(i64, i64)>,
    went_back: bool,
}

/// A reader. It sees what was committed when each of its queries began, and never holds the writer up.
#[derive(Debug)]
pub struct PostgresReader {
    link: Link,
}

impl PostgresLedger {
    /// Connects, and brings the schema up to date. Several servers may do so at once.
    pub fn open(settings: &PostgresSettings) -> Result<Self, LedgerError> {
        let link = Link::writer(settings);
        link.with(migrate::migrate)?;
        Ok(Self { link, months: Months::default(), committed: None, went_back: false })
    }

    /// How many round trips to the database there were on the present connection.
    pub fn round_trips(&self) -> u64 {
        self.link.round_trips()
    }

    /// The months of which sales are kept, in order.
    pub fn months(&self) -> Result<Vec<MonthRow>, LedgerError> {
        self.link.with(months::list)
    }

    /// Drops the sales and messages of all months before this one, given as `YYYY-MM`; sums, roll-ups, shifts and the other
    /// small tables stay. Says what was dropped. Waits shortly for whoever reads them, and fails if that takes longer, if
    /// something of those months is not in the roll-ups yet, or if one of them is not over at `now_ms`.
    pub fn drop_months_before(&self, month: &str, now_ms: i64) -> Result<Vec<DroppedMonth>, LedgerError> {
        self.link.with(|session| months::drop_before(session, month, now_ms))
    }

    /// Drops the months that lie more than so many behind that of `now_ms`. Says the first one that is kept, and what was
    /// dropped.
    pub fn keep_months(&self, keep: u32, now_ms: i64) -> Result<(String, Vec<DroppedMonth>), LedgerError> {
        let before = months::first_kept(keep, now_ms);
        let dropped = self.drop_months_before(&before, now_ms)?;
        Ok((before, dropped))
    }

    /// Does work on a connection that works, a few times if it may help.
    fn patiently<T>(
        &mut self,
        work: impl FnMut(&Session, &mut Months) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.at_most(ATTEMPTS_MAX, work)
    }

    fn at_most<T>(
        &mut self,
        attempts_max: u32,
        mut work: impl FnMut(&Session, &mut Months) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut attempt = 1;
        loop {
            let Self { link, months, committed, went_back } = self;
            let done = link.with_once(|session| {
                // A connection that was lost may lead to another database now.
                if link.is_fresh() {
                    if lacks(session, *committed)? {
                        tracing::error!(
                            "the database lacks what was committed in it: it was replaced by an older copy"
                        );
                        // Other servers may have no such place to miss.
                        session.batch("mark the older copy", MARK_INCARNATION)?;
                        (*went_back, *committed) = (true, None);
                        *months = Months::default();
                    }
                    link.seen();
                }
                work(session, months)
            });
            match done {
                Err(error) if error.is_busy() && attempt < attempts_max => {
                    tracing::warn!(
                        error = crate::telemetry::chain(&error),
                        attempt,
                        "the database could not take a group, which is tried again"
                    );
                    std::thread::sleep(jittered(PAUSE * 2u32.saturating_pow(attempt - 1)));
                    attempt += 1;
                }
                done => return done,
            }
        }
    }
}

/// Whether the database has not the newest place that this server has committed.
fn lacks(session: &Session, committed: Option<(i64, i64)>) -> Result<bool, LedgerError> {
    let Some((stream_no, seq)) = committed else { return Ok(false) };
    Ok(tables::applied_seq(session, stream_no)?.is_none_or(|held| held < seq))
}

impl Ledger for PostgresLedger {
    fn apply(&mut self, group: &[Job], now_ms: i64) -> Result<Vec<Outcome>, LedgerError> {
        let (outcomes, committed) = self.patiently(|session, months| {
            months.prepare(session, now_ms);
            let asked = Reading::of(group);
            group::carefully(|care| match care {
                // Ids that are known are rare enough to be looked up only when one was hit.
                Care::FullSpeed => match attempt(session, months, &asked, group, now_ms, care, false) {
                    Err(Fault::Content(_)) => attempt(session, months, &asked, group, now_ms, care, true),
                    done => done,
                },
                care => attempt(session, months, &asked, group, now_ms, care, true),
            })
        })?;
        self.committed = committed.or(self.committed);
        Ok(outcomes)
    }

    fn replay(&mut self, filter: &ParkedFilter, note: Option<&Note>, now_ms: i64) -> Result<ParkedStep, LedgerError> {
        self.patiently(|session, months| {
            months.prepare(session, now_ms);
            group::carefully(|care| {
                in_transaction(session, |session| {
                    let mut looking = PostgresTables::begin(session, &Reading::default(), now_ms, true)?;
                    let mut stores: BTreeSet<i64> = Step::next(&mut looking, filter, note)?.stores().collect();
                    loop {
                        let asked = Reading::of_stores(stores.iter().copied(), 0);
                        let mut tables = PostgresTables::begin(session, &asked, now_ms, true)?;
                        // What was seen before the stores were locked may have been done by somebody else meanwhile.
                        let step = Step::next(&mut tables, filter, note)?;
                        if step.stores().all(|store_no| stores.contains(&store_no)) {
                            let done = step.apply(&mut tables, now_ms, care)?;
                            months.note(tables.months_missing());
                            return Ok(done);
                        }
                        stores.extend(step.stores());
                    }
                })
            })
        })
    }

    fn repair(&mut self, repair: &Repair, now_ms: i64) -> Result<(), LedgerError> {
        // Once: it moves sums by what they lack, and where the answer to a commit is lost nobody knows whether it has. The
        // date is looked at again.
        self.at_most(1, |session, months| {
            months.prepare(session, now_ms);
            let done = in_transaction(session, |session| {
                let asked = Reading::of_stores(std::iter::once(repair.store_no), 0);
                let mut tables = PostgresTables::begin(session, &asked, now_ms, true)?;
                group::repair(&mut tables, repair, now_ms)?;
                months.note(tables.months_missing());
                Ok(())
            });
            done.map_err(as_error)
        })
    }

    fn restore(&mut self, restored: &Restored, now_ms: i64) -> Result<Result<(), RestoreRefused>, LedgerError> {
        self.patiently(|session, months| {
            months.prepare(session, now_ms);
            let done = in_transaction(session, |session| {
                let asked = Reading::of_restored(restored);
                let mut tables = PostgresTables::begin(session, &asked, now_ms, true)?;
                let done = group::restore(&mut tables, restored, now_ms)?;
                months.note(tables.months_missing());
                Ok(done)
            });
            done.map_err(as_error)
        })
    }

    fn fix(
        &mut self,
        parked_no: i64,
        correction: &Correction,
        note: &Note,
        now_ms: i64,
    ) -> Result<Result<(), ParkedRefused>, LedgerError> {
        self.patiently(|session, months| {
            months.prepare(session, now_ms);
            group::sound(in_transaction(session, |session| {
                let mut looking = PostgresTables::begin(session, &Reading::default(), now_ms, true)?;
                let seen = match Fix::prepare(&mut looking, parked_no, correction, note)? {
                    Ok(fix) => fix,
                    Err(refused) => return Ok(Err(refused)),
                };
                // An event beside the history needs a number of its own.
                let asked = Reading::of_stores(std::iter::once(seen.store()), 1).with_sale(seen.sale());
                let mut tables = PostgresTables::begin(session, &asked, now_ms, true)?;
                // Somebody else may have done something about it before its store was locked.
                let fix = match Fix::prepare(&mut tables, parked_no, correction, note)? {
                    Ok(fix) => fix,
                    Err(refused) => return Ok(Err(refused)),
                };
                let done = fix.apply(&mut tables, now_ms)?;
                months.note(tables.months_missing());
                Ok(done)
            }))
        })
    }

    fn waive(&mut self, parked_no: i64, note: &Note, now_ms: i64) -> Result<Result<(), ParkedRefused>, LedgerError> {
        self.patiently(|session, _| {
            group::sound(in_transaction(session, |session| {
                let store = database::store_of_parked(session, parked_no)?;
                let asked = Reading::of_stores(store.into_iter(), 0);
                let mut tables = PostgresTables::begin(session, &asked, now_ms, true)?;
                group::waive(&mut tables, parked_no, note, now_ms)
            }))
        })
    }

    fn tidy(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn went_back(&mut self) -> bool {
        std::mem::take(&mut self.went_back)
    }
}

/// What became of each message, and the newest place that was committed.
type Attempted = (Vec<Outcome>, Option<(i64, i64)>);

fn attempt(
    session: &Session,
    months: &mut Months,
    asked: &Reading<'_>,
    group: &[Job],
    now_ms: i64,
    care: Care,
    look_up_sales: bool,
) -> Result<Attempted, Fault> {
    in_transaction(session, |session| {
        let mut tables = PostgresTables::begin(session, asked, now_ms, look_up_sales)?;
        let outcomes = group::apply(&mut tables, group, now_ms, care)?;
        months.note(tables.months_missing());
        Ok((outcomes, tables.newest_place()))
    })
}

/// Does something in the transaction that `work` begins, or nothing.
fn in_transaction<T>(session: &Session, work: impl FnOnce(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
    match work(session) {
        Ok(done) => {
            session.batch("commit group", "COMMIT")?;
            Ok(done)
        }
        Err(fault) => {
            // What failed first is what is told; a connection that cannot even roll back is thrown away.
            if session.batch("roll back", "ROLLBACK; SELECT pg_advisory_unlock_all()").is_err() {
                session.give_up();
            }
            Err(fault)
        }
    }
}

/// A random part of a pause, so that servers that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random numbers the pause is its longest.
    if getrandom::fill(&mut random).is_err() {
        return pause;
    }
    let share = u64::from(u32::from_le_bytes(random));
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_mul(share) >> 32)
}

impl PostgresReader {
    /// Connects for reading; the ledger must be there, with this program's schema.
    pub fn open(settings: &PostgresSettings) -> Result<Self, LedgerError> {
        Self::check(Link::reader(settings))
    }

    /// Connects for the registry: stores and claim codes are changed beside the writer, in transactions of one row or
    /// two.
    pub fn open_registry(settings: &PostgresSettings) -> Result<Self, LedgerError> {
        Self::check(Link::registry(settings))
    }

    /// Connects for making roll-ups, as long as it takes.
    pub fn open_roll_ups(settings: &PostgresSettings) -> Result<Self, LedgerError> {
        Self::check(Link::roll_ups(settings))
    }

    fn check(link: Link) -> Result<Self, LedgerError> {
        link.with(migrate::check)?;
        Ok(Self { link })
    }
}
