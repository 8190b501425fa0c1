//! The commands that look: what they print.

mod check_config;
pub mod stock;

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use pos_model::Place;
use protocol::latest::{Event, EventBody};
use serde_json::{Value, json};

use crate::db::{self, EventRow, KeptBook, Reader};
use crate::folder;
pub use check_config::check_config;

/// A command could not do its work.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum CommandError {
    #[error("find books in {0}: no agent has run on this folder")]
    NoBooks(String),
    #[error("read the books")]
    Books(#[source] db::Error),
    #[error("find event {0}: it is not held here")]
    NoEvent(Place),
    #[error("write the answer")]
    Output(#[source] io::Error),
}

/// Opens the books of a folder for reading, also while an agent works on it.
pub fn open(data_dir: &Path) -> Result<Reader, CommandError> {
    let path = folder::books(data_dir);
    if !path.exists() {
        return Err(CommandError::NoBooks(data_dir.display().to_string()));
    }
    Reader::open(&path).map_err(CommandError::Books)
}

/// `outbox list`.
pub fn list(
    reader: &Reader,
    after: Option<Place>,
    all: bool,
    limit: u32,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let rows = reader.view().events(after, !all, limit).map_err(CommandError::Books)?;
    if !as_json {
        let heading = match (rows.is_empty(), after, all) {
            (true, Some(_), _) => "there is nothing behind that place",
            (true, None, false) => "nothing waits: the centre has confirmed all that is held",
            (true, None, true) => "no event is held here",
            (false, ..) => "PLACE                RECORDED AT (UTC)         STATE      KIND            WHAT",
        };
        writeln!(out, "{heading}").map_err(CommandError::Output)?;
    }
    for row in rows {
        let line = if as_json { in_short(&row).to_string() } else { line(&row) };
        writeln!(out, "{line}").map_err(CommandError::Output)?;
    }
    Ok(())
}

/// `outbox show`.
pub fn show(reader: &Reader, place: Place, as_json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let row = reader.view().event(place).map_err(CommandError::Books)?.ok_or(CommandError::NoEvent(place))?;
    let mut value = in_short(&row);
    value["hash"] = json!(row.hash.to_string());
    value["event"] = match row.event() {
        Ok(event) => body(&event),
        Err(error) => json!({ "unreadable": error.to_string() }),
    };
    let written = if as_json {
        value["bytes_hex"] = json!(row.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        writeln!(out, "{value}")
    } else {
        writeln!(out, "{value:#}")
    };
    written.map_err(CommandError::Output)
}

/// `price-book list`.
pub fn list_price_books(reader: &Reader, as_json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let books = reader.view().price_books().map_err(CommandError::Books)?;
    if !as_json {
        let heading = if books.is_empty() {
            "the store has no price book"
        } else {
            "VERSION               SINCE (UTC)               HASH"
        };
        writeln!(out, "{heading}").map_err(CommandError::Output)?;
    }
    for KeptBook { hash, version, activated_at_ms, json } in books {
        let since = moment(activated_at_ms);
        let line = if as_json {
            let hash = hash.to_string();
            json!({ "version": version, "active_since": since, "hash": hash, "bytes": json.len() }).to_string()
        } else {
            format!("{version:<20}  {since:<24}  {hash}")
        };
        writeln!(out, "{line}").map_err(CommandError::Output)?;
    }
    Ok(())
}

/// `verify`. Returns whether all is sound.
pub fn verify(reader: &Reader, as_json: bool, out: &mut impl Write) -> Result<bool, CommandError> {
    let found = reader.view().verify().map_err(CommandError::Books)?;
    let sound = found.is_ok();
    let counted = found.as_ref().map_or_else(|broken| broken.before, |verified| *verified);
    let counts = json!({ "epochs": counted.epochs, "events": counted.events, "sales": counted.sales });
    let line = match (found, as_json) {
        (Ok(_), true) => json!({ "sound": true, "counted": counts }).to_string(),
        (Err(broken), true) => {
            let place = broken.place.to_string();
            json!({ "sound": false, "counted": counts, "place": place, "problem": broken.problem }).to_string()
        }
        (Ok(counted), false) => {
            let (epochs, events) = (plural(counted.epochs, "run"), plural(counted.events, "event"));
            format!("sound: {epochs} of the agent, {events}, {}", plural(counted.sales, "sale"))
        }
        (Err(broken), false) => format!("broken: {broken}; sound before it: {}", plural(broken.before.events, "event")),
    };
    writeln!(out, "{line}").map_err(CommandError::Output)?;
    Ok(sound)
}

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A moment, for people.
pub(crate) fn moment(utc_ms: i64) -> String {
    Timestamp::from_millisecond(utc_ms).map_or_else(|_| format!("{utc_ms} ms"), |moment| moment.to_string())
}

fn in_short(row: &EventRow) -> Value {
    json!({
        "place": row.place.to_string(),
        "kind": row.kind,
        "recorded_at": moment(row.recorded_at_ms),
        "bytes": row.bytes.len(),
        "confirmed": row.confirmed,
    })
}

fn line(row: &EventRow) -> String {
    let state = if row.confirmed { "confirmed" } else { "waiting" };
    let about = match row.event().map(|event| event.body) {
        Ok(EventBody::SaleCompleted(sale)) => {
            let total = sale.totals.gross_minor.display(sale.currency).to_string();
            format!("till {} receipt {} total {total} {}", sale.till_id, sale.receipt_no, sale.currency)
        }
        Ok(EventBody::EpochOpened(opened)) => format!("version {}", opened.agent_version),
        // `outbox show` tells the rest.
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let place = row.place.to_string();
    format!("{place:<19}  {:<24}  {state:<9}  {:<14}  {about}", moment(row.recorded_at_ms), row.kind)
}

fn body(event: &Event) -> Value {
    let body = serde_json::to_value(&event.body).expect("text and numbers always encode");
    json!({ "id": event.id.to_string(), "at": event.at, "body": body })
}
