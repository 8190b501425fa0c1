//! The messages that wait for a group, in the order in which they came.
//!
//! Batches and questions wait in a line each, so that questions, which carry no events, can go on while an operator's limit
//! holds the batches back.

use std::collections::{BTreeMap, VecDeque};

use pos_model::StoreId;

use super::sync::{Question, Route, Ticket};
use crate::Instant;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) from: Route,
    pub(super) store: StoreId,
    pub(super) question: Question,
    /// What it occupies in memory.
    pub(super) bytes: usize,
    pub(super) arrived: Instant,
}

impl Job {
    /// How many events it carries.
    pub(super) fn events(&self) -> u64 {
        if let Question::Batch { events, .. } = self.question { u64::try_from(events).unwrap_or(u64::MAX) } else { 0 }
    }
}

/// What waits, and what is in the ledger: both count for the bounds.
#[derive(Debug, Default)]
pub(super) struct JobQueue {
    batches: VecDeque<(u64, Job)>,
    questions: VecDeque<(u64, Job)>,
    /// Messages that ever came.
    came: u64,
    bytes: usize,
    of_store: BTreeMap<StoreId, usize>,
}

impl JobQueue {
    pub(super) fn push(&mut self, job: Job) {
        *self.of_store.entry(job.store.clone()).or_default() += 1;
        self.bytes += job.bytes;
        self.came += 1;
        let line = if let Question::Batch { .. } = job.question { &mut self.batches } else { &mut self.questions };
        line.push_back((self.came, job));
    }

    /// The oldest message that waits, or the oldest question.
    pub(super) fn front(&self, with_batches: bool) -> Option<&Job> {
        let (batch, question) = (self.batches.front().filter(|_| with_batches), self.questions.front());
        [batch, question].into_iter().flatten().min_by_key(|(number, _)| *number).map(|(_, job)| job)
    }

    /// The oldest batch that waits.
    pub(super) fn front_batch(&self) -> Option<&Job> {
        self.batches.front().map(|(_, job)| job)
    }

    /// Takes out what [`JobQueue::front`] shows. It still counts, until it is [`JobQueue::release`]d.
    pub(super) fn pop(&mut self, with_batches: bool) -> Option<Job> {
        let is_batch = matches!(self.front(with_batches)?.question, Question::Batch { .. });
        let line = if is_batch { &mut self.batches } else { &mut self.questions };
        line.pop_front().map(|(_, job)| job)
    }

    /// A message has left the ledger.
    pub(super) fn release(&mut self, job: &Job) {
        self.bytes -= job.bytes;
        if let Some(waiting) = self.of_store.get_mut(&job.store) {
            *waiting -= 1;
            if *waiting == 0 {
                self.of_store.remove(&job.store);
            }
        }
    }

    /// Messages that wait, without those in the ledger.
    pub(super) fn len(&self) -> usize {
        self.batches.len() + self.questions.len()
    }

    /// Bytes that wait or are in the ledger.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages of a store that wait or are in the ledger.
    pub(super) fn of_store(&self, store: &StoreId) -> usize {
        self.of_store.get(store).copied().unwrap_or(0)
    }
}
