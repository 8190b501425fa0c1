//! A store's outbox in memory.

use pos_model::{ChainHash, Epoch, Seq};
use protocol::latest::{Batch, EpochReport, Mark};
use serde_bytes::ByteBuf;

/// One epoch of encoded events with their chain.
#[derive(Debug)]
pub struct Outbox {
    epoch: Epoch,
    events: Vec<Box<[u8]>>,
    hashes: Vec<ChainHash>,
    acked: Seq,
}

impl Outbox {
    /// An empty one.
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, events: Vec::new(), hashes: Vec::new(), acked: Seq::ZERO }
    }

    /// Appends an encoded event; returns its number.
    pub fn push(&mut self, event: Vec<u8>) -> Seq {
        let hash = self.hash_at(self.head()).expect("the head is held").then(&event);
        self.events.push(event.into_boxed_slice());
        self.hashes.push(hash);
        self.head()
    }

    /// The newest event.
    pub fn head(&self) -> Seq {
        Seq::new(self.events.len() as u64)
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest confirmed event.
    pub fn acked(&self) -> Seq {
        self.acked
    }

    /// What a `Hello` says of it.
    pub fn report(&self) -> EpochReport {
        EpochReport {
            epoch: self.epoch,
            first_held: Seq::FIRST,
            hash_before: ChainHash::GENESIS,
            head: self.head(),
            acked: self.acked,
        }
    }

    /// A run of events; none if there is nothing from there on.
    pub fn batch(&self, from: Seq, events_max: usize) -> Option<Batch> {
        let start = usize::try_from(from.get().checked_sub(1)?).ok()?;
        let prev_hash = self.hash_at(from.previous())?;
        let events = self.events.get(start..)?.iter().take(events_max).map(|event| ByteBuf::from(event.to_vec()));
        let events: Vec<_> = events.collect();
        (!events.is_empty()).then_some(Batch { epoch: self.epoch, first_seq: from, prev_hash, events })
    }

    /// Moves the confirmed watermark, if the mark is on this history.
    pub fn confirm(&mut self, mark: Mark) -> bool {
        let agrees = self.hash_at(mark.seq) == Some(mark.hash);
        if agrees {
            self.acked = self.acked.max(mark.seq);
        }
        agrees
    }

    /// Sets the confirmed watermark back.
    pub fn rewind(&mut self, to: Seq) {
        self.acked = to;
    }

    /// The hash up to an event.
    pub fn hash_at(&self, seq: Seq) -> Option<ChainHash> {
        match usize::try_from(seq.get()).ok()?.checked_sub(1) {
            None => Some(ChainHash::GENESIS),
            Some(index) => self.hashes.get(index).copied(),
        }
    }
}
