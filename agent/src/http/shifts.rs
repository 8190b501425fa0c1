//! Shifts, drawers, reports, and the end of the day.

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::routing::{get, post};
use pos_model::{BusinessDate, ShiftId, TillId};
use protocol::latest::shift_api::{
    AmendShift, CashKind, CloseDay, CloseShift, DayView, MoveCash, OpenShift, ShiftView, XReport,
};
use serde::Deserialize;
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Said, answer, commands};
use crate::db::Refused;
use crate::doors::Caller;

commands!(OpenShift, MoveCash, CloseShift, AmendShift, CloseDay);

#[derive(Debug, OpenApi)]
#[openapi(paths(open, cash, close, amend, x_report, one, list, close_day, day))]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/shifts", post(open).get(list))
        .route("/v1/shifts/{shift_id}", get(one))
        .route("/v1/shifts/{shift_id}/cash", post(cash))
        .route("/v1/shifts/{shift_id}/close", post(close))
        .route("/v1/shifts/{shift_id}/amend", post(amend))
        .route("/v1/shifts/{shift_id}/x-report", get(x_report))
        .route("/v1/days/close", post(close_day))
        .route("/v1/days/{business_date}", get(day))
}

fn shift_id(path: Result<Path<String>, PathRejection>) -> Result<ShiftId, ApiError> {
    let id = path.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or_else(|| ApiError::malformed("the shift id is not a UUID"))
}

fn unknown(shift_id: ShiftId) -> Refused {
    Refused::unknown("shift.unknown", format!("shift {shift_id} is not known here"))
}

/// Open a till. From its first shift on a till sells within shifts only.
#[utoipa::path(
    post, path = "/v1/shifts", request_body = OpenShift,
    responses(
        (status = 200, description = "Opened, now or before", body = ShiftView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 409, description = "The till is open, or the command has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn open(State(parts): State<ApiParts>, said: Said<OpenShift>) -> Result<Json<ShiftView>, ApiError> {
    let Said { command, key } = said;
    answer(parts.writer.once(key, move |store, moment| store.open_shift(moment, command)).await?)
}

/// Put cash into the drawer, take it out, put it into the safe, or open the drawer for nothing.
#[utoipa::path(
    post, path = "/v1/shifts/{shift_id}/cash", request_body = MoveCash,
    params(("shift_id" = ShiftId, Path)),
    responses(
        (status = 200, description = "Noted, now or before", body = ShiftView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such shift"),
        (status = 409, description = "The shift is closed, or the command has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn cash(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
    said: Said<MoveCash>,
) -> Result<Json<ShiftView>, ApiError> {
    let shift_id = shift_id(path)?;
    let Said { command, key } = said;
    // As for a close: most of the sum is made beside the writer.
    let part = match command.kind {
        CashKind::PaidOut | CashKind::Drop => parts.readers.read(move |view| view.part_of_shift(shift_id)).await?,
        CashKind::PaidIn | CashKind::NoSale => None,
    };
    answer(parts.writer.once(key, move |store, moment| store.move_cash(moment, shift_id, command, part)).await?)
}

/// Close a till: the drawer was counted, and the Z report says what should be in it.
#[utoipa::path(
    post, path = "/v1/shifts/{shift_id}/close", request_body = CloseShift,
    params(("shift_id" = ShiftId, Path)),
    responses(
        (status = 200, description = "Closed, now or before; with the Z report", body = ShiftView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such shift"),
        (status = 409, description = "The shift is closed, or the command has other content"),
        (status = 422, description = "It breaks a rule"),
    )
)]
async fn close(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
    said: Said<CloseShift>,
) -> Result<Json<ShiftView>, ApiError> {
    let shift_id = shift_id(path)?;
    let Said { command, key } = said;
    // Most of the sum is made beside the writer, so that nobody who sells meanwhile waits for it.
    let part = parts.readers.read(move |view| view.part_of_shift(shift_id)).await?;
    answer(parts.writer.once(key, move |store, moment| store.close_shift(moment, shift_id, command, part)).await?)
}

/// Note what was found out about a closed shift. Its report stays as it is.
#[utoipa::path(
    post, path = "/v1/shifts/{shift_id}/amend", request_body = AmendShift,
    params(("shift_id" = ShiftId, Path)),
    responses(
        (status = 200, description = "Noted, now or before", body = ShiftView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such shift"),
        (status = 409, description = "The command has other content"),
        (status = 422, description = "The shift is open"),
    )
)]
async fn amend(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
    said: Said<AmendShift>,
) -> Result<Json<ShiftView>, ApiError> {
    let shift_id = shift_id(path)?;
    let Said { command, key } = said;
    answer(parts.writer.once(key, move |store, moment| store.amend_shift(moment, shift_id, command)).await?)
}

/// What a shift has come to so far: the X report. Nothing is closed by it.
///
/// In a store with operators it says what should be in the drawer only if a shift lead is signed on at the till that asks,
/// or if the owner of the agent's folder does.
#[utoipa::path(
    get, path = "/v1/shifts/{shift_id}/x-report",
    params(
        ("shift_id" = ShiftId, Path),
        ("till_id" = Option<TillId>, Query, description = "The till that asks; left out, that of the token", example = "T1"),
    ),
    responses(
        (status = 200, body = XReport),
        (status = 400, description = "Not a UUID, or not a till"),
        (status = 403, description = "The token is another till's"),
        (status = 404, description = "No such shift"),
    )
)]
async fn x_report(
    State(parts): State<ApiParts>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Asking>, QueryRejection>,
) -> Result<Json<XReport>, ApiError> {
    let shift_id = shift_id(path)?;
    let Query(Asking { till_id }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let till_id = till_id.map(|text| text.parse::<TillId>()).transpose();
    let till_id = till_id.map_err(|error| ApiError::malformed(error.to_string()))?;
    if let Some(till_id) = &till_id {
        caller.speaks_for(till_id)?;
    }
    let (is_owner, till_id) = match caller {
        Caller::Owner => (true, till_id),
        Caller::Till(own) => (false, Some(own)),
        Caller::Anyone => (false, till_id),
    };
    let now = parts.writer.clock().now();
    let read = move |view: crate::db::View<'_>| {
        let report = view.x_report(shift_id, now)?;
        let sees_drawer = is_owner || view.sees_drawer(till_id.as_ref())?;
        Ok((report, sees_drawer))
    };
    let (report, sees_drawer) = parts.readers.read(read).await?;
    let report = report.ok_or_else(|| unknown(shift_id))?;
    let is_counted = report.z_no > 0;
    let mut report = serde_json::to_value(report).expect("numbers and names always encode");
    if !is_counted {
        leave_out_the_count(&mut report, now.utc_ms);
    }
    if !(sees_drawer || is_counted)
        && let Some(parts) = report.as_object_mut()
    {
        for part in BLIND {
            parts.remove(part);
        }
    }
    Ok(Json(XReport { shift_id, report }))
}

/// Of an open shift nobody has counted or closed anything.
fn leave_out_the_count(report: &mut serde_json::Value, now_ms: i64) {
    let Some(parts) = report.as_object_mut() else { return };
    parts.remove("closed_at");
    parts.insert("read_at_ms".to_owned(), now_ms.into());
    if let Some(drawer) = parts.get_mut("drawer").and_then(serde_json::Value::as_object_mut) {
        drawer.remove("counted_minor");
        drawer.remove("difference_minor");
    }
}

/// What tells how much cash should be in a drawer.
const BLIND: [&str; 3] = ["tenders", "drawer", "cash_rounding_minor"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    till_id: Option<String>,
}

/// A shift, with its Z report once it is closed.
#[utoipa::path(
    get, path = "/v1/shifts/{shift_id}", params(("shift_id" = ShiftId, Path)),
    responses(
        (status = 200, body = ShiftView),
        (status = 404, description = "No such shift"),
    )
)]
async fn one(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ShiftView>, ApiError> {
    let shift_id = shift_id(path)?;
    let shift = parts.readers.read(move |view| view.shift(shift_id)).await?;
    Ok(Json(shift.ok_or_else(|| unknown(shift_id))?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShiftsQuery {
    business_date: Option<String>,
}

/// The shifts of a business date, or those that are open.
#[utoipa::path(
    get, path = "/v1/shifts",
    params(("business_date" = Option<String>, Query, description = "The business date on which they were opened; left out, those that are open", format = "date")),
    responses(
        (status = 200, body = Vec<ShiftView>),
        (status = 400, description = "Not a date"),
    )
)]
async fn list(
    State(parts): State<ApiParts>,
    query: Result<Query<ShiftsQuery>, QueryRejection>,
) -> Result<Json<Vec<ShiftView>>, ApiError> {
    let Query(ShiftsQuery { business_date: date }) =
        query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let date = date.map(|text| text.parse::<BusinessDate>()).transpose();
    let date = date.map_err(|error| ApiError::malformed(error.to_string()))?;
    Ok(Json(parts.readers.read(move |view| view.shifts(date)).await?))
}

/// Close a business date: all its shifts are closed. Baskets that are open stay open.
#[utoipa::path(
    post, path = "/v1/days/close", request_body = CloseDay,
    responses(
        (status = 200, description = "Closed, now or before", body = DayView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 409, description = "It is closed, or the command has other content"),
        (status = 422, description = "A shift is open, the date has not begun, or nothing happened on it and it is more than a week ago or before the store's first"),
    )
)]
async fn close_day(State(parts): State<ApiParts>, said: Said<CloseDay>) -> Result<Json<DayView>, ApiError> {
    let Said { command, key } = said;
    let once = parts.writer.once(key, move |store, moment| store.close_day(moment, command));
    answer(once.await?)
}

/// A business date that was closed.
#[utoipa::path(
    get, path = "/v1/days/{business_date}", params(("business_date" = BusinessDate, Path)),
    responses(
        (status = 200, body = DayView),
        (status = 400, description = "Not a date"),
        (status = 404, description = "It is not closed"),
    )
)]
async fn day(
    State(parts): State<ApiParts>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<DayView>, ApiError> {
    let date: Option<BusinessDate> = path.ok().and_then(|Path(text)| text.parse().ok());
    let date = date.ok_or_else(|| ApiError::malformed("the business date is not of the form YYYY-MM-DD"))?;
    let day = parts.readers.read(move |view| view.day(date)).await?;
    let unknown = || Refused::unknown("day.open", format!("{date} is not closed"));
    Ok(Json(day.ok_or_else(unknown)?))
}
