//! Hashes of 32 bytes: hexadecimal digits as text, bytes on the wire.

/// Makes a type of its own for one kind of BLAKE3 hash.
macro_rules! hash_type {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes that were read from storage or wire, or computed.
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
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let text = self.to_string();
                write!(f, "{}({}..)", stringify!($name), &text[..12])
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    let hash = blake3::Hash::from_hex(&text).map_err(serde::de::Error::custom)?;
                    Ok(Self(*hash.as_bytes()))
                } else {
                    serde_bytes::ByteArray::<32>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
                }
            }
        }
    };
}

pub(crate) use hash_type;

hash_type! {
    /// Names the content of a price book: the BLAKE3 of its canonical form. Two books with one hash price alike.
    BookHash
}

hash_type! {
    /// A sum of BLAKE3 hashes, lane by lane: what a set of facts is, whatever the order in which they are read.
    #[derive(Default)]
    FactsHash
}

impl FactsHash {
    /// Adds a hash: the four 64-bit numbers, with the lowest byte first, modulo 2^64 each.
    pub fn add(&mut self, other: Self) {
        let lanes = self.0.as_chunks_mut::<8>().0.iter_mut().zip(other.0.as_chunks::<8>().0);
        for (lane, more) in lanes {
            *lane = u64::from_le_bytes(*lane).wrapping_add(u64::from_le_bytes(*more)).to_le_bytes();
        }
    }
}
