//! Tills that may use the local API: their ids and the hashes of their tokens.

use std::fmt;

use pos_model::TillId;
use protocol::latest::local_api::Change;
use protocol::latest::people::TillView;
use rusqlite::params;
use till::limits::TILLS_MAX;

use super::audit::{Noteworthy, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::people::parsed;
use super::store::Store;
use super::view::View;

/// The BLAKE3 of a token. A token is 32 random bytes, so that its hash tells nobody anything. Two are compared in a time
/// that does not depend on where they differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(blake3::Hash);

impl TokenHash {
    /// Of a token, as it stands in a request.
    pub fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([redacted])")
    }
}

impl Store {
    /// Makes a till one of the store's. Its id must be free: no other till that is paired has it. One whose token was
    /// taken back gets a new one, and goes on with its receipt numbers; so does one that pairs `again`, as it did not hear
    /// the answer: the first token opens nothing from there on. Within an operation.
    pub fn pair_till(
        &mut self,
        moment: &mut Moment,
        till_id: TillId,
        name: String,
        token_hash: TokenHash,
        again: bool,
    ) -> Result<TillView, Error> {
        let tills = self.view().tills()?;
        let known = tills.iter().find(|till| till.till_id == till_id);
        if known.is_some_and(|till| till.revoked_at_ms.is_none()) && !again {
            let text = format!("there is a till {till_id} already; give this one another id, or revoke that one");
            return Err(Refused::overtaken("till.taken", text).into());
        }
        if known.is_none() && i64::try_from(tills.len()).is_ok_and(|count| count >= TILLS_MAX) {
            let text = format!("this store has {TILLS_MAX} tills already; a till keeps its id for ever");
            return Err(Refused::rule("till.too_many", text).into());
        }
        let paired_at_ms = moment.at().utc_ms;
        self.connection
            .execute(
                "INSERT OR REPLACE INTO paired_till (till_id, name, token_hash, paired_at, revoked_at)
                     VALUES (?1, ?2, ?3, ?4, NULL)",
                params![till_id.as_str(), name, token_hash.0.as_bytes(), paired_at_ms],
            )
            .doing("keep a till")?;
        self.mark(moment, Noteworthy::new(word::TILL_PAIRED).at(&till_id).about(&till_id).saying(&name))?;
        let view = TillView { till_id, name, paired_at_ms, revoked_at_ms: None };
        self.changed(Change::Till(view.clone()));
        Ok(view)
    }

    /// Takes a till's token back, and signs off whoever is signed on there. Refused if no such till is paired. Within an
    /// operation.
    pub fn revoke_till(&mut self, moment: &mut Moment, till_id: &TillId) -> Result<TillView, Error> {
        let tills = self.view().tills()?;
        let known = tills.into_iter().find(|till| till.till_id == *till_id && till.revoked_at_ms.is_none());
        let till = known.ok_or_else(|| {
            Refused::unknown("till.unknown", format!("no till {till_id} is paired; it may be revoked already"))
        })?;
        let revoked_at_ms = moment.at().utc_ms;
        self.connection
            .execute(
                "UPDATE paired_till SET revoked_at = ?2 WHERE till_id = ?1",
                params![till_id.as_str(), revoked_at_ms],
            )
            .doing("take a till's token back")?;
        self.mark(moment, Noteworthy::new(word::TILL_REVOKED).at(till_id).about(till_id))?;
        if let Some(operator_id) = self.view().signed_on_at(till_id)? {
            self.sign_off(moment, till_id, &operator_id)?;
        }
        let view = TillView { revoked_at_ms: Some(revoked_at_ms), ..till };
        self.changed(Change::Till(view.clone()));
        Ok(view)
    }
}

impl View<'_> {
    /// All tills that were ever paired, by id.
    pub fn tills(&self) -> Result<Vec<TillView>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT till_id, name, paired_at, revoked_at FROM paired_till ORDER BY till_id")
            .doing("read the tills")?;
        let rows = select
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .doing("read the tills")?;
        rows.map(|row| {
            let (till_id, name, paired_at_ms, revoked_at_ms) = row.doing("read the tills")?;
            Ok(TillView { till_id: parsed(&till_id)?, name, paired_at_ms, revoked_at_ms })
        })
        .collect()
    }

    /// The tills whose token holds, with its hash.
    pub fn till_tokens(&self) -> Result<Vec<(TillId, TokenHash)>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT till_id, token_hash FROM paired_till WHERE revoked_at IS NULL ORDER BY till_id")
            .doing("read the tills' tokens")?;
        let rows = select
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?)))
            .doing("read the tills' tokens")?;
        rows.map(|row| {
            let (till_id, hash) = row.doing("read the tills' tokens")?;
            Ok((parsed(&till_id)?, TokenHash(blake3::Hash::from_bytes(hash))))
        })
        .collect()
    }
}
