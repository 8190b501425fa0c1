//! Whether the books balance: the counters of stock computed again from the events.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, Epoch, ItemId, Quantity};
use protocol::latest::{EventBody, StockMovement, decode_event};
use rusqlite::params;
use till::stock::{CounterKey, Counters, Totals};

use super::on_hand::{read_item, read_totals};
use crate::db::error::{Doing, Error};
use crate::db::view::View;

/// Differences that are kept for a report: a person looks at the first ones, and the number of all.
const DIFFERENCES_MAX: usize = 1000;

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StockCheck {
    /// The business dates that were compared.
    pub compared: BTreeSet<BusinessDate>,
    /// The business dates that could not be, because not all of their events or counters are held any more, or one of the
    /// events cannot be understood.
    pub out_of_reach: BTreeSet<BusinessDate>,
    /// Counters that are not what the events come to, in order; at most a thousand.
    pub differences: Vec<StockDifference>,
    /// How many there are.
    pub differences_count: u64,
}

/// A counter that is not what the events come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockDifference {
    /// Which one.
    pub key: CounterKey,
    /// What the counter says.
    pub counted: Totals,
    /// What the events come to.
    pub from_events: Totals,
}

/// How many facts of a business date there are, by their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Facts {
    sales: u64,
    movements: u64,
    refunds: u64,
}

impl Facts {
    fn covers(self, known: Self) -> bool {
        self.sales >= known.sales && self.movements >= known.movements && self.refunds >= known.refunds
    }
}

/// What the events that are held come to.
#[derive(Default)]
struct FromEvents {
    counters: Counters,
    facts: BTreeMap<BusinessDate, Facts>,
    /// Dates of movements of a kind that only a newer program understands.
    not_understood: BTreeSet<BusinessDate>,
}

impl View<'_> {
    /// Computes what was used and added from the events that are held, and compares it with the counters. A business date
    /// is compared if the events of all its sales, movements and refunds are held. It reads one state of the books, so it
    /// keeps the log from being emptied while it runs. An event that cannot be read is for [`View::verify`] to tell; here
    /// its date is out of reach.
    pub fn check_stock(&self) -> Result<StockCheck, Error> {
        self.consistent(|view| {
            let mut from_events = FromEvents::default();
            view.walk_stock_events(&mut from_events)?;
            let counters = view.stock_counters()?;
            let known = view.known_facts()?;
            let oldest = view.oldest_held_of_stock()?;
            Ok(compare(&counters, &known, &from_events, oldest))
        })
    }

    fn walk_stock_events(&self, into: &mut FromEvents) -> Result<(), Error> {
        let doing = "walk the events of stock";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT bytes FROM event WHERE position BETWEEN ?1 AND ?2
                    AND kind IN ('sale_completed', 'stock_moved', 'refund_completed') ORDER BY position",
            )
            .doing(doing)?;
        for epoch in self.epoch_rows()? {
            let report = epoch.report;
            let mut rows = select
                .query(params![epoch.base + report.first_held.to_sql(), epoch.base + report.head.to_sql()])
                .doing(doing)?;
            while let Some(row) = rows.next().doing(doing)? {
                let bytes = row.get_ref(0).and_then(|value| Ok(value.as_blob()?)).doing(doing)?;
                if let Ok(event) = decode_event(bytes) {
                    into.take(report.epoch, event.body);
                }
            }
        }
        Ok(())
    }

    fn stock_counters(&self) -> Result<Counters, Error> {
        let doing = "read the counters of stock";
        let mut counters = Counters::default();
        let mut select = self
            .connection
            .prepare_cached("SELECT business_date, item_id, epoch, added_micro, used_micro FROM stock_day")
            .doing(doing)?;
        let mut rows = select.query([]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let key = CounterKey {
                business_date: BusinessDate::from_days(row.get(0).doing(doing)?),
                item_id: read_item(row, 1)?,
                epoch: Epoch::from_sql(row.get(2).doing(doing)?),
            };
            counters.count(key, read_totals(row, 3)?);
        }
        Ok(counters)
    }

    fn known_facts(&self) -> Result<BTreeMap<BusinessDate, Facts>, Error> {
        let doing = "count the facts of stock";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT business_date, sales, 0, 0 FROM day_total
                 UNION ALL SELECT business_date, 0, count(*), 0 FROM stock_movement GROUP BY business_date
                 UNION ALL SELECT business_date, 0, 0, refunds FROM stock_restocked",
            )
            .doing(doing)?;
        let mut rows = select.query([]).doing(doing)?;
        let mut facts: BTreeMap<BusinessDate, Facts> = BTreeMap::new();
        while let Some(row) = rows.next().doing(doing)? {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs).doing(doing);
            let date = facts.entry(BusinessDate::from_days(row.get(0).doing(doing)?)).or_default();
            date.sales += number(1)?;
            date.movements += number(2)?;
            date.refunds += number(3)?;
        }
        Ok(facts)
    }
}

impl FromEvents {
    fn take(&mut self, epoch: Epoch, body: EventBody) {
        match body {
            EventBody::SaleCompleted(sale) => {
                self.facts.entry(sale.business_date).or_default().sales += 1;
                let items = sale.lines.into_iter().flat_map(|line| line.consumption);
                let items = items.map(|item| (item.item_id, item.quantity));
                self.count(epoch, sale.business_date, items, Totals::used);
            }
            EventBody::RefundCompleted(refund) => {
                let items = refund.lines.into_iter().flat_map(|line| line.restocked);
                let items: Vec<(ItemId, Quantity)> = items
                    .map(|item| (item.item_id, item.quantity))
                    .filter(|(_, much)| *much > Quantity::ZERO)
                    .collect();
                if !items.is_empty() {
                    self.facts.entry(refund.business_date).or_default().refunds += 1;
                }
                self.count(epoch, refund.business_date, items, Totals::added);
            }
            EventBody::StockMoved(moved) => {
                let date = moved.business_date;
                self.facts.entry(date).or_default().movements += 1;
                let items = moved.items.into_iter().map(|item| (item.item_id, item.quantity));
                match moved.kind {
                    StockMovement::Received | StockMovement::TransferredIn => {
                        self.count(epoch, date, items, Totals::added);
                    }
                    StockMovement::Wasted | StockMovement::TransferredOut => {
                        self.count(epoch, date, items, Totals::used);
                    }
                    StockMovement::Other => drop(self.not_understood.insert(date)),
                }
            }
            _ => {}
        }
    }

    fn count(
        &mut self,
        epoch: Epoch,
        business_date: BusinessDate,
        items: impl IntoIterator<Item = (ItemId, Quantity)>,
        as_totals: fn(Quantity) -> Totals,
    ) {
        for (item_id, quantity) in items.into_iter().filter(|(_, quantity)| *quantity > Quantity::ZERO) {
            self.counters.count(CounterKey { business_date, item_id, epoch }, as_totals(quantity));
        }
    }
}

fn compare(
    counters: &Counters,
    known: &BTreeMap<BusinessDate, Facts>,
    from_events: &FromEvents,
    oldest: Option<BusinessDate>,
) -> StockCheck {
    let keys: BTreeSet<&CounterKey> = counters.iter().chain(from_events.counters.iter()).map(|(key, _)| key).collect();
    let mut check = StockCheck::default();
    for date in keys.iter().map(|key| key.business_date).chain(known.keys().copied()) {
        let held = from_events.facts.get(&date).copied().unwrap_or_default();
        let is_whole = held.covers(known.get(&date).copied().unwrap_or_default());
        let is_counted = oldest.is_none_or(|oldest| date >= oldest);
        if is_whole && is_counted && !from_events.not_understood.contains(&date) {
            check.compared.insert(date);
        } else {
            check.out_of_reach.insert(date);
        }
    }
    for key in keys.into_iter().filter(|key| check.compared.contains(&key.business_date)) {
        let (counted, computed) = (counters.get(key), from_events.counters.get(key));
        if counted != computed {
            check.differences_count += 1;
            if check.differences.len() < DIFFERENCES_MAX {
                check.differences.push(StockDifference { key: key.clone(), counted, from_events: computed });
            }
        }
    }
    check
}
