//! Printers, and the drawers that hang on them.

use axum::extract::rejection::PathRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use printing::template::Kind;
use protocol::latest::print::{AskPrinting, OpenDrawer, PrintJobView, PrinterView};
use serde_json::json;

use crate::db::{NewPrint, Refused};
use crate::http::problem::ApiError;
use crate::http::routes::ApiParts;
use crate::http::said::{Command, Said, answer};
use crate::wall_clock::local_time;

/// The printers, and how they are.
#[utoipa::path(get, path = "/v1/printers", responses((status = 200, body = Vec<PrinterView>)))]
pub(super) async fn printers(State(parts): State<ApiParts>) -> Result<Json<Vec<PrinterView>>, ApiError> {
    let waiting = parts.readers.read(|view| view.queued_prints()).await?;
    Ok(Json(parts.printing.views(&waiting)))
}

/// Print the page that shows what a printer can do.
#[utoipa::path(
    post, path = "/v1/printers/{name}/test-page", params(("name" = String, Path, example = "counter")),
    request_body(content = AskPrinting, example = json!({"command_id": "01990000-0000-7000-8000-000000000034", "till_id": "T1"})),
    responses(
        (status = 200, description = "Its job", body = PrintJobView),
        (status = 404, description = "No such printer"),
        (status = 409, description = "The command has other content"),
    )
)]
pub(super) async fn test_page(
    State(parts): State<ApiParts>,
    name: Result<Path<String>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let name = printer_name(&parts, name)?;
    let profile = parts.printing.printer(&name).map(|printer| printer.profile_name.clone()).unwrap_or_default();
    let Said { command, key } = said;
    let till_id = command.till_id;
    let done = parts.writer.once(key, move |store, moment| {
        let currency = store.currency();
        let data = json!({
            "currency": { "code": currency.to_string(), "exponent": currency.decimals() },
            "printer": name, "profile": profile, "printed_at": local_time(moment.at()),
        });
        let role = format!("@{name}");
        let new = NewPrint { kind: Kind::Test, role, till_id: Some(till_id), subject: String::new(), data };
        let id = store.enqueue_print(new, moment.at())?;
        Ok(store.known_print(id)?.view())
    });
    answer(done.await?)
}

/// Open the drawer without a sale.
///
/// It is marked, and stands in the till's open shift, as if `POST /v1/shifts/{shift_id}/cash` had opened it, which takes the
/// printer of the till by itself. It opens within half a minute or not at all. An approval is for `no_sale` on the till.
#[utoipa::path(
    post, path = "/v1/printers/{name}/open-drawer", params(("name" = String, Path, example = "counter")), request_body = OpenDrawer,
    responses(
        (status = 200, description = "Its job", body = PrintJobView),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 404, description = "No such printer"),
        (status = 409, description = "The command has other content"),
        (status = 422, description = "The printer, and the drawer on it, are another till's"),
    )
)]
pub(super) async fn open_drawer(
    State(parts): State<ApiParts>,
    name: Result<Path<String>, PathRejection>,
    said: Said<OpenDrawer>,
) -> Result<Json<PrintJobView>, ApiError> {
    let name = printer_name(&parts, name)?;
    let Said { command, key } = said;
    if parts.printing.printer(&name).is_some_and(|printer| !printer.serves(Some(command.till_id()))) {
        let text = format!("printer {name} is none of till {}: the drawer on it is another till's", command.till_id());
        return Err(Refused::rule("print.other_till", text).into());
    }
    answer(parts.writer.once(key, move |store, moment| store.open_drawer(moment, command, &name)).await?)
}

fn printer_name(parts: &ApiParts, name: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let Path(name) = name.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    if parts.printing.printer(&name).is_some() {
        return Ok(name);
    }
    let detail = format!("the configuration has no printer {name:?}");
    Err(ApiError::new(StatusCode::NOT_FOUND, "print.unknown_printer", "No such printer", detail))
}
