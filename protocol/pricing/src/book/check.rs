//! What is wrong with a book that can be read: names that lead nowhere, promotions that can never hold, choices that
//! nobody can make, and prices that promotions together can bring to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use pos_model::{ItemId, Money, Sku, Tag};

use super::{
    AMOUNT_MINOR_MAX, ARTICLES_MAX, Benefit, CASH_UNIT_MINOR_MAX, Condition, MenuItem, NAME_CHARS_MAX, OptionGroup,
    PROMOTIONS_MAX, PriceBook, PriceList, Promotion, RecipeStep, Scope, Select, Stage, StepOff, Variant,
    amount_is_sane,
};

/// Something that is wrong, or looks as if it were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, such as `promotions[3].benefit.select.items[0]`.
    pub path: String,
    /// What.
    pub problem: String,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The book must not be released.
    Error,
    /// Somebody should look at it.
    Warning,
}

impl PriceBook {
    /// Everything that is wrong with the book, in its order.
    pub fn check(&self) -> Vec<Finding> {
        let mut check = Check { book: self, names: Names::of(self), findings: Vec::new() };
        check.header();
        // What follows looks at every promotion for every article.
        if check.is_too_large() {
            return check.findings;
        }
        check.option_groups();
        check.items();
        for (place, list) in self.price_lists.iter().enumerate() {
            check.price_list(&format!("price_lists[{place}]"), list);
        }
        check.promotions();
        check.stacking();
        check.findings
    }
}

/// The names that there are.
struct Names<'b> {
    skus: BTreeMap<&'b Sku, (&'b Tag, usize)>,
    options: BTreeMap<&'b Sku, &'b Tag>,
    categories: BTreeSet<&'b Tag>,
    tags: BTreeSet<&'b Tag>,
}

impl<'b> Names<'b> {
    fn of(book: &'b PriceBook) -> Self {
        let variants = book.items.iter().flat_map(|(id, item)| {
            item.variants.iter().enumerate().map(move |(variant, article)| (&article.sku, (id, variant)))
        });
        let options = book
            .option_groups
            .iter()
            .flat_map(|(group, choices)| choices.options.iter().map(move |option| (&option.code, group)));
        Self {
            skus: variants.collect(),
            options: options.collect(),
            categories: book.items.values().flat_map(|item| &item.categories).collect(),
            tags: book.items.values().flat_map(|item| &item.tags).collect(),
        }
    }
}

struct Check<'b> {
    book: &'b PriceBook,
    names: Names<'b>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn error(&mut self, path: impl Display, problem: impl Display) {
        self.find(Severity::Error, path, problem);
    }

    fn find(&mut self, severity: Severity, path: impl Display, problem: impl Display) {
        self.findings.push(Finding { path: path.to_string(), problem: problem.to_string(), severity });
    }

    fn amount(&mut self, path: impl Display, amount: Money) {
        if !amount_is_sane(amount) {
            self.error(path, format_args!("{} is not between 0 and {AMOUNT_MINOR_MAX} minor units", amount.minor()));
        }
    }

    /// A name stands on a receipt: on one line, and together with that of its size no longer than a sale may carry.
    fn name(&mut self, path: impl Display, name: &str) {
        let chars = name.chars().count();
        if chars > NAME_CHARS_MAX {
            self.error(path, format_args!("a name of {chars} characters is longer than {NAME_CHARS_MAX}"));
        } else if name.chars().any(char::is_control) {
            self.error(path, "a name has a control character");
        }
    }

    fn above_zero(&mut self, path: impl Display, amount: Money) {
        if amount == Money::ZERO {
            self.error(path, "is zero: it takes nothing off");
        }
    }

    fn is_too_large(&mut self) -> bool {
        let articles: usize = self.book.items.values().map(|item| item.variants.len()).sum();
        if articles > ARTICLES_MAX {
            self.error("items", format_args!("are {articles} articles, at most {ARTICLES_MAX} are possible"));
        }
        let promotions = self.book.promotions.len();
        if promotions > PROMOTIONS_MAX {
            self.error("promotions", format_args!("are {promotions}, at most {PROMOTIONS_MAX} are possible"));
        }
        articles > ARTICLES_MAX || promotions > PROMOTIONS_MAX
    }

    fn header(&mut self) {
        if self.book.items.is_empty() {
            self.error("items", "nothing is sold");
        }
        let units = 1..=CASH_UNIT_MINOR_MAX;
        if self.book.cash_rounding.is_some_and(|rounding| !units.contains(&rounding.unit_minor)) {
            self.error("cash_rounding.unit_minor", format_args!("is not between 1 and {CASH_UNIT_MINOR_MAX}"));
        }
        if self.book.points.is_some_and(|points| points.minor_per_point <= 0) {
            self.error("points.minor_per_point", "is not above zero");
        }
    }

    fn option_groups(&mut self) {
        let mut seen: BTreeMap<&Sku, &Tag> = BTreeMap::new();
        for (name, group) in &self.book.option_groups {
            let path = format!("option_groups.{name}");
            self.choices(&path, group);
            for (place, option) in group.options.iter().enumerate() {
                let path = format!("{path}.options[{place}]");
                if let Some(other) = seen.insert(&option.code, name) {
                    self.error(format_args!("{path}.code"), format_args!("{} is in group {other} too", option.code));
                }
                self.amount(format_args!("{path}.price_minor"), option.price_minor);
                self.name(format_args!("{path}.name"), &option.name);
                for (at, code) in option.excludes.iter().enumerate() {
                    if !self.names.options.contains_key(code) {
                        self.error(format_args!("{path}.excludes[{at}]"), format_args!("there is no option {code}"));
                    }
                }
                for (at, step) in option.recipe.iter().enumerate() {
                    let items = match step {
                        RecipeStep::Replace { from, to, .. } => vec![from, to],
                        RecipeStep::Remove { item } | RecipeStep::Add { item, .. } | RecipeStep::Scale { item, .. } => {
                            vec![item]
                        }
                    };
                    items.into_iter().for_each(|item| self.ingredient(format_args!("{path}.recipe[{at}]"), item));
                }
            }
        }
    }

    /// Whether a customer can choose as the group wants it.
    fn choices(&mut self, path: &str, group: &OptionGroup) {
        let OptionGroup { min, max, defaults, options, .. } = group;
        if min > max {
            self.error(path, format_args!("asks for at least {min} and at most {max}: nobody can satisfy it"));
        }
        let together = compatible(group);
        if (*min as usize) > together {
            self.error(path, format_args!("asks for {min}, and only {together} go together: nobody can satisfy it"));
        }
        if !defaults.is_empty() && !(*min as usize..=*max as usize).contains(&defaults.len()) {
            self.error(format_args!("{path}.defaults"), format_args!("{} are chosen by default", defaults.len()));
        }
        for (place, code) in defaults.iter().enumerate() {
            let excludes = |one: &Sku, other: &Sku| {
                options.iter().any(|option| option.code == *one && option.excludes.contains(other))
            };
            if let Some(other) =
                defaults[..place].iter().find(|other| *other == code || excludes(code, other) || excludes(other, code))
            {
                let path = format!("{path}.defaults[{place}]");
                self.error(path, format_args!("{code} does not go with {other}, which is chosen by default too"));
            }
            if !options.iter().any(|option| option.code == *code) {
                self.error(format_args!("{path}.defaults[{place}]"), format_args!("the group has no option {code}"));
            }
        }
    }

    fn items(&mut self) {
        let mut seen: BTreeMap<&Sku, &Tag> = BTreeMap::new();
        for (id, item) in &self.book.items {
            let path = format!("items.{id}");
            self.item(&path, item);
            for (place, variant) in item.variants.iter().enumerate() {
                let path = format!("{path}.variants[{place}]");
                if let Some(other) = seen.insert(&variant.sku, id) {
                    self.error(format_args!("{path}.sku"), format_args!("{} is sold as {other} too", variant.sku));
                }
                self.amount(format_args!("{path}.price_minor"), variant.price_minor);
                self.name(format_args!("{path}.name"), &format!("{} {}", item.name, variant.name));
                for (at, used) in variant.recipe.iter().flatten().enumerate() {
                    self.ingredient(format_args!("{path}.recipe[{at}].item"), &used.item);
                }
            }
        }
    }

    fn item(&mut self, path: &str, item: &MenuItem) {
        if item.variants.is_empty() {
            self.error(format_args!("{path}.variants"), "there is no size, so it cannot be sold");
        }
        if !self.book.tax_groups.contains_key(&item.tax_group) {
            self.error(format_args!("{path}.tax_group"), format_args!("there is no tax group {}", item.tax_group));
        }
        if let Some(station) = item.station.as_ref().filter(|station| !self.book.stations.contains_key(*station)) {
            self.error(format_args!("{path}.station"), format_args!("there is no station {station}"));
        }
        for (place, group) in item.option_groups.iter().enumerate() {
            if !self.book.option_groups.contains_key(group) {
                let path = format!("{path}.option_groups[{place}]");
                self.error(path, format_args!("there is no option group {group}"));
            }
        }
        for (place, used) in item.recipe.iter().enumerate() {
            self.ingredient(format_args!("{path}.recipe[{place}].item"), &used.item);
        }
    }

    fn ingredient(&mut self, path: impl Display, item: &ItemId) {
        if !self.book.ingredients.contains_key(item) {
            self.error(path, format_args!("there is no ingredient {item}"));
        }
    }

    fn price_list(&mut self, path: &str, list: &PriceList) {
        self.scope(&format!("{path}.scope"), &list.scope);
        for (sku, price) in &list.prices {
            let path = format!("{path}.prices.{sku}");
            if !self.names.skus.contains_key(sku) {
                self.error(&path, "there is no such article");
            }
            self.amount(&path, *price);
        }
        for (code, price) in &list.option_prices {
            let path = format!("{path}.option_prices.{code}");
            if !self.names.options.contains_key(code) {
                self.error(&path, "there is no such option");
            }
            self.amount(&path, *price);
        }
    }

    fn scope(&mut self, path: &str, scope: &Scope) {
        if let (Some(from), Some(to)) = (scope.from, scope.to)
            && to < from
        {
            self.error(path, format_args!("ends on {to} before it begins on {from}: it never holds"));
        }
    }

    fn promotions(&mut self) {
        let mut seen = BTreeSet::new();
        for (place, promotion) in self.book.promotions.iter().enumerate() {
            let path = format!("promotions[{place}]");
            if !seen.insert(&promotion.id) {
                self.error(format_args!("{path}.id"), format_args!("there is another promotion {}", promotion.id));
            }
            self.scope(&format!("{path}.scope"), &promotion.scope);
            if let Some(class) = &promotion.coupon {
                self.coupon_class(&format!("{path}.coupon"), class);
            }
            if promotion.caps.per_order == Some(0) || promotion.caps.per_member == Some(0) {
                self.error(format_args!("{path}.caps"), "it may never be used");
            }
            if let Some(condition) = &promotion.when {
                self.condition(&format!("{path}.when"), condition);
            }
            self.benefit(&format!("{path}.benefit"), &promotion.benefit);
            for (field, amount) in promotion.amounts() {
                self.amount(format_args!("{path}.{field}"), amount);
            }
            let earns = matches!(promotion.benefit, Benefit::PointsMultiplier { .. } | Benefit::IssueCoupon { .. });
            if earns != (promotion.stage == Stage::Points) {
                let what = if earns { "what a customer earns belongs" } else { "what changes prices does not belong" };
                self.error(format_args!("{path}.stage"), format_args!("{what} to stage points"));
            }
        }
    }

    fn coupon_class(&mut self, path: &str, class: &Tag) {
        if !self.book.coupon_classes.contains_key(class) {
            self.error(path, format_args!("there is no coupon class {class}"));
        }
    }

    fn condition(&mut self, path: &str, condition: &Condition) {
        match condition {
            Condition::All { of } | Condition::Any { of } => {
                if of.is_empty() {
                    self.error(format_args!("{path}.of"), "names no condition");
                }
                for (place, condition) in of.iter().enumerate() {
                    self.condition(&format!("{path}.of[{place}]"), condition);
                }
            }
            Condition::Not { of } => self.condition(&format!("{path}.of"), of),
            Condition::Units { select, .. } | Condition::Amount { select, .. } => {
                self.select(&format!("{path}.select"), select);
            }
            Condition::Within { scope } => self.scope(&format!("{path}.scope"), scope),
            Condition::Coupon { class } => self.coupon_class(&format!("{path}.class"), class),
            Condition::NthOrder { n: 0 } => self.error(format_args!("{path}.n"), "orders are counted from one"),
            Condition::Channel { any_of } | Condition::StoreGroup { any_of } if any_of.is_empty() => {
                self.error(format_args!("{path}.any_of"), "names nothing: it never holds");
            }
            Condition::Member { .. }
            | Condition::NthOrder { .. }
            | Condition::Channel { .. }
            | Condition::StoreGroup { .. }
            | Condition::Takeaway { .. } => {}
        }
    }

    fn benefit(&mut self, path: &str, benefit: &Benefit) {
        for (field, select) in benefit.selects() {
            self.select(&format!("{path}.{field}"), select);
        }
        let mut rates = Vec::new();
        match benefit {
            Benefit::Percent { off_ppm, .. } => rates.push(*off_ppm),
            Benefit::AmountOffEach { off_minor, .. } | Benefit::AmountOff { off_minor, .. } => {
                self.above_zero(format_args!("{path}.off_minor"), *off_minor);
            }
            Benefit::FixedPrice { .. } => {}
            Benefit::Threshold { spend_minor, off_minor, .. } => {
                self.above_zero(format_args!("{path}.spend_minor"), *spend_minor);
                self.above_zero(format_args!("{path}.off_minor"), *off_minor);
                if off_minor > spend_minor {
                    self.error(path, "saves more than is spent");
                }
            }
            Benefit::Tiers { steps, .. } => {
                if steps.is_empty() {
                    self.error(format_args!("{path}.steps"), "there is no step");
                }
                for (place, step) in steps.iter().enumerate() {
                    match step.off {
                        StepOff::Ppm(ppm) => rates.push(ppm),
                        StepOff::Minor(off) => self.above_zero(format_args!("{path}.steps[{place}].off.minor"), off),
                    }
                }
            }
            Benefit::BuyGet { buy_units, get_units, off_ppm, .. } => {
                rates.push(*off_ppm);
                if *buy_units == 0 || *get_units == 0 {
                    self.error(path, "buys or gets no unit");
                }
            }
            Benefit::NthUnit { every, off_ppm, .. } => {
                rates.push(*off_ppm);
                if *every < 2 {
                    self.error(format_args!("{path}.every"), "is less than two: use a percentage");
                }
            }
            Benefit::Bundle { parts, .. } => {
                if parts.is_empty() || parts.iter().any(|part| part.units == 0) {
                    self.error(format_args!("{path}.parts"), "has no part, or one of no unit");
                }
            }
            Benefit::FreeItem { units, .. } => {
                if *units == 0 {
                    self.error(format_args!("{path}.units"), "gives nothing");
                }
            }
            Benefit::PointsMultiplier { ppm } => {
                if *ppm <= 1_000_000 {
                    self.error(format_args!("{path}.ppm"), "does not multiply: a million is once");
                }
            }
            Benefit::IssueCoupon { class, count } => {
                self.coupon_class(&format!("{path}.class"), class);
                if *count == 0 {
                    self.error(format_args!("{path}.count"), "gives nothing");
                }
            }
        }
        if rates.iter().any(|rate| !(1..=1_000_000).contains(rate)) {
            self.error(path, "a part is not between 1 and 1,000,000 millionths");
        }
    }

    fn select(&mut self, path: &str, select: &Select) {
        let before = self.findings.len();
        let unknown = |field: &str, place: usize, what: &str, name: &dyn Display| Finding {
            path: format!("{path}.{field}[{place}]"),
            problem: format!("there is no {what} {name}"),
            severity: Severity::Error,
        };
        for (place, sku) in select.skus.iter().enumerate().filter(|(_, sku)| !self.names.skus.contains_key(sku)) {
            self.findings.push(unknown("skus", place, "article", sku));
        }
        for (place, item) in select.items.iter().enumerate().filter(|(_, item)| !self.book.items.contains_key(*item)) {
            self.findings.push(unknown("items", place, "item", item));
        }
        for (place, name) in
            select.categories.iter().enumerate().filter(|(_, name)| !self.names.categories.contains(name))
        {
            self.findings.push(unknown("categories", place, "category", name));
        }
        for (place, name) in select.tags.iter().enumerate().filter(|(_, name)| !self.names.tags.contains(name)) {
            self.findings.push(unknown("tags", place, "tag", name));
        }
        for (place, code) in
            select.options.iter().enumerate().filter(|(_, code)| !self.names.options.contains_key(code))
        {
            self.findings.push(unknown("options", place, "option", code));
        }
        if let Some(except) = &select.except {
            self.select(&format!("{path}.except"), except);
        }
        let known = self.findings.len() == before;
        if known && !self.articles().any(|(id, item, variant)| fits(select, id, item, variant)) {
            self.error(path, "no article fits: it can never hold");
        }
    }

    fn articles(&self) -> impl Iterator<Item = (&Tag, &MenuItem, &Variant)> {
        self.names.skus.values().map(|&(id, variant)| {
            let item = &self.book.items[id];
            (id, item, &item.variants[variant])
        })
    }

    /// Finds articles that promotions can bring to nothing without a coupon or a quota: in each stage by the largest
    /// part that is taken off, all stages together.
    fn stacking(&mut self) {
        let mut free: Vec<(String, Vec<&Tag>)> = Vec::new();
        for (id, item, variant) in self.articles() {
            let price = variant.price_minor.minor();
            let mut left = i128::from(price);
            let mut by = Vec::new();
            for stage in Stage::ALL {
                let of_stage = self.book.promotions.iter().filter(|promotion| {
                    promotion.stage == stage
                        && promotion.coupon.is_none()
                        && promotion.quota.is_none()
                        && promotion.floor_minor.is_none()
                });
                let least = of_stage
                    .filter_map(|promotion| Some((left_by(promotion, id, item, variant, left)?, &promotion.id)))
                    .min_by_key(|(left, _)| *left);
                if let Some((less, promotion)) = least.filter(|(less, _)| *less < left) {
                    left = less;
                    by.push(promotion);
                }
            }
            if price > 0 && left == 0 {
                match free.iter_mut().find(|(_, known)| *known == by) {
                    Some((skus, _)) => skus.push_str(&format!(", {}", variant.sku)),
                    None => free.push((variant.sku.to_string(), by)),
                }
            }
        }
        let found: Vec<(String, String)> = free
            .into_iter()
            .map(|(skus, by)| (by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + "), skus))
            .collect();
        for (by, skus) in found {
            let problem = format!("{by} can bring a unit to nothing: {skus}");
            self.find(Severity::Warning, "promotions", problem);
        }
    }
}

/// What a promotion can leave of one unit at the least; none if the unit is not meant, or that cannot be said of one.
fn left_by(promotion: &Promotion, id: &Tag, item: &MenuItem, variant: &Variant, left: i128) -> Option<i128> {
    let rated = |select: &Select, ppm: u32| {
        fits(select, id, item, variant).then(|| left - left * i128::from(ppm.min(1_000_000)) / 1_000_000)
    };
    let cut =
        |select: &Select, off: Money| fits(select, id, item, variant).then(|| (left - i128::from(off.minor())).max(0));
    match &promotion.benefit {
        Benefit::Percent { select, off_ppm, .. } | Benefit::NthUnit { select, off_ppm, .. } => rated(select, *off_ppm),
        Benefit::BuyGet { get, off_ppm, .. } => rated(get, *off_ppm),
        Benefit::AmountOffEach { select, off_minor } | Benefit::AmountOff { select, off_minor } => {
            cut(select, *off_minor)
        }
        Benefit::FixedPrice { select, price_minor } => {
            fits(select, id, item, variant).then(|| left.min(i128::from(price_minor.minor())))
        }
        Benefit::FreeItem { select, .. } => rated(select, 1_000_000),
        Benefit::Tiers { select, steps, .. } => steps
            .iter()
            .filter_map(|step| match step.off {
                StepOff::Ppm(ppm) => rated(select, ppm),
                StepOff::Minor(_) => None,
            })
            .min(),
        Benefit::Threshold { .. }
        | Benefit::Bundle { .. }
        | Benefit::PointsMultiplier { .. }
        | Benefit::IssueCoupon { .. } => None,
    }
}

/// Whether an article fits, with whichever options.
fn fits(select: &Select, id: &Tag, item: &MenuItem, variant: &Variant) -> bool {
    let excepted = |except: &Select| except.options.is_empty() && fits(except, id, item, variant);
    select.fits_article(id, item, variant) && !select.except.as_ref().is_some_and(|except| excepted(except))
}

/// How many options of a group can be chosen together, taking them in their order.
fn compatible(group: &OptionGroup) -> usize {
    let mut chosen: Vec<usize> = Vec::new();
    for (place, option) in group.options.iter().enumerate() {
        let excludes = |other: usize| {
            let other = &group.options[other];
            option.excludes.contains(&other.code) || other.excludes.contains(&option.code)
        };
        if !chosen.iter().any(|&other| excludes(other)) {
            chosen.push(place);
        }
    }
    chosen.len()
}
