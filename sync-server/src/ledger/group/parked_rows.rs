//! The rows that say what became of parked events, written within a group's database transaction.

use pos_model::ChainHash;

use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::parking::{ActionKind, Note, ParkedState};
use crate::ledger::read::frames::Superseding;

/// What somebody did about a parked event, to be written down.
pub(in crate::ledger) struct Act<'a> {
    pub(in crate::ledger) parked_no: i64,
    pub(in crate::ledger) at_ms: i64,
    pub(in crate::ledger) what: ActionKind,
    pub(in crate::ledger) note: &'a Note,
    pub(in crate::ledger) reason: &'a str,
    pub(in crate::ledger) detail: &'a str,
    /// Of a fix: the bytes as they came and those that count.
    pub(in crate::ledger) bytes: Option<(&'a [u8], &'a [u8])>,
}

/// The hash of some bytes, as a fix notes it.
pub(in crate::ledger) fn hash_of(bytes: &[u8]) -> ChainHash {
    ChainHash::GENESIS.then(bytes)
}

/// What of an action its hash stands for, beside the hash before.
pub(in crate::ledger) struct Sealed<'a> {
    pub(in crate::ledger) parked_no: i64,
    pub(in crate::ledger) at_ms: i64,
    pub(in crate::ledger) words: [&'a str; 5],
    pub(in crate::ledger) hashes: [Option<ChainHash>; 2],
}

impl Sealed<'_> {
    /// The hash behind `before`.
    pub(in crate::ledger) fn hash(&self, before: ChainHash) -> ChainHash {
        let hashes = self.hashes.map(|hash| hash.map(|hash| hash.to_string()));
        let text = serde_json::json!([self.parked_no, self.at_ms, self.words, hashes]).to_string();
        before.then(text.as_bytes())
    }
}

/// Adds a row about an action behind those about the same event.
pub(super) fn act<D: Database>(database: &D, act: &Act<'_>) -> Result<(), LedgerError> {
    let doing = "note what was done about a parked event";
    let query = "SELECT hash FROM parked_actions WHERE parked_no = ?1 ORDER BY action_no DESC LIMIT 1";
    let before = database.first(doing, query, cells![act.parked_no], |row| row.hash(0))?;
    let hashes = match act.bytes {
        Some((original, content)) => [Some(hash_of(original)), Some(hash_of(content))],
        None => [None, None],
    };
    let (who, why) = (act.note.who(), act.note.why());
    let words = [act.what.as_str(), who, why, act.reason, act.detail];
    let sealed = Sealed { parked_no: act.parked_no, at_ms: act.at_ms, words, hashes };
    let hash = sealed.hash(before.unwrap_or(ChainHash::GENESIS));
    let insert =
        "INSERT INTO parked_actions (parked_no, at_ms, what, who, why, reason, detail, original, content, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let [original, content] = &hashes;
    let row = cells![
        act.parked_no,
        act.at_ms,
        act.what.as_str(),
        who,
        why,
        act.reason,
        act.detail,
        original.as_ref().map(ChainHash::as_bytes),
        content.as_ref().map(ChainHash::as_bytes),
        hash.as_bytes(),
    ];
    database.execute(doing, insert, row).map(drop)
}

/// Takes an event out of the parked ones, because it counts.
pub(super) fn leave<D: Database>(database: &D, parked_no: i64, now_ms: i64) -> Result<(), LedgerError> {
    let doing = "apply a parked event";
    let note = "INSERT INTO parked_applied (parked_no, store_no, event_no, parked_at_ms, reason, applied_at_ms)
        SELECT parked_no, store_no, event_no, parked_at_ms, reason, CAST(?2 AS BIGINT) FROM parked WHERE parked_no = ?1";
    expect_one(database.execute(doing, note, cells![parked_no, now_ms])?)?;
    database.execute(doing, "DELETE FROM parked WHERE parked_no = ?1", cells![parked_no]).map(drop)
}

/// Leaves an event parked and open, for this reason.
pub(super) fn keep<D: Database>(
    database: &D,
    parked_no: i64,
    reason: &str,
    detail: &str,
    kind: Option<&str>,
) -> Result<(), LedgerError> {
    let update =
        "UPDATE parked SET reason = ?2, detail = ?3, kind = coalesce(?4, kind), state = 'open' WHERE parked_no = ?1
        AND (reason <> ?2 OR detail <> ?3 OR state <> 'open' OR coalesce(kind, '') <> coalesce(?4, kind, ''))";
    database.execute("keep a parked event", update, cells![parked_no, reason, detail, kind]).map(drop)
}

/// Changes the state of an event that stays among the parked ones; it must be in the state `from`.
pub(super) fn set_state<D: Database>(
    database: &D,
    parked_no: i64,
    from: ParkedState,
    to: ParkedState,
) -> Result<(), LedgerError> {
    let update = "UPDATE parked SET state = ?3 WHERE parked_no = ?1 AND state = ?2";
    let values = cells![parked_no, from.as_str(), to.as_str()];
    expect_one(database.execute("note what became of a parked event", update, values)?)
}

/// Adds what counts in the place of an event.
pub(super) fn supersede<D: Database>(database: &D, fixed: &Superseding) -> Result<(), LedgerError> {
    let insert = "INSERT INTO superseding (event_no, parked_no, store_no, stream_no, seq, hash, fixed_at_ms, is_beside,
            original, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let row = cells![
        fixed.event_no,
        fixed.parked_no,
        fixed.store_no,
        fixed.stream_no,
        fixed.seq.to_sql(),
        fixed.hash.as_bytes(),
        fixed.fixed_at_ms,
        fixed.is_beside,
        fixed.original.as_slice(),
        fixed.bytes.as_slice(),
    ];
    database.execute("fix a parked event", insert, row).map(drop)
}

fn expect_one(rows: u64) -> Result<(), LedgerError> {
    match rows {
        1 => Ok(()),
        // Another server was quicker; whoever does this begins anew.
        _ => Err(LedgerError::Away("another server works on this parked event".to_owned())),
    }
}
