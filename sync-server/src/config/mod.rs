//! The configuration: `default.toml`, a file, the environment, flags; parsed and checked before anything starts.

mod layers;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sync_core::ServerLimits;

use crate::ledger::SqliteSettings;
use crate::mqtt::Limits;

pub use layers::{Flags, Layered, layer};
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
    /// The bounds of the ingest.
    pub ingest: ServerLimits,
    /// How the ledger's file is treated.
    pub ledger: SqliteSettings,
    /// How long a claim code holds.
    pub claim_code_lifetime: Duration,
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
    /// A setting has the wrong form.
    #[error("{0}")]
    Value(String),
    /// A variable has the wrong form.
    #[error("environment variable {name}: {problem}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Listening there would let others read what stores and operators say.
    #[error(
        "{section}.listen is {address}, which other machines reach, and no certificate is set: set {section}.tls_certificate \
         and {section}.tls_key, or {section}.allow_plaintext = true if something else encrypts the way there"
    )]
    Plaintext {
        /// `http` or `mqtt`.
        section: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Everybody who reaches the address could read the books.
    #[error(
        "http.listen is {address}, which other machines reach, and no token protects the API: set http.api_token_file"
    )]
    NoToken {
        /// The address.
        address: SocketAddr,
    },
    /// One of the two files is missing.
    #[error("{section}.tls_certificate and {section}.tls_key belong together: set both or none")]
    HalfTls {
        /// `http` or `mqtt`.
        section: &'static str,
    },
}

/// The settings as they stand in the file: every one of `default.toml`, none else.
#[derive(Debug, Deserialize)]
struct Raw {
    data_dir: PathBuf,
    log: RawLog,
    http: RawHttp,
    mqtt: RawMqtt,
    ingest: RawIngest,
    ledger: RawLedger,
    enrolment: RawEnrolment,
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
struct RawIngest {
    queue_bytes_max: ByteSize,
    batch_events_max: u32,
    group_events_max: usize,
    hold_max: Span,
    reconnect_spread: Span,
}

#[derive(Debug, Deserialize)]
struct RawLedger {
    cache: ByteSize,
    wal_max: ByteSize,
}

#[derive(Debug, Deserialize)]
struct RawEnrolment {
    claim_code_lifetime: Span,
}

impl Config {
    /// Checks settings that were layered.
    pub fn check(layered: Layered) -> Result<Self, ConfigError> {
        let raw: Raw = layered
            .settings
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Value(error.to_string().trim().replace('\n', " ")))?;
        let http_tls = tls_files("http", raw.http.tls_certificate, raw.http.tls_key)?;
        let mqtt_tls = tls_files("mqtt", raw.mqtt.tls_certificate, raw.mqtt.tls_key)?;
        for (section, address, tls, allowed) in [
            ("http", raw.http.listen, &http_tls, raw.http.allow_plaintext),
            ("mqtt", raw.mqtt.listen, &mqtt_tls, raw.mqtt.allow_plaintext),
        ] {
            if !address.ip().is_loopback() && tls.is_none() && !allowed {
                return Err(ConfigError::Plaintext { section, address });
            }
        }
        let api_token_file = some_path(raw.http.api_token_file);
        if !raw.http.listen.ip().is_loopback() && api_token_file.is_none() {
            return Err(ConfigError::NoToken { address: raw.http.listen });
        }
        let RawIngest { batch_events_max, group_events_max, .. } = raw.ingest;
        at_least_one("ingest.batch_events_max", u64::from(batch_events_max))?;
        at_least_one("ingest.group_events_max", group_events_max as u64)?;
        at_least_one("mqtt.connections_max", raw.mqtt.connections_max as u64)?;
        at_least_one("mqtt.connects_per_second", u64::from(raw.mqtt.connects_per_second))?;
        at_least_one("mqtt.connects_burst", u64::from(raw.mqtt.connects_burst))?;
        if batch_events_max as usize > crate::ledger::BATCH_EVENTS_MAX {
            let most = crate::ledger::BATCH_EVENTS_MAX;
            return Err(ConfigError::Value(format!("ingest.batch_events_max is above {most}")));
        }
        let ingest = ServerLimits {
            queue_bytes_max: raw.ingest.queue_bytes_max.at_least("ingest.queue_bytes_max", QUEUE_BYTES_MIN)?,
            batch_events_max,
            group_events_max,
            hold_ms_max: raw.ingest.hold_max.millis("ingest.hold_max")?,
            reconnect_spread_ms: raw.ingest.reconnect_spread.millis("ingest.reconnect_spread")?,
            ..ServerLimits::PRODUCTION
        };
        let limits = Limits {
            connections_max: raw.mqtt.connections_max,
            connects_per_second: raw.mqtt.connects_per_second,
            connects_burst: raw.mqtt.connects_burst,
            uplink_bytes_max: raw.mqtt.uplink_bytes_max.at_least("mqtt.uplink_bytes_max", UPLINK_BYTES_MIN)?,
            keep_alive_seconds_max: raw.mqtt.keep_alive_max.keep_alive("mqtt.keep_alive_max")?,
            ..Limits::standard()
        };
        Ok(Self {
            data_dir: raw.data_dir,
            log: LogConfig { filter: raw.log.filter, json: matches!(raw.log.format, LogFormat::Json) },
            http: HttpConfig { listen: raw.http.listen, tls: http_tls, api_token_file },
            mqtt: MqttConfig {
                listen: raw.mqtt.listen,
                tls: mqtt_tls,
                public_url: Some(raw.mqtt.public_url).filter(|url| !url.is_empty()),
                limits,
            },
            ingest,
            ledger: SqliteSettings {
                cache_kib: raw.ledger.cache.kib("ledger.cache")?,
                wal_kib_max: raw.ledger.wal_max.kib("ledger.wal_max")?,
            },
            claim_code_lifetime: raw.enrolment.claim_code_lifetime.positive("enrolment.claim_code_lifetime")?,
        })
    }

    /// The ledger's file.
    pub fn ledger_path(&self) -> PathBuf {
        ledger_path(&self.data_dir)
    }
}

/// The ledger's file in a data folder.
pub fn ledger_path(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.db")
}

/// A few messages of the largest size must fit, or nothing flows at all (8 MiB).
const QUEUE_BYTES_MIN: usize = 8 << 20;

/// The same for messages as they come over the wire (1 MiB).
const UPLINK_BYTES_MIN: usize = 1 << 20;

fn tls_files(section: &'static str, certificate: PathBuf, key: PathBuf) -> Result<Option<TlsFiles>, ConfigError> {
    match (some_path(certificate), some_path(key)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(ConfigError::HalfTls { section }),
    }
}

fn some_path(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

fn at_least_one(path: &str, value: u64) -> Result<(), ConfigError> {
    if value == 0 { Err(ConfigError::Value(format!("{path} is zero"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(file: &str) -> Result<Config, ConfigError> {
        let file = Some((Path::new("test.toml"), file.to_owned()));
        Config::check(layer(file, |_| None, &Flags::default())?)
    }

    #[test]
    fn the_defaults_are_those_of_the_code() {
        let config = config("").expect("valid");
        let (ours, core) = (&config.ingest, ServerLimits::PRODUCTION);
        assert_eq!(format!("{ours:?}"), format!("{core:?}"));
        assert_eq!(format!("{:?}", config.mqtt.limits), format!("{:?}", Limits::standard()));
        assert_eq!(format!("{:?}", config.ledger), format!("{:?}", SqliteSettings::STANDARD));
        assert_eq!(config.claim_code_lifetime, Duration::from_secs(86_400));
        assert_eq!(config.ledger_path(), Path::new("breakwater-data/ledger.db"));
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
        check("[mqtt]\nlisten = \"nowhere\"", "listen");
        check("[mqtt]\nconnections_max = 0", "mqtt.connections_max is zero");
        check("[mqtt]\nkeep_alive_max = \"0s\"", "mqtt.keep_alive_max");
        check("[ingest]\nbatch_events_max = 1001", "is above 1000");
        check("[ingest]\nqueue_bytes_max = \"1MiB\"", "ingest.queue_bytes_max is below 8388608 bytes");
        check("[ingest]\nhold_max = \"soon\"", "\"soon\" is not a duration");
        check("[ledger]\ncache = \"64MB\"", "is not a size");
        check("[log]\nformat = \"xml\"", "unknown variant");
        check("[enrolment]\nclaim_code_lifetime = \"0s\"", "enrolment.claim_code_lifetime is zero");
        check("data_dir = 7", "data_dir");
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
