//! The second file: names and prices of items.

use std::collections::HashMap;

use pos_model::Money;

use super::columns::Columns;
use super::mapping::{CatalogueFormat, Mapping};
use super::receipts::ReceiptsError;
use super::rows::Rows;

/// What is known of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Article {
    pub(super) name: Option<String>,
    pub(super) price: Option<Money>,
}

/// Items by their SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalogue(HashMap<String, Article>);

impl Catalogue {
    pub(super) fn article(&self, sku: &str) -> Option<&Article> {
        self.0.get(sku)
    }

    /// Reads the catalogue. Unlike receipts it has to be right as a whole: it is short, and each item is in many rows.
    pub(super) fn read(text: &str, format: &CatalogueFormat, mapping: &Mapping) -> Result<Self, ReceiptsError> {
        let mut rows = Rows::new(text, mapping.dialect);
        let Some(header) = rows.next().transpose()? else { return Err(ReceiptsError::Empty) };
        let columns = Columns::of_header(&format.file, &header);
        let key = columns.place(&format.key)?;
        let name = columns.optional(format.name.as_ref())?;
        let price = columns.optional(format.price.as_ref())?;
        let mut articles = HashMap::new();
        for row in rows {
            let row = row?;
            let (cells, count) = (row.cells.len(), columns.count());
            if cells != count {
                return Err(ReceiptsError::CatalogueCells { line: row.line, cells, columns: count });
            }
            let filled = |place: Option<usize>| place.map(|place| row.cell(place)).filter(|cell| !cell.is_empty());
            let parse = |text: &str| {
                mapping.money.parse(text).map_err(|source| ReceiptsError::CataloguePrice { line: row.line, source })
            };
            let article =
                Article { name: filled(name).map(str::to_owned), price: filled(price).map(parse).transpose()? };
            if articles.insert(row.cell(key).to_owned(), article).is_some() {
                return Err(ReceiptsError::CatalogueTwice { line: row.line, key: row.cell(key).to_owned() });
            }
        }
        Ok(Self(articles))
    }
}
