//! What is sold in a measurement: the generator's sales, as a till would command them.

use agent::clock::random_event_id;
use agent::db::Recorded;
use agent::http::from_wire;
use anyhow::{Context, bail};
use pos_model::{Epoch, EventId, Stamp};
use protocol::latest::{EventBody, OpenReason, SaleCompleted};
use uuid::Uuid;

use super::edge::{self, Command};
use crate::workload;

/// Distinct sales from which a backlog is made.
const TEMPLATES: u64 = 2_000;

/// The n-th command of a measurement.
pub fn command(number: u64) -> Command {
    from_wire::sale_of_lines(workload::sale(1, number)).expect("a generated sale obeys the rules")
}

/// Sales as an agent records them.
pub fn templates(seed: u64) -> anyhow::Result<Vec<SaleCompleted>> {
    let mut store = edge::open_in_memory()?;
    let at = Stamp { utc_ms: 1_785_024_000_000, offset_s: 0 };
    store.open_epoch(Epoch::new(seed), EventId::new(Uuid::from_u128(1)), at, OpenReason::Start, "bench")?;
    (0..TEMPLATES)
        .map(|number| {
            let (draft, digest) = from_wire::sale_of_lines(workload::sale(seed, number)).context("make a sale")?;
            let Recorded::New(_) = store.record_sale(draft, &digest, random_event_id(at.utc_ms)?, at)? else {
                bail!("generated sale {number} was not recorded");
            };
            let place = store.head().context("an epoch is open")?.place;
            let event = store.view().event(place)?.context("it was just recorded")?.event()?;
            match event.body {
                EventBody::SaleCompleted(sale) => Ok(*sale),
                _ => bail!("the newest event is no sale"),
            }
        })
        .collect()
}
