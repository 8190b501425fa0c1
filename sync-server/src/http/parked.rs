//! Parked events over HTTP: what waits, what was done about it, and doing it.
//!
//! What changes the ledger's facts is done by the thread that owns the writing connection, a bounded piece at a time.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use protocol::latest::local_api::Problem;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::api::{known_store, store_id};
use super::problem::ApiError;
use super::state::Api;
use super::to_wire;
use super::wire::{ParkedJson, ParkedPage, ParkedQuery};
use crate::ingest::utc_ms;
use crate::ledger::{Correction, Ledger, LedgerError, NUMBERS_MAX, Note, ParkedFilter, ParkedRefused, ParkedState};

const PAGE: u32 = 100;
const PAGE_MAX: u32 = 500;

/// A corrected event as JSON, and who gives it: an event of the largest size, written out with names.
pub(super) const FIX_BYTES_MAX: usize = 512 * 1024;

/// How long a request waits for the thread that writes, before it is given up: longer than any group takes.
const WRITER_PATIENCE: Duration = Duration::from_secs(20);

/// How long one request tries events again, before it says how to go on.
const REPLAY_PATIENCE: Duration = Duration::from_secs(3);

/// Parked events: the open ones, or those of another state.
#[utoipa::path(get, path = "/api/v1/parked", tag = "parked", params(ParkedQuery),
    responses((status = 200, body = ParkedPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<ParkedQuery>, QueryRejection>,
) -> Result<Json<ParkedPage>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let store = query.store.as_deref().map(store_id).transpose()?;
    known_store(&api, store.as_ref()).await?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let filter = ParkedFilter {
        store,
        reason: query.reason,
        kind: query.kind,
        state: state(query.state.as_deref())?,
        parked_from_ms: query.parked_from_ms,
        parked_before_ms: query.parked_before_ms,
        numbers: Vec::new(),
        after: query.after.unwrap_or_default(),
        limit,
    };
    let events = api.readers.read(move |books| books.parked(&filter)).await?;
    let full = events.len() == limit as usize;
    let next_after = events.last().map(|event| event.parked_no).filter(|_| full);
    Ok(Json(ParkedPage { parked: events.iter().map(to_wire::parked).collect(), next_after }))
}

fn state(word: Option<&str>) -> Result<Option<ParkedState>, ApiError> {
    match word {
        None => Ok(Some(ParkedState::Open)),
        Some("all") => Ok(None),
        Some(word) => ParkedState::parse(word)
            .filter(|state| *state != ParkedState::Applied)
            .map(Some)
            .ok_or_else(|| ApiError::malformed("the state is none of open, waived, fixed and all")),
    }
}

/// One event that is parked, or was, with what people did about it.
#[utoipa::path(get, path = "/api/v1/parked/{parked_no}", tag = "parked",
    params(("parked_no" = i64, Path)),
    responses((status = 200, body = ParkedJson), (status = 404, body = Problem)))]
pub(super) async fn one(State(api): State<Api>, Path(number): Path<String>) -> Result<Json<ParkedJson>, ApiError> {
    shown(&api, parse(&number)?).await
}

fn parse(number: &str) -> Result<i64, ApiError> {
    number.parse().map_err(|_| ApiError::malformed("the number is not a number"))
}

async fn shown(api: &Api, number: i64) -> Result<Json<ParkedJson>, ApiError> {
    let found = api.readers.read(move |books| {
        let event = books.parked_event(number)?;
        event.map(|event| Ok((event, books.parked_actions(number)?))).transpose()
    });
    let (event, actions) = found.await?.ok_or_else(|| refused(&ParkedRefused::Unknown(number)))?;
    Ok(Json(to_wire::parked_in_full(&event, actions)))
}

/// `POST /api/v1/parked/{parked_no}/fix`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FixRequest {
    /// Who does this.
    by: String,
    /// Why.
    why: String,
    /// The corrected event, in the form in which `GET /api/v1/parked/{parked_no}` shows one: `event` is what it says, and
    /// `kind` and `event_id` are needed only where the original's cannot be read. What else of the answer is repeated here
    /// must be as it was.
    #[schema(value_type = Object)]
    content: Correction,
}

/// `POST /api/v1/parked/{parked_no}/waive`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaiveRequest {
    /// Who does this.
    by: String,
    /// Why.
    why: String,
}

/// `POST /api/v1/parked/replay`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayRequest {
    /// Who does this.
    by: String,
    /// Why.
    why: String,
    /// Only these events, waived ones too; at most 1,000. Without it the open ones that all of the rest picks.
    #[serde(default)]
    numbers: Vec<i64>,
    /// Of this store.
    store: Option<String>,
    /// Parked for this reason.
    reason: Option<String>,
    /// Of this kind, such as `sale_completed`.
    kind: Option<String>,
    /// Parked at this time or later.
    parked_from_ms: Option<i64>,
    /// Parked before this time.
    parked_before_ms: Option<i64>,
    /// Go on behind this number: `next_after` of the answer before.
    #[serde(default)]
    after: i64,
}

/// What a replay did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayJson {
    /// Events tried.
    looked_at: usize,
    /// Those of them that count now.
    applied: usize,
    /// Those that stay parked.
    still_parked: usize,
    /// `after` of the next request, if there is more to try.
    next_after: Option<i64>,
}

/// Puts other content in the place of a parked event, under whose place and id it counts. The bytes as they came stay.
#[utoipa::path(post, path = "/api/v1/parked/{parked_no}/fix", tag = "parked",
    params(("parked_no" = i64, Path)), request_body = FixRequest,
    responses((status = 200, body = ParkedJson), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "it was applied or fixed meanwhile"),
        (status = 422, body = Problem, description = "the content must not, or cannot, count"),
        (status = 503, body = Problem)))]
pub(super) async fn fix(
    State(api): State<Api>,
    Path(number): Path<String>,
    request: Result<Json<FixRequest>, JsonRejection>,
) -> Result<Json<ParkedJson>, ApiError> {
    let number = parse(&number)?;
    let Json(FixRequest { by, why, content }) = request.map_err(unreadable)?;
    let note = note(&by, &why)?;
    let done = on_ledger(&api, move |ledger| ledger.fix(number, &content, &note, utc_ms())).await?;
    done.map_err(|refusal| refused(&refusal))?;
    tracing::info!(parked_no = number, by, "parked event fixed");
    shown(&api, number).await
}

/// Says that a parked event is never to count. Nothing is thrown away.
#[utoipa::path(post, path = "/api/v1/parked/{parked_no}/waive", tag = "parked",
    params(("parked_no" = i64, Path)), request_body = WaiveRequest,
    responses((status = 200, body = ParkedJson), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "it was applied, fixed or waived meanwhile"),
        (status = 503, body = Problem)))]
pub(super) async fn waive(
    State(api): State<Api>,
    Path(number): Path<String>,
    request: Result<Json<WaiveRequest>, JsonRejection>,
) -> Result<Json<ParkedJson>, ApiError> {
    let number = parse(&number)?;
    let Json(WaiveRequest { by, why }) = request.map_err(unreadable)?;
    let note = note(&by, &why)?;
    let done = on_ledger(&api, move |ledger| ledger.waive(number, &note, utc_ms())).await?;
    done.map_err(|refusal| refused(&refusal))?;
    tracing::info!(parked_no = number, by, "parked event waived");
    shown(&api, number).await
}

/// Tries parked events again for some seconds, and says how to go on. What cannot be applied stays parked, with the reason
/// that it has at this time. May be given up at any place and done again.
#[utoipa::path(post, path = "/api/v1/parked/replay", tag = "parked", request_body = ReplayRequest,
    responses((status = 200, body = ReplayJson), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn replay(
    State(api): State<Api>,
    request: Result<Json<ReplayRequest>, JsonRejection>,
) -> Result<Json<ReplayJson>, ApiError> {
    let Json(request) = request.map_err(unreadable)?;
    let note = note(&request.by, &request.why)?;
    if request.numbers.len() > NUMBERS_MAX {
        return Err(ApiError::malformed(format!("more than {NUMBERS_MAX} numbers")));
    }
    let store = request.store.as_deref().map(store_id).transpose()?;
    known_store(&api, store.as_ref()).await?;
    let filter = ParkedFilter {
        store,
        reason: request.reason,
        kind: request.kind,
        state: None,
        parked_from_ms: request.parked_from_ms,
        parked_before_ms: request.parked_before_ms,
        numbers: request.numbers,
        after: request.after,
        limit: 0,
    }
    .to_try();
    let started = Instant::now();
    let (mut done, mut after) = ((0, 0), Some(filter.after));
    while let Some(behind) = after.filter(|_| started.elapsed() < REPLAY_PATIENCE) {
        let (filter, note) = (ParkedFilter { after: behind, ..filter.clone() }, note.clone());
        let step = on_ledger(&api, move |ledger| ledger.replay(&filter, Some(&note), utc_ms())).await?;
        done = (done.0 + step.looked_at, done.1 + step.applied);
        after = step.next;
    }
    let (looked_at, applied) = done;
    tracing::info!(looked_at, applied, by = request.by, "parked events tried again");
    Ok(Json(ReplayJson { looked_at, applied, still_parked: looked_at - applied, next_after: after }))
}

fn unreadable(rejection: JsonRejection) -> ApiError {
    ApiError::malformed(rejection.body_text())
}

fn note(by: &str, why: &str) -> Result<Note, ApiError> {
    Note::new(by, why).map_err(|error| ApiError::malformed(error.to_string()))
}

fn refused(refusal: &ParkedRefused) -> ApiError {
    match refusal {
        ParkedRefused::Unknown(_) => ApiError::not_found(refusal.to_string()),
        refusal if refusal.is_conflict() => ApiError::parked_conflict(refusal.to_string()),
        refusal => ApiError::parked_refused(refusal.to_string()),
    }
}

/// Has work done by the thread that writes.
async fn on_ledger<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&mut dyn Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, ApiError> {
    match timeout(WRITER_PATIENCE, api.ingest.with_ledger(work)).await {
        Ok(Some(done)) => Ok(done?),
        Ok(None) => Err(ApiError::unavailable("the server stops, or has too much of this to do")),
        Err(_) => Err(ApiError::unavailable("the ledger takes no writes at the moment")),
    }
}
