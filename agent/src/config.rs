//! The configuration: a file, then variables, then flags; all of it checked before anything starts.
//!
//! `default.toml` is the reference: it names every key. A key elsewhere that it does not name changes nothing and is told
//! apart, with its path: `check-config` refuses it, for it is mistyped. An agent that sells does not: after a step back to an
//! earlier version, the file of the later one must not close the store.

mod parse;
mod printers;
mod sources;
mod terminals;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use pos_model::Tag;
use till::stock::CoverRule;

use crate::db::{ForTills, PaperPlan, RETENTION_MS_MIN, Rules};

pub(crate) use parse::is_loopback;
pub use parse::{duration, http_url};
pub use printers::{PrinterAddress, PrinterConfig};
pub use protocol::mqtt_url::MqttUrl;
pub use sources::Sources;
use sources::Values;
pub use terminals::{TerminalConfig, TerminalKind};

/// The reference, as it is built in.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// What the agent does, in full.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the store's books.
    pub data_dir: PathBuf,
    /// How it sells.
    pub store: StoreConfig,
    /// Where tills reach it.
    pub listen: SocketAddr,
    /// How customers pay other than by cash.
    pub payment: PaymentConfig,
    /// Whether tills are asked who they are.
    pub tills: Tills,
    /// How long confirmed events are held, in milliseconds.
    pub retention_ms: i64,
    /// How long stock should last.
    pub stock: CoverRule,
    /// The centre.
    pub centre: CentreConfig,
    /// The printers.
    pub printers: Vec<PrinterConfig>,
    /// What is logged.
    pub log: LogConfig,
}

/// How the store sells.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Currency and cut-off.
    pub rules: Rules,
    /// The store's time zone.
    pub time_zone: TimeZone,
    /// The region, for prices that differ by it.
    pub region: Option<Tag>,
    /// The groups that the store is in, for prices and promotions of a part of the chain.
    pub groups: Vec<Tag>,
    /// What becomes of prices that a till names itself.
    pub own_prices: OwnPrices,
    /// What stands above receipts and labels.
    pub name: String,
    /// What follows it on receipts: address, tax number, telephone.
    pub header: Vec<String>,
    /// Words at the end of a receipt.
    pub footer: Vec<String>,
}

/// What becomes of prices that a till names itself where the store sells by a price book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnPrices {
    /// Somebody who may sell at another price than the book's allows each such sale, and it is marked.
    Ask,
    /// They are the till's business.
    Allow,
}

/// How customers pay other than by cash.
#[derive(Debug, Clone)]
pub struct PaymentConfig {
    /// The terminals.
    pub terminals: Vec<TerminalConfig>,
    /// The kinds of tender that have to name an attempt.
    pub attempts_for: Vec<Tag>,
    /// Certificates to trust besides the system's, for terminals as for the centre.
    pub ca_file: Option<PathBuf>,
}

/// Whether tills are asked who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tills {
    /// They are not. On loopback only.
    Open,
    /// Each names the token that it got when it was paired.
    Paired,
}

/// The centre. Nothing of it is needed to sell.
#[derive(Debug, Clone)]
pub struct CentreConfig {
    /// Where `enroll` finds it.
    pub http_url: Option<reqwest::Url>,
    /// Where the uplink goes, in place of what enrolment said.
    pub mqtt_url: Option<MqttUrl>,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// What is logged.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Levels, in the form of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// JSON instead of text.
    pub json: bool,
}

/// The configuration and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to do.
    pub config: Config,
    /// What a person should look at; none of it hinders the start.
    pub warnings: Vec<String>,
    /// The keys and variables that this version does not know; they change nothing.
    pub unknown: Vec<String>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("parse {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Values that cannot be; all of them, and behind them what is odd or unknown.
    #[error("use the configuration:\n  {}", .0.join("\n  "))]
    Values(Vec<String>),
}

impl Config {
    /// What the store prints, and in whose name.
    pub(crate) fn paper_plan(&self) -> PaperPlan {
        let mut roles: BTreeMap<String, ForTills> = BTreeMap::new();
        for (printer, role) in
            self.printers.iter().flat_map(|printer| printer.roles.iter().map(move |role| (printer, role)))
        {
            let tills = roles.entry(role.to_string()).or_insert_with(|| ForTills::Only(BTreeSet::new()));
            match tills {
                ForTills::Only(tills) if !printer.tills.is_empty() => tills.extend(printer.tills.iter().cloned()),
                tills => *tills = ForTills::All,
            }
        }
        PaperPlan {
            shop_name: self.store.name.clone(),
            shop_lines: self.store.header.clone(),
            footer: self.store.footer.clone(),
            roles,
            is_training: false,
        }
    }

    /// Loads and checks everything.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let (mut values, mut unknown) = sources.values()?;
        let mut warnings = Vec::new();
        let data_dir = values.text("data_dir", parse::path);
        let currency = values.optional("store.currency", parse::currency);
        let time_zone = values.text("store.time_zone", parse::time_zone);
        let cut_off = values.text("store.day_cut_off", parse::day_cut_off);
        let region = values.optional("store.region", parse::tag);
        let groups = values.optional("store.groups", parse::tags);
        let own_prices = values.text("store.own_prices", parse::own_prices);
        let name = values.optional("store.name", parse::paper_line);
        let header = values.optional("store.receipt_header", parse::paper_lines);
        let footer = values.optional("store.receipt_footer", parse::paper_lines);
        let listen = values.text("http.listen", parse::socket_address);
        let terminals = terminals::terminals(&mut values, &mut unknown, &mut warnings);
        let attempts_for = values.optional("payment.require_attempts", parse::tags);
        let tills = values.text("http.tills", parse::tills);
        let retention = values.text("outbox.retention", duration);
        let trading_minutes = values.text("stock.trading_hours", parse::trading_minutes);
        let low_minutes = values.text("stock.low_cover", parse::low_cover_minutes);
        let http_url = values.optional("centre.http_url", http_url);
        let mqtt_url = values.optional("centre.mqtt_url", str::parse::<MqttUrl>);
        let ca_file = values.optional("centre.ca_file", parse::path);
        let filter = values.text("log.filter", parse::log_filter);
        let json = values.text("log.format", parse::log_format);
        let printers = values.list("printer").map(|tables| read_printers(&tables, &mut values, &mut unknown));

        check_listen(&mut values, listen, tills);
        let retention_ms = retention.and_then(|retention| check_retention(&mut values, retention));
        warn_of_plain_text(http_url.as_ref(), mqtt_url.as_ref(), &mut warnings);
        let built = (|| {
            let ca_file: Option<PathBuf> = ca_file?;
            Some(Config {
                data_dir: data_dir?,
                store: StoreConfig {
                    rules: Rules { currency: currency?, cut_off: cut_off? },
                    time_zone: time_zone?,
                    region: region?,
                    groups: groups?.unwrap_or_default(),
                    own_prices: own_prices?,
                    name: name?.unwrap_or_default(),
                    header: header?.unwrap_or_default(),
                    footer: footer?.unwrap_or_default(),
                },
                listen: listen?,
                payment: PaymentConfig {
                    terminals: terminals?,
                    attempts_for: attempts_for?.unwrap_or_default(),
                    ca_file: ca_file.clone(),
                },
                tills: tills?,
                retention_ms: retention_ms?,
                stock: CoverRule { trading_minutes: trading_minutes?, low_minutes: low_minutes? },
                centre: CentreConfig { http_url: http_url?, mqtt_url: mqtt_url?, ca_file },
                printers: printers?,
                log: LogConfig { filter: filter?, json: json? },
            })
        })();
        match built {
            Some(config) if values.problems().is_empty() => Ok(Loaded { config, warnings, unknown }),
            _ => {
                let odd = unknown.into_iter().chain(warnings).map(|text| format!("besides: {text}"));
                Err(ConfigError::Values(values.into_problems().into_iter().chain(odd).collect()))
            }
        }
    }
}

fn check_listen(values: &mut Values, listen: Option<SocketAddr>, tills: Option<Tills>) {
    if let (Some(listen), Some(Tills::Open)) = (listen, tills)
        && !listen.ip().is_loopback()
    {
        let text =
            "can be reached from other machines, and tills are not asked who they are; set http.tills to \"paired\"";
        values.problem("http.listen", &format!("{listen} {text}"));
    }
}

fn read_printers(tables: &[toml::Value], values: &mut Values, unknown: &mut Vec<String>) -> Vec<PrinterConfig> {
    let read = printers::read(tables);
    read.problems.iter().for_each(|problem| values.problem("printer", problem));
    unknown.extend(read.unknown);
    read.printers
}

fn check_retention(values: &mut Values, retention: Duration) -> Option<i64> {
    let retention_ms = i64::try_from(retention.as_millis()).ok();
    if retention_ms.is_some_and(|ms| ms >= RETENTION_MS_MIN) {
        return retention_ms;
    }
    values.problem("outbox.retention", "at least 14d: the centre may be restored from a backup and ask again");
    None
}

/// The secret of the store travels with each login.
fn warn_of_plain_text(
    http_url: Option<&Option<reqwest::Url>>,
    mqtt_url: Option<&Option<MqttUrl>>,
    warnings: &mut Vec<String>,
) {
    let warning = |key| format!("{key} has no TLS and is not loopback: the store's secret can be read on the way");
    if let Some(Some(url)) = http_url
        && url.scheme() == "http"
        && !is_loopback(url.host_str().unwrap_or_default())
    {
        warnings.push(warning("centre.http_url"));
    }
    if let Some(Some(url)) = mqtt_url
        && !url.tls
        && !is_loopback(&url.host)
    {
        warnings.push(warning("centre.mqtt_url"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_vars;
    use std::collections::BTreeSet;

    fn load(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, file).expect("writes");
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Config::load(&Sources {
            file: Some(path),
            env: env.iter().map(own).collect(),
            flags: flags.iter().map(|&(key, value)| (key, value.to_owned())).collect(),
        })
    }

    #[test]
    fn the_defaults_are_complete_and_sound() {
        let loaded = load("", &[], &[]).expect("sound");
        assert_eq!((loaded.warnings, loaded.unknown), (vec![], vec![]));
        assert_eq!(loaded.config.listen.to_string(), "127.0.0.1:8090");
        assert_eq!(loaded.config.retention_ms, RETENTION_MS_MIN);
        assert_eq!(loaded.config.store.rules.cut_off.minutes(), 240);
        assert_eq!(loaded.config.stock, CoverRule { trading_minutes: 720, low_minutes: 720 });
    }

    #[test]
    fn every_key_has_its_variable() {
        let defaults = sources::flatten(&DEFAULT_TOML.parse().expect("TOML"));
        // Tables that may come several times stand in the file alone, but for printers, of which a variable may name a list.
        let single = defaults.iter().filter(|(key, value)| !value.is_array() || *key == "printer");
        let keys: BTreeSet<&str> = single.map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, env_vars::KEYS.iter().map(|(key, _)| *key).collect());
        for (key, variable) in env_vars::KEYS {
            assert_eq!(variable, format!("{}{}", env_vars::PREFIX, key.replace('.', "_").to_uppercase()));
        }
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let file = "[store]\ncurrency = \"USD\"\nday_cut_off = \"03:30\"\n[http]\nlisten = \"127.0.0.1:1\"";
        let env = [("BREAKWATER_AGENT_HTTP_LISTEN", "127.0.0.1:2"), ("BREAKWATER_AGENT_STORE_DAY_CUT_OFF", "05:00")];
        let config = load(file, &env, &[("http.listen", "127.0.0.1:3")]).expect("sound").config;
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.store.rules.cut_off.minutes(), 300);
        assert_eq!(config.store.rules.currency.map(|currency| currency.to_string()).as_deref(), Some("USD"));
    }

    #[test]
    fn printers_come_from_the_file_or_from_a_variable() {
        let file = "[[printer]]\nname = \"counter\"\naddress = \"tcp://192.0.2.7\"";
        let names = |loaded: Loaded| -> Vec<String> {
            loaded.config.printers.iter().map(|printer| printer.name.to_string()).collect()
        };
        assert_eq!(names(load("", &[], &[]).expect("sound")), [""; 0]);
        assert_eq!(names(load(file, &[], &[]).expect("sound")), ["counter"]);
        let env = [("BREAKWATER_AGENT_PRINTER", "[{ name = \"bar\", address = \"file:/dev/usb/lp0\" }]")];
        assert_eq!(names(load(file, &env, &[]).expect("sound")), ["bar"]);
    }

    #[test]
    fn what_is_odd_is_warned_of_with_its_path() {
        let file = "colour = 1\n[http]\nlissten = \"x\"\n[centre]\nmqtt_url = \"mqtt://centre.example\"";
        let Loaded { warnings, unknown, .. } = load(file, &[("BREAKWATER_AGENT_LISTEN", "x")], &[]).expect("sound");
        for part in ["colour", "http.lissten", "BREAKWATER_AGENT_LISTEN"] {
            assert!(unknown.iter().any(|key| key.contains(part)), "{part} in {unknown:?}");
        }
        assert_eq!((unknown.len(), warnings.len()), (3, 1), "{unknown:?} {warnings:?}");
        assert!(warnings[0].contains("centre.mqtt_url has no TLS"), "{warnings:?}");
        // Beside an error everything else is told as well: who mends one thing mends all.
        let error = load(&format!("{file}\n[log]\nformat = \"xml\""), &[], &[]).expect_err("must be refused");
        for part in ["log.format", "besides", "colour", "http.lissten", "centre.mqtt_url has no TLS"] {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn what_cannot_be_is_named_all_at_once() {
        #[track_caller]
        fn check(file: &str, expected: &[&str]) {
            let error = load(file, &[], &[]).expect_err("must be refused");
            let text = crate::telemetry::chain(&error);
            for part in expected {
                assert!(text.contains(part), "{part:?} in {text:?}");
            }
        }
        check("data_dir = 1", &["data_dir", "is not text"]);
        check("[outbox]\nretention = \"13d\"", &["outbox.retention", "at least 14d"]);
        check("[http]\nlisten = \"0.0.0.0:80\"", &["http.listen", "http.tills", "\"paired\""]);
        check("[http]\ntills = \"some\"", &["http.tills", "neither \"open\" nor \"paired\""]);
        check("[http]\nallow_lan = true", &["http.allow_lan", "agent.toml", "http.tills to \"paired\""]);
        check("[http]\nlisten = \"x\"\n[store]\ncurrency = \"euro\"", &["http.listen", "store.currency", "agent.toml"]);
        check("[store]\ntime_zone = \"Mars/Olympus\"\nday_cut_off = \"24:00\"", &["time_zone", "day_cut_off"]);
        check("[log]\nformat = \"xml\"\nfilter = \"a=b=c\"", &["log.format", "log.filter"]);
        check("terminal = 1", &["terminal", "[[terminal]]"]);
        check("[[terminal]]\nkind = \"http\"", &["terminal number 1", "name", "url"]);
        check("[[terminal]]\nname = \"a\"\nkind = \"pidgeon\"", &["terminal a", "kind"]);
        check("[[terminal]]\nname = \"a\"\nkind = \"simulator\"\nscript = \"pay\"", &["terminal a", "script"]);
        check("[[terminal]]\nname = \"a\"\nkind = \"simulator\"\npay_timeout = \"0s\"", &["pay_timeout", "1s"]);
        check(&"[[terminal]]\nname = \"a\"\nkind = \"simulator\"\n".repeat(2), &["terminal a", "twice"]);
        check("[[printer]]\nname = \"a\"", &["printer (from", "address of number 1: is missing"]);
        check("printer = 1", &["printer (from", "not a list"]);
        check("data_dir = ", &["parse", "agent.toml"]);
        check("[stock]\ntrading_hours = \"25h\"", &["stock.trading_hours", "from 1m to 24h"]);
        check("[stock]\nlow_cover = \"50000d\"", &["stock.low_cover", "longer than a year"]);
        check("data_dir = \"\"", &["data_dir", "is empty"]);
    }

    #[test]
    fn terminals_come_from_the_file() {
        let file = "[[terminal]]\nname = \"front\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9000\"\ncolour = 1\n\
                    [[terminal]]\nname = \"bar\"\nkind = \"simulator\"\nscript = \"decline\"\nunpaid_after = \"1m\"\n\
                    [payment]\nrequire_attempts = \"card, wallet\"";
        let Loaded { config, unknown, .. } = load(file, &[], &[]).expect("sound");
        let [front, bar] = &config.payment.terminals[..] else { panic!("two terminals") };
        assert_eq!((front.name.as_str(), bar.name.as_str()), ("front", "bar"));
        assert!(matches!(&front.kind, TerminalKind::Http { url, token_file: None } if url.port() == Some(9000)));
        assert_eq!(front.patience, till::payment::Patience::USUAL);
        assert_eq!(bar.patience.unpaid_ms, 60_000);
        assert_eq!(config.payment.attempts_for.len(), 2);
        assert!(unknown.iter().any(|key| key.contains("terminal front: the key colour")), "{unknown:?}");
        assert_eq!(unknown.len(), 1);
        let file = "[[terminal]]\nname = \"a\"\nkind = \"http\"\nurl = \"http://10.0.0.7\"\ntoken_file = \"/t\"";
        let warnings = load(file, &[], &[]).expect("sound").warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("terminal a: url has no TLS"), "{warnings:?}");
    }

    #[test]
    fn tills_that_are_paired_may_be_on_other_machines() {
        let file = "[http]\nlisten = \"0.0.0.0:80\"\ntills = \"paired\"";
        assert_eq!(load(file, &[], &[]).expect("sound").config.tills, Tills::Paired);
        // The word of an older configuration that allowed nothing does no harm.
        let unknown = load("[http]\nallow_lan = false", &[], &[]).expect("sound").unknown;
        assert!(unknown.len() == 1 && unknown[0].contains("http.allow_lan"), "{unknown:?}");
        let error = load("", &[("BREAKWATER_AGENT_HTTP_ALLOW_LAN", "true")], &[]).expect_err("must be refused");
        assert!(error.to_string().contains("http.tills"), "{error}");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let sources = Sources { file: Some("/nowhere/agent.toml".into()), ..Sources::none() };
        let error = Config::load(&sources).expect_err("must be refused");
        assert!(error.to_string().contains("/nowhere/agent.toml"), "{error}");
    }
}
