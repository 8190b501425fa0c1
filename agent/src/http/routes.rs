//! Every path of the local API, and its answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Json, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use pos_model::{BusinessDate, SaleId};
use protocol::latest::basket_api::{BasketState, BasketView};
use protocol::latest::local_api::{
    Change, CompleteSale, DayTotals, LinkState, Problem, SaleReceipt, SaleView, SyncState,
};
use serde::Deserialize;
use till::stock::CoverRule;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;

use super::orders::{self, Counter};
use super::problem::ApiError;
use super::{
    baskets, caller, describe, events, from_wire, kitchen, pairing, payments, people, print, receipts, refunds, shifts,
    sold_out, state, stock, to_wire,
};
use crate::changes::{Changes, Version};
use crate::db::{CommandDigest, CommandKey, Recorded, Refused};
use crate::doors::{Caller, Doors};
use crate::payment::Payments;
use crate::pin_desk::PinDesk;
use crate::printing::Printing;
use crate::readers::Readers;
use crate::status::Status;
use crate::writer::Writer;

/// A request's body in bytes (256 KiB): a sale that fits an event is a fraction of it.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The longest span of one question for sums, in days: ten years.
const TOTALS_DAYS_MAX: i32 = 3660;

/// What the API works with. Clones share it.
#[derive(Debug, Clone)]
pub struct ApiParts {
    /// Records sales.
    pub writer: Writer,
    /// Looks at the books.
    pub readers: Readers,
    /// The state of the link.
    pub status: Status,
    /// What orders are priced by.
    pub counter: Counter,
    /// How long stock should last.
    pub cover_rule: CoverRule,
    /// The payment terminals.
    pub payments: Payments,
    /// Where changes are announced.
    pub changes: Changes,
    /// The printers and what they print.
    pub printing: Printing,
    /// Places for those who draw pictures of paper.
    pub pictures: Arc<Semaphore>,
    /// Who may come in.
    pub doors: Doors,
    /// Where PINs are compared.
    pub pins: PinDesk,
    /// Whether these are the books for training.
    pub is_training: bool,
    /// Turns true when the agent ends, so that open streams end as well.
    pub shutdown: watch::Receiver<bool>,
}

#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Breakwater agent",
        description = "The local API of a store's agent. Amounts are integers in minor units. \
            Every error is application/problem+json with a message_key. \
            The same API stands once more under /training, on books that begin empty with each start of the agent and \
            go nowhere: sold by the same price book, with the store's payment terminals simulated, which approve \
            everything, and without people, printers or a way to the centre. \
            The examples of the commands are one day of one store, the 2nd of March 2026, that sells by \
            packaging/price-books/tea.json and has a terminal and a printer, both named counter. In this order each works in \
            a fresh store: price, shift, cash, stock, baskets, kitchen, payments, sales, refunds, paper, sold-out, the \
            close of the shift and of the day, and people at the end.",
        license(name = "Apache-2.0")
    ),
    paths(
        complete_sale,
        orders::price,
        orders::price_book,
        read_sale,
        day_totals,
        sync_state,
        settle_notice,
        changes,
        health
    ),
    components(schemas(Change, LinkState, Problem))
)]
struct Document;

/// The API's description, made from the types.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    for (_, family) in families() {
        document.merge(family);
    }
    describe::describe(&mut document);
    document
}

/// What the store does beside selling: the paths of each family, and their description.
fn families() -> Vec<(Router<ApiParts>, utoipa::openapi::OpenApi)> {
    vec![
        (baskets::routes(), baskets::Document::openapi()),
        (kitchen::routes(), kitchen::Document::openapi()),
        (payments::routes(), payments::Document::openapi()),
        (print::routes(), print::Document::openapi()),
        (receipts::routes(), receipts::Document::openapi()),
        (refunds::routes(), refunds::Document::openapi()),
        (shifts::routes(), shifts::Document::openapi()),
        (state::routes(), state::Document::openapi()),
        (stock::routes(), stock::Document::openapi()),
        (sold_out::routes(), sold_out::Document::openapi()),
        (people::routes(), people::Document::openapi()),
        (pairing::routes(), pairing::Document::openapi()),
    ]
}

/// The API.
pub fn router(parts: ApiParts) -> Router {
    let document: Arc<str> = openapi().to_json().expect("a description of text always encodes").into();
    let families = families().into_iter().fold(Router::new(), |all, (family, _)| all.merge(family));
    Router::new()
        .merge(families)
        .route("/v1/sales", post(complete_sale))
        .route("/v1/sales/{sale_id}", get(read_sale))
        .route("/v1/price", post(orders::price))
        .route("/v1/price-book", get(orders::price_book))
        .route("/v1/totals", get(day_totals))
        .route("/v1/sync", get(sync_state))
        .route("/v1/notices/{key}", delete(settle_notice))
        .route("/v1/events", get(changes))
        .route(
            "/v1/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], document.to_string())),
        )
        .route("/healthz", get(health))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(parts.doors.clone(), caller::identify))
        .with_state(parts)
}

/// Complete a sale: the customer has paid.
///
/// When this answers 200 the sale is on disk. The same `sale_id` with the same content gives the same answer again.
#[utoipa::path(
    post, path = "/v1/sales", request_body = CompleteSale,
    responses(
        (status = 200, description = "Recorded, now or before", body = SaleReceipt),
        (status = 403, description = "The token is another till's, somebody else has to allow it, or a sale is `imported` by another than the owner of the agent's folder"),
        (status = 404, description = "No such basket"),
        (status = 409, description = "The sale_id has other content, or the basket is another than was shown"),
        (status = 422, description = "It breaks a rule"),
        (status = 503, description = "Busy, or the disk is full: nothing is recorded. With key store.outcome_unknown the disk failed during the commit: the same command tells after a restart"),
    )
)]
async fn complete_sale(
    State(parts): State<ApiParts>,
    caller: Caller,
    headers: HeaderMap,
    command: Result<Json<CompleteSale>, JsonRejection>,
) -> Result<Json<SaleReceipt>, ApiError> {
    let Json(mut command) = command?;
    caller.speaks_for(&command.till_id)?;
    if command.imported.is_some() {
        // It asks for no operator, no shift and no terminal, so it is no way to sell.
        caller.owner_only()?;
    }
    if command.traceparent.is_none() {
        command.traceparent = headers.get("traceparent").and_then(|text| text.to_str().ok()).map(str::to_owned);
    }
    let sale_id = command.sale_id;
    let basket = match command.basket_id {
        Some(basket_id) => Some(baskets::read(&parts, basket_id).await?),
        None => None,
    };
    let changed = basket.as_ref().is_some_and(|basket| has_changed(basket, command.basket_revision));
    let is_imported = command.imported.is_some();
    let (command, digest) = from_wire::canonical(command)?;
    if !is_imported && let Err(refused) = CommandKey::check_made_by_till(sale_id.uuid()) {
        return answered_before(&parts, sale_id, digest, refused.into()).await;
    }
    if changed {
        let text = "the basket has changed since it was shown; look at it again";
        return answered_before(&parts, sale_id, digest, Refused::overtaken("basket.changed", text).into()).await;
    }
    let draft = from_wire::sale(command, basket, &parts.counter, parts.writer.clock().now());
    let draft =
        match draft.and_then(|draft| parts.counter.check_change(draft)).and_then(|draft| parts.payments.check(draft)) {
            Ok(draft) => draft,
            Err(refusal) => return answered_before(&parts, sale_id, digest, refusal.into()).await,
        };
    match parts.writer.record_sale(draft, digest).await? {
        Recorded::New(receipt) => {
            parts.payments.give_back_unused(sale_id);
            Ok(Json(receipt))
        }
        Recorded::Replayed(receipt) => Ok(Json(receipt)),
        Recorded::Refused(refusal) => Err(refusal.into()),
        Recorded::NotNow(refused) => Err(refused.into()),
        Recorded::Conflict => Err(conflict(sale_id)),
    }
}

/// A command that is refused at this moment may have been a sale before, or become one while it waits to be recorded: under
/// another price book, or other rules.
async fn answered_before(
    parts: &ApiParts,
    sale_id: SaleId,
    digest: CommandDigest,
    refusal: ApiError,
) -> Result<Json<SaleReceipt>, ApiError> {
    match parts.writer.receipt(sale_id).await? {
        Some((receipt, known)) if known == digest => Ok(Json(receipt)),
        Some(_) => Err(conflict(sale_id)),
        None => Err(refusal),
    }
}

/// Whether a basket that can still be paid is another than the till has shown.
fn has_changed(basket: &BasketView, shown: Option<u64>) -> bool {
    let alive = matches!(basket.state, BasketState::Open | BasketState::Held);
    alive && shown.is_some_and(|shown| shown != basket.revision)
}

fn conflict(sale_id: SaleId) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "sale.conflict",
        "The sale has other content",
        format!("sale {sale_id} is recorded with other content; a new sale needs a new id"),
    )
}

/// Read a sale as it was recorded.
#[utoipa::path(
    get, path = "/v1/sales/{sale_id}", params(("sale_id" = SaleId, Path)),
    responses(
        (status = 200, body = SaleView),
        (status = 404, description = "No such sale"),
        (status = 410, description = "Confirmed by the centre and no longer held here"),
    )
)]
async fn read_sale(
    State(parts): State<ApiParts>,
    sale_id: Result<Path<String>, PathRejection>,
) -> Result<Json<SaleView>, ApiError> {
    let sale_id = sale_id.ok().and_then(|Path(text)| text.parse::<SaleId>().ok());
    let sale_id = sale_id.ok_or_else(|| ApiError::malformed("the sale id is not a UUID"))?;
    recorded(&parts, sale_id).await
}

/// A sale as it was recorded.
pub(super) async fn recorded(parts: &ApiParts, sale_id: SaleId) -> Result<Json<SaleView>, ApiError> {
    let record = parts.readers.read(move |view| view.sale(sale_id)).await?;
    let record = record.ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "sale.unknown",
            "No such sale",
            format!("sale {sale_id} is not recorded here"),
        )
    })?;
    let sale = record.sale.ok_or_else(|| {
        let detail = format!("sale {sale_id} was confirmed by the centre and is held there only");
        ApiError::new(StatusCode::GONE, "sale.trimmed", "The sale is no longer held here", detail)
    })?;
    Ok(Json(to_wire::sale_view(record.receipt, sale, record.synced)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TotalsQuery {
    from: Option<String>,
    to: Option<String>,
}

/// The sums of business dates; dates without a sale are left out.
#[utoipa::path(
    get, path = "/v1/totals",
    params(
        ("from" = Option<String>, Query, description = "The first business date; today's if both are left out", format = "date"),
        ("to" = Option<String>, Query, description = "The last business date; that of `from` if left out", format = "date"),
    ),
    responses(
        (status = 200, body = Vec<DayTotals>),
        (status = 400, description = "Not dates, or not a span"),
    )
)]
async fn day_totals(
    State(parts): State<ApiParts>,
    query: Result<Query<TotalsQuery>, QueryRejection>,
) -> Result<Json<Vec<DayTotals>>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let date = |text: Option<&String>| {
        text.map(|text| text.parse::<BusinessDate>())
            .transpose()
            .map_err(|error| ApiError::malformed(error.to_string()))
    };
    let (from, to) = match (date(query.from.as_ref())?, date(query.to.as_ref())?) {
        (Some(from), Some(to)) => (from, to),
        (Some(date), None) | (None, Some(date)) => (date, date),
        (None, None) => {
            let today = BusinessDate::of(parts.writer.clock().now(), parts.counter.cut_off);
            (today, today)
        }
    };
    if !(0..TOTALS_DAYS_MAX).contains(&(to.days() - from.days())) {
        let detail = format!("from {from} to {to} is not a span of 1 to {TOTALS_DAYS_MAX} days");
        return Err(ApiError::malformed(detail));
    }
    Ok(Json(parts.readers.read(move |view| view.totals(from, to)).await?))
}

/// How far the centre is behind.
#[utoipa::path(get, path = "/v1/sync", responses((status = 200, body = SyncState)))]
async fn sync_state(State(parts): State<ApiParts>) -> Result<Json<SyncState>, ApiError> {
    Ok(Json(parts.status.sync_state().await?))
}

/// Settle a notice that `/v1/sync` shows: a person has read it and done what it asks for.
///
/// Notices whose cause is seen to be over go by themselves.
#[utoipa::path(
    delete, path = "/v1/notices/{key}", params(("key" = String, Path, example = "went_back.9f2c6c0d0a4f1b7e")),
    responses(
        (status = 204, description = "It is settled"),
        (status = 404, description = "No such notice"),
    )
)]
async fn settle_notice(
    State(parts): State<ApiParts>,
    key: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(key) = key.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    if parts.writer.settle_notice(key.clone()).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "notice.unknown",
        "No such notice",
        format!("there is no notice {key:?}; it may be settled already"),
    ))
}

/// Changes as they happen: server-sent events, each with one `Change` as its data.
///
/// Each event has the version of the state after it as its id. A listener that comes back names the last id it has seen and
/// is told what it missed; `reset` means that this is not remembered, and that it has to read the state anew.
#[utoipa::path(
    get, path = "/v1/events",
    params(
        ("since" = Option<String>, Query, description = "The id of the last event that was seen; so may the header Last-Event-ID"),
    ),
    responses((status = 200, body = Change, content_type = "text/event-stream"))
)]
async fn changes(
    State(parts): State<ApiParts>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(EventsQuery { since }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let named = headers.get("last-event-id").and_then(|text| text.to_str().ok()).map(str::to_owned).or(since);
    let since = named
        .map(|text| Version::parse(&text).ok_or_else(|| ApiError::malformed("the last event's id is none of ours")))
        .transpose()?;
    Ok(events::stream(&parts, since, caller).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    since: Option<String>,
}

/// Whether the agent can record sales.
#[utoipa::path(
    get, path = "/healthz",
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        (status = 503, description = "It cannot: the disk is full, and selling goes on by itself when there is room; or the disk has failed, and a person has to look", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn health(State(parts): State<ApiParts>) -> Response {
    if let Some(why) = parts.writer.stopped() {
        let (key, title) = ("store.disk_failed", "The disk has failed");
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, key, title, why).into_response();
    }
    match parts.writer.no_room() {
        None => "ok\n".into_response(),
        Some(no_room) => ApiError::disk_full(no_room.why).into_response(),
    }
}

async fn nothing_here() -> ApiError {
    let detail = "the paths are listed at /v1/openapi.json";
    ApiError::new(StatusCode::NOT_FOUND, "request.unknown_path", "Nothing is here", detail)
}

async fn other_method() -> ApiError {
    let detail = "the methods are listed at /v1/openapi.json";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "request.other_method", "The path has another method", detail)
}
