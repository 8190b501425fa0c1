//! What came by one connection and has not been answered, and what waits to be written to it.
//!
//! Every message takes a slot. A slot is settled once, in any order; acknowledgements leave from the front as far as slots are
//! settled, because MQTT wants them in the order of the deliveries (MQTT-4.6.0-2). The answer to a store does not wait for
//! its turn.
//!
//! The window is full while so many messages, or so many bytes of them, are not settled. A broker should not deliver more
//! than the Receive Maximum; Mosquitto before 2.0.13 does, as soon as it has an acknowledgement, and no broker counts bytes.
//! So whoever reads from the connection waits for room here, and TCP holds the rest back. When there has been none for too
//! long, what comes is dropped at once, because its store gives it up, and the broker must hear of this end meanwhile. Bytes are counted over all connections of a consumer, one after the other:
//! what came by one that was lost is still in memory until it is settled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pos_model::StoreId;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::limits::{RECEIVE_MAXIMUM, UNCONFIRMED_MAX};
use super::presence::Presence;
use super::voices::Voices;
use crate::mqtt::budget::{Budget, Permit};
use crate::mqtt::limits::MESSAGE_OVERHEAD_BYTES;
use crate::mqtt::{Delivery, Downlink};

#[derive(Debug)]
pub(super) struct Window {
    contents: Mutex<Contents>,
    wake: Notify,
    room: Arc<Room>,
    downlink_budget: Arc<Budget>,
}

/// The memory of a consumer, for all its connections.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    /// Signalled when a message was settled. Only the newest connection waits for it.
    freed: Notify,
    /// How long the room may be full before messages of QoS 1 that find none are dropped.
    patience: Duration,
    /// Since when it is.
    full_since: Mutex<Option<tokio::time::Instant>>,
}

impl Room {
    pub(super) fn new(bytes_max: usize, patience: Duration) -> Self {
        Self { budget: Budget::new(bytes_max), freed: Notify::new(), patience, full_since: Mutex::default() }
    }

    fn has_room(&self) {
        *self.full_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Until when to wait for room.
    fn is_full(&self) -> tokio::time::Instant {
        let mut since = self.full_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since.get_or_insert_with(tokio::time::Instant::now) + self.patience
    }
}

/// The place of a message that was taken in.
#[derive(Debug)]
pub(super) struct Place {
    slot: u64,
    permit: Permit,
}

#[derive(Debug, Default)]
struct Contents {
    slots: VecDeque<Slot>,
    /// The number of the first slot in the row; numbers count up from 0 over the life of the connection.
    first_slot: u64,
    /// Messages of QoS 1 that are not settled.
    confirmed: usize,
    /// Messages of QoS 0 that are not settled.
    unconfirmed: usize,
    answers: VecDeque<Answer>,
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// None for a message of QoS 0.
    packet_id: Option<u16>,
    settled: bool,
}

/// A message to a store.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    _permit: Permit,
}

/// What is to be written next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// PUBACK for this packet.
    Ack(u16),
    /// A message to a store.
    Answer(Answer),
}

impl Window {
    pub(super) fn new(room: Arc<Room>, downlink_budget: Arc<Budget>) -> Self {
        Self { contents: Mutex::default(), wake: Notify::new(), room, downlink_budget }
    }

    /// The lock is held for a few pushes and pops, never across an await. A panic inside leaves nothing half done that
    /// could harm, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a message; none if it is to be dropped: there is no room, for one of QoS 1 not even after the
    /// patience of the [`Room`]. What is dropped is acknowledged in its turn.
    pub(super) async fn open(&self, packet_id: Option<u16>, payload_bytes: usize) -> Option<Place> {
        let bytes = payload_bytes + MESSAGE_OVERHEAD_BYTES;
        loop {
            if let Some(place) = self.lock().open(packet_id, bytes, &self.room.budget) {
                // Of those without an acknowledgement there is a number of their own.
                if packet_id.is_some() {
                    self.room.has_room();
                }
                return Some(place);
            }
            let packet_id = packet_id?;
            if timeout_at(self.room.is_full(), self.room.freed.notified()).await.is_err() {
                self.lock().slots.push_back(Slot { packet_id: Some(packet_id), settled: true });
                self.wake.notify_one();
                return None;
            }
        }
    }

    /// Settles a place at once: its message goes no further.
    pub(super) fn give_back(&self, place: Place) {
        self.settle(place.slot, None);
    }

    /// Settles a slot, and takes an answer in. Both do nothing when the connection has ended.
    fn settle(&self, slot: u64, answer: Option<Downlink<'_>>) -> Delivery {
        let mut contents = self.lock();
        if contents.closed {
            return Delivery::NotConnected;
        }
        contents.settle(slot);
        let delivery = answer.map_or(Delivery::Queued, |answer| self.put(&mut contents, answer));
        drop(contents);
        self.wake.notify_one();
        delivery
    }

    /// Takes in what a store has not asked for. Does nothing when the connection has ended.
    pub(super) fn say(&self, message: Downlink<'_>) {
        let mut contents = self.lock();
        if !contents.closed {
            self.put(&mut contents, message);
            drop(contents);
            self.wake.notify_one();
        }
    }

    fn put(&self, contents: &mut Contents, Downlink { topic, payload, .. }: Downlink<'_>) -> Delivery {
        let Some(permit) = self.downlink_budget.take(payload.len() + MESSAGE_OVERHEAD_BYTES) else {
            return Delivery::Overflow;
        };
        let (topic, payload) = (topic.to_owned(), payload.clone());
        contents.answers.push_back(Answer { topic, payload, _permit: permit });
        Delivery::Queued
    }

    /// Resolves when something may be there to write.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The next thing to write.
    pub(super) fn take(&self) -> Option<Outgoing> {
        let mut contents = self.lock();
        while let Some(Slot { packet_id, settled: true }) = contents.slots.front().copied() {
            contents.slots.pop_front();
            contents.first_slot += 1;
            if let Some(packet_id) = packet_id {
                return Some(Outgoing::Ack(packet_id));
            }
        }
        contents.answers.pop_front().map(Outgoing::Answer)
    }

    /// Nothing goes in any more, and what is inside is let go.
    pub(super) fn close(&self) {
        let mut contents = self.lock();
        let old = std::mem::take(&mut *contents);
        contents.closed = true;
        drop(contents);
        drop(old);
    }
}

impl Contents {
    fn open(&mut self, packet_id: Option<u16>, bytes: usize, budget: &Arc<Budget>) -> Option<Place> {
        let (held, held_max) = match packet_id {
            Some(_) => (&mut self.confirmed, usize::from(RECEIVE_MAXIMUM)),
            None => (&mut self.unconfirmed, UNCONFIRMED_MAX),
        };
        if *held >= held_max {
            return None;
        }
        let permit = budget.take(bytes)?;
        *held += 1;
        self.slots.push_back(Slot { packet_id, settled: false });
        Some(Place { slot: self.first_slot + self.slots.len() as u64 - 1, permit })
    }

    fn settle(&mut self, slot: u64) {
        let index = slot.checked_sub(self.first_slot).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return };
        if !std::mem::replace(&mut slot.settled, true) {
            let held = if slot.packet_id.is_some() { &mut self.confirmed } else { &mut self.unconfirmed };
            *held -= 1;
        }
    }
}

/// The right to settle one message. Dropped without that, the message is settled without an answer.
#[derive(Debug)]
pub(crate) struct Seat {
    window: Arc<Window>,
    /// None once it is settled.
    place: Option<Place>,
    store: StoreId,
    voices: Arc<Voices>,
    presence: Arc<Presence>,
}

impl Seat {
    pub(super) fn new(
        window: Arc<Window>,
        place: Place,
        store: StoreId,
        voices: Arc<Voices>,
        presence: Arc<Presence>,
    ) -> Self {
        Self { window, place: Some(place), store, voices, presence }
    }

    /// By which its store is told something later, when this connection may be another.
    pub(crate) fn voices(&self) -> Arc<Voices> {
        Arc::clone(&self.voices)
    }

    /// Settles it; `accepted` if the store may be said to have been heard.
    pub(crate) fn settle(&mut self, accepted: bool, answer: Option<Downlink<'_>>) -> Delivery {
        let Some(Place { slot, permit }) = self.place.take() else { return Delivery::NotConnected };
        if accepted {
            self.presence.note(&self.store, Instant::now());
        }
        let delivery = self.window.settle(slot, answer);
        // Whoever waits for room must find it.
        drop(permit);
        self.window.room.freed.notify_one();
        delivery
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.settle(false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::DownlinkQos;

    /// What each message here occupies.
    const BYTES: usize = 1_000;

    const SHORT: Duration = Duration::from_millis(20);

    /// Longer than anything here takes; reached only by a failure.
    const LONG: Duration = Duration::from_secs(20);

    /// A window with room for so many messages.
    fn window(messages: usize, patience: Duration) -> Arc<Window> {
        Arc::new(Window::new(Arc::new(Room::new(messages * BYTES, patience)), Budget::new(10_000)))
    }

    async fn open(window: &Arc<Window>, packet_id: Option<u16>) -> Option<Seat> {
        let place = window.open(packet_id, BYTES - MESSAGE_OVERHEAD_BYTES).await?;
        let store = StoreId::new("s").expect("valid");
        Some(Seat::new(Arc::clone(window), place, store, Arc::new(Voices::new(0)), Arc::default()))
    }

    async fn open_all(window: &Arc<Window>, packet_ids: std::ops::RangeInclusive<u16>) -> Vec<Seat> {
        let mut seats = Vec::new();
        for packet_id in packet_ids {
            seats.push(open(window, Some(packet_id)).await.expect("room"));
        }
        seats
    }

    static PAYLOAD: Bytes = Bytes::from_static(b"x");

    fn answer() -> Downlink<'static> {
        Downlink { topic: "bw1/d/s", payload: &PAYLOAD, qos: DownlinkQos::AtMostOnce }
    }

    /// The packet ids that leave; 0 for an answer.
    fn leaving(window: &Window) -> Vec<u16> {
        let id = |outgoing| if let Outgoing::Ack(packet_id) = outgoing { packet_id } else { 0 };
        std::iter::from_fn(|| window.take()).map(id).collect()
    }

    #[tokio::test]
    async fn acknowledgements_leave_in_the_order_of_the_deliveries() {
        let window = window(4, SHORT);
        let mut seats = open_all(&window, 1..=4).await;
        assert_eq!(seats[1].settle(true, Some(answer())), Delivery::Queued);
        assert_eq!(leaving(&window), [0], "the answer waits for nobody");
        seats[0].settle(true, None);
        assert_eq!(leaving(&window), [1, 2]);
        drop(seats.remove(3));
        assert!(leaving(&window).is_empty());
        drop(seats);
        assert_eq!(leaving(&window), [3, 4]);
    }

    #[tokio::test]
    async fn what_finds_no_room_in_time_is_dropped_in_its_turn() {
        let window = window(5, SHORT);
        let seats = open_all(&window, 1..=4).await;
        let heartbeat = open(&window, None).await.expect("room");
        assert!(open(&window, None).await.is_none(), "a heartbeat waits for nothing");
        assert!(open(&window, Some(5)).await.is_none());
        assert!(leaving(&window).is_empty(), "the acknowledgement of what was dropped waits for its turn");
        drop((seats, heartbeat));
        assert_eq!(leaving(&window), [1, 2, 3, 4, 5]);
        assert!(open(&window, None).await.is_some());
        open_all(&window, 6..=10).await;
    }

    #[tokio::test]
    async fn whoever_reads_waits_for_a_full_room_once_and_not_for_each_message() {
        let window = window(1, SHORT);
        let seats = open_all(&window, 1..=1).await;
        let until = || window.room.is_full();
        assert!(open(&window, Some(2)).await.is_none());
        let waited_until = until();
        assert!(open(&window, Some(3)).await.is_none());
        assert_eq!(until(), waited_until, "the patience is used up");
        drop(seats);
        let _seats = open_all(&window, 4..=4).await;
        assert!(until() > waited_until, "there was room meanwhile");
    }

    #[tokio::test]
    async fn messages_are_counted_too() {
        let window = window(10_000, SHORT);
        let _seats = open_all(&window, 1..=RECEIVE_MAXIMUM).await;
        assert!(open(&window, Some(1_000)).await.is_none());
        let mut heartbeats = Vec::new();
        for _ in 0..UNCONFIRMED_MAX {
            heartbeats.push(open(&window, None).await.expect("heartbeats have their own number"));
        }
        assert!(open(&window, None).await.is_none());
    }

    #[tokio::test]
    async fn a_message_waits_for_room_also_behind_a_lost_connection() {
        let room = Arc::new(Room::new(2 * BYTES, LONG));
        let lost = Arc::new(Window::new(Arc::clone(&room), Budget::new(10_000)));
        let of_lost = open_all(&lost, 1..=2).await;
        lost.close();
        let window = Arc::new(Window::new(room, Budget::new(10_000)));
        let waiting = tokio::spawn({
            let window = Arc::clone(&window);
            async move { open(&window, Some(1)).await }
        });
        tokio::time::sleep(SHORT).await;
        assert!(!waiting.is_finished(), "what came by the lost connection is still in memory");
        drop(of_lost);
        assert!(waiting.await.expect("no panic").is_some());
        assert_eq!(leaving(&window), [1]);
    }

    #[tokio::test]
    async fn only_who_was_accepted_was_heard() {
        let window = window(4, SHORT);
        let presence = Arc::new(Presence::default());
        let heard = || presence.heard_within(LONG, Instant::now()).len();
        for (accepted, count) in [(false, 0), (true, 1)] {
            let mut seat = open(&window, Some(1)).await.expect("room");
            seat.presence = Arc::clone(&presence);
            seat.settle(accepted, None);
            assert_eq!(heard(), count);
        }
    }

    #[tokio::test]
    async fn a_closed_window_takes_nothing_and_holds_nothing() {
        let window = window(4, SHORT);
        let mut seats = open_all(&window, 1..=2).await;
        seats[0].settle(true, Some(answer()));
        window.close();
        assert_eq!(window.downlink_budget.used(), 0);
        assert_eq!(seats[1].settle(true, Some(answer())), Delivery::NotConnected);
        assert_eq!((leaving(&window), window.room.budget.used()), (vec![], 0));
    }

    #[tokio::test]
    async fn answers_without_room_are_dropped() {
        let window = Arc::new(Window::new(Arc::new(Room::new(BYTES, SHORT)), Budget::new(10)));
        let mut seat = open(&window, Some(1)).await.expect("room");
        assert_eq!(seat.settle(true, Some(answer())), Delivery::Overflow);
        assert_eq!(leaving(&window), [1]);
    }
}
