//! Lists as JSON, for columns that analysts read.

use std::fmt::Write as _;

use protocol::latest::{SaleLine, Tender};

/// `[["cash",500],["card",120]]`. Kinds are made of letters that need no escape.
pub(in crate::ledger) fn tenders_as_json(tenders: &[Tender], text: &mut String) {
    text.clear();
    text.push('[');
    for (index, tender) in tenders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}[\"{}\",{}]", tender.kind, tender.amount_minor.minor()).expect("a string takes all");
    }
    text.push(']');
}

/// `["large","no-ice"]`, or nothing.
pub(in crate::ledger) fn options_as_json(line: &SaleLine, text: &mut String) {
    text.clear();
    if line.options.is_empty() {
        return;
    }
    for (index, option) in line.options.iter().enumerate() {
        text.push_str(if index == 0 { "[\"" } else { "\",\"" });
        // A code has no control characters.
        for c in option.code.as_str().chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text.push_str("\"]");
}

/// What all adjustments of a line changed together. They explain the price; a sum that does not fit explains nothing, and
/// the gross stands beside it.
pub(in crate::ledger) fn adjustment_sum_minor(line: &SaleLine) -> i64 {
    line.adjustments.iter().fold(0i64, |sum, one| sum.saturating_add(one.amount_minor.minor()))
}
