//! What stations and the call screen say and hear. JSON of the local API.

use pos_model::{BusinessDate, CommandId, CupId, OperatorId, Sku, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::local_api::QuantityJson;

/// How far a cup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CupState {
    /// Sent, and nobody has begun.
    Queued,
    /// Somebody makes it.
    Making,
    /// It stands ready.
    Ready,
    /// The customer has it.
    Handed,
    /// It was voided after it was sent; a bump says that the station has seen it.
    Voided,
    /// It was voided, and the station knows.
    Discarded,
}

/// `POST /v1/kitchen/bump`, `/recall` and `/hand-over`: one step of a cup, or of the cups of an order.
///
/// Exactly one of `cup_id`, `code` and `pickup_no` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000020", "till_id": "T1", "pickup_no": 1}))]
pub struct StepCups {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till, or the station's screen: 1 to 16 characters of `A-Z a-z 0-9 - _`.
    pub till_id: TillId,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// One cup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cup_id: Option<CupId>,
    /// One cup, by what its QR code says: 12 letters and digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "04HMASW9NF6Y")]
    pub code: Option<String>,
    /// The newest order with this number that is not handed over; to recall, the newest one. A bump moves the cups that
    /// are farthest behind, a recall those that are farthest on, and all of them are handed over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup_no: Option<u32>,
    /// Of an order only the cups of this station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<Tag>,
    /// The state that the screen shows. Given, cups that are in another one do not move: somebody else came first (409).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CupState>,
}

/// Cups: those of an order, those that a station has to make, or those that have moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CupsView {
    /// The cups, the oldest order first.
    pub cups: Vec<CupView>,
    /// Whether there are older ones beside these.
    pub more: bool,
}

/// A cup: anything that is made and handed over as one piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CupView {
    /// Follows from the order, so that it is the same however often the order is sent.
    pub cup_id: CupId,
    /// Its short form, as its QR code says it.
    pub code: String,
    /// The basket, or the sale that was sent without one.
    #[schema(value_type = String, format = "uuid")]
    pub order_id: Uuid,
    /// The number that is called out.
    pub pickup_no: u32,
    /// The business date of that number.
    pub business_date: BusinessDate,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// How the order came in.
    pub channel: Tag,
    /// Which one of its order, from one.
    pub number: u32,
    /// How many the order has.
    pub of: u32,
    /// Where it is made.
    pub station: Tag,
    /// What is made.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// The names of what was chosen.
    pub options: Vec<String>,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// How much: one, unless it is sold by weight or in very large numbers.
    pub quantity: QuantityJson,
    /// How far it is.
    pub state: CupState,
    /// When the order was sent first, in milliseconds since 1970 (UTC).
    pub sent_at_ms: i64,
    /// Since when it is that far.
    pub changed_at_ms: i64,
    /// Where that was said; none as long as it is queued.
    pub till_id: Option<TillId>,
    /// Who said it.
    pub operator_id: Option<OperatorId>,
}

/// `GET /v1/kitchen/call-screen`: what customers see. The newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallScreen {
    /// Orders of which everything stands ready.
    pub ready: Vec<CalledOrder>,
    /// Orders of which something is still to be made.
    pub making: Vec<CalledOrder>,
}

/// An order on the call screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CalledOrder {
    /// The number that is called out.
    pub pickup_no: u32,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// Since when it is ready or being made, in milliseconds since 1970 (UTC).
    pub since_ms: i64,
}
