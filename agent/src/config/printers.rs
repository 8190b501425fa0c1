//! The printers of the store: a list of tables, each checked, all that is wrong told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pos_model::{Tag, TillId};
use printing::Profile;
use printing::profile::{CodePage, CutMode, DoubleByte};
use toml::{Table, Value};

use super::parse::duration;

/// Printers of one store: two counters, four stations, and their spares.
pub(super) const PRINTERS_MAX: usize = 16;

/// How long a printer may stand still in the middle of a job unless the configuration says otherwise. Slow ones answer after
/// eight seconds, and somebody has to see that the paper is out and put in a roll.
const PATIENCE: Duration = Duration::from_secs(60);

/// The patience that can be set.
const PATIENCE_LEAST: Duration = Duration::from_millis(200);
const PATIENCE_MOST: Duration = Duration::from_secs(600);

/// The port that printers listen on unless the address names another one.
const PORT: u16 = 9_100;

/// Every key of a printer's table.
const KEYS: [&str; 11] = [
    "name",
    "address",
    "profile",
    "code_page",
    "characters",
    "cut",
    "roles",
    "tills",
    "fallback",
    "answers",
    "patience",
];

/// A printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrinterConfig {
    /// How people and the API call it.
    pub name: Tag,
    /// Where it is.
    pub address: PrinterAddress,
    /// The profile's name.
    pub profile_name: String,
    /// What it can do.
    pub profile: Profile,
    /// What it prints: `receipt`, `report`, `label`, `kitchen`, or the name of a station.
    pub roles: Vec<Tag>,
    /// The tills for which it prints, and whose drawer hangs on it. Empty: all of them.
    pub tills: Vec<TillId>,
    /// Which printer takes over while this one cannot be reached.
    pub fallback: Option<Tag>,
    /// Whether it answers questions about paper and cover, so that it is asked.
    pub answers: bool,
    /// How long it may stand still in the middle of a job.
    pub patience: Duration,
}

impl PrinterConfig {
    /// Whether it is a printer of this till. What no till asked for belongs to every printer.
    pub fn serves(&self, till_id: Option<&TillId>) -> bool {
        self.tills.is_empty() || till_id.is_none_or(|till_id| self.tills.contains(till_id))
    }
}

/// Where a printer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrinterAddress {
    /// In the network.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A device file, such as that of a USB printer.
    Device(PathBuf),
}

impl FromStr for PrinterAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address such as \"tcp://192.0.2.7:9100\" or \"file:/dev/usb/lp0\"");
        if let Some(path) = text.strip_prefix("file:").filter(|path| path.starts_with('/') && !path.contains('\0')) {
            return Ok(Self::Device(PathBuf::from(path)));
        }
        let rest = text.strip_prefix("tcp://").ok_or_else(wrong)?;
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']').ok_or_else(wrong)?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
            None if port.is_empty() => PORT,
            None => return Err(wrong()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:_".contains(c);
        if host.is_empty() || !host.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for PrinterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Device(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// What a list of tables comes to.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) printers: Vec<PrinterConfig>,
    pub(super) problems: Vec<String>,
    pub(super) unknown: Vec<String>,
}

/// Reads the list. Problems are told with the place in the list, from 1.
pub(super) fn read(tables: &[Value]) -> Read {
    let mut read = Read::default();
    if tables.len() > PRINTERS_MAX {
        read.problems.push(format!("{} printers, at most {PRINTERS_MAX}", tables.len()));
        return read;
    }
    for (at, value) in tables.iter().enumerate() {
        let Value::Table(table) = value else {
            read.problems.push(format!("number {} is not a table", at + 1));
            continue;
        };
        let known = |key: &str| KEYS.contains(&key);
        let odd = table.keys().filter(|key| !known(key));
        read.unknown
            .extend(odd.map(|key| format!("the key {key} of printer {} is unknown and changes nothing", at + 1)));
        let mut fields = Fields { table, at: at + 1, problems: &mut read.problems };
        read.printers.extend(printer(&mut fields));
    }
    check_names(&mut read);
    read
}

fn printer(fields: &mut Fields<'_>) -> Option<PrinterConfig> {
    let name = fields.text("name", None).and_then(|text| fields.parsed("name", tag(text)));
    let address = fields.text("address", None).and_then(|text| fields.parsed("address", text.parse()));
    let profile_name = fields.text("profile", Some("80mm"));
    let profile = profile_name.and_then(|name| fields.parsed("profile", profile_named(name)));
    let code_page = fields.optional("code_page", |text| {
        CodePage::named(text).ok_or("is none of none, cp437, cp850, cp852, cp858, cp866, windows-1252".to_owned())
    });
    let characters = fields.optional("characters", |text| match text {
        "none" => Ok(None),
        set => DoubleByte::named(set).map(Some).ok_or("is none of none, gb18030, big5, euc-kr".to_owned()),
    });
    let cut = fields.optional("cut", |text| match text {
        "partial" => Ok(CutMode::Partial),
        "full" => Ok(CutMode::Full),
        "tear" => Ok(CutMode::Tear),
        "label-gap" => Ok(CutMode::LabelGap),
        _ => Err("is none of partial, full, tear, label-gap".to_owned()),
    });
    let roles = fields.list("roles", "is not a list of roles such as [\"receipt\", \"report\"]", |text| tag(text).ok());
    let tills = fields.list("tills", "is not a list of tills such as [\"T1\", \"T2\"]", |text| text.parse().ok());
    let fallback = fields.optional("fallback", tag);
    let answers = fields.flag("answers");
    let patience = fields.optional("patience", |text| {
        duration(text).and_then(|patience| {
            let fits = (PATIENCE_LEAST..=PATIENCE_MOST).contains(&patience);
            if fits { Ok(patience) } else { Err("is not from 200ms to 10m".to_owned()) }
        })
    });
    let mut profile = profile?;
    profile.code_page = code_page?.unwrap_or(profile.code_page);
    profile.double_byte = characters?.unwrap_or(profile.double_byte);
    profile.cut = cut?.unwrap_or(profile.cut);
    Some(PrinterConfig {
        name: name?,
        address: address?,
        profile_name: profile_name?.to_owned(),
        profile,
        roles: roles?,
        tills: tills?,
        fallback: fallback?,
        answers: answers?,
        patience: patience?.unwrap_or(PATIENCE),
    })
}

fn tag(text: &str) -> Result<Tag, String> {
    Tag::new(text).map_err(|error| error.to_string())
}

fn profile_named(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| {
        let names: Vec<&str> = Profile::names().map(|(name, _)| name).collect();
        format!("{name:?} is none of {}", names.join(", "))
    })
}

fn check_names(read: &mut Read) {
    let mut places: BTreeMap<&Tag, usize> = BTreeMap::new();
    for printer in &read.printers {
        *places.entry(&printer.name).or_default() += 1;
    }
    for (name, _) in places.iter().filter(|(_, count)| **count > 1) {
        read.problems.push(format!("two printers are called {name}"));
    }
    for printer in &read.printers {
        let Some(fallback) = &printer.fallback else { continue };
        if *fallback == printer.name || !places.contains_key(fallback) {
            read.problems.push(format!("{}: the fallback {fallback} is no other printer", printer.name));
        }
    }
}

/// One printer's table, and where to complain.
struct Fields<'a> {
    table: &'a Table,
    at: usize,
    problems: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    fn problem(&mut self, key: &str, text: &str) {
        self.problems.push(format!("{key} of number {}: {text}", self.at));
    }

    fn parsed<T>(&mut self, key: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|text| self.problem(key, &text)).ok()
    }

    fn text(&mut self, key: &str, default: Option<&'a str>) -> Option<&'a str> {
        match self.table.get(key) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            None if default.is_some() => default,
            None => {
                self.problem(key, "is missing");
                None
            }
            Some(_) => {
                self.problem(key, "is not text in quotes");
                None
            }
        }
    }

    fn optional<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<Option<T>> {
        match self.table.get(key) {
            None => Some(None),
            Some(Value::String(text)) => self.parsed(key, parse(text)).map(Some),
            Some(_) => {
                self.problem(key, "is not text in quotes");
                None
            }
        }
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        match self.table.get(key) {
            None => Some(false),
            Some(Value::Boolean(flag)) => Some(*flag),
            Some(_) => {
                self.problem(key, "is neither true nor false");
                None
            }
        }
    }

    fn list<T>(&mut self, key: &str, wrong: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let list = match self.table.get(key) {
            None => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|item| item.as_str().and_then(&parse)).collect(),
            Some(_) => None,
        };
        if list.is_none() {
            self.problem(key, wrong);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Read {
        let table: Table = text.parse().expect("TOML");
        read(table["printer"].as_array().expect("a list"))
    }

    #[test]
    fn a_printer_needs_a_name_and_an_address() {
        let read = list(
            "[[printer]]\nname = \"counter\"\naddress = \"tcp://192.0.2.7\"\nroles = [\"receipt\"]\nfallback = \"bar\"
             [[printer]]\nname = \"bar\"\naddress = \"file:/dev/usb/lp0\"\nprofile = \"58mm\"\ncharacters = \"gb18030\"
             cut = \"full\"\nanswers = true\npatience = \"5s\"\ntills = [\"T1\", \"T2\"]",
        );
        assert_eq!((read.problems.as_slice(), read.unknown.as_slice()), ([].as_slice(), [].as_slice()));
        let [counter, bar] = read.printers.as_slice() else { panic!("two printers") };
        assert_eq!(counter.address.to_string(), "tcp://192.0.2.7:9100");
        assert_eq!((counter.profile_name.as_str(), counter.patience), ("80mm", PATIENCE));
        assert_eq!(bar.profile.double_byte, Some(DoubleByte::Gb18030));
        assert_eq!((bar.profile.dots, bar.profile.cut, bar.answers), (384, CutMode::Full, true));
        let till = |text: &str| text.parse::<TillId>().expect("valid");
        assert!(counter.serves(Some(&till("T9"))) && bar.serves(Some(&till("T2"))) && bar.serves(None));
        assert!(!bar.serves(Some(&till("T9"))), "it has tills of its own");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let read = list(
            "[[printer]]\nname = \"a b\"\naddress = \"192.0.2.7\"\nprofile = \"90mm\"\nroles = \"receipt\"\nanswers = 1
             code_page = \"latin\"\npatience = \"1ms\"\ncut = \"saw\"\ncharacters = \"kanji\"\ncolour = 1\ntills = [\"no till\"]
             [[printer]]\nname = \"x\"\naddress = \"tcp://h:0\"
             [[printer]]\nname = \"y\"\naddress = \"tcp://h\"\nfallback = \"y\"
             [[printer]]\nname = \"y\"\naddress = \"tcp://h\"\nfallback = \"z\"",
        );
        let text = read.problems.join("\n");
        for part in [
            "name of number 1",
            "address of number 1",
            "profile of number 1",
            "roles of number 1",
            "tills of number 1",
            "answers of number 1",
            "code_page of number 1",
            "patience of number 1",
            "cut of number 1",
            "characters of number 1",
            "address of number 2",
            "two printers are called y",
            "the fallback y is no other",
            "the fallback z is no other",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(read.unknown.len(), 1, "{:?}", read.unknown);
    }

    #[test]
    fn addresses_come_back_as_they_were_written() {
        let check = |text: &str, expected: Option<&str>| {
            let address = text.parse::<PrinterAddress>().map(|address| address.to_string());
            assert_eq!(address.ok().as_deref(), expected, "{text}");
        };
        check("tcp://printer.shop:9101", Some("tcp://printer.shop:9101"));
        check("tcp://[2001:db8::7]", Some("tcp://[2001:db8::7]:9100"));
        check("file:/dev/usb/lp0", Some("file:/dev/usb/lp0"));
        check("file:lp0", None);
        check("tcp://", None);
        check("tcp://h:99999", None);
        check("tcp://h/x", None);
        check("udp://h", None);
    }
}
