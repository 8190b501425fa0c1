//! Values from text.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use pos_model::{Currency, DayCutOff, Tag};
use tracing_subscriber::EnvFilter;

use super::{OwnPrices, Tills};

/// Parses a number and a unit: `250ms`, `30s`, `5m`, `12h`, `14d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as \"30s\" (units: ms, s, m, h, d)");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') { Err("has a null character".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn currency(text: &str) -> Result<Currency, String> {
    text.parse().map_err(|error: pos_model::MoneyError| error.to_string())
}

pub(super) fn time_zone(text: &str) -> Result<TimeZone, String> {
    if text == "system" {
        return TimeZone::try_system().map_err(|error| format!("the machine's time zone is not known: {error}"));
    }
    TimeZone::get(text).map_err(|error| error.to_string())
}

pub(super) fn day_cut_off(text: &str) -> Result<DayCutOff, String> {
    let wrong = || format!("{text:?} is not a time of day such as \"04:00\"");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let two_digits = |part: &str| {
        let well_formed = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if well_formed { part.parse::<u16>().ok() } else { None }
    };
    let hours = two_digits(hours).filter(|&hours| hours < 24).ok_or_else(wrong)?;
    let minutes = two_digits(minutes).filter(|&minutes| minutes < 60).ok_or_else(wrong)?;
    DayCutOff::from_minutes(hours * 60 + minutes).ok_or_else(wrong)
}

pub(super) fn tag(text: &str) -> Result<Tag, String> {
    Tag::new(text).map_err(|error| error.to_string())
}

/// For how many minutes of a business date the store sells.
pub(super) fn trading_minutes(text: &str) -> Result<u16, String> {
    let minutes = duration(text)?.as_secs() / 60;
    let minutes = u16::try_from(minutes).ok().filter(|minutes| (1..=1440).contains(minutes));
    minutes.ok_or_else(|| format!("{text:?} is not from 1m to 24h"))
}

/// Below how many trading minutes of cover an item is flagged.
pub(super) fn low_cover_minutes(text: &str) -> Result<u32, String> {
    let minutes = duration(text)?.as_secs() / 60;
    let minutes = u32::try_from(minutes).ok().filter(|minutes| *minutes <= 366 * 1440);
    minutes.ok_or_else(|| format!("{text:?} is longer than a year"))
}

/// Tags with commas between them.
/// The longest line of paper that anybody has, in characters.
const PAPER_LINE_CHARS_MAX: usize = 64;

/// Lines of paper that a configuration may add to each receipt.
const PAPER_LINES_MAX: usize = 12;

/// A line that is printed.
pub(super) fn paper_line(text: &str) -> Result<String, String> {
    if text.chars().count() > PAPER_LINE_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not a line of at most {PAPER_LINE_CHARS_MAX} printable characters"));
    }
    Ok(text.to_owned())
}

/// Lines that are printed.
pub(super) fn paper_lines(text: &str) -> Result<Vec<String>, String> {
    let lines: Vec<String> = text.lines().map(paper_line).collect::<Result<_, _>>()?;
    if lines.len() > PAPER_LINES_MAX {
        return Err(format!("has {} lines, at most {PAPER_LINES_MAX} are possible", lines.len()));
    }
    Ok(lines)
}

pub(super) fn tags(text: &str) -> Result<Vec<Tag>, String> {
    text.split(',').map(|one| tag(one.trim())).collect()
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address and port such as \"127.0.0.1:8090\""))
}

/// Parses an address that begins with `http://` or `https://`.
pub fn http_url(text: &str) -> Result<reqwest::Url, String> {
    let url = reqwest::Url::parse(text).ok();
    let fits = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    url.filter(fits).ok_or_else(|| format!("{text:?} is not an address such as \"https://centre.example:8080\""))
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn own_prices(text: &str) -> Result<OwnPrices, String> {
    match text {
        "ask" => Ok(OwnPrices::Ask),
        "allow" => Ok(OwnPrices::Allow),
        other => Err(format!("{other:?} is neither \"ask\" nor \"allow\"")),
    }
}

pub(super) fn tills(text: &str) -> Result<Tills, String> {
    match text {
        "open" => Ok(Tills::Open),
        "paired" => Ok(Tills::Paired),
        _ => Err(format!("{text:?} is neither \"open\" nor \"paired\"")),
    }
}

pub(super) fn log_format(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err(format!("{text:?} is neither \"text\" nor \"json\"")),
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[track_caller]
        fn check(text: &str, ms: Option<u128>) {
            assert_eq!(duration(text).ok().map(|duration| duration.as_millis()), ms, "{text:?}");
        }
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("12h", Some(43_200_000));
        check("14d", Some(1_209_600_000));
        check("0s", Some(0));
        check("30", None);
        check("s", None);
        check("-1s", None);
        check("1.5h", None);
        check("1 h", None);
        check("", None);
        check("18446744073709551615d", None);
        check("99999999999999999999s", None);
    }

    #[test]
    fn times_of_day() {
        #[track_caller]
        fn check(text: &str, minutes: Option<u16>) {
            assert_eq!(day_cut_off(text).ok().map(DayCutOff::minutes), minutes, "{text:?}");
        }
        check("04:00", Some(240));
        check("00:00", Some(0));
        check("23:59", Some(1439));
        check("24:00", None);
        check("4:00", None);
        check("04:60", None);
        check("+4:00", None);
        check("0400", None);
    }

    #[test]
    fn groups() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[&str]>) {
            let parsed = tags(text).ok().map(|tags| tags.iter().map(Tag::to_string).collect::<Vec<_>>());
            let expected = expected.map(|tags| tags.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
            assert_eq!(parsed, expected, "{text:?}");
        }
        check("airport", Some(&["airport"]));
        check("airport, pilot", Some(&["airport", "pilot"]));
        check("airport,", None);
        check("", None);
    }

    #[test]
    fn loopback() {
        #[track_caller]
        fn check(host: &str, loopback: bool) {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
        check("localhost", true);
        check("127.0.0.1", true);
        check("127.1.2.3", true);
        check("[::1]", true);
        check("centre.example", false);
        check("10.0.0.1", false);
    }
}
