//! Waiting for room on a full disk before the agent can start.
//!
//! What tills hear meanwhile is the same as later on a full disk, so a screen says what is the matter, and the till tries
//! again by itself. A program that ended instead would be started again and again, and would say nothing to any till.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::StoreClock;
use crate::db::{Head, PaperPlan, Rules, Store};
use crate::http::ApiError;
use crate::http::listener::Bounded;
use crate::run::{RunError, open_books};
use crate::{room, telemetry};

/// Between two tries: a till that waits hardly notices it.
const RETRY: Duration = Duration::from_secs(1);

/// What is needed to open the books.
pub(crate) struct Opening {
    /// The file.
    pub(crate) books: PathBuf,
    /// The folder in which it lies.
    pub(crate) data_dir: PathBuf,
    /// What the sales obey.
    pub(crate) rules: Rules,
    /// What is printed.
    pub(crate) paper: PaperPlan,
    /// By which the epoch is opened.
    pub(crate) clock: StoreClock,
}

/// The books are not open.
pub(crate) enum WaitError {
    /// Nobody could be answered.
    Listen(io::Error),
    /// They could not be opened, and that is not for want of room.
    Opening(RunError),
    /// The agent was told to end.
    ToldToEnd,
}

impl Opening {
    async fn once(&self) -> Result<(Store, Head), RunError> {
        let Self { books, data_dir, rules, paper, clock } = self;
        let (books, data_dir, rules, paper, clock) =
            (books.clone(), data_dir.clone(), *rules, paper.clone(), clock.clone());
        let opening = tokio::task::spawn_blocking(move || {
            room::try_to_start(&data_dir).map_err(RunError::NoRoom)?;
            open_books(&books, rules, paper, &clock)
        });
        opening.await.unwrap_or_else(|error| Err(RunError::Ended(error.to_string())))
    }

    /// Tries until it fails for another reason than want of room, or does not fail.
    async fn until_there_is_room(&self) -> Result<(Store, Head), RunError> {
        loop {
            tokio::time::sleep(RETRY).await;
            match self.once().await {
                Err(error) if error.no_room().is_some() => {}
                opened => return opened,
            }
        }
    }
}

/// Opens the books and an epoch in them. On a full disk it waits for room, and answers whoever connects to the listener.
pub(crate) async fn open(
    opening: Opening,
    listener: &TcpListener,
    shutdown: &mut (impl Future<Output = ()> + Unpin),
) -> Result<(Store, Head), WaitError> {
    let error = match opening.once().await {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let Some(why) = error.no_room() else { return Err(WaitError::Opening(error)) };
    telemetry::waits_for_room(&why);
    let desk = Desk::open(listener, why).map_err(WaitError::Listen)?;
    let opened = tokio::select! {
        opened = opening.until_there_is_room() => opened.map_err(WaitError::Opening),
        () = shutdown => Err(WaitError::ToldToEnd),
    };
    desk.close().await;
    opened
}

/// Answers on the address of the agent.
struct Desk {
    close: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

impl Desk {
    /// Answers every request with the reason. The listener stays the caller's: who connects while nobody answers any more
    /// waits for the agent itself.
    fn open(listener: &TcpListener, why: String) -> io::Result<Self> {
        let shared = rustix::io::fcntl_dupfd_cloexec(listener, 0)?;
        let listener = TcpListener::from_std(shared.into())?;
        let (close, closed) = oneshot::channel::<()>();
        let answer = move || {
            let why = why.clone();
            async move { ApiError::disk_full(why) }
        };
        let ended = async move {
            // An error means that the start has failed, which ends it as well.
            let _ = closed.await;
        };
        let serving = axum::serve(Bounded::new(listener), Router::new().fallback(answer)).with_graceful_shutdown(ended);
        Ok(Self { close, served: tokio::spawn(serving.into_future()) })
    }

    async fn close(self) {
        // An error means that it has ended already.
        let _ = self.close.send(());
        // Until its task has let go of the listener, it might take a connection with it.
        self.served.abort();
        let _ = self.served.await;
    }
}
