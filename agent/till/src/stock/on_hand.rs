//! What is on hand.

use pos_model::Quantity;

use super::counter::Totals;

/// What a count says of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedAt {
    /// How much was there.
    pub counted: Quantity,
    /// The sums of the item's counters at the count's frontier, over all business dates and epochs.
    pub frontier: Totals,
}

/// What is on hand: the last count, and what was added less what was used since its frontier. Without a count it is reckoned
/// from nothing. It may be below zero, and is held at the ends of the scale.
pub fn on_hand(last: Option<&CountedAt>, now: Totals) -> Quantity {
    let (counted, frontier) = last.map_or((Quantity::ZERO, Totals::default()), |last| (last.counted, last.frontier));
    let part = |quantity: Quantity| i128::from(quantity.micro());
    let micro = part(counted) + (part(now.added) - part(frontier.added)) - (part(now.used) - part(frontier.used));
    let held = micro.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Quantity::from_micro(i64::try_from(held).expect("it was held within 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_and_what_came_after() {
        #[track_caller]
        fn check(last: Option<(i64, i64, i64)>, now: (i64, i64), expected: i64) {
            let totals = |(added, used): (i64, i64)| Totals {
                added: Quantity::from_micro(added),
                used: Quantity::from_micro(used),
            };
            let last = last.map(|(counted, added, used)| CountedAt {
                counted: Quantity::from_micro(counted),
                frontier: totals((added, used)),
            });
            assert_eq!(on_hand(last.as_ref(), totals(now)).micro(), expected, "{last:?} {now:?}");
        }
        check(None, (0, 0), 0);
        check(None, (10, 3), 7);
        check(None, (3, 10), -7);
        check(Some((5, 10, 3)), (10, 3), 5);
        check(Some((5, 10, 3)), (12, 4), 6);
        check(Some((0, 10, 3)), (10, 4), -1);
        check(Some((i64::MAX, 0, 0)), (i64::MAX, 0), i64::MAX);
        check(Some((0, i64::MAX, 0)), (0, i64::MAX), i64::MIN);
    }
}
