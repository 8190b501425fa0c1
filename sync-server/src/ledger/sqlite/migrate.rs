//! The schema's versions. Migrations are numbered from 1, linear, and never edited after a release.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::During;
use crate::ledger::LedgerError;

const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_price_books.sql"),
    include_str!("migrations/0003_counter.sql"),
    include_str!("migrations/0004_z_heads.sql"),
    include_str!("migrations/0005_rollups.sql"),
    include_str!("migrations/0006_parking.sql"),
    include_str!("migrations/0007_reconciliation.sql"),
    include_str!("migrations/0008_sale_ids.sql"),
];

/// Marks the file as a ledger of Breakwater, for `file` and for ourselves: "BWld".
const APPLICATION_ID: i64 = 0x4257_6c64;

/// Brings the schema up to date; each step is a database transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    loop {
        let doing = "bring the schema up to date";
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).during(doing)?;
        let version = identify(&transaction, path)?;
        let Some(migration) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version)) else {
            return Ok(());
        };
        transaction.execute_batch(migration).during(doing)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).during(doing)?;
        transaction.pragma_update(None, "user_version", version + 1).during(doing)?;
        transaction.commit().during(doing)?;
    }
}

/// Checks that the schema is this program's.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let version = identify(connection, path)?;
    if version == known() { Ok(()) } else { Err(LedgerError::OlderSchema { found: version, known: known() }) }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful of migrations")
}

fn identify(connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id").during("read the ledger's mark")?;
    let version = number("user_version").during("read the schema's version")?;
    let empty = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get::<_, bool>(0))
        .during("read the schema")?;
    if application != APPLICATION_ID && !(empty && application == 0 && version == 0) {
        return Err(LedgerError::NotALedger(path.display().to_string()));
    }
    if version > known() {
        return Err(LedgerError::NewerSchema { found: version, known: known() });
    }
    Ok(version)
}
