//! The codes by which tills pair: short enough to be typed, and safe because they live for minutes and few wrong ones are
//! taken. They live in memory, by a clock that nobody can set; a restart of the agent voids them.

use std::time::{Duration, Instant};

/// How long a code holds: from the back office to the counter, and a second try.
pub const CODE_LIFE: Duration = Duration::from_mins(10);

/// Codes that hold at once. An installer needs one.
const CODES_MAX: usize = 8;

/// Tills that may pair with one code: more than stand in one store's counter line.
pub const CODE_TILLS_MAX: u32 = 32;

/// Wrong codes that a code outlives. A wrong one counts against all, as nobody can tell which was meant. A code has eight
/// digits, so that whoever guesses wins once in ten million.
const WRONG_MAX: u32 = 10;

/// Codes are below this: eight digits.
const CODES: u32 = 100_000_000;

/// The codes that hold.
#[derive(Debug, Default)]
pub struct PairCodes {
    live: Vec<Code>,
}

struct Code {
    /// Compared in constant time.
    hash: blake3::Hash,
    until: Instant,
    tills_left: u32,
    wrong: u32,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("tills_left", &self.tills_left).field("wrong", &self.wrong).finish_non_exhaustive()
    }
}

/// A place for one till, taken off a code.
#[derive(Debug, Clone, Copy)]
pub struct Place(blake3::Hash);

impl PairCodes {
    /// Makes a code of a random number, for so many tills. When there are too many, the oldest one goes.
    pub fn make(&mut self, random: u64, tills: u32, now: Instant) -> String {
        self.forget(now);
        // The bias of the remainder is one in a hundred thousand million.
        let number = u32::try_from(random % u64::from(CODES)).expect("a remainder of eight digits fits");
        let digits = format!("{number:08}");
        if self.live.len() == CODES_MAX {
            self.live.remove(0);
        }
        let hash = blake3::hash(digits.as_bytes());
        self.live.push(Code { hash, until: now + CODE_LIFE, tills_left: tills, wrong: 0 });
        let (front, back) = digits.split_at(4);
        format!("{front}-{back}")
    }

    /// Takes a place off a code; none if no such code holds. Spaces and dashes are ignored.
    pub fn take(&mut self, typed: &str, now: Instant) -> Option<Place> {
        self.forget(now);
        let digits: String = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let hash = blake3::hash(digits.as_bytes());
        // Every code is looked at, so that the time tells nothing.
        let found =
            self.live.iter().enumerate().fold(None, |found, (at, code)| {
                if code.hash == hash && code.tills_left > 0 { Some(at) } else { found }
            });
        match found {
            Some(at) => self.live[at].tills_left -= 1,
            None => self.live.iter_mut().for_each(|code| code.wrong += 1),
        }
        found.map(|_| Place(hash))
    }

    /// Gives a place back, because the till was not paired for another reason than its code.
    pub fn give_back(&mut self, place: Place) {
        if let Some(code) = self.live.iter_mut().find(|code| code.hash == place.0) {
            code.tills_left += 1;
        }
    }

    fn forget(&mut self, now: Instant) {
        // One that is used up stays for as long as it holds, for a place that is given back.
        self.live.retain(|code| code.until > now && code.wrong < WRONG_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_holds_for_its_tills_and_its_time() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(1_000_000_042, 2, now);
        assert_eq!(code, "0000-0042");
        assert!(codes.take("0000 0042", now).is_some());
        let place = codes.take("00000042", now).expect("the second till");
        assert!(codes.take(&code, now).is_none(), "two tills are two");
        codes.give_back(place);
        assert!(codes.take(&code, now + CODE_LIFE).is_none(), "it is over");
        assert!(codes.take(&code, now).is_none(), "for ever");
        let code = codes.make(7, 1, now);
        assert!(codes.take(&code, now + CODE_LIFE - Duration::from_millis(1)).is_some());
    }

    #[test]
    fn few_wrong_codes_are_taken() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(7, 3, now);
        for wrong in 1..WRONG_MAX {
            assert!(codes.take(&format!("9999-{wrong:04}"), now).is_none());
        }
        assert!(codes.take(&code, now).is_some());
        assert!(codes.take("99990000", now).is_none());
        assert!(codes.take(&code, now).is_none(), "ten wrong ones void it");
    }

    #[test]
    fn codes_are_bounded() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let all: Vec<String> = (0..=CODES_MAX).map(|n| codes.make(u64::try_from(n).expect("small"), 1, now)).collect();
        assert_eq!(codes.live.len(), CODES_MAX);
        assert!(codes.take(&all[0], now).is_none());
        assert!(codes.take(&all[1], now).is_some());
    }
}
