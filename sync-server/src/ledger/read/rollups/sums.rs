//! What events add to the roll-ups.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{Currency, Stamp};
use protocol::latest::{EventBody, RefundCompleted, SaleCompleted};

use crate::ledger::text::adjustment_sum_minor;

/// A table of roll-ups. Its first two columns are `store_no` and `business_date`, the rest of the key and the counters come
/// in the order of a row of [`Sums`].
#[derive(Debug)]
pub(super) struct RollUpTable {
    pub(super) name: &'static str,
    /// The rest of the key, each with the type in which it is read.
    pub(super) keys: &'static [(&'static str, &'static str)],
    pub(super) counters: &'static [&'static str],
}

pub(super) const HOURS: RollUpTable = RollUpTable {
    name: "rollup_hours",
    keys: &[("hour", "INTEGER"), ("currency", "TEXT")],
    counters: &[
        "sales",
        "lines",
        "quantity_micro",
        "gross_minor",
        "tax_minor",
        "net_minor",
        "refunds",
        "refund_gross_minor",
        "refund_tax_minor",
    ],
};

pub(super) const ITEMS: RollUpTable = RollUpTable {
    name: "rollup_items",
    keys: &[("hour", "INTEGER"), ("sku", "TEXT"), ("currency", "TEXT")],
    counters: &[
        "lines",
        "quantity_micro",
        "gross_minor",
        "adjustment_minor",
        "tax_minor",
        "refund_lines",
        "refund_quantity_micro",
        "refund_gross_minor",
        "refund_tax_minor",
    ],
};

pub(super) const PROMOTIONS: RollUpTable = RollUpTable {
    name: "rollup_promotions",
    keys: &[("promotion_id", "TEXT"), ("currency", "TEXT")],
    counters: &["sales", "times", "given_minor"],
};

/// All of them.
pub(super) const TABLES: [&RollUpTable; 3] = [&HOURS, &ITEMS, &PROMOTIONS];

/// A store and its business date, as days since 1970-01-01.
pub(super) type Day = (i64, i32);

/// A part of a key behind the day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyPart {
    Hour(i64),
    Text(String),
}

/// The key of a row behind the day.
pub(super) type RowKey = Vec<KeyPart>;

/// The rows of one table. Sums are wider than what they sum.
pub(super) type Rows = BTreeMap<(Day, RowKey), Vec<i128>>;

/// What some events add up to, by the tables of [`TABLES`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) rows: [Rows; 3],
}

const MS_PER_DAY: i64 = 86_400_000;

/// The hour on a clock that showed this, 0 to 23. Also of a time that no calendar has: what counts is that it is always the
/// same.
pub(super) fn hour_of(stamp: Stamp) -> i64 {
    (stamp.utc_ms % MS_PER_DAY + i64::from(stamp.offset_s) * 1000).rem_euclid(MS_PER_DAY) / 3_600_000
}

/// The same in SQL, of columns of this name before `_at_ms` and `_offset_s`. Both homes take the sign of a remainder from what
/// is divided.
pub(super) fn hour_in_sql(name: &str) -> String {
    format!(
        "(((({name}_at_ms % 86400000 + CAST({name}_offset_s AS BIGINT) * 1000) % 86400000) + 86400000) % 86400000 / 3600000)"
    )
}

/// Text as both homes keep it: without the one character that a database does not take.
fn text(text: &str) -> KeyPart {
    KeyPart::Text(text.replace('\0', "\u{fffd}"))
}

impl Sums {
    /// Adds an event; those that are neither sales nor refunds add nothing.
    pub(super) fn add(&mut self, store_no: i64, event: &EventBody) {
        match event {
            EventBody::SaleCompleted(sale) => self.sale(store_no, sale),
            EventBody::RefundCompleted(refund) => self.refund(store_no, refund),
            _ => {}
        }
    }

    /// The business date to which an event adds something.
    pub(super) fn date_of(event: &EventBody) -> Option<i32> {
        match event {
            EventBody::SaleCompleted(sale) => Some(sale.business_date.days()),
            EventBody::RefundCompleted(refund) => Some(refund.business_date.days()),
            _ => None,
        }
    }

    fn count(&mut self, table: usize, day: Day, key: RowKey, values: &[i64]) {
        let row = self.rows[table].entry((day, key)).or_insert_with(|| vec![0; TABLES[table].counters.len()]);
        for (sum, value) in row.iter_mut().zip(values) {
            *sum += i128::from(*value);
        }
    }

    fn sale(&mut self, store_no: i64, sale: &SaleCompleted) {
        let (day, hour) = ((store_no, sale.business_date.days()), hour_of(sale.sold_at));
        let totals = &sale.totals;
        let lines = i64::try_from(sale.lines.len()).unwrap_or(i64::MAX);
        let of_sale = [
            1,
            lines,
            totals.quantity.micro(),
            totals.gross_minor.minor(),
            totals.tax_minor.minor(),
            totals.net_minor.minor(),
        ];
        self.count(0, day, vec![KeyPart::Hour(hour), currency(sale.currency)], &of_sale);
        let mut promotions = BTreeSet::new();
        for line in &sale.lines {
            let key = vec![KeyPart::Hour(hour), text(line.sku.as_str()), currency(sale.currency)];
            let (gross, tax) = (line.gross_minor.minor(), line.tax_minor.minor());
            self.count(1, day, key, &[1, line.quantity.micro(), gross, adjustment_sum_minor(line), tax]);
            for change in &line.adjustments {
                let Some(promotion) = &change.promotion_id else { continue };
                let first = i64::from(promotions.insert(promotion));
                let given = change.amount_minor.minor().saturating_neg();
                self.count(2, day, vec![text(promotion), currency(sale.currency)], &[first, 1, given]);
            }
        }
    }

    fn refund(&mut self, store_no: i64, refund: &RefundCompleted) {
        let (day, hour) = ((store_no, refund.business_date.days()), hour_of(refund.refunded_at));
        let totals = &refund.totals;
        let of_refund = [0, 0, 0, 0, 0, 0, 1, totals.gross_minor.minor(), totals.tax_minor.minor()];
        self.count(0, day, vec![KeyPart::Hour(hour), currency(refund.currency)], &of_refund);
        for line in &refund.lines {
            let key = vec![KeyPart::Hour(hour), text(line.sku.as_str()), currency(refund.currency)];
            let (gross, tax) = (line.gross_minor.minor(), line.tax_minor.minor());
            self.count(1, day, key, &[0, 0, 0, 0, 0, 1, line.quantity.micro(), gross, tax]);
        }
    }

    /// The dates of stores that they touch.
    pub(super) fn days(&self) -> BTreeSet<Day> {
        self.rows.iter().flatten().map(|((day, _), _)| *day).collect()
    }

    /// Takes the rows of one date of a store out.
    pub(super) fn take_day(&mut self, day: Day) -> Self {
        let mut taken = Self::default();
        for (rows, taken) in self.rows.iter_mut().zip(&mut taken.rows) {
            let mut of_day = rows.split_off(&(day, RowKey::new()));
            let mut behind = of_day.split_off(&((day.0, day.1.saturating_add(1)), RowKey::new()));
            rows.append(&mut behind);
            *taken = of_day;
        }
        taken
    }
}

fn currency(currency: Currency) -> KeyPart {
    KeyPart::Text(currency.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_that_of_the_stores_clock() {
        #[track_caller]
        fn check(utc_ms: i64, offset_s: i32, hour: i64) {
            assert_eq!(hour_of(Stamp { utc_ms, offset_s }), hour);
        }
        check(0, 0, 0);
        check(3_599_999, 0, 0);
        check(3_600_000, 0, 1);
        check(0, 28_800, 8);
        check(0, -3_600, 23);
        check(-1, 0, 23);
        check(-1, 1, 0);
        check(1_780_000_000_000, 28_800, 4);
        check(i64::MAX, i32::MAX, 10);
        check(i64::MIN, i32::MIN, 13);
    }

    #[test]
    fn a_day_is_taken_out_whole() {
        let mut sums = Sums::default();
        for store in 1..4 {
            for date in 1..4 {
                sums.count(0, (store, date), vec![KeyPart::Hour(7), text("CNY")], &[1]);
                sums.count(2, (store, date), vec![text(""), text("CNY")], &[1]);
            }
        }
        let taken = sums.take_day((2, 2));
        assert_eq!((taken.rows[0].len(), taken.rows[1].len(), taken.rows[2].len()), (1, 0, 1));
        assert_eq!(taken.days(), [(2, 2)].into());
        assert_eq!((sums.rows[0].len(), sums.rows[2].len(), sums.days().len()), (8, 8, 8));
    }
}
