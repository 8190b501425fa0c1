//! The listener's noteworthy events: each writes its log line and moves its counter.

use std::net::SocketAddr;

use super::connection::End;
use super::login::LoginRefused;
use super::mailbox::Mailbox;
use super::router::Goodbye;
use super::session::Fault;
use super::stats::{Counter, ListenerStats};

pub(super) fn listening(address: SocketAddr, tls: bool) {
    tracing::info!(%address, tls, "MQTT listener is ready");
}

pub(super) fn logged_in(stats: &ListenerStats, peer: SocketAddr, mailbox: &Mailbox) {
    stats.logins.one();
    tracing::info!(store_id = %mailbox.store, client_id = ?mailbox.client_id, %peer, connection = mailbox.id.0, "store connected");
}

/// How much of a name that nobody knows is repeated in a log line.
const QUOTED_CHARS_MAX: usize = 40;

/// An operator looks for this line when a store does not come in. The connect rate bounds how many a stranger can write.
pub(super) fn login_refused(peer: SocketAddr, username: Option<&str>, reason: LoginRefused) {
    let username: String = username.unwrap_or_default().chars().take(QUOTED_CHARS_MAX).collect();
    tracing::warn!(%peer, username, reason = %reason, "login refused");
}

/// Nothing above DEBUG: whoever floods the port must not flood the log, too. The counters tell.
pub(super) fn refused_unread(counter: &Counter, peer: SocketAddr, reason: &'static str) {
    counter.one();
    tracing::debug!(%peer, reason, "connection refused");
}

pub(super) fn accept_failed(error: &std::io::Error) {
    tracing::error!(error = %error, "connections cannot be accepted");
}

pub(super) fn connection_panicked(stats: &ListenerStats, error: &tokio::task::JoinError) {
    stats.panics.one();
    tracing::error!(error = %error, "a connection's task failed; the other connections go on");
}

pub(super) fn ended(stats: &ListenerStats, peer: SocketAddr, mailbox: Option<&Mailbox>, end: &End) {
    if let Some(counter) = counter(stats, end) {
        counter.one();
    }
    match mailbox {
        Some(mailbox) => {
            let connection = mailbox.id.0;
            tracing::info!(store_id = %mailbox.store, connection, %peer, reason = %end, "store disconnected");
        }
        None => tracing::debug!(%peer, reason = %end, "connection ended before login"),
    }
}

fn counter<'a>(stats: &'a ListenerStats, end: &End) -> Option<&'a Counter> {
    Some(match end {
        End::Left | End::Closed | End::Io(_) | End::ServiceGone | End::Closing => return None,
        End::Fault(Fault::Oversize) => &stats.oversize,
        End::Fault(Fault::OtherVersion) => &stats.refused_version,
        End::Fault(Fault::Unanswered) => &stats.unanswered,
        End::Fault(_) => &stats.protocol_errors,
        End::LoginRefused(_) => &stats.refused_password,
        End::StoreFull => &stats.refused_store_full,
        End::Tls(_) => &stats.refused_tls,
        End::ConnectTimeout => &stats.connect_timeouts,
        End::KeepAlive => &stats.keep_alive_timeouts,
        End::SlowReader | End::Goodbye(Goodbye::TooSlow) => &stats.slow_readers,
        End::Goodbye(Goodbye::TakenOver) => &stats.takeovers,
        End::Goodbye(Goodbye::Revoked | Goodbye::Administrative) => &stats.revoked,
        End::Goodbye(Goodbye::ShuttingDown) => return None,
    })
}
