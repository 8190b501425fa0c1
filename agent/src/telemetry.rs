//! Noteworthy events, one function each. ERROR: data at risk, or a person is needed. WARN: odd, recovered. INFO: what
//! somebody asked for happened. DEBUG: per message.

use std::error::Error;

use crate::writer::WriteError;

/// An error and its causes, joined by colons: our errors do not print what caused them.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Sales were refused because the books could not be written. The tills know; somebody should make room.
pub(crate) fn group_failed(commands: usize, error: &WriteError) {
    tracing::error!(commands, %error, "nothing of a group was recorded");
}

/// The disk failed, and the agent records nothing any more.
pub(crate) fn disk_failed(error: &str) {
    tracing::error!(error, "the disk failed: nothing is recorded until the agent is started again");
}

/// The log could not be moved into the database; it will be tried again.
pub(crate) fn checkpoint_failed(error: &WriteError) {
    tracing::warn!(%error, "the write-ahead log was not emptied");
}
