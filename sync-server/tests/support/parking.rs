//! What people do about parked events.

use protocol::latest::decode_event;
use serde_json::Value;
use sync_server::ledger::{Correction, Note, ParkedEvent, ParkedFilter, ParkedRefused, ParkedStep};

use super::{Home, NOW};

/// A program that knows nothing else parks all that a store does.
pub const ONLY_EPOCHS: &[&str] = &["epoch_opened"];

pub fn note() -> Note {
    Note::new("Li Na", "ticket 88").expect("valid")
}

/// A filter that leaves nothing out.
pub fn no_filter() -> ParkedFilter {
    ParkedFilter { limit: 500, ..ParkedFilter::default() }
}

pub fn replay(ledger: &mut dyn Home, filter: ParkedFilter) -> ParkedStep {
    ledger.replay(&filter.to_try(), Some(&note()), NOW + 5).expect("the database is well")
}

pub fn event(ledger: &dyn Home, parked_no: i64) -> ParkedEvent {
    ledger.parked_event(parked_no).expect("readable").expect("it is, or was, parked")
}

/// What a parked event says, as JSON.
pub fn said(ledger: &dyn Home, parked_no: i64) -> Value {
    let event = decode_event(&event(ledger, parked_no).bytes).expect("readable");
    serde_json::to_value(event.body).expect("JSON")
}

pub fn correction(content: Value) -> Correction {
    serde_json::from_value(content).expect("a correction")
}

pub fn fix(ledger: &mut dyn Home, parked_no: i64, content: Value) -> Result<(), ParkedRefused> {
    ledger.fix(parked_no, &correction(content), &note(), NOW + 7).expect("the database is well")
}

pub fn waive(ledger: &mut dyn Home, parked_no: i64) -> Result<(), ParkedRefused> {
    ledger.waive(parked_no, &note(), NOW + 9).expect("the database is well")
}
