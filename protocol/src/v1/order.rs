//! What a till orders by the store's price book, instead of naming prices itself.

use pos_model::{Sku, Tag};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::local_api::{QuantityJson, counter, is_counter};
use super::sale::PricingMember;

/// An order: the agent prices it by the store's price book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderCommand {
    /// What is ordered: 1 to 200 lines. Of equal shares of a discount the earlier line takes the larger.
    pub lines: Vec<OrderLine>,
    /// Whether it is taken away, which may be taxed otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub takeaway: bool,
    /// Who buys, if it is a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<PricingMember>,
    /// The classes of the coupons that the customer has brought, an entry for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Tag>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The article in its size.
    pub sku: Sku,
    /// The codes of the options, each once; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Sku>,
    /// How many: more than zero; one if left out.
    #[serde(default = "one")]
    pub quantity: QuantityJson,
    /// What the customer asks for besides, in words; at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `POST /v1/price`: what an order costs at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"order": {"lines": [{"sku": "classic-milk-tea-l", "options": ["sugar-full", "ice-full"], "quantity": 2}],
    "member": {"level": "gold", "order_no": 3}}}))]
pub struct PriceOrder {
    /// How the order comes in; `counter` if left out.
    #[serde(default = "counter", skip_serializing_if = "is_counter")]
    pub channel: Tag,
    /// The order.
    pub order: OrderCommand,
}

/// The price book by which a store sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceBookView {
    /// Its version, for people.
    pub version: String,
    /// The BLAKE3 of its canonical form.
    pub hash: String,
    /// Since when the store sells by it, in milliseconds since 1970 (UTC).
    pub active_since_ms: i64,
}

fn one() -> QuantityJson {
    QuantityJson::Whole(1)
}

fn is_false(value: &bool) -> bool {
    !value
}
