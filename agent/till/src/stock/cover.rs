//! For how long stock lasts.

use pos_model::Quantity;

use super::on_hand::CountedAt;

/// How the store reckons it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoverRule {
    /// For how many minutes of a business date the store sells; from 1 to 1440.
    pub trading_minutes: u16,
    /// Below how many trading minutes of cover an item is flagged.
    pub low_minutes: u32,
}

/// How much of an item was used lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecentUse {
    /// The use of a business date.
    pub per_date: Quantity,
}

impl RecentUse {
    /// Business dates that are looked at: a week, so that each day of it has its say.
    pub const DATES_MAX: usize = 7;

    /// From what was used on the newest business dates on which the store sold, the oldest first and without the present one,
    /// and from what was used today so far.
    ///
    /// Dates before the first use do not count, so that an article that has just come in is not taken for a slow one. The
    /// mean of the others is rounded up to a millionth. A present date on which more than that is used already is taken
    /// instead: on the day of a promotion last week says little.
    pub fn of(dates: &[Quantity], today: Quantity) -> Self {
        let counted: Vec<i128> =
            dates.iter().map(|used| i128::from(used.micro().max(0))).skip_while(|used| *used == 0).collect();
        let count = i128::try_from(counted.len()).expect("a week is short");
        let mean = if count == 0 { 0 } else { (counted.iter().sum::<i128>() + count - 1) / count };
        let mean = i64::try_from(mean).expect("a mean is no larger than the largest");
        Self { per_date: Quantity::from_micro(mean.max(today.micro())) }
    }
}

/// For how long something lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// Nothing of it was used lately, so nothing can be said.
    NoUse,
    /// For so many minutes of trading; none if nothing is there.
    Minutes(i64),
}

/// For how long what is on hand lasts: `on hand x trading minutes of a date / use of a date`, rounded down.
pub fn cover(on_hand: Quantity, recent: RecentUse, rule: CoverRule) -> Cover {
    if recent.per_date <= Quantity::ZERO {
        return Cover::NoUse;
    }
    let there = i128::from(on_hand.micro().max(0));
    let minutes = there * i128::from(rule.trading_minutes) / i128::from(recent.per_date.micro());
    Cover::Minutes(i64::try_from(minutes).unwrap_or(i64::MAX))
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockFlag {
    /// More was used than is known to have come in.
    Negative,
    /// It does not last as long as the store wants it to.
    LowCover,
    /// It was never counted.
    NeverCounted,
}

/// What somebody should look at, in the order of [`StockFlag`].
pub fn flags(on_hand: Quantity, cover: Cover, rule: CoverRule, last: Option<&CountedAt>) -> Vec<StockFlag> {
    let is_low = matches!(cover, Cover::Minutes(minutes) if minutes < i64::from(rule.low_minutes));
    let raised = [
        (on_hand < Quantity::ZERO, StockFlag::Negative),
        (is_low, StockFlag::LowCover),
        (last.is_none(), StockFlag::NeverCounted),
    ];
    raised.into_iter().filter_map(|(is_raised, flag)| is_raised.then_some(flag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock::Totals;
    use proptest::prelude::*;

    const RULE: CoverRule = CoverRule { trading_minutes: 720, low_minutes: 600 };

    const COUNTED: CountedAt =
        CountedAt { counted: Quantity::ZERO, frontier: Totals { added: Quantity::ZERO, used: Quantity::ZERO } };

    #[test]
    fn the_use_of_a_date() {
        #[track_caller]
        fn check(dates: &[i64], today: i64, per_date: i64) {
            let dates: Vec<Quantity> = dates.iter().copied().map(Quantity::from_micro).collect();
            assert_eq!(RecentUse::of(&dates, Quantity::from_micro(today)).per_date.micro(), per_date, "{dates:?}");
        }
        check(&[], 0, 0);
        check(&[], 5, 5);
        check(&[0, 0, 0], 0, 0);
        check(&[10, 20], 0, 15);
        // Rounded up.
        check(&[10, 21], 0, 16);
        // What has just come in, and what rests for a day.
        check(&[0, 0, 10, 20], 0, 15);
        check(&[10, 0, 20], 0, 10);
        // A day that uses more than others.
        check(&[10, 20], 14, 15);
        check(&[10, 20], 44, 44);
        check(&[i64::MAX; 7], i64::MAX, i64::MAX);
    }

    #[test]
    fn how_long_it_lasts_and_what_is_flagged() {
        use StockFlag::{LowCover, Negative, NeverCounted};
        #[track_caller]
        fn check(on_hand: i64, per_date: i64, counted: bool, lasts: Cover, flagged: &[StockFlag]) {
            let on_hand = Quantity::from_micro(on_hand);
            let lasts_here = cover(on_hand, RecentUse { per_date: Quantity::from_micro(per_date) }, RULE);
            assert_eq!(lasts_here, lasts, "{on_hand}");
            assert_eq!(flags(on_hand, lasts_here, RULE, counted.then_some(&COUNTED)), flagged, "{on_hand}");
        }
        check(0, 0, true, Cover::NoUse, &[]);
        check(100, 0, true, Cover::NoUse, &[]);
        check(-1, 0, false, Cover::NoUse, &[Negative, NeverCounted]);
        check(100, 100, true, Cover::Minutes(720), &[]);
        check(100, 101, true, Cover::Minutes(712), &[]);
        check(83, 100, true, Cover::Minutes(597), &[LowCover]);
        check(0, 100, true, Cover::Minutes(0), &[LowCover]);
        check(-5, 100, false, Cover::Minutes(0), &[Negative, LowCover, NeverCounted]);
        check(i64::MAX, 1, true, Cover::Minutes(i64::MAX), &[]);
    }

    proptest! {
        /// Rounding is on the safe side: what is said to last does last.
        #[test]
        fn what_is_said_to_last_does(on_hand in 0i64..1 << 40, per_date in 1i64..1 << 30) {
            let recent = RecentUse { per_date: Quantity::from_micro(per_date) };
            let Cover::Minutes(minutes) = cover(Quantity::from_micro(on_hand), recent, RULE) else { panic!("it is used") };
            let needed = i128::from(minutes) * i128::from(per_date);
            let there = i128::from(on_hand) * 720;
            prop_assert!(needed <= there && there < needed + i128::from(per_date));
        }
    }
}
