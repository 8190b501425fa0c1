//! What a job puts on paper.

use printing::Document;
use printing::template::{Kind, TemplateError};
use serde_json::Value;

use super::templates::Templates;
use crate::config::PrinterConfig;
use crate::db::PrintJob;

/// Why a job cannot be printed on any printer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// Its data do not fit the template, not even the built-in one.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It was to open a drawer.
    #[error("it is too late to open the drawer")]
    TooLate,
    /// It was to open a drawer that hangs on another printer.
    #[error("the drawer of this till hangs on another printer")]
    OtherDrawer,
}

/// The document of a job. A copy says so, whatever its template does, and opens no drawer.
pub(super) fn document(job: &PrintJob, data: &Value, templates: &Templates) -> Result<Document, Unprintable> {
    let document = templates.render(job.kind, data)?;
    if job.copy == 0 {
        return Ok(document);
    }
    Ok(document.bannered(&format!("COPY {}", job.copy)).without_drawer())
}

/// The same at the moment when a printer is to have it. A drawer opens if the job is about one, in time, and on a printer of
/// the till: a store's own template cannot open one where nobody counts it.
pub(super) fn document_now(
    job: &PrintJob,
    data: &Value,
    templates: &Templates,
    printer: &PrinterConfig,
    now_ms: i64,
) -> Result<Document, Unprintable> {
    let document = document(job, data, templates)?;
    let (opens, is_here) = (job.opens_drawer(data, now_ms), printer.serves(job.till_id.as_ref()));
    match job.kind {
        Kind::Drawer if !opens => Err(Unprintable::TooLate),
        Kind::Drawer if !is_here => Err(Unprintable::OtherDrawer),
        _ if opens && is_here => Ok(document),
        _ => Ok(document.without_drawer()),
    }
}
