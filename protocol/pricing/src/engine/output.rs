//! A priced basket, with the reason of every amount.

use pos_model::{ItemId, Money, Quantity, Sku, Tag};

/// A basket with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedBasket {
    /// One for each line, in the same order.
    pub lines: Vec<PricedLine>,
    /// The prices of the menu, added up.
    pub list: Money,
    /// What the customer pays, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
    /// The tax of each group, by the group's name.
    pub taxes: Vec<TaxOfGroup>,
    /// What is added if all of it is paid in cash; negative in the customer's favour. No part of the gross.
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
    pub problems: Vec<Problem>,
}

/// A line with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedLine {
    /// The article.
    pub sku: Sku,
    /// Its name and that of its size.
    pub name: String,
    /// How many.
    pub quantity: Quantity,
    /// The price of one unit without options.
    pub unit_price: Money,
    /// What each option adds to one unit.
    pub options: Vec<PricedOption>,
    /// (Unit price and options) × quantity.
    pub list: Money,
    /// What changed it: places in [`PricedBasket::applied`], and by how much; negative in the customer's favour.
    pub adjustments: Vec<(usize, Money)>,
    /// What the customer pays for it, tax included.
    pub gross: Money,
    /// Its share of the tax.
    pub tax: Money,
    /// The tax group.
    pub tax_group: Tag,
    /// Its rate in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// Its units.
    pub units: Vec<PricedUnit>,
    /// What it takes from stock.
    pub consumption: Vec<(ItemId, Quantity)>,
}

/// An option with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedOption {
    /// Its code.
    pub code: Sku,
    /// Its name.
    pub name: String,
    /// What it adds to one unit.
    pub price: Money,
}

/// A unit with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedUnit {
    /// Its price on the menu, with options.
    pub list: Money,
    /// What changed it: places in [`PricedBasket::applied`], and by how much; negative in the customer's favour.
    pub adjustments: Vec<(usize, Money)>,
    /// What is left of it; without a tax that comes on top.
    pub paid: Money,
}

/// The tax of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxOfGroup {
    /// The group.
    pub group: Tag,
    /// Its rate in parts per million of the net amount.
    pub rate_ppm: u32,
    /// What the customer pays for the group, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
}

/// A promotion that had an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The promotion.
    pub promotion: Tag,
    /// Its name on the receipt.
    pub name: String,
    /// How often.
    pub times: u32,
    /// By how much it changed the price; negative in the customer's favour.
    pub amount: Money,
}

/// A promotion that had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied {
    /// The promotion.
    pub promotion: Tag,
    /// Why not.
    pub why: WhyNot,
}

/// Why a promotion had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// Not here, not by this channel, or not at this time.
    OutOfScope,
    /// A condition does not hold.
    Condition,
    /// Only members have it.
    MembersOnly,
    /// So much more must be spent.
    AmountMissing(Money),
    /// So many more units are needed.
    UnitsMissing(u32),
    /// The customer has brought no such coupon.
    CouponMissing,
    /// The campaign has no right left for this store.
    QuotaSpent,
    /// The member has used it as often as may be.
    MemberCap,
    /// Another promotion of its group is better.
    GroupLost(Tag),
    /// Another promotion holds alone.
    Excluded(Tag),
    /// There is nothing that it could take anything off.
    NoEffect,
}

/// Rights that a sale takes from a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The quota.
    pub quota: Tag,
    /// How many.
    pub uses: u32,
}

/// Coupons that a sale brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCoupon {
    /// The promotion that brings them.
    pub promotion: Tag,
    /// Their class.
    pub class: Tag,
    /// How many.
    pub count: u32,
}

/// Units that could be had for less if they were in the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The promotion.
    pub promotion: Tag,
    /// How many units.
    pub units: u32,
}

/// Something could not be priced as the book says. Lines are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The book has no such article; the line costs nothing and must not be sold.
    UnknownSku {
        /// The line.
        line: usize,
    },
    /// The book has no such option, or the article has it not; the line is priced without it and must not be sold.
    UnknownOption {
        /// The line.
        line: usize,
        /// The option.
        option: Sku,
    },
    /// Too few or too many options of a group are chosen.
    OptionCount {
        /// The line.
        line: usize,
        /// The group.
        group: Tag,
    },
    /// Two options that exclude each other are chosen.
    OptionsExclude {
        /// The line.
        line: usize,
        /// One of them.
        option: Sku,
        /// The other one.
        other: Sku,
    },
    /// A quantity that is not above zero; the line costs nothing and must not be sold.
    Quantity {
        /// The line.
        line: usize,
    },
    /// More units than promotions are computed for; the basket is priced without them.
    TooManyUnits,
    /// A promotion names an amount that no book may have; the basket is priced without it.
    BrokenPromotion {
        /// The promotion.
        promotion: Tag,
    },
    /// An amount does not fit; the basket is priced without promotions, and what does not fit counts as nothing.
    Overflow,
}

impl Problem {
    /// Whether the basket must not be sold like this.
    pub fn forbids_sale(&self) -> bool {
        !matches!(self, Self::TooManyUnits | Self::BrokenPromotion { .. })
    }
}
