//! Noteworthy events of printing.

use printing::job::Outcome;

use crate::readers::ReadError;
use crate::writer::WriteError;

/// What became of a try. A job in doubt needs a person.
pub(super) fn tried(job_id: i64, printer: &str, outcome: Outcome, trouble: &str) {
    match outcome {
        Outcome::Taken | Outcome::Confirmed => tracing::info!(job_id, printer, "printed"),
        // Tried again and again; `printer_lost` says it once.
        Outcome::NotReached => tracing::debug!(job_id, printer, trouble, "a print job waits for its printer"),
        Outcome::CutOff | Outcome::Unconfirmed => {
            tracing::error!(job_id, printer, trouble, "a print job is in doubt: a person has to look at the paper");
        }
    }
}

/// A printer is not reached. What waits for it is tried again without a further word.
pub(super) fn printer_lost(printer: &str, trouble: &str) {
    tracing::warn!(printer, trouble, "a printer is not reached; its print jobs wait or go to another");
}

/// It is reached again, after so many tries in vain.
pub(super) fn printer_back(printer: &str, tries: u32) {
    tracing::info!(printer, tries, "a printer is reached again");
}

/// A job that no printer can print.
pub(super) fn unprintable(job_id: i64, why: &str) {
    tracing::error!(job_id, why, "a print job failed");
}

/// The program ended in the middle of these jobs.
pub(super) fn doubtful_after_restart(jobs: usize) {
    tracing::error!(jobs, "print jobs were cut off when the agent ended: a person has to look at the paper");
}

/// The books could not be read or written; it is tried again.
pub(super) fn books_failed(error: &WriteError) {
    tracing::error!(%error, "what became of a print job was not kept");
}

/// The queue could not be read; it is tried again.
pub(super) fn queue_not_read(error: &ReadError) {
    tracing::warn!(error = crate::telemetry::chain(error), "the print queue was not read");
}

/// A template that somebody edited is not used. The people in the store are told as well.
pub(super) fn template_refused(text: &str) {
    tracing::error!(text, "a template was refused");
}

/// The store's own template did not fit a job's data, which the built-in one printed.
pub(super) fn template_did_not_fit(text: &str) {
    tracing::error!(text, "a template did not fit its data; the built-in one was used");
}
