//! A set of partitions of the topic space.

use std::fmt;

use pos_model::StoreId;

/// Which partitions; each store is in one, for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PartitionSet(u64);

const _: () = assert!(StoreId::PARTITIONS as u32 == u64::BITS);

impl PartitionSet {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// How many it has.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether it has this one.
    pub fn contains(self, partition: u8) -> bool {
        self.0 & bit(partition) != 0
    }

    /// Those of either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other has not.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that both have.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The first so many of it.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        self.iter().take(count).collect()
    }

    /// The partitions that a connection serves, where `of` connections share all of them.
    pub fn share(index: usize, of: usize) -> Self {
        (0..StoreId::PARTITIONS).filter(|partition| usize::from(*partition) % of.max(1) == index).collect()
    }

    /// A bit for each partition, as the database has it.
    pub(crate) fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// Its partitions in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..StoreId::PARTITIONS).filter(move |partition| self.contains(*partition))
    }
}

/// No partitions.
impl Default for PartitionSet {
    fn default() -> Self {
        Self::NONE
    }
}

fn bit(partition: u8) -> u64 {
    1u64.checked_shl(u32::from(partition)).unwrap_or(0)
}

/// A number that is no partition is left out.
impl FromIterator<u8> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = u8>>(partitions: I) -> Self {
        Self(partitions.into_iter().fold(0, |bits, partition| bits | bit(partition)))
    }
}

impl fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set: PartitionSet = [3, 7, 63, 64, 200].into_iter().collect();
        assert_eq!(format!("{set:?}"), "{3, 7, 63}");
        assert_eq!((set.len(), PartitionSet::ALL.len(), PartitionSet::NONE.len()), (3, 64, 0));
        assert_eq!(set.union([1].into_iter().collect()).len(), 4);
        assert_eq!(set.without([3].into_iter().collect()).first(1), [7].into_iter().collect());
        assert!(set.both([8].into_iter().collect()).is_empty());
        assert!(!set.contains(64));
    }

    #[test]
    fn shares_cover_everything_once() {
        for of in [1, 3, 4, 64] {
            let shares: Vec<_> = (0..of).map(|index| PartitionSet::share(index, of)).collect();
            assert_eq!(shares.iter().map(|share| share.len()).sum::<usize>(), 64, "{of}");
            assert_eq!(shares.into_iter().fold(PartitionSet::NONE, PartitionSet::union), PartitionSet::ALL);
        }
    }
}
