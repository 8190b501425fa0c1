//! What an older program parked because it did not know its kind is applied by a newer one, once.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use protocol::latest::{StockMovement, decode_event};
use rusqlite::Connection;
use support::counter::*;
use support::*;
use sync_server::ledger::{
    AlertKind, Books, Ledger, ParkedFilter, ParkedProgress, SqliteLedger, SqliteSettings, TotalsFilter,
    apply_all_parked,
};

fn parked(ledger: &dyn Home) -> Vec<(i64, String)> {
    let events = ledger.parked(&ParkedFilter { limit: 1_000, ..ParkedFilter::default() }).expect("readable");
    events.into_iter().map(|event| (event.parked_no, event.reason)).collect()
}

fn unpark(ledger: &mut SqliteLedger) -> ParkedProgress {
    apply_all_parked(ledger, || NOW, |_| {}).expect("the database is well")
}

/// Everything that a ledger holds but for numbers of parked events, times and the trace of what was parked.
fn state(ledger: SqliteLedger) -> Vec<String> {
    let connection = ledger.into_connection();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('parked', 'parked_applied', 'batches', 'rollup_marks', 'sqlite_sequence', 'new_sale_ids', 'sale_ids')")
        .expect("a query");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("readable");
    let mut queries: Vec<_> = tables.map(|table| format!("SELECT * FROM {}", table.expect("readable"))).collect();
    queries.push("SELECT store_no, stream_no, seq, hash, reason, detail, event_no, bytes FROM parked".to_owned());
    queries.push("SELECT * FROM sqlite_sequence WHERE name <> 'rollup_marks'".to_owned());
    queries.push("SELECT first_event_no, stream_no, first_seq, events, frame FROM batches".to_owned());
    queries.push("SELECT * FROM new_sale_ids UNION ALL SELECT * FROM sale_ids".to_owned());
    let mut lines = Vec::new();
    for query in queries {
        let mut statement = connection.prepare(&query).expect("a query");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("readable");
        while let Some(row) = rows.next().expect("readable") {
            let cells = (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("a column")));
            lines.push(format!("{query}: {}", cells.collect::<Vec<_>>().join(" ")));
        }
    }
    lines.sort();
    lines
}

/// Two stores with everything in it: a replayed refund, one that takes back too much, and an event of the future.
fn stores() -> [History; 2] {
    let (mut a, mut b) = (History::open("a", 1, None), History::open("b", 2, None));
    for round in 0..2 {
        a.sell(&SaleSpec {
            id: 1 + round,
            receipt_no: 1 + 2 * u64::try_from(round).expect("small"),
            ..SaleSpec::default()
        });
        one_of_each().into_iter().for_each(|body| a.record(body));
    }
    a.record(refund(&RefundSpec { id: 7, receipt_no: 5, gross: 451, ..RefundSpec::default() }));
    a.push_bytes(of_kind_dance());
    a.record(stock_moved(77, StockMovement::Other));
    b.sell(&SaleSpec { id: 30, ..SaleSpec::default() });
    b.record(stock_moved(9, StockMovement::TransferredIn));
    [a, b]
}

fn of_kind_dance() -> Vec<u8> {
    let end = b"\xa2at\x82\xa6utc_ms\x01\xa8offset_s\x00\xa4kind\xa5dance\xa4body\x80";
    [b"\x84\xa2id\xc4\x10", &[7u8; 16][..], end].concat()
}

#[test]
fn the_newer_program_ends_where_one_would_that_knew_all_from_the_start() {
    let [a, b] = stores();
    let known = ["epoch_opened", "sale_completed", "shift_opened", "refund_completed"];
    for known in [SALES_ONLY, &known, &[]] {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        apply_batch(&mut ledger, as_known_by_older(a.batch(1, 5), known));
        apply_batch(&mut ledger, as_known_by_older(b.all(), known));
        apply_batch(&mut ledger, as_known_by_older(a.all(), known));
        books_balance(&ledger);
        assert!(parked(&ledger).iter().any(|(_, reason)| reason == "unknown_kind"));
        unpark(&mut ledger);
        books_balance(&ledger);
        let mut straight = SqliteLedger::in_memory().expect("opens");
        apply_batch(&mut straight, a.batch(1, 5));
        apply_batch(&mut straight, b.all());
        apply_batch(&mut straight, a.all());
        assert_eq!(state(ledger), state(straight));
    }
}

#[test]
fn what_cannot_be_applied_stays_with_the_newer_reason() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 1, None);
    a.record(refund(&RefundSpec { receipt_no: 1, ..RefundSpec::default() }));
    a.record(refund(&RefundSpec { receipt_no: 8, gross: 60, ..RefundSpec::default() }));
    let mut huge = refund(&RefundSpec { id: 2, gross: i64::MAX, ..RefundSpec::default() });
    huge.lines.clear();
    a.record(huge);
    a.push_bytes(of_kind_dance());
    a.record(audit_marked("line_voided"));
    apply_batch(&mut ledger, as_known_by_older(a.all(), SALES_ONLY));
    assert_eq!(unpark(&mut ledger), ParkedProgress { looked_at: 5, applied: 2 });
    let reasons = [(2, "refund_id_conflict".into()), (3, "does_not_fit".into()), (4, "unknown_kind".into())];
    assert_eq!(parked(&ledger), reasons);
    let answer = apply_hello(&mut ledger, a.hello(vec![a.report(1)]));
    assert_eq!(answer.receipts, [receipt_head("t1", 8)], "the number of a parked refund is on a receipt");
    assert_eq!(
        unpark(&mut ledger),
        ParkedProgress { looked_at: 1, applied: 0 },
        "only what is still unknown is tried again"
    );
    let store = ledger.store(&store_id("a")).expect("readable").expect("known");
    assert_eq!((store.applied_events, store.parked_events), (3, 3));
    // The numbers of parked events are not given again.
    a.push_bytes(b"not an event".to_vec());
    apply_batch(&mut ledger, a.all());
    assert_eq!(parked(&ledger)[3], (6, "malformed".into()));
    books_balance(&ledger);
}

#[test]
fn forks_and_finds_stay_beside_the_history() {
    let mut ledger = SqliteLedger::in_memory().expect("opens");
    let mut a = History::open("a", 1, None);
    let mut twin = a.clone();
    a.record(audit_marked("line_voided"));
    twin.record(refund(&RefundSpec::default()));
    apply_batch(&mut ledger, as_known_by_older(a.all(), SALES_ONLY));
    apply_batch(&mut ledger, as_known_by_older(twin.all(), SALES_ONLY));
    assert_eq!(unpark(&mut ledger), ParkedProgress { looked_at: 1, applied: 1 });
    assert_eq!(parked(&ledger), [(2, "fork".into())]);
    assert!(apply_batch(&mut ledger, twin.all()).forked, "and the fork is known as before");
    assert_eq!(parked(&ledger).len(), 1);
    books_balance(&ledger);
}

#[test]
fn a_program_that_ends_between_two_steps_goes_on_where_it_was() {
    let mut a = History::open("a", 1, None);
    for number in 0..1_300 {
        a.record(stock_moved(number, StockMovement::Received));
    }
    let fill = |ledger: &mut SqliteLedger| {
        for first in (1..a.events.len()).step_by(400) {
            let batch = a.batch(first, (first + 399).min(a.events.len()));
            apply_batch(ledger, as_known_by_older(batch, SALES_ONLY));
        }
    };
    let (mut ledger, mut straight) =
        (SqliteLedger::in_memory().expect("opens"), SqliteLedger::in_memory().expect("opens"));
    fill(&mut ledger);
    fill(&mut straight);
    let filter = ParkedFilter { reason: Some("unknown_kind".into()), ..ParkedFilter::default() };
    let step = ledger.replay(&filter, None, NOW + 1).expect("the database is well");
    assert_eq!((step.looked_at, step.applied), (500, 500));
    books_balance(&ledger);
    let mut ledger = SqliteLedger::from_connection(ledger.into_connection()).expect("opens");
    assert_eq!(unpark(&mut ledger), ParkedProgress { looked_at: 800, applied: 800 });
    assert_eq!(unpark(&mut straight), ParkedProgress { looked_at: 1_300, applied: 1_300 });
    assert_eq!(state(ledger), state(straight));
}

/// A ledger as the program left it whose schema ended with price books.
fn of_schema_2() -> Connection {
    let connection = Connection::open_in_memory().expect("opens");
    for sql in [
        include_str!("../src/ledger/sqlite/migrations/0001_ledger.sql"),
        "DELETE FROM registry",
        include_str!("../src/ledger/sqlite/migrations/0002_price_books.sql"),
        include_str!("data/ledger_schema_2.sql"),
    ] {
        connection.execute_batch(sql).expect("the older schema");
    }
    connection.pragma_update(None, "application_id", 0x4257_6c64).expect("writable");
    connection.pragma_update(None, "user_version", 2).expect("writable");
    connection
}

#[test]
fn a_ledger_of_the_older_schema_is_brought_up_to_date_with_all_that_it_holds() {
    let mut ledger = SqliteLedger::from_connection(of_schema_2()).expect("opens");
    books_balance(&ledger);
    let totals = ledger.totals(&TotalsFilter::default()).expect("readable");
    let before: Vec<_> = totals.iter().map(|day| (day.sales, day.gross_minor, day.refunds)).collect();
    assert_eq!(before, [(2, 1_000, 0), (1, 500, 0)]);
    assert_eq!(unpark(&mut ledger), ParkedProgress { looked_at: 15, applied: 13 });
    assert_eq!(
        parked(&ledger),
        [(13, "malformed".into()), (14, "unknown_kind".into()), (15, "refund_id_known".into())]
    );
    let totals = ledger.totals(&TotalsFilter::default()).expect("readable");
    let after: Vec<_> =
        totals.iter().map(|day| (day.sales, day.gross_minor, day.refunds, day.refund_gross_minor)).collect();
    assert_eq!(after, [(2, 1_000, 2, 510), (1, 500, 0, 0)]);
    let store = ledger.store(&store_id("a")).expect("readable").expect("known");
    let alerts: Vec<_> = store.alerts.iter().map(|alert| (alert.kind, alert.count)).collect();
    assert_eq!(alerts, [(AlertKind::OverRefunds, 1), (AlertKind::Parked, 3)], "and the receipts have no gap any more");
    books_balance(&ledger);
}

#[test]
fn a_migrated_schema_is_that_of_a_fresh_ledger() {
    let schema = |ledger: SqliteLedger| {
        let connection = ledger.into_connection();
        let mut statement =
            connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2").expect("a query");
        let rows = statement.query_map([], |row| <(String, String, String, Option<String>)>::try_from(row));
        rows.expect("readable").collect::<Result<Vec<_>, _>>().expect("readable")
    };
    let fresh = schema(SqliteLedger::in_memory().expect("opens"));
    assert!(fresh.len() > 80, "{}", fresh.len());
    assert_eq!(schema(SqliteLedger::from_connection(of_schema_2()).expect("opens")), fresh);
}

/// Longer than anything here takes on a busy machine; reached only by a failure.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_program_that_is_killed_at_any_time_applies_each_event_once() {
    const EVENTS: u128 = 9_000;
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = sync_server::config::ledger_path(folder.path());
    let mut a = History::open("a", 1, None);
    for number in 0..EVENTS {
        a.record(stock_moved(number, StockMovement::Received));
    }
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    for first in (1..=a.events.len()).step_by(500) {
        let batch = a.batch(first, (first + 499).min(a.events.len()));
        apply_batch(&mut ledger, as_known_by_older(batch, SALES_ONLY));
    }
    drop(ledger);
    let start = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_breakwater-server"));
        program.args(["parked", "apply", "--json", "--data-dir"]).arg(folder.path());
        program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts")
    };
    let waiting = || -> i64 {
        let connection = Connection::open(&path).expect("opens");
        connection.busy_timeout(DEADLINE).expect("set");
        connection.query_row("SELECT count(*) FROM parked", [], |row| row.get(0)).expect("readable")
    };
    let (mut left, mut cut_short) = (waiting(), 0);
    for _ in 0..5 {
        let mut program = start();
        let begun = Instant::now();
        while waiting() == left && program.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < DEADLINE, "nothing is applied");
        }
        program.kill().expect("a child");
        program.wait().expect("a child");
        let now = waiting();
        cut_short += usize::from(now > 0 && now < left);
        left = now;
    }
    assert!(cut_short > 0, "it was never killed in the middle");
    let done = start().wait_with_output().expect("a child");
    assert!(done.status.success());
    assert_eq!(waiting(), 0);
    let ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    books_balance(&ledger);
    let store = ledger.store(&store_id("a")).expect("readable").expect("known");
    assert_eq!((store.applied_events, store.parked_events), (i64::try_from(EVENTS).expect("few") + 1, 0));
    let connection = ledger.into_connection();
    let milk: i64 = connection
        .query_row("SELECT added_micro FROM v_stock_added WHERE item_id = 'milk'", [], |row| row.get(0))
        .expect("readable");
    assert_eq!(milk, i64::try_from(EVENTS).expect("few") * 10_000_000);
}

#[test]
fn the_fixture_holds_events_that_this_program_understands() {
    let connection = of_schema_2();
    let ledger = SqliteLedger::from_connection(connection).expect("opens");
    let events = ledger.parked(&ParkedFilter { limit: 100, ..ParkedFilter::default() }).expect("readable");
    assert_eq!(events.iter().filter(|event| decode_event(&event.bytes).is_ok()).count(), 14);
}
