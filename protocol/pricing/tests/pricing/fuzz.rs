//! Books and baskets that somebody has broken: whatever can be read can be checked and priced, and the sums are right.
//!
//! `BREAKWATER_FUZZ_ROUNDS` sets how many are tried; a round that fails names its number, which is its seed.

use pos_model::{Quantity, Sku};
use pricing::book::PriceBook;
use pricing::{Basket, BasketLine, Context, Rules, explain, price};
use serde_json::{Value, json};

use crate::support::{adds_up, circumstances, parse_basket, tea};

const ROUNDS: u64 = 1_500;

/// SplitMix64: a few lines, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).expect("below a count")
    }
}

/// Every place of a document, as pointers.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Array(of) => {
            of.iter().enumerate().for_each(|(place, value)| places(value, &format!("{here}/{place}"), found));
        }
        Value::Object(of) => {
            of.iter().for_each(|(key, value)| places(value, &format!("{here}/{}", key.replace('/', "~1")), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Breaks one place: another value, what stands elsewhere, one more or one less of a list, a field gone.
fn damage(book: &mut Value, places: &[String], dice: &mut Dice) {
    let place = &places[dice.below(places.len())];
    let other = book.pointer(&places[dice.below(places.len())]).cloned().unwrap_or(Value::Null);
    let Some(target) = book.pointer_mut(place) else { return };
    match (dice.below(6), target) {
        (0, Value::Array(of)) if !of.is_empty() => drop(of.remove(dice.below(of.len()))),
        (0 | 1, Value::Array(of)) if !of.is_empty() => {
            let again = of[dice.below(of.len())].clone();
            of.push(again);
        }
        (0 | 1, Value::Object(of)) if !of.is_empty() => {
            let key = of.keys().nth(dice.below(of.len())).cloned().unwrap_or_default();
            of.remove(&key);
        }
        (2, Value::Number(number)) => {
            let hostile = [i64::MIN, -1, 0, 1, 2, 100, 1_000_000, i64::from(u32::MAX), i64::MAX];
            *number = hostile[dice.below(hostile.len())].into();
        }
        (3, Value::String(text)) => {
            *text = ["", "a", "tea", "drinks", "25:61-00:00", "22:00-02:00", "milk-tea"][dice.below(7)].to_owned();
        }
        (4, target) => *target = other,
        (_, target) => {
            *target = [json!(null), json!(true), json!(7), json!("x"), json!([]), json!({})][dice.below(6)].clone()
        }
    }
}

/// A basket of goods of the book and of none, with options of all kinds.
fn basket(book: &PriceBook, dice: &mut Dice) -> Basket {
    let skus: Vec<&Sku> = book.items.values().flat_map(|item| &item.variants).map(|variant| &variant.sku).collect();
    let codes: Vec<&Sku> = book.option_groups.values().flat_map(|group| &group.options).map(|one| &one.code).collect();
    let stranger = Sku::new("stranger").expect("valid");
    let pick = |from: &[&Sku], dice: &mut Dice| {
        if from.is_empty() || dice.below(20) == 0 { stranger.clone() } else { from[dice.below(from.len())].clone() }
    };
    let micro = [1_000_000, 2_000_000, 5_000_000, 333_000, 0, -1, 600_000_000, i64::MAX];
    let lines = (0..dice.below(6)).map(|_| BasketLine {
        sku: pick(&skus, dice),
        options: (0..dice.below(4)).map(|_| pick(&codes, dice)).collect(),
        quantity: Quantity::from_micro(if dice.below(4) > 0 { 1_000_000 } else { micro[dice.below(micro.len())] }),
    });
    Basket { lines: lines.collect() }
}

#[test]
fn whatever_can_be_read_can_be_priced() {
    let rounds = std::env::var("BREAKWATER_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let sound = serde_json::to_value(tea().book()).expect("a book encodes");
    let mut all = Vec::new();
    places(&sound, "", &mut all);
    let contexts: Vec<Context> =
        ["wed 14:30 gold coupon:free-cup", "sat 23:30 order:1", "here staff store:airport channel:delivery"]
            .map(circumstances)
            .into();
    let usual =
        parse_basket("2 classic-milk-tea-l +topping-pearls, 1 egg-waffle, 3 mango-tea-m, 2 green-tea-m, 1 americano-m");
    let (mut read, mut refused) = (0, 0);
    for seed in 0..rounds {
        let mut dice = Dice(seed);
        let mut document = sound.clone();
        for _ in 0..=dice.below(3) {
            damage(&mut document, &all, &mut dice);
        }
        let Ok(book) = PriceBook::from_json(document.to_string().as_bytes()) else {
            refused += 1;
            continue;
        };
        read += 1;
        let (findings, hash) = (book.check(), book.hash());
        let again = PriceBook::from_json(&book.canonical()).expect("its own form can be read");
        assert_eq!((again.hash(), &again.check()), (hash, &findings), "seed {seed}");
        let currency = book.currency;
        let baskets = [usual.clone(), basket(&book, &mut dice), basket(&book, &mut dice)];
        let rules = Rules::new(book);
        for basket in &baskets {
            for context in &contexts {
                let priced = price(basket, &rules, context);
                adds_up(&priced);
                assert_eq!(priced, price(basket, &rules, context), "seed {seed}");
                explain(&priced, currency);
            }
        }
    }
    // A fuzzer whose input is refused at the door tests the door only.
    assert!(read > rounds / 20 && refused > 0, "{read} read, {refused} refused");
}
