//! A row of each second of a run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::record::{Board, Row, Spread};
use super::sample::{Centre, Metrics, Process, cpu_ms};
use super::settings::Settings;
use super::shape::Shape;
use super::tills::Tills;

/// How often the server is asked for its metrics, in seconds: as rarely as still shows a curve, because the question
/// costs the server something with many stores.
const METRICS_EVERY: u64 = 5;

/// Makes a row of each second.
pub(super) struct Seconds {
    board: Arc<Board>,
    server: Option<Process>,
    server_pid: Option<u32>,
    /// The server's processor time at the beginning and when selling ended.
    server_cpu: (Option<u64>, Option<u64>),
    own: Process,
    centre: Option<Centre>,
    metrics: Option<(u64, Metrics)>,
    lasts_ms: u64,
    before: Counts,
    pub(super) rows: Vec<Row>,
}

/// Counters that only grow, at the end of a second.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    acked: u64,
    connects: u64,
    lost: u64,
    turned_away: u64,
    refused: u64,
    batches: u64,
    batch_events: u64,
    batch_bytes: u64,
}

impl Counts {
    fn of(board: &Board) -> Self {
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            acked: get(&board.acked),
            connects: get(&board.connects),
            lost: get(&board.lost),
            turned_away: get(&board.turned_away),
            refused: get(&board.refused),
            batches: get(&board.batches),
            batch_events: get(&board.batch_events),
            batch_bytes: get(&board.batch_bytes),
        }
    }
}

impl Seconds {
    pub(super) fn new(settings: &Settings, board: Arc<Board>) -> Self {
        let mut server = settings.server_pid.map(Process::new);
        let mut own = Process::new(std::process::id());
        // The first look only says from where on to count.
        let _ = (server.as_mut().map(Process::look), own.look());
        {
            // What was granted at the first connections belongs to no second of the shape.
            let mut latencies = board.latencies();
            (latencies.grants, latencies.granted_events, latencies.hold_ms) = (0, 0, 0);
        }
        Self {
            server,
            server_pid: settings.server_pid,
            server_cpu: (settings.server_pid.and_then(cpu_ms), None),
            own,
            centre: settings.centre.clone(),
            metrics: None,
            lasts_ms: settings.shape.lasts_ms,
            before: Counts::of(&board),
            board,
            rows: Vec::new(),
        }
    }

    pub(super) async fn take(&mut self, tills: &Tills) -> &Row {
        let second = self.rows.len() as u64 + 1;
        let (before, after) = (self.before, Counts::of(&self.board));
        self.before = after;
        let sales = self.board.sales();
        let made_in = usize::try_from(second - 1).ok().and_then(|index| self.board.made_in.get(index));
        let stale = self.board.stale.load(Ordering::Relaxed);
        let (server_rss_kb, server_cpu_permille) = self.server.as_mut().map_or((None, None), Process::look);
        let (own_rss_kb, own_cpu_permille) = self.own.look();
        let mut row = Row {
            second,
            made: made_in.map_or(0, |made| made.load(Ordering::Relaxed)),
            acked: after.acked - before.acked,
            backlog: sales.saturating_sub(after.acked),
            stale: stale.saturating_sub(self.board.stale_acked.load(Ordering::Relaxed)),
            oldest_ms: self.board.oldest_age_ms(i64::try_from(second * 1000).unwrap_or(i64::MAX)),
            connections: self.board.connections.load(Ordering::Relaxed),
            connects: after.connects - before.connects,
            lost: after.lost - before.lost,
            turned_away: after.turned_away - before.turned_away,
            refused: after.refused - before.refused,
            batches: after.batches - before.batches,
            batch_events: after.batch_events - before.batch_events,
            batch_bytes: after.batch_bytes - before.batch_bytes,
            server_rss_kb,
            server_cpu_permille,
            own_rss_kb: own_rss_kb.unwrap_or(0),
            own_cpu_permille: own_cpu_permille.unwrap_or(0),
            ..Row::default()
        };
        self.read_latencies(&mut row, tills);
        if second * 1000 <= self.lasts_ms {
            self.server_cpu.1 = self.server_pid.and_then(cpu_ms);
        }
        if second.is_multiple_of(METRICS_EVERY) {
            self.read_metrics(&mut row).await;
        }
        self.rows.push(row);
        self.rows.last().expect("it was just pushed")
    }

    fn read_latencies(&self, row: &mut Row, tills: &Tills) {
        let mut latencies = self.board.latencies();
        if let Some(spread) = Spread::of(&latencies.second) {
            (row.p50_us, row.p99_us, row.max_us) = (Some(spread.p50_us), Some(spread.p99_us), Some(spread.max_us));
        }
        latencies.second.reset();
        row.credit_events = latencies.granted_events.checked_div(latencies.grants);
        row.hold_ms = latencies.hold_ms.checked_div(latencies.grants);
        if latencies.grants > 0 {
            row.credit_events_min = Some(u64::from(latencies.granted_events_min));
            row.hold_ms_max = Some(u64::from(latencies.hold_ms_max));
        }
        (latencies.grants, latencies.granted_events, latencies.hold_ms) = (0, 0, 0);
        (latencies.granted_events_min, latencies.hold_ms_max) = (u32::MAX, 0);
        drop(latencies);
        let mut times = tills.times();
        if let Some(spread) = Spread::of(&times.second) {
            (row.till_p50_us, row.till_p99_us) = (Some(spread.p50_us), Some(spread.p99_us));
        }
        times.second.reset();
    }

    async fn read_metrics(&mut self, row: &mut Row) {
        let Some(centre) = &self.centre else { return };
        let Some(metrics) = centre.metrics().await else { return };
        row.queue_bytes = metrics.queue_bytes;
        if let Some((then, before)) = &self.metrics {
            let more = |after: Option<u64>, before: Option<u64>| Some(after?.saturating_sub(before?));
            // They are means since the last question, and stand at all seconds since then.
            row.applied =
                more(metrics.applied, before.applied).and_then(|applied| applied.checked_div(row.second - then));
            row.commit_us = more(metrics.commits_us, before.commits_us)
                .zip(more(metrics.commits, before.commits))
                .and_then(|(took_us, commits)| took_us.checked_div(commits));
            let since = usize::try_from(*then).unwrap_or(usize::MAX).min(self.rows.len());
            for earlier in &mut self.rows[since..] {
                (earlier.applied, earlier.commit_us) = (row.applied, row.commit_us);
            }
        }
        self.metrics = Some((row.second, metrics));
    }

    /// A store that was busy with its connection counts its sales a little later than they were made.
    pub(super) fn correct_made(&mut self) {
        for (row, made) in self.rows.iter_mut().zip(&self.board.made_in) {
            row.made = made.load(Ordering::Relaxed);
        }
    }

    pub(super) fn server_cpu_ms(&self) -> Option<u64> {
        Some(self.server_cpu.1?.saturating_sub(self.server_cpu.0?))
    }

    /// From the first return until nothing was left of what had waited.
    pub(super) fn square_ms(&self, shape: &Shape) -> Option<u64> {
        if self.board.stale.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let first_back = shape.cuts.iter().map(|cut| cut.until_ms).min().unwrap_or(0);
        let last_waiting = self.rows.iter().rposition(|row| row.stale > 0).map_or(0, |index| index + 1);
        let square_at = self.rows.get(last_waiting)?.second * 1000;
        Some(square_at.saturating_sub(first_back))
    }
}
