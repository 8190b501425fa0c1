//! The schema's versions. Migrations are numbered from 1, linear, and never edited after a release.

use super::session::Session;
use crate::ledger::LedgerError;

const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_instances.sql"),
    include_str!("migrations/0003_rollups.sql"),
    include_str!("migrations/0004_parking.sql"),
    include_str!("migrations/0005_reconciliation.sql"),
];

const DOING: &str = "bring the schema up to date";

/// Where the version stands. Its name says that the schema is a ledger's.
const VERSION_TABLE: &str =
    "CREATE TABLE breakwater_schema (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL);
    INSERT INTO breakwater_schema VALUES (1, 0)";

/// Servers that start together take turns. The lock ends with its transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('breakwater schema'))";

/// Brings the schema up to date; each step is a database transaction.
pub(super) fn migrate(session: &Session) -> Result<(), LedgerError> {
    // Nothing is locked where nothing is to be done.
    while version(session)? != Some(known()) {
        session.batch(DOING, "BEGIN")?;
        let done = step(session);
        match done {
            Ok(()) => session.batch(DOING, "COMMIT")?,
            Err(error) => {
                if session.batch(DOING, "ROLLBACK").is_err() {
                    session.give_up();
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

fn step(session: &Session) -> Result<(), LedgerError> {
    session.batch(DOING, LOCK)?;
    let version = match version(session)? {
        Some(version) => version,
        None => {
            session.batch(DOING, VERSION_TABLE)?;
            0
        }
    };
    let Some(migration) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version)) else {
        return Ok(());
    };
    session.batch(DOING, migration)?;
    session.batch(DOING, &format!("UPDATE breakwater_schema SET version = {}", version + 1))
}

/// Checks that the schema is this program's.
pub(super) fn check(session: &Session) -> Result<(), LedgerError> {
    match version(session)? {
        Some(version) if version == known() => Ok(()),
        Some(version) => Err(LedgerError::OlderSchema { found: version, known: known() }),
        None => Err(LedgerError::NoLedger),
    }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful of migrations")
}

/// The version of the schema that the connection works in; none of one without tables of ours. One with tables of something
/// else is refused.
fn version(session: &Session) -> Result<Option<i64>, LedgerError> {
    let doing = "read the schema's version";
    let look = "SELECT to_regclass('breakwater_schema') IS NOT NULL, EXISTS (SELECT 1 FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname IN ('stores', 'sales', 'batches', 'streams')),
        current_database()::text";
    let row = session.wait(doing, session.client().query_one(look, &[]))?;
    let failed = |source| LedgerError::Postgres { doing, source: Box::new(source) };
    if !row.try_get::<_, bool>(0).map_err(failed)? {
        let foreign: Option<bool> = row.try_get(1).map_err(failed)?;
        let name: String = row.try_get(2).map_err(failed)?;
        return if foreign == Some(true) { Err(LedgerError::NotALedger(format!("database {name}"))) } else { Ok(None) };
    }
    let row = session.wait(doing, session.client().query_one("SELECT version FROM breakwater_schema", &[]))?;
    let found = i64::from(row.try_get::<_, i32>(0).map_err(failed)?);
    if found > known() {
        return Err(LedgerError::NewerSchema { found, known: known() });
    }
    Ok(Some(found))
}
