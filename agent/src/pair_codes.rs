//! The codes by which tills pair: short enough to be typed, and safe because they live for minutes and few wrong ones are
//! taken. They live in memory, by a clock that nobody can set; a restart of the agent voids them.
//!
//! Wrong codes are counted for each address they come from: whoever guesses shuts out themselves, and not the installer who
//! stands at the counter. Somebody with many addresses voids the codes in the end, and has guessed in vain.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use pos_model::{CommandId, TillId};

/// How long a code holds: from the back office to the counter, and a second try.
pub const CODE_LIFE: Duration = Duration::from_mins(10);

/// Codes that hold at once. An installer needs one.
const CODES_MAX: usize = 8;

/// Tills that may pair with one code: more than stand in one store's counter line.
pub const CODE_TILLS_MAX: u32 = 32;

/// Wrong codes that are taken from one address, as long as a code holds.
const WRONG_MAX: u32 = 10;

/// Wrong codes that a code outlives, from all addresses. A wrong one counts against all, as nobody can tell which was meant. A
/// code has eight digits, so that whoever guesses so often wins once in half a million.
const WRONG_OF_ALL_MAX: u32 = 200;

/// Addresses whose wrong codes are counted at once. The oldest one goes: by then as many others have guessed.
const GUESSERS_MAX: usize = 64;

/// Codes are below this: eight digits.
const CODES: u32 = 100_000_000;

/// The codes that hold.
#[derive(Debug, Default)]
pub struct PairCodes {
    live: Vec<Code>,
    /// The oldest first.
    guessers: Vec<Guesser>,
}

/// An address from which wrong codes came.
#[derive(Debug)]
struct Guesser {
    from: IpAddr,
    wrong: u32,
    /// Until when that is remembered.
    until: Instant,
}

/// Why no till is paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// No such code holds.
    Wrong,
    /// Too many wrong ones came from there.
    TooMany {
        /// For how long nothing is taken from there.
        wait: Duration,
    },
}

struct Code {
    /// Compared in constant time.
    hash: blake3::Hash,
    until: Instant,
    tills_left: u32,
    wrong: u32,
    /// Who has paired by it: as many as it was for.
    paired: Vec<Pairing>,
}

/// By which a till that has paired shows that it is the one. Only the till itself knows its second half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The till.
    pub till_id: TillId,
    /// Made by the till, and kept there before it asked.
    pub pair_id: CommandId,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("tills_left", &self.tills_left).field("wrong", &self.wrong).finish_non_exhaustive()
    }
}

/// A place for one till, taken off a code.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    code: blake3::Hash,
    /// The till has had it before, and asks again because it did not hear the answer.
    pub again: bool,
}

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
        self.live.push(Code { hash, until: now + CODE_LIFE, tills_left: tills, wrong: 0, paired: Vec::new() });
        let (front, back) = digits.split_at(4);
        format!("{front}-{back}")
    }

    /// Takes a place off a code, typed by somebody at an address. Spaces and dashes are ignored. A till that shows that it
    /// has one by this code gets that one again.
    pub fn take(
        &mut self,
        typed: &str,
        pairing: Option<&Pairing>,
        from: IpAddr,
        now: Instant,
    ) -> Result<Place, NotTaken> {
        self.forget(now);
        let from = counted(from);
        let guesser = self.guessers.iter().position(|guesser| guesser.from == from);
        if let Some(guesser) = guesser.and_then(|at| self.guessers.get(at)).filter(|guesser| guesser.wrong >= WRONG_MAX)
        {
            return Err(NotTaken::TooMany { wait: guesser.until.saturating_duration_since(now) });
        }
        let digits: String = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let hash = blake3::hash(digits.as_bytes());
        // Every code is looked at, so that the time tells nothing.
        let found = self.live.iter().enumerate().fold(None, |found, (at, code)| {
            let again = pairing.is_some_and(|pairing| code.paired.contains(pairing));
            if code.hash == hash && (again || code.tills_left > 0) { Some((at, again)) } else { found }
        });
        if let Some((at, again)) = found {
            self.live[at].tills_left -= u32::from(!again);
            return Ok(Place { code: hash, again });
        }
        self.live.iter_mut().for_each(|code| code.wrong += 1);
        match guesser {
            Some(at) => self.guessers[at].wrong += 1,
            None => {
                if self.guessers.len() == GUESSERS_MAX {
                    self.guessers.remove(0);
                }
                self.guessers.push(Guesser { from, wrong: 1, until: now + CODE_LIFE });
            }
        }
        Err(NotTaken::Wrong)
    }

    /// Notes who has paired by a place, so that the till may ask again.
    pub fn paired(&mut self, place: Place, pairing: Pairing) {
        if let Some(code) = self.live.iter_mut().find(|code| code.hash == place.code && !place.again) {
            code.paired.push(pairing);
        }
    }

    /// A till's token was taken back: it has no place any more that it could ask for again.
    pub fn revoked(&mut self, till_id: &TillId) {
        for code in &mut self.live {
            code.paired.retain(|pairing| pairing.till_id != *till_id);
        }
    }

    /// Gives a place back, because the till was not paired for another reason than its code.
    pub fn give_back(&mut self, place: Place) {
        if let Some(code) = self.live.iter_mut().find(|code| code.hash == place.code && !place.again) {
            code.tills_left += 1;
        }
    }

    fn forget(&mut self, now: Instant) {
        // One that is used up stays for as long as it holds, for a place that is given back.
        self.live.retain(|code| code.until > now && code.wrong < WRONG_OF_ALL_MAX);
        self.guessers.retain(|guesser| guesser.until > now);
    }
}

/// What counts as one address: of version 6 the network, for a machine in it has as many addresses as it likes.
fn counted(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_code_holds_for_its_tills_and_its_time() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(1_000_000_042, 2, now);
        assert_eq!(code, "0000-0042");
        assert!(codes.take("0000 0042", None, at(1), now).is_ok());
        let place = codes.take("00000042", None, at(1), now).expect("the second till");
        assert!(codes.take(&code, None, at(1), now).is_err(), "two tills are two");
        codes.give_back(place);
        assert!(codes.take(&code, None, at(1), now + CODE_LIFE).is_err(), "it is over");
        assert!(codes.take(&code, None, at(1), now).is_err(), "for ever");
        let code = codes.make(7, 1, now);
        assert!(codes.take(&code, None, at(1), now + CODE_LIFE - Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn a_till_that_lost_the_answer_gets_its_place_again_and_nobody_else_does() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(42, 1, now);
        let pairing = |till_id: &str, last: u128| Pairing {
            till_id: till_id.parse().expect("valid"),
            pair_id: CommandId::new(uuid::Uuid::from_u128(last)),
        };
        let place = codes.take(&code, Some(&pairing("T1", 1)), at(1), now).expect("a place");
        assert!(!place.again);
        codes.paired(place, pairing("T1", 1));
        for _ in 0..2 {
            let place = codes.take(&code, Some(&pairing("T1", 1)), at(1), now).expect("the same place");
            assert!(place.again);
            codes.give_back(place);
        }
        for other in [None, Some(pairing("T1", 2)), Some(pairing("T2", 1))] {
            assert!(codes.take(&code, other.as_ref(), at(1), now).is_err(), "{other:?}");
        }
        assert!(codes.take(&code, Some(&pairing("T1", 1)), at(1), now + CODE_LIFE).is_err(), "it is over");
    }

    #[test]
    fn whoever_guesses_shuts_out_themselves_alone() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(7, 3, now);
        for wrong in 0..WRONG_MAX {
            assert_eq!(codes.take(&format!("9999-{wrong:04}"), None, at(1), now).err(), Some(NotTaken::Wrong));
        }
        // Not even the right one, for a guess that is answered is a guess.
        let later = now + Duration::from_secs(60);
        let too_many = NotTaken::TooMany { wait: CODE_LIFE - Duration::from_secs(60) };
        assert_eq!(codes.take(&code, None, at(1), later).err(), Some(too_many));
        assert!(codes.take(&code, None, at(2), later).is_ok(), "the installer pairs on");
        let code = codes.make(8, 1, now + CODE_LIFE);
        assert!(codes.take(&code, None, at(1), now + CODE_LIFE).is_ok(), "it is forgotten after a while");
    }

    #[test]
    fn many_addresses_void_a_code_before_they_find_it() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let code = codes.make(7, 1, now);
        let mut answered = 0;
        for last in 0..=u8::MAX {
            for wrong in 0..WRONG_MAX {
                answered += u32::from(
                    codes.take(&format!("9999{wrong:04}"), None, at(last), now).err() == Some(NotTaken::Wrong),
                );
            }
            assert!(codes.guessers.len() <= GUESSERS_MAX);
        }
        assert!(answered >= WRONG_OF_ALL_MAX);
        assert_eq!(codes.take(&code, None, IpAddr::from([198, 51, 100, 1]), now).err(), Some(NotTaken::Wrong));
        let network = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, last]);
        assert_eq!(counted(network(1)), counted(network(2)));
    }

    #[test]
    fn codes_are_bounded() {
        let now = Instant::now();
        let mut codes = PairCodes::default();
        let all: Vec<String> = (0..=CODES_MAX).map(|n| codes.make(u64::try_from(n).expect("small"), 1, now)).collect();
        assert_eq!(codes.live.len(), CODES_MAX);
        assert!(codes.take(&all[0], None, at(1), now).is_err());
        assert!(codes.take(&all[1], None, at(1), now).is_ok());
    }
}
