//! Where an event stands in a store's history: `epoch` and `seq`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One run of an agent: a random number, minted and made durable at each start before the first sale.
/// A restored or copied agent therefore never reuses a place. Shown and written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Wraps a random number. Zero is as good as any other.
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same 64 bits as a signed number, the form in which SQL databases hold it.
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// The inverse of [`Epoch::to_sql`].
    pub const fn from_sql(stored: i64) -> Self {
        Self(stored.cast_unsigned())
    }

    /// Parses the 16 hexadecimal digits that `Display` writes.
    pub fn from_hex(text: &str) -> Option<Self> {
        let well_formed = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        well_formed.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// The number of an event within its epoch. Events count from 1 without gaps; 0 means "before the first event".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event of an epoch.
    pub const ZERO: Self = Self(0);

    /// The first event of an epoch.
    pub const FIRST: Self = Self(1);

    /// The largest number: SQL databases hold it as a signed 64-bit integer.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// Wraps a number; above [`Seq::MAX`] it is held at that.
    pub const fn new(number: u64) -> Self {
        if number > Self::MAX.0 { Self::MAX } else { Self(number) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a signed number, the form in which SQL databases hold it.
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// The inverse of [`Seq::to_sql`]; a negative number, which nothing writes, reads as zero.
    pub const fn from_sql(stored: i64) -> Self {
        if stored < 0 { Self::ZERO } else { Self(stored.cast_unsigned()) }
    }

    /// The next number, held at [`Seq::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// This number and `count` more, held at [`Seq::MAX`].
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self::new(self.0.saturating_add(count))
    }

    /// The number before; that of zero is zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many events lie after `earlier` up to and including this one; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({})", self.0)
    }
}

/// A place in a store's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The run of the agent in which the event was born.
    pub epoch: Epoch,
    /// Its number there.
    pub seq: Seq,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_form_keeps_every_epoch() {
        for number in [0, 1, u64::MAX, i64::MAX.cast_unsigned() + 1] {
            assert_eq!(Epoch::from_sql(Epoch::new(number).to_sql()), Epoch::new(number));
            assert_eq!(Epoch::from_hex(&Epoch::new(number).to_string()), Some(Epoch::new(number)));
        }
        assert_eq!(Epoch::from_hex("12"), None);
        assert_eq!(Epoch::from_hex("+00000000000000f"), None);
    }

    #[test]
    fn seq_does_not_wrap() {
        assert_eq!(Seq::new(u64::MAX), Seq::MAX);
        assert_eq!(Seq::MAX.next(), Seq::MAX);
        assert_eq!(Seq::ZERO.previous(), Seq::ZERO);
        assert_eq!(Seq::new(5).since(Seq::new(9)), 0);
        assert_eq!(Seq::new(9).since(Seq::new(5)), 4);
        assert_eq!(Seq::from_sql(-1), Seq::ZERO);
    }
}
