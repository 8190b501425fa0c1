//! Errors as `application/problem+json`.

use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::latest::local_api::Problem;
use till::Refusal;

use crate::db::Failure;
use crate::readers::ReadError;
use crate::telemetry;
use crate::writer::WriteError;

/// After how many seconds a till may try again when too many others wait: as good as at once.
const RETRY_BUSY_S: u32 = 1;

/// After how many seconds it may try again when the disk is full: somebody has to make room.
const RETRY_DISK_S: u32 = 10;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    title: &'static str,
    message_key: &'static str,
    detail: String,
    retry_after_s: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        message_key: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, title, message_key, detail: detail.into(), retry_after_s: None }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request.malformed", "The request cannot be understood", detail)
    }

    /// The same, to be tried again after so many seconds.
    pub(crate) fn after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    fn unavailable(message_key: &'static str, title: &'static str, detail: String, retry_after_s: Option<u32>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, title, message_key, detail, retry_after_s }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("/problems/{}", self.message_key),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            message_key: self.message_key.to_owned(),
        };
        let body = serde_json::to_vec(&problem).expect("a problem is text and a number");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.message_key(), "The sale breaks a rule", detail)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        let detail = error.to_string();
        match error {
            WriteError::Busy => Self::unavailable("store.busy", "Too many commands wait", detail, Some(RETRY_BUSY_S)),
            WriteError::Closed => {
                Self::unavailable("store.closing", "The agent is shutting down", detail, Some(RETRY_BUSY_S))
            }
            WriteError::Failed { failure, .. } => {
                telemetry::command_failed(failure, &detail);
                Self::failed(failure, detail)
            }
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let detail = telemetry::chain(&error);
        match error {
            ReadError::Closed => {
                Self::unavailable("store.closing", "The agent is shutting down", detail, Some(RETRY_BUSY_S))
            }
            ReadError::Books(error) => {
                telemetry::command_failed(error.failure(), &detail);
                Self::failed(error.failure(), detail)
            }
        }
    }
}

impl ApiError {
    /// Sales cannot be recorded for want of room.
    pub(crate) fn disk_full(detail: String) -> Self {
        Self::unavailable("store.disk_full", "The disk is full", detail, Some(RETRY_DISK_S))
    }

    fn failed(failure: Failure, detail: String) -> Self {
        match failure {
            Failure::DiskFull => Self::disk_full(detail),
            // Without a time to try again: a person has to look first.
            Failure::DiskFailed => Self::unavailable("store.disk_failed", "The disk has failed", detail, None),
            Failure::Unknown => Self::unavailable(
                "store.outcome_unknown",
                "Whether it is recorded is not known: keep the sale's id, and send the same again when the agent runs anew",
                detail,
                None,
            ),
            Failure::Busy => Self::unavailable("store.busy", "The database is in use", detail, Some(RETRY_BUSY_S)),
            Failure::Other => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store.failed", "The agent has failed", detail)
            }
        }
    }
}

/// The parser's words without names that only stand in the program: "expected struct MoveCash with 8 elements" helps nobody.
fn plain(detail: &str) -> String {
    const NUMBERS: [&str; 10] = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "usize", "f64"];
    let Some((before, expected)) = detail.split_once("expected ") else { return detail.to_owned() };
    let (what, place) = match expected.find(" at line ") {
        Some(at) => expected.split_at(at),
        None => (expected, ""),
    };
    let what = match what.split_whitespace().next() {
        Some("struct" | "internally" | "adjacently") => "an object",
        Some("enum" | "variant") => "one of the words of the description",
        Some("tuple") => "a list",
        Some(word) if NUMBERS.contains(&word) => "a whole number in its range",
        _ => what,
    };
    format!("{before}expected {what}{place}")
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let detail = rejection.body_text();
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", "The request is too large", detail)
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request.not_json",
                "The request is not JSON",
                "send the command with Content-Type: application/json",
            ),
            _ => Self::malformed(plain(&detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_says_names_nothing_of_the_program() {
        let check = |said: &str, plainly: &str| assert_eq!(plain(said), plainly);
        check(
            "invalid type: integer `5`, expected struct CompleteSale with 16 elements at line 1 column 1",
            "invalid type: integer `5`, expected an object at line 1 column 1",
        );
        check(
            "tenders[0].amount_minor: invalid type: string \"5\", expected i64 at line 1 column 9",
            "tenders[0].amount_minor: invalid type: string \"5\", expected a whole number in its range at line 1 column 9",
        );
        check("missing field `till_id` at line 1 column 2", "missing field `till_id` at line 1 column 2");
        check("unknown field `x`, expected `a` or `b`", "unknown field `x`, expected `a` or `b`");
    }
}
