//! A priced basket, with the reason of every amount.

use pos_model::{ItemId, Money, Nth, Quantity, Sku, Tag};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::UNITS_MAX;

/// A basket with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedBasket {
    /// One for each line, in the same order.
    pub lines: Vec<PricedLine>,
    /// The prices of the menu, added up.
    #[serde(rename = "list_minor")]
    pub list: Money,
    /// What the customer pays, tax included.
    #[serde(rename = "gross_minor")]
    pub gross: Money,
    /// The tax in it.
    #[serde(rename = "tax_minor")]
    pub tax: Money,
    /// The tax of each group, by the group's name.
    pub taxes: Vec<TaxOfGroup>,
    /// What is added if all of it is paid in cash; negative in the customer's favour. No part of the gross.
    #[serde(rename = "cash_rounding_minor")]
    pub cash_rounding: Money,
    /// The points that a member earns.
    pub points: i64,
    /// The promotions that had an effect, in the order in which they were applied.
    pub applied: Vec<Applied>,
    /// The others, with what was missing.
    pub not_applied: Vec<NotApplied>,
    /// The rights that the sale takes from quotas.
    pub rights: Vec<Right>,
    /// The coupons that it spends: their classes, an entry for each.
    pub coupons_spent: Vec<Tag>,
    /// The coupons that it brings.
    pub coupons_issued: Vec<IssuedCoupon>,
    /// What could be had for less beside what is in the basket.
    pub offers: Vec<Offer>,
    /// What could not be priced as the book says.
    #[serde(serialize_with = "in_words")]
    pub problems: Vec<Problem>,
}

/// A line with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedLine {
    /// The article.
    pub sku: Sku,
    /// Its name and that of its size.
    pub name: String,
    /// Where it is made; none if it is taken from a shelf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<Tag>,
    /// How many.
    #[serde(serialize_with = "in_units")]
    pub quantity: Quantity,
    /// The price of one unit without options.
    #[serde(rename = "unit_price_minor")]
    pub unit_price: Money,
    /// What each option adds to one unit.
    pub options: Vec<PricedOption>,
    /// (Unit price and options) × quantity.
    #[serde(rename = "list_minor")]
    pub list: Money,
    /// What changed it: places in [`PricedBasket::applied`], and by how much; negative in the customer's favour.
    #[serde(serialize_with = "by_promotion")]
    pub adjustments: Vec<(usize, Money)>,
    /// What the customer pays for it, tax included.
    #[serde(rename = "gross_minor")]
    pub gross: Money,
    /// Its share of the tax.
    #[serde(rename = "tax_minor")]
    pub tax: Money,
    /// The tax group.
    pub tax_group: Tag,
    /// Its rate in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// Whether the tax comes on top of the menu's prices.
    pub tax_on_top: bool,
    /// Its units.
    pub units: Vec<PricedUnit>,
    /// What it takes from stock.
    #[serde(serialize_with = "per_item")]
    pub consumption: Vec<(ItemId, Quantity)>,
}

/// An option with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedOption {
    /// Its code.
    pub code: Sku,
    /// Its name.
    pub name: String,
    /// What it adds to one unit.
    #[serde(rename = "price_minor")]
    pub price: Money,
}

/// A unit with its price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PricedUnit {
    /// Its price on the menu, with options.
    #[serde(rename = "list_minor")]
    pub list: Money,
    /// What changed it: places in [`PricedBasket::applied`], and by how much; negative in the customer's favour.
    #[serde(serialize_with = "by_promotion")]
    pub adjustments: Vec<(usize, Money)>,
    /// What is left of it; without a tax that comes on top.
    #[serde(rename = "paid_minor")]
    pub paid: Money,
    /// What the customer pays for it, tax included.
    #[serde(rename = "gross_minor")]
    pub gross: Money,
}

/// The tax of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxOfGroup {
    /// The group.
    #[serde(rename = "tax_group")]
    pub group: Tag,
    /// Its rate in parts per million of the net amount.
    #[serde(rename = "tax_rate_ppm")]
    pub rate_ppm: u32,
    /// What the customer pays for the group, tax included.
    #[serde(rename = "gross_minor")]
    pub gross: Money,
    /// The tax in it.
    #[serde(rename = "tax_minor")]
    pub tax: Money,
}

/// A promotion that had an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The promotion.
    #[serde(rename = "promotion_id")]
    pub promotion: Tag,
    /// Its name on the receipt.
    pub name: String,
    /// How often.
    pub times: u32,
    /// By how much it changed the price; negative in the customer's favour.
    #[serde(rename = "amount_minor")]
    pub amount: Money,
}

/// A promotion that had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotApplied {
    /// The promotion.
    #[serde(rename = "promotion_id")]
    pub promotion: Tag,
    /// Why not.
    #[serde(flatten)]
    pub why: WhyNot,
}

/// Why a promotion had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum WhyNot {
    /// Not here, not by this channel, or not at this time.
    OutOfScope,
    /// A condition does not hold.
    Condition,
    /// Only members have it.
    MembersOnly,
    /// So much more must be spent.
    AmountMissing {
        /// In minor units.
        missing_minor: Money,
    },
    /// So many more units are needed.
    UnitsMissing {
        /// How many.
        missing_units: u32,
    },
    /// The customer has brought no such coupon.
    CouponMissing,
    /// The campaign has no right left for this store.
    QuotaSpent,
    /// The member has used it as often as may be.
    MemberCap,
    /// Another promotion of its group is better.
    GroupLost {
        /// That one.
        to: Tag,
    },
    /// Another promotion holds alone.
    Excluded {
        /// That one.
        by: Tag,
    },
    /// There is nothing that it could take anything off.
    NoEffect,
}

/// Rights that a sale takes from a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Right {
    /// The quota.
    pub quota: Tag,
    /// How many.
    pub uses: u32,
}

/// Coupons that a sale brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuedCoupon {
    /// The promotion that brings them.
    #[serde(rename = "promotion_id")]
    pub promotion: Tag,
    /// Their class.
    pub class: Tag,
    /// How many.
    pub count: u32,
}

/// Units that could be had for less if they were in the basket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The promotion.
    #[serde(rename = "promotion_id")]
    pub promotion: Tag,
    /// How many units.
    pub units: u32,
}

/// Something could not be priced as the book says. Lines are counted from zero, and from one in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum Problem {
    /// The line costs nothing and must not be sold.
    #[error("the {} line: there is no such article", Nth(.line + 1))]
    UnknownSku { line: usize },
    /// The line is priced without it and must not be sold.
    #[error("the {} line: the article has no option {option}, or has it twice", Nth(.line + 1))]
    UnknownOption { line: usize, option: Sku },
    /// Too few or too many options of a group are chosen.
    #[error("the {} line: too few or too many options of group {group}", Nth(.line + 1))]
    OptionCount { line: usize, group: Tag },
    /// Two options that exclude each other are chosen.
    #[error("the {} line: the options {option} and {other} exclude each other", Nth(.line + 1))]
    OptionsExclude { line: usize, option: Sku, other: Sku },
    /// The line costs nothing and must not be sold.
    #[error("the {} line: the quantity is not above zero", Nth(.line + 1))]
    Quantity { line: usize },
    /// The basket is priced without promotions.
    #[error("there are more than {UNITS_MAX} units, so that promotions are left out")]
    TooManyUnits,
    /// A promotion names an amount that no book may have; the basket is priced without it.
    #[error("promotion {promotion} names an amount that is out of bounds, and is left out")]
    BrokenPromotion { promotion: Tag },
    /// The basket is priced without promotions, and what does not fit counts as nothing.
    #[error("an amount is too large")]
    Overflow,
}

impl Problem {
    /// Whether the basket must not be sold like this.
    pub fn forbids_sale(&self) -> bool {
        !matches!(self, Self::TooManyUnits | Self::BrokenPromotion { .. })
    }
}

/// Whole units as a number, others as a decimal in quotes.
fn in_units<S: Serializer>(quantity: &Quantity, serializer: S) -> Result<S::Ok, S::Error> {
    match quantity.whole_units() {
        Some(units) => serializer.serialize_i64(units),
        None => serializer.collect_str(quantity),
    }
}

fn per_item<S: Serializer>(consumption: &[(ItemId, Quantity)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Used<'a> {
        item_id: &'a ItemId,
        #[serde(serialize_with = "in_units")]
        quantity: Quantity,
    }
    each(consumption, serializer, |(item_id, quantity)| Used { item_id, quantity: *quantity })
}

/// `applied` is the place of the promotion among those that were applied, from zero.
fn by_promotion<S: Serializer>(adjustments: &[(usize, Money)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Adjustment {
        applied: usize,
        amount_minor: Money,
    }
    each(adjustments, serializer, |(applied, amount)| Adjustment { applied: *applied, amount_minor: *amount })
}

fn in_words<S: Serializer>(problems: &[Problem], serializer: S) -> Result<S::Ok, S::Error> {
    each(problems, serializer, ToString::to_string)
}

fn each<'a, T, V: Serialize, S: Serializer>(
    items: &'a [T],
    serializer: S,
    of: impl Fn(&'a T) -> V,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(items.len()))?;
    items.iter().try_for_each(|item| list.serialize_element(&of(item)))?;
    list.end()
}
