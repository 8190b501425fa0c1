//! Every bound of the link to a broker, with its unit and its reason.

use std::time::Duration;

use protocol::envelope::WIRE_BYTES_MAX;

/// Connections to the broker. Each is one task that reads and writes in turn.
pub const CONNECTIONS_MAX: usize = 64;

/// Filters in one SUBSCRIBE: more than eight are too many for some brokers.
pub(super) const FILTERS_PER_SUBSCRIBE: usize = 8;

/// Between keep-alive packets. A connection that says nothing for twice that is given up.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Without any event for this long the connection is dead: the keep-alive alone makes more.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long TCP, TLS and CONNECT may take, in seconds.
pub(super) const CONNECT_TIMEOUT_S: u64 = 10;

/// How long the broker may take to grant a subscription.
pub(super) const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest packet (64 KiB): a message of the largest size, its topic and properties that others may add. A broker drops
/// what is larger.
pub(super) const PACKET_BYTES_MAX: u32 = 64 * 1024;

const _: () = assert!(PACKET_BYTES_MAX as usize > WIRE_BYTES_MAX + 1024);

/// Packets waiting for a connection's event loop.
pub(super) const REQUESTS_MAX: usize = 64;

/// Answers of the broker to subscriptions that wait to be looked at; one question is open at a time.
pub(super) const REPLIES_MAX: usize = 8;

/// The largest Receive Maximum of a connection: the stores send one batch at a time, so this is a batch of so many stores.
const RECEIVE_MAXIMUM_MAX: usize = 512;

/// How long an answer may wait in a broker, in seconds. The store asks again sooner.
pub(super) const ANSWER_EXPIRY_S: u32 = 30;

/// The first and the largest window from which the pause before a new connection is drawn.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A connection that stood for this long begins anew with the first window when it is lost.
pub(super) const STOOD_WELL: Duration = Duration::from_secs(10);

/// How long the end of all connections may take at shutdown.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The Receive Maximum of each connection: half of the byte budget holds all windows, each full of the largest messages.
pub(super) fn receive_maximum(connections: usize, uplink_bytes_max: usize) -> u16 {
    let fits = uplink_bytes_max / 2 / connections.max(1) / PACKET_BYTES_MAX as usize;
    // A little more than a window must hold beside messages of QoS 0.
    let messages = (fits * 4 / 5).clamp(1, RECEIVE_MAXIMUM_MAX);
    u16::try_from(messages).unwrap_or(u16::MAX)
}

/// Messages of QoS 0 that one connection holds: heartbeats, for which no broker knows a limit. One more is dropped.
pub(super) fn unconfirmed_max(receive_maximum: u16) -> usize {
    usize::from(receive_maximum).div_ceil(4)
}

/// Messages that one connection holds.
pub(super) fn held_max(receive_maximum: u16) -> usize {
    usize::from(receive_maximum) + unconfirmed_max(receive_maximum)
}

/// What full windows of the largest messages occupy.
pub(super) fn window_bytes(connections: usize, receive_maximum: u16) -> usize {
    connections * held_max(receive_maximum) * PACKET_BYTES_MAX as usize
}

/// Whether the windows of so many connections fit into a byte budget and leave some of it.
pub fn fits(connections: usize, uplink_bytes_max: usize) -> bool {
    window_bytes(connections, receive_maximum(connections, uplink_bytes_max)) < uplink_bytes_max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Limits;

    #[test]
    fn windows_fit_into_half_of_the_budget() {
        for connections in [1, 4, 64] {
            let budget = Limits::standard().uplink_bytes_max;
            let maximum = receive_maximum(connections, budget);
            let bytes = window_bytes(connections, maximum);
            assert!(bytes <= budget / 2 + connections * PACKET_BYTES_MAX as usize, "{connections}: {maximum}, {bytes}");
        }
        assert_eq!(receive_maximum(4, Limits::standard().uplink_bytes_max), 102);
        // The least that can be configured still lets one message through on each connection.
        assert_eq!(receive_maximum(4, 1 << 20), 1);
        assert!(fits(4, 1 << 20) && !fits(64, 1 << 20));
    }
}
