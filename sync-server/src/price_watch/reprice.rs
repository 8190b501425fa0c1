//! A sale priced again by the book that it names, and compared with what was sold.

use std::collections::BTreeMap;

use pos_model::{ItemId, Money, Quantity, Tag};
use pricing::{PricedBasket, PricedLine, Rules, equal_units, price};
use protocol::latest::{Pricing, SaleCompleted, SaleLine};

use crate::price_books::of_sale;

/// What differs first, and what the sale would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Differs {
    pub(super) computed: Money,
    pub(super) what: String,
}

/// Prices a sale again; none if it is what was sold.
pub(super) fn reprice(sale: &SaleCompleted, pricing: &Pricing, rules: &Rules) -> Option<Differs> {
    let priced = price(&of_sale::basket(sale), rules, &of_sale::context(sale, pricing));
    let book = rules.book().currency;
    let what = if sale.currency == book {
        first_difference(sale, pricing, &priced)?
    } else {
        format!("sold in {}, the book is in {book}", sale.currency)
    };
    Some(Differs { computed: priced.gross, what })
}

fn first_difference(sale: &SaleCompleted, pricing: &Pricing, priced: &PricedBasket) -> Option<String> {
    if let Some(problem) = priced.problems.iter().find(|problem| problem.forbids_sale()) {
        return Some(problem.to_string());
    }
    let of_lines = sale.lines.iter().zip(&priced.lines).enumerate().find_map(|(place, (sold, computed))| {
        line_difference(sold, computed, priced).map(|what| format!("line {}: {what}", place + 1))
    });
    if of_lines.is_some() {
        return of_lines;
    }
    for (name, sold, computed) in
        [("total", sale.totals.gross_minor, priced.gross), ("tax", sale.totals.tax_minor, priced.tax)]
    {
        if sold != computed {
            return Some(format!("{name} {}, computed {}", sold.minor(), computed.minor()));
        }
    }
    let mut rights: BTreeMap<&Tag, u32> = BTreeMap::new();
    for right in &priced.rights {
        let uses = rights.entry(&right.quota).or_default();
        *uses = uses.saturating_add(right.uses);
    }
    if priced.coupons_spent != pricing.coupons_spent {
        Some(format!("spends the coupons {:?}, computed {:?}", pricing.coupons_spent, priced.coupons_spent))
    } else if !rights.into_iter().eq(pricing.rights.iter().map(|(quota, uses)| (quota, *uses))) {
        Some("takes other rights from campaigns".to_owned())
    } else if priced.points != pricing.points {
        Some(format!("earns {} points, computed {}", pricing.points, priced.points))
    } else {
        None
    }
}

fn line_difference(sold: &SaleLine, computed: &PricedLine, basket: &PricedBasket) -> Option<String> {
    let amounts = [
        ("unit price", sold.unit_price_minor, computed.unit_price),
        ("gross", sold.gross_minor, computed.gross),
        ("tax", sold.tax_minor, computed.tax),
    ];
    for (name, sold, computed) in amounts {
        if sold != computed {
            return Some(format!("{name} {}, computed {}", sold.minor(), computed.minor()));
        }
    }
    let options = sold.options.iter().map(|option| option.price_minor);
    if !options.eq(computed.options.iter().map(|option| option.price)) {
        return Some("options have other prices".to_owned());
    }
    let promotion = |place: usize| basket.applied.get(place).map(|applied| applied.promotion.as_str());
    let adjustments = sold.adjustments.iter().map(|change| (change.promotion_id.as_deref(), change.amount_minor));
    if !adjustments.eq(computed.adjustments.iter().map(|&(place, amount)| (promotion(place), amount))) {
        return Some("other promotions apply, or by other amounts".to_owned());
    }
    let tax = (&sold.tax_group, sold.tax_rate_ppm, sold.tax_on_top);
    if tax != (&computed.tax_group, computed.tax_rate_ppm, computed.tax_on_top) {
        return Some("it is taxed otherwise".to_owned());
    }
    let units = if sold.unit_gross_minor.is_empty() {
        equal_units(sold.gross_minor, sold.quantity)
    } else {
        sold.unit_gross_minor.clone()
    };
    if !computed.units.is_empty() && !units.into_iter().eq(computed.units.iter().map(|unit| unit.gross)) {
        return Some("its units have other amounts".to_owned());
    }
    let used = sold.consumption.iter().map(|used| (&used.item_id, used.quantity));
    let computed_use = computed.consumption.iter().map(|(item, quantity): &(ItemId, Quantity)| (item, *quantity));
    if used.eq(computed_use) { None } else { Some("it takes other things from stock".to_owned()) }
}
