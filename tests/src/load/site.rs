//! A server of our own for a run, on a folder of its own, with the run's stores enrolled.

use std::path::Path;

use anyhow::Context;

use super::enrol::{Login, add_by, enrol, store_ids};
use super::sample::Centre;
use crate::process::{Agent, Server};

/// All stores connect from one address here, which the server would take for a flood.
const SERVER_SETTINGS: &[(&str, &str)] = &[
    ("BREAKWATER_MQTT_CONNECTS_PER_SECOND", "100000"),
    ("BREAKWATER_MQTT_CONNECTS_BURST", "100000"),
    ("BREAKWATER_MQTT_CONNECTIONS_MAX", "30000"),
];

/// What an agent is told about its store.
const AGENT_SETTINGS: &str = "[store]\ntime_zone = \"UTC\"";

/// A running server with its stores.
#[derive(Debug)]
pub struct Site {
    /// The server.
    pub server: Server,
    /// Its HTTP API.
    pub centre: Centre,
    /// The logins of the stores.
    pub logins: Vec<Login>,
    /// Real agents that sell beside them.
    pub agents: Vec<Agent>,
}

impl Site {
    /// Starts a server and enrols stores named `prefix-00001` and so on, and some real agents. `tell` hears how many
    /// stores have enrolled.
    pub async fn start(
        folder: &Path,
        prefix: &str,
        stores: u64,
        agents: usize,
        tell: impl FnMut(usize),
    ) -> anyhow::Result<Self> {
        Self::start_with(folder, prefix, stores, agents, &[], tell).await
    }

    /// The same with more settings of the server, as variables of its environment.
    pub async fn start_with(
        folder: &Path,
        prefix: &str,
        stores: u64,
        agents: usize,
        settings: &[(&str, &str)],
        tell: impl FnMut(usize),
    ) -> anyhow::Result<Self> {
        let settings = SERVER_SETTINGS.iter().chain(settings);
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let server = Server::start_with(&folder.join("server"), settings)?;
        let centre = Centre::new(&server.url(""), None)?;
        let codes = add_by(server.command(&["store", "add"])?, &store_ids(prefix, stores)?)?;
        let logins = enrol(&centre, codes, tell).await?;
        let start = |number: usize| {
            let mut agent = Agent::new(&folder.join(format!("agent-{number}")), AGENT_SETTINGS);
            agent.enroll(&server, &format!("{prefix}-agent-{number}"), server.addresses().mqtt)?;
            agent.start()?;
            Ok(agent)
        };
        let agents = (1..=agents).map(start).collect::<anyhow::Result<_>>().context("start the agents")?;
        Ok(Self { server, centre, logins, agents })
    }

    /// Where tills find the agents.
    pub fn agent_urls(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.url("")).collect()
    }
}
