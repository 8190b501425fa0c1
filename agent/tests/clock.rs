//! A clock that jumps is marked for the auditor.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use agent::Running;
use agent::clock::Clock;
use agent::config::{Config, Sources};
use agent::run::run_with_clock;
use tokio::sync::oneshot;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs on by itself, and can be set.
struct Settable {
    since: Instant,
    set_ms: AtomicI64,
}

impl Clock for Settable {
    fn utc_ms(&self) -> i64 {
        let passed = i64::try_from(self.since.elapsed().as_millis()).expect("short");
        self.set_ms.load(Ordering::Relaxed) + passed
    }
}

async fn start(folder: &std::path::Path, clock: Arc<Settable>) -> (Running, oneshot::Sender<()>) {
    let flags = vec![("data_dir", folder.display().to_string()), ("http.listen", "127.0.0.1:0".to_owned())];
    let config = Config::load(&Sources { flags, ..Sources::none() }).expect("sound").config;
    let (stop, stopped) = oneshot::channel();
    let running = run_with_clock(config, clock, async move { drop(stopped.await) }).await.expect("starts");
    (running, stop)
}

/// The details of the marks, once there are so many.
async fn marks(running: &Running, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let marks = running.readers.read(|view| view.audit_marks(100)).await.expect("reads");
        if marks.len() >= count {
            assert!(marks.iter().all(|row| row.mark.action.as_str() == "clock_jumped"));
            return marks.into_iter().map(|row| row.mark.detail).collect();
        }
        assert!(Instant::now() < deadline, "{} of {count} marks", marks.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_is_marked_while_the_agent_runs_and_at_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Settable { since: Instant::now(), set_ms: AtomicI64::new(1_772_445_600_000) });
    let (running, stop) = start(folder.path(), Arc::clone(&clock)).await;
    clock.set_ms.fetch_sub(7_200_000, Ordering::Relaxed);
    let found = marks(&running, 1).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("the clock was set back by "), "{found:?}");
    drop(stop);
    running.finished().await.expect("ends");

    clock.set_ms.fetch_sub(86_400_000, Ordering::Relaxed);
    let (running, stop) = start(folder.path(), Arc::clone(&clock)).await;
    let found = marks(&running, 2).await;
    assert!(found[1].starts_with("at the start the clock stands ") && found[1].contains("before"), "{found:?}");
    drop(stop);
    running.finished().await.expect("ends");
}
