//! The reading part of the API.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use pos_model::{BusinessDate, SaleId, StoreId};
use protocol::latest::local_api::Problem;

use super::problem::ApiError;
use super::state::Api;
use super::to_wire;
use super::wire::{MissingReceipts, SaleJson, StoreDetail, StoreList, Totals, TotalsQuery};
use crate::ingest::utc_ms;
use crate::ledger::{Books, LedgerError, TotalsFilter};

const EPOCHS_MAX: u32 = 200;
const DUPLICATES_MAX: u32 = 200;
const DIFFERENCES_MAX: u32 = 200;
const OVER_REFUNDS_MAX: u32 = 200;
const MISSING_RUNS_MAX: u32 = 1_000;

/// Business dates in the totals of all stores when no date is named: a month.
const TOTALS_DAYS: i32 = 31;

/// Rows in one answer of totals: some 10 MB of text. A month of 1,600 stores, or a store's whole life, fits.
const TOTALS_ROWS_MAX: u32 = 50_000;

/// All stores.
#[utoipa::path(get, path = "/api/v1/stores", tag = "stores",
    responses((status = 200, body = StoreList), (status = 401, body = Problem)))]
pub(super) async fn stores(State(api): State<Api>) -> Result<Json<StoreList>, ApiError> {
    let view = api.fleet.view().await?;
    Ok(Json(StoreList { server_time_ms: view.at_ms, stores: view.stores.clone() }))
}

/// One store.
#[utoipa::path(get, path = "/api/v1/stores/{store_id}", tag = "stores",
    params(("store_id" = String, Path)),
    responses((status = 200, body = StoreDetail), (status = 404, body = Problem)))]
pub(super) async fn store(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<StoreDetail>, ApiError> {
    let id = store_id(&id)?;
    let name = id.clone();
    let found = api.readers.read(move |books| {
        let Some(row) = books.store(&id)? else { return Ok(None) };
        let differences = books.price_differences(&id, DIFFERENCES_MAX)?;
        let duplicates = books.duplicate_receipts(&id, DUPLICATES_MAX)?;
        let over_refunds = books.over_refunds(&id, OVER_REFUNDS_MAX)?;
        Ok(Some((row, books.epochs(&id, EPOCHS_MAX)?, duplicates, differences, over_refunds)))
    });
    let (row, epochs, duplicates, differences, over_refunds) = found.await?.ok_or_else(|| no_store(&name))?;
    let now_ms = utc_ms();
    let connected = api.is_connected(&row.store, row.last_contact_ms, now_ms);
    let store = to_wire::store(&row, connected, now_ms, api.parking);
    let epochs = epochs.iter().map(|epoch| to_wire::epoch(epoch, store.epoch.as_deref())).collect();
    let duplicate_receipts = duplicates.into_iter().map(to_wire::duplicate_receipt).collect();
    let price_differences = differences.into_iter().map(to_wire::price_difference).collect();
    let over_refunds = over_refunds.into_iter().map(Into::into).collect();
    Ok(Json(StoreDetail { store, epochs, duplicate_receipts, price_differences, over_refunds }))
}

/// The receipt numbers of a store that never arrived.
#[utoipa::path(get, path = "/api/v1/stores/{store_id}/receipts/missing", tag = "stores",
    params(("store_id" = String, Path)),
    responses((status = 200, body = MissingReceipts), (status = 404, body = Problem)))]
pub(super) async fn missing_receipts(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<MissingReceipts>, ApiError> {
    let id = store_id(&id)?;
    let name = id.clone();
    let found = api.readers.read(move |books| {
        if books.store(&id)?.is_none() {
            return Ok(None);
        }
        books.receipt_gaps(&id, MISSING_RUNS_MAX).map(Some)
    });
    let gaps = found.await?.ok_or_else(|| no_store(&name))?;
    let missing = gaps.into_iter().map(to_wire::missing_run).collect();
    Ok(Json(MissingReceipts { store_id: name.to_string(), missing }))
}

/// One sale.
#[utoipa::path(get, path = "/api/v1/sales/{sale_id}", tag = "sales",
    params(("sale_id" = String, Path)),
    responses((status = 200, body = SaleJson), (status = 404, body = Problem)))]
pub(super) async fn sale(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<SaleJson>, ApiError> {
    let uuid = uuid::Uuid::try_parse(&id).map_err(|_| ApiError::malformed("the sale id is not a UUID"))?;
    let found = api.readers.read(move |books| books.sale(&SaleId::new(uuid))).await?;
    let record = found.ok_or_else(|| ApiError::not_found(format!("no sale {uuid} was applied")))?;
    Ok(Json(to_wire::sale(record)))
}

/// Totals by store and business date. Without any filter: those of the newest 31 days. At most 50,000 rows; a question
/// that has more is answered with 422.
#[utoipa::path(get, path = "/api/v1/totals", tag = "sales", params(TotalsQuery),
    responses((status = 200, body = Totals), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem, description = "more rows than one answer holds: name a store or fewer dates")))]
pub(super) async fn totals(
    State(api): State<Api>,
    query: Result<Query<TotalsQuery>, QueryRejection>,
) -> Result<Json<Totals>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let mut filter = totals_filter(&query)?;
    known_store(&api, filter.store.as_ref()).await?;
    let found = api.readers.read(move |books| {
        if filter.store.is_none() && filter.from.is_none() && filter.to.is_none() {
            filter.from = newest_days(books)?;
        }
        let days = books.totals(&filter)?;
        Ok((filter, days))
    });
    let (filter, days) = found.await?;
    if days.len() > TOTALS_ROWS_MAX as usize {
        let detail = format!("the question has more than {TOTALS_ROWS_MAX} rows: name a store or fewer dates");
        return Err(ApiError::too_much(detail));
    }
    Ok(Json(to_wire::totals(&filter, days)))
}

pub(super) fn totals_filter(query: &TotalsQuery) -> Result<TotalsFilter, ApiError> {
    let date = |name: &str, text: Option<&String>| match text {
        None => Ok(None),
        Some(text) => text
            .parse::<BusinessDate>()
            .map(Some)
            .map_err(|_| ApiError::malformed(format!("{name} is not a date of the form YYYY-MM-DD"))),
    };
    Ok(TotalsFilter {
        store: query.store.as_deref().map(store_id).transpose()?,
        from: date("from", query.from.as_ref())?,
        to: date("to", query.to.as_ref())?,
        // One more tells that there are more.
        rows_max: Some(TOTALS_ROWS_MAX + 1),
    })
}

/// From when on the totals of all stores are shown when no date is named. A date in the future, which a wrong clock may
/// claim, must not push the others out.
pub(super) fn newest_days(books: &(impl Books + ?Sized)) -> Result<Option<BusinessDate>, LedgerError> {
    let newest = books.newest_date(utc_ms())?;
    Ok(newest.map(|date| BusinessDate::from_days(i64::from(date.days() - (TOTALS_DAYS - 1)))))
}

pub(super) fn store_id(text: &str) -> Result<StoreId, ApiError> {
    StoreId::new(text).map_err(|error| ApiError::malformed(error.to_string()))
}

/// A mistyped id is an error, and not a store of which there is nothing.
pub(super) async fn known_store(api: &Api, store: Option<&StoreId>) -> Result<(), ApiError> {
    let Some(store) = store.cloned() else { return Ok(()) };
    let asked = store.clone();
    let found = api.readers.read(move |books| books.store(&asked)).await?;
    found.map(drop).ok_or_else(|| no_store(&store))
}

pub(super) fn no_store(store: &StoreId) -> ApiError {
    ApiError::not_found(format!("no store {store}"))
}
