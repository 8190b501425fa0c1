//! An MQTT 5 connection as thin as it can be: the library's packets on a socket.
//!
//! Ten thousand of them live in one process, so a quiet one holds no buffer: what was read whole is given back, and what
//! was written too.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectReturnCode, Filter, Login, Packet, PingReq, PubAck, Publish, Subscribe,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PACKET_BYTES_MAX: u32 = 128 * 1024;

/// How long a connection may take to stand, as in an agent.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one write may wait for a slow reader; then the connection is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for a packet's own fields beside its message.
const PACKET_HEAD_BYTES: usize = 128;

/// What is read at once, on the stack of whoever reads. Acks are a few hundred bytes.
const READ_BYTES: usize = 4 * 1024;

/// A connection that has connected and subscribed.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    read: BytesMut,
    write: BytesMut,
    next_packet_id: u16,
}

impl Socket {
    /// Connects, logs in and subscribes to the downlink topic.
    pub(super) async fn open(address: SocketAddr, store: &str, secret: &str, downlink: &str) -> anyhow::Result<Self> {
        let opening = Self::open_slowly(address, store, secret, downlink);
        tokio::time::timeout(OPEN_TIMEOUT, opening).await.context("connecting takes too long")?
    }

    async fn open_slowly(address: SocketAddr, store: &str, secret: &str, downlink: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let mut socket = Self { stream, read: BytesMut::new(), write: BytesMut::new(), next_packet_id: 1 };
        let connect =
            Connect { keep_alive: 60, client_id: format!("load-{store}"), clean_start: true, properties: None };
        let login = Login { username: store.to_owned(), password: secret.to_owned() };
        socket.send(&Packet::Connect(connect, None, Some(login))).await?;
        match socket.receive().await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {}
            other => bail!("the login was answered by {other:?}"),
        }
        let mut subscribe = Subscribe::new(Filter::new(downlink, QoS::AtLeastOnce), None);
        subscribe.pkid = 1;
        socket.send(&Packet::Subscribe(subscribe)).await?;
        match socket.receive().await? {
            Packet::SubAck(_) => Ok(socket),
            other => bail!("the subscription was answered by {other:?}"),
        }
    }

    /// Sends a message.
    pub(super) async fn publish(&mut self, topic: &str, qos: QoS, message: Vec<u8>) -> anyhow::Result<()> {
        self.write.reserve(message.len() + PACKET_HEAD_BYTES);
        let mut publish = Publish::new(topic, qos, message, None);
        if qos != QoS::AtMostOnce {
            publish.pkid = self.next_packet_id;
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        }
        self.send(&Packet::Publish(publish)).await
    }

    /// Keeps the connection alive.
    pub(super) async fn ping(&mut self) -> anyhow::Result<()> {
        self.send(&Packet::PingReq(PingReq)).await
    }

    /// Waits for the next message, or a refusal of one that was sent. Cancelling the wait loses nothing.
    pub(super) async fn next(&mut self) -> anyhow::Result<Incoming> {
        loop {
            match self.receive().await? {
                Packet::Publish(publish) => {
                    if publish.qos != QoS::AtMostOnce {
                        // Written into the buffer only: it leaves with the next packet, and nobody waits for it.
                        Packet::PubAck(PubAck::new(publish.pkid, None)).write(&mut self.write, None)?;
                    }
                    return Ok(Incoming::Message(publish.payload));
                }
                Packet::PubAck(ack) if ack.reason as u8 > 1 => return Ok(Incoming::Refused),
                Packet::Disconnect(disconnect) => bail!("disconnected: {:?}", disconnect.reason_code),
                _ => {}
            }
        }
    }

    async fn send(&mut self, packet: &Packet) -> anyhow::Result<()> {
        packet.write(&mut self.write, None).context("encode a packet")?;
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all_buf(&mut self.write)).await;
        self.write = BytesMut::new();
        written.context("writing takes too long")?.context("write")
    }

    async fn receive(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.read, Some(PACKET_BYTES_MAX)) {
                Ok(packet) => {
                    if self.read.is_empty() {
                        self.read = BytesMut::new();
                    }
                    return Ok(packet);
                }
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error).context("decode a packet"),
            }
            self.stream.readable().await.context("wait for bytes")?;
            let mut bytes = [0; READ_BYTES];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => bail!("the connection was closed"),
                Ok(length) => self.read.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("read"),
            }
        }
    }
}

/// What arrives.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message to the store.
    Message(Bytes),
    /// A message of the store was refused.
    Refused,
}
