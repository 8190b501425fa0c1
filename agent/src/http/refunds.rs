//! Refunds and voided sales.

use axum::Router;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use pos_model::{RefundId, SaleId};
use protocol::latest::refund_api::{CompleteRefund, RefundReceipt};
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use crate::db::{CommandDigest, RefundRecorded, Refused};
use crate::doors::Caller;

/// Entries of one refund.
const ENTRIES_MAX: usize = till::limits::LINES_MAX;

#[derive(Debug, OpenApi)]
#[openapi(paths(complete_refund, one, of_sale))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/refunds", post(complete_refund))
        .route("/v1/refunds/{refund_id}", get(one))
        .route("/v1/sales/{sale_id}/refunds", get(of_sale))
}

/// Give money back for a sale, or take the whole sale back.
///
/// When this answers 200 the refund is on disk. It moves no money at a terminal: what `by_hand` names somebody gives back
/// there. All refunds of a sale together give in cash what one would, rounded to coins once.
/// The same `refund_id` with the same content gives the same answer again.
#[utoipa::path(
    post, path = "/v1/refunds", request_body = CompleteRefund,
    responses(
        (status = 200, description = "Recorded, now or before", body = RefundReceipt),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "The sale was not made in this store"),
        (status = 409, description = "The refund_id has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn complete_refund(
    State(parts): State<ApiParts>,
    caller: Caller,
    command: Result<Json<CompleteRefund>, JsonRejection>,
) -> Result<Json<RefundReceipt>, ApiError> {
    let Json(command) = command?;
    caller.speaks_for(&command.till_id)?;
    let refund_id = command.refund_id;
    let count = command.lines.len();
    if count > ENTRIES_MAX || command.tenders.len() > till::limits::TENDERS_MAX || (command.void && count > 0) {
        let text = format!("a refund has 1 to {ENTRIES_MAX} entries; a voided sale names none");
        return Err(Refused::rule("refund.entries", text).into());
    }
    let digest = digest(&command);
    let rounding = parts.counter.book().ok().and_then(|book| book.rules.book().cash_rounding);
    match parts.writer.record_refund(command, digest, rounding).await? {
        RefundRecorded::New(receipt) | RefundRecorded::Replayed(receipt) => Ok(Json(receipt)),
        RefundRecorded::Refused(refused) => Err(refused.into()),
        RefundRecorded::Conflict => Err(ApiError::new(
            StatusCode::CONFLICT,
            "refund.conflict",
            "The refund has other content",
            format!("refund {refund_id} is recorded with other content; a new refund needs a new id"),
        )),
    }
}

/// The BLAKE3 of the command as MessagePack with field names: equal for equal commands.
fn digest(command: &CompleteRefund) -> CommandDigest {
    let bytes = rmp_serde::to_vec_named(command).expect("a command of text and numbers always encodes");
    *blake3::hash(&bytes).as_bytes()
}

/// A refund as it was answered.
#[utoipa::path(
    get, path = "/v1/refunds/{refund_id}", params(("refund_id" = RefundId, Path)),
    responses(
        (status = 200, body = RefundReceipt),
        (status = 404, description = "No such refund"),
    )
)]
async fn one(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<RefundReceipt>, ApiError> {
    let refund_id: Option<RefundId> = path.ok().and_then(|Path(text)| text.parse().ok());
    let refund_id = refund_id.ok_or_else(|| ApiError::malformed("the refund id is not a UUID"))?;
    let refund = parts.readers.read(move |view| view.refund(refund_id)).await?;
    let unknown = || Refused::unknown("refund.unknown", format!("refund {refund_id} is not recorded here"));
    Ok(Json(refund.ok_or_else(unknown)?.0))
}

/// The refunds of a sale, the oldest first.
#[utoipa::path(
    get, path = "/v1/sales/{sale_id}/refunds", params(("sale_id" = SaleId, Path)),
    responses(
        (status = 200, body = Vec<RefundReceipt>),
    )
)]
async fn of_sale(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<RefundReceipt>>, ApiError> {
    let sale_id: Option<SaleId> = path.ok().and_then(|Path(text)| text.parse().ok());
    let sale_id = sale_id.ok_or_else(|| ApiError::malformed("the sale id is not a UUID"))?;
    Ok(Json(parts.readers.read(move |view| view.refunds_of(sale_id)).await?))
}
