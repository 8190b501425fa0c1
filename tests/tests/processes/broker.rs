//! A real Mosquitto, with the configuration that is shipped, between real agents and the real server. Whatever it loses,
//! doubles or forgets, both ends agree in the end, and each sale counts once.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use pos_model::StoreId;
use protocol::envelope::seal_uplink;
use protocol::latest::Uplink;
use protocol::latest::local_api::SaleReceipt;
use protocol::proof::StoreKeys;
use protocol::topic::{UplinkKind, uplink};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use sync_core::Random;
use tests::mosquitto::Mosquitto;
use tests::process::{Agent, Server};
use tokio::task::JoinHandle;

use super::chaos::draw;
use super::counter::{all_days, amount_minor};
use super::duplicates::piece;
use super::hostile::empty_hello;
use super::mqtt::{Client, identity, login_packet};
use super::site::{Centre, PATIENCE, STORE_CONFIG, Site, StoreApi, http_client, on_processes, seed, until};

/// A server that hears stores by a broker.
pub(super) struct Harbour {
    pub(super) site: Site,
    pub(super) mosquitto: Mosquitto,
}

impl Harbour {
    /// Starts both and waits until the server has subscribed. `settings` come beside those of the broker.
    pub(super) async fn start(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut mosquitto = Mosquitto::new(&folder.join("mosquitto"))?;
        let mut all = mosquitto.server_settings();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let site = Site::with(Server::start_with(&folder.join("server"), all)?, http_client()?);
        until("the server has written the logins", PATIENCE, async || {
            ensure!(mosquitto.passwords().is_file(), "there is no such file");
            Ok(())
        })
        .await?;
        mosquitto.start()?;
        let harbour = Self { site, mosquitto };
        harbour.is_heard().await?;
        Ok(harbour)
    }

    /// Waits until the server says that it hears the broker.
    pub(super) async fn is_heard(&self) -> anyhow::Result<()> {
        until("the server hears the broker", PATIENCE, async || {
            let ready = self.site.centre().get("/readyz").await?;
            ensure!(ready["broker"] == true, "it says {ready}");
            Ok(())
        })
        .await
    }

    /// A store that has enrolled, is sent to the broker by the centre, and is let in there.
    pub(super) async fn enroll(&self, folder: &Path, store_id: &str) -> anyhow::Result<Agent> {
        enroll(&self.site.server, &self.mosquitto, folder, store_id).await
    }

    /// Everything that was sold is at the centre, once, and nothing is odd.
    pub(super) async fn agrees(&self, agent: &Agent, store_id: &str, sold: &[SaleReceipt]) -> anyhow::Result<()> {
        let state = self.site.at(agent).is_drained().await?;
        let centre = self.site.centre();
        centre.has_applied(store_id, sold.len() as u64).await?;
        let held = all_days(&centre.totals(store_id).await?);
        let expected = (i64::try_from(sold.len())?, amount_minor(sold));
        ensure!((held.sales, held.amount_minor) == expected, "the centre has {held:?}, sold were {expected:?}");
        let (parked, alerts) = (centre.parked().await?, centre.alerts(store_id).await?);
        ensure!(parked.is_empty() && alerts.is_empty() && state.notices.is_empty(), "{parked:?} {alerts:?} {state:?}");
        Ok(())
    }
}

/// A store that has enrolled at a server, is sent to the broker by it, and is let in there.
pub(super) async fn enroll(
    server: &Server,
    mosquitto: &Mosquitto,
    folder: &Path,
    store_id: &str,
) -> anyhow::Result<Agent> {
    let agent = Agent::new(&folder.join(store_id), STORE_CONFIG);
    agent.enroll_as_told(server, store_id)?;
    let identity = identity(&agent)?;
    let told = format!("mqtt://{}", mosquitto.address());
    ensure!(identity.mqtt_url == told && identity.proofs, "the centre told it {identity:?}");
    until("the server has written the login", PATIENCE, async || {
        let logins = fs::read_to_string(mosquitto.passwords()).context("read the logins")?;
        let line = format!("{store_id}:$7$");
        ensure!(logins.lines().any(|login| login.starts_with(&line)), "{logins}");
        Ok(())
    })
    .await?;
    mosquitto.reload()?;
    until("the broker lets the store in", PATIENCE, async || {
        Client::log_in_proving(mosquitto.address(), &identity, "probe").await.map(drop)
    })
    .await?;
    Ok(agent)
}

/// Tills that sell without a pause, one at each store, until they are told to end.
pub(super) struct Selling {
    stop: Arc<AtomicBool>,
    tills: Vec<JoinHandle<anyhow::Result<Vec<SaleReceipt>>>>,
}

impl Selling {
    pub(super) fn begin(stores: impl IntoIterator<Item = (StoreApi, &'static str)>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sell = |(store, till): (StoreApi, _)| tokio::spawn(store.sell_until(seed, till, Arc::clone(&stop)));
        let tills = stores.into_iter().map(sell).collect();
        Self { stop, tills }
    }

    /// What each till sold.
    pub(super) async fn end(self) -> anyhow::Result<Vec<Vec<SaleReceipt>>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sold = Vec::new();
        for till in self.tills {
            sold.push(till.await.context("a till ended badly")??);
        }
        Ok(sold)
    }
}

async fn refused(centre: &Centre, reason: &str) -> anyhow::Result<u64> {
    let name = format!("breakwater_ingest_refused_messages_total{{reason=\"{reason}\"}}");
    centre.metrics().await?.counter(&name)
}

#[test]
fn a_store_syncs_by_a_broker_alone() {
    on_processes("broker", async |folder| {
        let mut harbour = Harbour::start(folder, &[("BREAKWATER_MQTT_ENABLED", "false")]).await?;
        let mut agent = harbour.enroll(folder, "HARBOUR").await?;
        agent.start()?;
        let sold = harbour.site.at(&agent).sell_all(seed(), "T1", 0..150).await?;
        harbour.agrees(&agent, "HARBOUR", &sold).await?;

        let centre = harbour.site.centre();
        let store = centre.get("/api/v1/stores/HARBOUR").await?;
        ensure!(store["connected"] == true, "a store that is heard by the broker is connected: {store}");
        let ready = centre.get("/readyz").await?;
        ensure!(ready["ready"] == true && ready["listener"].is_null(), "{ready}");
        let metrics = centre.metrics().await?;
        ensure!(metrics.counter("breakwater_broker_standing_connections")? == 4, "{metrics:?}");
        ensure!(metrics.counter("breakwater_broker_subscribed_partitions")? == 64, "{metrics:?}");

        // Without the broker there is no way in, and both ends say so.
        harbour.mosquitto.kill();
        until("the server misses the broker", PATIENCE, async || {
            let response = harbour.site.http.get(harbour.site.server.url("/readyz")).send().await?;
            ensure!(response.status() == 503, "it says {}", response.status());
            Ok(())
        })
        .await?;
        harbour.mosquitto.start()?;
        harbour.is_heard().await?;
        harbour.site.server.stop()?;
        agent.stop()
    });
}

#[test]
fn a_broker_that_forgets_everything_costs_nothing() {
    on_processes("broker-wiped", async |folder| {
        let seed = seed();
        let mut harbour = Harbour::start(folder, &[]).await?;
        let mut agent = harbour.enroll(folder, "HARBOUR").await?;
        agent.start()?;
        let store = harbour.site.at(&agent);
        let selling = Selling::begin(["T1", "T2"].map(|till| (store.clone(), till)), seed);
        let mut random = Random::new(seed);
        for _ in 0..5 {
            tokio::time::sleep(draw(&mut random, &(500..3_000))).await;
            harbour.mosquitto.kill();
            tokio::time::sleep(draw(&mut random, &(0..1_000))).await;
            harbour.mosquitto.start()?;
            harbour.is_heard().await?;
        }
        let sold = selling.end().await?.concat();
        eprintln!("{} sales were answered while the broker was started again and again", sold.len());
        harbour.agrees(&agent, "HARBOUR", &sold).await
    });
}

#[test]
fn a_server_killed_while_it_drains_applies_each_sale_once() {
    on_processes("broker-server-killed", async |folder| {
        let seed = seed();
        let mut harbour = Harbour::start(folder, &[("BREAKWATER_INGEST_BATCH_EVENTS_MAX", "20")]).await?;
        let mut agent = harbour.enroll(folder, "HARBOUR").await?;
        // The backlog of a store that was cut off.
        harbour.mosquitto.freeze()?;
        agent.start()?;
        let sold = harbour.site.at(&agent).sell_all(seed, "T1", 0..600).await?;
        harbour.mosquitto.thaw()?;
        let centre = harbour.site.centre();
        let mut random = Random::new(seed);
        for kill in 0..6 {
            let before = kill * 60;
            until("the drain goes on", PATIENCE, async || {
                let applied = centre.applied_sales("HARBOUR").await?;
                ensure!(applied > before, "{applied} sales are applied");
                Ok(())
            })
            .await?;
            tokio::time::sleep(draw(&mut random, &(0..50))).await;
            harbour.site.server.restart()?;
        }
        harbour.is_heard().await?;
        harbour.agrees(&agent, "HARBOUR", &sold).await
    });
}

#[test]
fn what_comes_twice_or_from_somebody_else_counts_for_nothing() {
    on_processes("broker-forged", async |folder| {
        let seed = seed();
        let harbour = Harbour::start(folder, &[]).await?;
        let mut agent = harbour.enroll(folder, "HARBOUR").await?;
        let lagoon = harbour.enroll(folder, "LAGOON").await?;
        harbour.mosquitto.freeze()?;
        agent.start()?;
        let sold = harbour.site.at(&agent).sell_all(seed, "T1", 0..60).await?;
        agent.stop()?;
        harbour.mosquitto.thaw()?;
        let (broker, centre) = (harbour.mosquitto.address(), harbour.site.centre());
        let (store, other) = (identity(&agent)?, identity(&lagoon)?);
        let keys = StoreKeys::of_secret(store.secret.as_bytes());
        let topic = uplink(&store.store_id, UplinkKind::Batch);
        let mut client = Client::log_in_proving(broker, &store, "forger").await?;

        // Without the proof, and with one of another store: nothing is applied.
        let whole = piece(&agent, &store, 1, 100)?;
        let mut by_other = whole.clone();
        StoreKeys::of_secret(other.secret.as_bytes()).uplink.prove(&mut by_other);
        for (forged, count) in [(whole.clone(), 1), (by_other, 2)] {
            client.publish(&topic, forged).await?;
            until("the forged message is refused", PATIENCE, async || {
                let found = refused(&centre, "unproven").await?;
                ensure!(found == count, "{found} are refused");
                Ok(())
            })
            .await?;
        }
        // A message of this store that names another one inside, rightly proven.
        let mut misnamed = seal_uplink(&other.store_id, &Uplink::Hello(empty_hello(1)))?;
        keys.uplink.prove(&mut misnamed);
        client.publish(&uplink(&store.store_id, UplinkKind::Hello), misnamed).await?;
        until("the wrong name is noticed", PATIENCE, async || {
            let found = refused(&centre, "wrong_store").await?;
            ensure!(found == 1, "{found} are refused");
            Ok(())
        })
        .await?;
        // On another store's topic the broker itself lets nothing through.
        let mut proven = whole.clone();
        keys.uplink.prove(&mut proven);
        let denied = client.publish(&uplink(&other.store_id, UplinkKind::Batch), proven.clone()).await?;
        ensure!(denied == Some(PubAckReason::NotAuthorized), "the broker answered {denied:?}");
        let wrong = login_packet("HARBOUR", &store.secret, "x", 60)?;
        let (_, code) = Client::connect(broker, &wrong).await?;
        ensure!(code == ConnectReturnCode::NotAuthorized, "the secret is no password of the broker's: {code:?}");
        ensure!(centre.applied_sales("HARBOUR").await? == 0, "something was applied");

        // At the listener the same password lets in, and the message has to prove itself all the same.
        let mut direct = Client::log_in_proving(harbour.site.server.addresses().mqtt, &store, "forger").await?;
        let answer = direct.publish(&topic, whole).await?;
        ensure!(answer == Some(PubAckReason::NotAuthorized), "answered {answer:?}");

        // The same, over and over, in pieces that overlap: each sale counts once.
        let mut random = Random::new(seed);
        for _ in 0..60 {
            let (from, events) = (1 + random.below(60), 1 + random.below(30));
            let mut again = piece(&agent, &store, from, events)?;
            keys.uplink.prove(&mut again);
            client.publish(&topic, again).await?;
            client.publish(&topic, proven.clone()).await?;
        }
        centre.has_applied("HARBOUR", 60).await?;
        agent.start()?;
        harbour.agrees(&agent, "HARBOUR", &sold).await?;
        ensure!(centre.applied_sales("LAGOON").await? == 0, "LAGOON sold nothing");
        let nobody = StoreId::new("LAGOON")?;
        ensure!(centre.get(&format!("/api/v1/stores/{nobody}")).await?["connected"] == false, "nobody heard LAGOON");
        Ok(())
    });
}

#[test]
fn a_dead_broker_holds_nobody_up_at_the_listener() {
    on_processes("broker-frozen", async |folder| {
        let seed = seed();
        let harbour = Harbour::start(folder, &[]).await?;
        let mut by_broker = harbour.enroll(folder, "HARBOUR").await?;
        by_broker.start()?;
        let mut sold_by_broker = harbour.site.at(&by_broker).sell_all(seed, "T1", 0..20).await?;
        harbour.agrees(&by_broker, "HARBOUR", &sold_by_broker).await?;
        let direct = harbour.site.store(folder, "LAGOON")?;
        // Connections stay open, and nothing comes through them.
        harbour.mosquitto.freeze()?;
        sold_by_broker.extend(harbour.site.at(&by_broker).sell_all(seed, "T1", 20..60).await?);
        let sold = harbour.site.at(&direct).sell_all(seed, "T2", 0..300).await?;
        harbour.agrees(&direct, "LAGOON", &sold).await?;
        let centre = harbour.site.centre();
        until("the server gives the broker up", PATIENCE, async || {
            let ready = centre.get("/readyz").await?;
            ensure!(ready["broker"] == false && ready["ready"] == true, "it says {ready}");
            Ok(())
        })
        .await?;
        ensure!(centre.applied_sales("HARBOUR").await? == 20, "nothing came by the frozen broker");
        harbour.mosquitto.thaw()?;
        harbour.is_heard().await?;
        // Whoever has waited out its patience comes back by itself.
        tokio::time::timeout(2 * PATIENCE, harbour.agrees(&by_broker, "HARBOUR", &sold_by_broker))
            .await
            .context("the store comes back")??;
        Ok(())
    });
}
