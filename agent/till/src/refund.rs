//! Giving money back: which units, and how much.

use pos_model::{AttemptId, Money, Nth, Quantity};
use pricing::{RefundError, Return, SoldLine, equal_units, refund};

/// A line of the sale, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldUnits {
    /// What was sold.
    pub quantity: Quantity,
    /// What was paid for it, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
    /// What was paid for each unit, where that is not an equal share.
    pub unit_gross: Vec<Money>,
    /// The units that came back before, counted from zero.
    pub returned: Vec<u32>,
}

impl SoldUnits {
    /// Into how many units it is divided. What is no whole number of units is one.
    pub fn count(&self) -> usize {
        sold_line(self).units.len()
    }
}

/// Units of a line that come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These units, counted from zero.
    Units(Vec<u32>),
    /// So many of those that are left, the cheapest first. A line that is no whole number of units is one unit.
    Count(u32),
    /// All that are left.
    Rest,
}

/// What goes back for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack {
    /// Which of the entries that were wanted it answers, counted from zero.
    pub entry: usize,
    /// The line of the sale, counted from zero.
    pub line: usize,
    /// Its units, counted from zero.
    pub units: Vec<u32>,
    /// How much of it.
    pub quantity: Quantity,
    /// What the customer gets back, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
}

/// Why nothing can be given back. Lines and units are counted from one, as on a screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the numbers in a variant are named as in its text")]
pub enum RefundRefusal {
    /// Nothing is asked for.
    #[error("a refund names at least one unit")]
    Nothing,
    /// The sale has no such line or unit.
    #[error("the {} line of the sale has no {} unit", Nth(*line), Nth(*unit))]
    NotSold { line: usize, unit: usize },
    /// It came back before.
    #[error("the {} unit of the {} line was given back before", Nth(*unit), Nth(*line))]
    ReturnedBefore { line: usize, unit: usize },
    /// All of it came back before, so there is no rest.
    #[error("all of the {} line was given back before", Nth(*line))]
    NothingLeft { line: usize },
    /// Fewer units are left.
    #[error("of the {} line {left} units are left, not {wanted}", Nth(*line))]
    TooMany { line: usize, left: usize, wanted: u32 },
    /// The ways in which the money goes back do not come to the refund.
    #[error("{} minor units go back, the refund comes to {}", given.minor(), due.minor())]
    TendersDiffer { given: Money, due: Money },
    /// It names an attempt at a terminal that did not pay for this sale, or not by this kind.
    #[error("attempt {attempt_id} has not paid for this sale by this kind of tender")]
    OtherAttempt { attempt_id: AttemptId },
    /// More than the attempt has taken, or than is left of it.
    #[error("of attempt {attempt_id} {} minor units are left", left.minor())]
    AttemptExceeded { attempt_id: AttemptId, left: Money },
    /// The stored amounts do not fit in 64 bits.
    #[error("the stored amounts do not fit in 64 bits")]
    Overflow,
}

impl RefundRefusal {
    /// The key under which a screen finds its own words.
    pub const fn message_key(&self) -> &'static str {
        match self {
            Self::Nothing => "refund.nothing",
            Self::NotSold { .. } => "refund.not_sold",
            Self::ReturnedBefore { .. } => "refund.returned_before",
            Self::NothingLeft { .. } => "refund.nothing_left",
            Self::TooMany { .. } => "refund.too_many",
            Self::TendersDiffer { .. } => "refund.tenders_differ",
            Self::OtherAttempt { .. } => "refund.other_attempt",
            Self::AttemptExceeded { .. } => "refund.attempt_exceeded",
            Self::Overflow => "refund.overflow",
        }
    }
}

/// Works out what goes back, from what the sale has stored. A line that is named twice is taken as one after the other.
pub fn give_back(sold: &[SoldUnits], wanted: &[(usize, Wanted)]) -> Result<Vec<GivenBack>, RefundRefusal> {
    let mut lines: Vec<SoldLine> = sold.iter().map(sold_line).collect();
    let mut all = Vec::with_capacity(wanted.len());
    let mut nothing_left = None;
    for (entry, (line, wanted)) in wanted.iter().enumerate() {
        let stored = lines.get(*line).ok_or(RefundRefusal::NotSold { line: line + 1, unit: 1 })?;
        let units = choose(*line, stored, wanted)?;
        if units.is_empty() {
            if *wanted == Wanted::Rest {
                nothing_left.get_or_insert(RefundRefusal::NothingLeft { line: line + 1 });
            }
            continue;
        }
        let returns = [Return { line: *line, units: units.clone() }];
        let given = refund(&lines, &returns).map_err(named)?;
        let whole = stored.units.len() == units.len();
        let quantity = if whole && stored.units.len() == 1 {
            sold[*line].quantity
        } else {
            let count = i64::try_from(units.len()).unwrap_or(i64::MAX);
            Quantity::from_units(count).map_err(|_| RefundRefusal::Overflow)?
        };
        for &unit in &units {
            lines[*line].returned[unit] = true;
        }
        let units = units.into_iter().map(|unit| u32::try_from(unit).unwrap_or(u32::MAX)).collect();
        all.push(GivenBack { entry, line: *line, units, quantity, gross: given.gross, tax: given.tax });
    }
    if all.is_empty() { Err(nothing_left.unwrap_or(RefundRefusal::Nothing)) } else { Ok(all) }
}

fn sold_line(sold: &SoldUnits) -> SoldLine {
    let units =
        if sold.unit_gross.is_empty() { equal_units(sold.gross, sold.quantity) } else { sold.unit_gross.clone() };
    let mut returned = vec![false; units.len()];
    for &unit in &sold.returned {
        if let Some(seen) = usize::try_from(unit).ok().and_then(|unit| returned.get_mut(unit)) {
            *seen = true;
        }
    }
    SoldLine { units, tax: sold.tax, returned }
}

fn choose(line: usize, stored: &SoldLine, wanted: &Wanted) -> Result<Vec<usize>, RefundRefusal> {
    let mut left: Vec<usize> = (0..stored.units.len()).filter(|&unit| !stored.returned[unit]).collect();
    match wanted {
        Wanted::Units(units) => Ok(units.iter().map(|&unit| usize::try_from(unit).unwrap_or(usize::MAX)).collect()),
        Wanted::Rest => Ok(left),
        Wanted::Count(count) => {
            let wanted = usize::try_from(*count).unwrap_or(usize::MAX);
            if wanted > left.len() {
                return Err(RefundRefusal::TooMany { line: line + 1, left: left.len(), wanted: *count });
            }
            left.sort_by_key(|&unit| (stored.units[unit], unit));
            left.truncate(wanted);
            left.sort_unstable();
            Ok(left)
        }
    }
}

fn named(error: RefundError) -> RefundRefusal {
    match error {
        RefundError::NotSold { line, unit } => RefundRefusal::NotSold { line: line + 1, unit: unit.saturating_add(1) },
        RefundError::ReturnedBefore { line, unit } => {
            RefundRefusal::ReturnedBefore { line: line + 1, unit: unit.saturating_add(1) }
        }
        RefundError::Overflow => RefundRefusal::Overflow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sold(quantity: &str, gross: i64, unit_gross: &[i64], returned: &[u32]) -> SoldUnits {
        SoldUnits {
            quantity: quantity.parse().expect("valid"),
            gross: Money::from_minor(gross),
            tax: Money::from_minor(gross / 10),
            unit_gross: unit_gross.iter().copied().map(Money::from_minor).collect(),
            returned: returned.to_vec(),
        }
    }

    #[test]
    fn what_goes_back_or_why_nothing_does() {
        /// Line, units, gross and quantity.
        type Back<'a> = (usize, &'a [u32], i64, &'a str);
        #[track_caller]
        fn check(wanted: &[(usize, Wanted)], expected: Result<&[Back<'_>], &str>) {
            // Two cups at different prices, half a kilogram, three cups of which one came back.
            let sale = [sold("2", 2100, &[1400, 700], &[]), sold("0.5", 999, &[], &[]), sold("3", 1000, &[], &[0])];
            let found = give_back(&sale, wanted);
            let found = found.as_ref().map(|all| {
                all.iter()
                    .map(|back| (back.line, back.units.clone(), back.gross.minor(), back.quantity.to_string()))
                    .collect::<Vec<_>>()
            });
            let expected = expected.map(|all| {
                all.iter()
                    .map(|&(line, units, gross, quantity)| (line, units.to_vec(), gross, quantity.to_owned()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(found.map_err(RefundRefusal::message_key), expected);
        }
        check(&[(0, Wanted::Units(vec![0]))], Ok(&[(0, &[0], 1400, "1")]));
        check(&[(0, Wanted::Count(1))], Ok(&[(0, &[1], 700, "1")]));
        check(&[(0, Wanted::Rest)], Ok(&[(0, &[0, 1], 2100, "2")]));
        check(&[(1, Wanted::Rest)], Ok(&[(1, &[0], 999, "0.5")]));
        check(&[(2, Wanted::Rest)], Ok(&[(2, &[1, 2], 666, "2")]));
        check(&[(2, Wanted::Count(1)), (2, Wanted::Count(1))], Ok(&[(2, &[1], 333, "1"), (2, &[2], 333, "1")]));
        check(&[(2, Wanted::Count(3))], Err("refund.too_many"));
        check(&[(2, Wanted::Units(vec![0]))], Err("refund.returned_before"));
        check(&[(0, Wanted::Units(vec![0, 0]))], Err("refund.returned_before"));
        check(&[(0, Wanted::Units(vec![2]))], Err("refund.not_sold"));
        check(&[(0, Wanted::Units(vec![u32::MAX]))], Err("refund.not_sold"));
        check(&[(3, Wanted::Rest)], Err("refund.not_sold"));
        check(&[(0, Wanted::Rest), (0, Wanted::Rest)], Ok(&[(0, &[0, 1], 2100, "2")]));
        check(&[(1, Wanted::Count(0)), (2, Wanted::Count(0))], Err("refund.nothing"));
        check(&[], Err("refund.nothing"));
        check(&[(0, Wanted::Count(0))], Err("refund.nothing"));
    }

    #[test]
    fn a_line_that_came_back_whole_has_no_rest_and_says_so() {
        let sale = [sold("1", 900, &[], &[]), sold("2", 1000, &[], &[0, 1])];
        let refusal = give_back(&sale, &[(1, Wanted::Rest)]).expect_err("nothing is left");
        assert_eq!(refusal.message_key(), "refund.nothing_left");
        assert_eq!(refusal.to_string(), "all of the 2nd line was given back before");
        // With something else it is no hindrance: the rest of all lines is the rest of the sale.
        assert_eq!(give_back(&sale, &[(0, Wanted::Rest), (1, Wanted::Rest)]).map(|given| given.len()), Ok(1));
    }

    proptest! {
        /// In whatever parts a sale comes back, everything together is what was paid, and no more ever comes back.
        #[test]
        fn all_parts_together_are_what_was_paid(gross in 0i64..100_000, count in 1u32..9, parts in prop::collection::vec(1u32..4, 1..12)) {
            let mut line = sold(&count.to_string(), gross, &[], &[]);
            let mut back = 0;
            for part in parts {
                match give_back(std::slice::from_ref(&line), &[(0, Wanted::Count(part))]) {
                    Ok(given) => {
                        back += given[0].gross.minor();
                        line.returned.extend(&given[0].units);
                    }
                    Err(refusal) => prop_assert!(matches!(refusal, RefundRefusal::TooMany { .. }), "{refusal}"),
                }
                prop_assert!(back <= gross);
            }
            if let Ok(rest) = give_back(std::slice::from_ref(&line), &[(0, Wanted::Rest)]) {
                back += rest[0].gross.minor();
            }
            prop_assert_eq!(back, gross);
        }
    }
}
