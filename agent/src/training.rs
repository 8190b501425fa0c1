//! Training: the whole local API once more under `/training`, on books of its own.
//!
//! A till in training does everything that it does in earnest, with numbers of its own. These books have no way to the
//! centre, no terminal that takes money and no printer; what would be printed says that it is for training and can be looked
//! at. They begin empty with each start of the agent, so nothing of them can be taken for a day's business.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::changes::Changes;
use crate::clock::StoreClock;
use crate::config::{Config, PaymentConfig};
use crate::day_start;
use crate::db::{PaperPlan, Rules};
use crate::doors::Doors;
use crate::http::{ApiParts, Counter, PICTURES_MAX};
use crate::payment::Payments;
use crate::pin_desk::PinDesk;
use crate::printing::Printing;
use crate::readers::Readers;
use crate::run::{RunError, open_books};
use crate::status::Status;
use crate::uplink::task::LinkStatus;
use crate::writer::{Writer, WriterThread};

/// The folder of the training books in the data folder.
const FOLDER: &str = "training";

/// What training needs of the agent around it.
pub(crate) struct Surroundings<'a> {
    pub(crate) config: &'a Config,
    pub(crate) clock: StoreClock,
    pub(crate) counter: Counter,
    pub(crate) doors: Doors,
    pub(crate) paper: PaperPlan,
    pub(crate) ended: watch::Receiver<bool>,
}

/// Opens empty books and everything that works on them.
pub(crate) async fn start(
    around: Surroundings<'_>,
    tasks: &mut JoinSet<()>,
) -> Result<(ApiParts, Writer, WriterThread), RunError> {
    let Surroundings { config, clock, counter, doors, paper, ended } = around;
    let folder = empty_folder(&config.data_dir).map_err(RunError::Training)?;
    let books = crate::folder::books(&folder);
    let rules: Rules = config.store.rules;
    let opening = {
        let (books, clock, paper) = (books.clone(), clock.clone(), PaperPlan { is_training: true, ..paper });
        tokio::task::spawn_blocking(move || open_books(&books, rules, paper, &clock))
    };
    let (store, opened) = opening.await.map_err(|error| RunError::Ended(error.to_string()))??;
    let currency = store.currency();
    let changes = Changes::new(opened.place.epoch);
    let (writer, thread) = Writer::start(store, opened, clock, changes.clone()).map_err(RunError::Writer)?;
    let readers = Readers::new(&books);
    let no_terminals =
        PaymentConfig { terminals: Vec::new(), attempts_for: Vec::new(), ca_file: config.payment.ca_file.clone() };
    let payments = Payments::start(&no_terminals, currency, writer.clone(), readers.clone(), ended.clone()).await;
    let payments = payments.map_err(RunError::Payments)?;
    let printing = Printing::start(Vec::new(), &folder, &writer, &readers, tasks, &ended).await;
    let printing = printing.map_err(RunError::Printing)?;
    let (_, link) = watch::channel(LinkStatus::NOT_ENROLLED);
    let status = Status {
        store_id: None,
        currency,
        link,
        readers: readers.clone(),
        writer: writer.clone(),
        book: counter.book.clone(),
    };
    tasks.spawn(status.clone().publish(changes.clone(), ended.clone()));
    tasks.spawn(day_start::run(writer.clone(), rules.cut_off, ended.clone()));
    let parts = ApiParts {
        writer: writer.clone(),
        readers,
        status,
        counter,
        cover_rule: config.stock,
        payments,
        changes,
        printing,
        pictures: Arc::new(Semaphore::new(PICTURES_MAX)),
        doors,
        pins: PinDesk::new(writer.clone()),
        is_training: true,
        shutdown: ended,
    };
    Ok((parts, writer, thread))
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
