//! What a job puts on paper.

use printing::Document;
use printing::template::{Kind, TemplateError};
use serde_json::Value;

use super::templates::Templates;
use crate::db::PrintJob;

/// How long a drawer may be late, in milliseconds. After that nobody stands before it.
const DRAWER_LATE_MS: i64 = 30_000;

/// Why a job cannot be printed on any printer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// Its data do not fit the template, not even the built-in one.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It was to open a drawer.
    #[error("it is too late to open the drawer")]
    TooLate,
}

/// The document of a job. A copy says so, whatever its template does, and opens no drawer.
pub(super) fn document(job: &PrintJob, data: &Value, templates: &Templates) -> Result<Document, Unprintable> {
    let document = templates.render(job.kind, data)?;
    if job.copy == 0 {
        return Ok(document);
    }
    Ok(document.bannered(&format!("COPY {}", job.copy)).without_drawer())
}

/// The same at the moment when it is sent: what comes late opens no drawer.
pub(super) fn document_now(
    job: &PrintJob,
    data: &Value,
    templates: &Templates,
    now_ms: i64,
) -> Result<Document, Unprintable> {
    let document = document(job, data, templates)?;
    let late = now_ms.saturating_sub(job.progress.since_ms.max(job.created_at_ms)) > DRAWER_LATE_MS;
    match (late, job.kind) {
        (true, Kind::Drawer) => Err(Unprintable::TooLate),
        (true, _) => Ok(document.without_drawer()),
        (false, _) => Ok(document),
    }
}
