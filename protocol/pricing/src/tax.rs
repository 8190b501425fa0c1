//! Tax out of the gross.

use pos_model::Money;

use crate::round::div_half_away;

const PPM: i128 = 1_000_000;

/// The tax in a gross amount: gross × rate / (1,000,000 + rate), half away from zero. Never more than the gross.
pub fn tax_in_gross(gross: Money, rate_ppm: u32) -> Money {
    let rate = i128::from(rate_ppm);
    let tax = div_half_away(i128::from(gross.minor()) * rate, PPM + rate);
    Money::from_minor(i64::try_from(tax).expect("the tax in an amount is not above the amount"))
}

/// The tax that comes on top of a net amount: net × rate / 1,000,000, half away from zero; the largest or least amount if
/// that does not fit in 64 bits.
pub fn tax_on_top(net: Money, rate_ppm: u32) -> Money {
    let tax = div_half_away(i128::from(net.minor()) * i128::from(rate_ppm), PPM);
    Money::from_minor(i64::try_from(tax).unwrap_or(if tax < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn taxes() {
        #[track_caller]
        fn check(gross: i64, rate_ppm: u32, tax: i64) {
            assert_eq!(tax_in_gross(Money::from_minor(gross), rate_ppm).minor(), tax, "{gross} at {rate_ppm}");
        }
        check(0, 210_000, 0);
        check(12_100, 210_000, 2_100);
        check(-12_100, 210_000, -2_100);
        // 28.90 at 22 % and 1.25 at 10 %: 5.2115 and 0.1136.
        check(2_890, 220_000, 521);
        check(125, 100_000, 11);
        // 8.01 stays 8.01: only its tax, 1.335, is rounded.
        check(801, 200_000, 134);
        check(1_000, 0, 0);
        check(i64::MAX, u32::MAX, 9_221_225_053_089_887_817);
        check(i64::MIN, 1_000_000, -4_611_686_018_427_387_904);
    }

    #[test]
    fn taxes_on_top() {
        #[track_caller]
        fn check(net: i64, rate_ppm: u32, tax: i64) {
            assert_eq!(tax_on_top(Money::from_minor(net), rate_ppm).minor(), tax, "{net} at {rate_ppm}");
        }
        check(0, 88_750, 0);
        check(1_000, 88_750, 89);
        check(-1_000, 88_750, -89);
        // 4.345 goes away from zero.
        check(4_345, 100_000, 435);
        check(i64::MAX, u32::MAX, i64::MAX);
        check(i64::MIN, u32::MAX, i64::MIN);
    }

    proptest! {
        #[test]
        fn tax_lies_between_nothing_and_the_gross(gross: i64, rate: u32) {
            let tax = tax_in_gross(Money::from_minor(gross), rate).minor();
            prop_assert!(tax.unsigned_abs() <= gross.unsigned_abs());
            prop_assert!(tax == 0 || tax.signum() == gross.signum());
        }
    }
}
