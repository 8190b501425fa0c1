//! Sharing an amount over units: first over their lines, then within each line.

use crate::allocate::allocate;

/// Shares `total` (not negative) over places in proportion to `weights`, none taking more than its cap: by largest
/// remainder, ties to the earlier place; what a cap keeps back is shared among the others (water-filling). Shares add up
/// to `total`, or to the sum of the caps if that is less.
pub(super) fn share_capped(total: i64, weights: &[i64], caps: &[i64]) -> Vec<i64> {
    if let [cap] = *caps {
        return vec![total.clamp(0, cap.max(0))];
    }
    let mut shares = vec![0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).filter(|&place| caps[place] > 0).collect();
    let mut rest = total;
    while rest > 0 && !open.is_empty() {
        let open_weights: Vec<u64> = open.iter().map(|&place| weights[place].max(0).unsigned_abs()).collect();
        let parts = allocate(rest, &open_weights);
        let capped: Vec<usize> =
            open.iter().zip(&parts).filter(|&(&place, &part)| part > caps[place]).map(|(&place, _)| place).collect();
        if capped.is_empty() {
            for (&place, part) in open.iter().zip(parts) {
                shares[place] = part;
            }
            break;
        }
        for place in capped {
            shares[place] = caps[place];
            rest -= caps[place];
            open.retain(|&other| other != place);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn caps_keep_back_and_the_others_take_it() {
        #[track_caller]
        fn check(total: i64, weights: &[i64], caps: &[i64], shares: &[i64]) {
            assert_eq!(share_capped(total, weights, caps), shares, "{total} over {weights:?} within {caps:?}");
        }
        check(300, &[4300, 1400, 2300], &[4300, 1400, 2300], &[161, 53, 86]);
        check(299, &[4300, 1400, 2300], &[4300, 1400, 2300], &[161, 52, 86]);
        check(5000, &[12_000, 23_000, 30_000], &[12_000, 23_000, 30_000], &[923, 1769, 2308]);
        check(1000, &[1000, 1000, 1000], &[1000, 1000, 1000], &[334, 333, 333]);
        check(100, &[50, 50], &[10, 90], &[10, 90]);
        check(100, &[50, 50], &[10, 20], &[10, 20]);
        check(90, &[1, 1, 1], &[10, 20, 90], &[10, 20, 60]);
        check(10, &[0, 5], &[0, 5], &[0, 5]);
        check(0, &[1], &[1], &[0]);
        check(5, &[], &[], &[]);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_stay_within_their_caps(
            places in prop::collection::vec((0i64..1_000_000, 0i64..1_000_000), 1..20),
            total in 0i64..10_000_000,
        ) {
            let (weights, caps): (Vec<i64>, Vec<i64>) = places.iter().map(|&(weight, cut)| (weight, weight.min(cut))).unzip();
            let shares = share_capped(total, &weights, &caps);
            prop_assert_eq!(shares.iter().sum::<i64>(), total.min(caps.iter().sum()));
            prop_assert!(shares.iter().zip(&caps).all(|(share, cap)| (0..=*cap).contains(share)));
        }
    }
}
