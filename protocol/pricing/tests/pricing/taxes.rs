//! Taxes, cash and clocks: the fixtures on which others disagreed to the minor unit.

use std::path::Path;

use pos_model::{BusinessDate, DayCutOff, Money, Quantity, Sku, Stamp};
use pricing::book::{CashRounding, PriceBook, RoundingDirection};
use pricing::{Basket, BasketLine, Context, Rules, cash_rounding, price};
use serde_json::{Map, Value, json};

use crate::support::{adds_up, circumstances, parse_basket, tag, tea};

/// `4 x 1.48 excl 21`: quantity, price in minor units, whether the tax is on top, rate in parts per million.
fn parse_goods(text: &str) -> (Quantity, i64, bool, i64) {
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.len(), 5, "what are {text:?}?");
    // A decimal is read as millionths, of which a minor unit has ten thousand, and a percentage a hundred per millionth.
    let millionths = |text: &str| text.parse::<Quantity>().expect("a number").micro();
    let on_top = words[3] == "excl";
    (words[0].parse().expect("a quantity"), millionths(words[2]) / 10_000, on_top, millionths(words[4]) / 100)
}

#[test]
fn one_tax_for_one_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/taxes.cases");
    let text = std::fs::read_to_string(path).expect("the cases are part of the project");
    let mut checked = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let goods: Vec<_> = columns[0].split(',').map(parse_goods).collect();
        let (mut items, mut groups) = (Map::new(), Map::new());
        let mut lines = Vec::new();
        for (place, (quantity, minor, on_top, rate)) in goods.into_iter().enumerate() {
            let group = format!("{}-{rate}", if on_top { "excl" } else { "incl" });
            let mode = if on_top { "exclusive" } else { "inclusive" };
            groups.insert(group.clone(), json!({ "rate_ppm": rate, "mode": mode }));
            let (item, sku) = (format!("item-{place}"), format!("sku-{place}"));
            let variants = json!([{ "sku": sku, "size": "m", "name": "", "price_minor": minor }]);
            items.insert(item, json!({ "name": sku, "tax_group": group, "variants": variants }));
            lines.push(BasketLine { sku: Sku::new(sku).expect("valid"), options: Vec::new(), quantity });
        }
        let book = json!({
            "schema": 1, "engine_level": 1, "version": "taxes", "currency": "EUR",
            "tax_groups": Value::Object(groups), "items": Value::Object(items),
        });
        let book = PriceBook::from_json(book.to_string().as_bytes()).expect("a book");
        let priced = price(&Basket { lines }, &Rules::new(book), &circumstances(""));
        adds_up(&priced);
        let decimal = |money: Money| format!("{}.{:02}", money.minor() / 100, money.minor() % 100);
        assert_eq!([decimal(priced.gross), decimal(priced.tax)], [columns[1], columns[2]], "{line}");
        checked += 1;
    }
    assert!(checked >= 7, "{checked} cases");
}

#[test]
fn cash_is_rounded_to_what_coins_there_are() {
    #[track_caller]
    fn check(due: i64, unit_minor: i64, direction: RoundingDirection, paid: i64) {
        let rounding = CashRounding { unit_minor, direction };
        let added = cash_rounding(Money::from_minor(due), rounding).minor();
        assert_eq!(due + added, paid, "{due} to {unit_minor} {direction:?}");
    }
    use RoundingDirection::{Down, Nearest, Up};
    // 1.97 in coins of 0.05 is 1.95, so that 2.00 gives 0.05 back.
    check(197, 5, Nearest, 195);
    check(198, 5, Nearest, 200);
    check(3_575, 10, Nearest, 3_580);
    check(3_574, 10, Nearest, 3_570);
    check(1_125, 50, Nearest, 1_150);
    check(1_125, 50, Down, 1_100);
    check(1_101, 50, Up, 1_150);
    check(1_100, 50, Up, 1_100);
    // Card and wallet pay what is due: the amount stands apart and nobody has to take it.
    check(1_651, 1, Nearest, 1_651);
    check(0, 5, Up, 0);
}

/// In the nights of the change an hour is missing, or comes twice. What counts is the clock on the wall, and the business
/// date that ends at four in the morning.
#[test]
fn nights_of_the_change_and_windows_over_midnight() {
    let cut_off = DayCutOff::from_minutes(240).expect("four o'clock");
    let at = |utc: &str, offset_h: i32| {
        let (date, time) = utc.split_once(' ').expect("date and time");
        let day: BusinessDate = date.parse().expect("a date");
        let (hour, minute) = time.split_once(':').expect("hour and minute");
        let minutes = hour.parse::<i64>().expect("an hour") * 60 + minute.parse::<i64>().expect("a minute");
        let utc_ms = (i64::from(day.days()) * 1440 + minutes) * 60_000;
        Context::at(Stamp { utc_ms, offset_s: offset_h * 3600 }, cut_off, tag("counter"))
    };
    #[track_caller]
    fn check(context: &Context, date: &str, minute: u16, late: bool) {
        assert_eq!((context.business_date.to_string().as_str(), context.minute), (date, minute));
        // The sample book gives one pure tea for another from 22:00 to 02:00.
        let priced = price(&parse_basket("2 green-tea-m"), &tea(), context);
        let applied = priced.applied.iter().any(|applied| applied.promotion.as_str() == "night-bogo");
        assert_eq!(applied, late, "{date} {minute}");
    }
    // An ordinary Friday night.
    check(&at("2026-11-20 20:59", 1), "2026-11-20", 21 * 60 + 59, false);
    check(&at("2026-11-20 21:00", 1), "2026-11-20", 22 * 60, true);
    check(&at("2026-11-21 00:59", 1), "2026-11-20", 119, true);
    check(&at("2026-11-21 01:00", 1), "2026-11-20", 120, false);
    // In autumn 02:30 comes twice, first at two hours from UTC, then at one; neither is before two.
    check(&at("2026-10-24 23:30", 2), "2026-10-24", 90, true);
    check(&at("2026-10-25 00:30", 2), "2026-10-24", 150, false);
    check(&at("2026-10-25 01:30", 1), "2026-10-24", 150, false);
    check(&at("2026-10-25 03:30", 1), "2026-10-25", 270, false);
    // In spring the clock goes from 01:59 to 03:00.
    check(&at("2026-03-29 00:59", 1), "2026-03-28", 119, true);
    check(&at("2026-03-29 01:00", 2), "2026-03-28", 180, false);
    check(&at("2026-03-29 02:00", 2), "2026-03-29", 240, false);
}
