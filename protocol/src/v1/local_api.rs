//! The agent's local API under `/v1`: what a till says, and what it hears. JSON; amounts are integers in minor units.

use pos_model::{
    ApprovalId, AttemptId, BasketId, BusinessDate, Currency, ItemId, Money, OperatorId, SaleId, ShiftId, Sku, Stamp,
    Tag, TillId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::quantity_json::QuantityJson;

use super::basket_api::BasketView;
use super::kitchen::CupsView;
use super::order::{OrderCommand, PriceBookView};
use super::payment::PaymentView;
use super::people::{OperatorView, TillView};
use super::print::PrintJobView;
use super::refund_api::RefundReceipt;
use super::shift_api::ShiftView;
use super::sold_out::SoldOutView;
use super::stock_api::StockChanged;

/// `POST /v1/sales`: the customer has paid; make it a sale.
///
/// The same `sale_id` with the same content gives the same answer again, and with other content is refused (409).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sale_id": "01990000-0000-7000-8000-000000000008", "till_id": "T1",
    "order": {"lines": [{"sku": "classic-milk-tea-l", "options": ["sugar-50", "ice-full"], "note": "extra hot"}], "takeaway": true},
    "tenders": [{"kind": "cash", "amount_minor": 5000}]}))]
pub struct CompleteSale {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub sale_id: SaleId,
    /// The till: 1 to 16 characters of `A-Z a-z 0-9 - _`.
    pub till_id: TillId,
    /// The operator: 1 to 32 characters of `A-Z a-z 0-9 - _`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// How the order came in; `counter` if left out.
    #[serde(default = "counter", skip_serializing_if = "is_counter")]
    pub channel: Tag,
    /// The member's tag: no name, no contact. At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_tag: Option<String>,
    /// What was sold, with prices that the till names: 1 to 200 lines. Left out if there is an `order`. Where the store has
    /// operators and sells by a price book, such a sale takes the right to `price_override`, unless `store.own_prices` is
    /// `allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineCommand>,
    /// What was sold, to be priced by the store's price book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderCommand>,
    /// The basket that was sold, with neither `lines` nor `order`. It is paid then, and never opens again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket_id: Option<BasketId>,
    /// The `revision` of the basket that the customer was shown, with `basket_id`. If the basket has changed since, nothing
    /// is sold (409, `basket.changed`): look again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket_revision: Option<u64>,
    /// What somebody else has allowed on this sale, `price_override`: an adjustment with the reason `override`, or `lines`
    /// where the store sells by a price book and asks for it (`store.own_prices`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// The table, or the name that is called out; at most 128 characters. A basket has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What was handed over: 1 to 16 tenders, or none for a sale of nothing. Together they cover the total; only cash
    /// gives change.
    pub tenders: Vec<TenderCommand>,
    /// The total that the till has shown. Given, it must equal the agent's own; an order without it is sold at what the
    /// price book says at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_total_minor: Option<Money>,
    /// The version of the price book by which the till priced its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_book_version: Option<String>,
    /// Set when the sale was made elsewhere and is read from a file. Only the owner of the agent's folder may
    /// (`breakwater-agent replay`): such a sale needs no operator, shift or terminal, and moves no drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedCommand>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

pub(super) fn counter() -> Tag {
    Tag::new("counter").expect("a word of small letters is a tag")
}

fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn is_counter(tag: &Tag) -> bool {
    tag.as_str() == "counter"
}

/// One line of a sale to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineCommand {
    /// What is sold: 1 to 64 printable characters.
    pub sku: Sku,
    /// Its name on the receipt; the SKU if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many: more than zero.
    pub quantity: QuantityJson,
    /// The price of one unit without options.
    #[schema(value_type = i64, example = 1800)]
    pub unit_price_minor: Money,
    /// Chosen options; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionCommand>,
    /// Changes of the price; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<AdjustmentCommand>,
    /// The tax group; `standard` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_group: Option<Tag>,
    /// The rate of the tax, in parts per million of the net amount; zero if left out. One rate per group and sale.
    #[serde(default)]
    pub tax_rate_ppm: u32,
    /// Whether the tax comes on top of the price, and is not in it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tax_on_top: bool,
    /// What the line takes from stock; at most 40 items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumption: Vec<ConsumptionCommand>,
}

/// An option on a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionCommand {
    /// Its code on the menu.
    pub code: Sku,
    /// Its name; the code if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it adds to one unit.
    #[serde(default)]
    pub price_minor: Money,
}

/// A change of a line's price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustmentCommand {
    /// Why.
    pub reason: Tag,
    /// The promotion, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<String>,
    /// By how much; negative in the customer's favour.
    #[schema(value_type = i64, example = -200)]
    pub amount_minor: Money,
}

/// What a line takes from stock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumptionCommand {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, for the whole line, in the item's base unit.
    pub quantity: QuantityJson,
}

/// A means of payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenderCommand {
    /// `cash`, `card`, `wallet`, `voucher` and so on.
    pub kind: Tag,
    /// The amount handed over.
    #[schema(value_type = i64, example = 2000)]
    pub amount_minor: Money,
    /// The attempt at a payment terminal that was approved for it, of this kind, amount and sale. Left out for cash, and
    /// for a terminal beside the till that the cashier reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<AttemptId>,
}

/// Marks a sale as read from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedCommand {
    /// A name for the file or system; at most 64 characters.
    pub source: String,
    /// The order's key there; at most 128 characters.
    pub reference: String,
    /// When it was sold, in milliseconds since 1970 (UTC).
    pub sold_at_utc_ms: i64,
    /// Seconds that the store's local time was ahead of UTC then.
    pub sold_at_offset_s: i32,
}

impl ImportedCommand {
    /// The moment of the sale.
    pub fn sold_at(&self) -> Stamp {
        Stamp { utc_ms: self.sold_at_utc_ms, offset_s: self.sold_at_offset_s }
    }
}

/// The answer to [`CompleteSale`]: the sale is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SaleReceipt {
    /// The sale.
    pub sale_id: SaleId,
    /// The till.
    pub till_id: TillId,
    /// The number on the receipt.
    pub receipt_no: u64,
    /// The number that is called out.
    pub pickup_no: u32,
    /// The business date.
    pub business_date: BusinessDate,
    /// The currency.
    pub currency: Currency,
    /// What the customer pays, tax included.
    pub total_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
    /// What to give back.
    pub change_minor: Money,
    /// What rounding added to the part that was paid in cash; negative in the customer's favour. Tendered is the total, this
    /// and the change.
    #[serde(default)]
    pub cash_rounding_minor: Money,
    /// When it was recorded, in milliseconds since 1970 (UTC).
    pub recorded_at_ms: i64,
}

/// `GET /v1/sales/{sale_id}`: a sale as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SaleView {
    /// As it was answered to the till.
    #[serde(flatten)]
    pub receipt: SaleReceipt,
    /// How the order came in.
    pub channel: Tag,
    /// The operator.
    pub operator_id: Option<OperatorId>,
    /// The shift in which it counts.
    pub shift_id: Option<ShiftId>,
    /// The basket of which it was made.
    pub basket_id: Option<BasketId>,
    /// The table, or the name that was called out.
    pub label: Option<String>,
    /// What was sold.
    pub lines: Vec<LineView>,
    /// What was handed over.
    pub tenders: Vec<TenderCommand>,
    /// Where it was read from, if it was imported: source and reference.
    pub imported: Option<ImportedView>,
    /// Whether the centre has confirmed it.
    pub synced: bool,
}

/// Where a sale was read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportedView {
    /// The file or system.
    pub source: String,
    /// The order's key there.
    pub reference: String,
}

/// A line of a recorded sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LineView {
    /// What was sold.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// How many.
    pub quantity: QuantityJson,
    /// The price of one unit without options.
    pub unit_price_minor: Money,
    /// The options.
    pub options: Vec<OptionCommand>,
    /// The changes of the price.
    pub adjustments: Vec<AdjustmentCommand>,
    /// What the customer paid for it.
    pub gross_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
}

/// `GET /v1/totals`: the sums of a business date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayTotals {
    /// The business date.
    pub business_date: BusinessDate,
    /// Sales.
    pub sales: u64,
    /// Lines.
    pub lines: u64,
    /// Units.
    pub units: QuantityJson,
    /// What customers paid, tax included.
    pub gross_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
    /// The gross without the tax.
    pub net_minor: Money,
}

/// `GET /v1/sync`: how far the centre is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncState {
    /// This store.
    pub store_id: String,
    /// The currency in which it sells.
    pub currency: Currency,
    /// The state of the link.
    pub link: LinkState,
    /// The epoch in which the agent sells, as 16 hexadecimal digits.
    pub epoch: String,
    /// The newest event in it.
    pub head_seq: u64,
    /// Events that the centre has not confirmed.
    pub outbox_events: u64,
    /// When the oldest of them was recorded, in milliseconds since 1970 (UTC).
    pub outbox_oldest_ms: Option<i64>,
    /// When the centre last answered, in milliseconds since 1970 (UTC).
    pub last_contact_ms: Option<i64>,
    /// The price book by which the store sells; none before it has one.
    #[serde(default)]
    pub price_book: Option<PriceBookView>,
    /// What a person should know or do: a restored or copied folder, a refused password.
    pub notices: Vec<NoticeView>,
}

/// What a person should know or do, until it is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// By which it is settled: `DELETE /v1/notices/{key}`.
    pub key: String,
    /// Since when, in milliseconds since 1970 (UTC).
    pub since_ms: Option<i64>,
    /// In words.
    pub text: String,
}

/// The state of the link to the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The store has not been enrolled, so there is nobody to send to.
    NotEnrolled,
    /// No connection.
    Offline,
    /// Connected, finding out where the centre is.
    Greeting,
    /// Sending, or nothing to send.
    Online,
    /// The centre asked for a pause.
    Paused,
}

/// What `GET /v1/events` sends as server-sent events; the SSE event name is the variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum Change {
    /// A sale was recorded.
    SaleCompleted(SaleReceipt),
    /// The link or the outbox changed.
    Sync(SyncState),
    /// The store sells by another price book.
    PriceBook(PriceBookView),
    /// A refund was recorded.
    RefundCompleted(Box<RefundReceipt>),
    /// A shift was opened, closed or amended, or its cash moved.
    Shift(Box<ShiftView>),
    /// A basket changed.
    Basket(Box<BasketView>),
    /// Stock moved without a sale, or was counted.
    Stock(StockChanged),
    /// Cups were sent, moved or voided.
    Cup(CupsView),
    /// Something is sold out, is counted down, or is on sale again.
    SoldOut(SoldOutView),
    /// A payment was asked for, or stands otherwise than before.
    Payment(PaymentView),
    /// A print job is at another place of its way.
    PrintJob(PrintJobView),
    /// An operator was added or changed, or signed on or off.
    Operator(OperatorView),
    /// A till was paired, or its token was taken back.
    Till(TillView),
}

impl Change {
    /// The variant's name, as the SSE event has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SaleCompleted(_) => "sale_completed",
            Self::Sync(_) => "sync",
            Self::PriceBook(_) => "price_book",
            Self::RefundCompleted(_) => "refund_completed",
            Self::Shift(_) => "shift",
            Self::Basket(_) => "basket",
            Self::Stock(_) => "stock",
            Self::Cup(_) => "cup",
            Self::SoldOut(_) => "sold_out",
            Self::Payment(_) => "payment",
            Self::PrintJob(_) => "print_job",
            Self::Operator(_) => "operator",
            Self::Till(_) => "till",
        }
    }
}

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI reference that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short text for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What exactly is wrong here.
    pub detail: String,
    /// The key under which a screen finds its own words, such as `sale.tender_too_small`.
    pub message_key: String,
}
