//! What a [`super::StoreSync`] asks of its shell, and what the shell reports back.

use pos_model::{BusinessDate, Epoch, Seq};
use protocol::latest::{Mark, Recall, ReceiptHead};

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Connect and subscribe, then call `handle_connected`, or `handle_connection_lost`.
    Connect,
    /// Close the connection. `handle_connection_lost` need not follow.
    Disconnect,
    /// Send a `Hello` about these epochs, with what the outbox holds of each at this moment.
    SayHello {
        /// The session to put into it.
        session: u64,
        /// The epochs, in order of birth.
        epochs: Vec<Epoch>,
    },
    /// Send a `Heartbeat`.
    SendHeartbeat,
    /// Load a batch from the outbox and send it, then call `handle_sent` or `handle_send_failed`.
    SendBatch {
        /// The epoch.
        epoch: Epoch,
        /// The first event.
        from: Seq,
        /// How many events it may hold; fewer if they would be too large.
        events_max: u32,
    },
    /// Compare the mark with the outbox and, where they agree, move the confirmed watermark forward to it; then call
    /// `handle_confirmed`.
    Confirm {
        /// The epoch.
        epoch: Epoch,
        /// The centre's mark.
        mark: Mark,
    },
    /// The centre holds less than it once confirmed: set the watermark back, so that the difference counts as unsent.
    Rewind {
        /// The epoch.
        epoch: Epoch,
        /// The new watermark.
        to: Seq,
    },
    /// Move receipt counters forward to these numbers.
    RaiseReceipts(Vec<ReceiptHead>),
    /// Open a new epoch, because another agent uses this one too; then call `handle_held`,
    /// also if it could not be done.
    OpenEpoch,
    /// Send `Digests` of what the centre has confirmed.
    SendDigests {
        /// Of so many of the newest business dates.
        newest: usize,
        /// And of these.
        dates: Vec<BusinessDate>,
    },
    /// Send `Recalled`, with as many of the events as one message holds.
    SendAgain(Recall),
    /// Tell people.
    Notify(Notice),
}

/// What people must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The centre holds more of an epoch than this store: its folder was restored from an older copy.
    WentBack {
        /// The epoch.
        epoch: Epoch,
        /// The newest event here.
        head: Seq,
        /// The newest event at the centre.
        applied: Seq,
    },
    /// The centre holds less than it had confirmed: it was restored from an older copy. The difference is sent again.
    CentreWentBack {
        /// The epoch.
        epoch: Epoch,
        /// What the store had as confirmed.
        acked: Seq,
        /// What the centre holds.
        applied: Seq,
    },
    /// The centre holds other events at places of this epoch: another agent works on a copy of this folder.
    Forked {
        /// The epoch.
        epoch: Epoch,
    },
    /// The centre refused the login or a topic. Only a person can change that.
    Refused,
    /// The centre cannot read what this store says. It is sent again, more slowly; a person has to compare versions.
    Unreadable,
    /// An event is too large for the link, even alone. It stays here; nothing behind it in this epoch can go.
    TooLarge {
        /// The epoch.
        epoch: Epoch,
        /// The event.
        seq: Seq,
    },
}

/// What comparing a mark with the outbox showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The histories agree up to the mark, and all up to it counts as confirmed (it may have before).
    Agreed,
    /// The histories differ at the mark, or the outbox cannot tell.
    Differs,
}

/// A batch that was handed to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The epoch.
    pub epoch: Epoch,
    /// The number of the first event.
    pub first: Seq,
    /// The end of the batch.
    pub through: Mark,
}

/// Why a batch was not handed to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// The outbox holds no event from there on.
    NothingThere,
    /// The outbox could not be read, or the link is full; it may work later.
    Later,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The network, or the other side, for any reason that may pass.
    Network,
    /// The login was refused.
    LoginRefused,
}

/// Why the other side of the link refused a message (the reason code of its PUBACK).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is overloaded (0x97), or refuses for a reason that may pass.
    Overloaded,
    /// The message is too large (0x95).
    TooLarge,
    /// The store may not send there (0x87).
    NotAuthorized,
    /// It cannot read the message (0x99).
    Unreadable,
}
