//! What people do about parked events: the words of it, for whoever asks and for both homes.
//!
//! - A *replay* tries parked events again, each judged as if it came just then. What cannot be applied stays parked, with
//!   the reason that it has at that time, and is open, also if it was waived before.
//! - A *fix* puts other content in the place of what a store sent. It counts under the place and the event id of the
//!   original, whose bytes stay for ever; the store's hash chain runs over the original.
//! - A *waiver* says that an event is never to count. Nothing is applied, and nothing is thrown away.
//!
//! Each leaves a row that says who did it, when and why.

use pos_model::{EventId, Stamp, StoreId};
use serde::Deserialize;

/// What became of a parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    /// It waits for a person.
    Open,
    /// It is never to count.
    Waived,
    /// Other content counts in its place.
    Fixed,
    /// It was applied as it came.
    Applied,
}

impl ParkedState {
    /// The word in the tables, the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waived => "waived",
            Self::Fixed => "fixed",
            Self::Applied => "applied",
        }
    }

    /// The state with this name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Waived, Self::Fixed, Self::Applied].into_iter().find(|state| state.as_str() == word)
    }
}

/// Which parked events: those that all of this holds for, behind number `after`, at most `limit` of them.
#[derive(Debug, Clone, Default)]
pub struct ParkedFilter {
    /// Of this store only.
    pub store: Option<StoreId>,
    /// Parked for this reason.
    pub reason: Option<String>,
    /// Of this kind, such as `sale_completed`.
    pub kind: Option<String>,
    /// In this state; [`ParkedState::Applied`] finds none, for those are not parked any more.
    pub state: Option<ParkedState>,
    /// Parked at this time or later.
    pub parked_from_ms: Option<i64>,
    /// Parked before this time.
    pub parked_before_ms: Option<i64>,
    /// Only these numbers; all if it is empty. At most [`NUMBERS_MAX`].
    pub numbers: Vec<i64>,
    /// Numbers above this one; zero for the first page.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

impl ParkedFilter {
    /// The same for what is tried again: open ones, and of those that are named also the waived ones.
    pub fn to_try(self) -> Self {
        let state = self.numbers.is_empty().then_some(ParkedState::Open);
        Self { state, ..self }
    }
}

/// How many parked events may be named by their numbers at once: a message of some kilobytes.
pub const NUMBERS_MAX: usize = 1_000;

/// Who does something about parked events, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    who: String,
    why: String,
}

/// A name or a reason cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Nobody is named.
    #[error("no name is given: say who does this")]
    Nobody,
    /// No reason is named.
    #[error("no reason is given: say why")]
    NoReason,
    /// Longer than what is kept.
    #[error("the {what} is longer than {chars_max} characters")]
    TooLong {
        /// Which of both.
        what: &'static str,
        /// The longest that is kept.
        chars_max: usize,
    },
}

/// The longest name that is kept.
const WHO_CHARS_MAX: usize = 100;

/// The longest reason that is kept.
const WHY_CHARS_MAX: usize = 400;

impl Note {
    /// Takes a name and a reason as somebody typed them.
    pub fn new(who: &str, why: &str) -> Result<Self, NoteError> {
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
        let (who, why) = (printable(who), printable(why));
        if who.is_empty() {
            return Err(NoteError::Nobody);
        }
        if why.is_empty() {
            return Err(NoteError::NoReason);
        }
        for (what, text, chars_max) in [("name", &who, WHO_CHARS_MAX), ("reason", &why, WHY_CHARS_MAX)] {
            if text.chars().count() > chars_max {
                return Err(NoteError::TooLong { what, chars_max });
            }
        }
        Ok(Self { who, why })
    }

    /// Who.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Why.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// What was done about a parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedAction {
    /// When.
    pub at_ms: i64,
    /// What came of it.
    pub what: ActionKind,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// Why the event was parked after it, as a word.
    pub reason: String,
    /// The same in words.
    pub detail: String,
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// It was tried again, and stays parked.
    Tried,
    /// It was tried again, and counts.
    Applied,
    /// Other content counts in its place.
    Fixed,
    /// It is never to count.
    Waived,
}

impl ActionKind {
    /// The word in the tables and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tried => "tried",
            Self::Applied => "applied",
            Self::Fixed => "fixed",
            Self::Waived => "waived",
        }
    }

    /// The kind with this name.
    pub(in crate::ledger) fn parse(word: &str) -> Option<Self> {
        [Self::Tried, Self::Applied, Self::Fixed, Self::Waived].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The content that is to count in the place of a parked event, in the form in which one is shown. Of what says which
/// event it is, all that is given must be as it was.
#[derive(Debug, Clone, Deserialize)]
pub struct Correction {
    /// The number among the parked events.
    pub parked_no: Option<i64>,
    /// The store.
    pub store_id: Option<String>,
    /// The epoch, as 16 hexadecimal digits.
    pub epoch: Option<String>,
    /// The event's number there.
    pub seq: Option<u64>,
    /// The hash of the store's history up to it.
    pub hash: Option<String>,
    /// The event's id; needed where the original's cannot be read.
    pub event_id: Option<EventId>,
    /// When it was recorded; needed where the original's time cannot be read.
    pub recorded_at: Option<Stamp>,
    /// The kind; needed where the original's is not known here.
    pub kind: Option<String>,
    /// What the event says. Amounts are whole minor units, quantities millionths.
    pub event: serde_json::Value,
}

/// Nothing was done about a parked event, for a reason that whoever asked can understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParkedRefused {
    /// There is no such number.
    #[error("no event {0} is parked")]
    Unknown(i64),
    /// A program that knows its kind, or a replay, has applied it.
    #[error("event {0} has been applied meanwhile, as it came")]
    Applied(i64),
    /// Somebody has fixed it.
    #[error("event {0} has been fixed already: it cannot be fixed or waived again")]
    Fixed(i64),
    /// Somebody has waived it.
    #[error("event {0} is waived already")]
    Waived(i64),
    /// What says which event it is was changed.
    #[error("the {what} of this event is {held}, and must stay so; the corrected content says {given}")]
    Identity {
        /// Which part.
        what: &'static str,
        /// As it is.
        held: String,
        /// As it was given.
        given: String,
    },
    /// The id of what happened was changed without need.
    #[error(
        "what happened has the id {held}, and keeps it: only where an id stands at another place already, or the event lies \
         beside the followed history, another one may be given"
    )]
    FactId {
        /// As it is.
        held: String,
    },
    /// A part is missing that the original does not give.
    #[error("the original's {0} cannot be read: the corrected content has to say it")]
    Missing(&'static str),
    /// The content is not what its kind asks for.
    #[error("the corrected content cannot be read: {0}")]
    Unreadable(String),
    /// The content cannot be applied either.
    #[error("the corrected content cannot be applied: {detail} ({reason})")]
    StillRefused {
        /// Why, as a word.
        reason: String,
        /// Why, in words.
        detail: String,
    },
}

impl ParkedRefused {
    /// Whether something else was done about the event before.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Applied(_) | Self::Fixed(_) | Self::Waived(_))
    }
}

/// How many parked events wait for a person, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParkedBacklog {
    /// Open ones.
    pub open: i64,
    /// When the oldest of them was parked.
    pub oldest_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_why_are_said_in_words_that_can_be_kept() {
        #[track_caller]
        fn check(who: &str, why: &str, expected: Result<(&str, &str), NoteError>) {
            let note = Note::new(who, why);
            let said = note.as_ref().map(|note| (note.who(), note.why())).map_err(Clone::clone);
            assert_eq!(said, expected);
        }
        check(" Li Na ", "paper\nreceipt", Ok(("Li Na", "paperreceipt")));
        check("\t", "why", Err(NoteError::Nobody));
        check("Li Na", "  ", Err(NoteError::NoReason));
        check(&"a".repeat(101), "why", Err(NoteError::TooLong { what: "name", chars_max: 100 }));
        check("Li Na", &"茶".repeat(401), Err(NoteError::TooLong { what: "reason", chars_max: 400 }));
    }
}
