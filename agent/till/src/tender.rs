//! Paying: what was handed over, and what goes back.

use pos_model::Money;

use crate::limits::{AMOUNT_MINOR_MAX, TENDERS_MAX};
use crate::{Refusal, Tender};

/// The kind of tender that gives change.
pub const CASH: &str = "cash";

/// Checks that the tenders pay for the total, and computes the change. A sale of nothing needs no tender.
pub(crate) fn change(tenders: &[Tender], total: Money) -> Result<Money, Refusal> {
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
    let tendered = Money::from_minor(cash + other);
    if tendered < total {
        return Err(Refusal::TenderTooSmall { tendered, total });
    }
    Ok(Money::from_minor(tendered.minor() - total.minor()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pos_model::Tag;
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
            let answer = change(&tenders(parts), Money::from_minor(total));
            assert_eq!(answer.map(Money::minor).map_err(|refusal| refusal.message_key()), expected);
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

    proptest! {
        /// Expected drawer: the cash that came in, less the change, is what the other tenders left to pay.
        #[test]
        fn the_drawer_agrees(
            total in 0i64..100_000,
            parts in prop::collection::vec((any::<bool>(), 1i64..50_000), 0..6),
        ) {
            let parts: Vec<_> = parts.iter().map(|&(cash, amount)| (if cash { CASH } else { "card" }, amount)).collect();
            let of = |wanted: bool| parts.iter().filter(|part| (part.0 == CASH) == wanted).map(|part| part.1).sum::<i64>();
            match change(&tenders(&parts), Money::from_minor(total)) {
                Ok(change) => {
                    prop_assert!(!change.is_negative());
                    prop_assert_eq!(of(true) - change.minor(), total - of(false));
                    prop_assert!(change.minor() <= of(true));
                }
                Err(_) => prop_assert!(of(true) + of(false) < total || of(false) > total),
            }
        }
    }
}
