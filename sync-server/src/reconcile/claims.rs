//! The digests that wait to be looked at, and the dates that need no look.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use pos_model::{BusinessDate, StoreId};
use protocol::latest::DayDigest;

/// Digests that wait to be looked at, each some hundred bytes. When more come the newest are dropped; they come again.
const WAITING_MAX: usize = 8_192;

/// Dates that are remembered as looked at. What is forgotten is looked at once more.
const LOOKED_AT_MAX: usize = 200_000;

pub(super) type Key = (StoreId, BusinessDate);

/// A digest that waits, and what has been done about its date.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) store: StoreId,
    pub(super) digest: DayDigest,
    /// When it was heard, in milliseconds since 1970 (UTC).
    pub(super) heard_at_ms: i64,
    /// Whether the store named no newer date: it may still sell on this one.
    pub(super) is_newest: bool,
    /// How often something of the date was put right or asked for.
    pub(super) repairs: u32,
}

impl Claim {
    pub(super) fn key(&self) -> Key {
        (self.store.clone(), self.digest.business_date)
    }
}

/// When a date was looked at last.
#[derive(Debug)]
struct LookedAt {
    since_start: Duration,
    was_newest: bool,
}

/// See the module above.
#[derive(Debug)]
pub(super) struct Claims {
    /// How often a date is looked at.
    every: Duration,
    waiting: VecDeque<Claim>,
    /// The dates that wait or are being put right: a newer digest of them has to wait for the next period.
    in_hand: HashSet<Key>,
    looked_at: HashMap<Key, LookedAt>,
}

impl Claims {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, waiting: VecDeque::new(), in_hand: HashSet::new(), looked_at: HashMap::new() }
    }

    /// Takes a digest up, unless its date was looked at within the period. A date that has closed since is looked at all the
    /// same: so each is compared whole soon after the store has begun the next one.
    pub(super) fn hear(&mut self, claim: Claim, is_wished: bool, now: Duration) {
        let key = claim.key();
        if is_wished {
            self.waiting.retain(|waiting| waiting.store != key.0 || waiting.digest.business_date != key.1);
            self.in_hand.insert(key);
            self.waiting.push_front(claim);
        } else if self.waiting.len() < WAITING_MAX && !self.is_recent(&claim, now) && self.in_hand.insert(key) {
            self.waiting.push_back(claim);
        }
    }

    fn is_recent(&self, claim: &Claim, now: Duration) -> bool {
        self.looked_at.get(&claim.key()).is_some_and(|looked_at| {
            let has_closed = looked_at.was_newest && !claim.is_newest;
            !has_closed && now.saturating_sub(looked_at.since_start) < self.every
        })
    }

    /// The next one to be looked at.
    pub(super) fn next(&mut self) -> Option<Claim> {
        self.waiting.pop_front()
    }

    /// Whether any waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Something was put right: it is looked again before anything else.
    pub(super) fn go_on(&mut self, claim: Claim) {
        self.waiting.push_front(claim);
    }

    /// It can only be gone on with when others are done.
    pub(super) fn postpone(&mut self, claim: Claim) {
        self.waiting.push_back(claim);
    }

    /// Nothing came of it this time; the store's next digest is looked at.
    pub(super) fn give_up(&mut self, claim: &Claim) {
        self.in_hand.remove(&claim.key());
    }

    /// Nothing more can be done about the date in this period.
    pub(super) fn end(&mut self, claim: &Claim, now: Duration) {
        self.give_up(claim);
        if self.looked_at.len() >= LOOKED_AT_MAX {
            let every = self.every;
            self.looked_at.retain(|_, looked_at| now.saturating_sub(looked_at.since_start) < every);
            if self.looked_at.len() >= LOOKED_AT_MAX {
                self.looked_at.clear();
            }
        }
        self.looked_at.insert(claim.key(), LookedAt { since_start: now, was_newest: claim.is_newest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(24 * 3_600);

    fn claim(date: i64, is_newest: bool) -> Claim {
        let digest = DayDigest {
            business_date: BusinessDate::from_days(date),
            runs: Vec::new(),
            sums: Vec::new(),
            hash: pos_model::FactsHash::default(),
            partial: false,
        };
        let store = StoreId::new("S1").expect("valid");
        Claim { store, digest, heard_at_ms: 0, is_newest, repairs: 0 }
    }

    #[test]
    fn a_date_is_looked_at_once_in_a_period_and_once_more_when_it_has_closed() {
        let mut claims = Claims::new(PERIOD);
        let looked_at = |claims: &mut Claims, claim: Claim, hours: u64| {
            let now = Duration::from_secs(hours * 3_600);
            claims.hear(claim, false, now);
            let next = claims.next();
            next.iter().for_each(|claim| claims.end(claim, now));
            next.is_some()
        };
        for (what, hours, is_newest, expected) in [
            ("the day is open", 1, true, true),
            ("it still is", 9, true, false),
            ("the next one has begun", 13, false, true),
            ("it is old", 14, false, false),
            ("a period is over", 37, false, true),
            ("it is old still", 38, false, false),
        ] {
            assert_eq!(looked_at(&mut claims, claim(20_000, is_newest), hours), expected, "{what}");
        }
    }

    #[test]
    fn a_date_in_hand_is_not_taken_up_twice_and_a_wish_goes_first() {
        let mut claims = Claims::new(PERIOD);
        for date in [1, 2, 2, 1] {
            claims.hear(claim(date, false), false, Duration::ZERO);
        }
        claims.hear(claim(2, false), true, Duration::ZERO);
        let order: Vec<i64> =
            std::iter::from_fn(|| claims.next()).map(|claim| claim.digest.business_date.days().into()).collect();
        assert_eq!(order, [2, 1]);
        claims.hear(claim(1, false), false, Duration::ZERO);
        assert!(claims.next().is_none(), "it is being put right");
        claims.give_up(&claim(1, false));
        claims.hear(claim(1, false), false, Duration::ZERO);
        assert!(claims.next().is_some());
    }
}
