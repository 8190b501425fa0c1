//! Reading the ledger in SQLite.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pos_model::{BusinessDate, Epoch, RefundId, SaleId, Seq, StoreId};
use protocol::latest::{EventBody, SaleCompleted, decode_event};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::fault::{During, read_all};
use super::rows::hash_of;
use super::{Connected, fleet, frames, history, verify};
use crate::ledger::LedgerError;
use crate::ledger::books::{
    Books, DayTotals, DuplicateReceipt, EpochRow, LatestDay, ParkedEvent, ParkedFilter, ReceiptGap, SaleRecord,
    StoreRow, TotalsFilter, VerifyReport,
};

impl<C: Connected> Books for C {
    fn stores(&self) -> Result<Vec<StoreRow>, LedgerError> {
        fleet::stores(self.connection(), None)
    }

    fn store(&self, store: &StoreId) -> Result<Option<StoreRow>, LedgerError> {
        let store_no = store_no(self.connection(), store)?;
        let Some(store_no) = store_no else { return Ok(None) };
        Ok(fleet::stores(self.connection(), Some(store_no))?.pop())
    }

    fn epochs(&self, store: &StoreId, limit: u32) -> Result<Vec<EpochRow>, LedgerError> {
        let doing = "read epochs";
        let query = "SELECT epoch, applied_seq, applied_hash, reported_head, first_seen_ms, opened_at_ms, opened_why,
                previous_epoch, previous_seq, successors
            FROM streams JOIN stores USING (store_no) WHERE store_id = ?1 ORDER BY stream_no DESC LIMIT ?2";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let previous = row.get::<_, Option<i64>>(7).during(doing)?.zip(row.get::<_, Option<i64>>(8).during(doing)?);
            Ok(EpochRow {
                epoch: Epoch::from_sql(row.get(0).during(doing)?),
                applied: Seq::from_sql(row.get(1).during(doing)?),
                applied_hash: hash_of(row.get_ref(2).during(doing)?)?,
                reported_head: Seq::from_sql(row.get(3).during(doing)?),
                first_seen_ms: row.get(4).during(doing)?,
                opened_at_ms: row.get(5).during(doing)?,
                opened_why: row.get(6).during(doing)?,
                previous: previous.map(|(epoch, seq)| (Epoch::from_sql(epoch), Seq::from_sql(seq))),
                successors: row.get(9).during(doing)?,
            })
        })
    }

    fn receipt_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ReceiptGap>, LedgerError> {
        let doing = "read receipt gaps";
        // A run that does not begin at 1 has the end of the run before it, or nothing, on the other side of the gap.
        let query = "SELECT till_id, 1 + ifnull((SELECT max(before.last_no) FROM receipt_runs AS before
                    WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                        AND before.first_no < runs.first_no), 0) AS gap_first, first_no - 1
            FROM receipt_runs AS runs
            WHERE store_no = (SELECT store_no FROM stores WHERE store_id = ?1) AND first_no > 1
            ORDER BY till_id, gap_first LIMIT ?2";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let (till_id, first_no, last_no) = row.try_into().during(doing)?;
            Ok(ReceiptGap { till_id, first_no, last_no })
        })
    }

    fn duplicate_receipts(&self, store: &StoreId, limit: u32) -> Result<Vec<DuplicateReceipt>, LedgerError> {
        let doing = "read duplicate receipts";
        let query = "SELECT duplicate_receipts.till_id, duplicate_receipts.receipt_no, sales.sale_id, refunds.refund_id
            FROM duplicate_receipts LEFT JOIN sales USING (event_no) LEFT JOIN refunds USING (event_no)
            WHERE duplicate_receipts.store_no = (SELECT store_no FROM stores WHERE store_id = ?1)
            ORDER BY 1, 2, event_no LIMIT ?2";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        read_all(&mut statement, params![store.as_str(), limit], doing, |row| {
            let (till_id, receipt_no, sale_id, refund_id): (_, _, Option<[u8; 16]>, Option<[u8; 16]>) =
                row.try_into().during(doing)?;
            let sale_id = sale_id.map(|id| SaleId::new(Uuid::from_bytes(id)));
            let refund_id = refund_id.map(|id| RefundId::new(Uuid::from_bytes(id)));
            Ok(DuplicateReceipt { till_id, receipt_no, sale_id, refund_id })
        })
    }

    fn sale(&self, sale_id: &SaleId) -> Result<Option<SaleRecord>, LedgerError> {
        let doing = "read sale";
        let query = "SELECT store_id, streams.epoch, seq, hash, event_no, (SELECT received_at_ms FROM batches
                    WHERE first_event_no <= event_no ORDER BY first_event_no DESC LIMIT 1)
            FROM sales JOIN events USING (event_no) JOIN stores USING (store_no) JOIN streams USING (stream_no)
            WHERE sale_id = ?1";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        let mut rows = statement.query([sale_id.as_bytes()]).during(doing)?;
        let Some(row) = rows.next().during(doing)? else { return Ok(None) };
        let bytes = frames::event_bytes(self.connection(), row.get(4).during(doing)?)?;
        let bytes = bytes.ok_or(LedgerError::Damaged { what: "event" })?;
        let event = decode_event(&bytes).map_err(|_| LedgerError::Damaged { what: "event" })?;
        let EventBody::SaleCompleted(sale) = event.body else { return Err(LedgerError::Damaged { what: "sale" }) };
        Ok(Some(SaleRecord {
            store: store_id(row.get(0).during(doing)?)?,
            epoch: Epoch::from_sql(row.get(1).during(doing)?),
            seq: Seq::from_sql(row.get(2).during(doing)?),
            event_id: event.id,
            hash: hash_of(row.get_ref(3).during(doing)?)?,
            received_at_ms: row.get(5).during(doing)?,
            sale: *sale,
        }))
    }

    fn each_sale(
        &self,
        filter: &TotalsFilter,
        each: &mut dyn FnMut(&StoreId, &SaleCompleted),
    ) -> Result<(), LedgerError> {
        history::each_sale(self.connection(), filter, each)
    }

    fn totals(&self, filter: &TotalsFilter) -> Result<Vec<DayTotals>, LedgerError> {
        let doing = "read totals";
        let mut query =
            "SELECT store_id, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor,
                net_minor, refunds, refund_gross_minor, refund_tax_minor FROM day_totals JOIN stores USING (store_no) WHERE true"
                .to_owned();
        let mut values = Vec::new();
        let mut narrow = |condition: &str, value: Value| {
            values.push(value);
            write!(query, " AND {condition} ?{}", values.len()).expect("a string takes all");
        };
        if let Some(store) = &filter.store {
            narrow("store_id =", Value::Text(store.to_string()));
        }
        if let Some(from) = filter.from {
            narrow("business_date >=", Value::Integer(from.days().into()));
        }
        if let Some(to) = filter.to {
            narrow("business_date <=", Value::Integer(to.days().into()));
        }
        query.push_str(" ORDER BY store_id, business_date, currency");
        if let Some(rows_max) = filter.rows_max {
            values.push(Value::Integer(rows_max.into()));
            write!(query, " LIMIT ?{}", values.len()).expect("a string takes all");
        }
        let mut statement = self.connection().prepare_cached(&query).during(doing)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(DayTotals {
                store: row.get(0)?,
                business_date: BusinessDate::from_days(row.get(1)?),
                currency: row.get(2)?,
                sales: row.get(3)?,
                lines: row.get(4)?,
                quantity_micro: row.get(5)?,
                gross_minor: row.get(6)?,
                tax_minor: row.get(7)?,
                net_minor: row.get(8)?,
                refunds: row.get(9)?,
                refund_gross_minor: row.get(10)?,
                refund_tax_minor: row.get(11)?,
            })
        });
        rows.during(doing)?.collect::<rusqlite::Result<_>>().during(doing)
    }

    fn newest_date(&self, now_ms: i64) -> Result<Option<BusinessDate>, LedgerError> {
        let doing = "read the newest business date";
        // Somewhere on earth it is tomorrow already.
        let tomorrow = now_ms.div_euclid(MS_PER_DAY) + 1;
        let query = "SELECT max(business_date) FROM day_totals WHERE business_date <= ?1";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        let days: Option<i64> = statement.query_row([tomorrow], |row| row.get(0)).during(doing)?;
        Ok(days.map(BusinessDate::from_days))
    }

    fn latest_day(&self, now_ms: i64) -> Result<Vec<LatestDay>, LedgerError> {
        let doing = "read the newest business day";
        let Some(business_date) = self.newest_date(now_ms)? else { return Ok(Vec::new()) };
        let query = "SELECT currency, sales, gross_minor, refunds, refund_gross_minor FROM day_totals
            WHERE business_date = ?1";
        let mut statement = self.connection().prepare_cached(query).during(doing)?;
        let days = read_all(&mut statement, [business_date.days()], doing, |row| {
            let (currency, sales, gross_minor, refunds, refund_gross_minor) = row.try_into().during(doing)?;
            Ok(LatestDay { business_date, currency, sales, gross_minor, refunds, refund_gross_minor })
        })?;
        Ok(by_currency(days))
    }

    fn parked(&self, filter: &ParkedFilter) -> Result<Vec<ParkedEvent>, LedgerError> {
        let doing = "read parked events";
        let query = match filter.store {
            Some(_) => format!(
                "{PARKED} WHERE parked_no > ?1 AND parked.store_no = (SELECT store_no FROM stores WHERE store_id = ?3)
                ORDER BY parked_no LIMIT ?2"
            ),
            None => format!("{PARKED} WHERE parked_no > ?1 AND ?3 IS NULL ORDER BY parked_no LIMIT ?2"),
        };
        let store = filter.store.as_ref().map(StoreId::as_str);
        let mut statement = self.connection().prepare_cached(&query).during(doing)?;
        read_all(&mut statement, params![filter.after, filter.limit, store], doing, |row| {
            parked_event(self.connection(), row)
        })
    }

    fn parked_event(&self, parked_no: i64) -> Result<Option<ParkedEvent>, LedgerError> {
        let doing = "read parked event";
        let mut statement =
            self.connection().prepare_cached(&format!("{PARKED} WHERE parked_no = ?1")).during(doing)?;
        Ok(read_all(&mut statement, [parked_no], doing, |row| parked_event(self.connection(), row))?.pop())
    }

    fn verify(&self) -> Result<VerifyReport, LedgerError> {
        verify::verify(self.connection())
    }
}

/// One day of many stores, in order of currencies. A sum that does not fit stays at the largest number, where `sum()` of
/// SQLite would fail and take the view of all stores with it.
fn by_currency(days: Vec<LatestDay>) -> Vec<LatestDay> {
    let mut sums: BTreeMap<String, LatestDay> = BTreeMap::new();
    for day in days {
        match sums.get_mut(&day.currency) {
            Some(sum) => {
                sum.sales = sum.sales.saturating_add(day.sales);
                sum.gross_minor = sum.gross_minor.saturating_add(day.gross_minor);
                sum.refunds = sum.refunds.saturating_add(day.refunds);
                sum.refund_gross_minor = sum.refund_gross_minor.saturating_add(day.refund_gross_minor);
            }
            None => {
                sums.insert(day.currency.clone(), day);
            }
        }
    }
    sums.into_values().collect()
}

const MS_PER_DAY: i64 = 86_400_000;

const PARKED: &str = "SELECT parked_no, store_id, epoch, seq, parked.hash, parked_at_ms, reason, detail,
        event_no, bytes
    FROM parked JOIN stores USING (store_no) JOIN streams USING (stream_no)";

fn parked_event(connection: &Connection, row: &Row<'_>) -> Result<ParkedEvent, LedgerError> {
    let doing = "read parked event";
    let bytes = match row.get::<_, Option<i64>>(8).during(doing)? {
        Some(event_no) => frames::event_bytes(connection, event_no)?,
        None => row.get(9).during(doing)?,
    };
    Ok(ParkedEvent {
        parked_no: row.get(0).during(doing)?,
        store: row.get(1).during(doing)?,
        epoch: Epoch::from_sql(row.get(2).during(doing)?),
        seq: Seq::from_sql(row.get(3).during(doing)?),
        hash: hash_of(row.get_ref(4).during(doing)?)?,
        parked_at_ms: row.get(5).during(doing)?,
        reason: row.get(6).during(doing)?,
        detail: row.get(7).during(doing)?,
        bytes: bytes.ok_or(LedgerError::Damaged { what: "parked event" })?,
    })
}

fn store_no(connection: &Connection, store: &StoreId) -> Result<Option<i64>, LedgerError> {
    connection
        .query_row("SELECT store_no FROM stores WHERE store_id = ?1", [store.as_str()], |row| row.get(0))
        .optional()
        .during("find store")
}

pub(super) fn store_id(text: String) -> Result<StoreId, LedgerError> {
    StoreId::new(text).map_err(|_| LedgerError::Damaged { what: "store id" })
}
