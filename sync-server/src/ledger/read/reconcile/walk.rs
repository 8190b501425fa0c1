//! The events of a date, out of the messages that are held; and where there are none.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{ChainHash, Epoch, Seq};
use protocol::latest::{DecodeError, Event, Mark, RunOfDay, decode_event};

use super::DOING;
use crate::ledger::database::{Database, KeptHashes, Row, cells};
use crate::ledger::read::frames;
use crate::ledger::reconcile::Gap;
use crate::ledger::{BATCH_EVENTS_MAX, LedgerError};

/// The most events that the runs of a date are looked at for. A store's busiest day has a tenth of it.
const RUN_EVENTS_MAX: u64 = 100_000;

/// An event that is held.
pub(super) struct Seen {
    pub(super) event_no: i64,
    pub(super) stream_no: i64,
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) hash: ChainHash,
    /// Whether its hash stands beside the message, where the home keeps it there.
    pub(super) has_hash: bool,
    /// What its message says: what the store holds.
    pub(super) received: Result<Event, DecodeError>,
    /// What counts in its place, if a person has fixed it.
    pub(super) fixed: Option<Result<Event, DecodeError>>,
}

impl Seen {
    /// What its rows and the sums have to say.
    pub(super) fn counts(&self) -> &Result<Event, DecodeError> {
        self.fixed.as_ref().unwrap_or(&self.received)
    }
}

/// What was found of the runs of a date.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) events: Vec<Seen>,
    pub(super) gaps: Vec<Gap>,
    pub(super) streams: BTreeSet<i64>,
    /// Numbers of the events that are parked.
    pub(super) parked: BTreeSet<i64>,
    pub(super) is_behind: bool,
    pub(super) is_other_history: bool,
    pub(super) is_too_large: bool,
    /// How many events the runs name.
    named: u64,
}

/// A message by its row, without its frame.
struct Span {
    first_event_no: i64,
    first_seq: i64,
    events: i64,
}

impl Walked {
    /// What the ledger took in of the same epochs behind the runs: since the digest was made, or what the store lost.
    pub(super) fn behind<D: Database>(database: &D, store_no: i64, runs: &[RunOfDay]) -> Result<Self, LedgerError> {
        let query = "SELECT applied_seq, applied_hash FROM streams WHERE store_no = ?1 AND epoch = ?2";
        let mut behind = Self::default();
        for run in runs {
            let applied = database.first(DOING, query, cells![store_no, run.epoch.to_sql()], |row| {
                Ok(Mark { seq: Seq::from_sql(row.number(0)?), hash: row.hash(1)? })
            })?;
            if let Some(last) = applied.filter(|last| last.seq > run.last.seq) {
                behind.run(database, store_no, &RunOfDay { epoch: run.epoch, first: run.last.seq.next(), last })?;
            }
        }
        Ok(behind)
    }

    /// Looks at one run.
    pub(super) fn run<D: Database>(&mut self, database: &D, store_no: i64, run: &RunOfDay) -> Result<(), LedgerError> {
        self.named = self.named.saturating_add(run.last.seq.since(run.first)).saturating_add(1);
        if run.first > run.last.seq || self.named > RUN_EVENTS_MAX {
            self.is_too_large = true;
            return Ok(());
        }
        let query = "SELECT stream_no, applied_seq FROM streams WHERE store_no = ?1 AND epoch = ?2";
        let stream = database
            .first(DOING, query, cells![store_no, run.epoch.to_sql()], |row| Ok((row.number(0)?, row.number(1)?)))?;
        let (first, last) = (run.first.to_sql(), run.last.seq.to_sql());
        let Some((stream_no, _)) = stream.filter(|(_, applied)| *applied >= last) else {
            self.is_behind = true;
            return Ok(());
        };
        self.streams.insert(stream_no);
        let most = i64::try_from(BATCH_EVENTS_MAX).unwrap_or(i64::MAX);
        let query = "SELECT first_event_no, first_seq, events FROM batches
            WHERE stream_no = ?1 AND first_seq > ?2 AND first_seq <= ?3 ORDER BY first_seq";
        let spans = database.all(DOING, query, cells![stream_no, first.saturating_sub(most), last], |row| {
            Ok(Span { first_event_no: row.number(0)?, first_seq: row.number(1)?, events: row.number(2)? })
        })?;
        let query = "SELECT event_no FROM parked WHERE stream_no = ?1 AND seq BETWEEN ?2 AND ?3
            AND event_no IS NOT NULL";
        self.parked.extend(database.all(DOING, query, cells![stream_no, first, last], |row| row.number(0))?);
        let mut missing = Vec::new();
        let mut next = first;
        let mut end = None;
        for span in spans.iter().filter(|span| span.first_seq.saturating_add(span.events) > first) {
            if span.first_seq > next {
                missing.push((next, span.first_seq - 1));
                end = None;
            }
            let behind = span.first_seq.saturating_add(span.events);
            match self.span::<D>(database, stream_no, run, span, end)? {
                Some(hash) => end = Some(hash),
                None => {
                    // Its place is taken by what comes again, so all of it has to.
                    missing.push((span.first_seq, behind - 1));
                    end = None;
                }
            }
            next = next.max(behind);
        }
        if next <= last {
            missing.push((next, last));
        }
        let end_of_run = self.events.last().filter(|seen| seen.stream_no == stream_no && seen.seq == run.last.seq);
        if end_of_run.is_some_and(|seen| seen.hash != run.last.hash) {
            self.is_other_history = true;
        }
        let query = "SELECT from_seq, to_seq FROM losses WHERE stream_no = ?1";
        let losses = database.all(DOING, query, cells![stream_no], |row| Ok((row.number(0)?, row.number(1)?)))?;
        for (from, to) in without(missing, &losses) {
            self.gaps.push(Gap { epoch: run.epoch, from: Seq::from_sql(from), to: Seq::from_sql(to) });
        }
        Ok(())
    }

    /// Opens a message and takes its events that lie in the run. Says the hash at its end; nothing if it is damaged.
    fn span<D: Database>(
        &mut self,
        database: &D,
        stream_no: i64,
        run: &RunOfDay,
        span: &Span,
        before: Option<ChainHash>,
    ) -> Result<Option<ChainHash>, LedgerError> {
        let held = match frames::holding(database, span.first_event_no) {
            Ok(Some(held)) => held,
            Ok(None) | Err(LedgerError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let last_event_no = span.first_event_no.saturating_add(span.events - 1);
        let mut kept = BTreeMap::new();
        let between = cells![span.first_event_no, last_event_no];
        // PostgreSQL looks messages up by their first event, SQLite each event.
        database.query(DOING, D::DIALECT.hashes, between, &mut |row| {
            kept.insert(row.number(0)?, row.hash(1)?);
            Ok(())
        })?;
        if before.is_some_and(|before| before != held.hash_before()) {
            return Ok(None);
        }
        let query = "SELECT event_no, bytes FROM superseding WHERE event_no BETWEEN ?1 AND ?2";
        let mut fixed = BTreeMap::new();
        database.query(DOING, query, between, &mut |row| {
            fixed.insert(row.number(0)?, decode_event(row.bytes(1)?));
            Ok(())
        })?;
        let mut hash = held.hash_before();
        let mut events = Vec::new();
        for (event_no, seq, bytes) in held.each() {
            hash = hash.then(bytes);
            if kept.get(&event_no).is_some_and(|kept| *kept != hash) {
                return Ok(None);
            }
            if (run.first..=run.last.seq).contains(&seq) {
                let has_hash = D::DIALECT.kept_hashes == KeptHashes::Last || kept.contains_key(&event_no);
                let (received, fixed) = (decode_event(bytes), fixed.remove(&event_no));
                events.push(Seen { event_no, stream_no, epoch: run.epoch, seq, hash, has_hash, received, fixed });
            }
        }
        if held.each().count() != usize::try_from(span.events).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        self.events.extend(events);
        Ok(Some(hash))
    }
}

/// What of some ranges lies in none of others.
fn without(ranges: Vec<(i64, i64)>, taken: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut left = ranges;
    for (from, to) in taken {
        let parts = |(first, last): (i64, i64)| {
            [(first, last.min(*from - 1)), (first.max(*to + 1), last)].into_iter().filter(|(first, last)| first <= last)
        };
        left = left
            .into_iter()
            .flat_map(
                |range| {
                    if range.1 < *from || range.0 > *to { vec![range] } else { parts(range).collect::<Vec<_>>() }
                },
            )
            .collect();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_not_asked_for() {
        let check = |taken: &[(i64, i64)], left: &[(i64, i64)]| assert_eq!(without(vec![(3, 9)], taken), left);
        check(&[], &[(3, 9)]);
        check(&[(1, 2), (10, 12)], &[(3, 9)]);
        check(&[(1, 4)], &[(5, 9)]);
        check(&[(5, 6)], &[(3, 4), (7, 9)]);
        check(&[(8, 20), (3, 3)], &[(4, 7)]);
        check(&[(1, 20)], &[]);
    }
}
