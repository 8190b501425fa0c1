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

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pos_model::{Seq, StoreId};
use protocol::envelope::{PLAIN_BYTES_MAX, seal_downlink};
use protocol::latest::Downlink as Answer;
use protocol::proof::{ProofKey, has_proof};
use protocol::topic::{self, UplinkKind};
use sync_core::ServerLimits;
use sync_core::server::credit::CreditState;
use sync_core::server::{Admission, Outcome, Overload, Route, ServerEffect, ServerSync, Ticket};
use tokio::sync::mpsc;

use crate::credentials::Credentials;
use crate::ledger::{Job, Ledger, Message};
use crate::mqtt::{Downlink, DownlinkQos, Receipt, Refusal, Router, Trust, Uplinked, WayBack};
use crate::partitions::PartitionSet;
use crate::price_watch::{Committed, PriceWatch};
use crate::reconcile::{self, Awaited, Centre, Comparing, Done, Questions, Reconciler, SAID_WAITING_MAX, Said, Work};
use crate::telemetry::{Metrics, chain};

/// Messages that the listener may hand over before they are looked at; more are refused. They wait as they came, packed to
/// a tenth. Of the largest batches it is a quarter of a million events, a second or two of work: far less than the
/// patience of a store, which would send again what it waits for too long.
pub const HANDED_OVER_MAX: usize = 512;

/// What one message may occupy when it is unpacked and decoded, in bytes. Before a message is opened there is room for
/// it, so that no work is thrown away.
const MESSAGE_BYTES_MAX: usize = 4 * PLAIN_BYTES_MAX;

/// Groups whose answers may wait to be sent. More would only mean that answering is the bottleneck.
const ANSWERS_WAITING: usize = 2;

/// How long the ledger thread sleeps when nothing comes, before it looks for housekeeping.
const IDLE: Duration = Duration::from_secs(1);

/// How long it sleeps at the most while it waits for messages, before it looks whose turn it is.
const LOOK: Duration = Duration::from_millis(250);

/// Pieces of work of operators and of repairs that may wait for the ledger. More are refused.
const ORDERS_MAX: usize = 16;

/// A piece of such work on the ledger: a bounded number of events.
type Order = Box<dyn FnOnce(&mut dyn Ledger) + Send>;

/// Pauses after a failed commit: doubled from the first to the last.
const FAILURE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

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

/// What others may know of it.
#[derive(Debug, Clone)]
pub struct IngestState {
    shared: Arc<Shared>,
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

impl IngestState {
    /// Whether the last group was committed.
    pub fn ledger_well(&self) -> bool {
        self.shared.ledger_well.load(Ordering::Relaxed)
    }

    /// Messages and bytes that wait for the ledger.
    pub fn queued(&self) -> (usize, usize) {
        let queue = self.shared.lock();
        (queue.sync.queued_jobs(), queue.sync.queued_bytes())
    }

    /// How fast stores may send at present, and why.
    pub fn credit(&self) -> CreditState {
        self.shared.lock().sync.credit_state()
    }

    /// Sets the operator's limit on events a second, or none.
    pub fn set_events_per_s_max(&self, per_s: Option<u64>) {
        self.shared.lock().sync.set_events_per_s_max(per_s);
        self.shared.queued.notify_one();
    }

    /// The database was found to lack what had been committed in it: every store is to ask anew where it may go on.
    pub fn begin_anew(&self) {
        self.shared.lock().sync.begin_anew();
    }

    /// Another server consumes these partitions: their stores, as far as they came by the broker, wait here for nothing.
    pub fn forget(&self, partitions: PartitionSet) {
        let mut queue = self.shared.lock();
        let gone =
            queue.ways.iter().filter(|(store, way)| way.is_by_broker() && partitions.contains(store.partition()));
        let gone: Vec<StoreId> = gone.map(|(store, _)| store.clone()).collect();
        for store in gone {
            queue.ways.remove(&store);
            queue.sync.forget_store(&store);
        }
    }

    /// A message to a store, sealed, that says which server answers it; none if it cannot be built.
    pub fn pulse(&self, store: &StoreId) -> Option<Vec<u8>> {
        let pulse = self.shared.lock().sync.pulse(utc_ms());
        let sealed = seal_downlink(store, &pulse);
        sealed.inspect_err(|error| self.shared.metrics.answer_failed(store, error)).ok()
    }

    /// Has work done by the thread that owns the writing connection, behind the group that it is at. None if it has too
    /// much to do, or ends.
    pub async fn with_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Ledger) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        {
            let mut queue = self.shared.lock();
            if queue.closed || queue.orders.len() >= ORDERS_MAX {
                return None;
            }
            queue.orders.push_back(Box::new(move |ledger| {
                // Whoever has stopped waiting took it for not done.
                if !sender.is_closed() {
                    let _ = sender.send(work(ledger));
                }
            }));
        }
        self.shared.queued.notify_one();
        done.await.ok()
    }

    /// Resolves when a thread died: a bug, after which the service must be started again.
    pub async fn broken(&self) {
        self.shared.broken.notified().await;
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

impl Centre for Shared {
    fn tell(&self, store: &StoreId, message: &Answer) -> bool {
        let way = self.lock().ways.get(store).cloned();
        tell(self, way.as_ref(), store, message);
        way.is_some()
    }

    fn expect_answer(&self, store: &StoreId, is_expected: bool) {
        self.awaited.set(store, is_expected);
    }

    fn change(&self, work: Work) -> Option<Done> {
        let (done, waiting) = sync_channel(1);
        {
            let mut queue = self.lock();
            if queue.closed || queue.orders.len() >= ORDERS_MAX {
                return None;
            }
            queue.orders.push_back(Box::new(move |ledger| {
                // Fails only if nobody waits for it any more.
                let _ = done.send(put_right(ledger, &work));
            }));
        }
        self.queued.notify_all();
        // An error means that the ledger's thread has ended, or will not do it.
        waiting.recv().ok()
    }

    fn is_calm(&self) -> bool {
        let queue = self.lock();
        let credit = queue.sync.credit_state();
        self.ledger_well.load(Ordering::Relaxed)
            && credit.failures == 0
            && credit.lag_ms <= credit.lag_ms_target
            && queue.sync.queued_bytes() <= queue.bytes_max / 4
    }
}

fn decode(shared: &Shared, mut messages: mpsc::Receiver<Uplinked>, said: &SyncSender<(StoreId, Said)>) {
    while let Some(message) = messages.blocking_recv() {
        wait_for_room(shared);
        let Uplinked { connection, store, kind, payload, trust, mut receipt } = message;
        if kind.as_str() == UplinkKind::Batch.as_str() && shared.lock().sync.is_late(shared.now()) {
            shared.metrics.overloaded(&store, Overload::Late);
            receipt.refuse(Refusal::Busy);
            continue;
        }
        if reconcile::is_of_comparing(kind.as_str()) {
            let heard = prove(shared, &store, trust, &payload).and_then(|key| {
                receipt.prove_answer_with(key);
                hear(shared, &store, kind.as_str(), &payload, said)
            });
            if heard.is_ok() {
                // After a start of the service this may be the first that comes from the store.
                shared.lock().ways.insert(store.clone(), receipt.way_back());
            }
            match heard {
                Ok(()) => receipt.accept(),
                Err(refusal) => receipt.refuse(refusal),
            }
            continue;
        }
        let opened = prove(shared, &store, trust, &payload).and_then(|key| {
            receipt.prove_answer_with(key);
            open(shared, &store, kind.as_str(), payload)
        });
        let job = match opened {
            Ok(job) => job,
            Err(refusal) => {
                receipt.refuse(refusal);
                continue;
            }
        };
        let question = job.question();
        let bytes = job.memory_bytes();
        let mut queue = shared.lock();
        queue.tickets += 1;
        let ticket = Ticket(queue.tickets);
        match queue.sync.handle_message(ticket, Route(connection.0), store, question, bytes, shared.now()) {
            Admission::Queued => {
                queue.ways.insert(job.store.clone(), receipt.way_back());
                queue.waiting.insert(ticket, Waiting { job, receipt });
                shared.queued.notify_one();
            }
            Admission::Refused(overload) => {
                drop(queue);
                shared.metrics.overloaded(&job.store, overload);
                receipt.refuse(Refusal::Busy);
            }
        }
    }
    shared.lock().closed = true;
    shared.queued.notify_all();
}

/// Hands over what is compared. When more comes than can be looked at it is dropped: digests come again, and who waits for
/// an answer asks again.
fn hear(
    shared: &Shared,
    store: &StoreId,
    kind: &str,
    payload: &[u8],
    said: &SyncSender<(StoreId, Said)>,
) -> Result<(), Refusal> {
    let is_answer = UplinkKind::parse(kind) == Some(UplinkKind::Recalled);
    if is_answer && !shared.awaited.contains(store) {
        return Ok(());
    }
    let (named, opened_kind, heard) = reconcile::open(payload).map_err(|error| {
        shared.metrics.unreadable(store, &error);
        Refusal::Unreadable
    })?;
    if named != *store || UplinkKind::parse(kind) != Some(opened_kind) {
        shared.metrics.wrong_store(store, &named);
        return Err(Refusal::NotAuthorized);
    }
    if let (Said::Digests(_), Some(questions)) = (&heard, &shared.questions) {
        questions.answered(store);
    }
    // A full channel, or none at the other end, drops it.
    let _ = said.try_send((named, heard));
    Ok(())
}

/// Waits until the next message fits into the queue, whatever it is. What comes meanwhile waits with the listener.
fn wait_for_room(shared: &Shared) {
    let mut queue = shared.lock();
    while !queue.closed
        && queue.sync.queued_bytes() > 0
        && queue.sync.queued_bytes().saturating_add(MESSAGE_BYTES_MAX) > queue.bytes_max
    {
        queue = shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Checks that the store may speak and that a message is its own. Returns what the answer is to be proven with: whoever
/// proves a question wants a proven answer.
fn prove(shared: &Shared, store: &StoreId, trust: Trust, payload: &[u8]) -> Result<Option<ProofKey>, Refusal> {
    if !shared.credentials.is_active(store) {
        shared.metrics.revoked(store);
        return Err(Refusal::NotAuthorized);
    }
    let has_proof = has_proof(payload);
    if !has_proof && trust == Trust::Login {
        return Ok(None);
    }
    match shared.credentials.keys(store) {
        Some(keys) if keys.uplink.is_proven(payload) => Ok(Some(keys.downlink)),
        _ => {
            shared.metrics.unproven(store, has_proof);
            Err(Refusal::NotAuthorized)
        }
    }
}

/// Checks that login, topic and envelope say the same, and makes a message of the bytes.
fn open(shared: &Shared, store: &StoreId, kind: &str, payload: Bytes) -> Result<Job, Refusal> {
    let unreadable = |error: &dyn std::error::Error| {
        shared.metrics.unreadable(store, error);
        Refusal::Unreadable
    };
    let job = Job::open(payload).map_err(|error| unreadable(&error))?;
    if job.store != *store {
        shared.metrics.wrong_store(store, &job.store);
        return Err(Refusal::NotAuthorized);
    }
    if UplinkKind::parse(kind) != Some(job.kind()) {
        return Err(unreadable(&topic::TopicError::Kind));
    }
    Ok(job)
}

fn write(shared: &Shared, mut ledger: Box<dyn Ledger>, answers: &SyncSender<Answers>) {
    let mut pause = FAILURE_PAUSES.0;
    loop {
        let Some(group) = next_group(shared) else { break };
        if !group.jobs.is_empty() {
            if !commit(shared, &mut *ledger, group, answers) {
                std::thread::sleep(pause);
                pause = (pause * 2).min(FAILURE_PAUSES.1);
                continue;
            }
            pause = FAILURE_PAUSES.0;
        }
        let order = shared.lock().orders.pop_front();
        if let Some(order) = order {
            order(&mut *ledger);
        }
        if let Err(error) = ledger.tidy() {
            shared.metrics.group_failed(0, &error);
        }
    }
    if let Err(error) = ledger.end() {
        tracing::warn!(error = chain(&error), "the ledger was not left in order; nothing is lost by that");
    }
}

fn put_right(ledger: &mut dyn Ledger, work: &Work) -> Done {
    match work {
        Work::Repair(repair) => ledger.repair(repair, utc_ms()).map(Ok),
        Work::Restore(restored) => ledger.restore(restored, utc_ms()),
    }
}

/// The next group; an empty one when it is time for housekeeping, none when no more will come.
fn next_group(shared: &Shared) -> Option<Group> {
    let mut queue = shared.lock();
    let idle_until = Instant::now() + IDLE;
    let tickets = loop {
        let now = shared.now();
        if let Some(tickets) = queue.sync.poll_group(now) {
            break tickets;
        }
        let opens_at = queue.sync.next_group_at(now);
        if queue.closed && opens_at.is_none() {
            // Whoever waits for the rest is told that it is not done.
            queue.orders.clear();
            return None;
        }
        if !queue.orders.is_empty() {
            break Vec::new();
        }
        let idle = idle_until.saturating_duration_since(Instant::now());
        if idle.is_zero() {
            break Vec::new();
        }
        // Stores whose turn came to nothing make room for others, also when nobody says anything.
        let wait = opens_at.map_or(LOOK, |at| Duration::from_millis(at.ms_since(now))).min(LOOK).min(idle);
        queue = shared.queued.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
        call(shared, &mut queue);
    };
    let mut group = Group { jobs: Vec::with_capacity(tickets.len()), receipts: Vec::with_capacity(tickets.len()) };
    for ticket in tickets {
        let Waiting { job, receipt } = queue.waiting.remove(&ticket).expect("a queued ticket has its message");
        group.jobs.push(job);
        group.receipts.push((ticket, receipt));
    }
    Some(group)
}

/// Commits a group and passes its answers on; says whether it was committed.
fn commit(shared: &Shared, ledger: &mut dyn Ledger, group: Group, answers: &SyncSender<Answers>) -> bool {
    let started = Instant::now();
    let result = ledger.apply(&group.jobs, utc_ms());
    let took = started.elapsed();
    match &result {
        Ok(outcomes) => note_committed(shared, &group.jobs, outcomes, took),
        Err(error) => shared.metrics.group_failed(group.jobs.len(), error),
    }
    let well = result.is_ok();
    let went_back = ledger.went_back();
    shared.ledger_well.store(well, Ordering::Relaxed);
    let parked = result.as_ref().map_or_else(|_| Vec::new(), |outcomes| outcomes.iter().map(parked_of).collect());
    let effects = {
        let mut queue = shared.lock();
        // Nothing that a store was told before holds any more; by another number it takes this for another run.
        if went_back {
            queue.sync.begin_anew();
        }
        match result {
            Ok(outcomes) => {
                queue.sync.handle_committed(outcomes, shared.now(), utc_ms());
            }
            Err(_) => queue.sync.handle_commit_failed(shared.now()),
        }
        std::iter::from_fn(|| queue.sync.poll_effect()).collect()
    };
    shared.room.notify_one();
    // Fails only if the thread died, which has been reported.
    let _ = answers.send(Answers { effects, group, parked });
    well
}

/// The events of a batch that were parked, if it was taken into the history that is followed.
fn parked_of(outcome: &Outcome) -> Option<Vec<Seq>> {
    match outcome {
        Outcome::Batch(batch) if !batch.forked && !batch.rewind => Some(batch.parked.clone()),
        Outcome::Batch(_) | Outcome::Hello(_) | Outcome::Noted => None,
    }
}

fn note_committed(shared: &Shared, jobs: &[Job], outcomes: &[Outcome], took: Duration) {
    let mut events = 0;
    for (job, outcome) in jobs.iter().zip(outcomes) {
        if let Message::Batch(batch) = &job.message {
            events += batch.events.len();
        }
        if let Outcome::Batch(outcome) = outcome
            && !outcome.parked.is_empty()
        {
            shared.metrics.events_parked(&job.store, outcome.parked.len(), outcome.forked);
        }
    }
    shared.metrics.group_committed(outcomes, events, took);
}

fn answer(shared: &Shared, to_answer: &Receiver<Answers>, prices: &PriceWatch) {
    while let Ok(Answers { effects, group, parked }) = to_answer.recv() {
        // Effects come in the order of the group, an answer right behind its confirmation.
        let mut receipts = group.receipts.into_iter();
        let mut confirmed: Option<Receipt> = None;
        for effect in effects {
            match effect {
                ServerEffect::Confirm(ticket) => {
                    if let Some(receipt) = confirmed.take() {
                        receipt.accept();
                    }
                    confirmed = receipts.find(|(of, _)| *of == ticket).map(|(_, receipt)| receipt);
                }
                ServerEffect::Send { store, message, .. } => {
                    if let Some(receipt) = confirmed.take() {
                        send(shared, &store, &message, receipt);
                    }
                    if let Some(question) = shared.questions.as_ref().and_then(|asked| asked.behind(&store, &message)) {
                        shared.tell(&store, &question);
                    }
                }
                ServerEffect::Call { store, message, .. } => {
                    let way = shared.lock().ways.get(&store).cloned();
                    tell(shared, way.as_ref(), &store, &message);
                }
                ServerEffect::Forget(ticket) => {
                    if let Some((_, receipt)) = receipts.find(|(of, _)| *of == ticket) {
                        receipt.refuse(Refusal::Failed);
                    }
                }
            }
        }
        if let Some(receipt) = confirmed {
            receipt.accept();
        }
        let taken = group.jobs.into_iter().zip(parked);
        prices.offer(taken.filter_map(|(job, parked)| Some(Committed { job, parked: parked? })).collect());
    }
}

fn send(shared: &Shared, store: &StoreId, message: &Answer, receipt: Receipt) {
    match seal_downlink(store, message) {
        Ok(mut bytes) => {
            receipt.prove_answer(&mut bytes);
            let payload = Bytes::from(bytes);
            // A lost answer costs a repetition, so it needs no PUBACK of the store.
            let qos = DownlinkQos::AtMostOnce;
            // Whether it reaches the store, the store will say.
            receipt.accept_with(Downlink { topic: &topic::downlink(store), payload: &payload, qos });
        }
        Err(error) => {
            shared.metrics.answer_failed(store, &error);
            receipt.accept();
        }
    }
}

/// Calls the stores whose turn has come while nothing was committed.
fn call(shared: &Shared, queue: &mut Queue) {
    while let Some(effect) = queue.sync.poll_effect() {
        if let ServerEffect::Call { store, message, .. } = effect {
            tell(shared, queue.ways.get(&store), &store, &message);
        }
    }
}

/// Tells a store something that it has not asked for. If it is lost, the store asks after its pause.
fn tell(shared: &Shared, way: Option<&WayBack>, store: &StoreId, message: &Answer) {
    let Some(way) = way else { return };
    match seal_downlink(store, message) {
        Ok(bytes) => way.tell(&shared.router, store, bytes),
        Err(error) => shared.metrics.answer_failed(store, &error),
    }
}

/// The time of day in milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn utc_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
