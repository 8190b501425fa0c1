//! Whose fault a failed statement is.

use super::LedgerError;

/// Why a message could not be applied.
#[derive(Debug)]
pub(in crate::ledger) enum Fault {
    /// The message's content: the database is well and refuses just this.
    Content(String),
    /// The database: whatever was asked of it would fail.
    Database(LedgerError),
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        match error.content() {
            Some(detail) => Self::Content(detail),
            None => Self::Database(error),
        }
    }
}
