//! What a run is told.

use std::net::SocketAddr;
use std::time::Duration;

use super::enrol::Login;
use super::sample::Centre;
use super::shape::Shape;
use super::span::span;
use super::words::grouped;

/// How the stores of a run send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By our own protocol, to a listener or broker at an address.
    Uplink(SocketAddr),
    /// As the peer does, to its server's URL.
    Peer(String),
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uplink(address) => address.fmt(f),
            Self::Peer(url) => write!(f, "the peer at {url}"),
        }
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The shape.
    pub shape: Shape,
    /// From which all sales follow.
    pub seed: u64,
    /// Threads for the stores.
    pub threads: usize,
    /// First connections per second, before the shape begins.
    pub connects_per_s: u64,
    /// Events that a store puts into one batch at the most.
    pub batch: u32,
    /// How stores send.
    pub way: Way,
    /// Whether they prove each message, as stores do that send by a broker.
    pub proofs: bool,
    /// How they log in, as many as the shape has stores.
    pub logins: Vec<Login>,
    /// The centre's HTTP API, for its metrics.
    pub centre: Option<Centre>,
    /// Whether the centre is asked for what it holds, at the end.
    pub check: bool,
    /// The server's process, if it runs on this machine.
    pub server_pid: Option<u32>,
    /// Agents at which a till sells meanwhile.
    pub agents: Vec<String>,
    /// How long a till rests between two sales.
    pub till_pause: Duration,
}

impl Settings {
    /// What was set, as pairs of a name and a value.
    pub fn in_words(&self) -> Vec<(String, String)> {
        let shape = &self.shape;
        let mut words = vec![
            ("Stores".to_owned(), grouped(shape.stores)),
            ("They sell for".to_owned(), span(shape.lasts_ms)),
            ("Time to drain at most".to_owned(), span(shape.drains_ms)),
            ("Events in a batch at most".to_owned(), grouped(u64::from(self.batch))),
            ("Threads for the stores".to_owned(), self.threads.to_string()),
            ("Seed".to_owned(), self.seed.to_string()),
            ("Stores connect to".to_owned(), self.way.to_string()),
        ];
        if self.proofs {
            words.push(("Messages are".to_owned(), "proven, as by a broker".to_owned()));
        }
        if shape.backlog > 0 {
            let backlog = format!("{} sales, made over {}", grouped(shape.backlog), span(shape.backlog_ms));
            words.push(("Backlog of each store".to_owned(), backlog));
        }
        for (number, odd) in (1..).zip(&shape.odd) {
            words.push((format!("Store {number}"), odd.describe()));
        }
        if !self.agents.is_empty() {
            let rest = span(u64::try_from(self.till_pause.as_millis()).unwrap_or(u64::MAX));
            words.push(("Tills at real agents".to_owned(), format!("{}, resting {rest}", self.agents.len())));
        }
        words
    }
}
