//! `stock list` and `stock check`.

use std::collections::BTreeSet;
use std::io::Write;

use pos_model::{BusinessDate, StoreId};
use pricing::book::PriceBook;
use protocol::latest::stock_api::{CoverView, StockFlag, StockItem};
use serde_json::json;
use till::stock::{CoverRule, Totals};

use super::{CommandError, moment, plural};
use crate::db::{Reader, StockCheck, StockDifference};
use crate::http::stock::stock_item;

/// `stock list`: every item that was ever moved, used or counted, as of the business date `today`.
pub fn list(
    reader: &Reader,
    today: BusinessDate,
    rule: CoverRule,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let stock = reader.view().stock(today, rule, None).map_err(CommandError::Books)?;
    let books = reader.view().price_books().map_err(CommandError::Books)?;
    // A book that this program does not understand has names that it does not understand.
    let book = books.iter().find_map(|kept| PriceBook::from_json(&kept.json).ok());
    if !as_json {
        let heading = if stock.is_empty() {
            "nothing was ever moved, used or counted".to_owned()
        } else {
            row(["ITEM", "ON HAND", "UNIT", "LASTS", "LAST COUNT (UTC)", "LOOK AT"])
        };
        writeln!(out, "{heading}").map_err(CommandError::Output)?;
    }
    for (item_id, stock) in stock {
        let item = stock_item(item_id, stock, book.as_ref());
        let line =
            if as_json { serde_json::to_string(&item).expect("text and numbers always encode") } else { line(&item) };
        writeln!(out, "{line}").map_err(CommandError::Output)?;
    }
    Ok(())
}

fn line(item: &StockItem) -> String {
    let quantity = item.on_hand.parse().map_or_else(|error| error.to_string(), |quantity| quantity.to_string());
    let lasts = match item.cover {
        CoverView::NoUse => "no use".to_owned(),
        // In tenths of an hour, rounded down as the minutes are.
        CoverView::Lasts { trading_minutes } => format!("{}.{} h", trading_minutes / 60, trading_minutes % 60 / 6),
    };
    let counted = item.last_count.as_ref().map_or_else(|| "never".to_owned(), |last| moment(last.counted_at_ms));
    // That it was never counted stands beside it.
    let flags = item.flags.iter().filter_map(|flag| match flag {
        StockFlag::Negative => Some("below zero"),
        StockFlag::LowCover => Some("low"),
        StockFlag::NeverCounted => None,
    });
    let named = item.name.as_ref().map(|name| format!("{} ({name})", item.item_id));
    let name = named.unwrap_or_else(|| item.item_id.to_string());
    let unit = item.unit.as_ref().map_or("", |unit| unit.as_str());
    row([&name, &quantity, unit, &lasts, &counted, &flags.collect::<Vec<_>>().join(", ")])
}

fn row([item, on_hand, unit, lasts, counted, flags]: [&str; 6]) -> String {
    format!("{item:<30}  {on_hand:>12} {unit:<6}  {lasts:>9}  {counted:<24}  {flags}").trim_end().to_owned()
}

/// `stock check`: computes the counters again from the events. Returns whether they agree. `store_id` is the store's name,
/// if it has one.
pub fn check(
    reader: &Reader,
    store_id: Option<&StoreId>,
    as_json: bool,
    out: &mut impl Write,
) -> Result<bool, CommandError> {
    let found = reader.view().check_stock().map_err(CommandError::Books)?;
    let text = if as_json { as_line_of_json(&found, store_id) } else { in_words(&found, store_id) };
    writeln!(out, "{text}").map_err(CommandError::Output)?;
    Ok(found.differences.is_empty())
}

fn as_line_of_json(found: &StockCheck, store_id: Option<&StoreId>) -> String {
    let totals = |totals: Totals| json!({ "added": totals.added.to_string(), "used": totals.used.to_string() });
    let differences = found.differences.iter().map(|StockDifference { key, counted, from_events }| {
        json!({
            "business_date": key.business_date,
            "item_id": key.item_id,
            "epoch": key.epoch.to_string(),
            "counted": totals(*counted),
            "from_events": totals(*from_events),
        })
    });
    json!({
        "balanced": found.differences.is_empty(),
        "store_id": store_id,
        "compared": found.compared,
        "out_of_reach": found.out_of_reach,
        "differences_count": found.differences_count,
        "differences": differences.collect::<Vec<_>>(),
    })
    .to_string()
}

/// The check in words, each difference on a line of its own.
pub(crate) fn in_words(found: &StockCheck, store_id: Option<&StoreId>) -> String {
    let store = store_id.map_or_else(|| "this store".to_owned(), |store_id| format!("store {store_id}"));
    let dates = |dates: &BTreeSet<BusinessDate>| match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} from {first} to {last}", plural(len(dates), "business date"))
        }
        (Some(only), _) => format!("business date {only}"),
        _ => "no business date".to_owned(),
    };
    let mut text = format!("compared {} of {store} with the events", dates(&found.compared));
    if !found.out_of_reach.is_empty() {
        text.push_str(&format!(
            "; of {} not all events are held any more, so nothing can be said",
            dates(&found.out_of_reach)
        ));
    }
    if found.differences.is_empty() {
        text.push_str("\nbalanced: every counter of stock is what the events come to");
        return text;
    }
    text.push_str(&format!("\n{} differ:", plural(found.differences_count, "counter")));
    for StockDifference { key, counted, from_events } in &found.differences {
        text.push_str(&format!(
            "\n{store}, {}, {}: added {} and used {} are counted, {} and {} by the events (run {})",
            key.business_date, key.item_id, counted.added, counted.used, from_events.added, from_events.used, key.epoch,
        ));
    }
    text
}

fn len(dates: &BTreeSet<BusinessDate>) -> u64 {
    u64::try_from(dates.len()).unwrap_or(u64::MAX)
}
