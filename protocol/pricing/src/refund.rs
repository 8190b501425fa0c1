//! What a customer gets back: amounts from the stored allocation, never priced anew.
//!
//! A sale keeps what each unit came to. Giving a unit back gives exactly that back, whatever promotion took part in it,
//! so all refunds of a sale together come to what was paid, in whichever parts and order.

use pos_model::{Money, Quantity};

use crate::allocate::allocate;
use crate::engine::UNITS_MAX;

/// A line as it was sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldLine {
    /// What the customer paid for each unit, tax included.
    pub units: Vec<Money>,
    /// The tax in the line.
    pub tax: Money,
    /// By unit: whether it was given back before.
    pub returned: Vec<bool>,
}

/// Units that come back. Lines and units are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The line.
    pub line: usize,
    /// Its units, each once.
    pub units: Vec<usize>,
}

/// What a refund comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// For each [`Return`], in the same order: what the customer gets back, and the tax in it.
    pub lines: Vec<(Money, Money)>,
    /// What the customer gets back.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
}

/// Why nothing can be given back. Lines and units are counted from zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the numbers in a variant are named as in its text")]
pub enum RefundError {
    /// The sale has no such unit.
    #[error("the sale has no unit {unit} of line {line}")]
    NotSold { line: usize, unit: usize },
    /// It was given back before, or is named twice.
    #[error("unit {unit} of line {line} was given back before")]
    ReturnedBefore { line: usize, unit: usize },
    /// The stored amounts do not fit in 64 bits.
    #[error("the stored amounts do not fit in 64 bits")]
    Overflow,
}

/// What each unit of a line is worth whose units were sold alike: as equal a share of the line as whole minor units allow,
/// the larger ones first. A line that is no whole number of units is one.
pub fn equal_units(gross: Money, quantity: Quantity) -> Vec<Money> {
    let count = quantity.whole_units().and_then(|units| usize::try_from(units).ok());
    // Beyond the bound of the engine nobody looks at single units, nor gives them back one by one.
    let count = count.filter(|count| (1..=UNITS_MAX).contains(count)).unwrap_or(1);
    allocate(gross.minor(), &vec![1; count]).into_iter().map(Money::from_minor).collect()
}

/// Works out what is given back for some units of a sale.
pub fn refund(sold: &[SoldLine], returns: &[Return]) -> Result<Refund, RefundError> {
    let mut returned: Vec<Vec<bool>> = sold.iter().map(|line| line.returned.clone()).collect();
    let mut lines = Vec::with_capacity(returns.len());
    for Return { line, units } in returns {
        let not_sold = |unit: usize| RefundError::NotSold { line: *line, unit };
        let stored = sold.get(*line).ok_or_else(|| not_sold(units.first().copied().unwrap_or(0)))?;
        let taxes = unit_taxes(stored);
        let (mut gross, mut tax) = (Money::ZERO, Money::ZERO);
        for &unit in units {
            let (Some(amount), Some(share)) = (stored.units.get(unit), taxes.get(unit)) else {
                return Err(not_sold(unit));
            };
            let seen = &mut returned[*line];
            seen.resize(stored.units.len(), false);
            if std::mem::replace(&mut seen[unit], true) {
                return Err(RefundError::ReturnedBefore { line: *line, unit });
            }
            gross = gross.checked_add(*amount).map_err(|_| RefundError::Overflow)?;
            tax = tax.checked_add(*share).map_err(|_| RefundError::Overflow)?;
        }
        lines.push((gross, tax));
    }
    let sum = |part: fn(&(Money, Money)) -> Money| {
        Money::checked_sum(lines.iter().map(part)).map_err(|_| RefundError::Overflow)
    };
    let (gross, tax) = (sum(|line| line.0)?, sum(|line| line.1)?);
    Ok(Refund { lines, gross, tax })
}

/// The line's tax by unit, by largest remainder.
fn unit_taxes(line: &SoldLine) -> Vec<Money> {
    let weights: Vec<u64> = line.units.iter().map(|amount| amount.minor().unsigned_abs()).collect();
    allocate(line.tax.minor(), &weights).into_iter().map(Money::from_minor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold(units: &[i64], tax: i64, returned: &[bool]) -> SoldLine {
        SoldLine {
            units: units.iter().copied().map(Money::from_minor).collect(),
            tax: Money::from_minor(tax),
            returned: returned.to_vec(),
        }
    }

    #[test]
    fn units_come_back_as_they_were_paid() {
        #[track_caller]
        fn check(returns: &[(usize, &[usize])], expected: Result<(i64, i64), RefundError>) {
            // A bundle over two lines, the second cup at half the price, and a unit that has come back already.
            let sale = [sold(&[1400, 700], 119, &[]), sold(&[1234], 70, &[]), sold(&[900, 0], 51, &[true, false])];
            let returns: Vec<Return> =
                returns.iter().map(|&(line, units)| Return { line, units: units.to_vec() }).collect();
            let found = refund(&sale, &returns).map(|refund| (refund.gross.minor(), refund.tax.minor()));
            assert_eq!(found, expected);
        }
        check(&[(0, &[0])], Ok((1400, 79)));
        check(&[(0, &[1])], Ok((700, 40)));
        check(&[(0, &[1, 0]), (1, &[0])], Ok((3334, 189)));
        check(&[(2, &[1])], Ok((0, 0)));
        check(&[], Ok((0, 0)));
        check(&[(2, &[0])], Err(RefundError::ReturnedBefore { line: 2, unit: 0 }));
        check(&[(0, &[0, 0])], Err(RefundError::ReturnedBefore { line: 0, unit: 0 }));
        check(&[(0, &[0]), (0, &[0])], Err(RefundError::ReturnedBefore { line: 0, unit: 0 }));
        check(&[(0, &[2])], Err(RefundError::NotSold { line: 0, unit: 2 }));
        check(&[(3, &[0])], Err(RefundError::NotSold { line: 3, unit: 0 }));
    }
}
