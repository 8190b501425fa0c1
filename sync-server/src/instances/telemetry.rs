//! The noteworthy events of leases: each writes its log line and moves its counter.

use crate::ledger::{InstanceId, LedgerError};
use crate::mqtt::Counter;
use crate::partitions::PartitionSet;
use crate::telemetry::chain;

/// What has happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Partitions that were taken.
    pub(crate) claimed: Counter,
    /// Those of them that another instance had not given back.
    pub(crate) taken_over: Counter,
    /// Partitions that were given back because others had fewer.
    pub(crate) given_up: Counter,
    /// Partitions that were lost: taken over by another instance, or not renewed in time.
    pub(crate) lost: Counter,
    /// Renewals that failed.
    pub(crate) failures: Counter,
}

fn count(partitions: PartitionSet) -> u64 {
    partitions.iter().map(|_| 1).sum()
}

pub(super) fn began(id: InstanceId, name: &str) {
    tracing::info!(instance = %id, name, "this instance shares the database with others");
}

pub(super) fn claimed(counters: &Counters, claimed: PartitionSet, taken_over: PartitionSet) {
    counters.claimed.add(count(claimed));
    counters.taken_over.add(count(taken_over));
    if taken_over.is_empty() {
        tracing::info!(partitions = claimed.len(), "partitions taken");
    } else {
        let (partitions, taken_over) = (claimed.len(), taken_over.len());
        tracing::warn!(partitions, taken_over, "partitions taken, some of which another instance did not give back");
    }
}

pub(super) fn given_up(counters: &Counters, given_up: PartitionSet) {
    counters.given_up.add(count(given_up));
    tracing::info!(partitions = given_up.len(), "partitions given up, because other instances have fewer");
}

pub(super) fn lost(counters: &Counters, lost: PartitionSet) {
    counters.lost.add(count(lost));
    tracing::warn!(partitions = lost.len(), "partitions lost: another instance has taken them over");
}

pub(super) fn expired(counters: &Counters, lost: PartitionSet) {
    counters.lost.add(count(lost));
    tracing::error!(
        partitions = lost.len(),
        "the leases could not be renewed in time; nothing is consumed from the broker until they can"
    );
}

/// The first failure of a row is said aloud; a database that stays away must not fill the log.
pub(super) fn failed(counters: &Counters, error: &LedgerError, in_a_row: u32) {
    counters.failures.one();
    if in_a_row == 1 {
        tracing::warn!(error = chain(error), "the leases could not be renewed, which is tried again");
    } else {
        tracing::debug!(error = chain(error), in_a_row, "the leases could not be renewed");
    }
}

pub(super) fn another_incarnation() {
    tracing::error!(
        "another instance found that the database lacks what was committed in it; every store is asked anew"
    );
}

pub(super) fn left() {
    tracing::info!("leases given back");
}

pub(super) fn not_left(error: &LedgerError) {
    tracing::warn!(
        error = chain(error),
        "the leases could not be given back; the others wait until their time is over"
    );
}
