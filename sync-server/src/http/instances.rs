//! `GET /api/v1/instances`: which servers share the database, and who hears which partitions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::Api;
use crate::instances::InstancesStatus;
use crate::ledger::{BrokerLink, InstanceView};

/// The servers on this ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstancesJson {
    /// The server that answers.
    this: String,
    /// How long a partition stays with a server that says nothing, in milliseconds; null where the ledger is a file, which
    /// one server works on.
    lease_ms: Option<u128>,
    /// How old this picture is, in milliseconds; null as long as there is none.
    read_ms_ago: Option<u128>,
    /// The servers, those that live first. One that died is listed for an hour.
    instances: Vec<InstanceJson>,
    /// Partitions that have no holder at the moment.
    free: Vec<FreeJson>,
    /// Those that have had none for longer than a lease, while some server has a broker: nobody hears their stores.
    unheld: Vec<u8>,
}

/// A server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstanceJson {
    /// A random number of this run of it.
    instance: String,
    /// The machine's name, or what its configuration says.
    name: String,
    /// The program's version.
    version: String,
    /// Whether it lives.
    alive: bool,
    /// `none`: it keeps no link to a broker. `up`, `down`: whether that stands.
    broker: &'static str,
    /// When it began.
    started_at_ms: i64,
    /// For how long it has not been heard.
    silent_ms: i64,
    /// What it hears.
    partitions: Vec<LeaseJson>,
}

/// A partition that has a holder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LeaseJson {
    partition: u8,
    /// How often the partition was taken over.
    fence: i64,
    /// For how long the server has had it, in milliseconds.
    held_ms: i64,
    /// For how long the lease has not been renewed.
    renewed_ms_ago: i64,
}

/// A partition that has none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FreeJson {
    partition: u8,
    /// How often the partition was taken over.
    fence: i64,
    /// For how long it has had none, in milliseconds; null if it never had one.
    free_ms: Option<i64>,
}

/// The instances in a view of the fleet.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct InstancesView {
    /// Servers that live.
    pub(super) living: usize,
    /// Partitions that this one hears; null if it keeps no link to a broker, or hears all of them alone.
    pub(super) partitions: Option<usize>,
    /// Partitions that nobody has heard for longer than a lease.
    pub(super) unheld: usize,
    /// Whether the leases could be read lately.
    pub(super) readable: bool,
}

impl InstancesView {
    /// None where no other server can be on the same ledger.
    pub(super) fn of(status: &InstancesStatus, has_broker: bool) -> Option<Self> {
        status.lease?;
        Some(Self {
            living: status.living().count(),
            partitions: has_broker.then(|| status.held.len()),
            unheld: status.unheld().len(),
            readable: status.is_readable(),
        })
    }
}

/// The servers on this database, and who hears which partitions of what comes by the broker.
#[utoipa::path(get, path = "/api/v1/instances", tag = "service", responses((status = 200, body = InstancesJson)))]
pub(super) async fn instances(State(api): State<Api>) -> Json<InstancesJson> {
    let status = api.instances.status();
    let unheld = status.unheld().iter().collect();
    let this = status.id.to_string();
    let lease_ms = status.lease.map(|lease| lease.as_millis());
    let Some((view, age)) = &status.view else {
        let broker = if api.broker.is_some() { BrokerLink::Up } else { BrokerLink::None };
        let instance = InstanceJson {
            instance: this.clone(),
            name: status.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            alive: true,
            broker: broker.as_str(),
            started_at_ms: status.started_at_ms,
            silent_ms: 0,
            partitions: Vec::new(),
        };
        let instances = vec![instance];
        return Json(InstancesJson { this, lease_ms, read_ms_ago: None, instances, free: Vec::new(), unheld });
    };
    let mut instances = listed(view);
    instances.sort_by_key(|one| !one.alive);
    let free = (0..).zip(&view.leases).filter(|(_, lease)| lease.holder_at(view.now_ms).is_none());
    let free = free.map(|(partition, lease)| FreeJson {
        partition,
        fence: lease.fence,
        free_ms: Some(view.now_ms.saturating_sub(lease.expires_at_ms)).filter(|_| lease.expires_at_ms > 0),
    });
    let free = free.collect();
    Json(InstancesJson { this, lease_ms, read_ms_ago: Some(age.as_millis()), instances, free, unheld })
}

fn listed(view: &InstanceView) -> Vec<InstanceJson> {
    let now_ms = view.now_ms;
    let since = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0);
    let leases = |id| {
        let held = (0..).zip(&view.leases).filter(move |(_, lease)| lease.holder_at(now_ms) == Some(id));
        held.map(|(partition, lease)| LeaseJson {
            partition,
            fence: lease.fence,
            held_ms: since(lease.taken_at_ms),
            renewed_ms_ago: since(lease.renewed_at_ms),
        })
    };
    let instances = view.instances.iter().map(|one| InstanceJson {
        instance: one.id.to_string(),
        name: one.name.clone(),
        version: one.version.clone(),
        alive: one.lives_at(now_ms),
        broker: one.broker.as_str(),
        started_at_ms: one.started_at_ms,
        silent_ms: since(one.renewed_at_ms),
        partitions: leases(one.id).collect(),
    });
    instances.collect()
}
