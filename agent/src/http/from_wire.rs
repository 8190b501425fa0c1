//! From what a till says to what `till` decides about.

use pos_model::{Quantity, Stamp};
use protocol::latest::basket_api::{BasketLineState, BasketView};
use protocol::latest::local_api;
use protocol::latest::order::{OrderCommand, OrderLine};
use till::{
    Adjustment, BasketAt, ChosenOption, CompleteSale, Consumption, Imported, Line, PricedOrder, Refusal, SaleDraft,
    Tender, complete, sell_order,
};

use super::orders::Counter;
use crate::db::CommandDigest;

/// The tax group of a line that names none.
const STANDARD_TAX_GROUP: &str = "standard";

/// A till's command with its quantities understood.
pub(super) struct Canonical {
    command: local_api::CompleteSale,
    quantities: Vec<LineQuantities>,
}

/// Understands a till's command, and computes the digest by which the same command is recognised when it comes again.
pub(super) fn canonical(mut command: local_api::CompleteSale) -> Result<(Canonical, CommandDigest), Refusal> {
    let quantities = normalise(&mut command)?;
    // The trace context belongs to the request, not to the sale: a repeated command may come with another one.
    let traceparent = command.traceparent.take();
    let digest = digest(&command);
    command.traceparent = traceparent;
    Ok((Canonical { command, quantities }, digest))
}

/// Makes a sale of a command that names its prices, or says which rule it breaks; with it the command's digest.
pub fn sale_of_lines(command: local_api::CompleteSale) -> Result<(SaleDraft, CommandDigest), Refusal> {
    let (Canonical { command, quantities }, digest) = canonical(command)?;
    Ok((complete(inner(command, quantities))?, digest))
}

/// Makes a sale of a command, or says which rule it breaks. An order is priced as of `now`; one that was imported, as of
/// when it was sold.
pub(super) fn sale(
    canonical: Canonical,
    basket: Option<BasketView>,
    counter: &Counter,
    now: Stamp,
) -> Result<SaleDraft, Refusal> {
    let Canonical { mut command, quantities } = canonical;
    let order = command.order.take();
    if usize::from(order.is_some()) + usize::from(basket.is_some()) + usize::from(!command.lines.is_empty()) > 1 {
        return Err(Refusal::LinesAndOrder);
    }
    let shown = command.basket_revision;
    let basket_at = match (&basket, shown) {
        (Some(basket), Some(revision)) => Some(BasketAt { basket_id: basket.basket_id, revision }),
        (None, None) => None,
        _ => return Err(Refusal::BasketRevision),
    };
    let Some(order) = basket.map(|basket| order_of(basket, &mut command)).or(order) else {
        let asks_for_own_prices = command.imported.is_none() && counter.asks_for_own_prices();
        let mut draft = complete(inner(command, quantities))?;
        draft.asks_for_own_prices = asks_for_own_prices;
        return Ok(draft);
    };
    let notes: Vec<Option<String>> = order.lines.iter().map(|line| line.note.clone()).collect();
    let at = command.imported.as_ref().map_or(now, local_api::ImportedCommand::sold_at);
    let book = counter.book()?;
    let (basket, context) = counter.basket(order, command.channel.clone(), at)?;
    let PricedOrder { mut lines, cash_rounding, price_book_version, priced_by } =
        sell_order(&basket, &book.rules, context)?;
    for (line, note) in lines.iter_mut().zip(notes) {
        line.note = note;
    }
    complete(CompleteSale {
        lines,
        cash_rounding,
        basket: basket_at,
        price_book_version: Some(price_book_version),
        priced_by: Some(priced_by),
        ..inner(command, quantities)
    })
}

/// What is in a basket, as an order. The sale is labelled, and came in, as the basket says.
fn order_of(basket: BasketView, command: &mut local_api::CompleteSale) -> OrderCommand {
    let lines = basket.lines.into_iter().filter(|line| line.state != BasketLineState::Voided);
    command.channel = basket.channel;
    command.label = basket.label;
    OrderCommand {
        lines: lines
            .map(|line| OrderLine { sku: line.sku, options: line.options, quantity: line.quantity, note: line.note })
            .collect(),
        takeaway: basket.takeaway,
        member: basket.member,
        coupons: basket.coupons,
    }
}

/// The quantities of a line and of what it takes from stock.
pub(super) struct LineQuantities {
    sold: Quantity,
    consumed: Vec<Quantity>,
}

/// Parses the quantities, and writes each back in one form: `1` and `"1.0"` are the same.
fn normalise(command: &mut local_api::CompleteSale) -> Result<Vec<LineQuantities>, Refusal> {
    let mut all = Vec::with_capacity(command.lines.len());
    for (place, line) in command.lines.iter_mut().enumerate() {
        let parse = |quantity: &mut local_api::QuantityJson| {
            let parsed = quantity.parse().map_err(|_| Refusal::QuantityFormat { line: place + 1 })?;
            *quantity = parsed.into();
            Ok::<_, Refusal>(parsed)
        };
        let sold = parse(&mut line.quantity)?;
        let consumed = line.consumption.iter_mut().map(|item| parse(&mut item.quantity)).collect::<Result<_, _>>()?;
        all.push(LineQuantities { sold, consumed });
    }
    for (place, line) in command.order.iter_mut().flat_map(|order| &mut order.lines).enumerate() {
        let parsed = line.quantity.parse().map_err(|_| Refusal::QuantityFormat { line: place + 1 })?;
        line.quantity = parsed.into();
    }
    Ok(all)
}

/// The BLAKE3 of the command as MessagePack with field names. What is left out and what has its default value are the
/// same, so a field that a later version adds does not change the digest of commands without it.
fn digest(command: &local_api::CompleteSale) -> CommandDigest {
    let bytes = rmp_serde::to_vec_named(command).expect("a command of text and numbers always encodes");
    *blake3::hash(&bytes).as_bytes()
}

fn inner(command: local_api::CompleteSale, quantities: Vec<LineQuantities>) -> CompleteSale {
    let lines = command.lines.into_iter().zip(quantities);
    CompleteSale {
        sale_id: command.sale_id,
        till_id: command.till_id,
        operator_id: command.operator_id,
        channel: command.channel,
        approval_id: command.approval_id,
        basket: None,
        label: command.label,
        member_tag: command.member_tag,
        lines: lines.map(|(line, quantities)| inner_line(line, quantities)).collect(),
        tenders: command
            .tenders
            .into_iter()
            .map(|tender| Tender {
                kind: tender.kind,
                amount: tender.amount_minor,
                attempt_id: tender.attempt_id,
                reference: None,
            })
            .collect(),
        cash_rounding: None,
        expected_total: command.expected_total_minor,
        price_book_version: command.price_book_version,
        priced_by: None,
        imported: command.imported.map(|imported| Imported {
            sold_at: imported.sold_at(),
            source: imported.source,
            reference: imported.reference,
        }),
        traceparent: command.traceparent,
    }
}

fn inner_line(line: local_api::LineCommand, quantities: LineQuantities) -> Line {
    let items = line.consumption.into_iter().zip(quantities.consumed);
    Line {
        name: line.name.unwrap_or_else(|| line.sku.to_string()),
        note: None,
        sku: line.sku,
        quantity: quantities.sold,
        unit_price: line.unit_price_minor,
        options: line
            .options
            .into_iter()
            .map(|option| ChosenOption {
                name: option.name.unwrap_or_else(|| option.code.to_string()),
                code: option.code,
                price: option.price_minor,
            })
            .collect(),
        adjustments: line
            .adjustments
            .into_iter()
            .map(|change| Adjustment {
                reason: change.reason,
                promotion_id: change.promotion_id,
                amount: change.amount_minor,
            })
            .collect(),
        tax_group: line
            .tax_group
            .unwrap_or_else(|| pos_model::Tag::new(STANDARD_TAX_GROUP).expect("a word of small letters is a tag")),
        tax_rate_ppm: line.tax_rate_ppm,
        tax_on_top: line.tax_on_top,
        unit_gross: Vec::new(),
        consumption: items.map(|(item, quantity)| Consumption { item_id: item.item_id, quantity }).collect(),
        station: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> local_api::CompleteSale {
        serde_json::from_str(json).expect("a command")
    }

    const TEA: &str = r#"{"sale_id":"018f0000-0000-7000-8000-000000000001","till_id":"T1",
        "lines":[{"sku":"tea","quantity":1,"unit_price_minor":1800}],"tenders":[{"kind":"cash","amount_minor":2000}]}"#;

    #[test]
    fn what_is_left_out_has_a_value() {
        let (draft, _) = sale_of_lines(parse(TEA)).expect("a sale");
        let line = &draft.lines[0].line;
        assert_eq!(
            (line.name.as_str(), line.tax_group.as_str(), draft.channel.as_str()),
            ("tea", "standard", "counter")
        );
        assert_eq!((draft.gross.minor(), draft.change.minor()), (1800, 200));
    }

    #[test]
    fn equal_commands_have_equal_digests() {
        #[track_caller]
        fn check(from: &str, to: &str, equal: bool) {
            let changed = TEA.replacen(from, to, 1);
            assert_ne!(changed, TEA, "the case changes something");
            let [(_, one), (_, other)] = [TEA, &changed].map(|json| sale_of_lines(parse(json)).expect("a sale"));
            assert_eq!(one == other, equal, "{to}");
        }
        check(r#""quantity":1"#, r#""quantity":"1.000""#, true);
        check(r#""till_id":"T1""#, r#""till_id":"T1","channel":"counter""#, true);
        check(
            r#""till_id":"T1""#,
            r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","till_id":"T1""#,
            true,
        );
        check("2000", "1800", false);
        check(r#""quantity":1"#, r#""quantity":"1.000001""#, false);
        check(r#""till_id":"T1""#, r#""till_id":"T2""#, false);
        check(r#""till_id":"T1""#, r#""till_id":"T1","member_tag":"m""#, false);
    }

    /// A till may repeat a command after the agent was upgraded: the digest of a command must stay what it was.
    #[test]
    fn digests_never_change() {
        let (_, digest) = sale_of_lines(parse(TEA)).expect("a sale");
        assert_eq!(
            blake3::Hash::from_bytes(digest).to_hex().as_str(),
            "16cb59ec21e8c38135e604a11d15c167da4ad33e3f6fbd9d707588676557a408"
        );
    }

    #[test]
    fn a_quantity_that_is_none_is_refused() {
        for text in ["\"abc\"", "\"0.0000001\"", "\"\"", "9223372036854775807"] {
            let refusal =
                sale_of_lines(parse(&TEA.replace("\"quantity\":1", &format!("\"quantity\":{text}")))).expect_err(text);
            assert_eq!(refusal, Refusal::QuantityFormat { line: 1 }, "{text}");
        }
    }
}
