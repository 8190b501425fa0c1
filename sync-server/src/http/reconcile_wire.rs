//! What the API says of business dates that differed.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::ledger::ReconciliationRow;

/// Which differences.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReconciliationQuery {
    /// Only of this store.
    pub(super) store: Option<String>,
    /// Only of this business date (YYYY-MM-DD).
    pub(super) date: Option<String>,
    /// Only those that last.
    pub(super) open: Option<bool>,
    /// Go on before this number: `next_before` of the page before.
    pub(super) before: Option<i64>,
    /// At most so many, up to 200; 50 without it.
    pub(super) limit: Option<u32>,
}

/// `GET /api/v1/reconciliation`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReconciliationPage {
    /// The differences, the newest first.
    pub(super) differences: Vec<DifferenceJson>,
    /// `before` of the next page, if there may be one.
    pub(super) next_before: Option<i64>,
}

/// A business date that was not in the ledger as the store holds it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferenceJson {
    /// Its number.
    pub(super) reconciliation_no: i64,
    /// The store.
    pub(super) store_id: String,
    /// The date.
    pub(super) business_date: String,
    /// When it was found, in milliseconds since 1970 (UTC).
    pub(super) found_at_ms: i64,
    /// What differed, in words.
    pub(super) what: String,
    /// Sales and refunds that the store counted.
    pub(super) store_facts: i64,
    /// Those that the ledger had.
    pub(super) ledger_facts: i64,
    /// Events that the store was asked for again.
    pub(super) asked_events: i64,
    /// Events that came again.
    pub(super) received_events: i64,
    /// Events whose rows were written again.
    pub(super) restored_events: i64,
    /// When ledger and store agreed again; none as long as they do not.
    pub(super) repaired_at_ms: Option<i64>,
    /// What came of it: `repaired`; `open` and `asked` while it is being put right; `store_away`, `no_answer` and `failed`,
    /// after which it is tried again; `store_holds_less`, `store_does_not_hold`, `other_history`, `holds_fixed` (events
    /// that a person has fixed are not taken in once more) and `unexplained`, at which a person has to look.
    pub(super) outcome: String,
}

impl From<ReconciliationRow> for DifferenceJson {
    fn from(row: ReconciliationRow) -> Self {
        Self {
            reconciliation_no: row.reconciliation_no,
            store_id: row.store.to_string(),
            business_date: row.business_date.to_string(),
            found_at_ms: row.found_at_ms,
            what: row.what,
            store_facts: row.store_facts,
            ledger_facts: row.ledger_facts,
            asked_events: row.asked_events,
            received_events: row.received_events,
            restored_events: row.restored_events,
            repaired_at_ms: row.repaired_at_ms,
            outcome: row.outcome,
        }
    }
}
