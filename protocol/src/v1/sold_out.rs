//! What tills say and hear of what is sold out. JSON of the local API.

use pos_model::{CommandId, OperatorId, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::local_api::QuantityJson;

/// What can be sold out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SoldOutKind {
    /// An article, by its SKU.
    Sku,
    /// An option, by its code.
    Option,
    /// An ingredient, by its id: whatever needs it is sold out.
    Item,
}

/// Whether it can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SoldOutState {
    /// It cannot.
    SoldOut,
    /// So much of it can be had.
    Countdown,
    /// It can.
    OnSale,
}

/// Until when it stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SoldOutUntil {
    /// Until the next business day begins.
    #[default]
    NextDay,
    /// Until somebody puts it on sale again.
    Cleared,
}

/// `POST /v1/sold-out`: something is sold out, is counted down, or is on sale again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000060", "till_id": "T1",
    "what": "option", "code": "topping-pearls", "state": "sold_out"}))]
pub struct SetSoldOut {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till: 1 to 16 characters of `A-Z a-z 0-9 - _`.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What it is.
    pub what: SoldOutKind,
    /// Its SKU, code or id: 1 to 64 printable characters.
    #[schema(example = "pearls")]
    pub code: String,
    /// Whether it can be had.
    pub state: SoldOutState,
    /// How much of it can still be sold, for a countdown: units of an article or an option, base units of an ingredient;
    /// above zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<QuantityJson>,
    /// Until when.
    #[serde(default, skip_serializing_if = "is_next_day")]
    pub until: SoldOutUntil,
    /// The version of the entry that the till shows; zero for none. Given, a countdown or a return to sale is refused (409)
    /// if another change came first. Something that is sold out at two tills at once is sold out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

fn is_next_day(until: &SoldOutUntil) -> bool {
    *until == SoldOutUntil::NextDay
}

/// What is known of something that is sold out or is counted down, or was so until this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoldOutView {
    /// What it is.
    pub what: SoldOutKind,
    /// Its SKU, code or id.
    pub code: String,
    /// Whether it can be had.
    pub state: SoldOutState,
    /// How much can still be sold, of what is counted down.
    pub remaining: Option<QuantityJson>,
    /// Until when it stays so.
    pub until: SoldOutUntil,
    /// Changes with what a person has said, or when a countdown ends; zero if it is on sale.
    pub version: u64,
    /// When it changed so, in milliseconds since 1970 (UTC).
    pub changed_at_ms: i64,
    /// Where it was said; none if a countdown or the start of a day did it.
    pub till_id: Option<TillId>,
    /// Who said it.
    pub operator_id: Option<OperatorId>,
}

/// `GET /v1/sold-out`: all that is sold out or is counted down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoldOutList {
    /// By kind and code.
    pub entries: Vec<SoldOutView>,
}

/// Something that a line of an order needs and that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoldOutPart {
    /// The line, counted from zero as everywhere.
    pub line: u32,
    /// What it is.
    pub what: SoldOutKind,
    /// Its SKU, code or id.
    pub code: String,
    /// Its name, for people.
    pub name: String,
    /// How much of it is left for this line, which needs more.
    pub left: QuantityJson,
}
