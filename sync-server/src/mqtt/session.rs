//! One client's conversation: bytes in, actions and bytes out. No socket, no clock, no lock.
//!
//! `mqtt-protocol-core` parses, builds, and keeps the state that MQTT asks for. What it leaves to a server is added here:
//! - packet id 0, QoS 2, retained publishes, subscription ids, AUTH and stray packets of the QoS 2 exchange end the
//!   session, because the CONNACK said that none of them is available here;
//! - it lets a client repeat a packet id that is still unanswered, without end and outside the receive maximum, so
//!   unanswered publishes are counted here as well;
//! - reserved flags in a fixed header are looked at;
//! - whatever it reports as an error ends the session, whether or not it asked for that itself.

use bytes::{Bytes, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::v5_0::{
    Connack, Connect, Disconnect, Puback, Publish, Suback, Subscribe, Unsuback, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumQos, Packet, Properties, Property, Qos, RetainAvailable, ServerKeepAlive,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, WildcardSubscriptionAvailable,
};
use mqtt_protocol_core::mqtt::prelude::GenericPacketTrait;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{ArcPayload, Connection, Version, role};
use pos_model::StoreId;

use super::acl::{Acl, Kind};
use super::first_packet::{First, FirstPacket};
use super::limits::{CLIENT_ID_CHARS_MAX, DOWNLINK_UNACKED_MAX, Limits, SUBSCRIPTIONS_MAX, TOPIC_CHARS_MAX};
use super::login::Login;
use super::mailbox::{DownlinkQos, Subscription};

pub(crate) struct Session {
    library: Connection<role::Server>,
    phase: Phase,
    /// What is to be written. The caller takes it after each round.
    out: BytesMut,
    receive_maximum: usize,
    keep_alive_seconds_max: u16,
    subscriptions: Vec<Subscription>,
    /// Publishes that have no PUBACK, abandoned ones included: the client counts those, too.
    unanswered: usize,
    abandoned: usize,
    unacked: usize,
    packets: u64,
    /// The next byte is the first of a packet.
    between_packets: bool,
}

enum Phase {
    First(FirstPacket),
    LoginPending { keep_alive_seconds: u16 },
    Open(Acl),
    Ended,
}

/// What a packet asks of the caller.
#[derive(Debug)]
pub(crate) enum Action {
    /// Call [`Session::accept`] or [`Session::refuse`] before anything else.
    Login(Login),
    /// A publish to one of the store's own topics.
    Publish { packet_id: Option<u16>, kind: Kind, payload: Bytes },
    /// A publish to a topic that is not the store's.
    Denied { packet_id: Option<u16> },
    /// The set of subscriptions is another one; so many filters were refused.
    Subscriptions { denied: u64 },
    /// The packet needed nothing, or was answered.
    Nothing,
    /// The client says goodbye.
    Left,
}

/// Why a session cannot go on. A last packet to the client is already written where MQTT has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the first bytes are no MQTT CONNECT")]
    NotConnect,
    #[error("the client speaks another version of MQTT")]
    OtherVersion,
    #[error("a packet is larger than announced")]
    Oversize,
    #[error("the packet is malformed or out of place: {0}")]
    Protocol(MqttError),
    #[error("the packet uses what is not available here: {0}")]
    Forbidden(DisconnectReasonCode),
    #[error("the client id is too long, or another authentication method is asked for")]
    Login,
    #[error("too many publishes were left without an answer")]
    Unanswered,
    #[error("the session has ended")]
    Ended,
}

impl Session {
    pub(crate) fn new(limits: &Limits) -> Self {
        let options = ConnectionOptions::new()
            .maximum_packet_size_recv(limits.packet_bytes_max)
            .receive_maximum(limits.receive_maximum.max(1));
        let mut library = Connection::with_options(Version::V5_0, options);
        library.set_auto_ping_response(true);
        Self {
            library,
            phase: Phase::First(FirstPacket::default()),
            out: BytesMut::new(),
            receive_maximum: usize::from(limits.receive_maximum.max(1)),
            keep_alive_seconds_max: limits.keep_alive_seconds_max.max(1),
            subscriptions: Vec::new(),
            unanswered: 0,
            abandoned: 0,
            unacked: 0,
            packets: 0,
            between_packets: true,
        }
    }

    /// Reads one packet off the front of `input`. `None`: the input is used up.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Action>, Fault> {
        match &mut self.phase {
            Phase::First(first) => match first.receive(input) {
                First::Incomplete => Ok(None),
                First::Connect(packet) => self.receive_packet(&mut &packet[..]),
                First::NotConnect => self.end(Fault::NotConnect),
                First::Oversize => self.end(Fault::Oversize),
                First::OtherVersion(refusal) => {
                    self.out.extend_from_slice(refusal);
                    self.end(Fault::OtherVersion)
                }
            },
            Phase::Open(_) => self.receive_packet(input),
            Phase::LoginPending { .. } | Phase::Ended => Err(Fault::Ended),
        }
    }

    fn receive_packet(&mut self, input: &mut &[u8]) -> Result<Option<Action>, Fault> {
        while let Some(first) = input.first() {
            if self.between_packets && !flags_are_right(*first) {
                self.disconnect(DisconnectReasonCode::MalformedPacket);
                return self.end(Fault::Protocol(MqttError::MalformedPacket));
            }
            self.between_packets = false;
            let mut cursor = Cursor::new(*input);
            let events = self.library.recv(&mut cursor);
            let consumed = usize::try_from(cursor.position()).unwrap_or(input.len());
            *input = input.get(consumed..).unwrap_or_default();
            let (received, error) = self.apply(events);
            if let Some(error) = error {
                let fault = if error == MqttError::PacketTooLarge { Fault::Oversize } else { Fault::Protocol(error) };
                self.disconnect(error.into());
                return self.end(fault);
            }
            if let Some(packet) = received {
                self.packets += 1;
                self.between_packets = true;
                return self.handle(packet).map(Some);
            }
        }
        Ok(None)
    }

    fn handle(&mut self, packet: Packet) -> Result<Action, Fault> {
        match packet {
            Packet::V5_0Publish(publish) => self.handle_publish(&publish),
            Packet::V5_0Puback(_) => {
                self.unacked = self.unacked.saturating_sub(1);
                Ok(Action::Nothing)
            }
            Packet::V5_0Pingreq(_) => Ok(Action::Nothing),
            Packet::V5_0Subscribe(subscribe) => self.handle_subscribe(&subscribe),
            Packet::V5_0Unsubscribe(unsubscribe) => self.handle_unsubscribe(&unsubscribe),
            Packet::V5_0Connect(connect) => self.handle_connect(&connect),
            Packet::V5_0Disconnect(_) => {
                self.phase = Phase::Ended;
                Ok(Action::Left)
            }
            _ => self.forbid(DisconnectReasonCode::ProtocolError),
        }
    }

    fn handle_connect(&mut self, connect: &Connect) -> Result<Action, Fault> {
        let code = if connect.props.iter().any(|property| matches!(property, Property::AuthenticationMethod(_))) {
            Some(ConnectReasonCode::BadAuthenticationMethod)
        } else if connect.client_id().chars().count() > CLIENT_ID_CHARS_MAX {
            Some(ConnectReasonCode::ClientIdentifierNotValid)
        } else {
            None
        };
        if let Some(code) = code {
            self.refuse(code);
            return Err(Fault::Login);
        }
        self.phase = Phase::LoginPending { keep_alive_seconds: connect.keep_alive() };
        Ok(Action::Login(Login::new(connect)))
    }

    fn handle_publish(&mut self, publish: &Publish) -> Result<Action, Fault> {
        let packet_id = publish.packet_id();
        if publish.qos() == Qos::ExactlyOnce {
            return self.forbid(DisconnectReasonCode::QosNotSupported);
        }
        if publish.retain() {
            return self.forbid(DisconnectReasonCode::RetainNotSupported);
        }
        let has_subscription_id = |property: &Property| matches!(property, Property::SubscriptionIdentifier(_));
        if packet_id == Some(0) || publish.props().iter().any(has_subscription_id) {
            return self.forbid(DisconnectReasonCode::ProtocolError);
        }
        if too_long(publish.topic_name()) {
            return self.forbid(DisconnectReasonCode::TopicNameInvalid);
        }
        if packet_id.is_some() {
            if self.unanswered >= self.receive_maximum {
                return self.forbid(DisconnectReasonCode::ReceiveMaximumExceeded);
            }
            self.unanswered += 1;
        }
        let Phase::Open(acl) = &self.phase else { return Err(Fault::Ended) };
        Ok(match acl.publish(publish.topic_name()) {
            Some(kind) => Action::Publish { packet_id, kind, payload: shared_payload(publish.payload()) },
            None => Action::Denied { packet_id },
        })
    }

    fn handle_subscribe(&mut self, subscribe: &Subscribe) -> Result<Action, Fault> {
        if subscribe.packet_id() == 0 {
            return self.forbid(DisconnectReasonCode::ProtocolError);
        }
        if subscribe.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
            return self.forbid(DisconnectReasonCode::SubscriptionIdentifiersNotSupported);
        }
        if subscribe.entries().iter().any(|entry| too_long(entry.topic_filter())) {
            return self.forbid(DisconnectReasonCode::TopicFilterInvalid);
        }
        let mut denied = 0;
        let mut codes = Vec::with_capacity(subscribe.entries().len());
        for entry in subscribe.entries() {
            let code = self.subscribe(entry.topic_filter(), entry.sub_opts().qos());
            denied += u64::from(code == SubackReasonCode::NotAuthorized);
            codes.push(code);
        }
        let suback = Suback::builder().packet_id(subscribe.packet_id()).reason_codes(codes).build();
        let events = self.library.checked_send(suback.map_err(Fault::Protocol)?);
        self.sent(events)?;
        Ok(Action::Subscriptions { denied })
    }

    fn subscribe(&mut self, filter: &str, asked: Qos) -> SubackReasonCode {
        let Phase::Open(acl) = &self.phase else { return SubackReasonCode::UnspecifiedError };
        if !acl.may_subscribe(filter) {
            return SubackReasonCode::NotAuthorized;
        }
        let (qos, granted) = match asked {
            Qos::AtMostOnce => (DownlinkQos::AtMostOnce, SubackReasonCode::GrantedQos0),
            Qos::AtLeastOnce | Qos::ExactlyOnce => (DownlinkQos::AtLeastOnce, SubackReasonCode::GrantedQos1),
        };
        if let Some(held) = self.subscriptions.iter_mut().find(|held| &*held.topic == filter) {
            held.qos = qos;
        } else if self.subscriptions.len() < SUBSCRIPTIONS_MAX {
            self.subscriptions.push(Subscription { topic: filter.into(), qos });
        } else {
            return SubackReasonCode::QuotaExceeded;
        }
        granted
    }

    fn handle_unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Result<Action, Fault> {
        if unsubscribe.packet_id() == 0 {
            return self.forbid(DisconnectReasonCode::ProtocolError);
        }
        let mut codes = Vec::with_capacity(unsubscribe.entries().len());
        for filter in unsubscribe.entries() {
            let before = self.subscriptions.len();
            self.subscriptions.retain(|held| &*held.topic != filter.as_str());
            let found = self.subscriptions.len() < before;
            codes.push(if found { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted });
        }
        let unsuback = Unsuback::builder().packet_id(unsubscribe.packet_id()).reason_codes(codes).build();
        let events = self.library.checked_send(unsuback.map_err(Fault::Protocol)?);
        self.sent(events)?;
        Ok(Action::Subscriptions { denied: 0 })
    }

    /// Opens the session of a store; returns the keep-alive in seconds that holds. A client that sent no id of its own
    /// is told `assigned_client_id`.
    pub(crate) fn accept(&mut self, store: &StoreId, assigned_client_id: Option<&str>) -> Result<u16, Fault> {
        let Phase::LoginPending { keep_alive_seconds: asked } = self.phase else { return Err(Fault::Ended) };
        let keep_alive = if asked == 0 { self.keep_alive_seconds_max } else { asked.min(self.keep_alive_seconds_max) };
        let properties = connack_properties((keep_alive != asked).then_some(keep_alive), assigned_client_id);
        let connack = properties
            .and_then(|properties| {
                let builder = Connack::builder().session_present(false).reason_code(ConnectReasonCode::Success);
                builder.props(properties).build()
            })
            .map_err(Fault::Protocol)?;
        let events = self.library.checked_send(connack);
        self.sent(events)?;
        self.phase = Phase::Open(Acl::new(store));
        Ok(keep_alive)
    }

    /// Refuses the login; the session is over.
    pub(crate) fn refuse(&mut self, code: ConnectReasonCode) {
        if let Ok(connack) = Connack::builder().session_present(false).reason_code(code).build() {
            let events = self.library.checked_send(connack);
            self.apply(events);
        }
        self.phase = Phase::Ended;
    }

    /// Answers a publish.
    pub(crate) fn puback(&mut self, packet_id: u16, code: PubackReasonCode) -> Result<(), Fault> {
        let builder = Puback::builder().packet_id(packet_id);
        // Success is the short form without a code.
        let builder = if code == PubackReasonCode::Success { builder } else { builder.reason_code(code) };
        let events = self.library.checked_send(builder.build().map_err(Fault::Protocol)?);
        self.unanswered = self.unanswered.saturating_sub(1);
        self.sent(events)
    }

    /// Notes a publish that never gets its answer. Too many of them would leave the client without a window, and a fresh
    /// connection is the only cure.
    pub(crate) fn abandon(&mut self) -> Result<(), Fault> {
        self.abandoned += 1;
        if self.abandoned > self.receive_maximum / 2 {
            self.disconnect(DisconnectReasonCode::ImplementationSpecificError);
            return self.end(Fault::Unanswered);
        }
        Ok(())
    }

    /// How many messages of QoS 1 the client has room for.
    pub(crate) fn room(&self) -> usize {
        let ours = DOWNLINK_UNACKED_MAX.saturating_sub(self.unacked);
        self.library.get_receive_maximum_vacancy_for_send().map_or(ours, |theirs| ours.min(usize::from(theirs)))
    }

    /// Writes a message. `false`: it is larger than the client takes, and counts as delivered (MQTT-3.1.2-25).
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], qos: DownlinkQos) -> Result<bool, Fault> {
        let packet_id = match qos {
            DownlinkQos::AtMostOnce => None,
            DownlinkQos::AtLeastOnce => Some(self.library.acquire_packet_id().map_err(Fault::Protocol)?),
        };
        let builder = Publish::builder().topic_name(topic).map_err(Fault::Protocol)?;
        let publish = builder.qos(qos.into()).packet_id(packet_id).payload(payload).build().map_err(Fault::Protocol)?;
        let events = self.library.checked_send(publish);
        match self.sent(events) {
            Ok(()) => {
                self.unacked += usize::from(packet_id.is_some());
                Ok(true)
            }
            Err(Fault::Protocol(MqttError::PacketTooLarge)) => {
                if let Some(packet_id) = packet_id {
                    self.library.release_packet_id(packet_id);
                }
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Tells the client why the session ends. Nothing is written before login or after another goodbye.
    pub(crate) fn disconnect(&mut self, code: DisconnectReasonCode) {
        if let Ok(disconnect) = Disconnect::builder().reason_code(code).build() {
            let events = self.library.checked_send(disconnect);
            self.apply(events);
        }
        self.phase = Phase::Ended;
    }

    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// Packets received so far; a packet is what keeps a connection alive, not a byte.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    fn forbid(&mut self, code: DisconnectReasonCode) -> Result<Action, Fault> {
        self.disconnect(code);
        self.end(Fault::Forbidden(code))
    }

    fn end<T>(&mut self, fault: Fault) -> Result<T, Fault> {
        self.phase = Phase::Ended;
        Err(fault)
    }

    fn sent(&mut self, events: Vec<Event>) -> Result<(), Fault> {
        self.apply(events).1.map_or(Ok(()), |error| Err(Fault::Protocol(error)))
    }

    /// Writes what the library wants written. Its timers are not used: the caller watches the keep-alive.
    fn apply(&mut self, events: Vec<Event>) -> (Option<Packet>, Option<MqttError>) {
        let mut received = None;
        let mut error = None;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    packet.to_buffers().iter().for_each(|part| self.out.extend_from_slice(part));
                }
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::NotifyError(found) => error = Some(found),
                Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::RequestClose => {}
            }
        }
        (received, error)
    }
}

/// Every packet but PUBLISH has one right value for the low four bits (MQTT-2.1.3-1).
fn flags_are_right(first: u8) -> bool {
    match first >> 4 {
        3 => true,
        6 | 8 | 10 => first & 0x0F == 2,
        _ => first & 0x0F == 0,
    }
}

fn too_long(topic: &str) -> bool {
    topic.len() > TOPIC_CHARS_MAX && topic.chars().count() > TOPIC_CHARS_MAX
}

fn connack_properties(keep_alive: Option<u16>, client_id: Option<&str>) -> Result<Properties, MqttError> {
    // The library adds the receive maximum and the maximum packet size that it enforces.
    let mut properties: Properties = vec![
        SessionExpiryInterval::new(0)?.into(),
        MaximumQos::new(1)?.into(),
        RetainAvailable::new(0)?.into(),
        WildcardSubscriptionAvailable::new(0)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
    ];
    if let Some(keep_alive) = keep_alive {
        properties.push(ServerKeepAlive::new(keep_alive)?.into());
    }
    if let Some(client_id) = client_id {
        properties.push(AssignedClientIdentifier::new(client_id)?.into());
    }
    Ok(properties)
}

/// The payload inside the packet's own buffer, which lives as long as the payload is used.
fn shared_payload(payload: &ArcPayload) -> Bytes {
    struct Shared(ArcPayload);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    if payload.is_empty() { Bytes::new() } else { Bytes::from_owner(Shared(payload.clone())) }
}
