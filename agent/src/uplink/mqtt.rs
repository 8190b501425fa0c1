//! The link over MQTT 5, by rumqttc.
//!
//! Rules that keep its known faults away:
//! - One `EventLoop` per connection, thrown away on any error: its session state is never used again.
//! - It is polled in a task of its own and under a timeout, because a flush into a dead connection has none.
//! - Subscribing is repeated for each connection; every granted code is looked at.
//! - Packet limits are set on purpose (the library's own end connections), the in-flight window is small, and a
//!   negative PUBACK, which the library only logs, is passed on.
//! - Clean start and no session expiry on both sides: what the broker forgets was never its business.
//! - A message that a broker held for longer than the centre's answer is waited for is of no use, and says so.
//!
//! Where the enrolment agreed on proofs, this is also where messages get theirs, and where an answer without the right one
//! is dropped: what lies between the store and the centre is not trusted with more than delivery.

use std::time::Duration;

use bytes::Bytes;
use pos_model::StoreId;
use protocol::proof::{ProofKey, StoreKeys};
use protocol::topic::{self, UplinkKind};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use sync_core::store::{Loss, Refusal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::link::{Connect, Link, LinkEvent, LinkFull};
use super::telemetry;
use crate::identity::Identity;

/// Between keep-alive packets.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Without any event for this long the connection is dead: the keep-alive alone makes more.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long TCP, TLS and CONNECT may take, in seconds.
const CONNECT_TIMEOUT_S: u64 = 10;

/// The largest packet accepted (128 KiB): more than any message to a store.
const PACKET_BYTES_MAX: u32 = 128 * 1024;

/// QoS 1 messages in flight. The protocol has one question or batch in flight; the rest is room for lost PUBACKs.
const INFLIGHT_MAX: u16 = 16;

/// Messages waiting for the event loop.
const REQUESTS_MAX: usize = 16;

/// Events waiting for the sync task.
const EVENTS_MAX: usize = 64;

/// How long a broker may hold a message, in seconds: as long as its answer is waited for. After that the store has asked
/// again, and an older message would only be work for a centre that is late already.
const MESSAGE_EXPIRY_S: u32 = 10;

/// The password, and what messages are proven with.
#[derive(Clone)]
pub struct Login {
    password: String,
    keys: Option<StoreKeys>,
}

impl Login {
    /// What the enrolment agreed on.
    pub fn of(identity: &Identity) -> Self {
        if !identity.proofs {
            return Self { password: identity.secret.clone(), keys: None };
        }
        let keys = StoreKeys::of_secret(identity.secret.as_bytes());
        Self { password: keys.password(), keys: Some(keys) }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login([redacted])")
    }
}

/// Where the centre's MQTT endpoint is, and who we are there.
#[derive(Clone)]
pub struct MqttSettings {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS, or none on loopback.
    pub tls: Option<TlsConfiguration>,
    /// The store; also the MQTT user name.
    pub store: StoreId,
    /// How it logs in and proves what it says.
    pub login: Login,
    /// A number that tells this process from others of the same store, for the client id.
    pub instance: u64,
}

impl std::fmt::Debug for MqttSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls.is_some())
            .field("store", &self.store)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl Connect for MqttSettings {
    type Link = MqttLink;

    fn connect(&self) -> MqttLink {
        // Two agents of one store (a copied box) must not push each other off by a shared client id.
        let client_id = format!("bw-{}-{:08x}", self.store, self.instance & 0xffff_ffff);
        let mut options = MqttOptions::new(client_id, self.host.clone(), self.port);
        options
            .set_credentials(self.store.as_str(), self.login.password.clone())
            .set_clean_start(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT_TIMEOUT_S)
            .set_request_channel_capacity(REQUESTS_MAX)
            .set_outgoing_inflight_upper_limit(INFLIGHT_MAX)
            .set_max_packet_size(Some(PACKET_BYTES_MAX))
            .set_receive_maximum(Some(INFLIGHT_MAX))
            .set_session_expiry_interval(Some(0));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::Tls(tls.clone()));
        }
        let (client, event_loop) = AsyncClient::new(options, REQUESTS_MAX);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let keys = self.login.keys.as_ref();
        let downlink = Downlink { topic: topic::downlink(&self.store), key: keys.map(|keys| keys.downlink) };
        let task = tokio::spawn(poll(event_loop, client.clone(), downlink, sender));
        MqttLink { client, events, task, store: self.store.clone(), key: keys.map(|keys| keys.uplink) }
    }
}

/// One MQTT connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct MqttLink {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
    store: StoreId,
    key: Option<ProofKey>,
}

/// Where the centre speaks to this store, and what proves that it is the centre.
struct Downlink {
    topic: String,
    key: Option<ProofKey>,
}

impl Drop for MqttLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link for MqttLink {
    fn publish(&mut self, kind: UplinkKind, mut message: Vec<u8>) -> Result<(), LinkFull> {
        if let Some(key) = &self.key {
            key.prove(&mut message);
        }
        // A heartbeat that is lost is made good by the next one.
        let qos = if kind == UplinkKind::Heartbeat { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let properties =
            PublishProperties { message_expiry_interval: Some(MESSAGE_EXPIRY_S), ..PublishProperties::default() };
        self.client
            .try_publish_with_properties(topic::uplink(&self.store, kind), qos, false, Bytes::from(message), properties)
            .map_err(|_| LinkFull)
    }

    async fn next(&mut self) -> LinkEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => LinkEvent::Lost(Loss::Network, "the connection's task ended".to_owned()),
        }
    }
}

/// Polls one connection until it ends.
async fn poll(mut event_loop: EventLoop, client: AsyncClient, downlink: Downlink, sender: mpsc::Sender<LinkEvent>) {
    loop {
        let event = match timeout(POLL_TIMEOUT, event_loop.poll()).await {
            Ok(Ok(Event::Incoming(packet))) => match interpret(packet, &client, &downlink) {
                Some(event) => event,
                None => continue,
            },
            Ok(Ok(Event::Outgoing(_))) => continue,
            Ok(Err(error)) => {
                let too_large = matches!(error, ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }));
                if too_large && sender.send(LinkEvent::Refused(Refusal::TooLarge)).await.is_err() {
                    return;
                }
                LinkEvent::Lost(loss_of(&error), error.to_string())
            }
            Err(_) => LinkEvent::Lost(Loss::Network, "nothing was heard for too long".to_owned()),
        };
        let ends = matches!(event, LinkEvent::Lost(..));
        if sender.send(event).await.is_err() || ends {
            return;
        }
    }
}

fn interpret(packet: Packet, client: &AsyncClient, downlink: &Downlink) -> Option<LinkEvent> {
    match packet {
        Packet::ConnAck(_) => match client.try_subscribe(&downlink.topic, QoS::AtLeastOnce) {
            Ok(()) => None,
            Err(error) => Some(LinkEvent::Lost(Loss::Network, error.to_string())),
        },
        Packet::SubAck(ack) => {
            let granted = ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
            Some(if granted {
                LinkEvent::Connected
            } else {
                LinkEvent::Lost(Loss::LoginRefused, format!("the subscription was refused: {:?}", ack.return_codes))
            })
        }
        Packet::Publish(publish) if downlink.key.is_none_or(|key| key.is_proven(&publish.payload)) => {
            Some(LinkEvent::Message(publish.payload))
        }
        Packet::Publish(_) => {
            telemetry::message_ignored("it does not prove that the centre made it");
            None
        }
        Packet::PubAck(ack) => refusal_of(ack.reason).map(LinkEvent::Refused),
        Packet::Disconnect(disconnect) => {
            Some(LinkEvent::Lost(Loss::Network, format!("disconnected: {:?}", disconnect.reason_code)))
        }
        _ => None,
    }
}

fn refusal_of(reason: PubAckReason) -> Option<Refusal> {
    match reason {
        PubAckReason::Success => None,
        PubAckReason::NotAuthorized => Some(Refusal::NotAuthorized),
        PubAckReason::PayloadFormatInvalid => Some(Refusal::Unreadable),
        // Nobody listens at the broker: the centre is away. Its silence would say the same, later.
        PubAckReason::NoMatchingSubscribers
        | PubAckReason::UnspecifiedError
        | PubAckReason::ImplementationSpecificError
        | PubAckReason::TopicNameInvalid
        | PubAckReason::PacketIdentifierInUse
        | PubAckReason::QuotaExceeded => Some(Refusal::Overloaded),
    }
}

fn loss_of(error: &ConnectionError) -> Loss {
    let code = match error {
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => code,
        _ => return Loss::Network,
    };
    match code {
        ConnectReturnCode::BadUserNamePassword
        | ConnectReturnCode::NotAuthorized
        | ConnectReturnCode::Banned
        | ConnectReturnCode::ClientIdentifierNotValid => Loss::LoginRefused,
        _ => Loss::Network,
    }
}
