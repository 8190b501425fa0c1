//! Reading the ledger, and keeping its registry: the same for both homes, over [`Database`](super::database::Database).

pub(super) mod alerts;
mod books;
mod counter;
mod fleet;
pub(super) mod frames;
mod history;
pub(super) mod parked;
mod prices;
mod reconcile;
mod registry;
pub(super) mod rollups;
mod verify;
