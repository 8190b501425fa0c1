//! One customer's order, by chance, as the till sends it.

use pos_model::{ItemId, Money, Quantity, SaleId, Tag, TillId};
use protocol::latest::local_api::{
    AdjustmentCommand, CompleteSale, ConsumptionCommand, LineCommand, OptionCommand, QuantityJson, TenderCommand,
};
use sync_core::Random;
use uuid::Uuid;

use super::menu::{Choice, Drink, Ingredient, Menu};

/// VAT on food service, in parts per million of the net amount.
const TAX_RATE_PPM: u32 = 60_000;

/// Tills of a store.
const TILLS: u64 = 3;

/// Members that a store's customers are drawn from.
const MEMBERS: u64 = 20_000;

/// What every line of a promotion gets off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id on the line.
    pub promotion_id: String,
    /// Off one cup.
    pub off: Money,
    /// Of how many lines in a hundred.
    pub percent: u64,
}

impl Offer {
    /// What runs on an ordinary day.
    pub(super) fn ordinary() -> Self {
        Self { promotion_id: "two-off".to_owned(), off: Money::from_minor(200), percent: 10 }
    }
}

/// Makes an order. `at_ms` is the moment in its id (milliseconds since 1970): tills make UUIDs of version 7.
pub(super) fn order(random: &mut Random, at_ms: u64, offer: &Offer) -> CompleteSale {
    let menu = Menu::tea();
    let till = random.below(TILLS);
    let lines: Vec<LineCommand> = (0..line_count(random)).map(|_| line(random, menu, offer)).collect();
    let total = lines.iter().map(gross).sum();
    let (channel, tenders, member_tag) = match random.below(100) {
        0..60 => ("mini_program", vec![tender("wallet", total)], Some(format!("m-{}", random.below(MEMBERS)))),
        60..85 => ("delivery", vec![tender("delivery", total)], None),
        _ if random.below(5) == 0 => ("counter", vec![tender("cash", cash_for(random, total))], None),
        _ => ("counter", vec![tender("card", total)], None),
    };
    CompleteSale {
        approval_id: None,
        basket_id: None,
        basket_revision: None,
        label: None,
        order: None,
        sale_id: sale_id(random, at_ms),
        till_id: TillId::new(format!("T{}", till + 1)).expect("a letter and a digit"),
        operator_id: Some(format!("op-{}", till * 2 + random.below(2) + 1).parse().expect("letters and digits")),
        channel: tag(channel),
        member_tag,
        lines,
        tenders: if total == 0 { Vec::new() } else { tenders },
        expected_total_minor: Some(Money::from_minor(total)),
        price_book_version: Some("tea-1".to_owned()),
        imported: None,
        traceparent: None,
    }
}

pub(super) fn tag(word: &str) -> Tag {
    Tag::new(word).expect("a word of small letters is a tag")
}

pub(super) fn tender(kind: &str, amount: i64) -> TenderCommand {
    TenderCommand { kind: tag(kind), amount_minor: Money::from_minor(amount), attempt_id: None }
}

/// The exact amount, or the next whole note of ten or fifty.
fn cash_for(random: &mut Random, total: i64) -> i64 {
    let note = [1, 1_000, 5_000][usize::try_from(random.below(3)).expect("below three")];
    total.div_euclid(note) * note + if total.rem_euclid(note) == 0 { 0 } else { note }
}

pub(super) fn sale_id(random: &mut Random, at_ms: u64) -> SaleId {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next_u64().to_le_bytes()[..2]);
    let id: Uuid = uuid::Builder::from_unix_timestamp_millis(at_ms, &bytes).into_uuid();
    SaleId::new(id)
}

/// 75 % of orders have one line, 20 % two, 4 % three, and the rest up to seven.
fn line_count(random: &mut Random) -> u64 {
    match random.below(100) {
        0..75 => 1,
        75..95 => 2,
        95..99 => 3,
        _ => 4 + random.below(4),
    }
}

fn line(random: &mut Random, menu: &Menu, offer: &Offer) -> LineCommand {
    let drink = pick_drink(random, menu);
    let quantity = if random.below(50) == 0 { 2 } else { 1 };
    let size = pick(random, &menu.sizes);
    let sugar = pick(random, &menu.sugar);
    let ice = (drink.cold && random.below(10) < 7).then(|| pick(random, &menu.ice));
    let topping = (random.below(10) < 4).then(|| pick(random, &menu.toppings));
    let options = [Some(size), Some(sugar), ice, topping].into_iter().flatten();
    let mut adjustments = Vec::new();
    if random.below(100) < offer.percent {
        let off = offer.off.minor().min(drink.price.minor()) * quantity;
        let promotion_id = Some(offer.promotion_id.clone());
        adjustments.push(AdjustmentCommand {
            reason: tag("promotion"),
            promotion_id,
            amount_minor: Money::from_minor(-off),
        });
    }
    LineCommand {
        sku: drink.sku.clone(),
        name: Some(drink.name.clone()),
        quantity: QuantityJson::Whole(quantity),
        unit_price_minor: drink.price,
        options: options
            .map(|choice| OptionCommand {
                code: choice.code.clone(),
                name: Some(choice.name.clone()),
                price_minor: choice.price,
            })
            .collect(),
        adjustments,
        tax_group: None,
        tax_rate_ppm: TAX_RATE_PPM,
        tax_on_top: false,
        consumption: consumption(drink, size, sugar, ice, topping, quantity),
    }
}

fn pick<'a>(random: &mut Random, choices: &'a [Choice]) -> &'a Choice {
    let place = random.below(u64::try_from(choices.len()).expect("a handful"));
    &choices[usize::try_from(place).expect("a handful")]
}

fn pick_drink<'a>(random: &mut Random, menu: &'a Menu) -> &'a Drink {
    let all: u64 = menu.drinks.iter().map(|drink| drink.weight).sum();
    let mut place = random.below(all);
    let found = menu.drinks.iter().find(|drink| match place.checked_sub(drink.weight) {
        Some(rest) => {
            place = rest;
            false
        }
        None => true,
    });
    found.expect("the place lies below the sum of the weights")
}

/// What the line takes from stock: everything that is poured grows with the size; syrup and ice follow their choice.
fn consumption(
    drink: &Drink,
    size: &Choice,
    sugar: &Choice,
    ice: Option<&Choice>,
    topping: Option<&Choice>,
    quantity: i64,
) -> Vec<ConsumptionCommand> {
    let of = |item: &ItemId, milli: i64| ConsumptionCommand {
        item_id: item.clone(),
        quantity: Quantity::from_micro(milli * 1_000 * quantity).into(),
    };
    let scaled = |milli: i64, percent: i64| milli * percent / 100;
    let mut taken: Vec<ConsumptionCommand> =
        drink.recipe.iter().map(|Ingredient { item, milli }| of(item, scaled(*milli, size.amount))).collect();
    for (choice, full_milli) in [(Some(sugar), 25_000), (ice, 120_000)] {
        let Some((choice, item)) = choice.and_then(|choice| Some((choice, choice.item.as_ref()?))) else { continue };
        let milli = scaled(scaled(full_milli, choice.amount), size.amount);
        if milli > 0 {
            taken.push(of(item, milli));
        }
    }
    if let Some((choice, item)) = topping.and_then(|choice| Some((choice, choice.item.as_ref()?))) {
        taken.push(of(item, choice.amount));
    }
    let cup = if size.amount > 100 { "cup-l" } else { "cup-m" };
    taken.extend([cup, "lid", "straw"].map(|piece| of(&super::menu::item(piece), 1_000)));
    taken
}

/// What a generated line comes to. Its quantity is whole, so nothing is rounded.
pub(super) fn gross(line: &LineCommand) -> i64 {
    let QuantityJson::Whole(quantity) = line.quantity else { unreachable!("generated lines have whole quantities") };
    let options: i64 = line.options.iter().map(|option| option.price_minor.minor()).sum();
    let adjustments: i64 = line.adjustments.iter().map(|change| change.amount_minor.minor()).sum();
    (line.unit_price_minor.minor() + options) * quantity + adjustments
}
