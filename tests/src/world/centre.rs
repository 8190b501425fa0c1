//! The centre: a database, and a server that lives and dies on it.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{ChainHash, StoreId};
use protocol::envelope::{open_uplink, seal_downlink};
use protocol::latest::{Downlink, Uplink};
use rusqlite::Connection;
use sync_core::Instant;
use sync_core::server::{Admission, BatchOutcome, Outcome, Overload, Route, ServerEffect, ServerSync, Ticket};
use sync_core::store::Refusal;
use sync_server::ledger::{Books, Job, Ledger, LedgerError, Message, SqliteLedger, VerifyReport};

use super::hand::{Comparing, Deleted};
use super::memory::Memory;
use super::{Event, Sabotage, World};
use crate::reference::{Key, Rule, Violation, must, violated};

/// The centre.
#[derive(Debug)]
pub(super) struct Centre {
    pub(super) disk: Memory,
    pub(super) life: u64,
    pub(super) running: Option<Server>,
    /// Older states of its database.
    pub(super) copies: Vec<(Instant, Memory)>,
    /// How far what is durable has been looked at: the newest event and the newest parked one.
    seen: (i64, i64),
    cursors: BTreeMap<(i64, i64), i64>,
    /// Commits take longer, in milliseconds.
    pub(super) slower_ms: u64,
    /// What a hand has deleted that is not back.
    pub(super) deleted: Deleted,
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    ledger: SqliteLedger,
    pub(super) sync: ServerSync,
    jobs: BTreeMap<Ticket, Job>,
    tickets: u64,
    /// What is in the ledger at present.
    group: Vec<Job>,
    /// It will look whose turn it is, also when nothing comes.
    looks: bool,
    done: Option<Result<Vec<Outcome>, LedgerError>>,
    /// Where a hand deletes rows.
    pub(super) comparing: Option<Comparing>,
}

impl Centre {
    pub(super) fn new() -> Self {
        Self {
            disk: Memory::new(),
            life: 0,
            running: None,
            copies: Vec::new(),
            seen: (0, 0),
            cursors: BTreeMap::new(),
            slower_ms: 0,
            deleted: Deleted::default(),
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.as_ref().is_some_and(Server::is_idle)
    }
}

/// Between two looks of an idle centre, in milliseconds.
const LOOK_MS: u64 = 250;

impl Server {
    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.group.is_empty()
    }

    /// What writes.
    pub(super) fn ledger(&mut self) -> &mut SqliteLedger {
        &mut self.ledger
    }

    /// Whether its books balance, as an operator would ask.
    pub(super) fn verify(&self) -> Result<VerifyReport, LedgerError> {
        self.ledger.verify()
    }
}

impl World {
    pub(super) fn start_centre(&mut self, life: u64) -> Result<(), Violation> {
        if self.centre.life != life || self.centre.running.is_some() {
            return Ok(());
        }
        let ledger = match SqliteLedger::from_connection(self.centre.disk.open()) {
            Ok(ledger) => ledger,
            Err(error) if is_full(&error) => {
                self.scheduler.after(5_000, Event::StartCentre { life });
                return Ok(());
            }
            Err(error) => return violated(Rule::Failed, format!("start the centre: {error:?}")),
        };
        let server_epoch = self.random.next_u64();
        self.note(format_args!("the centre starts, run {server_epoch:x}"));
        let comparing = if self.settings.hand { Some(self.begin_comparing(server_epoch)?) } else { None };
        self.centre.running = Some(Server {
            ledger,
            comparing,
            sync: ServerSync::new(server_epoch, self.plan.server_limits.clone()),
            jobs: BTreeMap::new(),
            tickets: 0,
            group: Vec::new(),
            looks: false,
            done: None,
        });
        Ok(())
    }

    /// The centre dies. Without a broker all its connections die with it.
    pub(super) fn crash_centre(&mut self) {
        self.note(format_args!("the centre dies"));
        self.centre.running = None;
        self.centre.life += 1;
        if !self.plan.link.broker {
            (0..self.machines.len()).for_each(|machine| self.drop_connection(machine));
        }
        let wait_ms = self.random.below(20_000);
        self.scheduler.after(wait_ms, Event::StartCentre { life: self.centre.life });
    }

    /// A message arrives on a store's topic.
    pub(super) fn arrive_at_centre(
        &mut self,
        topic: usize,
        connection: u64,
        bytes: &[u8],
        wipes: u64,
    ) -> Result<(), Violation> {
        if wipes != self.network.wipes {
            return Ok(());
        }
        let now = self.now();
        let Some(server) = &mut self.centre.running else { return Ok(()) };
        let Ok((store, message)) = open_uplink(bytes) else {
            self.coverage.saw("centre: message unreadable");
            return Ok(());
        };
        let expected = &self.stores[topic];
        must(store == *expected, Rule::Failed, || format!("a message of {expected} says that it is of {store}"))?;
        let route = Route(if self.plan.link.broker { topic as u64 } else { connection });
        if matches!(message, Uplink::Digests(_) | Uplink::Recalled(_)) {
            return self.hear_of_dates(&store, message, route);
        }
        let job = match Job::new(store.clone(), message) {
            Ok(job) => job,
            Err(unfit) => return violated(Rule::Failed, format!("an agent sent an unfit message: {unfit}")),
        };
        server.tickets += 1;
        let ticket = Ticket(server.tickets);
        if let Some(comparing) = &mut server.comparing {
            comparing.heard(&store, route);
        }
        match server.sync.handle_message(ticket, route, store, job.question(), job.memory_bytes(), now) {
            Admission::Queued => {
                server.jobs.insert(ticket, job);
            }
            Admission::Refused(overload) => {
                self.coverage.saw(match overload {
                    Overload::Queue => "centre: queue full",
                    Overload::Store => "centre: too many messages of a store",
                    Overload::Late => "centre: what came first waits too long",
                });
                if !self.plan.link.broker {
                    let delay_ms = self.latency();
                    let refusal = Refusal::Overloaded;
                    self.scheduler.after(delay_ms, Event::Refused { connection, refusal });
                }
                return Ok(());
            }
        }
        self.gather()
    }

    /// The ledger is free: it takes the next group.
    fn gather(&mut self) -> Result<(), Violation> {
        if self.permyriad(self.plan.centre_step_crash) {
            self.coverage.saw("crash: centre, before a group");
            self.crash_centre();
            return Ok(());
        }
        let (now, life) = (self.now(), self.centre.life);
        let Some(server) = &mut self.centre.running else { return Ok(()) };
        if !server.group.is_empty() {
            // One group at a time, also for the defect that has answered it already.
            return Ok(());
        }
        let Some(tickets) = server.sync.poll_group(now) else {
            if server.sync.credit_state().stores_waiting > 0 && !server.looks {
                server.looks = true;
                self.scheduler.after(LOOK_MS, Event::Turns { life });
            }
            return self.say_all();
        };
        if tickets.len() > 1 {
            self.coverage.saw("centre: messages committed together");
        }
        for ticket in tickets {
            let Some(job) = server.jobs.remove(&ticket) else {
                return violated(Rule::Failed, format!("{ticket:?} is in a second group"));
            };
            server.group.push(job);
        }
        let (least, most) = self.plan.commit_ms;
        let commit_ms = least + self.random.below(most - least + 1) + self.centre.slower_ms;
        self.scheduler.after(commit_ms, Event::Commit { life });
        if self.settings.sabotage == Some(Sabotage::AckBeforeCommit) {
            return self.ack_before_commit();
        }
        Ok(())
    }

    /// The ledger is idle: stores may wait for a turn all the same.
    pub(super) fn look_for_turns(&mut self, life: u64) -> Result<(), Violation> {
        if self.centre.life != life {
            return Ok(());
        }
        if let Some(server) = &mut self.centre.running {
            server.looks = false;
        }
        self.gather()
    }

    pub(super) fn commit(&mut self, life: u64) -> Result<(), Violation> {
        if self.centre.life != life {
            return Ok(());
        }
        if self.permyriad(self.plan.centre_step_crash) {
            self.coverage.saw("crash: centre, before its commit");
            self.crash_centre();
            return Ok(());
        }
        let now_ms = self.centre_ms();
        let disk = &self.centre.disk;
        let Some(server) = &mut self.centre.running else { return Ok(()) };
        if self.settings.sabotage == Some(Sabotage::DedupeOff) {
            set_cursors_back(disk.look(), &server.group);
        }
        let done = server.ledger.apply(&server.group, now_ms);
        match self.settings.sabotage {
            Some(Sabotage::ForkForgotten) => defect(disk, "DELETE FROM parked WHERE reason = 'fork'"),
            Some(Sabotage::RefundTwice) => {
                defect(disk, "UPDATE day_totals SET refund_gross_minor = refund_gross_minor * 2");
            }
            Some(Sabotage::WasteTwice) => defect(
                disk,
                "UPDATE stock_used SET used_micro = used_micro + (SELECT coalesce(sum(quantity_micro), 0)
                 FROM stock_movements JOIN stock_movement_items USING (event_no) WHERE kind = 'wasted'
                    AND stock_movements.stream_no = stock_used.stream_no AND item_id = stock_used.item_id)",
            ),
            Some(Sabotage::ReportPutRight) => {
                defect(disk, "UPDATE z_reports SET counted_minor = expected_minor, difference_minor = 0");
            }
            Some(Sabotage::EffectsTwice) => defect(disk, "UPDATE day_totals SET gross_minor = gross_minor + 1"),
            Some(Sabotage::ParkedAtWill) => defect(
                disk,
                "INSERT OR IGNORE INTO parked (store_no, stream_no, seq, hash, parked_at_ms, reason, detail, event_no)
                 SELECT store_no, stream_no, seq, hash, 0, 'malformed', '', sales.event_no
                 FROM sales JOIN events USING (event_no)",
            ),
            _ => {}
        }
        match &done {
            Ok(outcomes) => {
                let group: Vec<_> =
                    server.group.iter().zip(outcomes).map(|(job, outcome)| told(job, outcome)).collect();
                for (text, seen) in group {
                    seen.into_iter().for_each(|what| self.coverage.saw(what));
                    self.note(format_args!("the centre commits {text}"));
                }
            }
            Err(error) if is_full(error) => self.coverage.saw("centre: commit failed"),
            Err(error) => return violated(Rule::Failed, format!("the ledger failed: {error:?}")),
        }
        server_of(&mut self.centre)?.done = Some(done);
        self.look_at_ledger()?;
        if self.permyriad(self.plan.centre_step_crash) {
            self.coverage.saw("crash: centre, after its commit and before its answer");
            self.crash_centre();
            return Ok(());
        }
        let wait_ms = self.random.below(5);
        self.scheduler.after(wait_ms, Event::Committed { life });
        Ok(())
    }

    pub(super) fn committed(&mut self, life: u64) -> Result<(), Violation> {
        if self.centre.life != life {
            return Ok(());
        }
        let (now, now_ms) = (self.now(), self.centre_ms());
        let Some(server) = &mut self.centre.running else { return Ok(()) };
        server.group.clear();
        match server.done.take() {
            // It has been answered.
            Some(_) if self.settings.sabotage == Some(Sabotage::AckBeforeCommit) => {}
            Some(Ok(outcomes)) => server.sync.handle_committed(outcomes, now, now_ms),
            Some(Err(_)) => server.sync.handle_commit_failed(now),
            None => return self.gather(),
        }
        self.say_all()?;
        self.gather()
    }

    /// Sends the answers.
    fn say_all(&mut self) -> Result<(), Violation> {
        while let Some(effect) = self.centre.running.as_mut().and_then(|server| server.sync.poll_effect()) {
            let (ServerEffect::Send { to, store, message } | ServerEffect::Call { to, store, message }) = effect else {
                continue;
            };
            if matches!(message, Downlink::Turn(_)) {
                self.coverage.saw("centre: a store is called");
            }
            if self.permyriad(self.plan.centre_step_crash) {
                self.coverage.saw("crash: centre, between two answers");
                self.crash_centre();
                return Ok(());
            }
            let bytes = match seal_downlink(&store, &message) {
                Ok(bytes) => bytes,
                Err(error) => return violated(Rule::Failed, format!("wrap an answer: {error:?}")),
            };
            self.send_to(&store, to, &bytes);
            self.ask_for_dates(&store, to, &message)?;
        }
        Ok(())
    }

    /// Says something to a store, on the way that it was heard on.
    pub(super) fn send_to(&mut self, store: &StoreId, to: Route, bytes: &[u8]) {
        let number = self.stores.iter().position(|known| known == store).expect("every store of a world is known");
        self.send_down(number, to.0, bytes);
    }

    fn ack_before_commit(&mut self) -> Result<(), Violation> {
        let (now, now_ms) = (self.now(), self.centre_ms());
        let scratch = self.centre.disk.copy();
        let mut ledger = SqliteLedger::from_connection(scratch.open()).expect("a defect can be put in");
        let server = server_of(&mut self.centre)?;
        match ledger.apply(&server.group, now_ms) {
            Ok(outcomes) => server.sync.handle_committed(outcomes, now, now_ms),
            Err(_) => server.sync.handle_commit_failed(now),
        }
        self.say_all()
    }

    // ---- what is durable ----

    /// Looks at what became durable.
    pub(super) fn look_at_ledger(&mut self) -> Result<(), Violation> {
        let connection = self.centre.disk.look();
        let new = keys_after(connection, self.centre.seen)?;
        self.centre.seen = newest(connection)?;
        self.reference.centre_took(new)?;
        for (place, applied) in cursors(connection)? {
            let before = self.centre.cursors.insert(place, applied).unwrap_or(0);
            must(applied >= before, Rule::CursorBack, || format!("cursor {place:?} went from {before} to {applied}"))?;
        }
        Ok(())
    }

    /// The centre's database is another one.
    pub(super) fn replace_ledger(&mut self, disk: Memory) -> Result<(), Violation> {
        let keys: BTreeSet<Key> = if is_empty(disk.look())? {
            BTreeSet::new()
        } else {
            keys_after(disk.look(), (0, 0))?.into_iter().collect()
        };
        self.centre.seen = if is_empty(disk.look())? { (0, 0) } else { newest(disk.look())? };
        self.centre.cursors = if is_empty(disk.look())? { BTreeMap::new() } else { cursors(disk.look())? };
        self.centre.disk = disk;
        self.reference.centre_restored(keys);
        Ok(())
    }
}

fn server_of(centre: &mut Centre) -> Result<&mut Server, Violation> {
    centre.running.as_mut().map_or_else(|| violated(Rule::Failed, "the centre does not run"), Ok)
}

pub(super) fn is_full(error: &LedgerError) -> bool {
    let LedgerError::Sqlite { source, .. } = error else { return false };
    source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// A message and its outcome in a few words, and what is worth seeing in them.
fn told(job: &Job, outcome: &Outcome) -> (String, Vec<&'static str>) {
    match (&job.message, outcome) {
        (Message::Batch(batch), Outcome::Batch(outcome)) => {
            let events = batch.events.len();
            let text =
                format!("{} {}/{}+{events} of {}: {outcome:?}", "batch", batch.epoch, batch.first_seq, job.store);
            (text, seen_in(events as u64, outcome))
        }
        (Message::Hello(hello), Outcome::Hello(outcome)) => {
            let text = format!("hello {:x} of {}: {:?}", hello.session, job.store, outcome.cursors);
            let ahead = hello.epochs.iter().zip(&outcome.cursors).any(|(report, cursor)| cursor.applied > report.acked);
            let behind =
                hello.epochs.iter().zip(&outcome.cursors).any(|(report, cursor)| cursor.applied < report.acked);
            let trimmed = hello.epochs.iter().any(|report| report.first_held.get() > 1);
            let seen = [
                (ahead, "centre: holds more than the store knew"),
                (behind, "centre: holds less than the store knew"),
                (trimmed, "centre: asked by a store that has trimmed"),
            ];
            (text, seen.into_iter().filter_map(|(seen, what)| seen.then_some(what)).collect())
        }
        (_, outcome) => (format!("{} of {}: {outcome:?}", "other", job.store), vec![]),
    }
}

fn seen_in(events: u64, outcome: &BatchOutcome) -> Vec<&'static str> {
    let taken = outcome.applied + outcome.parked.len() as u64;
    let kind = if outcome.rewind {
        "centre: batch ahead of its cursor"
    } else if outcome.forked {
        "centre: batch of a forked history"
    } else if taken == 0 {
        "centre: replay"
    } else if taken < events {
        "centre: overlap"
    } else {
        "centre: batch applied"
    };
    let parked = (!outcome.forked && !outcome.parked.is_empty()).then_some("centre: event parked for its content");
    std::iter::once(kind).chain(parked).collect()
}

/// Puts a defect into the ledger, unless its disk is full.
fn defect(disk: &Memory, sql: &str) {
    if let Err(error) = disk.look().execute(sql, []) {
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull), "put a defect in: {error}");
    }
}

fn set_cursors_back(connection: &Connection, group: &[Job]) {
    for job in group {
        let Message::Batch(batch) = &job.message else { continue };
        let sql = "UPDATE streams SET applied_seq = ?1, applied_hash = ?2 WHERE epoch = ?3 AND applied_seq > ?1";
        let values = (batch.first_seq.previous().to_sql(), batch.prev_hash.as_bytes(), batch.epoch.to_sql());
        connection.execute(sql, values).expect("a defect can be put in");
    }
}

// ---- reading a ledger, by its tables ----

fn read<T>(result: rusqlite::Result<T>) -> Result<T, Violation> {
    result.or_else(|error| violated(Rule::Failed, format!("read the ledger: {error}")))
}

fn is_empty(connection: &Connection) -> Result<bool, Violation> {
    read(connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0)))
}

/// The events that came after the given ones: those with a place in a followed history, and those parked beside it.
fn keys_after(connection: &Connection, (event_no, parked_no): (i64, i64)) -> Result<Vec<Key>, Violation> {
    let sql = "SELECT hash FROM events WHERE event_no > ?1
               UNION ALL SELECT hash FROM parked WHERE parked_no > ?2 AND event_no IS NULL";
    let mut select = read(connection.prepare_cached(sql))?;
    let rows = read(select.query_map([event_no, parked_no], |row| row.get::<_, [u8; 32]>(0)))?;
    rows.map(|row| read(row).map(ChainHash::from_bytes)).collect()
}

fn newest(connection: &Connection) -> Result<(i64, i64), Violation> {
    let sql =
        "SELECT (SELECT coalesce(max(event_no), 0) FROM events), (SELECT coalesce(max(parked_no), 0) FROM parked)";
    read(
        connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))),
    )
}

fn cursors(connection: &Connection) -> Result<BTreeMap<(i64, i64), i64>, Violation> {
    let mut select = read(connection.prepare_cached("SELECT store_no, epoch, applied_seq FROM streams"))?;
    let rows = read(select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))))?;
    rows.map(read).collect()
}
