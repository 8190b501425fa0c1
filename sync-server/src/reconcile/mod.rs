//! Compares business dates with the stores and puts right what the ledger has lost, off the path of the ingest.
//!
//! Operation: each store is told after its greeting which dates to compare and how often. Its digests wait here, one for each
//! store and date, and are looked at one after the other on a connection that reads. What is wrong is repaired by the thread
//! that owns the writing connection, between two groups; what is held no more is asked for again, and then it is looked
//! again, until both agree or nobody can do more about it. What was found, and what came of it, is a row of the ledger.
//!
//! When: a store sends its digests some twenty times in a period, and a date is looked at once in it, once more as soon as
//! the store has begun the next one, and when a person asks. The day's close itself sends nothing: on a day that is still
//! open nothing differs for being open, because a digest and the ledger are compared within what both have.
//!
//! Constraints: digests that do not fit are dropped and come again. A few stores are asked for events at a time, one message
//! each. A step takes in or repairs at most some hundred events in one database transaction; the thread rests after it, and
//! takes none while stores with a backlog have to wait longer for the ingest than they should: a difference of a whole country
//! is put right store by store. Dates of months that are not kept are not looked at. Nothing here can hold up a sale.

mod claims;
mod questions;
mod reconciler;
mod worker;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pos_model::StoreId;
use protocol::envelope::{OpenError, open_uplink};
use protocol::latest::{Digests, Downlink, Recalled, Uplink};
use protocol::topic::UplinkKind;

use crate::ledger::{LedgerError, Reader, Repair, RestoreRefused, Restored};

pub use self::questions::Questions;
pub use self::reconciler::Reconciler;
pub(crate) use self::worker::run;

/// What stores have said that waits to be looked at, in messages.
pub(crate) const SAID_WAITING_MAX: usize = 256;

/// What it works with.
pub struct Comparing {
    /// A connection that reads, and keeps what was found.
    pub books: Box<dyn Reader + Send>,
    /// How often each date is looked at.
    pub every: Duration,
}

impl std::fmt::Debug for Comparing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparing").field("every", &self.every).finish_non_exhaustive()
    }
}

/// What a store said that is compared.
#[derive(Debug)]
pub(crate) enum Said {
    Digests(Digests),
    Recalled(Recalled),
}

/// What only the thread with the writing connection does.
#[derive(Debug)]
pub enum Work {
    /// Rows and sums.
    Repair(Repair),
    /// A message that a store has sent again.
    Restore(Restored),
}

/// What came of it.
pub type Done = Result<Result<(), RestoreRefused>, LedgerError>;

/// A moment by the two clocks that are needed here.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By which waits are measured: from the start of the service.
    pub since_start: Duration,
    /// By which people read it, in milliseconds since 1970 (UTC).
    pub utc_ms: i64,
}

/// The rest of the service, as far as it is needed here.
pub trait Centre {
    /// Says something to a store that it has not asked for; whether there is a way to it.
    fn tell(&self, store: &StoreId, message: &Downlink) -> bool;

    /// Whether an answer of a store is awaited from here on; other ones need not be kept.
    fn expect_answer(&self, store: &StoreId, is_expected: bool);

    /// Has the ledger changed; nothing if the service is ending.
    fn change(&self, work: Work) -> Option<Done>;

    /// Whether the ingest has time for more than what comes by itself, and stores with a backlog are not held back.
    fn is_calm(&self) -> bool;
}

/// Whether a message of this kind is looked at here and moves no cursor.
pub(crate) fn is_of_comparing(kind: &str) -> bool {
    matches!(UplinkKind::parse(kind), Some(UplinkKind::Digests | UplinkKind::Recalled))
}

/// Opens a message that is looked at here.
pub(crate) fn open(payload: &[u8]) -> Result<(StoreId, UplinkKind, Said), OpenError> {
    match open_uplink(payload)? {
        (store, Uplink::Digests(digests)) => Ok((store, UplinkKind::Digests, Said::Digests(digests))),
        (store, Uplink::Recalled(recalled)) => Ok((store, UplinkKind::Recalled, Said::Recalled(recalled))),
        (_, Uplink::Hello(_) | Uplink::Batch(_) | Uplink::Heartbeat(_)) => {
            Err(OpenError::Malformed("another message than its topic says".to_owned()))
        }
    }
}

/// The stores of which an answer is awaited: what others send is not even kept.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<HashSet<StoreId>>);

impl Awaited {
    pub(crate) fn contains(&self, store: &StoreId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(store)
    }

    pub(crate) fn set(&self, store: &StoreId, is_awaited: bool) {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_awaited {
            stores.insert(store.clone());
        } else {
            stores.remove(store);
        }
    }
}
