//! The kitchen: what stations make, what is ready, and the call screen.

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use pos_model::Tag;
use protocol::latest::kitchen::{CallScreen, CupsView, StepCups};
use serde::Deserialize;
use till::kitchen::Step;
use utoipa::OpenApi;
use uuid::Uuid;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Said, answer, commands};

commands!(StepCups);

#[derive(Debug, OpenApi)]
#[openapi(paths(station, order, call_screen, bump, recall, hand_over))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/kitchen", get(station))
        .route("/v1/kitchen/call-screen", get(call_screen))
        .route("/v1/kitchen/orders/{order_id}", get(order))
        .route("/v1/kitchen/bump", post(bump))
        .route("/v1/kitchen/recall", post(recall))
        .route("/v1/kitchen/hand-over", post(hand_over))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StationQuery {
    station: Option<String>,
}

/// What a station has before it: cups that are queued, being made, ready, or were voided after they were sent.
///
/// The oldest order first. Of more than 300 the newest are shown, and `more` is true.
#[utoipa::path(
    get, path = "/v1/kitchen",
    params(("station" = Option<Tag>, Query, description = "The station, by its key in the price book; all of them if left out", example = "bar")),
    responses(
        (status = 200, body = CupsView, example = json!({"cups": [], "more": false})),
        (status = 400, description = "Not a station's key"),
    )
)]
async fn station(
    State(parts): State<ApiParts>,
    query: Result<Query<StationQuery>, QueryRejection>,
) -> Result<Json<CupsView>, ApiError> {
    let Query(StationQuery { station }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let station = station.map(Tag::new).transpose().map_err(|error| ApiError::malformed(error.to_string()))?;
    Ok(Json(parts.readers.read(move |view| view.kitchen(station.as_ref())).await?))
}

/// All cups of an order, with those that are handed over or voided.
#[utoipa::path(
    get, path = "/v1/kitchen/orders/{order_id}",
    params(("order_id" = String, Path, format = "uuid", example = "01990000-0000-7000-8000-000000000012", description = "The basket, or the sale that was sent without one")),
    responses(
        (status = 200, body = CupsView, example = json!({"cups": [], "more": false})),
        (status = 404, description = "Nothing of it was sent to a station, or it was too long ago"),
    )
)]
async fn order(
    State(parts): State<ApiParts>,
    order_id: Result<Path<String>, PathRejection>,
) -> Result<Json<CupsView>, ApiError> {
    let order_id = order_id.ok().and_then(|Path(text)| Uuid::parse_str(&text).ok());
    let order_id = order_id.ok_or_else(|| ApiError::malformed("the order id is not a UUID"))?;
    let cups = parts.readers.read(move |view| view.kitchen_order(order_id)).await?;
    cups.map(Json).ok_or_else(|| {
        let detail = format!("nothing of order {order_id} was sent to a station");
        ApiError::new(StatusCode::NOT_FOUND, "cup.unknown", "No such order", detail)
    })
}

/// What customers see: the numbers that are ready, and those that are being made. The newest first, at most 50 of each.
#[utoipa::path(
    get, path = "/v1/kitchen/call-screen",
    responses(
        (status = 200, body = CallScreen, example = json!({"ready": [{"pickup_no": 12, "label": null, "since_ms": 1_772_445_600_000i64}], "making": []})),
    )
)]
async fn call_screen(State(parts): State<ApiParts>) -> Result<Json<CallScreen>, ApiError> {
    Ok(Json(parts.readers.read(|view| view.call_screen()).await?))
}

/// Moves cups one step on: queued, making, ready, handed. Of a voided cup it says that the station has seen it.
#[utoipa::path(
    post, path = "/v1/kitchen/bump", request_body = StepCups,
    responses(
        (status = 200, description = "The cups that have moved, now or before", body = CupsView, example = json!({"cups": [], "more": false})),
        (status = 404, description = "No such cup or order"),
        (status = 409, description = "The command_id has other content, or the cup is not in the state `from`"),
        (status = 422, description = "It breaks a rule: the cup is handed over already"),
    )
)]
async fn bump(State(parts): State<ApiParts>, said: Said<StepCups>) -> Result<Json<CupsView>, ApiError> {
    step(parts, Step::Bump, said).await
}

/// Moves cups one step back: what was ready is made again, what was handed over stands ready. Within an hour.
#[utoipa::path(
    post, path = "/v1/kitchen/recall",
    request_body(content = StepCups, example = json!({"command_id": "01990000-0000-7000-8000-000000000021", "till_id": "T1", "pickup_no": 1})),
    responses(
        (status = 200, description = "The cups that have moved, now or before", body = CupsView, example = json!({"cups": [], "more": false})),
        (status = 404, description = "No such cup or order"),
        (status = 409, description = "The command_id has other content, or the cup is not in the state `from`"),
        (status = 422, description = "It breaks a rule: nothing to recall, or too late"),
    )
)]
async fn recall(State(parts): State<ApiParts>, said: Said<StepCups>) -> Result<Json<CupsView>, ApiError> {
    step(parts, Step::Recall, said).await
}

/// Hands cups over to the customer, however far they are marked to be. What is handed over already stays so.
#[utoipa::path(
    post, path = "/v1/kitchen/hand-over",
    request_body(content = StepCups, example = json!({"command_id": "01990000-0000-7000-8000-000000000022", "till_id": "T1", "pickup_no": 1})),
    responses(
        (status = 200, description = "The cups that the customer has", body = CupsView, example = json!({"cups": [], "more": false})),
        (status = 404, description = "No such cup or order"),
        (status = 409, description = "The command_id has other content, or the cup is not in the state `from`"),
        (status = 422, description = "It breaks a rule: the cup was voided"),
    )
)]
async fn hand_over(State(parts): State<ApiParts>, said: Said<StepCups>) -> Result<Json<CupsView>, ApiError> {
    step(parts, Step::HandOver, said).await
}

async fn step(parts: ApiParts, step: Step, said: Said<StepCups>) -> Result<Json<CupsView>, ApiError> {
    let Said { command, key } = said;
    let once = parts.writer.once(key, move |store, moment| store.step_cups(moment, step, &command)).await?;
    answer(once)
}
