//! Price books and price differences: transactions of a few rows, beside the writer.

use pos_model::{BookHash, Money, SaleId, StoreId};

use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::prices::{PriceBookRow, PriceBooks, PriceDifference};

impl<D: Database> PriceBooks for D {
    fn add_price_book(&self, hash: BookHash, version: &str, json: &[u8], now_ms: i64) -> Result<bool, LedgerError> {
        let insert = "INSERT INTO price_books (hash, version, added_at_ms, json) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO NOTHING";
        let added = self.execute("add price book", insert, cells![hash.as_bytes(), version, now_ms, json])?;
        Ok(added > 0)
    }

    fn price_books(&self) -> Result<Vec<PriceBookRow>, LedgerError> {
        let query = "SELECT hash, version, added_at_ms FROM price_books ORDER BY added_at_ms DESC, hash";
        self.all("read price books", query, &[], |row| {
            let hash: Result<[u8; 32], _> = row.bytes(0)?.try_into();
            let hash = hash.map_err(|_| LedgerError::Damaged { what: "hash of a price book" })?;
            let hash = BookHash::from_bytes(hash);
            Ok(PriceBookRow { hash, version: row.text(1)?, added_at_ms: row.number(2)? })
        })
    }

    fn price_book(&self, hash: BookHash) -> Result<Option<Vec<u8>>, LedgerError> {
        let query = "SELECT json FROM price_books WHERE hash = ?1";
        self.first("read price book", query, cells![hash.as_bytes()], |row| Ok(row.bytes(0)?.to_vec()))
    }

    fn note_price_differences(&self, differences: &[(StoreId, PriceDifference)]) -> Result<(), LedgerError> {
        let doing = "note price differences";
        self.change(doing, |database| {
            for (store, PriceDifference { sale_id, found_at_ms, sold, computed, what }) in differences {
                let insert =
                    "INSERT INTO price_differences (sale_id, store_no, found_at_ms, sold_minor, computed_minor, what)
                    SELECT sale_id, store_no, CAST(?3 AS BIGINT), CAST(?4 AS BIGINT), CAST(?5 AS BIGINT), CAST(?6 AS TEXT)
                    FROM applied_sales JOIN stores USING (store_no)
                    WHERE sale_id = ?1 AND store_id = ?2 ON CONFLICT DO NOTHING";
                let insert = insert.replace("applied_sales", D::DIALECT.applied_sales);
                let (sold, computed) = (sold.minor(), computed.minor());
                let row = cells![sale_id.as_bytes(), store.as_str(), *found_at_ms, sold, computed, what];
                database.execute(doing, &insert, row)?;
            }
            Ok(())
        })
    }

    fn price_differences(&self, store: &StoreId, limit: u32) -> Result<Vec<PriceDifference>, LedgerError> {
        let query = "SELECT sale_id, found_at_ms, sold_minor, computed_minor, what
            FROM price_differences JOIN stores USING (store_no) WHERE store_id = ?1
            ORDER BY found_at_ms DESC, sale_id LIMIT ?2";
        self.all("read price differences", query, cells![store.as_str(), limit], |row| {
            Ok(PriceDifference {
                sale_id: SaleId::new(row.id(0)?),
                found_at_ms: row.number(1)?,
                sold: Money::from_minor(row.number(2)?),
                computed: Money::from_minor(row.number(3)?),
                what: row.text(4)?,
            })
        })
    }
}
