//! What a till did from one close to the next, added up.
//!
//! The sums are folded from the sales, refunds and movements of cash themselves, never kept beside them, so that a report
//! cannot differ from what it reports. Sums that leave 64 bits stop at the end of the scale: an absurd day shows an absurd
//! sum, and can still be closed.

use std::collections::BTreeMap;

use pos_model::{Money, Quantity, Tag};

use crate::tender::CASH;

/// A sale or a refund, as far as a report needs it. The amounts of a refund are what went back, above zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turnover {
    /// The number on the receipt.
    pub receipt_no: u64,
    /// What was paid, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
    /// The units.
    pub quantity: Quantity,
    /// By line: tax group, rate in parts per million, gross and tax.
    pub taxes: Vec<(Tag, u32, Money, Money)>,
    /// By tender: its kind and the amount, change included.
    pub tenders: Vec<(Tag, Money)>,
    /// What was given back in cash.
    pub change: Money,
    /// By how much the cash differs from what was owed, because of the coins there are.
    pub cash_rounding: Money,
    /// By adjustment: its reason, the promotion, and by how much.
    pub adjustments: Vec<(Tag, Option<String>, Money)>,
}

/// Cash that moved without a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CashMove {
    /// Put in.
    PaidIn,
    /// Taken out.
    PaidOut,
    /// Into the safe.
    Drop,
    /// The drawer was opened, and nothing moved.
    NoSale,
}

/// How many, and what they come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// What they come to, in minor units.
    pub minor: i64,
}

impl Sum {
    fn add(&mut self, minor: i64) {
        self.count = self.count.saturating_add(1);
        self.minor = self.minor.saturating_add(minor);
    }

    /// Adds another sum to it.
    pub fn join(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.minor = self.minor.saturating_add(other.minor);
    }
}

/// The sums of a shift.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShiftSums {
    /// The sales: count and gross.
    pub sales: Sum,
    /// The tax in them.
    pub sales_tax_minor: i64,
    /// The refunds and voided sales: count and gross.
    pub refunds: Sum,
    /// The tax in them.
    pub refunds_tax_minor: i64,
    /// The units sold, in millionths.
    pub quantity_micro: i64,
    /// Sold less refunded, by tax group and rate: gross and tax.
    pub taxes: BTreeMap<(Tag, u32), (i64, i64)>,
    /// Paid less given back, by kind of tender.
    pub tenders: BTreeMap<Tag, Sum>,
    /// What changed prices, by reason and promotion.
    pub adjustments: BTreeMap<(Tag, Option<String>), Sum>,
    /// The lowest and the highest number on a receipt; none if none was given.
    pub receipts: Option<(u64, u64)>,
    /// Cash of sales, less the change.
    pub cash_sales_minor: i64,
    /// Cash of refunds.
    pub cash_refunds_minor: i64,
    /// Cash put in.
    pub paid_in_minor: i64,
    /// Cash taken out.
    pub paid_out_minor: i64,
    /// Cash put into the safe.
    pub drops_minor: i64,
    /// How often the drawer was opened without a sale.
    pub opened_without_sale: u64,
    /// What rounding to coins added to the cash of sales, less what it added to that of refunds. With it the tenders come to
    /// the sales less the refunds.
    pub cash_rounding_minor: i64,
}

impl ShiftSums {
    /// Adds a sale.
    pub fn sale(&mut self, sale: &Turnover) {
        self.sales.add(sale.gross.minor());
        grow(&mut self.sales_tax_minor, sale.tax.minor());
        grow(&mut self.quantity_micro, sale.quantity.micro());
        self.turnover(sale, 1);
        for (reason, promotion, amount) in &sale.adjustments {
            self.adjustments.entry((reason.clone(), promotion.clone())).or_default().add(amount.minor());
        }
    }

    /// Adds a refund, or a voided sale.
    pub fn refund(&mut self, refund: &Turnover) {
        self.refunds.add(refund.gross.minor());
        grow(&mut self.refunds_tax_minor, refund.tax.minor());
        self.turnover(refund, -1);
    }

    fn turnover(&mut self, turnover: &Turnover, sign: i64) {
        let (first, last) = self.receipts.unwrap_or((turnover.receipt_no, turnover.receipt_no));
        self.receipts = Some((first.min(turnover.receipt_no), last.max(turnover.receipt_no)));
        for (group, rate_ppm, gross, tax) in &turnover.taxes {
            let sums = self.taxes.entry((group.clone(), *rate_ppm)).or_default();
            grow(&mut sums.0, gross.minor().saturating_mul(sign));
            grow(&mut sums.1, tax.minor().saturating_mul(sign));
        }
        grow(&mut self.cash_rounding_minor, turnover.cash_rounding.minor().saturating_mul(sign));
        let mut change = turnover.change.minor();
        for (kind, amount) in &turnover.tenders {
            // Change is given of cash: a sale that gives any has a tender in cash.
            let kept = if kind.as_str() == CASH {
                amount.minor().saturating_sub(std::mem::take(&mut change))
            } else {
                amount.minor()
            };
            self.tenders.entry(kind.clone()).or_default().add(kept.saturating_mul(sign));
            if kind.as_str() == CASH {
                grow(if sign > 0 { &mut self.cash_sales_minor } else { &mut self.cash_refunds_minor }, kept);
            }
        }
    }

    /// Adds a movement of cash.
    pub fn cash(&mut self, kind: CashMove, amount: Money) {
        match kind {
            CashMove::PaidIn => grow(&mut self.paid_in_minor, amount.minor()),
            CashMove::PaidOut => grow(&mut self.paid_out_minor, amount.minor()),
            CashMove::Drop => grow(&mut self.drops_minor, amount.minor()),
            CashMove::NoSale => self.opened_without_sale = self.opened_without_sale.saturating_add(1),
        }
    }

    /// Adds what another part of the same shift came to.
    pub fn join(&mut self, other: Self) {
        self.sales.join(other.sales);
        self.refunds.join(other.refunds);
        for (mine, others) in [
            (&mut self.sales_tax_minor, other.sales_tax_minor),
            (&mut self.refunds_tax_minor, other.refunds_tax_minor),
            (&mut self.quantity_micro, other.quantity_micro),
            (&mut self.cash_sales_minor, other.cash_sales_minor),
            (&mut self.cash_refunds_minor, other.cash_refunds_minor),
            (&mut self.paid_in_minor, other.paid_in_minor),
            (&mut self.paid_out_minor, other.paid_out_minor),
            (&mut self.drops_minor, other.drops_minor),
            (&mut self.cash_rounding_minor, other.cash_rounding_minor),
        ] {
            grow(mine, others);
        }
        self.opened_without_sale = self.opened_without_sale.saturating_add(other.opened_without_sale);
        for (key, (gross, tax)) in other.taxes {
            let sums = self.taxes.entry(key).or_default();
            grow(&mut sums.0, gross);
            grow(&mut sums.1, tax);
        }
        for (key, sum) in other.tenders {
            self.tenders.entry(key).or_default().join(sum);
        }
        for (key, sum) in other.adjustments {
            self.adjustments.entry(key).or_default().join(sum);
        }
        self.receipts = match (self.receipts, other.receipts) {
            (Some(mine), Some(others)) => Some((mine.0.min(others.0), mine.1.max(others.1))),
            (mine, others) => mine.or(others),
        };
    }

    /// What should be in the drawer: float + cash of sales + paid in - cash of refunds - paid out - drops.
    pub fn expected(&self, float: Money) -> Money {
        let plus = [self.cash_sales_minor, self.paid_in_minor];
        let minus = [self.cash_refunds_minor, self.paid_out_minor, self.drops_minor];
        let sum = plus.into_iter().fold(float.minor(), i64::saturating_add);
        Money::from_minor(minus.into_iter().fold(sum, i64::saturating_sub))
    }

    /// What the till has sold less what came back.
    pub fn net_minor(&self) -> i64 {
        self.sales.minor.saturating_sub(self.refunds.minor)
    }
}

fn grow(sum: &mut i64, by: i64) {
    *sum = sum.saturating_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(text: &str) -> Tag {
        Tag::new(text).expect("valid")
    }

    fn money(minor: i64) -> Money {
        Money::from_minor(minor)
    }

    fn turnover(receipt_no: u64, gross: i64, tenders: &[(&str, i64)], change: i64) -> Turnover {
        Turnover {
            receipt_no,
            gross: money(gross),
            tax: money(gross / 10),
            quantity: Quantity::ONE,
            taxes: vec![(tag("standard"), 100_000, money(gross), money(gross / 10))],
            tenders: tenders.iter().map(|&(kind, amount)| (tag(kind), money(amount))).collect(),
            change: money(change),
            cash_rounding: Money::ZERO,
            adjustments: vec![(tag("promotion"), Some("half".to_owned()), money(-100))],
        }
    }

    #[test]
    fn a_drawer_holds_what_came_in_less_what_went_out() {
        let mut sums = ShiftSums::default();
        sums.sale(&turnover(7, 1800, &[("cash", 2000)], 200));
        sums.sale(&turnover(8, 2500, &[("card", 1500), ("cash", 500), ("cash", 600)], 100));
        sums.refund(&turnover(9, 1000, &[("cash", 1000)], 0));
        sums.cash(CashMove::PaidIn, money(5000));
        sums.cash(CashMove::PaidOut, money(300));
        sums.cash(CashMove::Drop, money(4000));
        sums.cash(CashMove::NoSale, Money::ZERO);
        assert_eq!(sums.expected(money(10_000)).minor(), 10_000 + 1800 + 1000 - 1000 + 5000 - 300 - 4000);
        assert_eq!(sums.tenders[&tag("cash")], Sum { count: 4, minor: 1800 + 1000 - 1000 });
        assert_eq!(sums.tenders[&tag("card")], Sum { count: 1, minor: 1500 });
        assert_eq!(sums.taxes[&(tag("standard"), 100_000)], (3300, 330));
        assert_eq!((sums.sales, sums.refunds), (Sum { count: 2, minor: 4300 }, Sum { count: 1, minor: 1000 }));
        assert_eq!(sums.receipts, Some((7, 9)));
        assert_eq!((sums.net_minor(), sums.opened_without_sale), (3300, 1));
    }

    #[test]
    fn tenders_come_to_sales_less_refunds_with_what_rounding_added() {
        let mut sums = ShiftSums::default();
        sums.sale(&Turnover { cash_rounding: money(-2), ..turnover(1, 1797, &[("cash", 2000)], 205) });
        sums.sale(&Turnover { cash_rounding: money(2), ..turnover(2, 1798, &[("card", 1000), ("cash", 800)], 0) });
        sums.refund(&Turnover { cash_rounding: money(1), ..turnover(3, 999, &[("cash", 1000)], 0) });
        let tenders: i64 = sums.tenders.values().map(|sum| sum.minor).sum();
        assert_eq!(sums.cash_rounding_minor, -1);
        assert_eq!(tenders, sums.net_minor() + sums.cash_rounding_minor);
    }

    #[test]
    fn absurd_sums_stop_at_the_end_of_the_scale() {
        let mut sums = ShiftSums::default();
        for _ in 0..3 {
            sums.sale(&turnover(1, i64::MAX / 2 + 1, &[("cash", i64::MAX / 2 + 1)], 0));
        }
        assert_eq!((sums.sales.minor, sums.expected(money(i64::MAX)).minor()), (i64::MAX, i64::MAX));
    }

    proptest! {
        /// However a shift is cut in two, both parts joined come to the whole.
        #[test]
        fn parts_come_to_the_whole(amounts in prop::collection::vec((1i64..100_000, any::<bool>()), 0..30), cut in 0usize..30) {
            let add = |sums: &mut ShiftSums, part: &[(i64, bool)]| {
                for (place, &(gross, refund)) in part.iter().enumerate() {
                    let facts = turnover(u64::try_from(place).expect("small") + 1, gross, &[("cash", gross)], 0);
                    if refund { sums.refund(&facts) } else { sums.sale(&facts) }
                }
            };
            let (mut whole, mut first, mut rest) = <(ShiftSums, ShiftSums, ShiftSums)>::default();
            let cut = cut.min(amounts.len());
            add(&mut first, &amounts[..cut]);
            add(&mut rest, &amounts[cut..]);
            add(&mut whole, &amounts[..cut]);
            add(&mut whole, &amounts[cut..]);
            first.join(rest);
            prop_assert_eq!(first, whole);
        }
    }
}
