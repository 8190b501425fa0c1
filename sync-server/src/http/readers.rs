//! Reading connections for requests: a few, opened once, each used by one request at a time on a blocking thread. A
//! request waits for one; the writer never waits for any of them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::problem::ApiError;
use crate::ledger::{LedgerError, LedgerHome, Reader};

/// Requests that read at the same time.
const READERS: usize = 4;

/// The pool.
#[derive(Debug, Clone)]
pub struct Readers {
    idle: Arc<Mutex<Vec<Box<dyn Reader + Send>>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens the connections.
    pub fn open(home: &LedgerHome) -> Result<Self, LedgerError> {
        let idle = (0..READERS).map(|_| home.reader()).collect::<Result<_, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    /// Reads on a connection of the pool.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let closed = |_| ApiError::unavailable("the server stops");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let idle = Arc::clone(&self.idle);
        let task = tokio::task::spawn_blocking(move || {
            let reader = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = reader.expect("there are as many readers as permits");
            let result = work(&*reader);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            drop(permit);
            result
        });
        match task.await {
            Ok(result) => result.map_err(ApiError::from),
            Err(_) => Err(ApiError::unavailable("the request was given up")),
        }
    }
}
