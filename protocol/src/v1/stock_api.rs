//! Stock in the agent's local API: movements, counts, and what is on hand.

use pos_model::{ApprovalId, BusinessDate, CommandId, ItemId, MovementId, OperatorId, StoreId, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::local_api::QuantityJson;

/// `POST /v1/stock/movements`: stock came in or went out, and no sale did it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000040", "till_id": "T1",
    "movement_id": "01990000-0000-7000-8000-000000000041", "kind": "received", "reference": "note 17",
    "items": [{"item_id": "milk", "quantity": 8000, "expected": 10000}, {"item_id": "black-tea", "quantity": "0.5"}]}))]
pub struct MoveStock {
    /// A UUID, version 7, that the till made and kept before it sent this. The same command again gives the same answer.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed, where that is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Names the movement for ever: a UUID that the till made.
    pub movement_id: MovementId,
    /// What happened.
    pub kind: MovementKind,
    /// Why; needed for what was wasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Tag>,
    /// The delivery note, or whatever names the movement elsewhere; at most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The store at the other end; needed for a transfer, and refused elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_store: Option<StoreId>,
    /// In somebody's words; at most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What moved: 1 to 200 items, each once. In a store with a price book each is one of its ingredients, or was in stock
    /// before, unless `new` says that it is meant.
    pub items: Vec<MovedItemCommand>,
    /// Whether items are meant that neither the price book nor the stock knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
}

/// What happened to stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// An item of a movement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedItemCommand {
    /// The ingredient or article: 1 to 64 printable characters.
    pub item_id: ItemId,
    /// How much, in its base unit: more than zero, or zero of what was expected and did not come.
    pub quantity: QuantityJson,
    /// How much was expected; only for what comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<QuantityJson>,
}

/// A movement as it was recorded: the answer to [`MoveStock`], and an entry of `GET /v1/stock/movements`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MovementView {
    /// Names it for ever.
    pub movement_id: MovementId,
    /// Its place among the movements: later ones have a higher number, and numbers are left out. Pages go on after it.
    pub number: u64,
    /// What happened.
    pub kind: MovementKind,
    /// The business date in which it counts.
    pub business_date: BusinessDate,
    /// When, in milliseconds since 1970 (UTC).
    pub moved_at_ms: i64,
    /// The till.
    pub till_id: TillId,
    /// The operator.
    pub operator_id: Option<OperatorId>,
    /// Why.
    pub reason: Option<Tag>,
    /// The delivery note, or whatever names the movement elsewhere.
    pub reference: String,
    /// The store at the other end.
    pub other_store: Option<StoreId>,
    /// In somebody's words.
    pub note: String,
    /// What moved.
    pub items: Vec<MovedItemView>,
}

/// An item of a recorded movement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MovedItemView {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, in its base unit.
    pub quantity: QuantityJson,
    /// How much was expected, where that was known.
    pub expected: Option<QuantityJson>,
    /// Quantity less expectation: below zero is short, above zero is over.
    pub difference: Option<QuantityJson>,
}

/// `POST /v1/stock/counts`: somebody is about to count.
///
/// What stands in the store's history at this moment is in the count; what is sold or moved afterwards comes on top of it,
/// also before the count is finished. So begin right before the shelf is looked at; who counts while others sell counts
/// shelf by shelf, with a count for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000042", "till_id": "T1",
    "count_id": "01990000-0000-7000-8000-000000000043", "items": ["milk", "black-tea"]}))]
pub struct BeginCount {
    /// A UUID, version 7, that the till made and kept before it sent this. The same command again gives the same answer.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed, where that is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Names the count for ever: a UUID that the till made.
    pub count_id: MovementId,
    /// What is to be counted, each item once, at most 300; left out, anything may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemId>,
}

/// `POST /v1/stock/counts/{count_id}/finish`: this is what was there.
///
/// Items that are left out were not counted and stay as they are. An item that another count has settled since this one
/// began is refused (409), and the whole command with it: finish again without it, or count it anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000044", "till_id": "T1",
    "items": [{"item_id": "milk", "counted": 11800}, {"item_id": "black-tea", "counted": "0.25"}]}))]
pub struct FinishCount {
    /// A UUID, version 7, that the till made and kept before it sent this. The same command again gives the same answer.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed, where that is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// In somebody's words; at most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What was there: 1 to 300 items, each once.
    pub items: Vec<CountedItemCommand>,
}

/// An item that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountedItemCommand {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much was there, in its base unit; zero or more.
    pub counted: QuantityJson,
}

/// `POST /v1/stock/counts/{count_id}/abandon`: nothing comes of this count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000045", "till_id": "T1"}))]
pub struct AbandonCount {
    /// A UUID, version 7, that the till made and kept before it sent this. The same command again gives the same answer.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub approval_id: Option<ApprovalId>,
}

/// A count: the answer to the commands about it, and an entry of `GET /v1/stock/counts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountView {
    /// Names it for ever.
    pub count_id: MovementId,
    /// What has become of it.
    pub state: CountState,
    /// The till on which it began.
    pub till_id: TillId,
    /// Who began it.
    pub operator_id: Option<OperatorId>,
    /// The newest event that it has seen, as epoch and number (`9f2c61a0b3d4e5f6/42`).
    #[schema(example = "9f2c61a0b3d4e5f6/42")]
    pub frontier: String,
    /// When it began, in milliseconds since 1970 (UTC).
    pub began_at_ms: i64,
    /// When it was finished or abandoned.
    pub ended_at_ms: Option<i64>,
    /// Whether only certain items were to be counted.
    pub is_partial: bool,
    /// Of an open count the items that are known to be there to count; of a finished one those that were counted. What was
    /// expected is not told before the count is finished.
    pub items: Vec<CountItemView>,
}

/// What has become of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountState {
    /// Somebody counts.
    Open,
    /// It holds.
    Finished,
    /// Nothing came of it.
    Abandoned,
}

/// An item of a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountItemView {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much was there.
    pub counted: Option<QuantityJson>,
    /// How much should have been there; none before the item's first count.
    pub expected: Option<QuantityJson>,
    /// Counted less expected: below zero is missing.
    pub difference: Option<QuantityJson>,
}

/// `GET /v1/stock`: an item and what there is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StockItem {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// Its name in the price book.
    pub name: Option<String>,
    /// Its base unit in the price book.
    pub unit: Option<Tag>,
    /// What was counted last, and what was added less what was used since that count's frontier. Below zero if more was
    /// used than is known to have come in.
    pub on_hand: QuantityJson,
    /// What somebody should look at.
    pub flags: Vec<StockFlag>,
    /// For how long it lasts.
    pub cover: CoverView,
    /// The use of a business date by which that is reckoned. What was wasted or went to another store is no use.
    pub used_per_date: QuantityJson,
    /// What was added since the last count; since ever, if there was none.
    pub added_since: QuantityJson,
    /// What was used since the last count; since ever, if there was none.
    pub used_since: QuantityJson,
    /// The last count.
    pub last_count: Option<LastCountView>,
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockFlag {
    /// More was used than is known to have come in. Nothing is blocked by it.
    Negative,
    /// It does not last as long as the store wants it to.
    LowCover,
    /// It was never counted, so what is on hand is reckoned from nothing.
    NeverCounted,
}

/// For how long an item lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CoverView {
    /// Nothing of it was used lately, so nothing can be said.
    NoUse,
    /// For so long.
    Lasts {
        /// Minutes in which the store is open, rounded down.
        trading_minutes: i64,
    },
}

/// The last count of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LastCountView {
    /// The count.
    pub count_id: MovementId,
    /// How much was there at its frontier.
    pub counted: QuantityJson,
    /// When it was finished, in milliseconds since 1970 (UTC).
    pub counted_at_ms: i64,
    /// On which business date.
    pub business_date: BusinessDate,
}

/// What `GET /v1/events` tells of stock: a movement or a count. Sales do not tell it; a screen that shows what is on hand
/// reads that anew from time to time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StockChanged {
    /// What happened.
    pub kind: StockChange,
    /// The movement or count.
    pub id: MovementId,
    /// The items of which another quantity is on hand.
    pub items: Vec<ItemId>,
}

/// What happened to stock without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StockChange {
    /// Stock came in or went out.
    Moved,
    /// A count began.
    CountBegun,
    /// A count was finished.
    CountFinished,
    /// A count was abandoned.
    CountAbandoned,
}
