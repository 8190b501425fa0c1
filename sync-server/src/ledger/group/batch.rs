//! A run of events.

use std::marker::PhantomData;
use std::ops::Range;

use pos_model::{ChainHash, Seq};
use protocol::latest::Mark;
use sync_core::server::{BatchOutcome, Held, Verdict, judge};

use super::numbers::ParkedNumber;
use super::record::{DOES_NOT_FIT, Parking, Place, Received, kind_of};
use super::tables::{BatchRow, ParkedRow, StreamRow, Tables};
use super::{Care, Group};
use crate::ledger::ReceivedBatch;
use crate::ledger::fault::Fault;
use crate::ledger::read::frames;

/// Why an event of another history is parked.
pub(super) const FORK: Parking<'_> = Parking { reason: "fork", detail: "another event is at this place" };

/// Why an event of a lost place is parked.
const FOUND: Parking<'_> = Parking { reason: "found", detail: "it had been written down as lost" };

/// Whose events are taken in.
#[derive(Clone, Copy)]
struct Taking<'g> {
    store_no: i64,
    stream_no: i64,
    batch: &'g ReceivedBatch,
}

/// What the tables hold of a stream.
struct HeldRows<'r, 'g, T: Tables<'g>> {
    tables: &'r mut T,
    stream_no: Option<i64>,
    group: PhantomData<&'g ()>,
}

impl<'g, T: Tables<'g>> Held for HeldRows<'_, 'g, T> {
    type Error = Fault;

    fn at(&mut self, seq: Seq) -> Result<Option<ChainHash>, Fault> {
        self.stream_no.map_or(Ok(None), |stream_no| self.tables.held(stream_no, seq))
    }

    fn is_beside(&mut self, mark: Mark) -> Result<bool, Fault> {
        self.stream_no.map_or(Ok(false), |stream_no| self.tables.is_parked(stream_no, mark))
    }

    fn lost(&mut self, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Fault> {
        self.stream_no.map_or(Ok(None), |stream_no| self.tables.lost(stream_no, from, to))
    }
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(super) fn batch(&mut self, store_no: i64, batch: &'g ReceivedBatch) -> Result<BatchOutcome, Fault> {
        let stream = self.tables.stream(store_no, batch.epoch)?;
        // Before its first event an epoch has no history that a batch could contradict.
        let cursor = stream.as_ref().map(|stream| stream.applied).filter(|applied| applied.seq > Seq::ZERO);
        let shape = batch.shape();
        let end = shape.end();
        let stream_no = stream.as_ref().map(|stream| stream.stream_no);
        let verdict = judge(cursor, shape, &mut HeldRows { tables: &mut *self.tables, stream_no, group: PhantomData })?;
        match verdict {
            Verdict::Ahead => {
                let hash = stream.map_or(ChainHash::GENESIS, |stream| stream.base_hash);
                let cursor = cursor.unwrap_or(Mark { seq: Seq::ZERO, hash });
                Ok(BatchOutcome { through: cursor, cursor, applied: 0, parked: vec![], forked: false, rewind: true })
            }
            Verdict::Apply { skip } => {
                let parked = match &stream {
                    Some(stream) => self.keep_found(store_no, stream, batch, skip)?,
                    None => Vec::new(),
                };
                if skip < batch.events.len() {
                    let mut outcome = self.follow(store_no, stream, batch, skip)?;
                    outcome.parked.splice(..0, parked);
                    return Ok(outcome);
                }
                let cursor = match (&stream, cursor) {
                    (Some(stream), Some(cursor)) => self.rest_found(stream, end, cursor)?,
                    _ => end,
                };
                Ok(BatchOutcome { through: end, cursor, applied: 0, parked, forked: false, rewind: false })
            }
            Verdict::Found { skip } => {
                let stream = stream.expect("without a cursor nothing was lost");
                let parked = self.park_beside(store_no, &stream, batch, skip..batch.events.len(), FOUND)?;
                let cursor = self.rest_found(&stream, end, stream.applied)?;
                Ok(BatchOutcome { through: end, cursor, applied: 0, parked, forked: false, rewind: false })
            }
            Verdict::Fork { skip } => {
                let stream = stream.expect("without a cursor a batch is no fork");
                let parked = self.park_beside(store_no, &stream, batch, skip..batch.events.len(), FORK)?;
                let cursor = stream.applied;
                Ok(BatchOutcome { through: end, cursor, applied: 0, parked, forked: true, rewind: false })
            }
        }
    }

    /// Takes the events from `skip` on into the history.
    fn follow(
        &mut self,
        store_no: i64,
        stream: Option<StreamRow>,
        batch: &'g ReceivedBatch,
        skip: usize,
    ) -> Result<BatchOutcome, Fault> {
        let shape = batch.shape();
        let end = shape.end();
        let stream_no = match stream {
            Some(stream) => {
                let base = if stream.applied.seq == Seq::ZERO { batch.prev_hash } else { stream.base_hash };
                self.tables.move_cursor(stream.stream_no, end, base)?;
                stream.stream_no
            }
            None => self.tables.add_stream(store_no, batch.epoch, end, batch.prev_hash, self.now_ms)?,
        };
        // Every event takes one number, parked or not. The frame is there before its events refer to it.
        let row = BatchRow {
            first_event_no: self.next_event_no,
            stream_no,
            first_seq: shape.seq(skip),
            events: batch.events.len() - skip,
            skip,
            received_at_ms: self.now_ms,
            frame: &batch.frame,
            last_hash: end.hash,
        };
        self.tables.add_batch(&row)?;
        let mut parked = Vec::new();
        let places: Vec<_> = batch.events.iter().enumerate().skip(skip).collect();
        let taking = Taking { store_no, stream_no, batch };
        if self.care == Care::Events {
            self.take_carefully(taking, &places, &mut parked)?;
        } else {
            self.take(taking, &places, &mut parked)?;
        }
        let applied = (row.events - parked.len()) as u64;
        Ok(BatchOutcome { through: end, cursor: end, applied, parked, forked: false, rewind: false })
    }

    /// Takes events in, one after the other.
    fn take(
        &mut self,
        taking: Taking<'g>,
        events: &[(usize, &'g Received)],
        parked: &mut Vec<Seq>,
    ) -> Result<(), Fault> {
        let Taking { store_no, stream_no, batch } = taking;
        for &(index, received) in events {
            let (seq, hash) = (batch.shape().seq(index), batch.hashes[index]);
            let place = Place { event_no: self.next_event_no, store_no, stream_no, epoch: batch.epoch, seq, hash };
            if !self.record(place, received)? {
                parked.push(seq);
            }
        }
        Ok(())
    }

    /// The same for events among which some do not fit: halves of them are taken under savepoints, down to the single
    /// event that does not, which is parked. One guilty event costs some twenty savepoints, however many came with it.
    fn take_carefully(
        &mut self,
        taking: Taking<'g>,
        events: &[(usize, &'g Received)],
        parked: &mut Vec<Seq>,
    ) -> Result<(), Fault> {
        let (parked_before, tried) = (parked.len(), self.in_savepoint(|group| group.take(taking, events, parked)));
        match (tried, events) {
            (Err(Fault::Content(detail)), &[(index, received)]) => {
                parked.truncate(parked_before);
                let Taking { store_no, stream_no, batch } = taking;
                let (seq, hash) = (batch.shape().seq(index), batch.hashes[index]);
                let place = Place { event_no: self.next_event_no, store_no, stream_no, epoch: batch.epoch, seq, hash };
                parked.push(seq);
                let parking = Parking { reason: DOES_NOT_FIT, detail: &detail };
                self.in_savepoint(|group| group.park(place, received, parking))
            }
            (Err(Fault::Content(_)), events) if !events.is_empty() => {
                parked.truncate(parked_before);
                let (first, second) = events.split_at(events.len() / 2);
                self.take_carefully(taking, first, parked)?;
                self.take_carefully(taking, second, parked)
            }
            (tried, _) => tried,
        }
    }

    /// Keeps what lies at lost places among the first `known` events, which otherwise are there.
    fn keep_found(
        &mut self,
        store_no: i64,
        stream: &StreamRow,
        batch: &'g ReceivedBatch,
        known: usize,
    ) -> Result<Vec<Seq>, Fault> {
        let shape = batch.shape();
        let mut parked = Vec::new();
        let mut from = shape.first_seq;
        while known > 0
            && let Some((first, last)) = self.tables.lost(stream.stream_no, from, shape.seq(known - 1))?
        {
            let index = |seq: Seq| usize::try_from(seq.since(shape.first_seq)).unwrap_or(usize::MAX);
            parked.extend(self.park_beside(store_no, stream, batch, index(first)..index(last) + 1, FOUND)?);
            from = last.next();
        }
        Ok(parked)
    }

    /// The cursor, as far as a store may take it for confirmed that has sent events up to `through`: not beyond lost
    /// places, of which it may hold the events.
    fn rest_found(&mut self, stream: &StreamRow, through: Mark, cursor: Mark) -> Result<Mark, Fault> {
        let mut from = through.seq.next();
        while from <= cursor.seq
            && let Some((_, last)) = self.tables.lost(stream.stream_no, from, cursor.seq)?
        {
            if self.tables.found(stream.stream_no, last)?.is_none() {
                return Ok(through);
            }
            from = last.next();
        }
        Ok(cursor)
    }

    /// Parks events of a batch beside the followed history, in which they have no row. Says which numbers they have.
    fn park_beside(
        &mut self,
        store_no: i64,
        stream: &StreamRow,
        batch: &'g ReceivedBatch,
        which: Range<usize>,
        parking: Parking<'_>,
    ) -> Result<Vec<Seq>, Fault> {
        let shape = batch.shape();
        let frame = frames::open(&batch.frame)?;
        let mut parked = Vec::with_capacity(which.len());
        for index in which {
            let seq = shape.seq(index);
            let (hash, received) = (batch.hashes[index], &batch.events[index]);
            let row = ParkedRow {
                store_no,
                stream_no: stream.stream_no,
                seq,
                hash,
                parked_at_ms: self.now_ms,
                reason: parking.reason,
                detail: parking.detail,
                kind: kind_of(received),
                event_no: None,
                bytes: Some(frame.events[index].as_slice()),
            };
            if self.tables.park(&row)? {
                let counts = self.effects.counts(store_no);
                if parking.reason == FORK.reason {
                    counts.forked += 1
                } else {
                    counts.parked += 1
                }
                let (event_no, stream_no) = (self.next_event_no, stream.stream_no);
                let place = ParkedNumber { number: 0, event_no, stream_no, mark: Mark { seq, hash } };
                self.receipt_of_parked(store_no, place, received)?;
            }
            parked.push(seq);
        }
        Ok(parked)
    }
}
