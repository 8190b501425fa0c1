//! Tests of the writer: groups, bounds, the end.

use super::*;
use crate::changes::{Changes, Heard};
use crate::clock::SystemClock;
use crate::db::testing::{RULES, command, digest, draft, open_epoch, sale_id, store};
use crate::readers::Readers;
use jiff::tz::TimeZone;
use pos_model::{BusinessDate, CommandId};
use protocol::latest::local_api::QuantityJson;
use protocol::latest::sold_out::{SetSoldOut, SoldOutKind, SoldOutState, SoldOutUntil};
use std::sync::Arc;
use std::time::Duration;
use till::sold_out::{Part, PartKind};

fn start(mut store: Store) -> (Writer, WriterThread) {
    let head = open_epoch(&mut store, 1);
    let clock = StoreClock::new(Arc::new(SystemClock), TimeZone::UTC);
    Writer::start(store, head, clock, Changes::new(head.place.epoch)).expect("starts")
}

async fn finish(writer: Writer, thread: WriterThread) {
    writer.close().await;
    tokio::task::spawn_blocking(|| thread.join()).await.expect("joins");
}

/// Holds the thread until the returned sender is dropped, so that commands gather behind it.
async fn hold(writer: &Writer) -> std::sync::mpsc::SyncSender<()> {
    let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
    let (began, begun) = oneshot::channel();
    let work = Box::new(move |_: &mut Store| {
        let _ = began.send(());
        let _ = held.recv();
    });
    assert!(writer.commands.send(Command::Alone(work)).await.is_ok());
    begun.await.expect("the thread runs");
    release
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_tills_and_a_double_tap() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books.sqlite3");
    let (writer, thread) = start(Store::open(&path, RULES).expect("opens"));
    // Eight tills sell forty sales each, and each tap arrives twice.
    let mut tills = tokio::task::JoinSet::new();
    for till in 0..8u64 {
        for number in 0..40 {
            for _ in 0..2 {
                let writer = writer.clone();
                tills.spawn(async move {
                    let mut command = command(till * 1000 + number);
                    command.till_id = format!("T{till}").parse().expect("valid");
                    writer.record_sale(draft(command), digest(1)).await.expect("records")
                });
            }
        }
    }
    let mut new = Vec::new();
    let mut replayed = 0;
    while let Some(recorded) = tills.join_next().await {
        match recorded.expect("no panic") {
            Recorded::New(receipt) => new.push((receipt.till_id.to_string(), receipt.receipt_no)),
            Recorded::Replayed(_) => replayed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new.len(), replayed), (320, 320));
    new.sort();
    let expected = (0..8).flat_map(|till| (1..=40).map(move |number| (format!("T{till}"), number)));
    assert_eq!(new, expected.collect::<Vec<_>>(), "numbers without gaps and without doubles");
    assert_eq!(writer.head().borrow().place.seq.get(), 321);

    let verified = Readers::new(&path).read(|view| view.verify()).await.expect("reads");
    assert_eq!(verified.expect("sound").sales, 320);
    finish(writer, thread).await;
    assert!(!folder.path().join("books.sqlite3-wal").exists(), "the log went into the file");
}

/// Many tills race for what is left: exactly that much is sold, and who comes too late has paid nothing and has no number.
#[tokio::test(flavor = "multi_thread")]
async fn t31_a_countdown_raced_by_many_tills_sells_what_there_is() {
    const THERE: u64 = 60;
    let (writer, thread) = start(store());
    let said = SetSoldOut {
        command_id: key(1).id,
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        what: SoldOutKind::Sku,
        code: "milk-tea".to_owned(),
        state: SoldOutState::Countdown,
        remaining: Some(QuantityJson::Whole(i64::try_from(2 * THERE + 1).expect("small"))),
        until: SoldOutUntil::NextDay,
        version: None,
    };
    let key = CommandKey { id: said.command_id, digest: digest(1) };
    let set = writer.once(key, move |store, moment| store.set_sold_out(moment, &said, true)).await.expect("works");
    assert!(matches!(set, Once::New(_)));
    let mut tills = tokio::task::JoinSet::new();
    for till in 0..8u64 {
        for number in 0..20 {
            let writer = writer.clone();
            tills.spawn(async move {
                // Two milk teas each.
                let mut command = command(till * 1000 + number);
                command.till_id = format!("T{till}").parse().expect("valid");
                writer.record_sale(draft(command), digest(1)).await.expect("works")
            });
        }
    }
    let (mut sold, mut refused) = (0, 0);
    while let Some(recorded) = tills.join_next().await {
        match recorded.expect("no panic") {
            Recorded::New(_) => sold += 1,
            Recorded::Refused(refusal) => {
                assert_eq!(refusal.message_key(), "sold_out.sku");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((sold, refused), (THERE, 160 - THERE));
    let part = Part::new(PartKind::Sku, "milk-tea").expect("valid");
    let today = BusinessDate::of(writer.clock().now(), RULES.cut_off);
    let left = writer.sold_out().entry(&part, today).expect("is counted down").left;
    assert_eq!(left.whole_units(), Some(1), "one is left, of which nobody wants one alone");
    finish(writer, thread).await;
}

#[tokio::test]
async fn one_that_fails_does_not_touch_the_others_of_its_group() {
    let (writer, thread) = start(store());
    let release = hold(&writer).await;
    let sell = |number| {
        let writer = writer.clone();
        async move { writer.record_sale(draft(command(number)), digest(1)).await }
    };
    let before = *writer.commits().borrow();
    let (first, failed, second, ()) = tokio::join!(
        sell(1),
        writer.run(Durability::Hint, |store| {
            store.raise_receipts(&[])?;
            Err::<(), _>(db::Error::Damaged("on purpose".to_owned()))
        }),
        sell(2),
        async {
            tokio::task::yield_now().await;
            drop(release);
        }
    );
    assert!(matches!(first, Ok(Recorded::New(_))) && matches!(second, Ok(Recorded::New(_))));
    assert!(matches!(failed, Err(WriteError::Failed { .. })));
    assert_eq!(*writer.commits().borrow(), before + 1, "all three shared one commit");
    finish(writer, thread).await;
}

#[tokio::test]
async fn when_too_many_wait_a_sale_is_told_so_at_once() {
    let (writer, thread) = start(store());
    let release = hold(&writer).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..WAITING_COMMANDS_MAX {
        let writer = writer.clone();
        waiting.spawn(async move { writer.note_running(0).await });
    }
    while writer.commands.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let refused = writer.record_sale(draft(command(1)), digest(1)).await;
    assert_eq!(refused, Err(WriteError::Busy));
    drop(release);
    while let Some(done) = waiting.join_next().await {
        done.expect("no panic").expect("carried out");
    }
    assert!(matches!(writer.record_sale(draft(command(1)), digest(1)).await, Ok(Recorded::New(_))));
    finish(writer, thread).await;
}

#[tokio::test]
async fn what_waits_at_the_end_is_carried_out_and_later_commands_are_refused() {
    let (writer, thread) = start(store());
    let release = hold(&writer).await;
    let late = writer.clone();
    let waiting = tokio::spawn(async move { late.record_sale(draft(command(1)), digest(1)).await });
    while writer.commands.capacity() == writer.commands.max_capacity() {
        tokio::task::yield_now().await;
    }
    writer.close().await;
    drop(release);
    assert!(matches!(waiting.await.expect("no panic"), Ok(Recorded::New(_))));
    tokio::task::spawn_blocking(|| thread.join()).await.expect("joins");
    assert_eq!(writer.record_sale(draft(command(2)), digest(1)).await, Err(WriteError::Closed));
}

#[tokio::test]
async fn a_new_sale_is_announced_once() {
    let mut books = store();
    let head = open_epoch(&mut books, 1);
    let changes = Changes::new(head.place.epoch);
    let mut listening = changes.listen(None);
    let clock = StoreClock::new(Arc::new(SystemClock), TimeZone::UTC);
    let (writer, thread) = Writer::start(books, head, clock, changes).expect("starts");
    for _ in 0..2 {
        writer.record_sale(draft(command(1)), digest(1)).await.expect("records");
    }
    let heard = tokio::time::timeout(Duration::from_secs(5), listening.next()).await.expect("in time");
    let Heard::Change(told) = heard else { panic!("{heard:?}") };
    assert_eq!(told.name, "sale_completed");
    assert!(told.json.contains(&sale_id(1).to_string()), "{}", told.json);
    assert_eq!(listening.ready(), None);
    finish(writer, thread).await;
}

/// T29: rows that every sale wants are no reason to wait for each other, or to try again. Eight tills sell one article ten
/// thousand times; nobody is turned away, and the counters come to what was sold.
#[tokio::test(flavor = "multi_thread")]
async fn t29_ten_thousand_sales_of_one_article_from_eight_tills_add_up() {
    const TILLS: u64 = 8;
    const SALES_OF_EACH: u64 = 1250;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books.sqlite3");
    let (writer, thread) = start(Store::open(&path, RULES).expect("opens"));
    let mut tills = tokio::task::JoinSet::new();
    for till in 0..TILLS {
        let writer = writer.clone();
        tills.spawn(async move {
            for number in 0..SALES_OF_EACH {
                let mut command = command(till * 10_000 + number);
                command.till_id = format!("T{till}").parse().expect("valid");
                // Once: an answer that asks to try again fails the test.
                let recorded = writer.record_sale(draft(command), digest(1)).await.expect("is not turned away");
                assert!(matches!(recorded, Recorded::New(_)), "{recorded:?}");
            }
        });
    }
    while let Some(till) = tills.join_next().await {
        till.expect("no panic");
    }
    let readers = Readers::new(&path);
    let today = BusinessDate::of(writer.clock().now(), RULES.cut_off);
    let rule = till::stock::CoverRule { trading_minutes: 720, low_minutes: 0 };
    let stock = readers.read(move |view| view.stock(today, rule, None)).await.expect("reads");
    let milk = &stock[&"milk".parse().expect("valid")];
    let sold = i64::try_from(TILLS * SALES_OF_EACH).expect("small");
    assert_eq!((milk.on_hand.whole_units(), milk.since.used.whole_units()), (Some(-sold), Some(sold)));
    let check = readers.read(|view| view.check_stock()).await.expect("reads");
    assert!(check.differences.is_empty() && check.out_of_reach.is_empty(), "{check:?}");
    finish(writer, thread).await;
}

#[tokio::test]
async fn books_of_stock_that_do_not_balance_are_told_until_they_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books.sqlite3");
    let (writer, thread) = start(Store::open(&path, RULES).expect("opens"));
    let readers = Readers::new(&path);
    writer.record_sale(draft(command(1)), digest(1)).await.expect("records");
    let notices = async || {
        crate::stock_watch::look(&writer, &readers).await;
        readers.read(|view| view.notices()).await.expect("reads")
    };
    let edit = |sql: &'static str| {
        writer.run(Durability::Promise, move |store| {
            store.edit_for_a_test(sql);
            Ok(())
        })
    };
    assert_eq!(notices().await, []);
    edit("UPDATE stock_usage SET used_micro = used_micro + 1000000").await.expect("edits");
    let told = notices().await;
    assert_eq!((told.len(), told[0].key.as_str()), (1, "stock_check"));
    assert!(told[0].text.contains("milk: added 0 and used 2 are counted, 0 and 1 by the events"), "{}", told[0].text);
    edit("UPDATE stock_usage SET used_micro = used_micro - 1000000").await.expect("edits");
    assert_eq!(notices().await, []);
    finish(writer, thread).await;
}

fn key(number: u64) -> CommandKey {
    let id = uuid::Builder::from_unix_timestamp_millis(number, &[0xd; 10]).into_uuid();
    CommandKey { id: CommandId::new(id), digest: digest(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_panics_fails_alone_and_the_others_of_its_group_are_recorded() {
    let (writer, thread) = start(store());
    let waits = async |commands: usize| {
        while writer.commands.capacity() > WAITING_COMMANDS_MAX - commands {
            tokio::task::yield_now().await;
        }
    };
    let sell = |number: u64| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.record_sale(draft(command(number)), digest(1)).await })
    };
    let panic = |number: u64| {
        let writer = writer.clone();
        tokio::spawn(async move {
            let done = writer.once(key(number), move |store, moment| {
                store.mark(moment, db::Noteworthy::new("drawer_opened"))?;
                assert_eq!(number, u64::MAX, "a test's own defect");
                Ok(())
            });
            done.await
        })
    };
    // Between two sales of one group.
    let release = hold(&writer).await;
    let first = sell(1);
    waits(1).await;
    let panics = panic(1);
    waits(2).await;
    let second = sell(2);
    waits(3).await;
    drop(release);
    let Err(WriteError::Failed { failure, text }) = panics.await.expect("answers") else { panic!("it has failed") };
    assert_eq!(failure, Failure::Other);
    assert!(text.contains("a test's own defect"), "{text}");
    for sold in [first, second] {
        let sold = sold.await.expect("answers");
        assert!(matches!(sold, Ok(Recorded::New(_))), "{sold:?}");
    }
    // And by itself.
    assert!(matches!(panic(2).await.expect("answers"), Err(WriteError::Failed { .. })));
    assert!(matches!(sell(3).await.expect("answers"), Ok(Recorded::New(_))));
    // The opening and three sales: of what panicked nothing is left, and the chain is whole.
    assert_eq!(writer.head().borrow().place.seq.get(), 4);
    let verified = writer.run(Durability::Hint, |store| store.view().verify()).await.expect("reads");
    assert!(verified.is_ok(), "{verified:?}");
    finish(writer, thread).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_outside_of_an_operation_undoes_its_group_and_the_writer_goes_on() {
    let (writer, thread) = start(store());
    let release = hold(&writer).await;
    let sale = {
        let writer = writer.clone();
        tokio::spawn(async move { writer.record_sale(draft(command(1)), digest(1)).await })
    };
    while writer.commands.capacity() == WAITING_COMMANDS_MAX {
        tokio::task::yield_now().await;
    }
    let panics = {
        let writer = writer.clone();
        tokio::spawn(async move {
            let defect = |_: &mut Store| -> Result<(), db::Error> { panic!("a test's own defect") };
            writer.run(Durability::Hint, defect).await
        })
    };
    while writer.commands.capacity() > WAITING_COMMANDS_MAX - 2 {
        tokio::task::yield_now().await;
    }
    drop(release);
    assert!(matches!(panics.await.expect("answers"), Err(WriteError::Failed { .. })));
    assert!(matches!(sale.await.expect("answers"), Err(WriteError::Failed { .. })), "told that nothing is recorded");
    assert_eq!(writer.head().borrow().place.seq.get(), 1);
    let again = writer.record_sale(draft(command(1)), digest(1)).await;
    assert!(matches!(again, Ok(Recorded::New(_))), "{again:?}");
    finish(writer, thread).await;
}
