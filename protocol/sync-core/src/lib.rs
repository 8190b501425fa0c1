//! The two ends of the uplink as state machines without I/O.
//!
//! [`store::StoreSync`] decides what an agent says to the centre and when; [`server::ServerSync`] decides what the centre
//! takes in, in which groups it commits, and what it answers; [`server::judge`] decides what a batch means for a cursor.
//!
//! The rules that both keep:
//! - MQTT is a lossy, duplicating, reordering pipe. Only an ack that the centre sent after its commit counts.
//! - One batch is in flight per store. The centre's cursor, never the store's memory, says where to go on.
//! - A place `(epoch, seq)` alone proves nothing: every answer carries the hash of the history up to it, and a store takes
//!   only an answer about its own history. So two agents that share an epoch cannot confirm each other's events.
//!
//! The crate knows no socket, database, clock or randomness. Time is [`Instant`], a count of milliseconds that only grows;
//! randomness is a seed. Payload bytes never pass through: the shell loads, seals and stores them.

#![forbid(unsafe_code)]

mod instant;
mod limits;
mod random;
pub mod server;
pub mod store;

pub use instant::Instant;
pub use limits::{ServerLimits, StoreLimits};
pub use random::Random;
