//! What can go wrong with the books.

use pos_model::{Currency, Epoch};
use protocol::latest::EncodeError;
use rusqlite::ErrorCode;
use rusqlite::ffi;
use till::payment::PaymentRefusal;

use super::command::Refused;

/// An operation on the books failed. Texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum Error {
    /// SQLite could not do it.
    #[error("{doing}")]
    Sql { doing: &'static str, source: rusqlite::Error },
    /// The disk failed during a commit. What was to be committed may be in the log, and then the next start finds it.
    #[error("commit: whether it is recorded shows when the agent is started again")]
    Commit { source: rusqlite::Error },
    /// The folder, or a file in it, could not be made or opened.
    #[error("open {path}")]
    Open { path: String, source: std::io::Error },
    /// A rule forbids it. Nothing of it has happened.
    #[error(transparent)]
    Refused(Refused),
    /// A tender names an attempt at a terminal that does not pay for it.
    #[error(transparent)]
    Payment(PaymentRefusal),
    /// A sale of a till too many.
    #[error("give a receipt number: the store has {max} tills already")]
    TooManyTills { max: i64 },
    /// The event cannot be encoded.
    #[error("encode the event")]
    Encode(#[source] EncodeError),
    /// SQLite is older than the one whose write-ahead log is known to be sound.
    #[error("use SQLite {found}: older than {least}, whose write-ahead log can be damaged by a race")]
    SqliteTooOld { found: String, least: &'static str },
    /// A newer program has written this file.
    #[error(
        "read a database of version {found}: this program knows versions up to {known}; install the newer program again"
    )]
    Newer { found: i64, known: i64 },
    /// The file is a database of something else.
    #[error("read a database that is not a store's books (application id {found:#010x})")]
    NotOurs { found: i64 },
    /// The configuration names another currency than the sales in the folder have.
    #[error("sell in {wanted}, as store.currency says: the folder holds sales in {found}")]
    OtherCurrency { wanted: Currency, found: Currency },
    /// A sale before the first epoch of this run.
    #[error("record a sale before an epoch is open")]
    NoEpoch,
    /// The random number has been drawn before.
    #[error("open epoch {0}: the folder holds that epoch already")]
    EpochExists(Epoch),
    /// The operation panicked. Nothing of it has happened.
    #[error("finish: a defect of this program: {0}")]
    Defect(String),
    /// What is stored cannot be.
    #[error("read what is stored: {0}")]
    Damaged(String),
    /// An earlier failure of the disk; nothing is written any more until the agent is started again.
    #[error("write after the disk failed earlier ({0}); start the agent again when the disk is sound")]
    Stopped(String),
}

/// What a failure means for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No room on the disk. Nothing was recorded; it may work when there is room again.
    DiskFull,
    /// The disk or the file is damaged. Nothing more is recorded until a person has looked.
    DiskFailed,
    /// The disk failed during the commit: it may be recorded or not, which the same command tells after a restart.
    /// Nothing more is recorded until a person has looked.
    Unknown,
    /// Another connection holds a lock for too long.
    Busy,
    /// Anything else: a bug, or a database that somebody changed by hand.
    Other,
}

impl Error {
    /// What the failure means.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Sql { source, .. } => classify(source),
            Self::Commit { .. } => Failure::Unknown,
            Self::Stopped(_) | Self::Damaged(_) => Failure::DiskFailed,
            Self::Open { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Failure::DiskFull,
            Self::Open { .. }
            | Self::Encode(_)
            | Self::Refused(_)
            | Self::Payment(_)
            | Self::TooManyTills { .. }
            | Self::SqliteTooOld { .. }
            | Self::Newer { .. }
            | Self::NotOurs { .. }
            | Self::OtherCurrency { .. }
            | Self::NoEpoch
            | Self::Defect(_)
            | Self::EpochExists(_) => Failure::Other,
        }
    }

    /// What the one who asked is told, if it breaks a rule; else the failure.
    pub(super) fn into_refusal(self) -> Result<Refused, Self> {
        match self {
            Self::Refused(refused) => Ok(refused),
            Self::Encode(EncodeError::TooLarge { bytes }) => {
                let max = protocol::latest::EVENT_BYTES_MAX;
                let text = format!("what is to be recorded takes {bytes} bytes, at most {max} are possible");
                Ok(Refused::rule("request.event_too_large", text))
            }
            Self::TooManyTills { max } => {
                let text = format!("this store has {max} tills already; a till keeps its id for ever");
                Ok(Refused::rule("sale.too_many_tills", text))
            }
            error => Err(error),
        }
    }

    /// Names a commit that failed: a failing disk leaves it open what became of it.
    pub(super) fn of_commit(source: rusqlite::Error) -> Self {
        match classify(&source) {
            Failure::DiskFailed => Self::Commit { source },
            _ => Self::Sql { doing: "commit", source },
        }
    }

    /// The error and its causes, joined by colons.
    pub fn chain(&self) -> String {
        crate::telemetry::chain(self)
    }
}

fn classify(error: &rusqlite::Error) -> Failure {
    let rusqlite::Error::SqliteFailure(code, _) = error else { return Failure::Other };
    // The index of the write-ahead log could not grow, which on a full disk comes as an I/O error.
    if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
        return Failure::DiskFull;
    }
    match code.code {
        ErrorCode::DiskFull => Failure::DiskFull,
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Failure::DiskFailed,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Busy,
        _ => Failure::Other,
    }
}

/// Names what was being done when SQLite failed.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Sql { doing, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_on_a_failing_disk_is_neither_done_nor_undone() {
        #[track_caller]
        fn check(code: i32, failure: Failure) {
            assert_eq!(
                Error::of_commit(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).failure(),
                failure
            );
        }
        check(ffi::SQLITE_IOERR_FSYNC, Failure::Unknown);
        check(ffi::SQLITE_IOERR_WRITE, Failure::Unknown);
        check(ffi::SQLITE_FULL, Failure::DiskFull);
        check(ffi::SQLITE_BUSY, Failure::Busy);
    }

    #[test]
    fn what_a_failure_means() {
        #[track_caller]
        fn check(code: i32, failure: Failure) {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(Error::Sql { doing: "commit", source }.failure(), failure);
        }
        check(ffi::SQLITE_FULL, Failure::DiskFull);
        check(ffi::SQLITE_IOERR_SHMSIZE, Failure::DiskFull);
        check(ffi::SQLITE_IOERR_FSYNC, Failure::DiskFailed);
        check(ffi::SQLITE_IOERR_WRITE, Failure::DiskFailed);
        check(ffi::SQLITE_CORRUPT, Failure::DiskFailed);
        check(ffi::SQLITE_NOTADB, Failure::DiskFailed);
        check(ffi::SQLITE_BUSY, Failure::Busy);
        check(ffi::SQLITE_CONSTRAINT_UNIQUE, Failure::Other);
    }
}
