//! A terminal behind a service on the store's network, by the protocol of `packaging/payment-terminal.md`.
//!
//! Each question is one request on a connection of its own, without redirects and without retries: what is asked twice is
//! decided by the attempt's state machine and by nobody else. Only an answer of status 200 in the protocol's form says how
//! an attempt stands; everything else is silence.

use std::path::{Path, PathBuf};

use pos_model::{AttemptId, Currency, Money};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use serde::{Deserialize, Serialize};
use till::limits::TERMINAL_TEXT_CHARS_MAX;
use till::payment::{Answer, Standing};

use super::terminal::{PayOrder, Reply, Silence, Terminal};
use crate::trust::{self, TrustError};

/// An answer in bytes: it is a handful of short fields.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The terminal.
#[derive(Debug)]
pub struct HttpTerminal {
    client: Client,
    url: Url,
    currency: Currency,
    token: Option<Token>,
}

/// What the service knows the agent by.
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The way to the terminal's service cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum HttpTerminalError {
    #[error("set up TLS for the terminal")]
    Trust(#[source] TrustError),
    #[error("set up the way to the terminal")]
    Client(#[source] reqwest::Error),
    #[error("read the terminal's token from {}", path.display())]
    Token { path: PathBuf, source: std::io::Error },
}

impl HttpTerminal {
    /// A terminal at this address. `token_file` holds what stands in the `Authorization` header, where the service asks
    /// for it; `ca_file` certificates to trust besides the system's.
    pub fn new(
        url: Url,
        currency: Currency,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Self, HttpTerminalError> {
        let token = token_file.map(|path| {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| HttpTerminalError::Token { path: path.to_owned(), source })?;
            Ok(Token(text.trim().to_owned()))
        });
        let tls = trust::tls(ca_file).map_err(HttpTerminalError::Trust)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(HttpTerminalError::Client)?;
        Ok(Self { client, url, currency, token: token.transpose()? })
    }

    fn path(&self, attempt_id: AttemptId, action: Option<&str>) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["attempts", &attempt_id.to_string()]).extend(action);
        }
        url
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, Silence> {
        let request = match &self.token {
            Some(Token(token)) => request.bearer_auth(token),
            None => request,
        };
        let mut response = request.send().await.map_err(Silence::Unreached)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Silence::Status { status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Silence::Unreached)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(unreadable(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let told: Told = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        told.answer(self.currency)
    }
}

impl Terminal for HttpTerminal {
    fn pay<'a>(&'a self, order: &'a PayOrder) -> Reply<'a> {
        let body = Asked {
            attempt_id: order.attempt_id.to_string(),
            sale_id: order.sale_id.to_string(),
            till_id: order.till_id.as_str(),
            kind: order.kind.as_str(),
            amount_minor: order.amount.minor(),
            currency: order.currency.as_str(),
            code: order.code.as_ref().map(super::Code::reveal),
        };
        let json = serde_json::to_vec(&body).expect("text and numbers always encode");
        let request = self
            .client
            .post(self.path(order.attempt_id, Some("pay")))
            .header("content-type", "application/json")
            .header("idempotency-key", order.attempt_id.to_string())
            .body(json);
        Box::pin(self.ask(request))
    }

    fn query(&self, attempt_id: AttemptId) -> Reply<'_> {
        Box::pin(self.ask(self.client.get(self.path(attempt_id, None))))
    }

    fn reverse(&self, attempt_id: AttemptId) -> Reply<'_> {
        let request = self.client.post(self.path(attempt_id, Some("reverse")));
        Box::pin(self.ask(request.header("idempotency-key", attempt_id.to_string())))
    }
}

/// What is sent to have it paid.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    attempt_id: String,
    sale_id: String,
    till_id: &'a str,
    kind: &'a str,
    amount_minor: i64,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

/// How the service says that an attempt stands. Fields that are not known are passed over.
#[derive(Debug, Deserialize)]
struct Told {
    attempt_id: uuid::Uuid,
    standing: Word,
    amount_minor: Option<i64>,
    currency: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approved,
    Declined,
    Reversed,
    StillPaying,
    NotFound,
}

impl Told {
    fn answer(self, currency: Currency) -> Result<Answer, Silence> {
        let standing = match self.standing {
            Word::Approved => {
                let Some(amount) = self.amount_minor else {
                    return Err(unreadable("it approves without amount_minor".to_owned()));
                };
                match self.currency.as_deref() {
                    Some(named) if named == currency.as_str() => {}
                    Some(_) => return Err(unreadable(format!("it approves in another currency than {currency}"))),
                    None => return Err(unreadable("it approves without currency".to_owned())),
                }
                Standing::Approved { amount: Money::from_minor(amount), reference: self.reference.map(shortened) }
            }
            Word::Declined => Standing::Declined { reason: self.reason.map(shortened) },
            Word::Reversed => Standing::Reversed,
            Word::StillPaying => Standing::StillPaying,
            Word::NotFound => Standing::NotFound,
        };
        Ok(Answer { attempt_id: AttemptId::new(self.attempt_id), standing })
    }
}

/// A text of the terminal as it can stand on a receipt.
fn shortened(text: String) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(TERMINAL_TEXT_CHARS_MAX).collect()
}

fn unreadable(problem: String) -> Silence {
    Silence::Unreadable { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Result<Answer, String> {
        let told: Told = serde_json::from_str(json).map_err(|error| error.to_string())?;
        told.answer(Currency::CNY).map_err(|silence| silence.to_string())
    }

    #[test]
    fn what_a_service_says() {
        #[track_caller]
        fn check(rest: &str, expected: Option<Standing>) {
            let json = format!(r#"{{"attempt_id":"018f0000-0000-7000-8000-000000000001",{rest}}}"#);
            assert_eq!(told(&json).ok().map(|answer| answer.standing), expected, "{json}");
        }
        let approved = |reference: Option<&str>| {
            Some(Standing::Approved { amount: Money::from_minor(1_800), reference: reference.map(str::to_owned) })
        };
        check(r#""standing":"approved","amount_minor":1800,"currency":"CNY""#, approved(None));
        check(
            r#""standing":"approved","amount_minor":1800,"currency":"CNY","reference":"R\u001b7","more":[1]"#,
            approved(Some("R7")),
        );
        check(r#""standing":"approved","amount_minor":1800"#, None);
        check(r#""standing":"approved","amount_minor":1800,"currency":"USD""#, None);
        check(r#""standing":"approved","amount_minor":18.5,"currency":"CNY""#, None);
        check(r#""standing":"approved","currency":"CNY""#, None);
        check(r#""standing":"declined","reason":"no""#, Some(Standing::Declined { reason: Some("no".to_owned()) }));
        check(r#""standing":"reversed""#, Some(Standing::Reversed));
        check(r#""standing":"still_paying""#, Some(Standing::StillPaying));
        check(r#""standing":"not_found""#, Some(Standing::NotFound));
        check(r#""standing":"perhaps""#, None);
        assert!(told("{}").is_err());
        assert!(told(r#"{"attempt_id":"1","standing":"reversed"}"#).is_err());
    }

    #[test]
    fn texts_of_a_terminal_are_short() {
        assert_eq!(shortened("x".repeat(1_000_000)).len(), TERMINAL_TEXT_CHARS_MAX);
    }

    #[test]
    fn paths() {
        #[track_caller]
        fn check(base: &str, expected: &str) {
            let url = Url::parse(base).expect("an address");
            let terminal = HttpTerminal::new(url, Currency::CNY, None, None).expect("is set up");
            let attempt_id = "018f0000-0000-7000-8000-000000000001".parse().expect("valid");
            assert_eq!(terminal.path(attempt_id, Some("pay")).as_str(), expected);
        }
        check("http://t.local:9000", "http://t.local:9000/attempts/018f0000-0000-7000-8000-000000000001/pay");
        check("http://t.local/a/", "http://t.local/a/attempts/018f0000-0000-7000-8000-000000000001/pay");
    }
}
