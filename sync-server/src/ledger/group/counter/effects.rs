//! What the events of a group move beside sales, gathered in memory and written once.

use std::collections::{BTreeMap, HashSet};

use pos_model::{SaleId, TillId};
use protocol::latest::RefundCompleted;

use super::super::effects::{Table, add, sorted};
use super::super::numbers;
use super::super::record::Place;
use super::super::tables::{DayKey, Direction, NumberKind, RefundTotals, Refunded, Sold, Tables};
use crate::ledger::fault::Fault;

#[derive(Debug, Default)]
pub(in super::super) struct CounterEffects<'g> {
    /// By store, business date and currency.
    totals: Table<DayKey, RefundTotals>,
    /// By stream, business date and item.
    added: Table<(i64, i32, &'g str), i64>,
    /// Number and event of each Z report, by store and till.
    z: Table<(i64, &'g str), Vec<(i64, i64)>>,
    /// What came back, by store and sale; nothing for a sale that has arrived and of which something came back before.
    refunded: BTreeMap<(i64, SaleId), CameBack>,
}

#[derive(Debug, Default)]
struct CameBack {
    refunds: i64,
    gross_minor: i64,
    tax_minor: i64,
    /// Quantity and gross, by line of the sale.
    lines: BTreeMap<u32, (i64, i64)>,
}

impl<'g> CounterEffects<'g> {
    /// Adds a refund. A sum that leaves 64 bits is the refund's fault.
    pub(super) fn refund(&mut self, place: Place, refund: &'g RefundCompleted) -> Result<(), Fault> {
        let (gross, tax) = (refund.totals.gross_minor.minor(), refund.totals.tax_minor.minor());
        let date = refund.business_date.days();
        let totals = self.totals.entry((place.store_no, date, refund.currency)).or_default();
        totals.refunds += 1;
        add(&mut totals.gross_minor, gross)?;
        add(&mut totals.tax_minor, tax)?;
        let refunded = self.refunded.entry((place.store_no, refund.sale_id)).or_default();
        refunded.refunds += 1;
        add(&mut refunded.gross_minor, gross)?;
        add(&mut refunded.tax_minor, tax)?;
        for line in &refund.lines {
            let (quantity, gross) = refunded.lines.entry(line.line).or_default();
            add(quantity, line.quantity.micro())?;
            add(gross, line.gross_minor.minor())?;
        }
        for consumption in refund.lines.iter().flat_map(|line| &line.restocked) {
            let key = (place.stream_no, date, consumption.item_id.as_str());
            self.added(key, consumption.quantity.micro())?;
        }
        Ok(())
    }

    /// Counts stock as added: of a stream, business date and item.
    pub(super) fn added(&mut self, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault> {
        add(self.added.entry(key).or_default(), micro)
    }

    /// Counts the number of a Z report.
    pub(super) fn z_report(&mut self, store_no: i64, till_id: &'g TillId, z_no: i64, event_no: i64) {
        self.z.entry((store_no, till_id.as_str())).or_default().push((z_no, event_no));
    }

    /// A sale is applied of which something may have come back before.
    pub(in super::super) fn awaited(&mut self, store_no: i64, sale_id: SaleId) {
        self.refunded.entry((store_no, sale_id)).or_default();
    }

    /// Writes what was gathered; stores of which a refund waits for its sale are added to `stores_waiting`.
    pub(in super::super) fn write<T: Tables<'g>>(
        &mut self,
        tables: &mut T,
        stores_waiting: &mut HashSet<i64>,
    ) -> Result<(), Fault> {
        for (key, totals) in sorted(&mut self.totals) {
            tables.add_refund_totals(key, &totals)?;
        }
        for (key, micro) in sorted(&mut self.added) {
            tables.add_stock(Direction::Added, key, micro)?;
        }
        numbers::note_all(tables, NumberKind::Z, sorted(&mut self.z))?;
        let refunded = std::mem::take(&mut self.refunded);
        if !refunded.is_empty() {
            let sales: Vec<_> = refunded.keys().copied().collect();
            tables.expect_refunds(&sales)?;
        }
        for ((store_no, sale_id), back) in refunded {
            if settle(tables, store_no, sale_id, &back)? == Settled::Waits {
                stores_waiting.insert(store_no);
            }
        }
        Ok(())
    }
}

/// Whether the refunds of a sale could be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// They were, or there are none.
    Done,
    /// Its sale is not applied.
    Waits,
}

/// Adds what came back of a sale, and compares the sum with what was sold. Refunds may come before their sale, and in any
/// order: the outcome is the same.
fn settle<'g, T: Tables<'g>>(
    tables: &mut T,
    store_no: i64,
    sale_id: SaleId,
    back: &CameBack,
) -> Result<Settled, Fault> {
    let before = tables.refunded(store_no, sale_id)?;
    if back.refunds == 0 && before.is_none() {
        return Ok(Settled::Done);
    }
    let waited = before.as_ref().is_some_and(|before| before.sale_event_no.is_none());
    let mut sum = before.unwrap_or_default();
    add(&mut sum.refunds, back.refunds)?;
    add(&mut sum.gross_minor, back.gross_minor)?;
    add(&mut sum.tax_minor, back.tax_minor)?;
    for (line, (more_quantity, more_gross)) in &back.lines {
        let (quantity, gross) = sum.lines.entry(*line).or_default();
        add(quantity, *more_quantity)?;
        add(gross, *more_gross)?;
    }
    if sum.sale_event_no.is_none() {
        sum.sale_event_no = tables.sale_event(store_no, sale_id)?;
    }
    let moved = i64::from(sum.sale_event_no.is_none()) - i64::from(waited);
    if moved != 0 {
        tables.count_waiting(store_no, moved)?;
    }
    // What retention has taken cannot be compared any more.
    let sold = sum.sale_event_no.map(|event_no| tables.sold(event_no)).transpose()?.flatten();
    if let Some(sold) = sold {
        sum.is_over = is_over(&sum, &sold);
    }
    let changed: Vec<u32> = back.lines.keys().copied().collect();
    tables.put_refunded(store_no, sale_id, &sum, &changed)?;
    Ok(if sum.sale_event_no.is_some() { Settled::Done } else { Settled::Waits })
}

/// Whether more came back than was sold: of the whole sale, or of one of its lines.
fn is_over(back: &Refunded, sold: &Sold) -> bool {
    let within = |(line, (quantity, gross)): (&u32, &(i64, i64))| {
        let of_line = usize::try_from(*line).ok().and_then(|line| sold.lines.get(line));
        of_line.is_some_and(|(sold_quantity, sold_gross)| quantity <= sold_quantity && gross <= sold_gross)
    };
    back.gross_minor > sold.gross_minor || !back.lines.iter().all(within)
}
