//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::latest::local_api::Problem;

use crate::ledger::LedgerError;
use crate::telemetry;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    key: &'static str,
    title: &'static str,
    detail: String,
    retry_after_s: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, key: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, key, title, detail: detail.into(), retry_after_s: None }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request.malformed", "The request cannot be understood", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing", detail)
    }

    pub(crate) fn too_much(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "request.too_much", "The answer would be too large", detail)
    }

    pub(crate) fn parked_conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "parked.conflict", "Something else was done about this event", detail)
    }

    pub(crate) fn parked_refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "parked.refused", "The event cannot count like this", detail)
    }

    pub(crate) fn wrong_method() -> Self {
        let detail = "this path does not take that method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method.wrong", "The method is not allowed here", detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "send the API's token as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::UNAUTHORIZED, "token.wrong", "The token is missing or wrong", detail)
    }

    pub(crate) fn claim_refused() -> Self {
        let detail = "the claim code does not hold for this store: it is wrong, used, or too old";
        Self::new(StatusCode::FORBIDDEN, "claim.refused", "The store cannot enrol", detail)
    }

    pub(crate) fn throttled(retry_after_s: u32) -> Self {
        let detail = "too many claim codes were wrong";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "claim.throttled", "Come back later", detail);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available at the moment", detail);
        Self { retry_after_s: Some(5), ..error }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        if let LedgerError::Away(_) = error {
            return Self::unavailable("the ledger's database cannot be reached");
        }
        if error.is_busy() {
            return Self::unavailable("the ledger is busy");
        }
        tracing::error!(error = telemetry::chain(&error), "request failed in the ledger");
        let detail = "the ledger could not be read; the server's log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ledger.failed", "The ledger failed", detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("/problems/{}", self.key),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            message_key: self.key.to_owned(),
        };
        let body = serde_json::to_vec(&problem).expect("a problem is text and a number");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
