//! The state of the store, for a screen that begins or was away.

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::get;
use pos_model::BusinessDate;
use protocol::latest::state::StateView;
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use crate::db::KeptAttempt;

#[derive(Debug, OpenApi)]
#[openapi(paths(state))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new().route("/v1/state", get(state))
}

/// Everything that a screen shows and that changes: baskets, shifts, what is sold out, cups, payments.
///
/// Its `version` is where `GET /v1/events?since=` goes on.
#[utoipa::path(get, path = "/v1/state", responses((status = 200, body = StateView)))]
async fn state(State(parts): State<ApiParts>) -> Result<Json<StateView>, ApiError> {
    // Read before the state: what changes in between is told again, and nothing is missed.
    let version = parts.changes.version().to_string();
    let today = BusinessDate::of(parts.writer.clock().now(), parts.counter.cut_off);
    let training = parts.is_training;
    let read = parts.readers.read(move |view| {
        Ok(StateView {
            version,
            training,
            baskets: view.baskets()?,
            shifts: view.shifts(None)?,
            sold_out: view.sold_out(today)?,
            cups: view.kitchen(None)?,
            payments: view.unsettled_attempts()?.iter().map(KeptAttempt::view).collect(),
        })
    });
    Ok(Json(read.await?))
}
