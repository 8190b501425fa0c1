//! Print jobs: what waits, what became of it, and what a person asks of one.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use pos_model::{ApprovalId, OperatorId, TillId};
use printing::template::Kind;
use protocol::latest::print::{AskPrinting, PrintJobView, ResolvePrint};
use serde::Deserialize;
use till::people::Action;

use crate::db::audit::word;
use crate::db::{Error, Moment, Noteworthy, PrintJob, PrintJobId, Store};
use crate::http::problem::ApiError;
use crate::http::routes::ApiParts;
use crate::http::said::{Said, answer};

/// Jobs in one answer.
const JOBS_MAX: u32 = 500;

/// Jobs in one answer unless the question says otherwise.
const JOBS: u32 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsQuery {
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
pub(super) async fn jobs(
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
    get, path = "/v1/print-jobs/{job_id}", params(("job_id" = i64, Path, example = 2)),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
    )
)]
pub(super) async fn job(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let job = parts.readers.read(move |view| view.print_job(id)).await?;
    job.map(|job| Json(job.view())).ok_or_else(|| no_such_job(id))
}

/// Print a copy: a new job, whose paper says `COPY` and its number. It opens no drawer.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/reprint", params(("job_id" = i64, Path, example = 2)), request_body = AskPrinting,
    responses(
        (status = 200, description = "The copy's job", body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It is not printed yet, or the command has other content"),
        (status = 422, description = "It leaves no paper"),
    )
)]
pub(super) async fn reprint(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let Said { command, key } = said;
    let AskPrinting { till_id, operator_id, approval_id, .. } = command;
    let done = parts.writer.once(key, move |store, moment| {
        let permit = store.permit(moment, &till_id, operator_id.as_ref(), approval_id, Action::Reprint, "")?;
        let job = store.reprint(id, moment.at())?;
        let copied = Noteworthy::new(word::RECEIPT_REPRINTED).at(&till_id).permitted(&permit).about(&job.subject);
        store.mark(moment, copied.saying(format!("{} copy {}", job.kind.name(), job.copy)))?;
        Ok(job.view())
    });
    answer(done.await?)
}

/// Try a job again that failed: nothing of it is on paper, so it is no copy.
///
/// A drawer that it was to open opens only within half a minute from the moment at which it was asked for first. Until then,
/// and for a job that only opens a drawer, this takes the right to `no_sale`; an approval is for the job's number.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/retry", params(("job_id" = i64, Path, example = 2)),
    request_body(content = AskPrinting, example = json!({"command_id": "01990000-0000-7000-8000-000000000031", "till_id": "T1"})),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 403, description = "Somebody else has to allow it"),
        (status = 409, description = "It has not failed, or the command has other content"),
    )
)]
pub(super) async fn retry(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let Said { command, key } = said;
    let AskPrinting { till_id, operator_id, approval_id, .. } = command;
    let done = parts.writer.once(key, move |store, moment| {
        let asks = Asks { till_id, operator_id, approval_id };
        note_drawer(store, moment, id, asks, (Action::NoSale, word::PRINT_RETRIED))?;
        store.retry_print(id, moment.at().utc_ms).map(|job| job.view())
    });
    answer(done.await?)
}

/// Take a job back that waits. If it opens a drawer, that is marked.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/cancel", params(("job_id" = i64, Path, example = 2)),
    request_body(content = AskPrinting, example = json!({"command_id": "01990000-0000-7000-8000-000000000032", "till_id": "T1"})),
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It does not wait, or the command has other content"),
    )
)]
pub(super) async fn cancel(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<AskPrinting>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let Said { command, key } = said;
    let AskPrinting { till_id, operator_id, approval_id, .. } = command;
    let done = parts.writer.once(key, move |store, moment| {
        let asks = Asks { till_id, operator_id, approval_id };
        note_drawer(store, moment, id, asks, (Action::Reprint, word::PRINT_CANCELLED))?;
        store.cancel_print(id, moment.at().utc_ms).map(|job| job.view())
    });
    answer(done.await?)
}

/// Say what became of a job that is `maybe_printed`: a person has looked at the paper. If it opens a drawer, that is marked.
#[utoipa::path(
    post, path = "/v1/print-jobs/{job_id}/resolve", params(("job_id" = i64, Path, example = 2)), request_body = ResolvePrint,
    responses(
        (status = 200, body = PrintJobView),
        (status = 404, description = "No such job"),
        (status = 409, description = "It is not in doubt, or the command has other content"),
    )
)]
pub(super) async fn resolve(
    State(parts): State<ApiParts>,
    id: Result<Path<i64>, PathRejection>,
    said: Said<ResolvePrint>,
) -> Result<Json<PrintJobView>, ApiError> {
    let id = job_id(id)?;
    let Said { command, key } = said;
    let ResolvePrint { till_id, operator_id, is_on_paper, .. } = command;
    let done = parts.writer.once(key, move |store, moment| {
        let asks = Asks { till_id, operator_id, approval_id: None };
        note_drawer(store, moment, id, asks, (Action::Reprint, word::PRINT_RESOLVED))?;
        store.resolve_print(id, is_on_paper, moment.at().utc_ms).map(|job| job.view())
    });
    answer(done.await?)
}

pub(super) fn job_id(id: Result<Path<i64>, PathRejection>) -> Result<PrintJobId, ApiError> {
    id.map(|Path(id)| PrintJobId::new(id)).map_err(|_| ApiError::malformed("the number of the job is none"))
}

pub(super) fn no_such_job(id: PrintJobId) -> ApiError {
    let detail = format!("print job {} is not kept here", id.get());
    ApiError::new(StatusCode::NOT_FOUND, "print.unknown_job", "No such print job", detail)
}

/// Who asks for something about a job.
struct Asks {
    till_id: TillId,
    operator_id: Option<OperatorId>,
    approval_id: Option<ApprovalId>,
}

/// What is done with a job that opens a drawer, or was only ever about one, takes the right to it and is marked. Other paper
/// is nobody's secret.
fn note_drawer(
    store: &mut Store,
    moment: &mut Moment,
    id: PrintJobId,
    asks: Asks,
    (action, word): (Action, &'static str),
) -> Result<(), Error> {
    let job = store.known_print(id)?;
    let data = store.view().print_data(id)?.unwrap_or_default();
    if job.kind != Kind::Drawer && !job.opens_drawer(&data, moment.at().utc_ms) {
        return Ok(());
    }
    let (till_id, subject) = (&asks.till_id, id.get().to_string());
    let permit = store.permit(moment, till_id, asks.operator_id.as_ref(), asks.approval_id, action, &subject)?;
    let done = Noteworthy::new(word).at(till_id).permitted(&permit).about(&job.subject);
    store.mark(moment, done.saying(format!("{} of print job {subject}", job.kind.name()))).map(drop)
}
