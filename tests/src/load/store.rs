//! One store of a load: `StoreSync`, its outbox and its connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};

use pos_model::{Stamp, StoreId};
use protocol::envelope::{WIRE_BYTES_TARGET, open_downlink, seal_uplink};
use protocol::latest::{Heartbeat, Hello, Mark, StoreHealth, Uplink, VERSION};
use protocol::proof::{ProofKey, StoreKeys};
use protocol::topic::{self, UplinkKind};
use rumqttc::v5::mqttbytes::QoS;
use sync_core::store::{Confirmed, Effect, Loss, Refusal, SendFailure, Sent, StoreSync};
use sync_core::{Instant, StoreLimits};

use super::outbox::Outbox;
use super::socket::{Incoming, Socket};

/// Where the centre is.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its MQTT address.
    pub mqtt: SocketAddr,
    /// When the run began; the monotonic clock of every store counts from there.
    pub started: Clock,
}

/// What all stores of a load have done.
#[derive(Debug, Default)]
pub struct Progress {
    /// Events that the centre has confirmed.
    pub confirmed_events: AtomicU64,
    /// Batches sent.
    pub batches: AtomicU64,
    /// Bytes of batches on the wire.
    pub batch_bytes: AtomicU64,
    /// Connections that were made.
    pub connects: AtomicU64,
    /// Messages that the centre refused for overload.
    pub refused: AtomicU64,
}

/// One store of a load.
#[derive(Debug)]
pub struct LoadStore {
    store: StoreId,
    secret: String,
    proof: Option<ProofKey>,
    outbox: Outbox,
    sync: StoreSync,
    target: Target,
    progress: Arc<Progress>,
    socket: Option<Socket>,
    topics: Topics,
}

#[derive(Debug)]
struct Topics {
    hello: String,
    batch: String,
    heartbeat: String,
    downlink: String,
}

impl LoadStore {
    /// Prepares a store with its outbox.
    pub fn new(
        store: StoreId,
        secret: String,
        outbox: Outbox,
        limits: StoreLimits,
        target: Target,
        seed: u64,
        progress: Arc<Progress>,
    ) -> Self {
        let now = Instant::from_ms(0);
        let sync = StoreSync::new(&[outbox.report()], limits, seed, now);
        let topics = Topics {
            hello: topic::uplink(&store, UplinkKind::Hello),
            batch: topic::uplink(&store, UplinkKind::Batch),
            heartbeat: topic::uplink(&store, UplinkKind::Heartbeat),
            downlink: topic::downlink(&store),
        };
        Self { store, secret, proof: None, outbox, sync, target, progress, socket: None, topics }
    }

    /// Has it log in and prove its messages as a store does that enrolled at a centre which knows proofs.
    #[must_use]
    pub fn proving(mut self) -> Self {
        let keys = StoreKeys::of_secret(self.secret.as_bytes());
        self.secret = keys.password();
        self.proof = Some(keys.uplink);
        self
    }

    /// Runs until every event of the outbox is confirmed. Returns the outbox.
    pub async fn drain(mut self) -> Outbox {
        loop {
            self.perform().await;
            if self.outbox.acked() == self.outbox.head() {
                return self.outbox;
            }
            self.wait().await;
        }
    }

    fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.target.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits for the next message or deadline.
    async fn wait(&mut self) {
        let until = self.sync.poll_timeout().map(|(at, _)| self.target.started + Duration::from_millis(at.ms()));
        let deadline = async move {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let incoming = async {
            match &mut self.socket {
                Some(socket) => socket.next().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            incoming = incoming => Some(incoming),
            () = deadline => None,
        };
        let now = self.now();
        match event {
            None => self.sync.handle_timeout(now),
            Some(Ok(Incoming::Message(bytes))) => {
                if let Ok((_, message)) = open_downlink(&bytes) {
                    self.sync.handle_downlink(message, now);
                }
            }
            Some(Ok(Incoming::Refused)) => {
                self.progress.refused.fetch_add(1, Ordering::Relaxed);
                self.sync.handle_refused(Refusal::Overloaded, now);
            }
            Some(Err(_)) => self.lose(now),
        }
    }

    fn lose(&mut self, now: Instant) {
        self.socket = None;
        self.sync.handle_connection_lost(Loss::Network, now);
    }

    async fn perform(&mut self) {
        while let Some(effect) = self.sync.poll_effect() {
            match effect {
                Effect::Connect => self.connect().await,
                Effect::Disconnect => self.socket = None,
                Effect::SayHello { session, .. } => {
                    let epochs = vec![self.outbox.report()];
                    let hello = Hello { session, version: VERSION, epochs, health: self.health() };
                    self.send(&Uplink::Hello(hello), QoS::AtLeastOnce).await;
                }
                Effect::SendHeartbeat => {
                    let heartbeat = Heartbeat { health: self.health() };
                    self.send(&Uplink::Heartbeat(heartbeat), QoS::AtMostOnce).await;
                    if let Some(socket) = &mut self.socket {
                        // A failure shows at the next read.
                        let _ = socket.ping().await;
                    }
                }
                Effect::SendBatch { from, events_max, .. } => self.send_batch(from, events_max).await,
                Effect::Confirm { epoch, mark } => {
                    let before = self.outbox.acked();
                    let agreed = self.outbox.confirm(mark);
                    self.progress.confirmed_events.fetch_add(self.outbox.acked().since(before), Ordering::Relaxed);
                    let confirmed = if agreed { Confirmed::Agreed } else { Confirmed::Differs };
                    self.sync.handle_confirmed(epoch, mark, confirmed, self.now());
                }
                Effect::Rewind { to, .. } => self.outbox.rewind(to),
                // What was sold here is made up as it is sent, and nothing of it is held to be compared.
                Effect::SendDigests { .. } | Effect::SendAgain(_) => {}
                Effect::RaiseReceipts(_) | Effect::OpenEpoch | Effect::Notify(_) => {}
            }
        }
    }

    async fn connect(&mut self) {
        match Socket::open(self.target.mqtt, self.store.as_str(), &self.secret, &self.topics.downlink).await {
            Ok(socket) => {
                self.progress.connects.fetch_add(1, Ordering::Relaxed);
                self.socket = Some(socket);
                self.sync.handle_connected(self.now());
            }
            Err(_) => self.lose(self.now()),
        }
    }

    async fn send_batch(&mut self, from: pos_model::Seq, events_max: u32) {
        let mut events = usize::try_from(events_max).unwrap_or(usize::MAX);
        let sealed = loop {
            let Some(batch) = self.outbox.batch(from, events) else {
                self.sync.handle_send_failed(SendFailure::NothingThere, self.now());
                return;
            };
            events = batch.events.len();
            let through = batch.last_seq();
            let Ok(sealed) = seal_uplink(&self.store, &Uplink::Batch(batch)) else {
                self.sync.handle_send_failed(SendFailure::Later, self.now());
                return;
            };
            if sealed.len() <= WIRE_BYTES_TARGET || events == 1 {
                break (sealed, through);
            }
            events = (events * WIRE_BYTES_TARGET / sealed.len() * 9 / 10).max(1);
        };
        let (mut message, last) = sealed;
        if let Some(key) = &self.proof {
            key.prove(&mut message);
        }
        let hash = self.outbox.hash_at(last).expect("the outbox holds what it just gave");
        self.progress.batches.fetch_add(1, Ordering::Relaxed);
        self.progress.batch_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        let sent = Sent { epoch: self.outbox.epoch(), first: from, through: Mark { seq: last, hash } };
        self.sync.handle_sent(sent, self.now());
        let Some(socket) = &mut self.socket else { return };
        if socket.publish(&self.topics.batch, QoS::AtLeastOnce, message).await.is_err() {
            self.lose(self.now());
        }
    }

    async fn send(&mut self, message: &Uplink, qos: QoS) {
        let topic = match message {
            Uplink::Hello(_) => &self.topics.hello,
            Uplink::Batch(_) => &self.topics.batch,
            Uplink::Heartbeat(_) => &self.topics.heartbeat,
            Uplink::Digests(_) | Uplink::Recalled(_) => return,
        };
        let Ok(mut sealed) = seal_uplink(&self.store, message) else { return };
        if let Some(key) = &self.proof {
            key.prove(&mut sealed);
        }
        let Some(socket) = &mut self.socket else { return };
        if socket.publish(topic, qos, sealed).await.is_err() {
            self.lose(self.now());
        }
    }

    fn health(&self) -> StoreHealth {
        let utc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        StoreHealth {
            clock: Stamp { utc_ms: i64::try_from(utc.as_millis()).unwrap_or(i64::MAX), offset_s: 0 },
            agent_version: "load".to_owned(),
            epoch: self.outbox.epoch(),
            head: self.outbox.head(),
            outbox_events: self.outbox.head().since(self.outbox.acked()),
            outbox_oldest_ms: None,
            disk_free_bytes: None,
            receipts: Vec::new(),
        }
    }
}
