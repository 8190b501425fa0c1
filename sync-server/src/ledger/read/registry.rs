//! The registry: transactions of a row or two, beside the writer.

use pos_model::StoreId;

use crate::ledger::LedgerError;
use crate::ledger::database::{Cell, Database, Row, cells};
use crate::ledger::registry::{Claim, CodeHash, Credential, EnrollRefused, Registry, SecretHash, StoreStatus};

impl<D: Database> Registry for D {
    fn add_store(&self, store: &StoreId, name: Option<&str>, claim: Claim, now_ms: i64) -> Result<bool, LedgerError> {
        let doing = "add store";
        self.change(doing, |database| {
            let known = store_no(database, store)?;
            let store_no = match known {
                Some(number) => {
                    let update = "UPDATE stores SET status = 'active', name = coalesce(?2, name) WHERE store_no = ?1";
                    database.execute(doing, update, cells![number, name])?;
                    number
                }
                None => {
                    let insert = "INSERT INTO stores (store_id, name, status, added_at_ms)
                        VALUES (?1, coalesce(?2, ''), 'active', ?3)";
                    database.execute(doing, insert, cells![store.as_str(), name, now_ms])?;
                    store_no(database, store)?.ok_or(LedgerError::Damaged { what: "list of stores" })?
                }
            };
            database.execute(doing, DROP_CODES, cells![store_no])?;
            let insert =
                "INSERT INTO claim_codes (code_hash, store_no, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4)";
            database.execute(doing, insert, cells![claim.code.as_bytes(), store_no, now_ms, claim.expires_at_ms])?;
            note_change(database, doing)?;
            Ok(known.is_none())
        })
    }

    fn revoke_store(&self, store: &StoreId) -> Result<bool, LedgerError> {
        let doing = "revoke store";
        self.change(doing, |database| {
            let Some(store_no) = store_no(database, store)? else { return Ok(false) };
            let update = "UPDATE stores SET status = 'revoked', secret_hash = NULL WHERE store_no = ?1";
            database.execute(doing, update, cells![store_no])?;
            database.execute(doing, DROP_CODES, cells![store_no])?;
            note_change(database, doing)?;
            Ok(true)
        })
    }

    fn enroll(
        &self,
        store: &StoreId,
        code: CodeHash,
        secret: SecretHash,
        now_ms: i64,
    ) -> Result<Result<(), EnrollRefused>, LedgerError> {
        let doing = "enrol store";
        self.change(doing, |database| {
            let query = "SELECT store_no, expires_at_ms, used_at_ms FROM claim_codes JOIN stores USING (store_no)
                WHERE code_hash = ?1 AND store_id = ?2 AND status = 'active'";
            let found = database.first(doing, query, cells![code.as_bytes(), store.as_str()], |row| {
                Ok((row.number(0)?, row.number(1)?, row.maybe_number(2)?))
            })?;
            let Some((store_no, expires_at_ms, used_at_ms)) = found else { return Ok(Err(EnrollRefused::Unknown)) };
            if used_at_ms.is_some() {
                return Ok(Err(EnrollRefused::Used));
            }
            if expires_at_ms <= now_ms {
                return Ok(Err(EnrollRefused::Expired));
            }
            let use_up = "UPDATE claim_codes SET used_at_ms = ?2 WHERE code_hash = ?1";
            database.execute(doing, use_up, cells![code.as_bytes(), now_ms])?;
            let update = "UPDATE stores SET secret_hash = ?2, enrolled_at_ms = ?3 WHERE store_no = ?1";
            database.execute(doing, update, cells![store_no, secret.as_bytes(), now_ms])?;
            note_change(database, doing)?;
            Ok(Ok(()))
        })
    }

    fn registry_version(&self) -> Result<i64, LedgerError> {
        let query = "SELECT version FROM registry WHERE id = 1";
        let version = self.first("read the registry's version", query, &[], |row| row.number(0))?;
        version.ok_or(LedgerError::Damaged { what: "version of the registry" })
    }

    fn credentials(&self) -> Result<Vec<Credential>, LedgerError> {
        let query = "SELECT store_id, status, secret_hash FROM stores ORDER BY store_no";
        self.all("read credentials", query, &[], |row| {
            let secret = match row.cell(2)? {
                Cell::Nothing => None,
                _ => {
                    let secret = SecretHash::from_slice(row.bytes(2)?);
                    Some(secret.ok_or(LedgerError::Damaged { what: "secret hash" })?)
                }
            };
            Ok(Credential { store: row.store(0)?, status: StoreStatus::parse(&row.text(1)?)?, secret })
        })
    }
}

const DROP_CODES: &str = "DELETE FROM claim_codes WHERE store_no = ?1";

/// Every change of a login moves the version in its own transaction.
fn note_change<D: Database>(database: &D, doing: &'static str) -> Result<(), LedgerError> {
    database.execute(doing, "UPDATE registry SET version = version + 1", &[]).map(drop)
}

/// The number of a store.
pub(super) fn store_no<D: Database>(database: &D, store: &StoreId) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT store_no FROM stores WHERE store_id = ?1";
    database.first("find store", query, cells![store.as_str()], |row| row.number(0))
}
