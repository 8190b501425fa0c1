//! Console, API, enrolment and metrics over HTTP.
//!
//! Everything here reads on connections of its own and never holds the ingest up. What writes is an enrolment, a transaction
//! of two rows, and what somebody does about parked events, which the thread of the ledger does between two groups. `wire` is what the API says, `to_wire` converts, `problem` is how every error
//! looks, `fleet` is the view that console and metrics share.

mod access;
mod alerts;
mod api;
mod counter;
mod counter_wire;
mod credit;
mod enroll;
mod fleet;
mod health;
mod instances;
mod listen;
mod live;
mod parked;
mod patience;
mod problem;
mod readers;
mod reconcile;
mod reconcile_wire;
mod rollups;
mod rollups_wire;
mod state;
mod to_wire;
pub mod wire;

use std::sync::Arc;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use utoipa::OpenApi;

pub use access::{ApiToken, TokenError};
pub use enroll::MqttAddress;
pub use fleet::Fleet;
pub use health::{Exporter, ListenerUp};
pub(crate) use listen::{HttpLimits, HttpListener, bind};
pub use readers::Readers;
pub(crate) use state::cut;
pub use state::{Api, ApiParts, SharedRegistry};
pub(crate) use {
    to_wire::parked as parked_to_wire, to_wire::parked_in_full, to_wire::store as store_to_wire,
    to_wire::totals as totals_to_wire,
};

use crate::console;

/// An enrolment is a few hundred bytes, a thousand numbers of parked events a few thousand; only a fix is larger.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The API as OpenAPI describes it.
#[derive(OpenApi)]
#[openapi(
    info(title = "Breakwater server", description = "What head office sees of its stores, and how a store enrols."),
    paths(
        api::stores,
        api::store,
        api::missing_receipts,
        counter::refunds,
        counter::shifts,
        counter::missing_z,
        api::sale,
        api::totals,
        alerts::alerts,
        rollups::state,
        rollups::hours,
        rollups::items,
        rollups::promotions,
        parked::list,
        parked::one,
        parked::fix,
        parked::waive,
        parked::replay,
        reconcile::reconciliation,
        credit::credit,
        credit::set_limit,
        enroll::enroll,
        instances::instances,
        live::live,
        openapi,
        health::healthz,
        health::readyz,
        health::metrics
    )
)]
struct Description;

/// The routes. Console, health and enrolment ask for no token: the page has no data of its own, and a claim code is one.
pub fn router(api: Api, token: Option<ApiToken>) -> axum::Router {
    let token = Arc::new(token);
    let guarded = axum::Router::new()
        .route("/api/v1/stores", get(api::stores))
        .route("/api/v1/stores/{store_id}", get(api::store))
        .route("/api/v1/stores/{store_id}/receipts/missing", get(api::missing_receipts))
        .route("/api/v1/stores/{store_id}/refunds", get(counter::refunds))
        .route("/api/v1/stores/{store_id}/shifts", get(counter::shifts))
        .route("/api/v1/stores/{store_id}/z-reports/missing", get(counter::missing_z))
        .route("/api/v1/sales/{sale_id}", get(api::sale))
        .route("/api/v1/totals", get(api::totals))
        .route("/api/v1/alerts", get(alerts::alerts))
        .route("/api/v1/rollups", get(rollups::state))
        .route("/api/v1/rollups/hours", get(rollups::hours))
        .route("/api/v1/rollups/items", get(rollups::items))
        .route("/api/v1/rollups/promotions", get(rollups::promotions))
        .route("/api/v1/parked", get(parked::list))
        .route("/api/v1/parked/replay", post(parked::replay))
        .route("/api/v1/parked/{parked_no}", get(parked::one))
        .route("/api/v1/parked/{parked_no}/fix", post(parked::fix).layer(DefaultBodyLimit::max(parked::FIX_BYTES_MAX)))
        .route("/api/v1/parked/{parked_no}/waive", post(parked::waive))
        .route("/api/v1/reconciliation", get(reconcile::reconciliation))
        .route("/api/v1/credit", get(credit::credit))
        .route("/api/v1/credit/limit", put(credit::set_limit))
        .route("/api/v1/instances", get(instances::instances))
        .route("/api/v1/live", get(live::live))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/metrics", get(health::metrics))
        .layer(middleware::from_fn_with_state(token, access::require_token));
    guarded
        .route("/", get(console::page))
        .route("/api/v1/enroll", post(enroll::enroll))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(harden))
        .with_state(api)
}

/// Serves the routes until `shutdown` resolves.
pub(crate) async fn serve(
    listener: HttpListener,
    router: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<enroll::Peer>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

/// The description of the API.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "service", responses((status = 200, body = Object)))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(description())
}

async fn nothing_here() -> Response {
    problem::ApiError::not_found("no such path; the API is described at /api/v1/openapi.json").into_response()
}

async fn wrong_method() -> Response {
    problem::ApiError::wrong_method().into_response()
}

/// Answers are for whoever asked, and are what they say they are.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
