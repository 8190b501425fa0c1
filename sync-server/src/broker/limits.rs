//! Every bound of the link to a broker, with its unit and its reason.

use std::time::Duration;

use protocol::envelope::WIRE_BYTES_MAX;

use crate::mqtt::limits::MESSAGE_OVERHEAD_BYTES;

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

/// Receive Maximum of a connection: messages of QoS 1 that the broker may have delivered and not seen acknowledged. A store
/// has one batch on its way, so this is a batch of so many stores, and enough that none waits for the way there and back.
pub(super) const RECEIVE_MAXIMUM: u16 = 512;

/// Messages of QoS 0 that one connection holds: heartbeats, for which no broker knows a limit. One more is dropped.
pub(super) const UNCONFIRMED_MAX: usize = 128;

/// Messages that one connection holds.
pub(super) const HELD_MAX: usize = RECEIVE_MAXIMUM as usize + UNCONFIRMED_MAX;

/// For how long the room may be full before messages of QoS 1 that find none are dropped. Half of a store's patience, and less
/// than the silence after which a broker gives a connection up.
pub(super) const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may wait in a broker, in seconds. The store asks again sooner.
pub(super) const ANSWER_EXPIRY_S: u32 = 30;

/// The first and the largest window from which the pause before a new connection is drawn.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A connection that stood for this long begins anew with the first window when it is lost.
pub(super) const STOOD_WELL: Duration = Duration::from_secs(10);

/// How long the end of all connections may take at shutdown.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of payload that one connection holds: all of them share half of the byte budget.
pub(super) fn window_bytes(connections: usize, uplink_bytes_max: usize) -> usize {
    uplink_bytes_max / 2 / connections.max(1)
}

/// Whether each of so many connections can hold a message of the largest size at least.
pub fn fits(connections: usize, uplink_bytes_max: usize) -> bool {
    window_bytes(connections, uplink_bytes_max) >= PACKET_BYTES_MAX as usize + MESSAGE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Limits;

    #[test]
    fn windows_share_half_of_the_budget() {
        let budget = Limits::standard().uplink_bytes_max;
        assert_eq!(window_bytes(4, budget), 8 << 20);
        assert!(fits(CONNECTIONS_MAX, budget));
        // The least that can be configured still lets messages through on each connection.
        assert!(fits(4, 1 << 20) && !fits(CONNECTIONS_MAX, 1 << 20));
    }
}
