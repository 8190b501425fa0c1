//! How values become text in a template.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

/// Digits behind the point of a quantity in millionths.
const MICRO_EXPONENT: usize = 6;

/// Prints a value. Nothing is printed for null; a list or an object is a mistake of the template.
pub(super) fn print(output: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = match value.kind() {
        ValueKind::None => String::new(),
        ValueKind::String | ValueKind::Number | ValueKind::Bool => value.to_string(),
        ValueKind::Undefined => {
            return Err(Error::new(ErrorKind::UndefinedError, "the data has no such name"));
        }
        other => return Err(Error::new(ErrorKind::InvalidOperation, format!("a {other} cannot be printed"))),
    };
    output.write_str(&text).map_err(Error::from)
}

/// Minor units as an amount with as many digits behind the point as the currency of the data has.
pub(super) fn money(state: &State<'_, '_>, minor: &Value) -> Result<String, Error> {
    let exponent = state
        .lookup("currency")
        .and_then(|currency| currency.get_attr("exponent").ok())
        .and_then(|exponent| usize::try_from(exponent).ok())
        .filter(|exponent| *exponent <= MICRO_EXPONENT)
        .ok_or_else(|| wrong("money needs `currency.exponent` in the data, from 0 to 6"))?;
    Ok(decimal(whole("money", minor)?, exponent, exponent))
}

/// Millionths as a quantity, with no more digits than it needs.
pub(super) fn quantity(micro: &Value) -> Result<String, Error> {
    Ok(decimal(whole("quantity", micro)?, MICRO_EXPONENT, 0))
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

fn whole(filter: &str, value: &Value) -> Result<i64, Error> {
    let number = if value.is_integer() { value.as_i64() } else { None };
    number.ok_or_else(|| wrong(format!("{filter} needs a whole number")))
}

/// A number of the smallest units with `exponent` digits behind the point, of which zeros at the end are dropped down to `kept`.
fn decimal(value: i64, exponent: usize, kept: usize) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = exponent + 1);
    let (whole, mut fraction) = digits.split_at(digits.len() - exponent);
    while fraction.len() > kept && fraction.ends_with('0') {
        fraction = fraction.get(..fraction.len() - 1).unwrap_or_default();
    }
    let sign = if value < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        let check = |value: i64, exponent: usize, kept: usize, expected: &str| {
            assert_eq!(decimal(value, exponent, kept), expected);
        };
        check(0, 2, 2, "0.00");
        check(5, 2, 2, "0.05");
        check(-5, 2, 2, "-0.05");
        check(123_456, 2, 2, "1234.56");
        check(1_500, 0, 0, "1500");
        check(12_345, 3, 3, "12.345");
        check(i64::MIN, 2, 2, "-92233720368547758.08");
        check(2_000_000, 6, 0, "2");
        check(125_000, 6, 0, "0.125");
        check(-500_000, 6, 0, "-0.5");
    }
}
