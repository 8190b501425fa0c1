//! What a batch means for the cursor of its epoch. Pure, and the only place where this is decided.

use pos_model::{ChainHash, Seq};
use protocol::latest::Mark;

/// A batch without its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The number of the first event.
    pub first_seq: Seq,
    /// The hash just before it.
    pub prev_hash: ChainHash,
    /// The hash after each event, computed from the bytes that arrived.
    pub hashes: &'a [ChainHash],
}

impl Shape<'_> {
    /// The number of event `index`.
    pub fn seq(&self, index: usize) -> Seq {
        self.first_seq.plus(u64::try_from(index).unwrap_or(u64::MAX))
    }

    /// The batch's end; the place just before its first event if it is empty.
    pub fn end(&self) -> Mark {
        match self.hashes.last() {
            Some(hash) => Mark { seq: self.seq(self.hashes.len() - 1), hash: *hash },
            None => Mark { seq: self.first_seq.previous(), hash: self.prev_hash },
        }
    }
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the history that the centre holds: skip the first `skip` events, which are there, apply the others.
    /// With all events skipped it is a replay.
    Apply {
        /// How many events the centre holds already.
        skip: usize,
    },
    /// It begins beyond the cursor: take nothing.
    Ahead,
    /// It belongs to another history: skip the first `skip` events, which are shared, and park the others.
    Fork {
        /// How many events are shared.
        skip: usize,
    },
}

/// What the centre holds of an epoch. Errors are passed on.
pub trait Held {
    /// It could not be read.
    type Error;

    /// The hash of the followed history at a number up to the cursor, if the event there was taken in.
    fn at(&mut self, seq: Seq) -> Result<Option<ChainHash>, Self::Error>;

    /// Whether an event with this place and this history is parked as part of another history.
    fn is_beside(&mut self, mark: Mark) -> Result<bool, Self::Error>;
}

/// Judges a batch.
///
/// `cursor` is the highest contiguous event applied or parked in that epoch, with its hash; none for an epoch never
/// heard of.
pub fn judge<H: Held>(cursor: Option<Mark>, batch: Shape<'_>, held: &mut H) -> Result<Verdict, H::Error> {
    let Some(cursor) = cursor else {
        return Ok(if batch.first_seq <= Seq::FIRST { Verdict::Apply { skip: 0 } } else { Verdict::Ahead });
    };
    if batch.first_seq > cursor.seq.next() {
        // The other history of a fork may be longer than the followed one: it is parked to its end, batch by batch.
        let before = Mark { seq: batch.first_seq.previous(), hash: batch.prev_hash };
        return Ok(if held.is_beside(before)? { Verdict::Fork { skip: 0 } } else { Verdict::Ahead });
    }
    // How many of the events lie at or before the cursor.
    let known = usize::try_from(cursor.seq.next().since(batch.first_seq)).unwrap_or(usize::MAX).min(batch.hashes.len());
    if known == 0 {
        let joins = batch.prev_hash == cursor.hash;
        return Ok(if joins { Verdict::Apply { skip: 0 } } else { Verdict::Fork { skip: 0 } });
    }
    // A hash stands for all before it, so the newest known event decides for the others.
    let mut is_shared = |index: usize| -> Result<bool, H::Error> {
        let seq = batch.seq(index);
        let ours = if seq == cursor.seq { Some(cursor.hash) } else { held.at(seq)? };
        Ok(ours == Some(batch.hashes[index]))
    };
    if is_shared(known - 1)? {
        return Ok(Verdict::Apply { skip: known });
    }
    // The histories part somewhere in the known events: the shared ones are a prefix.
    let (mut shared, mut parted) = (0, known - 1);
    while shared < parted {
        let middle = shared.midpoint(parted);
        if is_shared(middle)? { shared = middle + 1 } else { parted = middle }
    }
    Ok(Verdict::Fork { skip: shared })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn chain(from: ChainHash, events: &[&str]) -> Vec<ChainHash> {
        events
            .iter()
            .scan(from, |hash, event| {
                *hash = hash.then(event.as_bytes());
                Some(*hash)
            })
            .collect()
    }

    /// A centre that holds one history from number 1 on, and has parked another one up to some place.
    #[derive(Default)]
    struct Centre {
        followed: Vec<ChainHash>,
        beside: Vec<ChainHash>,
    }

    impl Held for Centre {
        type Error = Infallible;

        fn at(&mut self, seq: Seq) -> Result<Option<ChainHash>, Infallible> {
            Ok(hash_at(&self.followed, seq))
        }

        fn is_beside(&mut self, mark: Mark) -> Result<bool, Infallible> {
            Ok(hash_at(&self.beside, mark.seq) == Some(mark.hash))
        }
    }

    fn hash_at(history: &[ChainHash], seq: Seq) -> Option<ChainHash> {
        let place = usize::try_from(seq.get()).expect("small").checked_sub(1)?;
        history.get(place).copied()
    }

    /// The centre holds `held` from number 1, and `beside` of another history; a batch of the history `history` from
    /// number `first` arrives.
    #[track_caller]
    fn check_beside(held: &[&str], beside: &[&str], history: &[&str], first: usize, expected: Verdict) {
        let start = ChainHash::GENESIS;
        let mut centre = Centre { followed: chain(start, held), beside: chain(start, beside) };
        let store = chain(start, history);
        let cursor = centre.followed.last().map(|hash| Mark { seq: Seq::new(held.len() as u64), hash: *hash });
        let shape = Shape {
            first_seq: Seq::new(first as u64),
            prev_hash: if first <= 1 { start } else { store[first - 2] },
            hashes: &store[first.max(1) - 1..],
        };
        let Ok(verdict) = judge(cursor, shape, &mut centre);
        assert_eq!(verdict, expected);
    }

    #[track_caller]
    fn check(held: &[&str], history: &[&str], first: usize, expected: Verdict) {
        check_beside(held, &[], history, first, expected);
    }

    #[test]
    fn verdicts() {
        use Verdict::{Ahead, Apply, Fork};
        check(&[], &["a", "b"], 1, Apply { skip: 0 });
        check(&[], &["a", "b"], 2, Ahead);
        check(&["a"], &["a", "b"], 2, Apply { skip: 0 });
        check(&["a"], &["a", "b"], 1, Apply { skip: 1 });
        check(&["a", "b"], &["a", "b"], 1, Apply { skip: 2 });
        check(&["a", "b", "c"], &["a", "b"], 1, Apply { skip: 2 });
        check(&["a", "b", "c"], &["a", "b", "c", "d", "e"], 2, Apply { skip: 2 });
        check(&["a"], &["a", "b", "c"], 3, Ahead);
        check(&["a", "b"], &["a", "x"], 2, Fork { skip: 0 });
        check(&["a", "b"], &["a", "x", "y"], 1, Fork { skip: 1 });
        check(&["a", "b", "c", "d"], &["a", "b", "x", "y", "z"], 1, Fork { skip: 2 });
        check(&["a", "b", "c", "d"], &["x", "b", "c"], 1, Fork { skip: 0 });
        check(&["a", "b"], &["a", "x", "y"], 3, Fork { skip: 0 });
    }

    #[test]
    fn the_longer_history_of_a_fork_is_parked_to_its_end() {
        use Verdict::{Ahead, Apply, Fork};
        let held = ["a", "b"];
        let history = ["a", "x", "y", "z"];
        check_beside(&held, &[], &history, 2, Fork { skip: 0 });
        check_beside(&held, &["a", "x", "y"], &history, 4, Fork { skip: 0 });
        check_beside(&held, &["a", "x"], &history, 4, Ahead);
        check_beside(&held, &["a", "w", "y"], &history, 4, Ahead);
        // The followed history is not parked, and goes on as ever.
        check_beside(&held, &["a", "x", "y"], &["a", "b", "c"], 3, Apply { skip: 0 });
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        let cursor = Mark { seq: Seq::new(3), hash: ChainHash::GENESIS.then(b"c") };
        let shape = Shape { first_seq: Seq::new(4), prev_hash: cursor.hash, hashes: &[] };
        let Ok(verdict) = judge(Some(cursor), shape, &mut Centre::default());
        assert_eq!(verdict, Verdict::Apply { skip: 0 });
    }

    #[test]
    fn a_hash_that_the_centre_no_longer_holds_is_not_taken_for_equal() {
        let store = chain(ChainHash::GENESIS, &["a", "b"]);
        let cursor = Mark { seq: Seq::new(9), hash: ChainHash::GENESIS };
        let shape = Shape { first_seq: Seq::FIRST, prev_hash: ChainHash::GENESIS, hashes: &store };
        let Ok(verdict) = judge(Some(cursor), shape, &mut Centre::default());
        assert_eq!(verdict, Verdict::Fork { skip: 0 });
    }
}
