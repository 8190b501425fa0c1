//! Who should hold which partition.
//!
//! Balanced: two members differ by one partition at the most. Stable: a partition moves only if its holder is gone or has too
//! many. All who plan from the same rows plan the same, so nobody needs to be asked.

use pos_model::StoreId;

use crate::ledger::InstanceId;

/// How many partitions there are.
pub(super) const PARTITIONS: usize = StoreId::PARTITIONS as usize;

/// For each partition its holder, if it has one.
pub(super) type Holders = [Option<InstanceId>; PARTITIONS];

/// Shares the partitions among the members, who must be in order and each there once. Without members nobody has any.
pub(super) fn plan(members: &[InstanceId], holders: &Holders) -> Holders {
    let mut planned = [None; PARTITIONS];
    if members.is_empty() {
        return planned;
    }
    let mut room = shares(members, holders);
    for (planned, holder) in planned.iter_mut().zip(holders) {
        let place = holder.and_then(|holder| members.binary_search(&holder).ok()).and_then(|at| room.get_mut(at));
        if let Some(room) = place.filter(|room| **room > 0) {
            *room -= 1;
            *planned = *holder;
        }
    }
    let mut takers = members.iter().zip(room).flat_map(|(member, room)| std::iter::repeat_n(*member, room));
    for planned in planned.iter_mut().filter(|planned| planned.is_none()) {
        *planned = takers.next();
    }
    planned
}

/// How many each member gets. What cannot be shared evenly stays with those who have the most.
fn shares(members: &[InstanceId], holders: &Holders) -> Vec<usize> {
    let (least, more) = (PARTITIONS / members.len(), PARTITIONS % members.len());
    let held = |member: InstanceId| holders.iter().filter(|holder| **holder == Some(member)).count();
    let mut order: Vec<usize> = (0..members.len()).collect();
    // A stable sort: of those with the same number the first come first.
    order.sort_by_key(|at| members.get(*at).map(|member| std::cmp::Reverse(held(*member))));
    let mut shares = vec![least; members.len()];
    for at in order.into_iter().take(more) {
        if let Some(share) = shares.get_mut(at) {
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> InstanceId {
        InstanceId::new(number)
    }

    /// Holders as runs of so many partitions each; 0 is nobody.
    fn held(runs: &[(u64, usize)]) -> Holders {
        let mut all = runs.iter().flat_map(|(holder, count)| std::iter::repeat_n(*holder, *count));
        std::array::from_fn(|_| all.next().filter(|holder| *holder > 0).map(id))
    }

    #[test]
    fn cases() {
        #[track_caller]
        fn check(members: &[u64], before: &[(u64, usize)], after: &[(u64, usize)]) {
            let members: Vec<_> = members.iter().copied().map(id).collect();
            assert_eq!(plan(&members, &held(before)), held(after), "{members:?} {before:?}");
        }
        check(&[], &[(1, 64)], &[]);
        check(&[1], &[], &[(1, 64)]);
        check(&[1, 2], &[], &[(1, 32), (2, 32)]);
        // One more comes: the others give up as many as it needs.
        check(&[1, 2], &[(1, 64)], &[(1, 32), (2, 32)]);
        check(&[1, 2, 3], &[(1, 32), (2, 32)], &[(1, 22), (3, 10), (2, 21), (3, 11)]);
        // One is gone: only its own move.
        check(&[1, 3], &[(1, 22), (3, 10), (2, 21), (3, 11)], &[(1, 22), (3, 10), (1, 10), (3, 22)]);
        // What cannot be shared evenly stays where it is.
        check(&[1, 2, 3], &[(2, 22), (1, 21), (3, 21)], &[(2, 22), (1, 21), (3, 21)]);
        check(&[1, 2], &[(1, 20), (0, 44)], &[(1, 32), (2, 32)]);
    }

    fn holders() -> impl Strategy<Value = Holders> {
        vec(0u64..9, PARTITIONS).prop_map(|all| std::array::from_fn(|at| Some(all[at]).filter(|n| *n > 0).map(id)))
    }

    proptest! {
        #[test]
        fn balanced_stable_and_no_move_too_many(members in btree_set(1u64..9, 1..8), before in holders()) {
            let members: Vec<_> = members.into_iter().map(id).collect();
            let after = plan(&members, &before);
            let count = |holders: &Holders, member| holders.iter().filter(|holder| **holder == Some(member)).count();
            let counts: Vec<_> = members.iter().map(|member| count(&after, *member)).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), PARTITIONS);
            prop_assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref());
            prop_assert_eq!(plan(&members, &after), after);
            // Only what has no living holder moves, and what a holder has above its share.
            let moved = after.iter().zip(&before).filter(|(after, before)| after != before).count();
            let above: usize = members.iter().map(|m| count(&before, *m).saturating_sub(count(&after, *m))).sum();
            let lost = before.iter().filter(|holder| holder.is_none_or(|holder| !members.contains(&holder))).count();
            prop_assert_eq!(moved, above + lost);
        }
    }
}
