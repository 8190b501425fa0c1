//! Noteworthy events, one function each. ERROR: data at risk, or a person is needed. WARN: odd, recovered. INFO: what
//! somebody asked for happened. DEBUG: per message.

use std::error::Error;
use std::net::SocketAddr;

use pos_model::{AttemptId, BookHash, Epoch, OperatorId, StoreId, Tag, TillId};
use till::payment::{AttemptState, Call};

use crate::db::Failure;
use crate::payment::Silence;
use crate::readers::ReadError;
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
    tracing::error!(commands, %error, "a group was not committed");
}

/// The disk failed, and the agent records nothing any more.
pub(crate) fn disk_failed(error: &str) {
    tracing::error!(error, "the disk failed: nothing is recorded until the agent is started again");
}

/// There is no room for sales on the disk. Somebody should make some; nothing has to be started again.
pub(crate) fn no_room(why: &str) {
    tracing::error!(why, "the disk is full: sales are refused until there is room");
}

/// Somebody has made room.
pub(crate) fn room_again() {
    tracing::info!("there is room on the disk again: sales are recorded");
}

/// The agent cannot start for want of room, and waits.
pub(crate) fn waits_for_room(why: &str) {
    tracing::error!(why, "the disk is full: the agent waits for room and then starts by itself");
}

/// The log could not be moved into the database; it will be tried again.
pub(crate) fn checkpoint_failed(error: &WriteError) {
    tracing::warn!(%error, "the write-ahead log was not emptied");
}

/// A command was refused because the books failed it.
pub(crate) fn command_failed(failure: Failure, error: &str) {
    match failure {
        Failure::DiskFull => tracing::error!(error, "the disk is full: a command was refused"),
        Failure::DiskFailed => tracing::error!(error, "the disk has failed: a command was refused"),
        Failure::Unknown => tracing::error!(error, "the disk failed during a commit: a command may be recorded or not"),
        Failure::Busy => tracing::warn!(error, "the database was in use: a command was refused"),
        Failure::Other => tracing::error!(error, "a command failed"),
    }
}

/// The uplink's task died of a defect; `unnoticed` says why the store's people could not be told.
pub(crate) fn uplink_ended(unnoticed: Option<&WriteError>) {
    tracing::error!(
        unnoticed = unnoticed.map(tracing::field::display),
        "the uplink ended through a defect; selling goes on"
    );
}

/// A part of the agent was ended by a defect and is started again; `unnoticed` says why people were not told.
pub(crate) fn part_failed(part: &str, unnoticed: Option<&WriteError>) {
    tracing::error!(
        part,
        unnoticed = unnoticed.map(tracing::field::display),
        "a part of the agent was ended by a defect and is started again"
    );
}

/// Training could not be opened; it is tried again when somebody wants to train.
pub(crate) fn training_failed(error: &(dyn Error + 'static)) {
    tracing::warn!(error = chain(error), "training could not be opened; selling goes on");
}

/// A till could not connect; the next try may succeed.
pub(crate) fn accept_failed(error: &std::io::Error) {
    tracing::warn!(%error, "a connection was not accepted");
}

/// Somebody who listens to the changes reads too slowly.
pub(crate) fn listener_lagged(missed: u64) {
    tracing::debug!(missed, "a listener fell behind and gets the state afresh");
}

/// The store sells by another price book.
pub(crate) fn price_book_in_force(version: &Tag, hash: BookHash) {
    tracing::info!(%version, %hash, "a price book is in force");
}

/// A price book was delivered that the store cannot sell by. The people in the store are told as well.
pub(crate) fn price_book_refused(text: &str) {
    tracing::error!(text, "a price book was refused");
}

/// The books could not be written; the delivered price book is tried again.
pub(crate) fn price_book_not_kept(error: &WriteError) {
    tracing::error!(%error, "a price book was not kept");
}

/// A refused price book lies where it was delivered, and is refused again and again.
pub(crate) fn price_book_not_put_aside(error: &std::io::Error) {
    tracing::warn!(%error, "a refused price book could not be put aside");
}

/// What is known of a payment attempt has changed, and is kept.
pub(crate) fn payment_stands(attempt_id: AttemptId, terminal: &Tag, state: AttemptState) {
    tracing::info!(%attempt_id, %terminal, %state, "a payment stands otherwise");
}

/// A terminal did not say how an attempt stands; it is asked again.
pub(crate) fn terminal_silent(attempt_id: AttemptId, call: Call, silence: &Silence) {
    tracing::warn!(%attempt_id, %call, error = chain(silence), "a payment terminal did not answer");
}

/// A terminal spoke of another attempt or amount, or contradicted itself; it is asked again.
pub(crate) fn payment_odd(attempt_id: AttemptId, terminal: &Tag, detail: Option<&str>) {
    tracing::warn!(%attempt_id, %terminal, detail, "a payment terminal gave an odd answer");
}

/// What became of a payment attempt could not be kept; it is tried again, and nothing follows from it before.
pub(crate) fn payment_not_kept(attempt_id: AttemptId, error: &WriteError) {
    tracing::error!(%attempt_id, %error, "what became of a payment was not kept");
}

/// People could not be told of a payment; it stays in the list of payments.
pub(crate) fn payment_notice_not_kept(attempt_id: AttemptId, error: &WriteError) {
    tracing::warn!(%attempt_id, %error, "a notice about a payment was not kept");
}

/// The open payments could not be looked at; it is tried again.
pub(crate) fn payments_not_looked_at(error: &ReadError) {
    tracing::warn!(error = chain(error), "the open payments were not looked at");
}

/// The agent answers.
pub(crate) fn started(address: SocketAddr, epoch: Epoch, store_id: Option<&StoreId>) {
    match store_id {
        Some(store_id) => tracing::info!(%address, %epoch, %store_id, "selling"),
        None => tracing::info!(%address, %epoch, "selling; the store is not enrolled, so nothing is sent"),
    }
}

/// A PIN was wrong. It is in the audit trail as well.
pub(crate) fn pin_failed(till_id: &TillId, operator_id: &OperatorId) {
    tracing::warn!(%till_id, %operator_id, "a PIN was wrong");
}

/// The clock jumped; `unmarked` says why that is not in the audit trail.
pub(crate) fn clock_jumped(jump_ms: i64, unmarked: Option<&WriteError>) {
    tracing::warn!(jump_ms, unmarked = unmarked.map(tracing::field::display), "the clock jumped");
}

/// Whether the clock was set back while the agent was off could not be told.
pub(crate) fn clock_not_compared(error: &ReadError) {
    tracing::warn!(%error, "the clock was not compared with the newest event");
}

/// The agent was asked to end.
pub(crate) fn stopping() {
    tracing::info!("ending");
}

/// Requests took too long to finish at the end. What they asked for may be recorded; a till asks again.
pub(crate) fn requests_cut_off() {
    tracing::warn!("requests were cut off at the end");
}

/// The agent has ended in order.
pub(crate) fn stopped() {
    tracing::info!("ended");
}

/// Old events went, and counters of stock were put away.
pub(crate) fn trimmed(rows: u64) {
    tracing::info!(rows, "confirmed events and other rows that are old enough were let go or put away");
}

/// The counters of stock are not what the events come to. The people in the store are told as well.
pub(crate) fn stock_differs(counters: u64) {
    tracing::error!(counters, "the books of stock do not balance; `stock check` names what differs");
}

/// The books of stock could not be checked; they will be the next time.
pub(crate) fn stock_not_checked(error: &ReadError) {
    tracing::warn!(error = chain(error), "the books of stock were not checked");
}

/// Housekeeping failed; it will be tried again.
pub(crate) fn housekeeping_failed(error: &WriteError) {
    tracing::warn!(%error, "housekeeping failed");
}

/// The start of a business date could not be recorded; it will be tried again.
pub(crate) fn day_start_failed(error: &WriteError) {
    tracing::warn!(%error, "what is sold out was not turned to the new day");
}

/// What a person should look at in the configuration.
pub fn configuration_warnings(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(warning, "odd configuration");
    }
}
