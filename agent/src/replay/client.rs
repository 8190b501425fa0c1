//! One request to the agent, and what its answer means for the sale.
//!
//! The agent knows the owner of its folder by the token that each run leaves there. An agent that was started again has
//! another one, so it is read again when the one at hand opens nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::latest::local_api::{CompleteSale, Problem, SaleReceipt, SyncState};
use reqwest::{RequestBuilder, StatusCode, Url};

use crate::owner::{self, Token};

/// How long one answer may take. The agent answers after one commit; a machine under load gets a hundred times that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The address.
    #[error("{0:?} is not an http address such as http://127.0.0.1:8090")]
    Address(String),
    /// The TLS set-up.
    #[error("set up the HTTP client")]
    SetUp(#[source] reqwest::Error),
}

/// What a request came to.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// Done, with what the agent said.
    Done(T),
    /// The agent will not have this one, however often it is asked.
    Refused { status: u16, detail: String },
    /// Not yet: ask again, with the same id. Whether it was done is not known.
    Later { reason: String, after: Option<Duration> },
    /// This is no agent, or not one for us: asking on makes no sense.
    Hopeless(String),
}

/// An agent's local API.
#[derive(Debug, Clone)]
pub(super) struct AgentClient {
    http: reqwest::Client,
    sales: Url,
    sync: Url,
    /// The agent's folder, where it is known.
    data_dir: Option<PathBuf>,
    /// What it was found in it last. Clones share it.
    token: Arc<Mutex<Option<Token>>>,
}

impl AgentClient {
    pub(super) fn new(address: &str, data_dir: Option<&Path>) -> Result<Self, ClientError> {
        let bad_address = || ClientError::Address(address.to_owned());
        let base = Url::parse(&format!("{}/", address.trim_end_matches('/'))).map_err(|_| bad_address())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad_address());
        }
        // The process may have chosen a provider before; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(REQUEST_TIMEOUT)
            // The agent is on this machine or in this store, where no proxy stands between.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ClientError::SetUp)?;
        let join = |path| base.join(path).map_err(|_| bad_address());
        let data_dir = data_dir.map(Path::to_owned);
        let token = data_dir.as_deref().and_then(|folder| owner::found(folder).ok());
        let token = Arc::new(Mutex::new(token));
        Ok(Self { http, sales: join("v1/sales")?, sync: join("v1/sync")?, data_dir, token })
    }

    pub(super) async fn complete(&self, sale: &CompleteSale) -> Answer<SaleReceipt> {
        self.ask(self.http.post(self.sales.clone()).json(sale)).await
    }

    pub(super) async fn sync_state(&self) -> Answer<SyncState> {
        self.ask(self.http.get(self.sync.clone())).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, request: RequestBuilder) -> Answer<T> {
        let used = self.at_hand();
        let request = match &used {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        };
        match answer(request).await {
            Ok(answer) => answer,
            Err(reason) if self.found_another_than(used.as_ref()) => Answer::Later { reason, after: None },
            Err(reason) => Answer::Hopeless(reason),
        }
    }

    fn at_hand(&self) -> Option<Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the token again. Whether there is another one than was used.
    fn found_another_than(&self, used: Option<&Token>) -> bool {
        let found = self.data_dir.as_deref().and_then(|folder| owner::found(folder).ok());
        let differs = found.is_some() && found.as_ref() != used;
        if differs {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        differs
    }
}

/// What became of a request, or the agent's words if the token opens nothing.
async fn answer<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> Result<Answer<T>, String> {
    let later = |reason: &reqwest::Error| Answer::Later { reason: chain(reason), after: None };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Ok(later(&error)),
    };
    let (status, after) = (response.status(), retry_after(&response));
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return Ok(later(&error)),
    };
    if status.is_success() {
        return Ok(match serde_json::from_slice(&body) {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Hopeless(format!("the answer is not an agent's: {error}")),
        });
    }
    let detail = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => format!("{}: {}", problem.title, problem.detail),
        Err(_) => String::from_utf8_lossy(&body).chars().take(200).collect(),
    };
    Ok(match status {
        StatusCode::UNAUTHORIZED => return Err(format!("the agent answers 401: {detail}")),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Answer::Later { reason: detail, after },
        _ if status.is_server_error() => {
            Answer::Later { reason: format!("the agent answers {}: {detail}", status.as_u16()), after }
        }
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused { status: status.as_u16(), detail },
        _ => Answer::Hopeless(format!("the address answers {}: {detail}", status.as_u16())),
    })
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with all that caused it: reqwest's own text does not say that a connection was refused.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
