//! What a line takes from stock: the recipe of its size, changed by its options.

use std::collections::BTreeMap;

use pos_model::{ItemId, Quantity};

use super::rules::Rules;
use crate::book::RecipeStep;
use crate::round::div_half_away;

const PPM: i128 = 1_000_000;

/// Explodes a line. First the size, then all replacements, removals, additions and scalings of its options, then the
/// quantity; each product is rounded half away from zero, and what leaves the scale stops at its end.
pub(super) fn consumption(
    rules: &Rules,
    article: usize,
    options: &[usize],
    quantity: Quantity,
) -> Vec<(ItemId, Quantity)> {
    let (item, variant) = (&rules.at(article).item, rules.at(article).variant());
    let scale = i128::from(variant.scale_ppm.unwrap_or(1_000_000));
    let mut used: BTreeMap<&ItemId, i128> = BTreeMap::new();
    for one in variant.recipe.as_ref().unwrap_or(&item.recipe) {
        *used.entry(&one.item).or_default() += div_half_away(i128::from(one.quantity.micro()) * scale, PPM);
    }
    let steps = || options.iter().flat_map(|&option| &rules.option(option).1.recipe);
    for step in steps() {
        if let RecipeStep::Replace { from, to, ratio_ppm } = step
            && let Some(replaced) = used.remove(from)
        {
            *used.entry(to).or_default() += div_half_away(clamp(replaced) * i128::from(*ratio_ppm), PPM);
        }
    }
    for step in steps() {
        if let RecipeStep::Remove { item } = step {
            used.remove(item);
        }
    }
    for step in steps() {
        if let RecipeStep::Add { item, quantity } = step {
            *used.entry(item).or_default() += i128::from(quantity.micro());
        }
    }
    for step in steps() {
        if let RecipeStep::Scale { item, ppm } = step
            && let Some(amount) = used.get_mut(item)
        {
            *amount = div_half_away(clamp(*amount) * i128::from(*ppm), PPM);
        }
    }
    let units = i128::from(quantity.micro());
    used.into_iter()
        .map(|(item, amount)| {
            let all = div_half_away(clamp(amount) * units, i128::from(Quantity::MICRO_PER_UNIT));
            (item.clone(), Quantity::from_micro(i64::try_from(all).unwrap_or(i64::MAX).max(0)))
        })
        .filter(|(_, quantity)| quantity.micro() > 0)
        .collect()
}

/// Within 64 bits, so that products of two such numbers fit into 128.
fn clamp(amount: i128) -> i128 {
    amount.clamp(0, i128::from(i64::MAX))
}
