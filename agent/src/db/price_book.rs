//! The price books of the store.

use pos_model::BookHash;
use rusqlite::{Connection, params};

use super::error::{Doing, Error};
use super::store::{Durability, Store};

/// Books that are kept: the one in force, and those to which a person or a program that is put back may return.
const KEPT: i64 = 5;

/// A price book as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBook {
    /// Its content's name.
    pub hash: BookHash,
    /// Its version, for people.
    pub version: String,
    /// Since when the store sells by it, in milliseconds since 1970 (UTC).
    pub activated_at_ms: i64,
    /// The document in its canonical form.
    pub json: Vec<u8>,
}

impl Store {
    /// Keeps a book as the newest one; the oldest of too many goes.
    pub fn keep_price_book(&mut self, book: &KeptBook) -> Result<(), Error> {
        self.atomically(Durability::Promise, |store| {
            let connection = &store.connection;
            connection
                .execute(
                    "INSERT INTO price_book (hash, version, activated_at, json) VALUES (?1, ?2, ?3, ?4)",
                    params![book.hash.as_bytes(), book.version, book.activated_at_ms, book.json],
                )
                .doing("keep a price book")?;
            connection
                .execute("DELETE FROM price_book WHERE ordinal <= (SELECT max(ordinal) FROM price_book) - ?1", [KEPT])
                .doing("let an old price book go")
                .map(drop)
        })
    }
}

/// The books that are kept, the newest first.
pub(super) fn price_books(connection: &Connection) -> Result<Vec<KeptBook>, Error> {
    let doing = "read the price books";
    let mut select = connection
        .prepare_cached("SELECT hash, version, activated_at, json FROM price_book ORDER BY ordinal DESC")
        .doing(doing)?;
    let mut rows = select.query([]).doing(doing)?;
    let mut books = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let hash: [u8; 32] = row.get(0).doing(doing)?;
        books.push(KeptBook {
            hash: BookHash::from_bytes(hash),
            version: row.get(1).doing(doing)?,
            activated_at_ms: row.get(2).doing(doing)?,
            json: row.get(3).doing(doing)?,
        });
    }
    Ok(books)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::store;

    #[test]
    fn the_newest_books_are_kept() {
        let mut store = store();
        let book = |number: u8| KeptBook {
            hash: BookHash::from_bytes([number; 32]),
            version: format!("v{number}"),
            activated_at_ms: i64::from(number),
            json: vec![number],
        };
        assert_eq!(store.view().price_books().expect("reads"), []);
        for number in 1..=7 {
            store.keep_price_book(&book(number)).expect("keeps");
        }
        let kept: Vec<KeptBook> = (3..=7).rev().map(book).collect();
        assert_eq!(store.view().price_books().expect("reads"), kept);
    }
}
