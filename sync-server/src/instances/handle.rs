//! What others may know of the instances.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::telemetry::Counters;
use crate::ledger::{BrokerLink, InstanceId, InstanceRow, InstanceView};
use crate::partitions::PartitionSet;

/// Cloned freely; every call is short.
#[derive(Debug, Clone)]
pub struct InstancesHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: InstanceId,
    name: String,
    started_at_ms: i64,
    /// None where no other server can be on the same ledger.
    lease: Option<Duration>,
    counters: Counters,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    view: Option<(InstanceView, Instant)>,
    held: PartitionSet,
}

/// The instances at one moment.
#[derive(Debug, Clone)]
pub struct InstancesStatus {
    /// This run of this server.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// How long a lease is; none where no other server can be on the same ledger.
    pub lease: Option<Duration>,
    /// What the tables said last, and how long ago.
    pub view: Option<(InstanceView, Duration)>,
    /// The partitions that this instance consumes.
    pub held: PartitionSet,
}

impl InstancesHandle {
    /// `now_ms` is the time in milliseconds since 1970.
    pub(crate) fn new(id: InstanceId, name: String, lease: Option<Duration>, now_ms: i64) -> Self {
        let (counters, latest) = (Counters::default(), Mutex::default());
        Self(Arc::new(Shared { id, name, started_at_ms: now_ms, lease, counters, latest }))
    }

    pub(super) fn id(&self) -> InstanceId {
        self.0.id
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(super) fn note_view(&self, view: InstanceView, now: Instant) {
        self.lock().view = Some((view, now));
    }

    pub(super) fn note_held(&self, held: PartitionSet) {
        self.lock().held = held;
    }

    /// Whether another instance lives, as far as this one knows: then a store that is not connected here may be there.
    pub fn others_live(&self) -> bool {
        let latest = self.lock();
        let Some((view, _)) = &latest.view else { return false };
        view.instances.iter().any(|one| one.id != self.0.id && one.lives_at(view.now_ms))
    }

    /// How it is.
    pub fn status(&self) -> InstancesStatus {
        let latest = self.lock();
        let Shared { id, name, started_at_ms, lease, .. } = &*self.0;
        let view = latest.view.as_ref().map(|(view, at)| (view.clone(), at.elapsed()));
        let (id, name, started_at_ms, lease) = (*id, name.clone(), *started_at_ms, *lease);
        InstancesStatus { id, name, started_at_ms, lease, view, held: latest.held }
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstancesStatus {
    /// The instances that live.
    pub fn living(&self) -> impl Iterator<Item = &InstanceRow> {
        let view = self.view.as_ref().map(|(view, _)| view);
        view.into_iter().flat_map(|view| view.instances.iter().filter(|one| one.lives_at(view.now_ms)))
    }

    /// Whether the tables could be read within the length of a lease; so it is where there are none.
    pub fn is_readable(&self) -> bool {
        self.lease.is_none_or(|lease| self.view.as_ref().is_some_and(|(_, age)| *age <= lease))
    }

    /// The partitions that nobody has had for longer than a lease, while somebody should: their stores are not heard.
    pub fn unheld(&self) -> PartitionSet {
        let (Some(lease), Some((view, _))) = (self.lease, &self.view) else { return PartitionSet::NONE };
        if self.living().all(|one| one.broker == BrokerLink::None) {
            return PartitionSet::NONE;
        }
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let since_ms = view.now_ms.saturating_sub(lease_ms);
        let unheld = (0..)
            .zip(&view.leases)
            .filter(|(_, one)| one.holder_at(view.now_ms).is_none() && one.expires_at_ms < since_ms);
        unheld.map(|(partition, _)| partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LeaseRow;

    #[test]
    fn alarm_and_company() {
        let (own, other) = (InstanceId::new(1), InstanceId::new(2));
        let row = |id, broker, expires_at_ms| InstanceRow {
            id,
            name: String::new(),
            version: String::new(),
            broker,
            started_at_ms: 0,
            renewed_at_ms: 0,
            expires_at_ms,
        };
        let mut leases = [LeaseRow { holder: Some(own), expires_at_ms: 106_000, ..LeaseRow::default() }; 64];
        // Over for a moment, over for long, given back long ago, and never had by anybody.
        leases[3].expires_at_ms = 99_000;
        leases[4].expires_at_ms = 93_000;
        leases[5] = LeaseRow { holder: None, expires_at_ms: 90_000, ..LeaseRow::default() };
        leases[6] = LeaseRow::default();
        let check = |own_link, other_until: i64, unheld: &[u8], others_live: bool| {
            let instances = vec![row(own, own_link, 106_000), row(other, BrokerLink::None, other_until)];
            let view = InstanceView { now_ms: 100_000, incarnation: 0, instances, leases };
            let handle = InstancesHandle::new(own, "a".to_owned(), Some(Duration::from_secs(6)), 0);
            assert!(!handle.others_live() && handle.status().unheld().is_empty() && !handle.status().is_readable());
            handle.note_view(view, Instant::now());
            let status = handle.status();
            assert_eq!(status.unheld(), unheld.iter().copied().collect(), "{own_link:?}");
            assert_eq!((handle.others_live(), status.is_readable()), (others_live, true));
        };
        check(BrokerLink::Up, 101_000, &[4, 5, 6], true);
        check(BrokerLink::Down, 99_000, &[4, 5, 6], false);
        check(BrokerLink::None, 101_000, &[], true);
    }
}
