//! Defects of this program, held where they cannot end what goes on around them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something; if it panics, says with which words. The panic hook has reported it by then.
///
/// Whoever calls this brings back to order whatever the work may have left half done.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(&*panic))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    said.unwrap_or("it says nothing").to_owned()
}
