//! The tax of each group, from what the group costs.

use std::collections::BTreeMap;

use pos_model::{Money, Tag};

use super::output::{PricedLine, TaxOfGroup};
use super::rules::Rules;
use crate::allocate::allocate;
use crate::book::TaxMode;
use crate::round::div_half_away;
use crate::tax::tax_in_gross;

/// Computes the tax once for each group, half away from zero, and shares it out to the group's lines by largest
/// remainder with ties to the earlier line. A tax that comes on top raises the lines' gross.
pub(super) fn add_taxes(lines: &mut [PricedLine], rules: &Rules, takeaway: bool) -> Vec<TaxOfGroup> {
    let mut places: BTreeMap<Tag, Vec<usize>> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        places.entry(line.tax_group.clone()).or_default().push(place);
    }
    let mut taxes = Vec::new();
    for (name, places) in places {
        let Some(group) = rules.book().tax_groups.get(&name) else { continue };
        let rate_ppm = group.takeaway_rate_ppm.filter(|_| takeaway).unwrap_or(group.rate_ppm);
        let weights: Vec<u64> = places.iter().map(|&place| lines[place].gross.minor().unsigned_abs()).collect();
        let paid = Money::from_minor(places.iter().map(|&place| lines[place].gross.minor()).sum());
        let tax = match group.mode {
            TaxMode::Inclusive => tax_in_gross(paid, rate_ppm),
            TaxMode::Exclusive => {
                let tax = div_half_away(i128::from(paid.minor()) * i128::from(rate_ppm), 1_000_000);
                Money::from_minor(i64::try_from(tax).unwrap_or(i64::MAX))
            }
        };
        let on_top = group.mode == TaxMode::Exclusive;
        for (&place, share) in places.iter().zip(allocate(tax.minor(), &weights)) {
            let line = &mut lines[place];
            line.tax_rate_ppm = rate_ppm;
            line.tax = Money::from_minor(share);
            if on_top {
                line.gross = Money::from_minor(line.gross.minor() + share);
            }
        }
        let gross = if on_top { Money::from_minor(paid.minor() + tax.minor()) } else { paid };
        taxes.push(TaxOfGroup { group: name, rate_ppm, gross, tax });
    }
    taxes
}
