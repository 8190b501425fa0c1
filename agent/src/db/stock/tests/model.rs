//! Random days beside a naive model that keeps a list of everything that ever moved.

use super::*;
use crate::db::testing::{open_epoch, reopen, store};
use proptest::prelude::*;

const ITEMS: [&str; 3] = ["milk", "tea", "cups"];

#[derive(Debug, Clone)]
enum Step {
    /// A sale, some days ago.
    Sell { item: usize, units: i64, days_ago: i64 },
    /// A movement.
    Move { item: usize, kind: MovementKind, units: i64 },
    /// A count begins: of everything, or of one item.
    Begin { only: Option<usize> },
    /// One of the counts that ever began is finished.
    Finish { count: prop::sample::Index, counted: Vec<(usize, i64)> },
    /// Or abandoned.
    Abandon { count: prop::sample::Index },
    /// The agent starts again.
    Restart,
    /// Housekeeping.
    Trim { rows: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    use MovementKind::{Received, TransferredIn, TransferredOut, Wasted};
    let kind = prop_oneof![Just(Received), Just(Wasted), Just(TransferredIn), Just(TransferredOut)];
    prop_oneof![
        8 => (0..3usize, 1..9i64, 0..60i64).prop_map(|(item, units, days_ago)| Step::Sell { item, units, days_ago }),
        3 => (0..3usize, kind, 1..30i64).prop_map(|(item, kind, units)| Step::Move { item, kind, units }),
        3 => proptest::option::of(0..3usize).prop_map(|only| Step::Begin { only }),
        3 => (any::<prop::sample::Index>(), proptest::sample::subsequence(vec![0, 1, 2], 1..=3), 0..50i64).prop_map(
            |(count, items, units)| Step::Finish { count, counted: items.into_iter().map(|item| (item, units)).collect() }
        ),
        1 => any::<prop::sample::Index>().prop_map(|count| Step::Abandon { count }),
        1 => Just(Step::Restart),
        2 => (1..20i64).prop_map(|rows| Step::Trim { rows }),
    ]
}

/// A count in the model.
struct ModelCount {
    number: u64,
    only: Option<usize>,
    /// How much had happened when it began.
    frontier: usize,
    is_open: bool,
}

/// Everything that ever moved or ended, in order.
enum Happened {
    Moved { item: usize, units: i64 },
    Counted { item: usize, units: i64, frontier: usize },
}

#[derive(Default)]
struct Model {
    happened: Vec<Happened>,
    counts: Vec<ModelCount>,
}

impl Model {
    /// The place of the end of the item's last count, its frontier, and what it said.
    fn last_count(&self, wanted: usize) -> Option<(usize, usize, i64)> {
        self.happened.iter().enumerate().rev().find_map(|(at, happened)| match happened {
            Happened::Counted { item, units, frontier } if *item == wanted => Some((at, *frontier, *units)),
            _ => None,
        })
    }

    fn on_hand(&self, wanted: usize) -> i64 {
        let (frontier, counted) = self.last_count(wanted).map_or((0, 0), |(_, frontier, counted)| (frontier, counted));
        let moved = self.happened[frontier..].iter().map(|happened| match happened {
            Happened::Moved { item, units } if *item == wanted => *units,
            _ => 0,
        });
        counted + moved.sum::<i64>()
    }

    /// What comes of finishing a count, by the rule as a person would say it.
    fn finish(&mut self, at: usize, counted: &[(usize, i64)]) -> Result<(), &'static str> {
        let count = &self.counts[at];
        if !count.is_open {
            return Err("stock.count_over");
        }
        if count.only.is_some_and(|only| counted.iter().any(|(item, _)| *item != only)) {
            return Err("stock.count_item_not_begun");
        }
        let frontier = count.frontier;
        if counted.iter().any(|(item, _)| self.last_count(*item).is_some_and(|(ended, ..)| ended >= frontier)) {
            return Err("stock.item_counted_since");
        }
        self.counts[at].is_open = false;
        self.happened.extend(counted.iter().map(|(item, units)| Happened::Counted {
            item: *item,
            units: *units,
            frontier,
        }));
        Ok(())
    }
}

fn carry_out(mut store: Store, model: &mut Model, number: u64, step: &Step) -> Store {
    match step {
        Step::Sell { item, units, days_ago } => {
            use_up(&mut store, number, ITEMS[*item], *units, *days_ago);
            model.happened.push(Happened::Moved { item: *item, units: -units });
        }
        Step::Move { item, kind, units } => {
            moves(&mut store, movement(number, *kind, ITEMS[*item], *units)).expect("moves");
            let units = if kind.comes_in() { *units } else { -units };
            model.happened.push(Happened::Moved { item: *item, units });
        }
        Step::Begin { only } => {
            let open = model.counts.iter().filter(|count| count.is_open).count();
            let named: Vec<&str> = only.iter().map(|only| ITEMS[*only]).collect();
            let begun = begin(&mut store, number, &named);
            assert_eq!(begun.is_ok(), open < 20, "{begun:?}");
            if begun.is_ok() {
                let frontier = model.happened.len();
                model.counts.push(ModelCount { number, only: *only, frontier, is_open: true });
            }
        }
        Step::Finish { count, counted } if !model.counts.is_empty() => {
            let at = count.index(model.counts.len());
            let expected: Vec<i64> = counted.iter().map(|(item, _)| expected(model, at, *item)).collect();
            let named: Vec<(&str, i64)> = counted.iter().map(|(item, units)| (ITEMS[*item], *units)).collect();
            let known: Vec<bool> = counted.iter().map(|(item, _)| model.last_count(*item).is_some()).collect();
            let finished = finish(&mut store, model.counts[at].number, &named);
            assert_eq!(finished.as_ref().map(drop).map_err(|key| *key), model.finish(at, counted));
            for (((item, _), expected), known) in counted.iter().zip(expected).zip(known) {
                let Ok(view) = &finished else { break };
                let said = view.items.iter().find(|said| said.item_id.as_str() == ITEMS[*item]).expect("is there");
                assert_eq!(units(said.expected.as_ref()), known.then_some(expected));
            }
        }
        Step::Abandon { count } if !model.counts.is_empty() => {
            let count = count.index(model.counts.len());
            let count = &mut model.counts[count];
            assert_eq!(abandon(&mut store, count.number).is_ok(), count.is_open);
            count.is_open = false;
        }
        Step::Finish { .. } | Step::Abandon { .. } => {}
        Step::Restart => {
            store = reopen(store);
            open_epoch(&mut store, number + 1);
        }
        Step::Trim { rows } => {
            store.atomically(Durability::Hint, |store| store.trim_stock(*rows)).expect("trims");
        }
    }
    store
}

/// What should have been there at a count's frontier.
fn expected(model: &Model, at: usize, wanted: usize) -> i64 {
    let frontier = model.counts[at].frontier;
    let (from, counted) = model.last_count(wanted).map_or((0, 0), |(_, from, counted)| (from, counted));
    let moved = model.happened[from.min(frontier)..frontier].iter().map(|happened| match happened {
        Happened::Moved { item, units } if *item == wanted => *units,
        _ => 0,
    });
    counted + moved.sum::<i64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_happens_the_books_say_what_the_list_says(steps in proptest::collection::vec(step(), 1..120)) {
        let mut store = store();
        let mut model = Model::default();
        open_epoch(&mut store, 1);
        for (number, step) in (1u64..).zip(&steps) {
            store = carry_out(store, &mut model, number, step);
            let stock = stock(&store);
            for (place, name) in ITEMS.iter().enumerate() {
                let there = stock.get(&item(name)).map_or(0, |item| item.on_hand.whole_units().expect("whole"));
                prop_assert_eq!(there, model.on_hand(place), "{} after {:?}", name, step);
            }
        }
        let check = store.view().check_stock().expect("reads");
        prop_assert_eq!(check.differences, []);
        prop_assert_eq!(check.out_of_reach.len(), 0);
        prop_assert!(store.view().verify().expect("reads").is_ok());
    }
}
