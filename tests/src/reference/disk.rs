//! What is on an agent's disk, as one line of events that nobody tidies up.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{Epoch, Place, Seq, TillId};
use uuid::Uuid;

use super::Key;

/// What is on an agent's disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub(super) rows: Vec<Row>,
    pub(super) acked: BTreeMap<Epoch, Seq>,
    /// What tills were answered, by their keys.
    pub(super) answers: BTreeMap<Uuid, Answer>,
    /// The counts that began, finished or not.
    pub(super) counts: BTreeMap<Uuid, Begun>,
    pub(super) receipts: BTreeMap<TillId, u64>,
    pub(super) pickups: BTreeSet<(i32, u32)>,
    pub(super) running_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) place: Place,
    pub(super) written_at_running_ms: u64,
    pub(super) trimmed: bool,
}

/// What a till was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// From what it asked.
    pub(super) digest: [u8; 32],
    /// In words, as the till would read it.
    pub(super) text: String,
    /// How many events there were.
    pub(super) rows: usize,
    /// It is a sale's or a refund's, which is kept for longer than a year.
    pub(super) is_kept: bool,
}

/// A count that began.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// How many events there were, and the place of the last one.
    pub(super) rows: usize,
    pub(super) frontier: Place,
    /// Which items; nothing is all.
    pub(super) items: BTreeSet<String>,
    pub(super) is_over: bool,
}

impl Disk {
    /// Whether the answer may have been let go along with the events of its time.
    pub(super) fn may_be_forgotten(&self, answer: &Answer) -> bool {
        let first_held = self.rows.iter().position(|row| !row.trimmed).unwrap_or(self.rows.len());
        !answer.is_kept && answer.rows <= first_held
    }
}
