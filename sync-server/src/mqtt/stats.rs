//! Counters of the listener. They only grow, except the two that say how many are here; the metrics page reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }
}

/// A number of things that are here at the moment.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts one connection in a gauge until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Counted {
    stats: Arc<ListenerStats>,
    gauge: fn(&ListenerStats) -> &Gauge,
}

impl Counted {
    pub(crate) fn new(stats: &Arc<ListenerStats>, gauge: fn(&ListenerStats) -> &Gauge) -> Self {
        gauge(stats).0.fetch_add(1, Relaxed);
        Self { stats: Arc::clone(stats), gauge }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.gauge)(&self.stats).0.fetch_sub(1, Relaxed);
    }
}

/// What the listener has seen since it started.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Open connections, logged in or not.
    pub connections_open: Gauge,
    /// Open connections that have not logged in.
    pub connections_connecting: Gauge,
    /// Connections accepted by the socket, refused ones included.
    pub connects: Counter,
    /// Logins that succeeded.
    pub logins: Counter,
    /// Connections closed unread: their address came too often.
    pub refused_rate: Counter,
    /// Connections closed unread: there are too many, or too many that have not logged in.
    pub refused_full: Counter,
    /// Logins refused: name, password or status.
    pub refused_password: Counter,
    /// Logins refused: too many connections of the same store.
    pub refused_store_full: Counter,
    /// Logins refused: an older version of MQTT.
    pub refused_version: Counter,
    /// TLS handshakes that failed.
    pub refused_tls: Counter,
    /// Connections ended: no complete CONNECT in time.
    pub connect_timeouts: Counter,
    /// Connections ended: bytes that are not MQTT, or not what MQTT allows here.
    pub protocol_errors: Counter,
    /// Connections ended: a packet larger than announced.
    pub oversize: Counter,
    /// Connections ended: silence for one and a half keep-alives.
    pub keep_alive_timeouts: Counter,
    /// Connections ended: a reader too slow for a write or for its queue.
    pub slow_readers: Counter,
    /// Connections ended: the same client id of the same store connected again.
    pub takeovers: Counter,
    /// Connections ended by the server's own decision about the store.
    pub revoked: Counter,
    /// Connections ended: too many publishes that the service left without an answer.
    pub unanswered: Counter,
    /// Connection tasks that panicked: a bug, contained to its connection.
    pub panics: Counter,
    /// Publishes and subscriptions refused: not this store's topic.
    pub acl_denied: Counter,
    /// Publishes refused: the service or the shared budget is full.
    pub overload: Counter,
    /// Publishes handed to the service.
    pub messages_in: Counter,
    /// Messages sent to stores.
    pub messages_out: Counter,
    /// Downlink messages that the client would not take: larger than it announced.
    pub downlink_dropped: Counter,
    /// Bytes read, TLS not counted.
    pub bytes_in: Counter,
    /// Bytes written, TLS not counted.
    pub bytes_out: Counter,
}
