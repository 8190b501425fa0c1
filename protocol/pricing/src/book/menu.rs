//! What is sold, what a customer may choose, and what it takes from stock.

use std::collections::BTreeMap;

use pos_model::{ItemId, Money, Quantity, Sku, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something on the menu, in one or more variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MenuItem {
    /// For people.
    pub name: String,
    /// Where it stands on the menu; promotions pick by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Tag>,
    /// What else it is: `new`, `seasonal`. Promotions pick by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// How it is taxed.
    pub tax_group: Tag,
    /// Where it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<Tag>,
    /// Its sizes; at least one.
    pub variants: Vec<Variant>,
    /// What a customer may choose with it, in the order of the screen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub option_groups: Vec<Tag>,
    /// What one unit takes from stock, before size and options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipe: Recipe,
}

/// An article: a menu item in one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What is sold.
    pub sku: Sku,
    /// The size's code, by which options have prices of their own; `one` where there is one size.
    #[serde(default = "one_size", skip_serializing_if = "is_one_size")]
    pub size: Tag,
    /// For people, such as `large`; empty where there is one size.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The price of one unit without options.
    pub price_minor: Money,
    /// What one unit takes from stock instead of the item's recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// By how much the recipe is larger or smaller, in parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_ppm: Option<u32>,
}

fn one_size() -> Tag {
    Tag::new("one").expect("a short word is a tag")
}

fn is_one_size(size: &Tag) -> bool {
    size.as_str() == "one"
}

/// A choice: how sweet, how much ice, which toppings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionGroup {
    /// For people.
    pub name: String,
    /// At least so many are chosen.
    #[serde(default)]
    pub min: u32,
    /// At most so many are chosen.
    pub max: u32,
    /// What is chosen where the customer says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<Sku>,
    /// What there is, in the order of the screen.
    pub options: Vec<MenuOption>,
}

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MenuOption {
    /// Its code, which no other option of the book has.
    pub code: Sku,
    /// For people.
    pub name: String,
    /// What it adds to one unit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub price_minor: Money,
    /// What it adds where that depends on the size.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub price_by_size: BTreeMap<Tag, Money>,
    /// Options that cannot be chosen with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<Sku>,
    /// What it changes in the recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipe: Vec<RecipeStep>,
}

fn is_zero(amount: &Money) -> bool {
    *amount == Money::ZERO
}

/// Something that recipes take from stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ingredient {
    /// For people.
    pub name: String,
    /// The unit of its quantities, such as `ml`, `g` or `piece`.
    pub unit: Tag,
}

/// What one unit takes from stock.
pub type Recipe = Vec<Used>;

/// A quantity of an ingredient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// The ingredient.
    pub item: ItemId,
    /// How much, in the ingredient's unit: a decimal as text, such as `"0.25"`.
    #[serde(with = "quantity_as_text")]
    #[schemars(with = "String")]
    pub quantity: Quantity,
}

/// What an option changes in a recipe. All replacements of the chosen options come first, then what is removed, then
/// what is added, then the scaling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "step", deny_unknown_fields)]
pub enum RecipeStep {
    /// Another ingredient takes its place.
    Replace {
        /// What is left out.
        from: ItemId,
        /// What comes in.
        to: ItemId,
        /// How much of it comes for one of the other, in parts per million.
        ratio_ppm: u32,
    },
    /// It is left out.
    Remove {
        /// The ingredient.
        item: ItemId,
    },
    /// More goes in.
    Add {
        /// The ingredient.
        item: ItemId,
        /// How much, in its unit: a decimal as text.
        #[serde(with = "quantity_as_text")]
        #[schemars(with = "String")]
        quantity: Quantity,
    },
    /// Less or more of what is in.
    Scale {
        /// The ingredient.
        item: ItemId,
        /// To which part of it, in parts per million.
        ppm: u32,
    },
}

/// People write quantities as decimals.
mod quantity_as_text {
    use pos_model::Quantity;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(quantity: &Quantity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(quantity)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
