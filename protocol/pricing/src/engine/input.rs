//! What is priced, and under which circumstances.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, DayCutOff, Quantity, Sku, Stamp, Tag};

/// What a customer wants to buy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Basket {
    /// Its lines, in the order in which they were added: of equal shares the earlier line takes the larger.
    pub lines: Vec<BasketLine>,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasketLine {
    /// The article.
    pub sku: Sku,
    /// The options chosen, each once. Of a group that wants a choice and of which none is chosen, its presets are taken.
    pub options: Vec<Sku>,
    /// How many; a part of a unit, as of weighed goods, counts as one unit for promotions.
    pub quantity: Quantity,
}

/// The circumstances of a sale: everything that a price may depend on beside the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The business date.
    pub business_date: BusinessDate,
    /// The minute of the day by the clock on the wall (0 to 1439).
    pub minute: u16,
    /// How the order comes in.
    pub channel: Tag,
    /// The store's region.
    pub region: Option<Tag>,
    /// The groups that the store is in.
    pub store_groups: Vec<Tag>,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// Who buys, if it is a member.
    pub member: Option<Member>,
    /// The classes of the coupons that the customer has brought; one entry for each coupon.
    pub coupons: Vec<Tag>,
    /// How many rights of a campaign the store may still use.
    pub quotas: BTreeMap<Tag, u32>,
}

/// A member, as far as is known where the sale is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// The level.
    pub level: Option<Tag>,
    /// Whatever else a promotion asks for.
    pub tags: Vec<Tag>,
    /// The number of this order, counted from one, where it is known.
    pub order_no: Option<u32>,
    /// How often the member has used a promotion.
    pub used: BTreeMap<Tag, u32>,
}

impl Context {
    /// The circumstances of a guest's order at the counter, at a moment.
    pub fn at(stamp: Stamp, cut_off: DayCutOff, channel: Tag) -> Self {
        let minute = stamp.local_ms().div_euclid(60_000).rem_euclid(1440);
        Self {
            business_date: BusinessDate::of(stamp, cut_off),
            minute: u16::try_from(minute).expect("a rest of 1440 is small"),
            channel,
            region: None,
            store_groups: Vec::new(),
            takeaway: true,
            member: None,
            coupons: Vec::new(),
            quotas: BTreeMap::new(),
        }
    }
}
