//! From a receipt on paper to its sale.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use pos_model::TillId;
use protocol::latest::local_api::SaleView;
use serde::Deserialize;
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::{ApiParts, recorded};

#[derive(Debug, OpenApi)]
#[openapi(paths(find))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new().route("/v1/sales", get(find))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptQuery {
    till_id: String,
    receipt_no: u64,
}

/// Find a sale by its receipt: `T1-482` is receipt 482 of till T1.
///
/// The QR code on a receipt is the sale's id without dashes, with which `GET /v1/sales/{sale_id}` reads it.
#[utoipa::path(
    get, path = "/v1/sales",
    params(
        ("till_id" = String, Query, description = "The till on the receipt", example = "T1"),
        ("receipt_no" = u64, Query, description = "The number behind it", example = 482),
    ),
    responses(
        (status = 200, body = SaleView),
        (status = 400, description = "Not a till and a number"),
        (status = 404, description = "No such sale; with key sale.is_refund it is the slip of a refund, which is named"),
        (status = 410, description = "Confirmed by the centre and no longer held here"),
    )
)]
async fn find(
    State(parts): State<ApiParts>,
    query: Result<Query<ReceiptQuery>, QueryRejection>,
) -> Result<Json<SaleView>, ApiError> {
    let Query(ReceiptQuery { till_id, receipt_no }) =
        query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let till_id: TillId =
        till_id.parse().map_err(|error: pos_model::InvalidId| ApiError::malformed(error.to_string()))?;
    let unknown = format!("no sale has receipt {till_id}-{receipt_no} here");
    let looked_up = move |view: crate::db::View<'_>| {
        let sale_id = view.sale_of_receipt(&till_id, receipt_no)?;
        let refund_id = if sale_id.is_none() { view.refund_of_receipt(&till_id, receipt_no)? } else { None };
        Ok((sale_id, refund_id))
    };
    match parts.readers.read(looked_up).await? {
        (Some(sale_id), _) => recorded(&parts, sale_id).await,
        (None, Some(refund_id)) => {
            let text = format!("{unknown}: it is the slip of refund {refund_id}");
            Err(ApiError::new(StatusCode::NOT_FOUND, "sale.is_refund", "The receipt of a refund", text))
        }
        (None, None) => Err(ApiError::new(StatusCode::NOT_FOUND, "sale.unknown", "No such sale", unknown)),
    }
}
