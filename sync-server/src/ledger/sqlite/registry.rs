//! The registry in SQLite: transactions of a row or two, beside the writer.

use pos_model::StoreId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::Connected;
use super::fault::{During, read_all};
use crate::ledger::LedgerError;
use crate::ledger::registry::{Claim, CodeHash, Credential, EnrollRefused, Registry, SecretHash, StoreStatus};

impl<C: Connected> Registry for C {
    fn add_store(&self, store: &StoreId, name: Option<&str>, claim: Claim, now_ms: i64) -> Result<bool, LedgerError> {
        let doing = "add store";
        let transaction = begin(self.connection(), doing)?;
        let known = find(&transaction, store)?;
        let store_no = match known {
            Some(store_no) => {
                let update = "UPDATE stores SET status = 'active', name = ifnull(?2, name) WHERE store_no = ?1";
                transaction.execute(update, params![store_no, name]).during(doing)?;
                store_no
            }
            None => {
                let insert = "INSERT INTO stores (store_id, name, status, added_at_ms) VALUES (?1, ifnull(?2, ''), 'active', ?3)";
                transaction.execute(insert, params![store.as_str(), name, now_ms]).during(doing)?;
                transaction.last_insert_rowid()
            }
        };
        transaction.execute("DELETE FROM claim_codes WHERE store_no = ?1", [store_no]).during(doing)?;
        let insert =
            "INSERT INTO claim_codes (code_hash, store_no, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4)";
        transaction
            .execute(insert, params![claim.code.as_bytes(), store_no, now_ms, claim.expires_at_ms])
            .during(doing)?;
        commit(transaction, doing)?;
        Ok(known.is_none())
    }

    fn revoke_store(&self, store: &StoreId) -> Result<bool, LedgerError> {
        let doing = "revoke store";
        let transaction = begin(self.connection(), doing)?;
        let Some(store_no) = find(&transaction, store)? else { return Ok(false) };
        let update = "UPDATE stores SET status = 'revoked', secret_hash = NULL WHERE store_no = ?1";
        transaction.execute(update, [store_no]).during(doing)?;
        transaction.execute("DELETE FROM claim_codes WHERE store_no = ?1", [store_no]).during(doing)?;
        commit(transaction, doing)?;
        Ok(true)
    }

    fn enroll(
        &self,
        store: &StoreId,
        code: CodeHash,
        secret: SecretHash,
        now_ms: i64,
    ) -> Result<Result<(), EnrollRefused>, LedgerError> {
        let doing = "enrol store";
        let transaction = begin(self.connection(), doing)?;
        let query = "SELECT store_no, expires_at_ms, used_at_ms FROM claim_codes JOIN stores USING (store_no)
            WHERE code_hash = ?1 AND store_id = ?2 AND status = 'active'";
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, i64, Option<i64>)> { row.try_into() };
        let found = transaction.query_row(query, params![code.as_bytes(), store.as_str()], read).optional();
        let Some((store_no, expires_at_ms, used_at_ms)) = found.during(doing)? else {
            return Ok(Err(EnrollRefused::Unknown));
        };
        if used_at_ms.is_some() {
            return Ok(Err(EnrollRefused::Used));
        }
        if expires_at_ms <= now_ms {
            return Ok(Err(EnrollRefused::Expired));
        }
        let use_up = "UPDATE claim_codes SET used_at_ms = ?2 WHERE code_hash = ?1";
        transaction.execute(use_up, params![code.as_bytes(), now_ms]).during(doing)?;
        let update = "UPDATE stores SET secret_hash = ?2, enrolled_at_ms = ?3 WHERE store_no = ?1";
        transaction.execute(update, params![store_no, secret.as_bytes(), now_ms]).during(doing)?;
        commit(transaction, doing)?;
        Ok(Ok(()))
    }

    fn registry_version(&self) -> Result<i64, LedgerError> {
        let query = "SELECT version FROM registry WHERE id = 1";
        let mut statement = self.connection().prepare_cached(query).during("read the registry's version")?;
        statement.query_row([], |row| row.get(0)).during("read the registry's version")
    }

    fn credentials(&self) -> Result<Vec<Credential>, LedgerError> {
        let doing = "read credentials";
        let query = "SELECT store_id, status, secret_hash FROM stores ORDER BY store_no";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, [], doing, |row| {
            let (store, status, secret): (String, String, Option<Vec<u8>>) = row.try_into().during(doing)?;
            let store = StoreId::new(store).map_err(|_| LedgerError::Damaged { what: "store id" })?;
            let secret = secret
                .map(|secret| SecretHash::from_slice(&secret).ok_or(LedgerError::Damaged { what: "secret hash" }))
                .transpose()?;
            Ok(Credential { store, status: StoreStatus::parse(&status)?, secret })
        })
    }
}

fn begin<'c>(connection: &'c Connection, doing: &'static str) -> Result<Transaction<'c>, LedgerError> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate).during(doing)
}

/// Every change of a login moves the version in its own transaction.
fn commit(transaction: Transaction<'_>, doing: &'static str) -> Result<(), LedgerError> {
    transaction.execute("UPDATE registry SET version = version + 1", []).during(doing)?;
    transaction.commit().during(doing)
}

fn find(connection: &Connection, store: &StoreId) -> Result<Option<i64>, LedgerError> {
    connection
        .query_row("SELECT store_no FROM stores WHERE store_id = ?1", [store.as_str()], |row| row.get(0))
        .optional()
        .during("find store")
}
