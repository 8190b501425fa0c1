//! Where an MQTT endpoint is, as the centre says it to an enrolling store and as people write it into a configuration.

// Addresses only: what opens a socket is elsewhere.
use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

/// Where an MQTT endpoint is: `mqtt://host:port`, or `mqtts://host:port` with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttUrl {
    /// With TLS.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port; 1883, or 8883 with TLS, if the URL names none.
    pub port: u16,
}

impl FromStr for MqttUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address such as \"mqtts://centre.example:8883\"");
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or_else(wrong)?;
                host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
                (host, port)
            }
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(wrong());
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            None => return Err(wrong()),
            Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl MqttUrl {
    /// Whether the host is this machine, so that nobody else can read along.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_addresses() {
        #[track_caller]
        fn check(text: &str, written: Option<&str>) {
            assert_eq!(text.parse::<MqttUrl>().ok().map(|url| url.to_string()).as_deref(), written, "{text:?}");
        }
        check("mqtt://127.0.0.1", Some("mqtt://127.0.0.1:1883"));
        check("mqtts://centre.example", Some("mqtts://centre.example:8883"));
        check("mqtts://centre.example:1/", Some("mqtts://centre.example:1"));
        check("mqtt://[::1]:1884", Some("mqtt://[::1]:1884"));
        check("mqtt://[::1]", Some("mqtt://[::1]:1883"));
        check("tcp://centre.example", None);
        check("centre.example:1883", None);
        check("mqtt://", None);
        check("mqtt://:1883", None);
        check("mqtt://host:0", None);
        check("mqtt://host:70000", None);
        check("mqtt://user:secret@host:1883", None);
        check("mqtt://host/topic", None);
        check("mqtt://[x]:1", None);
    }

    #[test]
    fn loopback() {
        for (url, loopback) in [("mqtt://[::1]", true), ("mqtt://localhost", true), ("mqtt://10.0.0.1", false)] {
            assert_eq!(url.parse::<MqttUrl>().expect("valid").is_loopback(), loopback, "{url}");
        }
    }
}
