//! The running service: what is started, in which order, and how it ends.
//!
//! Order at the start: data folder, ledger (with what an older program had parked), listener (which refuses nobody before the ingest takes messages, because the
//! channel between them has room), ingest, HTTP. At the end the
//! leases are given back and the stores are told first, then the ingest commits and
//! answers what it was handed, then the broker is left and HTTP stops.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::broker::{Broker, BrokerSettings, PasswordKeeper, RunningBroker, SettingsError};
use crate::config::{Config, TlsFiles};
use crate::credentials::Credentials;
use crate::data_dir::{self, DataDirError};
use crate::http::{
    self, Api, ApiParts, ApiToken, Exporter, HttpLimits, ListenerUp, MqttAddress, Readers, SharedRegistry,
};
use crate::ingest::{HANDED_OVER_MAX, Ingest, IngestParts, utc_ms};
use crate::instances::{self, InstancesHandle, Keeper, KeeperParts, RunningKeeper};
use crate::ledger::{Instances, Ledger, LedgerError, LedgerHome, PriceBooks, Reader, apply_all_parked};
use crate::mqtt::{BindError, Commons, Listener, ListenerConfig, Router, TlsError, load_tls};
use crate::price_watch::PriceWatch;
use crate::reconcile::Comparing;
use crate::roll_up::{RollUpParts, RollUpWatch};
use crate::telemetry::{self, Metrics};

/// How often the registry's version is looked at.
const REGISTRY_PERIOD: Duration = Duration::from_secs(1);

/// The least time between two looks, however many logins fail.
const REGISTRY_PERIOD_MIN: Duration = Duration::from_millis(100);

/// How often long work at the start says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How long requests may take to end at shutdown; a console's stream never does by itself.
const HTTP_SHUTDOWN: Duration = Duration::from_secs(2);

/// How long a step of the roll-ups may take to end.
const ROLL_UPS_SHUTDOWN: Duration = Duration::from_secs(2);

/// How long the ingest may take to commit what it was handed.
const INGEST_SHUTDOWN: Duration = Duration::from_secs(20);

/// The service could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The MQTT address.
    #[error(transparent)]
    Mqtt(#[from] BindError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The link to the broker.
    #[error(transparent)]
    Broker(#[from] SettingsError),
    /// The API's token.
    #[error(transparent)]
    Token(#[from] http::TokenError),
    /// The HTTP address.
    #[error("listen for HTTP on {address}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system refused something that never is.
    #[error("{0}")]
    System(&'static str, #[source] std::io::Error),
    /// No random numbers.
    #[error("get random numbers from the system")]
    Random(#[source] getrandom::Error),
    /// A part of the service died.
    #[error("{0} ended unexpectedly")]
    Died(&'static str),
}

/// A service that is bound and waits to be run.
#[derive(Debug)]
pub struct Service {
    addresses: Addresses,
    listener: Option<Listener>,
    broker: Option<Broker>,
    keeper: Option<Keeper>,
    passwords: Option<PasswordKeeper>,
    router: Router,
    listener_up: ListenerUp,
    ingest: Ingest,
    roll_ups: RollUpParts,
    http_socket: TcpListener,
    http_tls: Option<Arc<rustls::ServerConfig>>,
    api: Api,
    token: Option<ApiToken>,
    credentials: Arc<Credentials>,
    registry: SharedRegistry,
    _lock: data_dir::DataDirLock,
}

/// Where the service listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Console and API.
    pub http: SocketAddr,
    /// Stores, unless all of them come by a broker.
    pub mqtt: Option<SocketAddr>,
}

impl Service {
    /// Opens the ledger and binds the addresses. Everything that can be wrong is found here.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let lock = data_dir::lock(&config.data_dir)?;
        let http_tls = load(config.http.tls.as_ref())?;
        let mqtt_tls = load(config.mqtt.tls.as_ref())?;
        let token = config.http.api_token_file.as_deref().map(ApiToken::read).transpose()?;
        let Opened { ledger, registry, prices, instances, comparing, roll_ups, readers, credentials } =
            open_ledger(config.ledger.clone()).await?;

        let mut metrics_registry = MetricsRegistry::with_prefix("breakwater");
        let metrics = Arc::new(Metrics::new(&mut metrics_registry));
        let limits = &config.mqtt.limits;
        let (commons, broker) = (Commons::new(limits), BrokerSettings::of(&config.broker)?);
        let by_broker = broker.as_ref().map_or(0, Broker::messages_max);
        let (sender, messages) = mpsc::channel(HANDED_OVER_MAX + by_broker);
        let tls = mqtt_tls.is_some();
        let server_login = broker.as_ref().and_then(|settings| settings.credentials.clone());
        let passwords = PasswordKeeper::new(&config.broker, server_login, &credentials);
        // It sets its memory aside before anybody is let in.
        let broker = broker
            .map(|settings| Broker::new(settings, limits.uplink_bytes_max, &commons, sender.clone()))
            .transpose()?;
        let listener = if config.mqtt.enabled {
            let listener_config = ListenerConfig { address: config.mqtt.listen, tls: mqtt_tls, limits: limits.clone() };
            let authenticator: Arc<Credentials> = Arc::clone(&credentials);
            Some(Listener::bind_beside(listener_config, authenticator, sender, commons.clone()).await?)
        } else {
            None
        };
        let address = config.http.listen;
        let http_failed = |source| RunError::Http { address, source };
        let http_socket = http::bind(address).map_err(http_failed)?;
        let addresses = Addresses {
            http: http_socket.local_addr().map_err(http_failed)?,
            mqtt: listener.as_ref().map(Listener::local_addr),
        };
        lock.leave_address(&api_url(addresses.http, http_tls.is_some()))
            .map_err(|source| RunError::System("note the address of the API in the data folder", source))?;

        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let prices = PriceWatch::start(prices, Arc::clone(&metrics))
            .map_err(|source| RunError::System("start the thread that prices again", source))?;
        let roll_ups = RollUpParts {
            books: roll_ups,
            home: config.ledger.clone(),
            keep_months: config.keep_months,
            worker: i64::from_le_bytes(random),
            metrics: Arc::clone(&metrics),
        };
        let ingest = Ingest::start(IngestParts {
            messages,
            ledger,
            limits: config.ingest.clone(),
            server_epoch: u64::from_le_bytes(random),
            credentials: Arc::clone(&credentials),
            metrics: Arc::clone(&metrics),
            prices,
            router: commons.router.clone(),
            comparing: Some(Comparing { books: comparing, every: config.reconcile_every }),
        })
        .map_err(|source| RunError::System("start the threads of the ingest", source))?;
        let registry = SharedRegistry::new(registry);
        let listener_up = ListenerUp::new(listener.is_some());
        let router = commons.router.clone();
        let broker_handle = broker.as_ref().map(Broker::handle);
        let id = instances::new_id().map_err(RunError::Random)?;
        let lease = instances.is_some().then_some(config.instances.lease);
        let instances_handle = InstancesHandle::new(id, config.instances.name(), lease, utc_ms());
        let keeper = instances.map(|tables| {
            Keeper::new(KeeperParts {
                tables,
                lease: config.instances.lease,
                broker: broker_handle.clone(),
                ingest: ingest.state(),
                credentials: Arc::clone(&credentials),
                handle: instances_handle.clone(),
            })
        });
        let api = Api::new(ApiParts {
            readers,
            registry: registry.clone(),
            credentials: Arc::clone(&credentials),
            router: router.clone(),
            broker: broker_handle.clone(),
            ingest: ingest.state(),
            instances: instances_handle.clone(),
            metrics,
            exporter: Exporter::new(metrics_registry, Arc::clone(&commons.stats), broker_handle, instances_handle),
            mqtt_address: MqttAddress {
                public_url: config.mqtt.public_url,
                broker: config.broker.url,
                bound: addresses.mqtt.unwrap_or(config.mqtt.listen),
                tls,
            },
            listener_up: listener_up.clone(),
            parking: config.parking,
        });
        Ok(Self {
            addresses,
            listener,
            broker,
            keeper,
            passwords,
            router,
            listener_up,
            ingest,
            roll_ups,
            http_socket,
            http_tls,
            api,
            token,
            credentials,
            registry,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` resolves, then ends in order.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self {
            listener,
            broker,
            keeper,
            router,
            listener_up,
            ingest,
            roll_ups,
            http_socket,
            http_tls,
            api,
            token,
            addresses,
            ..
        } = self;
        let (stop_listener, mut listener_stopped) = watch::channel(());
        let (stop_http, mut http_stopped) = watch::channel(());
        let http_failed = |source| RunError::Http { address: addresses.http, source };
        let http_listener =
            http::HttpListener::start(http_socket, http_tls, HttpLimits::STANDARD).map_err(http_failed)?;
        let mut helpers = JoinSet::new();
        helpers.spawn(watch_registry(self.credentials, self.registry, router, self.passwords));
        helpers.spawn(tick(api.clone()));
        let state = ingest.state();

        let roll_ups = RollUpWatch::start(roll_ups)
            .map_err(|source| RunError::System("start the thread that makes roll-ups", source))?;
        let mut broker = broker.map(Broker::start);
        let mut keeper = keeper.map(Keeper::start);
        listener_up.set(true);
        let mut listening = tokio::spawn(async move {
            // An error means that the sender is gone, which is a stop as well.
            let stopped = async move {
                let _ = listener_stopped.changed().await;
            };
            match listener {
                Some(listener) => listener.run(stopped).await,
                None => stopped.await,
            }
        });
        let mut serving = tokio::spawn(http::serve(http_listener, http::router(api, token), async move {
            let _ = http_stopped.changed().await;
        }));
        let died = tokio::select! {
            () = shutdown => None,
            () = state.broken() => Some("the ingest"),
            _ = &mut listening => Some("the MQTT listener"),
            _ = &mut serving => Some("the HTTP server"),
            () = broken(&mut broker) => Some("the link to the broker"),
            () = lost(&mut keeper) => Some("the keeper of the leases"),
            _ = helpers.join_next() => Some("a helper task"),
        };
        listener_up.set(false);
        tracing::info!("stopping");
        // Before the ledger ends, which it does as soon as nothing can come in: what they write behind it would stay in its log.
        let stopping_roll_ups = tokio::task::spawn_blocking(move || roll_ups.stop());
        if timeout(ROLL_UPS_SHUTDOWN, stopping_roll_ups).await.is_err() {
            tracing::info!("a step of the roll-ups is given up; it is done anew after the next start");
        }
        drop(stop_listener);
        // Others take over from here on; what is on its way here is committed all the same.
        if let Some(keeper) = keeper {
            keeper.leave().await;
        }
        if let Some(broker) = &broker {
            broker.close_intake();
        }
        if !listening.is_finished() {
            let _ = (&mut listening).await;
        }
        // Both ways in have let go of the channel, so the ingest ends when it has done what it holds.
        let ended = timeout(INGEST_SHUTDOWN, tokio::task::spawn_blocking(move || ingest.join())).await;
        if ended.is_err() {
            tracing::error!("the ingest did not end in time; what it had not committed will be sent again");
        }
        if let Some(broker) = broker {
            broker.leave().await;
        }
        drop(stop_http);
        if !serving.is_finished() && timeout(HTTP_SHUTDOWN, &mut serving).await.is_err() {
            serving.abort();
        }
        helpers.shutdown().await;
        died.map_or(Ok(()), |part| Err(RunError::Died(part)))
    }
}

/// Where this machine reaches the API.
fn api_url(bound: SocketAddr, tls: bool) -> String {
    let mut address = bound;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{}://{address}", if tls { "https" } else { "http" })
}

/// The connections to the ledger.
struct Opened {
    ledger: Box<dyn Ledger>,
    registry: Box<dyn Reader + Send>,
    prices: Box<dyn PriceBooks + Send>,
    comparing: Box<dyn Reader + Send>,
    instances: Option<Box<dyn Instances + Send>>,
    roll_ups: Box<dyn Reader + Send>,
    readers: Readers,
    credentials: Arc<Credentials>,
}

async fn broken(broker: &mut Option<RunningBroker>) {
    match broker {
        Some(broker) => broker.broken().await,
        None => std::future::pending().await,
    }
}

async fn lost(keeper: &mut Option<RunningKeeper>) {
    match keeper {
        Some(keeper) => keeper.broken().await,
        None => std::future::pending().await,
    }
}

/// Opens the ledger and applies what an older program had parked because it did not know its kind. That is done before any
/// store is let in, so that a store's older events are applied before its newer ones; the stores go on selling.
async fn open_ledger(home: LedgerHome) -> Result<Opened, RunError> {
    let opened = tokio::task::spawn_blocking(move || {
        let mut ledger = home.open()?;
        let mut said = Instant::now();
        let done = apply_all_parked(&mut *ledger, utc_ms, |progress| {
            if said.elapsed() >= PROGRESS_EVERY {
                said = Instant::now();
                telemetry::applying_parked(progress);
            }
        })?;
        telemetry::applied_parked(done);
        let registry = home.registry()?;
        let credentials = Arc::new(Credentials::default());
        credentials.refresh(&*registry)?;
        let (prices, comparing, roll_ups) = (home.registry()?, home.roll_ups()?, home.roll_ups()?);
        let instances = home.instances()?;
        let readers = Readers::open(&home)?;
        Ok(Opened { ledger, registry, prices, instances, comparing, roll_ups, readers, credentials })
    });
    opened.await.map_err(|_| RunError::Died("the opening of the ledger"))?
}

fn load(files: Option<&TlsFiles>) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    files.map(|files| load_tls(&files.certificate, &files.key)).transpose()
}

/// Follows what other processes change in the registry.
async fn watch_registry(
    credentials: Arc<Credentials>,
    registry: SharedRegistry,
    router: Router,
    mut passwords: Option<PasswordKeeper>,
) {
    loop {
        let looked = Instant::now();
        let fresh = Arc::clone(&credentials);
        // A failure has been logged; the next look may succeed.
        if let Ok(changed) = registry.with(move |registry| fresh.refresh(registry)).await {
            http::cut(&router, &changed);
        }
        if let Some(passwords) = &mut passwords {
            passwords.keep().await;
        }
        let _ = timeout(REGISTRY_PERIOD, credentials.missed()).await;
        sleep_until(looked + REGISTRY_PERIOD_MIN).await;
    }
}

async fn tick(api: Api) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        api.tick();
    }
}

/// Resolves when the process is asked to stop.
pub async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Sets the log up.
pub fn start_log(filter: &str, json: bool) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| telemetry::chain(&error))?;
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    started.map_err(|error| error.to_string())
}
