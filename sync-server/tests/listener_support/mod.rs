//! A listener on a free port, and a client that sends exactly the bytes it is told to.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqtt_protocol_core::mqtt::packet::v5_0::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{Property, Qos, SubEntry, SubOpts};
use pos_model::StoreId;
use sync_server::mqtt::{
    Authenticator, Downlink, DownlinkQos, Limits, Listener, ListenerConfig, ListenerStats, LoginRefused, Router, Trust,
    Uplinked, Verified,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes on a busy machine; reached only by a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Every store's secret is `secret-` and its id; `revoked` is revoked.
struct Secrets;

impl Authenticator for Secrets {
    fn verify(&self, username: &str, password: &[u8]) -> Result<Verified, LoginRefused> {
        if username == "revoked" {
            return Err(LoginRefused::Revoked);
        }
        let store = StoreId::new(username).map_err(|_| LoginRefused::BadUserNameOrPassword)?;
        if password == format!("secret-{username}").as_bytes() {
            Ok(Verified { store, trust: Trust::Login })
        } else {
            Err(LoginRefused::BadUserNameOrPassword)
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub router: Router,
    pub stats: Arc<ListenerStats>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// A server and the service's end of its ingress, which holds `ingress` messages.
    pub async fn start(
        limits: Limits,
        tls: Option<Arc<rustls::ServerConfig>>,
        ingress: usize,
    ) -> (Self, mpsc::Receiver<Uplinked>) {
        let (sender, receiver) = mpsc::channel(ingress);
        let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), tls, limits };
        let listener = Listener::bind(config, Arc::new(Secrets), sender).await.expect("a free port");
        let (address, router, stats) = (listener.local_addr(), listener.router(), listener.stats());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(listener.run(async {
            let _ = stopped.await;
        }));
        (Self { address, router, stats, stop, task }, receiver)
    }

    /// A server whose service accepts everything and repeats it on the store's own topic.
    pub async fn start_echo(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let (server, mut receiver) = Self::start(limits, tls, 1000).await;
        tokio::spawn(async move {
            while let Some(Uplinked { store, payload, receipt, .. }) = receiver.recv().await {
                let topic = protocol::topic::downlink(&store);
                receipt.accept_with(Downlink { topic: &topic, payload: &payload, qos: DownlinkQos::AtLeastOnce });
            }
        });
        server
    }

    pub async fn stop(self) {
        drop(self.stop);
        timeout(DEADLINE, self.task).await.expect("stops in time").expect("without a panic");
    }
}

pub fn store(id: &str) -> StoreId {
    StoreId::new(id).expect("valid")
}

pub fn uplink(id: &str, kind: &str) -> String {
    format!("bw1/u/{:02}/{id}/{kind}", store(id).partition())
}

/// Waits until something is so.
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < DEADLINE, "not in time: {what}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

pub struct Raw {
    stream: TcpStream,
    read: BytesMut,
}

impl Raw {
    pub async fn dial(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.expect("connects");
        // Else a publish right behind a PUBACK waits for the server's TCP to acknowledge that one.
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, read: BytesMut::new() }
    }

    /// Connects, logs in and checks that it worked.
    pub async fn login(server: &Server, id: &str, client_id: &str) -> Self {
        Self::login_with(server, id, client_id, 60, Vec::new()).await
    }

    pub async fn login_with(server: &Server, id: &str, client_id: &str, alive: u16, more: Vec<Property>) -> Self {
        let mut raw = Self::dial(server).await;
        raw.send(&connect(id, &format!("secret-{id}"), client_id, alive, more)).await;
        let connack = raw.packet().await.expect("a CONNACK");
        assert_eq!((connack[0], connack[3]), (0x20, 0x00), "{connack:02x?}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server is there");
    }

    /// Sends to a server that may have closed already.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next packet, or `None` when the server has closed.
    pub async fn packet(&mut self) -> Option<Vec<u8>> {
        timeout(DEADLINE, async {
            loop {
                if let Some(length) = packet_length(&self.read) {
                    return Some(self.read.split_to(length).to_vec());
                }
                match self.stream.read_buf(&mut self.read).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("a packet or the end in time")
    }

    pub async fn publish(&mut self, id: &str, packet_id: u16, payload: &[u8]) {
        self.send(&publish(&uplink(id, "batch"), packet_id, payload)).await;
    }

    /// Subscribes to the store's own topic and a group.
    pub async fn subscribe(&mut self, id: &str) {
        self.send(&subscribe(&[&format!("bw1/d/{id}"), "bw1/b/all"])).await;
        assert_eq!(self.packet().await.expect("a SUBACK"), [0x90, 5, 0, 9, 0, 1, 1]);
    }

    /// Publishes and waits for the answer: the session is alive.
    pub async fn ping(&mut self) {
        self.send(&[0xC0, 0]).await;
        assert_eq!(self.packet().await.expect("a PINGRESP"), [0xD0, 0]);
    }
}

fn packet_length(bytes: &BytesMut) -> Option<usize> {
    let mut rest = bytes.clone().freeze();
    let mut length = 0;
    for index in 0..4 {
        let byte = *rest.get(1 + index)?;
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            rest.advance(2 + index);
            return (rest.len() >= length).then_some(2 + index + length);
        }
    }
    None
}

pub fn connect(id: &str, password: &str, client_id: &str, keep_alive: u16, properties: Vec<Property>) -> Vec<u8> {
    let builder = Connect::builder().client_id(client_id).expect("valid").keep_alive(keep_alive).clean_start(true);
    let builder = builder.user_name(id).expect("valid").password(password).expect("valid").props(properties);
    builder.build().expect("valid").to_continuous_buffer()
}

pub fn publish(topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let builder = Publish::builder().topic_name(topic).expect("valid").qos(Qos::AtLeastOnce).packet_id(packet_id);
    builder.payload(payload).build().expect("valid").to_continuous_buffer()
}

pub fn publish_qos0(topic: &str, payload: &[u8]) -> Vec<u8> {
    let builder = Publish::builder().topic_name(topic).expect("valid").qos(Qos::AtMostOnce);
    builder.payload(payload).build().expect("valid").to_continuous_buffer()
}

pub fn subscribe(filters: &[&str]) -> Vec<u8> {
    let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
    let entries: Vec<_> = filters.iter().map(|filter| SubEntry::new(*filter, options).expect("valid")).collect();
    Subscribe::builder().packet_id(9).entries(entries).build().expect("valid").to_continuous_buffer()
}

/// A PUBACK: the short form for success, else with its reason and no properties.
pub fn puback(packet_id: u8, code: u8) -> Vec<u8> {
    if code == 0 { vec![0x40, 2, 0, packet_id] } else { vec![0x40, 3, 0, packet_id, code] }
}
