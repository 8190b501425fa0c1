//! Payments at terminals.

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use pos_model::{AttemptId, CommandId, SaleId, TillId};
use protocol::latest::payment::{
    AskPayment, PaymentOutcome, PaymentState, PaymentView, ReversePayment, ReverseReason, SettlePayment,
};
use serde::Deserialize;
use till::payment::{Input, Outcome, PaymentRefusal, ReversalReason};
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Command, Said, answer, commands};
use crate::db::{AskAgain, AskReversal, KeptAttempt, Refused};
use crate::writer::WriteError;

commands!(ReversePayment, SettlePayment);

/// The attempt's id is the command's: what it asks for is done once, however often it comes.
impl Command for AskPayment {
    fn command_id(&self) -> CommandId {
        CommandId::new(self.attempt_id.uuid())
    }

    fn till_id(&self) -> &TillId {
        &self.till_id
    }
}

/// The paths.
pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/payments", post(ask).get(list))
        .route("/v1/payments/{attempt_id}", get(read))
        .route("/v1/payments/{attempt_id}/reverse", post(reverse))
        .route("/v1/payments/{attempt_id}/retry-query", post(retry_query))
        .route("/v1/payments/{attempt_id}/settle", post(settle))
}

#[derive(Debug, OpenApi)]
#[openapi(
    paths(ask, list, read, reverse, retry_query, settle),
    components(schemas(PaymentState, PaymentOutcome, ReverseReason))
)]
pub(super) struct Document;

/// Ask a terminal for money.
///
/// The attempt is on disk before the terminal hears of it. This answers at once; how it stands is told by the changes
/// (`payment`) and by reading it. An attempt that is `approved` pays for its sale when a tender of that sale names it.
/// An attempt that is `unknown` is asked about, again and again, and a further attempt for the same sale is refused until
/// it is known. When the sale is paid otherwise, what was approved for it goes back by itself (`paid_otherwise`).
#[utoipa::path(
    post, path = "/v1/payments", request_body = AskPayment,
    responses(
        (status = 200, description = "The terminal is asked, now or before; how it stands", body = PaymentView),
        (status = 409, description = "The attempt_id has other content"),
        (status = 422, description = "It breaks a rule: no terminal was asked"),
        (status = 503, description = "Busy, or the disk is full: no terminal was asked"),
    )
)]
async fn ask(State(parts): State<ApiParts>, said: Said<AskPayment>) -> Result<Json<PaymentView>, ApiError> {
    let Said { command, key } = said;
    let attempt_id = command.attempt_id;
    let again = command.nothing_taken.then_some(AskAgain { approval: command.approval_id });
    let made = parts.payments.attempt(command, parts.writer.clock().now());
    let (attempt, order) = made.map_err(|refusal| refused(&refusal))?;
    let asking = parts.clone();
    // In a task of its own: a till that goes away does not stop half of it.
    let asked = tokio::spawn(async move {
        let kept = attempt.clone();
        let add =
            move |store: &mut crate::db::Store, moment: &mut crate::db::Moment| store.add_attempt(&kept, again, moment);
        let once = asking.writer.once(key, add).await?;
        if once == crate::db::Once::New(()) {
            asking.payments.pay(attempt, order);
        }
        Ok::<_, WriteError>(once)
    });
    let Json(()) = answer(asked.await.map_err(|_| closing())??)?;
    view(&parts, attempt_id).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    sale_id: Option<String>,
}

/// The attempts of which something is still to come, the oldest first: those that are open, and approvals that no sale has
/// used. With `sale_id` all attempts for that sale, by which a till that was started again finds what it asked for.
#[utoipa::path(
    get, path = "/v1/payments",
    params(("sale_id" = Option<String>, Query, format = "uuid", description = "The sale that they are for")),
    responses(
        (status = 200, body = Vec<PaymentView>),
    )
)]
async fn list(
    State(parts): State<ApiParts>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<PaymentView>>, ApiError> {
    let Query(ListQuery { sale_id }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let sale_id = sale_id.map(|text| text.parse::<SaleId>()).transpose();
    let sale_id = sale_id.map_err(|error| ApiError::malformed(error.to_string()))?;
    let found = parts.readers.read(move |view| match sale_id {
        Some(sale_id) => view.attempts_of(sale_id),
        None => view.unsettled_attempts(),
    });
    Ok(Json(found.await?.iter().map(KeptAttempt::view).collect()))
}

/// How an attempt stands.
#[utoipa::path(
    get, path = "/v1/payments/{attempt_id}", params(("attempt_id" = AttemptId, Path)),
    responses(
        (status = 200, body = PaymentView),
        (status = 404, description = "No such attempt"),
    )
)]
async fn read(
    State(parts): State<ApiParts>,
    attempt_id: Result<Path<String>, PathRejection>,
) -> Result<Json<PaymentView>, ApiError> {
    view(&parts, parse(attempt_id)?).await
}

/// Give the money of an attempt back, or never take it.
///
/// From there on no sale can be paid with it. The terminal is asked as soon as its rules allow, and again until it says
/// that the money is back. The payment of another till is reversed by somebody with the right to it. What has paid for a
/// sale is refunded instead.
#[utoipa::path(
    post, path = "/v1/payments/{attempt_id}/reverse", params(("attempt_id" = AttemptId, Path)),
    request_body = ReversePayment,
    responses(
        (status = 200, description = "It is going to be reversed, or is over; how it stands", body = PaymentView),
        (status = 404, description = "No such attempt"),
        (status = 409, description = "The command_id has other content"),
        (status = 422, description = "It has paid for a sale"),
    )
)]
async fn reverse(
    State(parts): State<ApiParts>,
    attempt_id: Result<Path<String>, PathRejection>,
    said: Said<ReversePayment>,
) -> Result<Json<PaymentView>, ApiError> {
    let attempt_id = parse(attempt_id)?;
    let Said { command, key } = said;
    let reason = match command.reason {
        ReverseReason::Person => ReversalReason::Person,
        ReverseReason::SaleGivenUp => ReversalReason::SaleGivenUp,
    };
    let ReversePayment { till_id, operator_id, approval_id: approval, .. } = command;
    let asks = AskReversal { till_id, operator_id, approval };
    let want = move |store: &mut crate::db::Store, moment: &mut crate::db::Moment| {
        store.want_reversal(attempt_id, &asks, reason, moment)
    };
    let Json(()) = answer(parts.writer.once(key, want).await?)?;
    // Should this end here, the attempt is open and without a task, and so it is found.
    let kept = kept(&parts, attempt_id).await?;
    if kept.attempt.is_open() && !kept.used {
        wish(&parts, kept, Input::ReverseWanted(reason))?;
    }
    view(&parts, attempt_id).await
}

/// Ask the terminal at once what became of an attempt.
#[utoipa::path(
    post, path = "/v1/payments/{attempt_id}/retry-query", params(("attempt_id" = AttemptId, Path)),
    responses(
        (status = 200, description = "The terminal is asked; how it stood before", body = PaymentView),
        (status = 404, description = "No such attempt"),
        (status = 422, description = "It has paid for a sale"),
    )
)]
async fn retry_query(
    State(parts): State<ApiParts>,
    attempt_id: Result<Path<String>, PathRejection>,
) -> Result<Json<PaymentView>, ApiError> {
    let kept = kept(&parts, parse(attempt_id)?).await?;
    let before = kept.view();
    if kept.used {
        return Err(refused(&PaymentRefusal::Used { attempt_id: before.attempt_id }));
    }
    wish(&parts, kept, Input::QueryWanted)?;
    Ok(Json(before))
}

/// Say what became of an attempt that no terminal settles.
///
/// It is for a terminal that has forgotten a payment, refuses to give it back, or is gone for good. Somebody with the right
/// to `settle_payment` has looked at its own list, and their word stands in the audit trail. Only a terminal that says
/// afterwards that it has the money opens the attempt again (`late`): then the money goes back by itself.
#[utoipa::path(
    post, path = "/v1/payments/{attempt_id}/settle", params(("attempt_id" = AttemptId, Path)),
    request_body = SettlePayment,
    responses(
        (status = 200, description = "It is over, now or before; how it stands", body = PaymentView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such attempt"),
        (status = 409, description = "The command_id has other content"),
        (status = 422, description = "It has paid for a sale, the terminal is at work on it, or nothing of it is open"),
    )
)]
async fn settle(
    State(parts): State<ApiParts>,
    attempt_id: Result<Path<String>, PathRejection>,
    said: Said<SettlePayment>,
) -> Result<Json<PaymentView>, ApiError> {
    let attempt_id = parse(attempt_id)?;
    let Said { command, key } = said;
    let outcome = match command.outcome {
        PaymentOutcome::NothingTaken => Outcome::NothingTaken,
        PaymentOutcome::GivenBack => Outcome::GivenBack,
    };
    let SettlePayment { till_id, operator_id, approval_id: approval, .. } = command;
    let asks = AskReversal { till_id, operator_id, approval };
    let settle = move |store: &mut crate::db::Store, moment: &mut crate::db::Moment| {
        store.settle_attempt(attempt_id, &asks, outcome, moment)
    };
    let Json(()) = answer(parts.writer.once(key, settle).await?)?;
    parts.payments.settled(attempt_id, outcome);
    view(&parts, attempt_id).await
}

fn parse(attempt_id: Result<Path<String>, PathRejection>) -> Result<AttemptId, ApiError> {
    let attempt_id = attempt_id.ok().and_then(|Path(text)| text.parse().ok());
    attempt_id.ok_or_else(|| ApiError::malformed("the attempt id is not a UUID"))
}

fn wish(parts: &ApiParts, kept: KeptAttempt, input: Input) -> Result<(), ApiError> {
    if parts.payments.want(kept.attempt, input) { Ok(()) } else { Err(WriteError::Busy.into()) }
}

async fn kept(parts: &ApiParts, attempt_id: AttemptId) -> Result<KeptAttempt, ApiError> {
    let kept = parts.readers.read(move |view| view.attempt(attempt_id)).await?;
    kept.ok_or_else(|| {
        let unknown = PaymentRefusal::UnknownAttempt { attempt_id };
        ApiError::new(StatusCode::NOT_FOUND, unknown.message_key(), "No such payment", unknown.to_string())
    })
}

async fn view(parts: &ApiParts, attempt_id: AttemptId) -> Result<Json<PaymentView>, ApiError> {
    Ok(Json(kept(parts, attempt_id).await?.view()))
}

fn refused(refusal: &PaymentRefusal) -> ApiError {
    Refused::rule(refusal.message_key(), refusal).into()
}

fn closing() -> ApiError {
    WriteError::Closed.into()
}
