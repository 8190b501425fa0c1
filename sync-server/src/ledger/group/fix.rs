//! Other content in the place of a parked event, and events that are never to count.
//!
//! - The corrected content counts under the place and the event id of the original, once. The cursor and the hash chain
//!   are not touched: they run over the bytes as they came.
//! - An event of the followed history keeps its number. One beside it gets a number of its own, for the rows of another
//!   event stand under that of its place, or none do; its row stays among the parked ones, so that it is known when it
//!   comes again.
//! - The event's id stays. So does the id of what happened, such as a sale, unless that id is what is wrong.

use pos_model::SaleId;
use protocol::latest::{EncodeError, Event, EventBody, decode_event, decode_identity, encode_event};
use serde_json::Value;
use uuid::Uuid;

use super::amounts;
use super::parked_rows::{self, Act};
use super::record::{DOES_NOT_FIT, Received};
use super::tables::Tables;
use super::{Care, Group};
use crate::ledger::fault::Fault;
use crate::ledger::parking::{ActionKind, Correction, Note, ParkedRefused, ParkedState};
use crate::ledger::read::frames::Superseding;
use crate::ledger::read::parked::{self, ParkedHeld};

/// A correction that was checked against its event.
pub(in crate::ledger) struct Fix {
    held: ParkedHeld,
    original: Vec<u8>,
    bytes: Vec<u8>,
    received: Received,
    note: Note,
}

/// A parked event of which something may still become, or why not.
fn waiting<'g, T: Tables<'g>>(tables: &mut T, parked_no: i64) -> Result<Result<ParkedHeld, ParkedRefused>, Fault> {
    let database = tables.access()?;
    let held = parked::one(&database, parked_no)?;
    Ok(match held {
        Some(held) if held.state == ParkedState::Fixed => Err(ParkedRefused::Fixed(parked_no)),
        Some(held) => Ok(held),
        None if parked::fix_of(&database, parked_no)?.is_some() => Err(ParkedRefused::Fixed(parked_no)),
        None if parked::is_applied(&database, parked_no)? => Err(ParkedRefused::Applied(parked_no)),
        None => Err(ParkedRefused::Unknown(parked_no)),
    })
}

impl Fix {
    /// Checks what is to count in the place of a parked event.
    pub(in crate::ledger) fn prepare<'g, T: Tables<'g>>(
        tables: &mut T,
        parked_no: i64,
        correction: &Correction,
        note: &Note,
    ) -> Result<Result<Self, ParkedRefused>, Fault> {
        let held = match waiting(tables, parked_no)? {
            Ok(held) => held,
            Err(refused) => return Ok(Err(refused)),
        };
        let original = held.bytes(&tables.access()?, &mut None)?;
        Ok(Self::check(held, original, correction, note))
    }

    fn check(held: ParkedHeld, original: Vec<u8>, correction: &Correction, note: &Note) -> Result<Self, ParkedRefused> {
        same("number", &held.parked_no, correction.parked_no.as_ref())?;
        same("store", &held.store, correction.store_id.as_ref())?;
        same("epoch", &held.epoch.to_string(), correction.epoch.as_ref())?;
        same("number in the epoch", &held.seq.get(), correction.seq.as_ref())?;
        same("hash", &held.hash.to_string(), correction.hash.as_ref())?;
        let identity = decode_identity(&original);
        let id = match identity.as_ref().and_then(|identity| identity.id) {
            Some(id) => {
                same("id", &id, correction.event_id.as_ref())?;
                id
            }
            None => correction.event_id.ok_or(ParkedRefused::Missing("id"))?,
        };
        let at = match (identity.as_ref().and_then(|identity| identity.at), correction.recorded_at) {
            (Some(at), Some(given)) if at != given => {
                let text = |stamp: &pos_model::Stamp| format!("{} ms", stamp.utc_ms);
                let (held, given) = (text(&at), text(&given));
                return Err(ParkedRefused::Identity { what: "time at which it was recorded", held, given });
            }
            (Some(at), _) => at,
            (None, given) => given.ok_or(ParkedRefused::Missing("time"))?,
        };
        let read = decode_event(&original).ok();
        let kind = match (&read, &identity, &correction.kind) {
            (Some(event), ..) => {
                let kind = event.body.kind().to_owned();
                same("kind", &kind, correction.kind.as_ref())?;
                kind
            }
            (None, _, Some(kind)) => kind.clone(),
            (None, Some(identity), None) => identity.kind.clone(),
            (None, None, None) => return Err(ParkedRefused::Missing("kind")),
        };
        let body = match EventBody::deserialize_as(&kind, &correction.event) {
            Some(Ok(body)) => body,
            Some(Err(error)) => return Err(ParkedRefused::Unreadable(error.to_string())),
            None => return Err(ParkedRefused::Unreadable(format!("this program knows no kind {kind:?}"))),
        };
        if let Some(read) = &read
            && let (Some(held_id), given) = (fact_id(&read.body), fact_id(&body))
            && given != Some(held_id)
            && !id_may_change(&held)
        {
            return Err(ParkedRefused::FactId { held: held_id.to_string() });
        }
        let understood = serde_json::to_value(&body).map_err(|error| ParkedRefused::Unreadable(error.to_string()))?;
        if let Some(name) = unknown_name(&correction.event, &understood) {
            return Err(ParkedRefused::Unreadable(format!(
                "it says {name}, which an event of this kind does not have"
            )));
        }
        let before = read.as_ref().map(|event| &event.body);
        amounts::check(&body, before).map_err(|odd| ParkedRefused::Unreadable(odd.to_string()))?;
        let event = Event { id, at, body };
        let bytes = encode_event(&event).map_err(|error| match error {
            EncodeError::Encode(source) => ParkedRefused::Unreadable(source.to_string()),
            error @ EncodeError::TooLarge { .. } => ParkedRefused::Unreadable(error.to_string()),
        })?;
        // What is kept is what counts: it must say the same when it is read again.
        if decode_event(&bytes).ok().as_ref() != Some(&event) {
            return Err(ParkedRefused::Unreadable("it does not survive being written down".to_owned()));
        }
        Ok(Self { held, original, bytes, received: Ok(event), note: note.clone() })
    }

    /// The store whose event it is.
    pub(in crate::ledger) fn store(&self) -> i64 {
        self.held.store_no
    }

    /// The sale that it says.
    pub(in crate::ledger) fn sale(&self) -> Option<SaleId> {
        match &self.received {
            Ok(Event { body: EventBody::SaleCompleted(sale), .. }) => Some(sale.sale_id),
            _ => None,
        }
    }

    /// Applies it within a database transaction.
    pub(in crate::ledger) fn apply<'g, T: Tables<'g>>(
        &'g self,
        tables: &mut T,
        now_ms: i64,
    ) -> Result<Result<(), ParkedRefused>, Fault> {
        let mut group = Group::begin(tables, now_ms, Care::Events)?;
        let done = group.supersede(self)?;
        if done.is_ok() {
            group.write_effects()?;
            tables.flush()?;
        }
        Ok(done)
    }
}

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    fn supersede(&mut self, fix: &'g Fix) -> Result<Result<(), ParkedRefused>, Fault> {
        let held = &fix.held;
        let event_no = held.event_no.unwrap_or(self.next_event_no);
        let place = held.place_as(event_no);
        let tried = self.in_savepoint(|group| {
            group.given.clone_from(&held.given);
            let refusal = group.enact(place, &fix.received);
            group.given = None;
            refusal
        });
        let refusal = match tried {
            Ok(refusal) => refusal,
            Err(Fault::Content(detail)) => Some((DOES_NOT_FIT, detail)),
            Err(fault) => return Err(fault),
        };
        if let Some((reason, detail)) = refusal {
            return Ok(Err(ParkedRefused::StillRefused { reason: reason.to_owned(), detail }));
        }
        self.count_as_applied(held);
        self.roll_up_anew(place, &fix.received)?;
        let is_beside = held.event_no.is_none();
        if is_beside {
            self.tables.add_event(event_no, &held.hash)?;
        }
        let (now_ms, database) = (self.now_ms, self.tables.access()?);
        parked_rows::supersede(
            &database,
            &Superseding {
                event_no,
                parked_no: held.parked_no,
                store_no: held.store_no,
                stream_no: held.stream_no,
                seq: held.seq,
                hash: held.hash,
                fixed_at_ms: now_ms,
                is_beside,
                original: fix.original.clone(),
                bytes: fix.bytes.clone(),
            },
        )?;
        if is_beside {
            parked_rows::set_state(&database, held.parked_no, held.state, ParkedState::Fixed)?;
        } else {
            parked_rows::leave(&database, held.parked_no, now_ms)?;
        }
        parked_rows::act(
            &database,
            &Act {
                parked_no: held.parked_no,
                at_ms: now_ms,
                what: ActionKind::Fixed,
                note: &fix.note,
                reason: &held.reason,
                detail: &held.detail,
                bytes: Some((&fix.original, &fix.bytes)),
            },
        )?;
        Ok(Ok(()))
    }
}

/// Says within a database transaction that a parked event is never to count.
pub(in crate::ledger) fn waive<'g, T: Tables<'g>>(
    tables: &mut T,
    parked_no: i64,
    note: &Note,
    now_ms: i64,
) -> Result<Result<(), ParkedRefused>, Fault> {
    let held = match waiting(tables, parked_no)? {
        Ok(held) if held.state == ParkedState::Waived => return Ok(Err(ParkedRefused::Waived(parked_no))),
        Ok(held) => held,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut group = Group::begin(tables, now_ms, Care::FullSpeed)?;
    group.count_as_open(held.store_no, &held.reason, -1);
    let database = group.tables.access()?;
    parked_rows::set_state(&database, parked_no, held.state, ParkedState::Waived)?;
    let (reason, detail) = (held.reason.as_str(), held.detail.as_str());
    let what = ActionKind::Waived;
    parked_rows::act(&database, &Act { parked_no, at_ms: now_ms, what, note, reason, detail, bytes: None })?;
    drop(database);
    group.write_effects()?;
    tables.flush()?;
    Ok(Ok(()))
}

/// The id of what happened, where it has one.
fn fact_id(body: &EventBody) -> Option<Uuid> {
    match body {
        EventBody::SaleCompleted(sale) => Some(sale.sale_id.uuid()),
        EventBody::RefundCompleted(refund) => Some(refund.refund_id.uuid()),
        EventBody::ShiftOpened(opened) => Some(opened.shift_id.uuid()),
        EventBody::ShiftClosed(closed) => Some(closed.shift_id.uuid()),
        EventBody::ShiftAmended(amended) => Some(amended.movement_id.uuid()),
        EventBody::CashMoved(moved) => Some(moved.movement_id.uuid()),
        EventBody::StockMoved(moved) => Some(moved.movement_id.uuid()),
        EventBody::StockCounted(counted) => Some(counted.movement_id.uuid()),
        EventBody::EpochOpened(_)
        | EventBody::DayClosed(_)
        | EventBody::SoldOutChanged(_)
        | EventBody::AuditMarked(_) => None,
    }
}

/// The first name in `given` that was not understood, with the way to it. What is empty may be left out.
fn unknown_name(given: &Value, understood: &Value) -> Option<String> {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    };
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(name, value)| {
            let below = |rest: String| format!("{name}.{rest}");
            match understood.get(name) {
                Some(understood) => unknown_name(value, understood).map(below),
                None if is_empty(value) => None,
                None => Some(name.clone()),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => {
            given.iter().zip(understood).enumerate().find_map(|(index, (given, understood))| {
                unknown_name(given, understood).map(|rest| format!("{index}.{rest}"))
            })
        }
        _ => None,
    }
}

/// Whether the id of what happened may be what is wrong.
fn id_may_change(held: &ParkedHeld) -> bool {
    held.event_no.is_none() || held.reason.ends_with("_id_known") || held.reason.ends_with("_id_conflict")
}

fn same<V: PartialEq + ToString>(what: &'static str, held: &V, given: Option<&V>) -> Result<(), ParkedRefused> {
    match given {
        Some(given) if given != held => {
            Err(ParkedRefused::Identity { what, held: held.to_string(), given: given.to_string() })
        }
        _ => Ok(()),
    }
}
