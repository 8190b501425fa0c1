//! What a server of our own stands in: the home of its ledger, and the way in for its stores.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use sync_server::ledger::{LedgerHome, SqliteSettings};
use test_postgres::{Durability, TestServer};

use crate::bench::base_folder;
use crate::mosquitto::Mosquitto;
use crate::process::Server;

/// All stores of a load connect from one address, which a server would take for a flood, and there are more of them than it
/// takes in by itself.
const SERVER_SETTINGS: [(&str, &str); 3] = [
    ("BREAKWATER_MQTT_CONNECTS_PER_SECOND", "100000"),
    ("BREAKWATER_MQTT_CONNECTS_BURST", "100000"),
    ("BREAKWATER_MQTT_CONNECTIONS_MAX", "30000"),
];

/// How a PostgreSQL server is set up that is measured: small beside what a chain gives it, and the same for the bare limit.
const DATABASE_OPTIONS: [&str; 2] = ["shared_buffers=256MB", "max_wal_size=4GB"];

/// How long the server and the broker may take to find each other.
const BROKER_PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// The server's own listener.
    Listener,
    /// A Mosquitto with the shipped configuration, on the same machine.
    Mosquitto,
}

impl Via {
    /// Its name on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// Where the ledger is at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Home {
    /// A file in the server's folder.
    Sqlite,
    /// A PostgreSQL server of our own, on the same machine.
    Postgres,
}

impl Home {
    /// Its name on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A running PostgreSQL server with one database.
#[derive(Debug)]
pub struct Database {
    /// The server.
    pub server: TestServer,
    /// The database's connection string.
    pub url: String,
}

impl Database {
    /// Starts a server that loses nothing, on the disk that is to be measured.
    pub fn start() -> anyhow::Result<Self> {
        let server = TestServer::start_in(&base_folder(), Durability::Full, &DATABASE_OPTIONS);
        let server = server.map_err(anyhow::Error::msg).context("start PostgreSQL")?;
        let url = server.database();
        Ok(Self { server, url })
    }
}

/// The home and the way in. A database runs from the beginning, a broker when it is started.
#[derive(Debug)]
pub struct Surroundings {
    database: Option<Database>,
    mosquitto: Option<Mosquitto>,
    settings: Vec<(String, String)>,
}

impl Surroundings {
    /// Those of a server with its own listener. `settings` are variables of its environment, which may put its ledger into
    /// a database that somebody else keeps.
    pub fn plain(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { database: None, mosquitto: None, settings }
    }

    /// Prepares them. A broker has its files in `folder`.
    pub fn prepare(folder: &Path, home: Home, via: Via) -> anyhow::Result<Self> {
        let database = match home {
            Home::Sqlite => None,
            Home::Postgres => Some(Database::start()?),
        };
        let mosquitto = match via {
            Via::Listener => None,
            Via::Mosquitto => Some(Mosquitto::new(&folder.join("mosquitto"))?),
        };
        Ok(Self { database, mosquitto, settings: Vec::new() })
    }

    /// The same, with an operator's limit on the events that are committed a second.
    pub fn with_limit(mut self, events_per_s: Option<u64>) -> Self {
        let limit = events_per_s.map(|per_s| ("BREAKWATER_INGEST_EVENTS_PER_SECOND_MAX".to_owned(), per_s.to_string()));
        self.settings.extend(limit);
        self
    }

    /// The database, if the ledger is in one.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// What the server has to be told, as variables of its environment.
    pub fn server_settings(&self) -> Vec<(String, String)> {
        let own = SERVER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let ledger = self.database.iter().map(|database| ("BREAKWATER_LEDGER_URL".to_owned(), database.url.clone()));
        let broker = self.mosquitto.iter().flat_map(Mosquitto::server_settings);
        own.into_iter().chain(ledger).chain(broker).chain(self.settings.clone()).collect()
    }

    /// The ledger of a server with this data folder.
    pub fn ledger(&self, data_dir: &Path) -> anyhow::Result<LedgerHome> {
        Ok(match &self.database {
            Some(database) => LedgerHome::Postgres(Box::new(database.url.parse().context("the database's address")?)),
            None => LedgerHome::Sqlite {
                path: sync_server::config::ledger_path(data_dir),
                settings: SqliteSettings::STANDARD,
            },
        })
    }

    /// How the ledger is kept, in words.
    pub fn ledger_in_words(&self) -> String {
        match &self.database {
            None => "SQLite, WAL, synchronous=FULL".to_owned(),
            Some(Database { server, url }) => {
                let version = server.query(url, "SHOW server_version").concat();
                format!("PostgreSQL {version}, fsync, synchronous_commit, {}", DATABASE_OPTIONS.join(", "))
            }
        }
    }

    /// Starts the broker, if there is one, as soon as the server has written that many logins of stores, and waits until the
    /// server has subscribed there.
    pub async fn start_broker(&mut self, server: &Server, stores: usize) -> anyhow::Result<()> {
        let Some(mosquitto) = &mut self.mosquitto else { return Ok(()) };
        let passwords = mosquitto.passwords();
        // One login is the server's own.
        let logins = || fs::read_to_string(&passwords).unwrap_or_default().lines().count();
        until("the server has written the logins for the broker", async || Ok(logins() > stores)).await?;
        mosquitto.start()?;
        // Another part may have chosen a provider before; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
        let readiness = server.url("/readyz");
        until("the server has subscribed at the broker", async || {
            let answer = http.get(&readiness).send().await.context("ask whether the server is ready")?;
            let answer: serde_json::Value = answer.json().await.context("understand whether the server is ready")?;
            Ok(answer["broker"] == true)
        })
        .await
    }

    /// Where stores connect.
    pub fn mqtt(&self, server: &Server) -> SocketAddr {
        self.mosquitto.as_ref().map_or(server.addresses().mqtt, Mosquitto::address)
    }

    /// Whether stores have to prove their messages.
    pub fn asks_for_proofs(&self) -> bool {
        self.mosquitto.is_some()
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let looking = async {
        while !is_so().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(())
    };
    let looked = tokio::time::timeout(BROKER_PATIENCE, looking).await;
    looked.with_context(|| format!("waited {BROKER_PATIENCE:?} in vain until {what}"))?
}
