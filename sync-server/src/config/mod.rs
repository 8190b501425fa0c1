//! The configuration: `default.toml`, a file, the environment, flags; parsed and checked before anything starts.

mod broker;
mod layers;
mod problems;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sync_core::ServerLimits;
use tracing_subscriber::EnvFilter;

use crate::instances::InstancesConfig;
use crate::ledger::{LEASE_AHEAD_MS_MAX, LedgerHome, SqliteSettings};
use crate::mqtt::Limits;

pub use broker::BrokerConfig;
use broker::RawBroker;
pub use layers::{Flags, Layered, layer};
use problems::Problems;
use units::{ByteSize, Span};

/// The reference of all settings.
pub const DEFAULT: &str = include_str!("../default.toml");

/// Everything that the server is told, checked.
#[derive(Debug)]
pub struct Config {
    /// The folder of the ledger.
    pub data_dir: PathBuf,
    /// How to log.
    pub log: LogConfig,
    /// Console, API and enrolment.
    pub http: HttpConfig,
    /// The listener for stores.
    pub mqtt: MqttConfig,
    /// The link to a broker.
    pub broker: BrokerConfig,
    /// How the work is shared with other servers.
    pub instances: InstancesConfig,
    /// The bounds of the ingest.
    pub ingest: ServerLimits,
    /// Where the ledger is, and how it is treated.
    pub ledger: LedgerHome,
    /// How many months of sales are kept behind the present one; 0 keeps all.
    pub keep_months: u32,
    /// When parked events are an alarm.
    pub parking: ParkingAlarm,
    /// How long a claim code holds.
    pub claim_code_lifetime: Duration,
    /// How often each business date of a store is compared with what the store holds.
    pub reconcile_every: Duration,
}

/// When parked events are an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkingAlarm {
    /// So many are open, over all stores.
    pub events: u32,
    /// One is open for so long.
    pub age: Duration,
}

impl ParkingAlarm {
    /// Whether open events are an alarm; the oldest of them was parked `oldest_age_ms` ago.
    pub fn is_due(&self, open: i64, oldest_age_ms: Option<i64>) -> bool {
        let age_ms_max = i64::try_from(self.age.as_millis()).unwrap_or(i64::MAX);
        open >= i64::from(self.events) || oldest_age_ms.is_some_and(|age_ms| age_ms >= age_ms_max)
    }
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A filter of `tracing-subscriber`.
    pub filter: String,
    /// JSON instead of text.
    pub json: bool,
}

/// Where and how to serve HTTP.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address.
    pub listen: SocketAddr,
    /// Certificate chain and key.
    pub tls: Option<TlsFiles>,
    /// The file with the API's token.
    pub api_token_file: Option<PathBuf>,
}

/// Where and how to listen for stores.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Whether to listen at all.
    pub enabled: bool,
    /// The address.
    pub listen: SocketAddr,
    /// Certificate chain and key.
    pub tls: Option<TlsFiles>,
    /// What an enrolling store is told, if it is not the address itself.
    pub public_url: Option<String>,
    /// The bounds.
    pub limits: Limits,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The PEM chain.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: PathBuf,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("parse configuration {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// Settings have the wrong form, or do not go together: each with what is wrong.
    #[error("use the configuration:\n  {}", .0.join("\n  "))]
    Values(Vec<String>),
}

/// The settings as they stand in the file: every one of `default.toml`, none else.
#[derive(Debug, Deserialize)]
struct Raw {
    data_dir: PathBuf,
    log: RawLog,
    http: RawHttp,
    mqtt: RawMqtt,
    broker: RawBroker,
    instances: RawInstances,
    ingest: RawIngest,
    ledger: RawLedger,
    parking: RawParking,
    enrolment: RawEnrolment,
    reconcile: RawReconcile,
}

#[derive(Debug, Deserialize)]
struct RawLog {
    filter: String,
    format: LogFormat,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
struct RawHttp {
    listen: SocketAddr,
    tls_certificate: PathBuf,
    tls_key: PathBuf,
    allow_plaintext: bool,
    api_token_file: PathBuf,
}

#[derive(Debug, Deserialize)]
struct RawMqtt {
    enabled: bool,
    listen: SocketAddr,
    tls_certificate: PathBuf,
    tls_key: PathBuf,
    allow_plaintext: bool,
    public_url: String,
    connections_max: usize,
    connects_per_second: u32,
    connects_burst: u32,
    uplink_bytes_max: ByteSize,
    keep_alive_max: Span,
}

#[derive(Debug, Deserialize)]
struct RawInstances {
    name: String,
    lease: Span,
}

#[derive(Debug, Deserialize)]
struct RawIngest {
    queue_bytes_max: ByteSize,
    batch_events_max: u32,
    group_events_max: usize,
    lag_target: Span,
    events_per_second_max: u64,
    hold_max: Span,
    reconnect_spread: Span,
}

#[derive(Debug, Deserialize)]
struct RawLedger {
    url: String,
    url_file: PathBuf,
    cache: ByteSize,
    wal_max: ByteSize,
    keep_months: u32,
}

#[derive(Debug, Deserialize)]
struct RawParking {
    alarm_events: u32,
    alarm_age: Span,
}

#[derive(Debug, Deserialize)]
struct RawEnrolment {
    claim_code_lifetime: Span,
}

#[derive(Debug, Deserialize)]
struct RawReconcile {
    every: Span,
}

impl Config {
    /// Checks settings that were layered; names everything that is wrong with them.
    pub fn check(layered: Layered) -> Result<Self, ConfigError> {
        let (raw, mut problems) = Problems::read::<Raw>(layered);
        let listener = |listen, certificate: &PathBuf, key: &PathBuf, allow_plaintext| Listener {
            listen,
            certificate: certificate.clone(),
            key: key.clone(),
            allow_plaintext,
        };
        let RawHttp { listen, tls_certificate, tls_key, allow_plaintext, api_token_file } = raw.http;
        let api_token_file = some_path(api_token_file);
        let http_tls = listener(listen, &tls_certificate, &tls_key, allow_plaintext).tls("http", &mut problems);
        if problems.is_clear("http") && !listen.ip().is_loopback() && api_token_file.is_none() {
            problems
                .note("http.listen", "other machines reach it, and no token protects the API: set http.api_token_file");
        }
        let http = HttpConfig { listen, tls: http_tls, api_token_file };
        let RawMqtt { enabled, listen, tls_certificate, tls_key, allow_plaintext, .. } = &raw.mqtt;
        // Where nobody listens nobody reads along.
        let allow_plaintext = *allow_plaintext || !enabled;
        let mqtt_tls = listener(*listen, tls_certificate, tls_key, allow_plaintext).tls("mqtt", &mut problems);
        let RawIngest { batch_events_max, group_events_max, .. } = raw.ingest;
        for (path, is_zero) in [
            ("ingest.batch_events_max", batch_events_max == 0),
            ("ingest.group_events_max", group_events_max == 0),
            ("parking.alarm_events", raw.parking.alarm_events == 0),
            ("mqtt.connections_max", raw.mqtt.connections_max == 0),
            ("mqtt.connects_per_second", raw.mqtt.connects_per_second == 0),
            ("mqtt.connects_burst", raw.mqtt.connects_burst == 0),
        ] {
            if is_zero {
                problems.note(path, "is not above zero");
            }
        }
        if batch_events_max as usize > crate::ledger::BATCH_EVENTS_MAX {
            problems.note("ingest.batch_events_max", &format!("is above {}", crate::ledger::BATCH_EVENTS_MAX));
        }
        if let Err(problem) = EnvFilter::try_new(&raw.log.filter) {
            problems.note("log.filter", &problem.to_string());
        }
        let ingest = ServerLimits {
            queue_bytes_max: problems
                .keep("ingest.queue_bytes_max", raw.ingest.queue_bytes_max.at_least(QUEUE_BYTES_MIN)),
            batch_events_max,
            group_events_max,
            lag_ms_target: u64::from(problems.keep("ingest.lag_target", raw.ingest.lag_target.millis())),
            events_per_s_max: Some(raw.ingest.events_per_second_max).filter(|&per_s| per_s > 0),
            hold_ms_max: problems.keep("ingest.hold_max", raw.ingest.hold_max.millis()),
            reconnect_spread_ms: problems.keep("ingest.reconnect_spread", raw.ingest.reconnect_spread.millis()),
            ..ServerLimits::PRODUCTION
        };
        let limits = Limits {
            connections_max: raw.mqtt.connections_max,
            connects_per_second: raw.mqtt.connects_per_second,
            connects_burst: raw.mqtt.connects_burst,
            uplink_bytes_max: problems
                .keep("mqtt.uplink_bytes_max", raw.mqtt.uplink_bytes_max.at_least(UPLINK_BYTES_MIN)),
            keep_alive_seconds_max: problems.keep("mqtt.keep_alive_max", raw.mqtt.keep_alive_max.keep_alive()),
            ..Limits::standard()
        };
        let broker = raw.broker.check(limits.uplink_bytes_max, &mut problems);
        let instances = raw.instances.check(&mut problems);
        if !raw.mqtt.enabled && broker.url.is_none() && problems.is_clear("mqtt") && problems.is_clear("broker") {
            problems.note("mqtt.enabled", "no store could send: listen, or set broker.url");
        }
        let settings = SqliteSettings {
            cache_kib: problems.keep("ledger.cache", raw.ledger.cache.kib()),
            wal_kib_max: problems.keep("ledger.wal_max", raw.ledger.wal_max.kib()),
        };
        let in_folder = LedgerHome::Sqlite { path: ledger_path(&raw.data_dir), settings };
        let ledger = database(&raw.ledger.url, some_path(raw.ledger.url_file), &mut problems).unwrap_or(in_folder);
        if raw.ledger.keep_months > 0 && matches!(ledger, LedgerHome::Sqlite { .. }) {
            problems.note("ledger.keep_months", "a ledger in a file keeps all months: set ledger.url, or 0");
        }
        let parking = ParkingAlarm {
            events: raw.parking.alarm_events,
            age: problems.keep("parking.alarm_age", raw.parking.alarm_age.positive()),
        };
        let claim_code_lifetime =
            problems.keep("enrolment.claim_code_lifetime", raw.enrolment.claim_code_lifetime.positive());
        let reconcile_every = problems.keep("reconcile.every", raw.reconcile.every.positive());
        problems.finish()?;
        Ok(Self {
            data_dir: raw.data_dir,
            log: LogConfig { filter: raw.log.filter, json: matches!(raw.log.format, LogFormat::Json) },
            http,
            mqtt: MqttConfig {
                enabled: raw.mqtt.enabled,
                listen: raw.mqtt.listen,
                tls: mqtt_tls,
                public_url: Some(raw.mqtt.public_url).filter(|url| !url.is_empty()),
                limits,
            },
            broker,
            instances,
            ingest,
            ledger,
            keep_months: raw.ledger.keep_months,
            parking,
            claim_code_lifetime,
            reconcile_every,
        })
    }
}

/// The lengths that a lease may have: less than the first would be lost in the pauses of a busy machine, and at the other end
/// a database's clock that was set back must still be told from a lease.
const LEASE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
const _: () = assert!(2 * LEASE.1.as_millis() == LEASE_AHEAD_MS_MAX.unsigned_abs() as u128);

/// A name is for a screen.
const INSTANCE_NAME_CHARS_MAX: usize = 64;

impl RawInstances {
    fn check(self, problems: &mut Problems) -> InstancesConfig {
        let lease = problems.keep("instances.lease", self.lease.between(LEASE.0, LEASE.1));
        if self.name.chars().count() > INSTANCE_NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            problems.note("instances.name", "is longer than 64 characters, or has control characters");
        }
        InstancesConfig { name: Some(self.name).filter(|name| !name.is_empty()), lease }
    }
}

/// The ledger's file in a data folder.
pub fn ledger_path(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.db")
}

/// The database that is to hold the ledger, if one is named. What is wrong is told without the connection string, which
/// may have a password.
fn database(url: &str, file: Option<PathBuf>, problems: &mut Problems) -> Option<LedgerHome> {
    let (setting, url) = match (url, file) {
        ("", None) => return None,
        (url, None) => ("ledger.url", url.to_owned()),
        ("", Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => ("ledger.url_file", text.lines().next().unwrap_or_default().trim().to_owned()),
            Err(error) => {
                problems.note_secret("ledger.url_file", &format!("read {}: {error}", file.display()));
                return None;
            }
        },
        _ => {
            problems.note_secret("ledger.url", "names the same as ledger.url_file: set one of both");
            return None;
        }
    };
    match url.parse() {
        Ok(settings) => Some(LedgerHome::Postgres(Box::new(settings))),
        Err(error) => {
            problems.note_secret(setting, &crate::telemetry::chain(&error));
            None
        }
    }
}

/// A few messages of the largest size must fit, or nothing flows at all (8 MiB).
const QUEUE_BYTES_MIN: usize = 8 << 20;

/// The same for messages as they come over the wire (1 MiB).
const UPLINK_BYTES_MIN: usize = 1 << 20;

/// What decides who can read along on a listener.
struct Listener {
    listen: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
    allow_plaintext: bool,
}

impl Listener {
    /// Its certificate. Without one only this machine may reach it, unless somebody insists; a section that is not
    /// understood is not judged.
    fn tls(self, section: &str, problems: &mut Problems) -> Option<TlsFiles> {
        let clear = problems.is_clear(section);
        let tls = match (some_path(self.certificate), some_path(self.key)) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ if clear => {
                problems.note(&format!("{section}.tls_certificate"), "belongs together with tls_key: set both or none");
                return None;
            }
            _ => return None,
        };
        if clear && !self.listen.ip().is_loopback() && tls.is_none() && !self.allow_plaintext {
            problems.note(
                &format!("{section}.listen"),
                &format!(
                    "other machines reach it, and no certificate is set: set {section}.tls_certificate and \
                     {section}.tls_key, or {section}.allow_plaintext = true if something else encrypts the way there"
                ),
            );
        }
        tls
    }
}

fn some_path(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config(file: &str) -> Result<Config, ConfigError> {
        let file = Some((Path::new("test.toml"), file.to_owned()));
        Config::check(layer(file, &BTreeMap::new(), &Flags::default())?)
    }

    #[test]
    fn the_defaults_are_those_of_the_code() {
        let config = config("").expect("valid");
        let (ours, core) = (&config.ingest, ServerLimits::PRODUCTION);
        assert_eq!(format!("{ours:?}"), format!("{core:?}"));
        assert_eq!(format!("{:?}", config.mqtt.limits), format!("{:?}", Limits::standard()));
        let LedgerHome::Sqlite { path, settings } = &config.ledger else { panic!("a file is the default") };
        assert_eq!(format!("{settings:?}"), format!("{:?}", SqliteSettings::STANDARD));
        assert_eq!(config.claim_code_lifetime, Duration::from_secs(86_400));
        assert_eq!(config.parking, ParkingAlarm { events: 100, age: Duration::from_secs(86_400) });
        assert_eq!(path, Path::new("breakwater-data/ledger.db"));
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(file: &str, error: &str) {
            let text = config(file).expect_err("refused").to_string();
            assert!(text.contains(error), "{text:?} for {file:?}");
        }
        check("[http]\nlisten = \"0.0.0.0:80\"", "http.allow_plaintext = true");
        check("[http]\nlisten = \"0.0.0.0:80\"\nallow_plaintext = true", "set http.api_token_file");
        check("[mqtt]\nlisten = \"[::]:1883\"", "mqtt.allow_plaintext = true");
        check("[mqtt]\ntls_key = \"a.pem\"", "set both or none");
        check("[mqtt]\nlisten = \"nowhere\"", "mqtt.listen = \"nowhere\" (from test.toml): invalid socket address");
        check("[mqtt]\nconnections_max = 0", "mqtt.connections_max = 0 (from test.toml): is not above zero");
        check("[mqtt]\nkeep_alive_max = \"0s\"", "mqtt.keep_alive_max");
        check("[mqtt]\nenabled = false", "no store could send");
        check("[broker]\nurl = \"broker.example\"", "is not an address such as");
        check("[broker]\nurl = \"mqtt://broker.example\"", "broker.allow_plaintext = true");
        check("[broker]\nconnections = 0", "is not between 1 and 64");
        check("[broker]\nclient_id = \"a b\"", "broker.client_id");
        let small = "[mqtt]\nuplink_bytes_max = \"1MiB\"\n[broker]\nurl = \"mqtt://localhost\"\nconnections = 64";
        check(small, "broker.connections = 64 (from test.toml): needs more memory");
        check("[ingest]\nbatch_events_max = 1001", "is above 1000");
        check("[parking]\nalarm_events = 0", "parking.alarm_events = 0 (from test.toml): is not above zero");
        check("[parking]\nalarm_age = \"0s\"", "parking.alarm_age");
        check(
            "[ingest]\nqueue_bytes_max = \"1MiB\"",
            "ingest.queue_bytes_max = \"1MiB\" (from test.toml): is below 8388608 bytes",
        );
        check("[instances]\nlease = \"1s\"", "instances.lease = \"1s\" (from test.toml): is not between 2s and 60s");
        check("[instances]\nlease = \"61s\"", "is not between 2s and 60s");
        check("[instances]\nname = \"a\\nb\"", "control characters");
        check("[ingest]\nhold_max = \"soon\"", "\"soon\" is not a duration");
        check("[ledger]\ncache = \"64MB\"", "is not a size");
        check("[ledger]\nurl = \"mysql://db/x\"", "it does not begin with postgres://");
        check(
            "[ledger]\nurl = \"postgres://a:geheim@db/x?sslmode=prefer\"",
            "ledger.url (from test.toml): sslmode=prefer",
        );
        check("[ledger]\nurl_file = \"/no/such/file\"", "ledger.url_file");
        check("[ledger]\nurl = \"postgres://a@db/x\"\nurl_file = \"/f\"", "set one of both");
        check(
            "[ledger]\nkeep_months = 24",
            "ledger.keep_months = 24 (from test.toml): a ledger in a file keeps all months",
        );
        check("[log]\nformat = \"xml\"", "unknown variant");
        check("[enrolment]\nclaim_code_lifetime = \"0s\"", "claim_code_lifetime = \"0s\" (from test.toml): is zero");
        check("data_dir = 7", "data_dir = 7 (from test.toml)");
        check("[log]\nfilter = \"a=b=c\"", "log.filter");
        check("http = 1", "http = 1 (from test.toml)");
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let file = "data_dir = 7\n[log]\nformat = \"xml\"\n[mqtt]\nconnections_max = 0\nconnects_burst = -1";
        let Err(ConfigError::Values(problems)) = config(file) else { panic!("must be refused") };
        let paths: Vec<&str> = problems.iter().filter_map(|problem| problem.split(' ').next()).collect();
        assert_eq!(paths, ["data_dir", "log.format", "mqtt.connects_burst", "mqtt.connections_max"], "{problems:?}");
        // What is read as its default is not judged by it.
        let file =
            "[http]\nlisten = \"0.0.0.0:80\"\nallow_plaintext = \"yes\"\n[mqtt]\ntls_certificate = \"a\"\ntls_key = 7";
        let Err(ConfigError::Values(problems)) = config(file) else { panic!("must be refused") };
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn what_other_machines_reach_with_certificates_and_a_token() {
        let config = config(
            "[http]\nlisten = \"0.0.0.0:443\"\ntls_certificate = \"a\"\ntls_key = \"b\"\napi_token_file = \"t\"
            [mqtt]\nlisten = \"0.0.0.0:1883\"\nallow_plaintext = true\npublic_url = \"mqtt://x:1\"",
        );
        let config = config.expect("valid");
        assert_eq!(config.http.api_token_file.as_deref(), Some(Path::new("t")));
        assert_eq!(config.mqtt.public_url.as_deref(), Some("mqtt://x:1"));
        assert!(config.http.tls.is_some() && config.mqtt.tls.is_none());
    }
}
