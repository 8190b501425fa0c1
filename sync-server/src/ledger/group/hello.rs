//! Where a store may go on, and how it is.

use pos_model::{ChainHash, Epoch, Money, Seq, TillId};
use protocol::latest::{Cursor, EpochReport, Hello, Mark, ReceiptHead, StoreHealth};
use sync_core::server::HelloOutcome;

use super::tables::{HealthNote, StreamRow, Tables};
use super::{Group, numbers};
use crate::ledger::LedgerError;
use crate::ledger::fault::Fault;

/// A store that reports more events in one epoch is not believed (a million a day last for three thousand years): a
/// cursor that a wrong number has moved cannot be moved back.
const EVENTS_IN_EPOCH_MAX: Seq = Seq::new(1_000_000_000_000);

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(super) fn hello(&mut self, store_no: i64, hello: &'g Hello) -> Result<HelloOutcome, Fault> {
        let mut cursors = Vec::with_capacity(hello.epochs.len());
        for report in &hello.epochs {
            cursors.push(self.cursor(store_no, report)?);
        }
        self.health(store_no, &hello.health, Some(hello.version))?;
        let receipts = self.tables.known_receipts(store_no)?.into_iter().map(|known| {
            let till_id = TillId::new(known.till_id).map_err(|_| LedgerError::Damaged { what: "till id" })?;
            let number = |number| u64::try_from(number).unwrap_or_default();
            let head = ReceiptHead::new(till_id, number(known.receipt_no));
            let grand_total_minor = Money::from_minor(known.grand_total_minor);
            Ok(ReceiptHead { z_no: number(known.z_no), grand_total_minor, ..head })
        });
        let receipts = receipts.collect::<Result<_, LedgerError>>()?;
        Ok(HelloOutcome { cursors, receipts })
    }

    /// The cursor of an epoch. It is moved over events that the store does not hold any more: they can come from nowhere
    /// else, and all that follows would wait for them for ever. What was lost is written down in the same transaction.
    fn cursor(&mut self, store_no: i64, report: &EpochReport) -> Result<Cursor, Fault> {
        let epoch = report.epoch;
        let stream = self.tables.stream(store_no, epoch)?;
        let before = Mark { seq: report.first_held.previous(), hash: report.hash_before };
        let applied = stream.map_or(Mark { seq: Seq::ZERO, hash: report.hash_before }, |stream| stream.applied);
        // A report of which no agent is capable must not move a cursor.
        let sane = report.first_held <= report.head.next() && report.head <= EVENTS_IN_EPOCH_MAX;
        let behind = sane && applied.seq.next() < report.first_held;
        // On another history than the one followed here, what the store let go of is parked beside it.
        let beside = match stream {
            Some(stream) if behind => self.tables.is_parked(stream.stream_no, before)?,
            _ => false,
        };
        let lost = behind && !beside;
        let stream = match stream {
            Some(stream) if lost => {
                self.tables.move_cursor(stream.stream_no, before, stream.base_hash)?;
                StreamRow { applied: before, ..stream }
            }
            Some(stream) => stream,
            None => {
                // Without its beginning the hash before the first event is unknown, and nobody needs it.
                let base_hash = if lost { ChainHash::GENESIS } else { report.hash_before };
                let applied = if lost { before } else { applied };
                let stream_no = self.tables.add_stream(store_no, epoch, applied, base_hash, self.now_ms)?;
                StreamRow { stream_no, applied, base_hash }
            }
        };
        if lost {
            self.tables.add_loss(stream.stream_no, applied.seq.next(), before.seq, self.now_ms)?;
        }
        if sane {
            self.tables.report_head(store_no, epoch, report.head)?;
        }
        let common = if beside {
            before
        } else if let Some(mark) = self.before_found(&stream, report, before)? {
            mark
        } else {
            self.common(&stream, report, before)?
        };
        Ok(Cursor { epoch, applied: stream.applied.seq, common })
    }

    /// If the store holds events that were written down as lost, as one does whose folder was put back to an older copy:
    /// the mark before them, so that it sends them again.
    fn before_found(&mut self, stream: &StreamRow, report: &EpochReport, before: Mark) -> Result<Option<Mark>, Fault> {
        let mut from = report.first_held;
        while let Some((first, last)) = self.tables.lost(stream.stream_no, from, report.head)? {
            if self.tables.found(stream.stream_no, last)?.is_none() {
                let seq = first.previous();
                let held = self.tables.held(stream.stream_no, seq)?;
                return Ok(Some(held.filter(|_| seq >= before.seq).map_or(before, |hash| Mark { seq, hash })));
            }
            from = last.next();
        }
        Ok(None)
    }

    /// Our history at the lower of our cursor and the store's head.
    fn common(&mut self, stream: &StreamRow, report: &EpochReport, before: Mark) -> Result<Mark, Fault> {
        let seq = stream.applied.seq.min(report.head);
        let hash = if seq == stream.applied.seq && seq > Seq::ZERO {
            Some(stream.applied.hash)
        } else if seq == Seq::ZERO {
            Some(if report.first_held <= Seq::FIRST { report.hash_before } else { stream.base_hash })
        } else {
            match self.tables.held(stream.stream_no, seq)? {
                Some(hash) => Some(hash),
                None => self.tables.found(stream.stream_no, seq)?,
            }
        };
        // A place that was lost has no hash here. Then the store's own oldest place says nothing and contradicts nothing.
        Ok(hash.map_or(before, |hash| Mark { seq, hash }))
    }

    /// Notes how the store is. `version` is that of its messages, if it said so.
    pub(super) fn health(&mut self, store_no: i64, health: &'g StoreHealth, version: Option<u16>) -> Result<(), Fault> {
        if self.effects.touches(store_no) {
            // What arrived in this group before is off the outbox that the store reports.
            self.write_effects()?;
            self.effects.contact(store_no, self.now_ms);
        }
        self.report_health_head(store_no, health.epoch, health.head)?;
        for head in &health.receipts {
            self.known_receipt(store_no, &head.till_id, head.receipt_no)?;
        }
        let agent_version: String =
            health.agent_version.chars().filter(|c| *c != '\0').take(AGENT_VERSION_CHARS_MAX).collect();
        let note = HealthNote { now_ms: self.now_ms, health, version, agent_version: &agent_version };
        self.tables.note_health(store_no, &note)
    }

    /// Keeps a receipt number that a store has given, whatever becomes of its sale.
    pub(super) fn known_receipt(&mut self, store_no: i64, till_id: &TillId, receipt_no: u64) -> Result<(), Fault> {
        if let Some(number) = numbers::believed(receipt_no) {
            self.tables.report_receipt(store_no, till_id, number)?;
        }
        Ok(())
    }

    fn report_health_head(&mut self, store_no: i64, epoch: Epoch, head: Seq) -> Result<(), Fault> {
        if head <= EVENTS_IN_EPOCH_MAX {
            self.tables.report_head(store_no, epoch, head)?;
        }
        Ok(())
    }
}

/// A version is `1.2.3` and a word; a screen must not be filled by a longer one.
const AGENT_VERSION_CHARS_MAX: usize = 40;
