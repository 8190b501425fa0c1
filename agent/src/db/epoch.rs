//! Opening an epoch.

use pos_model::{Epoch, EventId, Place, Seq, Stamp};
use protocol::latest::{EpochOpened, Event, OpenReason, Predecessor, encode_event};
use rusqlite::{OptionalExtension, params};

use super::error::{Doing, Error};
use super::store::{Durability, Head, Store};

impl Store {
    /// Opens an epoch and writes the event that ties it to the history before. Each run of the agent begins with one,
    /// on disk before its first sale, and a run that finds its epoch used elsewhere goes on in a new one.
    pub fn open_epoch(
        &mut self,
        epoch: Epoch,
        event_id: EventId,
        at: Stamp,
        reason: OpenReason,
        agent_version: &str,
    ) -> Result<Head, Error> {
        self.atomically(Durability::Promise, |store| {
            let known: Option<i64> = store
                .connection
                .query_row("SELECT ordinal FROM epoch WHERE epoch = ?1", [epoch.to_sql()], |row| row.get(0))
                .optional()
                .doing("look the epoch up")?;
            if known.is_some() {
                return Err(Error::EpochExists(epoch));
            }
            let before = store.tail;
            store
                .connection
                .execute("UPDATE epoch SET head = ?1 - base WHERE head IS NULL", [before.position])
                .doing("close the epoch before")?;
            store
                .connection
                .execute(
                    "INSERT INTO epoch (epoch, base, head, first_held, hash_before, acked) VALUES (?1, ?2, NULL, 1, ?3, 0)",
                    params![epoch.to_sql(), before.position, before.hash.as_bytes()],
                )
                .doing("open the epoch")?;
            store.tail.current = Some((epoch, before.position));
            let previous =
                before.place.map(|place| Predecessor { epoch: place.epoch, seq: place.seq, hash: before.hash });
            let opened = EpochOpened { epoch, previous, reason, agent_version: agent_version.to_owned() };
            store.append(&Event { id: event_id, at, body: opened.into() })
        })
    }

    /// Adds an event to the history. Within an operation.
    pub(super) fn append(&mut self, event: &Event) -> Result<Head, Error> {
        let (epoch, base) = self.tail.current.ok_or(Error::NoEpoch)?;
        let bytes = encode_event(event).map_err(Error::Encode)?;
        let position = self.tail.position + 1;
        let hash = self.tail.hash.then(&bytes);
        self.connection
            .prepare_cached("INSERT INTO event (position, kind, recorded_at, hash, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut insert| {
                insert.execute(params![position, event.body.kind(), event.at.utc_ms, hash.as_bytes(), bytes])
            })
            .doing("write the event")?;
        let place = Place { epoch, seq: Seq::from_sql(position - base) };
        self.tail.position = position;
        self.tail.hash = hash;
        self.tail.place = Some(place);
        Ok(Head { place, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{event_id, open_epoch, sell, stamp, store};
    use pos_model::ChainHash;
    use protocol::latest::EventBody;

    #[test]
    fn each_run_begins_with_an_epoch_tied_to_the_one_before() {
        let mut store = store();
        assert_eq!(store.head(), None);
        let first = open_epoch(&mut store, 7);
        assert_eq!(first.place, Place { epoch: Epoch::new(7), seq: Seq::FIRST });
        sell(&mut store, 1);
        let last = store.head().expect("open");
        assert_eq!(last.place.seq.get(), 2);

        let mut store = Store::from_connection(store.into_connection(), crate::db::testing::RULES).expect("reopens");
        assert_eq!(store.head(), None, "the epoch of an earlier run is over");
        let second = open_epoch(&mut store, 3);
        assert_eq!(second.place, Place { epoch: Epoch::new(3), seq: Seq::FIRST });

        let reports = store.view().epochs().expect("reads");
        assert_eq!(reports.iter().map(|report| report.epoch.get()).collect::<Vec<_>>(), [7, 3], "in order of birth");
        assert_eq!((reports[0].head.get(), reports[0].hash_before), (2, ChainHash::GENESIS));
        assert_eq!((reports[1].head.get(), reports[1].hash_before), (1, last.hash));
        let batch = store.view().take_batch(Epoch::new(3), Seq::FIRST, 10, 10_000).expect("reads").expect("is there");
        let event = protocol::latest::decode_event(&batch.events[0]).expect("decodes");
        let EventBody::EpochOpened(opened) = event.body else { panic!("not an opening") };
        assert_eq!(opened.previous, Some(Predecessor { epoch: Epoch::new(7), seq: Seq::new(2), hash: last.hash }));
    }

    #[test]
    fn an_epoch_is_never_used_again() {
        let mut store = store();
        open_epoch(&mut store, 7);
        let error = store
            .open_epoch(Epoch::new(7), event_id(99), stamp(0), OpenReason::Start, "test")
            .expect_err("must be refused");
        assert!(matches!(error, Error::EpochExists(epoch) if epoch == Epoch::new(7)));
        sell(&mut store, 1);
        assert_eq!(store.head().expect("still open").place.seq.get(), 2);
    }

    #[test]
    fn an_epoch_may_be_left_within_a_run() {
        let mut store = store();
        open_epoch(&mut store, 1);
        sell(&mut store, 1);
        store.open_epoch(Epoch::new(2), event_id(50), stamp(0), OpenReason::Fork, "test").expect("opens");
        sell(&mut store, 2);
        assert_eq!(store.head().expect("open").place, Place { epoch: Epoch::new(2), seq: Seq::new(2) });
        assert!(store.view().verify().expect("reads").is_ok());
    }
}
