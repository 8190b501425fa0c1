//! What is on hand.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, ItemId, MovementId, Quantity};
use rusqlite::{Row, params};
use till::stock::{CountedAt, Cover, CoverRule, RecentUse, StockFlag, Totals, cover, flags, on_hand};
use uuid::Uuid;

use crate::db::error::{Doing, Error};
use crate::db::view::View;

/// An item and what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStock {
    /// What is there; below zero if more was used than is known to have come in.
    pub on_hand: Quantity,
    /// For how long it lasts.
    pub cover: Cover,
    /// What somebody should look at.
    pub flags: Vec<StockFlag>,
    /// The use by which the cover was reckoned.
    pub recent: RecentUse,
    /// What came and went since the last count; since ever, if there was none.
    pub since: Totals,
    /// The last count.
    pub last: Option<LastCount>,
}

impl ItemStock {
    /// Of an item of which nothing has happened yet.
    pub fn unknown(rule: CoverRule) -> Self {
        item_stock(Totals::default(), None, RecentUse::default(), rule)
    }
}

/// The count that holds for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCount {
    /// The count.
    pub count_id: MovementId,
    /// What it said, and what the counters came to at its frontier.
    pub at: CountedAt,
    /// When it was finished, in milliseconds since 1970 (UTC).
    pub counted_at_ms: i64,
    /// On which business date.
    pub business_date: BusinessDate,
    /// Where the event of its end stands.
    pub(super) position: i64,
}

/// What was used of an item per business date.
type Uses = BTreeMap<ItemId, BTreeMap<BusinessDate, i64>>;

impl View<'_> {
    /// What there is of every item that was ever moved, used or counted, or of one of them. `today` is the present business
    /// date. One who asks by another clock or time zone than the store sells by is a date off at most: then the date on
    /// which the store sold last is the present one.
    pub fn stock(
        &self,
        today: BusinessDate,
        rule: CoverRule,
        item: Option<&ItemId>,
    ) -> Result<BTreeMap<ItemId, ItemStock>, Error> {
        self.consistent(|view| {
            let totals = view.stock_totals(item)?;
            let mut counts = view.last_counts(item)?;
            let sold_last = view.sold_last()?.filter(|date| date.days() == today.days() + 1);
            let today = sold_last.unwrap_or(today);
            let dates = view.selling_dates_before(today)?;
            let mut uses = view.uses(dates.first().copied().unwrap_or(today), today, item)?;
            let mut items: BTreeMap<ItemId, Totals> =
                counts.keys().map(|item_id| (item_id.clone(), Totals::default())).collect();
            items.extend(totals);
            let stock = items.into_iter().map(|(item_id, totals)| {
                let last = counts.remove(&item_id);
                let used = uses.remove(&item_id).unwrap_or_default();
                let on = |date| Quantity::from_micro(used.get(date).copied().unwrap_or(0).max(0));
                let recent = RecentUse::of(&dates.iter().map(on).collect::<Vec<_>>(), on(&today));
                (item_id, item_stock(totals, last, recent, rule))
            });
            Ok(stock.collect())
        })
    }

    /// The newest business date on which the store sold.
    fn sold_last(&self) -> Result<Option<BusinessDate>, Error> {
        self.connection
            .prepare_cached("SELECT max(business_date) FROM day_total")
            .and_then(|mut select| select.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .doing("find the newest business date")
            .map(|days| days.map(BusinessDate::from_days))
    }

    /// The sums of the counters, over all business dates and epochs.
    pub(super) fn stock_totals(&self, item: Option<&ItemId>) -> Result<BTreeMap<ItemId, Totals>, Error> {
        let doing = "add the counters of stock up";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT item_id, added_micro, used_micro FROM stock_past_total WHERE ?1 IS NULL OR item_id = ?1
                 UNION ALL SELECT item_id, 0, used_micro FROM stock_usage WHERE ?1 IS NULL OR item_id = ?1
                 UNION ALL SELECT item_id, added_micro, 0 FROM stock_added WHERE ?1 IS NULL OR item_id = ?1",
            )
            .doing(doing)?;
        let mut rows = select.query([item.map(ItemId::as_str)]).doing(doing)?;
        let mut sums: BTreeMap<ItemId, Totals> = BTreeMap::new();
        while let Some(row) = rows.next().doing(doing)? {
            // Added up here, because SQLite makes an error of a sum that leaves 64 bits.
            let sum = sums.entry(read_item(row, 0)?).or_default();
            *sum = sum.plus(read_totals(row, 1)?);
        }
        Ok(sums)
    }

    /// The counts that hold.
    pub(super) fn last_counts(&self, item: Option<&ItemId>) -> Result<BTreeMap<ItemId, LastCount>, Error> {
        let doing = "read the last counts";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT item_id, count_id, position, counted_micro, added_micro, used_micro, counted_at, business_date
                 FROM stock_last_count WHERE ?1 IS NULL OR item_id = ?1",
            )
            .doing(doing)?;
        let mut rows = select.query([item.map(ItemId::as_str)]).doing(doing)?;
        let mut counts = BTreeMap::new();
        while let Some(row) = rows.next().doing(doing)? {
            let at =
                CountedAt { counted: Quantity::from_micro(row.get(3).doing(doing)?), frontier: read_totals(row, 4)? };
            let count = LastCount {
                count_id: MovementId::new(Uuid::from_bytes(row.get(1).doing(doing)?)),
                at,
                counted_at_ms: row.get(6).doing(doing)?,
                business_date: BusinessDate::from_days(row.get(7).doing(doing)?),
                position: row.get(2).doing(doing)?,
            };
            counts.insert(read_item(row, 0)?, count);
        }
        Ok(counts)
    }

    /// The newest business dates before `today` on which the store has sold, the oldest first.
    fn selling_dates_before(&self, today: BusinessDate) -> Result<Vec<BusinessDate>, Error> {
        let doing = "find the recent business dates";
        let dates_max = i64::try_from(RecentUse::DATES_MAX).expect("a week is short");
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT business_date FROM day_total WHERE business_date < ?1 ORDER BY business_date DESC LIMIT ?2",
            )
            .doing(doing)?;
        let rows = select
            .query_map(params![today.days(), dates_max], |row| Ok(BusinessDate::from_days(row.get(0)?)))
            .doing(doing)?;
        let mut dates: Vec<BusinessDate> = rows.collect::<Result<_, _>>().doing(doing)?;
        dates.reverse();
        Ok(dates)
    }

    /// What was sold and made from one date to another, both included. What went to another store or to waste was not used
    /// here: one dropped crate says nothing of how long the rest lasts.
    fn uses(&self, from: BusinessDate, to: BusinessDate, item: Option<&ItemId>) -> Result<Uses, Error> {
        let doing = "read the recent use of stock";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT item_id, business_date, used_micro FROM stock_day
                 WHERE business_date BETWEEN ?1 AND ?2 AND used_micro > 0 AND (?3 IS NULL OR item_id = ?3)
                 UNION ALL
                 SELECT item_id, business_date, -quantity_micro
                 FROM stock_movement CROSS JOIN stock_moved_item USING (position)
                 WHERE business_date BETWEEN ?1 AND ?2 AND kind IN ('transferred_out', 'wasted') AND (?3 IS NULL OR item_id = ?3)",
            )
            .doing(doing)?;
        let mut rows = select.query(params![from.days(), to.days(), item.map(ItemId::as_str)]).doing(doing)?;
        let mut uses = Uses::new();
        while let Some(row) = rows.next().doing(doing)? {
            let date = BusinessDate::from_days(row.get(1).doing(doing)?);
            let micro: i64 = row.get(2).doing(doing)?;
            let used = uses.entry(read_item(row, 0)?).or_default().entry(date).or_default();
            *used = used.saturating_add(micro);
        }
        Ok(uses)
    }
}

fn item_stock(totals: Totals, last: Option<LastCount>, recent: RecentUse, rule: CoverRule) -> ItemStock {
    let at = last.as_ref().map(|last| &last.at);
    let there = on_hand(at, totals);
    let lasts = cover(there, recent, rule);
    ItemStock {
        on_hand: there,
        cover: lasts,
        flags: flags(there, lasts, rule, at),
        recent,
        since: totals.since(at.map_or_else(Totals::default, |at| at.frontier)),
        last,
    }
}

pub(super) fn read_item(row: &Row<'_>, column: usize) -> Result<ItemId, Error> {
    let text = row.get_ref(column).and_then(|value| Ok(value.as_str()?)).doing("read an item of stock")?;
    ItemId::new(text).map_err(|error| Error::Damaged(error.to_string()))
}

/// Reads what was added, and behind it what was used.
pub(super) fn read_totals(row: &Row<'_>, column: usize) -> Result<Totals, Error> {
    let micro = |column| row.get::<_, i64>(column).map(Quantity::from_micro).doing("read a counter of stock");
    Ok(Totals { added: micro(column)?, used: micro(column + 1)? })
}
