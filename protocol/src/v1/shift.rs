//! Shifts: one operator on one till, counted at both ends; and the days that they make up.

use pos_model::{
    BusinessDate, ChainHash, Currency, Money, MovementId, OperatorId, Quantity, ShiftId, Stamp, Tag, TillId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A till was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftOpened {
    /// Made by the till.
    pub shift_id: ShiftId,
    /// Where.
    pub till_id: TillId,
    /// Who answers for the drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// When, by the store's clock.
    pub opened_at: Stamp,
    /// The business date on which it was opened.
    pub business_date: BusinessDate,
    /// The currency of the drawer.
    pub currency: Currency,
    /// The cash with which the drawer begins.
    pub float_minor: Money,
}

impl ShiftOpened {
    /// The kind's name.
    pub const KIND: &'static str = "shift_opened";
}

/// Cash came into a drawer or left it, and no sale did it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CashMoved {
    /// Made by the till.
    pub movement_id: MovementId,
    /// The shift whose drawer it is.
    pub shift_id: ShiftId,
    /// Where.
    pub till_id: TillId,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Who allowed it, where that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver_id: Option<OperatorId>,
    /// Which way.
    pub kind: CashMovement,
    /// How much; above zero.
    pub amount_minor: Money,
    /// Why.
    pub reason: Tag,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When, by the store's clock.
    pub moved_at: Stamp,
    /// The business date in which it counts.
    pub business_date: BusinessDate,
}

impl CashMoved {
    /// The kind's name.
    pub const KIND: &'static str = "cash_moved";
}

/// Which way cash went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CashMovement {
    /// Into the drawer, such as more change.
    PaidIn,
    /// Out of it, such as for milk from the shop next door.
    PaidOut,
    /// Out of it into the safe.
    Drop,
    /// What a newer agent knows.
    #[serde(other)]
    Other,
}

/// A till was closed and its drawer counted: the Z report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftClosed {
    /// The shift.
    pub shift_id: ShiftId,
    /// Who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<OperatorId>,
    /// The report.
    pub report: ZReport,
}

impl ShiftClosed {
    /// The kind's name.
    pub const KIND: &'static str = "shift_closed";
}

/// What a till did from one close to the next. Every sale and refund of the till is in exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZReport {
    /// Where.
    pub till_id: TillId,
    /// The number of the report: per till, from one, without gaps.
    pub z_no: u64,
    /// Who answered for the drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// When the shift began.
    pub opened_at: Stamp,
    /// When it ended.
    pub closed_at: Stamp,
    /// The business date on which it was opened.
    pub business_date: BusinessDate,
    /// The currency of every amount.
    pub currency: Currency,
    /// The sales.
    pub sales: CountAndAmount,
    /// The refunds and voided sales.
    pub refunds: CountAndAmount,
    /// The units sold.
    pub quantity: Quantity,
    /// What was sold less what came back, by tax group and rate. Of these and the next two lists the largest sums are
    /// shown, at most forty, and the others as one under `other`.
    pub taxes: Vec<TaxSum>,
    /// What was paid less what went back, by kind of tender; change has been taken off the cash.
    pub tenders: Vec<TenderSum>,
    /// What promotions and overrides took off, by reason; negative in the customers' favour.
    pub adjustments: Vec<AdjustmentSum>,
    /// The drawer.
    pub drawer: DrawerSum,
    /// What rounding to coins added to the cash of sales, less what it added to that of refunds: the tenders come to the
    /// sales less the refunds and this.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub cash_rounding_minor: Money,
    /// The lowest number that the till gave in the shift; zero if it gave none.
    pub receipt_no_first: u64,
    /// The highest.
    pub receipt_no_last: u64,
    /// What the till has sold less what came back, since its first sale, before this shift.
    pub grand_total_before_minor: Money,
    /// The same with this shift.
    pub grand_total_after_minor: Money,
    /// The hash of the store's history just before this report: it names all that the report adds up.
    pub history: ChainHash,
}

fn is_nothing(amount: &Money) -> bool {
    *amount == Money::ZERO
}

/// How many, and what they come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CountAndAmount {
    /// How many.
    pub count: u64,
    /// What they come to, tax included.
    pub gross_minor: Money,
    /// The tax in that.
    pub tax_minor: Money,
}

/// A tax group in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaxSum {
    /// The group.
    pub tax_group: Tag,
    /// Its rate in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// What was paid, tax included.
    pub gross_minor: Money,
    /// The tax in that.
    pub tax_minor: Money,
}

/// A kind of tender in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenderSum {
    /// The kind.
    pub kind: Tag,
    /// How many tenders of it.
    pub count: u64,
    /// What they come to.
    pub amount_minor: Money,
}

/// What changed prices, in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdjustmentSum {
    /// Why.
    pub reason: Tag,
    /// The promotion, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<String>,
    /// How many.
    pub count: u64,
    /// What they come to.
    pub amount_minor: Money,
}

/// The drawer in a report: expected = float + cash of sales + paid in - cash of refunds - paid out - drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DrawerSum {
    /// The cash with which it began.
    pub float_minor: Money,
    /// Cash of sales, less the change.
    pub sales_minor: Money,
    /// Cash of refunds.
    pub refunds_minor: Money,
    /// Cash that was put in.
    pub paid_in_minor: Money,
    /// Cash that was taken out.
    pub paid_out_minor: Money,
    /// Cash that went into the safe.
    pub drops_minor: Money,
    /// What should be there.
    pub expected_minor: Money,
    /// What was counted, by somebody who did not know what should be there.
    pub counted_minor: Money,
    /// What was counted less what should be there.
    pub difference_minor: Money,
    /// How often it was opened without a sale.
    #[serde(default)]
    pub opened_without_sale: u64,
}

/// Something was found out about a closed shift. The report stays as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftAmended {
    /// Made by the till.
    pub movement_id: MovementId,
    /// The shift.
    pub shift_id: ShiftId,
    /// Its till.
    pub till_id: TillId,
    /// The number of its report.
    pub z_no: u64,
    /// Who found it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// Who allowed it, where that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver_id: Option<OperatorId>,
    /// Why.
    pub reason: Tag,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What the count should have been, if it was the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_minor: Option<Money>,
    /// When, by the store's clock.
    pub amended_at: Stamp,
}

impl ShiftAmended {
    /// The kind's name.
    pub const KIND: &'static str = "shift_amended";
}

/// The store has closed a business date: all its tills are closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayClosed {
    /// The date.
    pub business_date: BusinessDate,
    /// Who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// When, by the store's clock.
    pub closed_at: Stamp,
    /// The currency of every amount.
    pub currency: Currency,
    /// The shifts that were opened on that date: till and number of the report.
    pub shifts: Vec<(TillId, u64)>,
    /// The sales of the date.
    pub sales: CountAndAmount,
    /// The refunds and voided sales of the date.
    pub refunds: CountAndAmount,
}

impl DayClosed {
    /// The kind's name.
    pub const KIND: &'static str = "day_closed";
}
