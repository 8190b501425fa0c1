//! Noteworthy events of the uplink, one function each; the levels are those of [`crate::telemetry`].

use std::error::Error;

use protocol::latest::Recall;
use sync_core::store::{Loss, Refusal, Sent};

use crate::telemetry::chain;

pub(super) fn connected() {
    tracing::info!("connected to the centre");
}

pub(super) fn lost(loss: Loss, cause: &str) {
    match loss {
        Loss::Network => tracing::info!(cause, "no connection to the centre"),
        // If it lasts, a notice says so.
        Loss::LoginRefused => tracing::warn!(cause, "the centre refuses this store, which tries again soon"),
    }
}

pub(super) fn refused(refusal: Refusal) {
    match refusal {
        Refusal::Overloaded => {
            tracing::info!("the centre has no room for a message, or nobody hears the broker; it is sent again")
        }
        _ => tracing::info!(?refusal, "the centre refused a message"),
    }
}

pub(super) fn batch_sent(sent: &Sent) {
    tracing::debug!(epoch = %sent.epoch, first = %sent.first, through = %sent.through.seq, "batch sent");
}

/// The centre has lost events that it had confirmed.
pub(super) fn sending_again(recall: &Recall) {
    let Recall { epoch, from, to, .. } = recall;
    tracing::info!(%epoch, %from, %to, "the centre asks for events again that it has lost");
}

/// Something arrived, or could not be handed to the link, that changes nothing.
pub(super) fn message_ignored(reason: &str) {
    tracing::warn!(reason, "message ignored");
}

/// A newer centre says more than this program understands.
pub(super) fn message_skipped(reason: &dyn Error) {
    tracing::debug!(reason = %chain(reason), "message skipped");
}

/// The books failed for the uplink; the machine tries again, and the events stay where they are.
pub(super) fn books_failed(error: &dyn Error) {
    tracing::warn!(error = %chain(error), "the books failed the uplink");
}

/// A person has to know.
pub(super) fn notice(text: &str) {
    tracing::error!(text, "a person is needed");
}

/// The login and the sales are there for whoever listens.
pub(super) fn plain_text(host: &str) {
    tracing::warn!(host, "the way to the centre has no TLS: the store's login can be read on it");
}
