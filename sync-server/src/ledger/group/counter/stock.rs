//! Stock that moved without a sale, stock that was counted, and what went out of sale.

use pos_model::{OperatorId, StoreId, Tag, TillId};
use protocol::latest::{EventBody, SoldOutChanged, StockCounted, StockMoved, StockMovement};

use super::super::Group;
use super::super::record::{MALFORMED, Place, Refusal, UNKNOWN_KIND};
use super::super::tables::{Direction, FactKind, Table, Tables};
use super::Facts;
use crate::ledger::database::cells;
use crate::ledger::fault::Fault;

const MOVEMENTS: Facts = Facts {
    what: "movement of stock",
    table: Table::StockMovements,
    kind: FactKind::StockMovement,
    known: "movement_id_known",
    conflict: "movement_id_conflict",
};

const COUNTS: Facts = Facts {
    what: "count of stock",
    table: Table::StockCounts,
    kind: FactKind::StockCount,
    known: "movement_id_known",
    conflict: "movement_id_conflict",
};

/// What a kind of movement is called in the tables, and which counter it moves; `None` if this program cannot know.
pub(in crate::ledger) fn direction(kind: StockMovement) -> Option<(&'static str, Direction)> {
    match kind {
        StockMovement::Received => Some(("received", Direction::Added)),
        StockMovement::TransferredIn => Some(("transferred_in", Direction::Added)),
        StockMovement::Wasted => Some(("wasted", Direction::Used)),
        StockMovement::TransferredOut => Some(("transferred_out", Direction::Used)),
        StockMovement::Other => None,
    }
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(in super::super) fn stock_moved(
        &mut self,
        place: Place,
        moved: &'g StockMoved,
    ) -> Result<Option<Refusal>, Fault> {
        let Some((kind, direction)) = direction(moved.kind) else {
            return Ok(Some((UNKNOWN_KIND, "an unknown kind of stock movement".to_owned())));
        };
        if let Some(item) = moved.items.iter().find(|item| item.quantity.micro() < 0) {
            return Ok(Some((MALFORMED, format!("less than nothing of {} moved", item.item_id))));
        }
        let row = cells![
            place.event_no,
            moved.movement_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            moved.business_date.days(),
            moved.moved_at.utc_ms,
            moved.moved_at.offset_s,
            moved.till_id.as_str(),
            moved.operator_id.as_ref().map(OperatorId::as_str),
            kind,
            moved.reason.as_ref().map(Tag::as_str),
            &moved.reference,
            moved.other_store.as_ref().map(StoreId::as_str),
            &moved.note,
        ];
        let refused = self.add_fact(&MOVEMENTS, place, moved.movement_id.uuid(), row, |held| {
            matches!(held, EventBody::StockMoved(held) if held.kind == moved.kind && held.till_id == moved.till_id
                && held.items == moved.items && held.reference == moved.reference
                && held.other_store == moved.other_store)
        })?;
        if refused.is_some() {
            return Ok(refused);
        }
        for (item, position) in moved.items.iter().zip(0i64..) {
            let (quantity, expected) = (item.quantity.micro(), item.expected.map(|expected| expected.micro()));
            let row = cells![place.event_no, position, item.item_id.as_str(), quantity, expected];
            self.add_row(Table::StockMovementItems, row)?;
            let key = (place.stream_no, moved.business_date.days(), item.item_id.as_str());
            match direction {
                Direction::Added => self.effects.counter.added(key, quantity)?,
                Direction::Used => self.effects.used(key, quantity)?,
            }
        }
        Ok(None)
    }

    pub(in super::super) fn stock_counted(
        &mut self,
        place: Place,
        counted: &'g StockCounted,
    ) -> Result<Option<Refusal>, Fault> {
        let row = cells![
            place.event_no,
            counted.movement_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            counted.business_date.days(),
            counted.began_at.utc_ms,
            counted.began_at.offset_s,
            counted.counted_at.utc_ms,
            counted.counted_at.offset_s,
            counted.till_id.as_str(),
            counted.operator_id.as_ref().map(OperatorId::as_str),
            counted.frontier.epoch.to_sql(),
            counted.frontier.seq.to_sql(),
            &counted.note,
        ];
        let refused = self.add_fact(&COUNTS, place, counted.movement_id.uuid(), row, |held| {
            matches!(held, EventBody::StockCounted(held) if held.till_id == counted.till_id
                && held.frontier == counted.frontier && held.items == counted.items)
        })?;
        if refused.is_some() {
            return Ok(refused);
        }
        for (item, position) in counted.items.iter().zip(0i64..) {
            let (counted, expected) = (item.counted.micro(), item.expected.map(|expected| expected.micro()));
            let row = cells![place.event_no, position, item.item_id.as_str(), counted, expected];
            self.add_row(Table::StockCountItems, row)?;
        }
        Ok(None)
    }

    pub(in super::super) fn sold_out_changed(
        &mut self,
        place: Place,
        changed: &'g SoldOutChanged,
    ) -> Result<Option<Refusal>, Fault> {
        let row = cells![
            place.event_no,
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            changed.changed_at.utc_ms,
            changed.changed_at.offset_s,
            changed.what.as_str(),
            &changed.code,
            changed.sold_out,
            changed.remaining,
            changed.till_id.as_ref().map(TillId::as_str),
            changed.operator_id.as_ref().map(OperatorId::as_str),
        ];
        self.add_row(Table::SoldOutChanges, row).map(|()| None)
    }
}
