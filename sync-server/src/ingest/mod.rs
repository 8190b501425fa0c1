//! From the listener to the ledger and back: three threads, each with one thing to do.
//!
//! - *decode* opens envelopes, checks whose they are, hashes and decodes events, and queues the message or refuses it;
//! - *ledger* takes the next group, commits it, and reports what became of it. It owns the writing connection;
//! - *answer* seals the answers, confirms the receipts, and frees what the messages occupied.
//!
//! While a group commits, the next one gathers. Everything between the threads is bounded: the queue by
//! [`ServerLimits`], the answers by [`ANSWERS_WAITING`]. When the queue is full nothing more is decoded, and the listener,
//! which holds messages as they came, refuses what is more than it may hold. What to queue, group, confirm and say is decided by `ServerSync`.
//!
//! What an operator changes of the ledger's facts, the *ledger* thread does as well, between two groups: one piece of work
//! behind each group at the most, so that stores do not wait for it.
//!
//! A group that fails is forgotten: its stores are told so by their PUBACK, hear nothing else, and send again.

mod answer;
mod centre;
mod decode;
mod state;
mod write;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pos_model::{Seq, StoreId};
use sync_core::ServerLimits;
use sync_core::server::{ServerEffect, ServerSync, Ticket};
use tokio::sync::mpsc;

use self::answer::answer;
use self::decode::decode;
pub use self::state::IngestState;
use self::write::write;
use crate::credentials::Credentials;
use crate::ledger::{Job, Ledger};
use crate::mqtt::{Receipt, Router, Uplinked, WayBack};
use crate::price_watch::PriceWatch;
use crate::reconcile::{self, Awaited, Comparing, Questions, Reconciler, SAID_WAITING_MAX};
use crate::telemetry::Metrics;

/// Messages that the listener may hand over before they are looked at; more are refused. They wait as they came, packed to
/// a tenth. Of the largest batches it is a quarter of a million events, a second or two of work: far less than the
/// patience of a store, which would send again what it waits for too long.
pub const HANDED_OVER_MAX: usize = 512;

/// Groups whose answers may wait to be sent. More would only mean that answering is the bottleneck.
const ANSWERS_WAITING: usize = 2;

/// Pieces of work of operators and of repairs that may wait for the ledger. More are refused.
const ORDERS_MAX: usize = 16;

/// A piece of such work on the ledger: a bounded number of events.
type Order = Box<dyn FnOnce(&mut dyn Ledger) + Send>;

/// What the ingest works with.
pub struct IngestParts {
    /// Messages of the stores.
    pub messages: mpsc::Receiver<Uplinked>,
    /// The writer.
    pub ledger: Box<dyn Ledger>,
    /// The bounds.
    pub limits: ServerLimits,
    /// A random number of this run.
    pub server_epoch: u64,
    /// Who may say something.
    pub credentials: Arc<Credentials>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Where committed sales are priced again, and its thread.
    pub prices: (PriceWatch, JoinHandle<()>),
    /// The way to stores that have asked nothing.
    pub router: Router,
    /// What compares business dates with the stores; without it nothing is compared.
    pub comparing: Option<Comparing>,
}

impl std::fmt::Debug for IngestParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestParts").finish_non_exhaustive()
    }
}

/// The running ingest.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when a message was queued, or the last one has come.
    queued: Condvar,
    /// Signalled when a group has left the queue.
    room: Condvar,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
    router: Router,
    /// What stores are told after their greeting.
    questions: Option<Questions>,
    /// Of whom an answer to a question for lost events is awaited.
    awaited: Awaited,
    /// By which waits are measured.
    started: Instant,
    ledger_well: AtomicBool,
    /// A thread ended that should not have.
    broken: tokio::sync::Notify,
}

struct Queue {
    sync: ServerSync,
    orders: VecDeque<Order>,
    waiting: HashMap<Ticket, Waiting>,
    /// How each store was heard last, to call it when its turn comes: at the most one for each store that may log in.
    ways: HashMap<StoreId, WayBack>,
    tickets: u64,
    bytes_max: usize,
    /// No more messages will come.
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("sync", &self.sync).field("orders", &self.orders.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    receipt: Receipt,
}

/// A group on its way through the ledger.
struct Group {
    jobs: Vec<Job>,
    receipts: Vec<(Ticket, Receipt)>,
}

/// What is left to do after a group.
struct Answers {
    effects: Vec<ServerEffect>,
    group: Group,
    /// For each message the events that were parked; none for one of which nothing was taken.
    parked: Vec<Option<Vec<Seq>>>,
}

impl Ingest {
    /// Starts the threads.
    pub fn start(parts: IngestParts) -> std::io::Result<Self> {
        let IngestParts { messages, ledger, limits, server_epoch, credentials, metrics, prices, router, comparing } =
            parts;
        let (prices, pricing) = prices;
        let bytes_max = limits.queue_bytes_max;
        let queue = Queue {
            bytes_max,
            sync: ServerSync::new(server_epoch, limits),
            orders: VecDeque::new(),
            waiting: HashMap::new(),
            ways: HashMap::new(),
            tickets: 0,
            closed: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            queued: Condvar::new(),
            room: Condvar::new(),
            credentials,
            metrics,
            router,
            questions: comparing.as_ref().map(|comparing| Questions::new(comparing.every)),
            awaited: Awaited::default(),
            started: Instant::now(),
            ledger_well: AtomicBool::new(true),
            broken: tokio::sync::Notify::new(),
        });
        let (answers, to_answer) = sync_channel(ANSWERS_WAITING);
        let (said, to_compare) = sync_channel(SAID_WAITING_MAX);
        let mut threads = vec![
            spawn("decode", &shared, move |shared| decode(shared, messages, &said))?,
            spawn("ledger", &shared, move |shared| write(shared, ledger, &answers))?,
            spawn("answer", &shared, move |shared| answer(shared, &to_answer, &prices))?,
            pricing,
        ];
        if let Some(Comparing { books, every }) = comparing {
            threads.push(spawn("reconcile", &shared, move |shared| {
                let metrics = Arc::clone(&shared.metrics);
                reconcile::run(Reconciler::new(books, metrics, every, server_epoch), shared, &to_compare);
            })?);
        }
        Ok(Self { shared, threads })
    }

    /// What others may know of it.
    pub fn state(&self) -> IngestState {
        IngestState { shared: Arc::clone(&self.shared) }
    }

    /// Waits until all that was handed over is committed and answered. The listener must have ended.
    pub fn join(self) {
        for thread in self.threads {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Takes a piece of work in; says whether there is room for it.
    fn order(&mut self, order: Order) -> bool {
        let has_room = !self.closed && self.orders.len() < ORDERS_MAX;
        if has_room {
            self.orders.push_back(order);
        }
        has_room
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> sync_core::Instant {
        sync_core::Instant::from_ms(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if std::panic::catch_unwind(AssertUnwindSafe(|| work(&shared))).is_err() {
            let mut queue = shared.lock();
            queue.closed = true;
            queue.orders.clear();
            drop(queue);
            shared.queued.notify_all();
            shared.room.notify_all();
            shared.broken.notify_one();
        }
    })
}

/// The time of day in milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn utc_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
