//! [`price`]: a basket, the rules of a price book and the circumstances become amounts, each with its reason.
//!
//! It is total and pure: any input has an answer, equal input has an equal one, and what cannot be priced as the book
//! says is named among the [`Problem`]s. Work is bounded by [`UNITS_MAX`] and by the size of the book.
//!
//! Order of events: each line gets its list amount; its units get their shares of it; the stages of promotions take off
//! what they take off, each from what the ones before it have left; the tax of each group is computed from what the
//! group costs, and shared out to its lines; the amount that is paid in cash is rounded last and stands apart.

mod benefit;
mod condition;
mod input;
mod output;
mod rules;
mod share;
mod stage;
mod state;
mod stock;
mod tax;

use pos_model::{Money, Quantity, Sku, Tag};

pub use input::{Basket, BasketLine, Context, Member};
pub use output::{
    Applied, IssuedCoupon, NotApplied, Offer, PricedBasket, PricedLine, PricedOption, PricedUnit, Problem, Right,
    TaxOfGroup, WhyNot,
};
pub use rules::Rules;

use self::rules::{Group, in_scope};
use self::stage::{Outcome, apply_all};
use self::state::{LineFacts, State, Unit};
use crate::allocate::allocate;
use crate::book::{CASH_UNIT_MINOR_MAX, CashRounding, OptionGroup, PriceList, RoundingDirection};
use crate::round::div_half_away;

/// Units for which promotions are computed. An office that orders more gets the menu's prices and is told so.
pub const UNITS_MAX: usize = 500;

/// The largest list amount of a basket, in minor units: sums and products of it stay within their types.
const LIST_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// Prices a basket.
pub fn price(basket: &Basket, rules: &Rules, context: &Context) -> PricedBasket {
    let mut problems: Vec<Problem> =
        rules.broken().iter().map(|promotion| Problem::BrokenPromotion { promotion: promotion.clone() }).collect();
    let lists: Vec<&PriceList> = lists_in_scope(rules, context);
    let mut lines: Vec<Line<'_>> = basket
        .lines
        .iter()
        .enumerate()
        .map(|(place, line)| Line::new(place, line, rules, &lists, &mut problems))
        .collect();
    let list: i128 = lines.iter().map(|line| i128::from(line.list)).sum();
    if list > i128::from(LIST_MINOR_MAX) {
        problems.push(Problem::Overflow);
        lines.iter_mut().for_each(|line| line.list = 0);
    }
    let mut state = units(&lines);
    let promoted = state.units.len() <= UNITS_MAX && !problems.contains(&Problem::Overflow);
    if state.units.len() > UNITS_MAX {
        problems.push(Problem::TooManyUnits);
    }
    let outcome = if promoted { apply_all(rules, &mut state, context) } else { Outcome::nothing() };
    finish(lines, state, outcome, problems, rules, context)
}

/// A line of the basket with what the book says of it.
struct Line<'b> {
    line: &'b BasketLine,
    facts: Option<LineFacts>,
    unit_price: i64,
    options: Vec<PricedOption>,
    option_sum: i64,
    list: i64,
}

impl<'b> Line<'b> {
    fn new(
        place: usize,
        line: &'b BasketLine,
        rules: &Rules,
        lists: &[&PriceList],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let nothing = Self { line, facts: None, unit_price: 0, options: Vec::new(), option_sum: 0, list: 0 };
        let Some(article) = rules.article(&line.sku) else {
            problems.push(Problem::UnknownSku { line: place });
            return nothing;
        };
        if line.quantity.micro() <= 0 {
            problems.push(Problem::Quantity { line: place });
            return nothing;
        }
        let (at, variant) = (rules.at(article), rules.at(article).variant());
        let unit_price =
            lists.iter().find_map(|list| list.prices.get(&line.sku)).copied().unwrap_or(variant.price_minor);
        let (mut option_nos, mut options) = (Vec::new(), Vec::new());
        for code in line.options.iter().chain(presets(line, &at.groups, rules)) {
            let known = rules.option_no(code).filter(|&option| at.groups.contains(&rules.option(option).0));
            let Some(option_no) = known.filter(|option| !option_nos.contains(option)) else {
                problems.push(Problem::UnknownOption { line: place, option: code.clone() });
                continue;
            };
            let (_, option) = rules.option(option_no);
            let price = lists
                .iter()
                .find_map(|list| list.option_prices.get(code))
                .or_else(|| option.price_by_size.get(&variant.size))
                .copied()
                .unwrap_or(option.price_minor);
            options.push(PricedOption { code: code.clone(), name: option.name.clone(), price });
            option_nos.push(option_no);
        }
        check_options(place, &at.groups, &option_nos, rules, problems);
        let amount = |amount: Money| i128::from(amount.minor());
        let option_sum: i128 = options.iter().map(|option| amount(option.price)).sum();
        let unit = (amount(unit_price) + option_sum).max(0);
        let list = unit
            .checked_mul(i128::from(line.quantity.micro()))
            .map(|product| div_half_away(product, i128::from(Quantity::MICRO_PER_UNIT)))
            .and_then(|list| i64::try_from(list).ok());
        let fits = list.zip(i64::try_from(option_sum).ok());
        let Some((list, option_sum)) = fits else {
            problems.push(Problem::Overflow);
            return nothing;
        };
        let facts = Some(LineFacts { article, options: option_nos });
        Self { line, facts, unit_price: unit_price.minor(), options, option_sum, list }
    }

    /// How many units promotions see: a part of a unit is one.
    fn unit_count(&self) -> usize {
        match (&self.facts, self.line.quantity.whole_units()) {
            (None, _) => 0,
            (Some(_), Some(units)) => usize::try_from(units).unwrap_or(usize::MAX),
            (Some(_), None) => 1,
        }
    }
}

/// What is chosen of groups that want a choice and of which the line names nothing.
fn presets<'r>(line: &BasketLine, groups: &'r [usize], rules: &'r Rules) -> impl Iterator<Item = &'r Sku> {
    let groups = groups.iter().map(|&group| &rules.group(group).choices);
    let is_open =
        |group: &&OptionGroup| group.min > 0 && !group.options.iter().any(|option| line.options.contains(&option.code));
    groups.filter(is_open).flat_map(|group| &group.defaults)
}

/// Checks the choices of a line against the groups of its item.
fn check_options(place: usize, groups: &[usize], chosen: &[usize], rules: &Rules, problems: &mut Vec<Problem>) {
    for &number in groups {
        let Group { id, choices } = rules.group(number);
        let count = chosen.iter().filter(|&&option| rules.option(option).0 == number).count();
        if count < choices.min as usize || count > choices.max as usize {
            problems.push(Problem::OptionCount { line: place, group: id.clone() });
        }
    }
    for (at, &option) in chosen.iter().enumerate() {
        for &other in &chosen[at + 1..] {
            let (one, two) = (rules.option(option).1, rules.option(other).1);
            if one.excludes.contains(&two.code) || two.excludes.contains(&one.code) {
                let (option, other): (Sku, Sku) = (one.code.clone(), two.code.clone());
                problems.push(Problem::OptionsExclude { line: place, option, other });
            }
        }
    }
}

fn lists_in_scope<'r>(rules: &'r Rules, context: &Context) -> Vec<&'r PriceList> {
    let mut lists: Vec<&PriceList> =
        rules.book().price_lists.iter().filter(|list| in_scope(&list.scope, context)).collect();
    // The sort is stable: of equal priorities the first holds.
    lists.sort_by_key(|list| std::cmp::Reverse(list.priority));
    lists
}

fn units(lines: &[Line<'_>]) -> State {
    let count: usize = lines.iter().map(Line::unit_count).fold(0, usize::saturating_add);
    let mut units = Vec::with_capacity(count.min(UNITS_MAX + 1));
    for (place, line) in lines.iter().enumerate() {
        // Beyond the bound nobody looks at single units.
        let count = line.unit_count().min(UNITS_MAX + 1);
        if count == 0 {
            continue;
        }
        let shares = allocate(line.list, &vec![1; count]);
        units.extend(shares.into_iter().map(|list| Unit {
            line: place,
            list,
            options: line.option_sum.clamp(0, list.max(0)),
            now: list,
            used: false,
            taken: Vec::new(),
        }));
    }
    let facts = |line: &Line<'_>| {
        line.facts.as_ref().map(|facts| LineFacts { article: facts.article, options: facts.options.clone() })
    };
    State { units, lines: lines.iter().map(facts).collect() }
}

fn finish(
    lines: Vec<Line<'_>>,
    state: State,
    outcome: Outcome,
    problems: Vec<Problem>,
    rules: &Rules,
    context: &Context,
) -> PricedBasket {
    let mut units: Vec<Vec<PricedUnit>> = lines.iter().map(|_| Vec::new()).collect();
    let too_many = problems.contains(&Problem::TooManyUnits);
    for unit in state.units.into_iter().filter(|_| !too_many) {
        let adjustments = unit.taken.iter().map(|&(place, off)| (place, Money::from_minor(-off))).collect();
        let (list, paid) = (Money::from_minor(unit.list), Money::from_minor(unit.now));
        units[unit.line].push(PricedUnit { list, adjustments, paid, gross: paid });
    }
    let mut priced: Vec<PricedLine> = Vec::with_capacity(lines.len());
    for (line, units) in lines.into_iter().zip(units) {
        let mut adjustments: Vec<(usize, i64)> = Vec::new();
        for &(place, amount) in units.iter().flat_map(|unit| &unit.adjustments) {
            match adjustments.iter_mut().find(|(known, _)| *known == place) {
                Some((_, sum)) => *sum += amount.minor(),
                None => adjustments.push((place, amount.minor())),
            }
        }
        adjustments.sort_unstable_by_key(|(place, _)| *place);
        let paid = line.list + adjustments.iter().map(|(_, amount)| amount).sum::<i64>();
        let (name, tax_group, station) = match &line.facts {
            Some(facts) => {
                let at = rules.at(facts.article);
                (at.name.clone(), at.item.tax_group.clone(), at.item.station.clone())
            }
            None => (String::new(), Tag::new("none").expect("a short word is a tag"), None),
        };
        priced.push(PricedLine {
            sku: line.line.sku.clone(),
            name,
            station,
            quantity: line.line.quantity,
            unit_price: Money::from_minor(line.unit_price),
            consumption: line.facts.as_ref().map_or_else(Vec::new, |facts| {
                stock::consumption(rules, facts.article, &facts.options, line.line.quantity)
            }),
            options: line.options,
            list: Money::from_minor(line.list),
            adjustments: adjustments.into_iter().map(|(place, sum)| (place, Money::from_minor(sum))).collect(),
            gross: Money::from_minor(paid),
            tax: Money::ZERO,
            tax_group,
            tax_rate_ppm: 0,
            tax_on_top: false,
            units,
        });
    }
    let taxes = tax::add_taxes(&mut priced, rules, context.takeaway);
    let sum =
        |amount: fn(&PricedLine) -> Money| Money::from_minor(priced.iter().map(|line| amount(line).minor()).sum());
    let (list, gross, tax) = (sum(|line| line.list), sum(|line| line.gross), sum(|line| line.tax));
    let points = match (&rules.book().points, &context.member) {
        (Some(rule), Some(_)) => {
            let times = i128::from(outcome.points_ppm);
            let per_point = i128::from(rule.minor_per_point.max(1));
            let earned = i128::from(gross.minor()) * times / 1_000_000 / per_point;
            i64::try_from(earned).unwrap_or(i64::MAX)
        }
        _ => 0,
    };
    PricedBasket {
        lines: priced,
        list,
        gross,
        tax,
        taxes,
        cash_rounding: rules.book().cash_rounding.map_or(Money::ZERO, |rounding| cash_rounding(gross, rounding)),
        points,
        applied: outcome.applied,
        not_applied: outcome.not_applied,
        rights: outcome.rights,
        coupons_spent: outcome.coupons_spent,
        coupons_issued: outcome.coupons_issued,
        offers: outcome.offers,
        problems,
    }
}

/// What is added to an amount that is not negative so that it can be paid in cash.
pub fn cash_rounding(due: Money, rounding: CashRounding) -> Money {
    let unit = rounding.unit_minor.clamp(1, CASH_UNIT_MINOR_MAX);
    let rest = due.minor().rem_euclid(unit);
    let added = match rounding.direction {
        _ if rest == 0 => 0,
        RoundingDirection::Down => -rest,
        RoundingDirection::Up => unit - rest,
        RoundingDirection::Nearest if rest >= unit - rest => unit - rest,
        RoundingDirection::Nearest => -rest,
    };
    Money::from_minor(added)
}
