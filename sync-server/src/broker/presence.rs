//! Which stores were heard by the broker, and when. By a broker there is no connection to look at.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pos_model::StoreId;

/// When each store was heard last. Only stores whose message was taken are entered, so there are no more than stores.
#[derive(Debug, Default)]
pub struct Presence(Mutex<HashMap<StoreId, Instant>>);

impl Presence {
    /// A message of the store was taken.
    pub(super) fn note(&self, store: &StoreId, now: Instant) {
        let mut heard = self.lock();
        match heard.get_mut(store) {
            Some(at) => *at = now,
            None => {
                heard.insert(store.clone(), now);
            }
        }
    }

    /// Whether a store was heard within a time.
    pub fn is_heard_within(&self, store: &StoreId, time: Duration, now: Instant) -> bool {
        self.lock().get(store).is_some_and(|at| now.saturating_duration_since(*at) <= time)
    }

    /// The stores that were heard within a time, in no order. The others are forgotten.
    pub fn heard_within(&self, time: Duration, now: Instant) -> Vec<StoreId> {
        let mut heard = self.lock();
        heard.retain(|_, at| now.saturating_duration_since(*at) <= time);
        heard.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_store_is_gone() {
        let (presence, start) = (Presence::default(), Instant::now());
        let (a, b) = (StoreId::new("a").expect("valid"), StoreId::new("b").expect("valid"));
        let second = Duration::from_secs(1);
        presence.note(&a, start);
        presence.note(&b, start);
        presence.note(&a, start + 2 * second);
        assert_eq!(presence.heard_within(3 * second, start + 3 * second).len(), 2);
        let heard = |store| presence.is_heard_within(store, 3 * second, start + 4 * second);
        assert_eq!((heard(&a), heard(&b)), (true, false));
        assert_eq!(presence.heard_within(3 * second, start + 4 * second), [a]);
    }
}
