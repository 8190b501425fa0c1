//! The one rounding that prices use.

/// Divides and rounds half away from zero: 2.5 becomes 3, -2.5 becomes -3. The divisor is positive.
pub(crate) fn div_half_away(dividend: i128, divisor: i128) -> i128 {
    // Nearly all amounts fit in 64 bits, which the processor divides several times as fast.
    if let (Ok(small), Ok(by)) = (i64::try_from(dividend), i64::try_from(divisor)) {
        let rest = (small % by).unsigned_abs();
        let away = if rest >= by.unsigned_abs() - rest { dividend.signum() } else { 0 };
        return i128::from(small / by) + away;
    }
    let quotient = dividend / divisor;
    let rest = (dividend % divisor).unsigned_abs();
    // Comparing the rest with what is missing avoids doubling it, which could overflow.
    if rest >= divisor.unsigned_abs() - rest { quotient + dividend.signum() } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::div_half_away;

    #[test]
    fn half_away_from_zero() {
        #[track_caller]
        fn check(dividend: i128, divisor: i128, expected: i128) {
            assert_eq!(div_half_away(dividend, divisor), expected, "{dividend} / {divisor}");
            assert_eq!(div_half_away(-dividend, divisor), -expected, "-{dividend} / {divisor}");
        }
        check(0, 1, 0);
        check(7, 1, 7);
        check(5, 2, 3);
        check(4, 10, 0);
        check(5, 10, 1);
        check(14, 10, 1);
        check(15, 10, 2);
        check(1, 3, 0);
        check(2, 3, 1);
        check(i128::MAX, 1, i128::MAX);
        check(i64::MAX.into(), 2, 1 << 62);
        check(i64::MAX.into(), i64::MAX.into(), 1);
        check(i128::from(i64::MAX) + 1, 2, 1 << 62);
        check(i128::from(i64::MIN), 3, -3_074_457_345_618_258_603);
        check(i128::MAX, i128::MAX, 1);
    }
}
