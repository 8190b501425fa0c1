//! Who is connected, and the way to them. Cloned freely; every call is short and never waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use pos_model::StoreId;
use protocol::topic;

use super::budget::Budget;
use super::limits::Limits;
use super::mailbox::{Downlink, DownlinkQos, Mailbox};

/// One connection of this run of the server. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It waits for the socket.
    Queued,
    /// The connection has ended or is about to.
    NotConnected,
    /// The connection did not subscribe to the topic.
    NotSubscribed,
    /// There was no room; the connection ends and the store resumes from the server's cursor.
    Overflow,
}

/// Why the server ends a connection. The client reads it in the DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// 0x8E: the same client id of the same store connected again.
    TakenOver,
    /// 0x87: the store's login is revoked.
    Revoked,
    /// 0x98: an operator asked for it.
    Administrative,
    /// 0x97: messages for it came faster than it read.
    TooSlow,
    /// 0x8B: the server stops.
    ShuttingDown,
}

/// Sends to connected stores.
#[derive(Debug, Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Locked before any mailbox, never after.
    table: RwLock<Table>,
    next_id: AtomicU64,
    downlink_budget: Arc<Budget>,
    downlink_messages_max: usize,
    connections_per_store_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    by_connection: HashMap<ConnectionId, Arc<Mailbox>>,
    by_store: HashMap<StoreId, Vec<Arc<Mailbox>>>,
    closing: bool,
}

/// Why a login that was right is refused all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The store has too many connections.
    Store,
    /// The server stops.
    Closing,
}

/// A connection's entry in the router; dropping it takes the entry out.
#[derive(Debug)]
pub(crate) struct Registration {
    router: Router,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Router {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shared = Shared {
            table: RwLock::default(),
            next_id: AtomicU64::new(1),
            downlink_budget: Budget::new(limits.downlink_bytes_max),
            downlink_messages_max: limits.downlink_messages_max,
            connections_per_store_max: limits.connections_per_store_max,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends on the store's own topic to all its connections; returns how many have it queued.
    pub fn send_to_store(&self, store: &StoreId, payload: &Bytes, qos: DownlinkQos) -> usize {
        let mailboxes = self.read().by_store.get(store).cloned().unwrap_or_default();
        let name = topic::downlink(store);
        send_all(&mailboxes, Downlink { topic: &name, payload, qos })
    }

    /// Sends to the other connections of a connection's store.
    pub(crate) fn send_beside(&self, asking: &Mailbox, message: Downlink<'_>) -> Delivery {
        let mut mailboxes = self.read().by_store.get(&asking.store).cloned().unwrap_or_default();
        mailboxes.retain(|mailbox| mailbox.id != asking.id);
        if send_all(&mailboxes, message) > 0 { Delivery::Queued } else { Delivery::NotSubscribed }
    }

    /// Ends all connections of a store; returns how many.
    pub fn disconnect_store(&self, store: &StoreId, goodbye: Goodbye) -> usize {
        let mailboxes = self.read().by_store.get(store).cloned().unwrap_or_default();
        mailboxes.iter().for_each(|mailbox| mailbox.say_goodbye(goodbye));
        mailboxes.len()
    }

    /// Whether the store has a connection.
    pub fn connected(&self, store: &StoreId) -> bool {
        self.read().by_store.contains_key(store)
    }

    /// The stores that have a connection, in no order.
    pub fn connected_stores(&self) -> Vec<StoreId> {
        self.read().by_store.keys().cloned().collect()
    }

    /// How many connections have logged in.
    pub fn connections(&self) -> usize {
        self.read().by_connection.len()
    }

    /// Bytes that wait for readers.
    pub fn waiting_bytes(&self) -> usize {
        self.shared.downlink_budget.used()
    }

    /// Enters a connection that has just logged in, and ends the one it takes over from.
    pub(crate) fn register(&self, store: StoreId, client_id: String) -> Result<Registration, NoRoom> {
        let id = self.new_connection_id();
        let budget = Arc::clone(&self.shared.downlink_budget);
        let messages_max = self.shared.downlink_messages_max;
        let mut table = self.write();
        if table.closing {
            return Err(NoRoom::Closing);
        }
        let older = table.by_store.get(&store).map(Vec::as_slice).unwrap_or_default();
        let taken_over = older.iter().find(|mailbox| mailbox.client_id == client_id).cloned();
        if taken_over.is_none() && older.len() >= self.shared.connections_per_store_max {
            return Err(NoRoom::Store);
        }
        if let Some(taken_over) = taken_over {
            // Out of the table at once: what is sent to the store from here on goes to the new connection only.
            table.remove(&taken_over);
            taken_over.say_goodbye(Goodbye::TakenOver);
        }
        let mailbox = Arc::new(Mailbox::new(id, store, client_id, budget, messages_max));
        table.by_connection.insert(id, Arc::clone(&mailbox));
        table.by_store.entry(mailbox.store.clone()).or_default().push(Arc::clone(&mailbox));
        Ok(Registration { router: self.clone(), mailbox })
    }

    /// An id for a connection that is not this router's, as to a broker.
    pub(crate) fn new_connection_id(&self) -> ConnectionId {
        ConnectionId(self.shared.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// What bounds the bytes that wait to be sent.
    pub(crate) fn downlink_budget(&self) -> Arc<Budget> {
        Arc::clone(&self.shared.downlink_budget)
    }

    /// An id for a client that sent none; unique in this run, and told apart from the ids that clients choose.
    pub(crate) fn new_client_id(&self) -> String {
        format!("assigned-{}", self.shared.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends all connections and lets no other in.
    pub(crate) fn close(&self, goodbye: Goodbye) {
        let mut table = self.write();
        table.closing = true;
        table.by_connection.values().for_each(|mailbox| mailbox.say_goodbye(goodbye));
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.shared.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.shared.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, mailbox: &Mailbox) {
        self.by_connection.remove(&mailbox.id);
        if let Some(mailboxes) = self.by_store.get_mut(&mailbox.store) {
            mailboxes.retain(|other| other.id != mailbox.id);
            if mailboxes.is_empty() {
                self.by_store.remove(&mailbox.store);
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.router.write().remove(&self.mailbox);
        self.mailbox.close();
    }
}

fn send_all(mailboxes: &[Arc<Mailbox>], message: Downlink<'_>) -> usize {
    mailboxes.iter().filter(|mailbox| mailbox.send(message) == Delivery::Queued).count()
}

#[cfg(test)]
mod tests {
    use super::super::mailbox::Subscription;
    use super::super::uplink::{Permits, Receipt};
    use super::*;

    fn router() -> Router {
        let limits = Limits { connections_per_store_max: 2, downlink_messages_max: 2, ..Limits::standard() };
        Router::new(&limits)
    }

    fn store(name: &str) -> StoreId {
        StoreId::new(name).expect("valid")
    }

    fn subscribe(registration: &Registration, topic: &str) {
        let held = [Subscription { topic: topic.into(), qos: DownlinkQos::AtLeastOnce }];
        registration.mailbox.lock().set_subscriptions(&held);
    }

    #[test]
    fn takeover_is_by_store_and_client_id() {
        let router = router();
        let a = router.register(store("s"), "a".into()).expect("room");
        let b = router.register(store("s"), "b".into()).expect("room");
        assert_eq!(router.register(store("s"), "c".into()).err(), Some(NoRoom::Store));
        let other = router.register(store("t"), "a".into()).expect("room");
        assert_eq!((a.mailbox.lock().goodbye(), router.connections()), (None, 3));
        let again = router.register(store("s"), "a".into()).expect("takes over");
        assert_eq!(a.mailbox.lock().goodbye(), Some(Goodbye::TakenOver));
        assert_eq!((b.mailbox.lock().goodbye(), other.mailbox.lock().goodbye()), (None, None));
        drop(a);
        assert!(router.connected(&store("s")));
        assert_eq!(router.connections(), 3, "the late end of the old connection leaves the new one in place");
        drop((again, b));
        assert!(!router.connected(&store("s")));
        assert_eq!(router.connected_stores(), [store("t")]);
    }

    #[test]
    fn delivery() {
        let router = router();
        let payload = Bytes::from_static(b"x");
        let s = router.register(store("s"), "a".into()).expect("room");
        let mailbox = Arc::clone(&s.mailbox);
        let send = || mailbox.send(Downlink { topic: "bw1/d/s", payload: &payload, qos: DownlinkQos::AtLeastOnce });
        assert_eq!(send(), Delivery::NotSubscribed);
        subscribe(&s, "bw1/d/s");
        assert_eq!(
            (send(), router.send_to_store(&store("s"), &payload, DownlinkQos::AtMostOnce)),
            (Delivery::Queued, 1)
        );
        assert_eq!(send(), Delivery::Overflow);
        assert_eq!(s.mailbox.lock().goodbye(), Some(Goodbye::TooSlow));
        assert_eq!(send(), Delivery::NotConnected);
        assert!(router.waiting_bytes() > 0);
        drop(s);
        assert_eq!((router.waiting_bytes(), send()), (0, Delivery::NotConnected));
    }

    #[test]
    fn an_answer_goes_to_whoever_listens() {
        let router = router();
        let payload = Bytes::from_static(b"x");
        let (asks, listens) = (router.register(store("s"), "a".into()), router.register(store("s"), "b".into()));
        let (asks, listens) = (asks.expect("room"), listens.expect("room"));
        let other = router.register(store("t"), "a".into()).expect("room");
        let answer = || {
            let permits = Permits { _bytes: Budget::new(1).take(1).expect("room"), _unconfirmed: None };
            let receipt = Receipt::new(Arc::clone(&asks.mailbox), router.clone(), None, permits);
            receipt.accept_with(Downlink { topic: "bw1/d/s", payload: &payload, qos: DownlinkQos::AtMostOnce })
        };
        assert_eq!(answer(), Delivery::NotSubscribed);
        subscribe(&listens, "bw1/d/s");
        subscribe(&other, "bw1/d/s");
        assert_eq!(answer(), Delivery::Queued);
        assert!(listens.mailbox.lock().take_next().is_some());
        subscribe(&asks, "bw1/d/s");
        assert_eq!(answer(), Delivery::Queued);
        let taken = [&asks, &listens, &other].map(|held| held.mailbox.lock().take_next().is_some());
        assert_eq!(taken, [true, false, false], "whoever asks and listens is answered alone");
    }

    #[test]
    fn a_store_is_cut_with_all_its_connections() {
        let router = router();
        let ours = ["a", "b"].map(|client| router.register(store("s"), client.into()).expect("room"));
        let other = router.register(store("t"), "a".into()).expect("room");
        assert_eq!(router.disconnect_store(&store("s"), Goodbye::Revoked), 2);
        assert!(ours.iter().all(|held| held.mailbox.lock().goodbye() == Some(Goodbye::Revoked)));
        assert_eq!(other.mailbox.lock().goodbye(), None);
    }
}
