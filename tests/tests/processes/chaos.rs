//! What goes wrong by a seed: processes that are killed with -9, networks that are cut or stall.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use sync_core::Random;
use tests::process::{Agent, Server};
use tests::proxy::{Mode, Proxy};

/// A span of time from which a moment is drawn, in milliseconds.
pub(super) type SpanMs = std::ops::Range<u64>;

pub(super) fn draw(random: &mut Random, span: &SpanMs) -> Duration {
    Duration::from_millis(span.start + random.below(span.end - span.start))
}

/// A process that can be killed and comes back.
pub(super) trait Victim: Send + 'static {
    fn kill(&mut self);
    fn come_back(&mut self) -> anyhow::Result<()>;
}

impl Victim for Agent {
    fn kill(&mut self) {
        Agent::kill(self);
    }

    fn come_back(&mut self) -> anyhow::Result<()> {
        self.start()
    }
}

impl Victim for Server {
    fn kill(&mut self) {
        Server::kill(self);
    }

    fn come_back(&mut self) -> anyhow::Result<()> {
        self.restart()
    }
}

/// Faults that go on until they are told to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    ended: Arc<AtomicBool>,
    kills: Arc<AtomicU64>,
}

impl Faults {
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn have_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// How often a process was killed.
    pub(super) fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    /// Kills a process at random moments and starts it again after a short random while. It runs when the faults have ended.
    pub(super) fn kill<V: Victim>(&self, mut victim: V, seed: u64, up: SpanMs, down: SpanMs) -> Killing<V> {
        let (faults, to_end) = (self.clone(), self.clone());
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(seed);
            loop {
                std::thread::sleep(draw(&mut random, &up));
                if faults.have_ended() {
                    return Ok(victim);
                }
                victim.kill();
                faults.kills.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(draw(&mut random, &down));
                victim.come_back().context("start again after a kill")?;
            }
        });
        Killing { thread: Some(thread), faults: to_end }
    }

    /// Lets a network be bad and good in turns; returns how long it was bad and for how long this went on. It is good when
    /// the faults have ended.
    pub(super) async fn disturb(self, proxy: Arc<Proxy>, seed: u64, good: SpanMs, bad: SpanMs) -> (Duration, Duration) {
        let mut random = Random::new(seed);
        let started = Instant::now();
        let mut bad_time = Duration::ZERO;
        while !self.have_ended() {
            proxy.set_mode(Mode::Pass);
            tokio::time::sleep(draw(&mut random, &good)).await;
            if self.have_ended() {
                break;
            }
            let mode = match random.below(3) {
                0 => Mode::Cut,
                1 => Mode::Stall,
                _ => Mode::DeafToClient,
            };
            proxy.set_mode(mode);
            let since = Instant::now();
            tokio::time::sleep(draw(&mut random, &bad)).await;
            bad_time += since.elapsed();
        }
        proxy.set_mode(Mode::Pass);
        (bad_time, started.elapsed())
    }
}

/// A process that is being killed. Dropped, it ends all faults and then the process, so that none is left behind.
#[derive(Debug)]
pub(super) struct Killing<V> {
    thread: Option<JoinHandle<anyhow::Result<V>>>,
    faults: Faults,
}

impl<V: Victim> Killing<V> {
    /// Waits until the faults have ended; returns the running process.
    pub(super) async fn survivor(mut self) -> anyhow::Result<V> {
        let thread = self.thread.take().context("it is waited for once")?;
        let join = tokio::task::spawn_blocking(|| thread.join());
        join.await.context("wait for the killer")?.map_err(|_| anyhow!("the killer panicked"))?
    }
}

impl<V> Drop for Killing<V> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.faults.end();
            let _ = thread.join();
        }
    }
}
