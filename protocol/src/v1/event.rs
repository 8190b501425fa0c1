//! Events: what happened in a store. One event is one MessagePack map `{id, at, kind, body}`.
//!
//! The agent encodes an event once, in the database transaction that makes it true. The outbox, the batch and the central
//! ledger hold these same bytes, and the store's hash chain runs over them.

use pos_model::{ChainHash, Epoch, EventId, Seq, Stamp};
use serde::de::{IgnoredAny, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::audit::AuditMarked;
use super::refund::RefundCompleted;
use super::sale::SaleCompleted;
use super::shift::{CashMoved, DayClosed, ShiftAmended, ShiftClosed, ShiftOpened};
use super::stock::{SoldOutChanged, StockCounted, StockMoved};
use crate::tagged::{Body, Head, Tagged};

/// The largest encoded event in bytes. It leaves room for the envelope, so that even an event which does not compress
/// fits a batch of [`crate::envelope::WIRE_BYTES_TARGET`] alone. A sale of a hundred lines stays below it.
pub const EVENT_BYTES_MAX: usize = 40 * 1024;

/// Something that happened in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Made by the agent, unique for ever.
    pub id: EventId,
    /// When the agent recorded it, by the store's clock.
    pub at: Stamp,
    /// What happened.
    pub body: EventBody,
}

/// Defines [`EventBody`], and its way to bytes and back, by one line for each kind.
macro_rules! event_bodies {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// What happened. The set grows; a centre parks a kind that it does not know, with its bytes and the reason.
        #[derive(Debug, Clone, PartialEq)]
        pub enum EventBody {
            $($(#[$doc])* $kind(Box<$kind>),)+
        }

        impl EventBody {
            /// The kind's name on the wire and in the ledger.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $kind::KIND,)+
                }
            }

            /// Reads the body of a kind from another format, such as JSON; `None` if the kind is unknown here.
            pub fn deserialize_as<'de, D: Deserializer<'de>>(
                kind: &str,
                deserializer: D,
            ) -> Option<Result<Self, D::Error>> {
                match kind {
                    $($kind::KIND => Some($kind::deserialize(deserializer).map(Self::from)),)+
                    _ => None,
                }
            }

            fn write(&self, event: &Event, bytes: &mut Vec<u8>) -> Result<(), rmp_serde::encode::Error> {
                match self {
                    $(Self::$kind(body) => write_event(event, self.kind(), &**body, bytes),)+
                }
            }
        }

        $(impl From<$kind> for EventBody {
            fn from(body: $kind) -> Self {
                Self::$kind(Box::new(body))
            }
        })+

        /// The body alone, without its kind.
        impl Serialize for EventBody {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(body) => body.serialize(serializer),)+
                }
            }
        }

        impl<'de> Body<'de> for EventBody {
            fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
                match kind {
                    $($kind::KIND => Some(map.next_value::<$kind>().map(Self::from)),)+
                    _ => None,
                }
            }
        }
    };
}

event_bodies! {
    /// The agent started, or left an epoch that another agent uses too.
    EpochOpened,
    /// A customer has paid.
    SaleCompleted,
    /// A customer got money back.
    RefundCompleted,
    /// A till was opened.
    ShiftOpened,
    /// Cash came into a drawer or left it without a sale.
    CashMoved,
    /// A till was closed: the Z report.
    ShiftClosed,
    /// Something was found out about a closed shift.
    ShiftAmended,
    /// The store has closed a business date.
    DayClosed,
    /// Stock came in or went out without a sale.
    StockMoved,
    /// Stock was counted.
    StockCounted,
    /// Something went out of sale, or came back.
    SoldOutChanged,
    /// Something worth an auditor's look.
    AuditMarked,
}

/// The first event of each epoch. It ties the epoch to the history before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochOpened {
    /// The epoch that it opens.
    pub epoch: Epoch,
    /// The newest event that the agent held before; none for a new store.
    /// Two epochs with one predecessor mean that the agent's folder was restored or copied.
    pub previous: Option<Predecessor>,
    /// Why it was opened.
    pub reason: OpenReason,
    /// The program's version.
    #[serde(default)]
    pub agent_version: String,
}

impl EpochOpened {
    /// The kind's name.
    pub const KIND: &'static str = "epoch_opened";
}

/// Why an epoch was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenReason {
    /// The agent started.
    Start,
    /// The centre holds another event at one of our places.
    Fork,
    /// A reason that a newer agent gave.
    #[serde(other)]
    Other,
}

/// The newest event that an agent held when it opened an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// The hash of the history up to it.
    pub hash: ChainHash,
}

/// The event could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Encoding itself failed.
    #[error("encode event")]
    Encode(#[source] rmp_serde::encode::Error),
    /// The event is larger than a batch may carry.
    #[error("event of {bytes} bytes is larger than {EVENT_BYTES_MAX}")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
}

/// The bytes are not an event that this program understands.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A well-formed event of a kind that this program does not know.
    #[error("event of unknown kind {0:?}")]
    UnknownKind(String),
    /// Not an event, or one with a field that cannot be.
    #[error("malformed event: {0}")]
    Malformed(String),
}

/// Room for a sale of a few lines, so that encoding it does not grow the buffer step by step.
const EVENT_BYTES_USUAL: usize = 2 * 1024;

/// Encodes an event. Fails only if it is larger than [`EVENT_BYTES_MAX`].
pub fn encode_event(event: &Event) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(EVENT_BYTES_USUAL);
    event.body.write(event, &mut bytes).map_err(EncodeError::Encode)?;
    if bytes.len() > EVENT_BYTES_MAX { Err(EncodeError::TooLarge { bytes: bytes.len() }) } else { Ok(bytes) }
}

fn write_event<B: Serialize>(
    event: &Event,
    kind: &'static str,
    body: &B,
    bytes: &mut Vec<u8>,
) -> Result<(), rmp_serde::encode::Error> {
    #[derive(Serialize)]
    struct Wire<'a, B> {
        id: EventId,
        at: Stamp,
        kind: &'static str,
        body: &'a B,
    }
    rmp_serde::encode::write_named(bytes, &Wire { id: event.id, at: event.at, kind, body })
}

/// Decodes an event. Never panics, whatever the bytes.
pub fn decode_event(bytes: &[u8]) -> Result<Event, DecodeError> {
    let malformed = |error: rmp_serde::decode::Error| DecodeError::Malformed(error.to_string());
    let tagged: Tagged<EventHead, EventBody> = rmp_serde::from_slice(bytes).map_err(malformed)?;
    let body = tagged.body.map_err(DecodeError::UnknownKind)?;
    let id = tagged.head.id.ok_or_else(|| DecodeError::Malformed("no id".to_owned()))?;
    let at = tagged.head.at.ok_or_else(|| DecodeError::Malformed("no time".to_owned()))?;
    Ok(Event { id, at, body })
}

/// What tells an event from all others, and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdentity {
    /// Its id, where it has one.
    pub id: Option<EventId>,
    /// When it was recorded, where it says so.
    pub at: Option<Stamp>,
    /// The name of its kind, known here or not.
    pub kind: String,
}

/// Reads what tells an event from others, also of one whose kind or body is not understood here; none of bytes that are
/// not even that.
pub fn decode_identity(bytes: &[u8]) -> Option<EventIdentity> {
    let tagged: Tagged<EventHead, Skipped> = rmp_serde::from_slice(bytes).ok()?;
    let EventHead { id, at } = tagged.head;
    let Skipped(kind) = tagged.body.ok()?;
    Some(EventIdentity { id, at, kind })
}

/// A body that nobody reads, with its kind.
struct Skipped(String);

impl<'de> Body<'de> for Skipped {
    fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
        Some(map.next_value::<IgnoredAny>().map(|_| Self(kind.chars().take(KIND_CHARS_MAX).collect())))
    }
}

/// How much of a kind's name is kept. Those that exist are shorter.
const KIND_CHARS_MAX: usize = 40;

#[derive(Default)]
struct EventHead {
    id: Option<EventId>,
    at: Option<Stamp>,
}

impl<'de> Head<'de> for EventHead {
    fn read<A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<bool, A::Error> {
        match field {
            "id" => self.id = Some(map.next_value()?),
            "at" => self.at = Some(map.next_value()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
