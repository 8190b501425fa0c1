//! Stock that moved without a sale, and stock that was counted.
//!
//! Stock of an item in a store is: what was counted last, and what was added less what was used since. A movement belongs
//! to a count if it stands at or before the count's frontier, a place in the store's history; else it comes after it.

use pos_model::{BusinessDate, ItemId, MovementId, OperatorId, Place, Quantity, Stamp, StoreId, Tag, TillId};
use serde::{Deserialize, Serialize};

/// Stock came in or went out, and no sale did it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StockMoved {
    /// Made by the till.
    pub movement_id: MovementId,
    /// What happened.
    pub kind: StockMovement,
    /// Where it was said.
    pub till_id: TillId,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Why: a reason of waste, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Tag>,
    /// The delivery note, or whatever names the movement elsewhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The store at the other end of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_store: Option<StoreId>,
    /// In somebody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What moved; at least one item.
    pub items: Vec<MovedItem>,
    /// When, by the store's clock.
    pub moved_at: Stamp,
    /// The business date in which it counts.
    pub business_date: BusinessDate,
}

impl StockMoved {
    /// The kind's name.
    pub const KIND: &'static str = "stock_moved";
}

/// What happened to stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockMovement {
    /// It was delivered: added.
    Received,
    /// It went to waste: used.
    Wasted,
    /// It came from another store: added.
    TransferredIn,
    /// It went to another store: used.
    TransferredOut,
    /// What a newer agent knows.
    #[serde(other)]
    Other,
}

/// An item of a movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedItem {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, in its base unit; above zero, or zero of what was expected and did not come.
    pub quantity: Quantity,
    /// How much was expected, where that was known: a delivery that is short or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Quantity>,
}

/// Stock was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StockCounted {
    /// Made by the till.
    pub movement_id: MovementId,
    /// Where it was said.
    pub till_id: TillId,
    /// Who counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// The newest event that the count has seen: what stands at or before it is in the count.
    pub frontier: Place,
    /// When counting began, by the store's clock.
    pub began_at: Stamp,
    /// When it ended.
    pub counted_at: Stamp,
    /// The business date on which it ended.
    pub business_date: BusinessDate,
    /// What was counted; at least one item.
    pub items: Vec<CountedItem>,
    /// In somebody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl StockCounted {
    /// The kind's name.
    pub const KIND: &'static str = "stock_counted";
}

/// An item of a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedItem {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much was there, in its base unit.
    pub counted: Quantity,
    /// How much should have been there at the frontier; none before the first count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Quantity>,
}

/// Something went out of sale, or came back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoldOutChanged {
    /// Whether it is an article, an option or an ingredient: `sku`, `option`, `item`.
    pub what: Tag,
    /// Its code.
    pub code: String,
    /// Whether it is sold out.
    pub sold_out: bool,
    /// How many are left to sell, where that is counted down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u32>,
    /// Where it was said; none if a countdown or the start of a day did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub till_id: Option<TillId>,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// When, by the store's clock.
    pub changed_at: Stamp,
}

impl SoldOutChanged {
    /// The kind's name.
    pub const KIND: &'static str = "sold_out_changed";
}
