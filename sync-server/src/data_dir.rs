//! The data folder: who works on it, and what lies in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file whose lock says that a server works on the folder.
const LOCK_FILE: &str = "server.lock";

/// Holds the folder until it is dropped; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
}

impl DataDirLock {
    /// Notes where the API of this process is, for commands that find the folder taken.
    pub fn leave_address(&self, url: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(url.as_bytes())
    }
}

/// Where the API of the process is that works on the folder, if it said so.
pub fn address_left(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path.join(LOCK_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|url| !url.is_empty())
}

/// The folder cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It could not be made.
    #[error("make data folder {}", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lock file could not be opened.
    #[error("open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server has it.
    #[error("another breakwater-server works on data folder {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// Makes the folder if it is not there. What others may read of it is nothing.
pub fn make(path: &Path) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Make { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
}

/// Makes the folder and takes it for this process.
pub fn lock(path: &Path) -> Result<DataDirLock, DataDirError> {
    make(path)?;
    let file_path = path.join(LOCK_FILE);
    let failed = |source| DataDirError::Open { path: file_path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&file_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock { file }),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("a/b");
        let first = lock(&path).expect("free");
        let error = lock(&path).expect_err("taken");
        assert!(matches!(error, DataDirError::InUse { .. }), "{error}");
        drop(first);
        lock(&path).expect("free again");
    }
}
