//! The write-ahead log of the SQLite home: when its pages move, and that the writer waits for no reader of it.

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use support::*;
use sync_server::ledger::{Ledger, SqliteLedger, SqliteSettings};

/// A bound that some twenty small groups reach.
const LOG_KIB: u32 = 2048;
const LOG_BYTES: u64 = LOG_KIB as u64 * 1024;

/// More than a group of one sale writes.
const GROUP_BYTES: u64 = 256 * 1024;

/// Far above what a checkpoint of this size takes, far below what a connection waits for another one.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The log's frames, and those of them that are in the database file already.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Log {
    frames: i64,
    moved: i64,
}

/// A ledger, and a connection that looks at it from outside.
struct Watched {
    ledger: SqliteLedger,
    outside: Connection,
    history: History,
    sales: u64,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("ledger.db");
        let settings = SqliteSettings { wal_kib_max: LOG_KIB, ..SqliteSettings::STANDARD };
        let mut ledger = SqliteLedger::open(&path, &settings).expect("opens");
        let history = History::open("a", 1, None);
        apply_batch(&mut ledger, history.all());
        let outside = Connection::open(&path).expect("opens");
        outside.busy_timeout(Duration::ZERO).expect("set");
        // The schema alone fills half of a log as small as this one.
        outside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody reads");
        Self { ledger, outside, history, sales: 0, path, _folder: folder }
    }

    /// Applies a group of one sale and does the housekeeping; says how the log is after it.
    fn group(&mut self) -> Log {
        self.sales += 1;
        self.history.sell_many(self.sales, 1);
        let last = self.history.events.len();
        apply_batch(&mut self.ledger, self.history.batch(last, last));
        let started = Instant::now();
        self.ledger.tidy().expect("the database is well");
        assert!(started.elapsed() < AT_ONCE, "the housekeeping waited for {:?}", started.elapsed());
        self.log()
    }

    fn log(&self) -> Log {
        let read = |row: &rusqlite::Row<'_>| Ok(Log { frames: row.get(1)?, moved: row.get(2)? });
        self.outside.query_row("PRAGMA wal_checkpoint(NOOP)", [], read).expect("readable")
    }

    fn groups_until(&mut self, reached: impl Fn(Log) -> bool) -> Log {
        (0..1000).map(|_| self.group()).find(|log| reached(*log)).expect("it comes to that within a thousand groups")
    }

    fn file_bytes(&self) -> u64 {
        std::fs::metadata(self.path.with_extension("db-wal")).expect("there is a log").len()
    }
}

#[test]
fn pages_move_when_the_log_has_grown_and_not_after_each_group() {
    let mut watched = Watched::new();
    for _ in 0..3 {
        let full = watched.groups_until(|log| log.moved > 0);
        assert_eq!(full.moved, full.frames, "nobody reads, so all of them move");
        assert!(watched.file_bytes() < LOG_BYTES + GROUP_BYTES);
        for _ in 0..8 {
            let log = watched.group();
            assert!(log.moved == 0 && log.frames < full.frames, "the log began anew and is far from full: {log:?}");
        }
    }
}

#[test]
fn a_reader_lets_the_log_grow_and_holds_nobody_up() {
    let mut watched = Watched::new();
    watched.group();
    let reader = Connection::open(&watched.path).expect("opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM sales").expect("readable");
    let first = watched.groups_until(|log| log.moved > 0);
    assert!(first.moved < first.frames / 2, "what the reader needs stays: {first:?}");
    let later = watched.groups_until(|log| log.frames > first.frames * 5 / 2);
    assert_eq!(later.moved, first.moved);
    assert!(watched.file_bytes() > LOG_BYTES * 2);

    reader.execute_batch("COMMIT").expect("ends");
    let next = watched.group();
    assert_eq!(next.moved, first.moved, "it is tried again when as much again has come, not after each group");
    let full = watched.groups_until(|log| log.moved == log.frames);
    assert!(full.frames <= later.frames + first.frames, "{full:?}");
    let anew = watched.group();
    assert_eq!((anew.moved, anew.frames < first.frames), (0, true), "{anew:?}");
    assert!(watched.file_bytes() < LOG_BYTES + GROUP_BYTES, "the file is cut");
    books_balance(&watched.ledger);
}
