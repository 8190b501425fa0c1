//! Reading beside the writer: a few read-only connections, each used for one short look.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::db::{self, Reader, View};

/// Looks at the same time. Each occupies a thread and a connection of some hundred KiB.
const READERS_MAX: usize = 4;

/// A look at the books failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The books could not be read.
    #[error("read the books")]
    Books(#[source] db::Error),
    /// The runtime is shutting down.
    #[error("read the books: the agent is shutting down")]
    Closed,
}

/// The read-only connections. Clones share them.
#[derive(Clone)]
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    permits: Semaphore,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Readers {
    /// Reads this file. Connections open when they are needed.
    pub fn new(path: &Path) -> Self {
        let shared = Shared {
            path: path.to_owned(),
            idle: Mutex::new(Vec::with_capacity(READERS_MAX)),
            permits: Semaphore::new(READERS_MAX),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Looks at the books. Waits while too many others look.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(View<'_>) -> Result<T, db::Error> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _permit = self.shared.permits.acquire().await.map_err(|_| ReadError::Closed)?;
        let shared = Arc::clone(&self.shared);
        let looked = tokio::task::spawn_blocking(move || shared.read(look)).await.map_err(|_| ReadError::Closed)?;
        looked.map_err(ReadError::Books)
    }
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(View<'_>) -> Result<T, db::Error>) -> Result<T, db::Error> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let reader = taken.map_or_else(|| Reader::open(&self.path), Ok)?;
        let looked = look(reader.view());
        // A connection that failed is not used again: the next look opens a fresh one.
        if looked.is_ok() {
            idle().push(reader);
        }
        looked
    }
}
