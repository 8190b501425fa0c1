//! Stock that moves without a sale.

use pos_model::{BusinessDate, ItemId, MovementId, Quantity, Stamp};
use protocol::latest::local_api::Change;
use protocol::latest::stock_api::{self, MovedItemView, MovementView, StockChange, StockChanged};
use protocol::latest::{MovedItem, StockMoved, StockMovement};
use rusqlite::{Row, params};
use till::stock::{Movement, MovementKind, StockRefusal, check_movement};
use uuid::Uuid;

use super::refused;
use crate::db::command::{Moment, Refused};
use crate::db::error::{Doing, Error};
use crate::db::store::Store;
use crate::db::view::View;

impl Store {
    /// Whether every item of a movement is in the book, or was in stock before. A misspelt one would be an item of its own
    /// for ever. Within an operation.
    pub fn check_items_known(&self, movement: &Movement, is_in_book: impl Fn(&ItemId) -> bool) -> Result<(), Error> {
        let mut others =
            movement.items.iter().map(|item| &item.item_id).filter(|item_id| !is_in_book(item_id)).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        let (totals, counts) = (self.view().stock_totals(None)?, self.view().last_counts(None)?);
        let unknown = others.find(|item_id| !totals.contains_key(*item_id) && !counts.contains_key(*item_id));
        unknown.map_or(Ok(()), |item_id| Err(refused(StockRefusal::ItemUnknown { item_id: item_id.clone() })))
    }

    /// Records that stock moved. Within an operation.
    pub fn move_stock(&mut self, moment: &mut Moment, movement: Movement) -> Result<MovementView, Error> {
        check_movement(&movement).map_err(refused)?;
        let movement_id = movement.movement_id;
        let known: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM stock_movement WHERE movement_id = ?1)")
            .and_then(|mut select| select.query_row([movement_id.as_bytes()], |row| row.get(0)))
            .doing("look for a movement of stock")?;
        if known {
            let text = format!("movement {movement_id} is recorded already");
            return Err(Refused::overtaken("stock.movement_exists", text).into());
        }
        let at = moment.at();
        let business_date = BusinessDate::of(at, self.rules.cut_off);
        let items = movement.items.iter().map(|item| (item.item_id.as_str(), item.quantity.micro()));
        if movement.kind.comes_in() {
            self.add_stock(business_date, items)?;
        } else {
            self.use_stock(business_date, items)?;
        }
        self.record(moment, moved(&movement, at, business_date))?;
        let position = self.tail.position;
        self.write_movement(position, &movement, at, business_date)?;
        self.changed(Change::Stock(StockChanged {
            kind: StockChange::Moved,
            id: movement_id,
            items: movement.items.iter().map(|item| item.item_id.clone()).collect(),
        }));
        Ok(movement_view(position, movement, at, business_date))
    }

    fn write_movement(
        &self,
        position: i64,
        movement: &Movement,
        at: Stamp,
        business_date: BusinessDate,
    ) -> Result<(), Error> {
        let doing = "write a movement of stock";
        self.connection
            .prepare_cached(
                "INSERT INTO stock_movement (position, movement_id, business_date, kind, till_id, operator_id, reason,
                    reference, other_store, note, moved_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    position,
                    movement.movement_id.as_bytes(),
                    business_date.days(),
                    kind_text(movement.kind),
                    movement.till_id.as_str(),
                    movement.operator_id.as_ref().map(|id| id.as_str()),
                    movement.reason.as_ref().map(|reason| reason.as_str()),
                    movement.reference,
                    movement.other_store.as_ref().map(|store| store.as_str()),
                    movement.note,
                    at.utc_ms,
                ])
            })
            .doing(doing)?;
        let mut insert = self
            .connection
            .prepare_cached(
                "INSERT INTO stock_moved_item (position, place, item_id, quantity_micro, expected_micro)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .doing(doing)?;
        for (place, item) in (0i64..).zip(&movement.items) {
            let expected = item.expected.map(Quantity::micro);
            insert
                .execute(params![position, place, item.item_id.as_str(), item.quantity.micro(), expected])
                .doing(doing)?;
        }
        Ok(())
    }
}

impl View<'_> {
    /// The movements of a business date, in order: those behind the number `after`, at most `rows_max`.
    pub fn stock_movements(
        &self,
        business_date: BusinessDate,
        after: u64,
        rows_max: u32,
    ) -> Result<Vec<MovementView>, Error> {
        let doing = "read the movements of stock";
        self.consistent(|view| {
            let mut select = view
                .connection
                .prepare_cached(
                    "SELECT position, movement_id, business_date, kind, till_id, operator_id, reason, reference,
                        other_store, note, moved_at FROM stock_movement
                     WHERE business_date = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
                )
                .doing(doing)?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let mut rows = select.query(params![business_date.days(), after, rows_max]).doing(doing)?;
            let mut movements = Vec::new();
            while let Some(row) = rows.next().doing(doing)? {
                let mut movement = read_movement(row)?;
                movement.items = view.moved_items(movement.number)?;
                movements.push(movement);
            }
            Ok(movements)
        })
    }

    fn moved_items(&self, number: u64) -> Result<Vec<MovedItemView>, Error> {
        let doing = "read the items of a movement of stock";
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT item_id, quantity_micro, expected_micro FROM stock_moved_item WHERE position = ?1 ORDER BY place",
            )
            .doing(doing)?;
        let rows = select
            .query_map([number.cast_signed()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
            })
            .doing(doing)?;
        rows.map(|row| {
            let (item_id, quantity, expected) = row.doing(doing)?;
            let item_id = item_id.parse().map_err(|_| damaged(number, "an item that is none"))?;
            Ok(item_view(item_id, Quantity::from_micro(quantity), expected.map(Quantity::from_micro)))
        })
        .collect()
    }
}

fn moved(movement: &Movement, moved_at: Stamp, business_date: BusinessDate) -> StockMoved {
    StockMoved {
        movement_id: movement.movement_id,
        kind: match movement.kind {
            MovementKind::Received => StockMovement::Received,
            MovementKind::Wasted => StockMovement::Wasted,
            MovementKind::TransferredIn => StockMovement::TransferredIn,
            MovementKind::TransferredOut => StockMovement::TransferredOut,
        },
        till_id: movement.till_id.clone(),
        operator_id: movement.operator_id.clone(),
        reason: movement.reason.clone(),
        reference: movement.reference.clone(),
        other_store: movement.other_store.clone(),
        note: movement.note.clone(),
        items: movement
            .items
            .iter()
            .map(|item| MovedItem { item_id: item.item_id.clone(), quantity: item.quantity, expected: item.expected })
            .collect(),
        moved_at,
        business_date,
    }
}

fn movement_view(position: i64, movement: Movement, at: Stamp, business_date: BusinessDate) -> MovementView {
    MovementView {
        movement_id: movement.movement_id,
        number: position.unsigned_abs(),
        kind: kind_view(movement.kind),
        business_date,
        moved_at_ms: at.utc_ms,
        till_id: movement.till_id,
        operator_id: movement.operator_id,
        reason: movement.reason,
        reference: movement.reference,
        other_store: movement.other_store,
        note: movement.note,
        items: movement.items.into_iter().map(|item| item_view(item.item_id, item.quantity, item.expected)).collect(),
    }
}

fn item_view(item_id: ItemId, quantity: Quantity, expected: Option<Quantity>) -> MovedItemView {
    let difference = expected.map(|expected| quantity.micro().saturating_sub(expected.micro()));
    MovedItemView {
        item_id,
        quantity: quantity.into(),
        expected: expected.map(Into::into),
        difference: difference.map(|micro| Quantity::from_micro(micro).into()),
    }
}

fn read_movement(row: &Row<'_>) -> Result<MovementView, Error> {
    let doing = "read a movement of stock";
    let number = row.get::<_, i64>(0).doing(doing)?.unsigned_abs();
    let text = |column| row.get::<_, Option<String>>(column).doing(doing);
    let needed = |column| row.get::<_, String>(column).doing(doing);
    Ok(MovementView {
        movement_id: MovementId::new(Uuid::from_bytes(row.get(1).doing(doing)?)),
        number,
        kind: parse_kind(&needed(3)?).ok_or_else(|| damaged(number, "a kind that is none"))?,
        business_date: BusinessDate::from_days(row.get(2).doing(doing)?),
        moved_at_ms: row.get(10).doing(doing)?,
        till_id: needed(4)?.parse().map_err(|_| damaged(number, "a till id that is none"))?,
        operator_id: parse(text(5)?).map_err(|()| damaged(number, "an operator id that is none"))?,
        reason: parse(text(6)?).map_err(|()| damaged(number, "a reason that is none"))?,
        reference: needed(7)?,
        other_store: parse(text(8)?).map_err(|()| damaged(number, "a store id that is none"))?,
        note: needed(9)?,
        items: Vec::new(),
    })
}

fn parse<T: std::str::FromStr>(text: Option<String>) -> Result<Option<T>, ()> {
    text.map(|text| text.parse().map_err(drop)).transpose()
}

fn damaged(number: u64, what: &str) -> Error {
    Error::Damaged(format!("movement of stock {number} has {what}"))
}

/// As the event says it.
fn kind_text(kind: MovementKind) -> &'static str {
    match kind {
        MovementKind::Received => "received",
        MovementKind::Wasted => "wasted",
        MovementKind::TransferredIn => "transferred_in",
        MovementKind::TransferredOut => "transferred_out",
    }
}

fn kind_view(kind: MovementKind) -> stock_api::MovementKind {
    match kind {
        MovementKind::Received => stock_api::MovementKind::Received,
        MovementKind::Wasted => stock_api::MovementKind::Wasted,
        MovementKind::TransferredIn => stock_api::MovementKind::TransferredIn,
        MovementKind::TransferredOut => stock_api::MovementKind::TransferredOut,
    }
}

fn parse_kind(text: &str) -> Option<stock_api::MovementKind> {
    use MovementKind::{Received, TransferredIn, TransferredOut, Wasted};
    [Received, Wasted, TransferredIn, TransferredOut].into_iter().find(|kind| kind_text(*kind) == text).map(kind_view)
}
