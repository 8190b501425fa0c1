//! The *decode* thread: whose a message is, what it says, and whether there is room for it.

use std::sync::PoisonError;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use pos_model::StoreId;
use protocol::envelope::PLAIN_BYTES_MAX;
use protocol::proof::{ProofKey, has_proof};
use protocol::topic::{self, UplinkKind};
use sync_core::server::{Admission, Overload, Route, Ticket};
use tokio::sync::mpsc;

use super::{Shared, Waiting};
use crate::ledger::Job;
use crate::mqtt::{Refusal, Trust, Uplinked};
use crate::reconcile::{self, Said};

/// What one message may occupy when it is unpacked and decoded, in bytes. Before a message is opened there is room for
/// it, so that no work is thrown away.
const MESSAGE_BYTES_MAX: usize = 4 * PLAIN_BYTES_MAX;

pub(super) fn decode(shared: &Shared, mut messages: mpsc::Receiver<Uplinked>, said: &SyncSender<(StoreId, Said)>) {
    while let Some(message) = messages.blocking_recv() {
        wait_for_room(shared);
        let Uplinked { connection, store, kind, payload, trust, mut receipt } = message;
        if kind.as_str() == UplinkKind::Batch.as_str() && shared.lock().sync.refuse_late(&store, shared.now()) {
            shared.metrics.overloaded(&store, Overload::Late);
            receipt.refuse(Refusal::Busy);
            continue;
        }
        if reconcile::is_of_comparing(kind.as_str()) {
            let heard = prove(shared, &store, trust, &payload).and_then(|key| {
                receipt.prove_answer_with(key);
                hear(shared, &store, kind.as_str(), &payload, said)
            });
            if heard.is_ok() {
                // After a start of the service this may be the first that comes from the store.
                shared.lock().ways.insert(store.clone(), receipt.way_back());
            }
            match heard {
                Ok(()) => receipt.accept(),
                Err(refusal) => receipt.refuse(refusal),
            }
            continue;
        }
        let opened = prove(shared, &store, trust, &payload).and_then(|key| {
            receipt.prove_answer_with(key);
            open(shared, &store, kind.as_str(), payload)
        });
        let job = match opened {
            Ok(job) => job,
            Err(refusal) => {
                receipt.refuse(refusal);
                continue;
            }
        };
        let question = job.question();
        let bytes = job.memory_bytes();
        let mut queue = shared.lock();
        queue.tickets += 1;
        let ticket = Ticket(queue.tickets);
        match queue.sync.handle_message(ticket, Route(connection.0), store, question, bytes, shared.now()) {
            Admission::Queued => {
                queue.ways.insert(job.store.clone(), receipt.way_back());
                queue.waiting.insert(ticket, Waiting { job, receipt });
                shared.queued.notify_one();
            }
            Admission::Refused(overload) => {
                drop(queue);
                shared.metrics.overloaded(&job.store, overload);
                receipt.refuse(Refusal::Busy);
            }
        }
    }
    shared.lock().closed = true;
    shared.queued.notify_all();
}

/// Hands over what is compared. When more comes than can be looked at it is dropped: digests come again, and who waits for
/// an answer asks again.
fn hear(
    shared: &Shared,
    store: &StoreId,
    kind: &str,
    payload: &[u8],
    said: &SyncSender<(StoreId, Said)>,
) -> Result<(), Refusal> {
    let is_answer = UplinkKind::parse(kind) == Some(UplinkKind::Recalled);
    if is_answer && !shared.awaited.contains(store) {
        return Ok(());
    }
    let (named, opened_kind, heard) = reconcile::open(payload).map_err(|error| {
        shared.metrics.unreadable(store, &error);
        Refusal::Unreadable
    })?;
    if named != *store || UplinkKind::parse(kind) != Some(opened_kind) {
        shared.metrics.wrong_store(store, &named);
        return Err(Refusal::NotAuthorized);
    }
    if let (Said::Digests(_), Some(questions)) = (&heard, &shared.questions) {
        questions.answered(store);
    }
    // A full channel, or none at the other end, drops it.
    let _ = said.try_send((named, heard));
    Ok(())
}

/// Waits until the next message fits into the queue, whatever it is. What comes meanwhile waits with the listener.
fn wait_for_room(shared: &Shared) {
    let mut queue = shared.lock();
    while !queue.closed
        && queue.sync.queued_bytes() > 0
        && queue.sync.queued_bytes().saturating_add(MESSAGE_BYTES_MAX) > queue.bytes_max
    {
        queue = shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Checks that the store may speak and that a message is its own. Returns what the answer is to be proven with: whoever
/// proves a question wants a proven answer.
fn prove(shared: &Shared, store: &StoreId, trust: Trust, payload: &[u8]) -> Result<Option<ProofKey>, Refusal> {
    if !shared.credentials.is_active(store) {
        shared.metrics.not_active(store, trust);
        return Err(Refusal::NotAuthorized);
    }
    let has_proof = has_proof(payload);
    if !has_proof && trust == Trust::Login {
        return Ok(None);
    }
    match shared.credentials.keys(store) {
        Some(keys) if keys.uplink.is_proven(payload) => Ok(Some(keys.downlink)),
        _ => {
            shared.metrics.unproven(store, has_proof, trust);
            Err(Refusal::NotAuthorized)
        }
    }
}

/// Checks that login, topic and envelope say the same, and makes a message of the bytes.
fn open(shared: &Shared, store: &StoreId, kind: &str, payload: Bytes) -> Result<Job, Refusal> {
    let unreadable = |error: &dyn std::error::Error| {
        shared.metrics.unreadable(store, error);
        Refusal::Unreadable
    };
    let job = Job::open(payload).map_err(|error| unreadable(&error))?;
    if job.store != *store {
        shared.metrics.wrong_store(store, &job.store);
        return Err(Refusal::NotAuthorized);
    }
    if UplinkKind::parse(kind) != Some(job.kind()) {
        return Err(unreadable(&topic::TopicError::Kind));
    }
    Ok(job)
}
