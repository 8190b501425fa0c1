//! Events: what happened in a store. One event is one MessagePack map `{id, at, kind, body}`.
//!
//! The agent encodes an event once, in the database transaction that makes it true. The outbox, the batch and the central
//! ledger hold these same bytes, and the store's hash chain runs over them.

use pos_model::{ChainHash, Epoch, EventId, Seq, Stamp};
use serde::de::MapAccess;
use serde::{Deserialize, Serialize};

use super::sale::SaleCompleted;
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

/// What happened. The set grows; a centre parks a kind that it does not know, with its bytes and the reason.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    /// The agent started, or left an epoch that another agent uses too.
    EpochOpened(EpochOpened),
    /// A customer has paid.
    SaleCompleted(Box<SaleCompleted>),
}

impl EventBody {
    /// The kind's name on the wire and in the ledger.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EpochOpened(_) => EpochOpened::KIND,
            Self::SaleCompleted(_) => SaleCompleted::KIND,
        }
    }
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
    #[derive(Serialize)]
    struct Wire<'a, B> {
        id: EventId,
        at: Stamp,
        kind: &'static str,
        body: &'a B,
    }
    let (id, at, kind) = (event.id, event.at, event.body.kind());
    let mut bytes = Vec::with_capacity(EVENT_BYTES_USUAL);
    match &event.body {
        EventBody::EpochOpened(body) => rmp_serde::encode::write_named(&mut bytes, &Wire { id, at, kind, body }),
        EventBody::SaleCompleted(body) => {
            rmp_serde::encode::write_named(&mut bytes, &Wire { id, at, kind, body: &**body })
        }
    }
    .map_err(EncodeError::Encode)?;
    if bytes.len() > EVENT_BYTES_MAX { Err(EncodeError::TooLarge { bytes: bytes.len() }) } else { Ok(bytes) }
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

impl<'de> Body<'de> for EventBody {
    fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
        match kind {
            EpochOpened::KIND => Some(map.next_value().map(Self::EpochOpened)),
            SaleCompleted::KIND => Some(map.next_value().map(Self::SaleCompleted)),
            _ => None,
        }
    }
}
