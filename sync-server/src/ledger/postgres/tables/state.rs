//! Rows as a group holds and changes them.

use pos_model::{ChainHash, Seq};
use protocol::latest::{Mark, Predecessor};

use super::add;
use crate::ledger::fault::Fault;
use crate::ledger::group::{HealthNote, ParkedRow, StoreCounts, StreamRow};

/// A row of `store_state`.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) is_changed: bool,
    pub(super) last_contact_ms: i64,
    pub(super) applied_events: i64,
    pub(super) applied_sales: i64,
    pub(super) parked_events: i64,
    pub(super) forked_events: i64,
    /// By how much the events move that were here at the last report of the store.
    pub(super) taken_more: i64,
    pub(super) refunds_waiting: i64,
    pub(super) last_sale_at_ms: Option<i64>,
    /// What the store said of itself in this group; else it stays as it is.
    pub(super) health: Option<Health>,
}

/// What a store said of itself.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) at_ms: i64,
    pub(super) clock_ms: i64,
    pub(super) clock_offset_s: i64,
    pub(super) clock_ahead_ms: i64,
    pub(super) protocol_version: Option<i64>,
    pub(super) agent_version: String,
    pub(super) epoch: i64,
    pub(super) head_seq: i64,
    pub(super) outbox_events: i64,
    pub(super) outbox_oldest_ms: Option<i64>,
    pub(super) disk_free_bytes: Option<i64>,
    pub(super) taken: i64,
}

impl State {
    pub(super) fn count(&mut self, counts: &StoreCounts) -> Result<(), Fault> {
        let StoreCounts { contact_ms, events, sales, parked, forked, taken, last_sale_at_ms } = *counts;
        self.is_changed = true;
        self.last_contact_ms = self.last_contact_ms.max(contact_ms);
        add(&mut self.applied_events, events)?;
        add(&mut self.applied_sales, sales)?;
        add(&mut self.parked_events, parked)?;
        add(&mut self.forked_events, forked)?;
        add(&mut self.taken_more, taken)?;
        self.last_sale_at_ms = last_sale_at_ms.or(self.last_sale_at_ms);
        Ok(())
    }

    pub(super) fn note_health(&mut self, note: &HealthNote<'_>) {
        let HealthNote { now_ms, health, version, agent_version } = *note;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let before = self.health.take();
        self.is_changed = true;
        self.health = Some(Health {
            at_ms: now_ms,
            clock_ms: health.clock.utc_ms,
            clock_offset_s: health.clock.offset_s.into(),
            clock_ahead_ms: health.clock.utc_ms.saturating_sub(now_ms),
            protocol_version: version.map(i64::from).or(before.and_then(|before| before.protocol_version)),
            agent_version: agent_version.to_owned(),
            epoch: health.epoch.to_sql(),
            head_seq: health.head.to_sql(),
            outbox_events: number(health.outbox_events),
            outbox_oldest_ms: health.outbox_oldest_ms,
            disk_free_bytes: health.disk_free_bytes.map(number),
            taken: self.applied_events.saturating_add(self.parked_events),
        });
    }
}

/// A row of `streams`.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) is_changed: bool,
    pub(super) stream_no: i64,
    pub(super) applied: Mark,
    pub(super) base_hash: ChainHash,
    pub(super) first_seen_ms: i64,
    pub(super) reported_head: i64,
    pub(super) opened: Option<(i64, String)>,
    pub(super) previous: Option<(i64, i64, ChainHash)>,
    pub(super) successors: i64,
    pub(super) continued_at: i64,
}

impl Stream {
    pub(super) fn new(stream_no: i64, applied: Mark, base_hash: ChainHash, now_ms: i64) -> Self {
        Self {
            is_changed: true,
            stream_no,
            applied,
            base_hash,
            first_seen_ms: now_ms,
            reported_head: 0,
            opened: None,
            previous: None,
            successors: 0,
            continued_at: i64::MAX,
        }
    }

    pub(super) fn row(&self) -> StreamRow {
        StreamRow { stream_no: self.stream_no, applied: self.applied, base_hash: self.base_hash }
    }

    pub(super) fn move_to(&mut self, applied: Mark, base_hash: ChainHash) {
        self.applied = applied;
        self.base_hash = base_hash;
        self.is_changed = true;
    }

    pub(super) fn open(&mut self, at_ms: i64, why: &str, previous: Option<&Predecessor>) {
        self.opened = Some((at_ms, why.to_owned()));
        self.previous = previous.map(|previous| (previous.epoch.to_sql(), previous.seq.to_sql(), previous.hash));
        self.is_changed = true;
    }
}

/// A row of `parked`.
#[derive(Debug, Clone)]
pub(super) struct ParkedOut {
    pub(super) store_no: i64,
    pub(super) stream_no: i64,
    pub(super) seq: Seq,
    pub(super) hash: ChainHash,
    pub(super) parked_at_ms: i64,
    pub(super) reason: &'static str,
    pub(super) detail: String,
    pub(super) kind: Option<String>,
    pub(super) event_no: Option<i64>,
    pub(super) bytes: Option<Vec<u8>>,
}

impl ParkedOut {
    pub(super) fn of(row: &ParkedRow<'_>) -> Self {
        let ParkedRow { store_no, stream_no, seq, hash, parked_at_ms, reason, detail, kind, event_no, bytes } = *row;
        let (detail, bytes) = (detail.to_owned(), bytes.map(<[u8]>::to_vec));
        // The character NUL, which a database does not take, is in no kind that exists.
        let kind = kind.map(|kind| kind.replace('\0', ""));
        Self { store_no, stream_no, seq, hash, parked_at_ms, reason, detail, kind, event_no, bytes }
    }
}
