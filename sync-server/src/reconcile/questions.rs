//! What stores are told after their greeting, until they answer: which dates to compare, and how often.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pos_model::StoreId;
use protocol::latest::{Compare, Downlink};

/// The newest dates of a store that are compared again and again.
const DATES: u8 = 7;

/// How often a store sends its digests in one period: what is closed is compared soon, and a lost message costs little.
const DIGESTS_IN_PERIOD: u32 = 24;

/// The question, and who has not answered it. A question that got lost is asked again with the next sign of life, or the
/// store would not be compared before its next greeting.
#[derive(Debug)]
pub struct Questions {
    question: Compare,
    unanswered: Mutex<HashSet<StoreId>>,
}

impl Questions {
    /// `every` is how often a date is looked at.
    pub fn new(every: Duration) -> Self {
        let every_ms = u32::try_from((every / DIGESTS_IN_PERIOD).as_millis()).unwrap_or(u32::MAX);
        Self::asking(Compare { dates: Vec::new(), newest: DATES, every_ms })
    }

    /// With another question.
    pub fn asking(question: Compare) -> Self {
        Self { question, unanswered: Mutex::default() }
    }

    /// What a store is to be told behind this message to it.
    pub fn behind(&self, store: &StoreId, message: &Downlink) -> Option<Downlink> {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match message {
            Downlink::Welcome(_) => {
                unanswered.insert(store.clone());
                true
            }
            Downlink::Pulse(_) => unanswered.contains(store),
            _ => false,
        };
        is_due.then(|| Downlink::Compare(self.question.clone()))
    }

    /// A store has sent its digests.
    pub fn answered(&self, store: &StoreId) {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).remove(store);
    }
}

#[cfg(test)]
mod tests {
    use protocol::latest::{Credit, Pulse, Welcome};

    use super::*;

    #[test]
    fn a_question_is_asked_until_it_is_answered() {
        let questions = Questions::new(Duration::from_secs(24 * 3_600));
        let store = StoreId::new("S1").expect("valid");
        let credit = Credit { events: 1, hold_ms: 0 };
        let welcome = Downlink::Welcome(Welcome {
            session: 1,
            server_epoch: 1,
            cursors: Vec::new(),
            receipts: Vec::new(),
            credit,
            reconnect_spread_ms: 0,
            server_time_ms: 0,
        });
        let pulse = Downlink::Pulse(Pulse { server_epoch: 1, server_time_ms: 0 });
        let question = Some(Downlink::Compare(Compare { dates: Vec::new(), newest: DATES, every_ms: 3_600_000 }));
        assert_eq!(questions.behind(&store, &pulse), None, "it has not been greeted by this run");
        assert_eq!(questions.behind(&store, &welcome), question);
        assert_eq!(questions.behind(&store, &pulse), question);
        questions.answered(&store);
        assert_eq!(questions.behind(&store, &pulse), None);
        assert_eq!(questions.behind(&store, &welcome), question);
    }
}
