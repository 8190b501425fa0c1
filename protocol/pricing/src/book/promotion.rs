//! Promotions as data: when they hold, what they take off, and how they go together.

use pos_model::{Money, Sku, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MenuItem, Scope, Variant};

/// A promotion.
///
/// Stages follow each other, and each works on what the ones before it have left. Within a stage a unit is used once.
/// Of a group the one that is best for the customer holds, of equal ones that with the lower id. An exclusive promotion
/// that has an effect holds alone in its stage: of several the one of the highest priority, of those the best. All
/// others follow by priority, then by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// Names it on each sale, for ever.
    pub id: Tag,
    /// For the receipt.
    pub name: String,
    /// When in the order of things it is applied.
    pub stage: Stage,
    /// Where and when it holds.
    #[serde(default, skip_serializing_if = "Scope::is_everywhere")]
    pub scope: Scope,
    /// What the order, the member and the moment must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// The coupon that the customer must bring. It is spent only if the promotion has an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<Tag>,
    /// What it does.
    pub benefit: Benefit,
    /// Of the promotions of one group and stage only the best holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Tag>,
    /// Whether it holds alone in its stage.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// How often and how much.
    #[serde(default, skip_serializing_if = "Caps::is_none")]
    pub caps: Caps,
    /// No unit becomes cheaper than this through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_minor: Option<Money>,
    /// The campaign from whose quota each use takes one right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Tag>,
}

impl Promotion {
    /// Every amount that it names, with its path.
    pub(crate) fn amounts(&self) -> Vec<(String, Money)> {
        let mut amounts = Vec::new();
        if let Some(amount) = self.caps.amount_minor {
            amounts.push(("caps.amount_minor".to_owned(), amount));
        }
        if let Some(floor) = self.floor_minor {
            amounts.push(("floor_minor".to_owned(), floor));
        }
        if let Some(condition) = &self.when {
            condition.add_amounts("when", &mut amounts);
        }
        self.benefit.add_amounts(&mut amounts);
        amounts
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The fixed order in which promotions are applied. The rounding of cash comes after all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Prices of single units.
    Item,
    /// Units that go together.
    Bundle,
    /// The order as a whole.
    Threshold,
    /// What the customer brings.
    Coupon,
    /// What the customer earns.
    Points,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Item, Self::Bundle, Self::Threshold, Self::Coupon, Self::Points];
}

/// How often and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Uses within one order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_order: Option<u32>,
    /// Uses by one member, over all orders that are known. Without a member it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_member: Option<u32>,
    /// What it takes off in one order at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<Money>,
}

impl Caps {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Which units. A unit is meant if it fits every field that is given; an empty selection means all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// One of these articles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<Sku>,
    /// One of these menu items, in any size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Tag>,
    /// In one of these categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Tag>,
    /// With one of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// With one of these options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Sku>,
    /// And not one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<Box<Select>>,
}

impl Select {
    /// Whether an article fits, whatever its options are and whatever is excepted.
    pub(crate) fn fits_article(&self, id: &Tag, item: &MenuItem, variant: &Variant) -> bool {
        let Self { skus, items, categories, tags, options: _, except: _ } = self;
        let any = |wanted: &[Tag], had: &[Tag]| wanted.is_empty() || wanted.iter().any(|one| had.contains(one));
        (skus.is_empty() || skus.contains(&variant.sku))
            && (items.is_empty() || items.contains(id))
            && any(categories, &item.categories)
            && any(tags, &item.tags)
    }
}

/// What must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub enum Condition {
    /// All of these.
    All {
        /// The conditions.
        of: Vec<Condition>,
    },
    /// At least one of these.
    Any {
        /// The conditions.
        of: Vec<Condition>,
    },
    /// Not this.
    Not {
        /// The condition.
        of: Box<Condition>,
    },
    /// So many units are in the basket.
    Units {
        /// Which.
        #[serde(default)]
        select: Select,
        /// How many.
        at_least: u32,
    },
    /// Units cost so much together.
    Amount {
        /// Which.
        #[serde(default)]
        select: Select,
        /// In minor units; reached is enough.
        at_least_minor: Money,
        /// Counted before or after the stages before.
        #[serde(default)]
        basis: Basis,
    },
    /// The customer is a member, of one of these levels if any are named.
    Member {
        /// Levels.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        levels: Vec<Tag>,
        /// With one of these tags, if any are named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<Tag>,
    },
    /// It is the member's n-th order, counted from one.
    NthOrder {
        /// Which.
        n: u32,
    },
    /// It comes in by one of these ways.
    Channel {
        /// The channels.
        any_of: Vec<Tag>,
    },
    /// The store is in one of these groups.
    StoreGroup {
        /// The groups.
        any_of: Vec<Tag>,
    },
    /// It is such a place and time.
    Within {
        /// Where and when.
        scope: Scope,
    },
    /// The order is taken away, or eaten here.
    Takeaway {
        /// Which of them.
        taken: bool,
    },
    /// The customer has brought a coupon of this class.
    Coupon {
        /// The class.
        class: Tag,
    },
}

impl Condition {
    fn add_amounts(&self, path: &str, amounts: &mut Vec<(String, Money)>) {
        match self {
            Self::All { of } | Self::Any { of } => {
                for (place, condition) in of.iter().enumerate() {
                    condition.add_amounts(&format!("{path}.of[{place}]"), amounts);
                }
            }
            Self::Not { of } => of.add_amounts(&format!("{path}.of"), amounts),
            Self::Amount { at_least_minor, .. } => amounts.push((format!("{path}.at_least_minor"), *at_least_minor)),
            Self::Units { .. }
            | Self::Member { .. }
            | Self::NthOrder { .. }
            | Self::Channel { .. }
            | Self::StoreGroup { .. }
            | Self::Within { .. }
            | Self::Takeaway { .. }
            | Self::Coupon { .. } => {}
        }
    }
}

/// What an amount is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What the stages before have left.
    #[default]
    Running,
    /// The prices of the menu.
    List,
}

/// What a promotion does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Benefit {
    /// A part of the price off.
    Percent {
        /// Which units.
        #[serde(default)]
        select: Select,
        /// Parts per million.
        off_ppm: u32,
        /// Of what.
        #[serde(default)]
        base: Base,
    },
    /// So much off each unit.
    AmountOffEach {
        /// Which units.
        #[serde(default)]
        select: Select,
        /// In minor units.
        off_minor: Money,
    },
    /// So much off all of them together.
    AmountOff {
        /// Which units.
        #[serde(default)]
        select: Select,
        /// In minor units.
        off_minor: Money,
    },
    /// Each unit at this price, if it is dearer.
    FixedPrice {
        /// Which units.
        #[serde(default)]
        select: Select,
        /// In minor units.
        price_minor: Money,
    },
    /// Spend so much, save so much.
    Threshold {
        /// Which units count, and become cheaper.
        #[serde(default)]
        select: Select,
        /// For each of these.
        spend_minor: Money,
        /// So much off.
        off_minor: Money,
        /// Whether twice the amount saves twice.
        #[serde(default)]
        repeat: bool,
    },
    /// The more, the cheaper: the highest step that is reached holds.
    Tiers {
        /// Which units count, and become cheaper.
        #[serde(default)]
        select: Select,
        /// What is counted.
        by: StepBy,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Buy some, get others for less.
    BuyGet {
        /// What is bought at its price.
        #[serde(default)]
        buy: Select,
        /// How many of it.
        buy_units: u32,
        /// What is got for less.
        #[serde(default)]
        get: Select,
        /// How many of it.
        get_units: u32,
        /// How much less, in parts per million; a million is free.
        off_ppm: u32,
        /// Which of those that could be got.
        #[serde(default)]
        pick: Pick,
        /// Of what.
        #[serde(default)]
        base: Base,
        /// Whether what is got is in the basket already, or comes on top.
        #[serde(default)]
        family: Family,
    },
    /// Every n-th unit for less, such as the second cup at half the price.
    NthUnit {
        /// Which units.
        #[serde(default)]
        select: Select,
        /// Of so many units one.
        every: u32,
        /// How much less, in parts per million.
        off_ppm: u32,
        /// Which of them.
        #[serde(default)]
        pick: Pick,
        /// Of what.
        #[serde(default)]
        base: Base,
    },
    /// Certain units together at one price.
    Bundle {
        /// What goes together.
        parts: Vec<Part>,
        /// In minor units.
        price_minor: Money,
    },
    /// Units for nothing.
    FreeItem {
        /// Which.
        #[serde(default)]
        select: Select,
        /// How many.
        units: u32,
        /// Which of those that could be free.
        #[serde(default)]
        pick: Pick,
    },
    /// Points count so many times, in parts per million. The largest of several holds.
    PointsMultiplier {
        /// A million is once.
        ppm: u32,
    },
    /// The customer gets coupons for another time.
    IssueCoupon {
        /// Of which class.
        class: Tag,
        /// How many.
        count: u32,
    },
}

impl Benefit {
    /// Its selections, each with its field, in the order of the fields.
    pub(crate) fn selects(&self) -> Vec<(String, &Select)> {
        let one = |field: &str, select| (field.to_owned(), select);
        match self {
            Self::Percent { select, .. }
            | Self::AmountOffEach { select, .. }
            | Self::AmountOff { select, .. }
            | Self::FixedPrice { select, .. }
            | Self::Threshold { select, .. }
            | Self::Tiers { select, .. }
            | Self::NthUnit { select, .. }
            | Self::FreeItem { select, .. } => vec![one("select", select)],
            Self::BuyGet { buy, get, .. } => vec![one("buy", buy), one("get", get)],
            Self::Bundle { parts, .. } => {
                parts.iter().enumerate().map(|(place, part)| (format!("parts[{place}].select"), &part.select)).collect()
            }
            Self::PointsMultiplier { .. } | Self::IssueCoupon { .. } => Vec::new(),
        }
    }

    fn add_amounts(&self, amounts: &mut Vec<(String, Money)>) {
        let mut add = |field: &str, amount| amounts.push((format!("benefit.{field}"), amount));
        match self {
            Self::AmountOffEach { off_minor, .. } | Self::AmountOff { off_minor, .. } => add("off_minor", *off_minor),
            Self::FixedPrice { price_minor, .. } | Self::Bundle { price_minor, .. } => add("price_minor", *price_minor),
            Self::Threshold { spend_minor, off_minor, .. } => {
                add("spend_minor", *spend_minor);
                add("off_minor", *off_minor);
            }
            Self::Tiers { by, steps, .. } => {
                for (place, step) in steps.iter().enumerate() {
                    if *by == StepBy::Amount {
                        add(&format!("steps[{place}].from"), Money::from_minor(step.from));
                    }
                    if let StepOff::Minor(off) = step.off {
                        add(&format!("steps[{place}].off.minor"), off);
                    }
                }
            }
            Self::Percent { .. }
            | Self::BuyGet { .. }
            | Self::NthUnit { .. }
            | Self::FreeItem { .. }
            | Self::PointsMultiplier { .. }
            | Self::IssueCoupon { .. } => {}
        }
    }
}

/// Of what a part of the price is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The unit with its options.
    #[default]
    WithOptions,
    /// The unit alone: toppings are paid in full.
    WithoutOptions,
}

/// Which of several units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The cheapest.
    #[default]
    Cheapest,
    /// The dearest.
    Dearest,
}

/// Where the units come from that are got for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// From the basket as it is.
    #[default]
    InCart,
    /// On top: while they are not in the basket, they are offered.
    ExtraUnit,
}

/// What tiers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepBy {
    /// Units.
    Units,
    /// Minor units of money.
    Amount,
}

/// A step of tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From so many, or so much, on.
    pub from: i64,
    /// What it takes off.
    pub off: StepOff,
}

/// What a step takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepOff {
    /// A part of the price, in parts per million.
    Ppm(u32),
    /// So much off all units together.
    Minor(Money),
}

/// Units that belong to a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which.
    #[serde(default)]
    pub select: Select,
    /// How many.
    pub units: u32,
}
