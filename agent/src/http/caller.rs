//! Who speaks: found out once for each request, before anything else happens.
//!
//! A command names a till; a till's token lets it speak for that till alone. Handlers that take a `Said` command are
//! covered by it; one that reads `till_id` in another way asks [`Caller::speaks_for`].

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pos_model::TillId;

use super::problem::ApiError;
use crate::doors::{Caller, Doors, NotLetIn};

/// What needs no token: pairing, which gets one, the description, and whether the agent is well.
pub(super) const PUBLIC: [&str; 3] = ["/v1/pair", "/v1/openapi.json", "/healthz"];

/// Finds out who speaks, and turns away whoever may not.
pub(super) async fn identify(State(doors): State<Doors>, mut request: Request, next: Next) -> Response {
    let caller = match doors.caller(token(request.headers())) {
        Ok(caller) => caller,
        Err(_) if PUBLIC.contains(&request.uri().path()) => Caller::Anyone,
        Err(not_let_in) => return ApiError::from(not_let_in).into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The token that a request names. Anything else in the header opens nothing.
fn token(headers: &HeaderMap) -> Option<&str> {
    let named = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = named.split_once(' ').unwrap_or_default();
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

impl From<NotLetIn> for ApiError {
    fn from(not_let_in: NotLetIn) -> Self {
        let (key, detail) = match not_let_in {
            NotLetIn::TokenNeeded => (
                "till.token_needed",
                "name this till's token in the header Authorization: Bearer; pair the till to get one",
            ),
            NotLetIn::TokenUnknown => {
                ("till.token_unknown", "the token opens nothing: the till was revoked, or the token is another store's")
            }
        };
        Self::new(StatusCode::UNAUTHORIZED, key, "Not let in", detail)
    }
}

impl Caller {
    /// Refuses a till that speaks for another one.
    pub(crate) fn speaks_for(&self, till_id: &TillId) -> Result<(), ApiError> {
        match self {
            Self::Till(own) if own != till_id => {
                let detail = format!("the token is that of till {own}, the command that of till {till_id}");
                Err(ApiError::new(StatusCode::FORBIDDEN, "till.other", "Another till's command", detail))
            }
            Self::Till(_) | Self::Owner | Self::Anyone => Ok(()),
        }
    }

    /// Refuses whoever is not the owner of the data folder.
    pub(crate) fn owner_only(&self) -> Result<(), ApiError> {
        if *self == Self::Owner {
            return Ok(());
        }
        let detail =
            "only the owner of the agent's folder may do this: by a command of breakwater-agent on its machine";
        Err(ApiError::new(StatusCode::FORBIDDEN, "request.owner_only", "Not allowed", detail))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Where nobody was asked, nobody is let in.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| NotLetIn::TokenNeeded.into())
    }
}
