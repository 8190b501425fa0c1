//! Every bound of the listener, with its unit and its reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Filters one connection may hold at a time. A store needs two or three: its own topic and the groups it belongs to.
pub const SUBSCRIPTIONS_MAX: usize = 8;

/// Characters of a topic or filter. The smallest limit among the brokers that carry the same topics is 64.
pub const TOPIC_CHARS_MAX: usize = 64;

/// Bytes of a whole CONNECT packet. A stranger may make the server hold this much before it has shown a password.
pub const CONNECT_BYTES_MAX: usize = 16 * 1024;

/// Characters of a client id. It is free text, kept once per connection and written to logs.
pub const CLIENT_ID_CHARS_MAX: usize = 128;

/// Downlink messages of QoS 1 sent and not yet acknowledged by the store. A store that acknowledges nothing stops here
/// and then overflows its queue; the bound also keeps the search for a free packet id short.
pub const DOWNLINK_UNACKED_MAX: usize = 64;

/// Publishes of QoS 0 of one connection that may wait to be decided, for which MQTT knows no limit; one more is dropped. A store
/// sends heartbeats so, each half a minute after the last one.
pub(super) const UNCONFIRMED_MAX: usize = 16;

/// Charged to the budgets for each message on top of its payload, so that empty messages are not free.
pub const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// What the operator may tune. The server's configuration fills it in; [`Limits::standard`] are the defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Publishes of QoS 1 that one client may have unanswered. Stop and wait needs one; the rest is for heartbeats.
    pub receive_maximum: u16,
    /// Bytes of the largest packet accepted after login. A batch is at most 48 KiB.
    pub packet_bytes_max: u32,
    /// Bytes of uplink payload that all connections together may have handed over and not seen resolved.
    pub uplink_bytes_max: usize,
    /// Bytes of downlink payload that may wait for all connections together.
    pub downlink_bytes_max: usize,
    /// Messages that may wait for one connection. One more closes it; the store resumes from the server's cursor.
    pub downlink_messages_max: usize,
    /// Open connections, logged in or not.
    pub connections_max: usize,
    /// Connections that have not logged in yet.
    pub connecting_max: usize,
    /// Connections of one store id. More than one means a copied box, which is allowed to show itself.
    pub connections_per_store_max: usize,
    /// Connects per second from one address (one /64 for IPv6) in the long run. With the burst, and for as long as the
    /// connect timeout lets them stay silent, one address should not be able to fill `connecting_max` alone.
    pub connects_per_second: u32,
    /// Connects from one address that may come at once.
    pub connects_burst: u32,
    /// From accept to a complete CONNECT, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long one write may wait for a slow reader.
    pub write_timeout: Duration,
    /// The longest keep-alive in seconds. A client that asks for none or for more is told this one.
    pub keep_alive_seconds_max: u16,
    /// How long connections may take to end at shutdown.
    pub shutdown_timeout: Duration,
}

impl Limits {
    /// The defaults.
    pub const fn standard() -> Self {
        Self {
            receive_maximum: 16,
            packet_bytes_max: 128 * 1024,
            uplink_bytes_max: 64 * 1024 * 1024,
            downlink_bytes_max: 64 * 1024 * 1024,
            downlink_messages_max: 64,
            connections_max: 12_000,
            connecting_max: 1_024,
            connections_per_store_max: 8,
            connects_per_second: 100,
            connects_burst: 400,
            connect_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            keep_alive_seconds_max: 120,
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The certificate, see [`super::load_tls`]. Without it the listener speaks plain TCP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The bounds.
    pub limits: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_hold_all_places_of_those_who_log_in() {
        let limits = Limits::standard();
        let seconds = u32::try_from(limits.connect_timeout.as_secs()).expect("a few");
        let silent = limits.connects_burst + limits.connects_per_second * seconds;
        assert!((silent as usize) < limits.connecting_max, "{silent}");
    }
}
