//! Counters that only grow.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, Epoch, ItemId, Quantity};

/// What was added to stock, and what was used of it; neither is below zero. Sums stop at the end of the scale, which is nine
/// million million units away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// What came in.
    pub added: Quantity,
    /// What went out.
    pub used: Quantity,
}

impl Totals {
    /// Something that came in.
    pub const fn added(quantity: Quantity) -> Self {
        Self { added: quantity, used: Quantity::ZERO }
    }

    /// Something that went out.
    pub const fn used(quantity: Quantity) -> Self {
        Self { added: Quantity::ZERO, used: quantity }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self { added: saturating_add(self.added, more.added), used: saturating_add(self.used, more.used) }
    }

    /// What has come on top of `earlier`; nothing where `earlier` is more.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self { added: grown(self.added, earlier.added), used: grown(self.used, earlier.used) }
    }

    /// The larger of both, each for itself.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self { added: self.added.max(other.added), used: self.used.max(other.used) }
    }
}

const fn saturating_add(one: Quantity, other: Quantity) -> Quantity {
    Quantity::from_micro(one.micro().saturating_add(other.micro()))
}

const fn grown(now: Quantity, earlier: Quantity) -> Quantity {
    let grown = now.micro().saturating_sub(earlier.micro());
    Quantity::from_micro(if grown < 0 { 0 } else { grown })
}

/// Which counter it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterKey {
    /// The business date in which it counts.
    pub business_date: BusinessDate,
    /// What is counted.
    pub item_id: ItemId,
    /// Who counts: one run of an agent, so that copies of a folder never hide each other's use.
    pub epoch: Epoch,
}

/// Counters by business date, item and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters(BTreeMap<CounterKey, Totals>);

impl Counters {
    /// Counts something that has happened.
    pub fn count(&mut self, key: CounterKey, what: Totals) {
        let counter = self.0.entry(key).or_default();
        *counter = counter.plus(what);
    }

    /// Takes in a report of counters: the larger holds, each for itself. Reports may come in any order and any number of
    /// times.
    pub fn merge(&mut self, report: impl IntoIterator<Item = (CounterKey, Totals)>) {
        for (key, totals) in report {
            let counter = self.0.entry(key).or_default();
            *counter = counter.or_larger(totals);
        }
    }

    /// One counter; nothing if it has counted nothing.
    pub fn get(&self, key: &CounterKey) -> Totals {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&CounterKey, &Totals)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals(added: i64, used: i64) -> Totals {
        Totals { added: Quantity::from_micro(added), used: Quantity::from_micro(used) }
    }

    /// Few keys, so that reports meet.
    fn key() -> impl Strategy<Value = CounterKey> {
        (0i64..3, 0u8..3, 0u64..3).prop_map(|(date, item, epoch)| CounterKey {
            business_date: BusinessDate::from_days(date),
            item_id: format!("item-{item}").parse().expect("valid"),
            epoch: Epoch::new(epoch),
        })
    }

    fn happened() -> impl Strategy<Value = Vec<(CounterKey, Totals)>> {
        proptest::collection::vec((key(), (0i64..1000, 0i64..1000).prop_map(|(a, u)| totals(a, u))), 1..40)
    }

    #[test]
    fn sums_stop_at_the_end_of_the_scale() {
        let much = totals(i64::MAX - 1, i64::MAX);
        assert_eq!(much.plus(totals(5, 5)), totals(i64::MAX, i64::MAX));
        assert_eq!(totals(1, 5).since(totals(3, 1)), totals(0, 4));
    }

    proptest! {
        /// Each epoch counts alone and reports now and then; whatever becomes of the reports on their way, once the newest
        /// ones have arrived the sums are those of what happened.
        #[test]
        fn replayed_and_reordered_reports_come_to_what_happened(
            happened in happened(),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
            late in any::<prop::sample::Index>(),
        ) {
            let mut truth = Counters::default();
            let mut reports = vec![Counters::default()];
            for (key, what) in &happened {
                truth.count(key.clone(), *what);
                reports.push(truth.clone());
            }
            let mut merged = Counters::default();
            for at in order {
                merged.merge(at.get(&reports).0.clone());
            }
            merged.merge(truth.0.clone());
            prop_assert_eq!(&merged, &truth);
            merged.merge(late.get(&reports).0.clone());
            prop_assert_eq!(&merged, &truth, "an old report changes nothing");
        }

        #[test]
        fn merging_knows_no_order(one in happened(), other in happened()) {
            let merged = |first: &Vec<(CounterKey, Totals)>, second: &Vec<(CounterKey, Totals)>| {
                let mut counters = Counters::default();
                counters.merge(first.clone());
                counters.merge(second.clone());
                counters.merge(first.clone());
                counters
            };
            prop_assert_eq!(merged(&one, &other), merged(&other, &one));
        }
    }
}
