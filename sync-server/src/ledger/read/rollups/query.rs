//! Reading roll-ups.

use pos_model::BusinessDate;

use super::narrow;
use super::sums::{HOURS, ITEMS, PROMOTIONS, RollUpTable};
use crate::ledger::LedgerError;
use crate::ledger::database::{AnyRow, Cell, Database, Row};
use crate::ledger::rollups::{HourRow, ItemRow, PromotionRow, RollUpFilter};

/// Reads the rows of a table: the store or nothing, the date, the rest of the key, the counters.
fn read<D: Database, T>(
    database: &D,
    table: &RollUpTable,
    filter: &RollUpFilter,
    row: impl Fn(&AnyRow<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let keys: Vec<&str> = table.keys.iter().map(|(name, _)| *name).collect();
    let keys = keys.join(", ");
    let mut values = Vec::new();
    let mut query = if filter.over_stores {
        let sums: Vec<String> = table.counters.iter().map(|name| format!("CAST(sum({name}) AS BIGINT)")).collect();
        format!("SELECT NULL, business_date, {keys}, {}", sums.join(", "))
    } else {
        format!("SELECT store_id, business_date, {keys}, {}", table.counters.join(", "))
    };
    query.push_str(&format!(" FROM {} JOIN stores USING (store_no) WHERE true", table.name));
    narrow(filter, &mut query, &mut values);
    if filter.over_stores {
        query.push_str(&format!(" GROUP BY business_date, {keys} ORDER BY business_date, {keys}"));
    } else {
        query.push_str(&format!(" ORDER BY store_id, business_date, {keys}"));
    }
    if let Some(rows_max) = filter.totals.rows_max {
        values.push(Cell::from(rows_max));
        query.push_str(&format!(" LIMIT ?{}", values.len()));
    }
    database.all("read roll-ups", &query, &values, row)
}

pub(super) fn hours<D: Database>(database: &D, filter: &RollUpFilter) -> Result<Vec<HourRow>, LedgerError> {
    read(database, &HOURS, filter, |row| {
        Ok(HourRow {
            store: row.maybe_text(0)?,
            business_date: BusinessDate::from_days(row.number(1)?),
            hour: row.number(2)?,
            currency: row.text(3)?,
            sales: row.number(4)?,
            lines: row.number(5)?,
            quantity_micro: row.number(6)?,
            gross_minor: row.number(7)?,
            tax_minor: row.number(8)?,
            net_minor: row.number(9)?,
            refunds: row.number(10)?,
            refund_gross_minor: row.number(11)?,
            refund_tax_minor: row.number(12)?,
        })
    })
}

pub(super) fn items<D: Database>(database: &D, filter: &RollUpFilter) -> Result<Vec<ItemRow>, LedgerError> {
    read(database, &ITEMS, filter, |row| {
        Ok(ItemRow {
            store: row.maybe_text(0)?,
            business_date: BusinessDate::from_days(row.number(1)?),
            hour: row.number(2)?,
            sku: row.text(3)?,
            currency: row.text(4)?,
            lines: row.number(5)?,
            quantity_micro: row.number(6)?,
            gross_minor: row.number(7)?,
            adjustment_minor: row.number(8)?,
            tax_minor: row.number(9)?,
            refund_lines: row.number(10)?,
            refund_quantity_micro: row.number(11)?,
            refund_gross_minor: row.number(12)?,
            refund_tax_minor: row.number(13)?,
        })
    })
}

pub(super) fn promotions<D: Database>(database: &D, filter: &RollUpFilter) -> Result<Vec<PromotionRow>, LedgerError> {
    read(database, &PROMOTIONS, filter, |row| {
        Ok(PromotionRow {
            store: row.maybe_text(0)?,
            business_date: BusinessDate::from_days(row.number(1)?),
            promotion_id: row.text(2)?,
            currency: row.text(3)?,
            sales: row.number(4)?,
            times: row.number(5)?,
            given_minor: row.number(6)?,
        })
    })
}
