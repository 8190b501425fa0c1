//! The price book by which the store sells: how it comes in, is checked, and takes force.
//!
//! A book is delivered as a file in the data folder ([`DELIVERED_FILE`]), put there as a whole by `price-book load`. The
//! agent takes it within a second: one that it can sell by is kept in the books and holds from that moment on; one that it
//! cannot is put aside, the people in the store are told why, and the last good one stays in force. A sale that is being
//! priced keeps the book with which it began.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use pos_model::Currency;
use pricing::Rules;
use pricing::book::{BookError, Finding, PriceBook, Severity};
use protocol::latest::order::PriceBookView;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::db::KeptBook;
use crate::readers::{ReadError, Readers};
use crate::telemetry;
use crate::writer::Writer;

/// Where a new book is delivered, in the data folder.
pub const DELIVERED_FILE: &str = "price-book.delivered.json";

/// Where the agent puts a delivered book while it takes it in, so that another one may be delivered meanwhile.
const TAKEN_FILE: &str = "price-book.taken.json";

/// Where a delivered book is put that the store cannot sell by.
pub const REFUSED_FILE: &str = "price-book.refused.json";

/// A book in bytes (8 MiB): the sample chain's, with forty drinks, is a hundred times smaller.
const BOOK_BYTES_MAX: u64 = 8 << 20;

/// Between two looks for a new book.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Under which a refused book stands in the notices.
const NOTICE: &str = "price_book";

/// Problems of a book that a message names.
const PROBLEMS_SHOWN: usize = 3;

/// The store cannot sell by a book.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum PriceBookError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("read {}: it is larger than {BOOK_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("use price book {version}: {}{}", .shown.join("; "), and_more(*.more))]
    Wrong { version: String, shown: Vec<String>, more: usize },
    #[error("use price book {version}: its amounts are in {found}, and the store sells in {wanted}")]
    OtherCurrency { version: String, found: Currency, wanted: Currency },
    #[error("make the price book ready: {0}")]
    Ended(String),
    #[error("deliver {}", path.display())]
    Deliver { path: PathBuf, source: io::Error },
}

fn and_more(count: usize) -> String {
    if count == 0 {
        String::new()
    } else {
        format!("; and {count} more, which `breakwater-server price-book check` names")
    }
}

/// A book in force.
#[derive(Debug)]
pub struct ActiveBook {
    /// Ready to price by.
    pub rules: Rules,
    /// The document in its canonical form.
    pub json: Arc<[u8]>,
    /// Since when it holds, in milliseconds since 1970 (UTC).
    pub activated_at_ms: i64,
}

impl ActiveBook {
    /// What a till is told about it.
    pub fn view(&self) -> PriceBookView {
        PriceBookView {
            version: self.rules.book().version.to_string(),
            hash: self.rules.hash().to_string(),
            active_since_ms: self.activated_at_ms,
        }
    }
}

/// The book in force, as others see it: none before the store has one.
pub type BookInForce = watch::Receiver<Option<Arc<ActiveBook>>>;

/// Reads a book that the store can sell by. Without a currency any will do.
pub fn read(path: &Path, currency: impl Into<Option<Currency>>) -> Result<PriceBook, PriceBookError> {
    let failed = |source| PriceBookError::Read { path: path.to_owned(), source };
    let mut json = Vec::new();
    fs::File::open(path).and_then(|file| file.take(BOOK_BYTES_MAX + 1).read_to_end(&mut json)).map_err(failed)?;
    if json.len() as u64 > BOOK_BYTES_MAX {
        return Err(PriceBookError::TooLarge { path: path.to_owned() });
    }
    accept(&json, currency.into())
}

fn accept(json: &[u8], currency: Option<Currency>) -> Result<PriceBook, PriceBookError> {
    let book = PriceBook::from_json(json)?;
    let version = || book.version.to_string();
    if let Some(wanted) = currency.filter(|wanted| *wanted != book.currency) {
        return Err(PriceBookError::OtherCurrency { version: version(), found: book.currency, wanted });
    }
    let findings = book.check();
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() {
        return Ok(book);
    }
    let shown: Vec<String> =
        errors.iter().take(PROBLEMS_SHOWN).map(|Finding { path, problem, .. }| format!("{path}: {problem}")).collect();
    let more = errors.len() - shown.len();
    Err(PriceBookError::Wrong { version: version(), shown, more })
}

/// Delivers a book to the agent of a data folder, whether it runs or not.
pub fn deliver(book: &PriceBook, data_dir: &Path) -> Result<(), PriceBookError> {
    let path = data_dir.join(DELIVERED_FILE);
    let beside = data_dir.join(format!("{DELIVERED_FILE}.part"));
    let written = fs::write(&beside, book.canonical())
        .and_then(|()| fs::File::open(&beside)?.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    written.map_err(|source| PriceBookError::Deliver { path, source })
}

/// Reads a book and makes it ready, on a thread that may take its time.
async fn make_ready(
    read: impl FnOnce() -> Result<PriceBook, PriceBookError> + Send + 'static,
) -> Result<Rules, PriceBookError> {
    let made = tokio::task::spawn_blocking(|| read().map(Rules::new)).await;
    made.unwrap_or_else(|ended| Err(PriceBookError::Ended(ended.to_string())))
}

/// Keeps the book in force up to date.
#[derive(Debug)]
pub struct Keeper {
    data_dir: PathBuf,
    currency: Currency,
    writer: Writer,
    in_force: watch::Sender<Option<Arc<ActiveBook>>>,
}

impl Keeper {
    /// Begins with the newest book that is kept and that this program can sell by.
    pub async fn start(
        data_dir: &Path,
        currency: Currency,
        writer: Writer,
        readers: &Readers,
    ) -> Result<(Self, BookInForce), ReadError> {
        let kept = readers.read(|view| view.price_books()).await?;
        let (in_force, book) = watch::channel(None);
        let keeper = Self { data_dir: data_dir.to_owned(), currency, writer, in_force };
        // A program that was put back may understand less than the one that took the newest book in.
        let mut refused = None;
        for kept in kept {
            match make_ready(move || accept(&kept.json, Some(currency))).await {
                Ok(rules) => {
                    keeper.put_in_force(rules, kept.activated_at_ms);
                    break;
                }
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        if let Some(error) = refused {
            keeper.tell(&error).await;
        }
        // What was delivered while the agent was down holds from the first sale on.
        keeper.look().await;
        Ok((keeper, book))
    }

    /// Looks for delivered books until the agent ends.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                _ = shutdown.wait_for(|&ending| ending) => return,
            }
            self.look().await;
        }
    }

    async fn look(&self) {
        let taken = self.data_dir.join(TAKEN_FILE);
        // What was taken before and could not be kept is tried again, unless another one has come.
        let came = fs::rename(self.data_dir.join(DELIVERED_FILE), &taken).is_ok();
        if !came && !taken.exists() {
            return;
        }
        let (path, currency) = (taken.clone(), self.currency);
        match make_ready(move || read(&path, currency)).await {
            Ok(rules) => self.take(rules, &taken).await,
            Err(error) => {
                self.tell(&error).await;
                self.put_aside(&taken);
            }
        }
    }

    async fn take(&self, rules: Rules, taken: &Path) {
        let (book, hash) = (rules.book(), rules.hash());
        let known = self.in_force.borrow().as_ref().is_some_and(|active| active.rules.hash() == hash);
        if !known {
            let activated_at_ms = self.writer.clock().now().utc_ms;
            let kept = KeptBook { hash, version: book.version.to_string(), activated_at_ms, json: book.canonical() };
            if let Err(error) = self.writer.keep_price_book(kept).await {
                // The file stays, and is looked at again.
                telemetry::price_book_not_kept(&error);
                return;
            }
            telemetry::price_book_in_force(&book.version, hash);
            self.put_in_force(rules, activated_at_ms);
        }
        // A file that stays is the book in force, and is found to be so the next time.
        let _ = fs::remove_file(taken);
        let _ = self.writer.settle_notice(NOTICE.to_owned()).await;
        // What was wrong before is of no interest any more; a file that stays all the same does no harm.
        let _ = fs::remove_file(self.data_dir.join(REFUSED_FILE));
    }

    fn put_in_force(&self, rules: Rules, activated_at_ms: i64) {
        let json = rules.book().canonical().into();
        self.in_force.send_replace(Some(Arc::new(ActiveBook { rules, json, activated_at_ms })));
    }

    async fn tell(&self, error: &PriceBookError) {
        let goes_on = self.in_force.borrow().as_ref().map_or_else(
            || "the store has no price book".to_owned(),
            |active| format!("the store goes on selling by {}", active.rules.book().version),
        );
        let text = format!("A price book was refused: {}; {goes_on}.", telemetry::chain(error));
        telemetry::price_book_refused(&text);
        // Without the notice the log still says it.
        let _ = self.writer.raise_notice(NOTICE.to_owned(), text).await;
    }

    fn put_aside(&self, taken: &Path) {
        if let Err(error) = fs::rename(taken, self.data_dir.join(REFUSED_FILE)) {
            telemetry::price_book_not_put_aside(&error);
        }
    }
}
