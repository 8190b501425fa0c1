//! Price books and price differences in SQLite: transactions of one row, beside the writer.

use pos_model::{BookHash, Money, SaleId, StoreId};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::Connected;
use super::fault::{During, read_all};
use crate::ledger::LedgerError;
use crate::ledger::prices::{PriceBookRow, PriceBooks, PriceDifference};

impl<C: Connected> PriceBooks for C {
    fn add_price_book(&self, hash: BookHash, version: &str, json: &[u8], now_ms: i64) -> Result<bool, LedgerError> {
        let insert = "INSERT INTO price_books (hash, version, added_at_ms, json) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING";
        let added = self.connection().execute(insert, params![hash.as_bytes(), version, now_ms, json]);
        Ok(added.during("add price book")? > 0)
    }

    fn price_books(&self) -> Result<Vec<PriceBookRow>, LedgerError> {
        let doing = "read price books";
        let query = "SELECT hash, version, added_at_ms FROM price_books ORDER BY added_at_ms DESC, hash";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, [], doing, |row| {
            let hash: [u8; 32] = row.get(0).during(doing)?;
            Ok(PriceBookRow {
                hash: BookHash::from_bytes(hash),
                version: row.get(1).during(doing)?,
                added_at_ms: row.get(2).during(doing)?,
            })
        })
    }

    fn price_book(&self, hash: BookHash) -> Result<Option<Vec<u8>>, LedgerError> {
        let doing = "read price book";
        let mut statement =
            self.connection().prepare_cached("SELECT json FROM price_books WHERE hash = ?1").during(doing)?;
        statement.query_row([hash.as_bytes()], |row| row.get(0)).optional().during(doing)
    }

    fn note_price_differences(&self, differences: &[(StoreId, PriceDifference)]) -> Result<(), LedgerError> {
        let doing = "note price differences";
        let transaction =
            Transaction::new_unchecked(self.connection(), TransactionBehavior::Immediate).during(doing)?;
        {
            let insert =
                "INSERT INTO price_differences (sale_id, store_no, found_at_ms, sold_minor, computed_minor, what)
                SELECT sale_id, store_no, ?3, ?4, ?5, ?6 FROM sales JOIN stores USING (store_no)
                WHERE sale_id = ?1 AND store_id = ?2 ON CONFLICT DO NOTHING";
            let mut statement = transaction.prepare_cached(insert).during(doing)?;
            for (store, PriceDifference { sale_id, found_at_ms, sold, computed, what }) in differences {
                let row =
                    params![sale_id.as_bytes(), store.as_str(), found_at_ms, sold.minor(), computed.minor(), what];
                statement.execute(row).during(doing)?;
            }
        }
        transaction.commit().during(doing)
    }

    fn price_differences(&self, store: &StoreId, limit: u32) -> Result<Vec<PriceDifference>, LedgerError> {
        let doing = "read price differences";
        let query = "SELECT sale_id, found_at_ms, sold_minor, computed_minor, what
            FROM price_differences JOIN stores USING (store_no) WHERE store_id = ?1
            ORDER BY found_at_ms DESC, sale_id LIMIT ?2";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let sale_id: [u8; 16] = row.get(0).during(doing)?;
            Ok(PriceDifference {
                sale_id: SaleId::new(Uuid::from_bytes(sale_id)),
                found_at_ms: row.get(1).during(doing)?,
                sold: Money::from_minor(row.get(2).during(doing)?),
                computed: Money::from_minor(row.get(3).during(doing)?),
                what: row.get(4).during(doing)?,
            })
        })
    }
}
