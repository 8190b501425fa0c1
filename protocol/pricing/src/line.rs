//! The amount of one line.

use pos_model::{Money, Quantity, Tag};

use crate::PricingError;
use crate::round::div_half_away;

/// What a line's amounts are computed from.
#[derive(Debug, Clone, Copy)]
pub struct LineInput<'a> {
    /// The price of one unit without options.
    pub unit_price: Money,
    /// What each chosen option adds to one unit.
    pub options: &'a [Money],
    /// How many units.
    pub quantity: Quantity,
    /// What changes the line's price.
    pub adjustments: &'a [Money],
    /// The tax group.
    pub tax_group: &'a Tag,
    /// The rate of the tax, in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// Whether the tax comes on top of the prices, and is not in them.
    pub tax_on_top: bool,
}

/// What a line comes to before a tax on top: (unit price + options) × quantity, half away from zero, plus the adjustments. `None` if it does
/// not fit in 64 bits. May be negative; [`crate::price`] refuses that.
pub fn line_gross(line: &LineInput<'_>) -> Option<Money> {
    let sum = |amounts: &[Money]| amounts.iter().map(|amount| i128::from(amount.minor())).sum::<i128>();
    // One unit has to fit in 64 bits too: then its product with a quantity of 64 bits fits in 128.
    let unit = i64::try_from(i128::from(line.unit_price.minor()) + sum(line.options)).ok()?;
    let list =
        div_half_away(i128::from(unit) * i128::from(line.quantity.micro()), i128::from(Quantity::MICRO_PER_UNIT));
    i64::try_from(list + sum(line.adjustments)).ok().map(Money::from_minor)
}

/// As [`line_gross`], with the place of the line for the reason why not.
pub(crate) fn checked_line_gross(place: usize, line: &LineInput<'_>) -> Result<Money, PricingError> {
    let gross = line_gross(line).ok_or(PricingError::Overflow)?;
    if gross.is_negative() { Err(PricingError::NegativeLine { line: place, gross }) } else { Ok(gross) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        #[track_caller]
        fn check(unit: i64, options: &[i64], quantity: &str, adjustments: &[i64], gross: Option<i64>) {
            let money = |amounts: &[i64]| amounts.iter().copied().map(Money::from_minor).collect::<Vec<_>>();
            let input = LineInput {
                unit_price: Money::from_minor(unit),
                options: &money(options),
                quantity: quantity.parse().expect("valid"),
                adjustments: &money(adjustments),
                tax_group: &Tag::new("standard").expect("valid"),
                tax_rate_ppm: 0,
                tax_on_top: false,
            };
            assert_eq!(line_gross(&input).map(Money::minor), gross);
        }
        check(1800, &[], "1", &[], Some(1800));
        check(1800, &[200, 300], "2", &[-500], Some(4100));
        // Options may take away as well ("no topping").
        check(1800, &[-300], "1", &[], Some(1500));
        // 0.333 kg at 9.99: 3.32667.
        check(999, &[], "0.333", &[], Some(333));
        // 0.5 of 0.05 is half a cent, away from zero.
        check(5, &[], "0.5", &[], Some(3));
        check(-5, &[], "0.5", &[], Some(-3));
        // Rounding comes before the adjustments, so those arrive whole.
        check(5, &[], "0.5", &[-1], Some(2));
        check(100, &[], "1", &[-101], Some(-1));
        check(i64::MAX, &[], "1", &[], Some(i64::MAX));
        check(i64::MAX, &[1], "1", &[-1], None);
        check(i64::MAX, &[], "2", &[], None);
        check(i64::MAX, &[], "9223372036854.775807", &[], None);
        check(i64::MIN, &[], "9223372036854.775807", &[], None);
    }
}
