//! Letting go of what the centre has confirmed, a few rows at a time.

use pos_model::Seq;
use rusqlite::{OptionalExtension, params};

use super::error::{Doing, Error};
use super::shift_view::oldest_in_open_shift;
use super::store::{Durability, Store};

/// The shortest retention of confirmed events: 14 days. The centre may be restored from a backup that is older than the
/// confirmation, and asks for them again.
pub const RETENTION_MS_MIN: i64 = 14 * DAY_MS;

/// For how long a sale's header outlives its event: more than a year. A till, or a file that is read a second time, may
/// repeat a command long after; a header is a hundred bytes or so.
pub const HEADERS_KEPT_MS: i64 = 400 * DAY_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Between marks, in running time: the error by which an event may be held too long.
const MARK_EVERY_MS: i64 = 60 * 60 * 1000;

impl Store {
    /// Writes something that changes nothing as durably as a sale: it fails where a sale would.
    pub fn try_to_write(&mut self) -> Result<(), Error> {
        self.atomically(Durability::Promise, |store| store.note_running(0))
    }

    /// Notes that an agent has run on this folder for so much longer, by a clock that nobody can set. Ages are counted in
    /// this time: a wall clock that jumps a year ahead lets nothing go.
    pub fn note_running(&mut self, elapsed_ms: i64) -> Result<(), Error> {
        self.atomically(Durability::Hint, |store| {
            let running_ms: i64 = store
                .connection
                .query_row(
                    "UPDATE folder SET running_ms = running_ms + max(0, ?1) RETURNING running_ms",
                    [elapsed_ms],
                    |row| row.get(0),
                )
                .doing("note the running time")?;
            store
                .connection
                .execute(
                    "INSERT OR REPLACE INTO age_mark (running_ms, position) SELECT ?1, ?2
                     WHERE ?1 >= coalesce((SELECT max(running_ms) FROM age_mark), -?3) + ?3",
                    params![running_ms, store.tail.position, MARK_EVERY_MS],
                )
                .doing("note the running time")
                .map(drop)
        })
    }

    /// Lets at most `rows_max` events go: the oldest ones, as far as they are confirmed and have been held for
    /// `retention_ms` of running time. Headers of sales go after [`HEADERS_KEPT_MS`], and
    /// counters of stock are moved to those of the past. Returns how many rows went; the
    /// caller comes again, later, until it is none.
    pub fn trim(&mut self, retention_ms: i64, rows_max: u32) -> Result<u64, Error> {
        self.atomically(Durability::Hint, |store| {
            let mut rows = i64::from(rows_max);
            // An open shift has its sales and refunds still to add up.
            let open = oldest_in_open_shift(&store.connection)?.map_or(i64::MAX, |oldest| oldest.saturating_sub(1));
            if let Some(limit) = store.newest_of_age(retention_ms)?.map(|limit| limit.min(open)) {
                rows -= store.trim_events(limit, rows)?;
            }
            // Answers to commands, baskets that are over, and attempts of which nothing is to come, go when the events of
            // their time have gone.
            for sql in [
                "DELETE FROM command WHERE command_id IN (SELECT command_id FROM command
                    WHERE position < (SELECT min(position) FROM event) ORDER BY position LIMIT ?1)",
                "DELETE FROM basket WHERE basket_id IN (SELECT basket_id FROM basket
                    WHERE alive = 0 AND position < (SELECT min(position) FROM event) ORDER BY position LIMIT ?1)",
                "DELETE FROM attempt WHERE attempt_id IN (SELECT attempt_id FROM attempt
                    WHERE (used = 1 OR state NOT IN ('asked', 'approved', 'unknown'))
                        AND position < (SELECT min(position) FROM event) ORDER BY position LIMIT ?1)",
            ] {
                rows -= store.trim_rows(sql, params![rows.max(0)])?;
            }
            rows -= store.trim_stock(rows)?;
            rows -= store.trim_kitchen(rows.max(0))?;
            rows -= store.trim_approvals(rows.max(0))?;
            if let Some(limit) = store.newest_of_age(HEADERS_KEPT_MS.max(retention_ms))? {
                rows -= store.trim_headers(limit, rows)?;
                rows -= store.trim_counter(limit, rows)?;
            }
            Ok((i64::from(rows_max) - rows).unsigned_abs())
        })
    }

    /// The newest position that has been held for `age_ms`.
    pub(super) fn newest_of_age(&self, age_ms: i64) -> Result<Option<i64>, Error> {
        self.connection
            .query_row(
                "SELECT position FROM age_mark, folder WHERE age_mark.running_ms <= folder.running_ms - ?1
                 ORDER BY age_mark.running_ms DESC LIMIT 1",
                [age_ms],
                |row| row.get(0),
            )
            .optional()
            .doing("find the age of events")
    }

    fn trim_events(&self, limit: i64, rows_max: i64) -> Result<i64, Error> {
        let mut gone = 0;
        for epoch in self.view().epoch_rows()? {
            let report = epoch.report;
            let first = epoch.base + report.first_held.to_sql();
            let last = (epoch.base + report.acked.to_sql()).min(limit).min(first + (rows_max - gone) - 1);
            if last >= first {
                let hash = self.view().hash_at(last)?;
                self.connection
                    .execute("DELETE FROM event WHERE position BETWEEN ?1 AND ?2", [first, last])
                    .doing("let events go")?;
                self.connection
                    .execute(
                        "UPDATE epoch SET first_held = ?2, hash_before = ?3 WHERE ordinal = ?1",
                        params![epoch.ordinal, last - epoch.base + 1, hash.as_bytes()],
                    )
                    .doing("note what is held")?;
                gone += last - first + 1;
            }
            // Order is kept: as long as one event of an epoch is held, nothing of a later one goes.
            if Seq::from_sql(last - epoch.base) < report.head {
                break;
            }
            // An epoch that is over and empty is forgotten. The newest one stays: it knows the hash to go on from.
            self.connection
                .execute("DELETE FROM epoch WHERE ordinal = ?1 AND head IS NOT NULL", [epoch.ordinal])
                .doing("forget an epoch")?;
        }
        Ok(gone)
    }

    fn trim_rows(&self, sql: &'static str, parameters: impl rusqlite::Params) -> Result<i64, Error> {
        let gone = self.connection.execute(sql, parameters).doing("let old rows go")?;
        Ok(i64::try_from(gone).unwrap_or(i64::MAX))
    }

    /// What is kept of refunds and shifts goes with the headers of the sales of their time.
    fn trim_counter(&self, limit: i64, rows_max: i64) -> Result<i64, Error> {
        let mut rows = rows_max;
        for sql in [
            "DELETE FROM refund WHERE position IN (SELECT position FROM refund WHERE position <= ?1
                AND position < coalesce((SELECT min(position) FROM event), ?1 + 1) ORDER BY position LIMIT ?2)",
            "DELETE FROM cash_movement WHERE position IN (SELECT position FROM cash_movement WHERE position <= ?1
                AND position < coalesce((SELECT min(position) FROM event), ?1 + 1) ORDER BY position LIMIT ?2)",
            "DELETE FROM shift WHERE shift_id IN (SELECT shift_id FROM shift WHERE closed_position <= ?1
                AND closed_position < coalesce((SELECT min(position) FROM event), ?1 + 1)
                ORDER BY closed_position LIMIT ?2)",
        ] {
            rows -= self.trim_rows(sql, params![limit, rows.max(0)])?;
        }
        // A sale whose refunds are forgotten is itself: its header went before them.
        for sql in [
            "DELETE FROM returned_unit WHERE sale_id IN (SELECT sale_id FROM returned_unit
                WHERE NOT EXISTS (SELECT 1 FROM refund WHERE refund.sale_id = returned_unit.sale_id) LIMIT ?1)",
            "DELETE FROM refund_tender WHERE sale_id IN (SELECT sale_id FROM refund_tender
                WHERE NOT EXISTS (SELECT 1 FROM refund WHERE refund.sale_id = refund_tender.sale_id) LIMIT ?1)",
        ] {
            rows -= self.trim_rows(sql, params![rows.max(0)])?;
        }
        Ok(rows_max - rows)
    }

    fn trim_headers(&self, limit: i64, rows_max: i64) -> Result<i64, Error> {
        let gone = self
            .connection
            .execute(
                "DELETE FROM sale WHERE position IN (SELECT position FROM sale WHERE position <= ?1
                    AND position < coalesce((SELECT min(position) FROM event), ?1 + 1) ORDER BY position LIMIT ?2)",
                [limit, rows_max],
            )
            .doing("let headers of sales go")?;
        // The newest mark of that age serves the next time; the ones before it are of no more use.
        self.connection
            .execute(
                "DELETE FROM age_mark WHERE running_ms < (SELECT max(a.running_ms) FROM age_mark AS a, folder
                    WHERE a.running_ms <= folder.running_ms - ?1)",
                [HEADERS_KEPT_MS],
            )
            .doing("let marks go")?;
        Ok(i64::try_from(gone).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{command, digest, draft, event_id, open_epoch, reopen, sale_id, sell, stamp, store};
    use crate::db::{Confirmed, Recorded};
    use pos_model::Epoch;
    use protocol::latest::Mark;

    fn confirm_all(store: &mut Store) {
        for epoch in store.view().epochs().expect("reads") {
            let rows = store.view().events(None, false, 1000).expect("reads");
            let last = rows.iter().rfind(|row| row.place.epoch == epoch.epoch).expect("is held");
            let mark = Mark { seq: last.place.seq, hash: last.hash };
            assert_eq!(store.confirm(epoch.epoch, mark).expect("works"), Confirmed::Moved);
        }
    }

    fn held(store: &Store) -> usize {
        store.view().events(None, false, 1000).expect("reads").len()
    }

    #[test]
    fn only_what_is_confirmed_and_old_goes_and_in_small_steps() {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=5).for_each(|number| drop(sell(&mut store, number)));
        let mut store = reopen(store);
        open_epoch(&mut store, 2);
        sell(&mut store, 6);
        let step = |store: &mut Store, rows| store.trim(RETENTION_MS_MIN, rows).expect("trims");

        store.note_running(1).expect("notes");
        store.note_running(RETENTION_MS_MIN).expect("notes");
        assert_eq!(step(&mut store, 100), 0, "nothing is confirmed");
        confirm_all(&mut store);
        assert_eq!(step(&mut store, 4), 4);
        assert!(store.view().verify().expect("reads").is_ok(), "the chain begins at the oldest row");
        let report = store.view().epochs().expect("reads")[0];
        assert_eq!((report.first_held.get(), report.head.get(), report.acked.get()), (5, 6, 6));
        sell(&mut store, 7);
        assert_eq!(step(&mut store, 100), 4, "the rest of the first epoch and two of the second");
        assert_eq!(store.view().epochs().expect("reads").len(), 1, "an empty epoch is forgotten");
        assert_eq!(step(&mut store, 100), 0, "the newest is not confirmed");
        assert_eq!(held(&store), 1);
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn a_wall_clock_that_jumps_lets_nothing_go() {
        let mut store = store();
        open_epoch(&mut store, 1);
        for (number, after_ms) in [(1, -3_000_000_000_000), (2, 0), (3, 3_000_000_000_000)] {
            let recorded = store.record_sale(draft(command(number)), &digest(1), event_id(number), stamp(after_ms));
            assert!(matches!(recorded, Ok(Recorded::New(_))));
        }
        confirm_all(&mut store);
        store.note_running(RETENTION_MS_MIN - 1).expect("notes");
        assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 0);
        store.note_running(RETENTION_MS_MIN).expect("notes");
        assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 4);
    }

    #[test]
    fn a_folder_without_events_goes_on_where_it_was() {
        let mut store = store();
        open_epoch(&mut store, 1);
        sell(&mut store, 1);
        confirm_all(&mut store);
        let head = store.head().expect("open");
        store.note_running(1).expect("notes");
        store.note_running(RETENTION_MS_MIN).expect("notes");
        assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 2);
        assert_eq!(held(&store), 0);
        // The header still answers, and the centre may still confirm the last mark again.
        let again = store.record_sale(draft(command(1)), &digest(1), event_id(1), stamp(0)).expect("works");
        assert!(matches!(again, Recorded::Replayed(_)));
        let record = store.view().sale(sale_id(1)).expect("reads").expect("is there");
        assert_eq!((record.sale, record.synced), (None, true));
        let mark = Mark { seq: head.place.seq, hash: head.hash };
        assert_eq!(store.confirm(Epoch::new(1), mark).expect("works"), Confirmed::Already);
        let before = Mark { seq: Seq::FIRST, hash: head.hash };
        assert_eq!(store.confirm(Epoch::new(1), before).expect("works"), Confirmed::BeforeHeld);
        assert_eq!(
            store.rewind(Epoch::new(1), Seq::ZERO).expect("works"),
            Some(head.place.seq),
            "what is gone is gone"
        );

        let mut store = reopen(store);
        let next = open_epoch(&mut store, 2);
        sell(&mut store, 2);
        assert_eq!(next.place.seq, Seq::FIRST);
        assert_eq!(store.view().epochs().expect("reads")[1].hash_before, head.hash);
        assert!(store.view().verify().expect("reads").is_ok());
    }

    #[test]
    fn headers_outlive_their_events_by_a_year() {
        let mut store = store();
        open_epoch(&mut store, 1);
        sell(&mut store, 1);
        confirm_all(&mut store);
        store.note_running(1).expect("notes");
        store.note_running(HEADERS_KEPT_MS - 1).expect("notes");
        assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 2);
        assert!(store.view().sale(sale_id(1)).expect("reads").is_some());
        store.note_running(1).expect("notes");
        assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 1);
        assert_eq!(store.view().sale(sale_id(1)).expect("reads"), None);
    }
}
