//! Stock: what came in and went out, what was counted, and what is on hand.
//!
//! # What holds
//!
//! 1. Counters of what was added and used only grow, one pair for each business date, item and epoch. A sale adds to its
//!    items' counters in its own database transaction, one statement for each item, and nothing else of stock is on its
//!    way.
//! 2. What is on hand is the item's last count, and what its counters have grown by since that count's frontier
//!    (`till::stock`). The count keeps the sums at its frontier, so nobody walks the history. What was sold or moved after
//!    the frontier comes on top, whatever business date it names: also an imported sale of last year.
//! 3. A count that began is kept until it is finished or abandoned, over restarts. Counts may overlap. An item that another
//!    count has settled since this one began is refused when this one is finished, and the whole command with it: two
//!    numbers for one shelf are for a person to decide on. So the counts of an item have frontiers in the order of their
//!    ends.
//! 4. Stock never refuses a sale. Below zero it is flagged.
//!
//! # Layout
//!
//! `movement`, `count` are the operations; `on_hand` reads; `past` keeps the tables of recent counters small, so that adding
//! them up takes a millisecond or so, also on the writer's thread when a count begins; `check` computes the counters again
//! from the events.

mod check;
mod count;
mod movement;
mod on_hand;
mod past;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pos_model::BusinessDate;
use protocol::latest::Consumption;
use rusqlite::params;
use till::stock::StockRefusal;

use super::command::Refused;
use super::error::{Doing, Error};
use super::store::Store;

pub use check::{StockCheck, StockDifference};
pub use count::{BeginCount, FinishCount};
pub use on_hand::{ItemStock, LastCount};

/// SQLite makes a sum that leaves 64 bits a floating-point number, which is larger than the bound.
const USE: &str = "INSERT INTO stock_usage (business_date, item_id, epoch, used_micro) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET used_micro = min(used_micro + excluded.used_micro, 9223372036854775807)";

const ADD: &str = "INSERT INTO stock_added (business_date, item_id, epoch, added_micro) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO UPDATE SET added_micro = min(added_micro + excluded.added_micro, 9223372036854775807)";

impl Store {
    /// Counts what was used, in millionths per item. Within an operation.
    pub(super) fn use_stock<'i>(
        &self,
        business_date: BusinessDate,
        used: impl IntoIterator<Item = (&'i str, i64)>,
    ) -> Result<(), Error> {
        self.count_up(USE, "write the use of stock", business_date, used)
    }

    fn add_stock<'i>(
        &self,
        business_date: BusinessDate,
        added: impl IntoIterator<Item = (&'i str, i64)>,
    ) -> Result<(), Error> {
        self.count_up(ADD, "write what was added to stock", business_date, added)
    }

    fn count_up<'i>(
        &self,
        upsert: &str,
        doing: &'static str,
        business_date: BusinessDate,
        items: impl IntoIterator<Item = (&'i str, i64)>,
    ) -> Result<(), Error> {
        let (epoch, _) = self.tail.current.ok_or(Error::NoEpoch)?;
        let mut upsert = self.connection.prepare_cached(upsert).doing(doing)?;
        for (item_id, micro) in items.into_iter().filter(|(_, micro)| *micro > 0) {
            upsert.execute(params![business_date.days(), item_id, epoch.to_sql(), micro]).doing(doing)?;
        }
        Ok(())
    }

    /// Puts what a refund has brought back into stock again: all that its event says, over all of its lines. Once for each
    /// refund, within the operation that records it; the refund's event is the fact, so there is no event of its own.
    pub fn restock<'i>(
        &mut self,
        business_date: BusinessDate,
        restocked: impl IntoIterator<Item = &'i Consumption>,
    ) -> Result<(), Error> {
        let mut added: BTreeMap<&str, i64> = BTreeMap::new();
        for Consumption { item_id, quantity } in restocked {
            if quantity.micro() > 0 {
                let sum = added.entry(item_id.as_str()).or_default();
                *sum = sum.saturating_add(quantity.micro());
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        self.add_stock(business_date, added)?;
        self.connection
            .prepare_cached(
                "INSERT INTO stock_restocked (business_date, refunds) VALUES (?1, 1)
                 ON CONFLICT DO UPDATE SET refunds = refunds + 1",
            )
            .and_then(|mut upsert| upsert.execute([business_date.days()]))
            .doing("count a refund that put something back")
            .map(drop)
    }
}

fn refused(refusal: StockRefusal) -> Error {
    Refused::rule(refusal.message_key(), refusal).into()
}
