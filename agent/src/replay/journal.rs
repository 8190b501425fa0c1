//! Which sales the agent has confirmed, one id per line, so that a replay that is taken up again asks only for the rest.
//!
//! The journal saves time and nothing else: without it every sale is asked for again, and the agent, which knows the
//! ids, makes none twice. So it is written without waiting for the disk, and a torn last line is dropped. An agent whose
//! folder was put back to an older copy has lost sales that the journal knows: delete the journal then.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use pos_model::SaleId;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// The file.
    #[error("open it")]
    Open(#[source] io::Error),
    /// It is another replay's.
    #[error(
        "the journal begins with {found:?} instead of {expected:?}: it belongs to another replay, or is no journal"
    )]
    Other {
        /// Its first line.
        found: String,
        /// That of this replay.
        expected: String,
    },
    /// Writing.
    #[error("write it")]
    Write(#[source] io::Error),
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    confirmed: HashSet<SaleId>,
    file: BufWriter<File>,
}

impl Journal {
    /// Opens or makes the journal of this store and source.
    pub(super) fn open(path: &Path, store: &str, source: &str) -> Result<Self, JournalError> {
        let head = format!("breakwater-replay 1 store={store:?} source={source:?}");
        let text = match std::fs::read(path) {
            // Whatever a power cut left in it, a line that is no id is skipped.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(JournalError::Open(error)),
        };
        let mut lines = text.lines();
        let first = lines.next();
        if let Some(found) = first.filter(|&found| found != head) {
            return Err(JournalError::Other { found: found.chars().take(120).collect(), expected: head });
        }
        let confirmed = lines.filter_map(|line| line.parse().ok()).collect();
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(JournalError::Open)?;
        let mut journal = Self { confirmed, file: BufWriter::new(file) };
        if first.is_none() {
            writeln!(journal.file, "{head}").map_err(JournalError::Write)?;
        } else if !text.ends_with('\n') {
            writeln!(journal.file).map_err(JournalError::Write)?;
        }
        journal.flush()?;
        Ok(journal)
    }

    pub(super) fn has(&self, sale_id: SaleId) -> bool {
        self.confirmed.contains(&sale_id)
    }

    pub(super) fn confirm(&mut self, sale_id: SaleId) -> Result<(), JournalError> {
        writeln!(self.file, "{sale_id}").map_err(JournalError::Write)
    }

    pub(super) fn flush(&mut self) -> Result<(), JournalError> {
        self.file.flush().map_err(JournalError::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::plan::sale_id;

    #[test]
    fn what_is_confirmed_stays_so() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("journal");
        let id = |number: &str| sale_id("s", "f", &[number.to_owned()]);
        let mut journal = Journal::open(&path, "s", "f").expect("made");
        assert!(!journal.has(id("1")));
        journal.confirm(id("1")).expect("written");
        journal.confirm(id("2")).expect("written");
        drop(journal);

        // A crash tears the last line off in the middle.
        let text = std::fs::read(&path).expect("there");
        std::fs::write(&path, &text[..text.len() - 5]).expect("cut");
        let mut journal = Journal::open(&path, "s", "f").expect("opened");
        assert!(journal.has(id("1")) && !journal.has(id("2")));
        journal.confirm(id("3")).expect("written");
        drop(journal);
        assert!(Journal::open(&path, "s", "f").expect("opened").has(id("3")));

        assert!(matches!(Journal::open(&path, "other", "f"), Err(JournalError::Other { .. })));
    }
}
