//! Sharing an amount out so that the parts add up to it.

use std::cmp::Reverse;

/// Shares `total` out in proportion to `weights`, by largest remainder; of equal remainders the earlier place is served
/// first. The parts add up to `total` exactly, and none lies further than one from its exact share.
///
/// If no weight is above zero, the first place takes everything. Without any place there is nothing to share to and the
/// result is empty; the caller has checked that there is a place.
pub fn allocate(total: i64, weights: &[u64]) -> Vec<i64> {
    if let [_] = weights {
        return vec![total];
    }
    let weight_sum: u128 = weights.iter().copied().map(u128::from).sum();
    if weight_sum == 0 {
        return weights.iter().enumerate().map(|(place, _)| if place == 0 { total } else { 0 }).collect();
    }
    let magnitude = total.unsigned_abs();
    // Nearly all products fit in 64 bits, which the processor divides several times as fast.
    let small = u64::try_from(weight_sum).ok().filter(|sum| magnitude.checked_mul(*sum).is_some());
    let divided = |weight: u64| -> (u64, u128) {
        if let Some(sum) = small {
            let exact = magnitude * weight;
            return (exact / sum, u128::from(exact % sum));
        }
        let exact = u128::from(magnitude) * u128::from(weight);
        let part = u64::try_from(exact / weight_sum).expect("a part is not above the whole");
        (part, exact % weight_sum)
    };
    let mut shares: Vec<(u64, u128)> = weights.iter().map(|&weight| divided(weight)).collect();
    let missing = magnitude - shares.iter().map(|(part, _)| part).sum::<u64>();
    // Each place lost less than one to the division, so fewer are missing than there are places.
    if missing > 0 {
        let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
        // The sort is stable, so equal remainders stay in their order.
        by_remainder.sort_by_key(|&place| Reverse(shares[place].1));
        for &place in by_remainder.iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
            shares[place].0 += 1;
        }
    }
    shares
        .into_iter()
        .map(|(part, _)| {
            if total < 0 {
                0i64.checked_sub_unsigned(part).expect("a part is not below the negative whole")
            } else {
                i64::try_from(part).expect("a part is not above the whole")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::allocate;
    use proptest::prelude::*;

    #[test]
    fn largest_remainder() {
        #[track_caller]
        fn check(total: i64, weights: &[u64], parts: &[i64]) {
            assert_eq!(allocate(total, weights), parts, "{total} over {weights:?}");
        }
        check(10, &[1, 1], &[5, 5]);
        check(10, &[1, 1, 1], &[4, 3, 3]);
        check(11, &[1, 1, 1], &[4, 4, 3]);
        check(-10, &[1, 1, 1], &[-4, -3, -3]);
        check(1, &[1, 1], &[1, 0]);
        check(1, &[1, 2], &[0, 1]);
        check(100, &[0, 3, 0, 1], &[0, 75, 0, 25]);
        check(5, &[0, 0], &[5, 0]);
        check(0, &[], &[]);
        check(i64::MIN, &[u64::MAX, 1], &[i64::MIN, 0]);
        check(i64::MAX, &[u64::MAX, u64::MAX], &[i64::MAX / 2 + 1, i64::MAX / 2]);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_lie_near_their_share(total: i64, weights in prop::collection::vec(any::<u64>(), 1..40)) {
            let parts = allocate(total, &weights);
            prop_assert_eq!(parts.len(), weights.len());
            prop_assert_eq!(parts.iter().map(|&part| i128::from(part)).sum::<i128>(), i128::from(total));
            let sum: u128 = weights.iter().copied().map(u128::from).sum();
            for (part, weight) in parts.iter().zip(&weights) {
                let share = u128::from(total.unsigned_abs()) * u128::from(*weight);
                let Some(floor) = share.checked_div(sum) else { break };
                let off = u128::from(part.unsigned_abs()) - floor;
                prop_assert!(off <= 1, "{} is {} above its share", part, off);
                prop_assert!(*part == 0 || part.signum() == total.signum());
            }
        }

        #[test]
        fn a_part_of_less_than_the_whole_is_not_above_its_weight(
            weights in prop::collection::vec(0u64..1_000_000, 1..40),
            ppm in 0u64..=1_000_000,
        ) {
            let sum: u64 = weights.iter().sum();
            let total = i64::try_from(sum * ppm / 1_000_000).expect("small");
            for (part, weight) in allocate(total, &weights).iter().zip(&weights) {
                prop_assert!(part.unsigned_abs() <= *weight);
            }
        }
    }
}
