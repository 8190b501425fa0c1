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

/// Where nothing is parked for its content, such as in a repair, a fault of the content fails it.
pub(in crate::ledger) fn as_error(fault: Fault) -> LedgerError {
    match fault {
        Fault::Database(error) => error,
        Fault::Content(detail) => LedgerError::Unfit(detail),
    }
}
