//! What a replay came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use pos_model::{Currency, Money, Quantity};
use serde::Serialize;

use super::refusal::RowNote;

/// How many refused rows the text names; `--refused` writes all.
const REFUSED_SHOWN: usize = 20;

/// The closing report. `rows_read` is the sum of the five kinds of rows below it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The source named by the mapping.
    pub source: String,
    /// The store whose ids the sales have.
    pub store: String,
    /// Whether every order got an answer.
    pub finished: bool,
    /// Why not.
    pub failure: Option<String>,
    /// Whether the same command goes on from where it stopped.
    pub resumes: bool,
    /// Whether the same command would fail again.
    #[serde(skip)]
    pub(super) hopeless: bool,
    /// True if nothing was sent.
    pub dry_run: bool,
    /// Rows of the file without its header.
    pub rows_read: u64,
    /// Rows in sales.
    pub rows_sold: u64,
    /// Rows of sales that were not reached.
    pub rows_open: u64,
    /// Rows that `--where` or `--limit` did not pick.
    pub rows_not_picked: u64,
    /// Rows that the mapping leaves out, by its reason.
    pub rows_left_out: BTreeMap<String, u64>,
    /// Rows that were refused.
    pub rows_refused: u64,
    /// Orders of which no row was left to sell.
    pub orders_empty: u64,
    /// Sales that this run made.
    pub sales_new: u64,
    /// Sales that had been made before.
    pub sales_already_there: u64,
    /// Orders that the agent refused.
    pub sales_refused: u64,
    /// Sales that were not reached.
    pub sales_open: u64,
    /// Lines of the sales, new and already there.
    pub lines: u64,
    /// Their units.
    #[serde(serialize_with = "as_text")]
    pub units: Quantity,
    /// What they come to.
    pub amount_minor: Money,
    /// In which currency.
    pub currency: Currency,
    /// How long it took.
    pub duration_ms: u64,
    /// Answered sales per second.
    pub sales_per_s: u64,
    /// The time until the agent answered, retries not counted: half of the answers came sooner.
    pub p50_us: u64,
    /// All but one in a hundred came sooner.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// How often a request was sent again.
    pub retries: u64,
    /// The refused rows in order of their lines.
    pub refused: Vec<RowNote>,
    /// The rows left out, in order of their lines.
    #[serde(skip)]
    pub left_out: Vec<RowNote>,
}

fn as_text<S: serde::Serializer>(quantity: &Quantity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(quantity)
}

impl Report {
    /// Sets the times. Latencies need no order.
    pub(super) fn set_times(&mut self, took: Duration, mut latencies_us: Vec<u32>) {
        latencies_us.sort_unstable();
        self.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let answered = u64::try_from(latencies_us.len()).unwrap_or(u64::MAX);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.sales_per_s = answered.saturating_mul(1_000_000) / took_us;
        self.p50_us = percentile(&latencies_us, 50);
        self.p99_us = percentile(&latencies_us, 99);
        self.max_us = percentile(&latencies_us, 100);
    }

    /// Adds the rows of refused sales and puts all in order.
    pub(super) fn set_refused(&mut self, mut refused: Vec<RowNote>) {
        refused.sort_by_key(|note| note.line);
        self.rows_refused = u64::try_from(refused.len()).unwrap_or(u64::MAX);
        self.refused = refused;
    }

    /// All refused and left-out rows as CSV: `line,kind,reason`.
    pub fn write_refused(&self, to: impl std::io::Write) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(to);
        writer.write_record(["line", "kind", "reason"])?;
        for (kind, notes) in [("refused", &self.refused), ("left_out", &self.left_out)] {
            for note in notes {
                writer.write_record([&note.line.to_string(), kind, &note.reason])?;
            }
        }
        writer.flush()?;
        Ok(())
    }
}

/// The nearest rank: the smallest value that so many percent do not exceed. Zero if there is none.
fn percentile(sorted: &[u32], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().map_or(0, u64::from)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = String::new();
        for note in self.refused.iter().take(REFUSED_SHOWN) {
            write!(rest, "\n  line {}: {}", note.line, note.reason)?;
        }
        if let Some(more) = self.refused.len().checked_sub(REFUSED_SHOWN).filter(|&more| more > 0) {
            write!(rest, "\n  and {more} more (--refused FILE writes all)")?;
        }
        let left_out: u64 = self.rows_left_out.values().sum();
        writeln!(f, "rows read       {:>10}", self.rows_read)?;
        writeln!(f, "  sold          {:>10}", self.rows_sold)?;
        writeln!(f, "  not picked    {:>10}", self.rows_not_picked)?;
        writeln!(f, "  left out      {left_out:>10}")?;
        for (reason, count) in &self.rows_left_out {
            writeln!(f, "                {count:>10}  {reason}")?;
        }
        writeln!(f, "  refused       {:>10}{rest}", self.rows_refused)?;
        if self.rows_open > 0 {
            writeln!(f, "  not reached   {:>10}", self.rows_open)?;
        }
        if self.orders_empty > 0 {
            writeln!(f, "orders without goods {:>5}", self.orders_empty)?;
        }
        if self.dry_run {
            writeln!(f, "sales to make   {:>10}  nothing was sent (--dry-run)", self.sales_open)?;
        } else {
            let sales = self.sales_new.saturating_add(self.sales_already_there);
            writeln!(
                f,
                "sales           {sales:>10}  {} new, {} already there",
                self.sales_new, self.sales_already_there
            )?;
            if self.sales_refused > 0 {
                writeln!(f, "  refused       {:>10}", self.sales_refused)?;
            }
            if self.sales_open > 0 {
                writeln!(f, "  not reached   {:>10}", self.sales_open)?;
            }
        }
        let amount = self.amount_minor.display(self.currency).to_string();
        writeln!(f, "amount {amount:>19} {} in {} lines, {} units", self.currency, self.lines, self.units)?;
        if !self.dry_run {
            let ms = |us: u64| format!("{}.{:01} ms", us / 1_000, us % 1_000 / 100);
            writeln!(
                f,
                "took            {:>8}.{} s  {} sales/s, answer p50 {}, p99 {}, max {}, {} sent again",
                self.duration_ms / 1_000,
                self.duration_ms % 1_000 / 100,
                self.sales_per_s,
                ms(self.p50_us),
                ms(self.p99_us),
                ms(self.max_us),
                self.retries,
            )?;
        }
        match &self.failure {
            Some(failure) if self.resumes => {
                writeln!(
                    f,
                    "NOT FINISHED: {failure}. The same command asks for what is sold already, and goes on from here."
                )
            }
            Some(failure) => writeln!(f, "NOT FINISHED: {failure}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&hundred, percent)), [50, 99, 100]);
        assert_eq!([50, 99, 100].map(|percent| percentile(&[7], percent)), [7, 7, 7]);
        assert_eq!(percentile(&[], 99), 0);
    }
}
