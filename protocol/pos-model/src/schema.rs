//! JSON Schemas of the values, for documents that people write and for the descriptions of APIs. Each is written once.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use utoipa::openapi::{RefOr, schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{
    ApprovalId, AttemptId, BasketId, BusinessDate, ChainHash, CommandId, CupId, Currency, ItemId, LineId, Money,
    MovementId, OperatorId, Quantity, RefundId, SaleId, ShiftId, Sku, Stamp, StoreId, Tag, TillId,
};

/// Text without control characters.
const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

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

        impl PartialSchema for $name {
            fn schema() -> RefOr<schema::Schema> {
                let written = Self::json_schema(&mut SchemaGenerator::default());
                serde_json::from_value(written.to_value()).expect("a schema of a plain value is one of OpenAPI as well")
            }
        }

        impl ToSchema for $name {}
    };
}

macro_rules! uuid_schemas {
    ($($name:ident: $description:literal, $example:literal);+ $(;)?) => {
        $(schema!($name, {
            "description": $description, "type": "string", "format": "uuid",
            "examples": [concat!("01990000-0000-7000-8000-0000000000", $example)],
        });)+
    };
}

// The examples of the API tell one day of one store, so that an id that one of them makes is found by the others.
uuid_schemas! {
    ApprovalId: "What somebody has allowed: a UUID that the till made.", "53";
    AttemptId: "An attempt to take money at a terminal: a UUID, version 7, that the till made.", "15";
    BasketId: "A basket: a UUID, version 7, that the till made.", "12";
    CommandId: "A command: a UUID, version 7, that the till made and kept before it sent it.", "01";
    CupId: "A cup: a UUID that follows from its order.", "19";
    LineId: "A line of a basket: a UUID, version 7, that the till made.", "13";
    MovementId: "A movement or a count of stock: a UUID that the till made.", "41";
    RefundId: "A refund: a UUID, version 7, that the till made.", "07";
    SaleId: "A sale: a UUID, version 7, that the till made.", "08";
    ShiftId: "A shift: a UUID, version 7, that the till made.", "02";
}

schema!(TillId, {
    "description": "A till.",
    "type": "string", "minLength": 1, "maxLength": TillId::LEN_MAX, "pattern": "^[A-Za-z0-9_-]+$", "examples": ["T1"],
});
schema!(OperatorId, {
    "description": "An operator.",
    "type": "string", "minLength": 1, "maxLength": OperatorId::LEN_MAX, "pattern": "^[A-Za-z0-9_-]+$", "examples": ["li"],
});
schema!(StoreId, {
    "description": "A store.",
    "type": "string", "minLength": 1, "maxLength": StoreId::LEN_MAX, "pattern": "^[A-Za-z0-9_-]+$",
    "examples": ["SH-0042"],
});

schema!(Tag, {
    "description": "A word from a small set that may grow.",
    "type": "string", "minLength": 1, "maxLength": Tag::LEN_MAX, "pattern": "^[a-z0-9_.-]+$",
});
schema!(Sku, {
    "description": "What is sold: the stock keeping unit of an article, or the code of an option.",
    "type": "string", "minLength": 1, "maxLength": Sku::LEN_MAX, "pattern": PRINTABLE,
});
schema!(ItemId, {
    "description": "What is stocked: an ingredient, a cup, a lid.",
    "type": "string", "minLength": 1, "maxLength": ItemId::LEN_MAX, "pattern": PRINTABLE,
    "examples": ["milk"],
});
schema!(Money, { "description": "Whole minor units of the currency.", "type": "integer", "format": "int64" });
schema!(Quantity, { "description": "Millionths of a unit.", "type": "integer", "format": "int64" });
schema!(Currency, {
    "description": "An ISO 4217 code.", "type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY", "EUR"],
});
schema!(BusinessDate, { "description": "A business date.", "type": "string", "format": "date", "examples": ["2026-03-02"] });
schema!(ChainHash, {
    "description": "A BLAKE3 of the store's history.", "type": "string", "pattern": "^[0-9a-f]{64}$",
});
schema!(Stamp, {
    "description": "A moment, and by how much local time was ahead of UTC.",
    "type": "object",
    "properties": {
        "utc_ms": { "description": "Milliseconds since 1970 (UTC).", "type": "integer", "format": "int64" },
        "offset_s": { "description": "Seconds that local time is ahead of UTC.", "type": "integer", "format": "int32" },
    },
    "required": ["utc_ms", "offset_s"],
});
