//! Names and identifiers. Names are short text from a small alphabet, so that each can stand in a topic, a file name,
//! a URL and a metric without escaping. Identifiers of sales and events are UUIDs made by the caller (version 7 by
//! convention, so that an index over them grows at one end).
//!
//! Names of up to 23 bytes, which nearly all are, lie inside their value: reading and copying one asks for no memory.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;
use uuid::Uuid;

/// The text is not a valid name: it says which kind of name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: {problem}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    problem: &'static str,
}

/// How much of a refused text an error repeats. Input can be megabytes long; a log line must not be.
const QUOTED_CHARS_MAX: usize = 40;

impl InvalidId {
    pub(crate) fn date(text: &str) -> Self {
        invalid("business date", text, "is not a date of the form YYYY-MM-DD")
    }
}

fn invalid(kind: &'static str, text: &str, problem: &'static str) -> InvalidId {
    InvalidId { kind, text: text.chars().take(QUOTED_CHARS_MAX).collect(), problem }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $allowed:expr, $alphabet:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The longest name in bytes.
            pub const LEN_MAX: usize = $max;

            /// Parses a name. Fails if it is empty, too long, or has a character outside its alphabet.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(invalid($kind, text, "is empty"));
                }
                if text.len() > Self::LEN_MAX {
                    return Err(invalid($kind, text, concat!("is longer than ", $max, " bytes")));
                }
                if !text.chars().all(allowed) {
                    return Err(invalid($kind, text, $alphabet));
                }
                Ok(Self(SmolStr::new(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;

                impl de::Visitor<'_> for Name {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $kind))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Name)
            }
        }
    };
}

fn topic_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Text a person may have typed into a menu: anything that prints on one line.
fn printable(c: char) -> bool {
    !c.is_control()
}

name_type!(
    /// Names a store. It is a topic level, an MQTT user name and a path segment of the API.
    StoreId, "store id", 24, topic_safe, "has a character other than A-Z, a-z, 0-9, '-' and '_'"
);
name_type!(
    /// Names a till within its store.
    TillId, "till id", 16, topic_safe, "has a character other than A-Z, a-z, 0-9, '-' and '_'"
);
name_type!(
    /// Names an operator within the chain. Not a person's name.
    OperatorId, "operator id", 32, topic_safe, "has a character other than A-Z, a-z, 0-9, '-' and '_'"
);
name_type!(
    /// What the chain sells: the stock keeping unit of a menu item or of a variant of it.
    Sku, "sku", 64, printable, "has a control character"
);
name_type!(
    /// What the chain stocks and recipes consume: an ingredient, a cup, a lid.
    ItemId, "item id", 64, printable, "has a control character"
);

name_type!(
    /// A word from a small set that may grow: a channel, a kind of tender, a tax group, a reason.
    /// An open set, so that an older peer keeps a word that it does not know.
    Tag, "tag", 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'),
    "has a character other than a-z, 0-9, '-', '_' and '.'"
);

impl StoreId {
    /// Into how many partitions the topic space is split. Fixed for ever: stores, brokers and servers compute it alone.
    pub const PARTITIONS: u8 = 64;

    /// The partition of this store: `crc32(store id) % 64`.
    pub fn partition(&self) -> u8 {
        let partition = crc32fast::hash(self.0.as_bytes()) % u32::from(Self::PARTITIONS);
        u8::try_from(partition).expect("a remainder of 64 fits in a byte")
    }
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the caller made.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// Its 16 bytes, the form in which it is stored.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| invalid(stringify!($name), text, "is not a UUID"))
            }
        }
    };
}

uuid_type!(
    /// Identifies a sale. The till makes and keeps it before it sends the command, so it is the idempotency key too.
    SaleId
);
uuid_type!(
    /// Identifies an event of the store's history.
    EventId
);
uuid_type!(
    /// Identifies a command. The till makes and keeps it before it sends the command: the same id again gives the same
    /// answer.
    CommandId
);
uuid_type!(
    /// Identifies a basket, and stays with it on whichever till it is.
    BasketId
);
uuid_type!(
    /// Identifies a line of a basket.
    LineId
);
uuid_type!(
    /// Identifies an attempt to take money at a payment terminal.
    AttemptId
);
uuid_type!(
    /// Identifies a refund.
    RefundId
);
uuid_type!(
    /// Identifies a shift.
    ShiftId
);
uuid_type!(
    /// Identifies a movement of cash or stock, a count, or an amendment.
    MovementId
);
uuid_type!(
    /// Identifies what somebody has allowed, once.
    ApprovalId
);
uuid_type!(
    /// Identifies something that is made in the kitchen or at the bar: a cup, a dish.
    CupId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_ids() {
        #[track_caller]
        fn check(text: &str, valid: bool) {
            assert_eq!(StoreId::new(text).is_ok(), valid, "{text:?}");
        }
        check("s1", true);
        check("SHANGHAI-0042_b", true);
        check("123456789012345678901234", true);
        check("1234567890123456789012345", false);
        check("", false);
        check("a/b", false);
        check("a+", false);
        check("#", false);
        check("store 1", false);
        check("caf\u{e9}", false);
        check("a\0", false);
    }

    #[test]
    fn an_error_does_not_repeat_a_long_text() {
        let error = StoreId::new("x".repeat(1 << 20)).expect_err("far too long");
        assert!(error.to_string().len() < 120, "{error}");
    }

    #[test]
    fn partitions_never_change() {
        #[track_caller]
        fn check(store: &str, partition: u8) {
            assert_eq!(StoreId::new(store).expect("valid").partition(), partition, "{store}");
        }
        // From `python3 -c "import zlib; print(zlib.crc32(b'store-1') % 64)"` and so on.
        check("store-1", 10);
        check("store-2", 48);
        check("3", 27);
        check("SH-0001", 24);
    }

    #[test]
    fn names_with_other_alphabets() {
        assert!(Sku::new("\u{676d}\u{5dde}\u{9f99}\u{4e95}\u{8336}").is_ok());
        assert!(Sku::new("Oat milk, large (0.5 l)").is_ok());
        assert!(Sku::new("two\nlines").is_err());
        assert!(ItemId::new("milk").is_ok());
    }
}
