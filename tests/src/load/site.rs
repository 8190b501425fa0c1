//! A server of our own for a run, on a folder of its own, with the run's stores enrolled.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::enrol::{Login, add_by, enrol, store_ids};
use super::sample::Centre;
use crate::process::{Agent, Server};
use crate::surroundings::Surroundings;

/// What an agent is told about its store.
const AGENT_SETTINGS: &str = "[store]\ntime_zone = \"UTC\"";

/// Who sells at a site.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// What the ids of the stores begin with.
    pub prefix: &'static str,
    /// Stores of the load.
    pub stores: u64,
    /// Real agents beside them.
    pub agents: usize,
}

/// A running server with its stores.
#[derive(Debug)]
pub struct Site {
    /// Real agents that sell beside the stores of the load.
    pub agents: Vec<Agent>,
    /// The server.
    pub server: Server,
    /// Its HTTP API.
    pub centre: Centre,
    /// The logins of the stores.
    pub logins: Vec<Login>,
    /// The home of its ledger, and the way in.
    pub surroundings: Surroundings,
}

impl Site {
    /// Starts a server and enrols stores named `prefix-00001` and so on, and some real agents. `tell` hears how many
    /// stores have enrolled.
    pub async fn start(
        folder: &Path,
        mut surroundings: Surroundings,
        crowd: Crowd,
        tell: impl FnMut(usize),
    ) -> anyhow::Result<Self> {
        let Crowd { prefix, stores, agents } = crowd;
        let server = Server::start_with(&folder.join("server"), surroundings.server_settings())?;
        let centre = Centre::new(&server.url(""), None)?;
        let codes = add_by(server.command(&["store", "add", "--json"])?, &store_ids(prefix, stores)?)?;
        let logins = enrol(&centre, codes, tell).await?;
        let mqtt = surroundings.mqtt(&server);
        let enroll = |number: usize| {
            let agent = Agent::new(&folder.join(format!("agent-{number}")), AGENT_SETTINGS);
            agent.enroll(&server, &format!("{prefix}-agent-{number}"), mqtt)?;
            Ok(agent)
        };
        let mut agents: Vec<Agent> =
            (1..=agents).map(enroll).collect::<anyhow::Result<_>>().context("enrol the agents")?;
        surroundings.start_broker(&server, logins.len() + agents.len()).await?;
        for agent in &mut agents {
            agent.start()?;
        }
        Ok(Self { agents, server, centre, logins, surroundings })
    }

    /// Where tills find the agents.
    pub fn agent_urls(&self) -> Vec<String> {
        self.agents.iter().map(|agent| agent.url("")).collect()
    }

    /// Where stores connect.
    pub fn mqtt(&self) -> SocketAddr {
        self.surroundings.mqtt(&self.server)
    }

    /// Ends the agents and the server, in order.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.agents.clear();
        self.server.stop()
    }
}
