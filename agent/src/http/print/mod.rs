//! The paths of printing: jobs, printers with their drawers, templates, and pictures of the paper.

mod jobs;
mod pictures;
mod printers;

use axum::Router;
use axum::routing::{get, post};
use protocol::latest::print::{AskPrinting, OpenDrawer, PrintJobView, PrintTemplateView, PrinterView, ResolvePrint};
use utoipa::OpenApi;

use super::routes::ApiParts;
use super::said::commands;

pub(crate) use pictures::PICTURES_MAX;

commands!(AskPrinting, ResolvePrint, OpenDrawer);

#[derive(Debug, OpenApi)]
#[openapi(
    paths(
        jobs::jobs,
        jobs::job,
        pictures::preview,
        jobs::reprint,
        jobs::retry,
        jobs::cancel,
        jobs::resolve,
        printers::printers,
        printers::test_page,
        printers::open_drawer,
        pictures::templates,
        pictures::template_preview
    ),
    components(schemas(PrintJobView, PrinterView, PrintTemplateView))
)]
pub(super) struct Document;

pub(super) fn routes() -> Router<ApiParts> {
    Router::new()
        .route("/v1/print-jobs", get(jobs::jobs))
        .route("/v1/print-jobs/{job_id}", get(jobs::job))
        .route("/v1/print-jobs/{job_id}/preview.png", get(pictures::preview))
        .route("/v1/print-jobs/{job_id}/reprint", post(jobs::reprint))
        .route("/v1/print-jobs/{job_id}/retry", post(jobs::retry))
        .route("/v1/print-jobs/{job_id}/cancel", post(jobs::cancel))
        .route("/v1/print-jobs/{job_id}/resolve", post(jobs::resolve))
        .route("/v1/printers", get(printers::printers))
        .route("/v1/printers/{name}/test-page", post(printers::test_page))
        .route("/v1/printers/{name}/open-drawer", post(printers::open_drawer))
        .route("/v1/print-templates", get(pictures::templates))
        .route("/v1/print-templates/{kind}/preview.png", get(pictures::template_preview))
}
