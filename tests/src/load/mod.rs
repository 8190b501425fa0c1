//! Many stores in one process: the real `StoreSync` of each, over real connections.
//!
//! What differs from an agent is only what would make thousands of them too heavy for one machine: there is no SQLite, and
//! the MQTT client is the library's packet codec on a socket, without its event loop. Batches are cut, sealed and
//! compressed as an agent does it. Histories are held in memory ([`Outbox`]) or made again on demand ([`Story`]).
//!
//! [`run()`] plays a [`Shape`]: sales at their moments, lines that are cut and come back, odd stores; it ends with a row for
//! each second and a balance, store by store.

mod balance;
mod curve;
mod enrol;
mod files;
mod outbox;
mod play;
mod record;
mod report;
mod run;
mod sample;
mod seconds;
mod settings;
mod shape;
mod site;
mod socket;
mod span;
mod store;
mod story;
mod tills;
mod words;

pub use balance::Balance;
pub use curve::{Curve, Point};
pub use enrol::{Code, Login, add, enrol, read_lines, store_ids};
pub use files::make_room;
pub use outbox::{History, Outbox};
pub use record::{Row, Spread};
pub use report::Page;
pub use run::{Played, Told, run};
pub use sample::{Centre, cpu_ms};
pub use settings::{Settings, Way};
pub use shape::{Cut, Odd, Shape};
pub use site::{Crowd, Site};
pub use span::{Span, span};
pub use store::{LoadStore, Progress, Target, Watch};
pub use story::{Part, Plan, Poison, Story, Templates};
pub use words::{grouped, line, mib, micros};

/// What a store needs that is no store of ours.
pub(crate) mod peer_side {
    pub(crate) use super::play::{RunClock, StoreWatch};
}
