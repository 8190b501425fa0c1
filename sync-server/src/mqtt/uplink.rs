//! What a way in hands to the service: a message, and the receipt that answers it.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::result_code::PubackReasonCode;
use pos_model::StoreId;
use protocol::proof::ProofKey;

use super::acl::Kind;
use super::budget::Permit;
use super::login::Trust;
use super::mailbox::{Downlink, DownlinkQos, Mailbox};
use super::router::{ConnectionId, Delivery, Router};
use crate::broker::{Seat, Voices};

/// A message from a store, as it was published.
#[derive(Debug)]
pub struct Uplinked {
    /// The connection it came by; answers go there.
    pub connection: ConnectionId,
    /// The store that the topic names. At the listener it is the one that logged in.
    pub store: StoreId,
    /// The last level of the topic.
    pub kind: Kind,
    /// The payload, untouched.
    pub payload: Bytes,
    /// What makes the message that store's.
    pub trust: Trust,
    /// To be resolved when the message's fate is durable.
    pub receipt: Receipt,
}

/// Why the service refuses a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 0x97: no room, come back later.
    Busy,
    /// 0x87: the store may not say this.
    NotAuthorized,
    /// 0x99: the payload cannot be read.
    Unreadable,
    /// 0x80: it failed for a reason that is not the message's.
    Failed,
}

impl Refusal {
    pub(crate) fn code(self) -> PubackReasonCode {
        match self {
            Self::Busy => PubackReasonCode::QuotaExceeded,
            Self::NotAuthorized => PubackReasonCode::NotAuthorized,
            Self::Unreadable => PubackReasonCode::PayloadFormatInvalid,
            Self::Failed => PubackReasonCode::UnspecifiedError,
        }
    }
}

/// The right to answer one publish, once. It also holds the message's share of the byte budget: keep it as long as the
/// payload.
///
/// By the listener, the PUBACK leaves when every earlier publish of the connection has been answered, too. Dropped without
/// an answer, the client never gets one; a store then repeats after its timeout, but each such gap uses up the client's
/// window, so the listener ends a connection that has collected many. To say "not now", prefer [`Receipt::refuse`]. All
/// methods do nothing beyond their delivery result for a publish of QoS 0 or when the connection has ended.
///
/// By a broker there is one PUBACK for every outcome, see [`crate::broker`].
#[derive(Debug)]
pub struct Receipt {
    way: Way,
    answer_key: Option<ProofKey>,
}

/// What a message by the listener occupies until it is decided: its bytes, and its place among those of its connection that
/// are not answered.
#[derive(Debug)]
pub(crate) struct Permits {
    pub(crate) _bytes: Permit,
    pub(crate) _unconfirmed: Option<Permit>,
}

#[derive(Debug)]
enum Way {
    Listener { mailbox: Arc<Mailbox>, router: Router, slot: Option<u64>, _permits: Permits },
    Broker(Seat),
}

impl Receipt {
    pub(crate) fn new(mailbox: Arc<Mailbox>, router: Router, slot: Option<u64>, permits: Permits) -> Self {
        Self { way: Way::Listener { mailbox, router, slot, _permits: permits }, answer_key: None }
    }

    pub(crate) fn by_broker(seat: Seat) -> Self {
        Self { way: Way::Broker(seat), answer_key: None }
    }

    /// Says what the answer is to be proven with, if the message was proven.
    pub(crate) fn prove_answer_with(&mut self, key: Option<ProofKey>) {
        self.answer_key = key;
    }

    /// Adds the proof to a sealed answer, if the message was proven.
    pub(crate) fn prove_answer(&self, answer: &mut Vec<u8>) {
        if let Some(key) = &self.answer_key {
            key.prove(answer);
        }
    }

    /// How its store is told something later that it has not asked for.
    pub(crate) fn way_back(&self) -> WayBack {
        let by_broker = match &self.way {
            Way::Listener { .. } => None,
            Way::Broker(seat) => Some(seat.voices()),
        };
        WayBack { by_broker, key: self.answer_key }
    }

    /// PUBACK with success: the message is durable.
    pub fn accept(mut self) {
        self.decide(PubackReasonCode::Success, None);
    }

    /// As [`Receipt::accept`], and a message to the same connection right behind the PUBACK. One wake-up and one write
    /// for both, and no look-up: the cheap way to ack. A connection that does not listen has another one do it, as
    /// mosquitto_pub beside mosquitto_sub: then the message goes to the store's connections that do.
    pub fn accept_with(mut self, message: Downlink<'_>) -> Delivery {
        self.decide(PubackReasonCode::Success, Some(message))
    }

    /// PUBACK with a reason.
    pub fn refuse(mut self, refusal: Refusal) {
        self.decide(refusal.code(), None);
    }

    fn decide(&mut self, code: PubackReasonCode, message: Option<Downlink<'_>>) -> Delivery {
        match &mut self.way {
            Way::Listener { mailbox, router, slot, .. } => {
                let slot = slot.take();
                if slot.is_none() && message.is_none() {
                    return Delivery::Queued;
                }
                let delivery = mailbox.decide(slot, code, message);
                match (delivery, message) {
                    (Delivery::NotSubscribed, Some(message)) => router.send_beside(mailbox, message),
                    _ => delivery,
                }
            }
            Way::Broker(seat) => seat.settle(code == PubackReasonCode::Success, message),
        }
    }
}

/// The way by which a store was heard.
#[derive(Debug, Clone)]
pub(crate) struct WayBack {
    by_broker: Option<Arc<Voices>>,
    key: Option<ProofKey>,
}

impl WayBack {
    /// Whether that was a broker.
    pub(crate) fn is_by_broker(&self) -> bool {
        self.by_broker.is_some()
    }

    /// Sends a sealed message, with the proof that the store's own messages have. Whether it arrives nobody knows.
    pub(crate) fn tell(&self, router: &Router, store: &StoreId, mut sealed: Vec<u8>) {
        if let Some(key) = &self.key {
            key.prove(&mut sealed);
        }
        let payload = Bytes::from(sealed);
        match &self.by_broker {
            None => {
                router.send_to_store(store, &payload, DownlinkQos::AtMostOnce);
            }
            Some(voices) => voices.tell(store, &payload),
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Way::Listener { mailbox, slot, .. } = &mut self.way
            && let Some(slot) = slot.take()
        {
            mailbox.abandon(slot);
        }
    }
}
