//! A completed sale, with all that anybody needs of it later: it is never looked up in a menu again.
//!
//! Terms: the *list* amount of a line is unit price and options times quantity; adjustments bring it to the *gross*, what
//! the customer pays, tax included; *net* is the gross without the tax in it.

use std::collections::BTreeMap;

use pos_model::{
    AttemptId, BasketId, BookHash, BusinessDate, Currency, ItemId, Money, OperatorId, Quantity, SaleId, ShiftId, Sku,
    Stamp, Tag, TillId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A customer has paid, and the store has promised the goods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaleCompleted {
    /// Made by the till; the key under which the sale is found everywhere.
    pub sale_id: SaleId,
    /// Where it was made.
    pub till_id: TillId,
    /// The shift in which it counts, where the till had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_id: Option<ShiftId>,
    /// The basket of which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket_id: Option<BasketId>,
    /// The table, or the name that is called out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    /// How the order came in: `counter`, `mini_program`, `delivery` and so on.
    pub channel: Tag,
    /// The member, by a tag that is no contact and no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_tag: Option<String>,
    /// The number on the receipt: per till, without gaps, never recycled. For people; never a key.
    pub receipt_no: u64,
    /// The number that is called out: per store and business date.
    pub pickup_no: u32,
    /// When it was sold, by the store's clock.
    pub sold_at: Stamp,
    /// The business date to which it belongs.
    pub business_date: BusinessDate,
    /// The currency of every amount in it.
    pub currency: Currency,
    /// What was sold; at least one line.
    pub lines: Vec<SaleLine>,
    /// What was handed over.
    pub tenders: Vec<Tender>,
    /// What was given back in cash.
    pub change_minor: Money,
    /// By how much the cash that was due differs from what was owed, because of the coins there are.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub cash_rounding_minor: Money,
    /// The sums over all lines.
    pub totals: SaleTotals,
    /// The version of the price book under which it was priced, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_book_version: Option<String>,
    /// Set if the store itself priced it by a book: what the price followed from, and what else followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// Set on a sale that was not made at a till but read from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedFrom>,
    /// The W3C trace context under which the till asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl SaleCompleted {
    /// The kind's name.
    pub const KIND: &'static str = "sale_completed";
}

/// One line of a sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaleLine {
    /// What was sold.
    pub sku: Sku,
    /// Its name at that time.
    pub name: String,
    /// What the customer asked for besides, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How much of it.
    pub quantity: Quantity,
    /// The price of one unit without options.
    pub unit_price_minor: Money,
    /// What the customer chose: size, sugar, ice, toppings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ChosenOption>,
    /// What changed the price, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
    /// What the customer pays for the line, tax included.
    pub gross_minor: Money,
    /// The tax group.
    pub tax_group: Tag,
    /// The rate of that group in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// Whether the tax came on top of the menu's prices, and was not in them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tax_on_top: bool,
    /// The line's share of the tax.
    pub tax_minor: Money,
    /// What the customer paid for each unit, tax included, where that is not an equal share of the gross. What comes back
    /// later is worth this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unit_gross_minor: Vec<Money>,
    /// What it took from stock, per item: exploded from the recipe at the time of sale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumption: Vec<Consumption>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_nothing(amount: &Money) -> bool {
    *amount == Money::ZERO
}

/// The circumstances under which a store priced a sale by a price book. With the book of that hash, the sale's channel and
/// its lines, anybody computes the same price again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pricing {
    /// The content of the price book.
    pub book_hash: BookHash,
    /// The business date by which it was priced.
    pub business_date: BusinessDate,
    /// The minute of the day by the clock on the wall (0 to 1439).
    pub minute: u16,
    /// The store's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Tag>,
    /// The groups that the store was in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_groups: Vec<Tag>,
    /// Whether it was taken away.
    pub takeaway: bool,
    /// Who bought, if it was a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<PricingMember>,
    /// The classes of the coupons that the customer brought, an entry for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<Tag>,
    /// The rights of campaigns that the store could still use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<Tag, u32>,
    /// The coupons that the sale spent, an entry for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupons_spent: Vec<Tag>,
    /// The rights that it took from campaigns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rights: BTreeMap<Tag, u32>,
    /// The points that the member earned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub points: i64,
}

fn is_zero(points: &i64) -> bool {
    *points == 0
}

/// A member, as far as the store knew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PricingMember {
    /// The level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Tag>,
    /// Whatever else a promotion asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The number of this order, counted from one, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_no: Option<u32>,
    /// How often the member had used a promotion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<Tag, u32>,
}

/// An option that the customer chose for a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenOption {
    /// Its code on the menu.
    pub code: Sku,
    /// Its name at that time.
    pub name: String,
    /// What it adds to the price of one unit.
    pub price_minor: Money,
}

/// A change of a line's price. All of them added to the list amount give the gross.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Why: `promotion`, `override`, `imported_price` and so on.
    pub reason: Tag,
    /// The promotion, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<String>,
    /// By how much; negative in the customer's favour.
    pub amount_minor: Money,
}

/// What a line took from stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumption {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, in the item's base unit.
    pub quantity: Quantity,
}

/// A means of payment that was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tender {
    /// `cash`, `card`, `wallet`, `voucher` and so on.
    pub kind: Tag,
    /// The amount handed over, change included.
    pub amount_minor: Money,
    /// The attempt at a payment terminal that was approved for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<AttemptId>,
    /// What the terminal calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The sums of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleTotals {
    /// What the customer pays, tax included.
    pub gross_minor: Money,
    /// The tax in it.
    pub tax_minor: Money,
    /// The gross without the tax.
    pub net_minor: Money,
    /// The sum of all lines' quantities.
    pub quantity: Quantity,
}

/// Where an imported sale was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedFrom {
    /// A name for the file or system.
    pub source: String,
    /// The order's key there.
    pub reference: String,
}
