//! What is sold out.

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::get;
use pos_model::BusinessDate;
use pricing::book::PriceBook;
use protocol::latest::sold_out::{SetSoldOut, SoldOutKind, SoldOutList, SoldOutView};
use till::people::Action;
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Said, answer, commands};

commands!(SetSoldOut);

#[derive(Debug, OpenApi)]
#[openapi(paths(read, set))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new().route("/v1/sold-out", get(read).post(set))
}

/// All that is sold out or is counted down.
#[utoipa::path(
    get, path = "/v1/sold-out",
    responses(
        (status = 200, body = SoldOutList, example = json!({"entries": [{"what": "option", "code": "pearls", "state": "sold_out",
            "remaining": null, "until": "next_day", "version": 17, "changed_at_ms": 1_772_445_600_000i64, "till_id": "T1", "operator_id": null}]})),
    )
)]
async fn read(State(parts): State<ApiParts>) -> Result<Json<SoldOutList>, ApiError> {
    let today = BusinessDate::of(parts.writer.clock().now(), parts.counter.cut_off);
    Ok(Json(parts.readers.read(move |view| view.sold_out(today)).await?))
}

/// Says that an article, an option or an ingredient is sold out, is counted down, or is on sale again.
///
/// From the answer on no till sells it: a sale of it is refused, and `/v1/price` names it. Said by two tills at once,
/// "sold out" wins.
#[utoipa::path(
    post, path = "/v1/sold-out", request_body = SetSoldOut,
    responses(
        (status = 200, description = "What holds from here on", body = SoldOutView, example = json!({"what": "option", "code": "pearls",
            "state": "sold_out", "remaining": null, "until": "next_day", "version": 17, "changed_at_ms": 1_772_445_600_000i64,
            "till_id": "T1", "operator_id": null})),
        (status = 404, description = "The price book has no such article, option or ingredient"),
        (status = 409, description = "The command_id has other content, or another change came first"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn set(State(parts): State<ApiParts>, said: Said<SetSoldOut>) -> Result<Json<SoldOutView>, ApiError> {
    let Said { command, key } = said;
    // A store without a price book sells what its tills name.
    let is_known = parts.counter.book().map_or(true, |book| has(book.rules.book(), &command));
    let once = parts.writer.once(key, move |store, moment| {
        let operator = command.operator_id.as_ref();
        store.permit(moment, &command.till_id, operator, None, Action::SetSoldOut, &command.code)?;
        store.set_sold_out(moment, &command, is_known)
    });
    answer(once.await?)
}

fn has(book: &PriceBook, said: &SetSoldOut) -> bool {
    let code = said.code.as_str();
    match said.what {
        SoldOutKind::Sku => {
            book.items.values().flat_map(|item| &item.variants).any(|variant| variant.sku.as_str() == code)
        }
        SoldOutKind::Option => {
            book.option_groups.values().flat_map(|group| &group.options).any(|option| option.code.as_str() == code)
        }
        SoldOutKind::Item => book.ingredients.keys().any(|item| item.as_str() == code),
    }
}
