//! For whoever runs the service: is it alive, is it ready, how is it doing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

use super::credit::CreditJson;
use super::fleet::FleetView;
use super::problem::ApiError;
use super::state::Api;
use crate::broker::BrokerHandle;
use crate::ingest::{IngestState, utc_ms};
use crate::instances::InstancesHandle;
use crate::ledger::AlertKind;
use crate::mqtt::ListenerStats;

/// How long a scrape waits for what the ledger says of the fleet.
const LEDGER_PATIENCE: Duration = Duration::from_secs(2);

/// What `/metrics` shows.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
    stores: Family<StateLabel, Gauge>,
    alerts: Family<KindLabel, Gauge>,
    backlog: Gauge,
    oldest: Gauge,
    away_longest: Gauge,
    parked: Gauge,
    parked_oldest: Gauge,
    parked_alarm: Gauge,
    queued_bytes: Gauge,
    queued_messages: Gauge,
    credit: CreditGauges,
    rollup_lag: Gauge,
    rollup_days: Gauge,
    ledger_well: Gauge,
    view_age: Gauge,
    /// When the ledger was read last for this, in milliseconds since 1970 (UTC); 0 before the first time.
    viewed_at_ms: AtomicI64,
}

/// How fast stores may send.
#[derive(Debug, Default)]
struct CreditGauges {
    window: Gauge,
    on_their_way: Gauge,
    stores_waiting: Gauge,
    lag: Gauge,
    limit: Gauge,
}

impl CreditGauges {
    fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("credit_window_events", "Events that may be on their way from stores with a backlog", &self.window),
            (
                "credit_on_their_way_events",
                "Events that are on their way from stores with a backlog",
                &self.on_their_way,
            ),
            ("credit_stores_waiting", "Stores that wait for their turn", &self.stores_waiting),
            ("credit_lag_milliseconds", "How long messages waited for their commit lately", &self.lag),
            ("credit_events_per_second_max", "The operator's limit; 0 without one", &self.limit),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    fn set(&self, credit: &CreditJson) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.window.set(number(credit.window_events));
        self.on_their_way.set(number(credit.on_their_way_events));
        self.stores_waiting.set(i64::try_from(credit.stores_waiting).unwrap_or(i64::MAX));
        self.lag.set(number(credit.lag_ms));
        self.limit.set(number(credit.events_per_s_max.unwrap_or(0)));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Exporter {
    /// Takes the registry, with the ingest's counters in it, and adds the listener's, the broker's where there is one, those
    /// of the instances, and those of the fleet.
    pub fn new(
        mut registry: Registry,
        listener: Arc<ListenerStats>,
        broker: Option<BrokerHandle>,
        instances: InstancesHandle,
    ) -> Self {
        registry.register_collector(Box::new(ListenerCollector(listener)));
        registry.register_collector(Box::new(InstancesCollector(instances)));
        if let Some(broker) = broker {
            registry.register_collector(Box::new(BrokerCollector(broker)));
        }
        let mut exporter = Self {
            registry,
            stores: Family::default(),
            alerts: Family::default(),
            backlog: Gauge::default(),
            oldest: Gauge::default(),
            away_longest: Gauge::default(),
            parked: Gauge::default(),
            parked_oldest: Gauge::default(),
            parked_alarm: Gauge::default(),
            queued_bytes: Gauge::default(),
            queued_messages: Gauge::default(),
            credit: CreditGauges::default(),
            rollup_lag: Gauge::default(),
            rollup_days: Gauge::default(),
            ledger_well: Gauge::default(),
            view_age: Gauge::default(),
            viewed_at_ms: AtomicI64::new(0),
        };
        let registry = &mut exporter.registry;
        registry.register("stores", "Stores by state", exporter.stores.clone());
        registry.register("alerting_stores", "Stores with an alert of a kind", exporter.alerts.clone());
        registry.register(
            "backlog_events",
            "Events that stores hold and that have not arrived, as last reported; stores that are offline may hold more",
            exporter.backlog.clone(),
        );
        registry.register(
            "oldest_unsynced_age_seconds",
            "Age of the oldest event that has not arrived, as last reported",
            exporter.oldest.clone(),
        );
        registry.register(
            "away_longest_seconds",
            "For how long the store was not heard that is away the longest; 0 if none is",
            exporter.away_longest.clone(),
        );
        registry.register("parked_events", "Events that are parked and wait for a person", exporter.parked.clone());
        registry.register(
            "parked_oldest_age_seconds",
            "For how long the oldest of them has waited; 0 if none does",
            exporter.parked_oldest.clone(),
        );
        registry.register(
            "parked_alarm",
            "1 if so many wait, or one for so long, as [parking] in the configuration says",
            exporter.parked_alarm.clone(),
        );
        registry.register("queue_bytes", "Memory of messages that wait for the ledger", exporter.queued_bytes.clone());
        registry.register("queue_messages", "Messages that wait for the ledger", exporter.queued_messages.clone());
        exporter.credit.register(registry);
        for (name, help, gauge) in [
            ("rollup_lag_seconds", "By how much the roll-ups are behind what has arrived", &exporter.rollup_lag),
            ("rollup_waiting_days", "Dates of stores that are to be summed up anew", &exporter.rollup_days),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("ledger_well", "1 if the last commit succeeded", exporter.ledger_well.clone());
        registry.register(
            "fleet_view_age_seconds",
            "How long ago the ledger was read for what is said of stores and parked events; grows while it does not answer",
            exporter.view_age.clone(),
        );
        exporter
    }

    /// What the ledger says of the fleet. Stays until it is read again.
    fn set_fleet(&self, view: &FleetView) {
        self.viewed_at_ms.store(view.at_ms, Ordering::Relaxed);
        let totals = &view.totals;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, number) in [
            ("connected", totals.connected),
            ("offline", totals.offline),
            ("not_enrolled", totals.not_enrolled),
            ("revoked", totals.revoked),
        ] {
            self.stores.get_or_create(&StateLabel { state }).set(count(number));
        }
        for kind in AlertKind::ALL.map(AlertKind::as_str) {
            let stores = view.stores.iter().filter(|store| store.alerts.iter().any(|alert| alert.kind == kind));
            self.alerts.get_or_create(&KindLabel { kind }).set(count(stores.count()));
        }
        self.backlog.set(totals.backlog);
        self.oldest.set(totals.oldest_unsynced_age_ms.unwrap_or_default() / 1000);
        self.away_longest.set(totals.away_longest_ms.unwrap_or_default() / 1000);
        self.parked.set(totals.parked);
        self.parked_oldest.set(totals.parked_oldest_age_ms.unwrap_or_default() / 1000);
        self.parked_alarm.set(i64::from(totals.parked_alarm));
        self.rollup_lag.set(totals.rollups.lag_ms() / 1000);
        self.rollup_days.set(totals.rollups.days_waiting());
    }

    /// All of it, with what the service knows by itself at this moment.
    fn write(&self, ingest: &IngestState, now_ms: i64) -> Result<String, fmt::Error> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (queued_messages, queued_bytes) = ingest.queued();
        self.queued_bytes.set(count(queued_bytes));
        self.queued_messages.set(count(queued_messages));
        self.credit.set(&ingest.credit().into());
        self.ledger_well.set(i64::from(ingest.ledger_well()));
        let viewed_at_ms = self.viewed_at_ms.load(Ordering::Relaxed);
        self.view_age.set(if viewed_at_ms == 0 { 0 } else { now_ms.saturating_sub(viewed_at_ms).max(0) / 1000 });
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The listener keeps its own counters; this shows them.
#[derive(Debug)]
struct ListenerCollector(Arc<ListenerStats>);

impl Collector for ListenerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = &self.0;
        for (name, help, gauge) in [
            ("mqtt_connections", "Open connections", &stats.connections_open),
            ("mqtt_connecting_connections", "Open connections that have not logged in", &stats.connections_connecting),
        ] {
            let value = ConstGauge::new(i64::try_from(gauge.get()).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        for (name, help, counter) in [
            ("mqtt_connects", "Connections accepted by the socket", &stats.connects),
            ("mqtt_logins", "Logins that succeeded", &stats.logins),
            ("mqtt_refused_rate_connections", "Refused: the address connects too often", &stats.refused_rate),
            ("mqtt_refused_full_connections", "Refused: too many connections", &stats.refused_full),
            ("mqtt_refused_password_logins", "Refused: name, password or status", &stats.refused_password),
            ("mqtt_refused_store_full_logins", "Refused: too many connections of a store", &stats.refused_store_full),
            ("mqtt_refused_version_logins", "Refused: an older version of MQTT", &stats.refused_version),
            ("mqtt_failed_handshakes", "TLS handshakes that failed", &stats.refused_tls),
            ("mqtt_connect_timeouts", "Ended: no complete CONNECT in time", &stats.connect_timeouts),
            ("mqtt_protocol_errors", "Ended: not MQTT as it is allowed here", &stats.protocol_errors),
            ("mqtt_oversize_packets", "Ended: a packet larger than announced", &stats.oversize),
            ("mqtt_keep_alive_timeouts", "Ended: silence", &stats.keep_alive_timeouts),
            ("mqtt_slow_readers", "Ended: a reader too slow", &stats.slow_readers),
            ("mqtt_takeovers", "Ended: the same client connected again", &stats.takeovers),
            ("mqtt_denied_topics", "Refused: not this store's topic", &stats.acl_denied),
            ("mqtt_overloaded_messages", "Refused: no room", &stats.overload),
            ("mqtt_received_messages", "Messages handed to the service", &stats.messages_in),
            ("mqtt_sent_messages", "Messages sent to stores", &stats.messages_out),
            ("mqtt_dropped_messages", "Messages that a client would not take", &stats.downlink_dropped),
            ("mqtt_received_bytes", "Bytes read", &stats.bytes_in),
            ("mqtt_sent_bytes", "Bytes written", &stats.bytes_out),
            ("mqtt_panics", "Connection tasks that died of a bug", &stats.panics),
        ] {
            let value = ConstCounter::new(counter.get());
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        Ok(())
    }
}

/// So does the link to the broker.
#[derive(Debug)]
struct BrokerCollector(BrokerHandle);

impl Collector for BrokerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (status, stats) = (self.0.status(), self.0.stats());
        for (name, help, number) in [
            ("broker_connections", "Connections that are kept to the broker", status.connections),
            ("broker_standing_connections", "Those of them that stand with all subscriptions", status.connected),
            ("broker_subscribed_partitions", "Partitions that are subscribed to", status.subscribed.len()),
        ] {
            let value = ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        for (name, help, counter) in [
            ("broker_connects", "Connections that the broker let in", &stats.connects),
            ("broker_lost_connections", "Connections lost, or that could not be made", &stats.losses),
            ("broker_received_messages", "Messages handed to the service", &stats.messages_in),
            ("broker_sent_messages", "Answers handed to the broker", &stats.messages_out),
            ("broker_misaddressed_messages", "Dropped: the topic is not that of a store", &stats.misaddressed),
            ("broker_overloaded_messages", "Dropped: no room in time", &stats.overload),
        ] {
            let value = ConstCounter::new(counter.get());
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        Ok(())
    }
}

/// The instances, where several servers may be on one ledger.
#[derive(Debug)]
struct InstancesCollector(InstancesHandle);

impl Collector for InstancesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (status, counters) = (self.0.status(), self.0.counters());
        if status.lease.is_none() {
            return Ok(());
        }
        for (name, help, number) in [
            ("instances", "Servers on this database that live", status.living().count()),
            ("lease_held_partitions", "Partitions that this server hears by the broker", status.held.len()),
            ("lease_unheld_partitions", "Partitions without a holder for longer than a lease", status.unheld().len()),
            ("lease_readable", "1 if the leases could be read lately", usize::from(status.is_readable())),
        ] {
            let value = ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        for (name, help, counter) in [
            ("lease_claimed_partitions", "Partitions taken", &counters.claimed),
            ("lease_taken_over_partitions", "Partitions taken that were not given back", &counters.taken_over),
            ("lease_given_up_partitions", "Partitions given up, because others have fewer", &counters.given_up),
            ("lease_lost_partitions", "Partitions taken over by another, or not renewed in time", &counters.lost),
            ("lease_failed_renewals", "Renewals that failed", &counters.failures),
        ] {
            let value = ConstCounter::new(counter.get());
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        Ok(())
    }
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the service does its work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Whether the last commit succeeded and the ledger can be read.
    ledger: bool,
    /// Whether stores can connect; null where they are not to.
    listener: Option<bool>,
    /// Whether the broker can be heard; null where there is none. It does not count while stores can connect here.
    broker: Option<bool>,
}

/// Whether stores can connect; false once the listener has ended, and none where it is switched off.
#[derive(Debug, Clone)]
pub struct ListenerUp(Option<Arc<AtomicBool>>);

impl ListenerUp {
    /// Not yet, or never.
    pub fn new(enabled: bool) -> Self {
        Self(enabled.then(Arc::default))
    }

    /// Notes it.
    pub fn set(&self, is_up: bool) {
        if let Some(up) = &self.0 {
            up.store(is_up, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Option<bool> {
        self.0.as_ref().map(|up| up.load(Ordering::Relaxed))
    }
}

/// Whether the service takes sales in. A broker that is away makes a service with a listener no less ready: it would be
/// taken out of a balancer for something that it cannot mend.
#[utoipa::path(get, path = "/readyz", tag = "service",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let readable = api.fleet.view().await.is_ok();
    let (ledger, listener) = (api.ingest.ledger_well() && readable, api.listener_up.get());
    let broker = api.broker.as_ref().map(|broker| broker.status().is_well());
    let ready = ledger && listener.or(broker).unwrap_or(false);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, ledger, listener, broker })).into_response()
}

/// Counters and gauges for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    // A ledger that does not answer must not take the numbers away that say so.
    if let Ok(Ok(view)) = tokio::time::timeout(LEDGER_PATIENCE, api.fleet.view()).await {
        api.exporter.set_fleet(&view);
    }
    let text = api
        .exporter
        .write(api.fleet.ingest(), utc_ms())
        .map_err(|_| ApiError::unavailable("the metrics could not be written"))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
