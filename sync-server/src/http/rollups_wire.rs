//! What the API says of roll-ups.

use pos_model::Quantity;
use protocol::latest::local_api::QuantityJson;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::ledger::{HourRow, ItemRow, PromotionRow, RollUpState};

/// Which rows, and in which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RollupsQuery {
    /// One store; all without it.
    pub(super) store: Option<String>,
    /// From this business date on (`YYYY-MM-DD`). Without any filter: the newest 31 days that are not in the future.
    pub(super) from: Option<String>,
    /// Up to this business date.
    pub(super) to: Option<String>,
    /// `store` (or nothing): a row for each store. `all`: summed up over the stores.
    pub(super) by: Option<String>,
    /// `csv` or `json`; without it, what the header `Accept` asks for.
    pub(super) format: Option<String>,
}

/// How far the roll-ups are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct RollupsState {
    /// By how much they are behind what has arrived, in milliseconds.
    lag_ms: i64,
    /// Dates of stores that are to be summed up anew; counted up to 100,000.
    days_waiting: i64,
    /// Business dates before it cannot be summed up anew, because their sales were dropped.
    facts_from: Option<String>,
}

impl RollupsState {
    pub(super) fn of(state: &RollUpState, now_ms: i64) -> Self {
        let facts_from = state.facts_from.map(|date| date.to_string());
        Self { lag_ms: state.lag_ms(now_ms), days_waiting: state.days_waiting, facts_from }
    }

    pub(super) fn lag_ms(&self) -> i64 {
        self.lag_ms
    }

    pub(super) fn days_waiting(&self) -> i64 {
        self.days_waiting
    }
}

/// `GET /api/v1/rollups/hours`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupHours {
    /// By store, business date, hour and currency, in that order.
    pub(super) rows: Vec<RollupHour>,
}

/// What was sold and came back in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupHour {
    /// The store; null in a sum over stores.
    store_id: Option<String>,
    business_date: String,
    /// The hour on the store's clock, 0 to 23.
    hour: i64,
    currency: String,
    sales: i64,
    lines: i64,
    units: QuantityJson,
    /// What customers paid, tax included.
    gross_minor: i64,
    tax_minor: i64,
    net_minor: i64,
    /// Refunds; each counts in its own hour and business date.
    refunds: i64,
    refund_gross_minor: i64,
    refund_tax_minor: i64,
    /// Sales less refunds, tax included.
    turnover_minor: i64,
}

/// `GET /api/v1/rollups/items`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupItems {
    /// By store, business date, hour, article and currency, in that order.
    pub(super) rows: Vec<RollupItem>,
}

/// What was sold and came back of an article in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupItem {
    /// The store; null in a sum over stores.
    store_id: Option<String>,
    business_date: String,
    /// The hour on the store's clock, 0 to 23.
    hour: i64,
    /// The article with its variant.
    sku: String,
    currency: String,
    /// Lines of sales.
    lines: i64,
    units: QuantityJson,
    /// What customers paid, tax included.
    gross_minor: i64,
    /// What changed prices; below zero in the customers' favour.
    adjustment_minor: i64,
    tax_minor: i64,
    /// Lines of refunds.
    refund_lines: i64,
    refund_units: QuantityJson,
    refund_gross_minor: i64,
    refund_tax_minor: i64,
}

/// `GET /api/v1/rollups/promotions`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupPromotions {
    /// By store, business date, promotion and currency, in that order.
    pub(super) rows: Vec<RollupPromotion>,
}

/// What a promotion did on a business date.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollupPromotion {
    /// The store; null in a sum over stores.
    store_id: Option<String>,
    business_date: String,
    promotion_id: String,
    currency: String,
    /// Sales in which it changed a price.
    sales: i64,
    /// How often it changed the price of a line.
    times: i64,
    /// What it gave away; above zero in the customers' favour. What came back of these sales later is not taken off.
    given_minor: i64,
}

impl From<HourRow> for RollupHour {
    fn from(row: HourRow) -> Self {
        Self {
            store_id: row.store,
            business_date: row.business_date.to_string(),
            hour: row.hour,
            currency: row.currency,
            sales: row.sales,
            lines: row.lines,
            units: Quantity::from_micro(row.quantity_micro).into(),
            gross_minor: row.gross_minor,
            tax_minor: row.tax_minor,
            net_minor: row.net_minor,
            refunds: row.refunds,
            refund_gross_minor: row.refund_gross_minor,
            refund_tax_minor: row.refund_tax_minor,
            turnover_minor: row.gross_minor.saturating_sub(row.refund_gross_minor),
        }
    }
}

impl From<ItemRow> for RollupItem {
    fn from(row: ItemRow) -> Self {
        Self {
            store_id: row.store,
            business_date: row.business_date.to_string(),
            hour: row.hour,
            sku: row.sku,
            currency: row.currency,
            lines: row.lines,
            units: Quantity::from_micro(row.quantity_micro).into(),
            gross_minor: row.gross_minor,
            adjustment_minor: row.adjustment_minor,
            tax_minor: row.tax_minor,
            refund_lines: row.refund_lines,
            refund_units: Quantity::from_micro(row.refund_quantity_micro).into(),
            refund_gross_minor: row.refund_gross_minor,
            refund_tax_minor: row.refund_tax_minor,
        }
    }
}

impl From<PromotionRow> for RollupPromotion {
    fn from(row: PromotionRow) -> Self {
        let PromotionRow { store, business_date, promotion_id, currency, sales, times, given_minor } = row;
        let business_date = business_date.to_string();
        Self { store_id: store, business_date, promotion_id, currency, sales, times, given_minor }
    }
}

/// A row with the names of its fields, in the order in which a spreadsheet shows them.
pub(super) trait Columns: Serialize {
    const COLUMNS: &'static [&'static str];
}

impl Columns for RollupHour {
    const COLUMNS: &'static [&'static str] = &[
        "store_id",
        "business_date",
        "hour",
        "currency",
        "sales",
        "lines",
        "units",
        "gross_minor",
        "tax_minor",
        "net_minor",
        "refunds",
        "refund_gross_minor",
        "refund_tax_minor",
        "turnover_minor",
    ];
}

impl Columns for RollupItem {
    const COLUMNS: &'static [&'static str] = &[
        "store_id",
        "business_date",
        "hour",
        "sku",
        "currency",
        "lines",
        "units",
        "gross_minor",
        "adjustment_minor",
        "tax_minor",
        "refund_lines",
        "refund_units",
        "refund_gross_minor",
        "refund_tax_minor",
    ];
}

impl Columns for RollupPromotion {
    const COLUMNS: &'static [&'static str] =
        &["store_id", "business_date", "promotion_id", "currency", "sales", "times", "given_minor"];
}
