//! What a world's books must show, compared with the reference: read from the tables, by nobody's code but this.
//!
//! `world` checks at every step what is cheap: acks, cursors, numbers, answers, what the centre takes in. Here is what
//! looks at everything.

mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use agent::db::View;
use pos_model::{BusinessDate, ChainHash, Epoch, SaleId, Seq, StoreId};
use protocol::envelope::open_uplink;
use protocol::latest::Uplink;
use rusqlite::{Connection, Params, Row};
use sync_server::ledger::{LedgerError, VerifyReport};
use till::stock::CoverRule;

use crate::reference::facts::Way;
use crate::reference::sums::date_text;
use crate::reference::{Key, Reference, Rule, Sums, Violation, What, must, violated};

/// Checks both ends when everything has drained.
pub fn at_the_end<'c>(
    reference: &Reference,
    centre: &Connection,
    stores: &[StoreId],
    last_sales: &[SaleId],
    machines: impl Iterator<Item = (usize, &'c Connection, View<'c>)>,
) -> Result<(), Violation> {
    let (taken, parked) = (taken(centre)?, parked(centre)?);
    everything_is_there(reference, &taken)?;
    parked_for_a_cause(reference, &parked)?;
    each_once(reference, &taken, &parked)?;
    not_stuck_in_a_fork(reference, &parked, last_sales)?;
    centre_balances(reference, centre, stores)?;
    views::views_agree(reference, centre, stores, &applied(centre)?)?;
    centre_chains(centre)?;
    for (number, books, view) in machines {
        local_balances(reference, number, books)?;
        local_stock(reference, number, view)?;
        local_chain(reference, number, books, view)?;
    }
    Ok(())
}

/// Checks at the centre what holds at every moment.
pub fn meanwhile(reference: &Reference, centre: &Connection, stores: &[StoreId]) -> Result<(), Violation> {
    if rows(centre, "SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))?.is_empty() {
        return Ok(());
    }
    parked_for_a_cause(reference, &parked(centre)?)?;
    centre_balances(reference, centre, stores)
}

// ---- the centre ----

/// Every event that the centre holds, with how often.
fn taken(centre: &Connection) -> Result<BTreeMap<Key, u64>, Violation> {
    let sql = "SELECT hash FROM events UNION ALL SELECT hash FROM parked WHERE event_no IS NULL";
    let mut taken = BTreeMap::new();
    for key in rows(centre, sql, [], key)? {
        *taken.entry(key).or_default() += 1;
    }
    Ok(taken)
}

fn parked(centre: &Connection) -> Result<BTreeMap<Key, String>, Violation> {
    let parked = rows(centre, "SELECT hash, reason FROM parked", [], |row| Ok((key(row)?, row.get(1)?)))?;
    Ok(parked.into_iter().collect())
}

/// Nothing is lost, doubled or made up.
fn everything_is_there(reference: &Reference, taken: &BTreeMap<Key, u64>) -> Result<(), Violation> {
    for key in reference.owed() {
        let place = reference.fact(&key).map(|fact| (fact.store, fact.place));
        let times = taken.get(&key).copied().unwrap_or(0);
        must(times > 0, Rule::Lost, || format!("event {place:?} is not at the centre"))?;
        must(times == 1, Rule::Doubled, || format!("event {place:?} is at the centre {times} times"))?;
    }
    for key in taken.keys() {
        must(reference.fact(key).is_some(), Rule::Invented, || format!("no store committed {key:?}"))?;
    }
    let gone = reference.centre().iter().find(|key| !taken.contains_key(*key));
    must(gone.is_none(), Rule::Lost, || format!("the centre no longer holds {gone:?}"))
}

fn parked_for_a_cause(reference: &Reference, parked: &BTreeMap<Key, String>) -> Result<(), Violation> {
    for (key, reason) in parked {
        let fact = reference.fact(key);
        must(reference.may_be_parked(key), Rule::ParkedWithoutCause, || format!("{fact:?} is parked as {reason}"))?;
    }
    let is_poison = |key: &Key| reference.fact(key).is_some_and(|fact| fact.what == What::Poison);
    let understood = reference.centre().iter().find(|key| is_poison(key) && !parked.contains_key(*key));
    must(understood.is_none(), Rule::Invented, || {
        format!("{:?} is applied, and nobody can know what it means", understood.and_then(|key| reference.fact(key)))
    })
}

/// What has an id is applied at most once, and exactly once if any of its events has a place in an unforked history.
fn each_once(
    reference: &Reference,
    taken: &BTreeMap<Key, u64>,
    parked: &BTreeMap<Key, String>,
) -> Result<(), Violation> {
    for id in reference.ids() {
        let events: Vec<Key> = reference.events_of(id).filter(|key| taken.contains_key(key)).collect();
        let applied = events.iter().filter(|key| !parked.contains_key(*key)).count();
        must(applied <= 1, Rule::Doubled, || format!("{id:?} is applied {applied} times"))?;
        let clear = events.iter().any(|key| !reference.is_forked(key));
        must(applied == 1 || !clear, Rule::Lost, || format!("{id:?} is parked each time it came"))?;
    }
    Ok(())
}

/// A sale that was made after everything had drained, and not the first one, is applied: by then an agent has left an
/// epoch that another one uses too.
fn not_stuck_in_a_fork(
    reference: &Reference,
    parked: &BTreeMap<Key, String>,
    last_sales: &[SaleId],
) -> Result<(), Violation> {
    for sale_id in last_sales {
        let stuck = reference.events_of_sale(*sale_id).find(|key| parked.contains_key(key));
        let fact = stuck.and_then(|key| reference.fact(&key));
        must(stuck.is_none(), Rule::ParkedWithoutCause, || {
            format!("a sale after all had drained is parked: {fact:?}")
        })?;
    }
    Ok(())
}

/// What is applied: every event in its place that is not parked.
fn applied(centre: &Connection) -> Result<BTreeSet<Key>, Violation> {
    let sql = "SELECT hash FROM events
               WHERE NOT EXISTS (SELECT 1 FROM parked WHERE parked.event_no = events.event_no)";
    Ok(rows(centre, sql, [], key)?.into_iter().collect())
}

/// Totals and stock at the centre are the sums over what is applied.
fn centre_balances(reference: &Reference, centre: &Connection, stores: &[StoreId]) -> Result<(), Violation> {
    let mut totals: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut stock: BTreeMap<(String, String, String, Way), i64> = BTreeMap::new();
    for key in &applied(centre)? {
        let Some(fact) = reference.fact(key) else {
            return violated(Rule::Invented, format!("{key:?} is of no store"));
        };
        let store = stores[fact.store].to_string();
        if let Some((day, sums)) = fact.what.sums() {
            totals.entry((store.clone(), date_text(day))).or_default().add(sums);
        }
        for (way, day, item, micro) in fact.what.stock() {
            *stock.entry((store.clone(), date_text(day), item, way)).or_default() += micro;
        }
    }
    let held = rows(
        centre,
        "SELECT store_id, business_date, sales, lines, quantity_micro, gross_minor, tax_minor, refunds,
            refund_gross_minor, refund_tax_minor FROM v_day_totals",
        [],
        |row| Ok(((row.get(0)?, row.get(1)?), sums(row, 2)?)),
    )?;
    same(Rule::Totals, "day totals at the centre", &held.into_iter().collect(), &totals)?;
    let held = rows(
        centre,
        "SELECT store_id, business_date, item_id, 0, used_micro FROM v_stock_used
         UNION ALL SELECT store_id, business_date, item_id, 1, added_micro FROM v_stock_added",
        [],
        |row| {
            let way = if row.get(3)? { Way::Added } else { Way::Used };
            Ok(((row.get(0)?, row.get(1)?, row.get(2)?, way), row.get(4)?))
        },
    )?;
    let held: BTreeMap<_, i64> = held.into_iter().filter(|(_, micro)| *micro != 0).collect();
    same(Rule::Totals, "stock at the centre", &held, &stock)
}

/// The ledger's own verdict: everything computed again from the events.
pub fn centre_verifies(verified: Result<VerifyReport, LedgerError>) -> Result<(), Violation> {
    let report = verified.or_else(|error| violated(Rule::Failed, format!("verify the books: {error:?}")))?;
    must(report.differences_total == 0, Rule::Totals, || {
        format!("the ledger does not verify: {:?}", report.differences)
    })
}

/// Each history that the centre follows has no gap but those that it wrote down as lost, and its hashes are right.
fn centre_chains(centre: &Connection) -> Result<(), Violation> {
    type Stream = (i64, i64, [u8; 32], [u8; 32]);
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let streams: Vec<Stream> =
        rows(centre, "SELECT stream_no, applied_seq, applied_hash, base_hash FROM streams", [], read)?;
    for (stream_no, applied_seq, applied_hash, base_hash) in streams {
        let lost = rows(centre, "SELECT from_seq, to_seq FROM losses WHERE stream_no = ?1", [stream_no], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        let (mut seq, mut hash) = (0, Some(ChainHash::from_bytes(base_hash)));
        let batches = rows(
            centre,
            "SELECT first_seq, first_event_no, events, frame_skip, frame FROM batches WHERE stream_no = ?1
             ORDER BY first_seq",
            [stream_no],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?)),
        )?;
        for (first_seq, first_event_no, events, skip, frame) in batches {
            let (first_seq, first_event_no, events, skip): (i64, i64, i64, i64) =
                (first_seq, first_event_no, events, skip);
            if first_seq != seq + 1 {
                let known = (seq + 1..first_seq).all(|gone| lost.iter().any(|(from, to)| (from..=to).contains(&&gone)));
                must(known, Rule::Chain, || format!("stream {stream_no} goes on with {first_seq} after {seq}"))?;
                hash = None;
            }
            let held = rows(
                centre,
                "SELECT hash FROM events WHERE event_no >= ?1 AND event_no < ?1 + ?2 ORDER BY event_no",
                [first_event_no, events],
                key,
            )?;
            must(held.len().try_into() == Ok(events), Rule::Chain, || format!("stream {stream_no} has holes"))?;
            let Ok((_, Uplink::Batch(batch))) = open_uplink(&frame) else {
                return violated(Rule::Chain, format!("stream {stream_no} has an unreadable frame at {first_seq}"));
            };
            let bytes = batch.events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
            must(bytes.len() == held.len(), Rule::Chain, || format!("the frame at {first_seq} has another length"))?;
            for (stated, bytes) in held.into_iter().zip(bytes) {
                let holds = hash.is_none_or(|hash| hash.then(bytes) == stated);
                must(holds, Rule::Chain, || format!("stream {stream_no} breaks after {seq}"))?;
                (seq, hash) = (seq + 1, Some(stated));
            }
            seq = first_seq + events - 1;
        }
        let ends = seq == applied_seq && hash.is_none_or(|hash| hash.as_bytes() == &applied_hash);
        let gone = (seq + 1..=applied_seq).all(|gone| lost.iter().any(|(from, to)| (from..=to).contains(&&gone)));
        must(ends || (seq < applied_seq && gone), Rule::Chain, || {
            format!("the cursor of stream {stream_no} is {applied_seq}, its history ends at {seq}")
        })?;
    }
    Ok(())
}

/// What is worth seeing in the centre's books.
pub fn worth_seeing(centre: &Connection) -> Result<Vec<&'static str>, Violation> {
    let mut seen = Vec::new();
    for (what, sql) in [
        ("centre: loss written down", "SELECT 1 FROM losses"),
        ("centre: more came back than was sold", "SELECT 1 FROM v_over_refunds"),
        ("centre: refund without its sale", "SELECT 1 FROM v_refunds WHERE sale_is_known = 0"),
        ("centre: refund parked as the same or another", "SELECT 1 FROM parked WHERE reason GLOB 'refund_id_*'"),
        ("centre: shift parked as the same or another", "SELECT 1 FROM parked WHERE reason GLOB 'shift_id_*'"),
        ("centre: movement parked as the same or another", "SELECT 1 FROM parked WHERE reason GLOB 'movement_id_*'"),
        ("centre: shift closed that was opened beside the history", OPENING_ELSEWHERE),
    ] {
        seen.extend((!rows(centre, sql, [], |_| Ok(()))?.is_empty()).then_some(what));
    }
    Ok(seen)
}

const OPENING_ELSEWHERE: &str = "SELECT 1 FROM v_shifts WHERE closed_event_no IS NOT NULL AND opened_event_no IS NULL";

// ---- a store ----

/// An agent's own sums and watermarks.
fn local_balances(reference: &Reference, agent: usize, books: &Connection) -> Result<(), Violation> {
    let held = rows(
        books,
        "SELECT business_date, sales, lines, units_micro, gross_minor, tax_minor, refunds, refund_gross_minor,
            refund_tax_minor FROM day_total",
        [],
        |row| Ok((row.get(0)?, sums(row, 1)?)),
    )?;
    let what = format!("day totals of agent {agent}");
    same(Rule::Totals, &what, &held.into_iter().collect(), &reference.local_totals(agent))?;
    let acked = rows(books, "SELECT epoch, acked FROM epoch", [], |row| {
        Ok((Epoch::from_sql(row.get(0)?), Seq::from_sql(row.get(1)?)))
    })?;
    for (epoch, acked) in acked {
        let expected = reference.watermark(agent, epoch);
        must(acked == expected, Rule::AckAhead, || {
            format!("agent {agent} has {epoch} confirmed through {acked}, and was told {expected}")
        })?;
    }
    Ok(())
}

/// What an agent says that there is of each item, and whether its counters follow from its events.
fn local_stock(reference: &Reference, agent: usize, view: View<'_>) -> Result<(), Violation> {
    let rule = CoverRule { trading_minutes: 600, low_minutes: 60 };
    let stock = match view.stock(BusinessDate::from_days(0), rule, None) {
        Ok(stock) => stock,
        Err(error) => return violated(Rule::Failed, format!("read the stock: {}", error.chain())),
    };
    let held = stock.into_iter().map(|(item, stock)| (item.to_string(), stock.on_hand.micro()));
    same(Rule::Stock, &format!("on hand at agent {agent}"), &held.collect(), &reference.all_on_hand(agent))?;
    match view.check_stock() {
        Ok(check) => must(check.differences_count == 0, Rule::Stock, || format!("agent {agent} finds {check:?}")),
        Err(error) => violated(Rule::Failed, format!("check the stock: {}", error.chain())),
    }
}

/// An agent's history: positions without gaps, hashes that follow from the bytes, and the agent's own verdict.
fn local_chain(reference: &Reference, agent: usize, books: &Connection, view: View<'_>) -> Result<(), Violation> {
    let sql = "SELECT hash, position, bytes FROM event ORDER BY position";
    let held = rows(books, sql, [], |row| Ok((key(row)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?)))?;
    for pair in held.windows(2) {
        let ((before, at, _), (hash, next, bytes)) = (&pair[0], &pair[1]);
        let follows = *next == at + 1 && before.then(bytes) == *hash;
        must(follows, Rule::Chain, || format!("agent {agent} has a break after position {at}"))?;
    }
    let poisoned = held.iter().any(|(key, ..)| reference.fact(key).is_some_and(|fact| fact.what == What::Poison));
    if poisoned {
        return Ok(());
    }
    let verified = view.verify();
    must(matches!(verified, Ok(Ok(_))), Rule::Chain, || format!("agent {agent} does not verify: {verified:?}"))
}

// ---- reading ----

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    row.get(0).map(ChainHash::from_bytes)
}

fn sums(row: &Row<'_>, from: usize) -> rusqlite::Result<Sums> {
    Ok(Sums {
        sales: row.get(from)?,
        lines: row.get(from + 1)?,
        quantity_micro: row.get(from + 2)?,
        gross_minor: row.get(from + 3)?,
        tax_minor: row.get(from + 4)?,
        refunds: row.get(from + 5)?,
        refund_gross_minor: row.get(from + 6)?,
        refund_tax_minor: row.get(from + 7)?,
    })
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Violation> {
    let read = || connection.prepare_cached(sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<T>>>();
    read().or_else(|error| violated(Rule::Failed, format!("read {sql}: {error}")))
}

/// Two maps are equal; otherwise the first differences are told.
fn same<K: Ord + Debug, V: PartialEq + Debug>(
    rule: Rule,
    what: &str,
    held: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) -> Result<(), Violation> {
    let only = |these: &BTreeMap<K, V>, those: &BTreeMap<K, V>| -> Vec<String> {
        let only = these.iter().filter(|(key, value)| those.get(key) != Some(value));
        only.take(3).map(|entry| format!("{entry:?}")).collect()
    };
    must(held == expected, rule, || {
        format!("{what}: held {:?}, expected {:?}", only(held, expected), only(expected, held))
    })
}
