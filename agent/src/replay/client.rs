//! One request to the agent, and what its answer means for the sale.

use std::time::Duration;

use protocol::latest::local_api::{CompleteSale, Problem, SaleReceipt, SyncState};
use reqwest::{StatusCode, Url};

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
}

impl AgentClient {
    pub(super) fn new(address: &str) -> Result<Self, ClientError> {
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
        Ok(Self { http, sales: join("v1/sales")?, sync: join("v1/sync")? })
    }

    pub(super) async fn complete(&self, sale: &CompleteSale) -> Answer<SaleReceipt> {
        answer(self.http.post(self.sales.clone()).json(sale)).await
    }

    pub(super) async fn sync_state(&self) -> Answer<SyncState> {
        answer(self.http.get(self.sync.clone())).await
    }
}

async fn answer<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Answer<T> {
    let later = |reason: &reqwest::Error| Answer::Later { reason: chain(reason), after: None };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return later(&error),
    };
    let (status, after) = (response.status(), retry_after(&response));
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return later(&error),
    };
    if status.is_success() {
        return match serde_json::from_slice(&body) {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Hopeless(format!("the answer is not an agent's: {error}")),
        };
    }
    let detail = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => format!("{}: {}", problem.title, problem.detail),
        Err(_) => String::from_utf8_lossy(&body).chars().take(200).collect(),
    };
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Answer::Later { reason: detail, after },
        _ if status.is_server_error() => {
            Answer::Later { reason: format!("the agent answers {}: {detail}", status.as_u16()), after }
        }
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused { status: status.as_u16(), detail },
        _ => Answer::Hopeless(format!("the address answers {}: {detail}", status.as_u16())),
    }
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
