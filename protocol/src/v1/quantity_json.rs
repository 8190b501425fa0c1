//! A quantity as tills write it.

use pos_model::{Quantity, QuantityError};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A quantity in JSON: an integer of whole units, or a decimal in quotes with at most six places (`"0.25"`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a quantity is a whole number, or a decimal in quotes such as \"0.5\"")]
pub enum QuantityJson {
    /// Whole units.
    Whole(i64),
    /// A decimal as text.
    Decimal(String),
}

impl QuantityJson {
    /// Parses it.
    pub fn parse(&self) -> Result<Quantity, QuantityError> {
        match self {
            Self::Whole(units) => Quantity::from_units(*units),
            Self::Decimal(text) => text.parse(),
        }
    }
}

impl From<Quantity> for QuantityJson {
    fn from(quantity: Quantity) -> Self {
        match quantity.whole_units() {
            Some(units) => Self::Whole(units),
            None => Self::Decimal(quantity.to_string()),
        }
    }
}

// Written out, for a derived schema says nothing of what stands in the text.
impl PartialSchema for QuantityJson {
    fn schema() -> RefOr<Schema> {
        let decimal = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$"))
            .examples([serde_json::json!("0.25")]);
        let description = "An integer of whole units, or a decimal in quotes with at most six places.";
        OneOfBuilder::new().item(i64::schema()).item(decimal).description(Some(description)).into()
    }
}

impl ToSchema for QuantityJson {}
