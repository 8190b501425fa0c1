//! What the API says, as JSON. Amounts are integers in minor units, times are milliseconds since 1970 (UTC), epochs and
//! hashes are hexadecimal text.

use std::fmt;

use protocol::latest::Pricing;
use protocol::latest::local_api::QuantityJson;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use super::counter_wire::*;

/// `POST /api/v1/enroll`: a store shows its claim code.
#[derive(Deserialize, ToSchema)]
pub struct EnrollRequest {
    /// The store.
    pub store_id: String,
    /// The code that `breakwater-server store add` printed.
    pub claim_code: String,
}

/// What an enrolled store is given.
#[derive(Serialize, ToSchema)]
pub struct EnrollAnswer {
    /// The store.
    pub store_id: String,
    /// Its secret, from which the password of its MQTT login and the keys of its proofs are derived. The user name is the
    /// store id. It is said once and kept nowhere.
    pub secret: String,
    /// Where to connect: `mqtt://host:port` or `mqtts://host:port`.
    pub mqtt_url: String,
    /// True: messages may carry proofs, and the derived password is known here. Also the secret itself is taken as the
    /// password, but not by a broker.
    pub proofs: bool,
    /// The server's version.
    pub server_version: String,
    /// The server's clock.
    pub server_time_ms: i64,
}

impl fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrollRequest {{ store_id: {:?}, claim_code: [redacted] }}", self.store_id)
    }
}

impl fmt::Debug for EnrollAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrollAnswer {{ store_id: {:?}, secret: [redacted] }}", self.store_id)
    }
}

/// One store at a glance.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StoreSummary {
    /// The store.
    pub store_id: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// `active` or `revoked`.
    pub status: &'static str,
    /// Whether it has enrolled.
    pub enrolled: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// When it was heard last.
    pub last_contact_ms: Option<i64>,
    /// When a sale of it was applied last.
    pub last_sale_at_ms: Option<i64>,
    /// Sales applied.
    pub applied_sales: i64,
    /// Events applied, sales among them.
    pub applied_events: i64,
    /// Events that the store reported as not confirmed, less those that have arrived since. Of a store that is not
    /// connected it is what is known: the store may be selling, and hold more.
    pub backlog: i64,
    /// The same as it was reported.
    pub backlog_reported: i64,
    /// When that was.
    pub reported_at_ms: Option<i64>,
    /// When the oldest event of the backlog was recorded, by the store's clock; of a store that is not connected, as
    /// far as is known.
    pub oldest_unsynced_ms: Option<i64>,
    /// How old it is.
    pub oldest_unsynced_age_ms: Option<i64>,
    /// The run of the agent in which it sells.
    pub epoch: Option<String>,
    /// The newest event there.
    pub head: Option<u64>,
    /// The agent's version.
    pub agent_version: Option<String>,
    /// The version of the messages that the agent speaks.
    pub protocol_version: Option<u16>,
    /// How far the store's clock is ahead.
    pub clock_skew_ms: Option<i64>,
    /// Free bytes on its disk.
    pub disk_free_bytes: Option<i64>,
    /// Events parked.
    pub parked: i64,
    /// How many alerts there are.
    pub alert_count: usize,
    /// What needs a person, the worst first.
    pub alerts: Vec<AlertJson>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody has to look now.
    Alarm,
    /// It is worth a look.
    Warning,
}

/// What needs a person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AlertJson {
    /// `losses`, `went_back`, `fork`, `prices`, `over_refunds`, `reconciliation`, `receipt_gaps`, `z_gaps`, `duplicate_receipts`,
    /// `duplicate_z`, `refunds_without_sale`, `parked` or `clock`.
    pub kind: &'static str,
    /// How many events or receipts, or how many milliseconds.
    pub count: i64,
    /// In words.
    pub text: String,
    /// Whether somebody has to look now.
    pub severity: Severity,
    /// What to do.
    pub advice: &'static str,
}

/// `GET /api/v1/stores`
#[derive(Debug, Serialize, ToSchema)]
pub struct StoreList {
    /// The server's clock.
    pub server_time_ms: i64,
    /// The stores, in order of their ids.
    pub stores: Vec<StoreSummary>,
}

/// `GET /api/v1/stores/{store_id}`
#[derive(Debug, Serialize, ToSchema)]
pub struct StoreDetail {
    /// The store at a glance.
    #[serde(flatten)]
    pub store: StoreSummary,
    /// Its epochs, newest first; at most 200.
    pub epochs: Vec<EpochJson>,
    /// Receipt numbers that stand on two sales or refunds; at most 200.
    pub duplicate_receipts: Vec<DuplicateReceiptJson>,
    /// Sales that do not cost what their price book says, those found last first; at most 200.
    pub price_differences: Vec<PriceDifferenceJson>,
    /// Sales of which more came back than was sold, the newest first; at most 200.
    pub over_refunds: Vec<OverRefundJson>,
}

/// A sale that does not cost what its price book says. It stays as it was sold.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceDifferenceJson {
    /// The sale.
    pub sale_id: String,
    /// When it was found.
    pub found_at_ms: i64,
    /// What the customer paid.
    pub sold_minor: i64,
    /// What the book says.
    pub computed_minor: i64,
    /// The first thing that differs.
    pub what: String,
}

/// One run of a store's agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochJson {
    /// The epoch.
    pub epoch: String,
    /// Whether the store sells in it, as it reported last.
    pub current: bool,
    /// Every event up to this one is applied or parked.
    pub applied: u64,
    /// The hash of the store's history there.
    pub applied_hash: String,
    /// The newest event that the store reported there.
    pub reported_head: u64,
    /// When the server heard of it first.
    pub first_seen_ms: i64,
    /// When it was opened, by the store's clock.
    pub opened_at_ms: Option<i64>,
    /// Why: `start`, `fork` or `other`.
    pub opened_why: Option<String>,
    /// The place from which it goes on.
    pub previous: Option<PlaceJson>,
    /// How many epochs go on from this one; more than one means a folder that was put back or copied.
    pub successors: i64,
}

/// A place in a store's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceJson {
    /// The epoch.
    pub epoch: String,
    /// The number there.
    pub seq: u64,
}

/// A receipt number that an earlier sale or refund of the till has too.
#[derive(Debug, Serialize, ToSchema)]
pub struct DuplicateReceiptJson {
    /// The till.
    pub till_id: String,
    /// The number.
    pub receipt_no: i64,
    /// The later sale, if it is one.
    pub sale_id: Option<String>,
    /// The later refund, if it is one.
    pub refund_id: Option<String>,
}

/// `GET /api/v1/stores/{store_id}/receipts/missing`
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingReceipts {
    /// The store.
    pub store_id: String,
    /// Runs of numbers that never arrived, by till; at most 1000.
    pub missing: Vec<MissingRun>,
}

/// A run of receipt numbers that never arrived.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingRun {
    /// The till.
    pub till_id: String,
    /// The first number.
    pub first_no: i64,
    /// The last number.
    pub last_no: i64,
}

/// `GET /api/v1/sales/{sale_id}`
#[derive(Debug, Serialize, ToSchema)]
pub struct SaleJson {
    /// The sale.
    pub sale_id: String,
    /// The store.
    pub store_id: String,
    /// The epoch of its event.
    pub epoch: String,
    /// The event's number there.
    pub seq: u64,
    /// The event.
    pub event_id: String,
    /// The hash of the store's history up to it.
    pub hash: String,
    /// When it arrived.
    pub received_at_ms: i64,
    /// When it was sold, by the store's clock.
    pub sold_at_ms: i64,
    /// How far local time was ahead of UTC.
    pub sold_offset_s: i32,
    /// The business date.
    pub business_date: String,
    /// The till.
    pub till_id: String,
    /// The shift in which it counts.
    pub shift_id: Option<String>,
    /// The basket of which it was made.
    pub basket_id: Option<String>,
    /// The table, or the name that was called out.
    pub label: Option<String>,
    /// Who made it.
    pub operator_id: Option<String>,
    /// How the order came in.
    pub channel: String,
    /// The member's tag.
    pub member_tag: Option<String>,
    /// The number on the receipt.
    pub receipt_no: u64,
    /// The number that was called out.
    pub pickup_no: u32,
    /// The currency.
    pub currency: String,
    /// What was sold.
    pub lines: Vec<LineJson>,
    /// What was handed over.
    pub tenders: Vec<TenderJson>,
    /// What was given back.
    pub change_minor: i64,
    /// By how much the cash that was due differs from what was owed, because of the coins there are.
    pub cash_rounding_minor: i64,
    /// What the customer paid.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// Without the tax.
    pub net_minor: i64,
    /// The version of its prices.
    pub price_book_version: Option<String>,
    /// What the price followed from, if the store priced it by a book: with the book of that hash it can be computed again.
    #[schema(value_type = Option<Object>)]
    pub pricing: Option<Pricing>,
    /// Where it was read from, if it was not made at a till.
    pub imported: Option<ImportedJson>,
    /// The trace of the till's request.
    pub traceparent: Option<String>,
}

/// A line of a sale.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineJson {
    /// What was sold.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// How much.
    pub quantity: QuantityJson,
    /// The price of one, without options.
    pub unit_price_minor: i64,
    /// What was chosen.
    pub options: Vec<OptionJson>,
    /// What changed the price.
    pub adjustments: Vec<AdjustmentJson>,
    /// What the customer paid for it.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// The tax group.
    pub tax_group: String,
    /// Its rate in parts per million.
    pub tax_rate_ppm: u32,
    /// Whether the tax came on top of the menu's prices.
    pub tax_on_top: bool,
    /// What the customer paid for each unit, where that is not an equal share of the gross.
    pub unit_gross_minor: Vec<i64>,
    /// What it took from stock.
    pub consumption: Vec<ConsumptionJson>,
}

/// A chosen option.
#[derive(Debug, Serialize, ToSchema)]
pub struct OptionJson {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What it added.
    pub price_minor: i64,
}

/// A change of a price.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdjustmentJson {
    /// Why.
    pub reason: String,
    /// The promotion.
    pub promotion_id: Option<String>,
    /// By how much.
    pub amount_minor: i64,
}

/// Stock that was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsumptionJson {
    /// The item.
    pub item_id: String,
    /// How much, in its base unit.
    pub quantity: QuantityJson,
}

/// A means of payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenderJson {
    /// Which.
    pub kind: String,
    /// How much was handed over.
    pub amount_minor: i64,
    /// The attempt at a payment terminal that was approved for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<String>,
    /// What the terminal calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Where an imported sale was read from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedJson {
    /// The file or system.
    pub source: String,
    /// The order's key there.
    pub reference: String,
}

/// Which totals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TotalsQuery {
    /// One store; all without it.
    pub store: Option<String>,
    /// From this business date on (`YYYY-MM-DD`). Without any filter: the newest 31 days that are not in the future, and
    /// whatever a wrong clock put behind them.
    pub from: Option<String>,
    /// Up to this business date.
    pub to: Option<String>,
}

/// `GET /api/v1/totals`
#[derive(Debug, Serialize, ToSchema)]
pub struct Totals {
    /// The first business date of the question, or of the newest 31 days if it named nothing.
    pub from: Option<String>,
    /// The last business date of the question.
    pub to: Option<String>,
    /// By store, business date and currency, in that order.
    pub rows: Vec<TotalsRow>,
    /// Over all rows, one for each currency.
    pub sums: Vec<TotalsSum>,
}

/// The totals of a store's business date.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalsRow {
    /// The store.
    pub store_id: String,
    /// The business date.
    pub business_date: String,
    /// The amounts and counts.
    #[serde(flatten)]
    pub sum: TotalsSum,
}

/// Amounts and counts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TotalsSum {
    /// The currency.
    pub currency: String,
    /// Sales.
    pub sales: i64,
    /// Lines.
    pub lines: i64,
    /// The sum of the lines' quantities.
    pub units: QuantityJson,
    /// What customers paid, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// Without the tax.
    pub net_minor: i64,
    /// Refunds; each counts on its own business date.
    pub refunds: i64,
    /// What went back to customers, tax included.
    pub refund_gross_minor: i64,
    /// The tax in it.
    pub refund_tax_minor: i64,
    /// Sales less refunds, tax included.
    pub turnover_minor: i64,
}

/// Which parked events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ParkedQuery {
    /// One store; all without it.
    pub store: Option<String>,
    /// Parked for this reason.
    pub reason: Option<String>,
    /// Of this kind, such as `sale_completed`.
    pub kind: Option<String>,
    /// `open`, which it is without it, `waived`, `fixed`, or `all` of them. Fixed are those beside the followed history;
    /// the others that count are not parked any more, and are shown one by one.
    pub state: Option<String>,
    /// Parked at this time or later.
    pub parked_from_ms: Option<i64>,
    /// Parked before this time.
    pub parked_before_ms: Option<i64>,
    /// Go on behind this number: `next_after` of the page before.
    pub after: Option<i64>,
    /// At most so many, up to 500; 100 without it.
    pub limit: Option<u32>,
}

/// `GET /api/v1/parked`
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedPage {
    /// The events, in the order of their numbers.
    pub parked: Vec<ParkedJson>,
    /// `after` of the next page, if there may be one.
    pub next_after: Option<i64>,
}

/// A parked event.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedJson {
    /// Its number in this list.
    pub parked_no: i64,
    /// The store.
    pub store_id: String,
    /// The epoch.
    pub epoch: String,
    /// Its number there.
    pub seq: u64,
    /// The hash of the history up to it.
    pub hash: String,
    /// When it was parked.
    pub parked_at_ms: i64,
    /// `open`, `waived`, `fixed`, or `applied` as it came.
    pub state: &'static str,
    /// Why: `unknown_kind`, `malformed`, `does_not_fit`, `fork`, `found`, or that an id is in the ledger already:
    /// `sale_id_known`, `sale_id_conflict`, and so on for `refund_id`, `shift_id` and `movement_id`.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// How many bytes it has.
    pub size: usize,
    /// The bytes, as hexadecimal text.
    pub bytes_hex: String,
    /// The id that its agent gave it, where one event is asked for and the id can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// When its agent recorded it, as `utc_ms` and `offset_s`; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub recorded_at: Option<pos_model::Stamp>,
    /// Its kind, where its bytes say one.
    pub kind: Option<String>,
    /// What it says, where one event is asked for and this program understands it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub event: Option<serde_json::Value>,
    /// What counts in its place, where it was fixed; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fixed_event: Option<serde_json::Value>,
    /// What people did about it, in order, where one event is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<ParkedActionJson>>,
}

/// What somebody did about a parked event.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedActionJson {
    /// When.
    pub at_ms: i64,
    /// `tried`: it stays parked. `applied`, `fixed`, `waived`: what became of it.
    pub what: &'static str,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// Why it was parked, after this.
    pub reason: String,
    /// The same in words.
    pub detail: String,
}
