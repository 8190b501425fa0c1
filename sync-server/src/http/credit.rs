//! How fast stores may send, why, and the operator's limit.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use protocol::latest::local_api::Problem;
use serde::{Deserialize, Serialize};
use sync_core::server::credit::{CreditState, Reason};
use utoipa::ToSchema;

use super::problem::ApiError;
use super::state::Api;

/// The smallest limit, in events a second: with less, a chain would never be square again.
const EVENTS_PER_S_MIN: u64 = 10;

/// How fast stores may send at present, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CreditJson {
    /// `open`: nobody waits for a turn. `growing`: stores wait, and all is well. `limited`: the operator's limit holds messages
    /// back. `cut`: messages waited too long, or too many waited, or a commit failed: fewer are let in. `failing`: commits fail.
    pub(super) reason: &'static str,
    /// The same in words.
    pub(super) text: String,
    /// Events that may be on their way from stores with a backlog, sent or about to be, and not yet committed.
    pub(super) window_events: u64,
    /// Events that are.
    pub(super) on_their_way_events: u64,
    /// Events that the next batch of a store may hold.
    pub(super) batch_events: u32,
    /// Stores that wait for their turn.
    pub(super) stores_waiting: usize,
    /// How long messages waited from their arrival to the end of their commit lately, in milliseconds.
    pub(super) lag_ms: u64,
    /// How long they may.
    pub(super) lag_target_ms: u64,
    /// Events committed a second lately.
    pub(super) committed_per_s: u64,
    /// How often less was let in, since the server began.
    pub(super) cuts: u64,
    /// The operator's limit on events that are committed a second.
    pub(super) events_per_s_max: Option<u64>,
}

impl From<CreditState> for CreditJson {
    fn from(state: CreditState) -> Self {
        let waiting = match state.stores_waiting {
            0 => "no store waits for its turn".to_owned(),
            1 => "one store waits for its turn".to_owned(),
            stores => format!("{stores} stores wait for their turn"),
        };
        let why = if state.failures > 0 {
            format!("the last {} commits failed; stores come back within seconds when one works", state.failures)
        } else if state.reason == Reason::Limited {
            format!("the limit holds messages back, by {} ms lately", state.lag_ms)
        } else if state.lag_ms > state.lag_ms_target {
            format!("messages wait {} ms for their commit, {} ms is the aim", state.lag_ms, state.lag_ms_target)
        } else if state.reason == Reason::Cut {
            "too many messages waited, or a commit failed a moment ago".to_owned()
        } else {
            format!("messages are committed within {} ms", state.lag_ms)
        };
        let limit = state.cap_per_s.map_or_else(String::new, |per_s| format!("; the limit is {per_s} events a second"));
        Self {
            reason: state.reason.as_str(),
            text: format!("{waiting}; {why}{limit}"),
            window_events: state.window_events,
            on_their_way_events: state.on_their_way_events,
            batch_events: state.batch_events,
            stores_waiting: state.stores_waiting,
            lag_ms: state.lag_ms,
            lag_target_ms: state.lag_ms_target,
            committed_per_s: state.committed_per_s,
            cuts: state.cuts,
            events_per_s_max: state.cap_per_s,
        }
    }
}

/// `PUT /api/v1/credit/limit`
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetLimit {
    /// Events that may be committed a second, 10 or more; none without one.
    events_per_s_max: Option<u64>,
}

/// How fast stores may send, and why.
#[utoipa::path(get, path = "/api/v1/credit", tag = "credit", responses((status = 200, body = CreditJson)))]
pub(super) async fn credit(State(api): State<Api>) -> Json<CreditJson> {
    Json(api.ingest.credit().into())
}

/// Sets the operator's limit of this server until it ends: several servers on a database have one each. `ingest.events_per_second_max` in its configuration stays as it is.
#[utoipa::path(put, path = "/api/v1/credit/limit", tag = "credit", request_body = SetLimit,
    responses((status = 200, body = CreditJson), (status = 400, body = Problem)))]
pub(super) async fn set_limit(
    State(api): State<Api>,
    limit: Result<Json<SetLimit>, JsonRejection>,
) -> Result<Json<CreditJson>, ApiError> {
    let Json(SetLimit { events_per_s_max }) = limit.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    if events_per_s_max.is_some_and(|per_s| per_s < EVENTS_PER_S_MIN) {
        return Err(ApiError::malformed(format!("the limit is below {EVENTS_PER_S_MIN} events a second")));
    }
    api.ingest.set_events_per_s_max(events_per_s_max);
    tracing::info!(events_per_s_max, "limit set");
    Ok(Json(api.ingest.credit().into()))
}
