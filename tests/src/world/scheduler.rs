//! Virtual time: a queue of what happens when. Nothing in a world looks at a real clock.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use sync_core::Instant;

/// What happens when. Two things at one moment happen in the order in which they were planned.
#[derive(Debug)]
pub(super) struct Scheduler<E> {
    now: Instant,
    planned: u64,
    queue: BinaryHeap<Entry<E>>,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Default for Scheduler<E> {
    fn default() -> Self {
        Self { now: Instant::default(), planned: 0, queue: BinaryHeap::new() }
    }
}

impl<E> Scheduler<E> {
    /// The present moment.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Plans something for a moment; for the present one if it is over.
    pub(super) fn at(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.queue.push(Entry { at: at.max(self.now), number: self.planned, event });
    }

    /// Plans something in so many milliseconds.
    pub(super) fn after(&mut self, ms: u64, event: E) {
        self.at(self.now.after_ms(ms), event);
    }

    /// Moves to the next moment at which something happens.
    pub(super) fn next(&mut self) -> Option<E> {
        let entry = self.queue.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap's greatest is the earliest.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time_and_then_of_planning() {
        let mut scheduler = Scheduler::default();
        for (ms, name) in [(5, "c"), (1, "a"), (5, "d"), (3, "b")] {
            scheduler.after(ms, name);
        }
        assert_eq!(scheduler.next(), Some("a"));
        scheduler.at(Instant::default(), "late");
        let rest: Vec<_> = std::iter::from_fn(|| scheduler.next().map(|name| (scheduler.now().ms(), name))).collect();
        assert_eq!(rest, [(1, "late"), (3, "b"), (5, "c"), (5, "d")]);
    }
}
