//! Where the broker is, and who we are there.

use std::fmt;
use std::path::{Path, PathBuf};

use protocol::mqtt_url::MqttUrl;
use rumqttc::TlsConfiguration;

use super::trust::{TrustError, tls};
use crate::config::BrokerConfig;

/// Where the broker is, and who we are there.
#[derive(Clone)]
pub struct BrokerSettings {
    /// The address.
    pub url: MqttUrl,
    /// Name and password, unless the broker asks for none.
    pub credentials: Option<Credentials>,
    /// TLS, if the address asks for it.
    pub tls: Option<TlsConfiguration>,
    /// What the client ids begin with. Two servers with the same would push each other off.
    pub client_id: String,
    /// Connections that share the partitions.
    pub connections: usize,
}

/// A login at the broker.
#[derive(Clone)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// The link cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file with the password cannot be read.
    #[error("read the broker's password from {}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has none.
    #[error("find a password in the first line of {}", path.display())]
    NoPassword {
        /// The file.
        path: PathBuf,
    },
    /// No random numbers.
    #[error("get random numbers from the system")]
    Random(#[source] getrandom::Error),
    /// TLS cannot be set up.
    #[error("decide whom to trust as the broker")]
    Trust(#[source] TrustError),
    /// The byte budget of the ways in has no room for the windows.
    #[error("set memory for the broker aside: mqtt.uplink_bytes_max is too small for broker.connections")]
    NoMemory,
}

impl BrokerSettings {
    /// Reads what the configuration names; none if it names no broker.
    pub fn of(config: &BrokerConfig) -> Result<Option<Self>, SettingsError> {
        let Some(url) = config.url.clone() else { return Ok(None) };
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(SettingsError::Random)?;
        let settings = Self {
            tls: url.tls.then(|| tls(config.ca_file.as_deref())).transpose().map_err(SettingsError::Trust)?,
            url,
            credentials: Credentials::of(config)?,
            client_id: match &config.client_id {
                Some(client_id) => client_id.clone(),
                None => format!("breakwater-{:016x}", u64::from_le_bytes(random)),
            },
            connections: config.connections,
        };
        Ok(Some(settings))
    }
}

impl Credentials {
    /// The server's own login, if the configuration names a password.
    pub fn of(config: &BrokerConfig) -> Result<Option<Self>, SettingsError> {
        config.password_file.as_deref().map(|file| Self::read(&config.username, file)).transpose()
    }

    /// Reads the password from the first line of a file.
    pub fn read(username: &str, password_file: &Path) -> Result<Self, SettingsError> {
        let path = || password_file.to_owned();
        let text = std::fs::read_to_string(password_file)
            .map_err(|source| SettingsError::Password { path: path(), source })?;
        let password = text.lines().next().unwrap_or_default().trim();
        if password.is_empty() {
            return Err(SettingsError::NoPassword { path: path() });
        }
        Ok(Self { username: username.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ username: {:?}, password: [redacted] }}", self.username)
    }
}

impl fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerSettings")
            .field("url", &self.url)
            .field("credentials", &self.credentials)
            .field("client_id", &self.client_id)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
