//! `bench price`: baskets priced by a book, beside adding the same lines up without one.
//!
//! The book is the sample chain's, its promotions repeated under other ids until there are as many as asked. Baskets are
//! random with a seed. Bare is `pricing::total` of lines that carry their prices already.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use pos_model::{DayCutOff, Quantity, Sku, Stamp, Tag};
use pricing::book::PriceBook;
use pricing::{Basket, BasketLine, Context, LineInput, Member, PricedBasket, Rules};
use serde_json::json;
use sync_core::Random;

use super::{Machine, Report, Round, per_second};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lines of a basket in the closing figures.
    pub lines: usize,
    /// Promotions of the book in the closing figures.
    pub promotions: usize,
    /// Seconds for each cell of the table, and for each round.
    pub seconds: u64,
    /// Rounds; the figures are medians.
    pub rounds: usize,
}

/// The table beside the closing figures.
const LINES: [usize; 3] = [1, 5, 20];
const PROMOTIONS: [usize; 3] = [10, 50, 200];

/// Different baskets in a run.
const BASKETS: usize = 500;

/// Runs the case.
pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    let path = crate::workload::tea_book_path();
    let book = PriceBook::from_json(&std::fs::read(path).context("read the sample book")?)?;
    let time = Duration::from_secs(settings.seconds);
    let mut table = Vec::new();
    for promotions in PROMOTIONS {
        let rules = Rules::new(with_promotions(&book, promotions)?);
        for lines in LINES {
            let cell = ours(&rules, &baskets(&rules, lines)?, time)?;
            eprintln!("{lines} lines, {promotions} promotions: {} baskets/s, p99 {} ns", cell.per_s, cell.p99_ns);
            table.push(json!({
                "lines": lines, "promotions": promotions,
                "baskets_per_s": cell.per_s, "p50_ns": cell.p50_ns, "p99_ns": cell.p99_ns,
            }));
        }
    }
    let rules = Rules::new(with_promotions(&book, settings.promotions)?);
    let baskets = baskets(&rules, settings.lines)?;
    let (mut rounds, mut cells) = (Vec::new(), Vec::new());
    for number in 1..=settings.rounds {
        let cell = ours(&rules, &baskets, time)?;
        let bare_per_s = bare(&rules, &baskets, time);
        eprintln!("round {number}/{}: {} baskets/s, added up only {bare_per_s}/s", settings.rounds, cell.per_s);
        rounds.push(Round { sales_per_s: cell.per_s, bare_per_s });
        cells.push(cell);
    }
    let median_us = |ns: fn(&Cell) -> u64| super::median(cells.iter().map(ns)).map(|ns| ns.div_ceil(1000));
    let (p50_us, p99_us, max_us) =
        (median_us(|cell| cell.p50_ns), median_us(|cell| cell.p99_ns), median_us(|cell| cell.max_ns));
    let settings = json!({
        "lines": settings.lines, "promotions": settings.promotions, "seconds": settings.seconds,
        "rounds": settings.rounds, "book": "tea", "table": table, "machine": Machine::here(&std::env::temp_dir()),
    });
    Ok(Report { case: "price", settings, p50_us, p99_us, max_us, ..Report::default() }.with_rounds(rounds))
}

struct Cell {
    per_s: u64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

fn ours(rules: &Rules, baskets: &[(Basket, Context)], time: Duration) -> anyhow::Result<Cell> {
    let mut took = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).context("make a histogram")?;
    let started = Instant::now();
    let mut priced = 0;
    while started.elapsed() < time {
        for (basket, context) in baskets {
            let began = Instant::now();
            let one: PricedBasket = pricing::price(black_box(basket), rules, context);
            took.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            black_box(one);
            priced += 1;
        }
    }
    let per_s = per_second(priced, started.elapsed());
    Ok(Cell { per_s, p50_ns: took.value_at_quantile(0.5), p99_ns: took.value_at_quantile(0.99), max_ns: took.max() })
}

fn bare(rules: &Rules, baskets: &[(Basket, Context)], time: Duration) -> u64 {
    let priced: Vec<PricedBasket> =
        baskets.iter().map(|(basket, context)| pricing::price(basket, rules, context)).collect();
    let options: Vec<Vec<Vec<_>>> = priced
        .iter()
        .map(|basket| basket.lines.iter().map(|line| line.options.iter().map(|one| one.price).collect()).collect())
        .collect();
    let inputs: Vec<Vec<LineInput<'_>>> = priced
        .iter()
        .zip(&options)
        .map(|(basket, options)| {
            let line = |(line, options)| {
                let line: &pricing::PricedLine = line;
                let options: &Vec<_> = options;
                LineInput {
                    unit_price: line.unit_price,
                    options,
                    quantity: line.quantity,
                    adjustments: &[],
                    tax_group: &line.tax_group,
                    tax_rate_ppm: line.tax_rate_ppm,
                    tax_on_top: line.tax_on_top,
                }
            };
            basket.lines.iter().zip(options).map(line).collect()
        })
        .collect();
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < time {
        for lines in &inputs {
            // A sum that does not fit would show in the first run, of ours.
            let _ = black_box(pricing::total(black_box(lines)));
            done += 1;
        }
    }
    per_second(done, started.elapsed())
}

/// The book with so many promotions.
fn with_promotions(book: &PriceBook, count: usize) -> anyhow::Result<PriceBook> {
    let mut grown = book.clone();
    grown.promotions = (0..count)
        .map(|number| {
            let mut promotion = book.promotions[number % book.promotions.len()].clone();
            promotion.id = Tag::new(format!("{}-{number}", promotion.id)).context("name a promotion")?;
            Ok(promotion)
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(grown)
}

/// Baskets of so many lines, by a gold member on a Wednesday afternoon, when most promotions hold.
fn baskets(rules: &Rules, lines: usize) -> anyhow::Result<Vec<(Basket, Context)>> {
    let mut random = Random::new(1);
    let book = rules.book();
    let articles: Vec<_> =
        book.items.values().flat_map(|item| item.variants.iter().map(move |variant| (item, variant))).collect();
    let tag = |text: &str| Tag::new(text).context("a tag");
    let afternoon = Stamp { utc_ms: 1_795_617_000_000, offset_s: 0 };
    let context = Context {
        member: Some(Member { level: Some(tag("gold")?), ..Member::default() }),
        coupons: vec![tag("three-off")?],
        ..Context::at(afternoon, DayCutOff::default(), tag("counter")?)
    };
    let mut below = |count: usize| usize::try_from(random.below(count.max(1) as u64)).unwrap_or(0);
    let mut line = || {
        let (item, variant) = articles[below(articles.len())];
        let options = item.option_groups.iter().flat_map(|group| {
            let group = &book.option_groups[group];
            let default: Vec<Sku> = group.defaults.clone();
            if default.is_empty() && group.options.len() > 1 { vec![group.options[0].code.clone()] } else { default }
        });
        let quantity = [Quantity::ONE, Quantity::from_micro(2_000_000), Quantity::from_micro(3_000_000)][below(3)];
        BasketLine { sku: variant.sku.clone(), options: options.collect(), quantity }
    };
    Ok((0..BASKETS).map(|_| (Basket { lines: (0..lines).map(|_| line()).collect() }, context.clone())).collect())
}
