//! An operator's limit on events a second.
//!
//! A bucket that fills at the limit and holds a tenth of a second of it. A group takes what it holds out, and waits until
//! there is enough. So in any span of time no more is committed than the limit allows for that span and a tenth of a second.

use crate::Instant;

/// What the bucket holds at the most, in milliseconds of the limit.
const BURST_MS: u64 = 100;

/// The limit, and what is in its bucket.
#[derive(Debug)]
pub(super) struct Cap {
    per_s: Option<u64>,
    /// Thousandths of an event.
    bucket_milli: u64,
    /// Until when it is filled. If that is to come, more was taken out than was in it.
    filled_at: Instant,
}

impl Cap {
    pub(super) fn new(per_s: Option<u64>) -> Self {
        let mut cap = Self { per_s: None, bucket_milli: 0, filled_at: Instant::default() };
        cap.set(per_s, Instant::default());
        cap
    }

    pub(super) fn per_s(&self) -> Option<u64> {
        self.per_s
    }

    /// Sets the limit, or none. What earlier groups took beyond another limit is forgotten.
    pub(super) fn set(&mut self, per_s: Option<u64>, now: Instant) {
        self.per_s = per_s.map(|per_s| per_s.max(1));
        self.filled_at = self.filled_at.min(now);
        self.bucket_milli = self.bucket_milli.min(self.size_milli());
    }

    fn size_milli(&self) -> u64 {
        self.per_s.map_or(0, |per_s| per_s.saturating_mul(BURST_MS).max(1000))
    }

    /// Events that may begin now.
    pub(super) fn room(&mut self, now: Instant) -> u64 {
        let Some(per_s) = self.per_s else { return u64::MAX };
        let more = per_s.saturating_mul(now.ms_since(self.filled_at));
        self.bucket_milli = self.bucket_milli.saturating_add(more).min(self.size_milli());
        self.filled_at = self.filled_at.max(now);
        self.bucket_milli / 1000
    }

    /// Takes so many out. A single message may hold more than the bucket: then what follows waits the longer.
    pub(super) fn spend(&mut self, events: u64) {
        let milli = events.saturating_mul(1000);
        if let Some(per_s) = self.per_s {
            let short_milli = milli.saturating_sub(self.bucket_milli);
            self.filled_at = self.filled_at.after_ms(short_milli.div_ceil(per_s));
        }
        self.bucket_milli = self.bucket_milli.saturating_sub(milli);
    }

    /// What it lets through in so many milliseconds; none without a limit.
    pub(super) fn in_ms(&self, ms: u64) -> Option<u64> {
        self.per_s.map(|per_s| per_s.saturating_mul(ms) / 1000)
    }

    /// When there is room for so many, or for a full bucket; none if there is.
    pub(super) fn opens_at(&self, events: u64, now: Instant) -> Option<Instant> {
        let per_s = self.per_s?;
        let wanted_milli = events.saturating_mul(1000).min(self.size_milli());
        let short_milli = wanted_milli.saturating_sub(self.bucket_milli);
        let at = self.filled_at.after_ms(short_milli.div_ceil(per_s));
        (at > now).then_some(at)
    }
}
