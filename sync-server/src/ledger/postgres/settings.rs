//! Where the database is, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How a connection is protected, as libpq names it. `allow` and `prefer` are refused: they speak in the clear to whoever
/// asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// None.
    Disable,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted; the certificate comes from an authority that is trusted.
    VerifyCa,
    /// Encrypted; the certificate is that of the host.
    VerifyFull,
}

/// Where the database is. Its debug text has no password.
#[derive(Clone)]
pub struct PostgresSettings {
    config: Config,
    protection: Protection,
    root_certificate: Option<PathBuf>,
}

/// A connection string that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is none of PostgreSQL.
    #[error("it does not begin with postgres://")]
    Scheme,
    /// It names no host.
    #[error("it names no host")]
    NoHost,
    /// A mode that gives up encryption when asked to.
    #[error("sslmode={0} is none of disable, require, verify-ca and verify-full")]
    SslMode(String),
    /// Something in it.
    #[error("it cannot be read")]
    Config(#[source] tokio_postgres::Error),
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("config", &self.config)
            .field("protection", &self.protection)
            .field("root_certificate", &self.root_certificate)
            .finish()
    }
}

impl PostgresSettings {
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    pub(super) fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_deref()
    }

    /// Where the database is, for people: without user and password.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host_name).collect();
        format!("{} at {}", self.config.get_dbname().unwrap_or("the user's database"), hosts.join(","))
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Whether only this machine hears what is said to a host.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

impl FromStr for PostgresSettings {
    type Err = UrlError;

    /// Parses a connection string as libpq has it: `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=FILE`.
    /// Without `sslmode`, other machines are reached with `verify-full`, and this one in the clear.
    fn from_str(url: &str) -> Result<Self, UrlError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(UrlError::Scheme);
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut rest, mut mode, mut root_certificate) = (Vec::new(), None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", "system" | "")) => root_certificate = None,
                Some(("sslrootcert", value)) => root_certificate = Some(PathBuf::from(unescaped(value))),
                _ => rest.push(pair),
            }
        }
        let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(UrlError::Config)?;
        if config.get_hosts().is_empty() {
            return Err(UrlError::NoHost);
        }
        let protection = match mode {
            Some("disable") => Protection::Disable,
            Some("require") => Protection::Require,
            Some("verify-ca") => Protection::VerifyCa,
            Some("verify-full") => Protection::VerifyFull,
            Some(other) => return Err(UrlError::SslMode(other.to_owned())),
            None if config.get_hosts().iter().all(is_local) => Protection::Disable,
            None => Protection::VerifyFull,
        };
        config.ssl_mode(if protection == Protection::Disable { SslMode::Disable } else { SslMode::Require });
        Ok(Self { config, protection, root_certificate })
    }
}

/// `%2F` as `/`, and so on.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_database_is_reached() {
        #[track_caller]
        fn check(url: &str, protection: Protection, root: Option<&str>) {
            let settings: PostgresSettings = url.parse().expect("valid");
            assert_eq!((settings.protection, settings.root_certificate()), (protection, root.map(Path::new)), "{url}");
        }
        check("postgres://ledger@db.example/ledger", Protection::VerifyFull, None);
        check("postgres://ledger@db.example/ledger?sslmode=disable", Protection::Disable, None);
        check("postgresql://a@127.0.0.1:5433,localhost/x", Protection::Disable, None);
        check("postgres://a@127.0.0.1,db.example/x", Protection::VerifyFull, None);
        check("postgres://a@%2Frun%2Fpostgresql/x", Protection::Disable, None);
        check("postgres://a@localhost/x?sslmode=require&connect_timeout=3", Protection::Require, None);
        let url = "postgres://a@db/x?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-ca";
        check(url, Protection::VerifyCa, Some("/etc/ca.pem"));
    }

    #[test]
    fn what_is_refused() {
        #[track_caller]
        fn check(url: &str, says: &str) {
            let error = url.parse::<PostgresSettings>().expect_err("refused").to_string();
            assert!(error.contains(says), "{error}");
        }
        check("mysql://x", "postgres://");
        check("postgres:///x?user=a", "no host");
        check("postgres://a@db/x?sslmode=prefer", "sslmode=prefer");
        check("postgres://a@db:port/x", "cannot be read");
    }

    #[test]
    fn a_password_is_not_shown() {
        let settings: PostgresSettings = "postgres://a:geheim@db.example/ledger".parse().expect("valid");
        assert!(!format!("{settings:?} {}", settings.describe()).contains("geheim"));
        assert_eq!(settings.describe(), "ledger at db.example");
    }
}
