//! Books of an older program, with sales that the centre has not confirmed, opened by this one.

use rusqlite::Connection;

use super::schema::{MIGRATIONS, mark_as};
use super::testing::{RULES, command, digest, draft, event_id, open_epoch, sell, stamp};
use super::{Recorded, SCHEMA_VERSION, Store};

/// Sales that wait for the centre.
const UNSENT: u64 = 1_000;

/// The first schemas that were released: without and with price books.
const RELEASED: [i64; 2] = [1, 2];

/// Makes books as a program of an older version left them: what it knew of what this one wrote.
fn books_of_version(version: i64) -> Connection {
    let folder = tempfile::tempdir().expect("a folder");
    let newest = folder.path().join("newest");
    let mut store = Store::open(&newest, RULES).expect("opens");
    open_epoch(&mut store, 1);
    store.begin(super::Durability::Promise).expect("begins");
    (1..=UNSENT).for_each(|number| drop(sell(&mut store, number)));
    store.commit().expect("commits");
    drop(store);

    let older = Connection::open_in_memory().expect("opens");
    let count = usize::try_from(version).expect("small");
    MIGRATIONS[..count].iter().for_each(|migration| older.execute_batch(migration).expect("is sound"));
    mark_as(&older, version).expect("marks");
    older.execute("ATTACH ?1 AS newest", [newest.display().to_string()]).expect("attaches");
    let tables: Vec<String> = texts(&older, "SELECT name FROM main.sqlite_schema WHERE type = 'table'");
    for table in tables {
        let columns = texts(&older, &format!("SELECT name FROM pragma_table_info('{table}', 'main')")).join(", ");
        older
            .execute_batch(&format!(
                "INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}"
            ))
            .expect("copies");
    }
    older.execute_batch("DETACH newest").expect("detaches");
    older
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut select = connection.prepare(sql).expect("is sound");
    let rows = select.query_map([], |row| row.get(0)).expect("reads");
    rows.collect::<Result<_, _>>().expect("reads")
}

/// Others: an upgrade of the schema wiped the queue, or could not read it any more.
#[test]
fn t37_t38_an_upgrade_loses_nothing_of_what_waits() {
    for version in RELEASED {
        let older = books_of_version(version);
        let mut store = Store::from_connection(older, RULES).expect("migrates");
        let depth = store.view().outbox_depth().expect("reads");
        assert_eq!(depth.events, UNSENT + 1, "version {version}");
        let verified = store.view().verify().expect("reads").expect("sound");
        assert_eq!(verified.sales, UNSENT, "version {version}");
        // A till that did not hear the answer before the upgrade gets the same one after it.
        open_epoch(&mut store, 2);
        let again = store.record_sale(draft(command(7)), &digest(1), event_id(7), stamp(0)).expect("works");
        assert!(matches!(again, Recorded::Replayed(receipt) if receipt.receipt_no == 7), "version {version}");
        assert_eq!(sell(&mut store, UNSENT + 1).receipt_no, UNSENT + 1, "version {version}: numbers go on");
    }
}

/// An older program that meets these books says so, and leaves them as they are.
#[test]
fn t37_an_older_program_refuses_the_books_in_words() {
    let mut store = Store::open_in_memory(RULES).expect("opens");
    open_epoch(&mut store, 1);
    sell(&mut store, 1);
    let connection = store.into_connection();
    mark_as(&connection, SCHEMA_VERSION + 1).expect("marks");
    let before = texts(&connection, "SELECT hex(hash) FROM event");
    let error = Store::from_connection(connection, RULES).expect_err("must be refused").to_string();
    assert!(error.contains("install the newer program"), "{error}");
    assert_eq!(before.len(), 2);
}
