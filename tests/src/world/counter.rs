//! Tills and what they ask for: commands made from a number, with the sums that the reference expects of them.

use std::collections::BTreeMap;

use pos_model::{ItemId, Money, Quantity, SaleId, Sku, Tag, TillId};
use sync_core::Random;
use till::{Adjustment, ChosenOption, CompleteSale, Consumption, Line, Tender};

use super::plan::{chance, pick};
use crate::reference::{AskedLine, Sums, sums_of};

/// A till. It asks one agent at a time, and repeats a command until it is answered.
#[derive(Debug)]
pub(super) struct Till {
    /// Its store.
    pub(super) store: usize,
    /// The agent that it asks.
    pub(super) agent: usize,
    /// Its name; tills of a copied store share it.
    pub(super) id: TillId,
    /// The command without an answer.
    pub(super) pending: Option<Command>,
    /// What was answered.
    pub(super) history: Vec<Command>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// Made by the till.
    pub(super) sale_id: SaleId,
    /// The till.
    pub(super) till_id: TillId,
    /// From which everything else in it follows.
    pub(super) body: u64,
}

/// A command, and what it comes to.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The command.
    pub(super) command: CompleteSale,
    /// The sums.
    pub(super) sums: Sums,
    /// What it takes from stock, in millionths.
    pub(super) used: BTreeMap<String, i64>,
}

const TAX: [(&str, u32); 3] = [("standard", 60_000), ("reduced", 130_000), ("none", 0)];

impl Command {
    /// The digest under which an agent recognises it.
    pub(super) fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.body.to_be_bytes()).as_bytes()
    }

    /// The command in full.
    pub(super) fn asked(&self) -> Asked {
        let mut random = Random::new(self.body);
        let lines: Vec<(Line, AskedLine)> = (0..1 + random.below(3)).map(|_| line(&mut random)).collect();
        let (lines, asked): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
        let sums = sums_of(&asked);
        let mut used: BTreeMap<String, i64> = BTreeMap::new();
        for consumption in lines.iter().flat_map(|line| &line.consumption) {
            *used.entry(consumption.item_id.to_string()).or_default() += consumption.quantity.micro();
        }
        let command = CompleteSale {
            sale_id: self.sale_id,
            till_id: self.till_id.clone(),
            operator_id: None,
            channel: tag("counter"),
            approval_id: None,
            basket: None,
            label: None,
            member_tag: None,
            lines,
            tenders: vec![Tender {
                kind: tag("cash"),
                amount: Money::from_minor(sums.gross_minor / 1000 * 1000 + 1000),
                attempt_id: None,
                reference: None,
            }],
            cash_rounding: None,
            expected_total: Some(Money::from_minor(sums.gross_minor)),
            price_book_version: None,
            priced_by: None,
            imported: None,
            traceparent: None,
        };
        Asked { command, sums, used }
    }
}

fn line(random: &mut Random) -> (Line, AskedLine) {
    let mut below = |bound: u64| i64::try_from(random.below(bound)).expect("small");
    let unit = 1 + below(5_000);
    let option = below(300);
    let with_option = below(2) == 0;
    // Some goods are weighed.
    let quantity_micro = if below(4) == 0 { 1 + below(3_000_000) } else { (1 + below(4)) * 1_000_000 };
    let item = below(4);
    let item_micro = below(2_000_000);
    let (group, ppm) = pick(random, &TAX);
    let unit_minor = unit + if with_option { option } else { 0 };
    let mut asked = AskedLine {
        unit_minor,
        quantity_micro,
        adjusted_minor: 0,
        tax_group: group.to_owned(),
        tax_ppm: i64::from(ppm),
    };
    if chance(random, 300) {
        // Never more than the line costs.
        asked.adjusted_minor = -(sums_of(std::slice::from_ref(&asked)).gross_minor / 3);
    }
    let adjustments = if asked.adjusted_minor == 0 {
        vec![]
    } else {
        vec![Adjustment {
            reason: tag("promotion"),
            promotion_id: None,
            amount: Money::from_minor(asked.adjusted_minor),
        }]
    };
    let option = ChosenOption { code: sku("pearls"), name: "Pearls".to_owned(), price: Money::from_minor(option) };
    let line = Line {
        sku: sku("milk-tea"),
        name: "Milk tea".to_owned(),
        note: None,
        quantity: Quantity::from_micro(quantity_micro),
        unit_price: Money::from_minor(unit),
        options: if with_option { vec![option] } else { vec![] },
        adjustments,
        tax_group: tag(group),
        tax_rate_ppm: ppm,
        tax_on_top: false,
        unit_gross: Vec::new(),
        consumption: vec![Consumption {
            item_id: ItemId::new(format!("item-{item}")).expect("a valid name"),
            quantity: Quantity::from_micro(item_micro),
        }],
        station: None,
    };
    (line, asked)
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a valid word")
}

fn sku(text: &str) -> Sku {
    Sku::new(text).expect("a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_till_and_the_model_agree_on_a_thousand_sales() {
        for body in 0..1000 {
            let sale_id = SaleId::new(Uuid::from_u64_pair(1, body));
            let asked = Command { sale_id, till_id: TillId::new("T1").expect("valid"), body }.asked();
            let draft = till::complete(asked.command).expect("obeys the rules");
            assert_eq!((draft.gross.minor(), draft.tax.minor()), (asked.sums.gross_minor, asked.sums.tax_minor));
        }
    }
}
