//! A message on its way into the ledger, with all the work done that needs no database: the hash chain is computed and
//! the events are decoded, on another thread than the one that writes.

use pos_model::{ChainHash, Epoch, Seq, StoreId};
use protocol::latest::{Batch, DecodeError, Event, Heartbeat, Hello, Uplink, decode_event};
use sync_core::server::{Question, Shape};

/// The largest batch that is taken, in events. Stores are granted half of it; more is not a batch of an agent.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// What a decoded event occupies beyond its bytes, as a multiple of them: names, text and vectors of their own.
const DECODED_PER_BYTE: usize = 3;

/// A message of a store.
#[derive(Debug)]
pub struct Job {
    /// The store; its login, its topic and its envelope agree on it.
    pub store: StoreId,
    /// What it says.
    pub message: Message,
}

/// What a store says, ready for the ledger.
#[derive(Debug)]
pub enum Message {
    /// A run of events.
    Batch(ReceivedBatch),
    /// What it holds.
    Hello(Hello),
    /// How it is.
    Heartbeat(Heartbeat),
}

/// A run of events, hashed and decoded.
#[derive(Debug)]
pub struct ReceivedBatch {
    /// The epoch.
    pub epoch: Epoch,
    /// The number of the first event.
    pub first_seq: Seq,
    /// The hash just before it.
    pub prev_hash: ChainHash,
    /// The hash after each event.
    pub hashes: Vec<ChainHash>,
    /// The events.
    pub events: Vec<ReceivedEvent>,
}

/// An event as it arrived, beside what it means.
#[derive(Debug)]
pub struct ReceivedEvent {
    /// The bytes that the store committed.
    pub bytes: Vec<u8>,
    /// What they say, if this program understands them.
    pub event: Result<Event, DecodeError>,
}

/// A message that no agent sends. Its envelope was sound, so its sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitMessage {
    /// Events count from one.
    #[error("batch begins at event 0")]
    FirstSeq,
    /// The numbers run out of their range.
    #[error("batch ends beyond the largest event number")]
    LastSeq,
    /// See [`BATCH_EVENTS_MAX`].
    #[error("batch of {0} events is larger than {BATCH_EVENTS_MAX}")]
    TooManyEvents(usize),
}

impl Job {
    /// Hashes and decodes a message. Costs a few microseconds per event.
    pub fn new(store: StoreId, message: Uplink) -> Result<Self, UnfitMessage> {
        let message = match message {
            Uplink::Batch(batch) => Message::Batch(ReceivedBatch::new(batch)?),
            Uplink::Hello(hello) => Message::Hello(hello),
            Uplink::Heartbeat(heartbeat) => Message::Heartbeat(heartbeat),
        };
        Ok(Self { store, message })
    }

    /// What it asks, as far as the answer needs it.
    pub fn question(&self) -> Question {
        match &self.message {
            Message::Batch(batch) => Question::Batch { epoch: batch.epoch, events: batch.events.len() },
            Message::Hello(hello) => Question::Hello { session: hello.session },
            Message::Heartbeat(_) => Question::Heartbeat,
        }
    }

    /// What it occupies in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let fixed = size_of::<Self>();
        match &self.message {
            Message::Batch(batch) => batch.events.iter().fold(fixed, |sum, received| {
                sum + size_of::<ReceivedEvent>()
                    + size_of::<ChainHash>()
                    + received.bytes.len() * (1 + DECODED_PER_BYTE)
            }),
            Message::Hello(hello) => fixed + size_of_val(hello.epochs.as_slice()),
            Message::Heartbeat(_) => fixed,
        }
    }
}

impl ReceivedBatch {
    fn new(batch: Batch) -> Result<Self, UnfitMessage> {
        if batch.first_seq == Seq::ZERO {
            return Err(UnfitMessage::FirstSeq);
        }
        if batch.events.len() > BATCH_EVENTS_MAX {
            return Err(UnfitMessage::TooManyEvents(batch.events.len()));
        }
        if batch.last_seq() >= Seq::MAX {
            return Err(UnfitMessage::LastSeq);
        }
        let mut hash = batch.prev_hash;
        let mut hashes = Vec::with_capacity(batch.events.len());
        let mut events = Vec::with_capacity(batch.events.len());
        for bytes in batch.events {
            hash = hash.then(&bytes);
            hashes.push(hash);
            let event = decode_event(&bytes);
            events.push(ReceivedEvent { bytes: bytes.into_vec(), event });
        }
        Ok(Self { epoch: batch.epoch, first_seq: batch.first_seq, prev_hash: batch.prev_hash, hashes, events })
    }

    /// The batch without its bytes.
    pub fn shape(&self) -> Shape<'_> {
        Shape { first_seq: self.first_seq, prev_hash: self.prev_hash, hashes: &self.hashes }
    }
}
