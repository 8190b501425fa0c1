//! What is printed for the kitchen: one label for each cup, one ticket for each station.
//!
//! These are the fields that a template of the printer may name. They hold texts and numbers as they were sent; how they
//! look is the template's business.

use std::collections::BTreeMap;

use pos_model::Tag;
use serde::Serialize;
use till::kitchen::{Cup, CupCode, KitchenOrder};

/// A label for a cup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelData {
    /// The shop, as its configuration says it.
    pub shop: String,
    /// The number that is called out.
    pub pickup_no: u32,
    /// Which one of its order, from one.
    pub number: u32,
    /// How many the order had when this one was sent.
    pub of: u32,
    /// Where it is made, by its key in the price book.
    pub station: String,
    /// What is in it.
    pub name: String,
    /// The names of what was chosen, in the order of the menu; for large type.
    pub options: Vec<String>,
    /// What the customer asked for besides; empty for nothing.
    pub note: String,
    /// How much, as a decimal: `1`, unless it is sold by weight or in very large numbers.
    pub quantity: String,
    /// The table, or the name that is called out; empty for none.
    pub label: String,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// How the order came in.
    pub channel: String,
    /// The text of the QR code: the cup's code, 12 letters and digits, with which it is bumped and handed over.
    pub qr: String,
}

/// A ticket for a station: all that it makes of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketData {
    /// The shop, as its configuration says it.
    pub shop: String,
    /// Where it goes, by the station's key in the price book.
    pub station: String,
    /// The number that is called out.
    pub pickup_no: u32,
    /// The table, or the name that is called out; empty for none.
    pub label: String,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// How the order came in.
    pub channel: String,
    /// How many cups the whole order has, at all stations.
    pub of: u32,
    /// What to make, alike cups in one line.
    pub lines: Vec<TicketLine>,
}

/// A line of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketLine {
    /// How many cups.
    pub count: u32,
    /// How much is in each, as a decimal: `1`, unless it is sold by weight or in very large numbers.
    pub quantity: String,
    /// What it is.
    pub name: String,
    /// The names of what was chosen.
    pub options: Vec<String>,
    /// What the customer asked for besides; empty for nothing.
    pub note: String,
}

/// The labels of cups that were sent, in their order.
pub fn labels(shop: &str, order: &KitchenOrder, cups: &[Cup]) -> Vec<LabelData> {
    let label = |cup: &Cup| LabelData {
        shop: shop.to_owned(),
        pickup_no: order.pickup_no,
        number: cup.number,
        of: cup.of,
        station: cup.station.to_string(),
        name: cup.name.clone(),
        options: cup.options.clone(),
        note: cup.note.clone().unwrap_or_default(),
        quantity: cup.quantity.to_string(),
        label: order.label.clone().unwrap_or_default(),
        takeaway: order.takeaway,
        channel: order.channel.to_string(),
        qr: CupCode::of(cup.id).to_string(),
    };
    cups.iter().map(label).collect()
}

/// The tickets of cups that were sent: one for each station that has to make something of them.
pub fn tickets(shop: &str, order: &KitchenOrder, cups: &[Cup]) -> Vec<TicketData> {
    let mut stations: BTreeMap<&Tag, Vec<TicketLine>> = BTreeMap::new();
    for cup in cups {
        let lines = stations.entry(&cup.station).or_default();
        let line = TicketLine {
            count: 1,
            quantity: cup.quantity.to_string(),
            name: cup.name.clone(),
            options: cup.options.clone(),
            note: cup.note.clone().unwrap_or_default(),
        };
        match lines.iter_mut().find(|known| TicketLine { count: 1, ..(*known).clone() } == line) {
            Some(known) => known.count = known.count.saturating_add(1),
            None => lines.push(line),
        }
    }
    let of = cups.first().map_or(0, |cup| cup.of);
    let ticket = |(station, lines): (&Tag, Vec<TicketLine>)| TicketData {
        shop: shop.to_owned(),
        station: station.to_string(),
        pickup_no: order.pickup_no,
        label: order.label.clone().unwrap_or_default(),
        takeaway: order.takeaway,
        channel: order.channel.to_string(),
        of,
        lines,
    };
    stations.into_iter().map(ticket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::kitchen_order;
    use till::kitchen::{SentBefore, cups};

    #[test]
    fn a_label_for_each_cup_and_a_ticket_for_each_station() {
        let order = kitchen_order(1, 12, &[("Milk tea", 2, "bar"), ("Toast", 1, "kitchen"), ("Lemon tea", 2, "bar")]);
        let cups = cups(&order, &SentBefore::default());
        let labels = labels("Harbour tea", &order, &cups);
        let shown: Vec<String> =
            labels.iter().map(|label| format!("{}/{} {}", label.number, label.of, label.name)).collect();
        assert_eq!(shown, ["1/5 Milk tea", "2/5 Milk tea", "3/5 Toast", "4/5 Lemon tea", "5/5 Lemon tea"]);
        assert!(labels.iter().all(|label| label.pickup_no == 12 && label.shop == "Harbour tea"));
        for (label, cup) in labels.iter().zip(&cups) {
            assert_eq!(label.qr.parse(), Ok(CupCode::of(cup.id)));
        }
        let shown: Vec<(String, Vec<(u32, String)>)> = tickets("Harbour tea", &order, &cups)
            .into_iter()
            .map(|ticket| (ticket.station, ticket.lines.into_iter().map(|line| (line.count, line.name)).collect()))
            .collect();
        let line = |count, name: &str| (count, name.to_owned());
        assert_eq!(
            shown,
            [
                ("bar".to_owned(), vec![line(2, "Milk tea"), line(2, "Lemon tea")]),
                ("kitchen".to_owned(), vec![line(1, "Toast")]),
            ]
        );
    }
}
