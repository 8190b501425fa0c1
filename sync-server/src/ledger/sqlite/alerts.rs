//! What needs a person, read from the rows that say so.

use rusqlite::{Connection, Row};

use super::fault::During;
use crate::ledger::LedgerError;
use crate::ledger::books::{Alert, AlertKind, StoreRow};

/// A clock that is wrong by more than this, in milliseconds, puts sales on a wrong day or a coupon out of its time.
const CLOCK_AHEAD_MS_MAX: i64 = 120_000;

/// Alerts that have rows of their own, of all stores or of one.
pub(super) fn all(connection: &Connection, store_no: Option<i64>) -> Result<Vec<(i64, Alert)>, LedgerError> {
    let mut found = Vec::new();
    for (query, alert) in QUERIES {
        let doing = "read alerts";
        let mut statement = connection.prepare_cached(query).during(doing)?;
        let rows = statement.query_map([store_no], |row| Ok((row.get(0)?, alert(row)?)));
        for row in rows.during(doing)? {
            found.push(row.during(doing)?);
        }
    }
    Ok(found)
}

/// Alerts that follow from a store's own row.
pub(super) fn of_state(store: &StoreRow) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if store.parked_events > 0 {
        let text = format!("{} parked and not in the totals", plural(store.parked_events, "event is", "events are"));
        alerts.push(Alert { kind: AlertKind::Parked, count: store.parked_events, text });
    }
    if let Some(ahead_ms) = store.health.as_ref().map(|health| health.clock_ahead_ms)
        && ahead_ms.saturating_abs() > CLOCK_AHEAD_MS_MAX
    {
        let direction = if ahead_ms > 0 { "ahead" } else { "behind" };
        let text = format!("the store's clock is {} {direction}", duration(ahead_ms.saturating_abs() / 1000));
        alerts.push(Alert { kind: AlertKind::Clock, count: ahead_ms, text });
    }
    alerts
}

type Reader = fn(&Row<'_>) -> rusqlite::Result<Alert>;

const QUERIES: [(&str, Reader); 7] = [
    (
        "SELECT store_no, sum(to_seq - from_seq + 1) FROM losses JOIN streams USING (stream_no)
        WHERE ifnull(store_no = ?1, true) GROUP BY store_no",
        |row| {
            let count = row.get(1)?;
            let events = plural(count, "event was", "events were");
            let text = format!("{events} gone at the store before they arrived: compare with the receipts there");
            Ok(Alert { kind: AlertKind::Losses, count, text })
        },
    ),
    (
        "SELECT store_no, sum(applied_seq - continued_at), count(*) FROM streams
        WHERE applied_seq > continued_at AND ifnull(store_no = ?1, true) GROUP BY store_no",
        |row| {
            let (count, times): (i64, i64) = (row.get(1)?, row.get(2)?);
            let events = plural(count, "event", "events");
            let times = if times == 1 { String::new() } else { format!(" ({times} times)") };
            let text = format!(
                "the store's data went back{times}: it goes on from a state {events} older than what arrived, which is all kept"
            );
            Ok(Alert { kind: AlertKind::WentBack, count, text })
        },
    ),
    (
        // An epoch that is over and whose events are in nobody's outbox will not bring them any more.
        "SELECT streams.store_no, sum(reported_head - applied_seq) FROM streams JOIN store_state USING (store_no)
        WHERE reported_head > applied_seq AND streams.epoch <> store_state.epoch AND outbox_events = 0
            AND ifnull(streams.store_no = ?1, true) GROUP BY streams.store_no",
        |row| {
            let count = row.get(1)?;
            let events = plural(count, "event was", "events were");
            let text = format!("{events} recorded at the store and never arrived");
            Ok(Alert { kind: AlertKind::WentBack, count, text })
        },
    ),
    (
        "SELECT store_no, sum(successors - 1) FROM streams WHERE successors > 1 AND ifnull(store_no = ?1, true)
        GROUP BY store_no",
        |row| {
            let count = row.get(1)?;
            let text = format!(
                "the store's folder was put back or copied {}: two runs of the agent go on from one",
                plural(count, "time", "times")
            );
            Ok(Alert { kind: AlertKind::Fork, count, text })
        },
    ),
    (
        "SELECT store_no, forked_events FROM store_state WHERE forked_events > 0 AND ifnull(store_no = ?1, true)",
        |row| {
            let count = row.get(1)?;
            let events = plural(count, "event of another agent is", "events of another agent are");
            let text = format!("{events} parked: two agents sold as this store in one run");
            Ok(Alert { kind: AlertKind::Fork, count, text })
        },
    ),
    (
        "SELECT store_no, sum(first_no - 1 - ifnull((SELECT max(before.last_no) FROM receipt_runs AS before
                WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                    AND before.first_no < runs.first_no), 0)), count(DISTINCT till_id)
        FROM receipt_runs AS runs WHERE first_no > 1 AND ifnull(store_no = ?1, true) GROUP BY store_no",
        |row| {
            let (count, tills): (i64, i64) = (row.get(1)?, row.get(2)?);
            let receipts = plural(count, "receipt is", "receipts are");
            let text = format!("{receipts} missing at {}", plural(tills, "till", "tills"));
            Ok(Alert { kind: AlertKind::ReceiptGaps, count, text })
        },
    ),
    ("SELECT store_no, count(*) FROM duplicate_receipts WHERE ifnull(store_no = ?1, true) GROUP BY store_no", |row| {
        let count = row.get(1)?;
        let text = format!("{} given twice", plural(count, "receipt number was", "receipt numbers were"));
        Ok(Alert { kind: AlertKind::DuplicateReceipts, count, text })
    }),
];

fn plural(count: i64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn duration(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_for_people() {
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 days")] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!((plural(1, "event", "events"), plural(2, "event", "events")), ("1 event".into(), "2 events".into()));
    }
}
