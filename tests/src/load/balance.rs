//! The balance: what the stores sold against what the centre holds, store by store, in sales and in money.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::sample::Centre;
use super::words::grouped;

/// Stores that are named in one list; the others are counted.
pub(super) const NAMED_MAX: usize = 20;

/// What a store sold, or what the centre holds of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Sales that count.
    pub(super) sales: u64,
    /// What customers paid for them, in minor units.
    pub(super) gross_minor: i64,
    /// Events that could not be applied.
    pub(super) parked: u64,
}

/// One store of the balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its id.
    pub(super) store: String,
    /// What it sold.
    pub(super) sums: Sums,
    /// Whether its sales lie on other dates than those of the run, or some of them are parked.
    pub(super) is_odd: bool,
}

/// The balance of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Sales that the stores made.
    pub made: u64,
    /// Sales that the centre confirmed to them.
    pub acked: u64,
    /// Sales that have to count at the centre: those that were made, without those that no centre can apply.
    pub expected: u64,
    /// Sales that count at the centre; none if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// What customers paid, in minor units.
    pub expected_minor: i64,
    /// What they paid according to the centre.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_minor: Option<i64>,
    /// Events that have to be parked.
    pub expected_parked: u64,
    /// Events that are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<u64>,
    /// Stores of which the centre holds something else than they sold, in words; at most twenty.
    pub differs: Vec<String>,
    /// How many there are.
    pub differing: u64,
    /// Stores whose sales are not all confirmed, in words; at most twenty.
    pub behind: Vec<String>,
}

impl Balance {
    /// Whether everything that was made is confirmed, and the centre holds exactly that, where it was asked.
    pub fn is_exact(&self) -> bool {
        self.made == self.acked && self.differing == 0
    }

    /// Compares with what the centre holds, store by store.
    pub(super) fn compare(&mut self, expected: &[Expected], held: &BTreeMap<String, Sums>) {
        let mut sums = Sums::default();
        for store in expected {
            let found = held.get(&store.store).copied().unwrap_or_default();
            sums.sales += found.sales;
            sums.gross_minor += found.gross_minor;
            sums.parked += found.parked;
            if found != store.sums {
                self.differing += 1;
                if self.differs.len() < NAMED_MAX {
                    let Sums { sales, gross_minor, parked } = store.sums;
                    self.differs.push(format!(
                        "{}: {} sales of {} and {} parked are there, {sales} of {gross_minor} and {parked} parked should be",
                        store.store, found.sales, found.gross_minor, found.parked
                    ));
                }
            }
        }
        (self.applied, self.applied_minor, self.parked) = (Some(sums.sales), Some(sums.gross_minor), Some(sums.parked));
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "made {}, confirmed {}", grouped(self.made), grouped(self.acked))?;
        if let Some(applied) = self.applied {
            write!(f, ", applied {} of {}", grouped(applied), grouped(self.expected))?;
        }
        if self.expected_parked > 0 || self.parked.is_some_and(|parked| parked > 0) {
            let parked = self.parked.unwrap_or_default();
            write!(f, ", parked {} of {}", grouped(parked), grouped(self.expected_parked))?;
        }
        write!(f, ": {}", if self.is_exact() { "exact" } else { "NOT EXACT" })
    }
}

/// Asks the centre what it holds of the stores of a run that began at a moment (milliseconds since 1970, UTC) with a
/// backlog of so many milliseconds.
pub(super) async fn ask(
    centre: &Centre,
    expected: &[Expected],
    begins_utc_ms: i64,
    backlog_ms: u64,
) -> anyhow::Result<BTreeMap<String, Sums>> {
    let day_ms = 86_400_000;
    let first = begins_utc_ms - i64::try_from(backlog_ms).unwrap_or(i64::MAX) - 2 * day_ms;
    let range = format!("?from={}&to={}", date(first)?, date(begins_utc_ms + 2 * day_ms)?);
    let mut held = BTreeMap::new();
    let in_one_answer = totals(centre, &range).await?;
    for store in expected {
        let rows = match &in_one_answer {
            Some(rows) if !store.is_odd => rows.get(&store.store).copied(),
            _ => totals(centre, &format!("?store={}", store.store))
                .await?
                .context("a store has too many days")?
                .remove(&store.store),
        };
        let mut sums = rows.unwrap_or_default();
        if store.is_odd {
            sums.parked = parked(centre, &store.store).await?;
        }
        held.insert(store.store.clone(), sums);
    }
    Ok(held)
}

fn date(utc_ms: i64) -> anyhow::Result<String> {
    let at = Timestamp::from_millisecond(utc_ms).context("a moment")?;
    Ok(at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

/// The totals of a question by store; none if it has more rows than one answer holds.
async fn totals(centre: &Centre, question: &str) -> anyhow::Result<Option<BTreeMap<String, Sums>>> {
    #[derive(Deserialize)]
    struct Row {
        store_id: String,
        sales: u64,
        gross_minor: i64,
    }
    #[derive(Deserialize)]
    struct Totals {
        rows: Vec<Row>,
    }
    let answer =
        centre.ask(Method::GET, &format!("/api/v1/totals{question}")).send().await.context("ask for totals")?;
    if answer.status() == StatusCode::UNPROCESSABLE_ENTITY {
        return Ok(None);
    }
    let status = answer.status();
    ensure!(status.is_success(), "the centre answered {status} when asked for its totals");
    let totals: Totals = answer.json().await.context("understand the totals")?;
    let mut stores: BTreeMap<String, Sums> = BTreeMap::new();
    for row in totals.rows {
        let sums = stores.entry(row.store_id).or_default();
        sums.sales += row.sales;
        sums.gross_minor += row.gross_minor;
    }
    Ok(Some(stores))
}

async fn parked(centre: &Centre, store: &str) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Page {
        parked: Vec<serde::de::IgnoredAny>,
        next_after: Option<i64>,
    }
    let (mut count, mut after) = (0, 0);
    loop {
        let path = format!("/api/v1/parked?store={store}&limit=500&after={after}");
        let answer = centre.ask(Method::GET, &path).send().await.context("ask for parked events")?;
        let page: Page = answer.error_for_status()?.json().await.context("understand the parked events")?;
        count += page.parked.len() as u64;
        match page.next_after {
            Some(next) => after = next,
            None => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let sums = |sales, gross_minor| Sums { sales, gross_minor, parked: 0 };
        let expected = |store: &str, sums| Expected { store: store.to_owned(), sums, is_odd: false };
        let stores = [expected("a", sums(2, 300)), expected("b", sums(1, 100)), expected("c", sums(1, 50))];
        let balance = || Balance { made: 4, acked: 4, expected: 4, expected_minor: 450, ..Balance::default() };
        let held = |b: Sums| BTreeMap::from([("a".into(), sums(2, 300)), ("b".into(), b), ("c".into(), sums(1, 50))]);
        let mut exact = balance();
        assert!(exact.is_exact(), "the centre was not asked");
        exact.compare(&stores, &held(sums(1, 100)));
        assert!(exact.is_exact() && exact.to_string().contains("applied 4 of 4: exact"), "{exact}");
        // Lost, doubled, the same number for other money, and a sale that is parked and should not be.
        for wrong in [sums(0, 0), sums(2, 200), sums(1, 99), Sums { parked: 1, ..sums(1, 100) }] {
            let mut differs = balance();
            differs.compare(&stores, &held(wrong));
            assert!(!differs.is_exact() && differs.differs[0].starts_with("b: "), "{differs:?}");
        }
        assert!(!Balance { acked: 3, ..balance() }.is_exact());
    }
}
