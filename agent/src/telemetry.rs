//! Noteworthy events, one function each.

use std::error::Error;

/// An error and its causes, joined by colons: our errors do not print what caused them.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
