//! All stores at a glance: one query for their state, one for each kind of alert. Partial indexes hold just the rows that
//! are alerts, so a healthy fleet costs a walk over its stores and no more.

use std::collections::HashMap;

use pos_model::{Epoch, Seq};
use rusqlite::{Connection, Row};

use super::alerts;
use super::books::store_id;
use super::fault::During;
use crate::ledger::LedgerError;
use crate::ledger::books::{HealthRow, StoreRow};
use crate::ledger::registry::StoreStatus;

/// All stores, or one.
pub(super) fn stores(connection: &Connection, store_no: Option<i64>) -> Result<Vec<StoreRow>, LedgerError> {
    let doing = "read stores";
    // One state for all the queries below.
    let _snapshot = connection.unchecked_transaction().during(doing)?;
    let mut numbers: HashMap<i64, usize> = HashMap::new();
    let mut stores = Vec::new();
    let query = "SELECT store_no, store_id, name, status, secret_hash IS NOT NULL, store_state.last_contact_ms,
            last_sale_at_ms, ifnull(applied_events, 0), ifnull(applied_sales, 0),
            ifnull(parked_events, 0) + ifnull(forked_events, 0), health_at_ms, clock_ms, clock_ahead_ms, clock_offset_s,
            agent_version, epoch, head_seq, outbox_events,
            max(0, outbox_events - (applied_events + parked_events - taken_at_health)), outbox_oldest_ms, disk_free_bytes,
            protocol_version
        FROM stores LEFT JOIN store_state USING (store_no) WHERE ifnull(store_no = ?1, true) ORDER BY store_id";
    let mut statement = connection.prepare_cached(query).during(doing)?;
    let mut rows = statement.query([store_no]).during(doing)?;
    while let Some(row) = rows.next().during(doing)? {
        numbers.insert(row.get(0).during(doing)?, stores.len());
        let status: String = row.get(3).during(doing)?;
        stores.push(StoreRow {
            store: store_id(row.get(1).during(doing)?)?,
            name: row.get(2).during(doing)?,
            status: StoreStatus::parse(&status)?,
            enrolled: row.get(4).during(doing)?,
            last_contact_ms: row.get(5).during(doing)?,
            last_sale_at_ms: row.get(6).during(doing)?,
            applied_events: row.get(7).during(doing)?,
            applied_sales: row.get(8).during(doing)?,
            parked_events: row.get(9).during(doing)?,
            health: health(row).during(doing)?,
            alerts: Vec::new(),
        });
    }
    for (store_no, alert) in alerts::all(connection, store_no)? {
        if let Some(&at) = numbers.get(&store_no) {
            stores[at].alerts.push(alert);
        }
    }
    for store in &mut stores {
        store.alerts.extend(alerts::of_state(store));
        store.alerts.sort_by_key(|alert| alert.kind);
    }
    Ok(stores)
}

fn health(row: &Row<'_>) -> rusqlite::Result<Option<HealthRow>> {
    let Some(at_ms) = row.get(10)? else { return Ok(None) };
    let backlog_events = row.get(18)?;
    Ok(Some(HealthRow {
        at_ms,
        clock_ms: row.get(11)?,
        clock_ahead_ms: row.get(12)?,
        clock_offset_s: row.get(13)?,
        agent_version: row.get(14)?,
        epoch: Epoch::from_sql(row.get(15)?),
        head: Seq::from_sql(row.get(16)?),
        outbox_events: row.get(17)?,
        backlog_events,
        outbox_oldest_ms: if backlog_events == 0 { None } else { row.get(19)? },
        disk_free_bytes: row.get(20)?,
        protocol_version: row.get(21)?,
    }))
}
