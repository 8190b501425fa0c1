//! Baskets.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Json, Path, State};
use axum::routing::{get, post};
use pos_model::BasketId;
use protocol::latest::basket_api::{BasketView, ChangeBasket, OpenBasket, PricedBasketView};
use utoipa::OpenApi;

use super::orders;
use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Said, answer, commands};
use crate::db::Refused;

commands!(OpenBasket, ChangeBasket);

#[derive(Debug, OpenApi)]
#[openapi(paths(open, change, list, one))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/baskets", post(open).get(list))
        .route("/v1/baskets/{basket_id}", get(one))
        .route("/v1/baskets/{basket_id}/changes", post(change))
}

/// The id in a path.
pub(super) fn basket_id(path: Result<Path<String>, PathRejection>) -> Result<BasketId, ApiError> {
    let id = path.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| ApiError::malformed("the basket id is not a UUID"))
}

/// A basket as it is at this moment.
pub(super) async fn read(parts: &ApiParts, basket_id: BasketId) -> Result<BasketView, ApiError> {
    let basket = parts.readers.read(move |view| view.basket(basket_id)).await?;
    let unknown = || Refused::unknown("basket.unknown", format!("basket {basket_id} is not known here"));
    Ok(basket.ok_or_else(unknown)?)
}

fn priced(parts: &ApiParts, basket: BasketView) -> Json<PricedBasketView> {
    let quote = orders::quote(parts, &basket);
    Json(PricedBasketView { basket, quote })
}

/// Begin a basket.
#[utoipa::path(
    post, path = "/v1/baskets", request_body = OpenBasket,
    responses(
        (status = 200, description = "Begun, now or before", body = PricedBasketView),
        (status = 409, description = "The id is known, or the command has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn open(State(parts): State<ApiParts>, said: Said<OpenBasket>) -> Result<Json<PricedBasketView>, ApiError> {
    let Said { command, key } = said;
    let kitchen = parts.clone();
    let by_the_book = move |view: &BasketView| orders::for_stations(&kitchen, view);
    let once = parts.writer.once(key, move |store, moment| store.open_basket(moment, command, by_the_book)).await?;
    let Json(basket) = answer(once)?;
    Ok(priced(&parts, basket))
}

/// Change a basket, wholly or not at all.
///
/// Changes of two tills merge line by line. What was sent to the kitchen is never taken out, only voided.
#[utoipa::path(
    post, path = "/v1/baskets/{basket_id}/changes", request_body = ChangeBasket,
    params(("basket_id" = BasketId, Path)),
    responses(
        (status = 200, description = "Changed, now or before", body = PricedBasketView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such basket"),
        (status = 409, description = "Another command came first, or the command has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn change(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
    said: Said<ChangeBasket>,
) -> Result<Json<PricedBasketView>, ApiError> {
    let basket_id = basket_id(path)?;
    let Said { command, key } = said;
    let kitchen = parts.clone();
    let by_the_book = move |view: &BasketView| orders::for_stations(&kitchen, view);
    let once = parts
        .writer
        .once(key, move |store, moment| store.change_basket(moment, basket_id, command, by_the_book))
        .await?;
    let Json(basket) = answer(once)?;
    Ok(priced(&parts, basket))
}

/// The baskets that are open or held, the oldest first.
#[utoipa::path(get, path = "/v1/baskets", responses((status = 200, body = Vec<BasketView>)))]
async fn list(State(parts): State<ApiParts>) -> Result<Json<Vec<BasketView>>, ApiError> {
    Ok(Json(parts.readers.read(|view| view.baskets()).await?))
}

/// A basket, with what it costs at this moment.
#[utoipa::path(
    get, path = "/v1/baskets/{basket_id}", params(("basket_id" = BasketId, Path)),
    responses(
        (status = 200, body = PricedBasketView),
        (status = 404, description = "No such basket"),
    )
)]
async fn one(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<PricedBasketView>, ApiError> {
    let basket = read(&parts, basket_id(path)?).await?;
    Ok(priced(&parts, basket))
}
