//! What changed in the store, told to every screen that listens, and kept for a while for those that were away.
//!
//! Each change has a version: the agent's epoch, and a number that counts from one within it. A listener that names the
//! newest version it has seen is told what it missed, as long as that is still remembered; else it has to read the whole
//! state anew. After a restart of the agent the epoch differs, so nobody takes an old number for a new one.
//!
//! A change is put into words once, when it is announced. The words are in one memory, which all listeners read: what is kept
//! is bounded in bytes, however many listen and however slow they are.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_model::Epoch;
use protocol::latest::local_api::Change;
use tokio::sync::watch;

/// Changes that are remembered for listeners that were away: some minutes of a busy store.
const REMEMBERED_MAX: usize = 2048;

/// Bytes of all changes that are remembered: 2 KiB each on average, where a basket of two hundred lines or an order of five
/// hundred cups has more than a hundred.
const REMEMBERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The version of the state after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The run of the agent.
    pub epoch: Epoch,
    /// How many changes it has announced.
    pub number: u64,
}

impl Version {
    /// Parses what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('.')?;
        Some(Self { epoch: Epoch::from_hex(epoch)?, number: number.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// A change in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The version of the state after it.
    pub version: Version,
    /// Its name.
    pub name: &'static str,
    /// The change as JSON.
    pub json: Arc<str>,
}

/// Where changes are announced. Clones share it.
#[derive(Debug, Clone)]
pub struct Changes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    newest: watch::Sender<Version>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    newest: Version,
    remembered: VecDeque<Told>,
    bytes: usize,
}

impl Memory {
    /// The number of the oldest change that is remembered; that of the next one if there is none.
    fn first(&self) -> u64 {
        self.remembered.front().map_or(self.newest.number + 1, |told| told.version.number)
    }

    /// The change behind a number; none if it is not remembered, or has not happened.
    fn behind(&self, number: u64) -> Option<&Told> {
        let place = number.saturating_add(1).checked_sub(self.first())?;
        self.remembered.get(usize::try_from(place).ok()?)
    }

    fn remember(&mut self, told: Told) {
        self.bytes += told.json.len();
        self.remembered.push_back(told);
        while self.remembered.len() > REMEMBERED_MAX || self.bytes > REMEMBERED_BYTES_MAX {
            let Some(oldest) = self.remembered.pop_front() else { return };
            self.bytes -= oldest.json.len();
        }
    }
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The next change.
    Change(Told),
    /// It fell behind by more than is remembered, and has to read the state anew.
    FellBehind {
        /// How many changes it has missed.
        missed: u64,
    },
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listening {
    /// Whether it has to read the state first: it named no version, or one behind which not all is remembered.
    pub is_anew: bool,
    /// The version that it has heard.
    pub version: Version,
    changes: Changes,
    newest: watch::Receiver<Version>,
}

impl Listening {
    /// What there is to hear at this moment, if anything.
    pub fn ready(&mut self) -> Option<Heard> {
        let memory = self.changes.memory();
        if memory.newest.number <= self.version.number {
            return None;
        }
        match memory.behind(self.version.number) {
            Some(told) => {
                self.version = told.version;
                Some(Heard::Change(told.clone()))
            }
            None => {
                let missed = memory.newest.number - self.version.number;
                self.version = memory.newest;
                Some(Heard::FellBehind { missed })
            }
        }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Heard {
        loop {
            // Marked as seen before the look, so that nothing falls between the look and the wait.
            self.newest.mark_unchanged();
            if let Some(heard) = self.ready() {
                return heard;
            }
            // No error: `changes` holds the sender.
            let _ = self.newest.changed().await;
        }
    }
}

impl Changes {
    /// Nothing has changed yet in this run.
    pub fn new(epoch: Epoch) -> Self {
        let newest = Version { epoch, number: 0 };
        let memory = Mutex::new(Memory { newest, remembered: VecDeque::new(), bytes: 0 });
        Self { shared: Arc::new(Shared { newest: watch::Sender::new(newest), memory }) }
    }

    /// Tells everybody. What is told must be committed.
    pub fn announce(&self, change: &Change) {
        let json = serde_json::to_string(change).expect("text and numbers always encode").into();
        let mut memory = self.memory();
        memory.newest.number += 1;
        let version = memory.newest;
        memory.remember(Told { version, name: change.name(), json });
        self.shared.newest.send_replace(version);
    }

    /// Listens from here on, or from behind a version of which all is remembered that came since.
    pub fn listen(&self, since: Option<Version>) -> Listening {
        let memory = self.memory();
        let known = since
            .filter(|since| since.epoch == memory.newest.epoch)
            .filter(|since| since.number.saturating_add(1) >= memory.first() && since.number <= memory.newest.number);
        let version = known.unwrap_or(memory.newest);
        Listening { is_anew: known.is_none(), version, changes: self.clone(), newest: self.shared.newest.subscribe() }
    }

    /// The version of the state at this moment.
    pub fn version(&self) -> Version {
        self.memory().newest
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.shared.newest.receiver_count()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::latest::order::PriceBookView;

    fn change(text: impl ToString) -> Change {
        Change::PriceBook(PriceBookView { version: text.to_string(), hash: String::new(), active_since_ms: 0 })
    }

    fn version(number: u64) -> Version {
        Version { epoch: Epoch::new(7), number }
    }

    fn changes(announced: u64) -> Changes {
        let changes = Changes::new(Epoch::new(7));
        (1..=announced).for_each(|number| changes.announce(&change(number)));
        changes
    }

    /// The numbers of what a listener hears at this moment.
    fn heard(listening: &mut Listening) -> Vec<u64> {
        let number = |heard| match heard {
            Heard::Change(told) => told.version.number,
            fell_behind @ Heard::FellBehind { .. } => panic!("{fell_behind:?}"),
        };
        std::iter::from_fn(|| listening.ready()).map(number).collect()
    }

    #[test]
    fn who_was_away_is_told_what_it_missed_or_starts_anew() {
        let announced = u64::try_from(REMEMBERED_MAX).expect("small") + 10;
        let changes = changes(announced);
        let missed = |since| {
            let mut listening = changes.listen(since);
            (!listening.is_anew).then(|| heard(&mut listening).len())
        };
        let check = |since: u64, expected: Option<usize>| assert_eq!(missed(Some(version(since))), expected, "{since}");
        check(announced, Some(0));
        check(announced - 1, Some(1));
        check(10, Some(REMEMBERED_MAX));
        check(9, None);
        check(0, None);
        check(announced + 1, None);
        check(u64::MAX - 1, None);
        assert_eq!(missed(None), None);
        assert_eq!(missed(Some(Version { epoch: Epoch::new(8), number: announced })), None, "another run");
    }

    #[test]
    fn large_changes_push_older_ones_out_and_who_is_slow_starts_anew() {
        let changes = changes(3);
        let mut slow = changes.listen(None);
        let large = "x".repeat(REMEMBERED_BYTES_MAX / 4);
        (0..3).for_each(|_| changes.announce(&change(&large)));
        assert_eq!(changes.memory().remembered.len(), 6, "all fits");
        changes.announce(&change(&large));
        let memory = changes.memory();
        assert!(memory.bytes <= REMEMBERED_BYTES_MAX);
        assert_eq!(memory.bytes, memory.remembered.iter().map(|told| told.json.len()).sum::<usize>());
        assert_eq!(memory.first(), 5, "four of a quarter and their frames do not fit");
        drop(memory);
        assert_eq!(slow.ready(), Some(Heard::FellBehind { missed: 4 }));
        assert_eq!((slow.version, slow.ready()), (version(7), None));
        // After one that is larger than the whole memory everybody reads the state.
        changes.announce(&change("x".repeat(REMEMBERED_BYTES_MAX)));
        assert_eq!(slow.ready(), Some(Heard::FellBehind { missed: 1 }));
        changes.announce(&change(9));
        assert_eq!(heard(&mut slow), [9]);
    }

    #[tokio::test]
    async fn nothing_falls_between_what_was_missed_and_what_comes() {
        let changes = changes(3);
        let mut listening = changes.listen(Some(version(1)));
        assert_eq!(heard(&mut listening), [2, 3]);
        let telling = tokio::spawn({
            let changes = changes.clone();
            async move { (4..=300).for_each(|number| changes.announce(&change(number))) }
        });
        for number in 4..=300 {
            let Heard::Change(told) = listening.next().await else { panic!("nothing is lost") };
            assert_eq!((told.version, told.name), (version(number), "price_book"));
            assert!(told.json.contains(&format!("\"version\":\"{number}\"")));
        }
        telling.await.expect("tells");
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        assert_eq!(Version::parse(&version(12).to_string()), Some(version(12)));
        for text in ["", "12", "0000000000000007", "0000000000000007.", "7.12", "0000000000000007.-1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
