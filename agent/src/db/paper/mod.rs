//! What is printed of what happens at the counter: put into the queue within the database transaction of what it is about.
//!
//! A store without a printer for a role puts nothing in for it. Texts are those of the books; how they look is the
//! template's business.

mod kitchen;
mod receipt;
mod report;

pub(super) use receipt::RECEIPT;

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{Currency, OperatorId, Tag, TillId};
use printing::context::{Currency as PaperCurrency, Store as Shop};
use printing::template::Kind;
use serde::Serialize;

use super::command::Moment;
use super::error::Error;
use super::print_job::NewPrint;
use super::store::Store;

/// What a store prints, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaperPlan {
    /// What stands above everything.
    pub shop_name: String,
    /// Address, tax number, telephone: a line each.
    pub shop_lines: Vec<String>,
    /// Words at the end of a receipt, a line each.
    pub footer: Vec<String>,
    /// The roles for which there is a printer, and for which tills.
    pub roles: BTreeMap<String, ForTills>,
    /// Whether everything is for training, and says so.
    pub is_training: bool,
}

/// The tills for which something is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForTills {
    /// Every till of the store.
    All,
    /// These alone.
    Only(BTreeSet<TillId>),
}

/// Where paper goes, and what it belongs to.
struct Goes<'a> {
    role: &'a str,
    till_id: &'a TillId,
    subject: String,
}

/// What training papers say before anything else.
const TRAINING: &str = "*** TRAINING - NOT A RECEIPT ***";

impl PaperPlan {
    fn shop(&self) -> Shop {
        let marked = self.is_training.then(|| TRAINING.to_owned());
        Shop {
            name: self.shop_name.clone(),
            lines: marked.into_iter().chain(self.shop_lines.iter().cloned()).collect(),
        }
    }

    /// Whether anything of this role is printed for a till.
    pub(super) fn prints(&self, role: &str, till_id: &TillId) -> bool {
        match self.roles.get(role) {
            None => false,
            Some(ForTills::All) => true,
            Some(ForTills::Only(tills)) => tills.contains(till_id),
        }
    }
}

impl Store {
    /// Says what is printed from here on.
    pub fn set_paper(&mut self, plan: PaperPlan) {
        self.paper = plan;
    }

    fn put_in(
        &mut self,
        moment: &Moment,
        kind: Kind,
        Goes { role, till_id, subject }: Goes<'_>,
        data: impl Serialize,
    ) -> Result<(), Error> {
        let data = serde_json::to_value(data).expect("text and numbers always encode");
        let new = NewPrint { kind, role: role.to_owned(), till_id: Some(till_id.clone()), subject, data };
        self.enqueue_print(new, moment.at()).map(drop)
    }
}

fn currency_of(currency: Currency) -> PaperCurrency {
    PaperCurrency { code: currency.to_string(), exponent: currency.decimals() }
}

/// A rate in parts per million as a person reads it: `6%`, `5.5%`.
fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    let decimals = format!("{rest:04}");
    match decimals.trim_end_matches('0') {
        "" => format!("{whole}%"),
        decimals => format!("{whole}.{decimals}%"),
    }
}

/// A word of ours as a person reads it: `paid_in` becomes `Paid in`.
fn words(tag: &Tag) -> String {
    let text = tag.as_str().replace('_', " ");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn name_of(operator: Option<&OperatorId>) -> String {
    operator.map(ToString::to_string).unwrap_or_default()
}

fn service(label: Option<&String>, takeaway: Option<bool>) -> Option<String> {
    let takeaway = takeaway.map(|takeaway| if takeaway { "Takeaway" } else { "Dine in" });
    match (label, takeaway) {
        (Some(label), Some(takeaway)) => Some(format!("{takeaway}, {label}")),
        (Some(label), None) => Some(label.clone()),
        (None, takeaway) => takeaway.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_as_people_read_them() {
        let check = |ppm: u32, text: &str| assert_eq!(percent(ppm), text);
        check(60_000, "6%");
        check(55_000, "5.5%");
        check(0, "0%");
        check(81_250, "8.125%");
        assert_eq!(words(&Tag::new("paid_in").expect("valid")), "Paid in");
    }
}
