//! What the server says of itself, and what the system says of processes.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::bench::rss_kb;

/// How long the server may take to show its metrics. A late answer is left out.
const METRICS_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that is looked at again and again.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    before: Option<(Instant, u64)>,
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, before: None }
    }

    /// Resident memory in KiB, and the use of processors since the last look in thousandths of one.
    pub(super) fn look(&mut self) -> (Option<u64>, Option<u64>) {
        let cpu = cpu_ms(self.pid).map(|ms| (Instant::now(), ms));
        let used = match (self.before, cpu) {
            (Some((then, before)), Some((now, after))) => {
                let passed = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX).max(1);
                Some(after.saturating_sub(before) * 1000 / passed)
            }
            _ => None,
        };
        self.before = cpu;
        (rss_kb(self.pid), used)
    }
}

/// Processor time that a process has used so far, in milliseconds.
pub fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th fields behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// What the server's metrics say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Metrics {
    /// Events applied since it started.
    pub(super) applied: Option<u64>,
    /// Bytes that wait for the ledger.
    pub(super) queue_bytes: Option<u64>,
    /// Groups that it committed.
    pub(super) commits: Option<u64>,
    /// What they took, in microseconds.
    pub(super) commits_us: Option<u64>,
}

/// Asks a server for its metrics.
#[derive(Debug, Clone)]
pub struct Centre {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Centre {
    /// A server's HTTP address, such as `http://127.0.0.1:8080`, with the token of its API if it asks for one.
    pub fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        // Another part of the program may have chosen a provider before; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build();
        Ok(Self { client: client.context("make an HTTP client")?, url: url.trim_end_matches('/').to_owned(), token })
    }

    /// A question to it.
    pub(super) fn ask(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(super) async fn metrics(&self) -> Option<Metrics> {
        let answer = self.ask(reqwest::Method::GET, "/metrics").timeout(METRICS_TIMEOUT).send().await.ok()?;
        Some(read_metrics(&answer.error_for_status().ok()?.text().await.ok()?))
    }
}

fn read_metrics(text: &str) -> Metrics {
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.split(' ').next()
    };
    let value = |name: &str| word(name)?.split('.').next()?.parse().ok();
    let micros = |name: &str| {
        let took = Duration::try_from_secs_f64(word(name)?.parse().ok()?).ok()?;
        u64::try_from(took.as_micros()).ok()
    };
    Metrics {
        applied: value("breakwater_ingest_applied_events_total"),
        queue_bytes: value("breakwater_queue_bytes"),
        commits: value("breakwater_ledger_commit_seconds_count"),
        commits_us: micros("breakwater_ledger_commit_seconds_sum"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read() {
        let text = "# TYPE x\nbreakwater_ingest_applied_events_total 1234\nbreakwater_queue_bytes_max 7\nbreakwater_queue_bytes 56\n\
                    breakwater_ledger_commit_seconds_sum 1.5e-3\nbreakwater_ledger_commit_seconds_count 3\n";
        let expected =
            Metrics { applied: Some(1234), queue_bytes: Some(56), commits: Some(3), commits_us: Some(1_500) };
        assert_eq!(read_metrics(text), expected);
        assert_eq!(read_metrics(""), Metrics::default());
    }

    #[test]
    fn own_processor_time_grows() {
        let mut own = Process::new(std::process::id());
        let (rss, used) = own.look();
        assert!(rss.is_some() && used.is_none());
        let before = cpu_ms(std::process::id()).expect("readable");
        let deadline = Instant::now() + Duration::from_secs(30);
        while cpu_ms(std::process::id()).expect("readable") < before + 30 && Instant::now() < deadline {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
        assert!(own.look().1.is_some_and(|permille| permille > 0));
    }
}
