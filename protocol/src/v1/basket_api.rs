//! What a till says of its baskets, and what it hears.

use pos_model::{ApprovalId, BasketId, BusinessDate, CommandId, LineId, OperatorId, SaleId, Sku, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::local_api::{QuantityJson, counter, is_counter};
use super::sale::PricingMember;

/// `POST /v1/baskets`: begin a basket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000011", "till_id": "T1",
    "basket_id": "01990000-0000-7000-8000-000000000012", "changes": [{"change": "add_line",
        "line_id": "01990000-0000-7000-8000-000000000013", "sku": "classic-milk-tea-l", "options": ["sugar-full", "ice-full"]}]}))]
pub struct OpenBasket {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// A UUID, version 7, that the till made for the basket.
    pub basket_id: BasketId,
    /// How the order comes in; `counter` if left out.
    #[serde(default = "counter", skip_serializing_if = "is_counter")]
    pub channel: Tag,
    /// What is done with it at once; at most 50 changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<BasketChange>,
}

/// `POST /v1/baskets/{basket_id}/changes`: change a basket, wholly or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000014", "till_id": "T2",
    "changes": [{"change": "send"}, {"change": "hold"}]}))]
pub struct ChangeBasket {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// What is done, in this order: 1 to 50 changes.
    pub changes: Vec<BasketChange>,
}

/// A change of a basket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "change", deny_unknown_fields)]
pub enum BasketChange {
    /// Put a line in. The same line again is no change.
    AddLine {
        /// A UUID, version 7, that the till made for the line.
        line_id: LineId,
        /// The article in its size.
        sku: Sku,
        /// The codes of the options, each once; at most 20.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<Sku>,
        /// How many: more than zero; one if left out.
        #[serde(default = "one")]
        quantity: QuantityJson,
        /// What the customer asks for besides; at most 64 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Put the last line in once more.
    RepeatLast {
        /// A UUID, version 7, that the till made for the line that comes in.
        line_id: LineId,
    },
    /// Change a line that was not sent to the kitchen. What is left out stays.
    SetLine {
        /// The line.
        line_id: LineId,
        /// The codes of the options.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<Vec<Sku>>,
        /// How many: more than zero.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quantity: Option<QuantityJson>,
        /// What the customer asks for besides; empty for nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Take a line out that was not sent to the kitchen.
    RemoveLine {
        /// The line.
        line_id: LineId,
    },
    /// Take a line back that was sent to the kitchen.
    VoidLine {
        /// The line.
        line_id: LineId,
        /// Why.
        reason: Tag,
    },
    /// Eat here or take away: everything is priced anew.
    SetTakeaway {
        /// Whether it is taken away.
        takeaway: bool,
    },
    /// Name the table or the customer.
    SetLabel {
        /// The table, or the name that is called out; left out, none. At most 128 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
    },
    /// Say who buys.
    SetMember {
        /// The member; left out, nobody known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<PricingMember>,
    },
    /// Say which coupons the customer has brought.
    SetCoupons {
        /// Their classes, an entry for each; at most 50.
        coupons: Vec<Tag>,
    },
    /// Have the kitchen make every line that it does not know yet.
    Send,
    /// Put the basket aside, for any till.
    Hold,
    /// Take it up on this till.
    Recall,
    /// The customer has left: what was sent is voided.
    Cancel {
        /// Why.
        reason: Tag,
    },
}

fn one() -> QuantityJson {
    QuantityJson::Whole(1)
}

/// Whether a basket is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasketState {
    /// On a till.
    Open,
    /// Put aside.
    Held,
    /// It has become a sale.
    Paid,
    /// The customer has left.
    Cancelled,
}

/// A basket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BasketView {
    /// The basket.
    pub basket_id: BasketId,
    /// Counts its changes, from one.
    pub revision: u64,
    /// Whether it is being filled.
    pub state: BasketState,
    /// The till that had it last.
    pub till_id: TillId,
    /// How the order comes in.
    pub channel: Tag,
    /// The table, or the name that is called out.
    #[serde(default)]
    pub label: Option<String>,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// Who buys.
    #[serde(default)]
    pub member: Option<PricingMember>,
    /// The coupons that the customer has brought.
    pub coupons: Vec<Tag>,
    /// What is in it.
    pub lines: Vec<BasketLineView>,
    /// The number that is called out, once something was sent to the kitchen or paid.
    #[serde(default)]
    pub pickup_no: Option<u32>,
    /// The business date of that number.
    #[serde(default)]
    pub business_date: Option<BusinessDate>,
    /// The sale that it became.
    #[serde(default)]
    pub sale_id: Option<SaleId>,
    /// When it was begun, in milliseconds since 1970 (UTC).
    pub opened_at_ms: i64,
    /// When it changed last, in milliseconds since 1970 (UTC).
    pub changed_at_ms: i64,
}

/// A line of a basket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BasketLineView {
    /// The line.
    pub line_id: LineId,
    /// The article in its size.
    pub sku: Sku,
    /// The codes of the options.
    pub options: Vec<Sku>,
    /// How many.
    pub quantity: QuantityJson,
    /// What the customer asks for besides.
    #[serde(default)]
    pub note: Option<String>,
    /// Where it stands.
    pub state: BasketLineState,
    /// Why it was voided.
    #[serde(default)]
    pub void_reason: Option<Tag>,
}

/// Where a line of a basket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasketLineState {
    /// In the basket only.
    Open,
    /// In the kitchen.
    Sent,
    /// Taken back after it was sent.
    Voided,
}

/// `GET /v1/baskets/{basket_id}`: a basket with what it costs at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PricedBasketView {
    /// The basket.
    pub basket: BasketView,
    /// What it costs, as `/v1/price` answers; none if the store has no price book or nothing is in the basket.
    #[schema(value_type = Option<Object>)]
    pub quote: Option<serde_json::Value>,
}
