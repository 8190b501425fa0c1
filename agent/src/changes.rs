//! What changed in the store, told to every screen that listens, and kept for a while for those that were away.
//!
//! Each change has a version: the agent's epoch, and a number that counts from one within it. A listener that names the
//! newest version it has seen is told what it missed, as long as that is still remembered; else it has to read the whole
//! state anew. After a restart of the agent the epoch differs, so nobody takes an old number for a new one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_model::Epoch;
use protocol::latest::local_api::Change;
use tokio::sync::broadcast;

/// Changes that are remembered for listeners that were away: some minutes of a busy store, at a few KiB each.
const REMEMBERED_MAX: usize = 2048;

/// Changes by which a listener may fall behind before it has to start anew.
const BEHIND_MAX: usize = 256;

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

/// A change with its version.
pub type Versioned = (Version, Arc<Change>);

/// Where changes are announced. Clones share it.
#[derive(Debug, Clone)]
pub struct Changes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Versioned>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    newest: Version,
    remembered: VecDeque<Versioned>,
}

/// What a listener gets.
#[derive(Debug)]
pub struct Listening {
    /// What it missed since the version that it named; `None` if that is not remembered, and it has to read the state.
    pub missed: Option<Vec<Versioned>>,
    /// The version at which `receiver` begins.
    pub version: Version,
    /// What comes.
    pub receiver: broadcast::Receiver<Versioned>,
}

impl Changes {
    /// Nothing has changed yet in this run.
    pub fn new(epoch: Epoch) -> Self {
        let newest = Version { epoch, number: 0 };
        let memory = Mutex::new(Memory { newest, remembered: VecDeque::new() });
        Self { shared: Arc::new(Shared { sender: broadcast::Sender::new(BEHIND_MAX), memory }) }
    }

    /// Tells everybody. What is told must be committed.
    pub fn announce(&self, change: Change) {
        let mut memory = self.memory();
        memory.newest.number += 1;
        let versioned = (memory.newest, Arc::new(change));
        if memory.remembered.len() == REMEMBERED_MAX {
            memory.remembered.pop_front();
        }
        memory.remembered.push_back(versioned.clone());
        // No listener is no error. Sent under the lock, so that versions come in order.
        let _ = self.shared.sender.send(versioned);
    }

    /// Listens from here on, and says what was missed since a version.
    pub fn listen(&self, since: Option<Version>) -> Listening {
        let memory = self.memory();
        let first = memory.remembered.front().map_or(memory.newest.number + 1, |(version, _)| version.number);
        let missed = since
            .filter(|since| since.epoch == memory.newest.epoch)
            .filter(|since| since.number.saturating_add(1) >= first && since.number <= memory.newest.number)
            .map(|since| {
                memory.remembered.iter().filter(|(version, _)| version.number > since.number).cloned().collect()
            });
        Listening { missed, version: memory.newest, receiver: self.shared.sender.subscribe() }
    }

    /// The version of the state at this moment.
    pub fn version(&self) -> Version {
        self.memory().newest
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.shared.sender.receiver_count()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::latest::order::PriceBookView;

    fn change(number: u64) -> Change {
        let view = PriceBookView { version: number.to_string(), hash: String::new(), active_since_ms: 0 };
        Change::PriceBook(view)
    }

    fn version(number: u64) -> Version {
        Version { epoch: Epoch::new(7), number }
    }

    #[test]
    fn who_was_away_is_told_what_it_missed_or_starts_anew() {
        let changes = Changes::new(Epoch::new(7));
        let announced = u64::try_from(REMEMBERED_MAX).expect("small") + 10;
        (1..=announced).for_each(|number| changes.announce(change(number)));
        let missed = |since| changes.listen(since).missed.map(|missed| missed.len());
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
    fn nothing_falls_between_what_was_missed_and_what_comes() {
        let changes = Changes::new(Epoch::new(7));
        (1..=3).for_each(|number| changes.announce(change(number)));
        let mut listening = changes.listen(Some(version(1)));
        changes.announce(change(4));
        let missed: Vec<u64> =
            listening.missed.expect("remembered").iter().map(|(version, _)| version.number).collect();
        assert_eq!(missed, [2, 3]);
        assert_eq!(listening.receiver.try_recv().expect("one came").0, version(4));
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        assert_eq!(Version::parse(&version(12).to_string()), Some(version(12)));
        for text in ["", "12", "0000000000000007", "0000000000000007.", "7.12", "0000000000000007.-1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
