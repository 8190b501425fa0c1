//! Counters of the link, and how each of its connections is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mqtt::Counter;
use crate::partitions::PartitionSet;

/// What the link has seen since it started.
#[derive(Debug)]
pub struct BrokerStats {
    /// Connections that the broker let in.
    pub connects: Counter,
    /// Connections that were lost, or could not be made.
    pub losses: Counter,
    /// Messages handed to the service.
    pub messages_in: Counter,
    /// Answers handed to the broker.
    pub messages_out: Counter,
    /// Messages dropped: the topic is not that of a store, or the message was retained.
    pub misaddressed: Counter,
    /// Messages dropped: there was no room for them in time.
    pub overload: Counter,
    connections: Mutex<Vec<ConnectionState>>,
}

#[derive(Debug, Clone, Default)]
struct ConnectionState {
    connected: bool,
    subscribed: PartitionSet,
    trouble: Option<String>,
}

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Connections that it keeps.
    pub connections: usize,
    /// Those of them that stand, with all their subscriptions granted.
    pub connected: usize,
    /// The partitions that are subscribed to.
    pub subscribed: PartitionSet,
    /// Why a connection does not stand, if one does not.
    pub trouble: Option<String>,
}

impl BrokerStatus {
    /// Whether everything that is to be consumed can be.
    pub fn is_well(&self) -> bool {
        self.connected == self.connections
    }
}

impl BrokerStats {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            connects: Counter::default(),
            losses: Counter::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            misaddressed: Counter::default(),
            overload: Counter::default(),
            connections: Mutex::new(vec![ConnectionState::default(); connections]),
        }
    }

    pub(super) fn status(&self) -> BrokerStatus {
        let connections = self.lock();
        BrokerStatus {
            connections: connections.len(),
            connected: connections.iter().filter(|one| one.connected).count(),
            subscribed: connections.iter().fold(PartitionSet::NONE, |all, one| all.union(one.subscribed)),
            trouble: connections.iter().find_map(|one| one.trouble.clone()),
        }
    }

    /// A connection stands and holds these subscriptions; `complete` if they are all that it should hold.
    pub(super) fn note_subscribed(&self, index: usize, subscribed: PartitionSet, complete: bool) {
        self.change(index, |state| {
            state.connected = complete;
            state.subscribed = subscribed;
            state.trouble = None;
        });
    }

    /// A connection does not stand.
    pub(super) fn note_lost(&self, index: usize, trouble: String) {
        self.losses.one();
        self.change(index, |state| *state = ConnectionState { trouble: Some(trouble), ..ConnectionState::default() });
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut ConnectionState)) {
        if let Some(state) = self.lock().get_mut(index) {
            change(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionState>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
