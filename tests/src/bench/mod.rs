//! The measurements. Each case prints its settings and progress on standard error and ends with one JSON line on
//! standard output. Ours and the bare limit are measured in turn in the same run, because absolute figures drift.

pub mod backlog;
pub mod bare;
mod bare_postgres;
pub mod counter;
pub mod drain;
pub mod edge;
pub mod footprint;
mod machine;
pub mod price;
pub mod sales;
pub mod shapes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

pub use machine::{Machine, peak_rss_kb, rss_kb};

/// The closing line of a case. What does not apply to it is left out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The case's name.
    pub case: &'static str,
    /// What was measured, how, and on which machine.
    pub settings: serde_json::Value,
    /// Ours, the median over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sales_per_s: Option<u64>,
    /// The bare limit, the median over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_per_s: Option<u64>,
    /// Ours to bare: the median of the rounds' own ratios, with three decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<serde_json::Number>,
    /// Median latency in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// The latency that 99 of 100 stay below, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
    /// The longest latency, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
    /// Resident memory at its peak, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_mb: Option<u64>,
    /// From the start of the process until it was ready, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// What else a case measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<serde_json::Value>,
    /// Every round, for whoever wants to see the spread.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
}

/// One round: ours and the bare limit, back to back.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// Ours, in sales per second.
    pub sales_per_s: u64,
    /// The bare limit, in sales per second.
    pub bare_per_s: u64,
}

impl Round {
    /// Ours in thousandths of bare.
    pub fn ratio_permille(self) -> u64 {
        (self.sales_per_s * 1000).checked_div(self.bare_per_s).unwrap_or(0)
    }
}

impl Report {
    /// Fills in the medians over the rounds.
    #[must_use]
    pub fn with_rounds(mut self, rounds: Vec<Round>) -> Self {
        self.sales_per_s = median(rounds.iter().map(|round| round.sales_per_s));
        self.bare_per_s = median(rounds.iter().map(|round| round.bare_per_s));
        self.ratio = median(rounds.iter().map(|round| round.ratio_permille())).and_then(permille_as_number);
        self.rounds = rounds;
        self
    }
}

/// A decimal with three places, without a detour over floating point.
fn permille_as_number(permille: u64) -> Option<serde_json::Number> {
    serde_json::from_str(&format!("{}.{:03}", permille / 1000, permille % 1000)).ok()
}

/// The middle one; the lower of the two middle ones of an even number.
pub fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// How many per second.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// The folder on the disk that is to be measured: `BREAKWATER_BENCH_DIR`, or the system's temporary one.
pub(crate) fn base_folder() -> PathBuf {
    std::env::var_os("BREAKWATER_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A fresh folder for a case, on the disk that is to be measured.
pub fn folder() -> anyhow::Result<tempfile::TempDir> {
    let base = base_folder();
    tempfile::Builder::new()
        .prefix("breakwater-bench-")
        .tempdir_in(&base)
        .with_context(|| format!("make a folder in {}", base.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([5].into_iter()), Some(5));
        assert_eq!(median([9, 1, 5].into_iter()), Some(5));
        assert_eq!(median([9, 1, 5, 2].into_iter()), Some(2));
        let rounds = vec![Round { sales_per_s: 812, bare_per_s: 1000 }, Round { sales_per_s: 900, bare_per_s: 600 }];
        let report = Report { case: "x", ..Report::default() }.with_rounds(rounds);
        assert_eq!(report.ratio.map(|ratio| ratio.to_string()).as_deref(), Some("0.812"));
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
    }
}
