//! Single looks into the database, for what was not foreseen, and for what only a few groups need.

use std::collections::{BTreeMap, HashMap};

use pos_model::{ChainHash, Epoch, SaleId, Seq, StoreId};
use protocol::latest::Mark;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::state::{State, Stream};
use super::{ahead, number_of};
use crate::ledger::LedgerError;
use crate::ledger::database::{AnyRow, Database, Row as _, cells};
use crate::ledger::group::{FactKind, FactPlace, KnownHead, NumberKind, Refunded};
use crate::ledger::postgres::database::Access;
use crate::ledger::postgres::session::Session;
use crate::ledger::read::frames;

pub(super) const STATE_COLUMNS: &str =
    "store_no, store_state.last_contact_ms, applied_events, applied_sales, parked_events,
    forked_events, refunds_waiting, last_sale_at_ms";

pub(super) fn read_state(row: &AnyRow<'_>) -> Result<(i64, State), LedgerError> {
    let state = State {
        is_changed: false,
        last_contact_ms: row.number(1)?,
        applied_events: row.number(2)?,
        applied_sales: row.number(3)?,
        parked_events: row.number(4)?,
        forked_events: row.number(5)?,
        taken_more: 0,
        refunds_waiting: row.number(6)?,
        last_sale_at_ms: row.maybe_number(7)?,
        health: None,
    };
    Ok((row.number(0)?, state))
}

pub(super) const STREAM_COLUMNS: &str =
    "stream_no, streams.store_no, streams.epoch, applied_seq, applied_hash, base_hash,
    first_seen_ms, reported_head, opened_at_ms, opened_why, previous_epoch, previous_seq, previous_hash, successors,
    continued_at";

/// A stream with its store and epoch.
pub(super) fn read_stream(row: &AnyRow<'_>) -> Result<((i64, i64), Stream), LedgerError> {
    let opened = row.maybe_number(8)?.zip(row.maybe_text(9)?);
    let previous = match (row.maybe_number(10)?, row.maybe_number(11)?) {
        (Some(epoch), Some(seq)) => Some((epoch, seq, row.hash(12)?)),
        _ => None,
    };
    let stream = Stream {
        is_changed: false,
        stream_no: row.number(0)?,
        applied: Mark { seq: Seq::from_sql(row.number(3)?), hash: row.hash(4)? },
        base_hash: row.hash(5)?,
        first_seen_ms: row.number(6)?,
        reported_head: row.number(7)?,
        opened,
        previous,
        successors: row.number(13)?,
        continued_at: row.number(14)?,
    };
    Ok(((row.number(1)?, row.number(2)?), stream))
}

pub(super) fn add_store(session: &Session, store: &StoreId, now_ms: i64) -> Result<i64, LedgerError> {
    let (access, doing) = (Access(session), "add store");
    let insert = "INSERT INTO stores (store_id, name, status, added_at_ms) VALUES (?1, '', 'active', ?2)
        ON CONFLICT DO NOTHING";
    access.execute(doing, insert, cells![store.as_str(), now_ms])?;
    let query = "SELECT store_no FROM stores WHERE store_id = ?1";
    let store_no = access.first(doing, query, cells![store.as_str()], |row| row.number(0))?;
    let store_no = store_no.ok_or(LedgerError::Damaged { what: "list of stores" })?;
    let insert = "INSERT INTO store_state (store_no, last_contact_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    access.execute(doing, insert, cells![store_no, now_ms])?;
    Ok(store_no)
}

pub(super) fn state(session: &Session, store_no: i64) -> Result<State, LedgerError> {
    let query = format!("SELECT {STATE_COLUMNS} FROM store_state WHERE store_no = ?1 FOR UPDATE");
    let found = Access(session).first("read the store's state", &query, cells![store_no], read_state)?;
    found.map(|(_, state)| state).ok_or(LedgerError::Damaged { what: "state of a store" })
}

/// A stream with what was lost of it.
type FoundStream = (Stream, Vec<(i64, i64)>);

pub(super) fn stream(session: &Session, store_no: i64, epoch: i64) -> Result<Option<FoundStream>, LedgerError> {
    let query = format!("SELECT {STREAM_COLUMNS} FROM streams WHERE store_no = ?1 AND epoch = ?2");
    let found = Access(session).first("read cursor", &query, cells![store_no, epoch], read_stream)?;
    let Some((_, stream)) = found else { return Ok(None) };
    let losses = losses(session, stream.stream_no)?;
    Ok(Some((stream, losses)))
}

/// Store and epoch of a stream.
pub(super) fn stream_key(session: &Session, stream_no: i64) -> Result<Option<(i64, i64)>, LedgerError> {
    let query = "SELECT store_no, epoch FROM streams WHERE stream_no = ?1";
    Access(session).first("read epoch", query, cells![stream_no], |row| Ok((row.number(0)?, row.number(1)?)))
}

/// How far the cursor of a stream is, if there is such a one.
pub(in crate::ledger::postgres) fn applied_seq(session: &Session, stream_no: i64) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT applied_seq FROM streams WHERE stream_no = ?1";
    Access(session).first("read cursor", query, cells![stream_no], |row| row.number(0))
}

/// Numbers for streams that nobody else takes; the last is to be used first.
pub(super) fn stream_numbers(session: &Session) -> Result<Vec<i64>, LedgerError> {
    let query = "SELECT nextval('stream_numbers')";
    let first = Access(session).first("take numbers for epochs", query, &[], |row| row.number(0))?;
    let first = first.ok_or(LedgerError::Damaged { what: "sequence of epochs" })?;
    // The sequence goes up by so many at a time.
    Ok((first..first.saturating_add(32)).rev().collect())
}

pub(super) fn losses(session: &Session, stream_no: i64) -> Result<Vec<(i64, i64)>, LedgerError> {
    let query = "SELECT from_seq, to_seq FROM losses WHERE stream_no = ?1";
    let doing = "look for lost events";
    Access(session).all(doing, query, cells![stream_no], |row| Ok((row.number(0)?, row.number(1)?)))
}

pub(super) fn held(session: &Session, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, LedgerError> {
    let (access, doing) = (Access(session), "read hash");
    let query = "SELECT first_event_no, first_seq, events FROM batches WHERE stream_no = ?1 AND first_seq <= ?2
        ORDER BY first_seq DESC LIMIT 1";
    let found = access.first(doing, query, cells![stream_no, seq.to_sql()], |row| {
        Ok((row.number(0)?, row.number(1)?, row.number(2)?))
    })?;
    let Some((first_event_no, first_seq, events)) = found else { return Ok(None) };
    let offset = seq.to_sql() - first_seq;
    if offset >= events {
        return Ok(None);
    }
    let event_no = first_event_no + offset;
    Ok(frames::holding(&access, event_no)?.and_then(|held| held.hash(event_no)))
}

pub(super) fn found(session: &Session, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, LedgerError> {
    let query =
        "SELECT hash FROM parked WHERE stream_no = ?1 AND seq = ?2 AND reason = 'found' ORDER BY parked_no LIMIT 1";
    Access(session).first("look for a found event", query, cells![stream_no, seq.to_sql()], |row| row.hash(0))
}

pub(super) fn is_parked(session: &Session, stream_no: i64, mark: Mark) -> Result<bool, LedgerError> {
    let query = "SELECT EXISTS (SELECT 1 FROM parked WHERE stream_no = ?1 AND seq = ?2 AND hash = ?3)";
    let place = cells![stream_no, mark.seq.to_sql(), mark.hash.as_bytes()];
    let found = Access(session).first("look for a parked event", query, place, |row| row.is(0))?;
    Ok(found == Some(true))
}

/// Store and event of a fact.
pub(super) fn fact(session: &Session, kind: FactKind, id: &[u8; 16]) -> Result<Option<(i64, i64)>, LedgerError> {
    let query = "SELECT store_no, event_no FROM fact_ids WHERE id = ?1 AND kind = ?2";
    let values = cells![id, i64::from(number_of(kind))];
    Access(session).first("look for an id", query, values, |row| Ok((row.number(0)?, row.number(1)?)))
}

pub(super) fn fact_place(session: &Session, kind: FactKind, id: &[u8; 16]) -> Result<FactPlace, LedgerError> {
    let (access, doing) = (Access(session), "read the fact with this id");
    let damaged = || LedgerError::Damaged { what: "index of ids" };
    let (store_no, event_no) = fact(session, kind, id)?.ok_or_else(damaged)?;
    let query = "SELECT store_id FROM stores WHERE store_no = ?1";
    let store = access.first(doing, query, cells![store_no], |row| row.text(0))?.ok_or_else(damaged)?;
    // Where its message was dropped with an old month, its place is not known any more.
    let place = match frames::holding(&access, event_no)? {
        Some(held) => Some((held.stream_no, held.seq(event_no).unwrap_or(Seq::ZERO))),
        None => frames::superseding(&access, event_no)?.map(|fixed| (fixed.stream_no, fixed.seq)),
    };
    let (epoch, seq) = match place {
        Some((stream_no, seq)) => (stream_key(session, stream_no)?.map_or(0, |(_, epoch)| epoch), seq),
        None => (0, Seq::ZERO),
    };
    Ok(FactPlace { store, store_no, epoch: Epoch::from_sql(epoch), seq, event_no })
}

pub(super) fn known_receipts(session: &Session, store_no: i64) -> Result<BTreeMap<String, KnownHead>, LedgerError> {
    let query = ahead::known_receipts("stores.store_no = ?1");
    let known = Access(session).all("read known receipts", &query, cells![store_no], ahead::known_head)?;
    Ok(known.into_iter().map(|(_, head)| (head.till_id.clone(), head)).collect())
}

fn query(
    session: &Session,
    doing: &'static str,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LedgerError> {
    let statement = session.statement(doing, sql)?;
    session.wait(doing, session.client().query(&statement, values))
}

/// The runs that overlap or touch ranges of numbers: each with the place of its range in the list, from zero.
pub(super) fn runs(
    session: &Session,
    kind: NumberKind,
    ranges: &[&(i64, &str, i64, i64)],
) -> Result<Vec<(i64, i64, i64)>, LedgerError> {
    let doing = "read runs of numbers";
    let table = runs_table(kind);
    let sql = format!(
        "SELECT place - 1, first_no, last_no
        FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[], ?4::bigint[]) WITH ORDINALITY
            AS asked (store_no, till_id, low, high, place)
        JOIN {table} AS runs ON runs.store_no = asked.store_no AND runs.till_id = asked.till_id
            AND runs.first_no <= asked.high AND runs.last_no >= asked.low
            -- Runs do not overlap: those before the one at `low` end before it, and need not be walked.
            AND runs.first_no >= coalesce((SELECT max(first_no) FROM {table} AS before
                WHERE before.store_no = asked.store_no AND before.till_id = asked.till_id AND before.first_no <= asked.low), 0)"
    );
    let stores: Vec<i64> = ranges.iter().map(|range| range.0).collect();
    let tills: Vec<&str> = ranges.iter().map(|range| range.1).collect();
    let lows: Vec<i64> = ranges.iter().map(|range| range.2.saturating_sub(1)).collect();
    let highs: Vec<i64> = ranges.iter().map(|range| range.3.saturating_add(1)).collect();
    let rows = query(session, doing, &sql, &[&stores, &tills, &lows, &highs])?;
    let read = |row: &Row| {
        let row = AnyRow::Postgres(row, doing);
        Ok((row.number(0)?, row.number(1)?, row.number(2)?))
    };
    rows.iter().map(read).collect()
}

pub(super) const fn runs_table(kind: NumberKind) -> &'static str {
    match kind {
        NumberKind::Receipt => "receipt_runs",
        NumberKind::Z => "z_runs",
    }
}

type OfSales<T> = HashMap<(i64, SaleId), T>;

/// What came back of sales, and the events of those that are applied.
pub(super) fn refunds(
    session: &Session,
    sales: &[(i64, SaleId)],
) -> Result<(OfSales<Refunded>, OfSales<i64>), LedgerError> {
    let doing = "read what came back of sales";
    let stores: Vec<i64> = sales.iter().map(|(store_no, _)| *store_no).collect();
    let ids: Vec<uuid::Uuid> = sales.iter().map(|(_, sale_id)| sale_id.uuid()).collect();
    let asked = "unnest(?1::bigint[], ?2::uuid[]) AS asked (store_no, sale_id)";
    let values: &[&(dyn ToSql + Sync)] = &[&stores, &ids];
    let sql = format!(
        "SELECT store_no, sale_id, refunds, gross_minor, tax_minor, sale_event_no, is_over
        FROM {asked} JOIN refunded_sales USING (store_no, sale_id)"
    );
    let mut refunded = HashMap::new();
    for row in query(session, doing, &sql, values)? {
        let row = AnyRow::Postgres(&row, doing);
        let found = Refunded {
            refunds: row.number(2)?,
            gross_minor: row.number(3)?,
            tax_minor: row.number(4)?,
            sale_event_no: row.maybe_number(5)?,
            is_over: row.is(6)?,
            lines: BTreeMap::new(),
        };
        refunded.insert((row.number(0)?, SaleId::new(row.id(1)?)), found);
    }
    let sql = format!(
        "SELECT store_no, sale_id, sale_line, quantity_micro, gross_minor
        FROM {asked} JOIN refunded_lines USING (store_no, sale_id)"
    );
    for row in query(session, doing, &sql, values)? {
        let row = AnyRow::Postgres(&row, doing);
        if let Some(found) = refunded.get_mut(&(row.number(0)?, SaleId::new(row.id(1)?))) {
            found.lines.insert(row.small(2)?, (row.number(3)?, row.number(4)?));
        }
    }
    let sql = format!(
        "SELECT store_no, sale_id, event_no
        FROM {asked} JOIN fact_ids USING (store_no) WHERE fact_ids.id = sale_id AND kind = 0"
    );
    let mut events = HashMap::new();
    for row in query(session, doing, &sql, values)? {
        let row = AnyRow::Postgres(&row, doing);
        events.insert((row.number(0)?, SaleId::new(row.id(1)?)), row.number(2)?);
    }
    Ok((refunded, events))
}
