//! What a store has to send: a history of events with their chain, held in memory or made again when asked for.

use pos_model::{ChainHash, Epoch, Seq, Stamp};
use protocol::latest::{Batch, EpochReport, Mark, StoreHealth};
use serde_bytes::ByteBuf;

/// One epoch of encoded events, as far as the link needs it.
pub trait History {
    /// The epoch.
    fn epoch(&self) -> Epoch;

    /// The newest event.
    fn head(&self) -> Seq;

    /// The newest confirmed event.
    fn acked(&self) -> Seq;

    /// A run of events; none if there is nothing from there on.
    fn batch(&mut self, from: Seq, events_max: usize) -> Option<Batch>;

    /// A batch was cut short: it ends here.
    fn note_end(&mut self, _end: Mark) {}

    /// The hash up to an event; none beyond the head.
    fn hash_at(&self, seq: Seq) -> Option<ChainHash>;

    /// Moves the confirmed watermark, if the mark is on this history.
    fn confirm(&mut self, mark: Mark) -> bool;

    /// Sets the confirmed watermark back.
    fn rewind(&mut self, to: Seq);

    /// What a `Hello` says of it.
    fn report(&self) -> EpochReport {
        EpochReport {
            epoch: self.epoch(),
            first_held: Seq::FIRST,
            hash_before: ChainHash::GENESIS,
            head: self.head(),
            acked: self.acked(),
        }
    }

    /// How the store is at a moment of the true time (milliseconds since 1970, UTC).
    fn health(&self, utc_ms: i64) -> StoreHealth {
        StoreHealth {
            clock: Stamp { utc_ms, offset_s: 0 },
            agent_version: "load".to_owned(),
            epoch: self.epoch(),
            head: self.head(),
            outbox_events: self.head().since(self.acked()),
            outbox_oldest_ms: None,
            disk_free_bytes: None,
            receipts: Vec::new(),
        }
    }
}

/// A history that is held in memory.
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

    /// The newest confirmed event.
    pub fn acked(&self) -> Seq {
        self.acked
    }
}

impl History for Outbox {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn head(&self) -> Seq {
        Self::head(self)
    }

    fn acked(&self) -> Seq {
        Self::acked(self)
    }

    fn batch(&mut self, from: Seq, events_max: usize) -> Option<Batch> {
        let start = usize::try_from(from.get().checked_sub(1)?).ok()?;
        let prev_hash = self.hash_at(from.previous())?;
        let events = self.events.get(start..)?.iter().take(events_max).map(|event| ByteBuf::from(event.to_vec()));
        let events: Vec<_> = events.collect();
        (!events.is_empty()).then_some(Batch { epoch: self.epoch, first_seq: from, prev_hash, events })
    }

    fn hash_at(&self, seq: Seq) -> Option<ChainHash> {
        match usize::try_from(seq.get()).ok()?.checked_sub(1) {
            None => Some(ChainHash::GENESIS),
            Some(index) => self.hashes.get(index).copied(),
        }
    }

    fn confirm(&mut self, mark: Mark) -> bool {
        let agrees = self.hash_at(mark.seq) == Some(mark.hash);
        if agrees {
            self.acked = self.acked.max(mark.seq);
        }
        agrees
    }

    fn rewind(&mut self, to: Seq) {
        self.acked = to;
    }
}
