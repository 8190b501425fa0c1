//! Several servers on one database.
//!
//! - Every server on a database says a few times in a lease that it lives. Where it keeps a link to a broker, it shares the
//!   partitions of the topic space with the others that do: each is leased to one, with a fencing number that grows whenever
//!   it is taken over. All of them must hear the same broker.
//! - A lease is a matter of work, not of truth. Two servers that consume the same partition only make duplicates: what a
//!   store sent is applied under the lock of the store's row by the cursor that stands there, whoever applies it. So nothing
//!   has to be stopped in the middle: whoever loses a partition unsubscribes, and commits what it has of it.
//! - A server that dies or hangs does not renew, and the others inherit. One that could not renew holds nothing by its own
//!   clock, before the others may begin by the database's.
//! - Stores of a partition that came to this server are told so, each with one small message: one that waits for an answer
//!   or for its turn at the other server asks here at once.
//!
//! `plan` says who should hold what, `tenant` what follows for this instance, both without a clock of their own. `keeper` is
//! the task that does it, `greeter` tells the stores, and `handle` is what others may know.

mod greeter;
mod handle;
mod keeper;
mod plan;
mod telemetry;
mod tenant;

use std::time::Duration;

use crate::ledger::InstanceId;

pub use handle::{InstancesHandle, InstancesStatus};
pub(crate) use keeper::{Keeper, KeeperParts, RunningKeeper};

/// What the configuration says.
#[derive(Debug, Clone)]
pub struct InstancesConfig {
    /// For people; none takes the machine's.
    pub name: Option<String>,
    /// How long a partition stays with a server that says nothing.
    pub lease: Duration,
}

impl InstancesConfig {
    /// The name, or that of the machine.
    pub fn name(&self) -> String {
        self.name.clone().or_else(machine_name).unwrap_or_else(|| "server".to_owned())
    }
}

fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A number for this run.
pub(crate) fn new_id() -> Result<InstanceId, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(InstanceId::new(u64::from_le_bytes(random)))
}
