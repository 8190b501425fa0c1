//! Tests of the books in a file: crashes, a full disk, copies.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use super::testing::{RULES, command, digest, draft, event_id, open_epoch, sale_id, sell, stamp};
use super::{Durability, Error, Failure, Reader, Recorded, Store};

fn open(path: &Path) -> Store {
    Store::open(path, RULES).expect("opens")
}

fn try_sell(store: &mut Store, number: u64) -> Result<Recorded, Error> {
    store.record_sale(draft(command(number)), &digest(1), event_id(number), stamp(0))
}

fn held(path: &Path, number: u64) -> bool {
    Reader::open(path).expect("opens").view().sale(sale_id(number)).expect("reads").is_some()
}

#[test]
fn what_was_committed_survives_and_what_was_not_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (folder.path().join("books"), folder.path().join("copy"));
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    sell(&mut store, 1);
    store.begin(Durability::Promise).expect("begins");
    sell(&mut store, 2);
    // The process dies here: what another one then finds is what lies in the files.
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).expect("copies");
    }
    drop(store);
    for path in [&path, &copy] {
        let mut store = open(path);
        assert!(held(path, 1) && !held(path, 2));
        open_epoch(&mut store, 2);
        let receipt = sell(&mut store, 2);
        assert_eq!((receipt.receipt_no, receipt.pickup_no), (2, 2));
        assert_eq!(store.view().verify().expect("reads").expect("sound").sales, 2);
    }
}

#[test]
fn a_torn_log_loses_its_end_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    let mut lengths = Vec::new();
    for number in 1..=5 {
        sell(&mut store, number);
        lengths.push(std::fs::metadata(folder.path().join("books-wal")).expect("there").len());
    }
    let whole = (std::fs::read(&path).expect("reads"), std::fs::read(folder.path().join("books-wal")).expect("reads"));
    drop(store);
    for cut in 0..24 {
        let torn = folder.path().join(format!("torn-{cut}"));
        let length = whole.1.len() * cut / 24;
        std::fs::write(&torn, &whole.0).expect("writes");
        std::fs::write(folder.path().join(format!("torn-{cut}-wal")), &whole.1[..length]).expect("writes");
        // The opening of the epoch, and the schema, may be torn off as well; then the books are empty.
        let store = open(&torn);
        let kept = lengths.iter().filter(|&&end| end <= u64::try_from(length).expect("small")).count();
        let verified = store.view().verify().expect("reads").expect("sound");
        assert_eq!(verified.sales, u64::try_from(kept).expect("small"), "cut at {length}");
    }
}

/// Sells until the disk is full; then nothing of the refused sale may be there, and when there is room again the same
/// sale goes through. Returns how many were sold before.
fn fill_and_go_on(path: &Path, store: &mut Store, make_room: impl FnOnce(&Store)) -> u64 {
    let mut number = 0;
    let error = loop {
        number += 1;
        assert!(number < 100_000, "the disk never fills");
        match try_sell(store, number) {
            Ok(Recorded::New(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.failure(), Failure::DiskFull, "{}", error.chain());
    assert!(store.stopped().is_none(), "a full disk does not end the selling for good");
    assert!(!held(path, number), "nothing of the refused sale is there");
    assert!(try_sell(store, number).is_err(), "it is refused as long as there is no room");
    make_room(store);
    let Ok(Recorded::New(receipt)) = try_sell(store, number) else { panic!("there is room again") };
    assert_eq!(receipt.receipt_no, number, "no number is lost");
    for earlier in 1..number {
        assert!(matches!(try_sell(store, earlier), Ok(Recorded::Replayed(_))), "what was promised stays");
    }
    assert_eq!(store.view().verify().expect("reads").expect("sound").sales, number);
    number - 1
}

#[test]
fn a_full_database_refuses_and_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    let limit = |store: &Store, pages: i64| {
        store
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
            .expect("sets the limit");
    };
    limit(&store, 60);
    let sold = fill_and_go_on(&path, &mut store, |store| limit(store, 100_000));
    assert!(sold > 5, "{sold}");
}

#[test]
fn a_group_on_a_full_database_is_refused_as_a_whole_or_stands_as_it_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    store
        .connection
        .pragma_update_and_check(None, "max_page_count", 60i64, |row| row.get::<_, i64>(0))
        .expect("sets the limit");
    let head = store.head();
    store.begin(Durability::Promise).expect("begins");
    let mut recorded = Vec::new();
    for number in 1..500 {
        match try_sell(&mut store, number) {
            Ok(_) => recorded.push(number),
            Err(error) => {
                assert_eq!(error.failure(), Failure::DiskFull);
                break;
            }
        }
    }
    if store.in_group() {
        store.commit().expect("commits");
    } else {
        recorded.clear();
        assert_eq!(store.head(), head);
    }
    let there: Vec<u64> = (1..500).filter(|&number| held(&path, number)).collect();
    assert_eq!(there, recorded);
    assert!(store.view().verify().expect("reads").is_ok());
}

/// A file system of 2 MiB, taken down at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_and_resumes() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system of its own");
        return;
    };
    let path = disk.0.path().join("books");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0u8; 900_000]).expect("fits");
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    let sold = fill_and_go_on(&path, &mut store, |_| std::fs::remove_file(&ballast).expect("removes"));
    assert!(sold > 5, "{sold}");
}

#[test]
fn a_damaged_file_stops_the_selling() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    sell(&mut store, 1);
    drop(store);
    let pages: i64 = Connection::open(&path)
        .and_then(|connection| connection.pragma_query_value(None, "page_count", |row| row.get(0)))
        .expect("reads");
    let mut bytes = std::fs::read(&path).expect("reads");
    let page = bytes.len() / usize::try_from(pages).expect("small");
    // The schema stays readable; every table is garbage.
    bytes[page * 2..].fill(0x5a);
    std::fs::write(&path, bytes).expect("writes");
    let error = match Store::open(&path, RULES) {
        Err(error) => error,
        Ok(mut store) => {
            let error = try_sell(&mut store, 2).expect_err("must fail");
            assert!(store.stopped().is_some());
            assert!(matches!(try_sell(&mut store, 3), Err(Error::Stopped(_) | Error::Sql { .. })));
            error
        }
    };
    assert_eq!(error.failure(), Failure::DiskFailed, "{}", error.chain());
}

#[test]
fn a_run_whose_events_are_gone_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    open_epoch(&mut open(&path), 1);
    Connection::open(&path).and_then(|connection| connection.execute("DELETE FROM event", [])).expect("deletes");
    let error = Store::open(&path, RULES).expect_err("must fail");
    assert_eq!(error.failure(), Failure::DiskFailed);
    assert!(error.chain().contains("lacks its opening"), "{}", error.chain());
}

#[test]
fn a_folder_put_back_never_uses_a_place_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, backup) = (folder.path().join("books"), folder.path().join("backup"));
    let mut store = open(&path);
    open_epoch(&mut store, 1);
    sell(&mut store, 1);
    store.checkpoint().expect("empties the log");
    std::fs::copy(&path, &backup).expect("copies");
    sell(&mut store, 2);
    let lost = store.head().expect("open");
    drop(store);

    std::fs::copy(&backup, &path).expect("puts back");
    let mut store = open(&path);
    open_epoch(&mut store, 2);
    // The centre knows of receipt 2; the operator sees what is missing, and the number is not given again.
    store.raise_receipts(&[protocol::latest::ReceiptHead::new("T1".parse().expect("valid"), 2)]).expect("raises");
    assert_eq!(sell(&mut store, 3).receipt_no, 3);
    let report = store.view().epochs().expect("reads")[0];
    assert!(report.head < lost.place.seq, "the epoch of the lost sale is over and ends before it");
    assert!(store.view().verify().expect("reads").is_ok());
}

#[test]
fn another_currency_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("books");
    drop(open(&path));
    let rules = super::Rules { currency: Some(pos_model::Currency::USD), ..RULES };
    let error = Store::open(&path, rules).expect_err("must be refused").to_string();
    assert_eq!(error, "sell in USD, as store.currency says: the folder holds sales in CNY");
}
