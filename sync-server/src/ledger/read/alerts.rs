//! What needs a person, read from the rows that say so.
//!
//! Numbers are summed up here and not by the database, whose `sum()` fails when it leaves 64 bits: what one store reports
//! must not make the list of all stores unreadable. A sum that does not fit stays at the largest number.

use crate::ledger::LedgerError;
use crate::ledger::books::{Alert, AlertKind, StoreRow};
use crate::ledger::database::{Database, Row, cells};

/// A clock that is wrong by more than this, in milliseconds, puts sales on a wrong day or a coupon out of its time.
const CLOCK_AHEAD_MS_MAX: i64 = 120_000;

/// Alerts that have rows of their own, of all stores or of one.
pub(super) fn all<D: Database>(database: &D, store_no: Option<i64>) -> Result<Vec<(i64, Alert)>, LedgerError> {
    let mut alerts = Vec::new();
    for (query, alert) in QUERIES {
        let found = find(database, &in_dialect::<D>(query), store_no)?;
        alerts.extend(found.into_iter().map(|(store_no, found)| (store_no, alert(&found))));
    }
    Ok(alerts)
}

/// What the rows of one kind of alert say about one store.
#[derive(Debug, Default)]
struct Found {
    sum: i64,
    rows: i64,
}

/// The conditions that the homes say differently, put into a query of [`QUERIES`].
fn in_dialect<D: Database>(query: &str) -> String {
    let dialect = D::DIALECT;
    query
        .replace("{went_back}", dialect.went_back)
        .replace("{forked}", dialect.forked)
        .replace("{behind}", dialect.behind)
}

/// Runs a query of [`QUERIES`]; its rows are a store and a number each, the rows of a store together.
fn find<D: Database>(database: &D, query: &str, store_no: Option<i64>) -> Result<Vec<(i64, Found)>, LedgerError> {
    let mut stores: Vec<(i64, Found)> = Vec::new();
    database.query("read alerts", query, cells![store_no], &mut |row| {
        let (store_no, number) = (row.number(0)?, row.number(1)?);
        if stores.last().is_none_or(|(last, _)| *last != store_no) {
            stores.push((store_no, Found::default()));
        }
        let (_, found) = stores.last_mut().expect("one was pushed if there was none");
        found.sum = found.sum.saturating_add(number);
        found.rows += 1;
        Ok(())
    })?;
    Ok(stores)
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

type Describe = fn(&Found) -> Alert;

/// Event and receipt numbers are not negative, so that the difference of two fits wherever they do.
const QUERIES: [(&str, Describe); 13] = [
    (
        // The plus keeps SQLite from beginning with the epochs, which are many; the losses are few.
        "SELECT store_no, to_seq - from_seq + 1 FROM losses JOIN streams ON streams.stream_no = +losses.stream_no
        WHERE coalesce(store_no = ?1, true) ORDER BY store_no",
        |found| {
            let events = plural(found.sum, "event was", "events were");
            let text = format!("{events} gone at the store before they arrived: compare with the receipts there");
            Alert { kind: AlertKind::Losses, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, applied_seq - continued_at FROM streams
        WHERE {went_back} AND coalesce(store_no = ?1, true) ORDER BY store_no",
        |found| {
            let events = plural(found.sum, "event", "events");
            let times = if found.rows == 1 { String::new() } else { format!(" ({} times)", found.rows) };
            let text = format!(
                "the store's data went back{times}: it goes on from a state {events} older than what arrived, which is all kept"
            );
            Alert { kind: AlertKind::WentBack, count: found.sum, text }
        },
    ),
    (
        // An epoch that is over and whose events are in nobody's outbox will not bring them any more.
        "SELECT streams.store_no, reported_head - applied_seq FROM streams JOIN store_state USING (store_no)
        WHERE {behind} AND streams.epoch <> store_state.epoch AND outbox_events = 0
            AND coalesce(streams.store_no = ?1, true) ORDER BY streams.store_no",
        |found| {
            let events = plural(found.sum, "event was", "events were");
            let text = format!("{events} recorded at the store and never arrived");
            Alert { kind: AlertKind::WentBack, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, successors - 1 FROM streams WHERE {forked} AND coalesce(store_no = ?1, true)
        ORDER BY store_no",
        |found| {
            let text = format!(
                "the store's folder was put back or copied {}: two runs of the agent go on from one",
                plural(found.sum, "time", "times")
            );
            Alert { kind: AlertKind::Fork, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, forked_events FROM store_state WHERE forked_events > 0 AND coalesce(store_no = ?1, true)",
        |found| {
            let events = plural(found.sum, "event of another agent is", "events of another agent are");
            let text = format!("{events} parked: two agents sold as this store in one run");
            Alert { kind: AlertKind::Fork, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, count(*) FROM price_differences WHERE coalesce(store_no = ?1, true)
        GROUP BY store_no ORDER BY store_no",
        |found| {
            let sales = plural(found.sum, "sale does", "sales do");
            let text = format!("{sales} not cost what the price book says");
            Alert { kind: AlertKind::Prices, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, count(*) FROM refunded_sales WHERE is_over = 1 AND coalesce(store_no = ?1, true)
        GROUP BY store_no ORDER BY store_no",
        |found| {
            let text = format!("more came back than was sold of {}", plural(found.sum, "sale", "sales"));
            Alert { kind: AlertKind::OverRefunds, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, count(*) FROM reconciliation
        WHERE repaired_at_ms IS NULL AND coalesce(store_no = ?1, true) GROUP BY store_no ORDER BY store_no",
        |found| {
            let dates = plural(found.sum, "business date is", "business dates are");
            let text = format!("{dates} not in the ledger as the store holds them");
            Alert { kind: AlertKind::Reconciliation, count: found.sum, text }
        },
    ),
    (
        // A row for each till. Its gaps lie side by side, so that together they are no longer than its largest number.
        "SELECT store_no, CAST(sum(first_no - 1 - coalesce((SELECT max(before.last_no) FROM receipt_runs AS before
                WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                    AND before.first_no < runs.first_no), 0)) AS BIGINT)
        FROM receipt_runs AS runs WHERE first_no > 1 AND coalesce(store_no = ?1, true)
        GROUP BY store_no, till_id ORDER BY store_no, till_id",
        |found| {
            let receipts = plural(found.sum, "receipt is", "receipts are");
            let text = format!("{receipts} missing at {}", plural(found.rows, "till", "tills"));
            Alert { kind: AlertKind::ReceiptGaps, count: found.sum, text }
        },
    ),
    (
        // As with receipts.
        "SELECT store_no, CAST(sum(first_no - 1 - coalesce((SELECT max(before.last_no) FROM z_runs AS before
                WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                    AND before.first_no < runs.first_no), 0)) AS BIGINT)
        FROM z_runs AS runs WHERE first_no > 1 AND coalesce(store_no = ?1, true)
        GROUP BY store_no, till_id ORDER BY store_no, till_id",
        |found| {
            let reports = plural(found.sum, "Z report is", "Z reports are");
            let text = format!("{reports} missing at {}", plural(found.rows, "till", "tills"));
            Alert { kind: AlertKind::ZGaps, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, count(*) FROM duplicate_receipts WHERE coalesce(store_no = ?1, true)
        GROUP BY store_no ORDER BY store_no",
        |found| {
            let text = format!("{} given twice", plural(found.sum, "receipt number was", "receipt numbers were"));
            Alert { kind: AlertKind::DuplicateReceipts, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, count(*) FROM duplicate_z WHERE coalesce(store_no = ?1, true)
        GROUP BY store_no ORDER BY store_no",
        |found| {
            let text = format!("{} given twice", plural(found.sum, "Z number was", "Z numbers were"));
            Alert { kind: AlertKind::DuplicateZ, count: found.sum, text }
        },
    ),
    (
        "SELECT store_no, refunds_waiting FROM store_state WHERE refunds_waiting > 0 AND coalesce(store_no = ?1, true)",
        |found| {
            let sales = plural(found.sum, "sale was refunded that is", "sales were refunded that are");
            let text = format!("{sales} not in the ledger");
            Alert { kind: AlertKind::RefundsWithoutSale, count: found.sum, text }
        },
    ),
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
