//! The ids of applied sales: each sale is applied once, whichever store sends it.
//!
//! After an outage the sales of a whole day come in from all stores at once. Their ids lie anywhere among the ids of the
//! day, and a group would write about as many pages of one large index as it has sales. So ids begin in a small table, of
//! which every group writes the same few pages. When it is full they move to the large one, in order, where many share a
//! page. Moving goes on beside the groups, a piece with each.

use rusqlite::{Connection, OptionalExtension, params};

use super::During;
use super::statements::Statements;
use crate::ledger::LedgerError;

/// How many ids the small table holds, and how they leave it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Ids in the small table when a move begins. During a move about as many come in as it had.
    new_max: i64,
    /// Ids that move with a group at least: so a move also ends where groups are small.
    moved_min: i64,
}

impl Room {
    /// A few megabytes of pages, that stay in the cache.
    pub(super) const STANDARD: Self = Self { new_max: 128 * 1024, moved_min: 1024 };
    /// For a ledger in memory, which is small: ids move there as they do in a large one.
    pub(super) const SMALL: Self = Self { new_max: 8, moved_min: 2 };
}

/// How many ids move for each that a group adds: more than one, so that a move ends.
const MOVED_PER_ADDED: i64 = 2;

/// The ids of all applied sales, as a table of `sale_id`, `store_no` and `event_no`.
pub(super) const APPLIED_SALES: &str = "(SELECT sale_id, store_no, event_no FROM new_sale_ids
    UNION ALL SELECT sale_id, store_no, event_no FROM sale_ids) AS applied";

const TAKING: &str = "take the id of a sale";
const MOVING: &str = "move ids of sales";

/// Takes ids within a database transaction.
#[derive(Debug)]
pub(super) struct Taken {
    /// The largest of the ids that have moved.
    newest_moved: Option<[u8; 16]>,
    added: i64,
}

impl Taken {
    pub(super) fn begin(statements: &mut Statements<'_>) -> Result<Self, LedgerError> {
        let newest_moved = statements.newest_moved_id.query_row([], |row| row.get(0)).during(TAKING)?;
        Ok(Self { newest_moved, added: 0 })
    }

    /// Takes an id for the sale of an event; `false` if it is taken.
    pub(super) fn take(
        &mut self,
        statements: &mut Statements<'_>,
        id: &[u8; 16],
        event_no: i64,
        store_no: i64,
    ) -> Result<bool, LedgerError> {
        // As a rule ids grow with time, and those that have moved are older.
        if self.newest_moved.is_some_and(|newest| *id <= newest)
            && statements.is_moved_id.query_row([id], |row| row.get(0)).during(TAKING)?
        {
            return Ok(false);
        }
        let added = statements.add_sale_id.execute(params![id, event_no, store_no]).during(TAKING)?;
        self.added += i64::from(added > 0);
        Ok(added > 0)
    }

    /// How many were taken, among them those of steps that were undone.
    pub(super) fn added(&self) -> i64 {
        self.added
    }
}

/// How far ids have moved, as of the last transaction that was committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SaleIds {
    room: Room,
    /// Ids in the small table; too many where a step was undone, until a move has ended.
    new: i64,
    /// The id up to which they have moved, while a move goes on.
    moved_to: Option<[u8; 16]>,
}

impl SaleIds {
    pub(super) fn read(connection: &Connection, room: Room) -> Result<Self, LedgerError> {
        Ok(Self { room, new: count(connection)?, moved_to: None })
    }

    /// Moves some ids if that is due, at the end of a transaction that took so many.
    pub(super) fn make_room(&mut self, connection: &Connection, added: i64) -> Result<(), LedgerError> {
        self.new += added;
        if self.moved_to.is_none() && self.new < self.room.new_max {
            return Ok(());
        }
        let from = self.moved_to.unwrap_or_default();
        let piece = (MOVED_PER_ADDED * added).max(self.room.moved_min);
        let last = "SELECT sale_id FROM new_sale_ids WHERE sale_id >= ?1 ORDER BY sale_id LIMIT 1 OFFSET ?2";
        let mut last = connection.prepare_cached(last).during(MOVING)?;
        self.moved_to = last.query_row(params![from, piece], |row| row.get(0)).optional().during(MOVING)?;
        let to = self.moved_to.unwrap_or(LARGEST);
        let copy = "INSERT INTO sale_ids SELECT sale_id, event_no, store_no FROM new_sale_ids
            WHERE sale_id BETWEEN ?1 AND ?2 ORDER BY sale_id ON CONFLICT DO NOTHING";
        connection.prepare_cached(copy).during(MOVING)?.execute([from, to]).during(MOVING)?;
        let delete = "DELETE FROM new_sale_ids WHERE sale_id BETWEEN ?1 AND ?2";
        let gone = connection.prepare_cached(delete).during(MOVING)?.execute([from, to]).during(MOVING)?;
        self.new = match self.moved_to {
            Some(_) => self.new - i64::try_from(gone).unwrap_or_default(),
            None => count(connection)?,
        };
        Ok(())
    }
}

const LARGEST: [u8; 16] = [u8::MAX; 16];

fn count(connection: &Connection) -> Result<i64, LedgerError> {
    let count = connection.query_row("SELECT count(*) FROM new_sale_ids", [], |row| row.get(0));
    count.during("count new ids of sales")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rusqlite::Transaction;

    use super::*;
    use crate::ledger::SqliteLedger;

    /// What a group does: the ids that it takes, few enough that some come again, and whether it is committed.
    fn groups() -> impl Strategy<Value = Vec<(Vec<u16>, bool)>> {
        let ids = prop::collection::vec(0..300_u16, 0..12);
        prop::collection::vec((ids, prop::bool::weighted(0.9)), 1..60)
    }

    fn id_of(number: u16) -> [u8; 16] {
        // Both ends are ids like any other.
        match number {
            0 => [0; 16],
            299 => LARGEST,
            number => uuid::Uuid::from_u128(u128::from(number) << 64).into_bytes(),
        }
    }

    proptest! {
        #[test]
        fn each_id_is_taken_once_wherever_it_is_by_then(groups in groups()) {
            let mut connection = SqliteLedger::in_memory().expect("opens").into_connection();
            let mut sale_ids = SaleIds::read(&connection, Room::SMALL).expect("readable");
            let mut model = HashMap::new();
            for (event_no, (ids, is_committed)) in (1..).zip(groups) {
                let transaction = Transaction::new(&mut connection, rusqlite::TransactionBehavior::Immediate);
                let transaction = transaction.expect("begins");
                let mut statements = Statements::prepare(&transaction).expect("prepared");
                let mut taken = Taken::begin(&mut statements).expect("readable");
                let mut after = model.clone();
                for number in ids {
                    let id = id_of(number);
                    let is_new = taken.take(&mut statements, &id, event_no, 1).expect("written");
                    prop_assert_eq!(is_new, !after.contains_key(&id));
                    after.entry(id).or_insert(event_no);
                }
                let mut moved = sale_ids;
                moved.make_room(&transaction, taken.added()).expect("moved");
                drop(statements);
                if is_committed {
                    transaction.commit().expect("committed");
                    (sale_ids, model) = (moved, after);
                } else {
                    transaction.rollback().expect("rolled back");
                }
                let all = format!("SELECT sale_id, event_no FROM {APPLIED_SALES}");
                let mut all = connection.prepare(&all).expect("a query");
                let all = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("readable");
                let all = all.collect::<rusqlite::Result<Vec<([u8; 16], i64)>>>().expect("readable");
                prop_assert_eq!(all.len(), model.len(), "an id is in one of the two tables");
                prop_assert_eq!(all.into_iter().collect::<HashMap<_, _>>(), model.clone());
                let new = count(&connection).expect("readable");
                prop_assert_eq!(new, sale_ids.new);
                prop_assert!(new < Room::SMALL.new_max + 2 * 12 + 1, "{} ids are new", new);
            }
        }
    }
}
