//! Starting the parts in order, and draining them in the other order.
//!
//! Start: lock the folder, bind the address, wait for room on the disk if there is none, open the books, open an epoch,
//! start the writer, answer tills, keep house.
//! End: no more requests, no more housekeeping, what waits is written, the log goes into the file, the lock is given
//! back. Nothing that was answered depends on the end being orderly.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, any};
use protocol::latest::OpenReason;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::changes::Changes;
use crate::clock::{Clock, NoRandomness, StoreClock, SystemClock, random_epoch, random_event_id};
use crate::config::Config;
use crate::db::{self, Head, PaperPlan, Store};
use crate::doors::Doors;
use crate::folder::{Folder, FolderError};
use crate::http::listener::{Bounded, Peer};
use crate::http::{ApiParts, Counter, PICTURES_MAX, router};
use crate::identity::{Identity, IdentityError};
use crate::payment::{Payments, PaymentsError};
use crate::pin_desk::PinDesk;
use crate::price_book::Keeper;
use crate::printing::Printing;
use crate::readers::{ReadError, Readers};
use crate::status::Status;
use crate::training::Training;
use crate::uplink::task::LinkStatus;
use crate::uplink::{self, UplinkError};
use crate::waiting_room::{Opening, WaitError};
use crate::watched::Watch;
use crate::writer::{AGENT_VERSION, WriteError, Writer, WriterThread};
use crate::{clock_watch, day_start, housekeeping, owner, room, stock_watch, telemetry, training, waiting_room};

/// How long requests may take to finish when the agent ends.
const DRAIN: Duration = Duration::from_secs(5);

/// The agent could not start, or did not run to its end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum RunError {
    #[error("take the data folder")]
    Folder(#[source] FolderError),
    #[error("learn who this store is")]
    Identity(#[source] IdentityError),
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("open the books")]
    Books(#[source] db::Error),
    #[error("find room on the disk: {0}")]
    NoRoom(String),
    #[error("start: told to end while it waited for room on the disk")]
    ToldToEnd,
    #[error("open an epoch")]
    Randomness(#[source] NoRandomness),
    #[error("read the store's price book")]
    PriceBook(#[source] ReadError),
    #[error("set up the payment terminals")]
    Payments(#[source] PaymentsError),
    #[error("read the print jobs")]
    Printing(#[source] WriteError),
    #[error("leave the owner's token in the data folder")]
    OwnerToken(#[source] std::io::Error),
    #[error("read who may come in")]
    Doors(#[source] ReadError),
    #[error("set up the way to the centre")]
    Uplink(#[source] UplinkError),
    #[error("start the writer")]
    Writer(#[source] std::io::Error),
    #[error("run: a part of the agent has ended: {0}")]
    Ended(String),
}

impl RunError {
    /// What is in the way, if room on the disk is all that is missing.
    pub(crate) fn no_room(&self) -> Option<String> {
        match self {
            Self::NoRoom(why) => Some(why.clone()),
            Self::Books(error) if error.failure() == db::Failure::DiskFull => Some(error.chain()),
            _ => None,
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Running {
    /// Where the local API answers.
    pub address: SocketAddr,
    /// The opening of this run's epoch.
    pub opened: Head,
    /// Whether the folder is a store of the centre, and what is sold goes there.
    pub is_enrolled: bool,
    /// The way to the books for writing.
    pub writer: Writer,
    /// The way to the books for reading.
    pub readers: Readers,
    done: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Waits until the agent has ended.
    pub async fn finished(self) -> Result<(), RunError> {
        self.done.await.unwrap_or_else(|error| Err(RunError::Ended(error.to_string())))
    }
}

/// Starts the agent. It answers when this returns, and ends when `shutdown` does.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<Running, RunError> {
    run_with_clock(config, Arc::new(SystemClock), shutdown).await
}

/// As [`run`], by another clock.
pub async fn run_with_clock(
    config: Config,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Running, RunError> {
    let mut shutdown = Box::pin(shutdown);
    let folder = Folder::lock(&config.data_dir).map_err(RunError::Folder)?;
    let identity = Identity::load(&config.data_dir).map_err(RunError::Identity)?;
    let listen = |source| RunError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let clock = StoreClock::new(clock, config.store.time_zone.clone());
    let rules = config.store.rules;
    let books = folder.books();
    let paper = config.paper_plan();
    let opening = Opening {
        books: books.clone(),
        data_dir: config.data_dir.clone(),
        rules,
        paper: paper.clone(),
        clock: clock.clone(),
    };
    let (store, opened) = waiting_room::open(opening, &listener, &mut shutdown).await.map_err(|error| match error {
        WaitError::Listen(source) => listen(source),
        WaitError::Opening(error) => error,
        WaitError::ToldToEnd => RunError::ToldToEnd,
    })?;
    let currency = store.currency();
    let changes = Changes::new(opened.place.epoch);
    let (writer, thread) = Writer::start(store, opened, clock.clone(), changes.clone()).map_err(RunError::Writer)?;
    let readers = Readers::new(&books);

    let (ending, ended) = watch::channel(false);
    let (link, link_status) = watch::channel(LinkStatus::NOT_ENROLLED);
    let mut tasks = JoinSet::new();
    let store_id = identity.as_ref().map(|identity| identity.store_id.clone());
    let (keeper, book) =
        Keeper::start(&config.data_dir, currency, writer.clone(), &readers).await.map_err(RunError::PriceBook)?;
    let kept = Watch::new(writer.clone(), ended.clone());
    tasks.spawn(kept.clone().keep("price_book", {
        let (keeper, ended) = (Arc::new(keeper), ended.clone());
        move || {
            let (keeper, ended) = (Arc::clone(&keeper), ended.clone());
            async move { keeper.run(ended).await }
        }
    }));
    let payments = Payments::start(&config.payment, currency, writer.clone(), readers.clone(), ended.clone()).await;
    let payments = payments.map_err(RunError::Payments)?;
    tasks.spawn(kept.clone().keep("payments", {
        let payments = payments.clone();
        move || payments.clone().run()
    }));
    let printing =
        Printing::start(config.printers.clone(), &config.data_dir, &writer, &readers, &mut tasks, &kept, &ended).await;
    let printing = printing.map_err(RunError::Printing)?;
    let status = Status {
        store_id,
        currency,
        link: link_status,
        readers: readers.clone(),
        writer: writer.clone(),
        book: book.clone(),
    };
    if let Some(identity) = &identity {
        let (to_write, readers) = (writer.clone(), readers.clone());
        let task = uplink::sync_task(identity, &config.centre, &config.data_dir, to_write, readers, link);
        let task = task.map_err(RunError::Uplink)?.run(ended.clone());
        tasks.spawn(watched(task, writer.clone()));
    }
    tasks.spawn(kept.clone().keep("status", {
        let (status, changes, ended) = (status.clone(), changes.clone(), ended.clone());
        move || status.clone().publish(changes.clone(), ended.clone())
    }));
    let shared = (writer.clone(), readers.clone(), ended.clone());
    tasks.spawn(kept.clone().keep("day_start", {
        let (writer, _, ended) = shared.clone();
        move || day_start::run(writer.clone(), rules.cut_off, ended.clone())
    }));
    tasks.spawn(kept.clone().keep("room", {
        let ((writer, _, ended), data_dir) = (shared.clone(), config.data_dir.clone());
        move || room::run(writer.clone(), data_dir.clone(), ended.clone())
    }));
    tasks.spawn(kept.clone().keep("housekeeping", {
        let ((writer, _, ended), retention_ms) = (shared.clone(), config.retention_ms);
        move || housekeeping::run(writer.clone(), retention_ms, ended.clone())
    }));
    tasks.spawn(kept.clone().keep("stock_watch", {
        let (writer, readers, ended) = shared.clone();
        move || stock_watch::run(writer.clone(), readers.clone(), ended.clone())
    }));
    tasks.spawn(kept.keep("clock_watch", {
        let (writer, readers, ended) = shared;
        move || clock_watch::run(writer.clone(), readers.clone(), opened.place, ended.clone())
    }));
    let owner_token = owner::Token::random().map_err(RunError::Randomness)?;
    owner::leave(&config.data_dir, &owner_token).map_err(RunError::OwnerToken)?;
    let doors = Doors::new(config.tills, owner_token.hash(), writer.clone(), readers.clone());

    let doors = doors.await.map_err(RunError::Doors)?;
    let counter = Counter {
        book,
        cut_off: rules.cut_off,
        region: config.store.region.clone(),
        groups: config.store.groups.clone(),
        own_prices: config.store.own_prices,
        change_minor_max: till::limits::change_minor_max(currency),
    };
    let training = Training::new(training::Surroundings {
        config: config.clone(),
        clock,
        counter: counter.clone(),
        doors: doors.clone(),
        paper,
        notices: writer.clone(),
        ended: ended.clone(),
    });
    let parts = ApiParts {
        writer: writer.clone(),
        readers: readers.clone(),
        status,
        counter,
        cover_rule: config.stock,
        payments,
        changes,
        printing,
        pictures: Arc::new(Semaphore::new(PICTURES_MAX)),
        doors,
        pins: PinDesk::new(writer.clone()),
        is_training: false,
        shutdown: ended.clone(),
    };
    let to_train: MethodRouter = any(training::answer).with_state(training.clone());
    let server =
        tokio::spawn(serve(listener, Router::new().nest_service("/training", to_train).merge(router(parts)), ended));
    folder.announce(address).map_err(RunError::Folder)?;
    telemetry::started(address, opened.place.epoch, identity.as_ref().map(|identity| &identity.store_id));

    let drain = Drain { folder, ending, tasks, server, training, writer: writer.clone(), thread };
    let done = tokio::spawn(drain.when(shutdown));
    Ok(Running { address, opened, is_enrolled: identity.is_some(), writer, readers, done })
}

/// Opens books and an epoch in them.
pub(crate) fn open_books(
    path: &std::path::Path,
    rules: db::Rules,
    paper: PaperPlan,
    clock: &StoreClock,
) -> Result<(Store, Head), RunError> {
    let mut store = Store::open(path, rules).map_err(RunError::Books)?;
    store.set_paper(paper);
    let now = clock.now();
    let epoch = random_epoch().map_err(RunError::Randomness)?;
    let event_id = random_event_id(now.utc_ms).map_err(RunError::Randomness)?;
    let opened = store.open_epoch(epoch, event_id, now, OpenReason::Start, AGENT_VERSION).map_err(RunError::Books)?;
    Ok((store, opened))
}

async fn serve(listener: TcpListener, router: Router, mut ended: watch::Receiver<bool>) -> std::io::Result<()> {
    let ending = async move {
        // An error means that the sender is gone, and with it the agent.
        let _ = ended.wait_for(|&ending| ending).await;
    };
    axum::serve(Bounded::new(listener), router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(ending)
        .await
}

/// Runs the uplink. If a defect of ours ends it, the tills go on selling and the people in the store hear of it.
async fn watched(uplink: impl Future<Output = ()> + Send + 'static, writer: Writer) {
    if let Err(error) = tokio::spawn(uplink).await
        && error.is_panic()
    {
        let text = "Nothing is sent to the centre any more, through a defect of this program. Selling goes on and nothing \
                    is lost. Start the agent again, and report what its log says.";
        let raised = writer.raise_notice(uplink::perform::UPLINK_ENDED.to_owned(), text.to_owned()).await;
        telemetry::uplink_ended(raised.err().as_ref());
    }
}

struct Drain {
    folder: Folder,
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
    server: JoinHandle<std::io::Result<()>>,
    training: Training,
    writer: Writer,
    thread: WriterThread,
}

impl Drain {
    async fn when(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut commits = self.writer.commits();
        let writer_ended = async { while commits.changed().await.is_ok() {} };
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            () = writer_ended => Err(RunError::Ended("the writer".to_owned())),
            server = &mut self.server => Err(RunError::Ended(format!("the local API: {server:?}"))),
        };
        telemetry::stopping();
        self.ending.send_replace(true);
        if !self.server.is_finished() && tokio::time::timeout(DRAIN, &mut self.server).await.is_err() {
            telemetry::requests_cut_off();
            self.server.abort();
        }
        // Housekeeping notes the running time; whoever else is left has a moment to end by itself.
        let tasks = &mut self.tasks;
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
        self.training.close().await;
        self.writer.close().await;
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
        self.folder.withdraw();
        telemetry::stopped();
        outcome
    }
}
