//! The second way in: an MQTT 5 broker between the stores and this server, such as Mosquitto or EMQX.
//!
//! The stores publish to the broker what they would publish to the built-in listener, and this module consumes it. Nothing is
//! asked of the broker but delivery: no persistent session, no shared subscription, no retained message, no will, QoS 1. What
//! it drops, doubles, reorders or forgets is healed by the stores, who count only the server's own acknowledgements.
//!
//! - *In order, after the commit.* A message is acknowledged to the broker when its fate here is decided, in the order in
//!   which messages came. A broker that loses this server's connection has then forgotten nothing that the stores would not
//!   send again by themselves.
//! - *Refusals.* MQTT has a way to refuse a publish to its publisher, but none by which a consumer refuses a delivery. What is
//!   refused here is therefore acknowledged and dropped: busy, unreadable, not proven, revoked, a ledger that failed. Left
//!   unacknowledged it would occupy a place of the window for as long as the connection lives, and be delivered to nobody
//!   else. The store hears nothing, and asks again when its own patience ends. So does the store of a message that found no room for too long.
//! - *Pressure stays in the broker.* A connection announces a Receive Maximum, so the broker holds back what is more. Bytes it
//!   cannot count, so a connection that holds as many as it may reads no further until some are settled. The memory for that
//!   is taken from the byte budget of the ways in when the server starts: the broker has its half, and the listener's is its
//!   own however much comes by the broker.
//! - *A broker is not trusted.* It knows a store's password and could say anything in its name, so a message by this way must
//!   prove its store ([`protocol::proof`]).
//! - *Nobody waits for a broker.* One that is slow or dead holds up its own connections; answers for it wait in its windows.
//!
//! `consumer` keeps one connection alive after the other, each with a share of the partitions; `connection` is the life of one;
//! `window` holds what came by it and is not answered; `voices` tells stores what they have not asked for; `presence` remembers
//! which stores were heard.

mod connection;
mod consumer;
pub mod limits;

pub mod password_file;
mod password_keeper;
mod presence;
mod settings;
mod stats;
mod telemetry;
mod trust;
mod voices;
mod window;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use pos_model::StoreId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::mqtt::budget::{Budget, Permit};
use crate::mqtt::{Commons, Router, Uplinked};

pub use crate::partitions::PartitionSet;
pub use password_keeper::PasswordKeeper;
pub use presence::Presence;
pub use settings::{BrokerSettings, Credentials, SettingsError};
pub use stats::{BrokerStats, BrokerStatus};
pub use trust::TrustError;
pub(crate) use voices::Voices;
pub(crate) use window::Seat;

use consumer::Consumer;
use limits::LEAVE_TIMEOUT;

/// The link to a broker. It consumes nothing before it runs.
#[derive(Debug)]
pub struct Broker {
    handle: BrokerHandle,
    consumers: Vec<Consumer>,
    phase: watch::Sender<Phase>,
}

/// What others may see and say of a running link. A clone is a few pointers.
#[derive(Debug, Clone)]
pub struct BrokerHandle {
    shared: Arc<Shared>,
    wanted: watch::Sender<PartitionSet>,
}

/// How far the link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It consumes.
    Open,
    /// It writes what is answered and says goodbye.
    Leaving,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where messages go; none once no more are to be taken.
    ingress: RwLock<Option<mpsc::Sender<Uplinked>>>,
    voices: Arc<Voices>,
    router: Router,
    downlink_budget: Arc<Budget>,
    presence: Arc<Presence>,
    stats: BrokerStats,
    settings: BrokerSettings,
    /// What one window may hold.
    window_bytes: usize,
    /// The memory for all of them, for as long as the link lives.
    _memory: Permit,
}

impl Broker {
    /// How many messages by the broker may be on their way into the ledger at a time. The channel to the ingest needs room
    /// for so many beside those of the listener.
    pub fn messages_max(settings: &BrokerSettings) -> usize {
        settings.connections * limits::HELD_MAX
    }

    /// Prepares the link. `uplink_bytes_max` is the size of the byte budget in `commons`, nothing of which may be in use.
    pub fn new(
        settings: BrokerSettings,
        uplink_bytes_max: usize,
        commons: &Commons,
        ingress: mpsc::Sender<Uplinked>,
    ) -> Result<Self, SettingsError> {
        let window_bytes = limits::window_bytes(settings.connections, uplink_bytes_max);
        let memory = commons.uplink_budget.take(window_bytes * settings.connections).ok_or(SettingsError::NoMemory)?;
        let (wanted, _) = watch::channel(PartitionSet::ALL);
        let (phase, _) = watch::channel(Phase::Open);
        let connections = settings.connections;
        let shared = Arc::new(Shared {
            ingress: RwLock::new(Some(ingress)),
            voices: Arc::new(Voices::new(connections)),
            router: commons.router.clone(),
            downlink_budget: commons.router.downlink_budget(),
            presence: Arc::default(),
            stats: BrokerStats::new(connections),
            settings,
            window_bytes,
            _memory: memory,
        });
        let consumers = (0..connections)
            .map(|index| Consumer::new(index, Arc::clone(&shared), wanted.subscribe(), phase.subscribe()))
            .collect();
        Ok(Self { handle: BrokerHandle { shared, wanted }, consumers, phase })
    }

    /// What others may see and say.
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }

    /// Consumes until the returned task is told to leave.
    pub fn start(self) -> RunningBroker {
        let mut tasks = JoinSet::new();
        for consumer in self.consumers {
            tasks.spawn(consumer.run());
        }
        RunningBroker { handle: self.handle, tasks, phase: self.phase }
    }
}

/// A link that consumes. Dropping it ends the connections without a goodbye.
#[derive(Debug)]
pub struct RunningBroker {
    handle: BrokerHandle,
    tasks: JoinSet<()>,
    phase: watch::Sender<Phase>,
}

impl RunningBroker {
    /// Takes nothing more, and lets go of the channel to the ingest. What was taken can still be answered.
    pub fn close_intake(&self) {
        *self.handle.shared.ingress.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes what has been answered, says goodbye, and ends.
    pub async fn leave(mut self) {
        self.close_intake();
        self.phase.send_replace(Phase::Leaving);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // A broker that does not listen is left without a goodbye.
        let _ = timeout(LEAVE_TIMEOUT, all).await;
        self.tasks.shutdown().await;
    }

    /// Resolves when a connection's task died: a bug, after which the service must be started again.
    pub async fn broken(&mut self) {
        let _ = self.tasks.join_next().await;
    }
}

impl BrokerHandle {
    /// Takes partitions in addition to those that are held. Subscribing takes a moment; [`BrokerHandle::subscribed`] tells.
    pub fn subscribe(&self, partitions: PartitionSet) {
        self.wanted.send_modify(|wanted| *wanted = wanted.union(partitions));
    }

    /// Gives partitions up. What has been delivered is still worked on; whoever takes them over may see it as well, which
    /// the cursors make harmless.
    pub fn unsubscribe(&self, partitions: PartitionSet) {
        self.wanted.send_modify(|wanted| *wanted = wanted.without(partitions));
    }

    /// Takes these partitions and gives all others up.
    pub fn hold(&self, partitions: PartitionSet) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, partitions) != partitions);
    }

    /// Tells a store something that it has not asked for, sealed and proven. Whether it arrives nobody knows.
    pub(crate) fn tell(&self, store: &StoreId, payload: &Bytes) {
        self.shared.voices.tell(store, payload);
    }

    /// The partitions that are to be held.
    pub fn wanted(&self) -> PartitionSet {
        *self.wanted.borrow()
    }

    /// The partitions to which the broker has granted a subscription on a connection that stands.
    pub fn subscribed(&self) -> PartitionSet {
        self.status().subscribed
    }

    /// How the link is.
    pub fn status(&self) -> BrokerStatus {
        self.shared.stats.status()
    }

    /// The counters.
    pub fn stats(&self) -> &BrokerStats {
        &self.shared.stats
    }

    /// Which stores were heard.
    pub fn presence(&self) -> Arc<Presence> {
        Arc::clone(&self.shared.presence)
    }

    /// Where the broker is.
    pub fn address(&self) -> String {
        self.shared.settings.url.to_string()
    }
}

impl Shared {
    fn ingress(&self) -> Option<mpsc::Sender<Uplinked>> {
        self.ingress.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A store that sends by a broker counts as connected when it was heard this lately: twice the longest time between its
/// heartbeats, and ten seconds for their way.
pub const PRESENT_FOR: Duration = Duration::from_secs(100);
