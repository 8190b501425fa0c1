//! Tests of stock: what the tests do in the store, and the cases.

mod balance;
mod cases;
mod model;

use std::collections::BTreeMap;

use pos_model::{BusinessDate, ItemId, MovementId, Quantity, Stamp};
use protocol::latest::local_api::QuantityJson;
use protocol::latest::stock_api::{CountView, MovementView};
use till::stock::{Counted, CoverRule, Moved, Movement, MovementKind};
use till::{CompleteSale, Consumption, Imported};
use uuid::Uuid;

use super::{BeginCount, FinishCount, ItemStock};
use crate::db::Recorded;
use crate::db::command::{Moment, Refused};
use crate::db::error::Error;
use crate::db::store::{Durability, Store};
use crate::db::testing::{NOON_MS, RULES, command, digest, draft, event_id, sale_id, stamp};

const RULE: CoverRule = CoverRule { trading_minutes: 720, low_minutes: 60 };

const DAY_MS: i64 = 86_400_000;

fn item(name: &str) -> ItemId {
    name.parse().expect("valid")
}

fn id(number: u64) -> MovementId {
    MovementId::new(Uuid::from_u64_pair(0x70, number))
}

fn today() -> BusinessDate {
    BusinessDate::of(stamp(0), RULES.cut_off)
}

fn moment(number: u64) -> Moment {
    Moment::new(stamp(0), event_id(number << 20))
}

/// Sells something that uses so many units of an item, `days_ago`.
fn use_up(store: &mut Store, number: u64, name: &str, units: i64, days_ago: i64) {
    let mut command = CompleteSale { sale_id: sale_id(number), ..command(number) };
    let quantity = Quantity::from_units(units).expect("small");
    command.lines[0].consumption = vec![Consumption { item_id: item(name), quantity }];
    if days_ago > 0 {
        let sold_at = Stamp { utc_ms: NOON_MS - days_ago * DAY_MS, offset_s: 0 };
        command.imported = Some(Imported { source: "test".to_owned(), reference: number.to_string(), sold_at });
    }
    let recorded = store.record_sale(draft(command), &digest(1), event_id(number), stamp(0)).expect("records");
    assert!(matches!(recorded, Recorded::New(_)), "{recorded:?}");
}

fn movement(number: u64, kind: MovementKind, name: &str, units: i64) -> Movement {
    let is_transfer = matches!(kind, MovementKind::TransferredIn | MovementKind::TransferredOut);
    Movement {
        movement_id: id(number),
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        kind,
        reason: Some("expired".parse().expect("valid")),
        reference: String::new(),
        other_store: is_transfer.then(|| "s2".parse().expect("valid")),
        note: String::new(),
        items: vec![Moved {
            item_id: item(name),
            quantity: Quantity::from_units(units).expect("small"),
            expected: None,
        }],
    }
}

/// What came of an operation: done, or refused with a key.
type Done<T> = Result<T, &'static str>;

fn done<T>(outcome: Result<T, Error>) -> Done<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(Error::Refused(Refused { message_key, .. })) => Err(message_key),
        Err(error) => panic!("{}", error.chain()),
    }
}

fn moves(store: &mut Store, movement: Movement) -> Done<MovementView> {
    let mut moment = moment(movement.movement_id.uuid().as_u64_pair().1);
    done(store.atomically(Durability::Promise, |store| store.move_stock(&mut moment, movement)))
}

fn begin(store: &mut Store, number: u64, items: &[&str]) -> Done<CountView> {
    let begin = BeginCount {
        count_id: id(number),
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        items: items.iter().copied().map(item).collect(),
    };
    done(store.atomically(Durability::Promise, |store| store.begin_count(&moment(number), &begin)))
}

fn finish(store: &mut Store, number: u64, counted: &[(&str, i64)]) -> Done<CountView> {
    let finish = FinishCount {
        count_id: id(number),
        till_id: "T1".parse().expect("valid"),
        operator_id: None,
        note: String::new(),
        items: counted
            .iter()
            .map(|(name, units)| Counted { item_id: item(name), counted: Quantity::from_units(*units).expect("small") })
            .collect(),
    };
    let mut moment = moment(1000 + number);
    done(store.atomically(Durability::Promise, |store| store.finish_count(&mut moment, finish)))
}

fn abandon(store: &mut Store, number: u64) -> Done<CountView> {
    done(store.atomically(Durability::Promise, |store| store.abandon_count(&moment(number), id(number))))
}

fn stock(store: &Store) -> BTreeMap<ItemId, ItemStock> {
    store.view().stock(today(), RULE, None).expect("reads")
}

/// Units on hand of an item.
fn on_hand(store: &Store, name: &str) -> i64 {
    let all = stock(store)[&item(name)].clone();
    let one = store.view().stock(today(), RULE, Some(&item(name))).expect("reads");
    assert_eq!(one.into_iter().collect::<Vec<_>>(), [(item(name), all.clone())], "alone and among all");
    all.on_hand.whole_units().expect("whole units")
}

fn units(quantity: Option<&QuantityJson>) -> Option<i64> {
    quantity.map(|quantity| quantity.parse().expect("valid").whole_units().expect("whole units"))
}
