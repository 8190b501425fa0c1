//! Putting right what stands behind the cursor: the rows of events whose bytes are held, messages that a store has sent
//! again, and sums.
//!
//! The path of a batch cannot do it: behind the cursor everything is a replay. So here an event gets its rows by the very
//! code that writes them for a new one, and its effects are thrown away, because the sums have them already or are put right
//! by themselves. All of one repair is one database transaction, under the row of the store.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, ChainHash, Currency, Epoch, Seq, StoreId};
use protocol::digest::date_of;
use protocol::latest::{Batch, EventBody, Uplink};

use super::record::{Parking, Place, Received};
use super::tables::{BatchRow, DayKey, Direction, FactKind, GivenNumbers, ParkedRow, RefundTotals, Tables, Totals};
use super::{Care, Group, numbers, parked_rows};
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::fault::Fault;
use crate::ledger::{Job, LedgerError, Message, ReceivedBatch};

/// What is to be put right of one store and business date.
#[derive(Debug)]
pub struct Repair {
    pub(in crate::ledger) store_no: i64,
    business_date: BusinessDate,
    events: Vec<Broken>,
    sums: Vec<(Currency, Totals, RefundTotals)>,
    stock: Vec<((Direction, i64, String), i64)>,
    numbers: GivenNumbers,
}

#[derive(Debug)]
struct Broken {
    event_no: i64,
    stream_no: i64,
    epoch: Epoch,
    seq: Seq,
    hash: ChainHash,
    received: Received,
}

impl Broken {
    fn place(&self, store_no: i64) -> Place {
        let Self { event_no, stream_no, epoch, seq, hash, .. } = *self;
        Place { event_no, store_no, stream_no, epoch, seq, hash }
    }
}

impl Repair {
    pub(in crate::ledger) fn new(store_no: i64, business_date: BusinessDate) -> Self {
        let (events, sums, stock, numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { store_no, business_date, events, sums, stock, numbers }
    }

    pub(in crate::ledger) fn add_event(
        &mut self,
        event_no: i64,
        stream_no: i64,
        epoch: Epoch,
        seq: Seq,
        hash: ChainHash,
        received: Received,
    ) {
        self.events.push(Broken { event_no, stream_no, epoch, seq, hash, received });
    }

    pub(in crate::ledger) fn add_sums(&mut self, missing: Vec<(Currency, Totals, RefundTotals)>) {
        self.sums = missing;
    }

    pub(in crate::ledger) fn add_stock(&mut self, missing: Vec<((Direction, i64, String), i64)>) {
        self.stock = missing;
    }

    pub(in crate::ledger) fn add_numbers(&mut self, missing: GivenNumbers) {
        self.numbers = missing;
    }

    /// How many events get their rows again.
    pub fn events(&self) -> usize {
        self.events.len()
    }
}

/// A message that a store has sent again, for a gap in what is held.
#[derive(Debug)]
pub struct Restored {
    pub(in crate::ledger) store: StoreId,
    batch: ReceivedBatch,
    /// The last event of the gap.
    to: Seq,
}

/// Why a message cannot fill the gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreRefused {
    /// It holds nothing, or other events than those that were asked for.
    #[error("it holds other events than those that were asked for")]
    OtherEvents,
    /// It holds an event in whose place a person has put other content, which is kept by the number that was lost.
    #[error("it holds an event that a person has fixed")]
    Fixed,
    /// It does not follow from the history before the gap, or does not lead to the one behind it.
    #[error("it is of another history")]
    OtherHistory,
}

impl Restored {
    /// Takes the answer to a question for the events from `from` to `to`.
    pub fn of(store: StoreId, batch: Batch, epoch: Epoch, from: Seq, to: Seq) -> Result<Self, RestoreRefused> {
        if batch.epoch != epoch || batch.first_seq != from || batch.events.is_empty() || batch.last_seq() > to {
            return Err(RestoreRefused::OtherEvents);
        }
        let job = Job::new(store.clone(), Uplink::Batch(batch)).map_err(|_| RestoreRefused::OtherEvents)?;
        match job.message {
            Message::Batch(batch) => Ok(Self { store, batch, to }),
            Message::Hello(_) | Message::Heartbeat(_) => Err(RestoreRefused::OtherEvents),
        }
    }

    /// How many events it brings.
    pub fn events(&self) -> usize {
        self.batch.events.len()
    }

    pub(in crate::ledger) fn epoch(&self) -> Epoch {
        self.batch.epoch
    }
}

/// The tables in which an event of a kind has rows, those that hang on others first. Lines are numbered by 1024.
fn tables_of(body: &EventBody) -> (&'static [&'static str], &'static [&'static str]) {
    match body {
        EventBody::EpochOpened(_) => (&[], &[]),
        EventBody::SaleCompleted(_) => (&["sales"], &["sale_lines"]),
        EventBody::RefundCompleted(_) => (&["refunds"], &["refund_lines"]),
        EventBody::ShiftOpened(_) => (&["shift_opens"], &[]),
        EventBody::CashMoved(_) => (&["cash_movements"], &[]),
        EventBody::ShiftClosed(_) => (&["z_taxes", "z_tenders", "z_adjustments", "z_reports"], &[]),
        EventBody::ShiftAmended(_) => (&["shift_amendments"], &[]),
        EventBody::DayClosed(_) => (&["day_closes"], &[]),
        EventBody::StockMoved(_) => (&["stock_movement_items", "stock_movements"], &[]),
        EventBody::StockCounted(_) => (&["stock_count_items", "stock_counts"], &[]),
        EventBody::SoldOutChanged(_) => (&["sold_out_changes"], &[]),
        EventBody::AuditMarked(_) => (&["audit_marks"], &[]),
    }
}

/// The tables whose rows have no id by which they could be found.
const WITHOUT_ID: [&str; 3] = ["day_closes", "sold_out_changes", "audit_marks"];

fn id_of(body: &EventBody) -> Option<(FactKind, &[u8; 16])> {
    match body {
        EventBody::SaleCompleted(sale) => Some((FactKind::Sale, sale.sale_id.as_bytes())),
        EventBody::RefundCompleted(refund) => Some((FactKind::Refund, refund.refund_id.as_bytes())),
        EventBody::ShiftOpened(opened) => Some((FactKind::ShiftOpen, opened.shift_id.as_bytes())),
        EventBody::ShiftClosed(closed) => Some((FactKind::ZReport, closed.shift_id.as_bytes())),
        EventBody::ShiftAmended(amended) => Some((FactKind::ShiftAmendment, amended.movement_id.as_bytes())),
        EventBody::CashMoved(moved) => Some((FactKind::CashMovement, moved.movement_id.as_bytes())),
        EventBody::StockMoved(moved) => Some((FactKind::StockMovement, moved.movement_id.as_bytes())),
        EventBody::StockCounted(counted) => Some((FactKind::StockCount, counted.movement_id.as_bytes())),
        EventBody::EpochOpened(_)
        | EventBody::DayClosed(_)
        | EventBody::SoldOutChanged(_)
        | EventBody::AuditMarked(_) => None,
    }
}

/// Puts right what a look has found, within a database transaction.
pub(in crate::ledger) fn repair<'g, T: Tables<'g>>(
    tables: &mut T,
    repair: &'g Repair,
    now_ms: i64,
) -> Result<(), Fault> {
    let mut group = Group::begin(tables, now_ms, Care::FullSpeed)?;
    for broken in &repair.events {
        group.rewrite(broken.place(repair.store_no), &broken.received)?;
    }
    let events = || repair.events.iter().map(|broken| (broken.place(repair.store_no), &broken.received));
    group.roll_up_all_anew(events())?;
    group.settle_all(events())?;
    let tables = &mut *group.tables;
    for (currency, sales, refunds) in &repair.sums {
        let key: DayKey = (repair.store_no, repair.business_date.days(), *currency);
        tables.add_totals(key, sales)?;
        tables.add_refund_totals(key, refunds)?;
    }
    for ((direction, stream_no, item), micro) in &repair.stock {
        tables.add_stock(*direction, (*stream_no, repair.business_date.days(), item.as_str()), *micro)?;
    }
    for ((kind, till), given) in &repair.numbers {
        numbers::note_all(tables, *kind, vec![((repair.store_no, till.as_str()), given.clone())])?;
    }
    tables.flush()
}

/// Takes a message in that was held before, within a database transaction: with its frame, and with the rows of its events.
/// Its events get other numbers than they had. Fills the gap from its beginning, so that each piece follows from what is
/// held before it.
pub(in crate::ledger) fn restore<'g, T: Tables<'g>>(
    tables: &mut T,
    restored: &'g Restored,
    now_ms: i64,
) -> Result<Result<(), RestoreRefused>, Fault> {
    let Restored { store, batch, to } = restored;
    let store_no = tables.store_no(store, now_ms)?;
    let Some(stream) = tables.stream(store_no, batch.epoch)? else { return Ok(Err(RestoreRefused::OtherEvents)) };
    let shape = batch.shape();
    let end = shape.end();
    if end.seq > stream.applied.seq {
        return Ok(Err(RestoreRefused::OtherEvents));
    }
    let before = if batch.first_seq == Seq::FIRST {
        Some(stream.base_hash)
    } else {
        hash_at(tables, stream.stream_no, batch.first_seq.previous())?
    };
    let behind = if end.seq == stream.applied.seq {
        Some(stream.applied.hash)
    } else if end.seq == *to {
        hash_before(tables, stream.stream_no, end.seq.next())?
    } else {
        None
    };
    let fits = |known: Option<ChainHash>, hash: ChainHash| known.is_none_or(|known| known == hash);
    if !fits(before, batch.prev_hash) || !fits(behind, end.hash) {
        return Ok(Err(RestoreRefused::OtherHistory));
    }
    let (from, last) = (batch.first_seq.to_sql(), end.seq.to_sql());
    if has_fixed(&tables.access()?, stream.stream_no, from, last)? {
        return Ok(Err(RestoreRefused::Fixed));
    }
    let mut group = Group::begin(tables, now_ms, Care::FullSpeed)?;
    group.tables.change(
        "DELETE FROM batches WHERE stream_no = ?1 AND first_seq BETWEEN ?2 AND ?3",
        cells![stream.stream_no, from, last],
    )?;
    for table in WITHOUT_ID {
        let delete = format!("DELETE FROM {table} WHERE stream_no = ?1 AND seq BETWEEN ?2 AND ?3");
        group.tables.change(&delete, cells![stream.stream_no, from, last])?;
    }
    let first_event_no = group.next_event_no;
    let place_of = |index: usize| Place {
        event_no: first_event_no.saturating_add(i64::try_from(index).unwrap_or(i64::MAX)),
        store_no,
        stream_no: stream.stream_no,
        epoch: batch.epoch,
        seq: shape.seq(index),
        hash: batch.hashes[index],
    };
    group.tables.add_batch(&BatchRow {
        first_event_no,
        stream_no: stream.stream_no,
        first_seq: batch.first_seq,
        events: batch.events.len(),
        skip: 0,
        received_at_ms: now_ms,
        frame: &batch.frame,
        last_hash: end.hash,
    })?;
    // It is there before a number of it is looked up.
    group.tables.flush()?;
    let mut left = Vec::new();
    for (index, received) in batch.events.iter().enumerate() {
        let place = place_of(index);
        let Place { event_no, seq, hash, .. } = place;
        group.next_event_no = event_no.saturating_add(1);
        group.tables.add_event(event_no, &hash)?;
        left.extend(leave_beside(group.tables, place, now_ms)?);
        let parked = "UPDATE parked SET event_no = ?4 WHERE stream_no = ?1 AND seq = ?2 AND hash = ?3
            AND event_no IS NOT NULL";
        let values = cells![stream.stream_no, seq.to_sql(), hash.as_bytes(), event_no];
        if group.tables.change(parked, values)? == 0 {
            group.rewrite(place, received)?;
        }
    }
    let events = || batch.events.iter().enumerate().map(|(index, received)| (place_of(index), received));
    left.iter().for_each(|reason| group.count_as_open(store_no, reason, -1));
    group.roll_up_all_anew(events())?;
    group.settle_all(events())?;
    group.tables.flush()?;
    Ok(Ok(()))
}

/// Takes the same event out of the parked ones that have no place in the history. A late copy of a message that is held no
/// more is taken for another history; the event counts at its own place from here on. Says why it was parked, if it was.
fn leave_beside<'g, T: Tables<'g>>(tables: &mut T, place: Place, now_ms: i64) -> Result<Option<String>, Fault> {
    let update = "UPDATE parked SET event_no = ?4 WHERE stream_no = ?1 AND seq = ?2 AND hash = ?3
        AND event_no IS NULL AND state = 'open'";
    let values = cells![place.stream_no, place.seq.to_sql(), place.hash.as_bytes(), place.event_no];
    if tables.change(update, values)? == 0 {
        return Ok(None);
    }
    let query = "SELECT parked_no, reason FROM parked WHERE event_no = ?1";
    let database = tables.access()?;
    let doing = "find a parked event";
    let parked = database.first(doing, query, cells![place.event_no], |row| Ok((row.number(0)?, row.text(1)?)))?;
    let Some((parked_no, reason)) = parked else { return Ok(None) };
    parked_rows::leave(&database, parked_no, now_ms)?;
    Ok(Some(reason))
}

/// Whether a person has put other content in the place of one of these events.
fn has_fixed<D: Database>(database: &D, stream_no: i64, from: i64, to: i64) -> Result<bool, LedgerError> {
    let query = "SELECT 1 FROM superseding WHERE stream_no = ?1 AND seq BETWEEN ?2 AND ?3 AND NOT is_beside";
    let found = database.first("look for fixed events", query, cells![stream_no, from, to], |row| row.number(0))?;
    Ok(found.is_some())
}

/// The hash at a place, if a message is held that has it.
fn hash_at<'g, T: Tables<'g>>(tables: &mut T, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
    Ok(tables.message_at(stream_no, seq)?.and_then(|held| held.hash_at_seq(seq)))
}

/// The hash just before a place, if a message is held that has it.
fn hash_before<'g, T: Tables<'g>>(tables: &mut T, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
    let held = tables.message_at(stream_no, seq)?;
    Ok(held.and_then(
        |held| if held.first_seq == seq { Some(held.hash_before()) } else { held.hash_at_seq(seq.previous()) },
    ))
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    /// Writes the rows of an event again, instead of those that it has.
    fn rewrite(&mut self, place: Place, received: &'g Received) -> Result<(), Fault> {
        if let Ok(event) = received {
            if matches!(event.body, EventBody::EpochOpened(_)) {
                return self.tables.put_hash(place.event_no, &place.hash);
            }
            self.clear(place, &event.body)?;
        }
        let refused = self.enact(place, received)?;
        // The sums have what the event moves, or are put right by themselves.
        self.effects = super::Effects::default();
        self.tables.put_hash(place.event_no, &place.hash)?;
        if let Some((reason, detail)) = refused {
            let parking = Parking { reason, detail: &super::record::kept_detail(&detail) };
            self.park_again(place, received, parking)?;
        }
        Ok(())
    }

    /// Has what came back of sales name them by their number, and compares it with them where it came while they were gone.
    fn settle_all<'e>(&mut self, events: impl Iterator<Item = (Place, &'e Received)>) -> Result<(), Fault> {
        self.tables.flush()?;
        let update = "UPDATE refunded_sales SET sale_event_no = ?3 WHERE store_no = ?1 AND sale_id = ?2
            AND sale_event_no <> ?3 AND EXISTS (SELECT 1 FROM sales WHERE event_no = ?3)";
        for (place, received) in events {
            let Ok(EventBody::SaleCompleted(sale)) = received.as_ref().map(|event| &event.body) else { continue };
            let values = cells![place.store_no, sale.sale_id.as_bytes(), place.event_no];
            self.tables.change(update, values)?;
            self.effects.counter.awaited(place.store_no, sale.sale_id);
        }
        self.write_effects()
    }

    /// Has the dates of events summed up anew, each once, as soon as the roll-ups have come to the last of them.
    fn roll_up_all_anew<'e>(&mut self, events: impl Iterator<Item = (Place, &'e Received)>) -> Result<(), Fault> {
        let mut last: BTreeMap<BusinessDate, (Place, &Received)> = BTreeMap::new();
        for (place, received) in events {
            let Some(date) = received.as_ref().ok().and_then(|event| date_of(&event.body)) else { continue };
            let kept = last.entry(date).or_insert((place, received));
            if kept.0.event_no < place.event_no {
                *kept = (place, received);
            }
        }
        last.into_values().try_for_each(|(place, received)| self.roll_up_anew(place, received))
    }

    /// Deletes the rows of an event, and those that it had under another number.
    fn clear(&mut self, place: Place, body: &EventBody) -> Result<(), Fault> {
        self.delete_rows(place.event_no, body)?;
        let Some((kind, id)) = id_of(body) else { return Ok(()) };
        let Some((store_no, event_no)) = self.tables.find_fact(kind, id)? else { return Ok(()) };
        if store_no != place.store_no {
            return Ok(());
        }
        if event_no == place.event_no {
            return self.tables.forget_fact(kind, id);
        }
        // A number that is in no message was this event's own, before its message was lost.
        if self.tables.holding(event_no)?.is_some() {
            return Ok(());
        }
        self.delete_rows(event_no, body)?;
        self.tables.forget_fact(kind, id)?;
        self.rename(event_no, place, body)
    }

    fn delete_rows(&mut self, event_no: i64, body: &EventBody) -> Result<(), Fault> {
        let (tables, lines) = tables_of(body);
        // A row that was given another date by hand may have been summed up there.
        if let Some(date) = date_of(body)
            && let Some(table @ ("sales" | "refunds")) = tables.first().copied()
        {
            let mark = format!(
                "INSERT INTO rollup_marks (store_no, business_date, event_no)
                SELECT store_no, business_date, event_no FROM {table} WHERE event_no = ?1 AND business_date <> ?2"
            );
            self.tables.change(&mark, cells![event_no, date.days()])?;
        }
        for table in lines {
            let delete = format!("DELETE FROM {table} WHERE line_no BETWEEN ?1 AND ?2");
            self.tables.change(&delete, cells![event_no * 1024, event_no * 1024 + 1023])?;
        }
        for table in tables {
            self.tables.change(&format!("DELETE FROM {table} WHERE event_no = ?1"), cells![event_no])?;
        }
        Ok(())
    }

    /// Lets those that name an event name it by its number.
    fn rename(&mut self, old: i64, place: Place, body: &EventBody) -> Result<(), Fault> {
        let (till, number, table, column) = match body {
            EventBody::SaleCompleted(sale) => {
                let update = "UPDATE refunded_sales SET sale_event_no = ?3 WHERE store_no = ?1 AND sale_id = ?2";
                self.tables.change(
                    &format!("{update} AND sale_event_no IS NOT NULL"),
                    cells![place.store_no, sale.sale_id.as_bytes(), place.event_no],
                )?;
                (&sale.till_id, sale.receipt_no, "duplicate_receipts", "receipt_no")
            }
            EventBody::RefundCompleted(refund) => {
                (&refund.till_id, refund.receipt_no, "duplicate_receipts", "receipt_no")
            }
            EventBody::ShiftClosed(closed) => (&closed.report.till_id, closed.report.z_no, "duplicate_z", "z_no"),
            _ => return Ok(()),
        };
        let update = format!(
            "UPDATE {table} SET event_no = ?5 WHERE store_no = ?1 AND till_id = ?2 AND {column} = ?3 AND event_no = ?4"
        );
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.tables.change(&update, cells![place.store_no, till.as_str(), number, old, place.event_no])?;
        Ok(())
    }

    fn park_again(&mut self, place: Place, received: &Received, parking: Parking<'_>) -> Result<(), Fault> {
        let Place { event_no, store_no, stream_no, seq, hash, .. } = place;
        let row = ParkedRow {
            store_no,
            stream_no,
            seq,
            hash,
            parked_at_ms: self.now_ms,
            reason: parking.reason,
            detail: parking.detail,
            kind: super::record::kind_of(received),
            event_no: Some(event_no),
            bytes: None,
        };
        self.tables.park(&row).map(drop)
    }
}
