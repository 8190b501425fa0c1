//! MQTT topics, built and parsed in one place.
//!
//! `bw1/u/<pp>/<store>/<kind>` up, `bw1/d/<store>` down, `bw1/b/<group>` to many; `pp` is the store's partition with two
//! digits. Every topic is shorter than 64 characters with levels of `[A-Za-z0-9_-]`, which any MQTT broker takes.

use pos_model::StoreId;

/// The kind of an uplink message, the last level of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UplinkKind {
    /// `hello`
    Hello,
    /// `batch`
    Batch,
    /// `heartbeat`
    Heartbeat,
    /// `digests`
    Digests,
    /// `recalled`
    Recalled,
}

impl UplinkKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Hello, Self::Batch, Self::Heartbeat, Self::Digests, Self::Recalled];

    /// The level's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Batch => "batch",
            Self::Heartbeat => "heartbeat",
            Self::Digests => "digests",
            Self::Recalled => "recalled",
        }
    }

    /// The kind with this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Builds the topic on which a store sends messages of a kind.
pub fn uplink(store: &StoreId, kind: UplinkKind) -> String {
    format!("bw1/u/{:02}/{store}/{}", store.partition(), kind.as_str())
}

/// Builds the filter for all messages of the stores of one partition.
pub fn partition_filter(partition: u8) -> String {
    format!("bw1/u/{partition:02}/+/+")
}

/// Builds the topic on which a store is spoken to.
pub fn downlink(store: &StoreId) -> String {
    format!("bw1/d/{store}")
}

/// Builds the topic on which a group of stores is spoken to.
pub fn broadcast(group: &str) -> String {
    format!("bw1/b/{group}")
}

/// A parsed uplink topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkTopic {
    /// The store that the topic names.
    pub store: StoreId,
    /// The message's kind.
    pub kind: UplinkKind,
}

/// Why a topic is not one on which a store may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Another form than `bw1/u/<pp>/<store>/<kind>`.
    #[error("not an uplink topic")]
    Form,
    /// The partition is not that of the store.
    #[error("the partition in the topic is not that of the store")]
    Partition,
    /// The last level names no kind that this program knows.
    #[error("unknown message kind in the topic")]
    Kind,
}

/// Parses the topic of an uplink message.
pub fn parse_uplink(topic: &str) -> Result<UplinkTopic, TopicError> {
    let rest = topic.strip_prefix("bw1/u/").ok_or(TopicError::Form)?;
    let mut levels = rest.split('/');
    let (Some(partition), Some(store), Some(kind), None) = (levels.next(), levels.next(), levels.next(), levels.next())
    else {
        return Err(TopicError::Form);
    };
    let store = StoreId::new(store).map_err(|_| TopicError::Form)?;
    if partition != format!("{:02}", store.partition()) {
        return Err(TopicError::Partition);
    }
    let kind = UplinkKind::parse(kind).ok_or(TopicError::Kind)?;
    Ok(UplinkTopic { store, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(id: &str) -> StoreId {
        StoreId::new(id).expect("valid")
    }

    #[test]
    fn round_trip() {
        for kind in UplinkKind::ALL {
            let topic = uplink(&store("store-1"), kind);
            assert_eq!(parse_uplink(&topic), Ok(UplinkTopic { store: store("store-1"), kind }));
        }
        assert_eq!(uplink(&store("store-1"), UplinkKind::Batch), "bw1/u/10/store-1/batch");
        assert_eq!(downlink(&store("store-1")), "bw1/d/store-1");
        assert_eq!((partition_filter(10), partition_filter(7)), ("bw1/u/10/+/+".to_owned(), "bw1/u/07/+/+".to_owned()));
    }

    #[test]
    fn the_longest_topic_is_short_enough_for_any_broker() {
        let topic = uplink(&store("abcdefghijklmnopqrstuvwx"), UplinkKind::Heartbeat);
        assert!(topic.len() <= 64, "{topic}");
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(topic: &str, error: TopicError) {
            assert_eq!(parse_uplink(topic), Err(error), "{topic}");
        }
        check("", TopicError::Form);
        check("bw1/d/store-1", TopicError::Form);
        check("bw2/u/10/store-1/batch", TopicError::Form);
        check("bw1/u/10/store-1", TopicError::Form);
        check("bw1/u/10/store-1/batch/x", TopicError::Form);
        check("bw1/u/10/st+re/batch", TopicError::Form);
        check("bw1/u/11/store-1/batch", TopicError::Partition);
        check("bw1/u/010/store-1/batch", TopicError::Partition);
        check("bw1/u/10/store-1/reboot", TopicError::Kind);
    }
}
