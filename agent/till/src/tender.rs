//! Paying: what was handed over, and what goes back.

use pos_model::Money;
use pricing::book::CashRounding;
use pricing::cash_rounding;

use crate::limits::{AMOUNT_MINOR_MAX, TENDERS_MAX};
use crate::{Refusal, Tender};

/// The kind of tender that gives change, and is rounded where small coins are not used.
pub const CASH: &str = "cash";

/// How a sale is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// What goes back in cash.
    pub change: Money,
    /// What rounding adds to the part that is paid in cash; negative in the customer's favour.
    pub rounding: Money,
}

/// Checks that the tenders pay for the total, tax included, and computes what goes back.
///
/// Cash pays for what the other tenders leave, and that rest alone is rounded: without cash nothing is, and change comes
/// out of the rounded amount. What is handed over always adds up: cash - change = total + rounding - other tenders.
/// A sale of nothing needs no tender; one that rounding brings to nothing needs a coin, which goes back.
pub fn settle(tenders: &[Tender], total: Money, rule: Option<CashRounding>) -> Result<Settlement, Refusal> {
    if tenders.len() > TENDERS_MAX {
        return Err(Refusal::TenderCount { count: tenders.len(), max: TENDERS_MAX });
    }
    // Sixteen amounts below the bound add up within 64 bits.
    let (mut cash, mut other) = (0i64, 0i64);
    for (place, tender) in tenders.iter().enumerate() {
        match tender.amount.minor() {
            ..=0 => return Err(Refusal::TenderNotPositive { tender: place + 1 }),
            amount @ 1..=AMOUNT_MINOR_MAX if tender.kind.as_str() == CASH => cash += amount,
            amount @ 1..=AMOUNT_MINOR_MAX => other += amount,
            _ => return Err(Refusal::AmountTooLarge { max_minor: AMOUNT_MINOR_MAX }),
        }
    }
    if other > total.minor() {
        return Err(Refusal::TenderWithoutChange { tendered: Money::from_minor(other), total });
    }
    let in_cash = Money::from_minor(total.minor() - other);
    let rounding = rule.filter(|_| cash > 0).map_or(Money::ZERO, |rule| cash_rounding(in_cash, rule));
    let change = cash - in_cash.minor() - rounding.minor();
    if change < 0 {
        let total = Money::from_minor(total.minor() + rounding.minor());
        return Err(Refusal::TenderTooSmall { tendered: Money::from_minor(cash + other), total });
    }
    Ok(Settlement { change: Money::from_minor(change), rounding })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pos_model::Tag;
    use pricing::book::RoundingDirection;
    use pricing::book::RoundingDirection::{Down, Nearest, Up};
    use proptest::prelude::*;

    fn tenders(parts: &[(&str, i64)]) -> Vec<Tender> {
        parts
            .iter()
            .map(|&(kind, amount)| Tender {
                kind: Tag::new(kind).expect("valid"),
                amount: Money::from_minor(amount),
                attempt_id: None,
                reference: None,
            })
            .collect()
    }

    #[test]
    fn change_or_the_reason_why_not() {
        #[track_caller]
        fn check(total: i64, parts: &[(&str, i64)], expected: Result<i64, &str>) {
            let answer = settle(&tenders(parts), Money::from_minor(total), None);
            assert_eq!(answer.map(|paid| paid.change.minor()).map_err(|refusal| refusal.message_key()), expected);
        }
        check(1800, &[("cash", 1800)], Ok(0));
        check(1800, &[("cash", 2000)], Ok(200));
        check(1800, &[("card", 1800)], Ok(0));
        check(1800, &[("card", 1000), ("cash", 1000)], Ok(200));
        check(1800, &[("cash", 1000), ("cash", 1000)], Ok(200));
        check(0, &[], Ok(0));
        check(0, &[("cash", 100)], Ok(100));
        check(1800, &[], Err("sale.tender_too_small"));
        check(1800, &[("cash", 1799)], Err("sale.tender_too_small"));
        check(1800, &[("card", 1801)], Err("sale.tender_without_change"));
        check(1800, &[("card", 1000), ("wallet", 801)], Err("sale.tender_without_change"));
        check(0, &[("voucher", 1)], Err("sale.tender_without_change"));
        check(1800, &[("cash", 0)], Err("sale.tender_not_positive"));
        check(1800, &[("cash", 2000), ("card", -200)], Err("sale.tender_not_positive"));
        check(1800, &[("cash", i64::MIN)], Err("sale.tender_not_positive"));
        check(1800, &[("cash", i64::MAX)], Err("sale.amount_too_large"));
        check(1, &[("cash", AMOUNT_MINOR_MAX); TENDERS_MAX], Ok(AMOUNT_MINOR_MAX * 16 - 1));
        check(1, &[("cash", 1); TENDERS_MAX + 1], Err("sale.tender_count"));
    }

    #[test]
    fn only_what_is_paid_in_cash_is_rounded() {
        #[track_caller]
        fn check(
            rule: (i64, RoundingDirection),
            total: i64,
            parts: &[(&str, i64)],
            // Rounding and change.
            expected: Result<(i64, i64), &str>,
        ) {
            let rule = CashRounding { unit_minor: rule.0, direction: rule.1 };
            let answer = settle(&tenders(parts), Money::from_minor(total), Some(rule));
            let answer = answer.map(|paid| (paid.rounding.minor(), paid.change.minor()));
            assert_eq!(answer.map_err(|refusal| refusal.message_key()), expected, "{total} {parts:?}");
        }
        // 1.97 at 0.05: 0.05 goes back on 2.00.
        check((5, Nearest), 197, &[("cash", 200)], Ok((-2, 5)));
        // 35.75 at 0.10, a half goes up.
        check((10, Nearest), 3575, &[("cash", 3580)], Ok((5, 0)));
        check((10, Nearest), 3575, &[("cash", 4000)], Ok((5, 420)));
        check((10, Nearest), 3575, &[("cash", 3575)], Err("sale.tender_too_small"));
        // 11.25 at 0.50 is paid by its rounded amount, whichever way that is.
        check((50, Nearest), 1125, &[("cash", 1150)], Ok((25, 0)));
        check((50, Up), 1125, &[("cash", 1150)], Ok((25, 0)));
        check((50, Down), 1125, &[("cash", 1100)], Ok((-25, 0)));
        check((50, Down), 1125, &[("cash", 1099)], Err("sale.tender_too_small"));
        // By card, wallet and voucher to the last unit.
        check((5, Nearest), 1651, &[("card", 1651)], Ok((0, 0)));
        check((5, Nearest), 1651, &[("card", 1650)], Err("sale.tender_too_small"));
        check((5, Nearest), 1651, &[("card", 1655)], Err("sale.tender_without_change"));
        check((5, Nearest), 1651, &[("wallet", 1000), ("voucher", 651)], Ok((0, 0)));
        // Mixed: the card pays what it says, and the rest is rounded.
        check((5, Nearest), 1651, &[("card", 1000), ("cash", 650)], Ok((-1, 0)));
        check((5, Nearest), 1651, &[("card", 1000), ("cash", 1000)], Ok((-1, 350)));
        check((5, Nearest), 1651, &[("card", 998), ("cash", 655)], Ok((2, 0)));
        check((5, Nearest), 1651, &[("card", 998), ("cash", 654)], Err("sale.tender_too_small"));
        check((5, Nearest), 1651, &[("card", 1001), ("cash", 650)], Ok((0, 0)));
        // The rest is nothing, by itself or by rounding: all the cash goes back.
        check((5, Nearest), 1651, &[("card", 1651), ("cash", 500)], Ok((0, 500)));
        check((5, Nearest), 1651, &[("card", 1650), ("cash", 5)], Ok((-1, 5)));
        check((5, Nearest), 2, &[], Err("sale.tender_too_small"));
        check((5, Nearest), 2, &[("cash", 5)], Ok((-2, 5)));
        check((5, Nearest), 0, &[], Ok((0, 0)));
        // A unit of one changes nothing.
        check((1, Nearest), 1651, &[("cash", 1651)], Ok((0, 0)));
    }

    proptest! {
        /// Expected drawer: the cash that came in, less the change, is what the other tenders left to pay, rounded.
        #[test]
        fn the_drawer_agrees(
            total in 0i64..100_000,
            parts in prop::collection::vec((any::<bool>(), 1i64..50_000), 0..6),
            rule in prop::option::of((1i64..200, prop::sample::select(vec![Nearest, Down, Up]))),
        ) {
            let parts: Vec<_> = parts.iter().map(|&(cash, amount)| (if cash { CASH } else { "card" }, amount)).collect();
            let of = |wanted: bool| parts.iter().filter(|part| (part.0 == CASH) == wanted).map(|part| part.1).sum::<i64>();
            let rule = rule.map(|(unit_minor, direction)| CashRounding { unit_minor, direction });
            match settle(&tenders(&parts), Money::from_minor(total), rule) {
                Ok(Settlement { change, rounding }) => {
                    prop_assert!(!change.is_negative());
                    prop_assert_eq!(of(true) - change.minor(), total + rounding.minor() - of(false));
                    prop_assert!(change.minor() <= of(true));
                    match rule.filter(|_| of(true) > 0) {
                        None => prop_assert_eq!(rounding, Money::ZERO),
                        Some(rule) => {
                            prop_assert!(rounding.minor().abs() < rule.unit_minor);
                            prop_assert_eq!((of(true) - change.minor()) % rule.unit_minor, 0);
                        }
                    }
                }
                Err(_) => {
                    let unit = rule.map_or(1, |rule| rule.unit_minor);
                    prop_assert!(of(true) + of(false) < total + unit - 1 || of(false) > total);
                }
            }
        }
    }
}
