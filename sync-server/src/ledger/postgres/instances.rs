//! Instances and leases. No statement needs another one's transaction: each claims, renews or gives back under the locks of
//! its rows, taken in order, and looks at them again once it has the locks.

use std::time::Duration;

use pos_model::StoreId;

use super::link::Link;
use super::migrate;
use super::settings::PostgresSettings;
use crate::ledger::LedgerError;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::instances::{
    BrokerLink, InstanceCard, InstanceId, InstanceRow, InstanceView, Instances, LEASE_AHEAD_MS_MAX, LeaseRow,
};
use crate::partitions::PartitionSet;

/// For how long the row of an instance that died is kept for people to see, in milliseconds.
const DEAD_KEPT_MS: i64 = 3_600_000;

/// Rows are locked in one order everywhere, so that two servers never wait for each other in a circle.
const RENEW: &str =
    "WITH own AS (SELECT partition FROM partition_leases WHERE holder = ?1 ORDER BY partition FOR UPDATE)
    UPDATE partition_leases AS l SET renewed_at_ms = clock_ms(), expires_at_ms = clock_ms() + ?2::bigint
    FROM own WHERE l.partition = own.partition";

const CLAIM: &str = "WITH free AS (SELECT partition FROM partition_leases
        WHERE ((?2::bigint >> partition) & 1) = 1
            AND (holder IS NULL OR expires_at_ms <= clock_ms() OR expires_at_ms > clock_ms() + ?4::bigint)
        ORDER BY partition FOR UPDATE)
    UPDATE partition_leases AS l SET holder = ?1, fence = fence + 1, taken_at_ms = clock_ms(),
        renewed_at_ms = clock_ms(), expires_at_ms = clock_ms() + ?3::bigint
    FROM free WHERE l.partition = free.partition RETURNING l.partition";

const RELEASE: &str = "WITH own AS (SELECT partition FROM partition_leases
        WHERE holder = ?1 AND ((?2::bigint >> partition) & 1) = 1 ORDER BY partition FOR UPDATE)
    UPDATE partition_leases AS l SET holder = NULL, expires_at_ms = clock_ms()
    FROM own WHERE l.partition = own.partition";

/// The tables, by a connection of their own: nothing else may delay a renewal.
#[derive(Debug)]
pub struct PostgresInstances {
    pub(super) link: Link,
}

impl PostgresInstances {
    /// Connects; the ledger must be there, with this program's schema.
    pub fn open(settings: &PostgresSettings) -> Result<Self, LedgerError> {
        let link = Link::leases(settings);
        link.with(migrate::check)?;
        Ok(Self { link })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Instances for PostgresInstances {
    fn renew(&self, card: &InstanceCard, lease: Duration) -> Result<InstanceView, LedgerError> {
        let doing = "renew leases";
        let (id, lease_ms) = (card.id.to_sql(), millis(lease));
        let version = env!("CARGO_PKG_VERSION");
        self.execute(
            doing,
            "INSERT INTO instances (instance_id, name, version, broker, started_at_ms, renewed_at_ms, expires_at_ms)
            VALUES (?1, ?2, ?3, ?4, clock_ms(), clock_ms(), clock_ms() + ?5::bigint)
            ON CONFLICT (instance_id) DO UPDATE SET broker = excluded.broker, renewed_at_ms = excluded.renewed_at_ms,
                expires_at_ms = excluded.expires_at_ms",
            cells![id, &card.name, version, card.broker.as_str(), lease_ms],
        )?;
        self.execute(doing, RENEW, cells![id, lease_ms])?;
        let forget = "DELETE FROM instances WHERE expires_at_ms < clock_ms() - ?1::bigint";
        self.execute(doing, forget, cells![DEAD_KEPT_MS])?;
        self.view()
    }

    fn claim(
        &self,
        instance: InstanceId,
        partitions: PartitionSet,
        lease: Duration,
    ) -> Result<PartitionSet, LedgerError> {
        let values = cells![instance.to_sql(), partitions.to_sql(), millis(lease), LEASE_AHEAD_MS_MAX];
        let claimed: Vec<u8> = self.all("claim partitions", CLAIM, values, |row| row.small(0))?;
        Ok(claimed.into_iter().collect())
    }

    fn release(&self, instance: InstanceId, partitions: PartitionSet) -> Result<(), LedgerError> {
        self.execute("give partitions back", RELEASE, cells![instance.to_sql(), partitions.to_sql()]).map(drop)
    }

    fn leave(&self, instance: InstanceId) -> Result<(), LedgerError> {
        self.release(instance, PartitionSet::ALL)?;
        let sql = "DELETE FROM instances WHERE instance_id = ?1";
        self.execute("take the instance's row away", sql, cells![instance.to_sql()]).map(drop)
    }
}

impl PostgresInstances {
    fn view(&self) -> Result<InstanceView, LedgerError> {
        let doing = "read the leases";
        let damaged = LedgerError::Damaged { what: "list of partitions" };
        let query =
            "SELECT instance_id, name, version, broker, started_at_ms, renewed_at_ms, expires_at_ms FROM instances
            ORDER BY instance_id";
        let mut instances = self.all(doing, query, &[], |row| {
            Ok(InstanceRow {
                id: InstanceId::from_sql(row.number(0)?),
                name: row.text(1)?,
                version: row.text(2)?,
                broker: BrokerLink::parse(&row.text(3)?)?,
                started_at_ms: row.number(4)?,
                renewed_at_ms: row.number(5)?,
                expires_at_ms: row.number(6)?,
            })
        })?;
        instances.sort_by_key(|instance| instance.id);
        let query = "SELECT partition, holder, fence, taken_at_ms, renewed_at_ms, expires_at_ms FROM partition_leases";
        let rows: Vec<(usize, LeaseRow)> = self.all(doing, query, &[], |row| {
            let lease = LeaseRow {
                holder: row.maybe_number(1)?.map(InstanceId::from_sql),
                fence: row.number(2)?,
                taken_at_ms: row.number(3)?,
                renewed_at_ms: row.number(4)?,
                expires_at_ms: row.number(5)?,
            };
            Ok((row.small(0)?, lease))
        })?;
        let mut leases = [LeaseRow::default(); StoreId::PARTITIONS as usize];
        for (partition, lease) in rows {
            *leases.get_mut(partition).ok_or(LedgerError::Damaged { what: "list of partitions" })? = lease;
        }
        // Last, so that a lease that the rows show as free is so by this clock, too.
        let query = "SELECT clock_ms(), number FROM ledger_incarnation";
        let now = self.first(doing, query, &[], |row| Ok((row.number(0)?, row.number(1)?)))?;
        let (now_ms, incarnation) = now.ok_or(damaged)?;
        Ok(InstanceView { now_ms, incarnation, instances, leases })
    }
}
