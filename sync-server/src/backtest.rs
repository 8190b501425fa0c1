//! `backtest`: what a price book would have made of sales that were made.
//!
//! Each sale is priced by the new book and compared with what was sold, or with what another book makes of it. Nothing is
//! changed. A sale whose goods the new book does not sell is left out, and counted by the reason.

mod report;

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{BusinessDate, Currency, Money, SaleId, StoreId, Tag};
use pricing::{PricedBasket, Problem, Rules, price};
use protocol::latest::SaleCompleted;

use crate::price_books::of_sale;

/// The sales that are named: those that change the most.
const STRANGEST: usize = 50;

/// Compares sale by sale.
#[derive(Debug)]
pub struct Backtest {
    new: Rules,
    /// What is compared with; without it, what was sold.
    against: Option<Rules>,
    days: BTreeMap<(StoreId, BusinessDate), Sums>,
    left_out: BTreeMap<String, u64>,
    /// What each sale would cost more, in minor units.
    changes: Vec<i64>,
    strangest: Vec<Strange>,
    rights: BTreeMap<Tag, u64>,
    pairs_before: BTreeSet<(Tag, Tag)>,
    pairs_after: BTreeMap<(Tag, Tag), u64>,
}

/// Sums of sales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    sales: u64,
    dearer: u64,
    cheaper: u64,
    before: i128,
    after: i128,
    discount_before: i128,
    discount_after: i128,
}

/// A sale that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Strange {
    sale_id: SaleId,
    store: StoreId,
    before: Money,
    after: Money,
    promotions: Vec<Tag>,
}

/// What a sale came to.
struct Came {
    gross: Money,
    discount: i128,
    promotions: Vec<Tag>,
}

impl Backtest {
    /// Compares with what was sold, or with what the book `against` makes of it.
    pub fn new(new: Rules, against: Option<Rules>) -> Self {
        Self {
            new,
            against,
            days: BTreeMap::new(),
            left_out: BTreeMap::new(),
            changes: Vec::new(),
            strangest: Vec::new(),
            rights: BTreeMap::new(),
            pairs_before: BTreeSet::new(),
            pairs_after: BTreeMap::new(),
        }
    }

    /// Sales compared or left out so far.
    pub fn seen(&self) -> u64 {
        self.changes.len() as u64 + self.left_out.values().sum::<u64>()
    }

    /// The currency of the new book.
    pub fn currency(&self) -> Currency {
        self.new.book().currency
    }

    /// Compares one sale.
    pub fn add(&mut self, store: &StoreId, sale: &SaleCompleted) {
        if sale.currency != self.currency() {
            return self.leave_out(format!("sold in {}", sale.currency));
        }
        let basket = of_sale::basket(sale);
        let context = sale
            .pricing
            .as_ref()
            .map_or_else(|| of_sale::bare_context(sale), |pricing| of_sale::context(sale, pricing));
        let after = price(&basket, &self.new, &context);
        if let Some(problem) = after.problems.iter().find(|problem| problem.forbids_sale()) {
            return self.leave_out(reason(problem));
        }
        let before = match &self.against {
            Some(rules) => {
                let priced = price(&basket, rules, &context);
                if let Some(problem) = priced.problems.iter().find(|problem| problem.forbids_sale()) {
                    return self.leave_out(format!("by the book compared with: {}", reason(problem)));
                }
                of_basket(&priced)
            }
            None => of_sold(sale),
        };
        for right in &after.rights {
            *self.rights.entry(right.quota.clone()).or_default() += u64::from(right.uses);
        }
        self.compare(store, sale, before, of_basket(&after));
    }

    fn leave_out(&mut self, reason: String) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn compare(&mut self, store: &StoreId, sale: &SaleCompleted, before: Came, after: Came) {
        let change = after.gross.minor().saturating_sub(before.gross.minor());
        let sums = self.days.entry((store.clone(), sale.business_date)).or_default();
        sums.sales += 1;
        sums.dearer += u64::from(change > 0);
        sums.cheaper += u64::from(change < 0);
        sums.before += i128::from(before.gross.minor());
        sums.after += i128::from(after.gross.minor());
        sums.discount_before += before.discount;
        sums.discount_after += after.discount;
        self.changes.push(change);
        self.pairs_before.extend(pairs(&before.promotions));
        for pair in pairs(&after.promotions) {
            *self.pairs_after.entry(pair).or_default() += 1;
        }
        if change != 0 {
            self.strangest.push(Strange {
                sale_id: sale.sale_id,
                store: store.clone(),
                before: before.gross,
                after: after.gross,
                promotions: after.promotions,
            });
            if self.strangest.len() >= 2 * STRANGEST {
                self.keep_strangest();
            }
        }
    }

    fn keep_strangest(&mut self) {
        let by = |one: &Strange| one.after.minor().abs_diff(one.before.minor());
        self.strangest.sort_by(|a, b| by(b).cmp(&by(a)).then_with(|| a.sale_id.cmp(&b.sale_id)));
        self.strangest.truncate(STRANGEST);
    }
}

/// Why a book does not sell something, without the place, so that equal reasons are counted together.
fn reason(problem: &Problem) -> String {
    let text = problem.to_string();
    text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason).to_owned()
}

fn of_basket(priced: &PricedBasket) -> Came {
    Came {
        gross: priced.gross,
        discount: priced.applied.iter().map(|applied| -i128::from(applied.amount.minor())).sum(),
        // A sale keeps those that changed its prices, so only they can be compared.
        promotions: priced
            .applied
            .iter()
            .filter(|applied| applied.amount != Money::ZERO)
            .map(|applied| applied.promotion.clone())
            .collect(),
    }
}

fn of_sold(sale: &SaleCompleted) -> Came {
    let adjustments = || sale.lines.iter().flat_map(|line| &line.adjustments);
    let names: BTreeSet<Tag> =
        adjustments().filter_map(|change| change.promotion_id.as_deref()?.parse().ok()).collect();
    Came {
        gross: sale.totals.gross_minor,
        discount: adjustments().map(|change| -i128::from(change.amount_minor.minor())).sum(),
        promotions: names.into_iter().collect(),
    }
}

/// The promotions that hold together on a sale, two by two, each pair in the order of their names.
fn pairs(promotions: &[Tag]) -> Vec<(Tag, Tag)> {
    let distinct: BTreeSet<&Tag> = promotions.iter().collect();
    let distinct: Vec<&Tag> = distinct.into_iter().collect();
    let with_later = |(place, one): (usize, &&Tag)| {
        let one = (*one).clone();
        distinct[place + 1..].iter().map(move |other| (one.clone(), (*other).clone())).collect::<Vec<_>>()
    };
    distinct.iter().enumerate().flat_map(with_later).collect()
}
