//! A text becomes lines of the width of the paper.

use crate::document::{Align, Text};
use crate::font::{columns, text_columns};

/// One line, no wider than the paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) align: Align,
}

/// Breaks a text for a line of `width` columns; each gives at least one row.
///
/// Two parts share the first line: the right one is never broken while it leaves a third of the line, for it is an amount.
pub(crate) fn rows(text: &Text, width: usize) -> Vec<Row> {
    let width = width.max(1);
    let Some(right) = &text.right else {
        return wrap(&text.left, width).into_iter().map(|text_row| Row { text: text_row, align: text.align }).collect();
    };
    let right_width = text_columns(right);
    if right_width + 1 + (width / 3).max(2) > width {
        let left = wrap(&text.left, width).into_iter().map(|left| Row { text: left, align: Align::Left });
        let right = wrap(right, width).into_iter().map(|right| Row { text: right, align: Align::Right });
        return left.chain(right).collect();
    }
    let mut rows = Vec::new();
    for (at, left) in wrap(&text.left, width - right_width - 1).into_iter().enumerate() {
        let mut line = left;
        if at == 0 {
            let gap = width.saturating_sub(text_columns(&line) + right_width);
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(right);
        }
        rows.push(Row { text: line, align: Align::Left });
    }
    rows
}

/// Breaks at spaces, and anywhere before or after a character of two columns; a longer word is broken where it must. What
/// follows a break starts under the first letter.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let text = text.trim_end();
    let indent = text.len() - text.trim_start().len();
    let indent = if indent * 2 < width { indent } else { 0 };
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut used = 0;
    // The byte in the row before which it can be broken, and whether that byte is a space to be dropped.
    let mut break_at: Option<usize> = None;
    for c in text.chars() {
        let takes = columns(c);
        if takes > 0 && (takes == 2 || c == ' ') && row.len() > indent {
            break_at = Some(row.len());
        }
        if used + takes > width && !row.is_empty() {
            let rest = break_at.filter(|&at| at > 0).map(|at| row.split_off(at)).unwrap_or_default();
            rows.push(row.trim_end().to_owned());
            row = " ".repeat(indent) + rest.trim_start();
            used = text_columns(&row);
            break_at = None;
            if c == ' ' && row.trim_start().is_empty() {
                continue;
            }
        }
        row.push(c);
        used += takes;
        if takes == 2 {
            break_at = Some(row.len());
        }
    }
    rows.push(row.trim_end().to_owned());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::PLAIN;
    use proptest::prelude::*;

    fn text(left: &str, right: Option<&str>) -> Text {
        Text { left: left.to_owned(), right: right.map(str::to_owned), align: Align::Left, style: PLAIN }
    }

    #[test]
    fn texts_break_where_a_reader_expects_it() {
        let check = |left: &str, right: Option<&str>, expected: &[&str]| {
            let rows = rows(&text(left, right), 12);
            let rows: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
            assert_eq!(rows, expected, "{left:?} {right:?}");
        };
        check("", None, &[""]);
        check("Green tea", None, &["Green tea"]);
        check("Green tea with milk", None, &["Green tea", "with milk"]);
        check("Green teas   m", None, &["Green teas", "m"]);
        check("123456789012 ab", None, &["123456789012", "ab"]);
        check("1234567890123", None, &["123456789012", "3"]);
        check("  extra pearls, cold", None, &["  extra", "  pearls,", "  cold"]);
        check("珍珠奶茶大杯少冰", None, &["珍珠奶茶大杯", "少冰"]);
        check("a珍珠奶茶大杯", None, &["a珍珠奶茶大", "杯"]);
        check("Tea", Some("3.00"), &["Tea     3.00"]);
        check("Green tea", Some("3.00"), &["Green   3.00", "tea"]);
        check("茉莉绿茶", Some("3.00"), &["茉莉绿  3.00", "茶"]);
        check("Tea", Some("1234567.00"), &["Tea", "1234567.00"]);
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_the_paper_and_no_letter_is_lost(
            left in "[a-z茶珍é \u{301}]{0,60}", right in proptest::option::of("[0-9.]{0,20}"), width in 2_usize..50,
        ) {
            let rows = rows(&text(&left, right.as_deref()), width);
            let mut printed = String::new();
            for row in &rows {
                prop_assert!(text_columns(&row.text) <= width, "{row:?} in {width}");
                printed.push_str(&row.text);
            }
            let letters = |text: &str| {
                let mut letters: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
                letters.sort_unstable();
                letters
            };
            let all = format!("{left}{}", right.unwrap_or_default());
            prop_assert_eq!(letters(&printed), letters(&all));
        }
    }
}
