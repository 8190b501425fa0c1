//! All lines of a sale together.

use std::collections::BTreeMap;

use pos_model::{Money, Tag};

use crate::allocate::allocate;
use crate::line::{LineInput, checked_line_gross};
use crate::tax::{tax_in_gross, tax_on_top};

/// The amounts of a basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// One for each line, in the same order.
    pub lines: Vec<LineTotals>,
    /// What the customer pays, tax included: the sum of the lines.
    pub gross: Money,
    /// The tax in it: the sum of the lines' shares.
    pub tax: Money,
}

/// The amounts of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTotals {
    /// What the customer pays for it.
    pub gross: Money,
    /// Its share of the tax.
    pub tax: Money,
}

/// Why a basket has no price. Lines are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// An amount does not fit in 64 bits.
    #[error("an amount does not fit in 64 bits")]
    Overflow,
    /// The adjustments of a line take more than its price.
    #[error("line {line} comes to {} minor units, which is less than nothing", gross.minor())]
    NegativeLine {
        /// The line.
        line: usize,
        /// What it comes to.
        gross: Money,
    },
    /// Two lines of one tax group name different rates, so the group has no tax.
    #[error("tax group {group} has the rates {first_ppm} and {second_ppm}")]
    TwoRates {
        /// The group.
        group: Tag,
        /// The rate of its first line.
        first_ppm: u32,
        /// The other one.
        second_ppm: u32,
    },
    /// Of two lines of one tax group one has its tax in the price, and one on top.
    #[error("tax group {group} has its tax in the price and on top")]
    TwoModes {
        /// The group.
        group: Tag,
    },
}

/// Prices a basket. Equal input gives an equal answer, everywhere and always.
pub fn total(lines: &[LineInput<'_>]) -> Result<Totals, PricingError> {
    let mut priced = Vec::with_capacity(lines.len());
    let mut groups: BTreeMap<&Tag, (&LineInput<'_>, Vec<usize>)> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        priced.push(LineTotals { gross: checked_line_gross(place, line)?, tax: Money::ZERO });
        let (first, places) = groups.entry(line.tax_group).or_insert_with(|| (line, Vec::new()));
        if first.tax_rate_ppm != line.tax_rate_ppm {
            return Err(PricingError::TwoRates {
                group: line.tax_group.clone(),
                first_ppm: first.tax_rate_ppm,
                second_ppm: line.tax_rate_ppm,
            });
        }
        if first.tax_on_top != line.tax_on_top {
            return Err(PricingError::TwoModes { group: line.tax_group.clone() });
        }
        places.push(place);
    }
    for (first, places) in groups.into_values() {
        let paid = sum(places.iter().map(|&place| priced[place].gross))?;
        let weights: Vec<u64> = places.iter().map(|&place| priced[place].gross.minor().unsigned_abs()).collect();
        let of_group = if first.tax_on_top { tax_on_top } else { tax_in_gross };
        for (&place, share) in places.iter().zip(allocate(of_group(paid, first.tax_rate_ppm).minor(), &weights)) {
            let line = &mut priced[place];
            line.tax = Money::from_minor(share);
            if first.tax_on_top {
                line.gross = line.gross.checked_add(line.tax).map_err(|_| PricingError::Overflow)?;
            }
        }
    }
    let gross = sum(priced.iter().map(|line| line.gross))?;
    let tax = sum(priced.iter().map(|line| line.tax))?;
    Ok(Totals { lines: priced, gross, tax })
}

fn sum(amounts: impl IntoIterator<Item = Money>) -> Result<Money, PricingError> {
    Money::checked_sum(amounts).map_err(|_| PricingError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pos_model::Quantity;
    use proptest::prelude::*;

    fn tag(text: &str) -> Tag {
        Tag::new(text).expect("valid")
    }

    fn priced(lines: &[(i64, &Tag, u32)]) -> Result<Totals, PricingError> {
        let inputs: Vec<LineInput<'_>> = lines
            .iter()
            .map(|&(gross, tax_group, tax_rate_ppm)| LineInput {
                unit_price: Money::from_minor(gross),
                options: &[],
                quantity: Quantity::ONE,
                adjustments: &[],
                tax_group,
                tax_rate_ppm,
                tax_on_top: tax_group.as_str().starts_with("top"),
            })
            .collect();
        total(&inputs)
    }

    #[test]
    fn tax_is_taken_per_group_and_shared_to_its_lines() {
        #[track_caller]
        fn check(lines: &[(i64, &str, u32)], gross: i64, taxes: &[i64]) {
            let tags: Vec<Tag> = lines.iter().map(|line| tag(line.1)).collect();
            let lines: Vec<_> = lines.iter().zip(&tags).map(|(line, tag)| (line.0, tag, line.2)).collect();
            let basket = priced(&lines).expect("has a price");
            assert_eq!(basket.gross.minor(), gross);
            assert_eq!(basket.lines.iter().map(|line| line.tax.minor()).collect::<Vec<_>>(), taxes);
            assert_eq!(basket.tax.minor(), taxes.iter().sum::<i64>());
        }
        check(&[], 0, &[]);
        check(&[(1_800, "standard", 0)], 1_800, &[0]);
        check(&[(2_890, "a", 220_000), (125, "b", 100_000)], 3_015, &[521, 11]);
        // Each line alone would carry 0.21 and so nothing; together they carry 0.62, so one, and the first takes it.
        check(&[(10, "a", 21_000), (10, "a", 21_000), (10, "a", 21_000)], 30, &[1, 0, 0]);
        // Groups interleave without touching each other.
        check(&[(100, "a", 100_000), (100, "b", 200_000), (100, "a", 100_000)], 300, &[9, 17, 9]);
        // The three lines of one group: 18.18, of which the two larger remainders round up.
        check(&[(50, "a", 100_000), (50, "a", 100_000), (100, "a", 100_000)], 200, &[5, 4, 9]);
        check(&[(0, "a", 100_000), (0, "a", 100_000)], 0, &[0, 0]);
        // On top: 8.875 % of 30.00 is 2.6625, which the customer pays beside the prices.
        check(&[(1_000, "top", 88_750), (2_000, "top", 88_750)], 3_266, &[89, 177]);
        check(&[(1_000, "top", 88_750), (1_100, "in", 100_000)], 2_189, &[89, 100]);
    }

    #[test]
    fn what_has_no_price() {
        let (a, b) = (tag("a"), tag("b"));
        assert_eq!(priced(&[(i64::MAX, &a, 0), (1, &b, 0)]), Err(PricingError::Overflow));
        assert_eq!(
            priced(&[(1, &a, 0), (-1, &a, 0)]),
            Err(PricingError::NegativeLine { line: 1, gross: Money::from_minor(-1) })
        );
        assert_eq!(
            priced(&[(1, &a, 5), (1, &b, 6), (1, &a, 6)]),
            Err(PricingError::TwoRates { group: a.clone(), first_ppm: 5, second_ppm: 6 })
        );
        let line = |tax_on_top| LineInput {
            unit_price: Money::ZERO,
            options: &[],
            quantity: Quantity::ONE,
            adjustments: &[],
            tax_group: &a,
            tax_rate_ppm: 5,
            tax_on_top,
        };
        assert_eq!(total(&[line(true), line(false)]), Err(PricingError::TwoModes { group: a.clone() }));
    }

    proptest! {
        #[test]
        fn sums_agree_and_no_line_carries_more_tax_than_it_costs(
            lines in prop::collection::vec((0i64..1_000_000_000_000, 0usize..4), 1..60),
            rates in prop::array::uniform4(0u32..500_000),
        ) {
            let tags = [tag("a"), tag("b"), tag("c"), tag("d")];
            let input: Vec<_> = lines.iter().map(|&(gross, group)| (gross, &tags[group], rates[group])).collect();
            let basket = priced(&input).expect("has a price");
            prop_assert_eq!(basket.gross.minor(), lines.iter().map(|line| line.0).sum::<i64>());
            prop_assert_eq!(basket.tax.minor(), basket.lines.iter().map(|line| line.tax.minor()).sum::<i64>());
            for (group, rate) in rates.iter().enumerate() {
                let of_group = || lines.iter().zip(&basket.lines).filter(|(line, _)| line.1 == group);
                let group_gross: i64 = of_group().map(|(line, _)| line.0).sum();
                let group_tax: i64 = of_group().map(|(_, priced)| priced.tax.minor()).sum();
                prop_assert_eq!(group_tax, tax_in_gross(Money::from_minor(group_gross), *rate).minor());
            }
            for line in &basket.lines {
                prop_assert!(line.tax.minor() >= 0 && line.tax <= line.gross);
            }
        }

        #[test]
        fn any_input_gets_an_answer(
            lines in prop::collection::vec(
                (any::<i64>(), prop::collection::vec(any::<i64>(), 0..4), any::<i64>(), any::<u32>()), 0..6),
            on_top: bool,
        ) {
            let group = tag("a");
            let money = |amounts: &[i64]| amounts.iter().copied().map(Money::from_minor).collect::<Vec<_>>();
            let amounts: Vec<_> = lines.iter().map(|line| money(&line.1)).collect();
            let input: Vec<_> = lines.iter().zip(&amounts).map(|(line, amounts)| LineInput {
                unit_price: Money::from_minor(line.0),
                options: amounts,
                quantity: Quantity::from_micro(line.2),
                adjustments: amounts,
                tax_group: &group,
                tax_rate_ppm: line.3,
                tax_on_top: on_top,
            }).collect();
            let _ = total(&input);
        }
    }
}
