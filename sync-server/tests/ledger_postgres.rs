//! What a ledger in PostgreSQL does when the database, or another server, does not do as it should.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pos_model::Seq;
use support::*;
use sync_server::ledger::{Books, Job, Ledger, LedgerError, PostgresLedger, PostgresReader, RollUps, TotalsFilter};
use test_postgres::{Durability, TestServer};

fn durable_server() -> TestServer {
    TestServer::start(Durability::Full).expect("PostgreSQL starts")
}

fn applied_sales(ledger: &PostgresLedger) -> i64 {
    ledger.stores().expect("readable").iter().map(|store| store.applied_sales).sum()
}

/// Stores with many sales, in batches.
fn stores(count: u64, sales: u64) -> Vec<History> {
    let open = |number: u64| {
        let mut store = History::open(&format!("s{number}"), number + 1, None);
        store.sell_many(1, sales);
        store
    };
    (0..count).map(open).collect()
}

/// Applies a group until the database takes it.
fn insist(ledger: &mut PostgresLedger, group: &[Job]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ledger.apply(group, NOW) {
            Ok(_) => return,
            Err(error) => {
                assert!(error.is_busy(), "{error}: {:?}", std::error::Error::source(&error));
                assert!(Instant::now() < deadline, "{error}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn a_host_that_takes_connections_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let url = format!("postgres://user:secret@127.0.0.1:{port}/ledger?connect_timeout=1&sslmode=disable");
    let error = PostgresLedger::open(&url.parse().expect("valid")).expect_err("nobody answers");
    let LedgerError::Away(text) = &error else { panic!("{error:?}") };
    assert!(text.starts_with("ledger at 127.0.0.1") && text.ends_with("does not answer within 2 s"), "{text}");
}

#[test]
fn a_restarted_database_is_found_again() {
    let server = durable_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let reader = PostgresReader::open(&url.parse().expect("valid")).expect("opens");
    let stores = stores(3, 40);
    for (round, end) in (0..4usize).zip([11, 21, 31, 41]) {
        let group: Vec<Job> =
            stores.iter().map(|store| store.batch(round * 10 + 2 - usize::from(round == 0), end)).collect();
        insist(&mut ledger, &group);
        if round % 2 == 0 {
            server.kill()
        } else {
            server.stop()
        }
        server.restart().expect("starts again");
    }
    assert_eq!(reader.stores().expect("it connects again").len(), 3);
    assert_eq!(applied_sales(&ledger), 120);
    books_balance(&ledger);
}

#[test]
fn a_database_that_is_away_is_said_to_be_and_nothing_is_lost() {
    let server = durable_server();
    let mut ledger = postgres(&server.database());
    let store = &stores(1, 20)[0];
    ledger.apply(&[store.batch(1, 10)], NOW).expect("applies");
    server.kill();
    let error = ledger.apply(&[store.batch(11, 21)], NOW).expect_err("nobody is there");
    assert!(error.is_busy(), "{error}");
    server.restart().expect("starts again");
    insist(&mut ledger, &[store.batch(11, 21)]);
    assert_eq!(applied_sales(&ledger), 20);
    books_balance(&ledger);
}

#[test]
fn connections_that_are_cut_in_the_middle_of_groups_lose_and_double_nothing() {
    let server = durable_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let stores = stores(4, 200);
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let stop = Arc::clone(&done);
        let (server, url) = (&server, &url);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                server.query(
                    url,
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE application_name = 'breakwater-server ingest' AND state <> 'idle'",
                );
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for start in (0..200).step_by(10) {
            let from = if start == 0 { 1 } else { start + 2 };
            let group: Vec<Job> = stores.iter().map(|store| store.batch(from, start + 11)).collect();
            insist(&mut ledger, &group);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(applied_sales(&ledger), 800);
    books_balance(&ledger);
}

#[test]
fn two_servers_on_the_same_stores_apply_each_event_once() {
    let server = database_server();
    let url = server.database();
    drop(postgres(&url));
    let stores = stores(6, 120);
    std::thread::scope(|scope| {
        for turn in 0..2 {
            let (url, stores) = (&url, &stores);
            scope.spawn(move || {
                let mut ledger = postgres(url);
                for start in (0..120).step_by(20) {
                    let from = if start == 0 { 1 } else { start + 2 };
                    let mut group: Vec<Job> = stores.iter().map(|store| store.batch(from, start + 21)).collect();
                    if turn == 1 {
                        group.reverse();
                    }
                    // What the other one has not taken yet begins beyond the cursor; it comes again.
                    insist(&mut ledger, &group);
                }
            });
        }
    });
    let mut ledger = postgres(&url);
    insist(&mut ledger, &stores.iter().map(History::all).collect::<Vec<_>>());
    assert_eq!(applied_sales(&ledger), 720);
    assert_eq!(
        ledger.totals(&TotalsFilter::default()).expect("readable").iter().map(|day| day.sales).sum::<i64>(),
        720
    );
    books_balance(&ledger);
}

#[test]
fn servers_that_start_together_make_one_schema() {
    let server = database_server();
    let url = server.database();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| postgres(&url));
        }
    });
    assert_eq!(server.query(&url, "SELECT count(*) FROM breakwater_schema"), ["1"]);
}

#[test]
fn a_database_put_back_is_noticed_and_takes_all_again() {
    let server = database_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let store = &stores(1, 30)[0];
    ledger.apply(&[store.batch(1, 11)], NOW).expect("applies");
    drop(ledger);
    let copy = server.copy_of(&url);
    let mut ledger = postgres(&url);
    ledger.apply(&[store.batch(12, 31)], NOW).expect("applies");
    assert!(!ledger.went_back());
    let name = |url: &str| url.rsplit('/').next().expect("a name").to_owned();
    let (lost, copied) = (name(&url), name(&copy));
    let other = server.database();
    server.query(&other, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{lost}'"));
    server.query(&other, &format!("ALTER DATABASE {lost} RENAME TO gone"));
    server.query(&other, &format!("ALTER DATABASE {copied} RENAME TO {lost}"));
    // The first message after it tells, whatever it is.
    insist(&mut ledger, &[store.heartbeat(0)]);
    assert!(ledger.went_back());
    assert!(!ledger.went_back(), "it is said once");
    assert_eq!(apply_hello(&mut ledger, store.hello(vec![store.report(1)])).cursors[0].applied, Seq::new(11));
    insist(&mut ledger, &[store.batch(12, 31)]);
    assert_eq!(applied_sales(&ledger), 30);
    books_balance(&ledger);
}

#[test]
fn schemas_that_are_not_ours_are_refused() {
    let server = database_server();
    let url = server.database();
    drop(postgres(&url));
    server.query(&url, "UPDATE breakwater_schema SET version = 99");
    let error = PostgresLedger::open(&url.parse().expect("valid")).expect_err("too new");
    assert!(matches!(error, LedgerError::NewerSchema { found: 99, .. }), "{error}");
    let url = server.database();
    let error = PostgresReader::open(&url.parse().expect("valid")).expect_err("nothing there");
    assert!(matches!(error, LedgerError::NoLedger), "{error}");
    server.query(&url, "CREATE TABLE sales (name text)");
    let error = PostgresLedger::open(&url.parse().expect("valid")).expect_err("something else");
    assert!(matches!(error, LedgerError::NotALedger(_)), "{error}");
}

#[test]
fn round_trips_do_not_grow_with_the_group() {
    let server = database_server();
    let mut ledger = postgres(&server.database());
    let stores = stores(40, 60);
    // The first groups prepare statements and make months.
    ledger.apply(&stores.iter().map(|store| store.batch(1, 2)).collect::<Vec<_>>(), NOW).expect("applies");
    ledger.apply(&stores.iter().map(|store| store.batch(3, 4)).collect::<Vec<_>>(), NOW).expect("applies");
    let mut trips = |jobs: Vec<Job>| {
        let before = ledger.round_trips();
        ledger.apply(&jobs, NOW).expect("applies");
        ledger.round_trips() - before
    };
    let small = trips(vec![stores[0].batch(5, 6)]);
    let large = trips(stores[1..].iter().map(|store| store.batch(5, 61)).collect());
    assert_eq!((small, large), (8, 8));
}

#[test]
fn months_are_made_in_time_and_dropped() {
    let server = database_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let mut a = History::open("a", 1, None);
    for (number, date) in (1..).zip(["2026-03-01", "2026-05-30", "2026-06-01", "9999-12-31"]) {
        a.sell(&SaleSpec { id: number.into(), receipt_no: number, date, ..SaleSpec::default() });
    }
    apply_batch(&mut ledger, a.all());
    let count = |table: &str| server.query(&url, &format!("SELECT count(*) FROM {table}"))[0].clone();
    // A month that nobody foresaw is made with the next group, which moves what came meanwhile.
    apply(&mut ledger, a.heartbeat(0));
    assert_eq!(
        (count("sales_2026_03"), count("sales_2026_05"), count("sales_2026_06")),
        ("1".into(), "1".into(), "1".into())
    );
    assert_eq!((count("sales_other"), count("batches_2026_05")), ("1".into(), "1".into()));
    books_balance(&ledger);
    while ledger.roll_up(1, NOW).expect("the database is well").more {}
    // A slip of a digit must not take what is being sold.
    let error = ledger.drop_months_before("2026-06", NOW).expect_err("May is not over");
    assert!(matches!(error, LedgerError::NotOver { .. }), "{error:?}");
    assert_eq!(count("sales"), "4");
    let dropped = ledger.drop_months_before("2026-05", NOW).expect("nobody holds them");
    assert!(dropped.iter().any(|one| one.table == "sales_2026_03"), "{dropped:?}");
    assert_eq!((count("sales"), count("fact_ids"), count("batches")), ("3".into(), "3".into(), "1".into()));
    let months: Vec<_> = ledger.months().expect("readable").into_iter().map(|one| one.month).collect();
    assert_eq!(months, ["2026-05", "2026-06", "other"]);
}

#[test]
fn columns_for_analysts() {
    let server = database_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let mut a = History::open("a", 255, None);
    a.sell(&SaleSpec { id: 0xabc, lines: 2, ..SaleSpec::default() });
    apply_batch(&mut ledger, a.all());
    let text = |query: &str| server.query(&url, query).join("; ");
    assert_eq!(
        text(
            "SELECT store_id, business_date, sold_at_local, epoch, seq, tenders -> 0 ->> 1 FROM v_sales
            WHERE sale_id = '00000000-0000-0000-0000-000000000abc'"
        ),
        "a 2026-03-01 2026-05-29 04:26:39 00000000000000ff 2 500"
    );
    assert_eq!(
        text("SELECT position, sku, gross_minor, adjustment_minor, options ->> 0 FROM v_sale_lines ORDER BY position"),
        "1 tea-0 250 -50 size \"L\"; 2 tea-1 250 -50 size \"L\""
    );
    assert_eq!(text("SELECT store_id, item_id, used_micro FROM v_stock_used WHERE item_id = 'milk'"), "a milk 500000");
    assert_eq!(text("SELECT store_id, gross_minor FROM v_day_totals"), "a 500");
}
