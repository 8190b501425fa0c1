//! Stores, claim codes and secrets.
//!
//! Neither a claim code nor a secret is kept: only what it is checked against. Both are random and long (80 and 256
//! bits), so a fast hash is right: there is nothing to guess that a slow one would protect.

use std::fmt;

use pos_model::StoreId;
use protocol::proof::{self, StoreKeys};

use super::LedgerError;

/// Whether a store may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreStatus {
    /// It may, once it has enrolled.
    Active,
    /// It may not any more.
    Revoked,
}

impl StoreStatus {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, LedgerError> {
        [Self::Active, Self::Revoked]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(LedgerError::Damaged { what: "store status" })
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $hash:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(blake3::Hash);

        impl $name {
            /// Hashes the text. Comparing two hashes takes the same time wherever they differ.
            pub fn of(text: &[u8]) -> Self {
                Self(blake3::Hash::from_bytes($hash(text)))
            }

            pub(super) fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

hash_type!(
    /// What a store's secret is checked against.
    SecretHash,
    proof::digest
);
hash_type!(
    /// What a claim code is checked against.
    CodeHash,
    |text: &[u8]| blake3::derive_key("breakwater 2026 claim code v1", text)
);

impl SecretHash {
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(blake3::Hash::from_bytes(bytes)))
    }

    /// What the store computes from its secret, too: its MQTT password and what proves messages.
    pub fn keys(&self) -> StoreKeys {
        StoreKeys::of_digest(self.as_bytes())
    }
}

/// What a login is checked against.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The store.
    pub store: StoreId,
    /// Whether it may come in.
    pub status: StoreStatus,
    /// The hash of its secret, once it has enrolled.
    pub secret: Option<SecretHash>,
}

/// A claim code that lets one store enrol once.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The code's hash.
    pub code: CodeHash,
    /// Until when it holds, in milliseconds since 1970 (UTC).
    pub expires_at_ms: i64,
}

/// Why a store may not enrol. Whoever asks is told only that the code does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrollRefused {
    /// No such store, or no such code of it.
    #[error("no such claim code for this store")]
    Unknown,
    /// The code was used.
    #[error("the claim code was used before")]
    Used,
    /// The code is too old.
    #[error("the claim code has expired")]
    Expired,
}

/// Keeps stores, claim codes and secrets. Another process may change them beside the running server.
pub trait Registry {
    /// Adds a store, or names and reactivates one that is there, with a claim code that replaces all earlier ones.
    /// Says whether the store is new.
    fn add_store(&self, store: &StoreId, name: Option<&str>, claim: Claim, now_ms: i64) -> Result<bool, LedgerError>;

    /// Takes a store's login and claim codes away. Its sales stay. Says whether there is such a store.
    fn revoke_store(&self, store: &StoreId) -> Result<bool, LedgerError>;

    /// Uses a claim code up and gives the store a secret in the same transaction.
    fn enroll(
        &self,
        store: &StoreId,
        code: CodeHash,
        secret: SecretHash,
        now_ms: i64,
    ) -> Result<Result<(), EnrollRefused>, LedgerError>;

    /// A number that changes whenever a login may have changed.
    fn registry_version(&self) -> Result<i64, LedgerError>;

    /// What logins are checked against.
    fn credentials(&self) -> Result<Vec<Credential>, LedgerError>;
}
