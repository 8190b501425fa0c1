//! What a person has to know or do, kept until it is settled.

use rusqlite::params;

use super::error::{Doing, Error};
use super::store::{Durability, Store};

/// A notice. One per key; a newer one under the same key takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about, such as `fork.9f2c...`.
    pub key: String,
    /// Since when, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// In words.
    pub text: String,
}

impl Store {
    /// Keeps a notice. One that says what stands there already changes nothing: it stands since it was said first.
    pub fn raise_notice(&mut self, notice: &Notice) -> Result<(), Error> {
        self.atomically(Durability::Hint, |store| {
            store
                .connection
                .execute(
                    "INSERT INTO notice (key, at, text) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET at = excluded.at, text = excluded.text WHERE text <> excluded.text",
                    params![notice.key, notice.at_ms, notice.text],
                )
                .doing("keep a notice")
                .map(drop)
        })
    }

    /// Whether a notice stands under exactly this key.
    pub(super) fn has_notice(&self, key: &str) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT 1 FROM notice WHERE key = ?1")
            .and_then(|mut select| select.exists([key]))
            .doing("look for a notice")
    }

    /// Removes what is settled: the notice with this key, and those with keys below it (`fork` settles `fork.9f2c...`).
    /// Returns whether there was one.
    pub fn settle_notice(&mut self, key: &str) -> Result<bool, Error> {
        self.atomically(Durability::Hint, |store| {
            let removed = store
                .connection
                .execute("DELETE FROM notice WHERE key = ?1 OR substr(key, 1, length(?1) + 1) = ?1 || '.'", [key]);
            removed.doing("settle a notice").map(|rows| rows > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::store;

    #[test]
    fn one_per_key_until_settled() {
        let mut store = store();
        let notice = |key: &str, at_ms, text: &str| Notice { key: key.to_owned(), at_ms, text: text.to_owned() };
        store.raise_notice(&notice("b", 1, "first")).expect("keeps");
        store.raise_notice(&notice("a", 3, "other")).expect("keeps");
        store.raise_notice(&notice("b", 2, "second")).expect("keeps");
        assert_eq!(store.view().notices().expect("reads"), [notice("b", 2, "second"), notice("a", 3, "other")]);
        store.raise_notice(&notice("b", 9, "second")).expect("keeps");
        assert_eq!(store.view().notices().expect("reads")[0].at_ms, 2, "it is so since it was said first");
        assert!(store.settle_notice("b").expect("works"));
        assert!(!store.settle_notice("b").expect("works"));
        assert_eq!(store.view().notices().expect("reads").len(), 1);
        for key in ["fork.1", "fork.2", "forked"] {
            store.raise_notice(&notice(key, 4, "of one kind")).expect("keeps");
        }
        assert!(store.settle_notice("fork").expect("works"));
        let left: Vec<String> = store.view().notices().expect("reads").into_iter().map(|notice| notice.key).collect();
        assert_eq!(left, ["a", "forked"]);
    }
}
