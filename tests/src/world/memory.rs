//! Disks of a world: SQLite databases in memory that outlive the program which uses them.
//!
//! Each is held open by a connection of the world's own, beside the one of the program. The world reads through it what
//! is durable, copies it, damages it and takes its room away; a program that dies loses nothing but its connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

/// A database that a world holds.
#[derive(Debug)]
pub(super) struct Memory {
    name: String,
    keeper: Connection,
}

/// More pages than any world fills.
const PAGES_PLENTY: u32 = 1_000_000;

impl Memory {
    /// An empty one.
    pub(super) fn new() -> Self {
        // The name has to differ between the worlds of a process; nothing of a run depends on it.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:world-{}?mode=memory&cache=shared", NUMBER.fetch_add(1, Ordering::Relaxed));
        let keeper = connect(&name);
        Self { name, keeper }
    }

    /// A connection for a program.
    pub(super) fn open(&self) -> Connection {
        connect(&self.name)
    }

    /// The world's own connection.
    pub(super) fn look(&self) -> &Connection {
        &self.keeper
    }

    /// A copy of what is durable.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        Backup::new(&self.keeper, &mut copy.keeper)
            .and_then(|backup| backup.run_to_completion(i32::MAX, Duration::ZERO, None))
            .expect("memory can be copied");
        copy
    }

    /// Leaves room for so many more pages, or for plenty.
    pub(super) fn limit(&self, pages_more: Option<u32>) {
        let used: u32 = self.keeper.pragma_query_value(None, "page_count", |row| row.get(0)).expect("counts pages");
        let pages = pages_more.map_or(PAGES_PLENTY, |more| used + more);
        self.keeper
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, u32>(0))
            .expect("a limit can be set");
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

fn connect(name: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(name, flags).expect("memory can be opened")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_dies_loses_what_it_had_not_committed() {
        let disk = Memory::new();
        let program = disk.open();
        program
            .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)")
            .expect("writes");
        drop(program);
        let copy = disk.copy();
        disk.open().execute_batch("INSERT INTO t VALUES (3)").expect("writes");
        let count = |disk: &Memory| disk.look().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!((count(&disk).expect("reads"), count(&copy).expect("reads")), (2, 1));
    }

    #[test]
    fn a_full_disk_has_room_again_later() {
        let disk = Memory::new();
        let program = disk.open();
        program.execute_batch("CREATE TABLE t (x)").expect("writes");
        disk.limit(Some(1));
        let mut written = 0;
        while program.execute("INSERT INTO t VALUES (zeroblob(1000))", []).is_ok() {
            written += 1;
        }
        assert!(written < 10);
        disk.limit(None);
        program.execute("INSERT INTO t VALUES (zeroblob(100000))", []).expect("has room");
    }
}
