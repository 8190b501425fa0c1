//! Several servers on one database: who lives, and who consumes which partition of the topic space.

use std::fmt;
use std::time::Duration;

use pos_model::StoreId;

use super::LedgerError;
use crate::partitions::PartitionSet;

/// A run of a server: a random number, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u64);

impl InstanceId {
    /// Takes a random number.
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    pub(super) const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    pub(super) const fn from_sql(number: i64) -> Self {
        Self(number.cast_unsigned())
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How an instance reaches the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerLink {
    /// It keeps no link: it never consumes.
    None,
    /// It stands, or was lost a moment ago.
    Up,
    /// It has not stood for a while.
    Down,
}

impl BrokerLink {
    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, LedgerError> {
        [Self::None, Self::Up, Self::Down]
            .into_iter()
            .find(|link| link.as_str() == text)
            .ok_or(LedgerError::Damaged { what: "link of an instance" })
    }
}

/// What an instance says of itself each time.
#[derive(Debug, Clone)]
pub struct InstanceCard {
    /// The run.
    pub id: InstanceId,
    /// For people: the machine, or what the configuration says.
    pub name: String,
    /// How it reaches the broker.
    pub broker: BrokerLink,
}

/// A row of the instances. Times are milliseconds since 1970 by the database's clock.
#[derive(Debug, Clone)]
pub struct InstanceRow {
    /// The run.
    pub id: InstanceId,
    /// For people.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// How it reaches the broker.
    pub broker: BrokerLink,
    /// When it came.
    pub started_at_ms: i64,
    /// When it was heard last.
    pub renewed_at_ms: i64,
    /// From when on it counts as dead.
    pub expires_at_ms: i64,
}

/// A row of the leases. Times are milliseconds since 1970 by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseRow {
    /// Who has it, or had it until its time was over.
    pub holder: Option<InstanceId>,
    /// How often it was taken over.
    pub fence: i64,
    /// When it was taken.
    pub taken_at_ms: i64,
    /// When it was renewed last.
    pub renewed_at_ms: i64,
    /// From when on it is free.
    pub expires_at_ms: i64,
}

/// A lease that ends later than this behind the present (two minutes) is not believed, and counts as free: the database's
/// clock was set back. Twice the longest lease that can be configured.
pub const LEASE_AHEAD_MS_MAX: i64 = 120_000;

impl LeaseRow {
    /// Who has it at a moment.
    pub fn holder_at(&self, now_ms: i64) -> Option<InstanceId> {
        let is_valid = self.expires_at_ms > now_ms && self.expires_at_ms <= now_ms.saturating_add(LEASE_AHEAD_MS_MAX);
        self.holder.filter(|_| is_valid)
    }
}

impl InstanceRow {
    /// Whether it counts as alive at a moment.
    pub fn lives_at(&self, now_ms: i64) -> bool {
        self.expires_at_ms > now_ms && self.expires_at_ms <= now_ms.saturating_add(LEASE_AHEAD_MS_MAX)
    }
}

/// What the tables say.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// The database's clock.
    pub now_ms: i64,
    /// A number that changes when the database was found to lack what had been committed in it.
    pub incarnation: i64,
    /// The instances, in the order of their ids: those that live, and those that died lately.
    pub instances: Vec<InstanceRow>,
    /// The lease of each partition.
    pub leases: [LeaseRow; StoreId::PARTITIONS as usize],
}

/// Keeps instances and leases.
pub trait Instances: fmt::Debug {
    /// Says that an instance lives, and renews what it holds. Returns what the tables say then.
    fn renew(&self, card: &InstanceCard, lease: Duration) -> Result<InstanceView, LedgerError>;

    /// Takes those of some partitions that are free, each with the next fencing number. Returns which.
    fn claim(
        &self,
        instance: InstanceId,
        partitions: PartitionSet,
        lease: Duration,
    ) -> Result<PartitionSet, LedgerError>;

    /// Gives partitions back, as far as the instance has them.
    fn release(&self, instance: InstanceId, partitions: PartitionSet) -> Result<(), LedgerError>;

    /// Gives everything back, and takes the instance's row away.
    fn leave(&self, instance: InstanceId) -> Result<(), LedgerError>;
}
