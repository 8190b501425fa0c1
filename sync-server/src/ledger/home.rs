//! Where the ledger is at home, and how it is opened there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{
    Books, CounterBooks, Instances, Ledger, LedgerError, PostgresInstances, PostgresLedger, PostgresReader,
    PostgresSettings, PriceBooks, Reconciliations, Registry, RollUps, SqliteLedger, SqliteReader, SqliteSettings,
};

/// All that is read, and changed beside the writer.
pub trait Reader: Books + CounterBooks + PriceBooks + Reconciliations + Registry + RollUps + fmt::Debug {}

impl<T: Books + CounterBooks + PriceBooks + Reconciliations + Registry + RollUps + fmt::Debug> Reader for T {}

/// Where the ledger is at home.
#[derive(Debug, Clone)]
pub enum LedgerHome {
    /// A file of this machine.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// How it is treated.
        settings: SqliteSettings,
    },
    /// A database server.
    Postgres(Box<PostgresSettings>),
}

impl LedgerHome {
    /// Opens the writer, makes the ledger if there is none, and brings its schema up to date.
    pub fn open(&self) -> Result<Box<dyn Ledger>, LedgerError> {
        Ok(match self {
            Self::Sqlite { path, settings } => Box::new(SqliteLedger::open(path, settings)?),
            Self::Postgres(settings) => Box::new(PostgresLedger::open(settings)?),
        })
    }

    /// Opens a reader; the ledger must be there.
    pub fn reader(&self) -> Result<Box<dyn Reader + Send>, LedgerError> {
        Ok(match self {
            Self::Sqlite { path, .. } => Box::new(SqliteReader::open(path)?),
            Self::Postgres(settings) => Box::new(PostgresReader::open(settings)?),
        })
    }

    /// Opens a connection that changes stores, claim codes and price books; the ledger must be there.
    pub fn registry(&self) -> Result<Box<dyn Reader + Send>, LedgerError> {
        Ok(match self {
            Self::Sqlite { path, .. } => Box::new(SqliteReader::open_registry(path)?),
            Self::Postgres(settings) => Box::new(PostgresReader::open_registry(settings)?),
        })
    }

    /// Opens the tables by which several servers share a database; none where only one server can be. The ledger must be
    /// there.
    pub fn instances(&self) -> Result<Option<Box<dyn Instances + Send>>, LedgerError> {
        Ok(match self {
            Self::Sqlite { .. } => None,
            Self::Postgres(settings) => Some(Box::new(PostgresInstances::open(settings)?)),
        })
    }

    /// Opens a connection that makes roll-ups; the ledger must be there.
    pub fn roll_ups(&self) -> Result<Box<dyn Reader + Send>, LedgerError> {
        Ok(match self {
            Self::Sqlite { path, .. } => Box::new(SqliteReader::open_registry(path)?),
            Self::Postgres(settings) => Box::new(PostgresReader::open_roll_ups(settings)?),
        })
    }

    /// The ledger's file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path, .. } => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for LedgerHome {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path, .. } => path.display().fmt(f),
            Self::Postgres(settings) => f.write_str(&settings.describe()),
        }
    }
}
