//! A priced basket in words, as a cashier would read it to a customer.

use std::fmt::Write;

use pos_model::{Currency, Money};

use crate::engine::{PricedBasket, PricedLine, WhyNot};

/// Puts a basket into lines of text: what each line costs and why, what the order comes to, and what was nearly so.
/// Promotions that are out of place or time are not named.
pub fn explain(basket: &PricedBasket, currency: Currency) -> String {
    let mut text = String::new();
    let amount = |amount: Money| amount.display(currency).to_string();
    for line in &basket.lines {
        explain_line(&mut text, line, basket, &amount);
    }
    let mut say = |line: String| text.extend([line.as_str(), "\n"]);
    say(format!("Total {}", amount(basket.gross)));
    for tax in &basket.taxes {
        say(format!("  of which tax {} ({} %) {}", tax.group, percent(tax.rate_ppm), amount(tax.tax)));
    }
    if basket.cash_rounding != Money::ZERO {
        let due = Money::from_minor(basket.gross.minor() + basket.cash_rounding.minor());
        say(format!("  {} if paid in cash", amount(due)));
    }
    if basket.points > 0 {
        say(format!("  earns {} points", basket.points));
    }
    for issued in &basket.coupons_issued {
        say(format!("  brings {} coupon(s) {} ({})", issued.count, issued.class, issued.promotion));
    }
    for offer in &basket.offers {
        say(format!("  {} more could be had for less ({})", offer.units, offer.promotion));
    }
    for missed in &basket.not_applied {
        let promotion = &missed.promotion;
        match &missed.why {
            WhyNot::AmountMissing { missing_minor } => {
                say(format!("  {} more for {promotion}", amount(*missing_minor)))
            }
            WhyNot::UnitsMissing { missing_units } => say(format!("  {missing_units} more for {promotion}")),
            WhyNot::GroupLost { to } => say(format!("  {promotion} does not hold beside {to}")),
            WhyNot::Excluded { by } => say(format!("  {promotion} does not hold: {by} holds alone")),
            WhyNot::QuotaSpent => say(format!("  {promotion} is used up")),
            WhyNot::MemberCap => say(format!("  {promotion} was used as often as may be")),
            WhyNot::OutOfScope | WhyNot::Condition | WhyNot::MembersOnly | WhyNot::CouponMissing | WhyNot::NoEffect => {
            }
        }
    }
    for problem in &basket.problems {
        say(format!("  not as the book says: {problem}"));
    }
    text
}

fn explain_line(text: &mut String, line: &PricedLine, basket: &PricedBasket, amount: &dyn Fn(Money) -> String) {
    let name = if line.name.is_empty() { line.sku.as_str() } else { line.name.as_str() };
    writeln!(text, "{} x {name}: {}", line.quantity, amount(line.gross)).expect("a string takes all");
    if line.options.iter().any(|option| option.price != Money::ZERO) || !line.adjustments.is_empty() {
        writeln!(text, "  price {} each", amount(line.unit_price)).expect("a string takes all");
    }
    for option in line.options.iter().filter(|option| option.price != Money::ZERO) {
        writeln!(text, "  {} {} each", option.name, amount(option.price)).expect("a string takes all");
    }
    for (place, off) in &line.adjustments {
        let promotion = basket.applied.get(*place).map_or("", |applied| applied.name.as_str());
        writeln!(text, "  {promotion} {}", amount(*off)).expect("a string takes all");
    }
}

/// Parts per million as a percentage without trailing zeros.
fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{}", format!("{rest:04}").trim_end_matches('0')) }
}
