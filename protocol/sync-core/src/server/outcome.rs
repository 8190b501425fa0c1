//! What a ledger reports of a committed group, message by message.

use pos_model::Seq;
use protocol::latest::{Cursor, Mark, ReceiptHead};

/// What became of one message.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of a `Batch`.
    Batch(BatchOutcome),
    /// Of a `Hello`.
    Hello(HelloOutcome),
    /// Of a `Heartbeat`: it was noted.
    Noted,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchOutcome {
    /// The end of the batch: everything up to it, on this history, is applied or parked. With `rewind` it is the cursor.
    pub through: Mark,
    /// The cursor of the epoch after the commit.
    pub cursor: Mark,
    /// Events applied by this message; replays do not count.
    pub applied: u64,
    /// Events parked by this message.
    pub parked: Vec<Seq>,
    /// Whether the batch belongs to another history of the epoch.
    pub forked: bool,
    /// Whether the batch began beyond the cursor.
    pub rewind: bool,
}

/// What the ledger holds of the epochs in a `Hello`.
#[derive(Debug, Clone, PartialEq)]
pub struct HelloOutcome {
    /// One cursor for each epoch, in the order of the question.
    pub cursors: Vec<Cursor>,
    /// The highest receipt number known of each till of the store.
    pub receipts: Vec<ReceiptHead>,
}
