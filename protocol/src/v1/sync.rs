//! What an agent and the centre say to each other. `sync-core` knows when each of these is said.

use pos_model::{ChainHash, Epoch, Money, Seq, Stamp, TillId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::reconcile::{Compare, Digests, Recall, Recalled};

/// From a store to the centre.
#[derive(Debug, Clone, PartialEq)]
pub enum Uplink {
    /// After each connect: what the store holds.
    Hello(Hello),
    /// A run of events.
    Batch(Batch),
    /// How the store is.
    Heartbeat(Heartbeat),
    /// What the store holds of business dates, for a centre that wants to compare.
    Digests(Digests),
    /// Events that the centre asked for again.
    Recalled(Recalled),
}

/// From the centre to a store.
#[derive(Debug, Clone, PartialEq)]
pub enum Downlink {
    /// The answer to `Hello`: where to go on.
    Welcome(Welcome),
    /// The answer to `Batch`, sent after the commit.
    Ack(Ack),
    /// The answer to `Heartbeat`.
    Pulse(Pulse),
    /// The end of a pause: the store's turn has come.
    Turn(Turn),
    /// Which business dates the centre wants to compare.
    Compare(Compare),
    /// The centre asks for events again.
    Recall(Recall),
}

/// A place in an epoch, with the hash of the history up to it. Equal marks mean equal histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The event's number; zero means before the first.
    pub seq: Seq,
    /// The hash there.
    pub hash: ChainHash,
}

/// Said after each connect, and whenever the store wants to know where the centre is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Chosen for this question; the answer repeats it, so that two agents of one store tell their answers apart.
    pub session: u64,
    /// The version of the messages that the store speaks.
    pub version: u16,
    /// The epochs about which it asks, in order of their birth.
    pub epochs: Vec<EpochReport>,
    /// The store's state.
    pub health: StoreHealth,
}

/// What a store holds of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch.
    pub epoch: Epoch,
    /// The oldest event that the store still holds.
    pub first_held: Seq,
    /// The hash just before that event.
    pub hash_before: ChainHash,
    /// The newest event.
    pub head: Seq,
    /// The newest event that the centre has confirmed, as the store remembers.
    pub acked: Seq,
}

/// The state of a store, for the people who watch over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreHealth {
    /// The store's clock.
    pub clock: Stamp,
    /// The program's version.
    pub agent_version: String,
    /// The epoch in which the agent sells.
    pub epoch: Epoch,
    /// The newest event there.
    pub head: Seq,
    /// Events that the centre has not confirmed.
    pub outbox_events: u64,
    /// When the oldest of them was recorded, in milliseconds since 1970 (UTC).
    #[serde(default)]
    pub outbox_oldest_ms: Option<i64>,
    /// Free bytes on the disk that holds the sales.
    #[serde(default)]
    pub disk_free_bytes: Option<u64>,
    /// The newest receipt of each till, so that numbers which never arrive are noticed.
    #[serde(default)]
    pub receipts: Vec<ReceiptHead>,
}

/// The newest receipt number of a till; where the centre says so, also its newest Z report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptHead {
    /// The till.
    pub till_id: TillId,
    /// Its newest number.
    pub receipt_no: u64,
    /// The number of its newest Z report that the centre has; zero where there is none, and where a store reports.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub z_no: u64,
    /// What that report names as the till's grand total.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub grand_total_minor: Money,
}

impl ReceiptHead {
    /// The newest receipt number of a till, without a word of its reports.
    pub const fn new(till_id: TillId, receipt_no: u64) -> Self {
        Self { till_id, receipt_no, z_no: 0, grand_total_minor: Money::ZERO }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nothing(amount: &Money) -> bool {
    *amount == Money::ZERO
}

/// Where the centre is, epoch by epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Repeated from the question.
    pub session: u64,
    /// A random number of this run of the centre. When it changes, nothing remembered of the centre holds.
    pub server_epoch: u64,
    /// One cursor for each epoch in the question, in the same order.
    pub cursors: Vec<Cursor>,
    /// What the store may send.
    pub credit: Credit,
    /// After a loss of the connection the store waits a random part of this many milliseconds before it comes back.
    #[serde(default)]
    pub reconnect_spread_ms: u32,
    /// The highest receipt number known of each till, and its newest Z report: a store that was restored from a copy goes on
    /// above them.
    #[serde(default)]
    pub receipts: Vec<ReceiptHead>,
    /// The centre's clock, in milliseconds since 1970 (UTC).
    pub server_time_ms: i64,
}

/// How far the centre has applied one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch.
    pub epoch: Epoch,
    /// The highest contiguous event applied. It may lie beyond the store's head: then the store was restored.
    pub applied: Seq,
    /// The centre's history at the lower of `applied` and the store's head, for the store to compare with its own.
    pub common: Mark,
}

/// A contiguous run of events of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The epoch.
    pub epoch: Epoch,
    /// The number of the first event; the others follow without gaps.
    pub first_seq: Seq,
    /// The hash just before the first event.
    pub prev_hash: ChainHash,
    /// The events' bytes as they were committed.
    pub events: Vec<ByteBuf>,
}

/// What the centre's durable state now holds. Cumulative: a lost one costs nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// As in `Welcome`.
    pub server_epoch: u64,
    /// The epoch.
    pub epoch: Epoch,
    /// The end of the batch that this answers: every event up to here, on the history with this hash, is applied or
    /// parked.
    pub through: Mark,
    /// The centre's cursor, which is beyond `through` when the batch was a replay.
    pub cursor: Mark,
    /// Events of the batch that were parked; at most the first hundred.
    #[serde(default)]
    pub parked: Vec<Seq>,
    /// The batch began beyond the cursor and nothing of it was taken: the store asks with `Hello` where to go on.
    #[serde(default)]
    pub rewind: bool,
    /// The centre holds other events at these places: another agent sells in this epoch. The store opens a new one.
    #[serde(default)]
    pub forked: bool,
    /// What the store may send next.
    pub credit: Credit,
    /// The centre's clock, in milliseconds since 1970 (UTC).
    pub server_time_ms: i64,
}

/// How fast a store may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// How many events the next batch may hold. Zero is a pause: ask again after the hold.
    pub events: u32,
    /// How long to wait first, in milliseconds.
    pub hold_ms: u32,
}

/// How the store is, every half minute or so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The store's state.
    pub health: StoreHealth,
}

/// Said to a store that was told to pause, without its asking: it may go on now. If it is lost, the store asks when its
/// pause is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// As in `Welcome`.
    pub server_epoch: u64,
    /// How much the store may send now.
    pub credit: Credit,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// As in `Welcome`.
    pub server_epoch: u64,
    /// The centre's clock, in milliseconds since 1970 (UTC).
    pub server_time_ms: i64,
}

impl Batch {
    /// The number of the last event; that before the first if the batch is empty.
    pub fn last_seq(&self) -> Seq {
        let count = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.first_seq.previous().plus(count)
    }
}
