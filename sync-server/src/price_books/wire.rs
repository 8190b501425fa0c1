//! Baskets as JSON, for files that people write and programs read.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use pos_model::{BusinessDate, Quantity, Sku, Tag};
use pricing::{Basket, BasketLine, Context, Member};
use protocol::latest::local_api::QuantityJson;
use serde::Deserialize;

/// A basket and its circumstances.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderJson {
    lines: Vec<LineJson>,
    /// The business date.
    business_date: BusinessDate,
    /// The time by the clock on the wall, as `HH:MM`.
    time: String,
    #[serde(default = "counter")]
    channel: Tag,
    #[serde(default)]
    region: Option<Tag>,
    #[serde(default)]
    store_groups: Vec<Tag>,
    #[serde(default)]
    takeaway: bool,
    #[serde(default)]
    member: Option<MemberJson>,
    #[serde(default)]
    coupons: Vec<Tag>,
    #[serde(default)]
    quotas: BTreeMap<Tag, u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineJson {
    sku: Sku,
    #[serde(default)]
    options: Vec<Sku>,
    #[serde(default = "one")]
    quantity: QuantityJson,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberJson {
    #[serde(default)]
    level: Option<Tag>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    order_no: Option<u32>,
    #[serde(default)]
    used: BTreeMap<Tag, u32>,
}

fn counter() -> Tag {
    Tag::new("counter").expect("a short word is a tag")
}

fn one() -> QuantityJson {
    QuantityJson::Whole(1)
}

/// Reads an order; an error names the place in it.
pub(super) fn read_order(json: &[u8]) -> anyhow::Result<OrderJson> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = error.path().to_string();
        anyhow::Error::new(error.into_inner()).context(place)
    })
}

impl OrderJson {
    /// The basket and its circumstances.
    pub(super) fn into_basket(self) -> anyhow::Result<(Basket, Context)> {
        let lines = self.lines.into_iter().enumerate().map(|(place, line)| {
            let LineJson { sku, options, quantity } = line;
            let quantity: Quantity = quantity.parse().with_context(|| format!("lines[{place}].quantity"))?;
            anyhow::Ok(BasketLine { sku, options, quantity })
        });
        let basket = Basket { lines: lines.collect::<Result<_, _>>()? };
        let context = Context {
            business_date: self.business_date,
            minute: minute(&self.time)?,
            channel: self.channel,
            region: self.region,
            store_groups: self.store_groups,
            takeaway: self.takeaway,
            member: self.member.map(|member| Member {
                level: member.level,
                tags: member.tags,
                order_no: member.order_no,
                used: member.used,
            }),
            coupons: self.coupons,
            quotas: self.quotas,
        };
        Ok((basket, context))
    }
}

fn minute(time: &str) -> anyhow::Result<u16> {
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    let parsed = time.split_once(':').and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    match parsed {
        Some((hour @ 0..24u16, minute @ 0..60u16)) => Ok(hour * 60 + minute),
        _ => bail!("time: {time:?} is not a time of day of the form HH:MM"),
    }
}
