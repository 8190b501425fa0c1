//! What is made of an order: one cup for each unit, each at its station.
//!
//! A *cup* is anything that is made and handed over as one piece, a dish as well. What is sent is never dropped: the cups
//! of a line always add up to the quantity that was sent of it, and a line that is sent again makes cups only for what is
//! more than before. Ids follow from the order, so the same order makes the same cups, however often it is sent.

mod code;
mod state;

use std::collections::BTreeMap;

use pos_model::{BusinessDate, CupId, LineId, Quantity, SaleId, Sku, Tag};
use pricing::{PricedLine, UNITS_MAX};
use uuid::Uuid;

pub use code::CupCode;
pub use state::{CupState, NoStep, RECALL_MS_MAX, Step};

use crate::DraftLine;

/// An order on its way to the stations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitchenOrder {
    /// The basket, or the sale that is sent without one.
    pub order_id: Uuid,
    /// The number that is called out.
    pub pickup_no: u32,
    /// The business date of that number.
    pub business_date: BusinessDate,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// Whether it is taken away.
    pub takeaway: bool,
    /// How the order came in.
    pub channel: Tag,
    /// What is sent; lines that are made nowhere make no cup.
    pub lines: Vec<KitchenLine>,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitchenLine {
    /// The line of the basket, or [`line_of_sale`].
    pub line_id: LineId,
    /// What is made.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// The names of what was chosen.
    pub options: Vec<String>,
    /// What the customer asked for besides, in words.
    pub note: Option<String>,
    /// How much of it, all in all.
    pub quantity: Quantity,
    /// Where it is made; none if it is taken from a shelf.
    pub station: Option<Tag>,
}

impl KitchenLine {
    /// A line as the price book has it.
    pub fn new(line_id: LineId, note: Option<String>, priced: &PricedLine) -> Self {
        Self {
            line_id,
            sku: priced.sku.clone(),
            name: priced.name.clone(),
            options: priced.options.iter().map(|option| option.name.clone()).collect(),
            note,
            quantity: priced.quantity,
            station: priced.station.clone(),
        }
    }
}

/// One piece of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cup {
    /// Follows from order, line and unit.
    pub id: CupId,
    /// Its line.
    pub line_id: LineId,
    /// Which one of its line, from one.
    pub unit: u32,
    /// Which one of its order, from one: the n of "n of m".
    pub number: u32,
    /// How many the order had when this one was sent: the m.
    pub of: u32,
    /// Where it is made.
    pub station: Tag,
    /// What is made.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// The names of what was chosen.
    pub options: Vec<String>,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// How much: one, unless it is sold by weight or in very large numbers.
    pub quantity: Quantity,
}

/// What was sent of a line before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// How many cups it has ever had.
    pub units: u32,
    /// What those add up to that were not voided.
    pub quantity: Quantity,
}

/// What was sent of an order before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SentBefore {
    /// How many cups it has ever had.
    pub cups: u32,
    /// By line.
    pub lines: BTreeMap<LineId, Sent>,
}

/// The cups that an order needs beyond those which it has, in the order of its lines.
///
/// A line that is no whole number of units is one cup. If more than [`UNITS_MAX`] would be made at once, each line is one
/// cup with its quantity: nobody labels five hundred cups one by one.
pub fn cups(order: &KitchenOrder, before: &SentBefore) -> Vec<Cup> {
    let made = |line: &KitchenLine| {
        let sent = before.lines.get(&line.line_id).copied().unwrap_or_default();
        let more = line.quantity.micro().saturating_sub(sent.quantity.micro());
        (sent, Quantity::from_micro(more))
    };
    let wanted = || {
        order.lines.iter().filter_map(|line| {
            let station = line.station.as_ref()?;
            let (sent, more) = made(line);
            (more.micro() > 0).then_some((line, station, sent, more))
        })
    };
    let units = |more: Quantity| more.whole_units().and_then(|units| usize::try_from(units).ok()).unwrap_or(1);
    let total = wanted().map(|(.., more)| units(more)).fold(0, usize::saturating_add);
    let one_by_one = total <= UNITS_MAX;
    let mut cups = Vec::new();
    for (line, station, sent, more) in wanted() {
        let (count, each) = match more.whole_units() {
            Some(_) if one_by_one => (units(more), Quantity::ONE),
            _ => (1, more),
        };
        for place in 1..=count {
            let unit = sent.units.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
            let number = u32::try_from(cups.len() + 1).unwrap_or(u32::MAX);
            cups.push(Cup {
                id: cup_id(order.order_id, line.line_id, unit),
                line_id: line.line_id,
                unit,
                number: before.cups.saturating_add(number),
                of: 0,
                station: station.clone(),
                sku: line.sku.clone(),
                name: line.name.clone(),
                options: line.options.clone(),
                note: line.note.clone(),
                quantity: each,
            });
        }
    }
    let of = cups.last().map_or(0, |last| last.number);
    cups.iter_mut().for_each(|cup| cup.of = of);
    cups
}

/// The lines of a sale that is sent without a basket.
pub fn lines_of_sale(sale_id: SaleId, lines: &[DraftLine]) -> Vec<KitchenLine> {
    let line = |(place, DraftLine { line, .. }): (usize, &DraftLine)| KitchenLine {
        line_id: line_of_sale(sale_id, place),
        sku: line.sku.clone(),
        name: line.name.clone(),
        options: line.options.iter().map(|option| option.name.clone()).collect(),
        note: line.note.clone(),
        quantity: line.quantity,
        station: line.station.clone(),
    };
    lines.iter().enumerate().map(line).collect()
}

/// What the ids of cups are derived for. Books hold such ids, so these words stay what they are.
const CUP: &str = "breakwater 2026 cup id";

/// What the ids of lines are derived for.
const LINE_OF_SALE: &str = "breakwater 2026 line of a sale id";

/// Names a line of a sale that was made without a basket, by its place from zero.
pub fn line_of_sale(sale_id: SaleId, place: usize) -> LineId {
    let place = u64::try_from(place).unwrap_or(u64::MAX);
    LineId::new(derived(LINE_OF_SALE, &[sale_id.as_bytes(), &place.to_be_bytes()]))
}

fn cup_id(order_id: Uuid, line_id: LineId, unit: u32) -> CupId {
    CupId::new(derived(CUP, &[order_id.as_bytes(), line_id.as_bytes(), &unit.to_be_bytes()]))
}

/// A UUID of version 8 that follows from what it names. The parts have fixed lengths, so no two lists of them are alike.
fn derived(context: &'static str, parts: &[&[u8]]) -> Uuid {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(number: u128, quantity: &str, station: &str) -> KitchenLine {
        KitchenLine {
            line_id: LineId::new(Uuid::from_u128(number)),
            sku: Sku::new("tea").expect("valid"),
            name: format!("Tea {number}"),
            options: vec!["Less ice".to_owned()],
            note: None,
            quantity: quantity.parse().expect("valid"),
            station: (!station.is_empty()).then(|| station.parse().expect("valid")),
        }
    }

    fn order(lines: Vec<KitchenLine>) -> KitchenOrder {
        KitchenOrder {
            order_id: Uuid::from_u128(7),
            pickup_no: 12,
            business_date: BusinessDate::from_days(20_000),
            label: None,
            takeaway: true,
            channel: Tag::new("counter").expect("valid"),
            lines,
        }
    }

    fn labels(cups: &[Cup]) -> Vec<String> {
        let label = |cup: &Cup| format!("{}/{} {} {} x{}", cup.number, cup.of, cup.station, cup.name, cup.quantity);
        cups.iter().map(label).collect()
    }

    /// What is known of cups when they have been kept.
    fn keep(before: &mut SentBefore, cups: &[Cup]) {
        for cup in cups {
            before.cups = cup.number;
            let sent = before.lines.entry(cup.line_id).or_default();
            sent.units += 1;
            sent.quantity = sent.quantity.checked_add(cup.quantity).expect("small");
        }
    }

    #[test]
    fn each_unit_is_a_cup_at_its_station() {
        #[track_caller]
        fn check(lines: Vec<KitchenLine>, expected: &[&str]) {
            assert_eq!(labels(&cups(&order(lines), &SentBefore::default())), expected);
        }
        check(vec![], &[]);
        check(vec![line(1, "2", "")], &[]);
        check(
            vec![line(1, "2", "bar"), line(2, "1", "kitchen"), line(3, "2", "bar")],
            &["1/5 bar Tea 1 x1", "2/5 bar Tea 1 x1", "3/5 kitchen Tea 2 x1", "4/5 bar Tea 3 x1", "5/5 bar Tea 3 x1"],
        );
        check(vec![line(1, "0.25", "bar"), line(2, "1", "")], &["1/1 bar Tea 1 x0.25"]);
        check(vec![line(1, "499", "bar"), line(2, "2", "kitchen")], &["1/2 bar Tea 1 x499", "2/2 kitchen Tea 2 x2"]);
        check(vec![line(1, "9000000000", "bar")], &["1/1 bar Tea 1 x9000000000"]);
        check(vec![line(1, "0", "bar"), line(2, "-1", "bar")], &[]);
    }

    #[test]
    fn the_same_order_makes_the_same_cups() {
        let of = |order: &KitchenOrder| -> Vec<CupId> {
            cups(order, &SentBefore::default()).into_iter().map(|cup| cup.id).collect()
        };
        let first = order(vec![line(1, "2", "bar"), line(2, "1", "bar")]);
        let ids = of(&first);
        assert_eq!(of(&first), ids);
        // Ids are kept in books that outlive this program.
        assert_eq!(ids[0].to_string(), "3726a6cd-f3b8-8c3e-b0d2-ed24a7c24070");
        let other = KitchenOrder { order_id: Uuid::from_u128(8), ..first };
        assert!(of(&other).iter().all(|id| !ids.contains(id)));
    }

    #[test]
    fn t32_what_is_sent_again_makes_cups_for_what_is_more() {
        let mut before = SentBefore::default();
        let mut send = |lines, expected: &[&str]| {
            let made = cups(&order(lines), &before);
            assert_eq!(labels(&made), expected);
            keep(&mut before, &made);
        };
        send(vec![line(1, "2", "bar")], &["1/2 bar Tea 1 x1", "2/2 bar Tea 1 x1"]);
        send(vec![line(1, "2", "bar")], &[]);
        send(vec![line(1, "3", "bar"), line(2, "1", "bar")], &["3/4 bar Tea 1 x1", "4/4 bar Tea 2 x1"]);
        send(vec![line(1, "1", "bar")], &[]);
        send(vec![line(1, "600", "bar"), line(2, "2", "bar")], &["5/6 bar Tea 1 x597", "6/6 bar Tea 2 x1"]);
        send(vec![line(1, "600.5", "bar"), line(2, "2", "bar")], &["7/7 bar Tea 1 x0.5"]);
    }

    proptest! {
        #[test]
        fn t32_the_cups_of_a_line_add_up_to_what_was_sent(
            sends in prop::collection::vec(prop::collection::vec(0i64..400_000_000, 3), 1..6),
        ) {
            let mut before = SentBefore::default();
            let mut most = [0; 3];
            let mut ids = std::collections::BTreeSet::new();
            for quantities in sends {
                let lines = quantities.iter().enumerate().map(|(place, &micro)| {
                    // Often whole units.
                    let micro = if micro % 3 == 0 { micro } else { micro - micro % 1_000_000 };
                    most[place] = most[place].max(micro);
                    KitchenLine { quantity: Quantity::from_micro(micro), ..line(place as u128, "1", "bar") }
                });
                let made = cups(&order(lines.collect()), &before);
                prop_assert!(made.len() <= UNITS_MAX);
                prop_assert!(made.iter().all(|cup| ids.insert(cup.id)), "an id twice");
                keep(&mut before, &made);
            }
            for (place, &most) in most.iter().enumerate() {
                let sent = before.lines.get(&LineId::new(Uuid::from_u128(place as u128))).copied().unwrap_or_default();
                prop_assert_eq!(sent.quantity.micro(), most);
            }
        }
    }
}
