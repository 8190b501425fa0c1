//! All stores at a glance: one query for their state, one for each kind of alert. Partial indexes hold just the rows that
//! are alerts, so a healthy fleet costs a walk over its stores and no more.

use std::collections::HashMap;

use pos_model::{Epoch, Seq};

use super::{alerts, parked};
use crate::ledger::LedgerError;
use crate::ledger::books::{HealthRow, StoreRow};
use crate::ledger::database::{AnyRow, Database, Row, cells};
use crate::ledger::registry::StoreStatus;

/// All stores, or one.
pub(super) fn stores<D: Database>(database: &D, store_no: Option<i64>) -> Result<Vec<StoreRow>, LedgerError> {
    let doing = "read stores";
    // One state for all the queries below.
    database.snapshot(doing, |database| {
        let mut numbers: HashMap<i64, usize> = HashMap::new();
        let mut stores = Vec::new();
        let query = "SELECT store_no, store_id, name, status, secret_hash IS NOT NULL, store_state.last_contact_ms,
                last_sale_at_ms, coalesce(applied_events, 0), coalesce(applied_sales, 0), coalesce(parked_events, 0),
                coalesce(forked_events, 0), health_at_ms, clock_ms, clock_ahead_ms, clock_offset_s, agent_version, epoch,
                head_seq, outbox_events, taken_at_health, outbox_oldest_ms, disk_free_bytes, protocol_version
            FROM stores LEFT JOIN store_state USING (store_no) WHERE coalesce(store_no = ?1, true) ORDER BY store_id";
        database.query(doing, query, cells![store_no], &mut |row| {
            numbers.insert(row.number(0)?, stores.len());
            stores.push(StoreRow {
                store: row.store(1)?,
                name: row.text(2)?,
                status: StoreStatus::parse(&row.text(3)?)?,
                enrolled: row.is(4)?,
                last_contact_ms: row.maybe_number(5)?,
                last_sale_at_ms: row.maybe_number(6)?,
                applied_events: row.number(7)?,
                applied_sales: row.number(8)?,
                parked_events: row.number(9)?.saturating_add(row.number(10)?),
                oldest_parked_ms: None,
                health: health(row)?,
                alerts: Vec::new(),
            });
            Ok(())
        })?;
        for (store_no, oldest_ms) in parked::oldest(database, store_no)? {
            if let Some(&at) = numbers.get(&store_no) {
                stores[at].oldest_parked_ms = Some(oldest_ms);
            }
        }
        for (store_no, alert) in alerts::all(database, store_no)? {
            if let Some(&at) = numbers.get(&store_no) {
                stores[at].alerts.push(alert);
            }
        }
        for store in &mut stores {
            store.alerts.extend(alerts::of_state(store));
            store.alerts.sort_by_key(|alert| alert.kind);
        }
        // Databases have orders of their own for text.
        stores.sort_by(|a, b| a.store.cmp(&b.store));
        Ok(stores)
    })
}

fn health(row: &AnyRow<'_>) -> Result<Option<HealthRow>, LedgerError> {
    let Some(at_ms) = row.maybe_number(11)? else { return Ok(None) };
    let outbox_events = row.number(18)?;
    // What came since it was said is off the outbox.
    let taken = row.number(7)?.saturating_add(row.number(9)?).saturating_sub(row.number(19)?);
    let backlog_events = outbox_events.saturating_sub(taken).max(0);
    Ok(Some(HealthRow {
        at_ms,
        clock_ms: row.number(12)?,
        clock_ahead_ms: row.number(13)?,
        clock_offset_s: row.small(14)?,
        agent_version: row.text(15)?,
        epoch: Epoch::from_sql(row.number(16)?),
        head: Seq::from_sql(row.number(17)?),
        outbox_events,
        backlog_events,
        outbox_oldest_ms: if backlog_events == 0 { None } else { row.maybe_number(20)? },
        disk_free_bytes: row.maybe_number(21)?,
        protocol_version: row
            .maybe_number(22)?
            .map(|version| u16::try_from(version).map_err(|_| LedgerError::Damaged { what: "version" }))
            .transpose()?,
    }))
}
