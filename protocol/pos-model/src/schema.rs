//! JSON Schemas of the values, for documents that people write.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{BusinessDate, Currency, ItemId, Money, Quantity, Sku, Tag};

macro_rules! schema {
    ($name:ident, $($schema:tt)*) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)*)
            }
        }
    };
}

schema!(Tag, {
    "description": "A word from a small set that may grow.",
    "type": "string", "minLength": 1, "maxLength": Tag::LEN_MAX, "pattern": "^[a-z0-9_.-]+$",
});
schema!(Sku, {
    "description": "What is sold: the stock keeping unit of an article, or the code of an option.",
    "type": "string", "minLength": 1, "maxLength": Sku::LEN_MAX,
});
schema!(ItemId, {
    "description": "What is stocked: an ingredient, a cup, a lid.",
    "type": "string", "minLength": 1, "maxLength": ItemId::LEN_MAX,
});
schema!(Money, { "description": "Whole minor units of the currency.", "type": "integer" });
schema!(Quantity, { "description": "Millionths of a unit.", "type": "integer" });
schema!(Currency, {
    "description": "An ISO 4217 code.", "type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY", "EUR"],
});
schema!(BusinessDate, { "description": "A business date.", "type": "string", "format": "date" });
