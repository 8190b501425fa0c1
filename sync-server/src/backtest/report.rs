//! What a back-test found, as tables and as JSON.

use std::fmt::Write as _;

use pos_model::Money;
use serde_json::{Value, json};

use super::{Backtest, Strange, Sums};

/// How many times as many customers come, for discounts and rights.
const ARRIVALS: [i128; 3] = [1, 3, 10];

/// Of the changes in order, so many per cent lie below.
const PERCENTILES: [usize; 7] = [0, 1, 10, 50, 90, 99, 100];

impl Backtest {
    /// Everything as JSON: amounts in minor units.
    pub fn to_json(&mut self) -> Value {
        self.keep_strangest();
        let sums = |sums: &Sums| {
            json!({
                "sales": sums.sales, "dearer": sums.dearer, "cheaper": sums.cheaper,
                "before_minor": wide(sums.before), "after_minor": wide(sums.after),
                "discount_before_minor": wide(sums.discount_before), "discount_after_minor": wide(sums.discount_after),
            })
        };
        let days = self.days.iter().map(|((store, date), of_day)| {
            let mut value = sums(of_day);
            value["store_id"] = json!(store);
            value["business_date"] = json!(date.to_string());
            value
        });
        let total = self.total();
        json!({
            "book": self.new.book().version, "book_hash": self.new.hash().to_string(), "currency": self.currency(),
            "against": self.against.as_ref().map(|rules| rules.book().version.clone()),
            "total": sums(&total),
            "arrivals": ARRIVALS.map(|times| json!({
                "times": wide(times), "discount_minor": wide(total.discount_after * times),
                "rights": self.rights.iter().map(|(quota, uses)| (quota.to_string(), json!(wide(i128::from(*uses) * times))))
                    .collect::<serde_json::Map<_, _>>(),
            })),
            "change_minor": self.percentiles().into_iter()
                .map(|(percent, change)| (format!("p{percent}"), json!(change))).collect::<serde_json::Map<_, _>>(),
            "days": days.collect::<Vec<_>>(),
            "left_out": self.left_out,
            "new_pairs": self.new_pairs().into_iter().map(|(one, other, sales)| {
                json!({ "promotions": [one, other], "sales": sales })
            }).collect::<Vec<_>>(),
            "strangest": self.strangest.iter().map(|one| json!({
                "sale_id": one.sale_id.to_string(), "store_id": one.store, "before_minor": one.before,
                "after_minor": one.after, "promotions": one.promotions,
            })).collect::<Vec<_>>(),
        })
    }

    /// Everything as text.
    pub fn to_text(&mut self) -> String {
        self.keep_strangest();
        let mut text = String::new();
        let mut say = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes all");
        let amount = |minor: i128| self.amount(minor);
        let total = self.total();
        let against =
            self.against.as_ref().map_or("what was sold".to_owned(), |rules| rules.book().version.to_string());
        say(format_args!("{} against {against}, in {}", self.new.book().version, self.currency()));
        say(format_args!(
            "{} sales compared: {} dearer, {} cheaper, {} the same",
            total.sales,
            total.dearer,
            total.cheaper,
            total.sales - total.dearer - total.cheaper
        ));
        for (reason, sales) in &self.left_out {
            say(format_args!("{sales} left out: {reason}"));
        }
        say(format_args!("sum         {:>16} before {:>16} after", amount(total.before), amount(total.after)));
        say(format_args!(
            "discounts   {:>16} before {:>16} after",
            amount(total.discount_before),
            amount(total.discount_after)
        ));
        for times in ARRIVALS {
            let rights = self.rights.iter().map(|(quota, uses)| format!(", {quota} {}", i128::from(*uses) * times));
            say(format_args!(
                "  at x{times:<3}     {:>16} of discounts{}",
                amount(total.discount_after * times),
                rights.collect::<String>()
            ));
        }
        let changes: Vec<String> = self
            .percentiles()
            .into_iter()
            .map(|(percent, change)| format!("p{percent} {}", amount(i128::from(change))))
            .collect();
        say(format_args!("change of a sale: {}", changes.join(", ")));
        say(format_args!(
            "\nSTORE      DATE        SALES  DEARER CHEAPER           BEFORE            AFTER        DISCOUNTS"
        ));
        for ((store, date), day) in &self.days {
            let (before, after, discounts) = (amount(day.before), amount(day.after), amount(day.discount_after));
            let Sums { sales, dearer, cheaper, .. } = day;
            say(format_args!(
                "{store:<10} {date} {sales:>6} {dearer:>7} {cheaper:>7} {before:>16} {after:>16} {discounts:>16}",
                store = store.as_str()
            ));
        }
        let pairs = self.new_pairs();
        if !pairs.is_empty() {
            say(format_args!("\npromotions that hold together and did not before:"));
        }
        for (one, other, sales) in pairs {
            say(format_args!("{sales:>8} sales  {one} and {other}"));
        }
        if !self.strangest.is_empty() {
            say(format_args!("\nthe sales that change the most:"));
        }
        for Strange { sale_id, store, before, after, promotions } in &self.strangest {
            let (before, after) = (amount(i128::from(before.minor())), amount(i128::from(after.minor())));
            let names: Vec<&str> = promotions.iter().map(|promotion| promotion.as_str()).collect();
            say(format_args!("{sale_id}  {store}  {before:>10} -> {after:>10}  {}", names.join(", ")));
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn amount(&self, minor: i128) -> String {
        i64::try_from(minor)
            .map_or_else(|_| minor.to_string(), |minor| Money::from_minor(minor).display(self.currency()).to_string())
    }

    fn total(&self) -> Sums {
        self.days.values().fold(Sums::default(), |sum, day| Sums {
            sales: sum.sales + day.sales,
            dearer: sum.dearer + day.dearer,
            cheaper: sum.cheaper + day.cheaper,
            before: sum.before + day.before,
            after: sum.after + day.after,
            discount_before: sum.discount_before + day.discount_before,
            discount_after: sum.discount_after + day.discount_after,
        })
    }

    /// By the nearest rank.
    fn percentiles(&self) -> Vec<(usize, i64)> {
        let mut changes = self.changes.clone();
        changes.sort_unstable();
        let at = |percent: usize| {
            let rank = (changes.len() * percent).div_ceil(100).max(1);
            changes.get(rank - 1).map(|change| (percent, *change))
        };
        PERCENTILES.into_iter().filter_map(at).collect()
    }

    fn new_pairs(&self) -> Vec<(&str, &str, u64)> {
        let new = self.pairs_after.iter().filter(|(pair, _)| !self.pairs_before.contains(pair));
        new.map(|((one, other), sales)| (one.as_str(), other.as_str(), *sales)).collect()
    }
}

/// A sum as a JSON number; one that leaves 64 bits stays at the end.
fn wide(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
