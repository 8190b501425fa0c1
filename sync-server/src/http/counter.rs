//! The part of the API that tells what happened at the counter beside sales.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use pos_model::StoreId;
use protocol::latest::local_api::Problem;

use super::api::{no_store, store_id};
use super::counter_wire::{MissingZ, PageQuery, RefundPage, ShiftPage};
use super::problem::ApiError;
use super::state::Api;
use crate::ledger::{LedgerError, Reader, StorePage};

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 200;
const MISSING_RUNS_MAX: u32 = 1_000;

/// The refunds of a store, the newest first.
#[utoipa::path(get, path = "/api/v1/stores/{store_id}/refunds", tag = "stores",
    params(("store_id" = String, Path), PageQuery),
    responses((status = 200, body = RefundPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn refunds(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<RefundPage>, ApiError> {
    let page = page(&id, query)?;
    let limit = page.limit as usize;
    let found = of_store(&api, page.store.clone(), move |books| books.refunds(&page)).await?;
    let next_before = found.last().map(|refund| refund.event_no).filter(|_| found.len() == limit);
    Ok(Json(RefundPage { store_id: id, refunds: found.into_iter().map(Into::into).collect(), next_before }))
}

/// The shifts of a store: the first page begins with those that are open; then come those that are closed, the newest
/// first, each with its Z report.
#[utoipa::path(get, path = "/api/v1/stores/{store_id}/shifts", tag = "stores",
    params(("store_id" = String, Path), PageQuery),
    responses((status = 200, body = ShiftPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn shifts(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<ShiftPage>, ApiError> {
    let page = page(&id, query)?;
    let limit = page.limit as usize;
    let found = of_store(&api, page.store.clone(), move |books| books.shifts(&page)).await?;
    let next_before = found.last().filter(|shift| found.len() == limit && shift.report.is_some());
    let next_before = next_before.map(|shift| shift.event_no);
    Ok(Json(ShiftPage { store_id: id, shifts: found.into_iter().map(Into::into).collect(), next_before }))
}

/// The Z reports of a store that never arrived.
#[utoipa::path(get, path = "/api/v1/stores/{store_id}/z-reports/missing", tag = "stores",
    params(("store_id" = String, Path)),
    responses((status = 200, body = MissingZ), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn missing_z(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<MissingZ>, ApiError> {
    let store = store_id(&id)?;
    let asked = store.clone();
    let gaps = of_store(&api, store, move |books| books.z_gaps(&asked, MISSING_RUNS_MAX)).await?;
    Ok(Json(MissingZ { store_id: id, missing: gaps.into_iter().map(Into::into).collect() }))
}

fn page(id: &str, query: Result<Query<PageQuery>, QueryRejection>) -> Result<StorePage, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    Ok(StorePage { store: store_id(id)?, before: query.before, limit })
}

/// Reads something of a store; a mistyped id is an error.
async fn of_store<T: Send + 'static>(
    api: &Api,
    store: StoreId,
    read: impl FnOnce(&dyn Reader) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, ApiError> {
    let asked = store.clone();
    let found = api.readers.read(move |books| match books.store(&asked)? {
        None => Ok(None),
        Some(_) => read(books).map(Some),
    });
    found.await?.ok_or_else(|| no_store(&store))
}
