//! How stores are told what they have not asked for: by whichever connections to the broker stand.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pos_model::StoreId;
use protocol::topic;

use super::window::Window;
use crate::mqtt::{Downlink, DownlinkQos};

/// The connections that are being kept, by their number; none between two.
#[derive(Debug)]
pub(crate) struct Voices(Mutex<Vec<Option<Arc<Window>>>>);

impl Voices {
    pub(super) fn new(connections: usize) -> Self {
        Self(Mutex::new(vec![None; connections]))
    }

    /// Which connection of this number stands.
    pub(super) fn set(&self, index: usize, window: Option<Arc<Window>>) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = windows.get_mut(index) {
            *slot = window;
        }
    }

    /// Tells a store something that it has not asked for, sealed and proven: by the connection that has the store's
    /// partition, or the next one that stands. Whether it arrives nobody knows.
    pub(crate) fn tell(&self, store: &StoreId, payload: &Bytes) {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::from(store.partition()) % windows.len().max(1);
        let mut standing = windows.iter().cycle().skip(start).take(windows.len()).flatten();
        if let Some(window) = standing.next() {
            window.say(Downlink { topic: &topic::downlink(store), payload, qos: DownlinkQos::AtMostOnce });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::window::{Outgoing, Room};
    use crate::mqtt::budget::Budget;

    #[test]
    fn a_store_is_told_by_a_connection_that_stands() {
        let window = || Arc::new(Window::new(Arc::new(Room::new(1, Duration::ZERO)), Budget::new(10_000)));
        let (voices, payload) = (Voices::new(2), Bytes::from_static(b"x"));
        let store = StoreId::new("a").expect("valid");
        voices.tell(&store, &payload);
        let first = [window(), window()];
        first.iter().enumerate().for_each(|(index, window)| voices.set(index, Some(Arc::clone(window))));
        let said = |window: &Window| matches!(window.take(), Some(Outgoing::Answer(_)));
        voices.tell(&store, &payload);
        let own = usize::from(store.partition()) % 2;
        assert_eq!([said(&first[own]), said(&first[1 - own])], [true, false]);
        first[own].close();
        voices.set(own, None);
        voices.tell(&store, &payload);
        assert!(said(&first[1 - own]), "the other connection stands");
        let renewed = window();
        voices.set(own, Some(Arc::clone(&renewed)));
        voices.tell(&store, &payload);
        assert!(said(&renewed));
    }
}
