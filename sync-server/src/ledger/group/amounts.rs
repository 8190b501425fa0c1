//! Whether the amounts of a corrected event agree with each other.
//!
//! What a store says is a fact, and counts as it says it. What a person writes into its place is looked at first: a slip in it
//! would count for good.

use pos_model::{Money, Quantity};
use protocol::latest::{EventBody, RefundCompleted, SaleCompleted, SaleTotals};

/// What does not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    /// A sum is not that of its parts.
    #[error("{what} is {said}, and its parts come to {sum}")]
    Sum {
        /// Which one.
        what: &'static str,
        said: i128,
        sum: i128,
    },
    /// Nothing was sold or taken back.
    #[error("it has no lines")]
    NoLines,
    /// A quantity or price below zero.
    #[error("the {what} of line {line} is below zero")]
    Negative {
        what: &'static str,
        /// Counted from one.
        line: usize,
    },
}

/// The numbers of a sale or refund.
#[derive(PartialEq)]
struct Amounts {
    lines: Vec<(Quantity, Money, Money)>,
    totals: SaleTotals,
    /// What was handed over less the change and the rounding, where that is said.
    paid: Option<i128>,
}

impl Amounts {
    fn of(body: &EventBody) -> Option<Self> {
        match body {
            EventBody::SaleCompleted(sale) => Some(Self::of_sale(sale)),
            EventBody::RefundCompleted(refund) => Some(Self::of_refund(refund)),
            _ => None,
        }
    }

    fn of_sale(sale: &SaleCompleted) -> Self {
        let handed: i128 = sale.tenders.iter().map(|tender| i128::from(tender.amount_minor.minor())).sum();
        let less = i128::from(sale.change_minor.minor()) + i128::from(sale.cash_rounding_minor.minor());
        Self {
            lines: sale.lines.iter().map(|line| (line.quantity, line.gross_minor, line.tax_minor)).collect(),
            totals: sale.totals,
            // Files of receipts do not always say how they were paid.
            paid: (sale.imported.is_none() || !sale.tenders.is_empty()).then_some(handed - less),
        }
    }

    fn of_refund(refund: &RefundCompleted) -> Self {
        let handed: i128 = refund.tenders.iter().map(|tender| i128::from(tender.amount_minor.minor())).sum();
        Self {
            lines: refund.lines.iter().map(|line| (line.quantity, line.gross_minor, line.tax_minor)).collect(),
            totals: refund.totals,
            paid: Some(handed - i128::from(refund.cash_rounding_minor.minor())),
        }
    }

    fn check(&self) -> Result<(), Odd> {
        let Self { lines, totals, paid } = self;
        if lines.is_empty() {
            return Err(Odd::NoLines);
        }
        for (index, (quantity, gross, _)) in lines.iter().enumerate() {
            let line = index + 1;
            if quantity.micro() < 0 {
                return Err(Odd::Negative { what: "quantity", line });
            }
            if gross.minor() < 0 {
                return Err(Odd::Negative { what: "gross", line });
            }
        }
        let sum = |part: fn(&(Quantity, Money, Money)) -> i64| lines.iter().map(|line| i128::from(part(line))).sum();
        agree("totals.quantity", totals.quantity.micro().into(), sum(|line| line.0.micro()))?;
        agree("totals.gross_minor", totals.gross_minor.minor().into(), sum(|line| line.1.minor()))?;
        agree("totals.tax_minor", totals.tax_minor.minor().into(), sum(|line| line.2.minor()))?;
        let net = i128::from(totals.gross_minor.minor()) - i128::from(totals.tax_minor.minor());
        agree("totals.net_minor", totals.net_minor.minor().into(), net)?;
        let gross = totals.gross_minor.minor().into();
        paid.map_or(Ok(()), |paid| agree("what was paid", paid, gross))
    }
}

fn agree(what: &'static str, said: i128, sum: i128) -> Result<(), Odd> {
    if said == sum { Ok(()) } else { Err(Odd::Sum { what, said, sum }) }
}

/// Refuses amounts that do not agree, unless they are those of the event as it came: then something else is put right.
pub(super) fn check(body: &EventBody, original: Option<&EventBody>) -> Result<(), Odd> {
    let Some(amounts) = Amounts::of(body) else { return Ok(()) };
    if original.and_then(Amounts::of).is_some_and(|original| original == amounts) {
        return Ok(());
    }
    amounts.check()
}
