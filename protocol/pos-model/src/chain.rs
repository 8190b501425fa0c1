//! The hash chain of a store's history.

use crate::hash::hash_type;

hash_type! {
    /// The hash of an event and of all before it: `BLAKE3(previous hash, event bytes)`.
    /// One chain runs through the history of a store, across epochs; equal hashes mean equal histories.
    ChainHash
}

impl ChainHash {
    /// What stands before the first event of a store.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash after one more event.
    #[must_use]
    pub fn then(&self, event: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(event);
        Self(*hasher.finalize().as_bytes())
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
