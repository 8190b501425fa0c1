//! What requests work with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pos_model::StoreId;

use super::enroll::{MqttAddress, WrongCodes};
use super::fleet::{Fleet, FleetParts};
use super::health::{Exporter, ListenerUp};
use super::problem::ApiError;
use super::readers::Readers;
use crate::broker::{BrokerHandle, PRESENT_FOR};
use crate::config::ParkingAlarm;
use crate::credentials::{Changed, Credentials};
use crate::ingest::IngestState;
use crate::instances::InstancesHandle;
use crate::ledger::{LedgerError, Reader};
use crate::mqtt::{Goodbye, Router};
use crate::telemetry::Metrics;

/// Shared by all requests; a clone is a handful of pointers.
#[derive(Debug, Clone)]
pub struct Api {
    pub(super) readers: Readers,
    pub(super) registry: SharedRegistry,
    pub(super) credentials: Arc<Credentials>,
    pub(super) router: Router,
    pub(super) broker: Option<BrokerHandle>,
    pub(super) ingest: IngestState,
    pub(super) instances: InstancesHandle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) exporter: Arc<Exporter>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) mqtt_address: Arc<MqttAddress>,
    pub(super) wrong_codes: Arc<WrongCodes>,
    pub(super) listener_up: ListenerUp,
    pub(super) parking: ParkingAlarm,
}

/// The connection on which stores enrol: one at a time, on a blocking thread.
#[derive(Debug, Clone)]
pub struct SharedRegistry(Arc<Mutex<Box<dyn Reader + Send>>>);

impl SharedRegistry {
    /// Shares a connection.
    pub fn new(registry: Box<dyn Reader + Send>) -> Self {
        Self(Arc::new(Mutex::new(registry)))
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Reader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let registry = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || {
            let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            work(&**registry)
        });
        task.await.map_err(|_| ApiError::unavailable("the request was given up"))?.map_err(ApiError::from)
    }
}

/// Where the parts come from.
#[derive(Debug)]
pub struct ApiParts {
    /// Connections for reading.
    pub readers: Readers,
    /// The connection for enrolments.
    pub registry: SharedRegistry,
    /// Who may come in.
    pub credentials: Arc<Credentials>,
    /// Who is connected.
    pub router: Router,
    /// The link to the broker, where there is one.
    pub broker: Option<BrokerHandle>,
    /// How the ingest is.
    pub ingest: IngestState,
    /// Which other servers there are.
    pub instances: InstancesHandle,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What `/metrics` shows.
    pub exporter: Exporter,
    /// Where stores connect.
    pub mqtt_address: MqttAddress,
    /// Whether stores can connect.
    pub listener_up: ListenerUp,
    /// When parked events are an alarm.
    pub parking: ParkingAlarm,
}

impl Api {
    /// Puts the parts together.
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts { readers, registry, credentials, router, broker, ingest, .. } = parts;
        let ApiParts { instances, metrics, exporter, mqtt_address, listener_up, parking, .. } = parts;
        let fleet = Arc::new(Fleet::new(FleetParts {
            readers: readers.clone(),
            router: router.clone(),
            broker: broker.clone(),
            ingest: ingest.clone(),
            instances: instances.clone(),
            parking,
        }));
        Self {
            readers,
            registry,
            credentials,
            router,
            broker,
            ingest,
            instances,
            metrics,
            exporter: Arc::new(exporter),
            fleet,
            mqtt_address: Arc::new(mqtt_address),
            wrong_codes: Arc::default(),
            listener_up,
            parking,
        }
    }

    /// To be called once a second.
    pub fn tick(&self) {
        self.fleet.tick(self.metrics.applied_events());
    }

    /// Whether a store has a connection here, was heard by the broker lately, or by another server that took `last_contact_ms`
    /// down in the ledger.
    pub(super) fn is_connected(&self, store: &StoreId, last_contact_ms: Option<i64>, now_ms: i64) -> bool {
        let heard = |broker: &BrokerHandle| broker.presence().is_heard_within(store, PRESENT_FOR, Instant::now());
        self.router.connected(store)
            || self.broker.as_ref().is_some_and(heard)
            || (self.instances.others_live() && is_lately(last_contact_ms, now_ms))
    }

    /// Cuts connections that a change of the registry has overtaken.
    pub fn cut(&self, changed: &Changed) {
        cut(&self.router, changed);
    }
}

/// Whether a store that was heard then counts as connected, wherever that was.
pub(super) fn is_lately(last_contact_ms: Option<i64>, now_ms: i64) -> bool {
    let present_ms = i64::try_from(PRESENT_FOR.as_millis()).unwrap_or(i64::MAX);
    last_contact_ms.is_some_and(|at| now_ms.saturating_sub(at) <= present_ms)
}

/// Cuts connections that a change of the registry has overtaken.
pub(crate) fn cut(router: &Router, changed: &Changed) {
    for store in &changed.revoked {
        tracing::info!(store_id = %store, "store revoked");
        router.disconnect_store(store, Goodbye::Revoked);
    }
    for store in &changed.renewed {
        router.disconnect_store(store, Goodbye::Administrative);
    }
}
