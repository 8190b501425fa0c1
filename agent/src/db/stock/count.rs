//! Counting stock.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, Epoch, ItemId, MovementId, OperatorId, Place, Quantity, Seq, Stamp, TillId};
use protocol::latest::local_api::Change;
use protocol::latest::stock_api::{CountItemView, CountState, CountView, StockChange, StockChanged};
use protocol::latest::{CountedItem, StockCounted};
use rusqlite::{OptionalExtension, Row, params};
use till::stock::{Counted, Totals, check_count_scope, check_counted, on_hand};
use uuid::Uuid;

use super::on_hand::{read_item, read_totals};
use super::refused;
use crate::db::command::{Moment, Refused};
use crate::db::error::{Doing, Error};
use crate::db::store::Store;
use crate::db::view::View;

/// Counts that are open at once. A store has some people who count, and now and then one forgets a count.
const COUNTS_OPEN_MAX: usize = 20;

/// Counts that are over and shown beside the open ones.
const COUNTS_OVER_SHOWN: u32 = 10;

/// Items that a refusal names.
const ITEMS_NAMED: usize = 3;

/// Somebody is about to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginCount {
    /// Made by the till.
    pub count_id: MovementId,
    /// Where it was said.
    pub till_id: TillId,
    /// Who counts.
    pub operator_id: Option<OperatorId>,
    /// What is to be counted; nothing named means anything.
    pub items: Vec<ItemId>,
}

/// This is what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishCount {
    /// The count.
    pub count_id: MovementId,
    /// Where it was said.
    pub till_id: TillId,
    /// Who counted.
    pub operator_id: Option<OperatorId>,
    /// In somebody's words.
    pub note: String,
    /// What was there.
    pub items: Vec<Counted>,
}

/// A count as it is kept.
struct CountRow {
    count_id: MovementId,
    state: CountState,
    till_id: TillId,
    operator_id: Option<OperatorId>,
    is_partial: bool,
    frontier_position: i64,
    frontier: Place,
    began_at: Stamp,
    ended_at_ms: Option<i64>,
}

/// An item of it as it is kept.
struct ItemRow {
    frontier: Totals,
    counted: Option<Quantity>,
    expected: Option<Quantity>,
}

impl Store {
    /// Begins a count: its frontier is the newest event, and what the counters come to is kept. Within an operation.
    pub fn begin_count(&mut self, moment: &Moment, begin: &BeginCount) -> Result<CountView, Error> {
        check_count_scope(&begin.items).map_err(refused)?;
        let count_id = begin.count_id;
        if self.view().count_row(count_id)?.is_some() {
            let text = format!("count {count_id} has begun already");
            return Err(Refused::overtaken("stock.count_exists", text).into());
        }
        let open: i64 = self
            .connection
            .query_row("SELECT count(*) FROM stock_count WHERE state = 'open'", [], |row| row.get(0))
            .doing("count the open counts")?;
        if usize::try_from(open).unwrap_or(usize::MAX) >= COUNTS_OPEN_MAX {
            let text = format!("{open} counts are open; finish or abandon one");
            return Err(Refused::rule("stock.counts_open", text).into());
        }
        self.tail.current.ok_or(Error::NoEpoch)?;
        let frontier = self.tail.place.ok_or(Error::NoEpoch)?;
        let row = CountRow {
            count_id,
            state: CountState::Open,
            till_id: begin.till_id.clone(),
            operator_id: begin.operator_id.clone(),
            is_partial: !begin.items.is_empty(),
            frontier_position: self.tail.position,
            frontier,
            began_at: moment.at(),
            ended_at_ms: None,
        };
        self.write_count(&row)?;
        let mut totals = self.view().stock_totals(None)?;
        if row.is_partial {
            let named = begin.items.iter();
            totals = named.map(|item| (item.clone(), totals.get(item).copied().unwrap_or_default())).collect();
        }
        let items: BTreeMap<ItemId, ItemRow> = totals
            .into_iter()
            .map(|(item_id, frontier)| (item_id, ItemRow { frontier, counted: None, expected: None }))
            .collect();
        self.write_items(count_id, &items)?;
        self.tell(StockChange::CountBegun, count_id, Vec::new());
        Ok(count_view(row, items))
    }

    /// Finishes a count. Within an operation.
    pub fn finish_count(&mut self, moment: &mut Moment, finish: FinishCount) -> Result<CountView, Error> {
        check_counted(&finish.items, &finish.note).map_err(refused)?;
        let mut row = self.open_count(finish.count_id)?;
        let begun = self.view().count_items(row.count_id)?;
        if row.is_partial {
            let strange = finish.items.iter().map(|item| &item.item_id).filter(|item| !begun.contains_key(item));
            refuse_if_any(strange, |named| {
                Refused::rule("stock.count_item_not_begun", format!("the count did not begin with {named}"))
            })?;
        }
        let last = self.view().last_counts(None)?;
        let settled = |item: &&ItemId| last.get(*item).is_some_and(|last| last.position > row.frontier_position);
        refuse_if_any(finish.items.iter().map(|item| &item.item_id).filter(settled), |named| {
            let text =
                format!("another count has settled {named} since this one began: leave it out, or count it anew");
            Refused::overtaken("stock.item_counted_since", text)
        })?;

        let items: BTreeMap<ItemId, ItemRow> = finish
            .items
            .into_iter()
            .map(|Counted { item_id, counted }| {
                // What had no counter when the count began had none of anything.
                let frontier = begun.get(&item_id).map_or_else(Totals::default, |item| item.frontier);
                let expected = last.get(&item_id).map(|last| on_hand(Some(&last.at), frontier));
                (item_id, ItemRow { frontier, counted: Some(counted), expected })
            })
            .collect();
        let at = moment.at();
        let business_date = BusinessDate::of(at, self.rules.cut_off);
        let event = StockCounted {
            movement_id: row.count_id,
            till_id: finish.till_id,
            operator_id: finish.operator_id,
            frontier: row.frontier,
            began_at: row.began_at,
            counted_at: at,
            business_date,
            items: items
                .iter()
                .map(|(item_id, item)| CountedItem {
                    item_id: item_id.clone(),
                    counted: item.counted.unwrap_or_default(),
                    expected: item.expected,
                })
                .collect(),
            note: finish.note,
        };
        self.record(moment, event)?;
        self.write_last_counts(row.count_id, &items, at, business_date)?;
        self.end_count(&mut row, CountState::Finished, at)?;
        self.write_items(row.count_id, &items)?;
        self.tell(StockChange::CountFinished, row.count_id, items.keys().cloned().collect());
        Ok(count_view(row, items))
    }

    /// Abandons a count: nothing comes of it. Within an operation.
    pub fn abandon_count(&mut self, moment: &Moment, count_id: MovementId) -> Result<CountView, Error> {
        let mut row = self.open_count(count_id)?;
        self.end_count(&mut row, CountState::Abandoned, moment.at())?;
        self.tell(StockChange::CountAbandoned, count_id, Vec::new());
        Ok(count_view(row, BTreeMap::new()))
    }

    fn open_count(&self, count_id: MovementId) -> Result<CountRow, Error> {
        let Some(row) = self.view().count_row(count_id)? else {
            return Err(Refused::unknown("stock.count_unknown", format!("there is no count {count_id}")).into());
        };
        if row.state != CountState::Open {
            let text = format!("count {count_id} is {} already", state_text(row.state));
            return Err(Refused::overtaken("stock.count_over", text).into());
        }
        Ok(row)
    }

    fn write_count(&self, row: &CountRow) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO stock_count (count_id, state, till_id, operator_id, is_partial, frontier_position,
                    frontier_epoch, frontier_seq, began_at, began_offset_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    row.count_id.as_bytes(),
                    state_text(row.state),
                    row.till_id.as_str(),
                    row.operator_id.as_ref().map(OperatorId::as_str),
                    row.is_partial,
                    row.frontier_position,
                    row.frontier.epoch.to_sql(),
                    row.frontier.seq.to_sql(),
                    row.began_at.utc_ms,
                    row.began_at.offset_s,
                ])
            })
            .doing("begin a count of stock")
            .map(drop)
    }

    fn write_items(&self, count_id: MovementId, items: &BTreeMap<ItemId, ItemRow>) -> Result<(), Error> {
        let doing = "write the items of a count";
        let mut insert = self
            .connection
            .prepare_cached(
                "INSERT INTO stock_count_item (count_id, item_id, added_micro, used_micro, counted_micro, expected_micro)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .doing(doing)?;
        for (item_id, item) in items {
            let (counted, expected) = (item.counted.map(Quantity::micro), item.expected.map(Quantity::micro));
            let Totals { added, used } = item.frontier;
            insert
                .execute(params![count_id.as_bytes(), item_id.as_str(), added.micro(), used.micro(), counted, expected])
                .doing(doing)?;
        }
        Ok(())
    }

    fn write_last_counts(
        &self,
        count_id: MovementId,
        items: &BTreeMap<ItemId, ItemRow>,
        at: Stamp,
        business_date: BusinessDate,
    ) -> Result<(), Error> {
        let doing = "write the last counts";
        let mut upsert = self
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO stock_last_count (item_id, count_id, position, counted_micro, added_micro,
                    used_micro, counted_at, business_date) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .doing(doing)?;
        for (item_id, item) in items {
            upsert
                .execute(params![
                    item_id.as_str(),
                    count_id.as_bytes(),
                    self.tail.position,
                    item.counted.unwrap_or_default().micro(),
                    item.frontier.added.micro(),
                    item.frontier.used.micro(),
                    at.utc_ms,
                    business_date.days(),
                ])
                .doing(doing)?;
        }
        Ok(())
    }

    /// What the counters came to at its frontier is of no more use.
    fn end_count(&self, row: &mut CountRow, state: CountState, at: Stamp) -> Result<(), Error> {
        let doing = "end a count of stock";
        row.state = state;
        row.ended_at_ms = Some(at.utc_ms);
        self.connection
            .prepare_cached("UPDATE stock_count SET state = ?2, ended_at = ?3 WHERE count_id = ?1")
            .and_then(|mut update| update.execute(params![row.count_id.as_bytes(), state_text(state), at.utc_ms]))
            .doing(doing)?;
        self.connection
            .prepare_cached("DELETE FROM stock_count_item WHERE count_id = ?1")
            .and_then(|mut delete| delete.execute([row.count_id.as_bytes()]))
            .doing(doing)
            .map(drop)
    }

    fn tell(&mut self, kind: StockChange, id: MovementId, items: Vec<ItemId>) {
        self.changed(Change::Stock(StockChanged { kind, id, items }));
    }
}

impl View<'_> {
    /// A count by its id.
    pub fn stock_count(&self, count_id: MovementId) -> Result<Option<CountView>, Error> {
        self.consistent(|view| {
            let Some(row) = view.count_row(count_id)? else { return Ok(None) };
            view.count_items(count_id).map(|items| Some(count_view(row, items)))
        })
    }

    /// The open counts, the oldest first; behind them the newest of those that are over, the newest first.
    pub fn stock_counts(&self) -> Result<Vec<CountView>, Error> {
        self.consistent(|view| {
            let open = view.count_ids(
                "SELECT count_id FROM stock_count WHERE state = 'open' ORDER BY began_at, count_id LIMIT ?1",
            )?;
            let over = view.count_ids(
                "SELECT count_id FROM stock_count WHERE state <> 'open' ORDER BY ended_at DESC, count_id LIMIT ?1",
            )?;
            let shown = usize::try_from(COUNTS_OVER_SHOWN).unwrap_or(usize::MAX);
            let ids = open.into_iter().chain(over.into_iter().take(shown));
            ids.filter_map(|count_id| view.stock_count(count_id).transpose()).collect()
        })
    }

    fn count_ids(&self, sql: &str) -> Result<Vec<MovementId>, Error> {
        let doing = "read the counts of stock";
        let limit = i64::try_from(COUNTS_OPEN_MAX).expect("few");
        let mut select = self.connection.prepare_cached(sql).doing(doing)?;
        let rows = select.query_map([limit], |row| Ok(MovementId::new(Uuid::from_bytes(row.get(0)?)))).doing(doing)?;
        rows.collect::<Result<_, _>>().doing(doing)
    }

    fn count_row(&self, count_id: MovementId) -> Result<Option<CountRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT state, till_id, operator_id, is_partial, frontier_position, frontier_epoch, frontier_seq, began_at,
                    began_offset_s, ended_at FROM stock_count WHERE count_id = ?1",
            )
            .and_then(|mut select| {
                select.query_row([count_id.as_bytes()], |row| Ok(read_count(count_id, row))).optional()
            })
            .doing("read a count of stock")?
            .transpose()
    }

    fn count_items(&self, count_id: MovementId) -> Result<BTreeMap<ItemId, ItemRow>, Error> {
        let doing = "read the items of a count";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT item_id, added_micro, used_micro, counted_micro, expected_micro FROM stock_count_item
                 WHERE count_id = ?1",
            )
            .doing(doing)?;
        let mut rows = select.query([count_id.as_bytes()]).doing(doing)?;
        let mut items = BTreeMap::new();
        while let Some(row) = rows.next().doing(doing)? {
            let quantity = |column| row.get::<_, Option<i64>>(column).doing(doing);
            let item = ItemRow {
                frontier: read_totals(row, 1)?,
                counted: quantity(3)?.map(Quantity::from_micro),
                expected: quantity(4)?.map(Quantity::from_micro),
            };
            items.insert(read_item(row, 0)?, item);
        }
        Ok(items)
    }
}

/// Refuses if there is any such item; the first few are named.
fn refuse_if_any<'i>(
    items: impl Iterator<Item = &'i ItemId>,
    why: impl FnOnce(String) -> Refused,
) -> Result<(), Error> {
    let items: Vec<&ItemId> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    let mut named = items.iter().take(ITEMS_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if items.len() > ITEMS_NAMED {
        named = format!("{named} and {} more", items.len() - ITEMS_NAMED);
    }
    Err(why(named).into())
}

fn read_count(count_id: MovementId, row: &Row<'_>) -> Result<CountRow, Error> {
    let doing = "read a count of stock";
    let damaged = |what: &str| Error::Damaged(format!("count {count_id} has {what}"));
    let text = |column| row.get::<_, Option<String>>(column).doing(doing);
    let number = |column| row.get::<_, i64>(column).doing(doing);
    let state = text(0)?.unwrap_or_default();
    let states = [CountState::Open, CountState::Finished, CountState::Abandoned];
    let operator_id = text(2)?.map(|text| text.parse()).transpose();
    Ok(CountRow {
        count_id,
        state: states.into_iter().find(|known| state_text(*known) == state).ok_or_else(|| damaged("no state"))?,
        till_id: text(1)?.unwrap_or_default().parse().map_err(|_| damaged("a till id that is none"))?,
        operator_id: operator_id.map_err(|_| damaged("an operator id that is none"))?,
        is_partial: row.get(3).doing(doing)?,
        frontier_position: number(4)?,
        frontier: Place { epoch: Epoch::from_sql(number(5)?), seq: Seq::from_sql(number(6)?) },
        began_at: Stamp { utc_ms: number(7)?, offset_s: row.get(8).doing(doing)? },
        ended_at_ms: row.get(9).doing(doing)?,
    })
}

const fn state_text(state: CountState) -> &'static str {
    match state {
        CountState::Open => "open",
        CountState::Finished => "finished",
        CountState::Abandoned => "abandoned",
    }
}

fn count_view(row: CountRow, items: BTreeMap<ItemId, ItemRow>) -> CountView {
    let items = items.into_iter().map(|(item_id, item)| {
        let difference = item
            .counted
            .zip(item.expected)
            .map(|(counted, expected)| Quantity::from_micro(counted.micro().saturating_sub(expected.micro())).into());
        CountItemView {
            item_id,
            counted: item.counted.map(Into::into),
            expected: item.expected.map(Into::into),
            difference,
        }
    });
    CountView {
        count_id: row.count_id,
        state: row.state,
        till_id: row.till_id,
        operator_id: row.operator_id,
        frontier: row.frontier.to_string(),
        began_at_ms: row.began_at.utc_ms,
        ended_at_ms: row.ended_at_ms,
        is_partial: row.is_partial,
        items: items.collect(),
    }
}
