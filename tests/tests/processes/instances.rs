//! Two servers on one PostgreSQL: killed, frozen past its lease, stopped, and with stores that move between them. Each sale
//! counts once all the same, and what one of them heard the other one hears soon.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use pos_model::StoreId;
use protocol::latest::local_api::SaleReceipt;
use serde_json::Value;
use test_postgres::{Durability, TestServer};
use tests::mosquitto::Mosquitto;
use tests::process::{Agent, Server};
use tests::proxy::{Mode, Proxy};
use tokio::task::JoinHandle;

use super::broker::enroll;
use super::counter::{all_days, amount_minor, command};
use super::mqtt::{Client, identity};
use super::site::{Centre, PATIENCE, STORE_CONFIG, Site, StoreApi, http_client, on_processes, said, seed, until};

const LEASE: Duration = Duration::from_secs(4);

/// How long a machine that is busy may take for what takes a moment.
const SLACK: Duration = Duration::from_secs(4);

/// Between two sales of a till: a good till's pace, times a hundred.
const PAUSE: Duration = Duration::from_millis(30);

/// Two servers on one database.
struct Pair {
    sites: [Site; 2],
    postgres: TestServer,
    url: String,
}

impl Pair {
    /// Starts both. `settings` are those of each, beside the common ones.
    fn start(folder: &Path, settings: [Vec<(String, String)>; 2]) -> anyhow::Result<Self> {
        let postgres = TestServer::start(Durability::None).map_err(anyhow::Error::msg)?;
        let url = postgres.database();
        let start = |name: &str, mut settings: Vec<(String, String)>| {
            let common = [
                ("BREAKWATER_LEDGER_URL", url.clone()),
                ("BREAKWATER_INSTANCES_NAME", name.to_owned()),
                ("BREAKWATER_INSTANCES_LEASE", format!("{}s", LEASE.as_secs())),
                ("BREAKWATER_INGEST_RECONNECT_SPREAD", "100ms".to_owned()),
            ];
            settings.extend(common.map(|(name, value)| (name.to_owned(), value)));
            anyhow::Ok(Site::with(Server::start_with(&folder.join(name), settings)?, http_client()?))
        };
        let [first, second] = settings;
        let sites = [start("first", first)?, start("second", second)?];
        Ok(Self { sites, postgres, url })
    }

    fn centres(&self) -> [Centre; 2] {
        [self.sites[0].centre(), self.sites[1].centre()]
    }

    /// Everything that was sold is in the ledger, once, whichever server is asked, and nothing is odd.
    async fn agrees(&self, centres: &[Centre], sold: &[(Store, Vec<SaleReceipt>)]) -> anyhow::Result<()> {
        for (store, receipts) in sold {
            let state = store.api.is_drained().await?;
            ensure!(state.notices.is_empty(), "{} has notices: {:?}", store.id, state.notices);
            for centre in centres {
                centre.has_applied(&store.id, receipts.len() as u64).await?;
                let held = all_days(&centre.totals(&store.id).await?);
                let expected = (i64::try_from(receipts.len())?, amount_minor(receipts));
                ensure!((held.sales, held.amount_minor) == expected, "{}: {held:?}, sold {expected:?}", store.id);
                let (parked, alerts) = (centre.parked().await?, centre.alerts(&store.id).await?);
                ensure!(parked.is_empty() && alerts.is_empty(), "{}: {parked:?} {alerts:?}", store.id);
            }
        }
        let verified = self.sites[0].server.command(&["verify"])?.output().context("run verify")?;
        ensure!(verified.status.success(), "{}", said(&verified));
        let counted = self.postgres.query(&self.url, "SELECT count(*), count(DISTINCT sale_id) FROM v_sales");
        let all: usize = sold.iter().map(|(_, receipts)| receipts.len()).sum();
        ensure!(counted == [format!("{all} {all}")], "{all} were sold, the table has {counted:?}");
        Ok(())
    }
}

/// A store whose till sells.
struct Store {
    id: String,
    api: StoreApi,
    agent: Agent,
}

/// Stores that sell until they are told to stop.
struct Selling {
    stop: Arc<AtomicBool>,
    tills: Vec<(Store, JoinHandle<anyhow::Result<Vec<SaleReceipt>>>)>,
}

impl Selling {
    fn begin(stores: Vec<Store>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let till = |(number, store): (u64, Store)| {
            let (api, stop) = (store.api.clone(), Arc::clone(&stop));
            (store, tokio::spawn(sell(api, seed + number, stop)))
        };
        let tills = (0..).zip(stores).map(till).collect();
        Self { stop, tills }
    }

    /// Waits until something of every store is in the ledger that was sold from here on; says how long that took.
    async fn goes_on(&self, centre: &Centre) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for (store, _) in &self.tills {
            let sold = store.api.sync().await?.outbox_events;
            let applied = centre.applied_sales(&store.id).await?;
            until("what is sold arrives", PATIENCE, async || {
                let present = centre.applied_sales(&store.id).await?;
                ensure!(present > applied + sold, "{present} sales of {} are applied", store.id);
                Ok(())
            })
            .await?;
        }
        Ok(began.elapsed())
    }

    async fn end(self) -> anyhow::Result<Vec<(Store, Vec<SaleReceipt>)>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sold = Vec::new();
        for (store, till) in self.tills {
            sold.push((store, till.await.context("a till ended badly")??));
        }
        Ok(sold)
    }
}

async fn sell(api: StoreApi, seed: u64, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<SaleReceipt>> {
    let mut receipts = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        receipts.push(api.sell_through(&command(seed, "T1", n)).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(receipts)
}

/// How many partitions each living instance has, by name, as a server says; and that none is left over.
async fn shares(centre: &Centre) -> anyhow::Result<Vec<(String, usize)>> {
    let said = centre.get("/api/v1/instances").await?;
    let instances = said["instances"].as_array().with_context(|| format!("instances in {said}"))?;
    let alive = instances.iter().filter(|one| one["alive"] == true);
    let share = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["partitions"].as_array()?.len()));
    let mut shares: Vec<_> = alive.map(|one| share(one).context("a share")).collect::<anyhow::Result<_>>()?;
    shares.sort();
    let free = said["free"].as_array().with_context(|| format!("free in {said}"))?;
    ensure!(free.is_empty(), "free: {free:?}");
    Ok(shares)
}

async fn has_shares(centre: &Centre, expected: &[(&str, usize)]) -> anyhow::Result<()> {
    let expected: Vec<_> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    until("the partitions are shared as they should be", PATIENCE, async || {
        let shares = shares(centre).await?;
        ensure!(shares == expected, "{shares:?}, not {expected:?}");
        Ok(())
    })
    .await
}

/// Two servers that hear their stores by one broker, and four stores, two in each half of the partitions.
async fn by_broker(folder: &Path) -> anyhow::Result<(Pair, Mosquitto, Vec<Store>)> {
    let mut mosquitto = Mosquitto::new(&folder.join("mosquitto"))?;
    let settings = |file_too: bool| {
        let mut settings = mosquitto.server_settings();
        settings.retain(|(name, _)| file_too || name != "BREAKWATER_BROKER_STORE_PASSWORDS_FILE");
        settings.push(("BREAKWATER_MQTT_ENABLED".to_owned(), "false".to_owned()));
        settings
    };
    let pair = Pair::start(folder, [settings(true), settings(false)])?;
    until("the server has written the logins", PATIENCE, async || {
        ensure!(mosquitto.passwords().is_file(), "there is no such file");
        Ok(())
    })
    .await?;
    mosquitto.start()?;
    let half = |low: bool| {
        let ids = (0..200).map(|number| format!("S{number}"));
        ids.filter(move |id| StoreId::new(id).is_ok_and(|store| (store.partition() < 32) == low)).take(2)
    };
    let mut stores = Vec::new();
    for id in half(true).chain(half(false)) {
        let mut agent = enroll(&pair.sites[stores.len() % 2].server, &mosquitto, folder, &id).await?;
        agent.start()?;
        stores.push(Store { api: pair.sites[0].at(&agent), id, agent });
    }
    for centre in pair.centres() {
        has_shares(&centre, &[("first", 32), ("second", 32)]).await?;
    }
    Ok((pair, mosquitto, stores))
}

#[test]
fn an_instance_that_is_killed_is_inherited() {
    on_processes("instances-kill", async |folder| {
        let (mut pair, _mosquitto, stores) = by_broker(folder).await?;
        let [first, second] = pair.centres();
        let selling = Selling::begin(stores, seed());
        selling.goes_on(&second).await?;
        pair.sites[0].server.kill();
        let killed = Instant::now();
        has_shares(&second, &[("second", 64)]).await?;
        let inherited = killed.elapsed();
        let heard = selling.goes_on(&second).await?;
        eprintln!("inherited within {inherited:?}, every store was heard within {heard:?} from then on");
        ensure!(inherited < LEASE + LEASE / 3 + SLACK, "it took {inherited:?} to inherit");
        let metrics = second.metrics().await?;
        ensure!(metrics.counter("breakwater_lease_taken_over_partitions_total")? == 32, "{metrics:?}");
        ensure!(metrics.counter("breakwater_lease_unheld_partitions")? == 0, "{metrics:?}");

        pair.sites[0].server.restart()?;
        for centre in [&first, &second] {
            has_shares(centre, &[("first", 32), ("second", 32)]).await?;
        }
        selling.goes_on(&first).await?;
        // One that ends in order leaves nobody waiting for its leases.
        pair.sites[1].server.stop()?;
        let stopped = Instant::now();
        has_shares(&first, &[("first", 64)]).await?;
        let released = stopped.elapsed();
        eprintln!("taken within {released:?} after the end");
        ensure!(released < LEASE, "the leases were not given back: it took {released:?}");
        selling.goes_on(&first).await?;
        let sold = selling.end().await?;
        pair.agrees(&[first], &sold).await
    });
}

#[test]
fn an_instance_that_was_frozen_past_its_lease_does_no_harm() {
    on_processes("instances-frozen", async |folder| {
        let (pair, _mosquitto, stores) = by_broker(folder).await?;
        let [first, second] = pair.centres();
        let selling = Selling::begin(stores, seed());
        selling.goes_on(&second).await?;
        pair.sites[0].server.freeze()?;
        has_shares(&second, &[("second", 64)]).await?;
        let heard = selling.goes_on(&second).await?;
        eprintln!("every store was heard within {heard:?} after the takeover");
        pair.sites[0].server.thaw()?;
        for centre in [&first, &second] {
            has_shares(centre, &[("first", 32), ("second", 32)]).await?;
        }
        let lost = first.metrics().await?.counter("breakwater_lease_lost_partitions_total")?;
        ensure!(lost == 32, "the frozen one noticed that it lost {lost} partitions");
        selling.goes_on(&first).await?;
        let sold = selling.end().await?;
        pair.agrees(&[first, second], &sold).await
    });
}

/// Sends each new connection to another server, and all of them elsewhere now and then.
struct Balancer {
    proxy: Arc<Proxy>,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Between two changes of where connections go.
    const TURN: Duration = Duration::from_millis(40);

    async fn start(servers: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let first = *servers.first().context("a server")?;
        let proxy = Arc::new(Proxy::start(first).await?);
        let servers = Arc::new(Mutex::new(servers));
        let task = tokio::spawn({
            let (proxy, servers) = (Arc::clone(&proxy), Arc::clone(&servers));
            async move {
                for turn in 0usize.. {
                    let target = {
                        let servers = servers.lock().expect("nobody panics with it");
                        servers.get(turn % servers.len()).copied()
                    };
                    target.into_iter().for_each(|target| proxy.set_target(target));
                    tokio::time::sleep(Self::TURN).await;
                }
            }
        });
        Ok(Self { proxy, servers, task })
    }

    /// Ends all connections; whoever comes back is sent anywhere.
    async fn shuffle(&self) {
        self.proxy.set_mode(Mode::Cut);
        tokio::time::sleep(Self::TURN).await;
        self.proxy.set_mode(Mode::Pass);
    }

    /// Sends nobody there any more.
    fn remove(&self, server: SocketAddr) {
        self.servers.lock().expect("nobody panics with it").retain(|one| *one != server);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[test]
fn stores_move_between_listeners_behind_a_balancer() {
    on_processes("instances-balancer", async |folder| {
        let mut pair = Pair::start(folder, [Vec::new(), Vec::new()])?;
        let addresses = [0, 1].map(|at| pair.sites[at].server.addresses().mqtt);
        let balancer = Balancer::start(addresses.into()).await?;
        let mut stores = Vec::new();
        for id in ["HARBOUR", "LAGOON", "DELTA", "FJORD", "GRANITE", "INLET"] {
            let mut agent = Agent::new(&folder.join(id), STORE_CONFIG);
            agent.enroll(&pair.sites[stores.len() % 2].server, id, balancer.proxy.address())?;
            agent.start()?;
            stores.push(Store { api: pair.sites[0].at(&agent), id: id.to_owned(), agent });
        }
        let [first, second] = pair.centres();
        // Connections of a store that linger at both servers take nothing from the one that it sells by. A server knows a
        // store that enrolled at the other one when it has looked into the database.
        let lingering = identity(&stores[0].agent)?;
        let log_in = async |address| {
            let try_it = async || Client::log_in_as(address, &lingering, "lingering").await;
            until("the store may log in", PATIENCE, try_it).await
        };
        let mut lingering = [log_in(addresses[0]).await?, log_in(addresses[1]).await?];
        let names: Vec<String> = stores.iter().map(|store| store.id.clone()).collect();
        let selling = Selling::begin(stores, seed());
        for _ in 0..4 {
            balancer.shuffle().await;
            selling.goes_on(&first).await?;
        }
        // Both have had stores, and each knows of those that the other has.
        for centre in [&first, &second] {
            let applied = centre.metrics().await?.counter("breakwater_ingest_applied_events_total")?;
            ensure!(applied > 0, "nothing came by one of the servers");
            until("each store is connected, whoever is asked", PATIENCE, async || {
                for name in &names {
                    let store = centre.get(&format!("/api/v1/stores/{name}")).await?;
                    ensure!(store["connected"] == true, "{store}");
                }
                Ok(())
            })
            .await?;
            let said = centre.get("/api/v1/instances").await?;
            ensure!(said["instances"].as_array().is_some_and(|all| all.len() == 2), "{said}");
            ensure!(said["unheld"].as_array().is_some_and(Vec::is_empty), "without a broker nobody has to: {said}");
        }
        pair.sites[0].server.kill();
        balancer.remove(addresses[0]);
        let heard = selling.goes_on(&second).await?;
        eprintln!("every store was heard by the other server within {heard:?}");
        let sold = selling.end().await?;
        pair.agrees(&[second], &sold).await?;

        // What one server is told of a login, the others follow, with connections that stand.
        pair.sites[0].server.restart()?;
        let enrolled = identity(&sold[0].0.agent)?;
        lingering[0] = Client::log_in_as(addresses[0], &enrolled, "lingering").await?;
        let revoked = pair.sites[1].server.command(&["store", "revoke", &sold[0].0.id])?.output().context("revoke")?;
        ensure!(revoked.status.success(), "{}", said(&revoked));
        for client in &mut lingering {
            client.is_closed(PATIENCE).await?;
        }
        Ok(())
    });
}
