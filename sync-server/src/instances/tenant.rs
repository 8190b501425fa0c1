//! What this instance holds, and what it should take or give up: decided from the rows of the database, with the time as
//! an argument.
//!
//! - A lease is renewed at a third of its length, so that two renewals may fail.
//! - By the database's clock a lease begins when the renewal is written; by the clock here it begins when the renewal was
//!   asked for, which is earlier. So whoever counts here stops before anybody else may begin, as long as both clocks run.
//! - Whoever could not renew in time holds nothing, whatever the rows say, until it has asked again.
//! - An instance that was itself cut off takes over nothing that others had, for the length of a lease: most often it was
//!   the database that was away, and the others come back as it does.

use std::time::{Duration, Instant};

use super::plan::{Holders, PARTITIONS, plan};
use crate::ledger::{BrokerLink, InstanceId, InstanceView};
use crate::partitions::PartitionSet;

/// This instance's tenure.
#[derive(Debug)]
pub(super) struct Tenant {
    id: InstanceId,
    lease: Duration,
    held: PartitionSet,
    /// The fencing number under which each partition is held.
    fences: [i64; PARTITIONS],
    /// Until when nobody else takes what is held.
    holds_until: Option<Instant>,
    /// Before that nothing is taken over.
    takes_over_from: Option<Instant>,
}

/// What follows from a look at the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Step {
    /// What another instance has taken, or this one held for too long without renewing.
    pub(super) lost: PartitionSet,
    /// To be given back: others have fewer.
    pub(super) give_up: PartitionSet,
    /// To be claimed, as far as it is still free then.
    pub(super) claim: PartitionSet,
    /// Those of the claim that an instance had which did not give them back.
    pub(super) taken_over: PartitionSet,
}

impl Tenant {
    pub(super) fn new(id: InstanceId, lease: Duration) -> Self {
        Self { id, lease, held: PartitionSet::NONE, fences: [0; PARTITIONS], holds_until: None, takes_over_from: None }
    }

    /// What it holds.
    pub(super) fn held(&self) -> PartitionSet {
        self.held
    }

    /// When it is to be looked at the time, if it does not renew before.
    pub(super) fn holds_until(&self) -> Option<Instant> {
        self.holds_until.filter(|_| !self.held.is_empty())
    }

    /// Looks at the time, and lets go of everything if it is over. Returns what was let go of.
    pub(super) fn expire(&mut self, now: Instant) -> PartitionSet {
        let is_over = self.holds_until.is_some_and(|until| until <= now);
        if is_over { std::mem::take(&mut self.held) } else { PartitionSet::NONE }
    }

    /// Takes in what the rows said after a renewal that was asked for at `asked_at`.
    pub(super) fn look(&mut self, view: &InstanceView, asked_at: Instant, now: Instant) -> Step {
        if self.holds_until.is_some_and(|until| until <= asked_at) {
            self.takes_over_from = Some(asked_at + self.lease);
        }
        let until = asked_at + self.lease;
        if until <= now {
            // The answer was so long on its way that it says nothing any more.
            self.takes_over_from = Some(now + self.lease);
            return Step { lost: std::mem::take(&mut self.held), ..Step::default() };
        }
        self.holds_until = Some(until);
        let mine = those(view.leases.iter().map(|lease| lease.holder == Some(self.id)));
        let same_fence = those(self.fences.iter().zip(&view.leases).map(|(fence, lease)| *fence == lease.fence));
        let lost = self.held.without(mine.both(same_fence));
        self.fences = view.leases.map(|lease| lease.fence);
        let holders: Holders = view.leases.map(|lease| lease.holder_at(view.now_ms));
        let planned = plan(&members(view), &holders);
        let wanted = those(planned.iter().map(|planned| *planned == Some(self.id)));
        let free = those(holders.iter().map(Option::is_none));
        let given_back = those(view.leases.iter().map(|lease| lease.holder.is_none()));
        let give_up = mine.without(wanted);
        let may_take_over = self.takes_over_from.is_none_or(|from| from <= now);
        let claim = wanted.both(if may_take_over { free } else { free.both(given_back) });
        self.held = mine.without(give_up);
        Step { lost, give_up, claim, taken_over: claim.without(given_back) }
    }

    /// Takes in which of the partitions that were asked for it has got; each has the next fencing number.
    pub(super) fn claimed(&mut self, claimed: PartitionSet) {
        for (partition, fence) in (0..).zip(&mut self.fences) {
            if claimed.contains(partition) {
                *fence += 1;
            }
        }
        self.held = self.held.union(claimed);
    }
}

/// The partitions for which it is so, asked in order.
fn those(is_so: impl Iterator<Item = bool>) -> PartitionSet {
    (0..).zip(is_so).filter(|(_, is_so)| *is_so).map(|(partition, _)| partition).collect()
}

/// Those who share the partitions: whoever lives and reaches the broker. If nobody does, all who live and have a broker, so
/// that nothing moves when it is the broker that is away.
fn members(view: &InstanceView) -> Vec<InstanceId> {
    let living = |link: BrokerLink| {
        let living = view.instances.iter().filter(move |one| one.lives_at(view.now_ms) && one.broker == link);
        living.map(|one| one.id).collect::<Vec<_>>()
    };
    let up = living(BrokerLink::Up);
    let mut members = if up.is_empty() { living(BrokerLink::Down) } else { up };
    members.sort_unstable();
    members
}

#[cfg(test)]
#[path = "tenant_tests.rs"]
mod tests;
