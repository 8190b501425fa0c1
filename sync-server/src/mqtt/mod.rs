//! The built-in MQTT 5 listener: stores connect here when no broker stands between.
//!
//! It is not a broker. It knows the topics of Breakwater and nothing else: what a store publishes goes to the service,
//! what the service sends goes to the stores that subscribed to it. There are no sessions beyond a connection, no
//! retained messages, no wildcards, no QoS 2; wills are taken and ignored. Any standard MQTT 5 client can talk to it, and
//! a broker with the same topics can take its place.
//!
//! What it promises, and a broker cannot:
//! - PUBACK is the service's answer. A publish waits for its [`Receipt`]; success says that the message is durable.
//! - Overload is refused (0x97), never queued without bound. Every queue, buffer and table here has its limit in
//!   [`limits`], and bytes in flight are shared by one budget.
//! - A connection costs the others nothing: it parses, waits and dies in its own task.
//!
//! `listener` accepts, `connection` moves bytes, `session` turns bytes into actions by `mqtt-protocol-core`, `mailbox`
//! holds what waits for a connection, `router` finds connections.

mod acl;
mod admission;
pub(crate) mod budget;
mod connection;
mod first_packet;
pub mod limits;
mod listener;
mod login;
mod mailbox;
mod router;
mod session;
#[cfg(test)]
mod session_tests;
mod stats;
mod telemetry;
mod tls;
mod uplink;

pub use acl::Kind;
pub use limits::{Limits, ListenerConfig};
pub use listener::{BindError, Commons, Listener};
pub use login::{Authenticator, LoginRefused, Trust, Verified};
pub use mailbox::{Downlink, DownlinkQos};
pub use router::{ConnectionId, Delivery, Goodbye, Router};
pub use stats::{Counter, Gauge, ListenerStats};
pub use tls::{TlsError, load_tls};
pub(crate) use uplink::WayBack;
pub use uplink::{Receipt, Refusal, Uplinked};
