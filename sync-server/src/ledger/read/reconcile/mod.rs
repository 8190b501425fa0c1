//! Comparing business dates with the stores' digests, and the rows in which differences are kept.

mod examine;
mod rows;
mod sums;
mod walk;

use pos_model::{BusinessDate, StoreId};
use protocol::latest::DayDigest;

use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::reconcile::{Examined, Finding, ReconciliationFilter, ReconciliationRow, Reconciliations};

const DOING: &str = "compare a business date";
const NOTING: &str = "note what was compared";

/// Wishes that are looked at together.
const WISHES_MAX: u32 = 100;

impl<D: Database> Reconciliations for D {
    fn examine(&self, store: &StoreId, digest: &DayDigest, heard_at_ms: i64) -> Result<Examined, LedgerError> {
        self.snapshot(DOING, |database| examine::examine(database, store, digest, heard_at_ms))
    }

    fn note_finding(
        &self,
        store: &StoreId,
        business_date: BusinessDate,
        finding: &Finding,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let date = business_date.days();
        self.change(NOTING, |database| {
            let Some(store_no) = store_no(database, store)? else { return Ok(false) };
            let update = "UPDATE reconciliation SET asked_events = asked_events + ?3,
                received_events = received_events + ?4, restored_events = restored_events + ?5, outcome = ?6,
                repaired_at_ms = ?7, changed_at_ms = ?8 WHERE store_no = ?1 AND business_date = ?2 AND repaired_at_ms IS NULL";
            let repaired_at_ms = finding.is_repaired.then_some(now_ms);
            let (asked, received, restored) = (finding.asked_events, finding.received_events, finding.restored_events);
            let values = cells![store_no, date, asked, received, restored, finding.outcome, repaired_at_ms, now_ms];
            let known = database.execute(NOTING, update, values)? > 0;
            if known || finding.is_repaired {
                return Ok(known);
            }
            let insert = "INSERT INTO reconciliation (store_no, business_date, found_at_ms, what, store_facts,
                    ledger_facts, asked_events, received_events, restored_events, outcome, changed_at_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            let row = cells![
                store_no,
                date,
                now_ms,
                &finding.what,
                finding.store_facts,
                finding.ledger_facts,
                asked,
                received,
                restored,
                finding.outcome,
                now_ms,
            ];
            database.execute(NOTING, insert, row)?;
            Ok(false)
        })
    }

    fn reconciliations(&self, filter: &ReconciliationFilter) -> Result<Vec<ReconciliationRow>, LedgerError> {
        let lasting = if filter.open_only { "AND repaired_at_ms IS NULL" } else { "" };
        let query = format!(
            "SELECT reconciliation_no, store_id, business_date, found_at_ms, what, store_facts, ledger_facts,
                asked_events, received_events, restored_events, repaired_at_ms, outcome
            FROM reconciliation JOIN stores USING (store_no)
            WHERE coalesce(store_id = ?1, true) AND coalesce(business_date = ?2, true)
                AND coalesce(reconciliation_no < ?3, true) {lasting}
            ORDER BY reconciliation_no DESC LIMIT ?4"
        );
        let store = filter.store.as_ref().map(StoreId::as_str);
        let values = cells![store, filter.business_date.map(|date| date.days()), filter.before, filter.limit];
        self.all("read what was compared", &query, values, |row| {
            Ok(ReconciliationRow {
                reconciliation_no: row.number(0)?,
                store: row.store(1)?,
                business_date: BusinessDate::from_days(row.number(2)?),
                found_at_ms: row.number(3)?,
                what: row.text(4)?,
                store_facts: row.number(5)?,
                ledger_facts: row.number(6)?,
                asked_events: row.number(7)?,
                received_events: row.number(8)?,
                restored_events: row.number(9)?,
                repaired_at_ms: row.maybe_number(10)?,
                outcome: row.text(11)?,
            })
        })
    }

    fn wish(&self, store: &StoreId, business_date: BusinessDate, now_ms: i64) -> Result<bool, LedgerError> {
        let Some(store_no) = store_no(self, store)? else { return Ok(false) };
        let insert = "INSERT INTO reconciliation_wishes (store_no, business_date, wished_at_ms) VALUES (?1, ?2, ?3)
            ON CONFLICT (store_no, business_date) DO UPDATE SET wished_at_ms = excluded.wished_at_ms";
        self.execute(NOTING, insert, cells![store_no, business_date.days(), now_ms])?;
        Ok(true)
    }

    /// The newest first: those of stores that never come back hold up no others.
    fn wishes(&self) -> Result<Vec<(StoreId, BusinessDate)>, LedgerError> {
        let query = "SELECT store_id, business_date FROM reconciliation_wishes JOIN stores USING (store_no)
            ORDER BY wished_at_ms DESC, store_id LIMIT ?1";
        self.all("read what is to be compared", query, cells![WISHES_MAX], |row| {
            Ok((row.store(0)?, BusinessDate::from_days(row.number(1)?)))
        })
    }

    fn fulfil(&self, store: &StoreId, business_date: BusinessDate) -> Result<(), LedgerError> {
        let delete = "DELETE FROM reconciliation_wishes WHERE business_date = ?2
            AND store_no = (SELECT store_no FROM stores WHERE store_id = ?1)";
        self.execute(NOTING, delete, cells![store.as_str(), business_date.days()]).map(drop)
    }
}

fn store_no<D: Database>(database: &D, store: &StoreId) -> Result<Option<i64>, LedgerError> {
    let query = "SELECT store_no FROM stores WHERE store_id = ?1";
    database.first(DOING, query, cells![store.as_str()], |row| row.number(0))
}

/// Whether the month of a date is kept. What was dropped with a month is not a difference.
fn is_kept<D: Database>(database: &D, date: BusinessDate) -> Result<bool, LedgerError> {
    let query = "SELECT 1 FROM rollup_state WHERE facts_from > ?1";
    Ok(database.first(DOING, query, cells![date.days()], |row| row.number(0))?.is_none())
}
