//! Stock: what is on hand, movements and counts.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use pos_model::{ApprovalId, BusinessDate, ItemId, MovementId, OperatorId, Quantity, TillId};
use pricing::book::{Ingredient, PriceBook};
use protocol::latest::local_api::QuantityJson;
use protocol::latest::stock_api::{
    AbandonCount, BeginCount, CountView, CoverView, FinishCount, LastCountView, MoveStock, MovementKind, MovementView,
    StockFlag, StockItem,
};
use serde::Deserialize;
use till::people::Action;
use till::stock::{Counted, Cover, Moved, Movement, StockRefusal, check_movement};
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Said, answer, commands};
use crate::db::{self, ItemStock, Moment, Noteworthy, Refused, Store};

/// Items or movements of one answer. A store has a hundred items or so; whoever has more asks on behind the last one.
const PAGE_MAX: u32 = 500;

commands!(MoveStock, BeginCount, FinishCount, AbandonCount);

#[derive(Debug, OpenApi)]
#[openapi(paths(list, one, movements, move_stock, counts, count, begin_count, finish_count, abandon_count))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/stock", get(list))
        .route("/v1/stock/items/{item_id}", get(one))
        .route("/v1/stock/movements", get(movements).post(move_stock))
        .route("/v1/stock/counts", get(counts).post(begin_count))
        .route("/v1/stock/counts/{count_id}", get(count))
        .route("/v1/stock/counts/{count_id}/finish", post(finish_count))
        .route("/v1/stock/counts/{count_id}/abandon", post(abandon_count))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// What there is of each item.
///
/// Every item that was ever moved, used or counted, and every ingredient of the price book, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/stock",
    params(
        ("after" = Option<String>, Query, description = "Only items behind this id: the last one of the page before"),
        ("limit" = Option<u32>, Query, description = "At most so many, from 1 to 500; 500 if left out", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "The items", body = Vec<StockItem>, example = json!([{
            "item_id": "milk", "name": "Milk", "unit": "ml", "on_hand": 12000, "flags": ["low_cover"],
            "cover": {"kind": "lasts", "trading_minutes": 411}, "used_per_date": 21000, "added_since": 0,
            "used_since": 8000, "last_count": {"count_id": "018f0000-0000-7000-8000-000000000001", "counted": 20000,
            "counted_at_ms": 1772445600000i64, "business_date": "2026-03-02"}}])),
        (status = 400, description = "Not a page"),
    )
)]
async fn list(
    State(parts): State<ApiParts>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<StockItem>>, ApiError> {
    let Query(ListQuery { after, limit }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let limit = page(limit)?;
    let mut stock = read_stock(&parts, None).await?;
    let book = parts.counter.book().ok();
    for item_id in book.iter().flat_map(|book| book.rules.book().ingredients.keys()) {
        stock.entry(item_id.clone()).or_insert_with(|| nothing(&parts));
    }
    let behind = |item_id: &ItemId| after.as_ref().is_none_or(|after| item_id.as_str() > after.as_str());
    let items = stock.into_iter().filter(|(item_id, _)| behind(item_id)).take(limit);
    let book = book.as_ref().map(|book| book.rules.book());
    Ok(Json(items.map(|(item_id, stock)| stock_item(item_id, stock, book)).collect()))
}

/// What there is of one item.
#[utoipa::path(
    get, path = "/v1/stock/items/{item_id}", params(("item_id" = ItemId, Path)),
    responses(
        (status = 200, description = "The item", body = StockItem),
        (status = 400, description = "Not an item id"),
        (status = 404, description = "No such item"),
    )
)]
async fn one(
    State(parts): State<ApiParts>,
    item_id: Result<Path<String>, PathRejection>,
) -> Result<Json<StockItem>, ApiError> {
    let Path(text) = item_id.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let item_id = ItemId::new(text).map_err(|error| ApiError::malformed(error.to_string()))?;
    let found = read_stock(&parts, Some(item_id.clone())).await?.remove(&item_id);
    let book = parts.counter.book().ok();
    let book = book.as_ref().map(|book| book.rules.book());
    let in_book = book.is_some_and(|book| book.ingredients.contains_key(&item_id));
    let stock = found.or_else(|| in_book.then(|| nothing(&parts))).ok_or_else(|| {
        let detail = format!("nothing is known of {item_id} here");
        ApiError::new(StatusCode::NOT_FOUND, "stock.item_unknown", "No such item", detail)
    })?;
    Ok(Json(stock_item(item_id, stock, book)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MovementsQuery {
    business_date: Option<String>,
    after: Option<u64>,
    limit: Option<u32>,
}

/// The movements of a business date, in order.
#[utoipa::path(
    get, path = "/v1/stock/movements",
    params(
        ("business_date" = Option<String>, Query, description = "Today's if left out", format = "date"),
        ("after" = Option<u64>, Query, description = "Only movements behind this number: that of the last one of the page before"),
        ("limit" = Option<u32>, Query, description = "At most so many, from 1 to 500; 500 if left out", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, description = "The movements", body = Vec<MovementView>),
        (status = 400, description = "Not a date or a page"),
    )
)]
async fn movements(
    State(parts): State<ApiParts>,
    query: Result<Query<MovementsQuery>, QueryRejection>,
) -> Result<Json<Vec<MovementView>>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let limit = query.limit.unwrap_or(PAGE_MAX);
    page(query.limit)?;
    let date = match query.business_date {
        Some(text) => text.parse().map_err(|error: pos_model::InvalidId| ApiError::malformed(error.to_string()))?,
        None => today(&parts),
    };
    let after = query.after.unwrap_or(0);
    Ok(Json(parts.readers.read(move |view| view.stock_movements(date, after, limit)).await?))
}

/// Stock came in or went out, and no sale did it.
///
/// A delivery names what was expected, and so says what is short or over. Waste has a reason, a transfer the other store.
/// In a store with a price book, an item that neither the book nor the stock knows is refused unless `new` says that it is
/// meant.
#[utoipa::path(
    post, path = "/v1/stock/movements",
    request_body = MoveStock,
    responses(
        (status = 200, description = "Recorded, now or before", body = MovementView),
        (status = 409, description = "The command_id has other content, or the movement is recorded by another command"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn move_stock(State(parts): State<ApiParts>, said: Said<MoveStock>) -> Result<Json<MovementView>, ApiError> {
    let Said { command, key } = said;
    let this_store = parts.status.store_id.clone();
    // Without a price book nobody says what there is, so any name will do.
    let book = parts.counter.book().ok().filter(|_| !command.new);
    let once = parts.writer.once(key, move |store, moment| {
        let (till, operator, subject) =
            (&command.till_id, command.operator_id.as_ref(), command.movement_id.to_string());
        permitted(store, moment, (till, operator), command.approval_id, (Action::StockMovement, &subject))?;
        let movement = inner_movement(command)?;
        if let Some(store_id) = movement.other_store.clone().filter(|other| this_store.as_ref() == Some(other)) {
            return Err(refused(StockRefusal::OtherStoreIsThis { store_id }));
        }
        if let Some(book) = book {
            let ingredients = &book.rules.book().ingredients;
            check_movement(&movement).map_err(refused)?;
            store.check_items_known(&movement, |item_id| ingredients.contains_key(item_id))?;
        }
        store.move_stock(moment, movement)
    });
    answer(once.await?)
}

/// The open counts, the oldest first; behind them the newest of those that are over.
#[utoipa::path(
    get, path = "/v1/stock/counts",
    responses(
        (status = 200, description = "The counts", body = Vec<CountView>),
    )
)]
async fn counts(State(parts): State<ApiParts>) -> Result<Json<Vec<CountView>>, ApiError> {
    Ok(Json(parts.readers.read(|view| view.stock_counts()).await?))
}

/// One count.
#[utoipa::path(
    get, path = "/v1/stock/counts/{count_id}", params(("count_id" = MovementId, Path, example = "01990000-0000-7000-8000-000000000043")),
    responses(
        (status = 200, description = "The count", body = CountView),
        (status = 404, description = "No such count"),
    )
)]
async fn count(
    State(parts): State<ApiParts>,
    count_id: Result<Path<String>, PathRejection>,
) -> Result<Json<CountView>, ApiError> {
    let count_id = parse_count_id(count_id)?;
    let found = parts.readers.read(move |view| view.stock_count(count_id)).await?;
    found
        .map(Json)
        .ok_or_else(|| Refused::unknown("stock.count_unknown", format!("there is no count {count_id}")).into())
}

/// Somebody is about to count.
///
/// What stands in the store's history at this moment is in the count; what is sold or moved afterwards comes on top of it.
#[utoipa::path(
    post, path = "/v1/stock/counts",
    request_body = BeginCount,
    responses(
        (status = 200, description = "It has begun, now or before", body = CountView),
        (status = 409, description = "The command_id has other content, or the count was begun by another command"),
        (status = 422, description = "It breaks a rule, or too many counts are open"),
    )
)]
async fn begin_count(State(parts): State<ApiParts>, said: Said<BeginCount>) -> Result<Json<CountView>, ApiError> {
    let Said { command, key } = said;
    let BeginCount { till_id, operator_id, approval_id, count_id, items, .. } = command;
    let begin = db::BeginCount { count_id, till_id, operator_id, items };
    let once = parts.writer.once(key, move |store, moment| {
        let (till, operator) = (&begin.till_id, begin.operator_id.as_ref());
        permitted(store, moment, (till, operator), approval_id, (Action::StockCount, &count_id.to_string()))?;
        store.begin_count(moment, &begin)
    });
    answer(once.await?)
}

/// This is what was there.
///
/// An item that another count has settled since this one began is refused, and the whole command with it.
#[utoipa::path(
    post, path = "/v1/stock/counts/{count_id}/finish", params(("count_id" = MovementId, Path, example = "01990000-0000-7000-8000-000000000043")),
    request_body = FinishCount,
    responses(
        (status = 200, description = "It holds, now or before", body = CountView),
        (status = 404, description = "No such count"),
        (status = 409, description = "The count is over, another count came first, or the command_id has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn finish_count(
    State(parts): State<ApiParts>,
    count_id: Result<Path<String>, PathRejection>,
    said: Said<FinishCount>,
) -> Result<Json<CountView>, ApiError> {
    let count_id = parse_count_id(count_id)?;
    let Said { command, key } = said;
    let finish = move |store: &mut Store, moment: &mut Moment| {
        let (till, operator) = (&command.till_id, command.operator_id.as_ref());
        permitted(store, moment, (till, operator), command.approval_id, (Action::StockCount, &count_id.to_string()))?;
        let finish = inner_finish(count_id, command)?;
        store.finish_count(moment, finish)
    };
    answer(parts.writer.once(key, finish).await?)
}

/// Nothing comes of this count. It takes the right to count.
#[utoipa::path(
    post, path = "/v1/stock/counts/{count_id}/abandon", params(("count_id" = MovementId, Path, example = "01990000-0000-7000-8000-000000000043")),
    request_body = AbandonCount,
    responses(
        (status = 200, description = "It is abandoned, now or before", body = CountView),
        (status = 404, description = "No such count"),
        (status = 409, description = "The count is over, or the command_id has other content"),
    )
)]
async fn abandon_count(
    State(parts): State<ApiParts>,
    count_id: Result<Path<String>, PathRejection>,
    said: Said<AbandonCount>,
) -> Result<Json<CountView>, ApiError> {
    let count_id = parse_count_id(count_id)?;
    let Said { command, key } = said;
    let AbandonCount { till_id, operator_id, approval_id, .. } = command;
    let abandon = move |store: &mut Store, moment: &mut Moment| {
        let by = (&till_id, operator_id.as_ref());
        permitted(store, moment, by, approval_id, (Action::StockCount, &count_id.to_string()))?;
        store.abandon_count(moment, count_id)
    };
    answer(parts.writer.once(key, abandon).await?)
}

/// Asks whether somebody may do it. What somebody else has allowed is marked with both of them: the events of stock name the
/// one who did it alone.
fn permitted(
    store: &mut Store,
    moment: &mut Moment,
    (till_id, operator_id): (&TillId, Option<&OperatorId>),
    approval_id: Option<ApprovalId>,
    (action, subject): (Action, &str),
) -> Result<(), db::Error> {
    let permit = store.permit(moment, till_id, operator_id, approval_id, action, subject)?;
    if permit.approver.is_some() {
        let allowed = Noteworthy::new(action.as_str()).at(till_id).permitted(&permit).about(subject);
        store.mark(moment, allowed)?;
    }
    Ok(())
}

// ---- from the wire ----

fn page(limit: Option<u32>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(PAGE_MAX);
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Err(ApiError::malformed(format!("limit {limit} is not from 1 to {PAGE_MAX}")))
}

fn today(parts: &ApiParts) -> BusinessDate {
    BusinessDate::of(parts.writer.clock().now(), parts.counter.cut_off)
}

fn parse_count_id(count_id: Result<Path<String>, PathRejection>) -> Result<MovementId, ApiError> {
    let count_id = count_id.ok().and_then(|Path(text)| text.parse().ok());
    count_id.ok_or_else(|| ApiError::malformed("the count's id is not a UUID"))
}

fn quantity(place: usize, quantity: &QuantityJson) -> Result<Quantity, db::Error> {
    quantity.parse().map_err(|_| refused(StockRefusal::QuantityFormat { item: place + 1 }))
}

fn refused(refusal: StockRefusal) -> db::Error {
    Refused::rule(refusal.message_key(), refusal).into()
}

fn inner_movement(command: MoveStock) -> Result<Movement, db::Error> {
    let items = command.items.into_iter().enumerate().map(|(place, item)| {
        Ok(Moved {
            quantity: quantity(place, &item.quantity)?,
            expected: item.expected.map(|expected| quantity(place, &expected)).transpose()?,
            item_id: item.item_id,
        })
    });
    Ok(Movement {
        items: items.collect::<Result<_, db::Error>>()?,
        movement_id: command.movement_id,
        till_id: command.till_id,
        operator_id: command.operator_id,
        kind: match command.kind {
            MovementKind::Received => till::stock::MovementKind::Received,
            MovementKind::Wasted => till::stock::MovementKind::Wasted,
            MovementKind::TransferredIn => till::stock::MovementKind::TransferredIn,
            MovementKind::TransferredOut => till::stock::MovementKind::TransferredOut,
        },
        reason: command.reason,
        reference: command.reference,
        other_store: command.other_store,
        note: command.note,
    })
}

fn inner_finish(count_id: MovementId, command: FinishCount) -> Result<db::FinishCount, db::Error> {
    let items = command
        .items
        .into_iter()
        .enumerate()
        .map(|(place, item)| Ok(Counted { counted: quantity(place, &item.counted)?, item_id: item.item_id }));
    Ok(db::FinishCount {
        items: items.collect::<Result<_, db::Error>>()?,
        count_id,
        till_id: command.till_id,
        operator_id: command.operator_id,
        note: command.note,
    })
}

// ---- to the wire ----

async fn read_stock(parts: &ApiParts, item: Option<ItemId>) -> Result<BTreeMap<ItemId, ItemStock>, ApiError> {
    let (today, rule) = (today(parts), parts.cover_rule);
    Ok(parts.readers.read(move |view| view.stock(today, rule, item.as_ref())).await?)
}

/// What is known of an ingredient of which nothing has happened yet.
fn nothing(parts: &ApiParts) -> ItemStock {
    ItemStock::unknown(parts.cover_rule)
}

/// An item with its name in the price book.
pub(crate) fn stock_item(item_id: ItemId, stock: ItemStock, book: Option<&PriceBook>) -> StockItem {
    let ingredient: Option<&Ingredient> = book.and_then(|book| book.ingredients.get(&item_id));
    StockItem {
        name: ingredient.map(|ingredient| ingredient.name.clone()),
        unit: ingredient.map(|ingredient| ingredient.unit.clone()),
        item_id,
        on_hand: stock.on_hand.into(),
        flags: stock.flags.iter().map(|flag| flag_view(*flag)).collect(),
        cover: match stock.cover {
            Cover::NoUse => CoverView::NoUse,
            Cover::Minutes(trading_minutes) => CoverView::Lasts { trading_minutes },
        },
        used_per_date: stock.recent.per_date.into(),
        added_since: stock.since.added.into(),
        used_since: stock.since.used.into(),
        last_count: stock.last.map(|last| LastCountView {
            count_id: last.count_id,
            counted: last.at.counted.into(),
            counted_at_ms: last.counted_at_ms,
            business_date: last.business_date,
        }),
    }
}

fn flag_view(flag: till::stock::StockFlag) -> StockFlag {
    match flag {
        till::stock::StockFlag::Negative => StockFlag::Negative,
        till::stock::StockFlag::LowCover => StockFlag::LowCover,
        till::stock::StockFlag::NeverCounted => StockFlag::NeverCounted,
    }
}
