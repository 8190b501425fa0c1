//! What holds of any basket under the sample book.

use crate::support::{adds_up, circumstances, parse_basket, tea};
use pos_model::{Money, Quantity, Sku};
use pricing::{Basket, BasketLine, Context, PricedBasket, Return, Rules, SoldLine, price, refund};
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
        let rules = tea();
        let mut turned = basket.clone();
        let turn = turn % turned.lines.len();
        turned.lines.rotate_left(turn);
        let (one, other) = (price(&basket, &rules, &context), price(&turned, &rules, &context));
        // Of units of one price the earlier is picked. Another pick may round another line, by half a minor unit each.
        let far = (one.gross.minor() - other.gross.minor()).unsigned_abs();
        prop_assert!(far <= basket.lines.len() as u64, "{} and {}", one.gross.minor(), other.gross.minor());
        let times = |priced: &PricedBasket| priced.applied.iter().map(|one| (one.promotion.clone(), one.times)).collect::<Vec<_>>();
        prop_assert_eq!(times(&one), times(&other));
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
