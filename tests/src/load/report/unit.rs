//! What the numbers of a chart mean, and how they are said.

use super::super::words::{grouped, micros};

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// So many.
    Count,
    /// So many per second.
    PerSecond,
    /// Microseconds, on a scale by powers of ten.
    Micros,
    /// Milliseconds.
    Millis,
    /// KiB of memory.
    Memory,
    /// Thousandths of a processor.
    Processor,
}

impl Unit {
    /// The number in words.
    pub(super) fn say(self, value: u64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::Micros => micros(value),
            Self::Millis => micros(value.saturating_mul(1000)),
            Self::Memory => format!("{} MiB", grouped(value.div_ceil(1024))),
            Self::Processor => format!("{} %", value / 10),
        }
    }

    /// The number beside its line of the scale.
    pub(super) fn tick(self, value: u64) -> String {
        match self {
            Self::Count | Self::PerSecond => short(value),
            Self::Memory => format!("{} MiB", grouped(value / 1024)),
            Self::Micros => micros(value).replace(".0 ", " "),
            Self::Millis => micros(value.saturating_mul(1000)).replace(".0 ", " "),
            Self::Processor => self.say(value),
        }
    }

    pub(super) fn is_by_powers(self) -> bool {
        self == Self::Micros
    }
}

/// `1,500` as `1.5k`.
fn short(value: u64) -> String {
    let (unit, name) = match value {
        0..10_000 => return grouped(value),
        10_000..1_000_000 => (1_000, "k"),
        _ => (1_000_000, "M"),
    };
    let tenth = value % unit * 10 / unit;
    if tenth == 0 { format!("{}{name}", value / unit) } else { format!("{}.{tenth}{name}", value / unit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_short_beside_a_scale() {
        assert_eq!((short(9_999), short(12_500), short(3_000_000)), ("9,999".into(), "12.5k".into(), "3M".into()));
        assert_eq!(Unit::Memory.say(2_500 * 1024), "2,500 MiB");
        assert_eq!(Unit::Processor.say(345), "34 %");
        assert_eq!(Unit::Micros.tick(10_000), "10 ms");
    }
}
