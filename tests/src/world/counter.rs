//! Tills and what they ask for: commands made from a number, with the sums that the reference expects of them.

use std::collections::BTreeMap;

use pos_model::{ItemId, Money, Quantity, SaleId, Sku, Tag, TillId};
use sync_core::Random;
use till::{Adjustment, ChosenOption, CompleteSale, Consumption, Line, Tender};
use uuid::Uuid;

use super::plan::{chance, pick};
use crate::reference::asked::{Asked, Wanted};
use crate::reference::sums::{AskedLine, sold_without_tax};

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
    /// Made by the till: of the sale, the refund or the command.
    pub(super) id: Uuid,
    /// The till.
    pub(super) till_id: TillId,
    /// From which everything else in a sale follows; anything else has it as a note.
    pub(super) body: u64,
    /// What it is for; none is a sale.
    pub(super) errand: Option<Wanted>,
}

/// What a command is about, as far as its death in the middle is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sale,
    Refund,
    Drawer,
    Close,
    Stock,
}

const TAX: [(&str, u32); 3] = [("standard", 60_000), ("reduced", 130_000), ("none", 0)];

impl Command {
    /// What it is about.
    pub(super) fn kind(&self) -> Kind {
        match &self.errand {
            None | Some(Wanted::Sale { .. }) => Kind::Sale,
            Some(Wanted::Refund(_)) => Kind::Refund,
            Some(Wanted::OpenShift { .. } | Wanted::MoveCash { .. }) => Kind::Drawer,
            Some(Wanted::CloseShift { .. } | Wanted::AmendShift { .. } | Wanted::CloseDay { .. }) => Kind::Close,
            Some(Wanted::MoveStock { .. } | Wanted::BeginCount { .. } | Wanted::FinishCount { .. }) => Kind::Stock,
        }
    }

    /// The digest under which an agent recognises it.
    pub(super) fn digest(&self) -> [u8; 32] {
        *blake3::hash(format!("{} {:?}", self.body, self.errand).as_bytes()).as_bytes()
    }

    /// What it asks for, on a date by the agent's clock.
    pub(super) fn asked(&self, day: i32) -> Asked {
        let what = self.errand.clone().unwrap_or_else(|| {
            let (lines, paid) = self.basket();
            Wanted::Sale { lines: lines.into_iter().map(|(_, asked)| asked).collect(), paid }
        });
        Asked { id: self.id, till_id: self.till_id.clone(), day, what }
    }

    /// What is sold, and what is paid by each means.
    fn basket(&self) -> (Vec<(Line, AskedLine)>, BTreeMap<String, i64>) {
        let mut random = Random::new(self.body);
        let lines: Vec<(Line, AskedLine)> = (0..1 + random.below(3)).map(|_| line(&mut random)).collect();
        let gross: i64 = lines.iter().map(|(_, asked)| sold_without_tax(asked).gross_minor).sum();
        let wallet = match random.below(4) {
            0 => gross / 2,
            1 => gross,
            _ => 0,
        };
        let paid = [("wallet", wallet), ("cash", gross - wallet)];
        // What costs nothing is paid in cash, and all of it is change.
        let paid = paid.into_iter().filter(|(kind, minor)| *minor > 0 || (gross == 0 && *kind == "cash"));
        (lines, paid.map(|(kind, minor)| (kind.to_owned(), minor)).collect())
    }

    /// The lines of the sale, as the model sees them.
    pub(super) fn sold_lines(&self) -> Vec<AskedLine> {
        self.basket().0.into_iter().map(|(_, asked)| asked).collect()
    }

    /// The sale in full.
    pub(super) fn sale(&self) -> CompleteSale {
        let (lines, paid) = self.basket();
        let gross: i64 = paid.values().sum();
        let tenders = paid.iter().map(|(kind, minor)| {
            // Cash is handed over in round notes.
            let amount = if kind == "cash" { minor / 1000 * 1000 + 1000 } else { *minor };
            Tender { kind: tag(kind), amount: Money::from_minor(amount), attempt_id: None, reference: None }
        });
        CompleteSale {
            sale_id: SaleId::new(self.id),
            till_id: self.till_id.clone(),
            operator_id: None,
            channel: tag("counter"),
            approval_id: None,
            basket: None,
            label: None,
            member_tag: None,
            tenders: tenders.collect(),
            lines: lines.into_iter().map(|(line, _)| line).collect(),
            cash_rounding: None,
            expected_total: Some(Money::from_minor(gross)),
            price_book_version: None,
            priced_by: None,
            imported: None,
            traceparent: None,
        }
    }
}

fn line(random: &mut Random) -> (Line, AskedLine) {
    let mut below = |bound: u64| i64::try_from(random.below(bound)).expect("small");
    let unit = 1 + below(5_000);
    let option = below(300);
    let with_option = below(2) == 0;
    // Some goods are weighed.
    let quantity_micro = if below(4) == 0 { 1 + below(3_000_000) } else { (1 + below(4)) * 1_000_000 };
    let item = format!("item-{}", below(4));
    let item_micro = below(2_000_000);
    let (group, ppm) = pick(random, &TAX);
    let unit_minor = unit + if with_option { option } else { 0 };
    let mut asked = AskedLine {
        unit_minor,
        quantity_micro,
        adjusted_minor: 0,
        tax_group: group.to_owned(),
        tax_ppm: i64::from(ppm),
        used: [(item.clone(), item_micro)].into_iter().filter(|(_, micro)| *micro > 0).collect(),
    };
    if chance(random, 300) {
        // Never more than the line costs.
        asked.adjusted_minor = -(sold_without_tax(&asked).gross_minor / 3);
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
            item_id: ItemId::new(item).expect("a valid name"),
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
    use crate::reference::sums::lines_of;

    #[test]
    fn the_till_and_the_model_agree_on_a_thousand_sales() {
        for body in 0..1000 {
            let id = Uuid::from_u64_pair(1, body);
            let command = Command { id, till_id: TillId::new("T1").expect("valid"), body, errand: None };
            let draft = till::complete(command.sale()).expect("obeys the rules");
            let drafted: Vec<_> = draft.lines.iter().map(|line| (line.gross.minor(), line.tax.minor())).collect();
            let lines = lines_of(&command.sold_lines());
            let expected: Vec<_> = lines.iter().map(|line| (line.gross_minor, line.tax_minor)).collect();
            assert_eq!(drafted, expected, "sale {body}");
        }
    }
}
