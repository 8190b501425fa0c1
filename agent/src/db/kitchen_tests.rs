//! Tests of what stations make of an order.

use pos_model::{CommandId, Quantity, Stamp};
use protocol::latest::kitchen::{CupState, CupView, CupsView, StepCups};
use protocol::latest::local_api::Change;
use till::kitchen::{KitchenOrder, RECALL_MS_MAX, Step, line_of_sale};
use till::{Line, Refusal};
use uuid::Uuid;

use super::kitchen_step::{SaidBy, VoidedCup};
use super::testing::{
    command, digest, draft, event_id, kitchen_order, line_id, open_epoch, reopen, sale_id, stamp, store,
};
use super::{CommandKey, Durability, Error, Moment, Once, RETENTION_MS_MIN, Recorded, Refused, Store};

fn moment(after_ms: i64) -> Moment {
    Moment::new(stamp(after_ms), event_id(1 << 40))
}

fn key(number: u64) -> CommandKey {
    CommandKey { id: CommandId::new(Uuid::from_u64_pair(0xc, number)), digest: digest(1) }
}

fn opened() -> Store {
    let mut store = store();
    open_epoch(&mut store, 1);
    store
}

/// Sends an order in a command of its own, and gives "n/m name" of each cup that is made.
fn send(store: &mut Store, number: u64, order: &KitchenOrder) -> Vec<String> {
    let once = store.once(key(number), &mut moment(0), |store, moment| {
        let till = "T1".parse().expect("valid");
        let by = SaidBy { till_id: &till, operator_id: None };
        let cups = store.send_to_kitchen(moment, by, order)?;
        Ok(cups.iter().map(|cup| format!("{}/{} {}", cup.number, cup.of, cup.name)).collect::<Vec<_>>())
    });
    let Ok(Once::New(cups)) = once else { panic!("{once:?}") };
    cups
}

fn which(pickup_no: u32) -> StepCups {
    StepCups {
        command_id: key(0).id,
        till_id: "K1".parse().expect("valid"),
        operator_id: Some("o7".parse().expect("valid")),
        cup_id: None,
        code: None,
        pickup_no: Some(pickup_no),
        station: None,
        from: None,
    }
}

fn cup(cup: &CupView) -> StepCups {
    StepCups { pickup_no: None, cup_id: Some(cup.cup_id), ..which(0) }
}

fn step_at(store: &mut Store, number: u64, after_ms: i64, step: Step, which: &StepCups) -> Once<CupsView> {
    let mut moment = moment(after_ms);
    store.once(key(number), &mut moment, |store, moment| store.step_cups(moment, step, which)).expect("works")
}

fn step(store: &mut Store, number: u64, step: Step, which: &StepCups) -> Once<CupsView> {
    step_at(store, number, 0, step, which)
}

fn refused(once: Once<CupsView>) -> &'static str {
    match once {
        Once::Refused(Refused { message_key, .. }) => message_key,
        other => panic!("{other:?}"),
    }
}

/// What a station sees: the state of each cup by its number in the order.
fn shown(store: &Store, station: Option<&str>) -> Vec<(u32, CupState)> {
    let station = station.map(|station| station.parse().expect("valid"));
    let view = store.view().kitchen(station.as_ref()).expect("reads");
    view.cups.iter().map(|cup| (cup.number, cup.state)).collect()
}

fn called(store: &Store) -> (Vec<u32>, Vec<u32>) {
    let screen = store.view().call_screen().expect("reads");
    let numbers =
        |orders: Vec<protocol::latest::kitchen::CalledOrder>| orders.iter().map(|one| one.pickup_no).collect();
    (numbers(screen.ready), numbers(screen.making))
}

fn order_cups(store: &Store, order: &KitchenOrder) -> Vec<CupView> {
    store.view().kitchen_order(order.order_id).expect("reads").expect("was sent").cups
}

#[test]
fn an_order_of_five_cups_over_two_stations() {
    let mut store = opened();
    let order = kitchen_order(1, 12, &[("Milk tea", 2, "bar"), ("Toast", 1, "kitchen"), ("Lemon tea", 2, "bar")]);
    let labels = send(&mut store, 1, &order);
    assert_eq!(labels, ["1/5 Milk tea", "2/5 Milk tea", "3/5 Toast", "4/5 Lemon tea", "5/5 Lemon tea"]);
    let told = store.take_changes();
    assert!(matches!(&told[..], [Change::Cup(CupsView { cups, more: false })] if cups.len() == 5), "{told:?}");
    assert_eq!(shown(&store, Some("bar")).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!(shown(&store, Some("kitchen")), [(3, CupState::Queued)]);
    assert_eq!((shown(&store, None).len(), shown(&store, Some("roof")).len()), (5, 0));
    assert_eq!(called(&store), (vec![], vec![12]));

    let cups = order_cups(&store, &order);
    let first = &cups[0];
    assert_eq!(
        (first.options.len(), first.label.as_deref(), first.takeaway, first.of, first.till_id.as_ref()),
        (2, Some("Table 4"), false, 5, None)
    );
    // The bar makes what is its own, the kitchen its toast, and only then is the number called.
    let bar = StepCups { station: Some("bar".parse().expect("valid")), ..which(12) };
    for number in [2, 3] {
        let Once::New(moved) = step(&mut store, number, Step::Bump, &bar) else { panic!("moves") };
        assert_eq!(moved.cups.len(), 4);
        assert_eq!(called(&store), (vec![], vec![12]));
    }
    step(&mut store, 4, Step::Bump, &which(12));
    assert_eq!(shown(&store, Some("kitchen")), [(3, CupState::Making)], "the cup that is farthest behind moves");
    step(&mut store, 5, Step::Bump, &cup(&cups[2]));
    assert_eq!(called(&store), (vec![12], vec![]));
    let Once::New(moved) = step(&mut store, 6, Step::HandOver, &which(12)) else { panic!("hands over") };
    assert!(moved.cups.iter().all(|cup| cup.state == CupState::Handed && cup.till_id.as_ref().is_some()));
    assert_eq!((called(&store), shown(&store, None).len()), ((vec![], vec![]), 0));
    // The customer comes back with one of them.
    step(&mut store, 7, Step::Recall, &cup(&cups[4]));
    assert_eq!((called(&store), shown(&store, None)), ((vec![12], vec![]), vec![(5, CupState::Ready)]));
    assert!(reopen(store).view().verify().expect("reads").is_ok());
}

#[test]
fn a_double_tap_moves_a_cup_once() {
    let mut store = opened();
    let order = kitchen_order(1, 3, &[("Milk tea", 1, "bar")]);
    send(&mut store, 1, &order);
    let Once::New(first) = step(&mut store, 2, Step::Bump, &which(3)) else { panic!("moves") };
    assert_eq!(step(&mut store, 2, Step::Bump, &which(3)), Once::Replayed(first.clone()));
    assert_eq!(shown(&store, None), [(1, CupState::Making)]);
    // Two screens at once: the second one still shows the cup as queued.
    let queued = StepCups { from: Some(CupState::Queued), ..cup(&first.cups[0]) };
    assert_eq!(refused(step(&mut store, 3, Step::Bump, &queued)), "cup.overtaken");
    let by_number = StepCups { from: Some(CupState::Queued), ..which(3) };
    assert_eq!(refused(step(&mut store, 4, Step::Bump, &by_number)), "cup.overtaken");
    assert_eq!(shown(&store, None), [(1, CupState::Making)]);
    let making = StepCups { from: Some(CupState::Making), ..which(3) };
    assert!(matches!(step(&mut store, 5, Step::Bump, &making), Once::New(_)));
    assert_eq!(shown(&store, None), [(1, CupState::Ready)]);
}

#[test]
fn what_a_step_may_not_do() {
    let mut store = opened();
    let order = kitchen_order(1, 3, &[("Milk tea", 2, "bar"), ("Bag", 1, "")]);
    send(&mut store, 1, &order);
    let cups = order_cups(&store, &order);
    assert_eq!(cups.len(), 2, "a bag is made nowhere");
    let mut number = 10;
    let mut check = |store: &mut Store, after_ms, which: &StepCups, to: Step, expected: Option<&str>| {
        number += 1;
        match step_at(store, number, after_ms, to, which) {
            Once::New(_) => assert_eq!(None, expected),
            once => assert_eq!(Some(refused(once)), expected),
        }
    };
    let nothing = StepCups { pickup_no: None, ..which(0) };
    let both = StepCups { pickup_no: Some(3), ..cup(&cups[0]) };
    let code = |code: &str| StepCups { code: Some(code.to_owned()), ..nothing.clone() };
    let stranger = StepCups { cup_id: Some(pos_model::CupId::new(Uuid::from_u128(1))), ..nothing.clone() };
    let roof = StepCups { station: Some("roof".parse().expect("valid")), ..which(3) };
    check(&mut store, 0, &nothing, Step::Bump, Some("cup.which"));
    check(&mut store, 0, &both, Step::Bump, Some("cup.which"));
    check(&mut store, 0, &stranger, Step::Bump, Some("cup.unknown"));
    check(&mut store, 0, &which(4), Step::Bump, Some("cup.unknown"));
    check(&mut store, 0, &roof, Step::Bump, Some("cup.unknown"));
    check(&mut store, 0, &code("x"), Step::Bump, Some("cup.code"));
    check(&mut store, 0, &code("000000000000"), Step::Bump, Some("cup.unknown"));
    check(&mut store, 0, &which(3), Step::Recall, Some("cup.nothing_to_recall"));
    check(&mut store, 0, &code(&cups[0].code), Step::HandOver, None);
    check(&mut store, 0, &cup(&cups[0]), Step::HandOver, None);
    check(&mut store, 0, &cup(&cups[0]), Step::Bump, Some("cup.done"));
    check(&mut store, RECALL_MS_MAX + 1, &cup(&cups[0]), Step::Recall, Some("cup.recall_too_late"));
    check(&mut store, -RECALL_MS_MAX, &cup(&cups[0]), Step::Recall, None);
    assert_eq!(shown(&store, None), [(1, CupState::Ready), (2, CupState::Queued)]);
}

#[test]
fn t32_what_was_sent_stays_when_more_is_sent_and_when_it_is_voided() {
    let mut store = opened();
    let first = kitchen_order(1, 3, &[("Milk tea", 2, "bar")]);
    assert_eq!(send(&mut store, 1, &first), ["1/2 Milk tea", "2/2 Milk tea"]);
    // Another till sends the same basket, to which it has added a toast and a third tea.
    let second = kitchen_order(1, 3, &[("Milk tea", 3, "bar"), ("Toast", 1, "kitchen")]);
    assert_eq!(send(&mut store, 2, &second), ["3/4 Milk tea", "4/4 Toast"]);
    assert!(send(&mut store, 3, &first).is_empty() && send(&mut store, 4, &second).is_empty());
    assert!(order_cups(&store, &first).iter().all(|cup| cup.of == 4));
    assert_eq!(shown(&store, None).len(), 4);

    let cups = order_cups(&store, &first);
    step(&mut store, 5, Step::Bump, &cup(&cups[1]));
    let till = "T2".parse().expect("valid");
    let by = SaidBy { till_id: &till, operator_id: None };
    let void = |store: &mut Store, number: u64, line: usize, cups_max: Option<u32>| -> Vec<VoidedCup> {
        let mut voided = Vec::new();
        let once = store.once(key(number), &mut moment(0), |store, moment| {
            voided = store.void_cups(moment, by, first.order_id, line_id(line), cups_max)?;
            Ok(())
        });
        assert_eq!(once.expect("works"), Once::New(()));
        voided
    };
    // Of three teas one is being made: the two that nobody has begun go first.
    let voided = void(&mut store, 6, 0, Some(2));
    assert_eq!(
        voided.iter().map(|cup| (cup.id, cup.was)).collect::<Vec<_>>(),
        [(cups[2].cup_id, till::kitchen::CupState::Queued), (cups[0].cup_id, till::kitchen::CupState::Queued)]
    );
    use CupState::{Making, Queued, Voided};
    assert_eq!(shown(&store, Some("bar")), [(1, Voided), (2, Making), (3, Voided)], "the bar sees that it is voided");
    assert!(send(&mut store, 7, &kitchen_order(1, 3, &[("Milk tea", 1, "bar")])).is_empty());
    // The station says that it has seen it.
    step(&mut store, 8, Step::Bump, &cup(&cups[0]));
    assert_eq!(shown(&store, None), [(2, Making), (3, Voided), (4, Queued)]);
    // What the customer has is not voided.
    step(&mut store, 9, Step::HandOver, &cup(&cups[1]));
    assert_eq!(void(&mut store, 10, 0, None), []);
    assert_eq!(void(&mut store, 11, 1, None).len(), 1);
    assert_eq!(void(&mut store, 12, 7, None), []);
    assert_eq!(called(&store), (vec![], vec![]));
    // A tea more after all that is a cup of its own.
    assert_eq!(send(&mut store, 13, &kitchen_order(1, 3, &[("Milk tea", 2, "bar")])), ["5/5 Milk tea"]);
}

/// A sale of some drinks that are made at the bar.
fn sell_made(store: &mut Store, number: u64, till: &str, at: Stamp) -> Recorded {
    let mut command = command(number);
    command.till_id = till.parse().expect("valid");
    command.lines[0].station = Some("bar".parse().expect("valid"));
    let shelf = Line { station: None, quantity: Quantity::ONE, ..command.lines[0].clone() };
    command.lines.push(shelf);
    command.tenders[0].amount = pos_model::Money::from_minor(6000);
    store.record_sale(draft(command), &digest(1), event_id(number), at).expect("works")
}

#[test]
fn a_sale_sends_its_cups_once_and_an_imported_one_none() {
    let mut store = opened();
    let Recorded::New(receipt) = sell_made(&mut store, 1, "T1", stamp(0)) else { panic!("new") };
    assert!(matches!(sell_made(&mut store, 1, "T1", stamp(0)), Recorded::Replayed(_)));
    let cups = store.view().kitchen_order(receipt.sale_id.uuid()).expect("reads").expect("was sent").cups;
    assert_eq!(cups.len(), 2, "two teas, and nothing from the shelf");
    assert!(cups.iter().all(|cup| cup.pickup_no == receipt.pickup_no && cup.of == 2));
    let voided = store.once(key(1), &mut moment(0), |store, moment| {
        let by = SaidBy { till_id: &receipt.till_id, operator_id: None };
        let voided = store.void_cups(moment, by, receipt.sale_id.uuid(), line_of_sale(receipt.sale_id, 0), None)?;
        Ok(voided.len())
    });
    assert_eq!(voided.expect("works"), Once::New(2));

    let imported = till::Imported { source: "file".to_owned(), reference: "1".to_owned(), sold_at: stamp(-1) };
    let mut command = command(2);
    command.lines[0].station = Some("bar".parse().expect("valid"));
    command.imported = Some(imported);
    let recorded = store.record_sale(draft(command), &digest(1), event_id(2), stamp(0));
    assert!(matches!(recorded, Ok(Recorded::New(_))));
    assert_eq!(store.view().kitchen_order(sale_id(2).uuid()).expect("reads"), None);
}

#[test]
fn an_order_that_is_undone_has_no_cups() {
    let mut store = opened();
    let order = kitchen_order(1, 3, &[("Milk tea", 2, "bar")]);
    let till = "T1".parse().expect("valid");
    let by = SaidBy { till_id: &till, operator_id: None };
    let answer = store.once(key(1), &mut moment(0), |store, moment| {
        store.send_to_kitchen(moment, by, &order)?;
        Err::<(), Error>(Refused::rule("drawer.closed", Refusal::NoPriceBook).into())
    });
    assert!(matches!(answer, Ok(Once::Refused(_))));
    assert_eq!((shown(&store, None).len(), store.take_changes().len()), (0, 0));
    assert_eq!(send(&mut store, 1, &order).len(), 2);
}

#[test]
fn t14_no_two_customers_wait_with_one_number() {
    let mut store = opened();
    let day_ms = 24 * 3_600_000;
    let mut number = 0;
    let mut sell = |store: &mut Store, till: &str, after_ms: i64| {
        number += 1;
        match sell_made(store, number, till, stamp(after_ms)) {
            Recorded::New(receipt) => receipt.pickup_no,
            other => panic!("{other:?}"),
        }
    };
    // Two tills, and a clock that jumps to the next day and back while everybody waits.
    assert_eq!([sell(&mut store, "T1", 0), sell(&mut store, "T2", 1), sell(&mut store, "T1", 2)], [1, 2, 3]);
    assert_eq!([sell(&mut store, "T1", day_ms), sell(&mut store, "T2", day_ms)], [4, 5]);
    assert_eq!([sell(&mut store, "T2", 3), sell(&mut store, "T1", 4)], [6, 7], "the first day goes on behind them");
    let waiting = called(&store).1;
    let mut numbers = waiting.clone();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((waiting.len(), numbers.len()), (7, 7), "{waiting:?}");
    // The third day begins with what nobody waits for.
    step(&mut store, 1 << 20, Step::HandOver, &which(1));
    assert_eq!(sell(&mut store, "T1", 2 * day_ms), 1);
    assert_eq!(sell(&mut store, "T1", 2 * day_ms), 8);
    // Of two orders of one number the one that waits is meant.
    let Once::New(moved) = step(&mut store, 1 << 21, Step::HandOver, &which(1)) else { panic!("hands over") };
    assert_eq!(moved.cups[0].business_date.to_string(), "2026-03-04");
}

#[test]
fn the_newest_are_shown_when_nobody_marks_anything() {
    let mut store = opened();
    for number in 1..=400 {
        let order = kitchen_order(u128::from(number), number, &[("Milk tea", 1, "bar")]);
        send(&mut store, u64::from(number), &order);
    }
    let view = store.view().kitchen(None).expect("reads");
    let numbers: Vec<u32> = view.cups.iter().map(|cup| cup.pickup_no).collect();
    assert_eq!((numbers, view.more), ((101..=400).collect(), true));
    let (ready, making) = called(&store);
    assert_eq!((ready.len(), making), (0, (351..=400).rev().collect()));
}

#[test]
fn orders_go_when_they_are_old_in_running_time() {
    let mut store = opened();
    store.note_running(1).expect("notes");
    for number in 1..=3 {
        let order = kitchen_order(u128::from(number), number, &[("Milk tea", 2, "bar")]);
        send(&mut store, u64::from(number), &order);
    }
    step(&mut store, 10, Step::HandOver, &which(1));
    step(&mut store, 11, Step::HandOver, &which(2));
    let orders = |store: &Store| -> Vec<bool> {
        let held = |order: u128| store.view().kitchen_order(Uuid::from_u128(order)).expect("reads").is_some();
        vec![held(1), held(2), held(3)]
    };
    let hours = |hours: i64| hours * 3_600_000;
    store.note_running(hours(71)).expect("notes");
    assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 0);
    store.note_running(hours(2)).expect("notes");
    assert_eq!(store.trim(RETENTION_MS_MIN, 1).expect("trims"), 1);
    assert_eq!(orders(&store), [false, true, true]);
    assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 1);
    assert_eq!(orders(&store), [false, false, true], "somebody may still wait for the third");
    store.note_running(RETENTION_MS_MIN).expect("notes");
    assert_eq!(store.trim(RETENTION_MS_MIN, 100).expect("trims"), 1);
    let cups: i64 = store.connection.query_row("SELECT count(*) FROM cup", [], |row| row.get(0)).expect("reads");
    assert_eq!((orders(&store), cups), (vec![false; 3], 0));
}

#[test]
fn screens_are_told_of_the_cups_that_are_new() {
    let mut store = opened();
    let mut told = |number: u64, order: &KitchenOrder| -> Vec<u32> {
        // Within a group, so that what is told is still there.
        store.begin(Durability::Promise).expect("begins");
        send(&mut store, number, order);
        let cups = store.take_changes().into_iter().flat_map(|change| match change {
            Change::Cup(view) => view.cups,
            other => panic!("{other:?}"),
        });
        let numbers = cups.map(|cup| cup.number).collect();
        store.commit().expect("commits");
        numbers
    };
    let first = kitchen_order(1, 3, &[("Milk tea", 2, "bar")]);
    assert_eq!(told(1, &first), [1, 2]);
    let more = kitchen_order(1, 3, &[("Milk tea", 2, "bar"), ("Rice", 1, "kitchen")]);
    assert_eq!(told(2, &more), [3]);
    assert_eq!(told(3, &more), [0; 0], "nothing is new");
}
