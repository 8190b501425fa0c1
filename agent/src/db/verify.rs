//! Walking the chain from the oldest event that is held to the newest.

use std::fmt;

use pos_model::{ChainHash, Place, Seq};
use protocol::latest::{EventBody, Predecessor, decode_event};
use rusqlite::{Row, params};

use super::error::{Doing, Error};
use super::view::{EpochRow, View};

/// What was walked without finding anything wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Epochs.
    pub epochs: u64,
    /// Events.
    pub events: u64,
    /// Sales among them.
    pub sales: u64,
}

/// The first row that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub problem: String,
    /// What was sound before it.
    pub before: Verified,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}", self.place, self.problem)
    }
}

impl View<'_> {
    /// Walks all that is held. Every event must follow on the one before by number and hash, be readable, and agree with
    /// its row; every epoch must begin with its opening, tied to the epoch before; every sale must have its header, with
    /// the same numbers. It reads one state of the books, so it keeps the log from being emptied while it runs.
    pub fn verify(&self) -> Result<Result<Verified, Broken>, Error> {
        self.consistent(|view| {
            let mut walk = Walk::default();
            for epoch in view.epoch_rows()? {
                if let Err(broken) = walk.epoch(view, &epoch)? {
                    return Ok(Err(broken));
                }
            }
            Ok(Ok(walk.done))
        })
    }
}

#[derive(Default)]
struct Walk {
    done: Verified,
    /// The end of the epoch before, if that epoch is held.
    before: Option<Predecessor>,
}

impl Walk {
    fn epoch(&mut self, view: &View<'_>, epoch: &EpochRow) -> Result<Result<(), Broken>, Error> {
        let report = epoch.report;
        let mut hash = report.hash_before;
        let mut seq = report.first_held.previous();
        let broken = |seq, problem: String, before| {
            Ok(Err(Broken { place: Place { epoch: report.epoch, seq }, problem, before }))
        };
        if let Some(before) = self.before
            && before.hash != hash
        {
            let problem = format!("the epoch does not follow on {}/{}", before.epoch, before.seq);
            return broken(report.first_held, problem, self.done);
        }
        let mut select = view
            .connection
            .prepare_cached(
                "SELECT position, kind, event.recorded_at, hash, bytes, sale_id, receipt_no, total_minor
                 FROM event LEFT JOIN sale USING (position) WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
            )
            .doing("walk the events")?;
        let mut rows = select
            .query(params![epoch.base + report.first_held.to_sql(), epoch.base + report.head.to_sql()])
            .doing("walk the events")?;
        while let Some(row) = rows.next().doing("walk the events")? {
            let found = Seq::from_sql(row.get::<_, i64>(0).doing("walk the events")? - epoch.base);
            if found != seq.next() {
                return broken(seq.next(), "the row is missing".to_owned(), self.done);
            }
            seq = found;
            match self.event(row, epoch, seq, hash) {
                Ok(next) => hash = next,
                Err(problem) => return broken(seq, problem, self.done),
            }
            self.done.events += 1;
        }
        if seq != report.head {
            return broken(seq.next(), "the row is missing".to_owned(), self.done);
        }
        self.done.epochs += 1;
        self.before = Some(Predecessor { epoch: report.epoch, seq, hash });
        Ok(Ok(()))
    }

    /// Checks one row, and returns the hash to go on from.
    fn event(&mut self, row: &Row<'_>, epoch: &EpochRow, seq: Seq, hash: ChainHash) -> Result<ChainHash, String> {
        let cell = |error: rusqlite::Error| format!("the row cannot be read: {error}");
        let bytes = row.get_ref(4).map_err(cell)?.as_blob().map_err(|error| error.to_string())?;
        let next = hash.then(bytes);
        if ChainHash::from_bytes(row.get(3).map_err(cell)?) != next {
            return Err("its hash is not that of its bytes and of the history before it".to_owned());
        }
        let event = decode_event(bytes).map_err(|error| error.to_string())?;
        let (kind, recorded_at): (String, i64) = (row.get(1).map_err(cell)?, row.get(2).map_err(cell)?);
        if kind != event.body.kind() || recorded_at != event.at.utc_ms {
            return Err("its kind or time is not that of its bytes".to_owned());
        }
        match event.body {
            EventBody::EpochOpened(opened) => {
                let tied = match self.before {
                    Some(before) => opened.previous == Some(before),
                    // What came before has been trimmed, or never was.
                    None => opened.previous.map_or(ChainHash::GENESIS, |previous| previous.hash) == hash,
                };
                if seq != Seq::FIRST || opened.epoch != epoch.report.epoch || !tied {
                    return Err("it does not open this epoch after the history before it".to_owned());
                }
            }
            _ if seq == Seq::FIRST => return Err("the epoch is not opened".to_owned()),
            EventBody::SaleCompleted(sale) => {
                let header: (Option<[u8; 16]>, Option<i64>, Option<i64>) =
                    (row.get(5).map_err(cell)?, row.get(6).map_err(cell)?, row.get(7).map_err(cell)?);
                let said = (
                    Some(*sale.sale_id.as_bytes()),
                    i64::try_from(sale.receipt_no).ok(),
                    Some(sale.totals.gross_minor.minor()),
                );
                if header != said {
                    return Err("the sale's header is missing or differs from it".to_owned());
                }
                self.done.sales += 1;
            }
            _ => {}
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Store;
    use crate::db::testing::{open_epoch, reopen, sell, store};
    use proptest::prelude::*;

    /// Two epochs: an opening and three sales, an opening and two sales.
    fn sold() -> Store {
        let mut store = store();
        open_epoch(&mut store, 1);
        (1..=3).for_each(|number| drop(sell(&mut store, number)));
        let mut store = reopen(store);
        open_epoch(&mut store, 2);
        (4..=5).for_each(|number| drop(sell(&mut store, number)));
        store
    }

    #[test]
    fn the_first_broken_row_is_named() {
        #[track_caller]
        fn check(damage: &str, place: Option<(u64, u64)>) {
            let store = sold();
            store.connection.execute_batch(damage).expect("works");
            let found = store.view().verify().expect("reads").err();
            let found = found.map(|broken| (broken.place.epoch.get(), broken.place.seq.get()));
            assert_eq!(found, place, "{damage}");
        }
        check("", None);
        check("UPDATE event SET bytes = zeroblob(20) WHERE position = 3", Some((1, 3)));
        check("UPDATE event SET hash = zeroblob(32) WHERE position = 3", Some((1, 3)));
        check("UPDATE event SET kind = 'other' WHERE position = 3", Some((1, 3)));
        check("UPDATE event SET recorded_at = 1 WHERE position = 6", Some((2, 2)));
        check("DELETE FROM event WHERE position = 2", Some((1, 2)));
        check("DELETE FROM event WHERE position = 4", Some((1, 4)));
        check("DELETE FROM event WHERE position = 5", Some((2, 1)));
        check("UPDATE epoch SET hash_before = zeroblob(32) WHERE epoch = 2", Some((2, 1)));
        check("UPDATE epoch SET epoch = 9 WHERE epoch = 2", Some((9, 1)));
        check("UPDATE sale SET receipt_no = 77 WHERE position = 7", Some((2, 3)));
        check("UPDATE sale SET total_minor = 1 WHERE position = 2", Some((1, 2)));
        check("DELETE FROM sale WHERE position = 2", Some((1, 2)));
        check(
            "DELETE FROM event WHERE position = 3; UPDATE event SET position = position - 1 WHERE position > 3",
            Some((1, 3)),
        );
    }

    #[test]
    fn what_is_sound_is_counted() {
        let verified = sold().view().verify().expect("reads").expect("is sound");
        assert_eq!(verified, Verified { epochs: 2, events: 7, sales: 5 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_flipped_bit_is_found(position in 1i64..=7, at: prop::sample::Index, bit in 0u8..8) {
            let store = sold();
            let mut bytes: Vec<u8> = store
                .connection
                .query_row("SELECT bytes FROM event WHERE position = ?1", [position], |row| row.get(0))
                .expect("reads");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            store
                .connection
                .execute("UPDATE event SET bytes = ?2 WHERE position = ?1", params![position, bytes])
                .expect("writes");
            let broken = store.view().verify().expect("reads").expect_err("must be found");
            let place = if position <= 4 { (1, position) } else { (2, position - 4) };
            prop_assert_eq!((broken.place.epoch.get(), broken.place.seq.to_sql()), place);
        }
    }
}
