//! The folder's owner speaks to the agent that runs on the folder: over its local API, by the token that it left there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use pos_model::{OperatorId, TillId};
use protocol::latest::local_api::Problem;
use protocol::latest::people::{MakePairCode, OperatorView, PairCode, SetOperator, TillView};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

use crate::folder;
use crate::owner::{self, Token};

/// How long an answer may take; a PIN is hashed and a commit synced meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The agent did not do it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum OwnerError {
    #[error("find a running agent on {0}: start it first")]
    NotRunning(String),
    #[error("read the token that the agent left in its folder")]
    Token(#[source] io::Error),
    #[error("set up the HTTP client")]
    SetUp(#[source] reqwest::Error),
    #[error("ask the agent")]
    Ask(#[source] reqwest::Error),
    #[error("have it done: {detail} ({status} {message_key})")]
    Refused { status: u16, message_key: String, detail: String },
    #[error("find operator {0}")]
    NoOperator(OperatorId),
}

/// The way to the agent that runs on a folder.
#[derive(Debug)]
pub struct OwnerClient {
    http: Client,
    base: String,
    token: Token,
}

impl OwnerClient {
    /// Finds the agent that runs on the folder.
    pub fn find(data_dir: &Path) -> Result<Self, OwnerError> {
        let address = folder::announced(data_dir).filter(|_| folder::is_in_use(data_dir));
        let mut address = address.ok_or_else(|| OwnerError::NotRunning(data_dir.display().to_string()))?;
        if address.ip().is_unspecified() {
            // It listens everywhere, so on loopback too.
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let token = owner::found(data_dir).map_err(OwnerError::Token)?;
        // The process may have chosen a provider before; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().build().map_err(OwnerError::SetUp)?;
        Ok(Self { http, base: format!("http://{address}/v1"), token })
    }

    /// All operators.
    pub async fn operators(&self) -> Result<Vec<OperatorView>, OwnerError> {
        self.ask(self.http.get(format!("{}/operators", self.base))).await
    }

    /// One of them.
    pub async fn operator(&self, operator_id: &OperatorId) -> Result<OperatorView, OwnerError> {
        let found = self.operators().await?.into_iter().find(|operator| operator.operator_id == *operator_id);
        found.ok_or_else(|| OwnerError::NoOperator(operator_id.clone()))
    }

    /// Adds or changes an operator.
    pub async fn set_operator(&self, operator_id: &OperatorId, set: &SetOperator) -> Result<OperatorView, OwnerError> {
        self.ask(self.http.put(format!("{}/operators/{operator_id}", self.base)).json(set)).await
    }

    /// Makes a code by which tills pair.
    pub async fn make_pair_code(&self, tills: u32) -> Result<PairCode, OwnerError> {
        self.ask(self.http.post(format!("{}/pair-codes", self.base)).json(&MakePairCode { tills })).await
    }

    /// The tills that were paired.
    pub async fn tills(&self) -> Result<Vec<TillView>, OwnerError> {
        self.ask(self.http.get(format!("{}/tills", self.base))).await
    }

    /// Takes a till's token back.
    pub async fn revoke_till(&self, till_id: &TillId) -> Result<TillView, OwnerError> {
        self.ask(self.http.delete(format!("{}/tills/{till_id}", self.base))).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, OwnerError> {
        let response = request.bearer_auth(self.token.reveal()).send().await.map_err(OwnerError::Ask)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(OwnerError::Ask);
        }
        let problem: Problem = response.json().await.map_err(OwnerError::Ask)?;
        let Problem { message_key, detail, .. } = problem;
        Err(OwnerError::Refused { status: status.as_u16(), message_key, detail })
    }
}
