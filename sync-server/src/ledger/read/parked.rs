//! Parked events: those that wait, what became of the others, and what people did about them.

use pos_model::{ChainHash, Epoch, Seq};
use protocol::latest::decode_identity;

use super::frames::{self, HeldBatch};
use crate::ledger::LedgerError;
use crate::ledger::books::ParkedEvent;
use crate::ledger::database::{AnyRow, Cell, Database, Row, cells};
use crate::ledger::parking::{ActionKind, ParkedAction, ParkedBacklog, ParkedFilter, ParkedState};

const DOING: &str = "read parked events";

/// What a person did about one event is read up to so many rows, the newest ones.
const ACTIONS_MAX: u32 = 200;

/// A row of `parked`.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct ParkedHeld {
    pub(in crate::ledger) parked_no: i64,
    pub(in crate::ledger) store: String,
    pub(in crate::ledger) store_no: i64,
    pub(in crate::ledger) stream_no: i64,
    pub(in crate::ledger) epoch: Epoch,
    pub(in crate::ledger) seq: Seq,
    pub(in crate::ledger) hash: ChainHash,
    pub(in crate::ledger) parked_at_ms: i64,
    pub(in crate::ledger) reason: String,
    pub(in crate::ledger) detail: String,
    pub(in crate::ledger) kind: Option<String>,
    pub(in crate::ledger) state: ParkedState,
    /// Its number, if it has a place in the followed history.
    pub(in crate::ledger) event_no: Option<i64>,
    /// The till and the receipt number that it has given, if nothing else had given that before.
    pub(in crate::ledger) given: Option<(String, i64)>,
    /// Its bytes, if they lie beside and not in a message.
    own_bytes: Option<Vec<u8>>,
}

const PARKED: &str = "SELECT parked_no, store_id, parked.store_no, parked.stream_no, epoch, parked.seq, parked.hash,
        parked_at_ms, reason, detail, kind, state, event_no, bytes, given.till_id, given.receipt_no
    FROM parked JOIN stores ON stores.store_no = parked.store_no JOIN streams ON streams.stream_no = parked.stream_no
        LEFT JOIN parked_receipts AS given ON given.stream_no = parked.stream_no AND given.seq = parked.seq
            AND given.hash = parked.hash";

fn parked_row(row: &AnyRow<'_>) -> Result<ParkedHeld, LedgerError> {
    let own_bytes = match row.cell(13)? {
        Cell::Nothing => None,
        _ => Some(row.bytes(13)?.to_vec()),
    };
    Ok(ParkedHeld {
        parked_no: row.number(0)?,
        store: row.text(1)?,
        store_no: row.number(2)?,
        stream_no: row.number(3)?,
        epoch: Epoch::from_sql(row.number(4)?),
        seq: Seq::from_sql(row.number(5)?),
        hash: row.hash(6)?,
        parked_at_ms: row.number(7)?,
        reason: row.text(8)?,
        detail: row.text(9)?,
        kind: row.maybe_text(10)?,
        state: ParkedState::parse(&row.text(11)?).ok_or(LedgerError::Damaged { what: "state of a parked event" })?,
        event_no: row.maybe_number(12)?,
        given: row.maybe_text(14)?.zip(row.maybe_number(15)?),
        own_bytes,
    })
}

impl ParkedHeld {
    /// Its bytes as they came. Events that came in one message are asked for one after the other, so `message` keeps it.
    pub(in crate::ledger) fn bytes<D: Database>(
        &self,
        database: &D,
        message: &mut Option<HeldBatch>,
    ) -> Result<Vec<u8>, LedgerError> {
        let damaged = || LedgerError::Damaged { what: "parked event" };
        if let Some(bytes) = &self.own_bytes {
            return Ok(bytes.clone());
        }
        let event_no = self.event_no.ok_or_else(damaged)?;
        if message.as_ref().is_none_or(|message| message.bytes(event_no).is_none()) {
            *message = frames::holding(database, event_no)?;
        }
        let bytes = message.as_ref().and_then(|message| message.bytes(event_no));
        bytes.map(<[u8]>::to_vec).ok_or_else(damaged)
    }

    fn with_bytes<D: Database>(
        self,
        database: &D,
        message: &mut Option<HeldBatch>,
    ) -> Result<ParkedEvent, LedgerError> {
        // Where its message is lost or damaged the rest is told all the same.
        let bytes = match self.bytes(database, message) {
            Err(LedgerError::Damaged { .. }) => Vec::new(),
            bytes => bytes?,
        };
        let fixed = match self.state {
            ParkedState::Fixed => fix_of(database, self.parked_no)?.map(|fix| fix.bytes),
            ParkedState::Open | ParkedState::Waived | ParkedState::Applied => None,
        };
        let kind = self.kind.or_else(|| decode_identity(&bytes).map(|identity| identity.kind));
        Ok(ParkedEvent {
            parked_no: self.parked_no,
            store: self.store,
            epoch: self.epoch,
            seq: self.seq,
            hash: self.hash,
            parked_at_ms: self.parked_at_ms,
            reason: self.reason,
            detail: self.detail,
            kind,
            state: self.state,
            bytes,
            fixed,
        })
    }
}

/// The next rows that a filter picks, in the order of their numbers.
pub(in crate::ledger) fn select<D: Database>(
    database: &D,
    filter: &ParkedFilter,
) -> Result<Vec<ParkedHeld>, LedgerError> {
    let query = format!(
        "{PARKED} WHERE parked_no > ?1 AND coalesce(store_id = ?2, true) AND coalesce(reason = ?3, true)
            AND coalesce(coalesce(kind, '') = ?4, true) AND coalesce(state = ?5, true)
            AND coalesce(parked_at_ms >= ?6, true) AND coalesce(parked_at_ms < ?7, true)
            AND coalesce(parked_no = ?8, true)
        ORDER BY parked_no LIMIT ?9"
    );
    let read = |after: i64, number: Option<i64>, limit: u32| {
        let values = cells![
            after,
            filter.store.as_ref().map(|store| store.as_str()),
            filter.reason.as_deref(),
            filter.kind.as_deref(),
            filter.state.map(ParkedState::as_str),
            filter.parked_from_ms,
            filter.parked_before_ms,
            number,
            limit,
        ];
        database.all(DOING, &query, values, parked_row)
    };
    if filter.numbers.is_empty() {
        return read(filter.after, None, filter.limit);
    }
    let mut numbers = filter.numbers.clone();
    numbers.sort_unstable();
    numbers.dedup();
    let mut found = Vec::new();
    for number in numbers.into_iter().filter(|number| *number > filter.after) {
        if found.len() >= filter.limit as usize {
            break;
        }
        found.extend(read(number - 1, Some(number), 1)?);
    }
    Ok(found)
}

/// A row.
pub(in crate::ledger) fn one<D: Database>(database: &D, parked_no: i64) -> Result<Option<ParkedHeld>, LedgerError> {
    let query = format!("{PARKED} WHERE parked_no = ?1");
    database.first(DOING, &query, cells![parked_no], parked_row)
}

/// What counts in the place of a parked event, if it was fixed.
pub(in crate::ledger) fn fix_of<D: Database>(
    database: &D,
    parked_no: i64,
) -> Result<Option<frames::Superseding>, LedgerError> {
    let query = format!("{} WHERE parked_no = ?1", frames::SUPERSEDING);
    database.first(DOING, &query, cells![parked_no], frames::superseding_row)
}

/// Whether an event was parked and has been applied since, as it came or fixed.
pub(in crate::ledger) fn is_applied<D: Database>(database: &D, parked_no: i64) -> Result<bool, LedgerError> {
    let query = "SELECT parked_no FROM parked_applied WHERE parked_no = ?1";
    Ok(database.first(DOING, query, cells![parked_no], |row| row.number(0))?.is_some())
}

pub(super) fn list<D: Database>(database: &D, filter: &ParkedFilter) -> Result<Vec<ParkedEvent>, LedgerError> {
    database.snapshot(DOING, |database| {
        let mut message = None;
        let found = select(database, filter)?;
        found.into_iter().map(|held| held.with_bytes(database, &mut message)).collect()
    })
}

pub(super) fn event<D: Database>(database: &D, parked_no: i64) -> Result<Option<ParkedEvent>, LedgerError> {
    database.snapshot(DOING, |database| match one(database, parked_no)? {
        Some(held) => held.with_bytes(database, &mut None).map(Some),
        None => applied(database, parked_no),
    })
}

/// An event that was parked once and counts.
fn applied<D: Database>(database: &D, parked_no: i64) -> Result<Option<ParkedEvent>, LedgerError> {
    let query = "SELECT store_id, event_no, parked_at_ms, reason FROM parked_applied JOIN stores USING (store_no)
        WHERE parked_no = ?1";
    let found = database.first(DOING, query, cells![parked_no], |row| {
        Ok((row.text(0)?, row.number(1)?, row.number(2)?, row.text(3)?))
    })?;
    let Some((store, event_no, parked_at_ms, reason)) = found else { return Ok(None) };
    let fix = fix_of(database, parked_no)?;
    let held = frames::holding(database, event_no)?;
    // Where retention has taken the message, the fix still has the bytes and the place.
    let (stream_no, seq, hash, bytes) = match (&fix, &held) {
        (Some(fix), _) => (fix.stream_no, fix.seq, fix.hash, fix.original.clone()),
        (None, Some(held)) => {
            let damaged = || LedgerError::Damaged { what: "frame" };
            let (seq, hash) = held.seq(event_no).zip(held.hash(event_no)).ok_or_else(damaged)?;
            (held.stream_no, seq, hash, held.bytes(event_no).ok_or_else(damaged)?.to_vec())
        }
        (None, None) => return Ok(None),
    };
    let query = "SELECT epoch FROM streams WHERE stream_no = ?1";
    let epoch = database.first(DOING, query, cells![stream_no], |row| row.number(0))?;
    let kind = decode_identity(&bytes).map(|identity| identity.kind);
    Ok(Some(ParkedEvent {
        parked_no,
        store,
        epoch: Epoch::from_sql(epoch.unwrap_or_default()),
        seq,
        hash,
        parked_at_ms,
        reason,
        detail: String::new(),
        kind,
        state: if fix.is_some() { ParkedState::Fixed } else { ParkedState::Applied },
        bytes,
        fixed: fix.map(|fix| fix.bytes),
    }))
}

pub(super) fn actions<D: Database>(database: &D, parked_no: i64) -> Result<Vec<ParkedAction>, LedgerError> {
    let query = "SELECT at_ms, what, who, why, reason, detail FROM parked_actions WHERE parked_no = ?1
        ORDER BY action_no DESC LIMIT ?2";
    let mut found = database.all(DOING, query, cells![parked_no, ACTIONS_MAX], |row| {
        Ok(ParkedAction {
            at_ms: row.number(0)?,
            what: ActionKind::parse(&row.text(1)?).ok_or(LedgerError::Damaged { what: "action" })?,
            who: row.text(2)?,
            why: row.text(3)?,
            reason: row.text(4)?,
            detail: row.text(5)?,
        })
    })?;
    found.reverse();
    Ok(found)
}

pub(super) fn backlog<D: Database>(database: &D) -> Result<ParkedBacklog, LedgerError> {
    let query = "SELECT count(*), min(parked_at_ms) FROM parked WHERE state = 'open'";
    let found = database
        .first(DOING, query, &[], |row| Ok(ParkedBacklog { open: row.number(0)?, oldest_ms: row.maybe_number(1)? }))?;
    Ok(found.unwrap_or_default())
}

/// The stores with open parked events, each with the time when its oldest was parked.
pub(super) fn oldest<D: Database>(database: &D, store_no: Option<i64>) -> Result<Vec<(i64, i64)>, LedgerError> {
    let query = "SELECT store_no, min(parked_at_ms) FROM parked WHERE state = 'open' AND coalesce(store_no = ?1, true)
        GROUP BY store_no";
    database.all(DOING, query, cells![store_no], |row| Ok((row.number(0)?, row.number(1)?)))
}
