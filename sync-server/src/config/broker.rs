//! The settings of the link to a broker.

use std::path::PathBuf;

use protocol::mqtt_url::MqttUrl;
use serde::Deserialize;

use super::problems::Problems;
use super::some_path;
use crate::broker::limits::{CONNECTIONS_MAX, fits};

/// Where the broker is, and who we are there.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The broker; none if there is none.
    pub url: Option<MqttUrl>,
    /// The user name of the server's own login.
    pub username: String,
    /// The file with its password; without one it logs in without a name.
    pub password_file: Option<PathBuf>,
    /// The certificates of the authorities that may vouch for the broker; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// What client ids begin with; none takes one of its own for each run.
    pub client_id: Option<String>,
    /// Connections that share the partitions.
    pub connections: usize,
    /// Where the running server keeps a password file for Mosquitto.
    pub store_passwords_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawBroker {
    url: String,
    username: String,
    password_file: PathBuf,
    ca_file: PathBuf,
    client_id: String,
    connections: usize,
    allow_plaintext: bool,
    store_passwords_file: PathBuf,
}

/// A client id may be as long as this; every broker takes 128 characters.
const CLIENT_ID_CHARS_MAX: usize = 100;

impl RawBroker {
    /// Checks the settings; `uplink_bytes_max` is the memory of the ways in.
    pub(super) fn check(self, uplink_bytes_max: usize, problems: &mut Problems) -> BrokerConfig {
        let url = Some(&self.url).filter(|url| !url.is_empty()).map(|url| url.parse::<MqttUrl>());
        let url = url.and_then(|url| url.map_err(|problem| problems.note("broker.url", &problem)).ok());
        if let Some(url) = &url
            && !url.tls
            && !url.is_loopback()
            && !self.allow_plaintext
        {
            let words = "has no TLS and is not on this machine: use mqtts, or set broker.allow_plaintext = true if \
                         something else encrypts the way there";
            problems.note("broker.url", words);
        }
        if self.username.is_empty() || self.username.contains([':', '\n']) {
            problems.note("broker.username", "is empty, or has a colon");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.client_id.len() > CLIENT_ID_CHARS_MAX || !self.client_id.bytes().all(plain) {
            problems.note("broker.client_id", "has other characters than letters, digits and -_., or more than 100");
        }
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            problems.note("broker.connections", &format!("is not between 1 and {CONNECTIONS_MAX}"));
        } else if url.is_some() && uplink_bytes_max > 0 && !fits(self.connections, uplink_bytes_max) {
            problems.note("broker.connections", "needs more memory than mqtt.uplink_bytes_max gives");
        }
        BrokerConfig {
            url,
            username: self.username,
            password_file: some_path(self.password_file),
            ca_file: some_path(self.ca_file),
            client_id: Some(self.client_id).filter(|id| !id.is_empty()),
            connections: self.connections,
            store_passwords_file: some_path(self.store_passwords_file),
        }
    }
}
