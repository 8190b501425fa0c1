//! One store of a load: `StoreSync`, its history and its connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock};

use pos_model::{Seq, StoreId};
use protocol::envelope::{WIRE_BYTES_TARGET, open_downlink, seal_uplink};
use protocol::latest::{Credit, Downlink, Heartbeat, Hello, Mark, Uplink, VERSION};
use protocol::proof::StoreKeys;
use protocol::topic::{self, UplinkKind};
use rumqttc::v5::mqttbytes::QoS;
use sync_core::store::{Confirmed, Effect, Loss, Refusal, SendFailure, Sent, StoreSync};
use sync_core::{Instant, StoreLimits};

use super::outbox::History;
use super::socket::{Incoming, Socket};

/// Where the centre is.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its MQTT address.
    pub mqtt: SocketAddr,
    /// When the run began; the monotonic clock of every store counts from there.
    pub started: Clock,
}

/// Somebody who counts what a store does.
pub trait Watch<H> {
    /// A connection stands.
    fn connected(&mut self) {}

    /// A connection that stood is gone.
    fn lost(&mut self) {}

    /// A connection could not be made although the line is up.
    fn turned_away(&mut self) {}

    /// A batch of so many events and bytes left.
    fn sent(&mut self, _events: u64, _bytes: u64) {}

    /// The centre confirmed what lies behind `before` up to the history's watermark.
    fn confirmed(&mut self, _history: &H, _before: Seq) {}

    /// The centre parked so many events of a batch.
    fn parked(&mut self, _events: u64) {}

    /// The centre refused a message for overload.
    fn refused(&mut self) {}

    /// The centre granted credit.
    fn credited(&mut self, _credit: Credit) {}
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

impl<H: History> Watch<H> for Arc<Progress> {
    fn connected(&mut self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    fn sent(&mut self, _events: u64, bytes: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.batch_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn confirmed(&mut self, history: &H, before: Seq) {
        self.confirmed_events.fetch_add(history.acked().since(before), Ordering::Relaxed);
    }

    fn refused(&mut self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// One store of a load.
#[derive(Debug)]
pub struct LoadStore<H, W> {
    store: StoreId,
    secret: String,
    /// What proves messages, for a store that proves its own and asks the same of the centre.
    proofs: Option<StoreKeys>,
    pub(super) history: H,
    pub(super) sync: StoreSync,
    target: Target,
    pub(super) watch: W,
    pub(super) socket: Option<Socket>,
    /// Without a line no connection comes about.
    pub(super) line_is_up: bool,
    /// How often each batch is sent at once; a store that floods sends more than one.
    pub(super) copies: u32,
}

impl<H: History, W: Watch<H>> LoadStore<H, W> {
    /// Prepares a store with its history.
    pub fn new(
        store: StoreId,
        secret: String,
        history: H,
        limits: StoreLimits,
        target: Target,
        seed: u64,
        watch: W,
    ) -> Self {
        Self::starting(store, secret, history, limits, target, seed, watch, Instant::from_ms(0))
    }

    /// Has it log in and prove its messages as a store does that enrolled at a centre which knows proofs.
    #[must_use]
    pub fn proving(mut self) -> Self {
        let keys = StoreKeys::of_secret(self.secret.as_bytes());
        self.secret = keys.password();
        self.proofs = Some(keys);
        self
    }

    /// The same, with its first try at a moment.
    #[expect(clippy::too_many_arguments, reason = "each is a part of its own; a struct would only repeat the fields")]
    pub(super) fn starting(
        store: StoreId,
        secret: String,
        history: H,
        limits: StoreLimits,
        target: Target,
        seed: u64,
        watch: W,
        first_try: Instant,
    ) -> Self {
        let sync = StoreSync::new(&[history.report()], limits, seed, first_try);
        Self { store, secret, proofs: None, history, sync, target, watch, socket: None, line_is_up: true, copies: 1 }
    }

    /// Runs until every event of the history is confirmed. Returns the history.
    pub async fn drain(mut self) -> H {
        loop {
            self.perform().await;
            if self.history.acked() == self.history.head() {
                return self.history;
            }
            self.wait(None).await;
        }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.target.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits for the next message or deadline of the machine, or until a moment.
    pub(super) async fn wait(&mut self, until: Option<Instant>) {
        let due = self.sync.poll_timeout().map(|(at, _)| at);
        let until = [due, until].into_iter().flatten().min();
        let until = until.map(|at| self.target.started + Duration::from_millis(at.ms()));
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
                let is_believed = self.proofs.as_ref().is_none_or(|keys| keys.downlink.is_proven(&bytes));
                if is_believed && let Ok((_, message)) = open_downlink(&bytes) {
                    self.look_at(&message);
                    self.sync.handle_downlink(message, now);
                }
            }
            Some(Ok(Incoming::Refused)) => {
                self.watch.refused();
                self.sync.handle_refused(Refusal::Overloaded, now);
            }
            Some(Err(_)) => self.lose(now),
        }
    }

    fn look_at(&mut self, message: &Downlink) {
        match message {
            Downlink::Welcome(welcome) => self.watch.credited(welcome.credit),
            Downlink::Ack(ack) => {
                self.watch.credited(ack.credit);
                self.watch.parked(ack.parked.len() as u64);
            }
            Downlink::Turn(turn) => self.watch.credited(turn.credit),
            // What was sold here is made up as it is sent, and nothing of it is held to be compared.
            Downlink::Pulse(_) | Downlink::Compare(_) | Downlink::Recall(_) => {}
        }
    }

    /// Drops the connection.
    pub(super) fn lose(&mut self, now: Instant) {
        self.drop_socket();
        self.sync.handle_connection_lost(Loss::Network, now);
    }

    fn drop_socket(&mut self) {
        if self.socket.take().is_some() {
            self.watch.lost();
        }
    }

    /// Does all that the machine asks for.
    pub(super) async fn perform(&mut self) {
        while let Some(effect) = self.sync.poll_effect() {
            match effect {
                Effect::Connect => self.connect().await,
                Effect::Disconnect => self.drop_socket(),
                Effect::SayHello { session, .. } => {
                    let epochs = vec![self.history.report()];
                    let health = self.history.health(utc_ms());
                    let hello = Hello { session, version: VERSION, epochs, health };
                    self.send(UplinkKind::Hello, &Uplink::Hello(hello), QoS::AtLeastOnce).await;
                }
                Effect::SendHeartbeat => {
                    let heartbeat = Heartbeat { health: self.history.health(utc_ms()) };
                    self.send(UplinkKind::Heartbeat, &Uplink::Heartbeat(heartbeat), QoS::AtMostOnce).await;
                    if let Some(socket) = &mut self.socket {
                        // A failure shows at the next read.
                        let _ = socket.ping().await;
                    }
                }
                Effect::SendBatch { from, events_max, .. } => self.send_batch(from, events_max).await,
                Effect::Confirm { epoch, mark } => {
                    let before = self.history.acked();
                    let agreed = self.history.confirm(mark);
                    self.watch.confirmed(&self.history, before);
                    let confirmed = if agreed { Confirmed::Agreed } else { Confirmed::Differs };
                    self.sync.handle_confirmed(epoch, mark, confirmed, self.now());
                }
                Effect::Rewind { to, .. } => self.history.rewind(to),
                // What was sold here is made up as it is sent, and nothing of it is held to be compared.
                Effect::SendDigests { .. } | Effect::SendAgain(_) => {}
                Effect::RaiseReceipts(_) | Effect::OpenEpoch | Effect::Notify(_) => {}
            }
        }
    }

    async fn connect(&mut self) {
        if !self.line_is_up {
            self.lose(self.now());
            return;
        }
        let downlink = topic::downlink(&self.store);
        match Socket::open(self.target.mqtt, self.store.as_str(), &self.secret, &downlink).await {
            Ok(socket) => {
                self.watch.connected();
                self.socket = Some(socket);
                self.sync.handle_connected(self.now());
            }
            Err(_) => {
                self.watch.turned_away();
                self.lose(self.now());
            }
        }
    }

    async fn send_batch(&mut self, from: Seq, events_max: u32) {
        let events_max = usize::try_from(events_max).unwrap_or(usize::MAX);
        let Some(mut batch) = self.history.batch(from, events_max) else {
            self.sync.handle_send_failed(SendFailure::NothingThere, self.now());
            return;
        };
        let mut is_cut = false;
        let (mut message, batch) = loop {
            let uplink = Uplink::Batch(batch);
            let sealed = seal_uplink(&self.store, &uplink);
            let Uplink::Batch(sent) = uplink else { return };
            let Ok(sealed) = sealed else {
                self.sync.handle_send_failed(SendFailure::Later, self.now());
                return;
            };
            let events = sent.events.len();
            if sealed.len() <= WIRE_BYTES_TARGET || events == 1 {
                break (sealed, sent);
            }
            batch = sent;
            batch.events.truncate((events * WIRE_BYTES_TARGET / sealed.len() * 9 / 10).max(1));
            is_cut = true;
        };
        let last = batch.last_seq();
        if is_cut {
            let hash = batch.events.iter().fold(batch.prev_hash, |hash, event| hash.then(event));
            self.history.note_end(Mark { seq: last, hash });
        }
        let hash = self.history.hash_at(last).expect("the history holds what it just gave");
        self.prove(&mut message);
        self.watch.sent(batch.events.len() as u64, message.len() as u64);
        let sent = Sent { epoch: batch.epoch, first: from, through: Mark { seq: last, hash } };
        drop(batch);
        self.sync.handle_sent(sent, self.now());
        let topic = topic::uplink(&self.store, UplinkKind::Batch);
        for _ in 1..self.copies {
            let Some(socket) = &mut self.socket else { return };
            if socket.publish(&topic, QoS::AtLeastOnce, message.clone()).await.is_err() {
                self.lose(self.now());
                return;
            }
        }
        let Some(socket) = &mut self.socket else { return };
        if socket.publish(&topic, QoS::AtLeastOnce, message).await.is_err() {
            self.lose(self.now());
        }
    }

    fn prove(&self, message: &mut Vec<u8>) {
        if let Some(keys) = &self.proofs {
            keys.uplink.prove(message);
        }
    }

    async fn send(&mut self, kind: UplinkKind, message: &Uplink, qos: QoS) {
        let Ok(mut sealed) = seal_uplink(&self.store, message) else { return };
        self.prove(&mut sealed);
        let Some(socket) = &mut self.socket else { return };
        if socket.publish(&topic::uplink(&self.store, kind), qos, sealed).await.is_err() {
            self.lose(self.now());
        }
    }
}

/// The true time, in milliseconds since 1970 (UTC).
pub(super) fn utc_ms() -> i64 {
    let utc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(utc.as_millis()).unwrap_or(i64::MAX)
}
