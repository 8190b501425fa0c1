//! Orders: what a till sells by the store's price book.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use pos_model::{DayCutOff, Stamp, Tag};
use pricing::{Basket, BasketLine, Context, Member, PricedBasket, Quote, Rules};
use protocol::latest::basket_api::{BasketLineState, BasketLineView, BasketView};
use protocol::latest::order::{OrderCommand, OrderLine, PriceOrder};
use protocol::latest::sold_out::SoldOutPart;
use serde::Serialize;
use till::kitchen::KitchenLine;
use till::sold_out::{Missing, Needs, Part};
use till::{Refusal, SaleDraft, check_sellable, price_order};

use super::problem::ApiError;
use super::routes::ApiParts;
use crate::config::OwnPrices;
use crate::db::sold_out::what;
use crate::price_book::{ActiveBook, BookInForce};

/// What an order is priced by beside the order itself. Clones share the book.
#[derive(Debug, Clone)]
pub struct Counter {
    /// The price book in force.
    pub book: BookInForce,
    /// When the business day turns over.
    pub cut_off: DayCutOff,
    /// The store's region.
    pub region: Option<Tag>,
    /// The groups that the store is in.
    pub groups: Vec<Tag>,
    /// What becomes of prices that a till names itself.
    pub own_prices: OwnPrices,
    /// The most change that a sale gives, in minor units; none if it is not known for the store's currency.
    pub change_minor_max: Option<i64>,
}

impl Counter {
    /// The book in force.
    pub fn book(&self) -> Result<Arc<ActiveBook>, Refusal> {
        self.book.borrow().clone().ok_or(Refusal::NoPriceBook)
    }

    /// Whether somebody has to allow the prices that a till names itself: the store sells by a book.
    pub fn asks_for_own_prices(&self) -> bool {
        self.own_prices == OwnPrices::Ask && self.book.borrow().is_some()
    }

    /// Whether what goes back in cash is what somebody may give back. What was sold elsewhere is a fact.
    pub fn check_change(&self, draft: SaleDraft) -> Result<SaleDraft, Refusal> {
        match self.change_minor_max {
            Some(max_minor) if draft.change.minor() > max_minor && draft.imported.is_none() => {
                Err(Refusal::ChangeTooLarge { change: draft.change, max_minor })
            }
            _ => Ok(draft),
        }
    }

    /// What is ordered, and the circumstances at a moment. What the till says of the order has to be well-formed.
    pub fn basket(&self, order: OrderCommand, channel: Tag, at: Stamp) -> Result<(Basket, Context), Refusal> {
        let OrderCommand { lines, takeaway, member, coupons } = order;
        let lines = lines.into_iter().enumerate().map(|(place, line)| {
            let quantity = line.quantity.parse().map_err(|_| Refusal::QuantityFormat { line: place + 1 })?;
            Ok(BasketLine { sku: line.sku, options: line.options, quantity })
        });
        let basket = Basket { lines: lines.collect::<Result<_, Refusal>>()? };
        let context = Context {
            region: self.region.clone(),
            store_groups: self.groups.clone(),
            takeaway,
            member: member.map(|member| Member {
                level: member.level,
                tags: member.tags,
                order_no: member.order_no,
                used: member.used,
            }),
            coupons,
            ..Context::at(at, self.cut_off, channel)
        };
        Ok((basket, context))
    }
}

/// What a basket costs at this moment; none if there is nothing to price, or nothing to price it by.
pub(super) fn quote(parts: &ApiParts, basket: &BasketView) -> Option<serde_json::Value> {
    let (book, priced) = priced_basket(parts, basket).ok()?;
    serde_json::to_value(Quote::new(&priced, &book.rules)).ok()
}

/// What the lines of a basket are to the stations, and what they need; or why the store does not sell them.
pub(super) fn for_stations(parts: &ApiParts, basket: &BasketView) -> Result<Vec<(KitchenLine, Needs)>, Refusal> {
    if sold_lines(basket).next().is_none() {
        return Ok(Vec::new());
    }
    let (_, priced) = priced_basket(parts, basket)?;
    check_sellable(&priced)?;
    let lines = sold_lines(basket).zip(&priced.lines);
    Ok(lines.map(|(line, priced)| (KitchenLine::new(line.line_id, line.note.clone(), priced), priced.into())).collect())
}

fn sold_lines(basket: &BasketView) -> impl Iterator<Item = &BasketLineView> {
    basket.lines.iter().filter(|line| line.state != BasketLineState::Voided)
}

fn priced_basket(parts: &ApiParts, basket: &BasketView) -> Result<(Arc<ActiveBook>, PricedBasket), Refusal> {
    let book = parts.counter.book()?;
    let order = OrderCommand {
        lines: sold_lines(basket)
            .map(|line| OrderLine {
                sku: line.sku.clone(),
                options: line.options.clone(),
                quantity: line.quantity.clone(),
                note: None,
            })
            .collect(),
        takeaway: basket.takeaway,
        member: basket.member.clone(),
        coupons: basket.coupons.clone(),
    };
    let (basket, context) = parts.counter.basket(order, basket.channel.clone(), parts.writer.clock().now())?;
    let priced = price_order(&basket, &book.rules, &context)?;
    Ok((book, priced))
}

/// What an order costs at this moment, and why.
///
/// Nothing is recorded. `problems` says what the book does not sell like this; `not_applied` what was nearly so; `sold_out`
/// what of it cannot be had, for which a sale of it would be refused.
#[utoipa::path(
    post, path = "/v1/price", request_body = PriceOrder,
    responses(
        (status = 200, description = "The priced order: lines, adjustments, taxes, promotions and what they lacked", body = Object,
            example = json!({"price_book_version": "tea-1", "currency": "CNY", "gross_minor": 1500, "tax_minor": 0, "lines": [], "problems": [],
                "sold_out": [{"line": 0, "what": "option", "code": "pearls", "name": "Pearls", "left": 0}]})),
        (status = 422, description = "It breaks a rule, or there is no price book"),
    )
)]
pub(super) async fn price(
    State(parts): State<ApiParts>,
    command: Result<Json<PriceOrder>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(PriceOrder { channel, order }) = command?;
    let book = parts.counter.book()?;
    let (basket, context) = parts.counter.basket(order, channel, parts.writer.clock().now())?;
    let priced = price_order(&basket, &book.rules, &context)?;
    let needs: Vec<Needs> = priced.lines.iter().map(Needs::from).collect();
    let missing = parts.writer.sold_out().missing(&needs, context.business_date);
    let sold_out = missing.into_iter().map(|missing| sold_out_part(missing, &book.rules)).collect();
    Ok(Json(PriceNow { quote: Quote::new(&priced, &book.rules), sold_out }).into_response())
}

/// A price, and whether it can be had for it.
#[derive(Serialize)]
struct PriceNow<'a> {
    #[serde(flatten)]
    quote: Quote<'a>,
    sold_out: Vec<SoldOutPart>,
}

fn sold_out_part(missing: Missing, rules: &Rules) -> SoldOutPart {
    let name = match &missing.part {
        Part::Item(item) => rules.book().ingredients.get(item).map(|ingredient| ingredient.name.clone()),
        Part::Sku(_) | Part::Option(_) => None,
    };
    SoldOutPart {
        line: u32::try_from(missing.line).unwrap_or(u32::MAX),
        what: what(missing.part.kind()),
        code: missing.part.code().to_owned(),
        name: name.unwrap_or(missing.name),
        left: missing.left.into(),
    }
}

/// The price book in force: the menu with its prices and promotions, as one JSON document.
///
/// Its ETag is the document's hash.
#[utoipa::path(
    get, path = "/v1/price-book",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 304, description = "It is the one named in If-None-Match"),
        (status = 404, description = "The store has no price book"),
    )
)]
pub(super) async fn price_book(State(parts): State<ApiParts>, headers: HeaderMap) -> Result<Response, ApiError> {
    let book = parts.counter.book().map_err(|refusal| {
        ApiError::new(StatusCode::NOT_FOUND, refusal.message_key(), "No price book", refusal.to_string())
    })?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", book.rules.hash())).expect("hexadecimal digits in quotes");
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let json = HeaderValue::from_static("application/json");
    let body = Body::from(book.json.to_vec());
    Ok(([(header::ETAG, tag), (header::CONTENT_TYPE, json)], body).into_response())
}
