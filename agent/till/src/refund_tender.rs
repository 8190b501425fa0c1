//! In which way money goes back: to what the sale was paid with, and in the coins that there are.

use pos_model::{AttemptId, Money, Tag};
use pricing::book::CashRounding;

use crate::refund::RefundRefusal;
use crate::tender::CASH;

/// What a sale was paid with, and what of it has gone back. All its cash is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The kind of tender.
    pub kind: Tag,
    /// The attempt at a terminal that took the money, where one did.
    pub attempt_id: Option<AttemptId>,
    /// What of the sale was paid with it, before cash was rounded.
    pub paid: Money,
    /// What of that has gone back, before cash was rounded.
    pub gone: Money,
}

impl Origin {
    fn left(&self) -> i64 {
        self.paid.minor().saturating_sub(self.gone.minor()).max(0)
    }

    /// Takes as much as there is. Returns what is left of the amount.
    fn give(&mut self, minor: i64) -> i64 {
        let part = minor.min(self.left());
        self.gone = Money::from_minor(self.gone.minor().saturating_add(part));
        minor - part
    }
}

/// Money that goes back in one way, before cash is rounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The kind of tender.
    pub kind: Tag,
    /// The attempt at a terminal that took the money, where one did.
    pub attempt_id: Option<AttemptId>,
    /// How much, above zero.
    pub amount: Money,
}

/// What a sale of so much was paid with: each tender other than cash, in the order of the sale, then what was left for cash.
pub fn origins(tenders: impl IntoIterator<Item = WayBack>, gross: Money) -> Vec<Origin> {
    let others = tenders.into_iter().filter(|tender| tender.kind.as_str() != CASH);
    let mut origins: Vec<Origin> = others
        .map(|WayBack { kind, attempt_id, amount }| Origin { kind, attempt_id, paid: amount, gone: Money::ZERO })
        .collect();
    let elsewhere = origins.iter().fold(0i64, |sum, origin| sum.saturating_add(origin.paid.minor()));
    let in_cash = gross.minor().saturating_sub(elsewhere);
    if in_cash > 0 {
        let paid = Money::from_minor(in_cash);
        origins.push(Origin { kind: cash(), attempt_id: None, paid, gone: Money::ZERO });
    }
    origins
}

fn cash() -> Tag {
    Tag::new(CASH).expect("a word of small letters is a tag")
}

/// Notes that money has gone back. Returns how much of it is more than was paid in that way.
pub fn note_gone(origins: &mut [Origin], gone: &WayBack) -> Money {
    let mut minor = gone.amount.minor();
    let named = |origin: &Origin| gone.attempt_id.is_some() && origin.attempt_id == gone.attempt_id;
    // What names an attempt is that attempt's; only what is beyond it is looked for elsewhere.
    for takes_named in [true, false] {
        for origin in origins.iter_mut().filter(|origin| origin.kind == gone.kind && named(origin) == takes_named) {
            minor = origin.give(minor);
        }
    }
    Money::from_minor(minor)
}

/// How money goes back by itself: to each means other than cash as much as was paid with it and has not gone back, in the
/// order of the sale; the rest in cash.
pub fn way_of_origin(origins: &[Origin], due: Money) -> Vec<WayBack> {
    let mut due = due.minor();
    let mut way: Vec<WayBack> = Vec::new();
    for origin in origins.iter().filter(|origin| origin.kind.as_str() != CASH) {
        let part = due.min(origin.left());
        if part > 0 {
            due -= part;
            let (kind, attempt_id) = (origin.kind.clone(), origin.attempt_id);
            way.push(WayBack { kind, attempt_id, amount: Money::from_minor(part) });
        }
    }
    if due > 0 {
        way.push(WayBack { kind: cash(), attempt_id: None, amount: Money::from_minor(due) });
    }
    way
}

/// Checks the way that a till names. Returns how much of it is more than was paid in that way.
pub fn beyond_origin(origins: &[Origin], way: &[WayBack], due: Money) -> Result<Money, RefundRefusal> {
    let given = way.iter().try_fold(Money::ZERO, |sum, part| sum.checked_add(part.amount));
    let given = given.map_err(|_| RefundRefusal::Overflow)?;
    if given != due || way.iter().any(|part| part.amount <= Money::ZERO) {
        return Err(RefundRefusal::TendersDiffer { given, due });
    }
    let mut origins = origins.to_vec();
    let mut beyond = 0i64;
    for part in way {
        if let Some(attempt_id) = part.attempt_id {
            let named = origins.iter().find(|origin| origin.attempt_id == part.attempt_id && origin.kind == part.kind);
            let Some(named) = named else { return Err(RefundRefusal::OtherAttempt { attempt_id }) };
            if part.amount.minor() > named.left() {
                return Err(RefundRefusal::AttemptExceeded { attempt_id, left: Money::from_minor(named.left()) });
            }
        }
        beyond = beyond.saturating_add(note_gone(&mut origins, part).minor());
    }
    Ok(Money::from_minor(beyond))
}

/// The cash of all refunds of one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CashBack {
    /// What earlier refunds owed in cash.
    pub owed_before: Money,
    /// What they gave.
    pub given_before: Money,
    /// The most that all together may give: what is left of what was paid.
    pub most: Money,
}

impl CashBack {
    /// What is given for so much owed, in the coins that there are. All that is owed together is rounded, and what was
    /// given before taken off: many small refunds give what one would.
    pub fn given_for(self, owed: Money, rounding: Option<CashRounding>) -> Money {
        if owed == Money::ZERO {
            // Coins that are rounded otherwise than they were are no debt.
            return Money::ZERO;
        }
        let together = Money::from_minor(self.owed_before.minor().saturating_add(owed.minor()));
        let difference = rounding.map_or(Money::ZERO, |rounding| pricing::cash_rounding(together, rounding));
        let rounded = together.minor().saturating_add(difference.minor()).min(self.most.minor());
        Money::from_minor(rounded.saturating_sub(self.given_before.minor()).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pricing::book::RoundingDirection;
    use proptest::prelude::*;

    fn back(kind: &str, minor: i64, attempt: Option<u64>) -> WayBack {
        let attempt_id = attempt.map(|number| format!("018f0000-0000-7000-8000-{number:012}").parse().expect("valid"));
        WayBack { kind: Tag::new(kind).expect("valid"), attempt_id, amount: Money::from_minor(minor) }
    }

    /// What was paid with these, of which those have gone back.
    fn paid(tenders: &[(&str, i64)], gone: &[(&str, i64)]) -> Vec<Origin> {
        let gross = tenders.iter().map(|(_, minor)| minor).sum();
        let mut origins =
            origins(tenders.iter().map(|&(kind, minor)| back(kind, minor, None)), Money::from_minor(gross));
        for &(kind, minor) in gone {
            note_gone(&mut origins, &back(kind, minor, None));
        }
        origins
    }

    #[test]
    fn money_goes_back_the_way_it_came() {
        #[track_caller]
        fn check(tenders: &[(&str, i64)], gone: &[(&str, i64)], due: i64, expected: &[(&str, i64)]) {
            let way = way_of_origin(&paid(tenders, gone), Money::from_minor(due));
            let way: Vec<_> = way.iter().map(|part| (part.kind.as_str(), part.amount.minor())).collect();
            assert_eq!(way, expected);
        }
        check(&[("cash", 2000)], &[], 1800, &[("cash", 1800)]);
        check(&[("card", 1800)], &[], 700, &[("card", 700)]);
        check(&[("card", 1000), ("cash", 800)], &[], 1500, &[("card", 1000), ("cash", 500)]);
        check(&[("card", 1000), ("cash", 800)], &[("card", 900)], 300, &[("card", 100), ("cash", 200)]);
        check(&[("card", 500), ("card", 500)], &[("card", 600)], 400, &[("card", 400)]);
        check(&[("card", 500), ("wallet", 500)], &[], 700, &[("card", 500), ("wallet", 200)]);
        check(&[], &[], 0, &[]);
    }

    #[test]
    fn what_a_till_names_is_held_against_what_was_paid() {
        #[track_caller]
        fn check(way: &[WayBack], expected: Result<i64, &str>) {
            let tenders = [back("card", 500, Some(1)), back("card", 700, Some(2)), back("cash", 2000, None)];
            let mut origins = origins(tenders, Money::from_minor(2000));
            note_gone(&mut origins, &back("card", 200, Some(2)));
            let due = way.iter().map(|part| part.amount.minor()).sum();
            let found = beyond_origin(&origins, way, Money::from_minor(due));
            let found = found.as_ref().map(|beyond| beyond.minor()).map_err(RefundRefusal::message_key);
            assert_eq!(found, expected);
        }
        check(&[back("cash", 800, None)], Ok(0));
        check(&[back("cash", 801, None)], Ok(1));
        check(&[back("cash", 500, None), back("cash", 500, None)], Ok(200));
        check(&[back("card", 1000, None)], Ok(0));
        check(&[back("card", 1001, None)], Ok(1));
        check(&[back("card", 500, Some(2)), back("card", 500, Some(1))], Ok(0));
        check(&[back("card", 501, Some(2))], Err("refund.attempt_exceeded"));
        check(&[back("card", 100, Some(3))], Err("refund.other_attempt"));
        check(&[back("wallet", 100, Some(2))], Err("refund.other_attempt"));
        check(&[back("wallet", 100, None)], Ok(100));
        check(&[back("card", 0, None)], Err("refund.tenders_differ"));
        check(&[back("cash", 5, None), back("cash", -5, None)], Err("refund.tenders_differ"));
    }

    proptest! {
        /// However a refund is split, the cash of all parts is that of the whole, and never more than was kept.
        #[test]
        fn parts_give_what_the_whole_would(
            parts in prop::collection::vec(1i64..400, 1..12),
            unit_minor in prop::sample::select(vec![1i64, 5, 10, 100]),
            direction in prop::sample::select(vec![RoundingDirection::Nearest, RoundingDirection::Up, RoundingDirection::Down]),
            was_rounded in any::<bool>(),
        ) {
            let whole = Money::from_minor(parts.iter().sum());
            let rounding = CashRounding { unit_minor, direction };
            let at_sale = if was_rounded { pricing::cash_rounding(whole, rounding) } else { Money::ZERO };
            let most = Money::from_minor(whole.minor() + at_sale.minor());
            let at_once = CashBack { owed_before: Money::ZERO, given_before: Money::ZERO, most };
            let at_once = at_once.given_for(whole, Some(rounding));
            let (mut owed_before, mut given_before) = (Money::ZERO, Money::ZERO);
            for part in parts {
                let part = Money::from_minor(part);
                let given = CashBack { owed_before, given_before, most }.given_for(part, Some(rounding));
                owed_before = Money::from_minor(owed_before.minor() + part.minor());
                given_before = Money::from_minor(given_before.minor() + given.minor());
                prop_assert!(given >= Money::ZERO && given_before <= most);
            }
            prop_assert_eq!(given_before, at_once);
        }
    }
}
