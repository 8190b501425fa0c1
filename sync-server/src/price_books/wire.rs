//! Baskets as JSON, for files that people write and programs read.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use pos_model::{BusinessDate, Money, Quantity, Sku, Tag};
use pricing::{Basket, BasketLine, Context, Member, PricedBasket, Rules, WhyNot};
use protocol::latest::local_api::QuantityJson;
use serde::Deserialize;
use serde_json::{Value, json};

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

/// A priced basket.
pub(super) fn priced(basket: &PricedBasket, rules: &Rules) -> Value {
    let adjustments = |adjustments: &[(usize, Money)]| -> Vec<Value> {
        let one = |(place, amount): &(usize, Money)| json!({ "promotion_id": basket.applied[*place].promotion, "amount_minor": amount });
        adjustments.iter().map(one).collect()
    };
    let lines = basket.lines.iter().map(|line| {
        json!({
            "sku": line.sku,
            "name": line.name,
            "quantity": QuantityJson::from(line.quantity),
            "unit_price_minor": line.unit_price,
            "options": line.options.iter().map(|option| json!({
                "code": option.code, "name": option.name, "price_minor": option.price,
            })).collect::<Vec<_>>(),
            "list_minor": line.list,
            "adjustments": adjustments(&line.adjustments),
            "gross_minor": line.gross,
            "tax_minor": line.tax,
            "tax_group": line.tax_group,
            "tax_rate_ppm": line.tax_rate_ppm,
            "units": line.units.iter().map(|unit| json!({
                "list_minor": unit.list, "adjustments": adjustments(&unit.adjustments), "paid_minor": unit.paid,
            })).collect::<Vec<_>>(),
            "consumption": line.consumption.iter().map(|(item, quantity)| json!({
                "item_id": item, "quantity": QuantityJson::from(*quantity),
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "price_book_version": rules.book().version,
        "price_book_hash": rules.hash().to_string(),
        "currency": rules.book().currency,
        "lines": lines.collect::<Vec<_>>(),
        "list_minor": basket.list,
        "gross_minor": basket.gross,
        "tax_minor": basket.tax,
        "taxes": basket.taxes.iter().map(|tax| json!({
            "tax_group": tax.group, "tax_rate_ppm": tax.rate_ppm, "gross_minor": tax.gross, "tax_minor": tax.tax,
        })).collect::<Vec<_>>(),
        "cash_rounding_minor": basket.cash_rounding,
        "points": basket.points,
        "applied": basket.applied.iter().map(|one| json!({
            "promotion_id": one.promotion, "name": one.name, "times": one.times, "amount_minor": one.amount,
        })).collect::<Vec<_>>(),
        "not_applied": basket.not_applied.iter().map(|one| {
            let mut value = why(&one.why);
            value["promotion_id"] = json!(one.promotion);
            value
        }).collect::<Vec<_>>(),
        "rights": basket.rights.iter().map(|one| json!({ "quota": one.quota, "uses": one.uses })).collect::<Vec<_>>(),
        "coupons_spent": basket.coupons_spent,
        "coupons_issued": basket.coupons_issued.iter().map(|one| json!({
            "promotion_id": one.promotion, "class": one.class, "count": one.count,
        })).collect::<Vec<_>>(),
        "offers": basket.offers.iter().map(|one| json!({
            "promotion_id": one.promotion, "units": one.units,
        })).collect::<Vec<_>>(),
        "problems": basket.problems.iter().map(|problem| format!("{problem:?}")).collect::<Vec<_>>(),
    })
}

fn why(why: &WhyNot) -> Value {
    match why {
        WhyNot::OutOfScope => json!({ "why": "out_of_scope" }),
        WhyNot::Condition => json!({ "why": "condition" }),
        WhyNot::MembersOnly => json!({ "why": "members_only" }),
        WhyNot::AmountMissing(missing) => json!({ "why": "amount_missing", "missing_minor": missing }),
        WhyNot::UnitsMissing(missing) => json!({ "why": "units_missing", "missing_units": missing }),
        WhyNot::CouponMissing => json!({ "why": "coupon_missing" }),
        WhyNot::QuotaSpent => json!({ "why": "quota_spent" }),
        WhyNot::MemberCap => json!({ "why": "member_cap" }),
        WhyNot::GroupLost(other) => json!({ "why": "group_lost", "to": other }),
        WhyNot::Excluded(other) => json!({ "why": "excluded", "by": other }),
        WhyNot::NoEffect => json!({ "why": "no_effect" }),
    }
}
