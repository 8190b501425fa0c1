//! Accepts connections, or refuses them before they cost anything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::admission::Admission;
use super::budget::Budget;
use super::connection::{Context, serve};
use super::limits::{Limits, ListenerConfig};
use super::login::Authenticator;
use super::router::{Goodbye, Router};
use super::stats::{Counted, ListenerStats};
use super::telemetry;
use super::uplink::Uplinked;

/// Pause after an accept that failed for want of something, file descriptors most of all. A loop without it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener cannot start.
#[derive(Debug, thiserror::Error)]
#[error("listen for MQTT on {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// What all ways in share: the bytes that may be on their way, and who is connected.
#[derive(Debug, Clone)]
pub struct Commons {
    /// The way to stores that are connected here.
    pub router: Router,
    /// The listener's counters.
    pub stats: Arc<ListenerStats>,
    pub(crate) uplink_budget: Arc<Budget>,
}

impl Commons {
    /// Nobody is connected, and nothing is used.
    pub fn new(limits: &Limits) -> Self {
        Self { router: Router::new(limits), stats: Arc::default(), uplink_budget: Budget::new(limits.uplink_bytes_max) }
    }
}

/// A bound socket that waits to be run.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    context: Arc<Context>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds the address. Messages go to `ingress`; what does not fit there is refused with 0x97.
    pub async fn bind(
        config: ListenerConfig,
        authenticator: Arc<dyn Authenticator>,
        ingress: mpsc::Sender<Uplinked>,
    ) -> Result<Self, BindError> {
        let commons = Commons::new(&config.limits);
        Self::bind_beside(config, authenticator, ingress, commons).await
    }

    /// The same, beside another way in with which it shares its budgets.
    pub async fn bind_beside(
        config: ListenerConfig,
        authenticator: Arc<dyn Authenticator>,
        ingress: mpsc::Sender<Uplinked>,
        commons: Commons,
    ) -> Result<Self, BindError> {
        let ListenerConfig { address, tls, limits } = config;
        let failed = |source| BindError { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let Commons { router, stats, uplink_budget } = commons;
        let context =
            Context { authenticator, ingress, router, stats, uplink_budget, tls: tls.map(TlsAcceptor::from), limits };
        Ok(Self { socket, address, context: Arc::new(context) })
    }

    /// The address that was bound, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The way to the connected stores.
    pub fn router(&self) -> Router {
        self.context.router.clone()
    }

    /// The counters.
    pub fn stats(&self) -> Arc<ListenerStats> {
        Arc::clone(&self.context.stats)
    }

    /// Serves until `shutdown` resolves. Then every store is told, and what has not ended in time is cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { socket, address, context } = self;
        telemetry::listening(address, context.tls.is_some());
        let mut gate = Gate::new(&context);
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => note_panic(&context, ended),
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some((stream, connecting, open)) = gate.admit(stream, peer) {
                            let context = Arc::clone(&context);
                            tasks.spawn(async move {
                                serve(stream, peer, context, connecting).await;
                                drop(open);
                            });
                        }
                    }
                    Err(error) if peer_gave_up(&error) => {}
                    Err(error) => {
                        telemetry::accept_failed(&error);
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        context.router.close(Goodbye::ShuttingDown);
        let all_told = async {
            // Those that have not logged in are owed nothing.
            while context.router.connections() > 0 {
                match tasks.join_next().await {
                    Some(ended) => note_panic(&context, ended),
                    None => break,
                }
            }
        };
        // Late ones are cut by the shutdown of the set.
        let _ = timeout(context.limits.shutdown_timeout, all_told).await;
        tasks.shutdown().await;
    }
}

/// Decides about a connection before a byte of it is read.
struct Gate<'a> {
    context: &'a Context,
    admission: Admission,
    started: Instant,
}

impl<'a> Gate<'a> {
    fn new(context: &'a Context) -> Self {
        let admission = Admission::new(context.limits.connects_per_second, context.limits.connects_burst);
        Self { context, admission, started: Instant::now() }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpStream, Counted, Counted)> {
        let Context { stats, limits, .. } = self.context;
        stats.connects.one();
        let refused = if !self.admission.admit(peer.ip(), self.started.elapsed()) {
            Some((&stats.refused_rate, "this address connects too often"))
        } else if stats.connections_open.get() >= limits.connections_max as u64 {
            Some((&stats.refused_full, "too many connections"))
        } else if stats.connections_connecting.get() >= limits.connecting_max as u64 {
            Some((&stats.refused_full, "too many connections wait for their login"))
        } else {
            None
        };
        if let Some((counter, reason)) = refused {
            telemetry::refused_unread(counter, peer, reason);
            // A reset leaves no socket behind in TIME_WAIT. If it cannot be asked for, a normal close does as well.
            let _ = stream.set_zero_linger();
            return None;
        }
        // Without it an ack waits for the next packet of the client; with an odd socket it is only slower.
        let _ = stream.set_nodelay(true);
        let connecting = Counted::new(stats, |stats| &stats.connections_connecting);
        let open = Counted::new(stats, |stats| &stats.connections_open);
        Some((stream, connecting, open))
    }
}

/// The connection died while it waited to be accepted; nothing is wrong here.
fn peer_gave_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

fn note_panic(context: &Context, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        telemetry::connection_panicked(&context.stats, &error);
    }
}
