//! The events from which roll-ups follow.
//!
//! - What a person has put in the place of an event counts, not what its message says.
//! - An event that was fixed beside the followed history has a number of its own and is in no message: whoever walks the
//!   messages does not meet it, and the date that was marked with it brings it in.

use std::collections::{BTreeMap, BTreeSet};

use protocol::latest::{Batch, decode_event};
use serde_json::{Value, json};

use super::sums::{Day, Sums};
use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::read::frames;

const DOING: &str = "read events for the roll-ups";

/// Events in one step, about: their sums are written in some ten milliseconds.
const STEP_EVENTS: i64 = 4_000;

/// Messages in one step at most, where each has an event or two.
const STEP_MESSAGES: i64 = 2_000;

/// The longest message, in events.
const MESSAGE_EVENTS_MAX: i64 = 1_000;

/// Event numbers that are read together, where many of them are wanted.
const RUN_NUMBERS: i64 = 5_000;

/// What lies behind the watermark.
pub(super) struct Behind {
    pub(super) sums: Sums,
    pub(super) events: u64,
    /// Up to which number.
    pub(super) through: i64,
    /// There is more behind that.
    pub(super) more: bool,
}

/// Sums up the next events behind `through`, of those up to `settled`.
pub(super) fn behind<D: Database>(database: &D, through: i64, settled: i64) -> Result<Behind, LedgerError> {
    let query = "SELECT first_event_no, events FROM batches WHERE first_event_no > ?1 AND first_event_no <= ?2
        ORDER BY first_event_no LIMIT ?3";
    let limit = STEP_MESSAGES + 1;
    let heads =
        database.all(DOING, query, cells![through, settled, limit], |row| Ok((row.number(0)?, row.number(1)?)))?;
    let (mut end, mut events, mut taken) = (through, 0, 0);
    for (first_event_no, count) in &heads {
        if taken > 0 && (events + count > STEP_EVENTS || taken == STEP_MESSAGES) {
            break;
        }
        (end, events, taken) = (first_event_no.saturating_add(*count) - 1, events + count, taken + 1);
    }
    let more = taken < i64::try_from(heads.len()).unwrap_or(i64::MAX);
    let mut behind = Behind { sums: Sums::default(), events: 0, through: if more { end } else { settled }, more };
    if taken == 0 {
        return Ok(behind);
    }
    let query = "SELECT event_no FROM parked WHERE event_no > ?1 AND event_no <= ?2";
    let parked = database.all(DOING, query, cells![through, end], |row| row.number(0))?;
    let parked: BTreeSet<i64> = parked.into_iter().collect();
    let query = "SELECT event_no, bytes FROM superseding WHERE event_no > ?1 AND event_no <= ?2 AND NOT is_beside";
    let fixed = database.all(DOING, query, cells![through, end], |row| Ok((row.number(0)?, row.bytes(1)?.to_vec())))?;
    let fixed: BTreeMap<i64, Vec<u8>> = fixed.into_iter().collect();
    let query = "SELECT first_event_no, batches.events, frame_skip, frame, store_no
        FROM batches JOIN streams USING (stream_no) WHERE first_event_no > ?1 AND first_event_no <= ?2";
    database.query(DOING, query, cells![through, end], &mut |row| {
        let skip = usize::try_from(row.number(2)?).unwrap_or(usize::MAX);
        let Some(batch) = opened(row.number(0)?, row.bytes(3)?)? else { return Ok(()) };
        let store_no = row.number(4)?;
        let held = batch.events.iter().skip(skip).zip(row.number(0)?..).take(row.small(1)?);
        for (bytes, event_no) in held {
            behind.events += 1;
            let bytes = fixed.get(&event_no).map_or(bytes.as_slice(), Vec::as_slice);
            if !parked.contains(&event_no)
                && let Ok(event) = decode_event(bytes)
            {
                behind.sums.add(store_no, &event.body);
            }
        }
        Ok(())
    })?;
    Ok(behind)
}

/// What some dates of stores add up to, straight from their events.
pub(super) struct Anew {
    pub(super) sums: Sums,
    /// Those of which an event is not held any more.
    pub(super) incomplete: BTreeSet<Day>,
}

/// Sums up dates of stores from all their applied events up to `through`.
pub(super) fn anew<D: Database>(database: &D, days: &BTreeSet<Day>, through: i64) -> Result<Anew, LedgerError> {
    let mut anew = Anew { sums: Sums::default(), incomplete: BTreeSet::new() };
    let wanted = events_of(database, days, through)?;
    each_event(database, &wanted, &mut |event_no, bytes| {
        let Some(&day) = wanted.get(&event_no) else { return };
        match bytes.map(decode_event) {
            Some(Ok(event)) => anew.sums.add(day.0, &event.body),
            Some(Err(_)) | None => drop(anew.incomplete.insert(day)),
        }
    })?;
    Ok(anew)
}

/// The applied sales and refunds of dates of stores, by the number of their event.
fn events_of<D: Database>(database: &D, days: &BTreeSet<Day>, through: i64) -> Result<BTreeMap<i64, Day>, LedgerError> {
    let mut wanted = BTreeMap::new();
    let dates = || days.iter().map(|day| day.1);
    let (Some(first_date), Some(last_date)) = (dates().min(), dates().max()) else { return Ok(wanted) };
    let given = Value::from_iter(days.iter().map(|day| json!([day.0, day.1]))).to_string();
    for table in ["sales", "refunds"] {
        // The range is for the partitions of PostgreSQL. Whatever else lies in it stays in the database.
        let query = format!(
            "SELECT event_no, store_no, business_date FROM {table} WHERE business_date BETWEEN ?2 AND ?3 AND event_no <= ?4
                AND (store_no, business_date) IN (SELECT CAST(value ->> 0 AS BIGINT), {} FROM {})",
            D::DIALECT.date_of_json,
            D::DIALECT.rows_of_json
        );
        database.query(DOING, &query, cells![&given, first_date, last_date, through], &mut |row| {
            wanted.insert(row.number(0)?, (row.number(1)?, row.small(2)?));
            Ok(())
        })?;
    }
    Ok(wanted)
}

/// Hands the bytes of events to `each`, none of one that is not held any more. Events that lie near each other are read
/// together.
fn each_event<D: Database>(
    database: &D,
    wanted: &BTreeMap<i64, Day>,
    each: &mut dyn FnMut(i64, Option<&[u8]>),
) -> Result<(), LedgerError> {
    let fixed = "SELECT event_no, bytes FROM superseding WHERE event_no BETWEEN ?1 AND ?2";
    let query = "SELECT first_event_no, events, frame_skip, frame FROM batches
        WHERE first_event_no > ?1 AND first_event_no <= ?2";
    let mut numbers = wanted.keys().copied().peekable();
    while let Some(first) = numbers.next() {
        let (mut last, mut missing) = (first, BTreeSet::from([first]));
        while let Some(next) = numbers.next_if(|next| *next - last < MESSAGE_EVENTS_MAX && *next - first < RUN_NUMBERS)
        {
            last = next;
            missing.insert(next);
        }
        database.query(DOING, fixed, cells![first, last], &mut |row| {
            let event_no = row.number(0)?;
            if missing.remove(&event_no) {
                each(event_no, Some(row.bytes(1)?));
            }
            Ok(())
        })?;
        let values = cells![first.saturating_sub(MESSAGE_EVENTS_MAX), last];
        database.query(DOING, query, values, &mut |row| {
            let (first_event_no, count) = (row.number(0)?, row.number(1)?);
            let end = first_event_no.saturating_add(count);
            let here: Vec<i64> = missing.range(first_event_no..end).copied().collect();
            if here.is_empty() {
                return Ok(());
            }
            let skip = row.number(2)?;
            let Some(batch) = opened(first_event_no, row.bytes(3)?)? else { return Ok(()) };
            for event_no in here {
                let place = usize::try_from(event_no - first_event_no + skip).unwrap_or(usize::MAX);
                if let Some(bytes) = batch.events.get(place) {
                    missing.remove(&event_no);
                    each(event_no, Some(bytes.as_slice()));
                }
            }
            Ok(())
        })?;
        for event_no in missing {
            let bytes = match frames::event_bytes(database, event_no) {
                Err(LedgerError::Damaged { .. }) => None,
                read => read?,
            };
            each(event_no, bytes.as_deref());
        }
    }
    Ok(())
}

/// Opens a message. One that is damaged is not held: its events count when its store has sent them again.
fn opened(first_event_no: i64, frame: &[u8]) -> Result<Option<Batch>, LedgerError> {
    match frames::open(frame) {
        Err(LedgerError::Damaged { .. }) => {
            tracing::warn!(first_event_no, "a message in the ledger is damaged; the roll-ups are made without it");
            Ok(None)
        }
        opened => opened.map(Some),
    }
}
