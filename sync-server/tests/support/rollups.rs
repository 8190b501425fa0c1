//! What roll-ups hold, and what they should.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{Money, Stamp};
use protocol::latest::{Adjustment, Event, EventBody, SaleCompleted, decode_event};
use sync_server::ledger::{DateRange, RollUpFilter, RollUps};

use super::counter::tag;
use super::*;

/// A row of any table as text: its key and its counters.
pub type Rows = BTreeMap<String, Vec<i64>>;

/// What a ledger's roll-ups hold.
pub fn held(books: &(impl RollUps + ?Sized)) -> Rows {
    let filter = RollUpFilter::default();
    let mut rows = Rows::new();
    for row in books.hours(&filter).expect("readable") {
        let store = row.store.expect("a row for each store");
        let key = format!("hour {store} {} {} {}", row.business_date, row.hour, row.currency);
        let of_sales = [row.sales, row.lines, row.quantity_micro, row.gross_minor, row.tax_minor, row.net_minor];
        let of_refunds = [row.refunds, row.refund_gross_minor, row.refund_tax_minor];
        rows.insert(key, [of_sales.as_slice(), of_refunds.as_slice()].concat());
    }
    for row in books.items(&filter).expect("readable") {
        let store = row.store.expect("a row for each store");
        let key = format!("item {store} {} {} {} {}", row.business_date, row.hour, row.sku, row.currency);
        let of_sales = [row.lines, row.quantity_micro, row.gross_minor, row.adjustment_minor, row.tax_minor];
        let of_refunds = [row.refund_lines, row.refund_quantity_micro, row.refund_gross_minor, row.refund_tax_minor];
        rows.insert(key, [of_sales.as_slice(), of_refunds.as_slice()].concat());
    }
    for row in books.promotions(&filter).expect("readable") {
        let store = row.store.expect("a row for each store");
        let key = format!("promotion {store} {} {} {}", row.business_date, row.promotion_id, row.currency);
        rows.insert(key, vec![row.sales, row.times, row.given_minor]);
    }
    rows
}

/// The same, computed from what the stores recorded. Each fact counts once, by its id.
pub fn naive<'a>(histories: impl IntoIterator<Item = &'a History>) -> Rows {
    let mut rows = Rows::new();
    let mut seen = BTreeSet::new();
    let mut add = |key: String, values: Vec<i64>| {
        let row = rows.entry(key).or_insert_with(|| vec![0; values.len()]);
        row.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    };
    for history in histories {
        let store = history.store.as_str();
        for event in history.events.iter().filter_map(|bytes| decode_event(bytes).ok()) {
            match event.body {
                EventBody::SaleCompleted(sale) if seen.insert(sale.sale_id.uuid()) => {
                    let (date, currency) = (sale.business_date, sale.currency);
                    let hour = hour(sale.sold_at);
                    let totals = sale.totals;
                    let lines = i64::try_from(sale.lines.len()).expect("few");
                    let money = [totals.gross_minor, totals.tax_minor, totals.net_minor].map(|money| money.minor());
                    let counts = [1, lines, totals.quantity.micro()];
                    let values = [counts.as_slice(), money.as_slice(), &[0, 0, 0]].concat();
                    add(format!("hour {store} {date} {hour} {currency}"), values);
                    let mut promotions = BTreeMap::new();
                    for line in &sale.lines {
                        let changed: i64 = line.adjustments.iter().map(|change| change.amount_minor.minor()).sum();
                        let (gross, tax) = (line.gross_minor.minor(), line.tax_minor.minor());
                        let values = vec![1, line.quantity.micro(), gross, changed, tax, 0, 0, 0, 0];
                        add(format!("item {store} {date} {hour} {} {currency}", line.sku), values);
                        for change in &line.adjustments {
                            if let Some(promotion) = &change.promotion_id {
                                let (times, given) = promotions.entry(promotion.clone()).or_insert((0, 0));
                                *times += 1;
                                *given -= change.amount_minor.minor();
                            }
                        }
                    }
                    for (promotion, (times, given)) in promotions {
                        add(format!("promotion {store} {date} {promotion} {currency}"), vec![1, times, given]);
                    }
                }
                EventBody::RefundCompleted(refund) if seen.insert(refund.refund_id.uuid()) => {
                    let (date, currency, hour) = (refund.business_date, refund.currency, hour(refund.refunded_at));
                    let (gross, tax) = (refund.totals.gross_minor.minor(), refund.totals.tax_minor.minor());
                    add(format!("hour {store} {date} {hour} {currency}"), vec![0, 0, 0, 0, 0, 0, 1, gross, tax]);
                    for line in &refund.lines {
                        let (gross, tax) = (line.gross_minor.minor(), line.tax_minor.minor());
                        let values = vec![0, 0, 0, 0, 0, 1, line.quantity.micro(), gross, tax];
                        add(format!("item {store} {date} {hour} {} {currency}", line.sku), values);
                    }
                }
                _ => {}
            }
        }
    }
    rows
}

fn hour(stamp: Stamp) -> i64 {
    (stamp.utc_ms + i64::from(stamp.offset_s) * 1000).div_euclid(3_600_000).rem_euclid(24)
}

/// A sale at an hour of the day in UTC, with a promotion on some of its lines.
pub fn sale_at(spec: &SaleSpec, hour: i64, promotions: &[(usize, &str, i64)]) -> SaleCompleted {
    let mut sale = sale(spec);
    sale.sold_at = Stamp { utc_ms: NOW - NOW % 86_400_000 + hour * 3_600_000 + 5, offset_s: 28_800 };
    for (line, promotion, amount) in promotions {
        let count = sale.lines.len();
        sale.lines[line % count].adjustments.push(Adjustment {
            reason: tag("promotion"),
            promotion_id: Some((*promotion).to_owned()),
            amount_minor: Money::from_minor(*amount),
        });
    }
    sale
}

pub fn push_sale(history: &mut History, id: u128, sale: SaleCompleted) {
    history.push(&Event { id: event_id(id), at: stamp(), body: EventBody::SaleCompleted(Box::new(sale)) });
}

/// Rolls up until there is nothing more to do.
pub fn roll_up(books: &(impl RollUps + ?Sized)) {
    while books.roll_up(1, NOW).expect("the database is well").more {}
}

pub fn right(books: &(impl RollUps + ?Sized)) {
    let report = books.check_roll_ups(DateRange::default(), &mut |_| {}).expect("readable");
    assert_eq!((report.differences, report.days_waiting), (vec![], 0));
    assert!(report.rows > 0);
}
