//! The *ledger* thread: the next group, its commit, and the work of operators between two groups.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use pos_model::Seq;
use sync_core::server::Outcome;

use super::answer::call;
use super::{Answers, Group, Shared, Waiting, utc_ms};
use crate::ledger::{Job, Ledger, Message};
use crate::telemetry::chain;

/// How long the ledger thread sleeps when nothing comes, before it looks for housekeeping.
const IDLE: Duration = Duration::from_secs(1);

/// How long it sleeps at the most while it waits for messages, before it looks whose turn it is.
const LOOK: Duration = Duration::from_millis(250);

/// Pauses after a failed commit: doubled from the first to the last.
const FAILURE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) fn write(shared: &Shared, mut ledger: Box<dyn Ledger>, answers: &SyncSender<Answers>) {
    let (mut pause, mut untidy) = (FAILURE_PAUSES.0, 0);
    loop {
        let Some(group) = next_group(shared) else { break };
        if !group.jobs.is_empty() {
            if !commit(shared, &mut *ledger, group, answers) {
                std::thread::sleep(pause);
                pause = (pause * 2).min(FAILURE_PAUSES.1);
                continue;
            }
            pause = FAILURE_PAUSES.0;
        }
        let order = shared.lock().orders.pop_front();
        if let Some(order) = order {
            order(&mut *ledger);
        }
        match ledger.tidy() {
            Ok(()) => untidy = 0,
            Err(error) => {
                untidy += 1;
                shared.metrics.tidying_failed(&error, untidy);
            }
        }
    }
    if let Err(error) = ledger.end() {
        tracing::warn!(error = chain(&error), "the ledger was not left in order; nothing is lost by that");
    }
}

/// The next group; an empty one when it is time for housekeeping, none when no more will come.
fn next_group(shared: &Shared) -> Option<Group> {
    let mut queue = shared.lock();
    let idle_until = Instant::now() + IDLE;
    let tickets = loop {
        let now = shared.now();
        let group = queue.sync.poll_group(now);
        // Before the group is at work: a turn does not last as long as a slow commit.
        call(shared, &mut queue);
        if let Some(tickets) = group {
            break tickets;
        }
        let opens_at = queue.sync.next_group_at(now);
        if queue.closed && opens_at.is_none() {
            // Whoever waits for the rest is told that it is not done.
            queue.orders.clear();
            return None;
        }
        if !queue.orders.is_empty() {
            break Vec::new();
        }
        let idle = idle_until.saturating_duration_since(Instant::now());
        if idle.is_zero() {
            break Vec::new();
        }
        // Stores whose turn came to nothing make room for others, also when nobody says anything.
        let wait = opens_at.map_or(LOOK, |at| Duration::from_millis(at.ms_since(now))).min(LOOK).min(idle);
        queue = shared.queued.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
    };
    let mut group = Group { jobs: Vec::with_capacity(tickets.len()), receipts: Vec::with_capacity(tickets.len()) };
    for ticket in tickets {
        let Waiting { job, receipt } = queue.waiting.remove(&ticket).expect("a queued ticket has its message");
        group.jobs.push(job);
        group.receipts.push((ticket, receipt));
    }
    Some(group)
}

/// Commits a group and passes its answers on; says whether it was committed.
fn commit(shared: &Shared, ledger: &mut dyn Ledger, group: Group, answers: &SyncSender<Answers>) -> bool {
    let started = Instant::now();
    let result = ledger.apply(&group.jobs, utc_ms());
    let took = started.elapsed();
    match &result {
        Ok(outcomes) => note_committed(shared, &group.jobs, outcomes, took),
        Err(error) => shared.metrics.group_failed(group.jobs.len(), error),
    }
    let well = result.is_ok();
    let went_back = ledger.went_back();
    shared.ledger_well.store(well, Ordering::Relaxed);
    let parked = result.as_ref().map_or_else(|_| Vec::new(), |outcomes| outcomes.iter().map(parked_of).collect());
    let effects = {
        let mut queue = shared.lock();
        // Nothing that a store was told before holds any more; by another number it takes this for another run.
        if went_back {
            queue.sync.begin_anew();
        }
        match result {
            Ok(outcomes) => {
                queue.sync.handle_committed(outcomes, shared.now(), utc_ms());
            }
            Err(_) => queue.sync.handle_commit_failed(shared.now()),
        }
        std::iter::from_fn(|| queue.sync.poll_effect()).collect()
    };
    shared.room.notify_one();
    // Fails only if the thread died, which has been reported.
    let _ = answers.send(Answers { effects, group, parked });
    well
}

/// The events of a batch that were parked, if it was taken into the history that is followed.
fn parked_of(outcome: &Outcome) -> Option<Vec<Seq>> {
    match outcome {
        Outcome::Batch(batch) if !batch.forked && !batch.rewind => Some(batch.parked.clone()),
        Outcome::Batch(_) | Outcome::Hello(_) | Outcome::Noted => None,
    }
}

fn note_committed(shared: &Shared, jobs: &[Job], outcomes: &[Outcome], took: Duration) {
    let mut events = 0;
    for (job, outcome) in jobs.iter().zip(outcomes) {
        if let Message::Batch(batch) = &job.message {
            events += batch.events.len();
        }
        if let Outcome::Batch(outcome) = outcome
            && !outcome.parked.is_empty()
        {
            shared.metrics.events_parked(&job.store, outcome.parked.len(), outcome.forked);
        }
    }
    shared.metrics.group_committed(outcomes, events, took);
}
