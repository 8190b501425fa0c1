//! One store of a shape: it sells at its moments, loses its line and gets it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant as Clock;

use pos_model::Seq;
use protocol::latest::Credit;
use sync_core::Instant;

use super::outbox::History;
use super::record::{Board, NOTHING_OWED};
use super::store::{LoadStore, Watch};
use super::story::{Story, sales_up_to};

/// When a run begins, on the clock of its stores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunClock {
    /// The zero of every store's own clock.
    pub(super) started: Clock,
    /// When the shape begins on it, in milliseconds.
    pub(super) begins_ms: u64,
}

impl RunClock {
    /// Milliseconds since the beginning; none before it.
    fn at(self, now: Instant) -> Option<u64> {
        now.ms().checked_sub(self.begins_ms)
    }

    /// The moment of the shape on a store's clock.
    fn of(self, at_ms: u64) -> Instant {
        Instant::from_ms(self.begins_ms.saturating_add(at_ms))
    }

    /// The zero of every store's own clock.
    pub(crate) fn started(self) -> Clock {
        self.started
    }

    /// The moment of the shape on a store's clock, in milliseconds.
    pub(crate) fn of_ms(self, at_ms: u64) -> u64 {
        self.of(at_ms).ms()
    }

    /// Microseconds since the beginning, negative before it.
    pub(crate) fn micros(self) -> i64 {
        let since = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        since.saturating_sub(i64::try_from(self.begins_ms).unwrap_or(i64::MAX).saturating_mul(1000))
    }
}

/// Writes down what one store does.
#[derive(Debug)]
pub(crate) struct StoreWatch {
    pub(super) board: Arc<Board>,
    pub(super) number: usize,
    pub(super) is_odd: bool,
    pub(super) clock: RunClock,
    /// When the store has no line, in milliseconds since the beginning.
    pub(super) away: Vec<(u64, u64)>,
}

impl StoreWatch {
    /// Whether a sale could be sent when it was made.
    fn is_fresh(&self, moment_ms: i64) -> bool {
        let Ok(moment) = u64::try_from(moment_ms) else { return false };
        !self.away.iter().any(|(from, until)| (*from..*until).contains(&moment))
    }

    /// The clock of the run.
    pub(crate) fn clock(&self) -> RunClock {
        self.clock
    }

    /// When the line is back, in milliseconds since the beginning; none if it is up at the moment.
    pub(crate) fn back_at(&self, at_ms: u64) -> Option<u64> {
        self.away.iter().find(|(from, until)| (*from..*until).contains(&at_ms)).map(|(_, until)| *until)
    }

    /// The store made sales since it was looked at before.
    pub(crate) fn made(&mut self, story: &Story, sales: u64) {
        let mut stale = 0;
        for sale in story.sales() - sales..story.sales() {
            let moment = story.moment_ms(sale);
            if let Ok(second) = usize::try_from(moment / 1000)
                && moment >= 0
            {
                let last = self.board.made_in.len() - 1;
                self.board.made_in[second.min(last)].fetch_add(1, Ordering::Relaxed);
            }
            stale += u64::from(!self.is_fresh(moment));
        }
        self.board.stale.fetch_add(stale, Ordering::Relaxed);
        self.board.stores[self.number].sales.store(story.sales(), Ordering::Relaxed);
        self.owes(story);
    }

    fn owes(&self, story: &Story) {
        let acked = story.acked_sales();
        let oldest = if acked < story.sales() { story.moment_ms(acked) } else { NOTHING_OWED };
        self.board.stores[self.number].oldest_ms.store(oldest, Ordering::Relaxed);
    }
}

impl Watch<Story> for StoreWatch {
    fn connected(&mut self) {
        self.board.connects.fetch_add(1, Ordering::Relaxed);
        self.board.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn lost(&mut self) {
        self.board.lost.fetch_add(1, Ordering::Relaxed);
        self.board.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn turned_away(&mut self) {
        self.board.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    fn sent(&mut self, events: u64, bytes: u64) {
        self.board.batches.fetch_add(1, Ordering::Relaxed);
        self.board.batch_events.fetch_add(events, Ordering::Relaxed);
        self.board.batch_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn confirmed(&mut self, story: &Story, before: Seq) {
        let (from, to) = (sales_up_to(before), story.acked_sales());
        if to <= from {
            return;
        }
        let now_us = self.clock.micros();
        let mut stale = 0;
        let mut latencies = self.board.latencies();
        for sale in from..to {
            let moment_ms = story.moment_ms(sale);
            if !self.is_fresh(moment_ms) {
                stale += 1;
                continue;
            }
            let took_us = u64::try_from(now_us.saturating_sub(moment_ms.saturating_mul(1000))).unwrap_or(0);
            if self.is_odd {
                latencies.odd.saturating_record(took_us);
            } else {
                latencies.fresh.saturating_record(took_us);
                latencies.second.saturating_record(took_us);
            }
        }
        drop(latencies);
        self.board.stale_acked.fetch_add(stale, Ordering::Relaxed);
        self.board.acked.fetch_add(to - from, Ordering::Relaxed);
        self.board.stores[self.number].acked.store(to, Ordering::Relaxed);
        self.owes(story);
    }

    fn parked(&mut self, events: u64) {
        self.board.parked.fetch_add(events, Ordering::Relaxed);
    }

    fn refused(&mut self) {
        self.board.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn credited(&mut self, credit: Credit) {
        self.board.credited(credit);
    }
}

impl LoadStore<Story, StoreWatch> {
    /// Plays the store's part, until it is dropped.
    pub(super) async fn play(mut self) {
        let clock = self.watch.clock;
        let backlog = self.history.sales();
        self.watch.made(&self.history, backlog);
        loop {
            let now = self.now();
            let at = clock.at(now);
            let changes = self.follow_line(at, now);
            let made = at.map_or(0, |at| self.history.advance(at));
            if made > 0 {
                self.watch.made(&self.history, made);
                self.sync.handle_committed(self.history.epoch(), self.history.head(), now);
            }
            self.perform().await;
            let next_sale = self.history.next_sale_ms();
            let next = [next_sale, changes].into_iter().flatten().min();
            self.wait(next.map(|at_ms| clock.of(at_ms))).await;
        }
    }

    /// Cuts the line or gives it back; says when that changes next, in milliseconds since the beginning.
    fn follow_line(&mut self, at: Option<u64>, now: Instant) -> Option<u64> {
        // A store that is cut from the very beginning was not there before either.
        let at = at.unwrap_or(0);
        let span = self.watch.away.iter().find(|(_, until)| at < *until).copied();
        self.line_is_up = span.is_none_or(|(from, _)| at < from);
        if !self.line_is_up && self.socket.is_some() {
            self.lose(now);
        }
        span.map(|(from, until)| if self.line_is_up { from } else { until })
    }
}
