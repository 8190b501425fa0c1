//! What the sync task needs of a connection, so that the MQTT library behind it can be exchanged.
//!
//! A link is one connection. It is thrown away when it ends and a new one is made: nothing in it outlives a loss, because
//! the outbox is the queue.

use std::future::Future;

use bytes::Bytes;
use protocol::topic::UplinkKind;
use sync_core::store::{Loss, Refusal};

/// What happens on a link. After `Lost` nothing more comes.
#[derive(Debug)]
pub enum LinkEvent {
    /// The connection stands and the subscription is granted.
    Connected,
    /// A message to this store.
    Message(Bytes),
    /// The other side refused a message that was sent.
    Refused(Refusal),
    /// The connection is gone, or could not be made; with the cause in words.
    Lost(Loss, String),
}

/// The link has no room for another message at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("send message: the link is full")]
pub struct LinkFull;

/// One connection to the centre.
pub trait Link: Send {
    /// Hands a message over. Success means nothing but that: only an answer of the centre means that it arrived.
    fn publish(&mut self, kind: UplinkKind, message: Vec<u8>) -> Result<(), LinkFull>;

    /// Waits for the next event. Cancelling the wait loses nothing.
    fn next(&mut self) -> impl Future<Output = LinkEvent> + Send;
}

/// Makes links.
pub trait Connect: Send + 'static {
    /// The kind of link that it makes.
    type Link: Link;

    /// Starts to connect and subscribe; returns at once. The outcome is the link's first event.
    fn connect(&self) -> Self::Link;
}
