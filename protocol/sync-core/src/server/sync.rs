//! What waits, what is committed together, and what is answered after the commit.
//!
//! Operation: the shell hands every message over with a ticket for its bytes, asks for a group when its ledger is free,
//! commits the group in one database transaction, and reports what became of each message. Answers leave only then.
//! While one group is in the ledger the next one gathers, so that groups grow with the load.
//!
//! Constraints: the bytes that wait are bounded, and so are the messages of one store and the time that a batch waits; what
//! does not fit is refused before any work. A group that failed is forgotten: its stores hear nothing and send again.

use std::collections::VecDeque;

use pos_model::{Epoch, StoreId};
use protocol::latest::{Ack, Downlink, Pulse, Welcome};

use super::credit::{CreditControl, CreditState, Turn};
use super::outcome::Outcome;
use super::queue::{Job, JobQueue};
use crate::{Instant, ServerLimits};

/// The shell's handle of a message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The shell's handle of the way back to whoever sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(pub u64);

/// What a message asks, as far as the answer needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A `Batch` of so many events.
    Batch {
        /// Its epoch.
        epoch: Epoch,
        /// How many events it holds.
        events: usize,
    },
    /// A `Hello`.
    Hello {
        /// To be repeated in the answer.
        session: u64,
        /// Events that the store has to send, as it says.
        backlog: u64,
    },
    /// A `Heartbeat`.
    Heartbeat {
        /// Events that the store has to send, as it says.
        backlog: u64,
    },
}

/// Whether a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It waits for its group.
    Queued,
    /// It was refused before any work.
    Refused(Overload),
}

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Overload {
    /// Too many bytes wait.
    Queue,
    /// Too many messages of this store wait.
    Store,
    /// What came first waits for too long already.
    Late,
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEffect {
    /// The message behind the ticket is durable or noted: confirm its receipt.
    Confirm(Ticket),
    /// Send an answer.
    Send {
        /// To whom.
        to: Route,
        /// The store that it is for.
        store: StoreId,
        /// The answer.
        message: Downlink,
    },
    /// Tell a store that its turn has come; it waits for that and has asked nothing.
    Call {
        /// Where it was heard of last.
        to: Route,
        /// The store.
        store: StoreId,
        /// What to say.
        message: Downlink,
    },
    /// The commit failed: forget the message without a confirmation.
    Forget(Ticket),
}

/// The centre's end of the uplink.
#[derive(Debug)]
pub struct ServerSync {
    server_epoch: u64,
    limits: ServerLimits,
    queue: JobQueue,
    committing: Vec<Job>,
    /// When the group that is being committed began.
    began: Instant,
    credit: CreditControl,
    effects: VecDeque<ServerEffect>,
}

impl ServerSync {
    /// Starts with an empty queue. `server_epoch` is a random number of this run.
    pub fn new(server_epoch: u64, limits: ServerLimits) -> Self {
        Self {
            server_epoch,
            credit: CreditControl::new(limits.clone()),
            limits,
            queue: JobQueue::default(),
            committing: Vec::new(),
            began: Instant::default(),
            effects: VecDeque::new(),
        }
    }

    /// The ledger lacks what it held before: goes on as if this were another run, so that every store asks anew where it
    /// may go on.
    pub fn begin_anew(&mut self) {
        self.server_epoch = self.server_epoch.wrapping_add(1);
    }

    /// Takes a message in, or refuses it. `bytes` is what it occupies in memory.
    pub fn handle_message(
        &mut self,
        ticket: Ticket,
        from: Route,
        store: StoreId,
        question: Question,
        bytes: usize,
        now: Instant,
    ) -> Admission {
        let is_batch = matches!(question, Question::Batch { .. });
        if let Err(overload) = self.admit(&store, is_batch, bytes, now) {
            if is_batch {
                self.credit.gone(&store);
            }
            return Admission::Refused(overload);
        }
        if let Question::Batch { events, .. } = question {
            self.credit.arrived(&store, events);
        }
        self.queue.push(Job { ticket, from, store, question, bytes, arrived: now });
        Admission::Queued
    }

    fn admit(&self, store: &StoreId, is_batch: bool, bytes: usize, now: Instant) -> Result<(), Overload> {
        if self.queue.bytes().saturating_add(bytes) > self.limits.queue_bytes_max {
            return Err(Overload::Queue);
        }
        if is_batch && self.is_late(now) {
            return Err(Overload::Late);
        }
        if self.queue.of_store(store) >= self.limits.store_jobs_max {
            return Err(Overload::Store);
        }
        Ok(())
    }

    /// Refuses a store's batch if others wait for too long already: then it need not even be opened. Says whether it did.
    pub fn refuse_late(&mut self, store: &StoreId, now: Instant) -> bool {
        let is_late = self.is_late(now);
        if is_late {
            self.credit.gone(store);
        }
        is_late
    }

    fn is_late(&self, now: Instant) -> bool {
        self.queue.front(true).is_some_and(|oldest| now.ms_since(oldest.arrived) > self.limits.queue_ms_max)
    }

    /// The next group to commit, oldest first, or none: the queue is empty, a group is being committed, or the operator's
    /// limit lets no batch through before [`ServerSync::next_group_at`]. To be asked now and then also when nothing comes.
    pub fn poll_group(&mut self, now: Instant) -> Option<Vec<Ticket>> {
        self.look(now);
        if !self.committing.is_empty() {
            return None;
        }
        let is_open = self.next_group_at(now).is_none();
        if !is_open {
            self.credit.limited();
        }
        let room = self.credit.room(now);
        let mut events: u64 = 0;
        while let Some(job) = self.queue.front(is_open) {
            let more = job.events();
            let full = (more > 0 && events + more > room) || self.committing.len() >= self.limits.group_jobs_max;
            if full && !self.committing.is_empty() {
                break;
            }
            events += more;
            self.committing.extend(self.queue.pop(is_open));
        }
        self.credit.began(events);
        self.began = now;
        if self.committing.is_empty() { None } else { Some(self.committing.iter().map(|job| job.ticket).collect()) }
    }

    /// When the operator's limit lets the next batch through, if it does not yet.
    pub fn next_group_at(&self, now: Instant) -> Option<Instant> {
        let next = self.queue.front_batch().filter(|_| self.committing.is_empty())?;
        self.credit.opens_at(next.events(), now)
    }

    /// The group is durable. `outcomes` has one for each ticket of the group, in its order.
    ///
    /// # Panics
    /// If the number of outcomes is not that of the group: answering the wrong store would lose sales.
    pub fn handle_committed(&mut self, outcomes: Vec<Outcome>, now: Instant, server_time_ms: i64) {
        assert_eq!(outcomes.len(), self.committing.len(), "one outcome for each message of the group");
        let jobs = self.take_committing();
        if let Some(arrived) = jobs.iter().map(|job| job.arrived).min() {
            self.credit.committed(jobs.iter().map(Job::events).sum(), arrived, self.began, now);
        }
        self.look(now);
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let message = self.answer(&job, outcome, now, server_time_ms);
            self.effects.push_back(ServerEffect::Confirm(job.ticket));
            self.effects.extend(message.map(|message| ServerEffect::Send { to: job.from, store: job.store, message }));
        }
        self.call(now);
    }

    /// The group could not be committed, through no fault of any message in it.
    pub fn handle_commit_failed(&mut self, now: Instant) {
        self.credit.failed();
        let jobs = self.take_committing();
        jobs.iter().for_each(|job| self.credit.gone(&job.store));
        self.look(now);
        self.effects.extend(jobs.into_iter().map(|job| ServerEffect::Forget(job.ticket)));
    }

    fn look(&mut self, now: Instant) {
        let oldest = self.committing.first().or(self.queue.front(true)).map(|job| job.arrived);
        let is_full = self.queue.bytes() > self.limits.queue_bytes_max / 2;
        self.credit.look(oldest, is_full, now);
        self.call(now);
    }

    /// Calls the stores whose turn it is.
    fn call(&mut self, now: Instant) {
        while let Some(Turn { to, store, credit }) = self.credit.next_turn(now) {
            let message = Downlink::Turn(protocol::latest::Turn { server_epoch: self.server_epoch, credit });
            self.effects.push_back(ServerEffect::Call { to, store, message });
        }
    }

    /// A store is served by another server from here on: its turn is not waited for, nor is it called. What of it waits for
    /// a commit is committed and answered all the same.
    pub fn forget_store(&mut self, store: &StoreId) {
        self.credit.forget(store);
    }

    /// What tells a store, unasked, which run of the centre answers it. One that was answered by another run asks anew.
    pub fn pulse(&self, server_time_ms: i64) -> Downlink {
        Downlink::Pulse(Pulse { server_epoch: self.server_epoch, server_time_ms })
    }

    /// What to do next, oldest first.
    pub fn poll_effect(&mut self) -> Option<ServerEffect> {
        self.effects.pop_front()
    }

    /// How fast stores may send at present, and why.
    pub fn credit_state(&self) -> CreditState {
        self.credit.state()
    }

    /// Sets the operator's limit in events a second, or none.
    pub fn set_events_per_s_max(&mut self, per_s: Option<u64>, now: Instant) {
        self.credit.set_cap(per_s, now);
    }

    /// Messages that wait, without those in the ledger.
    pub fn queued_jobs(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that wait or are in the ledger.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    fn take_committing(&mut self) -> Vec<Job> {
        let jobs = std::mem::take(&mut self.committing);
        jobs.iter().for_each(|job| self.queue.release(job));
        jobs
    }

    fn answer(&mut self, job: &Job, outcome: Outcome, now: Instant, server_time_ms: i64) -> Option<Downlink> {
        let server_epoch = self.server_epoch;
        match (job.question, outcome) {
            (Question::Batch { epoch, events }, Outcome::Batch(outcome)) => Some(Downlink::Ack(Ack {
                server_epoch,
                epoch,
                through: outcome.through,
                cursor: outcome.cursor,
                parked: outcome.parked.into_iter().take(PARKED_IN_ACK_MAX).collect(),
                rewind: outcome.rewind,
                forked: outcome.forked,
                credit: self.credit.after_batch(&job.store, job.from, events, now),
                server_time_ms,
            })),
            (Question::Hello { session, backlog }, Outcome::Hello(outcome)) => Some(Downlink::Welcome(Welcome {
                session,
                server_epoch,
                cursors: outcome.cursors,
                credit: self.credit.for_newcomer(&job.store, job.from, backlog, now),
                reconnect_spread_ms: self.credit.reconnect_spread_ms(),
                receipts: outcome.receipts,
                server_time_ms,
            })),
            (Question::Heartbeat { backlog }, _) => {
                self.credit.heard(&job.store, job.from, backlog, now);
                Some(Downlink::Pulse(Pulse { server_epoch, server_time_ms }))
            }
            // An outcome of another kind than the question would be a defect of the ledger; silence is safe, because
            // the store asks again.
            (Question::Batch { .. } | Question::Hello { .. }, _) => None,
        }
    }
}

/// How many parked events an ack names. The count of all stands in the centre's API.
const PARKED_IN_ACK_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{BatchOutcome, HelloOutcome};
    use pos_model::{ChainHash, Seq};
    use protocol::latest::Mark;

    const AT: Instant = Instant::from_ms(1_000);

    fn store(id: &str) -> StoreId {
        StoreId::new(id).expect("valid")
    }

    fn batch(events: usize) -> Question {
        Question::Batch { epoch: Epoch::new(1), events }
    }

    fn limits() -> ServerLimits {
        ServerLimits { queue_bytes_max: 1000, group_events_max: 10, group_jobs_max: 3, ..ServerLimits::PRODUCTION }
    }

    fn applied() -> Outcome {
        let mark = Mark { seq: Seq::new(5), hash: ChainHash::GENESIS };
        Outcome::Batch(BatchOutcome {
            through: mark,
            cursor: mark,
            applied: 5,
            parked: vec![],
            forked: false,
            rewind: false,
        })
    }

    #[test]
    fn nothing_is_answered_before_the_commit() {
        let mut sync = ServerSync::new(7, limits());
        sync.handle_message(Ticket(1), Route(9), store("a"), batch(5), 10, AT);
        assert_eq!(sync.poll_group(AT), Some(vec![Ticket(1)]));
        assert_eq!(sync.poll_effect(), None);
        sync.handle_committed(vec![applied()], AT, 42);
        assert_eq!(sync.poll_effect(), Some(ServerEffect::Confirm(Ticket(1))));
        let Some(ServerEffect::Send { to: Route(9), message: Downlink::Ack(ack), .. }) = sync.poll_effect() else {
            panic!("an ack follows the confirmation");
        };
        assert_eq!((ack.server_epoch, ack.through.seq, ack.server_time_ms), (7, Seq::new(5), 42));
    }

    #[test]
    fn a_failed_group_is_forgotten_and_slows_stores_down() {
        let mut sync = ServerSync::new(7, limits());
        sync.handle_message(Ticket(1), Route(9), store("a"), batch(5), 10, AT);
        sync.poll_group(AT);
        sync.handle_commit_failed(AT);
        assert_eq!(sync.poll_effect(), Some(ServerEffect::Forget(Ticket(1))));
        assert_eq!(sync.poll_effect(), None);
        assert_eq!(sync.queued_bytes(), 0);
        assert_eq!(sync.credit_state().reason.as_str(), "failing");
    }

    #[test]
    fn groups_are_bounded_by_events_and_messages() {
        let mut sync = ServerSync::new(7, limits());
        for (ticket, events) in [(1, 6), (2, 6), (3, 1), (4, 1), (5, 1), (6, 50)] {
            let from = format!("s{ticket}");
            assert_eq!(
                sync.handle_message(Ticket(ticket), Route(0), store(&from), batch(events), 1, AT),
                Admission::Queued
            );
        }
        for expected in [vec![1], vec![2, 3, 4], vec![5], vec![6]] {
            let group = sync.poll_group(AT).expect("a group waits");
            assert_eq!(group.iter().map(|ticket| ticket.0).collect::<Vec<_>>(), expected);
            assert_eq!(sync.poll_group(AT), None, "one group at a time");
            sync.handle_committed(group.iter().map(|_| applied()).collect(), AT, 0);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut sync = ServerSync::new(7, limits());
        for ticket in 0..4 {
            assert_eq!(sync.handle_message(Ticket(ticket), Route(0), store("a"), batch(1), 1, AT), Admission::Queued);
        }
        let more = sync.handle_message(Ticket(5), Route(0), store("a"), batch(1), 1, AT);
        assert_eq!(more, Admission::Refused(Overload::Store));
        let large = sync.handle_message(Ticket(6), Route(0), store("b"), batch(1), 997, AT);
        assert_eq!(large, Admission::Refused(Overload::Queue));
        assert_eq!(sync.handle_message(Ticket(7), Route(0), store("b"), batch(1), 996, AT), Admission::Queued);
    }

    #[test]
    fn questions_go_on_while_the_operators_limit_holds_batches_back() {
        let mut sync = ServerSync::new(7, ServerLimits { events_per_s_max: Some(10), ..limits() });
        let at = |ms: u64| Instant::from_ms(1_000 + ms);
        let heartbeat = Question::Heartbeat { backlog: 0 };
        sync.handle_message(Ticket(1), Route(0), store("a"), batch(5), 1, at(0));
        assert_eq!(sync.poll_group(at(0)), Some(vec![Ticket(1)]));
        sync.handle_committed(vec![applied()], at(0), 0);
        sync.handle_message(Ticket(2), Route(0), store("a"), batch(5), 1, at(1));
        sync.handle_message(Ticket(3), Route(0), store("b"), heartbeat, 1, at(1));
        assert_eq!(sync.poll_group(at(1)), Some(vec![Ticket(3)]));
        sync.handle_committed(vec![Outcome::Noted], at(1), 0);
        assert_eq!(sync.poll_group(at(2)), None);
        let opens_at = sync.next_group_at(at(2)).expect("the batch waits");
        sync.handle_message(Ticket(4), Route(0), store("b"), heartbeat, 1, opens_at);
        assert_eq!(sync.poll_group(opens_at), Some(vec![Ticket(2), Ticket(4)]));
    }

    #[test]
    fn a_question_is_answered_with_its_session() {
        let mut sync = ServerSync::new(7, limits());
        sync.handle_message(Ticket(1), Route(0), store("a"), Question::Hello { session: 99, backlog: 0 }, 1, AT);
        sync.handle_message(Ticket(2), Route(0), store("a"), Question::Heartbeat { backlog: 0 }, 1, AT);
        sync.poll_group(AT);
        let hello = Outcome::Hello(HelloOutcome { cursors: vec![], receipts: vec![] });
        sync.handle_committed(vec![hello, Outcome::Noted], AT, 0);
        let answers: Vec<_> = std::iter::from_fn(|| sync.poll_effect())
            .filter_map(|effect| if let ServerEffect::Send { message, .. } = effect { Some(message) } else { None })
            .collect();
        assert!(matches!(answers[0], Downlink::Welcome(Welcome { session: 99, server_epoch: 7, .. })));
        assert!(matches!(answers[1], Downlink::Pulse(Pulse { server_epoch: 7, .. })));
    }
}
