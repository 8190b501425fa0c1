//! The paths of printing: jobs, printers, templates, and pictures of the paper.

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use pos_model::{OperatorId, Tag, TillId};
use printing::template::Kind;
use printing::{Paper, Profile, png};
use protocol::latest::AuditMarked;
use protocol::latest::print::{AskPrinting, OpenDrawer, PrintJobView, PrintTemplateView, PrinterView, ResolvePrint};
use serde::Deserialize;
use serde_json::json;
use till::people::Action;
use utoipa::OpenApi;

use super::problem::ApiError;
use super::routes::ApiParts;
use super::said::{Command, Said, answer, commands};
use crate::db::{Error, Moment, NewPrint, PrintJob, PrintJobId, Store};
use crate::printing::Unprintable;

/// Jobs in one answer.
const JOBS_MAX: u32 = 500;

/// Jobs in one answer unless the question says otherwise.
const JOBS: u32 = 100;

commands!(AskPrinting, ResolvePrint, OpenDrawer);

#[derive(Debug, OpenApi)]
#[openapi(
    paths(
        jobs,
        job,
        preview,
        reprint,
        retry,
        cancel,
        resolve,
        printers,
        test_page,
        open_drawer,
        templates,
        template_preview
    ),
    components(schemas(PrintJobView, PrinterView, PrintTemplateView))
)]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/print-jobs", get(jobs))
        .route("/v1/print-jobs/{job_id}", get(job))
        .route("/v1/print-jobs/{job_id}/preview.png", get(preview))
        .route("/v1/print-jobs/{job_id}/reprint", post(reprint))
        .route("/v1/print-jobs/{job_id}/retry", post(retry))
        .route("/v1/print-jobs/{job_id}/cancel", post(cancel))
        .route("/v1/print-jobs/{job_id}/resolve", post(resolve))
        .route("/v1/printers", get(printers))
        .route("/v1/printers/{name}/test-page", post(test_page))
        .route("/v1/printers/{name}/open-drawer", post(open_drawer))
        .route("/v1/print-templates", get(templates))
        .route("/v1/print-templates/{kind}/preview.png", get(template_preview))
}

#[derive(Debug, Deserialize)]
struct JobsQuery {
    state: Option<String>,
    subject: Option<String>,
    limit: Option<u32>,
}

/// The newest print jobs first; those that need a person with `state=maybe_printed`.
#[utoipa::path(
    get, path = "/v1/print-jobs",
    params(
        ("state" = Option<String>, Query, description = "Only those in this state; `open` for all that are not over"),
        ("subject" = Option<String>, Query, description = "Only those of this sale or shift"),
        ("limit" = Option<u32>, Query, description = "At most so many: 1 to 500, 100 if left out"),
    ),
    responses(
        (status = 200, body = Vec<PrintJobView>),
        (status = 400, description = "Not a question"),
    )
)]
async fn jobs(
    State(parts): State<ApiParts>,
    query: Result<Query<JobsQuery>, QueryRejection>,
) -> Result<Json<Vec<PrintJobView>>, ApiError> {
    let Query(JobsQuery { state, subject, limit }) =
        query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let limit = limit.unwrap_or(JOBS);
    if !(1..=JOBS_MAX).contains(&limit) {
        return Err(ApiError::malformed(format!("limit is not from 1 to {JOBS_MAX}")));
    }
    let known = |state: &str| state == "open" || printing::job::State::named(state).is_some();
    if let Some(state) = state.as_deref().filter(|state| !known(state)) {
        return Err(ApiError::malformed(format!("{state:?} is no state of a print job")));
    }
    let is_open =
        state.as_deref().is_some_and(|state| matches!(state, "open" | "queued" | "sending" | "maybe_printed"));
    let found = parts.readers.read(move |view| {
        match &subject {
            Some(subject) => view.prints_of(subject),
            // The open ones are few, and an old one among them is the one that matters.
            None if is_open => view.open_prints().map(|mut jobs| {
                jobs.reverse();
                jobs
            }),
            // One that failed may lie far back; what is kept is bounded.
            None if state.is_some() => view.newest_prints(u32::MAX),
            None => view.newest_prints(limit),
        }
        .map(|jobs| filtered(&jobs, state.as_deref(), limit))
    });
    Ok(Json(found.await?))
}

fn filtered(jobs: &[PrintJob], state: Option<&str>, limit: u32) -> Vec<PrintJobView> {
    let fits = |job: &&PrintJob| match state {
        None => true,
        Some("open") => !job.progress.state.is_over(),
        Some(state) => job.progress.state.name() == state,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    jobs.iter().filter(fits).take(limit).map(PrintJob::view).collect()
}

/// Read a print job.
#[utoipa::path(
    get, path = "/v1/print-jobs/{job_id}", params(("job_id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
    )
)]
async fn job(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let job = parts.readers.read(move |view| view.print_job(id)).await?;
    job.map(|job| Json(job.view())).ok_or_else(|| no_such_job(id))
}

/// The paper of a print job as its printer prints it, from the very bytes that are sent.
#[utoipa::path(
    get, path = "/v1/print-jobs/{job_id}/preview.png", params(("job_id" = i64, Path, example = 1)),
    responses(
        (status = 200, description = "A picture", body = [u8], content_type = "image/png"),
        (status = 404, description = "No such job"),
        (status = 422, description = "It cannot be printed"),
    )
)]
async fn preview(State(parts): State<ApiParts>, id: Result<Path<i64>, PathRejection>) -> Result<Response, ApiError> {
    let id = job_id(id)?;
    let found = parts.readers.read(move |view| Ok(view.print_job(id)?.zip(view.print_data(id)?))).await?;
    let (job, data) = found.ok_or_else(|| no_such_job(id))?;
    let printing = parts.printing.clone();
    picture(move || printing.paper(&job, &data)).await
}

/// Print a copy: a new job, whose paper says `COPY` and its number. It opens no drawer.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/reprint", params(("job_id" = i64, Path, example = 1)), request_body = AskPrinting,
    responses(
        (status = 200, description = "The copy's job", body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It is not printed yet, or the command has other content"),
        (status = 422, description = "It leaves no paper"),
    )
)]
async fn reprint(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let who = Who { till_id: said.command.till_id().clone(), operator_id: said.command.operator_id.clone() };
    let done = parts.writer.once(said.key, move |store, moment| {
        store.permit(moment, &who.till_id, who.operator_id.as_ref(), None, Action::Reprint, "")?;
        let job = store.reprint(id, moment.at())?;
        let detail = format!("{} copy {}", job.kind.name(), job.copy);
        mark(store, moment, "receipt_reprinted", &who, None, &job.subject, detail)?;
        Ok(job.view())
    });
    answer(done.await?)
}

/// Try a job again that failed: nothing of it is on paper, so it is no copy.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/retry", params(("job_id" = i64, Path, example = 1)),
    request_body(content = AskPrinting, example = json!({"command_id": "01990000-0000-7000-8000-000000000031", "till_id": "T1"})),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It has not failed, or the command has other content"),
    )
)]
async fn retry(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let done = parts
        .writer
        .once(said.key, move |store, moment| store.retry_print(id, moment.at().utc_ms).map(|job| job.view()));
    answer(done.await?)
}

/// Take a job back that waits.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/cancel", params(("job_id" = i64, Path, example = 1)),
    request_body(content = AskPrinting, example = json!({"command_id": "01990000-0000-7000-8000-000000000032", "till_id": "T1"})),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It does not wait, or the command has other content"),
    )
)]
async fn cancel(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let done = parts
        .writer
        .once(said.key, move |store, moment| store.cancel_print(id, moment.at().utc_ms).map(|job| job.view()));
    answer(done.await?)
}

/// Say what became of a job that is `maybe_printed`: a person has looked at the paper.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/resolve", params(("job_id" = i64, Path, example = 1)), request_body = ResolvePrint,
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It is not in doubt, or the command has other content"),
    )
)]
async fn resolve(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<ResolvePrint>,
) -> Result<Json<PrintJobView>, ApiError> {
    let (id, is_on_paper) = (job_id(id)?, said.command.is_on_paper);
    let done = parts.writer.once(said.key, move |store, moment| {
        store.resolve_print(id, is_on_paper, moment.at().utc_ms).map(|job| job.view())
    });
    answer(done.await?)
}

/// The printers, and how they are.
#[utoipa::path(get, path = "/v1/printers", responses((status = 200, body = Vec<PrinterView>)))]
async fn printers(State(parts): State<ApiParts>) -> Result<Json<Vec<PrinterView>>, ApiError> {
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
async fn test_page(
    State(parts): State<ApiParts>,
    name: Result<Path<String>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let name = printer_name(&parts, name)?;
    let profile = parts.printing.printer(&name).map(|printer| printer.profile_name.clone()).unwrap_or_default();
    let done = parts.writer.once(said.key, move |store, moment| {
        let currency = store.currency();
        let data = json!({
            "currency": { "code": currency.to_string(), "exponent": currency.decimals() },
            "printer": name, "profile": profile, "printed_at": local_time(moment.at()),
        });
        put_in(store, moment, Kind::Test, &name, data)
    });
    answer(done.await?)
}

/// Open the drawer without a sale; the audit knows of it. It opens within half a minute or not at all.
#[utoipa::path(
    post, path = "/v1/printers/{name}/open-drawer", params(("name" = String, Path, example = "counter")), request_body = OpenDrawer,
    responses(
        (status = 200, description = "Its job", body = PrintJobView),
        (status = 404, description = "No such printer"),
        (status = 409, description = "The command has other content"),
    )
)]
async fn open_drawer(
    State(parts): State<ApiParts>,
    name: Result<Path<String>, PathRejection>,
    said: Said<OpenDrawer>,
) -> Result<Json<PrintJobView>, ApiError> {
    let name = printer_name(&parts, name)?;
    let till_id = said.command.till_id().clone();
    let OpenDrawer { operator_id, approval_id, reason, .. } = said.command;
    let done = parts.writer.once(said.key, move |store, moment| {
        store.permit(moment, &till_id, operator_id.as_ref(), approval_id, Action::NoSale, till_id.as_str())?;
        let operator = operator_id.as_ref().map(ToString::to_string).unwrap_or_default();
        let data = json!({ "reason": reason, "operator": operator, "at": local_time(moment.at()) });
        let who = Who { till_id, operator_id };
        mark(store, moment, "drawer_opened", &who, Some(reason), "", format!("at printer {name}"))?;
        put_in(store, moment, Kind::Drawer, &name, data)
    });
    answer(done.await?)
}

/// Which kinds of paper have a template of the store's own, and what is wrong with those that are not used.
#[utoipa::path(get, path = "/v1/print-templates", responses((status = 200, body = Vec<PrintTemplateView>)))]
async fn templates(State(parts): State<ApiParts>) -> Json<Vec<PrintTemplateView>> {
    Json(parts.printing.templates())
}

#[derive(Debug, Deserialize)]
struct PreviewQuery {
    profile: Option<String>,
}

/// The paper of a template with made-up data.
#[utoipa::path(
    get, path = "/v1/print-templates/{kind}/preview.png",
    params(
        ("kind" = String, Path, example = "receipt"),
        ("profile" = Option<String>, Query, description = "The printer's profile, such as 58mm-gb18030; 80mm if left out"),
    ),
    responses(
        (status = 200, description = "A picture", body = [u8], content_type = "image/png"),
        (status = 400, description = "No such profile"),
        (status = 404, description = "No such kind of paper"),
    )
)]
async fn template_preview(
    State(parts): State<ApiParts>,
    kind: Result<Path<String>, PathRejection>,
    query: Result<Query<PreviewQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = kind.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let Query(PreviewQuery { profile }) = query.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    let kind = Kind::named(&name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        let detail = format!("{name:?} is none of {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, "print.unknown_kind", "No such kind of paper", detail)
    })?;
    let profile = match profile {
        None => Profile::USUAL,
        Some(name) => {
            Profile::named(&name).ok_or_else(|| ApiError::malformed(format!("{name:?} is no printer's profile")))?
        }
    };
    picture(move || parts.printing.sample(kind, &profile)).await
}

/// Who asks.
struct Who {
    till_id: TillId,
    operator_id: Option<OperatorId>,
}

fn put_in(
    store: &mut Store,
    moment: &Moment,
    kind: Kind,
    printer: &str,
    data: serde_json::Value,
) -> Result<PrintJobView, Error> {
    let new = NewPrint { kind, role: format!("@{printer}"), subject: String::new(), data };
    let id = store.enqueue_print(new, moment.at())?;
    let job = store.view().print_job(id)?;
    job.map(|job| job.view()).ok_or_else(|| Error::Damaged(format!("print job {} is not where it was put", id.get())))
}

/// Writes down who did it, in the chain of events.
fn mark(
    store: &mut Store,
    moment: &mut Moment,
    action: &str,
    who: &Who,
    reason: Option<Tag>,
    subject: &str,
    detail: String,
) -> Result<(), Error> {
    let mark = AuditMarked {
        action: action.parse().expect("a word of ours is a tag"),
        till_id: Some(who.till_id.clone()),
        operator_id: who.operator_id.clone(),
        approver_id: None,
        reason,
        subject: subject.to_owned(),
        detail,
        amount_minor: None,
        marked_at: moment.at(),
    };
    store.mark_printing(moment, mark)
}

/// A moment as the store's clock on the wall shows it.
fn local_time(at: pos_model::Stamp) -> String {
    let shown = at.utc_ms.saturating_add(i64::from(at.offset_s) * 1_000);
    jiff::Timestamp::from_millisecond(shown)
        .map(|moment| moment.strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

fn job_id(id: Result<Path<i64>, PathRejection>) -> Result<PrintJobId, ApiError> {
    id.map(|Path(id)| PrintJobId::new(id)).map_err(|_| ApiError::malformed("the number of the job is none"))
}

fn printer_name(parts: &ApiParts, name: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    let Path(name) = name.map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
    if parts.printing.printer(&name).is_some() {
        return Ok(name);
    }
    let detail = format!("the configuration has no printer {name:?}");
    Err(ApiError::new(StatusCode::NOT_FOUND, "print.unknown_printer", "No such printer", detail))
}

fn no_such_job(id: PrintJobId) -> ApiError {
    let detail = format!("print job {} is not kept here", id.get());
    ApiError::new(StatusCode::NOT_FOUND, "print.unknown_job", "No such print job", detail)
}

/// Draws on a thread that may take its time.
async fn picture(draw: impl FnOnce() -> Result<Paper, Unprintable> + Send + 'static) -> Result<Response, ApiError> {
    let drawn = tokio::task::spawn_blocking(move || draw().map(|paper| png::preview(&paper))).await;
    match drawn {
        Ok(Ok(png)) => Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response()),
        Ok(Err(error)) => {
            let title = "It cannot be printed";
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "print.unprintable", title, error.to_string()))
        }
        Err(error) => {
            let title = "The picture cannot be drawn";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "print.not_drawn", title, error.to_string()))
        }
    }
}
