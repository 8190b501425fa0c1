//! The largest sums of a report. A report is one event and one strip of paper, however many promotions a day has known.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// At most `max` of the sums, in the order of their keys; what is left over is joined under `rest`, so that all together
/// come to the same. `weight` says which are the largest, `join` adds one to another.
pub fn largest<K: Ord + Clone, V: Clone + Default>(
    sums: &BTreeMap<K, V>,
    max: usize,
    rest: &K,
    weight: impl Fn(&V) -> u64,
    join: impl Fn(&mut V, &V),
) -> Vec<(K, V)> {
    if sums.len() <= max {
        return sums.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    // A sum that bears the name of the rest is joined with it.
    let mut by_weight: Vec<(&K, &V)> = sums.iter().filter(|(key, _)| *key != rest).collect();
    by_weight.sort_by_key(|(key, value)| (Reverse(weight(value)), *key));
    let kept = by_weight.len().min(max.saturating_sub(1));
    let mut joined = sums.get(rest).cloned().unwrap_or_default();
    by_weight[kept..].iter().for_each(|(_, value)| join(&mut joined, value));
    let mut shown: BTreeMap<K, V> =
        by_weight[..kept].iter().map(|(key, value)| ((*key).clone(), (*value).clone())).collect();
    shown.insert(rest.clone(), joined);
    shown.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(sums: &[(&'static str, i64)], max: usize) -> Vec<(&'static str, i64)> {
        let sums = sums.iter().copied().collect();
        largest(&sums, max, &"other", |sum| sum.unsigned_abs(), |sum, more| *sum += more)
    }

    #[test]
    fn the_largest_stay_and_the_rest_is_joined() {
        let sums = [("a", -5), ("b", 70), ("c", 5), ("d", -80)];
        assert_eq!(shown(&sums, 4), sums);
        assert_eq!(shown(&sums, 3), [("b", 70), ("d", -80), ("other", 0)]);
        assert_eq!(shown(&sums, 2), [("d", -80), ("other", 70)]);
        assert_eq!(shown(&[("a", 1), ("b", 2), ("other", 90)], 2), [("b", 2), ("other", 91)]);
        assert_eq!(shown(&[("a", 3), ("b", 3), ("c", 3)], 2), [("a", 3), ("other", 6)], "ties go to the earlier key");
    }

    proptest! {
        #[test]
        fn all_together_come_to_the_same(values in prop::collection::btree_map(0u32..200, -1000i64..1000, 0..60), max in 1usize..20) {
            let found = largest(&values, max, &7, |sum| sum.unsigned_abs(), |sum, more| *sum += more);
            prop_assert!(found.len() <= max);
            prop_assert_eq!(found.iter().map(|(_, sum)| sum).sum::<i64>(), values.values().sum::<i64>());
        }
    }
}
