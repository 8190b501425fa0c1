//! Opening and migrating the database file.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

use super::error::{Doing, Error};

/// The version of the schema that this program writes: the number of migrations.
pub const SCHEMA_VERSION: i64 = 10;

/// In order, never edited after release. The last one's place, and not the number in its name, is
/// [`SCHEMA_VERSION`].
pub(super) const MIGRATIONS: [&str; 10] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_price_books.sql"),
    include_str!("migrations/0003_counter.sql"),
    include_str!("migrations/0004_printing.sql"),
    include_str!("migrations/0005_payments.sql"),
    include_str!("migrations/0006_people.sql"),
    include_str!("migrations/0007_kitchen.sql"),
    include_str!("migrations/0008_stock.sql"),
    include_str!("migrations/0010_print_tills.sql"),
    include_str!("migrations/0011_payment_memory.sql"),
];

/// "BWst", in the header of every file of ours.
const APPLICATION_ID: i64 = 0x4257_7374;

/// The oldest SQLite whose write-ahead log is free of the reset race.
const SQLITE_LEAST: (&str, i32) = ("3.51.3", 3_051_003);

/// Above this many pages (16 MiB) a commit also moves the log into the file, which makes that one commit several times
/// as slow. A sale alone takes about nine pages, so it is one in four hundred: rare enough for the 99th percentile, and
/// a log of that size is read in a blink at the start. When nobody sells, housekeeping empties the log before.
const WAL_PAGES_BEFORE_CHECKPOINT: i64 = 4000;

/// What remains of the log file after it was moved, in bytes.
const WAL_BYTES_KEPT: i64 = 16 * 1024 * 1024;

/// How long a writer waits for a reader that blocks a checkpoint, or for a stranger's lock.
const BUSY_TIMEOUT: Duration = Duration::from_millis(2_000);

/// More than the number of different statements.
const STATEMENTS_CACHED: usize = 256;

/// Prepares a connection for writing: checks SQLite and the file, sets the pragmas, migrates.
pub(super) fn prepare_writer(connection: &mut Connection) -> Result<(), Error> {
    check_sqlite()?;
    check_file(connection)?;
    // An in-memory database answers "memory" and has no log; a file answers "wal".
    connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))
        .doing("switch to a write-ahead log")?;
    for (pragma, value) in [
        ("wal_autocheckpoint", WAL_PAGES_BEFORE_CHECKPOINT),
        ("journal_size_limit", WAL_BYTES_KEPT),
        ("foreign_keys", 1),
        // 2 is FULL: every commit is synced.
        ("synchronous", 2),
        // 8 MiB; the hot pages are few.
        ("cache_size", -8192),
        // 2 is MEMORY: no temporary files on a disk that may be full.
        ("temp_store", 2),
    ] {
        connection
            .pragma_update_and_check(None, pragma, value, |_| Ok(()))
            .optional()
            .doing("set the database's pragmas")?;
    }
    prepare_any(connection)?;
    migrate(connection)
}

/// Prepares a connection that only reads.
pub(super) fn prepare_reader(connection: &Connection) -> Result<(), Error> {
    check_sqlite()?;
    check_file(connection)?;
    let found = version(connection)?;
    if found < SCHEMA_VERSION {
        return Err(Error::Damaged(format!(
            "the database has version {found}; start the agent once to bring it to {SCHEMA_VERSION}"
        )));
    }
    connection.pragma_update(None, "query_only", true).doing("set the database's pragmas")?;
    prepare_any(connection)
}

fn prepare_any(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Without it SQLite, built with STAT4 as it is here, may plan a cached statement anew for every value bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).doing("keep the plans of statements")?;
    connection.busy_timeout(BUSY_TIMEOUT).doing("set the busy timeout")
}

fn check_sqlite() -> Result<(), Error> {
    let (least, number) = SQLITE_LEAST;
    if rusqlite::version_number() < number {
        return Err(Error::SqliteTooOld { found: rusqlite::version().to_owned(), least });
    }
    Ok(())
}

/// Refuses a newer database and one of another program, before anything is written to it.
fn check_file(connection: &Connection) -> Result<(), Error> {
    let read = |pragma| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).doing("read the database's header")
    };
    let (application, version) = (read("application_id")?, read("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .doing("read the database's tables")?;
    let untouched = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !untouched {
        return Err(Error::NotOurs { found: application });
    }
    if version > SCHEMA_VERSION {
        return Err(Error::Newer { found: version, known: SCHEMA_VERSION });
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).doing("read the database's version")
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let mut done = version(connection)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(done).unwrap_or(0)) {
        let transaction = connection.transaction().doing("begin a migration")?;
        transaction.execute_batch(migration).doing("migrate the database")?;
        done += 1;
        mark_as(&transaction, done)?;
        transaction.commit().doing("commit a migration")?;
    }
    Ok(())
}

/// Marks a database as ours, and of a version.
pub(super) fn mark_as(connection: &Connection, version: i64) -> Result<(), Error> {
    connection.pragma_update(None, "application_id", APPLICATION_ID).doing("mark the database as ours")?;
    connection.pragma_update(None, "user_version", version).doing("note the database's version")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(prepare: impl FnOnce(&Connection)) -> String {
        let mut connection = Connection::open_in_memory().expect("opens");
        prepare(&connection);
        prepare_writer(&mut connection).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_new_file_gets_the_newest_version_and_keeps_it() {
        let mut connection = Connection::open_in_memory().expect("opens");
        for _ in 0..2 {
            prepare_writer(&mut connection).expect("prepares");
            assert_eq!(version(&connection).expect("reads"), SCHEMA_VERSION);
        }
    }

    #[test]
    fn a_newer_database_is_refused_in_words() {
        let text = refused(|connection| {
            connection.pragma_update(None, "application_id", APPLICATION_ID).expect("writes");
            connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("writes");
        });
        assert!(
            text.contains(&format!("version {}", SCHEMA_VERSION + 1)) && text.contains("install the newer program"),
            "{text}"
        );
    }

    #[test]
    fn a_strangers_database_is_refused() {
        let text = refused(|connection| connection.execute_batch("CREATE TABLE recipe (x)").expect("writes"));
        assert!(text.contains("not a store's books"), "{text}");
        let text = refused(|connection| connection.pragma_update(None, "application_id", 7).expect("writes"));
        assert!(text.contains("0x00000007"), "{text}");
    }

    #[test]
    fn every_commit_is_synced() {
        let mut connection = Connection::open_in_memory().expect("opens");
        prepare_writer(&mut connection).expect("prepares");
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("reads");
        assert_eq!(synchronous, 2);
    }
}
