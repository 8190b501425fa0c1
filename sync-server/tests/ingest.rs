//! The ingest when its ledger fails, and when too much comes.

mod service_support;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::latest::Downlink;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use service_support::{Answered, Store};
use support::History;
use sync_core::ServerLimits;
use sync_core::server::Outcome;
use sync_server::credentials::Credentials;
use sync_server::ingest::{HANDED_OVER_MAX, Ingest, IngestParts};
use sync_server::ledger::{
    Correction, Credential, Job, Ledger, LedgerError, Note, ParkedFilter, ParkedRefused, ParkedStep, Repair,
    RestoreRefused, Restored, SecretHash, SqliteLedger, StoreStatus,
};
use sync_server::mqtt::{Limits, Listener, ListenerConfig};
use sync_server::price_watch::PriceWatch;
use sync_server::telemetry::Metrics;
use tokio::sync::{mpsc, oneshot};

/// A ledger whose disk fails for a while.
struct Flaky {
    ledger: SqliteLedger,
    failures_left: Arc<AtomicU32>,
}

impl Ledger for Flaky {
    fn apply(&mut self, group: &[Job], now_ms: i64) -> Result<Vec<Outcome>, LedgerError> {
        let fails = self.failures_left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(LedgerError::Damaged { what: "disk, for the sake of the test" });
        }
        self.ledger.apply(group, now_ms)
    }

    fn replay(&mut self, filter: &ParkedFilter, note: Option<&Note>, now_ms: i64) -> Result<ParkedStep, LedgerError> {
        self.ledger.replay(filter, note, now_ms)
    }

    fn fix(
        &mut self,
        parked_no: i64,
        correction: &Correction,
        note: &Note,
        now_ms: i64,
    ) -> Result<Result<(), ParkedRefused>, LedgerError> {
        self.ledger.fix(parked_no, correction, note, now_ms)
    }

    fn waive(&mut self, parked_no: i64, note: &Note, now_ms: i64) -> Result<Result<(), ParkedRefused>, LedgerError> {
        self.ledger.waive(parked_no, note, now_ms)
    }

    fn repair(&mut self, repair: &Repair, now_ms: i64) -> Result<(), LedgerError> {
        self.ledger.repair(repair, now_ms)
    }

    fn restore(&mut self, restored: &Restored, now_ms: i64) -> Result<Result<(), RestoreRefused>, LedgerError> {
        self.ledger.restore(restored, now_ms)
    }

    fn tidy(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }
}

struct Running {
    ingest: Ingest,
    mqtt: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    failures_left: Arc<AtomicU32>,
}

async fn start(limits: ServerLimits) -> Running {
    let credential = |store: &str| Credential {
        store: support::store_id(store),
        status: StoreStatus::Active,
        secret: Some(SecretHash::of(b"secret")),
    };
    let credentials: Arc<Credentials> = Arc::new(["S1", "S2"].map(credential).into_iter().collect());
    let (sender, messages) = mpsc::channel(HANDED_OVER_MAX);
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), tls: None, limits: Limits::standard() };
    let listener = Listener::bind(config, credentials.clone(), sender).await.expect("a free port");
    let mqtt = listener.local_addr();
    let failures_left = Arc::new(AtomicU32::new(0));
    let ledger = SqliteLedger::in_memory().expect("opens");
    let metrics = Arc::new(Metrics::new(&mut prometheus_client::registry::Registry::default()));
    let ingest = Ingest::start(IngestParts {
        comparing: None,
        messages,
        ledger: Box::new(Flaky { ledger, failures_left: Arc::clone(&failures_left) }),
        limits,
        server_epoch: 7,
        credentials,
        prices: PriceWatch::start(Box::new(SqliteLedger::in_memory().expect("opens")), Arc::clone(&metrics))
            .expect("starts"),
        metrics,
        router: listener.router(),
    });
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(listener.run(async {
        let _ = stopped.await;
    }));
    Running { ingest: ingest.expect("threads"), mqtt, stop, task, failures_left }
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("no panic");
        tokio::task::spawn_blocking(move || self.ingest.join()).await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_a_failed_commit_acknowledges_nothing_and_passes() {
    let running = start(ServerLimits::PRODUCTION).await;
    let mut store = Store::connect(running.mqtt, "S1", "secret").await.expect("let in");
    let mut a = History::open("S1", 1, None);
    a.sell_many(1, 3);
    let state = running.ingest.state();
    running.failures_left.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let Answered { puback, message } = store.say(&a.batch_message(1, 4)).await;
        assert_eq!((puback, message.is_none()), (PubAckReason::UnspecifiedError, true));
        assert!(!state.ledger_well());
        assert_eq!(state.credit().reason.as_str(), "failing", "stores are asked to wait");
    }
    match store.say(&a.batch_message(1, 4)).await {
        Answered { puback: PubAckReason::Success, message: Some(Downlink::Ack(ack)) } => {
            assert_eq!((ack.cursor, ack.credit.hold_ms), (a.mark(), 0));
        }
        other => panic!("{other:?}"),
    }
    service_support::eventually("the ledger is well", || async { state.ledger_well().then_some(()) }).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_to_come_back() {
    let running = start(ServerLimits { queue_bytes_max: 20_000, ..ServerLimits::PRODUCTION }).await;
    let mut store = Store::connect(running.mqtt, "S1", "secret").await.expect("let in");
    let mut a = History::open("S1", 1, None);
    a.sell_many(1, 100);
    let Answered { puback, message } = store.say(&a.batch_message(1, 101)).await;
    assert_eq!((puback, message.is_none()), (PubAckReason::QuotaExceeded, true));
    let Answered { puback, .. } = store.say(&a.batch_message(1, 3)).await;
    assert_eq!(puback, PubAckReason::Success);
    assert_eq!(running.ingest.state().queued(), (0, 0));
    running.stop().await;
}
