//! An MQTT 5 client that can also misbehave: packets by rumqttc's codec or raw bytes, on a socket from any address of this
//! machine.

use std::net::SocketAddr;
use std::time::Duration;

use agent::identity::Identity;
use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use protocol::proof::StoreKeys;
use rumqttc::v5::mqttbytes::v5::{Connect, ConnectReturnCode, Login, Packet, PubAckReason, Publish};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tests::process::Agent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The identity that enrolment left in an agent's folder.
pub(super) fn identity(agent: &Agent) -> anyhow::Result<Identity> {
    Identity::load(&agent.data_dir())?.context("the agent is enrolled")
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    read: BytesMut,
}

impl Client {
    /// Opens a socket and says nothing.
    pub(super) async fn open(server: SocketAddr, from: [u8; 4]) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4().context("make a socket")?;
        socket.bind(SocketAddr::from((from, 0))).context("bind the socket")?;
        let stream = timeout(ANSWER_TIMEOUT, socket.connect(server)).await.context("connect in time")?;
        Ok(Self { stream: stream.context("connect")?, read: BytesMut::new() })
    }

    /// Opens a socket and logs in; returns how that was answered.
    pub(super) async fn connect(server: SocketAddr, login: &[u8]) -> anyhow::Result<(Self, ConnectReturnCode)> {
        let mut client = Self::open(server, [127, 0, 0, 1]).await?;
        client.send(login).await?;
        match client.receive().await? {
            Some(Packet::ConnAck(ack)) => Ok((client, ack.code)),
            other => bail!("the login was answered by {other:?}"),
        }
    }

    /// As [`Client::connect`], and it must succeed.
    pub(super) async fn log_in(server: SocketAddr, identity: &Identity, keep_alive: u16) -> anyhow::Result<Self> {
        let login = login_packet(identity.store_id.as_str(), &identity.secret, "test", keep_alive)?;
        let (client, code) = Self::connect(server, &login).await?;
        ensure!(code == ConnectReturnCode::Success, "the login was answered by {code:?}");
        Ok(client)
    }

    /// As [`Client::log_in`], under a name of its own: several such connections stand side by side.
    pub(super) async fn log_in_as(server: SocketAddr, identity: &Identity, client_id: &str) -> anyhow::Result<Self> {
        let login = login_packet(identity.store_id.as_str(), &identity.secret, client_id, 60)?;
        let (client, code) = Self::connect(server, &login).await?;
        ensure!(code == ConnectReturnCode::Success, "the login was answered by {code:?}");
        Ok(client)
    }

    /// Logs in as an agent does that proves its messages, at the listener or at a broker.
    pub(super) async fn log_in_proving(
        server: SocketAddr,
        identity: &Identity,
        client_id: &str,
    ) -> anyhow::Result<Self> {
        let password = StoreKeys::of_secret(identity.secret.as_bytes()).password();
        let login = login_packet(identity.store_id.as_str(), &password, client_id, 60)?;
        let (client, code) = Self::connect(server, &login).await?;
        ensure!(code == ConnectReturnCode::Success, "the login was answered by {code:?}");
        Ok(client)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await.context("write")
    }

    /// Publishes; returns the reason in the PUBACK, or none if the server ended the connection instead.
    pub(super) async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> anyhow::Result<Option<PubAckReason>> {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        publish.pkid = 1;
        // A server that ends the connection may do so while this is still being written.
        let _ = self.send(&encode(&Packet::Publish(publish))?).await;
        loop {
            match self.receive().await? {
                None | Some(Packet::Disconnect(_)) => return Ok(None),
                Some(Packet::PubAck(ack)) => return Ok(Some(ack.reason)),
                Some(_) => {}
            }
        }
    }

    /// Waits until the server has closed the connection.
    pub(super) async fn is_closed(&mut self, patience: Duration) -> anyhow::Result<()> {
        let closed = async {
            let mut buffer = [0; 1024];
            // A reset closes as well.
            while let Ok(1..) = self.stream.read(&mut buffer).await {}
        };
        timeout(patience, closed).await.context("the server keeps the connection open")
    }

    /// The next packet; none when the connection has ended.
    async fn receive(&mut self) -> anyhow::Result<Option<Packet>> {
        loop {
            match Packet::read(&mut self.read, None) {
                Ok(packet) => return Ok(Some(packet)),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(error).context("decode a packet"),
            }
            match timeout(ANSWER_TIMEOUT, self.stream.read_buf(&mut self.read)).await.context("wait for an answer")? {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    }
}

/// A CONNECT with a store's login.
pub(super) fn login_packet(store: &str, secret: &str, client_id: &str, keep_alive: u16) -> anyhow::Result<Vec<u8>> {
    let connect = Connect { keep_alive, client_id: client_id.to_owned(), clean_start: true, properties: None };
    let login = Login { username: store.to_owned(), password: secret.to_owned() };
    encode(&Packet::Connect(connect, None, Some(login)))
}

fn encode(packet: &Packet) -> anyhow::Result<Vec<u8>> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).context("encode a packet")?;
    Ok(bytes.to_vec())
}
