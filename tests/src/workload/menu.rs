//! The menu of a tea chain: drinks with their recipes, and what may be chosen with them.

use std::sync::OnceLock;

use pos_model::{ItemId, Money, Sku};

/// A drink on the menu. Prices are in fen, for the medium size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drink {
    /// Its SKU.
    pub sku: Sku,
    /// Its name on the receipt.
    pub name: String,
    /// The price of the medium size.
    pub price: Money,
    /// Served with ice if the customer wants.
    pub cold: bool,
    /// What a medium cup takes, beside syrup, ice and the cup itself.
    pub recipe: Vec<Ingredient>,
    /// How often it is asked for, beside the others.
    pub weight: u64,
}

/// An ingredient and how much of it, in thousandths of its base unit (millilitres, grams, pieces).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    /// What.
    pub item: ItemId,
    /// How much.
    pub milli: i64,
}

/// Something to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its code.
    pub code: Sku,
    /// Its name on the receipt.
    pub name: String,
    /// What it adds to the price of one cup.
    pub price: Money,
    /// What it does to the recipe: the size scales everything, the others their own ingredient; in percent. For a topping,
    /// what one portion takes, in thousandths.
    pub amount: i64,
    /// The ingredient that it is about.
    pub item: Option<ItemId>,
}

/// The menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// The drinks, the popular ones first.
    pub drinks: Vec<Drink>,
    /// Medium and large.
    pub sizes: Vec<Choice>,
    /// From full to none.
    pub sugar: Vec<Choice>,
    /// From full to none.
    pub ice: Vec<Choice>,
    /// Toppings.
    pub toppings: Vec<Choice>,
}

/// Items with their millilitres.
type Poured = &'static [(&'static str, i64)];

/// Bases with their price, and what is poured: item and millilitres.
const BASES: [(&str, &str, i64, Poured); 8] = [
    ("milk-tea", "Milk Tea", 1_400, &[("black-tea", 200), ("milk", 150)]),
    ("green-tea", "Green Tea", 1_100, &[("green-tea", 350)]),
    ("oolong-milk", "Oolong Milk Tea", 1_600, &[("oolong-tea", 220), ("milk", 130)]),
    ("cheese-foam", "Cheese Foam Tea", 2_000, &[("green-tea", 280), ("cheese-foam", 70)]),
    ("fruit-tea", "Fruit Tea", 1_800, &[("green-tea", 220), ("fruit-pulp", 120)]),
    ("latte", "Tea Latte", 1_900, &[("black-tea", 120), ("milk", 230)]),
    ("smoothie", "Smoothie", 2_100, &[("fruit-pulp", 200), ("milk", 80)]),
    ("lemonade", "Lemon Tea", 900, &[("black-tea", 250), ("lemon-juice", 60)]),
];

/// Flavours with what they add to the price, and their grams.
const FLAVOURS: [(&str, &str, i64, i64); 5] = [
    ("classic", "Classic", 0, 0),
    ("jasmine", "Jasmine", 100, 5),
    ("peach", "Peach", 200, 30),
    ("mango", "Mango", 300, 40),
    ("taro", "Taro", 300, 35),
];

/// Bases that are served hot as often as cold, so nobody asks about ice.
const HOT_BASES: [&str; 2] = ["latte", "oolong-milk"];

impl Menu {
    /// The menu, made once: eight bases in five flavours.
    pub fn tea() -> &'static Self {
        static MENU: OnceLock<Menu> = OnceLock::new();
        MENU.get_or_init(|| {
            let mut drinks = Vec::with_capacity(BASES.len() * FLAVOURS.len());
            for (flavour, flavour_name, extra, grams) in FLAVOURS {
                for (base, base_name, price, poured) in BASES {
                    let mut recipe: Vec<Ingredient> =
                        poured.iter().map(|&(item, amount)| ingredient(item, amount)).collect();
                    if grams > 0 {
                        recipe.push(ingredient(&format!("{flavour}-flavour"), grams));
                    }
                    drinks.push(Drink {
                        sku: sku(&format!("{flavour}-{base}")),
                        name: format!("{flavour_name} {base_name}"),
                        price: Money::from_minor(price + extra),
                        cold: !HOT_BASES.contains(&base),
                        recipe,
                        weight: 0,
                    });
                }
            }
            // A few drinks make most of the sales, as everywhere: the weight falls with the rank.
            for (rank, drink) in (3..).zip(&mut drinks) {
                drink.weight = 10_000 / rank;
            }
            Self {
                drinks,
                sizes: choices("size", &[("m", "Medium", 0, 100), ("l", "Large", 300, 140)], None),
                sugar: choices(
                    "sugar",
                    &[
                        ("100", "Full sugar", 0, 100),
                        ("70", "Less sugar", 0, 70),
                        ("50", "Half sugar", 0, 50),
                        ("30", "Little sugar", 0, 30),
                        ("0", "No sugar", 0, 0),
                    ],
                    Some("syrup"),
                ),
                ice: choices(
                    "ice",
                    &[("100", "Normal ice", 0, 100), ("50", "Less ice", 0, 50), ("0", "No ice", 0, 0)],
                    Some("ice"),
                ),
                toppings: [
                    ("pearls", "Tapioca pearls", 200, 50_000),
                    ("coconut-jelly", "Coconut jelly", 200, 45_000),
                    ("pudding", "Pudding", 300, 60_000),
                    ("grass-jelly", "Grass jelly", 200, 50_000),
                    ("red-beans", "Red beans", 200, 40_000),
                    ("oat-milk", "Oat milk", 400, 100_000),
                ]
                .into_iter()
                .map(|(code, name, price, milli)| choice(code, name, price, milli, Some(code)))
                .collect(),
            }
        })
    }
}

fn choices(kind: &str, entries: &[(&str, &str, i64, i64)], of: Option<&str>) -> Vec<Choice> {
    entries
        .iter()
        .map(|&(code, name, price, percent)| choice(&format!("{kind}-{code}"), name, price, percent, of))
        .collect()
}

fn choice(code: &str, name: &str, price: i64, amount: i64, of: Option<&str>) -> Choice {
    Choice { code: sku(code), name: name.to_owned(), price: Money::from_minor(price), amount, item: of.map(item) }
}

fn ingredient(name: &str, amount: i64) -> Ingredient {
    Ingredient { item: item(name), milli: amount * 1_000 }
}

fn sku(text: &str) -> Sku {
    Sku::new(text).expect("the menu's codes are short and printable")
}

pub(in crate::workload) fn item(text: &str) -> ItemId {
    ItemId::new(text).expect("the menu's ingredients are short and printable")
}
