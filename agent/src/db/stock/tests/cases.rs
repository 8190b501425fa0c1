//! What happens in a store, case by case.

use super::*;
use crate::db::testing::{open_epoch, reopen, store};
use MovementKind::{Received, TransferredIn, TransferredOut, Wasted};
use protocol::latest::local_api::Change;
use protocol::latest::stock_api::{CountState, StockChange};
use protocol::latest::{EventBody, OpenReason};
use till::stock::{Cover, StockFlag};

#[test]
fn what_comes_in_is_added_and_what_goes_out_is_used() {
    let mut store = store();
    open_epoch(&mut store, 1);
    #[track_caller]
    fn check(store: &mut Store, number: u64, kind: MovementKind, units: i64, expected: i64) {
        let view = moves(store, movement(number, kind, "milk", units)).expect("moves");
        assert_eq!((view.movement_id, view.business_date), (id(number), today()));
        assert_eq!(on_hand(store, "milk"), expected);
    }
    check(&mut store, 1, Received, 10, 10);
    check(&mut store, 2, Wasted, 2, 8);
    check(&mut store, 3, TransferredIn, 5, 13);
    check(&mut store, 4, TransferredOut, 1, 12);
    use_up(&mut store, 5, "milk", 4, 0);
    assert_eq!(on_hand(&store, "milk"), 8);
    assert_eq!(moves(&mut store, movement(4, Received, "milk", 1)), Err("stock.movement_exists"));
    assert_eq!(moves(&mut store, movement(6, Received, "milk", 0)), Err("stock.quantity_range"));
    assert_eq!(on_hand(&store, "milk"), 8, "what is refused leaves nothing");
    assert!(store.view().verify().expect("reads").is_ok());
}

#[test]
fn a_delivery_that_is_short_or_over_says_so() {
    let mut store = store();
    open_epoch(&mut store, 1);
    let mut delivery = movement(1, Received, "milk", 8);
    delivery.reference = "note 17".to_owned();
    delivery.items[0].expected = Some(Quantity::from_units(10).expect("small"));
    delivery.items.push(Moved { item_id: item("tea"), quantity: Quantity::ZERO, expected: Some(Quantity::ONE) });
    let view = moves(&mut store, delivery).expect("moves");
    assert_eq!(units(view.items[0].difference.as_ref()), Some(-2));
    assert_eq!(units(view.items[1].difference.as_ref()), Some(-1));
    let listed = store.view().stock_movements(today(), 0, 10).expect("reads");
    assert_eq!(listed, std::slice::from_ref(&view), "it is read as it was answered");
    assert_eq!(store.view().stock_movements(today(), view.number, 10).expect("reads"), []);
    assert!(!stock(&store).contains_key(&item("tea")), "nothing of it came");

    let row = store.view().events(None, false, 10).expect("reads").pop().expect("is held");
    let EventBody::StockMoved(moved) = row.event().expect("decodes").body else { panic!("not a movement") };
    assert_eq!((moved.movement_id, moved.reference.as_str(), moved.items.len()), (id(1), "note 17", 2));
    let Change::Stock(change) = &store.take_changes()[0] else { panic!("not of stock") };
    assert_eq!((change.kind, change.items.len()), (StockChange::Moved, 2));
}

#[test]
fn selling_goes_on_below_zero_and_is_flagged() {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, Received, "milk", 1)).expect("moves");
    use_up(&mut store, 2, "milk", 3, 0);
    let milk = &stock(&store)[&item("milk")];
    assert_eq!(milk.on_hand.whole_units(), Some(-2));
    assert_eq!(milk.flags, [StockFlag::Negative, StockFlag::LowCover, StockFlag::NeverCounted]);
    assert_eq!(milk.cover, Cover::Minutes(0));
}

#[test]
fn what_is_sold_while_somebody_counts_comes_on_top() {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, Received, "milk", 20)).expect("moves");
    let begun = begin(&mut store, 2, &[]).expect("begins");
    assert_eq!((begun.state, begun.items.len(), begun.items[0].expected.as_ref()), (CountState::Open, 1, None));
    (10..13).for_each(|number| use_up(&mut store, number, "milk", 2, 0));
    // Of last year, and yet after the frontier.
    use_up(&mut store, 13, "milk", 1, 400);
    let counted = finish(&mut store, 2, &[("milk", 18), ("cups", 7)]).expect("finishes");
    assert_eq!(on_hand(&store, "milk"), 11, "eighteen at the frontier, less seven");
    assert_eq!(on_hand(&store, "cups"), 7, "what had no counter had nothing");
    assert_eq!(counted.items[1].expected, None, "none before the first count");
    assert_eq!(stock(&store)[&item("milk")].flags, []);

    begin(&mut store, 3, &[]).expect("begins");
    use_up(&mut store, 14, "milk", 5, 0);
    let counted = finish(&mut store, 3, &[("milk", 10)]).expect("finishes");
    let milk = &counted.items[0];
    assert_eq!((units(milk.expected.as_ref()), units(milk.difference.as_ref())), (Some(11), Some(-1)));
    assert_eq!(on_hand(&store, "milk"), 5);

    let row = store.view().events(None, false, 20).expect("reads").pop().expect("is held");
    let EventBody::StockCounted(event) = row.event().expect("decodes").body else { panic!("not a count") };
    assert_eq!(event.frontier.to_string(), counted.frontier);
    assert_eq!((event.items.len(), event.items[0].expected.and_then(Quantity::whole_units)), (1, Some(11)));
    assert!(store.view().verify().expect("reads").is_ok());
}

#[test]
fn a_count_outlives_a_restart_and_a_change_of_epoch() {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, Received, "milk", 20)).expect("moves");
    begin(&mut store, 2, &[]).expect("begins");
    use_up(&mut store, 10, "milk", 1, 0);
    let mut store = reopen(store);
    open_epoch(&mut store, 2);
    use_up(&mut store, 11, "milk", 1, 0);
    let epoch = pos_model::Epoch::new(3);
    store.open_epoch(epoch, event_id(77), stamp(0), OpenReason::Fork, "test").expect("opens");
    use_up(&mut store, 12, "milk", 1, 0);
    let open = store.view().stock_counts().expect("reads");
    assert_eq!(open.iter().map(|count| (count.count_id, count.state)).collect::<Vec<_>>(), [(id(2), CountState::Open)]);
    assert_eq!(open[0].frontier, format!("{:016x}/2", 1));
    finish(&mut store, 2, &[("milk", 15)]).expect("finishes");
    assert_eq!(on_hand(&store, "milk"), 12);
    assert!(store.view().check_stock().expect("reads").differences.is_empty());
}

#[test]
fn of_two_counts_of_a_shelf_the_one_that_ends_later_is_refused() {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, Received, "milk", 20)).expect("moves");
    begin(&mut store, 2, &[]).expect("begins");
    begin(&mut store, 3, &[]).expect("begins");
    finish(&mut store, 3, &[("milk", 19)]).expect("finishes");
    let head = store.head();
    assert_eq!(finish(&mut store, 2, &[("milk", 5), ("tea", 5)]), Err("stock.item_counted_since"));
    assert_eq!(store.head(), head, "the whole command is refused");
    assert_eq!(on_hand(&store, "milk"), 19);
    finish(&mut store, 2, &[("tea", 5)]).expect("finishes without it");
    assert_eq!((on_hand(&store, "milk"), on_hand(&store, "tea")), (19, 5));
    // A count that begins afterwards is another matter.
    begin(&mut store, 4, &["milk"]).expect("begins");
    finish(&mut store, 4, &[("milk", 6)]).expect("finishes");
    assert_eq!(on_hand(&store, "milk"), 6);
}

#[test]
fn what_a_count_refuses() {
    let mut store = store();
    open_epoch(&mut store, 1);
    assert_eq!(finish(&mut store, 1, &[("milk", 1)]), Err("stock.count_unknown"));
    assert_eq!(abandon(&mut store, 1), Err("stock.count_unknown"));
    begin(&mut store, 1, &["milk", "tea"]).expect("begins");
    assert_eq!(begin(&mut store, 1, &[]), Err("stock.count_exists"));
    assert_eq!(begin(&mut store, 2, &["milk", "milk"]), Err("stock.item_twice"));
    assert_eq!(finish(&mut store, 1, &[("cups", 1)]), Err("stock.count_item_not_begun"));
    assert_eq!(finish(&mut store, 1, &[]), Err("stock.item_count"));
    assert_eq!(finish(&mut store, 1, &[("milk", -1)]), Err("stock.quantity_range"));
    let abandoned = abandon(&mut store, 1).expect("abandons");
    assert_eq!((abandoned.state, abandoned.items.len()), (CountState::Abandoned, 0));
    assert_eq!(finish(&mut store, 1, &[("milk", 1)]), Err("stock.count_over"));
    assert!(stock(&store).is_empty(), "nothing came of it");
    (10..30).for_each(|number| drop(begin(&mut store, number, &[]).expect("begins")));
    assert_eq!(begin(&mut store, 30, &[]), Err("stock.counts_open"));
    assert_eq!(store.view().stock_counts().expect("reads").len(), 21);
}

#[test]
fn cover_follows_the_recent_use_and_neither_transfer_nor_waste() {
    let mut store = store();
    open_epoch(&mut store, 1);
    moves(&mut store, movement(1, Received, "milk", 100)).expect("moves");
    // Days before those that count, and then 4, 0 and 8 units on three days on which the store sold.
    (20..30).for_each(|days| use_up(&mut store, u64::try_from(days).expect("small"), "tea", 1, days));
    use_up(&mut store, 100, "milk", 50, 40);
    use_up(&mut store, 101, "milk", 4, 3);
    use_up(&mut store, 102, "tea", 1, 2);
    use_up(&mut store, 103, "milk", 8, 1);
    moves(&mut store, movement(2, TransferredOut, "milk", 20)).expect("moves");
    moves(&mut store, movement(5, Wasted, "milk", 10)).expect("moves");
    let milk = &stock(&store)[&item("milk")];
    assert_eq!((milk.on_hand.whole_units(), milk.recent.per_date.whole_units()), (Some(8), Some(4)));
    assert_eq!(milk.cover, Cover::Minutes(2 * 720));
    // More than that today already.
    use_up(&mut store, 104, "milk", 6, 0);
    assert_eq!(stock(&store)[&item("milk")].cover, Cover::Minutes(240));
    moves(&mut store, movement(3, Received, "cups", 5)).expect("moves");
    assert_eq!(stock(&store)[&item("cups")].cover, Cover::NoUse);
    moves(&mut store, movement(6, Wasted, "cups", 1)).expect("moves");
    assert_eq!(stock(&store)[&item("cups")].cover, Cover::NoUse, "a waste alone is no use");
    // By a clock in another time zone it is the day before.
    let yesterday = BusinessDate::from_days(i64::from(today().days()) - 1);
    assert_eq!(store.view().stock(yesterday, RULE, None).expect("reads"), stock(&store));
}
