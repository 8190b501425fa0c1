//! What a store may publish and subscribe: its own topics, and nothing with a wildcard.

use std::fmt;

use pos_model::StoreId;
use protocol::topic::{self, UplinkKind};

/// The last level of an uplink topic: which message it carries. At most 16 characters of `a-z`, `0-9` and `-`, kept
/// inline because one is made for every message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    bytes: [u8; Kind::LEN_MAX],
    len: u8,
}

impl Kind {
    /// The longest kind in bytes.
    pub const LEN_MAX: usize = 16;

    /// Parses a kind; `None` if it is empty, too long, or has another character.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.as_bytes().iter().all(allowed) {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }

    /// The kind as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("only ASCII was let in")
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.as_str())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rights of one login.
#[derive(Debug)]
pub(crate) struct Acl {
    uplink_prefix: String,
    downlink: String,
}

impl Acl {
    pub(crate) fn new(store: &StoreId) -> Self {
        let mut uplink_prefix = topic::uplink(store, UplinkKind::Batch);
        uplink_prefix.truncate(uplink_prefix.len() - UplinkKind::Batch.as_str().len());
        Self { uplink_prefix, downlink: topic::downlink(store) }
    }

    /// The kind of an uplink topic, if the store may publish to it.
    pub(crate) fn publish(&self, topic: &str) -> Option<Kind> {
        Kind::new(topic.strip_prefix(&self.uplink_prefix)?)
    }

    /// Everybody may listen to a group; what is said there is for every store of the chain.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        filter == self.downlink
            || filter.rsplit('/').next().is_some_and(|group| valid_level(group) && filter == topic::broadcast(group))
    }
}

fn valid_level(level: &str) -> bool {
    !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl() -> Acl {
        Acl::new(&StoreId::new("store-1").expect("valid"))
    }

    #[test]
    fn publishing() {
        #[track_caller]
        fn check(topic: &str, kind: Option<&str>) {
            assert_eq!(acl().publish(topic).as_ref().map(Kind::as_str), kind, "{topic}");
        }
        check("bw1/u/10/store-1/ev", Some("ev"));
        check("bw1/u/10/store-1/a-9", Some("a-9"));
        check("bw1/u/10/store-1/abcdefghijklmnop", Some("abcdefghijklmnop"));
        check("bw1/u/10/store-1/abcdefghijklmnopq", None);
        check("bw1/u/10/store-1/", None);
        check("bw1/u/10/store-1/Ev", None);
        check("bw1/u/10/store-1/ev/x", None);
        check("bw1/u/11/store-1/ev", None);
        check("bw1/u/10/store-2/ev", None);
        check("bw1/u/10/store-12/ev", None);
        check("bw1/u/+/store-1/ev", None);
        check("bw1/d/store-1", None);
        check("", None);
    }

    #[test]
    fn a_partition_has_two_digits() {
        let store = (0..1000).map(|n| StoreId::new(format!("s{n}")).expect("valid")).find(|s| s.partition() == 7);
        let store = store.expect("one of a thousand stores is in partition 7");
        assert!(Acl::new(&store).publish(&format!("bw1/u/07/{store}/ev")).is_some());
        assert!(Acl::new(&store).publish(&format!("bw1/u/7/{store}/ev")).is_none());
    }

    #[test]
    fn subscribing() {
        #[track_caller]
        fn check(filter: &str, allowed: bool) {
            assert_eq!(acl().may_subscribe(filter), allowed, "{filter}");
        }
        check("bw1/d/store-1", true);
        check("bw1/b/all", true);
        check("bw1/b/west-2_x", true);
        check("bw1/d/store-2", false);
        check("bw1/d/+", false);
        check("bw1/d/#", false);
        check("bw1/b/", false);
        check("bw1/b/+", false);
        check("bw1/b/#", false);
        check("bw1/b/all/x", false);
        check("$share/g/bw1/d/store-1", false);
        check("#", false);
        check("bw1/u/10/store-1/ev", false);
    }
}
