//! The roll-ups are the sums of the applied events, whatever happens on the way.

mod support;

use std::time::{Duration, Instant};

use pos_model::{BusinessDate, Money};
use proptest::collection::vec;
use proptest::prelude::*;
use support::counter::*;
use support::rollups::*;
use support::*;
use sync_server::ledger::{
    DateRange, Ledger, LedgerError, PostgresReader, RollUpFilter, RollUpState, RollUps, SqliteLedger, SqliteReader,
    SqliteSettings, apply_all_parked,
};

/// A store with a day of trade: sales over the hours, promotions, refunds on another date.
fn busy(store: &str, number: u64, sales: u64) -> History {
    let mut history = History::open(store, number + 1, None);
    for sale in 1..=sales {
        let id = u128::from(number + 1) << 64 | u128::from(sale);
        let date = if sale % 3 == 0 { "2026-03-02" } else { "2026-03-01" };
        let lines = 1 + usize::try_from(sale % 3).expect("small");
        let spec = SaleSpec { id, receipt_no: sale * 2, gross: 300, date, lines, ..SaleSpec::default() };
        let promotions = [(0, "happy-hour", -40), (1, "bundle, \"2 for 3\"", -60), (2, "happy-hour", -5)];
        let hour = i64::try_from(sale % 24).expect("small");
        let promotions = &promotions[..usize::try_from(sale % 4).expect("small").min(3)];
        push_sale(&mut history, id, sale_at(&spec, hour, promotions));
        if sale % 5 == 0 {
            let spec = RefundSpec {
                id: id | 1 << 40,
                sale: id,
                receipt_no: sale * 2 + 1,
                date: "2026-03-03",
                ..RefundSpec::default()
            };
            history.record(refund(&spec));
        }
    }
    history
}

#[test]
fn sums_by_hour_item_and_promotion() {
    each_home(|ledger| {
        let stores = [busy("a", 0, 30), busy("b", 1, 17)];
        for store in &stores {
            apply_batch(ledger, store.batch(1, 9));
            roll_up(ledger);
            apply_batch(ledger, store.all());
        }
        roll_up(ledger);
        assert_eq!(held(ledger), naive(&stores));
        assert!(held(ledger).keys().any(|key| key.contains("2 for 3")), "promotions are there");
        right(ledger);
        let state = ledger.roll_up_state().expect("readable");
        assert_eq!((state.oldest_ms, state.days_waiting, state.facts_from), (None, 0, None));
    });
}

#[test]
fn sums_over_stores() {
    each_home(|ledger| {
        let stores = [busy("a", 0, 12), busy("b", 1, 12)];
        for store in &stores {
            apply_batch(ledger, store.all());
        }
        roll_up(ledger);
        let of_stores = ledger.hours(&RollUpFilter::default()).expect("readable");
        let over_stores = ledger.hours(&RollUpFilter { over_stores: true, ..RollUpFilter::default() });
        let over_stores = over_stores.expect("readable");
        assert_eq!(over_stores.len() * 2, of_stores.len());
        assert!(over_stores.iter().all(|row| row.store.is_none()));
        let gross = |rows: &[sync_server::ledger::HourRow]| rows.iter().map(|row| row.gross_minor).sum::<i64>();
        assert_eq!(gross(&over_stores), gross(&of_stores));
        assert_eq!(gross(&of_stores), 24 * 300);
    });
}

#[test]
fn what_is_applied_late_is_summed_up_anew() {
    each_home(|ledger| {
        let a = busy("a", 0, 30);
        apply_batch(ledger, as_known_by_older(a.batch(1, 20), SALES_ONLY));
        roll_up(ledger);
        let before = held(ledger);
        assert!(before.iter().all(|(key, row)| !key.starts_with("hour") || row[6] == 0), "no refund is known");
        apply_batch(ledger, as_known_by_older(a.all(), SALES_ONLY));
        // Some of them behind the watermark, some before it.
        apply_all_parked(ledger, || NOW, |_| {}).expect("the database is well");
        assert!(ledger.roll_up_state().expect("readable").days_waiting > 0);
        roll_up(ledger);
        assert_eq!(held(ledger), naive([&a]));
        right(ledger);
    });
}

#[test]
fn a_rebuild_ends_where_the_sums_were_and_mends_what_was_not() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    let stores = [busy("a", 0, 30), busy("b", 1, 30), busy("c", 2, 9)];
    for store in &stores {
        apply_batch(&mut ledger, store.all());
    }
    roll_up(&ledger);
    let damage = rusqlite::Connection::open(&path).expect("opens");
    let spoil = "UPDATE rollup_items SET gross_minor = gross_minor + 1 WHERE sku = 'tea-1';
        DELETE FROM rollup_promotions WHERE store_no = 1;
        INSERT INTO rollup_hours SELECT store_no, business_date + 100, hour, currency, 1, 1, 1, 1, 1, 1, 1, 1, 1
            FROM rollup_hours LIMIT 1";
    damage.execute_batch(spoil).expect("writable");
    let report = ledger.check_roll_ups(DateRange::default(), &mut |_| {}).expect("readable");
    assert!(report.differences_total > 10, "{report:?}");
    // A date that is not asked for stays as it is.
    let date = |text: &str| Some(text.parse::<BusinessDate>().expect("a date"));
    let first = DateRange { from: date("2026-03-01"), to: date("2026-03-01") };
    assert_eq!(ledger.mark_roll_ups(first).expect("writable"), 3);
    roll_up(&ledger);
    assert_eq!(ledger.check_roll_ups(first, &mut |_| {}).expect("readable").differences, []);
    assert_ne!(held(&ledger), naive(&stores));
    assert_eq!(ledger.mark_roll_ups(DateRange::default()).expect("writable"), 10);
    // Fresh sales come meanwhile.
    let mut later = stores[0].clone();
    later.sell_many(500, 3);
    apply_batch(&mut ledger, later.all());
    roll_up(&ledger);
    assert_eq!(held(&ledger), naive([&later, &stores[1], &stores[2]]));
    right(&ledger);
}

#[test]
fn a_step_that_fails_in_the_middle_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    let a = busy("a", 0, 40);
    apply_batch(&mut ledger, a.batch(1, 20));
    roll_up(&ledger);
    let before = (held(&ledger), ledger.roll_up_state().expect("readable"));
    apply_batch(&mut ledger, a.all());
    let other = rusqlite::Connection::open(&path).expect("opens");
    // Of the three tables it is the last one that fails, with an error that is none of content.
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON rollup_promotions BEGIN SELECT json('no json'); END";
    other.execute_batch(fail).expect("writable");
    for _ in 0..3 {
        ledger.roll_up(1, NOW).expect_err("the last table fails");
        let through = ledger.roll_up_state().expect("readable").through;
        assert_eq!((held(&ledger), through), (before.0.clone(), before.1.through));
    }
    other.execute_batch("DROP TRIGGER fail").expect("writable");
    roll_up(&ledger);
    assert_eq!(held(&ledger), naive([&a]));
}

#[test]
fn sums_beyond_64_bits_hold_nothing_up() {
    each_home(|ledger| {
        let mut a = History::open("a", 1, None);
        for number in 1..=3 {
            let spec = SaleSpec { id: u128::from(number), receipt_no: number, ..SaleSpec::default() };
            let mut sale = sale(&spec);
            // What the sale comes to is small; its line is not.
            sale.lines[0].gross_minor = Money::from_minor(i64::MAX);
            push_sale(&mut a, u128::from(number), sale);
            apply_batch(ledger, a.all());
            roll_up(ledger);
        }
        let rows = held(ledger);
        let item = rows.iter().find(|(key, _)| key.starts_with("item")).expect("an item").1;
        assert_eq!((item[0], item[2]), (3, i64::MAX));
        assert_eq!(ledger.roll_up_state().expect("readable").oldest_ms, None);
    });
}

#[test]
fn of_several_workers_one_works_and_another_follows() {
    each_home(|ledger| {
        let a = busy("a", 0, 20);
        apply_batch(ledger, a.batch(1, 10));
        let step = |ledger: &dyn Home, worker, now_ms| ledger.roll_up(worker, now_ms).expect("well").is_elsewhere;
        assert!(!step(ledger, 1, NOW));
        assert!(step(ledger, 2, NOW + 1_000), "another one works");
        assert!(!step(ledger, 1, NOW + 10_000));
        assert!(step(ledger, 2, NOW + 20_000), "it went on saying so");
        assert!(!step(ledger, 2, NOW + 40_000), "it says nothing any more");
        assert!(step(ledger, 1, NOW + 40_000));
        ledger.leave_roll_ups(2).expect("well");
        assert!(!step(ledger, 1, NOW + 40_000), "it was left");
        // A clock that is years ahead keeps nobody out.
        assert!(!step(ledger, 1, NOW * 2));
        assert!(!step(ledger, 2, NOW + 41_000));
        roll_up(ledger);
        apply_batch(ledger, a.all());
        ledger.leave_roll_ups(2).expect("well");
        roll_up(ledger);
        assert_eq!(held(ledger), naive([&a]));
    });
}

fn worker(url: &str) -> PostgresReader {
    PostgresReader::open_roll_ups(&url.parse().expect("valid")).expect("opens")
}

/// Rolls up, whatever is cut or done by others meanwhile.
fn insist(books: &PostgresReader, number: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match books.roll_up(number, NOW) {
            Ok(step) if !step.more && !step.is_elsewhere => return,
            Ok(_) => {}
            Err(error) => assert!(error.is_busy(), "{error}: {:?}", std::error::Error::source(&error)),
        }
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn the_watermark_waits_for_a_group_with_lower_numbers() {
    let server = database_server();
    let url = server.database();
    let (mut first, mut second) = (postgres(&url), postgres(&url));
    let (a, b) = (busy("a", 0, 12), busy("b", 1, 12));
    first.apply(&[a.batch(1, 3)], NOW).expect("applies");
    let books = worker(&url);
    insist(&books, 1);
    let state = |books: &PostgresReader| -> RollUpState { books.roll_up_state().expect("readable") };
    let before = state(&books);
    // The first writer takes its numbers, and then waits at a row that somebody holds.
    server.query(&url, "CREATE TABLE gate (open integer)");
    let hold = "DO $$ BEGIN
            PERFORM 1 FROM day_totals FOR UPDATE;
            INSERT INTO stores (store_id, name, status, added_at_ms) VALUES ('held', '', 'active', 0);
            LOOP EXIT WHEN EXISTS (SELECT 1 FROM gate); PERFORM pg_sleep(0.01); END LOOP;
        END $$";
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'breakwater-server ingest'
        AND wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        scope.spawn(|| server.query(&url, hold));
        wait_until(|| {
            server.query(&url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'")[0]
                == "1"
                && server.query(
                    &url,
                    "SELECT count(*) FROM pg_locks JOIN pg_class ON relation = pg_class.oid
                    WHERE relname = 'stores' AND mode = 'RowExclusiveLock'",
                )[0] != "0"
        });
        let writing = scope.spawn(|| first.apply(&[a.all()], NOW).map(drop));
        wait_until(|| server.query(&url, waiting)[0] == "1");
        // The second writer takes higher numbers, and is done.
        second.apply(&[b.all()], NOW).expect("applies");
        insist(&books, 1);
        assert_eq!(state(&books).through, before.through, "the watermark stands before what is in flight");
        assert!(state(&books).oldest_ms.is_some());
        assert!(!held(&books).keys().any(|key| key.contains(" b ")));
        server.query(&url, "INSERT INTO gate VALUES (1)");
        writing.join().expect("no panic").expect("applies");
    });
    insist(&books, 1);
    assert_eq!(held(&books), naive([&a, &b]));
    assert_eq!(state(&books).oldest_ms, None);
}

/// Waits for a condition that must come true.
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn writers_and_workers_that_are_cut_all_the_time_end_in_the_right_sums() {
    let server = database_server();
    let url = server.database();
    // All connect before the cutting begins.
    let ledgers = [postgres(&url), postgres(&url)];
    let workers = [(1, worker(&url)), (2, worker(&url))];
    let stores: Vec<History> = (0..6).map(|number| busy(&format!("s{number}"), number, 60)).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        let (url, server, is_done) = (&url, &server, &is_done);
        scope.spawn(move || {
            while !is_done() {
                server.query(
                    url,
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state <> 'idle'
                        AND application_name IN ('breakwater-server ingest', 'breakwater-server roll-ups')",
                );
                std::thread::sleep(Duration::from_millis(15));
            }
        });
        for (number, books) in workers {
            scope.spawn(move || {
                while !is_done() {
                    // Each takes the work from the other whenever it can.
                    let _ = books.leave_roll_ups(3 - number);
                    match books.roll_up(number, NOW) {
                        Ok(_) => {}
                        Err(error) => assert!(error.is_busy(), "{error}: {:?}", std::error::Error::source(&error)),
                    }
                }
            });
        }
        let writers: Vec<_> = stores
            .chunks(3)
            .zip(ledgers)
            .map(|(stores, mut ledger)| {
                scope.spawn(move || {
                    for end in (5..=72).step_by(5) {
                        let group: Vec<_> = stores
                            .iter()
                            .map(|store| {
                                let job = store.batch(end - 4, end.min(store.events.len()));
                                // Some come to an older program, and are applied later.
                                if end % 2 == 0 { as_known_by_older(job, SALES_ONLY) } else { job }
                            })
                            .collect();
                        let deadline = Instant::now() + Duration::from_secs(60);
                        while let Err(error) = ledger.apply(&group, NOW) {
                            assert!(error.is_busy() && Instant::now() < deadline, "{error}");
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut ledger = postgres(&url);
    for store in &stores {
        apply_batch(&mut ledger, store.all());
    }
    apply_all_parked(&mut ledger, || NOW, |_| {}).expect("the database is well");
    let books = worker(&url);
    books.leave_roll_ups(1).expect("well");
    books.leave_roll_ups(2).expect("well");
    insist(&books, 3);
    assert_eq!(held(&books), naive(&stores));
    right(&books);
}

#[test]
fn months_are_dropped_when_they_are_summed_up_and_the_sums_stay() {
    let server = database_server();
    let url = server.database();
    let mut ledger = postgres(&url);
    let a = busy("a", 0, 20);
    let mut b = History::open("b", 9, None);
    b.sell(&SaleSpec { id: 77, date: "2026-05-28", ..SaleSpec::default() });
    apply_batch(&mut ledger, a.all());
    apply_batch(&mut ledger, b.all());
    let error = ledger.drop_months_before("2026-05", NOW).expect_err("it is not in the roll-ups");
    assert!(matches!(error, LedgerError::NotRolledUp { .. }), "{error}");
    roll_up(&ledger);
    // Rows of a month that nobody foresaw move into it with the next group.
    apply(&mut ledger, a.heartbeat(0));
    let before = held(&ledger);
    assert_eq!(before, naive([&a, &b]));
    let (first, dropped) = ledger.keep_months(0, NOW).expect("nobody holds them");
    assert_eq!(first, "2026-05");
    assert!(dropped.iter().any(|one| one.table == "sales_2026_03"), "{dropped:?}");
    assert_eq!(server.query(&url, "SELECT count(*) FROM sales"), ["1"]);
    assert_eq!(held(&ledger), before);
    // What cannot be summed up anew is left as it is.
    assert_eq!(ledger.mark_roll_ups(DateRange::default()).expect("writable"), 1);
    server.query(&url, "INSERT INTO rollup_marks (store_no, business_date, event_no) VALUES (1, '2026-03-01', 0)");
    // Dates that lie far apart are two steps.
    let steps = [ledger.roll_up(1, NOW).expect("well"), ledger.roll_up(1, NOW).expect("well")];
    assert_eq!(steps.map(|step| (step.days, step.days_left)), [(0, 1), (1, 0)]);
    assert_eq!(held(&ledger), before);
    right(&ledger);
}

#[test]
fn a_reader_of_the_file_sees_them() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    let a = busy("a", 0, 10);
    apply_batch(&mut ledger, a.all());
    roll_up(&SqliteReader::open_registry(&path).expect("opens"));
    assert_eq!(held(&SqliteReader::open(&path).expect("opens")), naive([&a]));
}

/// What happens, one after the other.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A store sends up to so many of its next events; `true`: to a program that knows only sales.
    Send(u8, usize, bool),
    /// A worker does a step.
    Step(i64),
    /// A newer program starts.
    Unpark,
    /// All is summed up anew.
    Rebuild,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (any::<u8>(), 1..9usize, any::<bool>()).prop_map(|(store, count, old)| Happening::Send(store, count, old)),
        4 => (1..3i64).prop_map(Happening::Step),
        1 => Just(Happening::Unpark),
        1 => Just(Happening::Rebuild),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_sums_are_those_of_the_events(happenings in vec(happening(), 0..40)) {
        let mut ledger = SqliteLedger::in_memory().expect("opens");
        let stores = [busy("a", 0, 25), busy("b", 1, 25), busy("c", 2, 25)];
        let mut sent = [0; 3];
        for (happening, time) in happenings.into_iter().zip(0..) {
            match happening {
                Happening::Send(store, count, old) => {
                    let store = usize::from(store) % stores.len();
                    let end = (sent[store] + count).min(stores[store].events.len());
                    if end > sent[store] {
                        let job = stores[store].batch(sent[store] + 1, end);
                        let job = if old { as_known_by_older(job, SALES_ONLY) } else { job };
                        apply_batch(&mut ledger, job);
                        sent[store] = end;
                    }
                }
                Happening::Step(worker) => drop(ledger.roll_up(worker, NOW + time * 6_000).expect("well")),
                Happening::Unpark => drop(apply_all_parked(&mut ledger, || NOW, |_| {}).expect("well")),
                Happening::Rebuild => drop(ledger.mark_roll_ups(DateRange::default()).expect("well")),
            }
        }
        for store in &stores {
            apply_batch(&mut ledger, store.all());
        }
        apply_all_parked(&mut ledger, || NOW, |_| {}).expect("well");
        while ledger.roll_up(9, NOW + 1_000_000).expect("well").more {}
        let incremental = held(&ledger);
        prop_assert_eq!(&incremental, &naive(&stores));
        ledger.mark_roll_ups(DateRange::default()).expect("well");
        while ledger.roll_up(9, NOW + 1_000_000).expect("well").more {}
        prop_assert_eq!(&held(&ledger), &incremental);
        right(&ledger);
    }
}

/// The queries of a document: those for both homes, and those for PostgreSQL.
fn queries_of(document: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut both, mut postgres) = (Vec::new(), Vec::new());
    for block in document.split("```sql").skip(1) {
        let (first, rest) = block.split_once('\n').expect("a block has lines");
        let query = rest.split_once("```").expect("a block ends").0;
        if first.trim() == "postgres" { postgres.push(query) } else { both.push(query) }
    }
    (both, postgres)
}

#[test]
fn the_queries_for_analysts_run_and_say_the_same_in_both_homes() {
    let (both, of_postgres) = queries_of(include_str!("../docs/analysts.md"));
    assert!(both.len() >= 7 && of_postgres.len() >= 2);
    let stores = [busy("a", 0, 30), busy("b", 1, 17)];
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut file = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    let server = database_server();
    let url = server.database();
    let mut database = postgres(&url);
    for store in &stores {
        apply_batch(&mut file, store.all());
        apply_batch(&mut database, store.all());
    }
    roll_up(&file);
    roll_up(&database);
    let file = rusqlite::Connection::open(&path).expect("opens");
    for query in both {
        let mut statement = file.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let text = |column| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    other => other.as_str().expect("text").to_owned(),
                })
            };
            Ok((0..columns).map(text).collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
        });
        let rows: Vec<String> = rows.expect("runs").map(|row| row.expect("readable")).collect();
        // The division of a sum is exact in PostgreSQL, and whole in SQLite.
        let in_database: Vec<String> = server.query(&url, query).iter().map(|row| whole_numbers(row)).collect();
        assert!(!rows.is_empty(), "{query} finds nothing");
        assert_eq!(sorted(rows), sorted(in_database), "{query}");
    }
    for query in of_postgres {
        assert!(!server.query(&url, query).is_empty(), "{query} finds nothing");
    }
}

fn whole_numbers(row: &str) -> String {
    let word = |word: &str| match word.split_once('.') {
        Some((whole, rest)) if rest.len() > 3 && whole.parse::<i64>().is_ok() => whole.to_owned(),
        _ => word.to_owned(),
    };
    row.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

#[test]
fn numbers_that_are_given_again_are_noticed() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    let mut ledger = SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens");
    let (a, b) = (busy("a", 0, 8), busy("b", 1, 20));
    apply_batch(&mut ledger, a.all());
    apply_batch(&mut ledger, b.all());
    roll_up(&ledger);
    // Somebody takes all of store b away by hand.
    let other = rusqlite::Connection::open(&path).expect("opens");
    let by_hand = "DELETE FROM sale_lines WHERE line_no / 1024 IN (SELECT event_no FROM sales WHERE store_no = 2);
        DELETE FROM sales WHERE store_no = 2;
        DELETE FROM refund_lines WHERE line_no / 1024 IN (SELECT event_no FROM refunds WHERE store_no = 2);
        DELETE FROM refunds WHERE store_no = 2; DELETE FROM day_totals WHERE store_no = 2;
        DELETE FROM events WHERE event_no >= (SELECT max(first_event_no) FROM batches);
        DELETE FROM batches WHERE first_event_no = (SELECT max(first_event_no) FROM batches);
        DELETE FROM streams WHERE store_no = 2";
    other.execute_batch(by_hand).expect("writable");
    let c = busy("c", 2, 12);
    roll_up(&ledger);
    assert_eq!(held(&ledger), naive([&a]));
    apply_batch(&mut ledger, c.all());
    roll_up(&ledger);
    assert_eq!(held(&ledger), naive([&a, &c]));
    right(&ledger);
}
