//! Names of columns become places in a row.

use super::mapping::{ColumnText, TextSource};
use super::rows::Row;

/// Why a column cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ColumnError {
    /// There is none of that name.
    #[error("{file} has no column {column:?}; it has {available}")]
    Missing {
        /// The file.
        file: String,
        /// The name.
        column: String,
        /// The names that there are.
        available: String,
    },
    /// There are several.
    #[error("{file} has more than one column {column:?}")]
    Ambiguous {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
}

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    file: String,
    names: Vec<String>,
}

impl Columns {
    /// Columns as the header names them.
    pub(super) fn of_header(file: &str, header: &Row<'_>) -> Self {
        let names = header.cells.iter().map(|cell| cell.trim().to_owned()).collect();
        Self { file: file.to_owned(), names }
    }

    /// Columns named by their number, from one.
    pub(super) fn numbered(file: &str, first: &Row<'_>) -> Self {
        Self { file: file.to_owned(), names: (1..=first.cells.len()).map(|number| number.to_string()).collect() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The place of a column.
    pub(super) fn place(&self, column: &str) -> Result<usize, ColumnError> {
        let mut places = (0..self.names.len()).filter(|&place| self.names[place] == column);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(ColumnError::Ambiguous { file: self.file.clone(), column: column.to_owned() }),
            (None, _) => Err(ColumnError::Missing {
                file: self.file.clone(),
                column: column.to_owned(),
                available: self.names.join(", "),
            }),
        }
    }

    pub(super) fn places(&self, columns: &[String]) -> Result<Vec<usize>, ColumnError> {
        columns.iter().map(|column| self.place(column)).collect()
    }

    pub(super) fn optional(&self, column: Option<&String>) -> Result<Option<usize>, ColumnError> {
        column.map(|column| self.place(column)).transpose()
    }

    pub(super) fn text(&self, source: &TextSource) -> Result<Text, ColumnError> {
        match source {
            TextSource::Constant(text) => Ok(Text::Constant(text.clone())),
            TextSource::Column(column) => self.column_text(column),
        }
    }

    pub(super) fn column_text(&self, column: &ColumnText) -> Result<Text, ColumnError> {
        Ok(Text::Column(self.place(&column.column)?, column.clone()))
    }
}

/// A text of the order's head, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    Constant(String),
    Column(usize, ColumnText),
}

impl Text {
    /// The text that a row has, if it means anything.
    pub(super) fn read(&self, row: &Row<'_>) -> Option<String> {
        match self {
            Self::Constant(text) => Some(text.clone()),
            Self::Column(place, column) => {
                let cell = row.cell(*place);
                let means_nothing = cell.is_empty() || column.none.iter().any(|none| none == cell);
                (!means_nothing).then(|| match column.words.get(cell) {
                    Some(word) => word.clone(),
                    None => format!("{}{cell}", column.prefix),
                })
            }
        }
    }
}
