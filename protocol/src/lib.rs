//! All that crosses a process boundary: events, sync messages, the envelope around them, topics, and the local API.
//!
//! Layout: [`v1`] holds one file per message family; [`latest`] re-exports the version in force; [`envelope`] wraps every
//! message on MQTT; [`proof`] says who made it; [`topic`] builds and parses topics in one place. `golden/` keeps one sample per message and version,
//! which a test decodes for ever. [`digest`] says what a store and the centre compare of a business date.
//!
//! The wire form is MessagePack with field names. Fields that a peer does not know are skipped, and a field that may be
//! absent has a default, so that older and newer programs understand each other. An event is encoded once, when it is
//! committed; everybody after that keeps and hashes the same bytes.
//!
//! The crate does not know who sends or stores a message, and keeps no state: that is `sync-core` and the programs.

#![forbid(unsafe_code)]

pub mod digest;
pub mod envelope;
pub mod latest;
pub mod mqtt_url;
mod packing;
pub mod proof;
mod tagged;
pub mod topic;
pub mod v1;
