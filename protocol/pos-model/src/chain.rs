//! The hash chain of a store's history.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The hash of an event and of all before it: `BLAKE3(previous hash, event bytes)`.
/// One chain runs through the history of a store, across epochs; equal hashes mean equal histories.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What stands before the first event of a store.
    pub const GENESIS: Self = Self([0; 32]);

    /// Wraps 32 bytes that were read from storage or wire.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a stored hash; `None` unless it has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash after one more event.
    #[must_use]
    pub fn then(&self, event: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(event);
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "ChainHash({}..)", &text[..12])
    }
}

impl Serialize for ChainHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let hash = blake3::Hash::from_hex(&text).map_err(de::Error::custom)?;
            Ok(Self(*hash.as_bytes()))
        } else {
            serde_bytes::ByteArray::<32>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_depends_on_bytes_and_order() {
        let start = ChainHash::GENESIS;
        assert_ne!(start.then(b"a"), start.then(b"b"));
        assert_ne!(start.then(b"a").then(b"b"), start.then(b"b").then(b"a"));
        assert_ne!(start.then(b"ab"), start.then(b"a").then(b"b"));
    }

    #[test]
    fn the_formula_is_blake3_of_previous_and_event() {
        let mut input = vec![0u8; 32];
        input.extend_from_slice(b"event");
        assert_eq!(ChainHash::GENESIS.then(b"event").as_bytes(), blake3::hash(&input).as_bytes());
    }

    #[test]
    fn round_trips() {
        let hash = ChainHash::GENESIS.then(b"x");
        let json = serde_json::to_string(&hash).expect("encodes");
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<ChainHash>(&json).expect("decodes"), hash);
        let packed = rmp_serde::to_vec_named(&hash).expect("encodes");
        assert_eq!(packed.len(), 34);
        assert_eq!(rmp_serde::from_slice::<ChainHash>(&packed).expect("decodes"), hash);
    }
}
