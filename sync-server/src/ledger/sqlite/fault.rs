//! Whose fault a failed statement is.

use rusqlite::{Params, Row, Statement};

use crate::ledger::LedgerError;

/// Says what was being done when a statement failed.
pub(super) trait During<T> {
    fn during(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|source| LedgerError::Sqlite { doing, source })
    }
}

/// Reads all rows of a query.
pub(super) fn read_all<T, P: Params>(
    statement: &mut Statement<'_>,
    params: P,
    doing: &'static str,
    mut read: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut rows = statement.query(params).during(doing)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().during(doing)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Why a message could not be applied.
#[derive(Debug)]
pub(super) enum Fault {
    /// The message's content: the database is well and refuses just this.
    Content(String),
    /// The database: whatever was asked of it would fail.
    Database(LedgerError),
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Sqlite { source: rusqlite::Error::SqliteFailure(code, text), doing } if is_content(*code) => {
                Self::Content(format!("{doing}: {}", text.clone().unwrap_or_else(|| code.to_string())))
            }
            _ => Self::Database(error),
        }
    }
}

fn is_content(error: rusqlite::ffi::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    matches!(error.code, ConstraintViolation | TypeMismatch | TooBig | ParameterOutOfRange)
}

/// Whether a statement failed because a unique index holds the key already.
pub(super) fn is_known_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}
