//! What wraps every message on MQTT.
//!
//! Byte 0 is the envelope's version, byte 1 says how the rest is packed (0 plain, 1 zstd); the rest is one MessagePack map
//! `{store, kind, body}`. With 2 added to byte 1 the last 32 bytes are a proof, which [`crate::proof`] makes and checks; here
//! it is only left out. The store stands inside too, so that a message which a broker delivered on the wrong topic is
//! noticed. Sizes are bounded on both sides of the compression before anything is allocated.

use pos_model::StoreId;
use serde::Serialize;
use serde::de::MapAccess;

use crate::latest::{
    Ack, Batch, Compare, Digests, Downlink, Heartbeat, Hello, Pulse, Recall, Recalled, Turn, Uplink, Welcome,
};
use crate::packing;
use crate::proof::{PROOF_BYTES, PROVEN};
use crate::tagged::{Body, Head, Tagged};

/// The version in byte 0.
pub const ENVELOPE_VERSION: u8 = 0xB1;

/// A sender keeps a message below this many bytes on the wire (48 KiB): every broker carries that by default.
pub const WIRE_BYTES_TARGET: usize = 48 * 1024;

/// A receiver refuses more than this many bytes on the wire (60 KiB).
pub const WIRE_BYTES_MAX: usize = 60 * 1024;

/// A receiver refuses to unpack more than this many bytes (1 MiB): 500 events of 2 KiB each.
pub const PLAIN_BYTES_MAX: usize = 1024 * 1024;

/// Messages above this size (1 KiB) are compressed.
const COMPRESS_ABOVE_BYTES: usize = 1024;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// A message could not be wrapped.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Encoding failed.
    #[error("encode message")]
    Encode(#[source] rmp_serde::encode::Error),
    /// Compression failed.
    #[error("compress message")]
    Compress(#[source] std::io::Error),
}

/// Bytes could not be taken for a message.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too short to be anything.
    #[error("message of {0} bytes is too short")]
    TooShort(usize),
    /// Too long, before or after unpacking.
    #[error("message is larger than {limit} bytes")]
    TooLarge {
        /// The limit that it broke.
        limit: usize,
    },
    /// Another envelope version.
    #[error("envelope version {0:#04x} is not known here")]
    Version(u8),
    /// Another way of packing.
    #[error("packing {0} is not known here")]
    Packing(u8),
    /// The compressed part is damaged.
    #[error("damaged compression")]
    Compression,
    /// The kind is unknown.
    #[error("message of unknown kind {0:?}")]
    UnknownKind(String),
    /// The message has another form than its kind says.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Wraps a message of a store. The result may exceed [`WIRE_BYTES_TARGET`]; the caller of a batch then sends fewer events.
pub fn seal_uplink(store: &StoreId, message: &Uplink) -> Result<Vec<u8>, SealError> {
    match message {
        Uplink::Hello(body) => seal(store, "hello", body),
        Uplink::Batch(body) => seal(store, "batch", body),
        Uplink::Heartbeat(body) => seal(store, "heartbeat", body),
        Uplink::Digests(body) => seal(store, "digests", body),
        Uplink::Recalled(body) => seal(store, "recalled", body),
    }
}

/// Wraps a message to a store.
pub fn seal_downlink(store: &StoreId, message: &Downlink) -> Result<Vec<u8>, SealError> {
    match message {
        Downlink::Welcome(body) => seal(store, "welcome", body),
        Downlink::Ack(body) => seal(store, "ack", body),
        Downlink::Pulse(body) => seal(store, "pulse", body),
        Downlink::Turn(body) => seal(store, "turn", body),
        Downlink::Compare(body) => seal(store, "compare", body),
        Downlink::Recall(body) => seal(store, "recall", body),
    }
}

/// Unwraps a message of a store, and says which store it names.
pub fn open_uplink(bytes: &[u8]) -> Result<(StoreId, Uplink), OpenError> {
    open(bytes)
}

/// Unwraps a message to a store, and says which store it names.
pub fn open_downlink(bytes: &[u8]) -> Result<(StoreId, Downlink), OpenError> {
    open(bytes)
}

fn seal<B: Serialize>(store: &StoreId, kind: &'static str, body: &B) -> Result<Vec<u8>, SealError> {
    #[derive(Serialize)]
    struct Wire<'a, B> {
        store: &'a StoreId,
        kind: &'static str,
        body: &'a B,
    }
    let mut bytes = vec![ENVELOPE_VERSION, PLAIN];
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    Wire { store, kind, body }.serialize(&mut serializer).map_err(SealError::Encode)?;
    if bytes.len() <= COMPRESS_ABOVE_BYTES {
        return Ok(bytes);
    }
    let mut packed = vec![ENVELOPE_VERSION, ZSTD];
    packing::pack_onto(&mut packed, &bytes[2..]).map_err(SealError::Compress)?;
    Ok(packed)
}

fn open<M>(bytes: &[u8]) -> Result<(StoreId, M), OpenError>
where
    M: for<'de> Body<'de>,
{
    if bytes.len() > WIRE_BYTES_MAX {
        return Err(OpenError::TooLarge { limit: WIRE_BYTES_MAX });
    }
    let [version, packing, rest @ ..] = bytes else { return Err(OpenError::TooShort(bytes.len())) };
    if *version != ENVELOPE_VERSION {
        return Err(OpenError::Version(*version));
    }
    let rest = if packing & PROVEN == 0 {
        rest
    } else {
        rest.split_last_chunk::<PROOF_BYTES>().map(|(rest, _)| rest).ok_or(OpenError::TooShort(bytes.len()))?
    };
    let unpacked;
    let plain = match packing & !PROVEN {
        PLAIN => rest,
        ZSTD => {
            unpacked = unpack(rest)?;
            &unpacked
        }
        other => return Err(OpenError::Packing(other)),
    };
    let tagged: Tagged<EnvelopeHead, M> =
        rmp_serde::from_slice(plain).map_err(|error| OpenError::Malformed(error.to_string()))?;
    let store = tagged.head.store.ok_or_else(|| OpenError::Malformed("no store".to_owned()))?;
    Ok((store, tagged.body.map_err(OpenError::UnknownKind)?))
}

/// Unpacks a zstd frame whose size is stated in its header, which `seal` always does.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let size = packing::plain_bytes(packed).ok_or(OpenError::Compression)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > PLAIN_BYTES_MAX {
        return Err(OpenError::TooLarge { limit: PLAIN_BYTES_MAX });
    }
    packing::unpack(packed, size).map_err(|_| OpenError::Compression)
}

#[derive(Default)]
struct EnvelopeHead {
    store: Option<StoreId>,
}

impl<'de> Head<'de> for EnvelopeHead {
    fn read<A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<bool, A::Error> {
        if field != "store" {
            return Ok(false);
        }
        self.store = Some(map.next_value()?);
        Ok(true)
    }
}

impl<'de> Body<'de> for Uplink {
    fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
        match kind {
            "hello" => Some(map.next_value::<Hello>().map(Self::Hello)),
            "batch" => Some(map.next_value::<Batch>().map(Self::Batch)),
            "heartbeat" => Some(map.next_value::<Heartbeat>().map(Self::Heartbeat)),
            "digests" => Some(map.next_value::<Digests>().map(Self::Digests)),
            "recalled" => Some(map.next_value::<Recalled>().map(Self::Recalled)),
            _ => None,
        }
    }
}

impl<'de> Body<'de> for Downlink {
    fn read<A: MapAccess<'de>>(kind: &str, map: &mut A) -> Option<Result<Self, A::Error>> {
        match kind {
            "welcome" => Some(map.next_value::<Welcome>().map(Self::Welcome)),
            "ack" => Some(map.next_value::<Ack>().map(Self::Ack)),
            "pulse" => Some(map.next_value::<Pulse>().map(Self::Pulse)),
            "turn" => Some(map.next_value::<Turn>().map(Self::Turn)),
            "compare" => Some(map.next_value::<Compare>().map(Self::Compare)),
            "recall" => Some(map.next_value::<Recall>().map(Self::Recall)),
            _ => None,
        }
    }
}
