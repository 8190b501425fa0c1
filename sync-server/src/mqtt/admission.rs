//! How often one address may connect.
//!
//! A token bucket per address, kept as one number: the time at which the bucket will be full again (GCRA). An address
//! whose bucket is full need not be remembered, so the table holds only those that came lately, and it has a bound: when
//! it is full of active addresses, all further ones share a single bucket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses remembered at a time.
const ADDRESSES_MAX: usize = 4_096;
/// How often a full table is searched for entries to forget.
const PURGE_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Admission {
    interval: Duration,
    tolerance: Duration,
    full_at: HashMap<IpAddr, Duration>,
    shared_full_at: Duration,
    purged_at: Duration,
}

impl Admission {
    pub(crate) fn new(connects_per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / connects_per_second.max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.max(1) - 1),
            full_at: HashMap::new(),
            shared_full_at: Duration::ZERO,
            purged_at: Duration::ZERO,
        }
    }

    /// Whether a connection from this address may come in at `now`, counted from any fixed moment.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Duration) -> bool {
        let address = network(address);
        if self.full_at.len() >= ADDRESSES_MAX && now >= self.purged_at + PURGE_INTERVAL {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.purged_at = now;
        }
        let has_room = self.full_at.len() < ADDRESSES_MAX || self.full_at.contains_key(&address);
        let full_at = if has_room { self.full_at.entry(address).or_default() } else { &mut self.shared_full_at };
        let start = (*full_at).max(now);
        if start - now > self.tolerance {
            return false;
        }
        *full_at = start + self.interval;
        true
    }
}

/// One customer has one IPv4 address, but at least a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(admission: &mut Admission, address: &str, now_ms: u64, tries: u32) -> usize {
        let address = address.parse().expect("an address");
        (0..tries).filter(|_| admission.admit(address, Duration::from_millis(now_ms))).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut admission = Admission::new(10, 5);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 0, 100), 5);
        assert_eq!(admitted(&mut admission, "10.0.0.2", 0, 3), 3);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 99, 100), 0);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 100, 100), 1);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 300, 100), 2);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 60_000, 100), 5);
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        let mut admission = Admission::new(1, 2);
        assert_eq!(admitted(&mut admission, "2001:db8::1", 0, 1), 1);
        assert_eq!(admitted(&mut admission, "2001:db8::ffff:2", 0, 5), 1);
        assert_eq!(admitted(&mut admission, "2001:db8:0:1::1", 0, 5), 2);
        assert_eq!(admitted(&mut admission, "10.0.0.1", 0, 1), 1);
        assert_eq!(admitted(&mut admission, "::ffff:10.0.0.1", 0, 5), 1);
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let mut admission = Admission::new(1, 1);
        let all: usize =
            (0..5_000u32).map(|n| admitted(&mut admission, &std::net::Ipv4Addr::from(n).to_string(), 0, 1)).sum();
        assert_eq!(all, ADDRESSES_MAX + 1, "those beyond the table share one bucket");
        assert_eq!(admission.full_at.len(), ADDRESSES_MAX);
        assert_eq!(admitted(&mut admission, "11.0.0.1", 2_000, 1), 1);
        assert_eq!(admission.full_at.len(), 1);
    }
}
