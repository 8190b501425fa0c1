//! The whole service in this process, a store that speaks MQTT to it, and a few lines of HTTP.

#![allow(dead_code, unreachable_pub, clippy::panic, reason = "each test binary uses its part, and tests may panic")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pos_model::StoreId;
use protocol::envelope::{open_downlink, seal_uplink};
use protocol::latest::{Ack, Downlink, Uplink, Welcome};
use protocol::topic::{self, UplinkKind};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use sync_server::claim;
use sync_server::config::{Config, Flags, layer, ledger_path};
use sync_server::ingest::utc_ms;
use sync_server::ledger::{Claim, CodeHash, Registry, SqliteReader};
use sync_server::run::{Addresses, RunError, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes on a busy machine; reached only by a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running service.
pub struct Centre {
    pub addresses: Addresses,
    data_dir: std::path::PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Centre {
    pub async fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, "").await
    }

    /// Starts it on free ports, with lines of a configuration file.
    pub async fn start_with(data_dir: &Path, file: &str) -> Self {
        let flags = Flags {
            data_dir: Some(data_dir.to_owned()),
            http: Some("127.0.0.1:0".into()),
            mqtt: Some("127.0.0.1:0".into()),
            log: None,
        };
        let file = format!("{file}\n[enrolment]\nclaim_code_lifetime = \"1h\"");
        let layered =
            layer(Some((Path::new("test.toml"), file)), &std::collections::BTreeMap::new(), &flags).expect("sound");
        assert_eq!(layered.warnings, [""; 0]);
        let config = Config::check(layered).expect("valid");
        let service = Service::start(config).await.expect("starts");
        let addresses = service.addresses();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(service.run(async {
            let _ = stopped.await;
        }));
        Self { addresses, data_dir: data_dir.to_owned(), stop, task }
    }

    pub async fn stop(self) {
        drop(self.stop);
        timeout(DEADLINE, self.task).await.expect("stops in time").expect("without a panic").expect("without an error");
    }

    /// Where stores connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.addresses.mqtt.expect("it listens")
    }

    /// The ledger's registry, as another process opens it.
    pub fn registry(&self) -> SqliteReader {
        SqliteReader::open_registry(&ledger_path(&self.data_dir)).expect("opens")
    }

    /// The ledger's file, as somebody with a tool of SQLite opens it.
    pub fn sqlite(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(ledger_path(&self.data_dir)).expect("opens");
        connection.busy_timeout(DEADLINE).expect("set");
        connection
    }

    pub fn add_store(&self, store: &str) -> String {
        self.add_store_until(store, utc_ms() + 60_000)
    }

    pub fn add_store_until(&self, store: &str, expires_at_ms: i64) -> String {
        let code = claim::new_code().expect("random");
        let hash = CodeHash::of(claim::normalize(&code).as_bytes());
        let claim = Claim { code: hash, expires_at_ms };
        self.registry().add_store(&store_id(store), None, claim, utc_ms()).expect("writable");
        code
    }

    pub async fn enroll(&self, store: &str) -> String {
        let code = self.add_store(store);
        let (status, answer) = self.try_enroll(store, &code).await;
        assert_eq!((status, &answer["store_id"]), (200, &json!(store)), "{answer}");
        answer["secret"].as_str().expect("text").to_owned()
    }

    pub async fn try_enroll(&self, store: &str, code: &str) -> (u16, Value) {
        let body = json!({ "store_id": store, "claim_code": code }).to_string();
        let answer = request(self.addresses.http, "POST", "/api/v1/enroll", &[], &body).await;
        (answer.status, answer.json())
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.try_get(path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    pub async fn try_get(&self, path: &str, headers: &[&str]) -> Answer {
        request(self.addresses.http, "GET", path, headers, "").await
    }

    /// A store that has enrolled and logged in.
    pub async fn store(&self, store: &str) -> Store {
        let secret = self.enroll(store).await;
        Store::connect(self.mqtt(), store, &secret).await.expect("let in")
    }
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| Value::String(self.body.clone()))
    }
}

pub async fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("connects");
    request_on(stream, method, path, headers, body).await
}

pub async fn request_on(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(body.as_bytes()).await.expect("written");
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// A store's end of the connection.
pub struct Store {
    id: StoreId,
    client: AsyncClient,
    events: EventLoop,
}

/// What the server answered to a publish.
#[derive(Debug)]
pub struct Answered {
    pub puback: PubAckReason,
    pub message: Option<Downlink>,
}

impl Store {
    pub async fn connect(mqtt: SocketAddr, id: &str, secret: &str) -> Result<Self, ConnectionError> {
        let mut options = MqttOptions::new(format!("agent-{id}"), "127.0.0.1", mqtt.port());
        options.set_credentials(id, secret).set_keep_alive(Duration::from_secs(30)).set_max_packet_size(Some(131_072));
        let (client, mut events) = AsyncClient::new(options, 16);
        client.try_subscribe(topic::downlink(&store_id(id)), QoS::AtLeastOnce).expect("room");
        loop {
            let event = timeout(DEADLINE, events.poll()).await.expect("in time")?;
            if matches!(event, Event::Incoming(Packet::SubAck(_))) {
                return Ok(Self { id: store_id(id), client, events });
            }
        }
    }

    /// Publishes bytes and waits for PUBACK, and for the message behind it if it is a success.
    pub async fn publish(&mut self, kind: UplinkKind, bytes: Vec<u8>) -> Answered {
        self.client.try_publish(topic::uplink(&self.id, kind), QoS::AtLeastOnce, false, bytes).expect("room");
        let mut puback = None;
        loop {
            match timeout(DEADLINE, self.events.poll()).await.expect("in time").expect("the connection holds") {
                Event::Incoming(Packet::PubAck(answer)) if answer.reason == PubAckReason::Success => {
                    puback = Some(answer.reason);
                }
                Event::Incoming(Packet::PubAck(answer)) => return Answered { puback: answer.reason, message: None },
                Event::Incoming(Packet::Publish(publish)) => {
                    let (store, message) = open_downlink(&publish.payload).expect("readable");
                    assert_eq!(store, self.id);
                    // It comes by itself behind a welcome, and asks for nothing at once.
                    if matches!(message, Downlink::Compare(_)) {
                        continue;
                    }
                    let puback = puback.expect("the message follows the PUBACK");
                    return Answered { puback, message: Some(message) };
                }
                _ => {}
            }
        }
    }

    /// Publishes bytes and waits for PUBACK alone.
    pub async fn publish_unanswered(&mut self, kind: UplinkKind, bytes: Vec<u8>) -> PubAckReason {
        self.client.try_publish(topic::uplink(&self.id, kind), QoS::AtLeastOnce, false, bytes).expect("room");
        loop {
            let event = timeout(DEADLINE, self.events.poll()).await.expect("in time").expect("the connection holds");
            if let Event::Incoming(Packet::PubAck(answer)) = event {
                return answer.reason;
            }
        }
    }

    pub async fn say(&mut self, message: &Uplink) -> Answered {
        let kind = match message {
            Uplink::Hello(_) => UplinkKind::Hello,
            Uplink::Batch(_) => UplinkKind::Batch,
            Uplink::Heartbeat(_) => UplinkKind::Heartbeat,
            Uplink::Digests(_) => UplinkKind::Digests,
            Uplink::Recalled(_) => UplinkKind::Recalled,
        };
        let bytes = seal_uplink(&self.id, message).expect("seals");
        self.publish(kind, bytes).await
    }

    #[track_caller]
    pub fn send(&mut self, message: &Uplink) -> impl Future<Output = Ack> {
        let said = self.say(message);
        async move {
            match said.await {
                Answered { message: Some(Downlink::Ack(ack)), .. } => ack,
                other => panic!("no ack but {other:?}"),
            }
        }
    }

    pub async fn ask(&mut self, message: &Uplink) -> Welcome {
        match self.say(message).await {
            Answered { message: Some(Downlink::Welcome(welcome)), .. } => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Waits until the server ends the connection.
    pub async fn until_cut(mut self) {
        let cut = timeout(DEADLINE, async { while self.events.poll().await.is_ok() {} });
        cut.await.expect("in time");
    }
}

/// Asks until an answer is as it should be.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub fn store_id(id: &str) -> StoreId {
    StoreId::new(id).expect("valid")
}
