//! Refunds: what was sold, less what came back before, unit by unit.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::asked::{Asked, AskedRefund, AskedReturn, Units};
use super::expected::{Expected, Objections, date_at_till, unless};
use super::facts::{IdOf, Refunded, RefundedLine, Sold, SoldLine, What};
use super::sums::shared;
use super::{Key, Reference};

const CASH: &str = "cash";

impl Reference {
    pub(super) fn refund(&self, agent: usize, asked: &Asked, refund: &AskedRefund) -> Expected {
        let mut objections = Objections::new();
        let sale_id = refund.sale_id;
        if self.on_disk(agent).any(|what| what.id() == Some((IdOf::Refund, sale_id))) {
            objections.insert("refund.of_refund");
        }
        let shift = match self.shift_to_count_in(agent, &asked.till_id) {
            Ok(shift) => shift,
            Err(closed) => {
                objections.extend(closed);
                None
            }
        };
        let Some((key, sold)) = self.sale_on_disk(agent, sale_id) else {
            objections.insert("refund.sale_unknown");
            return Err(objections);
        };
        if self.is_trimmed(agent, key) {
            objections.insert("refund.sale_trimmed");
        }
        let day = date_at_till(asked.day, shift.as_ref());
        let returned = self.returned(agent, sale_id);
        if refund.void {
            if !returned.is_empty() {
                objections.insert("void.partly_refunded");
            }
            let in_time = match (sold.shift_id, &shift) {
                (Some(sold_in), Some(open)) => sold_in == open.shift_id,
                _ => sold.day == day,
            };
            if !in_time {
                let opened = sold.shift_id.and_then(|shift_id| self.opening(agent, shift_id));
                let elsewhere = opened.and_then(|opened| self.open_shift(agent, &opened.till_id));
                let is_open = elsewhere.is_some_and(|open| Some(open.shift_id) == sold.shift_id);
                objections.insert(if is_open { "void.other_till" } else { "void.too_late" });
            }
        }
        let (mut lines, mut rest_of_nothing) = (Vec::new(), false);
        for back in wanted(refund, sold.lines.len()) {
            // Under a sale's id that a till used twice, another agent may know fewer lines.
            let Some(line) = sold.lines.get(back.line) else {
                objections.insert("refund.not_sold");
                continue;
            };
            match units_back(line, &back, &returned) {
                Ok(units) if units.is_empty() => rest_of_nothing |= matches!(back.units, Units::Rest),
                Ok(units) => lines.push(line_back(line, &back, units)),
                Err(objection) => drop(objections.insert(objection)),
            }
        }
        if lines.is_empty() {
            objections.insert(if rest_of_nothing { "refund.nothing_left" } else { "refund.nothing" });
        }
        unless(objections)?;
        let due = lines.iter().map(|line| line.gross_minor).sum();
        let paid_back = self.way_back(agent, sold, due);
        Ok(Some(What::Refund(Refunded {
            refund_id: asked.id,
            sale_id,
            void: refund.void,
            till_id: asked.till_id.clone(),
            receipt_no: 0,
            day,
            shift_id: shift.map(|shift| shift.shift_id),
            lines,
            paid_back,
        })))
    }

    fn sale_on_disk(&self, agent: usize, sale_id: Uuid) -> Option<(Key, &Sold)> {
        let rows = self.disks.get(&agent).into_iter().flat_map(|disk| &disk.rows);
        rows.filter_map(|row| Some((row.key, self.sold(&row.key)?))).find(|(_, sold)| sold.sale_id == sale_id)
    }

    fn is_trimmed(&self, agent: usize, key: Key) -> bool {
        self.disks.get(&agent).is_some_and(|disk| disk.rows.iter().any(|row| row.key == key && row.trimmed))
    }

    /// The refunds of a sale on an agent's disk.
    fn refunds_of(&self, agent: usize, sale_id: Uuid) -> impl Iterator<Item = &Refunded> {
        self.on_disk(agent).filter_map(move |what| match what {
            What::Refund(refund) if refund.sale_id == sale_id => Some(refund),
            _ => None,
        })
    }

    /// The units that came back, by line.
    fn returned(&self, agent: usize, sale_id: Uuid) -> BTreeSet<(usize, u32)> {
        let lines = self.refunds_of(agent, sale_id).flat_map(|refund| &refund.lines);
        lines.flat_map(|line| line.units.iter().map(|unit| (line.line, *unit))).collect()
    }

    /// By other means as much as was paid with them and has not gone back before; the rest in cash.
    fn way_back(&self, agent: usize, sold: &Sold, due_minor: i64) -> BTreeMap<String, i64> {
        let (mut due, mut ways) = (due_minor, BTreeMap::new());
        for (kind, paid) in sold.paid.iter().filter(|(kind, _)| *kind != CASH) {
            let gone: i64 = self.refunds_of(agent, sold.sale_id).filter_map(|refund| refund.paid_back.get(kind)).sum();
            let part = due.min(paid - gone);
            if part > 0 {
                due -= part;
                ways.insert(kind.clone(), part);
            }
        }
        if due > 0 {
            ways.insert(CASH.to_owned(), due);
        }
        ways
    }

    /// More came back of a sale than was sold, of all or of one line: which sales of a store, by what is applied.
    pub fn over_refunded(&self, store: usize, applied: &BTreeSet<Key>) -> BTreeMap<Uuid, (i64, i64, u64)> {
        let facts: Vec<&What> = applied
            .iter()
            .filter_map(|key| self.facts.get(key))
            .filter(|fact| fact.store == store)
            .map(|fact| &fact.what)
            .collect();
        let mut over = BTreeMap::new();
        for sold in facts.iter().filter_map(|what| if let What::Sale(sold) = what { Some(sold) } else { None }) {
            let refunds: Vec<&Refunded> = facts
                .iter()
                .filter_map(|what| match what {
                    What::Refund(refund) if refund.sale_id == sold.sale_id => Some(refund),
                    _ => None,
                })
                .collect();
            let back_minor: i64 = refunds.iter().map(|refund| refund.gross_minor()).sum();
            let line_over = (0..sold.lines.len()).any(|line| {
                let back = || refunds.iter().flat_map(|refund| &refund.lines).filter(move |back| back.line == line);
                back().map(|back| back.quantity_micro).sum::<i64>() > sold.lines[line].quantity_micro
                    || back().map(|back| back.gross_minor).sum::<i64>() > sold.lines[line].gross_minor
            });
            let sold_minor = sold.sums().gross_minor;
            if back_minor > sold_minor || line_over {
                over.insert(sold.sale_id, (sold_minor, back_minor, refunds.len() as u64));
            }
        }
        over
    }
}

fn wanted(refund: &AskedRefund, lines: usize) -> Vec<AskedReturn> {
    if !refund.void {
        return refund.lines.clone();
    }
    let is_restocked = refund.is_restocked;
    (0..lines).map(|line| AskedReturn { line, units: Units::Rest, is_restocked }).collect()
}

/// What each unit of a line came to, and the tax in it. A line that is no whole number of units is one.
fn units_of(line: &SoldLine) -> Vec<(i64, i64)> {
    let whole = line.quantity_micro / 1_000_000;
    let count = if line.quantity_micro % 1_000_000 == 0 { usize::try_from(whole).expect("a few") } else { 1 };
    let gross = shared(line.gross_minor, &vec![1; count]);
    let tax = shared(line.tax_minor, &gross);
    gross.into_iter().zip(tax).collect()
}

fn units_back(
    line: &SoldLine,
    back: &AskedReturn,
    returned: &BTreeSet<(usize, u32)>,
) -> Result<BTreeSet<u32>, &'static str> {
    let units = units_of(line);
    let count = u32::try_from(units.len()).expect("a few");
    let mut left: Vec<u32> = (0..count).filter(|unit| !returned.contains(&(back.line, *unit))).collect();
    match &back.units {
        Units::Rest => Ok(left.into_iter().collect()),
        Units::Count(wanted) => {
            let wanted = usize::try_from(*wanted).expect("a few");
            left.sort_by_key(|unit| (units[usize::try_from(*unit).expect("a few")].0, *unit));
            if wanted > left.len() { Err("refund.too_many") } else { Ok(left.into_iter().take(wanted).collect()) }
        }
        Units::These(these) if these.iter().any(|unit| *unit >= count) => Err("refund.not_sold"),
        Units::These(these) if these.iter().any(|unit| !left.contains(unit)) => Err("refund.returned_before"),
        Units::These(these) => Ok(these.clone()),
    }
}

fn line_back(sold: &SoldLine, back: &AskedReturn, units: BTreeSet<u32>) -> RefundedLine {
    let all = units_of(sold);
    let chosen = || units.iter().map(|unit| all[usize::try_from(*unit).expect("a few")]);
    let quantity_micro =
        if all.len() == 1 { sold.quantity_micro } else { i64::try_from(units.len()).expect("a few") * 1_000_000 };
    let share = |micro: i64| {
        let exact = i128::from(micro) * i128::from(quantity_micro) / i128::from(sold.quantity_micro);
        i64::try_from(exact).expect("a share is not more than the whole")
    };
    let restocked = sold.used.iter().map(|(item, micro)| (item.clone(), share(*micro))).filter(|(_, micro)| *micro > 0);
    RefundedLine {
        line: back.line,
        quantity_micro,
        gross_minor: chosen().map(|unit| unit.0).sum(),
        tax_minor: chosen().map(|unit| unit.1).sum(),
        tax_group: sold.tax_group.clone(),
        tax_ppm: sold.tax_ppm,
        is_restocked: back.is_restocked,
        restocked: if back.is_restocked { restocked.collect() } else { BTreeMap::new() },
        units,
    }
}
