//! Orders become commands to the agent, the same ones each time: a sale's id and content follow from the file, the mapping
//! and the store alone, so that a replay that is repeated or taken up again doubles nothing.

use pos_model::{Money, Quantity, SaleId, Stamp, Tag, TillId};
use pricing::LineInput;
use protocol::latest::local_api::{
    AdjustmentCommand, CompleteSale, ImportedCommand, LineCommand, OptionCommand, TenderCommand,
};

use super::mapping::{ItemFormat, Mapping, TillSource};
use super::receipts::{Order, OrderLine};
use super::refusal::RowRefusal;

/// The reason on the adjustment that makes a line cost what the file says.
const IMPORTED_PRICE: &str = "imported_price";

/// A sale to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSale {
    /// What is sent.
    pub command: CompleteSale,
    /// What it comes to.
    pub total: Money,
    /// How many units its lines have together.
    pub units: Quantity,
    /// When it was sold.
    pub sold_at: Stamp,
    /// The lines of the file that its rows start on.
    pub rows: Vec<u64>,
}

/// Makes the command for an order.
pub(super) fn plan(order: Order, mapping: &Mapping, store: &str) -> Result<PlannedSale, RowRefusal> {
    let sale_id = sale_id(store, &mapping.source, &order.key);
    let lines = if mapping.item.count_repeats { merged(order.lines)? } else { order.lines };
    let mut total = Money::ZERO;
    let mut units = Quantity::ZERO;
    let mut commands = Vec::with_capacity(lines.len());
    for line in lines {
        units = units.checked_add(line.quantity).map_err(|_| RowRefusal::Overflow)?;
        let (command, gross) = line_command(line, &mapping.item)?;
        total = total.checked_add(gross).map_err(|_| RowRefusal::Overflow)?;
        commands.push(command);
    }
    // A tender hands something over; a sale of nothing has none.
    let tenders = if total == Money::ZERO {
        Vec::new()
    } else {
        vec![TenderCommand { kind: mapping.tender.clone(), amount_minor: total, attempt_id: None }]
    };
    let command = CompleteSale {
        approval_id: None,
        basket_id: None,
        basket_revision: None,
        label: None,
        order: None,
        sale_id,
        till_id: till(order.till, sale_id, &mapping.till)?,
        operator_id: order.operator,
        channel: order.channel.unwrap_or_else(|| tag("counter")),
        member_tag: order.member,
        lines: commands,
        tenders,
        expected_total_minor: Some(total),
        price_book_version: None,
        imported: Some(ImportedCommand {
            source: mapping.source.clone(),
            reference: order.key.join("/"),
            sold_at_utc_ms: order.sold_at.utc_ms,
            sold_at_offset_s: order.sold_at.offset_s,
        }),
        traceparent: None,
    };
    Ok(PlannedSale { command, total, units, sold_at: order.sold_at, rows: order.rows })
}

fn tag(word: &str) -> Tag {
    Tag::new(word).expect("a word of small letters is a tag")
}

/// The id of a sale: a UUID of version 8 from the hash of store, source and order key. Each part goes in with its length,
/// so that `("1", "23")` and `("12", "3")` are two sales.
pub(super) fn sale_id(store: &str, source: &str, key: &[String]) -> SaleId {
    let mut hasher = blake3::Hasher::new_derive_key("breakwater 2026-11 replay: sale id of store, source, order key");
    for part in [store, source].into_iter().chain(key.iter().map(String::as_str)) {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    SaleId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Another till would make it another content, so a spread goes by the order's key and not by who is free.
fn till(named: Option<TillId>, sale_id: SaleId, source: &TillSource) -> Result<TillId, RowRefusal> {
    match (named, source) {
        (Some(till), _) => Ok(till),
        (None, TillSource::Spread(tills)) => {
            let hash = sale_id.as_bytes().last_chunk().map_or(0, |bytes: &[u8; 4]| u32::from_le_bytes(*bytes));
            let count = u32::try_from(tills.len()).unwrap_or(u32::MAX);
            let place = usize::try_from(hash.checked_rem(count).unwrap_or(0)).unwrap_or(0);
            tills.get(place).cloned().ok_or_else(|| RowRefusal::Rule("has no till".to_owned()))
        }
        (None, TillSource::Column(_)) => Err(RowRefusal::Rule("has no till".to_owned())),
    }
}

/// Lines that say the same become one with the sum of their quantities, at the place of the first.
fn merged(lines: Vec<OrderLine>) -> Result<Vec<OrderLine>, RowRefusal> {
    let mut merged: Vec<OrderLine> = Vec::with_capacity(lines.len());
    for line in lines {
        let same = |other: &&mut OrderLine| {
            other.sku == line.sku
                && other.name == line.name
                && other.unit_price == line.unit_price
                && other.options == line.options
                && other.amount.is_some() == line.amount.is_some()
        };
        match merged.iter_mut().find(same) {
            Some(first) => {
                first.quantity = first.quantity.checked_add(line.quantity).map_err(|_| RowRefusal::Overflow)?;
                if let (Some(amount), Some(more)) = (first.amount, line.amount) {
                    first.amount = Some(amount.checked_add(more).map_err(|_| RowRefusal::Overflow)?);
                }
            }
            None => merged.push(line),
        }
    }
    Ok(merged)
}

/// The command for a line, and what it comes to: the file's amount where it has one, to the minor unit.
fn line_command(line: OrderLine, item: &ItemFormat) -> Result<(LineCommand, Money), RowRefusal> {
    let unit_price = match (line.unit_price, line.amount) {
        (Some(unit_price), _) => unit_price,
        (None, Some(amount)) => per_unit(amount, line.quantity).ok_or(RowRefusal::Overflow)?,
        (None, None) => return Err(RowRefusal::NoPrice(line.sku.to_string())),
    };
    let list = pricing::line_gross(&LineInput {
        unit_price,
        options: &[],
        quantity: line.quantity,
        adjustments: &[],
        tax_group: &tag("standard"),
        tax_rate_ppm: 0,
        tax_on_top: false,
    })
    .ok_or(RowRefusal::Overflow)?;
    let gross = line.amount.unwrap_or(list);
    let difference = gross.checked_sub(list).map_err(|_| RowRefusal::Overflow)?;
    let mut adjustments = Vec::new();
    if difference != Money::ZERO {
        adjustments.push(AdjustmentCommand {
            reason: tag(IMPORTED_PRICE),
            promotion_id: None,
            amount_minor: difference,
        });
    }
    let option = |code| OptionCommand { code, name: None, price_minor: Money::ZERO };
    let command = LineCommand {
        sku: line.sku,
        name: line.name,
        quantity: line.quantity.into(),
        unit_price_minor: unit_price,
        options: line.options.into_iter().map(option).collect(),
        adjustments,
        tax_group: item.tax_group.clone(),
        tax_rate_ppm: item.tax_rate_ppm,
        tax_on_top: false,
        consumption: Vec::new(),
    };
    Ok((command, gross))
}

/// The price of one unit, half away from zero. Neither amount nor quantity is negative, and the quantity is not zero.
fn per_unit(amount: Money, quantity: Quantity) -> Option<Money> {
    let scaled = i128::from(amount.minor()).checked_mul(i128::from(Quantity::MICRO_PER_UNIT))?;
    let divisor = i128::from(quantity.micro());
    let doubled = scaled.checked_mul(2)?.checked_add(divisor)?.checked_div(divisor.checked_mul(2)?)?;
    i64::try_from(doubled).ok().map(Money::from_minor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|&part| part.to_owned()).collect()
    }

    fn line(sku: &str, quantity: &str, unit_price: Option<i64>, amount: Option<i64>) -> OrderLine {
        OrderLine {
            sku: sku.parse().expect("valid"),
            name: None,
            quantity: quantity.parse().expect("valid"),
            unit_price: unit_price.map(Money::from_minor),
            amount: amount.map(Money::from_minor),
            options: Vec::new(),
        }
    }

    fn item() -> ItemFormat {
        ItemFormat {
            sku: None,
            name: None,
            quantity: None,
            count_repeats: false,
            unit_price: None,
            line_amount: None,
            options: None,
            tax_group: None,
            tax_rate_ppm: 0,
        }
    }

    #[test]
    fn ids_follow_from_store_source_and_key() {
        let id = |store, source, parts: &[&str]| sale_id(store, source, &key(parts));
        assert_eq!(id("s", "f", &["1", "23"]), id("s", "f", &["1", "23"]));
        assert_ne!(id("s", "f", &["1", "23"]), id("s", "f", &["12", "3"]));
        assert_ne!(id("s", "f", &["1"]), id("s2", "f", &["1"]));
        assert_ne!(id("s", "f", &["1"]), id("s", "g", &["1"]));
        assert_eq!(id("s", "f", &["1"]).uuid().get_version_num(), 8);
        // Fixed for ever: with another id, a replay taken up with a newer program would double what is there.
        assert_eq!(
            id("3", "coffee-3-stores", &["3", "2019-04-01", "7"]).to_string(),
            "f393d313-6d8e-8639-8ce2-433224ac07a9"
        );
    }

    #[test]
    fn a_line_costs_what_the_file_says() {
        #[track_caller]
        fn check(quantity: &str, unit: Option<i64>, amount: Option<i64>, expected: (i64, i64, i64)) {
            let (command, gross) = line_command(line("x", quantity, unit, amount), &item()).expect("fits");
            let adjusted: i64 = command.adjustments.iter().map(|change| change.amount_minor.minor()).sum();
            assert_eq!((command.unit_price_minor.minor(), adjusted, gross.minor()), expected);
            assert!(command.adjustments.iter().all(|change| change.amount_minor != Money::ZERO));
        }
        check("2", Some(250), None, (250, 0, 500));
        check("2", Some(250), Some(500), (250, 0, 500));
        check("1", Some(375), Some(100), (375, -275, 100));
        check("1", Some(375), Some(0), (375, -375, 0));
        check("2", None, Some(500), (250, 0, 500));
        check("3", None, Some(1000), (333, 1, 1000));
        check("3", None, Some(1001), (334, -1, 1001));
        check("0.333", Some(999), None, (999, 0, 333));
        check("0.5", None, Some(5), (10, 0, 5));
    }

    #[test]
    fn repeats_are_counted() {
        let lines = vec![
            line("a", "1", Some(1), None),
            line("b", "1", Some(1), None),
            line("a", "2", Some(1), None),
            line("a", "1", Some(2), None),
            line("c", "1", None, Some(5)),
            line("c", "1", None, Some(7)),
        ];
        let merged = merged(lines).expect("fits");
        let expected = [
            line("a", "3", Some(1), None),
            line("b", "1", Some(1), None),
            line("a", "1", Some(2), None),
            line("c", "2", None, Some(12)),
        ];
        assert_eq!(merged, expected);
    }

    proptest! {
        #[test]
        fn any_line_gets_an_answer(micro in 1i64.., unit in prop::option::of(0i64..), amount in prop::option::of(0i64..)) {
            let line = OrderLine { quantity: Quantity::from_micro(micro), ..line("x", "1", unit, amount) };
            if let (Ok((_, gross)), Some(amount)) = (line_command(line, &item()), amount) {
                prop_assert_eq!(gross.minor(), amount);
            }
        }
    }
}
