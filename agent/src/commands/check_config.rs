//! `check-config`: whether the configuration can be used, and what it comes to.

use std::collections::BTreeSet;
use std::io::Write;

use pos_model::Tag;
use pricing::book::PriceBook;

use super::{CommandError, open};
use crate::config::{Config, Loaded, TerminalKind, Tills};
use crate::identity::Identity;

/// The roles that are no stations.
const ROLES: [&str; 4] = ["receipt", "report", "label", "kitchen"];

/// `check-config`. Says on `out` what the configuration comes to and what is odd. Answers whether all of it is known; what is
/// not may be allowed, for a unit that checks before each start must not close the store after a step back to an earlier
/// version.
pub fn check_config(loaded: &Loaded, allow_unknown: bool, out: &mut impl Write) -> Result<bool, CommandError> {
    let Loaded { config, warnings, unknown } = loaded;
    let text = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
    let cut_off = config.store.rules.cut_off.minutes();
    let mut lines = vec![
        format!("data folder    {}", config.data_dir.display()),
        format!(
            "currency       {}",
            config.store.rules.currency.map_or_else(|| "the folder's".to_owned(), |currency| currency.to_string())
        ),
        format!("time zone      {}", config.store.time_zone.iana_name().unwrap_or("the machine's")),
        format!("day cut-off    {:02}:{:02}", cut_off / 60, cut_off % 60),
        format!("terminals      {}", terminals(config)),
        format!("local API      http://{}, {}", config.listen, tills(config.tills)),
        format!("retention      {} days", config.retention_ms / 86_400_000),
        format!("centre         {}", text(config.centre.http_url.as_ref().map(ToString::to_string))),
        format!("uplink         {}", text(config.centre.mqtt_url.as_ref().map(ToString::to_string))),
        match Identity::load(&config.data_dir) {
            Ok(Some(identity)) => {
                format!("enrolled       as {}, which sends to {}", identity.store_id, identity.mqtt_url)
            }
            Ok(None) => "enrolled       not yet".to_owned(),
            Err(error) => format!("enrolled       {}", crate::telemetry::chain(&error)),
        },
    ];
    let (unknown_roles, maybe_roles) = roles(config);
    lines.extend(warnings.iter().chain(&maybe_roles).map(|warning| format!("warning: {warning}")));
    let unknown: Vec<&String> = unknown.iter().chain(&unknown_roles).collect();
    let word = if allow_unknown { "warning" } else { "error" };
    lines.extend(unknown.iter().map(|text| format!("{word}: {text}")));
    let is_sound = allow_unknown || unknown.is_empty();
    lines.push(
        if is_sound {
            "the configuration can be used"
        } else {
            "something is mistyped, or is of a newer version: an agent that runs leaves it out (--allow-unknown)"
        }
        .to_owned(),
    );
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(CommandError::Output)?;
    Ok(is_sound)
}

/// The roles of printers that nothing is printed for: those of no use, and those that may become a station when the store has
/// a price book.
fn roles(config: &Config) -> (Vec<String>, Vec<String>) {
    let stations = stations(config);
    let (mut unknown, mut maybe) = (Vec::new(), Vec::new());
    for printer in &config.printers {
        for role in printer.roles.iter().filter(|role| !ROLES.contains(&role.as_str())) {
            let name = &printer.name;
            let known = ROLES.join(", ");
            let meant = ROLES.iter().find(|known| is_mistyped(role.as_str(), known));
            match (&stations, meant) {
                (Some(stations), _) if stations.contains(role) => {}
                (_, Some(meant)) => unknown.push(format!("printer {name}: the role {role} is none; is {meant} meant?")),
                (Some(_), None) => unknown
                    .push(format!("printer {name}: the role {role} is none of {known}, and no station of the price book")),
                (None, None) => maybe.push(format!(
                    "printer {name}: the role {role} is none of {known}; it has to be a station of the price book, which \
                     the store does not have yet"
                )),
            }
        }
    }
    (unknown, maybe)
}

/// The stations of the newest price book that the store has and this program understands; none without one.
fn stations(config: &Config) -> Option<BTreeSet<Tag>> {
    let books = open(&config.data_dir).ok()?.view().price_books().ok()?;
    let book = books.iter().find_map(|kept| PriceBook::from_json(&kept.json).ok())?;
    Some(book.stations.into_keys().collect())
}

/// Whether one word is another with one letter too much, too few, or another one, or with two of them swapped.
fn is_mistyped(word: &str, meant: &str) -> bool {
    let (word, meant): (Vec<char>, Vec<char>) = (word.chars().collect(), meant.chars().collect());
    let front = word.iter().zip(&meant).take_while(|(one, other)| one == other).count();
    let (word, meant) = (&word[front..], &meant[front..]);
    match (word, meant) {
        ([_, word @ ..], meant_whole) if word == meant_whole => true,
        (word_whole, [_, meant @ ..]) if word_whole == meant => true,
        ([_, word @ ..], [_, meant @ ..]) if word == meant => true,
        ([a, b, word @ ..], [c, d, meant @ ..]) => a == d && b == c && word == meant,
        _ => false,
    }
}

fn terminals(config: &Config) -> String {
    let named = config.payment.terminals.iter().map(|terminal| match &terminal.kind {
        TerminalKind::Simulator { .. } => format!("{} (a simulator: no money moves)", terminal.name),
        TerminalKind::Http { url, .. } => format!("{} at {url}", terminal.name),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "none".to_owned() } else { named.join(", ") }
}

fn tills(tills: Tills) -> &'static str {
    match tills {
        Tills::Open => "to whoever reaches it",
        Tills::Paired => "to tills that are paired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_told_from_another_word() {
        let check = |word: &str, expected: bool| assert_eq!(is_mistyped(word, "receipt"), expected, "{word}");
        for slip in ["reciept", "receit", "receippt", "receipts", "teceipt", "eceipt"] {
            check(slip, true);
        }
        for other in ["bar", "recipe", "label", "", "receiptss"] {
            check(other, false);
        }
    }
}
