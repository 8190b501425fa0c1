//! What a run shows: counters that every store moves, and a row for each second.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use hdrhistogram::Histogram;
use protocol::latest::Credit;
use serde::Serialize;

/// The longest latency that is told apart, in microseconds: forty days.
const LATENCY_US_MAX: u64 = 40 * 86_400 * 1_000_000;

/// How many decimal digits of a latency are kept.
const LATENCY_DIGITS: u8 = 3;

/// Of a store that owes nothing.
pub(super) const NOTHING_OWED: i64 = i64::MAX;

/// What one store has done.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sales: AtomicU64,
    pub(super) acked: AtomicU64,
    /// The moment of its oldest sale that is not confirmed, in milliseconds since the beginning.
    pub(super) oldest_ms: AtomicI64,
}

/// Where all stores of a run write down what they do.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) stores: Vec<Line>,
    /// Sales by the second in which they were made.
    pub(super) made_in: Vec<AtomicU64>,
    pub(super) acked: AtomicU64,
    /// Sales that were made before the run or while the store had no line, and those of them that are confirmed.
    pub(super) stale: AtomicU64,
    pub(super) stale_acked: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) batch_events: AtomicU64,
    pub(super) batch_bytes: AtomicU64,
    pub(super) parked: AtomicU64,
    latencies: Mutex<Latencies>,
}

/// Latencies in microseconds, and the credit that was granted.
#[derive(Debug)]
pub(super) struct Latencies {
    /// Fresh sales of ordinary stores in this second.
    pub(super) second: Histogram<u64>,
    /// Fresh sales of ordinary stores in the whole run.
    pub(super) fresh: Histogram<u64>,
    /// Fresh sales of odd stores.
    pub(super) odd: Histogram<u64>,
    pub(super) grants: u64,
    pub(super) granted_events: u64,
    pub(super) granted_events_min: u32,
    pub(super) hold_ms: u64,
    pub(super) hold_ms_max: u32,
}

impl Board {
    pub(super) fn new(stores: usize, lasts_ms: u64) -> anyhow::Result<Self> {
        let line =
            || Line { sales: AtomicU64::new(0), acked: AtomicU64::new(0), oldest_ms: AtomicI64::new(NOTHING_OWED) };
        let seconds = usize::try_from(lasts_ms / 1000).context("a run of so many seconds")? + 2;
        let latencies = Latencies {
            second: histogram()?,
            fresh: histogram()?,
            odd: histogram()?,
            grants: 0,
            granted_events: 0,
            granted_events_min: u32::MAX,
            hold_ms: 0,
            hold_ms_max: 0,
        };
        Ok(Self {
            stores: (0..stores).map(|_| line()).collect(),
            made_in: (0..seconds).map(|_| AtomicU64::new(0)).collect(),
            acked: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            stale_acked: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            batch_events: AtomicU64::new(0),
            batch_bytes: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
        })
    }

    pub(super) fn latencies(&self) -> MutexGuard<'_, Latencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn credited(&self, credit: Credit) {
        let mut latencies = self.latencies();
        latencies.grants += 1;
        latencies.granted_events += u64::from(credit.events);
        latencies.granted_events_min = latencies.granted_events_min.min(credit.events);
        latencies.hold_ms += u64::from(credit.hold_ms);
        latencies.hold_ms_max = latencies.hold_ms_max.max(credit.hold_ms);
    }

    /// All sales of all stores so far.
    pub(super) fn sales(&self) -> u64 {
        self.stores.iter().map(|line| line.sales.load(Ordering::Relaxed)).sum()
    }

    /// The age of the oldest sale of any store that is not confirmed, in milliseconds.
    pub(super) fn oldest_age_ms(&self, at_ms: i64) -> u64 {
        let oldest = self.stores.iter().map(|line| line.oldest_ms.load(Ordering::Relaxed)).min();
        let age = oldest.filter(|oldest| *oldest != NOTHING_OWED).map_or(0, |oldest| at_ms.saturating_sub(oldest));
        u64::try_from(age).unwrap_or(0)
    }
}

pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS).context("make a histogram")
}

/// One second of a run. Counts are those of the second, levels those at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Seconds since the beginning.
    pub second: u64,
    /// Sales made.
    pub made: u64,
    /// Sales that the centre confirmed.
    pub acked: u64,
    /// Events that the centre says it applied, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// Sales that are not confirmed.
    pub backlog: u64,
    /// Those of them that were made before the run or without a line.
    pub stale: u64,
    /// The age of the oldest of them, in milliseconds.
    pub oldest_ms: u64,
    /// Stores that are connected.
    pub connections: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Connections that ended.
    pub lost: u64,
    /// Connections that could not be made although the line was up.
    pub turned_away: u64,
    /// Messages that were refused for overload.
    pub refused: u64,
    /// Batches sent.
    pub batches: u64,
    /// Events in them.
    pub batch_events: u64,
    /// Bytes in them.
    pub batch_bytes: u64,
    /// Events that a store may send in one batch: the mean over the grants of the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_events: Option<u64>,
    /// The smallest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_events_min: Option<u64>,
    /// How long a store has to wait first: the mean, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// The longest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_ms_max: Option<u64>,
    /// From a fresh sale's moment to its ack: the median of the second, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// The same below which 99 of 100 stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
    /// What a till waited for its answer: the median of the second, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub till_p50_us: Option<u64>,
    /// The same below which 99 of 100 stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub till_p99_us: Option<u64>,
    /// The server's resident memory, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_kb: Option<u64>,
    /// The server's use of processors in the second, in thousandths of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_permille: Option<u64>,
    /// What the commit of a group takes at the centre: the mean, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_us: Option<u64>,
    /// Bytes that wait for the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// The load generator's own resident memory, in KiB.
    pub own_rss_kb: u64,
    /// The load generator's own use of processors, in thousandths of one.
    pub own_cpu_permille: u64,
}

/// A distribution of latencies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// Nine of ten stay below.
    pub p90_us: u64,
    /// 99 of 100 stay below.
    pub p99_us: u64,
    /// 999 of 1000 stay below.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Spread {
    /// Of a histogram in microseconds; none of an empty one.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile);
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        })
    }
}
