//! Many stores in one process: the real `StoreSync` of each, over real connections, with an outbox in memory.
//!
//! What differs from an agent is only what would make a thousand of them too heavy for one machine: the outbox is a list
//! of encoded events instead of SQLite, and the MQTT client is the library's packet codec on a socket, without its event
//! loop. Batches are cut, sealed and compressed as an agent does it.

mod outbox;
mod socket;
mod store;

pub use outbox::Outbox;
pub use store::{LoadStore, Progress, Target};
