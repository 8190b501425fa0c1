//! The balance: what the tills were promised against what the centre holds, sale by sale.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context;
use serde::Deserialize;

use super::till::Sold;

/// What was sold and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Sales that an agent answered.
    pub sold: u64,
    /// Sales that count at the centre.
    pub applied: u64,
    /// Sales that were answered and are not at the centre.
    pub lost: u64,
    /// Sales that count at the centre beyond those that were answered.
    pub doubled: u64,
    /// What the tills were told that customers paid, in minor units.
    pub sold_minor: i64,
    /// What customers paid according to the centre, in minor units.
    pub applied_minor: i64,
}

impl Balance {
    /// Whether the books agree.
    pub fn is_square(&self) -> bool {
        self.sold == self.applied && self.lost == 0 && self.doubled == 0 && self.sold_minor == self.applied_minor
    }

    /// Asks the centre for every single sale, and for its sums.
    pub(super) async fn draw_up(client: &reqwest::Client, server: &str, sold: &[Sold]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Row {
            sales: u64,
            gross_minor: i64,
        }
        #[derive(Deserialize)]
        struct Totals {
            rows: Vec<Row>,
        }
        let distinct: BTreeSet<_> = sold.iter().map(|sale| sale.sale_id).collect();
        let mut found = 0;
        for sale_id in &distinct {
            let url = format!("{server}/api/v1/sales/{sale_id}");
            let status = client.get(&url).send().await.context("ask for a sale")?.status();
            anyhow::ensure!(status.is_success() || status.as_u16() == 404, "the centre answered {status} for a sale");
            found += u64::from(status.is_success());
        }
        let totals: Totals = client
            .get(format!("{server}/api/v1/totals"))
            .send()
            .await
            .context("ask for the totals")?
            .json()
            .await
            .context("understand the totals")?;
        let applied = totals.rows.iter().map(|row| row.sales).sum();
        Ok(Self {
            sold: distinct.len() as u64,
            applied,
            lost: distinct.len() as u64 - found,
            doubled: u64::saturating_sub(applied, found),
            sold_minor: sold.iter().map(|sale| sale.total_minor).sum(),
            applied_minor: totals.rows.iter().map(|row| row.gross_minor).sum(),
        })
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sold, applied, lost, doubled, .. } = self;
        write!(f, "sold {sold}, applied {applied}, lost {lost}, doubled {doubled}")
    }
}
