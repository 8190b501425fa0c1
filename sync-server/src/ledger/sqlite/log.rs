//! When pages move from the write-ahead log into the database file.
//!
//! - A checkpoint never waits. It moves the pages that no reader needs in the log any more, and leaves the others.
//! - Once all are moved and no reader looks into the log, SQLite itself begins it anew with the next write, and cuts
//!   the file to `journal_size_limit`. The file's length does not say what is left to move, so frames are counted.
//! - A reader that stays, such as an analyst's session or `verify`, lets the log grow and holds up nothing else. What
//!   it keeps from moving is tried again when as much again has been written, not after each group.

use std::time::Duration;

use rusqlite::Connection;

use super::During;
use crate::ledger::LedgerError;

/// What stands before each page in the log, in bytes.
const FRAME_HEADER_BYTES: i64 = 24;

/// A log that is so many times as long as it should be has a reader that somebody should know of.
const WARN_AT: i64 = 4;

/// How long the log may grow, and what was found when its pages were moved last.
#[derive(Debug)]
pub(super) struct LogBound {
    frames_max: i64,
    last: Log,
}

/// The log as SQLite counts it: its frames, and how many of them are in the database file already.
#[derive(Debug, Clone, Copy, Default)]
struct Log {
    frames: i64,
    moved: i64,
}

impl LogBound {
    /// Makes a connection the one that moves pages, when the log has grown by so many bytes.
    pub(super) fn set(connection: &Connection, bytes_max: i64) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", bytes_max)?;
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        Ok(Self { frames_max: (bytes_max / (page_bytes + FRAME_HEADER_BYTES)).max(1), last: Log::default() })
    }

    /// Moves pages if that is due.
    pub(super) fn keep(&mut self, connection: &Connection) -> Result<(), LedgerError> {
        let log = Log::read(connection)?;
        if log.is_begun_anew_since(self.last) {
            self.last = Log::default();
        }
        if log.frames - self.last.frames < self.frames_max {
            return Ok(());
        }
        let mut checkpoint = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)").during(MOVING)?;
        checkpoint.query_row([], |_| Ok(())).during(MOVING)?;
        self.last = Log::read(connection)?;
        if self.last.moved < self.last.frames && self.last.frames >= WARN_AT * self.frames_max {
            let Log { frames, moved } = self.last;
            tracing::warn!(frames, moved, "a reader keeps the write-ahead log from being emptied");
        }
        Ok(())
    }
}

/// Empties the log, for a service that ends in order: whoever copies the folder afterwards finds all in the ledger's file.
pub(super) fn empty(connection: &Connection) -> Result<(), LedgerError> {
    connection.busy_timeout(PATIENCE_AT_THE_END).during(MOVING)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).during(MOVING)
}

/// How long an end waits for readers. What stays in the log is as safe there, and the next start moves it.
const PATIENCE_AT_THE_END: Duration = Duration::from_millis(500);

const MOVING: &str = "move pages from the write-ahead log";

impl Log {
    fn read(connection: &Connection) -> Result<Self, LedgerError> {
        let mut look = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)").during(MOVING)?;
        look.query_row([], |row| Ok(Self { frames: row.get(1)?, moved: row.get(2)? })).during(MOVING)
    }

    fn is_begun_anew_since(self, before: Self) -> bool {
        self.frames < before.frames || self.moved < before.moved
    }
}
