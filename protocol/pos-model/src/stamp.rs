//! A moment as the till's wall clock showed it.

use serde::{Deserialize, Serialize};

/// A moment in UTC beside the store's offset at that moment, so that both the instant and the local time survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
    pub utc_ms: i64,
    /// Seconds that local time is ahead of UTC.
    pub offset_s: i32,
}

impl Stamp {
    /// Local time in milliseconds on the same scale, held at the ends of the scale.
    pub const fn local_ms(self) -> i64 {
        self.utc_ms.saturating_add((self.offset_s as i64) * 1000)
    }
}
