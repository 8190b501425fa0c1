//! The link's noteworthy events: each writes its log line and moves its counter.

use super::connection::End;
use super::stats::BrokerStats;
use crate::partitions::PartitionSet;

pub(super) fn connected(stats: &BrokerStats, index: usize) {
    stats.connects.one();
    tracing::info!(connection = index, "connected to the broker");
}

pub(super) fn subscribed(index: usize, subscribed: PartitionSet) {
    tracing::info!(connection = index, partitions = subscribed.len(), "subscribed at the broker");
}

/// The first failure of a row is said aloud; a broker that stays away must not fill the log.
pub(super) fn lost(stats: &BrokerStats, index: usize, end: &End, in_a_row: u32) {
    let error = crate::telemetry::chain(end);
    if in_a_row <= 1 {
        tracing::warn!(
            connection = index,
            error,
            "no connection to the broker; the stores keep their sales and send again"
        );
    } else {
        tracing::debug!(connection = index, error, in_a_row, "no connection to the broker");
    }
    stats.note_lost(index, error);
}

pub(super) fn left(index: usize) {
    tracing::info!(connection = index, "left the broker");
}

/// Whoever may publish there can write what he likes, so it is no more than a counter and a line for whoever looks.
pub(super) fn misaddressed(stats: &BrokerStats, topic: &str) {
    stats.misaddressed.one();
    tracing::debug!(?topic, "message dropped: its topic is not that of a store");
}
