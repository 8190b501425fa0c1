//! What came by one connection and has not been answered, and what waits to be written to it.
//!
//! Every message takes a slot. A slot is settled once, in any order; acknowledgements leave from the front as far as slots are
//! settled, because MQTT wants them in the order of the deliveries (MQTT-4.6.0-2). The answer to a store does not wait for
//! its turn. A slot holds its place until its acknowledgement has been taken out, so that a broker which does not read
//! leaves no more behind than a window holds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use pos_model::StoreId;
use tokio::sync::Notify;

use super::limits::unconfirmed_max;
use super::presence::Presence;
use crate::mqtt::budget::{Budget, Permit};
use crate::mqtt::limits::MESSAGE_OVERHEAD_BYTES;
use crate::mqtt::{Delivery, Downlink};

#[derive(Debug)]
pub(super) struct Window {
    contents: Mutex<Contents>,
    wake: Notify,
    confirmed_max: usize,
    unconfirmed_max: usize,
    downlink_budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Contents {
    slots: VecDeque<Slot>,
    /// The number of the first slot in the row; numbers count up from 0 over the life of the connection.
    first_slot: u64,
    /// Slots of messages of QoS 0.
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

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// A message of QoS 0 too many.
    Drop,
    /// The broker delivered more than the Receive Maximum.
    Overrun,
}

impl Window {
    pub(super) fn new(receive_maximum: u16, downlink_budget: Arc<Budget>) -> Self {
        Self {
            contents: Mutex::default(),
            wake: Notify::new(),
            confirmed_max: receive_maximum.into(),
            unconfirmed_max: unconfirmed_max(receive_maximum),
            downlink_budget,
        }
    }

    /// The lock is held for a few pushes and pops, never across an await. A panic inside leaves nothing half done that
    /// could harm, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for a message.
    pub(super) fn open(&self, packet_id: Option<u16>) -> Result<u64, NoSlot> {
        let mut contents = self.lock();
        if packet_id.is_none() {
            if contents.unconfirmed >= self.unconfirmed_max {
                return Err(NoSlot::Drop);
            }
            contents.unconfirmed += 1;
        } else if contents.slots.len() - contents.unconfirmed >= self.confirmed_max {
            return Err(NoSlot::Overrun);
        }
        contents.slots.push_back(Slot { packet_id, settled: false });
        Ok(contents.first_slot + contents.slots.len() as u64 - 1)
    }

    /// Settles a slot, and takes an answer in. Both do nothing when the connection has ended.
    pub(super) fn settle(&self, slot: u64, answer: Option<Downlink<'_>>) -> Delivery {
        let mut contents = self.lock();
        if contents.closed {
            return Delivery::NotConnected;
        }
        let index = slot.checked_sub(contents.first_slot).and_then(|index| usize::try_from(index).ok());
        if let Some(slot) = index.and_then(|index| contents.slots.get_mut(index)) {
            slot.settled = true;
        }
        let delivery = answer.map_or(Delivery::Queued, |answer| self.put(&mut contents, answer));
        drop(contents);
        self.wake.notify_one();
        delivery
    }

    /// Takes in what a store has not asked for. Does nothing when the connection has ended.
    fn say(&self, message: Downlink<'_>) {
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
            match packet_id {
                Some(packet_id) => return Some(Outgoing::Ack(packet_id)),
                None => contents.unconfirmed -= 1,
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

/// Speaks by the connection by which a store was heard, as long as that stands.
#[derive(Debug, Clone)]
pub(crate) struct Voice(Arc<Window>);

impl Voice {
    pub(crate) fn say(&self, message: Downlink<'_>) {
        self.0.say(message);
    }
}

/// The right to settle one message. Dropped without that, the message is settled without an answer.
#[derive(Debug)]
pub(crate) struct Seat {
    window: Arc<Window>,
    /// None once it is settled.
    slot: Option<u64>,
    store: StoreId,
    presence: Arc<Presence>,
}

impl Seat {
    pub(super) fn new(window: Arc<Window>, slot: u64, store: StoreId, presence: Arc<Presence>) -> Self {
        Self { window, slot: Some(slot), store, presence }
    }

    /// By which its store is told something later.
    pub(crate) fn voice(&self) -> Voice {
        Voice(Arc::clone(&self.window))
    }

    /// Settles it; `accepted` if the store may be said to have been heard.
    pub(crate) fn settle(&mut self, accepted: bool, answer: Option<Downlink<'_>>) -> Delivery {
        let Some(slot) = self.slot.take() else { return Delivery::NotConnected };
        if accepted {
            self.presence.note(&self.store, Instant::now());
        }
        self.window.settle(slot, answer)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.window.settle(slot, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::DownlinkQos;

    fn window(receive_maximum: u16) -> Arc<Window> {
        Arc::new(Window::new(receive_maximum, Budget::new(10_000)))
    }

    /// The packet ids that leave; 0 for an answer.
    fn leaving(window: &Window) -> Vec<u16> {
        let id = |outgoing| if let Outgoing::Ack(packet_id) = outgoing { packet_id } else { 0 };
        std::iter::from_fn(|| window.take()).map(id).collect()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_the_deliveries() {
        let window = window(4);
        let slots: Vec<u64> = (1..=4).map(|id| window.open(Some(id)).expect("room")).collect();
        let payload = Bytes::from_static(b"x");
        let answer = Downlink { topic: "bw1/d/s", payload: &payload, qos: DownlinkQos::AtMostOnce };
        assert_eq!(window.settle(slots[1], Some(answer)), Delivery::Queued);
        assert_eq!(leaving(&window), [0], "the answer waits for nobody");
        window.settle(slots[0], None);
        assert_eq!(leaving(&window), [1, 2]);
        window.settle(slots[3], None);
        assert!(leaving(&window).is_empty());
        window.settle(slots[2], None);
        window.settle(slots[2], None);
        assert_eq!(leaving(&window), [3, 4]);
    }

    #[test]
    fn a_window_has_an_end() {
        let window = window(4);
        let slots: Vec<u64> = (1..=4).map(|id| window.open(Some(id)).expect("room")).collect();
        assert_eq!(window.open(Some(5)), Err(NoSlot::Overrun));
        let heartbeat = window.open(None).expect("heartbeats have their own room");
        assert_eq!(window.open(None), Err(NoSlot::Drop));
        for slot in slots {
            window.settle(slot, None);
        }
        assert_eq!(window.open(Some(5)), Err(NoSlot::Overrun), "what is not written keeps its place");
        assert_eq!(leaving(&window), [1, 2, 3, 4]);
        window.settle(heartbeat, None);
        assert!(leaving(&window).is_empty());
        assert!(window.open(None).is_ok() && window.open(Some(5)).is_ok());
    }

    #[test]
    fn a_seat_that_is_dropped_gives_its_place_back() {
        let window = window(4);
        let presence = Arc::new(Presence::default());
        let store = StoreId::new("s").expect("valid");
        let seat = |packet_id| {
            let slot = window.open(Some(packet_id)).expect("room");
            Seat::new(Arc::clone(&window), slot, store.clone(), Arc::clone(&presence))
        };
        let heard = || presence.heard_within(std::time::Duration::from_secs(60), Instant::now());
        drop(seat(1));
        seat(2).settle(false, None);
        assert!(heard().is_empty());
        seat(3).settle(true, None);
        assert_eq!((leaving(&window), heard()), (vec![1, 2, 3], vec![store.clone()]));
    }

    #[test]
    fn a_closed_window_takes_nothing_and_holds_nothing() {
        let window = window(4);
        let slot = window.open(Some(1)).expect("room");
        let payload = Bytes::from_static(b"x");
        let answer = Downlink { topic: "t", payload: &payload, qos: DownlinkQos::AtMostOnce };
        window.settle(slot, Some(answer));
        window.close();
        assert_eq!(window.downlink_budget.used(), 0);
        assert_eq!(window.settle(slot, Some(answer)), Delivery::NotConnected);
        assert!(leaving(&window).is_empty());
    }

    #[test]
    fn answers_without_room_are_dropped() {
        let window = Arc::new(Window::new(4, Budget::new(10)));
        let slot = window.open(Some(1)).expect("room");
        let payload = Bytes::from_static(b"x");
        let answer = Downlink { topic: "t", payload: &payload, qos: DownlinkQos::AtMostOnce };
        assert_eq!(window.settle(slot, Some(answer)), Delivery::Overflow);
        assert_eq!(leaving(&window), [1]);
    }
}
