//! A price book made ready to price by: names are looked up once, so that pricing a basket compares numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use pos_model::{BookHash, Money, Sku, Tag};

use crate::book::{
    Basis, Condition, MenuItem, MenuOption, OptionGroup, PriceBook, Promotion, Scope, Select, Stage, Variant,
    amount_is_sane,
};

use super::input::Context;

/// A price book that is ready to price by.
#[derive(Debug)]
pub struct Rules {
    book: PriceBook,
    hash: BookHash,
    articles: Vec<Article>,
    groups: Vec<Group>,
    articles_by_sku: BTreeMap<Sku, usize>,
    options: Vec<OptionPlace>,
    options_by_code: BTreeMap<Sku, usize>,
    /// For each stage its promotions: the highest priority first, then by id.
    stages: [Vec<Rule>; Stage::ALL.len()],
    /// Promotions that name an amount out of bounds: no basket is priced by them.
    broken: Vec<Tag>,
}

/// An article: an item of the menu in one size.
#[derive(Debug)]
pub(super) struct Article {
    pub(super) item_id: Tag,
    pub(super) item: Arc<MenuItem>,
    pub(super) variant: usize,
    /// Its groups of options, by their numbers.
    pub(super) groups: Arc<[usize]>,
    /// The name on a receipt.
    pub(super) name: String,
}

impl Article {
    pub(super) fn variant(&self) -> &Variant {
        &self.item.variants[self.variant]
    }
}

/// A group of options.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: Tag,
    pub(super) choices: OptionGroup,
}

/// Where an option stands in the book.
#[derive(Debug)]
struct OptionPlace {
    group: usize,
    place: usize,
}

/// A promotion with its selections.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its place in the book.
    pub(super) place: usize,
    /// The selections of its benefit, in their order there.
    pub(super) selects: Vec<Chosen>,
    /// What must be so.
    pub(super) condition: Option<Ready>,
}

/// A condition with its selections.
#[derive(Debug)]
pub(super) enum Ready {
    All(Vec<Ready>),
    Any(Vec<Ready>),
    Not(Box<Ready>),
    Units {
        chosen: Chosen,
        at_least: u32,
    },
    Amount {
        chosen: Chosen,
        at_least: Money,
        basis: Basis,
    },
    /// One that looks at no unit.
    Circumstance(Condition),
}

/// A selection of units, by the numbers of articles and options.
#[derive(Debug)]
pub(super) struct Chosen {
    /// By article: whether it fits.
    articles: Vec<bool>,
    /// One of these options is needed, unless it is none.
    options: Option<Vec<usize>>,
    except: Option<Box<Chosen>>,
}

impl Chosen {
    pub(super) fn fits(&self, article: usize, options: &[usize]) -> bool {
        self.articles[article]
            && self.options.as_ref().is_none_or(|any_of| any_of.iter().any(|option| options.contains(option)))
            && !self.except.as_ref().is_some_and(|except| except.fits(article, options))
    }
}

impl Rules {
    /// Makes a book ready. Names that lead nowhere fit nothing; `check` finds them.
    pub fn new(book: PriceBook) -> Self {
        let hash = book.hash();
        let groups: Vec<Group> =
            book.option_groups.iter().map(|(id, choices)| Group { id: id.clone(), choices: choices.clone() }).collect();
        let mut articles = Vec::new();
        let mut articles_by_sku = BTreeMap::new();
        for (item_id, item) in &book.items {
            let of_item = item.option_groups.iter().filter_map(|id| groups.iter().position(|group| group.id == *id));
            let (of_item, item): (Arc<[usize]>, _) = (of_item.collect(), Arc::new(item.clone()));
            for (variant, article) in item.variants.iter().enumerate() {
                articles_by_sku.entry(article.sku.clone()).or_insert(articles.len());
                let space = if article.name.is_empty() { "" } else { " " };
                articles.push(Article {
                    item_id: item_id.clone(),
                    item: Arc::clone(&item),
                    variant,
                    groups: Arc::clone(&of_item),
                    name: format!("{}{space}{}", item.name, article.name),
                });
            }
        }
        let mut options = Vec::new();
        let mut options_by_code = BTreeMap::new();
        for (group, Group { choices, .. }) in groups.iter().enumerate() {
            for (place, option) in choices.options.iter().enumerate() {
                options_by_code.entry(option.code.clone()).or_insert(options.len());
                options.push(OptionPlace { group, place });
            }
        }
        let broken = book.promotions.iter().filter(|one| is_broken(one)).map(|one| one.id.clone()).collect();
        let stages = Default::default();
        let mut rules =
            Self { book, hash, articles, groups, articles_by_sku, options, options_by_code, stages, broken };
        let stages = Stage::ALL.map(|stage| rules.rules_of(stage));
        rules.stages = stages;
        rules
    }

    /// The book.
    pub fn book(&self) -> &PriceBook {
        &self.book
    }

    /// Names the book's content.
    pub fn hash(&self) -> BookHash {
        self.hash
    }

    pub(super) fn stage(&self, stage: Stage) -> &[Rule] {
        &self.stages[stage as usize]
    }

    pub(super) fn broken(&self) -> &[Tag] {
        &self.broken
    }

    pub(super) fn promotion(&self, rule: &Rule) -> &Promotion {
        &self.book.promotions[rule.place]
    }

    pub(super) fn article(&self, sku: &Sku) -> Option<usize> {
        self.articles_by_sku.get(sku).copied()
    }

    pub(super) fn at(&self, article: usize) -> &Article {
        &self.articles[article]
    }

    pub(super) fn group(&self, group: usize) -> &Group {
        &self.groups[group]
    }

    pub(super) fn option_no(&self, code: &Sku) -> Option<usize> {
        self.options_by_code.get(code).copied()
    }

    /// The number of an option's group, and the option.
    pub(super) fn option(&self, option: usize) -> (usize, &MenuOption) {
        let OptionPlace { group, place } = &self.options[option];
        (*group, &self.groups[*group].choices.options[*place])
    }

    fn rules_of(&self, stage: Stage) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self
            .book
            .promotions
            .iter()
            .enumerate()
            .filter(|(_, promotion)| promotion.stage == stage && !self.broken.contains(&promotion.id))
            .map(|(place, promotion)| Rule {
                place,
                selects: promotion.benefit.selects().into_iter().map(|(_, select)| self.chosen(select)).collect(),
                condition: promotion.when.as_ref().map(|condition| self.ready(condition)),
            })
            .collect();
        let key = |rule: &Rule| {
            let promotion = &self.book.promotions[rule.place];
            (std::cmp::Reverse(promotion.priority), promotion.id.clone())
        };
        rules.sort_by_cached_key(key);
        rules
    }

    fn ready(&self, condition: &Condition) -> Ready {
        let all = |of: &[Condition]| of.iter().map(|condition| self.ready(condition)).collect();
        match condition {
            Condition::All { of } => Ready::All(all(of)),
            Condition::Any { of } => Ready::Any(all(of)),
            Condition::Not { of } => Ready::Not(Box::new(self.ready(of))),
            Condition::Units { select, at_least } => Ready::Units { chosen: self.chosen(select), at_least: *at_least },
            Condition::Amount { select, at_least_minor, basis } => {
                Ready::Amount { chosen: self.chosen(select), at_least: *at_least_minor, basis: *basis }
            }
            other => Ready::Circumstance(other.clone()),
        }
    }

    fn chosen(&self, select: &Select) -> Chosen {
        let Select { options, except, .. } = select;
        let fits = |article: &Article| select.fits_article(&article.item_id, &article.item, article.variant());
        Chosen {
            articles: self.articles.iter().map(fits).collect(),
            options: (!options.is_empty()).then(|| options.iter().filter_map(|code| self.option_no(code)).collect()),
            except: except.as_ref().map(|except| Box::new(self.chosen(except))),
        }
    }
}

fn is_broken(promotion: &Promotion) -> bool {
    !promotion.amounts().into_iter().all(|(_, amount)| amount_is_sane(amount))
}

/// Whether a place and time are meant.
pub(super) fn in_scope(scope: &Scope, context: &Context) -> bool {
    let Scope { channels, regions, store_groups, from, to, weekdays, times } = scope;
    (channels.is_empty() || channels.contains(&context.channel))
        && (regions.is_empty() || context.region.as_ref().is_some_and(|region| regions.contains(region)))
        && (store_groups.is_empty() || store_groups.iter().any(|group| context.store_groups.contains(group)))
        && from.is_none_or(|from| from <= context.business_date)
        && to.is_none_or(|to| context.business_date <= to)
        && (weekdays.is_empty() || weekdays.contains(&crate::book::Weekday::of(context.business_date)))
        && (times.is_empty() || times.iter().any(|range| range.contains(context.minute)))
}
