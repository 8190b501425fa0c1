//! One thread owns the books for writing, and commits waiting commands together.
//!
//! While one group is being synced the next one gathers, so the cost of a sync is shared by all who wait: one till pays
//! it alone, eight tills at once pay it together. Each command has a savepoint of its own: one that fails is undone
//! alone. If the commit fails, everybody in the group is told: that nothing was recorded or, where the disk itself failed
//! during the commit, that this is open until the next start. A command that nobody waits beside needs no savepoint: it
//! is the whole database transaction. A command that panics is one that fails: a defect in one of them ends no sale of
//! another till.
//!
//! The channel is bounded. A sale that finds it full is answered [`WriteError::Busy`] at once, because a cashier is
//! better told than kept waiting; everybody else waits for room.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pos_model::{Epoch, SaleId, Seq};
use pricing::book::CashRounding;
use protocol::latest::local_api::SaleReceipt;
use protocol::latest::refund_api::CompleteRefund;
use protocol::latest::{Mark, OpenReason, ReceiptHead};
use serde::Serialize;
use serde::de::DeserializeOwned;
use till::sold_out::SoldOut;
use tokio::sync::{mpsc, oneshot, watch};

use crate::changes::Changes;
use crate::clock::{NoRandomness, StoreClock, random_epoch, random_event_id};
use crate::db::{
    self, CommandDigest, CommandKey, Confirmed, Durability, Failure, Head, KeptBook, Moment, Notice, Once, Recorded,
    RefundRecorded, Refused, Store,
};
use crate::defect::caught;
use crate::room::NoRoom;
use crate::telemetry;

/// Commands in one database transaction. It bounds what one failure of the disk refuses, and for how long the first of a
/// group waits for the others' work; the gain of sharing a sync is used up long before.
const GROUP_COMMANDS_MAX: usize = 256;

/// Commands that wait. At a few thousand a second that is less than a second of work.
const WAITING_COMMANDS_MAX: usize = 1024;

/// The version that stands in the events.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A command was not carried out. Nothing of it is recorded, unless it failed with [`Failure::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Too many commands wait already.
    #[error("too many commands wait already")]
    Busy,
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    Closed,
    /// The books refused it, or the commit failed.
    #[error("{text}")]
    Failed {
        /// What it means.
        failure: Failure,
        /// What happened, with its causes.
        text: String,
    },
}

impl From<db::Error> for WriteError {
    fn from(error: db::Error) -> Self {
        Self::Failed { failure: error.failure(), text: error.chain() }
    }
}

impl From<NoRandomness> for WriteError {
    fn from(error: NoRandomness) -> Self {
        Self::Failed { failure: Failure::Other, text: error.to_string() }
    }
}

/// Tells the caller how it ended: `None` once it is committed.
type Answer = Box<dyn FnOnce(Option<&WriteError>) + Send>;

/// Does it within a group. Returns its answer and, if it failed, why.
type Work = Box<dyn FnOnce(&mut Store) -> (Answer, Option<WriteError>) + Send>;

enum Command {
    /// Runs within a group.
    Grouped { durability: Durability, work: Work },
    /// Runs by itself, after the group.
    Alone(Box<dyn FnOnce(&mut Store) + Send>),
    /// No more commands after this one.
    Close,
}

/// What the writer lets others see.
struct Signals {
    head: watch::Sender<Head>,
    /// Counts committed groups: something in the books may have changed.
    commits: watch::Sender<u64>,
    stopped: watch::Sender<Option<String>>,
    no_room: Arc<watch::Sender<Option<NoRoom>>>,
    clock: StoreClock,
    /// What is sold out, as it was committed last.
    sold_out: watch::Sender<Arc<SoldOut>>,
    changes: Changes,
}

/// The way to the writer's thread. Clones share it.
#[derive(Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    clock: StoreClock,
    head: watch::Receiver<Head>,
    commits: watch::Receiver<u64>,
    stopped: watch::Receiver<Option<String>>,
    no_room: Arc<watch::Sender<Option<NoRoom>>>,
    sold_out: watch::Receiver<Arc<SoldOut>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

/// The writer's thread. It ends after [`Writer::close`], or when the last [`Writer`] is gone.
#[derive(Debug)]
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits for it to end. Blocks.
    pub fn join(self) {
        // A panic of the thread has been reported by the panic hook, and every answer it owed has failed.
        let _ = self.0.join();
    }
}

impl Writer {
    /// Starts the thread. `store` has an open epoch, whose head is `head`. Sales are announced on `changes`.
    pub fn start(
        mut store: Store,
        head: Head,
        clock: StoreClock,
        changes: Changes,
    ) -> std::io::Result<(Self, WriterThread)> {
        let (commands, waiting) = mpsc::channel(WAITING_COMMANDS_MAX);
        let sold_out = store.sold_out().map_err(|error| std::io::Error::other(error.chain()))?;
        let signals = Signals {
            head: watch::Sender::new(head),
            commits: watch::Sender::new(0),
            stopped: watch::Sender::new(store.stopped().map(str::to_owned)),
            no_room: Arc::new(watch::Sender::new(None)),
            clock: clock.clone(),
            sold_out: watch::Sender::new(sold_out),
            changes,
        };
        let writer = Self {
            commands,
            clock,
            head: signals.head.subscribe(),
            commits: signals.commits.subscribe(),
            stopped: signals.stopped.subscribe(),
            no_room: Arc::clone(&signals.no_room),
            sold_out: signals.sold_out.subscribe(),
        };
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(move || run(store, waiting, &signals))?;
        Ok((writer, WriterThread(thread)))
    }

    // ---- what it shows ----

    /// The newest event of this run. It changes when an event is committed.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// Counts what was committed: it changes when anything in the books may have changed.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// Why nothing is recorded any more, if the disk has failed.
    pub fn stopped(&self) -> Option<String> {
        self.stopped.borrow().clone()
    }

    /// Since when there is no room for sales on the disk, if there is none.
    pub fn no_room(&self) -> Option<NoRoom> {
        self.no_room.borrow().clone()
    }

    /// Tells when room on the disk runs out, and when it is there again.
    pub fn room(&self) -> watch::Receiver<Option<NoRoom>> {
        self.no_room.subscribe()
    }

    /// What is sold out or is counted down. Whoever is told of a change finds it here.
    pub fn sold_out(&self) -> Arc<SoldOut> {
        Arc::clone(&self.sold_out.borrow())
    }

    /// The store's clock.
    pub fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// Somebody has seen that there is no room for sales.
    pub(crate) fn tell_of_no_room(&self, why: String) {
        tell_of_no_room(&self.no_room, self.clock.now().utc_ms, why);
    }

    /// Somebody has written to the books, and there is room.
    pub(crate) fn tell_of_room(&self) {
        if self.no_room.send_if_modified(|known| known.take().is_some()) {
            telemetry::room_again();
        }
    }

    // ---- what it does ----

    /// Records a sale. The answer is on disk when this returns.
    pub async fn record_sale(&self, draft: till::SaleDraft, digest: CommandDigest) -> Result<Recorded, WriteError> {
        let clock = self.clock.clone();
        let (command, answer) = grouped(Durability::Promise, move |store| {
            let now = clock.now();
            let event_id = random_event_id(now.utc_ms)?;
            Ok(store.record_sale(draft, &digest, event_id, now)?)
        });
        self.hand_in(command)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Carries a till's command out, once. What it did is on disk when this returns.
    pub async fn once<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        key: CommandKey,
        operation: impl FnOnce(&mut Store, &mut Moment) -> Result<T, db::Error> + Send + 'static,
    ) -> Result<Once<T>, WriteError> {
        let clock = self.clock.clone();
        let (command, answer) = grouped(Durability::Promise, move |store| {
            let now = clock.now();
            let mut moment = Moment::new(now, random_event_id(now.utc_ms)?);
            Ok(store.once(key, &mut moment, |store, moment| {
                // Not before the look for its answer: what was done before this was asked of ids is answered as it was.
                CommandKey::check_made_by_till(key.id.uuid())?;
                operation(store, moment)
            })?)
        });
        self.hand_in(command)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Records a refund. The answer is on disk when this returns.
    pub async fn record_refund(
        &self,
        refund: CompleteRefund,
        digest: CommandDigest,
        rounding: Option<CashRounding>,
    ) -> Result<RefundRecorded, WriteError> {
        let clock = self.clock.clone();
        let (command, answer) = grouped(Durability::Promise, move |store| {
            let now = clock.now();
            let mut moment = Moment::new(now, random_event_id(now.utc_ms)?);
            Ok(store.record_refund(refund, &digest, &mut moment, rounding)?)
        });
        self.hand_in(command)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Hands a till's command to the thread; one that finds the queue full is told at once.
    fn hand_in(&self, command: Command) -> Result<(), WriteError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Busy,
            mpsc::error::TrySendError::Closed(_) => WriteError::Closed,
        })
    }

    /// Carries out what is no till's command, at this moment. What it did is on disk when this returns.
    pub async fn act<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store, &mut Moment) -> Result<T, db::Error> + Send + 'static,
    ) -> Result<Result<T, Refused>, WriteError> {
        let clock = self.clock.clone();
        let (command, answer) = grouped(Durability::Promise, move |store| {
            let now = clock.now();
            let mut moment = Moment::new(now, random_event_id(now.utc_ms)?);
            Ok(store.act(&mut moment, operation)?)
        });
        self.commands.send(command).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Runs any operation on the books. Its effect is committed when this returns.
    pub async fn run<T: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnOnce(&mut Store) -> Result<T, db::Error> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (command, answer) = grouped(durability, |store| Ok(operation(store)?));
        self.commands.send(command).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// [`Store::confirm`].
    pub async fn confirm(&self, epoch: Epoch, mark: Mark) -> Result<Confirmed, WriteError> {
        self.run(Durability::Hint, move |store| store.confirm(epoch, mark)).await
    }

    /// [`Store::rewind`].
    pub async fn rewind(&self, epoch: Epoch, to: Seq) -> Result<Option<Seq>, WriteError> {
        self.run(Durability::Hint, move |store| store.rewind(epoch, to)).await
    }

    /// [`Store::raise_receipts`].
    pub async fn raise_receipts(&self, heads: Vec<ReceiptHead>) -> Result<(), WriteError> {
        self.run(Durability::Hint, move |store| store.raise_receipts(&heads)).await
    }

    /// [`Store::raise_notice`], at this moment.
    pub async fn raise_notice(&self, key: String, text: String) -> Result<(), WriteError> {
        let at_ms = self.clock.now().utc_ms;
        self.run(Durability::Hint, move |store| store.raise_notice(&Notice { key, at_ms, text })).await
    }

    /// [`Store::settle_notice`].
    pub async fn settle_notice(&self, key: String) -> Result<bool, WriteError> {
        self.run(Durability::Hint, move |store| store.settle_notice(&key)).await
    }

    /// What a till was answered for a sale, and the digest of its command. It stands in the queue behind every command that
    /// waits, so that none of them can still make the sale afterwards.
    pub async fn receipt(&self, sale_id: SaleId) -> Result<Option<(SaleReceipt, CommandDigest)>, WriteError> {
        self.run(Durability::Hint, move |store| store.view().receipt(sale_id)).await
    }

    /// [`Store::turn_sold_out`], at this moment.
    pub async fn turn_sold_out(&self) -> Result<usize, WriteError> {
        let now = self.clock.now();
        let mut moment = Moment::new(now, random_event_id(now.utc_ms)?);
        self.run(Durability::Promise, move |store| store.turn_sold_out(&mut moment)).await
    }

    /// [`Store::keep_price_book`].
    pub async fn keep_price_book(&self, book: KeptBook) -> Result<(), WriteError> {
        self.run(Durability::Promise, move |store| store.keep_price_book(&book)).await
    }

    /// Opens a new epoch, from now on.
    pub async fn open_epoch(&self, reason: OpenReason) -> Result<Head, WriteError> {
        let now = self.clock.now();
        let (epoch, event_id) = (random_epoch()?, random_event_id(now.utc_ms)?);
        self.run(Durability::Promise, move |store| store.open_epoch(epoch, event_id, now, reason, AGENT_VERSION)).await
    }

    /// [`Store::note_running`].
    pub async fn note_running(&self, elapsed_ms: i64) -> Result<(), WriteError> {
        self.run(Durability::Hint, move |store| store.note_running(elapsed_ms)).await
    }

    /// [`Store::trim`].
    pub async fn trim(&self, retention_ms: i64, rows_max: u32) -> Result<u64, WriteError> {
        self.run(Durability::Hint, move |store| store.trim(retention_ms, rows_max)).await
    }

    /// [`Store::remind_of_shifts`], at this moment.
    pub async fn remind_of_shifts(&self) -> Result<(), WriteError> {
        let now_ms = self.clock.now().utc_ms;
        self.run(Durability::Hint, move |store| store.remind_of_shifts(now_ms)).await
    }

    /// [`Store::checkpoint`], between two groups.
    pub async fn checkpoint(&self) -> Result<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(|store: &mut Store| drop(reply.send(store.checkpoint().map_err(WriteError::from))));
        self.commands.send(Command::Alone(work)).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Takes no more commands. Those that wait are carried out; then the log is moved into the file and the thread ends.
    pub async fn close(&self) {
        // An error means that it has ended already.
        let _ = self.commands.send(Command::Close).await;
    }
}

/// Makes a command of an operation. Its answer is sent when the group is committed or has failed.
fn grouped<T: Send + 'static>(
    durability: Durability,
    operation: impl FnOnce(&mut Store) -> Result<T, WriteError> + Send + 'static,
) -> (Command, oneshot::Receiver<Result<T, WriteError>>) {
    let (reply, answer) = oneshot::channel();
    let work = Box::new(|store: &mut Store| {
        let done = caught(|| operation(store)).unwrap_or_else(|defect| {
            // It was in none of the store's own operations, which are undone by themselves. Nobody can say what is half done,
            // so nothing of the group is.
            if store.in_group() {
                store.rollback();
            }
            Err(WriteError::Failed { failure: Failure::Other, text: format!("a defect of this program: {defect}") })
        });
        let failed = done.as_ref().err().cloned();
        let answer: Answer = Box::new(|group_failure| {
            let outcome = match (done, group_failure) {
                (Ok(_), Some(failure)) => Err(failure.clone()),
                (outcome, _) => outcome,
            };
            // Whoever asked may have gone away; what was recorded stays.
            let _ = reply.send(outcome);
        });
        (answer, failed)
    });
    (Command::Grouped { durability, work }, answer)
}

fn run(mut store: Store, mut waiting: mpsc::Receiver<Command>, signals: &Signals) {
    let mut commands = Vec::with_capacity(GROUP_COMMANDS_MAX);
    while waiting.blocking_recv_many(&mut commands, GROUP_COMMANDS_MAX) > 0 {
        let durability = if commands.iter().any(Command::promises) { Durability::Promise } else { Durability::Hint };
        let alone = commands.len() == 1;
        let mut group =
            Group { store: &mut store, durability, alone, answers: Vec::with_capacity(commands.len()), signals };
        let mut afterwards = Vec::new();
        for command in commands.drain(..) {
            match command {
                Command::Grouped { work, .. } => group.add(work),
                Command::Alone(work) => afterwards.push(work),
                Command::Close => waiting.close(),
            }
        }
        group.finish();
        for work in afterwards {
            // Its answer is gone, which tells whoever waits for it.
            let _ = caught(|| work(&mut store));
        }
        signals.tell_if_stopped(&store);
    }
    if let Err(error) = store.checkpoint() {
        telemetry::checkpoint_failed(&error.into());
    }
}

impl Command {
    fn promises(&self) -> bool {
        matches!(self, Self::Grouped { durability: Durability::Promise, .. })
    }
}

struct Group<'s> {
    store: &'s mut Store,
    durability: Durability,
    /// Whether it has one command, which then begins and commits by itself.
    alone: bool,
    answers: Vec<Answer>,
    signals: &'s Signals,
}

impl Group<'_> {
    fn add(&mut self, work: Work) {
        // If it cannot begin, the operation meets the same failure itself and reports it. A replay succeeds even then.
        let begun = !self.alone && (self.store.in_group() || self.store.begin(self.durability).is_ok());
        let (answer, failed) = work(self.store);
        self.signals.tell_if_full(failed.as_ref());
        if begun && self.store.in_group() {
            self.answers.push(answer);
        } else if let Some(failure) = failed.filter(|_| begun) {
            // SQLite has undone the whole transaction, so what came before in this group never was.
            telemetry::group_failed(self.answers.len() + 1, &failure);
            self.answers.drain(..).for_each(|answer| answer(Some(&failure)));
            answer(None);
        } else {
            self.signals.tell(self.store);
            answer(None);
        }
    }

    fn finish(self) {
        if !self.store.in_group() {
            return;
        }
        let failure = self.store.commit().err().map(WriteError::from);
        self.signals.tell_if_full(failure.as_ref());
        match &failure {
            Some(failure) => telemetry::group_failed(self.answers.len(), failure),
            // Before the answers, so that a till which then asks sees its own sale.
            None => self.signals.tell(self.store),
        }
        self.answers.into_iter().for_each(|answer| answer(failure.as_ref()));
    }
}

impl Signals {
    fn tell(&self, store: &mut Store) {
        if let Some(head) = store.head() {
            self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        }
        self.commits.send_modify(|commits| *commits += 1);
        // What cannot be read stays as it was; the next sale that asks meets the same failure and reports it.
        if let Ok(sold_out) = store.sold_out() {
            self.sold_out.send_if_modified(|known| {
                let differs = !Arc::ptr_eq(known, &sold_out);
                *known = sold_out;
                differs
            });
        }
        store.take_changes().iter().for_each(|change| self.changes.announce(change));
    }

    fn tell_if_full(&self, failed: Option<&WriteError>) {
        if let Some(WriteError::Failed { failure: Failure::DiskFull, text }) = failed {
            tell_of_no_room(&self.no_room, self.clock.now().utc_ms, text.clone());
        }
    }

    fn tell_if_stopped(&self, store: &Store) {
        if let Some(why) = store.stopped()
            && self.stopped.borrow().is_none()
        {
            telemetry::disk_failed(why);
            self.stopped.send_replace(Some(why.to_owned()));
        }
    }
}

/// What was seen first stands, so that its time says for how long it has been so.
fn tell_of_no_room(no_room: &watch::Sender<Option<NoRoom>>, since_ms: i64, why: String) {
    let is_first = no_room.send_if_modified(|known| {
        let is_first = known.is_none();
        known.get_or_insert_with(|| NoRoom { since_ms, why: why.clone() });
        is_first
    });
    if is_first {
        telemetry::no_room(&why);
    }
}

#[cfg(test)]
mod tests;
