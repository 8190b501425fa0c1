//! One connection and what is prepared on it.
//!
//! The connection is driven by a runtime on the calling thread, while somebody waits for it and at no other time: a
//! connection that broke in between is noticed when it is used next.

use std::cell::{Cell as Slot, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::settings::PostgresSettings;
use super::tls::Tls;
use crate::ledger::LedgerError;

/// What a connection is for, which says how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Applies groups.
    Write,
    /// Reads, as long as it takes.
    Read,
    /// Changes a row or two.
    Registry,
    /// Renews leases, which are short.
    Lease,
    /// Makes roll-ups: reads long, and writes some thousand rows.
    RollUps,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "breakwater-server ingest",
            Self::Read => "breakwater-server reading",
            Self::Registry => "breakwater-server registry",
            Self::Lease => "breakwater-server leases",
            Self::RollUps => "breakwater-server roll-ups",
        }
    }

    /// The longest that the client waits for an answer: longer than the server waits for anything, so that it is the
    /// server that ends what takes too long, unless it is gone.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Write => Some(Duration::from_secs(45)),
            Self::Registry => Some(Duration::from_secs(20)),
            Self::Lease => Some(Duration::from_secs(6)),
            Self::Read | Self::RollUps => None,
        }
    }

    /// Limits of the session, on the server's side. A statement of a group moves some megabytes; a lock is held for the
    /// length of a group. A server that stops in the middle of a group, frozen or cut off, must not hold its stores for
    /// longer than the others wait for them.
    fn settings(self) -> &'static str {
        match self {
            Self::Write => {
                "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
                SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
            }
            Self::Read => {
                "SET statement_timeout = 0; SET lock_timeout = '30s'; SET default_transaction_isolation = 'read committed';
                SET default_transaction_read_only = on;"
            }
            Self::RollUps => {
                "SET statement_timeout = 0; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';
                SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
            }
            Self::Registry => {
                "SET statement_timeout = '15s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
                SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
            }
            Self::Lease => {
                "SET statement_timeout = '4s'; SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '3s';
                SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;"
            }
        }
    }
}

/// A commit that is answered is on disk; a server that was told otherwise is told so again. What is more than that, such as
/// waiting for a standby, stays as the operator set it.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

/// How long one host may take to answer a connect, where the connection string does not say.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Work of one flight: all of it is sent before the first answer is waited for.
pub(super) type Sent<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + 'a>>;

/// See the module.
pub(super) struct Session {
    runtime: Option<Runtime>,
    client: Client,
    purpose: Purpose,
    statements: RefCell<HashMap<String, Statement>>,
    types: RefCell<HashMap<&'static str, Vec<Type>>>,
    round_trips: Slot<u64>,
    given_up: Slot<bool>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ending a runtime waits, which is not allowed where another one is at work.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    pub(super) fn connect(settings: &PostgresSettings, purpose: Purpose) -> Result<Self, LedgerError> {
        let away = |error: &dyn std::error::Error| LedgerError::Away(crate::telemetry::chain(error));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| away(&error))?;
        let mut config = settings.config().clone();
        config.application_name(purpose.name());
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_PATIENCE);
        }
        // A server that vanished without a word is given up after half a minute.
        config.keepalives(true).keepalives_idle(Duration::from_secs(15));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(30));
        }
        let tls = Tls::new(settings);
        let connect = async {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(async move {
                // Whoever waits for an answer is told of the error.
                if let Err(error) = connection.await {
                    tracing::debug!(error = crate::telemetry::chain(&error), "connection to the database ended");
                }
            });
            client.batch_execute(purpose.settings()).await?;
            client.batch_execute(DURABLE).await?;
            Ok(client)
        };
        // The timeout of the configuration is one for each host, and only until something takes the connection.
        let hosts = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let patience = config.get_connect_timeout().map_or(CONNECT_PATIENCE, |patience| *patience);
        let patience = patience.saturating_mul(hosts.saturating_add(1));
        let Ok(client) = runtime.block_on(async { tokio::time::timeout(patience, connect).await }) else {
            let silence = format!("{} does not answer within {} s", settings.describe(), patience.as_secs());
            return Err(LedgerError::Away(silence));
        };
        let client = client.map_err(|source: tokio_postgres::Error| match source.as_db_error() {
            // Such as a wrong password, which no waiting helps against.
            Some(_) => LedgerError::Postgres { doing: "connect to the database", source: Box::new(source) },
            None => LedgerError::Away(format!("{}: {}", settings.describe(), crate::telemetry::chain(&source))),
        })?;
        Ok(Self {
            runtime: Some(runtime),
            client,
            purpose,
            statements: RefCell::default(),
            types: RefCell::default(),
            round_trips: Slot::new(0),
            given_up: Slot::new(false),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.given_up.get() || self.client.is_closed()
    }

    /// Throws it away when it is let go of.
    pub(super) fn give_up(&self) {
        self.given_up.set(true);
    }

    pub(super) fn round_trips(&self) -> u64 {
        self.round_trips.get()
    }

    /// Waits for one thing.
    pub(super) fn wait<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, LedgerError> {
        self.round_trips.set(self.round_trips.get() + 1);
        let runtime = self.runtime.as_ref().expect("it is taken when the session is dropped");
        let done = runtime.block_on(async {
            match self.purpose.patience() {
                Some(patience) => tokio::time::timeout(patience, work).await,
                None => Ok(work.await),
            }
        });
        match done {
            Ok(done) => done.map_err(|source| LedgerError::Postgres { doing, source: Box::new(source) }),
            Err(_) => {
                self.give_up();
                Err(LedgerError::Away(format!("{doing}: no answer for too long")))
            }
        }
    }

    /// Waits for several things that were sent together. All are answered; the first that failed is told.
    pub(super) fn flight<T>(&self, doing: &'static str, work: Vec<Sent<'_, T>>) -> Result<Vec<T>, LedgerError> {
        self.wait(doing, async { together(work).await.into_iter().collect() })
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&self, doing: &'static str, sql: &str) -> Result<(), LedgerError> {
        self.wait(doing, self.client.batch_execute(sql))
    }

    /// A statement, prepared once. Its parameters are `?1`, `?2`, as in the other home.
    pub(super) fn statement(&self, doing: &'static str, sql: &str) -> Result<Statement, LedgerError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(doing, self.client.prepare(&sql.replace('?', "$")))?;
        self.statements.borrow_mut().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The types of a table's columns, asked for once.
    pub(super) fn types(&self, table: &'static str) -> Result<Vec<Type>, LedgerError> {
        if let Some(types) = self.types.borrow().get(table) {
            return Ok(types.clone());
        }
        let statement = self.statement("read the columns of a table", &format!("SELECT * FROM {table} LIMIT 0"))?;
        let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
        self.types.borrow_mut().insert(table, types.clone());
        Ok(types)
    }
}

/// Waits for all, in their order at first, so that what is sent goes out in that order.
async fn together<T>(mut work: Vec<Sent<'_, T>>) -> Vec<Result<T, tokio_postgres::Error>> {
    let mut done: Vec<Option<Result<T, tokio_postgres::Error>>> = work.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (work, done) in work.iter_mut().zip(&mut done) {
            if done.is_none() {
                match work.as_mut().poll(context) {
                    Poll::Ready(result) => *done = Some(result),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().map(|done| done.expect("all were waited for")).collect()
}
