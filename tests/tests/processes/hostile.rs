//! What a network full of strangers and broken clients does to the server: each thing is refused and counted, and the store
//! beside it goes on selling.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agent::identity::Identity;
use anyhow::ensure;
use pos_model::{Epoch, Seq, Stamp, StoreId};
use protocol::envelope::{WIRE_BYTES_MAX, seal_uplink};
use protocol::latest::{Hello, StoreHealth, Uplink, VERSION};
use protocol::topic::{UplinkKind, uplink};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use sync_core::Random;

use super::counter::command;
use super::mqtt::{Client, identity, login_packet};
use super::site::{Centre, PATIENCE, Site, StoreApi, on_processes, seed, until};

/// Longer than the server gives a client to log in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// More connects than the server takes from one address at a time.
const FLOOD: usize = 1_500;

/// From another address of this machine, so that the flood's allowance is its own.
const FLOOD_ADDRESS: [u8; 4] = [127, 0, 0, 77];

const HOME: [u8; 4] = [127, 0, 0, 1];

/// How long a sale of the store beside may take to the centre while all this goes on.
const ARRIVAL: Duration = Duration::from_secs(5);

struct Scene {
    server: SocketAddr,
    centre: Centre,
    healthy: StoreApi,
    /// Two stores whose logins the attacker has.
    a: Identity,
    b: Identity,
    seed: u64,
    sold: u64,
    slowest: Duration,
}

impl Scene {
    /// Does something; then the counter has grown by as much, and the healthy store has sold meanwhile.
    async fn check(
        &mut self,
        what: &str,
        counter: &str,
        by: u64,
        attack: impl AsyncFnOnce(&Scene) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let counter = format!("breakwater_{counter}");
        let before = self.centre.metrics().await?.counter(&counter)?;
        attack(self).await.map_err(|error| error.context(what.to_owned()))?;
        until(&format!("{what} is counted in {counter}"), PATIENCE, async || {
            let counted = self.centre.metrics().await?.counter(&counter)? - before;
            ensure!(counted >= by, "{counted} counted");
            ensure!(by > 1 || counted == 1, "{what} is counted {counted} times");
            Ok(())
        })
        .await?;
        let asked = Instant::now();
        self.healthy.sell(&command(self.seed, "T1", self.sold)).await?;
        self.sold += 1;
        self.centre.has_applied("HEALTHY", self.sold).await?;
        let took = asked.elapsed();
        ensure!(took < ARRIVAL, "{what}: the store beside waited {took:?}");
        self.slowest = self.slowest.max(took);
        Ok(())
    }

    /// A's message, as it should be.
    fn hello(&self, named: &StoreId) -> anyhow::Result<Vec<u8>> {
        Ok(seal_uplink(named, &Uplink::Hello(empty_hello(7)))?)
    }

    fn topic(&self, store: &StoreId) -> String {
        uplink(store, UplinkKind::Hello)
    }

    /// Publishes as A; the PUBACK must have the reason.
    async fn publish_as_a(&self, topic: &str, payload: Vec<u8>, expected: PubAckReason) -> anyhow::Result<()> {
        let mut client = Client::log_in(self.server, &self.a, 60).await?;
        let reason = client.publish(topic, payload).await?;
        ensure!(reason == Some(expected), "the PUBACK says {reason:?} and not {expected:?}");
        Ok(())
    }

    /// Logs in, which must be refused.
    async fn is_refused(&self, store: &str, secret: &str) -> anyhow::Result<()> {
        let (_, code) = Client::connect(self.server, &login_packet(store, secret, "test", 60)?).await?;
        ensure!(code == ConnectReturnCode::BadUserNamePassword, "the login was answered by {code:?}");
        Ok(())
    }

    /// Sends bytes on a fresh connection, which must be closed.
    async fn send_raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut client = Client::open(self.server, HOME).await?;
        // The server may close before all is written.
        let _ = client.send(bytes).await;
        client.is_closed(CONNECT_TIMEOUT).await
    }
}

/// A hello of a store that holds nothing.
pub(super) fn empty_hello(session: u64) -> Hello {
    let health = StoreHealth {
        clock: Stamp { utc_ms: 1_714_521_600_000, offset_s: 0 },
        agent_version: "test".to_owned(),
        epoch: Epoch::new(1),
        head: Seq::ZERO,
        outbox_events: 0,
        outbox_oldest_ms: None,
        disk_free_bytes: None,
        receipts: Vec::new(),
    };
    Hello { session, version: VERSION, epochs: Vec::new(), health }
}

#[test]
fn hostile_network() {
    on_processes("hostile", async |folder| {
        let seed = seed();
        let mut random = Random::new(seed);
        let site = Site::start(folder)?;
        let (agent, mut a, mut b) =
            (site.store(folder, "HEALTHY")?, site.store(folder, "STORE-A")?, site.store(folder, "STORE-B")?);
        let healthy = site.at(&agent);
        healthy.is_drained().await?;
        for agent in [&mut a, &mut b] {
            site.at(agent).is_drained().await?;
            agent.stop()?;
        }
        let mut scene = Scene {
            server: site.server.addresses().mqtt,
            centre: site.centre(),
            healthy,
            a: identity(&a)?,
            b: identity(&b)?,
            seed,
            sold: 0,
            slowest: Duration::ZERO,
        };
        let logins = scene.centre.metrics().await?.counter("breakwater_mqtt_logins_total")?;

        logins_and_strangers(&mut scene, &mut random).await?;
        messages(&mut scene).await?;
        silence_and_flood(&mut scene).await?;

        eprintln!("the slowest sale of the store beside took {:?} to the centre", scene.slowest);
        let metrics = scene.centre.metrics().await?;
        ensure!(metrics.counter("breakwater_mqtt_panics_total")? == 0, "a connection panicked: {metrics:?}");
        // Nobody got in but with a store's own secret, and the healthy store's connection was never lost: every login
        // since the beginning was one of the attacker's.
        let since = metrics.counter("breakwater_mqtt_logins_total")? - logins;
        ensure!(since == ATTACKERS_LOGINS, "{since} logins, and the attacker made {ATTACKERS_LOGINS}");
        for store in ["STORE-A", "STORE-B", "HEALTHY"] {
            let alerts = scene.centre.alerts(store).await?;
            ensure!(!alerts.iter().any(|alert| alert == "parked" || alert == "fork"), "{store}: {alerts:?}");
        }
        ensure!(site.server.pid().is_some(), "the server runs");
        Ok(())
    });
}

/// Logins with a right secret in this test: see `messages` and `silence_and_flood`.
const ATTACKERS_LOGINS: u64 = 10;

async fn logins_and_strangers(scene: &mut Scene, random: &mut Random) -> anyhow::Result<()> {
    const BROKEN: &str = "mqtt_protocol_errors_total";
    let garbage: Vec<u8> = (0..512).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    // A first byte that may begin a packet would make the rest a matter of luck.
    let garbage = [&[0xFF], &garbage[..]].concat();
    scene.check("random bytes", BROKEN, 1, async |scene| scene.send_raw(&garbage).await).await?;
    let http = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    scene.check("a browser", BROKEN, 1, async |scene| scene.send_raw(http).await).await?;
    // A CONNECT that says it is endless.
    let endless = [0x10, 0xFF, 0xFF, 0xFF, 0x7F];
    scene
        .check("a login of 256 MB", "mqtt_oversize_packets_total", 1, async |scene| scene.send_raw(&endless).await)
        .await?;
    let older = b"\x10\x13\x00\x04MQTT\x04\x02\x00\x3C\x00\x07hostile";
    scene
        .check("MQTT 3.1.1", "mqtt_refused_version_logins_total", 1, async |scene| scene.send_raw(older).await)
        .await?;
    scene
        .check("a login cut off in its middle", "mqtt_connect_timeouts_total", 1, async |scene| {
            let whole = login_packet(scene.a.store_id.as_str(), &scene.a.secret, "test", 60)?;
            scene.send_raw(&whole[..whole.len() / 2]).await
        })
        .await?;
    let refused = "mqtt_refused_password_logins_total";
    scene
        .check("a wrong password", refused, 1, async |scene| scene.is_refused(scene.a.store_id.as_str(), "wrong").await)
        .await?;
    scene
        .check("another store's password", refused, 1, async |scene| {
            scene.is_refused(scene.a.store_id.as_str(), &scene.b.secret).await
        })
        .await?;
    scene
        .check("a store that nobody knows", refused, 1, async |scene| scene.is_refused("NOBODY", &scene.b.secret).await)
        .await
}

/// Nine logins.
async fn messages(scene: &mut Scene) -> anyhow::Result<()> {
    const UNREADABLE: &str = "ingest_refused_messages_total{reason=\"unreadable\"}";
    const WRONG_STORE: &str = "ingest_refused_messages_total{reason=\"wrong_store\"}";
    const DENIED: &str = "mqtt_denied_topics_total";
    let (a, b) = (scene.a.store_id.clone(), scene.b.store_id.clone());
    let own = scene.topic(&a);
    let hello = scene.hello(&a)?;
    let invalid = PubAckReason::PayloadFormatInvalid;

    let cases = [
        ("nothing at all", Vec::new()),
        ("garbage in an envelope", b"\xB1\x00not a map of anything".to_vec()),
        ("a truncated message", hello[..hello.len() / 2].to_vec()),
        ("another version of the envelope", [&[0xB2], &hello[1..]].concat()),
        ("a damaged compression", [&[0xB1, 0x01], &hello[2..]].concat()),
        ("more than a message may have", vec![0xB1; WIRE_BYTES_MAX + 1]),
    ];
    for (what, payload) in cases {
        scene.check(what, UNREADABLE, 1, async |scene| scene.publish_as_a(&own, payload, invalid).await).await?;
    }
    let (topic, payload) = (scene.topic(&b), scene.hello(&b)?);
    let not_authorized = PubAckReason::NotAuthorized;
    scene
        .check("A on B's topic", DENIED, 1, async |scene| scene.publish_as_a(&topic, payload, not_authorized).await)
        .await?;
    let payload = scene.hello(&b)?;
    scene
        .check("B's name on A's topic", WRONG_STORE, 1, async |scene| {
            scene.publish_as_a(&own, payload, not_authorized).await
        })
        .await?;
    scene
        .check("a packet of a megabyte", "mqtt_oversize_packets_total", 1, async |scene| {
            let mut client = Client::log_in(scene.server, &scene.a, 60).await?;
            let answer = client.publish(&own, vec![0; 1024 * 1024]).await?;
            ensure!(answer.is_none(), "it was answered {answer:?}");
            Ok(())
        })
        .await
}

/// One login.
async fn silence_and_flood(scene: &mut Scene) -> anyhow::Result<()> {
    scene
        .check("a connection that says nothing", "mqtt_connect_timeouts_total", 1, async |scene| {
            Client::open(scene.server, HOME).await?.is_closed(CONNECT_TIMEOUT).await
        })
        .await?;
    scene
        .check("a login whose other end is gone", "mqtt_keep_alive_timeouts_total", 1, async |scene| {
            // Keep-alive of a second, and never another byte.
            Client::log_in(scene.server, &scene.a, 1).await?.is_closed(CONNECT_TIMEOUT).await
        })
        .await?;
    scene
        .check("a flood of connects", "mqtt_refused_rate_connections_total", 500, async |scene| {
            let mut open = Vec::new();
            for _ in 0..FLOOD {
                // Most are closed at once, some before the client knows that it is connected.
                open.extend(Client::open(scene.server, FLOOD_ADDRESS).await);
            }
            eprintln!("{} of {FLOOD} connects stood for a moment", open.len());
            Ok(())
        })
        .await
}
