//! Prices sales again by the book that they name, behind the commit and off its path, and keeps what differs.
//!
//! A sale is never rewritten: a difference is an alarm for people. When more comes than can be priced, what is left out is
//! counted; so are sales under a book that the centre has not. A sale that comes again is checked again, and a difference is
//! kept once.

mod reprice;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pos_model::{BookHash, Seq, StoreId};
use pricing::Rules;
use pricing::book::PriceBook;
use protocol::latest::{EventBody, Pricing, SaleCompleted};

use self::reprice::reprice;
use crate::ingest::utc_ms;
use crate::ledger::{Job, LedgerError, Message, PriceBooks, PriceDifference};
use crate::telemetry::{Metrics, PriceCheck};

/// Groups that wait to be priced: enough to bridge one that is large, and little memory.
const GROUPS_WAITING: usize = 2;

/// How soon a book is looked for again that was not there.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Books that are kept ready. A chain sells by a few at a time.
const READY_MAX: usize = 16;

/// Differences of one group that are kept; a release that computes otherwise makes all sales differ, and a list of some
/// says as much as one of all. Every one is counted.
const KEPT_OF_GROUP: usize = 100;

/// A message that was committed.
#[derive(Debug)]
pub struct Committed {
    /// The message.
    pub job: Job,
    /// The events of it that were parked.
    pub parked: Vec<Seq>,
}

/// The way to the thread that prices. Whoever drops it ends the thread when it has done what waits.
#[derive(Debug)]
pub struct PriceWatch {
    groups: SyncSender<Vec<Committed>>,
    metrics: Arc<Metrics>,
}

impl PriceWatch {
    /// Starts the thread. `books` is a connection of its own.
    pub fn start(books: Box<dyn PriceBooks + Send>, metrics: Arc<Metrics>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (groups, waiting) = sync_channel(GROUPS_WAITING);
        let watcher = Watcher { books, ready: HashMap::new(), missing: HashMap::new(), metrics: Arc::clone(&metrics) };
        let thread = std::thread::Builder::new().name("prices".to_owned()).spawn(move || watcher.run(&waiting))?;
        Ok((Self { groups, metrics }, thread))
    }

    /// Takes what was committed. Never waits. Says whether the thread is there; if not it died, which is a bug.
    pub fn offer(&self, group: Vec<Committed>) -> bool {
        let sales = group.iter().flat_map(priced_sales).count();
        if sales == 0 {
            return true;
        }
        let offered = self.groups.try_send(group);
        if offered.is_err() {
            self.metrics.prices_checked(PriceCheck::Skipped, sales);
        }
        !matches!(offered, Err(TrySendError::Disconnected(_)))
    }
}

/// The applied sales of a message that its store has priced by a book.
fn priced_sales(committed: &Committed) -> impl Iterator<Item = (&SaleCompleted, &Pricing)> {
    let (first, events) = match &committed.job.message {
        Message::Batch(batch) => (batch.first_seq.get(), batch.events.as_slice()),
        Message::Hello(_) | Message::Heartbeat(_) => (0, Default::default()),
    };
    let applied = (first..).zip(events).filter(|(seq, _)| !committed.parked.contains(&Seq::new(*seq)));
    applied.filter_map(|(_, event)| match &event.as_ref().ok()?.body {
        EventBody::SaleCompleted(sale) => sale.pricing.as_ref().map(|pricing| (&**sale, pricing)),
        _ => None,
    })
}

struct Watcher {
    books: Box<dyn PriceBooks + Send>,
    ready: HashMap<BookHash, Rules>,
    /// Books that were looked for in vain, and when.
    missing: HashMap<BookHash, Instant>,
    metrics: Arc<Metrics>,
}

impl Watcher {
    fn run(mut self, waiting: &Receiver<Vec<Committed>>) {
        while let Ok(group) = waiting.recv() {
            let mut differences = Vec::new();
            for committed in &group {
                for (sale, pricing) in priced_sales(committed) {
                    let result = match self.check(sale, pricing) {
                        Ok((result, difference)) => {
                            differences.extend(difference.map(|difference| (committed.job.store.clone(), difference)));
                            result
                        }
                        Err(error) => {
                            self.metrics.price_check_failed(&error);
                            PriceCheck::Failed
                        }
                    };
                    self.metrics.prices_checked(result, 1);
                }
            }
            self.keep(differences);
        }
    }

    fn keep(&self, mut differences: Vec<(StoreId, PriceDifference)>) {
        differences.truncate(KEPT_OF_GROUP);
        if differences.is_empty() {
            return;
        }
        match self.books.note_price_differences(&differences) {
            Ok(()) => differences.iter().for_each(|(store, difference)| self.metrics.price_differs(store, difference)),
            Err(error) => self.metrics.price_check_failed(&error),
        }
    }

    fn check(
        &mut self,
        sale: &SaleCompleted,
        pricing: &Pricing,
    ) -> Result<(PriceCheck, Option<PriceDifference>), LedgerError> {
        if !self.make_ready(pricing.book_hash)? {
            return Ok((PriceCheck::UnknownBook, None));
        }
        let rules = &self.ready[&pricing.book_hash];
        let Some(differs) = reprice(sale, pricing, rules) else { return Ok((PriceCheck::Same, None)) };
        let difference = PriceDifference {
            sale_id: sale.sale_id,
            found_at_ms: utc_ms(),
            sold: sale.totals.gross_minor,
            computed: differs.computed,
            what: differs.what,
        };
        Ok((PriceCheck::Differs, Some(difference)))
    }

    /// Whether a book is there to price by.
    fn make_ready(&mut self, hash: BookHash) -> Result<bool, LedgerError> {
        if self.ready.contains_key(&hash) {
            return Ok(true);
        }
        if self.missing.get(&hash).is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return Ok(false);
        }
        // A book that was added has been read and checked then; one of a newer program cannot be used here.
        let book = self.books.price_book(hash)?.and_then(|json| PriceBook::from_json(&json).ok());
        let Some(book) = book else {
            if self.missing.len() >= READY_MAX {
                self.missing.clear();
            }
            if self.missing.insert(hash, Instant::now()).is_none() {
                self.metrics.price_book_missing(hash);
            }
            return Ok(false);
        };
        if self.ready.len() >= READY_MAX {
            self.ready.clear();
        }
        self.missing.remove(&hash);
        self.ready.insert(hash, Rules::new(book));
        Ok(true)
    }
}
