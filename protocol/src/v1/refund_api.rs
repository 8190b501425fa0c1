//! What a till says of goods that come back, and what it hears.

use pos_model::{ApprovalId, AttemptId, BusinessDate, Currency, Money, OperatorId, RefundId, SaleId, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::local_api::{QuantityJson, TenderCommand};

/// `POST /v1/refunds`: give money back for a sale.
///
/// The same `refund_id` with the same content gives the same answer again, and with other content is refused (409).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refund_id": "01990000-0000-7000-8000-000000000007", "till_id": "T1", "sale_id": "01990000-0000-7000-8000-000000000008", "lines": [{"line": 0, "count": 1, "goods": "wasted"}], "reason": "wrong_drink"}))]
pub struct CompleteRefund {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub refund_id: RefundId,
    /// The till.
    pub till_id: TillId,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed on this sale: `refund`, `void_sale` if the sale is taken back whole, or
    /// `refund_other_tender` if money goes back in another way than it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// The sale.
    pub sale_id: SaleId,
    /// Whether the sale is taken back whole, as a mistake, while its shift is open; `lines` are then left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub void: bool,
    /// What comes back: 1 to 200 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLineCommand>,
    /// What became of the goods of a sale that is taken back whole.
    #[serde(default, skip_serializing_if = "is_wasted")]
    pub goods: Goods,
    /// How the money goes back; left out, it goes back the way it came: to card, wallet or voucher what was paid with
    /// it, the rest in cash. Cash is named before it is rounded to coins. More of a kind than was paid by it, over all
    /// refunds of the sale, takes the right to `refund_other_tender` and is marked. An `attempt_id` is one that paid for
    /// the sale, and at most what is left of it goes back to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenders: Vec<TenderCommand>,
    /// Why.
    pub reason: Tag,
    /// Why, in words; at most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Units of a line that come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundLineCommand {
    /// The line of the sale, counted from zero.
    pub line: u32,
    /// How many units, the cheapest of those that are left first. Left out with `units`, all that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Which units, counted from zero.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<u32>,
    /// What became of the goods.
    #[serde(default, skip_serializing_if = "is_wasted")]
    pub goods: Goods,
}

/// What became of goods that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goods {
    /// They are gone.
    #[default]
    Wasted,
    /// They are in stock again.
    Restocked,
}

fn is_wasted(goods: &Goods) -> bool {
    *goods == Goods::Wasted
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The answer to [`CompleteRefund`]: the refund is on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefundReceipt {
    /// The refund.
    pub refund_id: RefundId,
    /// The sale.
    pub sale_id: SaleId,
    /// The till.
    pub till_id: TillId,
    /// The number on the receipt.
    pub receipt_no: u64,
    /// The business date.
    pub business_date: BusinessDate,
    /// The currency.
    pub currency: Currency,
    /// What came back.
    pub lines: Vec<RefundLineView>,
    /// What the customer gets back, tax included.
    pub total_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
    /// How it goes back.
    pub tenders: Vec<TenderCommand>,
    /// By how much the cash differs from what was owed, because of the coins there are.
    pub cash_rounding_minor: Money,
    /// What no program gives back: somebody does so at the terminal, or on the voucher, and only then the customer has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<GiveBackByHand>,
    /// When it was recorded, in milliseconds since 1970 (UTC).
    pub recorded_at_ms: i64,
}

/// Money that a person gives back at a terminal, or on a voucher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GiveBackByHand {
    /// The kind of tender.
    #[schema(value_type = String, example = "card")]
    pub kind: Tag,
    /// How much.
    #[schema(value_type = i64, example = 1800)]
    pub amount_minor: Money,
    /// The attempt that took it, where one did: `GET /v1/payments/{attempt_id}` names its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub attempt_id: Option<AttemptId>,
    /// What the terminal calls that payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// A line of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefundLineView {
    /// The line of the sale, counted from zero.
    pub line: u32,
    /// What was sold.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How much of it.
    pub quantity: QuantityJson,
    /// What the customer gets back for it.
    pub gross_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
    /// What became of the goods.
    pub goods: Goods,
}
