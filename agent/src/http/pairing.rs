//! Tills become the store's, and stop being so.

use axum::Router;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{ConnectInfo, Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use pos_model::TillId;
use protocol::latest::people::{MakePairCode, PairCode, PairTill, TillToken, TillView};
use utoipa::OpenApi;

use super::listener::Peer;
use super::people::check_text;
use super::problem::ApiError;
use super::routes::ApiParts;
use crate::db::Refused;
use crate::doors::{Caller, PairError};
use crate::pair_codes::CODE_TILLS_MAX;

/// Characters of a code as it is typed, with what people put between digits.
const CODE_CHARS_MAX: usize = 32;

/// Characters of a till's name.
const NAME_CHARS_MAX: usize = 64;

#[derive(Debug, OpenApi)]
#[openapi(paths(pair, make_code, tills, revoke))]
pub(super) struct Document;

/// The paths of this family.
pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/pair", post(pair))
        .route("/v1/pair-codes", post(make_code))
        .route("/v1/tills", get(tills))
        .route("/v1/tills/{till_id}", delete(revoke))
}

/// Pair a till: a code becomes a token.
///
/// The token is shown this once. A till that lost it is revoked and paired again; its receipt numbers go on.
#[utoipa::path(
    post, path = "/v1/pair",
    request_body = PairTill,
    responses(
        (status = 200, description = "Paired", body = TillToken),
        (status = 403, description = "No such code holds"),
        (status = 409, description = "Another till has this id"),
        (status = 422, description = "The store has too many tills, or the name does not fit"),
        (status = 429, description = "Too many wrong codes came from this address",
            headers(("Retry-After" = u32, description = "Seconds"))),
    )
)]
async fn pair(
    State(parts): State<ApiParts>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    command: Result<Json<PairTill>, JsonRejection>,
) -> Result<Json<TillToken>, ApiError> {
    let Json(pair) = command?;
    check_text("code", &pair.code, 1..=CODE_CHARS_MAX)?;
    check_text("name", &pair.name, 1..=NAME_CHARS_MAX)?;
    Ok(Json(parts.doors.pair(pair, from).await?))
}

/// Make a code by which tills pair. Only the owner of the agent's folder may: `breakwater-agent till pair-code`.
#[utoipa::path(
    post, path = "/v1/pair-codes", request_body = MakePairCode,
    responses(
        (status = 200, description = "The code", body = PairCode),
        (status = 422, description = "For no till, or too many"),
    )
)]
async fn make_code(
    State(parts): State<ApiParts>,
    caller: Caller,
    command: Result<Json<MakePairCode>, JsonRejection>,
) -> Result<Json<PairCode>, ApiError> {
    caller.owner_only()?;
    let Json(MakePairCode { tills }) = command?;
    if !(1..=CODE_TILLS_MAX).contains(&tills) {
        let text = format!("a code is for 1 to {CODE_TILLS_MAX} tills, not {tills}");
        return Err(Refused::rule("pair.tills", text).into());
    }
    Ok(Json(parts.doors.make_code(tills)?))
}

/// The tills that were paired.
#[utoipa::path(
    get, path = "/v1/tills",
    responses((status = 200, body = Vec<TillView>, example = json!([
        {"till_id": "T1", "name": "Counter, left", "paired_at_ms": 1772445600000_i64, "revoked_at_ms": null}
    ])))
)]
async fn tills(State(parts): State<ApiParts>) -> Result<Json<Vec<TillView>>, ApiError> {
    Ok(Json(parts.doors.tills().await?))
}

/// Take a till's token back. Only the owner of the agent's folder may: `breakwater-agent till revoke`.
#[utoipa::path(
    delete, path = "/v1/tills/{till_id}", params(("till_id" = TillId, Path)),
    responses(
        (status = 200, description = "Its token opens nothing any more", body = TillView),
        (status = 400, description = "Not a till's id"),
        (status = 403, description = "Who asks is not the owner of the folder"),
        (status = 404, description = "No such till is paired"),
    )
)]
async fn revoke(
    State(parts): State<ApiParts>,
    caller: Caller,
    till_id: Result<Path<String>, PathRejection>,
) -> Result<Json<TillView>, ApiError> {
    caller.owner_only()?;
    let till_id = till_id.ok().and_then(|Path(text)| text.parse::<TillId>().ok());
    let till_id = till_id.ok_or_else(|| ApiError::malformed("the till's id is none"))?;
    Ok(Json(parts.doors.revoke(till_id).await?))
}

impl From<PairError> for ApiError {
    fn from(error: PairError) -> Self {
        match error {
            PairError::Code => {
                let detail =
                    "no such code holds: it is used up or ten minutes old; `breakwater-agent till pair-code` makes one";
                Self::new(StatusCode::FORBIDDEN, "pair.code_wrong", "No such code", detail)
            }
            PairError::TooMany { wait } => {
                let detail = "too many wrong codes came from this address; nothing is taken from it for a while";
                let title = "Too many wrong codes";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "pair.too_many_wrong", title, detail)
                    .after(u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX))
            }
            PairError::Refused(refused) => refused.into(),
            PairError::Write(error) => error.into(),
        }
    }
}
