//! An MQTT 5 connection as thin as it can be: the library's packets on a socket.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectReturnCode, Filter, Login, Packet, PingReq, PubAck, Publish, Subscribe,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PACKET_BYTES_MAX: u32 = 128 * 1024;

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
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let (read, write) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
        let mut socket = Self { stream, read, write, next_packet_id: 1 };
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
        self.stream.write_all_buf(&mut self.write).await.context("write")
    }

    async fn receive(&mut self) -> anyhow::Result<Packet> {
        loop {
            match Packet::read(&mut self.read, Some(PACKET_BYTES_MAX)) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error).context("decode a packet"),
            }
            let length = self.stream.read_buf(&mut self.read).await.context("read")?;
            anyhow::ensure!(length > 0, "the connection was closed");
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
