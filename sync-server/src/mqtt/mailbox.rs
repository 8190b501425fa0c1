//! What waits for one connection: answers to its publishes, messages for it, and perhaps the order to close.
//!
//! Everybody who has something for a connection puts it here under a short lock and wakes its task; only that task
//! writes to the socket. So an ack and the PUBACK it belongs to leave in one write, and nobody ever waits for a reader.
//!
//! Answers keep the order of the publishes (MQTT-4.6.0-2): each publish takes a slot, and slots leave from the front
//! as far as they are decided. A slot whose receipt was dropped leaves without an answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::result_code::PubackReasonCode;
use pos_model::StoreId;
use tokio::sync::Notify;

use super::budget::{Budget, Permit};
use super::limits::{MESSAGE_OVERHEAD_BYTES, UNCONFIRMED_MAX};
use super::router::{ConnectionId, Delivery, Goodbye};

/// Quality of service of a downlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DownlinkQos {
    /// QoS 0: what a later message covers.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

impl From<DownlinkQos> for Qos {
    fn from(qos: DownlinkQos) -> Self {
        match qos {
            DownlinkQos::AtMostOnce => Self::AtMostOnce,
            DownlinkQos::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

/// A filter that a connection holds, and the highest quality it was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topic: Arc<str>,
    pub(crate) qos: DownlinkQos,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: DownlinkQos,
    _permit: Permit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Undecided { packet_id: u16 },
    Decided { packet_id: u16, code: PubackReasonCode },
    Abandoned,
}

/// What leaves the front of the row of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Puback {
        packet_id: u16,
        code: PubackReasonCode,
    },
    /// The service dropped the receipt: the client gets no answer to this one.
    None,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) id: ConnectionId,
    pub(crate) store: StoreId,
    pub(crate) client_id: String,
    pub(crate) wake: Notify,
    budget: Arc<Budget>,
    messages_max: usize,
    /// Of its publishes of QoS 0, which take no slot, those that are not decided.
    unconfirmed: Arc<Budget>,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
pub(crate) struct Contents {
    slots: VecDeque<Slot>,
    /// The number of the first slot in the row; numbers count up from 0 over the life of the connection.
    first_slot: u64,
    waiting: VecDeque<Waiting>,
    subscriptions: Vec<Subscription>,
    goodbye: Option<Goodbye>,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(
        id: ConnectionId,
        store: StoreId,
        client_id: String,
        budget: Arc<Budget>,
        messages_max: usize,
    ) -> Self {
        let contents = Mutex::new(Contents::default());
        let unconfirmed = Budget::new(UNCONFIRMED_MAX);
        Self { id, store, client_id, wake: Notify::new(), budget, messages_max, unconfirmed, contents }
    }

    /// The lock is held for a few pushes and pops, never across an await. A panic inside leaves nothing half done that
    /// could harm, so a poisoned lock is used on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a publish of QoS 0, if there is one.
    pub(crate) fn open_unconfirmed(&self) -> Option<Permit> {
        self.unconfirmed.take(1)
    }

    /// Takes the next slot for a publish that is to be answered.
    pub(crate) fn open_slot(&self, packet_id: u16) -> u64 {
        self.lock().push(Slot::Undecided { packet_id })
    }

    /// Takes the next slot for a publish that is answered already.
    pub(crate) fn answer(&self, packet_id: u16, code: PubackReasonCode) {
        self.lock().push(Slot::Decided { packet_id, code });
    }

    /// Decides a slot, and puts a message behind the answer.
    pub(crate) fn decide(&self, slot: Option<u64>, code: PubackReasonCode, message: Option<Downlink<'_>>) -> Delivery {
        let mut contents = self.lock();
        if let Some(slot) = slot {
            contents.decide(slot, Some(code));
        }
        let delivery = message.map_or(Delivery::Queued, |message| contents.deliver(message, self));
        drop(contents);
        self.wake.notify_one();
        delivery
    }

    /// Gives a slot up.
    pub(crate) fn abandon(&self, slot: u64) {
        self.lock().decide(slot, None);
        self.wake.notify_one();
    }

    pub(crate) fn send(&self, message: Downlink<'_>) -> Delivery {
        let delivery = self.lock().deliver(message, self);
        if delivery != Delivery::NotSubscribed {
            self.wake.notify_one();
        }
        delivery
    }

    pub(crate) fn say_goodbye(&self, goodbye: Goodbye) {
        self.lock().goodbye.get_or_insert(goodbye);
        self.wake.notify_one();
    }

    /// Nothing goes in any more, and what is inside is let go.
    pub(crate) fn close(&self) {
        let mut contents = self.lock();
        let old = std::mem::take(&mut *contents);
        contents.closed = true;
        drop(contents);
        drop(old);
    }
}

/// A message to a store.
#[derive(Debug, Clone, Copy)]
pub struct Downlink<'a> {
    /// The topic; the message is delivered only to connections that subscribed to it.
    pub topic: &'a str,
    /// The payload; it is shared, not copied, until it is written.
    pub payload: &'a Bytes,
    /// The quality, lowered to what the connection was granted.
    pub qos: DownlinkQos,
}

impl Contents {
    fn push(&mut self, slot: Slot) -> u64 {
        self.slots.push_back(slot);
        self.first_slot + self.slots.len() as u64 - 1
    }

    fn decide(&mut self, slot: u64, code: Option<PubackReasonCode>) {
        let index = slot.checked_sub(self.first_slot).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { return };
        if let Slot::Undecided { packet_id } = *slot {
            *slot = code.map_or(Slot::Abandoned, |code| Slot::Decided { packet_id, code });
        }
    }

    fn deliver(&mut self, message: Downlink<'_>, mailbox: &Mailbox) -> Delivery {
        if self.closed || self.goodbye.is_some() {
            return Delivery::NotConnected;
        }
        let Some(subscription) = self.subscriptions.iter().find(|held| &*held.topic == message.topic) else {
            return Delivery::NotSubscribed;
        };
        let permit = if self.waiting.len() < mailbox.messages_max {
            mailbox.budget.take(message.payload.len() + MESSAGE_OVERHEAD_BYTES)
        } else {
            None
        };
        let Some(permit) = permit else {
            self.goodbye = Some(Goodbye::TooSlow);
            return Delivery::Overflow;
        };
        self.waiting.push_back(Waiting {
            topic: Arc::clone(&subscription.topic),
            payload: message.payload.clone(),
            qos: message.qos.min(subscription.qos),
            _permit: permit,
        });
        Delivery::Queued
    }

    /// The next answer that may leave.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        let answer = match *self.slots.front()? {
            Slot::Undecided { .. } => return None,
            Slot::Decided { packet_id, code } => Answer::Puback { packet_id, code },
            Slot::Abandoned => Answer::None,
        };
        self.slots.pop_front();
        self.first_slot += 1;
        Some(answer)
    }

    /// The quality of the next message, before it is taken.
    pub(crate) fn next_qos(&self) -> Option<DownlinkQos> {
        self.waiting.front().map(|waiting| waiting.qos)
    }

    pub(crate) fn take_next(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    pub(crate) fn goodbye(&self) -> Option<Goodbye> {
        self.goodbye
    }

    pub(crate) fn set_subscriptions(&mut self, subscriptions: &[Subscription]) {
        self.subscriptions.clear();
        self.subscriptions.extend_from_slice(subscriptions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        let store = StoreId::new("s").expect("valid");
        Mailbox::new(ConnectionId(1), store, "c".into(), Budget::new(10_000), 4)
    }

    /// The packet ids of the answers that may leave; 0 for one that leaves without.
    fn leaving(mailbox: &Mailbox) -> Vec<u16> {
        let mut contents = mailbox.lock();
        let next = || contents.next_answer();
        let id = |answer| if let Answer::Puback { packet_id, .. } = answer { packet_id } else { 0 };
        std::iter::from_fn(next).map(id).collect()
    }

    #[test]
    fn answers_leave_in_the_order_of_the_publishes() {
        let mailbox = mailbox();
        let slots: Vec<u64> = (1..=4).map(|packet_id| mailbox.open_slot(packet_id)).collect();
        mailbox.answer(5, PubackReasonCode::QuotaExceeded);
        mailbox.decide(Some(slots[1]), PubackReasonCode::Success, None);
        assert!(leaving(&mailbox).is_empty());
        mailbox.decide(Some(slots[0]), PubackReasonCode::Success, None);
        assert_eq!(leaving(&mailbox), [1, 2]);
        mailbox.abandon(slots[2]);
        assert_eq!(leaving(&mailbox), [0]);
        mailbox.decide(Some(slots[3]), PubackReasonCode::Success, None);
        assert_eq!(leaving(&mailbox), [4, 5]);
        mailbox.decide(Some(slots[3]), PubackReasonCode::Success, None);
        mailbox.abandon(99);
        assert!(leaving(&mailbox).is_empty());
    }

    #[test]
    fn a_closed_mailbox_takes_nothing() {
        let mailbox = mailbox();
        let slot = mailbox.open_slot(1);
        mailbox.lock().set_subscriptions(&[Subscription { topic: "t".into(), qos: DownlinkQos::AtLeastOnce }]);
        let payload = Bytes::from_static(b"x");
        let message = Downlink { topic: "t", payload: &payload, qos: DownlinkQos::AtLeastOnce };
        assert_eq!(mailbox.send(message), Delivery::Queued);
        mailbox.close();
        assert_eq!(mailbox.budget.used(), 0);
        assert_eq!(mailbox.decide(Some(slot), PubackReasonCode::Success, Some(message)), Delivery::NotConnected);
        assert!(leaving(&mailbox).is_empty());
    }

    #[test]
    fn quality_is_lowered_to_what_was_granted() {
        let mailbox = mailbox();
        mailbox.lock().set_subscriptions(&[Subscription { topic: "t".into(), qos: DownlinkQos::AtMostOnce }]);
        let payload = Bytes::from_static(b"x");
        mailbox.send(Downlink { topic: "t", payload: &payload, qos: DownlinkQos::AtLeastOnce });
        assert_eq!(mailbox.lock().take_next().map(|waiting| waiting.qos), Some(DownlinkQos::AtMostOnce));
    }
}
