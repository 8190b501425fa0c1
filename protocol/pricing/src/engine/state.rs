//! The units of a basket, and what is left of their prices.

use super::rules::Chosen;
use super::share::share_capped;

/// A unit of a line.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Its line.
    pub(super) line: usize,
    /// Its price on the menu, with options.
    pub(super) list: i64,
    /// What the options are of that.
    pub(super) options: i64,
    /// What is left.
    pub(super) now: i64,
    /// Whether a promotion of this stage has used it.
    pub(super) used: bool,
    /// Places of applied promotions, and what each took off.
    pub(super) taken: Vec<(usize, i64)>,
}

/// What promotions need to know of a line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineFacts {
    pub(super) article: usize,
    pub(super) options: Vec<usize>,
}

/// The basket while it is priced. Units stand in the order of their lines.
#[derive(Debug)]
pub(super) struct State {
    pub(super) units: Vec<Unit>,
    /// By line; none for a line that cannot be priced.
    pub(super) lines: Vec<Option<LineFacts>>,
}

impl State {
    /// Whether a unit is meant.
    pub(super) fn fits(&self, unit: &Unit, chosen: &Chosen) -> bool {
        self.lines[unit.line].as_ref().is_some_and(|line| chosen.fits(line.article, &line.options))
    }

    /// The units that are meant and that no promotion of this stage has used.
    pub(super) fn free(&self, chosen: &Chosen) -> Vec<usize> {
        // Most lines have several units and fit as a whole.
        let mut free = Vec::with_capacity(self.units.len());
        let mut known: Option<(usize, bool)> = None;
        for (place, unit) in self.units.iter().enumerate() {
            let fits = match known {
                Some((line, fits)) if line == unit.line => fits,
                _ => self.fits(unit, chosen),
            };
            known = Some((unit.line, fits));
            if fits && !unit.used {
                free.push(place);
            }
        }
        free
    }

    /// What is left of some units together.
    pub(super) fn sum(&self, units: &[usize]) -> i64 {
        units.iter().map(|&unit| self.units[unit].now).sum()
    }

    /// Shares an amount over units: over their lines in proportion to what is left of them, then within each line in the
    /// same way. No unit falls below `floor`. Both times ties go to the earlier one. `units` are in their order.
    pub(super) fn share(&self, total: i64, units: &[usize], floor: i64) -> Vec<(usize, i64)> {
        let room = |&unit: &usize| (self.units[unit].now - floor).max(0);
        let weights: Vec<i64> = self.by_line(units).map(|units| self.sum(units)).collect();
        let caps: Vec<i64> = self.by_line(units).map(|units| units.iter().map(room).sum()).collect();
        let of_lines = share_capped(total, &weights, &caps);
        let mut shares = Vec::with_capacity(units.len());
        for (units, of_line) in self.by_line(units).zip(of_lines) {
            self.share_in_line(of_line, units, floor, &mut shares);
        }
        shares
    }

    /// Shares an amount over units of one line.
    pub(super) fn share_in_line(&self, total: i64, units: &[usize], floor: i64, shares: &mut Vec<(usize, i64)>) {
        if let [unit] = *units {
            let share = total.min(self.units[unit].now - floor);
            shares.extend((share > 0).then_some((unit, share)));
            return;
        }
        let weights: Vec<i64> = units.iter().map(|&unit| self.units[unit].now).collect();
        let caps: Vec<i64> = weights.iter().map(|now| (now - floor).max(0)).collect();
        let of_units = share_capped(total, &weights, &caps);
        shares.extend(units.iter().copied().zip(of_units).filter(|(_, share)| *share > 0));
    }

    /// Units in groups of their lines. `units` are in their order.
    pub(super) fn by_line<'u>(&'u self, units: &'u [usize]) -> impl Iterator<Item = &'u [usize]> {
        units.chunk_by(|a, b| self.units[*a].line == self.units[*b].line)
    }
}
