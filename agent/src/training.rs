//! Training: the local API once more under `/training`, on books of its own.
//!
//! A till in training sells, refunds, sends to the stations, opens and closes shifts as in earnest, with numbers of its own and
//! by the price book in force. Its terminals have the names of the store's, are simulated and approve everything: no money
//! moves. It has no way to the centre, no people, so that nobody signs on and everything is allowed, and no printer: what would
//! be printed says that it is for training and can be looked at.
//!
//! The books are opened by the first request, and are empty then; so nothing of them can be taken for a day's business, and a
//! store that never trains pays nothing for it. If they cannot be opened, the store sells all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::changes::Changes;
use crate::clock::StoreClock;
use crate::config::{Config, PaymentConfig, TerminalConfig, TerminalKind};
use crate::db::{PaperPlan, Rules};
use crate::doors::Doors;
use crate::http::{ApiError, ApiParts, Counter, PICTURES_MAX, router};
use crate::payment::{Payments, PaymentsError, Script};
use crate::pin_desk::PinDesk;
use crate::printing::Printing;
use crate::readers::Readers;
use crate::run::{RunError, open_books};
use crate::status::Status;
use crate::uplink::task::LinkStatus;
use crate::watched::Watch;
use crate::writer::{WriteError, Writer, WriterThread};
use crate::{day_start, telemetry};

/// The folder of the training books in the data folder.
const FOLDER: &str = "training";

/// Under which it stands in the notices that training cannot be opened.
const NOTICE: &str = "training";

/// After how many seconds somebody may try again to train.
const RETRY_S: u32 = 10;

/// How long its tasks may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// Training cannot be opened.
#[derive(Debug, thiserror::Error)]
enum TrainingError {
    #[error("empty the folder for training")]
    Folder(#[source] io::Error),
    #[error("open the books for training")]
    Books(#[source] RunError),
    #[error("open the books for training: {0}")]
    Ended(String),
    #[error("start the writer for training")]
    Writer(#[source] io::Error),
    #[error("set up the simulated terminals")]
    Payments(#[source] PaymentsError),
    #[error("read the print jobs of training")]
    Printing(#[source] WriteError),
}

/// What training needs of the agent around it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) config: Config,
    pub(crate) clock: StoreClock,
    pub(crate) counter: Counter,
    pub(crate) doors: Doors,
    pub(crate) paper: PaperPlan,
    /// The store's own books, where notices stand.
    pub(crate) notices: Writer,
    pub(crate) ended: watch::Receiver<bool>,
}

/// Training, open or not. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    around: Arc<Surroundings>,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug)]
enum Books {
    /// Nobody has trained in this run.
    Unopened,
    Open(Box<Open>),
    /// The agent ends.
    Closed,
}

#[derive(Debug)]
struct Open {
    router: Router,
    writer: Writer,
    thread: WriterThread,
    tasks: JoinSet<()>,
}

/// Answers a request to training.
pub(crate) async fn answer(State(training): State<Training>, request: Request) -> Response {
    // A task of its own: a till that hangs up must not leave the books half open.
    let opening = tokio::spawn(async move { training.router().await });
    match opening.await {
        Ok(Ok(mut router)) => match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => not_available("a defect of this program").into_response(),
    }
}

fn not_available(why: &str) -> ApiError {
    let (key, title) = ("training.not_available", "Training cannot be opened");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, key, title, format!("nobody can train at present: {why}"))
        .after(RETRY_S)
}

impl Training {
    pub(crate) fn new(around: Surroundings) -> Self {
        Self { around: Arc::new(around), books: Arc::new(Mutex::new(Books::Unopened)) }
    }

    /// The API on the books for training, which are opened if they are not.
    async fn router(self) -> Result<Router, ApiError> {
        let mut books = self.books.lock().await;
        match &*books {
            Books::Open(open) => return Ok(open.router.clone()),
            Books::Closed => return Err(WriteError::Closed.into()),
            Books::Unopened => {}
        }
        match open(&self.around).await {
            Ok(open) => {
                let router = open.router.clone();
                *books = Books::Open(Box::new(open));
                // An error means that the notice stays, and with it a person's doubt.
                let _ = self.around.notices.settle_notice(NOTICE.to_owned()).await;
                Ok(router)
            }
            Err(error) => {
                telemetry::training_failed(&error);
                let why = telemetry::chain(&error);
                let text = format!(
                    "Nobody can train: {why}. Selling goes on. It is tried again when somebody wants to train."
                );
                // Whoever wanted to train is told all the same.
                let _ = self.around.notices.raise_notice(NOTICE.to_owned(), text).await;
                Err(not_available(&why))
            }
        }
    }

    /// Closes the books, for good. The agent ends.
    pub(crate) async fn close(self) {
        let books = std::mem::replace(&mut *self.books.lock().await, Books::Closed);
        let Books::Open(open) = books else { return };
        let Open { writer, thread, mut tasks, .. } = *open;
        let _ = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        tasks.shutdown().await;
        writer.close().await;
        let _ = tokio::task::spawn_blocking(|| thread.join()).await;
    }
}

/// Opens empty books and everything that works on them.
async fn open(around: &Surroundings) -> Result<Open, TrainingError> {
    let Surroundings { config, clock, counter, doors, paper, ended, .. } = around;
    let mut tasks = JoinSet::new();
    let folder = empty_folder(&config.data_dir).map_err(TrainingError::Folder)?;
    let books = crate::folder::books(&folder);
    let rules: Rules = config.store.rules;
    let opening = {
        let (books, clock, paper) = (books.clone(), clock.clone(), PaperPlan { is_training: true, ..paper.clone() });
        tokio::task::spawn_blocking(move || open_books(&books, rules, paper, &clock))
    };
    let opened = opening.await.map_err(|error| TrainingError::Ended(error.to_string()))?;
    let (store, opened) = opened.map_err(TrainingError::Books)?;
    let currency = store.currency();
    let changes = Changes::new(opened.place.epoch);
    let (writer, thread) =
        Writer::start(store, opened, clock.clone(), changes.clone()).map_err(TrainingError::Writer)?;
    let readers = Readers::new(&books);
    let kept = Watch::new(writer.clone(), ended.clone());
    let payments =
        Payments::start(&simulated(&config.payment), currency, writer.clone(), readers.clone(), ended.clone()).await;
    let payments = payments.map_err(TrainingError::Payments)?;
    tasks.spawn(kept.clone().keep("payments", {
        let payments = payments.clone();
        move || payments.clone().run()
    }));
    let printing = Printing::start(Vec::new(), &folder, &writer, &readers, &mut tasks, &kept, ended).await;
    let printing = printing.map_err(TrainingError::Printing)?;
    let (_, link) = watch::channel(LinkStatus::NOT_ENROLLED);
    let status = Status {
        store_id: None,
        currency,
        link,
        readers: readers.clone(),
        writer: writer.clone(),
        book: counter.book.clone(),
    };
    tasks.spawn(kept.clone().keep("status", {
        let (status, changes, ended) = (status.clone(), changes.clone(), ended.clone());
        move || status.clone().publish(changes.clone(), ended.clone())
    }));
    tasks.spawn(kept.keep("day_start", {
        let (writer, ended) = (writer.clone(), ended.clone());
        move || day_start::run(writer.clone(), rules.cut_off, ended.clone())
    }));
    let parts = ApiParts {
        writer: writer.clone(),
        readers,
        status,
        counter: counter.clone(),
        cover_rule: config.stock,
        payments,
        changes,
        printing,
        pictures: Arc::new(Semaphore::new(PICTURES_MAX)),
        doors: doors.clone(),
        pins: PinDesk::new(writer.clone()),
        is_training: true,
        shutdown: ended.clone(),
    };
    Ok(Open { router: router(parts), writer, thread, tasks })
}

/// The store's terminals under their names, with nothing behind them: each approves whatever it is asked.
fn simulated(config: &PaymentConfig) -> PaymentConfig {
    let simulated = |terminal: &TerminalConfig| TerminalConfig {
        kind: TerminalKind::Simulator { script: Script::default() },
        ..terminal.clone()
    };
    PaymentConfig { terminals: config.terminals.iter().map(simulated).collect(), ..config.clone() }
}

/// The folder, without what was in it.
fn empty_folder(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(&folder)?;
    Ok(folder)
}
