//! What the till says of stock, and which rules it may break.

use std::collections::BTreeSet;

use pos_model::{ItemId, MovementId, Nth, OperatorId, Quantity, StoreId, Tag, TillId};

use crate::limits::{COUNT_ITEMS_MAX, MOVED_ITEMS_MAX, QUANTITY_MICRO_MAX, REFERENCE_CHARS_MAX, STOCK_NOTE_CHARS_MAX};

/// Stock came in or went out, and no sale did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Made by the till.
    pub movement_id: MovementId,
    /// Where it was said.
    pub till_id: TillId,
    /// Who did it.
    pub operator_id: Option<OperatorId>,
    /// What happened.
    pub kind: MovementKind,
    /// Why.
    pub reason: Option<Tag>,
    /// What names it elsewhere.
    pub reference: String,
    /// The store at the other end of a transfer.
    pub other_store: Option<StoreId>,
    /// In somebody's words.
    pub note: String,
    /// What moved.
    pub items: Vec<Moved>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovementKind {
    /// It was delivered.
    Received,
    /// It went to waste.
    Wasted,
    /// It came from another store.
    TransferredIn,
    /// It went to another store.
    TransferredOut,
}

impl MovementKind {
    /// Whether stock comes in by it.
    pub const fn comes_in(self) -> bool {
        matches!(self, Self::Received | Self::TransferredIn)
    }

    const fn is_transfer(self) -> bool {
        matches!(self, Self::TransferredIn | Self::TransferredOut)
    }
}

/// An item of a movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, in its base unit.
    pub quantity: Quantity,
    /// How much was expected.
    pub expected: Option<Quantity>,
}

/// An item that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much was there, in its base unit.
    pub counted: Quantity,
}

/// A rule that a command about stock breaks. Items are counted from one, as on a screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the numbers in a variant are named as in its text")]
pub enum StockRefusal {
    /// Nothing, or too much at once.
    #[error("1 to {max} items are possible at once, these are {count}")]
    ItemCount { count: usize, max: usize },
    /// An item stands there twice, so it is open which quantity holds.
    #[error("{item_id} stands there twice")]
    ItemTwice { item_id: ItemId },
    /// A quantity that is no number, or has more than six decimals.
    #[error("the {} item has a quantity that is no decimal with at most six places", Nth(*item))]
    QuantityFormat { item: usize },
    /// A quantity below zero, or of nothing where something has to be, or beyond all sense.
    #[error("{item_id} has a quantity of {quantity}, which is not {possible}")]
    QuantityRange { item_id: ItemId, quantity: Quantity, possible: &'static str },
    /// Only of what comes in something can be expected.
    #[error("{item_id} has an expected quantity, and does not come in")]
    ExpectedNotIncoming { item_id: ItemId },
    /// Waste has a reason.
    #[error("what was wasted needs a reason")]
    ReasonMissing,
    /// A transfer has another end.
    #[error("a transfer needs the other store")]
    OtherStoreMissing,
    /// Something else has none.
    #[error("only a transfer has another store")]
    OtherStoreUnexpected,
    /// A transfer has two ends.
    #[error("{store_id} is this store; a transfer names the other one")]
    OtherStoreIsThis { store_id: StoreId },
    /// Neither the price book nor the store's stock has heard of it: more likely misspelt than new.
    #[error("{item_id} is not in the price book and was never in stock here; if it is new, say so with `new`")]
    ItemUnknown { item_id: ItemId },
    /// A text is too long.
    #[error("{field} has {chars} characters, at most {max} are possible")]
    TextTooLong { field: &'static str, chars: usize, max: usize },
}

impl StockRefusal {
    /// The key under which a screen finds its own words.
    pub const fn message_key(&self) -> &'static str {
        match self {
            Self::ItemCount { .. } => "stock.item_count",
            Self::ItemTwice { .. } => "stock.item_twice",
            Self::QuantityFormat { .. } => "stock.quantity_format",
            Self::QuantityRange { .. } => "stock.quantity_range",
            Self::ExpectedNotIncoming { .. } => "stock.expected_not_incoming",
            Self::ReasonMissing => "stock.reason_missing",
            Self::OtherStoreMissing => "stock.other_store_missing",
            Self::OtherStoreUnexpected => "stock.other_store_unexpected",
            Self::OtherStoreIsThis { .. } => "stock.other_store_own",
            Self::ItemUnknown { .. } => "stock.item_unknown",
            Self::TextTooLong { .. } => "stock.text_too_long",
        }
    }
}

/// Whether a movement obeys the rules.
pub fn check_movement(movement: &Movement) -> Result<(), StockRefusal> {
    check_items(movement.items.iter().map(|item| &item.item_id), 1, MOVED_ITEMS_MAX)?;
    for Moved { item_id, quantity, expected } in &movement.items {
        if expected.is_some() && !movement.kind.comes_in() {
            return Err(StockRefusal::ExpectedNotIncoming { item_id: item_id.clone() });
        }
        if let Some(expected) = expected {
            check_quantity(item_id, *expected)?;
        }
        check_quantity(item_id, *quantity)?;
        if *quantity == Quantity::ZERO && expected.is_none_or(|expected| expected == Quantity::ZERO) {
            let item_id = item_id.clone();
            return Err(StockRefusal::QuantityRange { item_id, quantity: *quantity, possible: "above zero" });
        }
    }
    if movement.kind == MovementKind::Wasted && movement.reason.is_none() {
        return Err(StockRefusal::ReasonMissing);
    }
    match (movement.kind.is_transfer(), &movement.other_store) {
        (true, None) => return Err(StockRefusal::OtherStoreMissing),
        (false, Some(_)) => return Err(StockRefusal::OtherStoreUnexpected),
        _ => {}
    }
    check_text("reference", &movement.reference, REFERENCE_CHARS_MAX)?;
    check_text("note", &movement.note, STOCK_NOTE_CHARS_MAX)
}

/// Whether what is to be counted obeys the rules; nothing named means everything.
pub fn check_count_scope(items: &[ItemId]) -> Result<(), StockRefusal> {
    check_items(items.iter(), 0, COUNT_ITEMS_MAX)
}

/// Whether what was counted obeys the rules.
pub fn check_counted(items: &[Counted], note: &str) -> Result<(), StockRefusal> {
    check_items(items.iter().map(|item| &item.item_id), 1, COUNT_ITEMS_MAX)?;
    items.iter().try_for_each(|item| check_quantity(&item.item_id, item.counted))?;
    check_text("note", note, STOCK_NOTE_CHARS_MAX)
}

fn check_items<'i>(items: impl Iterator<Item = &'i ItemId>, min: usize, max: usize) -> Result<(), StockRefusal> {
    let mut seen = BTreeSet::new();
    let mut count = 0;
    let mut twice = None;
    for item_id in items {
        count += 1;
        if !seen.insert(item_id) {
            twice.get_or_insert(item_id);
        }
    }
    if !(min..=max).contains(&count) {
        return Err(StockRefusal::ItemCount { count, max });
    }
    twice.map_or(Ok(()), |item_id| Err(StockRefusal::ItemTwice { item_id: item_id.clone() }))
}

fn check_quantity(item_id: &ItemId, quantity: Quantity) -> Result<(), StockRefusal> {
    let possible = "from zero to a thousand million";
    if (0..=QUANTITY_MICRO_MAX).contains(&quantity.micro()) {
        return Ok(());
    }
    Err(StockRefusal::QuantityRange { item_id: item_id.clone(), quantity, possible })
}

fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), StockRefusal> {
    let chars = text.chars().count();
    if chars > max { Err(StockRefusal::TextTooLong { field, chars, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: usize) -> Moved {
        Moved {
            item_id: format!("item-{number}").parse().expect("valid"),
            quantity: Quantity::ONE,
            expected: Some(Quantity::ONE),
        }
    }

    fn received() -> Movement {
        Movement {
            movement_id: "018f0000-0000-7000-8000-000000000001".parse().expect("valid"),
            till_id: "T1".parse().expect("valid"),
            operator_id: None,
            kind: MovementKind::Received,
            reason: None,
            reference: "note 17".to_owned(),
            other_store: None,
            note: String::new(),
            items: vec![item(1), item(2)],
        }
    }

    #[test]
    fn what_a_movement_obeys() {
        #[track_caller]
        fn check(change: impl FnOnce(&mut Movement), key: Option<&str>) {
            let mut movement = received();
            change(&mut movement);
            let refused = check_movement(&movement).err();
            assert_eq!(refused.as_ref().map(StockRefusal::message_key), key, "{movement:?}");
        }
        let wasted = |movement: &mut Movement| {
            movement.kind = MovementKind::Wasted;
            movement.items.iter_mut().for_each(|item| item.expected = None);
        };
        check(|_| {}, None);
        check(|movement| movement.items.clear(), Some("stock.item_count"));
        check(|movement| movement.items = (0..200).map(item).collect(), None);
        check(|movement| movement.items = (0..201).map(item).collect(), Some("stock.item_count"));
        check(|movement| movement.items[1] = item(1), Some("stock.item_twice"));
        check(|movement| movement.items[0].quantity = Quantity::from_micro(-1), Some("stock.quantity_range"));
        check(|movement| movement.items[0].quantity = Quantity::from_micro(i64::MAX), Some("stock.quantity_range"));
        check(|movement| movement.items[0].expected = Some(Quantity::from_micro(-1)), Some("stock.quantity_range"));
        // What did not come, and what nobody expected.
        check(|movement| movement.items[0].quantity = Quantity::ZERO, None);
        check(|movement| movement.items[0].expected = Some(Quantity::ZERO), None);
        check(
            |movement| movement.items[0] = Moved { quantity: Quantity::ZERO, expected: None, ..item(1) },
            Some("stock.quantity_range"),
        );
        check(
            |movement| movement.other_store = Some("s2".parse().expect("valid")),
            Some("stock.other_store_unexpected"),
        );
        check(|movement| movement.kind = MovementKind::TransferredIn, Some("stock.other_store_missing"));
        check(|movement| movement.kind = MovementKind::Wasted, Some("stock.expected_not_incoming"));
        check(wasted, Some("stock.reason_missing"));
        check(
            |movement| {
                wasted(movement);
                movement.reason = Some("expired".parse().expect("valid"));
            },
            None,
        );
        check(|movement| movement.note = "\u{8336}".repeat(257), Some("stock.text_too_long"));
        check(|movement| movement.reference = "x".repeat(129), Some("stock.text_too_long"));
    }

    #[test]
    fn what_a_count_obeys() {
        let counted = |number: usize, micro| Counted {
            item_id: format!("item-{number}").parse().expect("valid"),
            counted: Quantity::from_micro(micro),
        };
        let key = |items: &[Counted]| check_counted(items, "").err().map(|refused| refused.message_key());
        assert_eq!(key(&[counted(1, 0), counted(2, 7)]), None);
        assert_eq!(key(&[]), Some("stock.item_count"));
        assert_eq!(key(&[counted(1, -1)]), Some("stock.quantity_range"));
        assert_eq!(key(&[counted(1, 1), counted(1, 1)]), Some("stock.item_twice"));
        assert_eq!(check_count_scope(&[]), Ok(()));
        let ids: Vec<ItemId> = (0..301).map(|number| counted(number, 0).item_id).collect();
        assert!(check_count_scope(&ids).is_err() && check_count_scope(&ids[1..]).is_ok());
    }
}
