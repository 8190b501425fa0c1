//! What the machine knows of each epoch: what the outbox holds, and where the centre is on this connection.

use pos_model::{Epoch, Seq};
use protocol::latest::EpochReport;

/// Where the centre is in an epoch, as far as this connection has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// It has not been asked yet.
    Unknown,
    /// It has answered, and the outbox compares.
    Comparing,
    /// The next event to send.
    Next(Seq),
}

#[derive(Debug, Clone)]
struct Known {
    epoch: Epoch,
    first_held: Seq,
    head: Seq,
    acked: Seq,
    position: Position,
    /// The centre holds another history of this epoch.
    forked: bool,
    /// A run of the centre, and up to where it has taken our own history.
    answered: Option<(u64, Seq)>,
}

/// All epochs that the outbox holds, in order of birth.
#[derive(Debug)]
pub(super) struct Epochs {
    known: Vec<Known>,
}

impl Epochs {
    pub(super) fn new(reports: &[EpochReport]) -> Self {
        let mut epochs = Self { known: Vec::new() };
        epochs.held(reports);
        epochs
    }

    /// What the outbox holds at present: epochs may have gone, begun and grown.
    pub(super) fn held(&mut self, reports: &[EpochReport]) {
        self.known.retain(|known| reports.iter().any(|report| report.epoch == known.epoch));
        for report in reports {
            match self.find(report.epoch) {
                Some(known) => {
                    known.first_held = report.first_held;
                    known.head = known.head.max(report.head);
                }
                None => self.known.push(Known {
                    epoch: report.epoch,
                    first_held: report.first_held,
                    head: report.head,
                    acked: report.acked,
                    position: Position::Unknown,
                    forked: false,
                    answered: None,
                }),
            }
        }
    }

    pub(super) fn committed(&mut self, epoch: Epoch, head: Seq) {
        if let Some(known) = self.find(epoch) {
            known.head = known.head.max(head);
        }
    }

    pub(super) fn forget_positions(&mut self) {
        self.known.iter_mut().for_each(|known| known.position = Position::Unknown);
    }

    pub(super) fn forget_position(&mut self, epoch: Epoch) {
        if let Some(known) = self.find(epoch) {
            known.position = Position::Unknown;
        }
    }

    /// The epochs to ask about: the oldest first of those that no answer has covered.
    pub(super) fn to_ask(&self, max: usize) -> Vec<Epoch> {
        let unknown = self.known.iter().filter(|known| known.position == Position::Unknown);
        unknown.take(max).map(|known| known.epoch).collect()
    }

    pub(super) fn all_known(&self) -> bool {
        self.known.iter().all(|known| known.position != Position::Unknown)
    }

    /// The centre has answered; returns the head of the epoch, if it is ours.
    pub(super) fn compare(&mut self, epoch: Epoch) -> Option<Seq> {
        let known = self.find(epoch)?;
        known.position = Position::Comparing;
        Some(known.head)
    }

    /// The histories agree up to `seq`. Returns what had been confirmed before, if that is more: the centre went back.
    pub(super) fn agreed(&mut self, epoch: Epoch, seq: Seq) -> Option<Seq> {
        let known = self.find(epoch)?;
        let was_acked = known.acked;
        let went_back = known.position == Position::Comparing && seq < was_acked && !known.forked;
        known.acked = if went_back { seq } else { was_acked.max(seq) };
        known.position = match known.position {
            Position::Next(next) => Position::Next(next.max(seq.next())),
            Position::Comparing | Position::Unknown => Position::Next(seq.next()),
        };
        went_back.then_some(was_acked)
    }

    /// The histories differ: all that is held is sent, but for what this run of the centre has taken. Returns true when
    /// that is new.
    pub(super) fn differs(&mut self, epoch: Epoch, run: Option<u64>) -> bool {
        let Some(known) = self.find(epoch) else { return false };
        if !matches!(known.position, Position::Next(_)) {
            let taken = known.answered.filter(|(by, _)| Some(*by) == run).map_or(Seq::ZERO, |(_, seq)| seq);
            known.position = Position::Next(known.first_held.max(taken.next()));
        }
        !std::mem::replace(&mut known.forked, true)
    }

    /// A run of the centre has taken our own history up to `seq`. While it runs, it forgets nothing.
    pub(super) fn answered(&mut self, epoch: Epoch, run: u64, seq: Seq) {
        if let Some(known) = self.find(epoch) {
            known.answered = Some((run, seq));
        }
    }

    /// The centre does not know what comes before the batch that it was sent.
    pub(super) fn unanswered(&mut self, epoch: Epoch) {
        if let Some(known) = self.find(epoch) {
            known.answered = None;
            known.position = Position::Unknown;
        }
    }

    /// The centre has parked or applied what we sent up to `seq`, on our own history.
    pub(super) fn sent_beyond(&mut self, epoch: Epoch, seq: Seq) {
        if let Some(known) = self.find(epoch) {
            known.position = Position::Next(seq.next());
        }
    }

    /// The oldest event that is to be sent.
    pub(super) fn next_to_send(&self) -> Option<(Epoch, Seq)> {
        self.known.iter().find_map(|known| match known.position {
            Position::Next(next) if next <= known.head => Some((known.epoch, next)),
            Position::Next(_) | Position::Comparing | Position::Unknown => None,
        })
    }

    /// Whether there is anything to send or to ask.
    pub(super) fn has_work(&self) -> bool {
        self.next_to_send().is_some() || !self.all_known()
    }

    pub(super) fn unconfirmed(&self) -> u64 {
        self.known.iter().map(|known| known.head.since(known.acked)).sum()
    }

    pub(super) fn is_newest(&self, epoch: Epoch) -> bool {
        self.known.last().is_some_and(|known| known.epoch == epoch)
    }

    fn find(&mut self, epoch: Epoch) -> Option<&mut Known> {
        // The epoch in use is the last, and most calls are about it.
        self.known.iter_mut().rev().find(|known| known.epoch == epoch)
    }
}
