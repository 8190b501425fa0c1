//! Reading the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pos_model::{BusinessDate, Epoch, RefundId, SaleId, Seq, StoreId};
use protocol::latest::{Event, EventBody, SaleCompleted, decode_event};

use super::registry::store_no;
use super::{fleet, frames, history, parked, verify};
use crate::ledger::LedgerError;
use crate::ledger::books::{
    Books, DayTotals, DuplicateReceipt, EpochRow, LatestDay, ParkedEvent, ReceiptGap, SaleRecord, StoreRow,
    TotalsFilter, VerifyReport,
};
use crate::ledger::database::{Cell, Database, Row, cells};
use crate::ledger::parking::{ParkedAction, ParkedBacklog, ParkedFilter};

impl<D: Database> Books for D {
    fn stores(&self) -> Result<Vec<StoreRow>, LedgerError> {
        fleet::stores(self, None)
    }

    fn store(&self, store: &StoreId) -> Result<Option<StoreRow>, LedgerError> {
        let Some(store_no) = store_no(self, store)? else { return Ok(None) };
        Ok(fleet::stores(self, Some(store_no))?.pop())
    }

    fn epochs(&self, store: &StoreId, limit: u32) -> Result<Vec<EpochRow>, LedgerError> {
        let query = "SELECT epoch, applied_seq, applied_hash, reported_head, first_seen_ms, opened_at_ms, opened_why,
                previous_epoch, previous_seq, successors
            FROM streams JOIN stores USING (store_no) WHERE store_id = ?1
            ORDER BY first_seen_ms DESC, stream_no DESC LIMIT ?2";
        self.all("read epochs", query, cells![store.as_str(), limit], |row| {
            let previous = row.maybe_number(7)?.zip(row.maybe_number(8)?);
            Ok(EpochRow {
                epoch: Epoch::from_sql(row.number(0)?),
                applied: Seq::from_sql(row.number(1)?),
                applied_hash: row.hash(2)?,
                reported_head: Seq::from_sql(row.number(3)?),
                first_seen_ms: row.number(4)?,
                opened_at_ms: row.maybe_number(5)?,
                opened_why: row.maybe_text(6)?,
                previous: previous.map(|(epoch, seq)| (Epoch::from_sql(epoch), Seq::from_sql(seq))),
                successors: row.number(9)?,
            })
        })
    }

    fn receipt_gaps(&self, store: &StoreId, limit: u32) -> Result<Vec<ReceiptGap>, LedgerError> {
        let gaps = gaps(self, "read receipt gaps", "receipt_runs", store, limit)?;
        Ok(gaps.into_iter().map(|(till_id, first_no, last_no)| ReceiptGap { till_id, first_no, last_no }).collect())
    }

    fn duplicate_receipts(&self, store: &StoreId, limit: u32) -> Result<Vec<DuplicateReceipt>, LedgerError> {
        let doing = "read duplicate receipts";
        let query = "SELECT till_id, receipt_no, event_no FROM duplicate_receipts
            WHERE store_no = (SELECT store_no FROM stores WHERE store_id = ?1)
            ORDER BY till_id, receipt_no, event_no LIMIT ?2";
        let values = cells![store.as_str(), limit];
        let found = self.all(doing, query, values, |row| Ok((row.text(0)?, row.number(1)?, row.number(2)?)))?;
        let of_event = |(till_id, receipt_no, event_no)| {
            let (sale_id, refund_id): (Option<SaleId>, Option<RefundId>) =
                match held_event(self, event_no)?.map(|event| event.body) {
                    Some(EventBody::SaleCompleted(sale)) => (Some(sale.sale_id), None),
                    Some(EventBody::RefundCompleted(refund)) => (None, Some(refund.refund_id)),
                    _ => (None, None),
                };
            Ok(DuplicateReceipt { till_id, receipt_no, sale_id, refund_id })
        };
        found.into_iter().map(of_event).collect()
    }

    fn sale(&self, sale_id: &SaleId) -> Result<Option<SaleRecord>, LedgerError> {
        let doing = "read sale";
        let query = "SELECT event_no, store_id FROM applied_sales JOIN stores USING (store_no) WHERE sale_id = ?1";
        let query = query.replace("applied_sales", Self::DIALECT.applied_sales);
        let values = cells![sale_id.as_bytes()];
        let found = self.first(doing, &query, values, |row| Ok((row.number(0)?, row.store(1)?)))?;
        let Some((event_no, store)) = found else { return Ok(None) };
        // What retention has taken is not there to be shown any more.
        let Some(bytes) = frames::event_bytes(self, event_no)? else { return Ok(None) };
        let damaged = || LedgerError::Damaged { what: "event of a sale" };
        let event = decode_event(&bytes).map_err(|_| damaged())?;
        let EventBody::SaleCompleted(sale) = event.body else { return Err(damaged()) };
        let (stream_no, seq, hash, received_at_ms) = match frames::holding(self, event_no)? {
            Some(held) => {
                let (seq, hash) = held.seq(event_no).zip(held.hash(event_no)).ok_or_else(damaged)?;
                (held.stream_no, seq, hash, held.received_at_ms)
            }
            None => {
                let fixed = frames::superseding(self, event_no)?.ok_or_else(damaged)?;
                (fixed.stream_no, fixed.seq, fixed.hash, fixed.fixed_at_ms)
            }
        };
        let query = "SELECT epoch FROM streams WHERE stream_no = ?1";
        let epoch = self.first(doing, query, cells![stream_no], |row| row.number(0))?;
        Ok(Some(SaleRecord {
            store,
            epoch: Epoch::from_sql(epoch.ok_or_else(damaged)?),
            seq,
            event_id: event.id,
            hash,
            received_at_ms,
            sale: *sale,
        }))
    }

    fn each_sale(
        &self,
        filter: &TotalsFilter,
        each: &mut dyn FnMut(&StoreId, &SaleCompleted),
    ) -> Result<(), LedgerError> {
        history::each_sale(self, filter, each)
    }

    fn totals(&self, filter: &TotalsFilter) -> Result<Vec<DayTotals>, LedgerError> {
        let mut query =
            "SELECT store_id, business_date, currency, sales, lines, quantity_micro, gross_minor, tax_minor,
                net_minor, refunds, refund_gross_minor, refund_tax_minor
            FROM day_totals JOIN stores USING (store_no) WHERE true"
                .to_owned();
        let store = filter.store.as_ref().map(|store| ("store_id =", Cell::from(store.as_str())));
        let from = filter.from.map(|from| ("business_date >=", Cell::from(from.days())));
        let to = filter.to.map(|to| ("business_date <=", Cell::from(to.days())));
        let mut values = Vec::new();
        for (condition, value) in [store, from, to].into_iter().flatten() {
            values.push(value);
            write!(query, " AND {condition} ?{}", values.len()).expect("a string takes all");
        }
        query.push_str(" ORDER BY store_id, business_date, currency");
        if let Some(rows_max) = filter.rows_max {
            values.push(Cell::from(rows_max));
            write!(query, " LIMIT ?{}", values.len()).expect("a string takes all");
        }
        self.all("read totals", &query, &values, |row| {
            Ok(DayTotals {
                store: row.text(0)?,
                business_date: BusinessDate::from_days(row.number(1)?),
                currency: row.text(2)?,
                sales: row.number(3)?,
                lines: row.number(4)?,
                quantity_micro: row.number(5)?,
                gross_minor: row.number(6)?,
                tax_minor: row.number(7)?,
                net_minor: row.number(8)?,
                refunds: row.number(9)?,
                refund_gross_minor: row.number(10)?,
                refund_tax_minor: row.number(11)?,
            })
        })
    }

    fn newest_date(&self, now_ms: i64) -> Result<Option<BusinessDate>, LedgerError> {
        // Somewhere on earth it is tomorrow already.
        let tomorrow = BusinessDate::from_days(now_ms.div_euclid(MS_PER_DAY) + 1);
        let query = "SELECT max(business_date) FROM day_totals WHERE business_date <= ?1";
        let values = cells![tomorrow.days()];
        let days = self.first("read the newest business date", query, values, |row| row.maybe_number(0))?;
        Ok(days.flatten().map(BusinessDate::from_days))
    }

    fn latest_day(&self, now_ms: i64) -> Result<Vec<LatestDay>, LedgerError> {
        let Some(business_date) = self.newest_date(now_ms)? else { return Ok(Vec::new()) };
        let query = "SELECT currency, sales, gross_minor, refunds, refund_gross_minor FROM day_totals
            WHERE business_date = ?1";
        let days = self.all("read the newest business day", query, cells![business_date.days()], |row| {
            Ok(LatestDay {
                business_date,
                currency: row.text(0)?,
                sales: row.number(1)?,
                gross_minor: row.number(2)?,
                refunds: row.number(3)?,
                refund_gross_minor: row.number(4)?,
            })
        })?;
        Ok(by_currency(days))
    }

    fn parked(&self, filter: &ParkedFilter) -> Result<Vec<ParkedEvent>, LedgerError> {
        parked::list(self, filter)
    }

    fn parked_event(&self, parked_no: i64) -> Result<Option<ParkedEvent>, LedgerError> {
        parked::event(self, parked_no)
    }

    fn parked_actions(&self, parked_no: i64) -> Result<Vec<ParkedAction>, LedgerError> {
        parked::actions(self, parked_no)
    }

    fn parked_backlog(&self) -> Result<ParkedBacklog, LedgerError> {
        parked::backlog(self)
    }

    fn verify(&self) -> Result<VerifyReport, LedgerError> {
        verify::verify(self)
    }
}

/// The numbers of a store that never arrived, by till: what lies before each run that does not begin at 1.
pub(super) fn gaps<D: Database>(
    database: &D,
    doing: &'static str,
    runs: &str,
    store: &StoreId,
    limit: u32,
) -> Result<Vec<(String, i64, i64)>, LedgerError> {
    // Such a run has the end of the run before it, or nothing, on the other side of the gap.
    let query = format!(
        "SELECT till_id, 1 + coalesce((SELECT max(before.last_no) FROM {runs} AS before
                WHERE before.store_no = runs.store_no AND before.till_id = runs.till_id
                    AND before.first_no < runs.first_no), 0) AS gap_first, first_no - 1
        FROM {runs} AS runs
        WHERE store_no = (SELECT store_no FROM stores WHERE store_id = ?1) AND first_no > 1
        ORDER BY till_id, gap_first LIMIT ?2"
    );
    let values = cells![store.as_str(), limit];
    database.all(doing, &query, values, |row| Ok((row.text(0)?, row.number(1)?, row.number(2)?)))
}

/// An event that is held, if it can be understood.
pub(super) fn held_event<D: Database>(database: &D, event_no: i64) -> Result<Option<Event>, LedgerError> {
    Ok(frames::event_bytes(database, event_no)?.and_then(|bytes| decode_event(&bytes).ok()))
}

/// One day of many stores, in order of currencies. A sum that does not fit stays at the largest number, where `sum()` of
/// the database would fail and take the view of all stores with it.
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
