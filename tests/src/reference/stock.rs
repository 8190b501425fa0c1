//! Stock: counts with their frontiers, and what is on hand.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Reference;
use super::asked::Asked;
use super::disk::Begun;
use super::expected::{Objections, unless};
use super::facts::{Counted, Way, What};

/// Counts that may be open at once.
const COUNTS_OPEN_MAX: usize = 20;

impl Reference {
    pub(super) fn against_beginning(&self, agent: usize, count_id: Uuid) -> Objections {
        let counts = self.disks.get(&agent).map(|disk| &disk.counts);
        let known = counts.is_some_and(|counts| counts.contains_key(&count_id));
        let open = counts.map_or(0, |counts| counts.values().filter(|count| !count.is_over).count());
        let known = known.then_some("stock.count_exists");
        known.into_iter().chain((open >= COUNTS_OPEN_MAX).then_some("stock.counts_open")).collect()
    }

    /// A count began: its frontier is the newest event.
    pub(super) fn begun(&mut self, agent: usize, count_id: Uuid, items: BTreeSet<String>) {
        let disk = self.disks.entry(agent).or_default();
        let Some(frontier) = disk.rows.last().map(|row| row.place) else { return };
        let rows = disk.rows.len();
        disk.counts.insert(count_id, Begun { rows, frontier, items, is_over: false });
    }

    pub(super) fn finished(
        &self,
        agent: usize,
        asked: &Asked,
        count_id: Uuid,
        items: &BTreeMap<String, i64>,
    ) -> Result<What, Objections> {
        let begun = self.disks.get(&agent).and_then(|disk| disk.counts.get(&count_id));
        let begun = begun.ok_or_else(|| Objections::from(["stock.count_unknown"]))?;
        let mut objections = Objections::new();
        if begun.is_over {
            objections.insert("stock.count_over");
        }
        if !begun.items.is_empty() && items.keys().any(|item| !begun.items.contains(item)) {
            objections.insert("stock.count_item_not_begun");
        }
        if items.keys().any(|item| self.last_count(agent, item).is_some_and(|(row, _)| row >= begun.rows)) {
            objections.insert("stock.item_counted_since");
        }
        unless(objections)?;
        let items = items.iter().map(|(item, counted)| {
            let expected = self.last_count(agent, item).map(|_| self.on_hand(agent, item, begun.rows));
            (item.clone(), (*counted, expected))
        });
        Ok(What::Count(Counted {
            count_id,
            till_id: asked.till_id.clone(),
            day: asked.day,
            frontier: begun.frontier,
            items: items.collect(),
        }))
    }

    /// The last count of an item: at which event it ended, and what it says.
    fn last_count(&self, agent: usize, item: &str) -> Option<(usize, &Counted)> {
        let counts = self.on_disk(agent).enumerate().filter_map(|(row, what)| match what {
            What::Count(counted) if counted.items.contains_key(item) => Some((row, counted)),
            _ => None,
        });
        counts.last()
    }

    /// What there is of an item after so many events: what the last count says, and what moved behind its frontier.
    pub fn on_hand(&self, agent: usize, item: &str, rows: usize) -> i64 {
        let last = self.last_count(agent, item);
        let counted = last.map_or(0, |(_, counted)| counted.items[item].0);
        let from = last.map_or(0, |(_, counted)| {
            let begun = self.disks.get(&agent).and_then(|disk| disk.counts.get(&counted.count_id));
            begun.map_or(0, |begun| begun.rows)
        });
        let moved = self.on_disk(agent).take(rows).skip(from).flat_map(What::stock);
        moved.filter(|(_, _, moved, _)| moved == item).fold(counted, |sum, (way, _, _, micro)| match way {
            Way::Added => sum + micro,
            Way::Used => sum - micro,
        })
    }

    /// What an agent must say that there is, of everything that was ever moved or counted on its disk.
    pub fn all_on_hand(&self, agent: usize) -> BTreeMap<String, i64> {
        let moved = self.on_disk(agent).flat_map(What::stock).filter(|moved| moved.3 > 0).map(|(_, _, item, _)| item);
        let counted = self.on_disk(agent).filter_map(|what| match what {
            What::Count(counted) => Some(counted.items.keys().cloned()),
            _ => None,
        });
        let items: BTreeSet<String> = moved.chain(counted.flatten()).collect();
        items.into_iter().map(|item| (item.clone(), self.on_hand(agent, &item, usize::MAX))).collect()
    }
}
