//! What an error of PostgreSQL means, by its SQLSTATE.

use tokio_postgres::Error;

/// Whether it may pass by itself: the connection was lost, or the database was busy, stopping, starting, full, or only to
/// be read, as the wrong end of a fail-over is.
pub(in crate::ledger) fn passes(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Without an answer of the server it is the way there; what cannot be encoded or understood is a defect.
        return error.is_closed() || has_io_source(error);
    };
    let code = code.code();
    // 08 connection, 40 serialization failure and deadlock, 53 resources, 57 stopped or cancelled, 58 the system below.
    matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58"))
        // A lock that was not to be had in time, something that is being changed, and a database that is only to be read.
        || matches!(code, "55P03" | "55006" | "25006" | "25P03")
}

/// What the server says of content that it refuses, while it is well: data that breaks a rule of their type, a constraint, or
/// a limit of size.
pub(in crate::ledger) fn content(error: &Error) -> Option<String> {
    let database = error.as_db_error()?;
    let class = database.code().code().get(..2);
    matches!(class, Some("21" | "22" | "23" | "54")).then(|| {
        let detail = database.detail().map_or_else(String::new, |detail| format!(" ({detail})"));
        format!("{}{detail}", database.message())
    })
}

fn has_io_source(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}
