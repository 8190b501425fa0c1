//! What the uplink does to the books.

use pos_model::{Epoch, Seq};
use protocol::latest::{Mark, ReceiptHead};
use rusqlite::params;

use super::error::{Doing, Error};
use super::store::{Durability, Store};

/// What came of a mark that the centre confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The histories agree, and the watermark moved forward to the mark.
    Moved,
    /// The histories agree, and the watermark stood at the mark or beyond already.
    Already,
    /// Our own event at that place has another hash.
    NotOurs,
    /// The mark lies after our newest event of that epoch.
    Beyond,
    /// The mark lies before the oldest event that we hold, so its hash cannot be compared.
    BeforeHeld,
    /// We hold nothing of that epoch.
    UnknownEpoch,
}

impl Store {
    /// Compares a mark of the centre's with our history and, where they agree, moves the watermark forward to it.
    /// A mark at zero has the hash before the epoch's first event.
    pub fn confirm(&mut self, epoch: Epoch, mark: Mark) -> Result<Confirmed, Error> {
        self.atomically(Durability::Hint, |store| {
            let view = store.view();
            let Some(row) = view.epoch_row(epoch)? else { return Ok(Confirmed::UnknownEpoch) };
            let report = row.report;
            if mark.seq > report.head {
                return Ok(Confirmed::Beyond);
            }
            let ours = if mark.seq >= report.first_held {
                view.hash_at(row.base + mark.seq.to_sql())?
            } else if mark.seq.next() == report.first_held {
                report.hash_before
            } else {
                return Ok(Confirmed::BeforeHeld);
            };
            if ours != mark.hash {
                return Ok(Confirmed::NotOurs);
            }
            if mark.seq <= report.acked {
                return Ok(Confirmed::Already);
            }
            store.set_acked(row.ordinal, mark.seq)?;
            Ok(Confirmed::Moved)
        })
    }

    /// Sets the watermark back, because the centre holds less than it once confirmed. Never forward, and not before
    /// what is held: what was trimmed cannot be sent again. Returns where it stands after that; `None` if we hold
    /// nothing of the epoch.
    pub fn rewind(&mut self, epoch: Epoch, to: Seq) -> Result<Option<Seq>, Error> {
        self.atomically(Durability::Hint, |store| {
            let Some(row) = store.view().epoch_row(epoch)? else { return Ok(None) };
            let acked = to.max(row.report.first_held.previous()).min(row.report.acked);
            if acked != row.report.acked {
                store.set_acked(row.ordinal, acked)?;
            }
            Ok(Some(acked))
        })
    }

    /// Moves the counters of receipts and of Z reports forward to these numbers, never back, and with the latter the grand
    /// totals. After a restored folder this keeps numbers that are on printed receipts and reports from being given again.
    pub fn raise_receipts(&mut self, heads: &[ReceiptHead]) -> Result<(), Error> {
        self.atomically(Durability::Hint, |store| {
            let mut raise = store
                .connection
                .prepare_cached(
                    "INSERT INTO till_head (till_id, receipt_no) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET receipt_no = max(receipt_no, excluded.receipt_no)",
                )
                .doing("raise a receipt number")?;
            for head in heads.iter().filter(|head| head.receipt_no > 0) {
                // A number beyond all sense would leave no room to count on, so it is not taken.
                let Ok(receipt_no) = u32::try_from(head.receipt_no) else { continue };
                raise.execute(params![head.till_id.as_str(), receipt_no]).doing("raise a receipt number")?;
            }
            let mut raise = store
                .connection
                .prepare_cached(
                    "INSERT INTO till_book (till_id, z_no, grand_total_minor) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET z_no = excluded.z_no, grand_total_minor = excluded.grand_total_minor
                     WHERE excluded.z_no > z_no",
                )
                .doing("raise a report's number")?;
            for head in heads.iter().filter(|head| head.z_no > 0) {
                let Ok(z_no) = u32::try_from(head.z_no) else { continue };
                let row = params![head.till_id.as_str(), z_no, head.grand_total_minor.minor()];
                raise.execute(row).doing("raise a report's number")?;
            }
            Ok(())
        })
    }

    fn set_acked(&self, ordinal: i64, acked: Seq) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE epoch SET acked = ?2 WHERE ordinal = ?1")
            .and_then(|mut update| update.execute(params![ordinal, acked.to_sql()]))
            .doing("move the watermark")
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{open_epoch, reopen, sell, store};
    use pos_model::ChainHash;
    use pos_model::Money;

    fn mark(store: &Store, epoch: u64, seq: u64) -> Mark {
        let (epoch, seq) = (Epoch::new(epoch), Seq::new(seq));
        let next = store.view().take_batch(epoch, seq.next(), 1, 0).expect("reads");
        let hash = match next {
            Some(batch) => batch.prev_hash,
            None => store.view().event(pos_model::Place { epoch, seq }).expect("reads").expect("is held").hash,
        };
        Mark { seq, hash }
    }

    fn depth(store: &Store) -> u64 {
        store.view().outbox_depth().expect("counts").events
    }

    #[test]
    fn the_watermark_moves_only_along_our_own_history() {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=3).for_each(|number| drop(sell(&mut store, number)));
        let mut store = reopen(store);
        open_epoch(&mut store, 2);
        let at = |seq| mark(&store, 1, seq);
        let marks = [at(0), at(1), at(2), at(4)];
        let wrong = |seq| Mark { seq: Seq::new(seq), hash: ChainHash::GENESIS.then(b"another history") };
        let second_epoch = mark(&store, 2, 0);
        assert_eq!(second_epoch.hash, marks[3].hash, "one chain runs through both epochs");

        let mut check = |epoch, mark, expected, left| {
            assert_eq!(store.confirm(Epoch::new(epoch), mark).expect("works"), expected, "{mark:?}");
            assert_eq!(depth(&store), left);
        };
        check(1, marks[0], Confirmed::Already, 5);
        check(1, wrong(0), Confirmed::NotOurs, 5);
        check(1, wrong(2), Confirmed::NotOurs, 5);
        check(1, marks[2], Confirmed::Moved, 3);
        check(1, marks[2], Confirmed::Already, 3);
        check(1, marks[1], Confirmed::Already, 3);
        check(1, wrong(5), Confirmed::Beyond, 3);
        check(9, marks[1], Confirmed::UnknownEpoch, 3);
        check(1, marks[3], Confirmed::Moved, 1);
        check(2, second_epoch, Confirmed::Already, 1);
    }

    #[test]
    fn rewind_goes_back_only() {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=3).for_each(|number| drop(sell(&mut store, number)));
        store.confirm(Epoch::new(1), mark(&store, 1, 3)).expect("works");
        let mut check = |to, expected: Option<u64>| {
            let acked = store.rewind(Epoch::new(1), Seq::new(to)).expect("works");
            assert_eq!(acked.map(Seq::get), expected);
        };
        check(4, Some(3));
        check(2, Some(2));
        check(3, Some(2));
        check(0, Some(0));
        assert_eq!(store.rewind(Epoch::new(9), Seq::ZERO).expect("works"), None);
        assert_eq!(depth(&store), 4);
    }

    #[test]
    fn receipt_numbers_are_raised_and_never_lowered() {
        let mut store = store();
        open_epoch(&mut store, 1);
        assert_eq!(sell(&mut store, 1).receipt_no, 1);
        let raise = |store: &mut Store, receipt_no| {
            let till_id = "T1".parse().expect("valid");
            store.raise_receipts(&[ReceiptHead::new(till_id, receipt_no)]).expect("works");
        };
        raise(&mut store, 41);
        assert_eq!(sell(&mut store, 2).receipt_no, 42);
        raise(&mut store, 7);
        raise(&mut store, u64::MAX);
        assert_eq!(sell(&mut store, 3).receipt_no, 43);
        assert_eq!(store.view().receipt_heads().expect("reads")[0].receipt_no, 43);
    }

    #[test]
    fn numbers_and_grand_totals_of_reports_are_raised_and_never_lowered() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let raise = |store: &mut Store, z_no, total| {
            let head = ReceiptHead::new("T1".parse().expect("valid"), 0);
            let head = ReceiptHead { z_no, grand_total_minor: Money::from_minor(total), ..head };
            store.raise_receipts(&[head]).expect("works");
        };
        let held = |store: &Store| -> (i64, i64) {
            let sql = "SELECT z_no, grand_total_minor FROM till_book WHERE till_id = 'T1'";
            store.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a till")
        };
        raise(&mut store, 5, 9000);
        assert_eq!(held(&store), (5, 9000), "the till has had reports since the copy was made");
        raise(&mut store, 4, 8000);
        raise(&mut store, u64::MAX, 1);
        assert_eq!(held(&store), (5, 9000));
        raise(&mut store, 6, 7000);
        assert_eq!(held(&store), (6, 7000));
    }

    #[test]
    fn batches_are_contiguous_and_bounded() {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=5).for_each(|number| drop(sell(&mut store, number)));
        let take =
            |from, events, bytes| store.view().take_batch(Epoch::new(1), Seq::new(from), events, bytes).expect("reads");
        let all = take(1, 100, 1 << 20).expect("is there");
        assert_eq!((all.events.len(), all.last_seq().get()), (6, 6));
        assert_eq!(all.prev_hash, ChainHash::GENESIS);
        let end = all.events.iter().fold(all.prev_hash, |hash, event| hash.then(event));
        assert_eq!(end, store.head().expect("open").hash);

        let part = take(3, 2, 1 << 20).expect("is there");
        assert_eq!((part.events.len(), part.first_seq.get()), (2, 3));
        assert_eq!(part.events[..], all.events[2..4]);
        assert_eq!(part.prev_hash, all.prev_hash.then(&all.events[0]).then(&all.events[1]));

        let bytes = all.events[2].len() + all.events[3].len();
        assert_eq!(take(3, 100, bytes).expect("is there").events.len(), 2);
        assert_eq!(take(3, 100, bytes - 1).expect("is there").events.len(), 1);
        assert_eq!(take(3, 100, 0).expect("one is always there").events.len(), 1);
        assert_eq!(take(0, 1, 1), None);
        assert_eq!(take(7, 1, 1), None);
        assert_eq!(take(1, 0, 1), None);
        assert_eq!(store.view().take_batch(Epoch::new(2), Seq::FIRST, 1, 1).expect("reads"), None);
    }
}
