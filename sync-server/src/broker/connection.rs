//! The life of one connection to the broker, from CONNECT to its end.
//!
//! Rules that keep the library's known faults away, as at the agent's end:
//! - One `EventLoop` per connection, thrown away on any error: its session state is never used again.
//! - It is polled in a task of its own and under a timeout, because a flush into a dead connection has none. That task waits
//!   for nothing else but room in the window, and not for long; the channel to the ingest has a place for what the window has.
//! - Subscribing is repeated for each connection, eight filters at a time, one question after the other; every granted code
//!   is looked at.
//! - Nothing is published with QoS 1, so no packet id is shared with a subscription and no publish can collide.
//! - Packet size and Receive Maximum are set on purpose; topic aliases are not taken.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use protocol::topic;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Filter, Packet, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{NetworkOptions, Outgoing as Wrote, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::limits::{
    ANSWER_EXPIRY_S, CONNECT_TIMEOUT_S, FILTERS_PER_SUBSCRIBE, KEEP_ALIVE, PACKET_BYTES_MAX, POLL_TIMEOUT,
    RECEIVE_MAXIMUM, REPLIES_MAX, REQUESTS_MAX, SUBSCRIBE_TIMEOUT,
};
use super::window::{Outgoing, Room, Seat, Window};
use super::{Phase, Shared, telemetry};
use crate::mqtt::{Kind, Receipt, Trust, Uplinked};
use crate::partitions::PartitionSet;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the server stops")]
    Left,
    #[error("the broker refuses the login: {0:?}")]
    LoginRefused(ConnectReturnCode),
    #[error("reach the broker")]
    Network(#[source] Box<ConnectionError>),
    #[error("the broker was silent for too long")]
    Silent,
    #[error("the broker ended the connection: {0}")]
    Disconnected(String),
    #[error("the broker refuses a subscription: {0}")]
    SubscriptionRefused(String),
    #[error("the broker does not answer a subscription")]
    NoReply,
    #[error("the broker answers what it was not asked")]
    Unasked,
    #[error("the connection's task ended")]
    Died,
}

/// What the poller tells the talker.
#[derive(Debug)]
enum Reply {
    Connected,
    Subscribed(Vec<SubscribeReasonCode>),
    Unsubscribed,
}

/// What the broker was asked and has not answered.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Subscribe(PartitionSet),
    Unsubscribe(PartitionSet),
}

/// One connection, before it is made.
pub(super) struct Connection<'c> {
    pub(super) index: usize,
    pub(super) shared: &'c Arc<Shared>,
    /// The partitions that this connection serves, of those that are wanted.
    pub(super) share: PartitionSet,
    pub(super) room: Arc<Room>,
    pub(super) wanted: watch::Receiver<PartitionSet>,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Connection<'_> {
    /// Connects, consumes until it ends, and says why.
    pub(super) async fn carry(self) -> End {
        let Self { index, shared, share, room, wanted, phase } = self;
        let (client, event_loop) = AsyncClient::new(options(index, shared), REQUESTS_MAX);
        let window = Arc::new(Window::new(room, Arc::clone(&shared.downlink_budget)));
        let (replies, heard) = mpsc::channel(REPLIES_MAX);
        let reader = Reader { shared: Arc::clone(shared), window: Arc::clone(&window), replies };
        let mut poller = Aborted(tokio::spawn(poll(event_loop, reader)));
        let mut talker = Talker {
            index,
            shared,
            share,
            wanted,
            phase,
            client,
            window: &window,
            heard,
            is_connected: false,
            is_complete: false,
            subscribed: PartitionSet::NONE,
            asked: None,
        };
        shared.voices.set(index, Some(Arc::clone(&window)));
        let end = tokio::select! {
            end = &mut poller.0 => end.unwrap_or(End::Died),
            end = talker.talk() => end,
        };
        shared.voices.set(index, None);
        window.close();
        end
    }
}

fn options(index: usize, shared: &Shared) -> MqttOptions {
    let settings = &shared.settings;
    let client_id = format!("{}-{index}", settings.client_id);
    let mut options = MqttOptions::new(client_id, settings.url.host.clone(), settings.url.port);
    options
        .set_clean_start(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_connection_timeout(CONNECT_TIMEOUT_S)
        .set_request_channel_capacity(REQUESTS_MAX)
        // Nothing of QoS 1 is published; the library allocates for each place.
        .set_outgoing_inflight_upper_limit(1)
        .set_manual_acks(true)
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_session_expiry_interval(Some(0));
    if let Some(credentials) = &settings.credentials {
        options.set_credentials(credentials.username.clone(), credentials.password.clone());
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some(tls) = &settings.tls {
        options.set_transport(Transport::Tls(tls.clone()));
    }
    options
}

/// A task that ends with its owner.
struct Aborted(JoinHandle<End>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Polls the connection until it ends.
async fn poll(mut event_loop: EventLoop, reader: Reader) -> End {
    loop {
        let packet = match timeout(POLL_TIMEOUT, event_loop.poll()).await {
            Err(_) => return End::Silent,
            Ok(Err(error)) => return end_of(error),
            Ok(Ok(Event::Outgoing(Wrote::Disconnect))) => return End::Left,
            Ok(Ok(Event::Outgoing(_))) => continue,
            Ok(Ok(Event::Incoming(packet))) => packet,
        };
        let reply = match packet {
            Packet::Publish(publish) => {
                reader.take(publish).await;
                continue;
            }
            Packet::ConnAck(_) => Reply::Connected,
            Packet::SubAck(ack) => Reply::Subscribed(ack.return_codes),
            Packet::UnsubAck(_) => Reply::Unsubscribed,
            Packet::Disconnect(disconnect) => return End::Disconnected(format!("{:?}", disconnect.reason_code)),
            _ => continue,
        };
        // One question is open at a time, so there is room, unless the broker answers what nobody asked.
        if reader.replies.try_send(reply).is_err() {
            return End::Unasked;
        }
    }
}

fn end_of(error: ConnectionError) -> End {
    match error {
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => End::LoginRefused(code),
        error => End::Network(Box::new(error)),
    }
}

/// Hands deliveries to the ingest.
struct Reader {
    shared: Arc<Shared>,
    window: Arc<Window>,
    replies: mpsc::Sender<Reply>,
}

impl Reader {
    async fn take(&self, publish: Publish) {
        let stats = &self.shared.stats;
        // Once the server stops, the broker keeps what it delivers, and forgets it with the connection.
        let Some(ingress) = self.shared.ingress() else { return };
        let packet_id = (publish.qos != QoS::AtMostOnce).then_some(publish.pkid);
        let Some(place) = self.window.open(packet_id, publish.payload.len()).await else {
            stats.overload.one();
            return;
        };
        let name = String::from_utf8_lossy(&publish.topic);
        let addressed = topic::parse_uplink(&name).ok().filter(|_| !publish.retain);
        let Some((address, kind)) = addressed.and_then(|topic| Some((topic.store, Kind::new(topic.kind.as_str())?)))
        else {
            telemetry::misaddressed(stats, &name);
            self.window.give_back(place);
            return;
        };
        let (voices, presence) = (Arc::clone(&self.shared.voices), Arc::clone(&self.shared.presence));
        let seat = Seat::new(Arc::clone(&self.window), place, address.clone(), voices, presence);
        let message = Uplinked {
            connection: self.shared.router.new_connection_id(),
            store: address,
            kind,
            // A copy of its own: the library's buffer holds other messages, too, and would live as long as the last of them.
            payload: Bytes::copy_from_slice(&publish.payload),
            trust: Trust::Proof,
            receipt: Receipt::by_broker(seat),
        };
        // The channel has a place for every message that a window holds.
        if ingress.try_send(message).is_ok() {
            stats.messages_in.one();
        } else {
            stats.overload.one();
        }
    }
}

/// Writes what is to be written, and keeps the subscriptions as they are wanted.
struct Talker<'c> {
    index: usize,
    shared: &'c Arc<Shared>,
    share: PartitionSet,
    wanted: watch::Receiver<PartitionSet>,
    phase: watch::Receiver<Phase>,
    client: AsyncClient,
    window: &'c Window,
    heard: mpsc::Receiver<Reply>,
    is_connected: bool,
    /// All that is wanted is subscribed to, and that was noted.
    is_complete: bool,
    subscribed: PartitionSet,
    asked: Option<(Asked, Instant)>,
}

impl Talker<'_> {
    async fn talk(&mut self) -> End {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        self.write().await?;
        if *self.phase.borrow_and_update() == Phase::Leaving {
            self.client.disconnect().await.map_err(|_| End::Died)?;
            // The poller says when that has been written.
            return pending().await;
        }
        self.ask().await?;
        let deadline = self.asked.map(|(_, deadline)| deadline);
        let overdue = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.window.woken() => {}
            reply = self.heard.recv() => self.hear(reply.ok_or(End::Died)?)?,
            // An error means that the sender is gone: the server stops without a goodbye.
            changed = self.wanted.changed() => changed.map_err(|_| End::Left)?,
            changed = self.phase.changed() => changed.map_err(|_| End::Left)?,
            () = overdue => return Err(End::NoReply),
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), End> {
        while let Some(outgoing) = self.window.take() {
            let written = match outgoing {
                Outgoing::Ack(packet_id) => {
                    let mut publish = Publish::new("", QoS::AtLeastOnce, Bytes::new(), None);
                    publish.pkid = packet_id;
                    self.client.ack(&publish).await
                }
                Outgoing::Answer(answer) => {
                    self.shared.stats.messages_out.one();
                    let properties =
                        PublishProperties { message_expiry_interval: Some(ANSWER_EXPIRY_S), ..Default::default() };
                    let (topic, payload) = (answer.topic.clone(), answer.payload.clone());
                    // A lost answer costs a repetition, so it needs no PUBACK.
                    self.client.publish_with_properties(topic, QoS::AtMostOnce, false, payload, properties).await
                }
            };
            written.map_err(|_| End::Died)?;
        }
        Ok(())
    }

    /// Asks for the next change of the subscriptions, if there is one and nothing is open.
    async fn ask(&mut self) -> Result<(), End> {
        if !self.is_connected || self.asked.is_some() {
            return Ok(());
        }
        let wanted = self.wanted.borrow_and_update().both(self.share);
        let (missing, surplus) = (wanted.without(self.subscribed), self.subscribed.without(wanted));
        let asked = if let Some(partition) = surplus.iter().next() {
            let filter = topic::partition_filter(partition);
            self.client.unsubscribe(filter).await.map_err(|_| End::Died)?;
            Asked::Unsubscribe([partition].into_iter().collect())
        } else if !missing.is_empty() {
            let next = missing.first(FILTERS_PER_SUBSCRIBE);
            let filters = next.iter().map(|partition| Filter {
                retain_forward_rule: RetainForwardRule::Never,
                ..Filter::new(topic::partition_filter(partition), QoS::AtLeastOnce)
            });
            let filters: Vec<_> = filters.collect();
            self.client.subscribe_many(filters).await.map_err(|_| End::Died)?;
            Asked::Subscribe(next)
        } else {
            if !self.is_complete {
                // What is wanted was changed while the last answer came, and back.
                self.is_complete = true;
                self.shared.stats.note_subscribed(self.index, self.subscribed, true);
            }
            return Ok(());
        };
        self.asked = Some((asked, Instant::now() + SUBSCRIBE_TIMEOUT));
        Ok(())
    }

    fn hear(&mut self, reply: Reply) -> Result<(), End> {
        match (reply, self.asked.take()) {
            (Reply::Connected, None) => {
                self.is_connected = true;
                telemetry::connected(&self.shared.stats, self.index);
            }
            (Reply::Subscribed(codes), Some((Asked::Subscribe(asked), _))) => {
                let granted = |code: &SubscribeReasonCode| {
                    matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce))
                };
                if codes.len() != asked.len() || !codes.iter().all(granted) {
                    return Err(End::SubscriptionRefused(format!("{codes:?}")));
                }
                self.subscribed = self.subscribed.union(asked);
            }
            (Reply::Unsubscribed, Some((Asked::Unsubscribe(asked), _))) => {
                self.subscribed = self.subscribed.without(asked);
            }
            (_, open) => self.asked = open,
        }
        let complete = self.is_connected && self.subscribed == self.wanted.borrow().both(self.share);
        self.is_complete = complete;
        self.shared.stats.note_subscribed(self.index, self.subscribed, complete);
        if complete {
            telemetry::subscribed(self.index, self.subscribed);
        }
        Ok(())
    }
}
