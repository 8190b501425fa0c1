//! Keeping what is read often small.
//!
//! The counters of recent business dates are added up whenever somebody looks at what is on hand. Those of dates that are
//! past are moved to a table of their own, and into one sum for each item. Nothing is lost by it, whenever it happens: a
//! counter is the sum of both parts, and a late sale that names an old date makes a row which is moved in its turn. Dates
//! are told by how many newer ones the store has sold on, and not by a clock: one that jumps a year ahead makes one date.

use pos_model::BusinessDate;
use rusqlite::{OptionalExtension, Row, params};

use crate::db::error::{Doing, Error};
use crate::db::store::Store;
use crate::db::view::View;

/// Business dates whose counters are added up one by one: five weeks, of which cover needs one.
const DATES_RECENT: u32 = 35;

/// Business dates whose counters and movements are held: more than a year, to compare a season with the one before. The
/// centre has them for ever.
const DATES_HELD: u32 = 400;

/// Counts that are held after they are over.
const COUNTS_HELD: i64 = 200;

const MOVE_DOING: &str = "move the counters of a past business date";

impl Store {
    /// Moves or lets go at most `rows_max` rows of past business dates. Returns how many it were. Within an operation.
    pub(in crate::db) fn trim_stock(&self, rows_max: i64) -> Result<i64, Error> {
        let mut rows = rows_max;
        if let Some(recent) = self.view().oldest_of(DATES_RECENT)? {
            rows -= self.move_past(recent, rows)?;
        }
        if let Some(held) = self.view().oldest_held_of_stock()? {
            rows -= self.let_go(held, rows)?;
        }
        rows -= self.let_counts_go(rows)?;
        Ok(rows_max - rows)
    }

    fn move_past(&self, before: BusinessDate, rows_max: i64) -> Result<i64, Error> {
        let mut moved = 0;
        for (select, delete, column) in [
            (
                "SELECT business_date, item_id, epoch, used_micro FROM stock_usage WHERE business_date < ?1
                 ORDER BY business_date LIMIT ?2",
                "DELETE FROM stock_usage WHERE business_date = ?1 AND item_id = ?2 AND epoch = ?3",
                Column::Used,
            ),
            (
                "SELECT business_date, item_id, epoch, added_micro FROM stock_added WHERE business_date < ?1
                 ORDER BY business_date LIMIT ?2",
                "DELETE FROM stock_added WHERE business_date = ?1 AND item_id = ?2 AND epoch = ?3",
                Column::Added,
            ),
        ] {
            let mut select = self.connection.prepare_cached(select).doing(MOVE_DOING)?;
            let rows = select
                .query_map(params![before.days(), rows_max - moved], read_counter)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .doing(MOVE_DOING)?;
            let mut delete = self.connection.prepare_cached(delete).doing(MOVE_DOING)?;
            for (date, item_id, epoch, micro) in rows {
                let (added, used) = match column {
                    Column::Added => (micro, 0),
                    Column::Used => (0, micro),
                };
                self.add_to_past(date, &item_id, epoch, added, used)?;
                delete.execute(params![date, item_id, epoch]).doing(MOVE_DOING)?;
                moved += 1;
            }
        }
        Ok(moved)
    }

    fn add_to_past(&self, date: i64, item_id: &str, epoch: i64, added: i64, used: i64) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO stock_past (business_date, item_id, epoch, added_micro, used_micro) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET added_micro = min(added_micro + excluded.added_micro, 9223372036854775807),
                    used_micro = min(used_micro + excluded.used_micro, 9223372036854775807)",
            )
            .and_then(|mut upsert| upsert.execute(params![date, item_id, epoch, added, used]))
            .doing(MOVE_DOING)?;
        self.connection
            .prepare_cached(
                "INSERT INTO stock_past_total (item_id, added_micro, used_micro) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET added_micro = min(added_micro + excluded.added_micro, 9223372036854775807),
                    used_micro = min(used_micro + excluded.used_micro, 9223372036854775807)",
            )
            .and_then(|mut upsert| upsert.execute(params![item_id, added, used]))
            .doing(MOVE_DOING)
            .map(drop)
    }

    /// Counters whose sum is kept, and movements, of which the centre has the events.
    fn let_go(&self, before: BusinessDate, rows_max: i64) -> Result<i64, Error> {
        let doing = "let old rows of stock go";
        let mut gone = 0;
        // A movement's items are bounded, and its items go before it.
        for delete in [
            "DELETE FROM stock_past WHERE (business_date, item_id, epoch) IN (SELECT business_date, item_id, epoch
                FROM stock_past WHERE business_date < ?1 ORDER BY business_date LIMIT ?2)",
            "DELETE FROM stock_restocked WHERE business_date IN (SELECT business_date FROM stock_restocked
                WHERE business_date < ?1 ORDER BY business_date LIMIT ?2)",
            "DELETE FROM stock_moved_item WHERE (position, place) IN (SELECT position, place
                FROM stock_movement CROSS JOIN stock_moved_item USING (position) WHERE business_date < ?1 LIMIT ?2)",
            "DELETE FROM stock_movement WHERE position IN (SELECT position FROM stock_movement AS old
                WHERE business_date < ?1 AND NOT EXISTS (SELECT 1 FROM stock_moved_item AS item
                    WHERE item.position = old.position) LIMIT ?2)",
        ] {
            let rows = self
                .connection
                .prepare_cached(delete)
                .and_then(|mut delete| delete.execute(params![before.days(), rows_max - gone]))
                .doing(doing)?;
            gone += i64::try_from(rows).unwrap_or(i64::MAX);
        }
        Ok(gone)
    }

    fn let_counts_go(&self, rows_max: i64) -> Result<i64, Error> {
        let doing = "let old counts of stock go";
        let old = "SELECT count_id FROM stock_count WHERE state <> 'open' ORDER BY ended_at DESC LIMIT -1 OFFSET ?1";
        let mut gone = 0;
        for delete in [
            format!(
                "DELETE FROM stock_count_item WHERE (count_id, item_id) IN (SELECT count_id, item_id
                    FROM ({old}) CROSS JOIN stock_count_item USING (count_id) LIMIT ?2)"
            ),
            format!(
                "DELETE FROM stock_count WHERE count_id IN (SELECT count_id FROM ({old}) AS old WHERE NOT EXISTS
                    (SELECT 1 FROM stock_count_item AS item WHERE item.count_id = old.count_id) LIMIT ?2)"
            ),
        ] {
            let rows = self
                .connection
                .prepare_cached(&delete)
                .and_then(|mut delete| delete.execute(params![COUNTS_HELD, rows_max - gone]))
                .doing(doing)?;
            gone += i64::try_from(rows).unwrap_or(i64::MAX);
        }
        Ok(gone)
    }
}

impl View<'_> {
    /// The oldest business date whose counters are held one by one; none if all are.
    pub(super) fn oldest_held_of_stock(&self) -> Result<Option<BusinessDate>, Error> {
        self.oldest_of(DATES_HELD)
    }

    /// The oldest of the newest `dates` on which the store has sold; none if there are fewer.
    fn oldest_of(&self, dates: u32) -> Result<Option<BusinessDate>, Error> {
        self.connection
            .prepare_cached("SELECT business_date FROM day_total ORDER BY business_date DESC LIMIT 1 OFFSET ?1 - 1")
            .and_then(|mut select| select.query_row([dates], |row| Ok(BusinessDate::from_days(row.get(0)?))).optional())
            .doing("find which business dates are past")
    }
}

#[derive(Clone, Copy)]
enum Column {
    Added,
    Used,
}

fn read_counter(row: &Row<'_>) -> rusqlite::Result<(i64, String, i64, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}
