//! From a command to a sale.

use pos_model::{Money, Quantity};
use pricing::LineInput;

use crate::limits::{
    ADJUSTMENTS_MAX, AMOUNT_MINOR_MAX, CONSUMPTIONS_MAX, LINES_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX, OPTIONS_MAX,
    QUANTITY_MICRO_MAX, REFERENCE_CHARS_MAX, SOLD_AT_MS_MAX, SOLD_AT_OFFSET_S_MAX, TAG_CHARS_MAX,
};
use crate::tender::settle;
use crate::{CompleteSale, DraftLine, Imported, Line, Refusal, SaleDraft, Settlement};

/// Makes a sale of a command, or says which rule it breaks. Equal commands give equal answers.
pub fn complete(command: CompleteSale) -> Result<SaleDraft, Refusal> {
    check_header(&command)?;
    for (place, line) in command.lines.iter().enumerate() {
        check_line(place + 1, line)?;
    }

    let option_prices = parts(&command.lines, |line| line.options.iter().map(|option| option.price).collect());
    let adjustments = parts(&command.lines, |line| line.adjustments.iter().map(|change| change.amount).collect());
    let inputs: Vec<LineInput<'_>> = command
        .lines
        .iter()
        .zip(option_prices.iter().zip(&adjustments))
        .map(|(line, (options, adjustments))| LineInput {
            unit_price: line.unit_price,
            options,
            quantity: line.quantity,
            adjustments,
            tax_group: &line.tax_group,
            tax_rate_ppm: line.tax_rate_ppm,
            tax_on_top: line.tax_on_top,
        })
        .collect();
    let priced = pricing::total(&inputs)?;
    if priced.gross.minor() > AMOUNT_MINOR_MAX {
        return Err(Refusal::AmountTooLarge { max_minor: AMOUNT_MINOR_MAX });
    }
    if let Some(expected) = command.expected_total.filter(|&expected| expected != priced.gross) {
        return Err(Refusal::TotalDiffers { expected, total: priced.gross });
    }
    let Settlement { change, rounding } = settle(&command.tenders, priced.gross, command.cash_rounding)?;

    // Two hundred quantities below the bound add up within 64 bits.
    let quantity = command.lines.iter().map(|line| line.quantity.micro()).sum();
    let lines = command.lines.into_iter().zip(priced.lines);
    Ok(SaleDraft {
        sale_id: command.sale_id,
        till_id: command.till_id,
        operator_id: command.operator_id,
        channel: command.channel,
        approval_id: command.approval_id,
        basket: command.basket,
        label: command.label,
        member_tag: command.member_tag,
        lines: lines.map(|(line, priced)| DraftLine { line, gross: priced.gross, tax: priced.tax }).collect(),
        tenders: command.tenders,
        change,
        cash_rounding: rounding,
        gross: priced.gross,
        tax: priced.tax,
        quantity: Quantity::from_micro(quantity),
        price_book_version: command.price_book_version,
        priced_by: command.priced_by,
        imported: command.imported,
        asks_for_own_prices: false,
        traceparent: command.traceparent.filter(|text| is_traceparent(text)),
    })
}

fn parts(lines: &[Line], of: impl Fn(&Line) -> Vec<Money>) -> Vec<Vec<Money>> {
    lines.iter().map(of).collect()
}

fn check_header(command: &CompleteSale) -> Result<(), Refusal> {
    let count = command.lines.len();
    if !(1..=LINES_MAX).contains(&count) {
        return Err(Refusal::LineCount { count, max: LINES_MAX });
    }
    check_optional("label", command.label.as_deref(), NAME_CHARS_MAX)?;
    check_optional("member_tag", command.member_tag.as_deref(), TAG_CHARS_MAX)?;
    check_optional("price_book_version", command.price_book_version.as_deref(), TAG_CHARS_MAX)?;
    if let Some(Imported { source, reference, sold_at }) = &command.imported {
        check_text("imported.source", source, TAG_CHARS_MAX)?;
        check_text("imported.reference", reference, REFERENCE_CHARS_MAX)?;
        let possible = (0..=SOLD_AT_MS_MAX).contains(&sold_at.utc_ms)
            && (-SOLD_AT_OFFSET_S_MAX..=SOLD_AT_OFFSET_S_MAX).contains(&sold_at.offset_s);
        if !possible {
            return Err(Refusal::SoldAt);
        }
    }
    Ok(())
}

fn check_line(number: usize, line: &Line) -> Result<(), Refusal> {
    let check_count = |what, count, max| {
        if count > max { Err(Refusal::LineParts { line: number, what, count, max }) } else { Ok(()) }
    };
    check_count("options", line.options.len(), OPTIONS_MAX)?;
    check_count("adjustments", line.adjustments.len(), ADJUSTMENTS_MAX)?;
    check_count("consumptions", line.consumption.len(), CONSUMPTIONS_MAX)?;

    check_text("name", &line.name, NAME_CHARS_MAX)?;
    check_optional("note", line.note.as_deref(), NOTE_CHARS_MAX)?;
    for option in &line.options {
        check_text("option name", &option.name, NAME_CHARS_MAX)?;
    }
    for adjustment in &line.adjustments {
        check_optional("promotion_id", adjustment.promotion_id.as_deref(), TAG_CHARS_MAX)?;
    }

    let too_large =
        || Refusal::QuantityTooLarge { line: number, max_units: QUANTITY_MICRO_MAX / Quantity::MICRO_PER_UNIT };
    match line.quantity.micro() {
        ..=0 => return Err(Refusal::QuantityNotPositive { line: number }),
        1..=QUANTITY_MICRO_MAX => {}
        _ => return Err(too_large()),
    }
    for consumption in &line.consumption {
        match consumption.quantity.micro() {
            ..0 => {
                return Err(Refusal::ConsumptionNegative { line: number, item: consumption.item_id.to_string() });
            }
            // Nothing is possible: a recipe with the ice left out.
            0..=QUANTITY_MICRO_MAX => {}
            _ => return Err(too_large()),
        }
    }
    Ok(())
}

fn check_optional(field: &'static str, text: Option<&str>, max: usize) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| check_text(field, text, max))
}

fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars > max {
        return Err(Refusal::TextTooLong { field, chars, max });
    }
    if text.chars().any(char::is_control) { Err(Refusal::TextUnprintable { field }) } else { Ok(()) }
}

/// Whether a text has the form of a W3C trace context, version 00. A trace context in another form is dropped, as that
/// standard asks for; it is no reason to refuse a sale.
fn is_traceparent(text: &str) -> bool {
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let [Some(version), Some(trace), Some(parent), Some(flags), None] = std::array::from_fn(|_| parts.next()) else {
        return false;
    };
    version == "00" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adjustment, ChosenOption, Consumption, Tender};
    use pos_model::{ItemId, SaleId, Sku, Stamp, Tag, TillId};
    use pricing::book::{CashRounding, RoundingDirection};

    fn line(unit_price: i64, quantity: &str) -> Line {
        Line {
            sku: Sku::new("tea").expect("valid"),
            name: "Tea".to_owned(),
            note: None,
            quantity: quantity.parse().expect("valid"),
            unit_price: Money::from_minor(unit_price),
            options: Vec::new(),
            adjustments: Vec::new(),
            tax_group: Tag::new("standard").expect("valid"),
            tax_rate_ppm: 100_000,
            tax_on_top: false,
            unit_gross: Vec::new(),
            consumption: Vec::new(),
            station: None,
        }
    }

    fn tender(kind: &str, amount: i64) -> Tender {
        Tender {
            kind: Tag::new(kind).expect("valid"),
            amount: Money::from_minor(amount),
            attempt_id: None,
            reference: None,
        }
    }

    fn command() -> CompleteSale {
        CompleteSale {
            sale_id: SaleId::new("018f0000-0000-7000-8000-000000000001".parse::<SaleId>().expect("valid").uuid()),
            till_id: TillId::new("T1").expect("valid"),
            operator_id: None,
            channel: Tag::new("counter").expect("valid"),
            approval_id: None,
            basket: None,
            label: None,
            member_tag: None,
            lines: vec![line(1800, "2")],
            tenders: vec![tender("cash", 4000)],
            cash_rounding: None,
            expected_total: None,
            price_book_version: None,
            priced_by: None,
            imported: None,
            traceparent: None,
        }
    }

    fn option(price: i64) -> ChosenOption {
        ChosenOption {
            code: Sku::new("pearls").expect("valid"),
            name: "Pearls".to_owned(),
            price: Money::from_minor(price),
        }
    }

    fn adjustment(amount: i64) -> Adjustment {
        let reason = Tag::new("promotion").expect("valid");
        Adjustment { reason, promotion_id: None, amount: Money::from_minor(amount) }
    }

    fn consumption(quantity: &str) -> Consumption {
        Consumption { item_id: ItemId::new("milk").expect("valid"), quantity: quantity.parse().expect("valid") }
    }

    #[test]
    fn a_sale_with_its_sums() {
        let mut command = command();
        command.lines[0].options = vec![option(200)];
        command.lines[0].adjustments = vec![adjustment(-400)];
        command.lines.push(line(100, "0.5"));
        command.expected_total = Some(Money::from_minor(3650));
        let sale = complete(command).expect("obeys the rules");
        assert_eq!((sale.gross.minor(), sale.tax.minor(), sale.change.minor()), (3650, 332, 350));
        assert_eq!(sale.quantity.to_string(), "2.5");
        assert_eq!(sale.lines.iter().map(|line| line.gross.minor()).collect::<Vec<_>>(), [3600, 50]);
        assert_eq!(sale.lines.iter().map(|line| line.tax.minor()).sum::<i64>(), 332);
    }

    #[test]
    fn rounding_of_cash_is_an_amount_of_its_own() {
        let mut command = command();
        command.lines = vec![line(1797, "1")];
        command.tenders = vec![tender("cash", 2000)];
        command.expected_total = Some(Money::from_minor(1797));
        command.cash_rounding = Some(CashRounding { unit_minor: 5, direction: RoundingDirection::Nearest });
        let sale = complete(command).expect("obeys the rules");
        assert_eq!((sale.gross.minor(), sale.cash_rounding.minor(), sale.change.minor()), (1797, -2, 205));
        assert_eq!(sale.lines[0].gross, sale.gross);
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(change: impl FnOnce(&mut CompleteSale), key: Option<&str>) {
            let mut command = command();
            change(&mut command);
            assert_eq!(complete(command).err().map(|refusal| refusal.message_key()), key);
        }
        let text = |chars| Some("\u{8336}".repeat(chars));
        check(|_| {}, None);
        check(|c| c.lines.clear(), Some("sale.line_count"));
        check(|c| c.lines = vec![line(1, "1"); LINES_MAX], None);
        check(|c| c.lines = vec![line(1, "1"); LINES_MAX + 1], Some("sale.line_count"));
        check(|c| c.lines[0].options = vec![option(0); OPTIONS_MAX], None);
        check(|c| c.lines[0].options = vec![option(0); OPTIONS_MAX + 1], Some("sale.line_parts"));
        check(|c| c.lines[0].adjustments = vec![adjustment(0); ADJUSTMENTS_MAX + 1], Some("sale.line_parts"));
        check(|c| c.lines[0].consumption = vec![consumption("1"); CONSUMPTIONS_MAX], None);
        check(|c| c.lines[0].consumption = vec![consumption("1"); CONSUMPTIONS_MAX + 1], Some("sale.line_parts"));
        check(|c| c.lines[0].consumption = vec![consumption("0")], None);
        check(|c| c.lines[0].consumption = vec![consumption("-0.1")], Some("sale.consumption_negative"));
        check(|c| c.lines[0].consumption = vec![consumption("1000000000.1")], Some("sale.quantity_too_large"));
        check(|c| c.member_tag = text(TAG_CHARS_MAX), None);
        check(|c| c.member_tag = text(TAG_CHARS_MAX + 1), Some("sale.text_too_long"));
        check(|c| c.lines[0].name = "\u{1b}@".to_owned(), Some("sale.text_unprintable"));
        check(|c| c.lines[0].name = "x".repeat(NAME_CHARS_MAX + 1), Some("sale.text_too_long"));
        check(|c| c.price_book_version = text(TAG_CHARS_MAX + 1), Some("sale.text_too_long"));
        check(|c| c.lines[0].quantity = Quantity::ZERO, Some("sale.quantity_not_positive"));
        check(|c| c.lines[0].quantity = Quantity::from_micro(-1), Some("sale.quantity_not_positive"));
        check(|c| c.lines[0].quantity = Quantity::from_micro(i64::MAX), Some("sale.quantity_too_large"));
        check(|c| c.lines[0].adjustments = vec![adjustment(-3600)], None);
        check(|c| c.lines[0].adjustments = vec![adjustment(-3601)], Some("sale.line_negative"));
        check(|c| c.lines[0].unit_price = Money::from_minor(-1), Some("sale.line_negative"));
        check(|c| c.lines[0].unit_price = Money::from_minor(i64::MAX), Some("sale.amount_too_large"));
        check(|c| c.lines[0].unit_price = Money::from_minor(AMOUNT_MINOR_MAX), Some("sale.amount_too_large"));
        check(|c| c.expected_total = Some(Money::from_minor(3600)), None);
        check(|c| c.expected_total = Some(Money::from_minor(3599)), Some("sale.total_differs"));
        check(|c| c.tenders = vec![tender("cash", 3599)], Some("sale.tender_too_small"));
        check(|c| c.lines.push(Line { tax_rate_ppm: 1, ..line(1, "1") }), Some("sale.tax_rates_differ"));
        check(|c| c.lines.push(Line { tax_on_top: true, ..line(1, "1") }), Some("sale.tax_modes_differ"));
        let imported = |utc_ms, offset_s| {
            let sold_at = Stamp { utc_ms, offset_s };
            Some(Imported { source: "coffee".to_owned(), reference: "1".to_owned(), sold_at })
        };
        check(|c| c.imported = imported(1_554_076_800_000, 28_800), None);
        check(|c| c.imported = imported(-1, 0), Some("sale.sold_at"));
        check(|c| c.imported = imported(i64::MAX, 0), Some("sale.sold_at"));
        check(|c| c.imported = imported(0, i32::MIN), Some("sale.sold_at"));
    }

    #[test]
    fn a_bad_trace_context_is_dropped() {
        #[track_caller]
        fn check(text: &str, kept: bool) {
            let command = CompleteSale { traceparent: Some(text.to_owned()), ..command() };
            assert_eq!(complete(command).expect("a sale").traceparent.is_some(), kept, "{text}");
        }
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", false);
        check("", false);
        check(&"x".repeat(1_000_000), false);
    }
}
