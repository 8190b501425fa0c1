//! The price book: one versioned document with everything that a price follows from.
//!
//! People and tools read and write it as JSON. Fields that this program does not know are refused with their path, for
//! a rule that is not understood must not be skipped. [`PriceBook::hash`] names the content: two books with one hash
//! price alike. `engine_level` says what a till has to understand; see [`ENGINE_LEVEL`].
//!
//! Amounts are whole minor units of the book's currency, rates parts per million, quantities millionths of an
//! ingredient's unit, times local wall-clock minutes.

mod check;
mod menu;
mod promotion;
mod read;

use std::borrow::Cow;
use std::collections::BTreeMap;

use pos_model::{BusinessDate, Currency, ItemId, Money, Sku, Tag};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use check::{Finding, Severity};
pub use menu::{Ingredient, MenuItem, MenuOption, OptionGroup, Recipe, RecipeStep, Used, Variant};
pub use promotion::{
    Base, Basis, Benefit, Caps, Condition, Family, Part, Pick, Promotion, Select, Stage, Step, StepBy, StepOff,
};
pub use read::BookError;

/// The form of the document that this program reads.
pub const SCHEMA: u32 = 1;

/// What this program understands. A book that asks for more is refused, and the till keeps the last good one.
pub const ENGINE_LEVEL: u32 = 1;

/// The largest price or amount in a book, in minor units: sums and products of the amounts of a basket stay within
/// their types.
pub(crate) const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

/// The largest unit to which an amount is rounded that is paid in cash, in minor units: 100.00 of a currency with two
/// decimals, and above the smallest coin of any currency.
pub(crate) const CASH_UNIT_MINOR_MAX: i64 = 10_000;

/// Articles of a book: a hundred times as many as a chain of tea shops sells.
pub(crate) const ARTICLES_MAX: usize = 5_000;

/// Characters of a name on a receipt, as a sale bounds them.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// Promotions of a book. Each is looked at for every basket.
pub(crate) const PROMOTIONS_MAX: usize = 1_000;

/// Whether a book may name such an amount.
pub(crate) fn amount_is_sane(amount: Money) -> bool {
    (0..=AMOUNT_MINOR_MAX).contains(&amount.minor())
}

/// A price book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceBook {
    /// The form of this document; see [`SCHEMA`].
    pub schema: u32,
    /// What a till must understand to price by it; see [`ENGINE_LEVEL`].
    pub engine_level: u32,
    /// Names this version, for people and on each sale.
    pub version: Tag,
    /// The currency of every amount in it.
    pub currency: Currency,
    /// How goods are taxed, by the name of the group.
    pub tax_groups: BTreeMap<Tag, TaxGroup>,
    /// How an amount that is paid in cash is rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash_rounding: Option<CashRounding>,
    /// How members earn points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<PointsRule>,
    /// Where drinks and dishes are made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stations: BTreeMap<Tag, Station>,
    /// What recipes take from stock.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ingredients: BTreeMap<ItemId, Ingredient>,
    /// What a customer may choose, by the name of the group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub option_groups: BTreeMap<Tag, OptionGroup>,
    /// What is sold.
    pub items: BTreeMap<Tag, MenuItem>,
    /// Prices that differ from the menu's by channel, region, store or time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_lists: Vec<PriceList>,
    /// What makes it cheaper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotions: Vec<Promotion>,
    /// What a customer may bring, by the name of the class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub coupon_classes: BTreeMap<Tag, CouponClass>,
}

/// How goods of a group are taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxGroup {
    /// The rate in parts per million of the net amount.
    pub rate_ppm: u32,
    /// The rate of what is taken away, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeaway_rate_ppm: Option<u32>,
    /// Whether the menu's prices contain it.
    #[serde(default)]
    pub mode: TaxMode,
}

/// Whether prices contain the tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// The customer pays the price on the menu.
    #[default]
    Inclusive,
    /// The tax comes on top.
    Exclusive,
}

/// How an amount that is paid in cash is rounded: to what coins there are, or by dropping the small ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CashRounding {
    /// The smallest amount that is paid, in minor units; above zero.
    pub unit_minor: i64,
    /// Which way.
    pub direction: RoundingDirection,
}

/// Which way an amount is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundingDirection {
    /// To the nearest; a half goes up.
    Nearest,
    /// Down, in the customer's favour.
    Down,
    /// Up.
    Up,
}

/// How members earn points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointsRule {
    /// What a member pays for one point, in minor units; above zero. A rest earns nothing.
    pub minor_per_point: i64,
}

/// Where drinks and dishes are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// For people.
    pub name: String,
}

/// Something that a customer may bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CouponClass {
    /// For people.
    pub name: String,
}

/// Prices that differ from the menu's. Of the lists that apply and name an article, the one of the highest priority
/// holds; of equal ones the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceList {
    /// Its name.
    pub id: Tag,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Where and when it holds.
    #[serde(default, skip_serializing_if = "Scope::is_everywhere")]
    pub scope: Scope,
    /// Prices of one unit without options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<Sku, Money>,
    /// What options add.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub option_prices: BTreeMap<Sku, Money>,
}

/// Where and when something holds. What is left empty does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Ways by which orders come in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Tag>,
    /// Regions of the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Tag>,
    /// Groups of stores; a store may be in several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub store_groups: Vec<Tag>,
    /// The first business date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BusinessDate>,
    /// The last business date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<BusinessDate>,
    /// Days of the week, by business date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<Weekday>,
    /// Times of day. A range that ends before it begins goes over midnight, and still belongs to the business date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
}

impl Scope {
    pub(crate) fn is_everywhere(&self) -> bool {
        *self == Self::default()
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the days of the week")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// The day of the week of a date.
    pub fn of(date: BusinessDate) -> Self {
        // 1970-01-01 was a Thursday.
        const FROM_THURSDAY: [Weekday; 7] = [
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
        ];
        let place = usize::try_from(date.days().rem_euclid(7)).expect("a rest of seven is small");
        FROM_THURSDAY[place]
    }
}

/// A time of day from a minute (included) to another (excluded), as `"HH:MM-HH:MM"`; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    from_minute: u16,
    to_minute: u16,
}

impl TimeRange {
    /// Whether a minute of the day (0 to 1439) lies in it.
    pub fn contains(self, minute: u16) -> bool {
        if self.from_minute < self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute)
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str, last: u16| {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
            let (hours, minutes) = (digits(hours)?, digits(minutes)?);
            Some(hours * 60 + minutes).filter(|minute| minutes < 60 && *minute <= last)
        };
        let (from, to) = text.split_once('-')?;
        let (from_minute, to_minute) = (minute(from, 1439)?, minute(to, 1440)?);
        (from_minute != to_minute).then_some(Self { from_minute, to_minute })
    }
}

impl Serialize for TimeRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { from_minute: from, to_minute: to } = self;
        serializer.collect_str(&format_args!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60))
    }
}

impl JsonSchema for TimeRange {
    fn schema_name() -> Cow<'static, str> {
        "TimeRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time of day from a minute (included) to another (excluded), HH:MM-HH:MM; over midnight if it ends before it begins.",
            "type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$", "examples": ["14:00-16:00", "22:00-02:00"],
        })
    }
}

impl<'de> Deserialize<'de> for TimeRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a time of day of the form \"HH:MM-HH:MM\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        #[track_caller]
        fn check(text: &str, inside: &[u16], outside: &[u16]) {
            let range = TimeRange::parse(text).expect(text);
            assert_eq!(serde_json::to_string(&range).expect("encodes"), format!("\"{text}\""));
            assert!(inside.iter().all(|minute| range.contains(*minute)), "{text}");
            assert!(!outside.iter().any(|minute| range.contains(*minute)), "{text}");
        }
        check("09:00-11:30", &[540, 689], &[539, 690, 0]);
        check("22:00-02:00", &[1320, 1439, 0, 119], &[120, 1319]);
        check("00:00-24:00", &[0, 1439], &[]);
        for text in ["9:00-11:00", "09:00", "09:60-10:00", "24:00-01:00", "10:00-10:00", "10:00-24:01", "a", "-"] {
            assert_eq!(TimeRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_of_the_week() {
        let day = |text: &str| Weekday::of(text.parse().expect("a date"));
        assert_eq!(day("1970-01-01"), Weekday::Thursday);
        assert_eq!(day("1969-12-31"), Weekday::Wednesday);
        assert_eq!(day("2026-11-22"), Weekday::Sunday);
    }
}
