//! One event: what it does to the ledger, or why it waits for a person.

use pos_model::{ChainHash, Epoch, Seq, TillId};
use protocol::latest::{DecodeError, EpochOpened, Event, EventBody, Mark, OpenReason, SaleCompleted, decode_event};

use super::numbers::ParkedNumber;
use super::tables::{FactKind, FactPlace, ParkedRow, SaleRow, Tables};
use super::{Group, numbers};
use crate::ledger::fault::Fault;

/// Lines are numbered `1024 * event_no + position`. An event of the largest size holds some 600 lines.
pub(super) const LINES_MAX: i64 = 1024;

/// An event, if this program understands it.
pub(super) type Received = Result<Event, DecodeError>;

/// Why an event is parked: a word for machines, and words for people.
pub(super) type Refusal = (&'static str, String);

/// The reason of an event of which this program does not know what it means. A later one may.
pub(in crate::ledger) const UNKNOWN_KIND: &str = "unknown_kind";

/// The reason of an event with something in it that cannot be.
pub(super) const MALFORMED: &str = "malformed";

/// The reason of an event that the database refuses, such as one whose sums leave 64 bits.
pub(super) const DOES_NOT_FIT: &str = "does_not_fit";

/// How much of a detail is kept. It may repeat what somebody sent.
const DETAIL_CHARS_MAX: usize = 400;

/// Why an event is parked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parking<'a> {
    /// A word for machines.
    pub(super) reason: &'static str,
    /// Words for people.
    pub(super) detail: &'a str,
}

/// A detail as it is kept: not too long, and without the one character that a database does not take in text.
pub(super) fn kept_detail(detail: &str) -> String {
    detail.chars().filter(|c| *c != '\0').take(DETAIL_CHARS_MAX).collect()
}

/// Where an event of the followed history stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) event_no: i64,
    pub(super) store_no: i64,
    pub(super) stream_no: i64,
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) hash: ChainHash,
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    /// Applies an event, or parks it; says which.
    pub(super) fn record(&mut self, place: Place, received: &'g Received) -> Result<bool, Fault> {
        match self.enact(place, received)? {
            None => {
                self.tables.add_event(place.event_no, &place.hash)?;
                self.next_event_no += 1;
                self.effects.applied_event(place.store_no);
                Ok(true)
            }
            Some((reason, detail)) => self.park(place, received, Parking { reason, detail: &detail }).map(|()| false),
        }
    }

    /// Writes the rows of an event and gathers its effects; says why not, if it is to be parked.
    pub(super) fn enact(&mut self, place: Place, received: &'g Received) -> Result<Option<Refusal>, Fault> {
        let event = match received {
            Ok(event) => event,
            Err(DecodeError::UnknownKind(kind)) => return Ok(Some((UNKNOWN_KIND, format!("kind {kind:?}")))),
            Err(DecodeError::Malformed(detail)) => return Ok(Some((MALFORMED, detail.clone()))),
        };
        match &event.body {
            EventBody::SaleCompleted(sale) => self.sale(place, sale),
            EventBody::EpochOpened(opened) => self.epoch(place, opened, event.at.utc_ms),
            EventBody::RefundCompleted(refund) => self.refund(place, refund),
            EventBody::ShiftOpened(opened) => self.shift_opened(place, opened),
            EventBody::ShiftClosed(closed) => self.shift_closed(place, closed),
            EventBody::ShiftAmended(amended) => self.shift_amended(place, amended),
            EventBody::CashMoved(moved) => self.cash_moved(place, moved),
            EventBody::DayClosed(closed) => self.day_closed(place, closed),
            EventBody::StockMoved(moved) => self.stock_moved(place, moved),
            EventBody::StockCounted(counted) => self.stock_counted(place, counted),
            EventBody::SoldOutChanged(changed) => self.sold_out_changed(place, changed),
            EventBody::AuditMarked(marked) => self.audit_marked(place, marked),
        }
    }

    fn sale(&mut self, place: Place, sale: &'g SaleCompleted) -> Result<Option<Refusal>, Fault> {
        let Some(lines) = i64::try_from(sale.lines.len()).ok().filter(|lines| *lines < LINES_MAX) else {
            return Ok(Some((MALFORMED, format!("a sale of {} lines", sale.lines.len()))));
        };
        let Some(receipt_no) = numbers::believed(sale.receipt_no) else {
            return Ok(Some((MALFORMED, format!("receipt number {}", sale.receipt_no))));
        };
        let Place { event_no, store_no, stream_no, seq, .. } = place;
        let row = SaleRow { event_no, store_no, stream_no, seq, receipt_no, lines, sale };
        if !self.tables.add_sale(&row)? {
            return self.sale_id_known(store_no, sale).map(Some);
        }
        self.effects.sale(&row, self.now_ms)?;
        self.receipt(place, &sale.till_id, receipt_no);
        if self.stores_waiting.contains(&store_no) {
            self.effects.counter.awaited(store_no, sale.sale_id);
        }
        Ok(None)
    }

    /// A sale of this id is in the ledger already, at another place: a till posted it again to an agent that had been
    /// restored, or two sales share an id.
    fn sale_id_known(&mut self, store_no: i64, sale: &SaleCompleted) -> Result<Refusal, Fault> {
        let place = self.tables.fact_place(FactKind::Sale, sale.sale_id.as_bytes())?;
        let FactPlace { store, store_no: held_at, epoch, seq, event_no } = place;
        let same = match self.held_event(event_no)? {
            Some(Event { body: EventBody::SaleCompleted(held), .. }) => held_at == store_no && is_repeated(&held, sale),
            _ => false,
        };
        let (reason, what) =
            if same { ("sale_id_known", "the same sale") } else { ("sale_id_conflict", "another sale") };
        Ok((reason, format!("{what} with id {} is event {epoch}/{seq} of store {store}", sale.sale_id)))
    }

    /// An event that is held, if it can be understood.
    pub(super) fn held_event(&mut self, event_no: i64) -> Result<Option<Event>, Fault> {
        let held = self.tables.holding(event_no)?;
        Ok(held.and_then(|held| decode_event(held.bytes(event_no)?).ok()))
    }

    fn epoch(&mut self, place: Place, opened: &EpochOpened, at_ms: i64) -> Result<Option<Refusal>, Fault> {
        if opened.epoch != place.epoch {
            return Ok(Some((MALFORMED, format!("it opens epoch {}", opened.epoch))));
        }
        let why = match opened.reason {
            OpenReason::Start => "start",
            OpenReason::Fork => "fork",
            OpenReason::Other => "other",
        };
        self.tables.open_stream(place.stream_no, at_ms, why, opened.previous.as_ref())?;
        if let Some(previous) = &opened.previous
            && !self.tables.continue_stream(place.store_no, previous)?
        {
            // The epoch before was never heard of; its events may come yet.
            let before = Mark { seq: Seq::ZERO, hash: ChainHash::GENESIS };
            self.tables.add_stream(place.store_no, previous.epoch, before, ChainHash::GENESIS, self.now_ms)?;
            self.tables.continue_stream(place.store_no, previous)?;
        }
        Ok(None)
    }

    /// Parks an event that has its place in the history.
    pub(super) fn park(&mut self, place: Place, received: &'g Received, parking: Parking<'_>) -> Result<(), Fault> {
        let Place { event_no, store_no, stream_no, seq, hash, .. } = place;
        self.tables.add_event(event_no, &hash)?;
        self.next_event_no += 1;
        self.tables.park(&ParkedRow {
            store_no,
            stream_no,
            seq,
            hash,
            parked_at_ms: self.now_ms,
            reason: parking.reason,
            detail: &kept_detail(parking.detail),
            kind: kind_of(received),
            event_no: Some(event_no),
            bytes: None,
        })?;
        self.effects.counts(store_no).parked += 1;
        let mark = Mark { seq, hash };
        self.receipt_of_parked(store_no, ParkedNumber { number: 0, event_no, stream_no, mark }, received)
    }

    /// Counts the number on the receipt of a sale or refund, unless it was counted when the event was parked.
    pub(super) fn receipt(&mut self, place: Place, till_id: &'g TillId, receipt_no: i64) {
        let is_counted =
            self.given.as_ref().is_some_and(|(till, number)| till == till_id.as_str() && *number == receipt_no);
        if !is_counted {
            self.effects.receipt(place.store_no, till_id, receipt_no, place.event_no);
        }
    }

    /// The number of a parked sale or refund is on a printed receipt too: it counts as given, and a store that was put back
    /// goes on above it.
    pub(super) fn receipt_of_parked(
        &mut self,
        store_no: i64,
        place: ParkedNumber,
        received: &'g Received,
    ) -> Result<(), Fault> {
        let (till_id, receipt_no) = match received.as_ref().map(|event| &event.body) {
            Ok(EventBody::SaleCompleted(sale)) => (&sale.till_id, sale.receipt_no),
            Ok(EventBody::RefundCompleted(refund)) => (&refund.till_id, refund.receipt_no),
            Ok(_) | Err(_) => return Ok(()),
        };
        self.known_receipt(store_no, till_id, receipt_no)?;
        // Nobody prints the number zero, with which a run would begin before its first.
        if let Some(number) = numbers::believed(receipt_no).filter(|number| *number > 0) {
            self.effects.parked_receipt(store_no, till_id, ParkedNumber { number, ..place });
        }
        Ok(())
    }
}

/// The kind of an event, where it says one.
pub(super) fn kind_of(received: &Received) -> Option<&str> {
    match received {
        Ok(event) => Some(event.body.kind()),
        Err(DecodeError::UnknownKind(kind)) => Some(kind),
        Err(DecodeError::Malformed(_)) => None,
    }
}

/// Whether a store has sold the same again: all is alike that the till says, and only what the agent adds may differ.
fn is_repeated(held: &SaleCompleted, sale: &SaleCompleted) -> bool {
    held.till_id == sale.till_id
        && held.currency == sale.currency
        && held.channel == sale.channel
        && held.lines == sale.lines
        && held.tenders == sale.tenders
        && held.totals == sale.totals
}
