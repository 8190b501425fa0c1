//! From JSON to a book, and the name of its content.

use pos_model::BookHash;
use serde::Serialize;

use super::{ENGINE_LEVEL, PriceBook, SCHEMA};

/// A document is no price book that this program can price by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// Something in it has another form.
    #[error("read the price book: {path}: {problem}")]
    Form {
        /// Where, such as `promotions[3].benefit`.
        path: String,
        /// What.
        problem: String,
    },
    /// The form of the whole is another one.
    #[error("read the price book: its schema is {found}, this program reads {SCHEMA}")]
    Schema {
        /// The form that it names.
        found: u64,
    },
    /// It asks for more than this program understands.
    #[error("read the price book: it asks for engine level {found}, this program understands {ENGINE_LEVEL}")]
    Level {
        /// The level that it names.
        found: u64,
    },
}

impl PriceBook {
    /// Reads a book. Schema and level are looked at first, so that a newer book is named as such and not by the first
    /// field that is unknown here.
    pub fn from_json(json: &[u8]) -> Result<Self, BookError> {
        let form = |path: String, problem: String| BookError::Form { path, problem };
        let whole: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| form("the document".to_owned(), error.to_string()))?;
        let number = |field: &str| whole.get(field).and_then(serde_json::Value::as_u64);
        if let Some(found) = number("schema").filter(|found| *found != u64::from(SCHEMA)) {
            return Err(BookError::Schema { found });
        }
        if let Some(found) = number("engine_level").filter(|found| *found > u64::from(ENGINE_LEVEL)) {
            return Err(BookError::Level { found });
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| form(error.path().to_string(), error.inner().to_string()))
    }

    /// The JSON Schema (2020-12) of a book, for editors and other programs. It tells the form; `check` tells the rest.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The book in its canonical form: JSON without spaces, fields in the order of the types, maps by key, fields that
    /// say nothing left out.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut bytes);
        self.serialize(&mut serializer).expect("a book of text and numbers always encodes");
        bytes
    }

    /// Names the book's content.
    pub fn hash(&self) -> BookHash {
        BookHash::from_bytes(*blake3::hash(&self.canonical()).as_bytes())
    }
}
