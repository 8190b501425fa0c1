//! The part of the API that tells which business dates differed from what the stores hold.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use pos_model::BusinessDate;
use protocol::latest::local_api::Problem;

use super::api::store_id;
use super::problem::ApiError;
use super::reconcile_wire::{ReconciliationPage, ReconciliationQuery};
use super::state::Api;
use crate::ledger::ReconciliationFilter;

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 200;

/// The business dates that differed from what the stores hold, the newest first.
#[utoipa::path(get, path = "/api/v1/reconciliation", tag = "reconciliation", params(ReconciliationQuery),
    responses((status = 200, body = ReconciliationPage), (status = 400, body = Problem)))]
pub(super) async fn reconciliation(
    State(api): State<Api>,
    query: Result<Query<ReconciliationQuery>, QueryRejection>,
) -> Result<Json<ReconciliationPage>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let date = query.date.as_deref().map(str::parse::<BusinessDate>).transpose();
    let filter = ReconciliationFilter {
        store: query.store.as_deref().map(store_id).transpose()?,
        business_date: date.map_err(|_| ApiError::malformed("date is not a date of the form YYYY-MM-DD"))?,
        open_only: query.open.unwrap_or_default(),
        before: query.before,
        limit,
    };
    let found = api.readers.read(move |books| books.reconciliations(&filter)).await?;
    let next_before = found.last().map(|row| row.reconciliation_no).filter(|_| found.len() == limit as usize);
    Ok(Json(ReconciliationPage { differences: found.into_iter().map(Into::into).collect(), next_before }))
}
