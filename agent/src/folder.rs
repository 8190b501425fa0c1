//! The data folder: what lies in it, and who works on it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The store's books.
pub const BOOKS_FILE: &str = "store.db";

/// Locked by the agent that works on the folder; holds its process id.
pub const LOCK_FILE: &str = "agent.lock";

/// The address of the local API while the agent runs, such as `127.0.0.1:8090`.
pub const ADDRESS_FILE: &str = "agent.addr";

/// The folder cannot be worked on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum FolderError {
    /// It, or a file in it, cannot be made.
    #[error("make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    /// Another process works on it.
    #[error("use the folder {}: another agent works on it (process {holder})", path.display())]
    InUse { path: PathBuf, holder: String },
}

/// A folder that this process alone works on, for as long as this value lives. The lock ends with the process, however
/// it ends.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is missing, and locks it.
    pub fn lock(path: &Path) -> Result<Self, FolderError> {
        let make = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Make { path, source }
        };
        prepare(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&lock_path).map_err(make(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; another text in the file is shown as it is.
                let _ = lock.take(20).read_to_string(&mut holder);
                return Err(FolderError::InUse { path: path.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(make(&lock_path)(source)),
        }
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        if let Err(error) = noted
            && error.kind() != io::ErrorKind::StorageFull
        {
            return Err(make(&lock_path)(error));
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the books are.
    pub fn books(&self) -> PathBuf {
        books(&self.path)
    }

    /// Tells other programs on this machine where the local API is.
    pub fn announce(&self, address: SocketAddr) -> Result<(), FolderError> {
        let path = self.path.join(ADDRESS_FILE);
        let beside = self.path.join(format!("{ADDRESS_FILE}.new"));
        let written = fs::write(&beside, format!("{address}\n")).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|source| FolderError::Make { path, source })
    }

    /// Takes the announcement back, and the token by which the owner spoke to this run.
    pub fn withdraw(&self) {
        // A file that stays names an address where nobody answers, which a reader finds out.
        let _ = fs::remove_file(self.path.join(ADDRESS_FILE));
        crate::owner::withdraw(&self.path);
    }
}

/// Makes the folder if it is missing, readable by its owner only.
pub fn prepare(path: &Path) -> Result<(), FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| FolderError::Make { path: path.to_owned(), source })
}

/// Whether an agent works on the folder at this moment.
pub fn is_in_use(path: &Path) -> bool {
    File::open(path.join(LOCK_FILE)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Where the agent that works on the folder answers, if one does.
pub fn announced(path: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path.join(ADDRESS_FILE)).ok()?.trim().parse().ok()
}

/// Where the books of a folder are.
pub fn books(data_dir: &Path) -> PathBuf {
    data_dir.join(BOOKS_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_at_a_time() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("a/b");
        let first = Folder::lock(&path).expect("locks");
        let error = Folder::lock(&path).expect_err("must be refused").to_string();
        assert!(error.contains("another agent") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        drop(Folder::lock(&path).expect("locks again"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_address_comes_and_goes() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = Folder::lock(parent.path()).expect("locks");
        folder.announce("127.0.0.1:8090".parse().expect("valid")).expect("writes");
        let path = parent.path().join(ADDRESS_FILE);
        assert_eq!(fs::read_to_string(&path).expect("reads"), "127.0.0.1:8090\n");
        assert_eq!(announced(parent.path()), "127.0.0.1:8090".parse().ok());
        folder.withdraw();
        folder.withdraw();
        assert!(!path.exists());
        assert_eq!(announced(parent.path()), None);
    }
}
