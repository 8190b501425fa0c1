//! What a till says of its shift and drawer, and what it hears.

use pos_model::{ApprovalId, BusinessDate, CommandId, Currency, Money, OperatorId, ShiftId, Tag, TillId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shift::{CountAndAmount, ZReport};

/// `POST /v1/shifts`: open the till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000001", "till_id": "T1", "shift_id": "01990000-0000-7000-8000-000000000002", "float_minor": 20000}))]
pub struct OpenShift {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who answers for the drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// A UUID, version 7, that the till made for the shift.
    pub shift_id: ShiftId,
    /// The cash in the drawer.
    #[schema(value_type = i64, minimum = 0, example = 20000)]
    pub float_minor: Money,
}

/// Which way cash goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CashKind {
    /// Into the drawer.
    PaidIn,
    /// Out of it.
    PaidOut,
    /// Out of it into the safe.
    Drop,
    /// Nothing moves; the drawer is opened.
    NoSale,
}

/// `POST /v1/shifts/{shift_id}/cash`: cash comes into the drawer or leaves it, or the drawer is opened without a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000003", "till_id": "T1", "kind": "paid_out", "amount_minor": 1500, "reason": "milk"}))]
pub struct MoveCash {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed: the `kind` as the action, on `SHIFT_ID/AMOUNT_MINOR`, so on
    /// `01990000-0000-7000-8000-000000000002/1500`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Which way.
    pub kind: CashKind,
    /// How much: above zero, or zero if the drawer is only opened.
    #[serde(default)]
    #[schema(value_type = i64, minimum = 0)]
    pub amount_minor: Money,
    /// Why.
    pub reason: Tag,
    /// Why, in words; at most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// `POST /v1/shifts/{shift_id}/close`: count the drawer and close the till.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000004", "till_id": "T1", "counted_minor": 152300}))]
pub struct CloseShift {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till that says so. The shift of another till is closed by a shift lead, and marked.
    pub till_id: TillId,
    /// Who counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// The cash in the drawer, counted blind.
    #[schema(value_type = i64, minimum = 0)]
    pub counted_minor: Money,
}

/// `POST /v1/shifts/{shift_id}/amend`: something was found out about a closed shift. Its report stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000005", "till_id": "T1", "reason": "recount", "note": "a roll of coins lay under the tray", "counted_minor": 157300}))]
pub struct AmendShift {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till that says so.
    pub till_id: TillId,
    /// Who found it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Why.
    pub reason: Tag,
    /// Why, in words; at most 128 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What the count should have been, if it was the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub counted_minor: Option<Money>,
}

/// `POST /v1/days/close`: the store closes a business date. All shifts that were opened on it or before must be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_id": "01990000-0000-7000-8000-000000000006", "till_id": "T1", "business_date": "2026-03-02"}))]
pub struct CloseDay {
    /// A UUID, version 7, that the till made and kept before it sent this.
    pub command_id: CommandId,
    /// The till.
    pub till_id: TillId,
    /// Who closes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// What somebody else has allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// The business date.
    pub business_date: BusinessDate,
}

/// A shift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShiftView {
    /// The shift.
    pub shift_id: ShiftId,
    /// The till.
    pub till_id: TillId,
    /// Who answers for the drawer.
    pub operator_id: Option<OperatorId>,
    /// When it was opened, in milliseconds since 1970 (UTC).
    pub opened_at_ms: i64,
    /// The business date on which it was opened.
    pub business_date: BusinessDate,
    /// The currency of the drawer.
    pub currency: Currency,
    /// The cash with which the drawer began.
    pub float_minor: Money,
    /// The Z report, once it is closed.
    pub report: Option<ZReport>,
    /// How often something was found out about it after it was closed.
    pub amendments: u32,
}

/// `GET /v1/shifts/{shift_id}/x-report`: what the shift has come to so far. Nothing is closed by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct XReport {
    /// The shift.
    pub shift_id: ShiftId,
    /// The same as a Z report would say. Of an open shift its number is zero, `read_at_ms` stands for `closed_at`, and the
    /// drawer has neither `counted_minor` nor `difference_minor`: nobody has counted. In a store with operators
    /// `tenders`, `drawer` and `cash_rounding_minor` of an open shift are there only for somebody who may `read_drawer`:
    /// who counts a drawer does not know what should be in it.
    #[schema(value_type = Object)]
    pub report: serde_json::Value,
}

/// The answer to [`CloseDay`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayView {
    /// The business date.
    pub business_date: BusinessDate,
    /// When it was closed, in milliseconds since 1970 (UTC).
    pub closed_at_ms: i64,
    /// The reports of the date: till and number.
    pub shifts: Vec<(TillId, u64)>,
    /// The sales.
    pub sales: CountAndAmount,
    /// The refunds and voided sales.
    pub refunds: CountAndAmount,
    /// Baskets that are open: they stay open.
    pub open_baskets: u32,
    /// Sales and refunds that came into the date after it was closed, and amendments of its shifts. The sums above have them;
    /// the first sale of each till raises the notice `day_amended`.
    pub amendments: u32,
}
