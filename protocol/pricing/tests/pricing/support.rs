//! The sample book, and baskets and circumstances in words.

#![expect(clippy::panic, reason = "a case that is written wrong ends its test")]

use std::path::Path;

use pos_model::{DayCutOff, Money, Sku, Stamp, Tag};
use pricing::book::PriceBook;
use pricing::{Basket, BasketLine, Context, Member, PricedBasket, Rules};

pub(crate) fn tea() -> Rules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/price-books/tea.json");
    let json = std::fs::read(path).expect("the sample book is part of the project");
    Rules::new(PriceBook::from_json(&json).expect("the sample book is sound"))
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::new(text).expect(text)
}

/// `2 sku +option, 1.5 sku`. Options that a group defaults to are added where nothing of the group is chosen.
pub(crate) fn parse_basket(text: &str) -> Basket {
    let rules = tea();
    let lines = text.split(',').map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        let quantity = words.next().expect("a quantity").parse().expect("a quantity");
        let sku = Sku::new(words.next().expect("an article")).expect("an article");
        let mut options: Vec<Sku> =
            words.map(|word| Sku::new(word.strip_prefix('+').expect("an option")).expect("an option")).collect();
        let book = rules.book();
        let item = book.items.values().find(|item| item.variants.iter().any(|variant| variant.sku == sku));
        for group in item.into_iter().flat_map(|item| &item.option_groups) {
            let group = &book.option_groups[group];
            if !group.options.iter().any(|option| options.contains(&option.code)) {
                options.extend(group.defaults.iter().cloned());
            }
        }
        BasketLine { sku, options, quantity }
    });
    Basket { lines: lines.collect() }
}

/// A Sunday at noon, by a guest at the counter, unless the words say otherwise.
pub(crate) fn circumstances(words: &str) -> Context {
    let noon = Stamp { utc_ms: 1_795_348_800_000, offset_s: 0 };
    let mut context = Context::at(noon, DayCutOff::default(), tag("counter"));
    for word in words.split_whitespace() {
        let member = context.member.clone().unwrap_or_default();
        if let Some(day) = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().position(|day| *day == word) {
            context.business_date = format!("2026-11-{}", 16 + day).parse().expect("a date");
        } else if let Some((hour, minute)) = word.split_once(':').filter(|(hour, _)| hour.len() == 2) {
            context.minute = hour.parse::<u16>().expect("an hour") * 60 + minute.parse::<u16>().expect("a minute");
        } else if let Some((key, value)) = word.split_once(':') {
            match key {
                "date" => context.business_date = value.parse().expect("a date"),
                "channel" => context.channel = tag(value),
                "store" => context.store_groups.push(tag(value)),
                "coupon" => context.coupons.push(tag(value)),
                "quota" => {
                    let (quota, left) = value.split_once('=').expect("a quota and what is left");
                    context.quotas.insert(tag(quota), left.parse().expect("a number"));
                }
                "order" => context.member = Some(Member { order_no: value.parse().ok(), ..member }),
                "used" => {
                    let mut used = member.used.clone();
                    *used.entry(tag(value)).or_default() += 1;
                    context.member = Some(Member { used, ..member });
                }
                _ => panic!("what is {word}?"),
            }
        } else {
            match word {
                "here" => context.takeaway = false,
                "member" => context.member = Some(member),
                "gold" => context.member = Some(Member { level: Some(tag("gold")), ..member }),
                "staff" => context.member = Some(Member { tags: vec![tag("staff")], ..member }),
                _ => panic!("what is {word}?"),
            }
        }
    }
    context
}

/// What holds of every priced basket.
pub(crate) fn adds_up(priced: &PricedBasket) {
    let sum = |amounts: &mut dyn Iterator<Item = Money>| Money::checked_sum(amounts).expect("fits").minor();
    assert_eq!(priced.list.minor(), sum(&mut priced.lines.iter().map(|line| line.list)));
    assert_eq!(priced.gross.minor(), sum(&mut priced.lines.iter().map(|line| line.gross)));
    assert_eq!(priced.tax.minor(), sum(&mut priced.taxes.iter().map(|tax| tax.tax)));
    assert!(priced.gross.minor() >= 0, "{priced:?}");
    for (place, applied) in priced.applied.iter().enumerate() {
        let of = |adjustments: &[(usize, Money)]| -> i64 {
            adjustments.iter().filter(|(other, _)| *other == place).map(|(_, amount)| amount.minor()).sum()
        };
        assert_eq!(applied.amount.minor(), priced.lines.iter().map(|line| of(&line.adjustments)).sum::<i64>());
        for line in priced.lines.iter().filter(|line| !line.units.is_empty()) {
            assert_eq!(of(&line.adjustments), line.units.iter().map(|unit| of(&unit.adjustments)).sum::<i64>());
        }
    }
    for line in &priced.lines {
        for unit in &line.units {
            let off: i64 = unit.adjustments.iter().map(|(_, amount)| amount.minor()).sum();
            assert_eq!(unit.paid.minor(), unit.list.minor() + off);
            assert!(unit.paid.minor() >= 0 && unit.paid <= unit.list, "{line:?}");
        }
    }
}
