//! Compares business dates with the stores and puts right what the ledger has lost, off the path of the ingest.
//!
//! Operation: each store is told after its greeting which dates to compare and how often. Its digests wait here, one for each
//! store and date, and are looked at one after the other on a connection that reads. What is wrong is repaired by the thread
//! that owns the writing connection, between two groups; what is held no more is asked for again, and then it is looked
//! again, until both agree or nobody can do more about it. What was found, and what came of it, is a row of the ledger.
//!
//! Constraints: a date is looked at once in a period, unless a person asks. Digests that do not fit are dropped and come again.
//! A few stores are asked for events at a time, one message each, and none while the ingest has much to do: a difference of
//! a whole country is put right store by store. Nothing here can hold up a sale.

mod worker;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pos_model::StoreId;
use protocol::envelope::{OpenError, open_uplink};
use protocol::latest::{Compare, Digests, Downlink, Recalled, Uplink};
use protocol::topic::UplinkKind;

use crate::ledger::{LedgerError, Reader, Repair, RestoreRefused, Restored};

pub(crate) use self::worker::Reconciler;

/// The newest dates of a store that are compared again and again.
const DATES: u8 = 7;

/// How often a store sends its digests in one period: what is closed is compared soon, and a lost message costs little.
const DIGESTS_IN_PERIOD: u32 = 24;

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
pub(crate) enum Work {
    Repair(Repair),
    Restore(Restored),
}

/// What came of it.
pub(crate) type Done = Result<Result<(), RestoreRefused>, LedgerError>;

/// The rest of the service, as far as it is needed here.
pub(crate) trait Centre {
    /// Says something to a store that it has not asked for; whether there is a way to it.
    fn tell(&self, store: &StoreId, message: &Downlink) -> bool;

    /// Has the ledger changed; nothing if the service is ending.
    fn change(&self, work: Work) -> Option<Done>;

    /// Whether the ingest has time for more than what comes by itself.
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

/// What a store is told after its greeting.
pub(crate) fn question(every: Duration) -> Compare {
    let every_ms = u32::try_from((every / DIGESTS_IN_PERIOD).as_millis()).unwrap_or(u32::MAX);
    Compare { dates: Vec::new(), newest: DATES, every_ms }
}

/// The stores of which an answer is awaited: what others send is not even kept.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<HashSet<StoreId>>);

impl Awaited {
    pub(crate) fn contains(&self, store: &StoreId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(store)
    }

    fn set(&self, store: &StoreId, is_awaited: bool) {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_awaited {
            stores.insert(store.clone());
        } else {
            stores.remove(store);
        }
    }
}
