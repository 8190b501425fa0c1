//! The part of the API that tells the roll-ups: as JSON, or as CSV for a spreadsheet.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use protocol::latest::local_api::Problem;
use serde::Serialize;

use super::api::{known_store, newest_days, totals_filter};
use super::problem::ApiError;
use super::rollups_wire::{
    Columns, RollupHour, RollupHours, RollupItem, RollupItems, RollupPromotion, RollupPromotions, RollupsQuery,
    RollupsState,
};
use super::state::Api;
use super::wire::TotalsQuery;
use crate::ingest::utc_ms;
use crate::ledger::{LedgerError, Reader, RollUpFilter};

/// Rows in one answer: some 10 MB of text.
const ROWS_MAX: u32 = 50_000;

/// How far the roll-ups are.
#[utoipa::path(get, path = "/api/v1/rollups", tag = "rollups", responses((status = 200, body = RollupsState)))]
pub(super) async fn state(State(api): State<Api>) -> Result<Json<RollupsState>, ApiError> {
    let state = api.readers.read(|books| books.roll_up_state()).await?;
    Ok(Json(RollupsState::of(&state, utc_ms())))
}

/// Sales and refunds by the hour of the store's clock. At most 50,000 rows; a question that has more is answered with 422.
#[utoipa::path(get, path = "/api/v1/rollups/hours", tag = "rollups", params(RollupsQuery),
    responses((status = 200, body = RollupHours), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem, description = "more rows than one answer holds: name a store or fewer dates")))]
pub(super) async fn hours(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<RollupsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (form, rows) = ask(&api, &headers, query, |books, filter| books.hours(filter)).await?;
    let rows: Vec<RollupHour> = rows.into_iter().map(Into::into).collect();
    form.answer(rows, |rows| RollupHours { rows })
}

/// The same by article.
#[utoipa::path(get, path = "/api/v1/rollups/items", tag = "rollups", params(RollupsQuery),
    responses((status = 200, body = RollupItems), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem, description = "more rows than one answer holds: name a store or fewer dates")))]
pub(super) async fn items(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<RollupsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (form, rows) = ask(&api, &headers, query, |books, filter| books.items(filter)).await?;
    let rows: Vec<RollupItem> = rows.into_iter().map(Into::into).collect();
    form.answer(rows, |rows| RollupItems { rows })
}

/// What promotions gave away, by business date.
#[utoipa::path(get, path = "/api/v1/rollups/promotions", tag = "rollups", params(RollupsQuery),
    responses((status = 200, body = RollupPromotions), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem, description = "more rows than one answer holds: name a store or fewer dates")))]
pub(super) async fn promotions(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<RollupsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (form, rows) = ask(&api, &headers, query, |books, filter| books.promotions(filter)).await?;
    let rows: Vec<RollupPromotion> = rows.into_iter().map(Into::into).collect();
    form.answer(rows, |rows| RollupPromotions { rows })
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
}

impl Form {
    fn of(format: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        match format {
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some(_) => Err(ApiError::malformed("format is neither csv nor json")),
            None if accept.contains("text/csv") => Ok(Self::Csv),
            None => Ok(Self::Json),
        }
    }

    fn answer<R: Columns, B: Serialize>(
        self,
        rows: Vec<R>,
        body: impl FnOnce(Vec<R>) -> B,
    ) -> Result<Response, ApiError> {
        match self {
            Self::Json => Ok(Json(body(rows)).into_response()),
            Self::Csv => {
                let text = csv(&rows).map_err(|_| ApiError::unavailable("the answer could not be written"))?;
                Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response())
            }
        }
    }
}

async fn ask<T: Send + 'static>(
    api: &Api,
    headers: &HeaderMap,
    query: Result<Query<RollupsQuery>, QueryRejection>,
    read: impl FnOnce(&dyn Reader, &RollUpFilter) -> Result<Vec<T>, LedgerError> + Send + 'static,
) -> Result<(Form, Vec<T>), ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let form = Form::of(query.format.as_deref(), headers)?;
    let over_stores = match query.by.as_deref() {
        None | Some("store") => false,
        Some("all") => true,
        Some(_) => return Err(ApiError::malformed("by is neither store nor all")),
    };
    let mut totals = totals_filter(&TotalsQuery { store: query.store, from: query.from, to: query.to })?;
    known_store(api, totals.store.as_ref()).await?;
    // One more tells that there are more.
    totals.rows_max = Some(ROWS_MAX + 1);
    let found = api.readers.read(move |books| {
        if totals.store.is_none() && totals.from.is_none() && totals.to.is_none() {
            totals.from = newest_days(books)?;
        }
        read(books, &RollUpFilter { totals, over_stores })
    });
    let rows = found.await?;
    if rows.len() > ROWS_MAX as usize {
        let detail = format!("the question has more than {ROWS_MAX} rows: name a store or fewer dates, or ask by=all");
        return Err(ApiError::too_much(detail));
    }
    Ok((form, rows))
}

/// Rows as RFC 4180 has them, with a head. A field is quoted if it has to be.
fn csv<R: Columns>(rows: &[R]) -> Result<String, serde_json::Error> {
    let mut text = R::COLUMNS.join(",");
    text.push_str("\r\n");
    for row in rows {
        let row = serde_json::to_value(row)?;
        for (place, name) in R::COLUMNS.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            match &row[*name] {
                serde_json::Value::Null => {}
                serde_json::Value::String(value) => push_field(value, &mut text),
                value => push_field(&value.to_string(), &mut text),
            }
        }
        text.push_str("\r\n");
    }
    Ok(text)
}

fn push_field(value: &str, text: &mut String) {
    if value.contains(['"', ',', '\r', '\n']) {
        text.push('"');
        text.push_str(&value.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_a_spreadsheet() {
        #[derive(Serialize)]
        struct Row {
            name: Option<&'static str>,
            count: i64,
        }
        impl Columns for Row {
            const COLUMNS: &'static [&'static str] = &["name", "count"];
        }
        let rows = [Row { name: Some("plain"), count: 1 }, Row { name: Some("a \"b\", c"), count: -2 }];
        assert_eq!(csv(&rows).expect("text"), "name,count\r\nplain,1\r\n\"a \"\"b\"\", c\",-2\r\n");
        assert_eq!(csv(&[Row { name: None, count: 0 }]).expect("text"), "name,count\r\n,0\r\n");
        assert_eq!(csv::<Row>(&[]).expect("text"), "name,count\r\n");
    }
}
