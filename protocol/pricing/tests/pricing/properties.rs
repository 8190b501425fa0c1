//! What holds of any basket under the sample book.

use crate::support::{adds_up, circumstances, parse_basket, tea};
use pos_model::{Money, Quantity, Sku};
use pricing::book::PriceBook;
use pricing::{Basket, BasketLine, Context, PricedBasket, Return, Rules, SoldLine, explain, price, refund};
use proptest::prelude::*;

const WORDS: [&str; 12] = [
    "",
    "wed",
    "mon 14:30",
    "fri 23:00",
    "gold",
    "staff",
    "order:1",
    "coupon:free-cup",
    "coupon:three-off",
    "coupon:free-cup coupon:three-off gold wed",
    "date:2026-12-01 gold quota:million-cups=1",
    "channel:delivery sat",
];

fn skus(rules: &Rules) -> Vec<Sku> {
    let items = rules.book().items.values();
    items.flat_map(|item| item.variants.iter().map(|variant| variant.sku.clone())).collect()
}

/// Baskets of up to eight lines, with toppings on some.
fn baskets() -> impl Strategy<Value = (Basket, Context)> {
    let count = skus(&tea()).len();
    let lines = prop::collection::vec((0..count, 1i64..5, any::<bool>()), 1..8);
    (lines, 0..WORDS.len()).prop_map(|(lines, words)| {
        let skus = skus(&tea());
        let text: Vec<String> = lines
            .into_iter()
            .map(|(sku, units, topped)| {
                let topping = if topped && skus[sku].as_str().contains("milk-tea") { " +topping-pudding" } else { "" };
                format!("{units} {}{topping}", skus[sku])
            })
            .collect();
        (parse_basket(&text.join(", ")), circumstances(WORDS[words]))
    })
}

/// The gross of each unit of the lines, for which a tax on top would have to be shared out; the sample book has none.
fn sold(priced: &PricedBasket) -> Vec<SoldLine> {
    let line = |line: &pricing::PricedLine| SoldLine {
        units: line.units.iter().map(|unit| unit.paid).collect(),
        tax: line.tax,
        returned: Vec::new(),
    };
    priced.lines.iter().map(line).collect()
}

/// Of units that are alike the earlier is picked. Another pick may round another line, by half a minor unit each.
#[track_caller]
fn order_matters_for_ties_only(basket: &Basket, context: &Context, turn: usize) {
    let rules = tea();
    let mut turned = basket.clone();
    let turn = turn % turned.lines.len();
    turned.lines.rotate_left(turn);
    let (one, other) = (price(basket, &rules, context), price(&turned, &rules, context));
    let far = (one.gross.minor() - other.gross.minor()).unsigned_abs();
    assert!(far <= basket.lines.len() as u64, "{} and {}", one.gross.minor(), other.gross.minor());
    let times =
        |priced: &PricedBasket| priced.applied.iter().map(|one| (one.promotion.clone(), one.times)).collect::<Vec<_>>();
    assert_eq!(times(&one), times(&other));
}

#[test]
fn ties_between_many_lines_cost_at_most_their_rounding() {
    let basket = parse_basket(
        "4 hot-cocoa-m, 3 matcha-milk-m, 3 cheese-mango-l, 3 brown-sugar-milk-m, 3 mango-tea-l, 1 jasmine-tea-m",
    );
    order_matters_for_ties_only(&basket, &circumstances("coupon:free-cup"), 3);
}

#[test]
fn a_large_cup_and_a_small_one_with_a_topping_cost_the_same_in_any_order() {
    let basket =
        parse_basket("1 coconut-milk-tea-m +topping-pudding, 1 americano-m, 1 americano-m, 1 coconut-milk-tea-l");
    let (rules, context) = (tea(), circumstances("wed gold"));
    let price_of = |turn| {
        let mut turned = basket.clone();
        turned.lines.rotate_left(turn);
        price(&turned, &rules, &context).gross
    };
    assert_eq!([1, 2, 3].map(price_of), [price_of(0); 3]);
}

/// Puts a number in place of a document's n-th; whether there is such a one.
fn put(value: &mut serde_json::Value, place: &mut usize, other: i64) -> bool {
    match value {
        serde_json::Value::Number(number) if *place == 0 => {
            *number = other.into();
            true
        }
        serde_json::Value::Number(_) => {
            *place -= 1;
            false
        }
        serde_json::Value::Array(of) => of.iter_mut().any(|value| put(value, place, other)),
        serde_json::Value::Object(of) => of.values_mut().any(|value| put(value, place, other)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => false,
    }
}

#[test]
fn whatever_number_stands_in_a_book_a_basket_has_a_price() {
    let text = "3 coconut-milk-tea-m +topping-pudding, 2 egg-waffle, 5 mango-tea-l, 2 americano-m, 2 jasmine-tea-m";
    let basket = parse_basket(text);
    let sound = serde_json::to_value(tea().book()).expect("a book encodes");
    let (mut read, mut refused) = (0, 0);
    for place in 0.. {
        let mut book = sound.clone();
        if !put(&mut book, &mut place.clone(), 0) {
            break;
        }
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            put(&mut book, &mut place.clone(), number);
            let Ok(book) = PriceBook::from_json(book.to_string().as_bytes()) else {
                refused += 1;
                continue;
            };
            read += 1;
            book.check();
            let rules = Rules::new(book);
            for words in WORDS {
                let priced = price(&basket, &rules, &circumstances(words));
                adds_up(&priced);
                explain(&priced, "CNY".parse().expect("a currency"));
            }
        }
    }
    // Numbers that do not fit their fields are refused with the book.
    assert!(read > 300 && refused > 50, "{read} books read, {refused} refused");
}

proptest! {
    #[test]
    fn amounts_add_up_and_equal_input_gives_equal_output((basket, context) in baskets()) {
        let rules = tea();
        let priced = price(&basket, &rules, &context);
        adds_up(&priced);
        prop_assert!(priced.problems.is_empty(), "{:?}", priced.problems);
        prop_assert!(priced.gross <= priced.list);
        prop_assert_eq!(&priced, &price(&basket, &tea(), &context));
    }

    #[test]
    fn the_order_of_lines_changes_ties_only((basket, context) in baskets(), turn in 0usize..8) {
        order_matters_for_ties_only(&basket, &context, turn);
    }

    #[test]
    fn more_goods_cost_less_only_by_a_promotion_that_says_so((basket, context) in baskets(), (extra, _) in baskets()) {
        let rules = tea();
        let before = price(&basket, &rules, &context);
        let mut more = basket.clone();
        more.lines.push(extra.lines[0].clone());
        let after = price(&more, &rules, &context);
        let off = |priced: &PricedBasket, promotion: &pos_model::Tag| -> i64 {
            priced.applied.iter().filter(|one| one.promotion == *promotion).map(|one| -one.amount.minor()).sum()
        };
        let says_so = after.applied.iter().any(|one| off(&after, &one.promotion) > off(&before, &one.promotion));
        prop_assert!(after.gross >= before.gross || says_so, "{} after {}", after.gross.minor(), before.gross.minor());
        prop_assert!(after.list >= before.list);
    }

    #[test]
    fn what_comes_back_in_parts_is_what_was_paid((basket, context) in baskets(), seed: u64) {
        let priced = price(&basket, &tea(), &context);
        let sale = sold(&priced);
        let mut returns: Vec<Return> = sale
            .iter()
            .enumerate()
            .flat_map(|(line, sold)| (0..sold.units.len()).map(move |unit| Return { line, units: vec![unit] }))
            .collect();
        // Some order that depends on the seed.
        returns.sort_by_key(|one| (one.line as u64 * 31 + one.units[0] as u64 * 17).wrapping_mul(seed | 1));
        let all = refund(&sale, &returns).expect("each unit once");
        prop_assert_eq!((all.gross, all.tax), (priced.gross, priced.tax));
        let mut sum = Money::ZERO;
        for one in &returns {
            sum = sum.checked_add(refund(&sale, std::slice::from_ref(one)).expect("was sold").gross).expect("fits");
        }
        prop_assert_eq!(sum, priced.gross);
    }

    #[test]
    fn any_basket_has_an_answer(
        lines in prop::collection::vec(
            ("[a-z]{1,4}|green-tea-m|cheese-grape-l", prop::collection::vec("[a-z]{1,4}|hot|ice-full|topping-cheese", 0..4), any::<i64>()),
            0..6),
    ) {
        let basket = Basket {
            lines: lines
                .into_iter()
                .map(|(sku, options, micro)| BasketLine {
                    sku: Sku::new(sku).expect("valid"),
                    options: options.into_iter().map(|code| Sku::new(code).expect("valid")).collect(),
                    quantity: Quantity::from_micro(micro),
                })
                .collect(),
        };
        adds_up(&price(&basket, &tea(), &circumstances("coupon:free-cup")));
    }
}
