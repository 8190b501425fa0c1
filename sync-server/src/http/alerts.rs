//! What needs a person, of all stores, in one list.

use axum::Json;
use axum::extract::State;
use protocol::latest::local_api::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::ApiError;
use super::state::Api;
use super::wire::{AlertJson, Severity};

/// `GET /api/v1/alerts`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertList {
    /// The server's clock.
    server_time_ms: i64,
    /// What needs a person, alarms first.
    alerts: Vec<AlertOfStore>,
}

/// What needs a person, and where.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertOfStore {
    /// The store; null for what is about all of them.
    store_id: Option<String>,
    #[serde(flatten)]
    alert: AlertJson,
}

/// What needs a person: alerts of all stores, and of the parked events together.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "stores",
    responses((status = 200, body = AlertList), (status = 401, body = Problem)))]
pub(super) async fn alerts(State(api): State<Api>) -> Result<Json<AlertList>, ApiError> {
    let view = api.fleet.view().await?;
    let of_all = view.parking.iter().map(|alert| AlertOfStore { store_id: None, alert: alert.clone() });
    let of_stores = view.stores.iter().flat_map(|store| {
        let of = |alert: &AlertJson| AlertOfStore { store_id: Some(store.store_id.clone()), alert: alert.clone() };
        store.alerts.iter().map(of)
    });
    let mut alerts: Vec<_> = of_all.chain(of_stores).collect();
    alerts.sort_by_key(|one| one.alert.severity != Severity::Alarm);
    Ok(Json(AlertList { server_time_ms: view.at_ms, alerts }))
}
