//! The task that keeps this instance's leases, and has the link to the broker follow them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::greeter::{Gained, Greeter};
use super::handle::InstancesHandle;
use super::telemetry;
use super::tenant::{Step, Tenant};
use crate::broker::BrokerHandle;
use crate::credentials::Credentials;
use crate::ingest::IngestState;
use crate::ledger::{BrokerLink, InstanceCard, InstanceView, Instances, LeaseRow, LedgerError};
use crate::partitions::PartitionSet;

/// For how long a link to the broker may be away before others are to have its partitions: longer than the pause before a
/// connection is tried again, so that a broker that was restarted finds everything as it was.
const BROKER_PATIENCE: Duration = Duration::from_secs(20);

/// How long giving the leases back may take at shutdown; after that the others wait until they are over.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What it works with.
#[derive(Debug)]
pub(crate) struct KeeperParts {
    /// The tables.
    pub(crate) tables: Box<dyn Instances + Send>,
    /// How long a lease is.
    pub(crate) lease: Duration,
    /// The link that follows the leases, where there is one.
    pub(crate) broker: Option<BrokerHandle>,
    /// To whom the stores are handed over.
    pub(crate) ingest: IngestState,
    /// Which stores there are.
    pub(crate) credentials: Arc<Credentials>,
    /// What others may know.
    pub(crate) handle: InstancesHandle,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    tables: Arc<Mutex<Box<dyn Instances + Send>>>,
    lease: Duration,
    tenant: Tenant,
    broker: Option<BrokerHandle>,
    /// When the link stood last.
    broker_stood_at: Option<Instant>,
    ingest: IngestState,
    credentials: Arc<Credentials>,
    handle: InstancesHandle,
    gained: Arc<Gained>,
    incarnation: Option<i64>,
    failures: u32,
}

/// A keeper at work.
#[derive(Debug)]
pub(crate) struct RunningKeeper {
    task: JoinHandle<()>,
    stop: watch::Sender<()>,
}

impl Keeper {
    /// Prepares the task. From here on the link consumes what is leased, which is nothing yet.
    pub(crate) fn new(parts: KeeperParts) -> Self {
        let KeeperParts { tables, lease, broker, ingest, credentials, handle } = parts;
        if let Some(broker) = &broker {
            broker.hold(PartitionSet::NONE);
        }
        Self {
            tables: Arc::new(Mutex::new(tables)),
            lease,
            tenant: Tenant::new(handle.id(), lease),
            broker,
            broker_stood_at: None,
            ingest,
            credentials,
            handle,
            gained: Arc::default(),
            incarnation: None,
            failures: 0,
        }
    }

    /// Starts the task.
    pub(crate) fn start(self) -> RunningKeeper {
        let (stop, stopped) = watch::channel(());
        RunningKeeper { task: tokio::spawn(self.run(stopped)), stop }
    }

    async fn run(mut self, mut stopped: watch::Receiver<()>) {
        telemetry::began(self.handle.id(), self.handle.name());
        let greeting = self.broker.clone().map(|broker| {
            let (ingest, credentials) = (self.ingest.clone(), Arc::clone(&self.credentials));
            tokio::spawn(Greeter { broker, ingest, credentials, gained: Arc::clone(&self.gained) }.run())
        });
        let mut next = Instant::now();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                () = sleep_until(next.into()) => next = self.tick().await,
                () = at(self.tenant.holds_until()) => self.apply(),
            }
        }
        if let Some(greeting) = greeting {
            greeting.abort();
        }
        let id = self.handle.id();
        match timeout(LEAVE_TIMEOUT, self.ask(move |tables| tables.leave(id))).await {
            Ok(Ok(())) => telemetry::left(),
            Ok(Err(error)) => telemetry::not_left(&error),
            Err(_) => telemetry::not_left(&LedgerError::Away("no answer in time".to_owned())),
        }
    }

    /// Renews, looks, and does what follows. Returns when to do so again.
    async fn tick(&mut self) -> Instant {
        let asked_at = Instant::now();
        match self.round(asked_at).await {
            Ok(()) => {
                self.failures = 0;
                asked_at + self.lease / 3
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                telemetry::failed(self.handle.counters(), &error, self.failures);
                Instant::now() + self.lease / 6
            }
        }
    }

    async fn round(&mut self, asked_at: Instant) -> Result<(), LedgerError> {
        let (card, lease) = (self.card(asked_at), self.lease);
        let mut view = self.ask(move |tables| tables.renew(&card, lease)).await?;
        if self.incarnation.replace(view.incarnation).is_some_and(|known| known != view.incarnation) {
            telemetry::another_incarnation();
            self.ingest.begin_anew();
        }
        let Step { lost, give_up, claim, taken_over } = self.tenant.look(&view, asked_at, Instant::now());
        let (id, counters) = (self.handle.id(), self.handle.counters());
        if !lost.is_empty() {
            telemetry::lost(counters, lost);
        }
        // At first it stops to consume, then others may begin: there is nothing to gain by doing both.
        self.apply();
        if !give_up.is_empty() {
            telemetry::given_up(self.handle.counters(), give_up);
            self.ask(move |tables| tables.release(id, give_up)).await?;
            note(&mut view, give_up, |lease, now_ms| (lease.holder, lease.expires_at_ms) = (None, now_ms));
        }
        if !claim.is_empty() {
            let claimed = self.ask(move |tables| tables.claim(id, claim, lease)).await?;
            self.tenant.claimed(claimed);
            telemetry::claimed(self.handle.counters(), claimed, taken_over.both(claimed));
            let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
            note(&mut view, claimed, |lease, now_ms| {
                lease.holder = Some(id);
                lease.fence += 1;
                (lease.taken_at_ms, lease.renewed_at_ms) = (now_ms, now_ms);
                lease.expires_at_ms = now_ms.saturating_add(lease_ms);
            });
            self.apply();
        }
        self.handle.note_view(view, asked_at);
        Ok(())
    }

    /// What this instance says of itself.
    fn card(&mut self, now: Instant) -> InstanceCard {
        let broker = match &self.broker {
            None => BrokerLink::None,
            Some(broker) => {
                if broker.status().is_well() {
                    self.broker_stood_at = Some(now);
                }
                let stood = self.broker_stood_at.is_some_and(|at| now.duration_since(at) < BROKER_PATIENCE);
                if stood { BrokerLink::Up } else { BrokerLink::Down }
            }
        };
        InstanceCard { id: self.handle.id(), name: self.handle.name().to_owned(), broker }
    }

    /// Has the link hold what is held, which is nothing when its time is over.
    fn apply(&mut self) {
        let expired = self.tenant.expire(Instant::now());
        if !expired.is_empty() {
            telemetry::expired(self.handle.counters(), expired);
        }
        let held = self.tenant.held();
        self.handle.note_held(held);
        let Some(broker) = &self.broker else { return };
        let before = broker.wanted();
        broker.hold(held);
        if !before.without(held).is_empty() {
            self.ingest.forget(before.without(held));
        }
        if !held.without(before).is_empty() {
            self.gained.add(held.without(before));
        }
    }

    /// Asks the tables, on a thread that may wait. Meanwhile the time goes on.
    async fn ask<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&dyn Instances) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let tables = Arc::clone(&self.tables);
        let mut asked = tokio::task::spawn_blocking(move || {
            let tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
            work(&**tables)
        });
        loop {
            tokio::select! {
                biased;
                () = at(self.tenant.holds_until()) => self.apply(),
                answer = &mut asked => {
                    return answer.unwrap_or_else(|_| Err(LedgerError::Away("the request was given up".to_owned())));
                }
            }
        }
    }
}

impl RunningKeeper {
    /// Gives the leases back, so that others take over at once.
    pub(crate) async fn leave(self) {
        let Self { task, stop } = self;
        drop(stop);
        if !task.is_finished() {
            // A panic has been reported where it happened; a database that does not answer is not waited for.
            let _ = timeout(2 * LEAVE_TIMEOUT, task).await;
        }
    }

    /// Resolves when the task died: a bug, after which the service must be started again.
    pub(crate) async fn broken(&mut self) {
        let _ = (&mut self.task).await;
    }
}

/// Waits for a moment; for ever without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Enters in a view what was done since it was read.
fn note(view: &mut InstanceView, partitions: PartitionSet, change: impl Fn(&mut LeaseRow, i64)) {
    let now_ms = view.now_ms;
    for (partition, lease) in (0..).zip(&mut view.leases) {
        if partitions.contains(partition) {
            change(lease, now_ms);
        }
    }
}
