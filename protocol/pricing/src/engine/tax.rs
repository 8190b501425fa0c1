//! The tax of each group, from what the group costs.

use std::collections::BTreeMap;

use pos_model::{Money, Tag};

use super::output::{PricedLine, PricedUnit, TaxOfGroup};
use super::rules::Rules;
use crate::allocate::allocate;
use crate::book::TaxMode;
use crate::tax::{tax_in_gross, tax_on_top};

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
            TaxMode::Exclusive => tax_on_top(paid, rate_ppm),
        };
        let on_top = group.mode == TaxMode::Exclusive;
        for (&place, share) in places.iter().zip(allocate(tax.minor(), &weights)) {
            let line = &mut lines[place];
            line.tax_rate_ppm = rate_ppm;
            line.tax = Money::from_minor(share);
            if on_top {
                line.tax_on_top = true;
                line.gross = Money::from_minor(line.gross.minor() + share);
                add_to_units(&mut line.units, share);
            }
        }
        let gross = if on_top { Money::from_minor(paid.minor() + tax.minor()) } else { paid };
        taxes.push(TaxOfGroup { group: name, rate_ppm, gross, tax });
    }
    taxes
}

/// Shares a tax that comes on top of a line out to its units.
fn add_to_units(units: &mut [PricedUnit], tax: i64) {
    let weights: Vec<u64> = units.iter().map(|unit| unit.paid.minor().unsigned_abs()).collect();
    for (unit, share) in units.iter_mut().zip(allocate(tax, &weights)) {
        unit.gross = Money::from_minor(unit.gross.minor() + share);
    }
}
