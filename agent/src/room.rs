//! Whether there is room on the disk for the next sale.
//!
//! A full disk refuses sales and breaks nothing. People have to hear of it before the queue at the counter does, and selling
//! has to go on by itself when somebody has made room. So the writer says when the books found no room ([`NoRoom`]), and
//! this looks every second: whether the disk is about to be full, and whether there is room again.
//!
//! Before the start a file is tried as well, because what a file system says of its room may be a lie. Beside the selling no
//! file is tried: it would take the room of the sale that still fits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::db::{Durability, Failure, Store};
use crate::telemetry;
use crate::writer::{WriteError, Writer};

/// The bytes that have to be free: a few of the largest sales, each with its pages in the log.
pub const ROOM_BYTES: u64 = 256 * 1024;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file that is written to find out, and removed.
const TRIAL_FILE: &str = "room.trial";

/// Sales cannot be recorded for want of room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: i64,
    /// What was seen.
    pub why: String,
}

/// Bytes that this program may still write beside the books; none where the file system does not say.
pub fn disk_free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    // One that knows of no size at all knows of no room either.
    (stat.f_blocks > 0).then_some(stat.f_bavail)?.checked_mul(stat.f_frsize)
}

/// What is said of a folder in which too little is free for sales; none while there is enough.
fn shortage(data_dir: &Path) -> Option<String> {
    let free = disk_free(data_dir).filter(|free| *free < ROOM_BYTES)?;
    Some(format!("{free} bytes are free in {}, less than {ROOM_BYTES}", data_dir.display()))
}

/// Whether the folder has room for an agent that starts; what is in the way, if it has none. Blocks.
pub fn try_to_start(data_dir: &Path) -> Result<(), String> {
    let Some(shortage) = shortage(data_dir) else { return Ok(()) };
    try_room(data_dir).map_err(|error| format!("{shortage}: {error}"))
}

/// Writes a file and removes it. Any failure but a full disk says nothing of room.
fn try_room(data_dir: &Path) -> io::Result<()> {
    let path = data_dir.join(TRIAL_FILE);
    let written = File::create(&path).and_then(|mut file| {
        let block = [0x5a; 4096];
        (0..ROOM_BYTES.div_ceil(4096)).try_for_each(|_| file.write_all(&block))?;
        file.sync_all()
    });
    // One that stays is written over by the next trial.
    let _ = fs::remove_file(&path);
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Err(error),
        _ => Ok(()),
    }
}

/// Looks until the agent ends.
pub(crate) async fn run(writer: Writer, data_dir: PathBuf, mut shutdown: watch::Receiver<bool>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = shutdown.wait_for(|&ending| ending) => return,
        }
        let looked = tokio::task::spawn_blocking({
            let data_dir = data_dir.clone();
            move || shortage(&data_dir)
        });
        match looked.await {
            Ok(Some(why)) => writer.tell_of_no_room(why),
            Ok(None) if writer.no_room().is_some() && writer.stopped().is_none() => {
                see_whether_it_is_over(&writer).await
            }
            // A look that failed by a defect says nothing.
            _ => {}
        }
    }
}

/// There is room on the disk; whether the books find it is seen by writing to them, as durably as a sale.
async fn see_whether_it_is_over(writer: &Writer) {
    match writer.run(Durability::Promise, Store::try_to_write).await {
        Ok(()) => writer.tell_of_room(),
        Err(WriteError::Failed { failure: Failure::DiskFull, .. } | WriteError::Closed) => {}
        Err(error) => telemetry::housekeeping_failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_room_has_room_and_nothing_stays_of_the_trial() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!((shortage(folder.path()), try_to_start(folder.path())), (None, Ok(())));
        try_room(folder.path()).expect("has room");
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
        // What cannot be tried is not full.
        try_room(&folder.path().join("nowhere")).expect("says nothing");
    }
}
