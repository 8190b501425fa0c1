//! How a message proves that its sender holds the store's secret, whoever carried it.
//!
//! A broker that many share may delay a message, drop it or deliver it twice; it must not be able to make one. So a store
//! logs in with a password that tells nothing about its secret, and a message ends with a keyed BLAKE3 hash over all its
//! bytes before, with the flag [`PROVEN`] in the envelope's second byte. The centre proves its answers to such a message
//! in the same way with another key: an acknowledgement that nobody made would cost sales.
//!
//! Derivations, all by BLAKE3's key derivation, each with a context of its own:
//!
//! ```text
//! secret --> digest --> password        what a broker sees
//!                   --> uplink key      proves messages of the store
//!                   --> downlink key    proves messages to the store
//! ```
//!
//! The centre keeps the digest and never the secret. Whoever reads the centre's ledger can therefore make proofs, as with any
//! secret that two parties share, and cannot log in as the store by the secret itself.
//!
//! A proof says who, not when: a message that is delivered again is as good as the first time. What an older message may
//! do is bounded by what it says: batches are applied by their place, and an answer counts only for the question or the
//! batch that it names.

use std::fmt;

use crate::envelope::ENVELOPE_VERSION;

/// Set in the envelope's second byte where a proof stands at the end.
pub const PROVEN: u8 = 0b10;

/// What a proof adds to a message.
pub const PROOF_BYTES: usize = 32;

const DIGEST_CONTEXT: &str = "breakwater 2026 store secret v1";
const PASSWORD_CONTEXT: &str = "breakwater 2026 mqtt password v1";
const UPLINK_CONTEXT: &str = "breakwater 2026 uplink proof v1";
const DOWNLINK_CONTEXT: &str = "breakwater 2026 downlink proof v1";

/// What the centre keeps of a store's secret.
pub fn digest(secret: &[u8]) -> [u8; 32] {
    blake3::derive_key(DIGEST_CONTEXT, secret)
}

/// What a store and the centre both compute from the secret.
#[derive(Clone)]
pub struct StoreKeys {
    password: blake3::Hash,
    /// Proves messages of the store.
    pub uplink: ProofKey,
    /// Proves messages to the store.
    pub downlink: ProofKey,
}

impl StoreKeys {
    /// Computes them from the secret, as the store does.
    pub fn of_secret(secret: &[u8]) -> Self {
        Self::of_digest(&digest(secret))
    }

    /// Computes them from the secret's [`digest`], as the centre does.
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        Self {
            password: blake3::Hash::from_bytes(blake3::derive_key(PASSWORD_CONTEXT, digest)),
            uplink: ProofKey(blake3::derive_key(UPLINK_CONTEXT, digest)),
            downlink: ProofKey(blake3::derive_key(DOWNLINK_CONTEXT, digest)),
        }
    }

    /// The password of the store's MQTT login: 64 hexadecimal digits.
    pub fn password(&self) -> String {
        self.password.to_hex().to_string()
    }

    /// Whether a password is the one of [`StoreKeys::password`]. Takes the same time wherever they differ.
    pub fn is_password(&self, given: &[u8]) -> bool {
        blake3::Hash::from_hex(given).is_ok_and(|given| given == self.password)
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKeys([redacted])")
    }
}

/// Proves and checks messages of one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProofKey([u8; 32]);

impl ProofKey {
    /// Adds a proof to a sealed message that has none.
    pub fn prove(&self, message: &mut Vec<u8>) {
        let Some(packing) = message.get_mut(1) else { return };
        *packing |= PROVEN;
        let proof = blake3::keyed_hash(&self.0, message);
        message.extend_from_slice(proof.as_bytes());
    }

    /// Whether a message ends with the right proof.
    pub fn is_proven(&self, message: &[u8]) -> bool {
        let Some((proven, proof)) = message.split_last_chunk::<PROOF_BYTES>() else { return false };
        // The comparison takes the same time wherever the two differ.
        has_proof(message) && blake3::keyed_hash(&self.0, proven) == blake3::Hash::from_bytes(*proof)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey([redacted])")
    }
}

/// Whether a message says that it ends with a proof, right or wrong. Bytes that are no message say nothing.
pub fn has_proof(message: &[u8]) -> bool {
    matches!(message, [ENVELOPE_VERSION, packing, ..] if packing & PROVEN != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of many random digits";

    #[test]
    fn both_ends_compute_the_same() {
        let (store, centre) = (StoreKeys::of_secret(SECRET), StoreKeys::of_digest(&digest(SECRET)));
        assert_eq!((store.uplink, store.downlink), (centre.uplink, centre.downlink));
        assert!(centre.is_password(store.password().as_bytes()));
        assert_ne!(store.uplink, store.downlink);
        assert!(!centre.is_password(SECRET) && !centre.is_password(b""));
        assert!(!StoreKeys::of_secret(b"another").is_password(store.password().as_bytes()));
    }

    #[test]
    fn what_was_changed_is_not_proven() {
        let key = StoreKeys::of_secret(SECRET).uplink;
        let bare = vec![0xB1, 0, 1, 2, 3];
        let mut message = bare.clone();
        key.prove(&mut message);
        assert!(key.is_proven(&message) && has_proof(&message) && !has_proof(&bare));
        for index in 0..message.len() {
            let mut changed = message.clone();
            changed[index] ^= 1;
            assert!(!key.is_proven(&changed), "byte {index}");
        }
        for cut in 0..message.len() {
            assert!(!key.is_proven(&message[..cut]), "{cut} bytes");
        }
        let keys = StoreKeys::of_secret(SECRET);
        assert!(!keys.downlink.is_proven(&message), "the other direction");
        assert!(!StoreKeys::of_secret(b"another").uplink.is_proven(&message), "another store");
        assert!(!key.is_proven(&bare));
    }

    #[test]
    fn nothing_shows_a_key() {
        assert_eq!(format!("{:?}", StoreKeys::of_secret(SECRET)), "StoreKeys([redacted])");
    }
}
