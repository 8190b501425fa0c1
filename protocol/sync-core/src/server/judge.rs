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
    /// It continues the history that the centre holds: skip the first `skip` events, which are there unless they were
    /// written down as lost, and apply the others.
    /// With all events skipped it is a replay.
    Apply {
        /// How many events the centre holds already.
        skip: usize,
    },
    /// It begins beyond the cursor: take nothing.
    Ahead,
    /// It goes on where our history was written down as lost: skip the first `skip` events, which are there, and keep
    /// the others, which have turned up again.
    Found {
        /// How many events are there already.
        skip: usize,
    },
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

    /// Whether an event with this place and this history is parked without a place in the followed history.
    fn is_beside(&mut self, mark: Mark) -> Result<bool, Self::Error>;

    /// The first run of places within `from..=to` whose events were written down as lost, whether or not they have turned
    /// up since: its first and last place.
    fn lost(&mut self, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Self::Error>;
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
    let is_shared = |held: &mut H, index: usize| -> Result<bool, H::Error> {
        let seq = batch.seq(index);
        let ours = if seq == cursor.seq { Some(cursor.hash) } else { held.at(seq)? };
        Ok(ours == Some(batch.hashes[index]))
    };
    if is_shared(held, known - 1)? {
        return Ok(Verdict::Apply { skip: known });
    }
    // The histories part somewhere in the known events: the shared ones are a prefix.
    let (mut shared, mut parted) = (0, known - 1);
    while shared < parted {
        let middle = shared.midpoint(parted);
        if is_shared(held, middle)? { shared = middle + 1 } else { parted = middle }
    }
    let (from, end) = (batch.seq(shared), batch.end().seq);
    if held.lost(from, end)? == Some((from, end)) {
        return Ok(Verdict::Found { skip: shared });
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
        /// The places of the followed history that were written down as lost.
        lost: Option<(u64, u64)>,
    }

    impl Held for Centre {
        type Error = Infallible;

        fn at(&mut self, seq: Seq) -> Result<Option<ChainHash>, Infallible> {
            let is_lost = self.lost.is_some_and(|(first, last)| (first..=last).contains(&seq.get()));
            Ok(hash_at(&self.followed, seq).filter(|_| !is_lost))
        }

        fn is_beside(&mut self, mark: Mark) -> Result<bool, Infallible> {
            Ok(hash_at(&self.beside, mark.seq) == Some(mark.hash))
        }

        fn lost(&mut self, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Infallible> {
            let clipped = self.lost.map(|(first, last)| (Seq::new(first).max(from), Seq::new(last).min(to)));
            Ok(clipped.filter(|(first, last)| first <= last))
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
        let mut centre = Centre { followed: chain(start, held), beside: chain(start, beside), lost: None };
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
    fn what_was_lost_and_turns_up_again_is_kept() {
        use Verdict::{Apply, Fork, Found};
        /// The centre followed `abcdef` and never got `cd`.
        #[track_caller]
        fn check(history: &str, first: usize, last: usize, expected: Verdict) {
            let letters = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
            let chained = |text: &str| {
                let events = letters(text);
                chain(ChainHash::GENESIS, &events.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let followed = chained("abcdef");
            let cursor = Mark { seq: Seq::new(6), hash: followed[5] };
            let mut centre = Centre { followed, beside: Vec::new(), lost: Some((3, 4)) };
            let store = chained(history);
            let prev_hash = if first == 1 { ChainHash::GENESIS } else { store[first - 2] };
            let shape = Shape { first_seq: Seq::new(first as u64), prev_hash, hashes: &store[first - 1..last] };
            let Ok(verdict) = judge(Some(cursor), shape, &mut centre);
            assert_eq!(verdict, expected, "{history} {first}..={last}");
        }
        check("abcdef", 2, 3, Found { skip: 1 });
        check("abcdef", 3, 3, Found { skip: 0 });
        check("abcdef", 3, 4, Found { skip: 0 });
        check("abcdef", 1, 6, Apply { skip: 6 });
        check("abcdefg", 4, 7, Apply { skip: 3 });
        check("abcdef", 1, 2, Apply { skip: 2 });
        check("axcdef", 1, 6, Fork { skip: 1 });
        check("abcdex", 3, 6, Fork { skip: 0 });
        check("abcdex", 5, 6, Fork { skip: 1 });
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
