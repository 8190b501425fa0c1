//! A message on its way into the ledger, with all the work done that needs no database: the hash chain is computed and
//! the events are decoded, on another thread than the one that writes.
//!
//! Events' bytes are not taken apart to be kept: the ledger keeps the frame, the message as it came over the wire, in
//! which they are compressed together to a tenth of their size and less.

use bytes::Bytes;
use pos_model::{ChainHash, Epoch, Seq, StoreId};
use protocol::envelope::{OpenError, SealError, WIRE_BYTES_MAX, open_uplink, seal_uplink};
use protocol::latest::{Batch, DecodeError, Event, Heartbeat, Hello, ReceiptHead, StoreHealth, Uplink, decode_event};
use protocol::topic::UplinkKind;
use sync_core::server::{Question, Shape};

/// The largest batch that is taken, in events. Stores are granted half of it; more is not a batch of an agent.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// Receipt numbers that are taken from one Hello or Heartbeat, one for each till. A store has a few dozen tills; a message
/// of the largest size has room for tens of thousands, each of which would be a row.
pub const RECEIPT_HEADS_MAX: usize = 1_000;

/// What a decoded event occupies, as a multiple of its bytes: structures, and text and vectors of their own.
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
    /// What each event says, if this program understands it.
    pub events: Vec<Result<Event, DecodeError>>,
    /// The whole message as it came over the wire.
    pub frame: Bytes,
    /// The size of the events' bytes.
    pub plain_bytes: usize,
}

/// A message that the ledger cannot take.
#[derive(Debug, thiserror::Error)]
pub enum UnfitMessage {
    /// It cannot be read.
    #[error("open the envelope")]
    Open(#[source] OpenError),
    /// It cannot be wrapped, to be kept.
    #[error("wrap the message")]
    Seal(#[source] SealError),
    /// It is too large to be kept, and to have come over the wire.
    #[error("message of {0} bytes is larger than {WIRE_BYTES_MAX}")]
    TooLarge(usize),
    /// It moves no cursor: it is of those that compare what was applied.
    #[error("message is none that is applied")]
    NotOfTheLedger,
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
    /// Opens a message that came over the wire, hashes and decodes it. Costs a few microseconds per event.
    pub fn open(frame: Bytes) -> Result<Self, UnfitMessage> {
        let (store, message) = open_uplink(&frame).map_err(UnfitMessage::Open)?;
        Self::with_frame(store, message, frame)
    }

    /// The same for a message that did not come over the wire; it is wrapped as if it had.
    pub fn new(store: StoreId, message: Uplink) -> Result<Self, UnfitMessage> {
        let frame = match &message {
            Uplink::Batch(_) => seal_uplink(&store, &message).map_err(UnfitMessage::Seal)?,
            Uplink::Hello(_) | Uplink::Heartbeat(_) | Uplink::Digests(_) | Uplink::Recalled(_) => Vec::new(),
        };
        if frame.len() > WIRE_BYTES_MAX {
            return Err(UnfitMessage::TooLarge(frame.len()));
        }
        Self::with_frame(store, message, frame.into())
    }

    fn with_frame(store: StoreId, message: Uplink, frame: Bytes) -> Result<Self, UnfitMessage> {
        let message = match message {
            Uplink::Batch(batch) => Message::Batch(ReceivedBatch::new(batch, frame)?),
            Uplink::Hello(mut hello) => {
                bound_receipts(&mut hello.health);
                Message::Hello(hello)
            }
            Uplink::Heartbeat(mut heartbeat) => {
                bound_receipts(&mut heartbeat.health);
                Message::Heartbeat(heartbeat)
            }
            Uplink::Digests(_) | Uplink::Recalled(_) => return Err(UnfitMessage::NotOfTheLedger),
        };
        Ok(Self { store, message })
    }

    /// What it asks, as far as the answer needs it.
    pub fn question(&self) -> Question {
        match &self.message {
            Message::Batch(batch) => Question::Batch { epoch: batch.epoch, events: batch.events.len() },
            Message::Hello(hello) => Question::Hello { session: hello.session, backlog: hello.health.outbox_events },
            Message::Heartbeat(heartbeat) => Question::Heartbeat { backlog: heartbeat.health.outbox_events },
        }
    }

    /// Its kind, which its topic names too.
    pub fn kind(&self) -> UplinkKind {
        match &self.message {
            Message::Batch(_) => UplinkKind::Batch,
            Message::Hello(_) => UplinkKind::Hello,
            Message::Heartbeat(_) => UplinkKind::Heartbeat,
        }
    }

    /// What it occupies in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let fixed = size_of::<Self>();
        match &self.message {
            Message::Batch(batch) => {
                let each = size_of::<Result<Event, DecodeError>>() + size_of::<ChainHash>();
                fixed + batch.frame.len() + batch.events.len() * each + batch.plain_bytes * DECODED_PER_BYTE
            }
            Message::Hello(hello) => fixed + size_of_val(hello.epochs.as_slice()) + health_bytes(&hello.health),
            Message::Heartbeat(heartbeat) => fixed + health_bytes(&heartbeat.health),
        }
    }
}

fn bound_receipts(health: &mut StoreHealth) {
    health.receipts.truncate(RECEIPT_HEADS_MAX);
    // What was cut off must not occupy memory that nobody counts.
    health.receipts.shrink_to_fit();
}

fn health_bytes(health: &StoreHealth) -> usize {
    let of_receipt = |head: &ReceiptHead| size_of::<ReceiptHead>() + head.till_id.as_str().len();
    health.agent_version.len() + health.receipts.iter().map(of_receipt).sum::<usize>()
}

impl ReceivedBatch {
    fn new(batch: Batch, frame: Bytes) -> Result<Self, UnfitMessage> {
        let Batch { epoch, first_seq, prev_hash, .. } = batch;
        if first_seq == Seq::ZERO {
            return Err(UnfitMessage::FirstSeq);
        }
        if batch.events.len() > BATCH_EVENTS_MAX {
            return Err(UnfitMessage::TooManyEvents(batch.events.len()));
        }
        if batch.last_seq() >= Seq::MAX {
            return Err(UnfitMessage::LastSeq);
        }
        let (mut hash, mut plain_bytes) = (prev_hash, 0);
        let mut hashes = Vec::with_capacity(batch.events.len());
        let mut events = Vec::with_capacity(batch.events.len());
        for bytes in &batch.events {
            hash = hash.then(bytes);
            hashes.push(hash);
            events.push(decode_event(bytes));
            plain_bytes += bytes.len();
        }
        Ok(Self { epoch, first_seq, prev_hash, hashes, events, frame, plain_bytes })
    }

    /// The batch without its bytes.
    pub fn shape(&self) -> Shape<'_> {
        Shape { first_seq: self.first_seq, prev_hash: self.prev_hash, hashes: &self.hashes }
    }
}
