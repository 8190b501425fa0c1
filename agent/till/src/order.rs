//! From an order and a price book to the lines of a sale.

use pos_model::{Quantity, Tag};
use pricing::book::CashRounding;
use pricing::{Basket, Context, PricedBasket, PricedLine, Rules, equal_units, price};

use crate::limits::{LINES_MAX, OPTIONS_MAX, ORDER_PARTS_MAX, QUANTITY_MICRO_MAX};
use crate::{Adjustment, ChosenOption, Consumption, Line, PricedBy, Refusal};

/// Why a promotion's adjustment is on a line.
const PROMOTION: &str = "promotion";

/// An order with its prices, as the lines of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedOrder {
    /// The lines.
    pub lines: Vec<Line>,
    /// How what is paid in cash is rounded, where it is.
    pub cash_rounding: Option<CashRounding>,
    /// The version of the price book.
    pub price_book_version: String,
    /// What the prices followed from.
    pub priced_by: PricedBy,
}

/// Prices an order, within the limits of a sale. The basket may have problems; then it must not be sold like this.
pub fn price_order(basket: &Basket, rules: &Rules, context: &Context) -> Result<PricedBasket, Refusal> {
    let count = basket.lines.len();
    if !(1..=LINES_MAX).contains(&count) {
        return Err(Refusal::LineCount { count, max: LINES_MAX });
    }
    let member = context.member.as_ref();
    for (what, count) in [
        ("coupons", context.coupons.len()),
        ("tags", member.map_or(0, |member| member.tags.len())),
        ("used promotions", member.map_or(0, |member| member.used.len())),
    ] {
        if count > ORDER_PARTS_MAX {
            return Err(Refusal::OrderParts { what, count, max: ORDER_PARTS_MAX });
        }
    }
    for (place, line) in basket.lines.iter().enumerate() {
        let (number, count) = (place + 1, line.options.len());
        if count > OPTIONS_MAX {
            return Err(Refusal::LineParts { line: number, what: "options", count, max: OPTIONS_MAX });
        }
        match line.quantity.micro() {
            ..=0 => return Err(Refusal::QuantityNotPositive { line: number }),
            1..=QUANTITY_MICRO_MAX => {}
            _ => {
                let max_units = QUANTITY_MICRO_MAX / Quantity::MICRO_PER_UNIT;
                return Err(Refusal::QuantityTooLarge { line: number, max_units });
            }
        }
    }
    Ok(price(basket, rules, context))
}

/// Whether what was priced may be sold, and so may be made. Else the first problem says why not.
pub fn check_sellable(priced: &PricedBasket) -> Result<(), Refusal> {
    match priced.problems.iter().find(|problem| problem.forbids_sale()) {
        Some(problem) => Err(Refusal::NotByTheBook { problem: problem.to_string() }),
        None => Ok(()),
    }
}

/// Makes the lines of a sale of an order, or says why the book does not sell it.
pub fn sell_order(basket: &Basket, rules: &Rules, context: Context) -> Result<PricedOrder, Refusal> {
    let priced = price_order(basket, rules, &context)?;
    check_sellable(&priced)?;
    let PricedBasket { lines, applied, coupons_spent, rights, points, .. } = priced;
    let promotions: Vec<Tag> = applied.into_iter().map(|applied| applied.promotion).collect();
    Ok(PricedOrder {
        lines: lines.into_iter().map(|priced| line(priced, &promotions)).collect(),
        cash_rounding: rules.book().cash_rounding,
        price_book_version: rules.book().version.to_string(),
        priced_by: PricedBy { book_hash: rules.hash(), context, coupons_spent, rights, points },
    })
}

fn line(priced: PricedLine, promotions: &[Tag]) -> Line {
    let units: Vec<_> = priced.units.iter().map(|unit| unit.gross).collect();
    let alike = units.is_empty() || units == equal_units(priced.gross, priced.quantity);
    Line {
        sku: priced.sku,
        name: priced.name,
        note: None,
        quantity: priced.quantity,
        unit_price: priced.unit_price,
        options: priced
            .options
            .into_iter()
            .map(|option| ChosenOption { code: option.code, name: option.name, price: option.price })
            .collect(),
        adjustments: priced
            .adjustments
            .into_iter()
            .map(|(place, amount)| Adjustment {
                reason: Tag::new(PROMOTION).expect("a word of small letters is a tag"),
                promotion_id: promotions.get(place).map(Tag::to_string),
                amount,
            })
            .collect(),
        tax_group: priced.tax_group,
        tax_rate_ppm: priced.tax_rate_ppm,
        tax_on_top: priced.tax_on_top,
        unit_gross: if alike { Vec::new() } else { units },
        consumption: priced
            .consumption
            .into_iter()
            .map(|(item_id, quantity)| Consumption { item_id, quantity })
            .collect(),
        station: priced.station,
    }
}
