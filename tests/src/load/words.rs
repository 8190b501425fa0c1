//! A run in words: the line of each second, and numbers as people read them.

use super::record::Row;
use super::run::Told;

/// A count with its thousands apart: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with a unit that fits: `850 us`, `12.3 ms`, `4.0 s`, `2.4 min`, `2.5 h`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        1_000_000..120_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        120_000_000..7_200_000_000 => format!("{}.{} min", us / 60_000_000, us % 60_000_000 / 6_000_000),
        _ => format!("{}.{} h", us / 3_600_000_000, us % 3_600_000_000 / 360_000_000),
    }
}

/// KiB as MiB.
pub fn mib(kib: u64) -> String {
    format!("{} MiB", grouped(kib.div_ceil(1024)))
}

/// The line of a second, or of what happens before and after.
pub fn line(told: &Told<'_>) -> String {
    match told {
        Told::Connecting { connected, stores } => {
            format!("connecting: {} of {} stores", grouped(*connected), grouped(*stores))
        }
        Told::Second(row) => second(row),
        Told::Checking => "asking the centre what it holds".to_owned(),
    }
}

fn second(row: &Row) -> String {
    let oldest = if row.backlog > 0 { format!(" (oldest {})", micros(row.oldest_ms * 1000)) } else { String::new() };
    let mut text = format!(
        "{:>4} s  made {}/s  acked {}/s  backlog {}{oldest}  {} connected",
        row.second,
        grouped(row.made),
        grouped(row.acked),
        grouped(row.backlog),
        grouped(row.connections),
    );
    let mut say = |part: String| {
        text.push_str("  ");
        text.push_str(&part);
    };
    if let (Some(events), Some(hold_ms)) = (row.credit_events, row.hold_ms) {
        say(format!("credit {events} events, hold {hold_ms} ms"));
    }
    if let (Some(p50), Some(p99)) = (row.p50_us, row.p99_us) {
        say(format!("p50 {} p99 {}", micros(p50), micros(p99)));
    }
    if row.refused > 0 {
        say(format!("{} refused", grouped(row.refused)));
    }
    if row.turned_away > 0 {
        say(format!("{} connections failed", grouped(row.turned_away)));
    }
    if let Some(till) = row.till_p99_us {
        say(format!("till p99 {}", micros(till)));
    }
    if let Some(rss) = row.server_rss_kb {
        say(format!("server {}", mib(rss)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (us, text) in [
            (850, "850 us"),
            (12_345, "12.3 ms"),
            (4_000_000, "4.0 s"),
            (148_000_000, "2.4 min"),
            (9_000_000_000, "2.5 h"),
        ] {
            assert_eq!(micros(us), text);
        }
    }
}
