//! What a till asks for next: mostly to sell, and for the rest what its agent's state suggests.

use std::collections::BTreeMap;

use protocol::latest::stock_api::{CountState, CountView};
use uuid::Uuid;

use super::World;
use super::counter::Command;
use super::machine::CUT_OFF_MIN;
use super::plan::{below_usize, chance, pick};
use crate::reference::asked::{AskedRefund, AskedReturn, Units, Wanted};
use crate::reference::day_of;
use crate::reference::facts::{CashKind, StockKind};

/// The items of stock that the stores know, beside one that nobody sells.
const ITEMS: [&str; 5] = ["item-0", "item-1", "item-2", "item-3", "straws"];

impl World {
    /// A till makes up its mind.
    pub(super) fn new_command(&mut self, till: usize) {
        let errand = self.errand(till);
        self.ask(till, errand);
    }

    /// A till asks for this; for a sale if it is nothing else.
    pub(super) fn ask(&mut self, till: usize, errand: Option<Wanted>) {
        let (id, body) = (self.uuid(), self.random.next_u64());
        let till_id = self.tills[till].id.clone();
        self.tills[till].pending = Some(Command { id, till_id, body, errand });
    }

    fn errand(&mut self, till: usize) -> Option<Wanted> {
        let shift = self.shift_open_at(till);
        if self.plan.shifts && shift.is_none() && chance(&mut self.random, 800) {
            return Some(self.opening());
        }
        if !chance(&mut self.random, self.plan.errands) {
            return None;
        }
        match (self.random.below(100), shift) {
            (0..42, _) => self.refund_of_something(till),
            (42..54, Some(shift_id)) => Some(self.cash_to_move(shift_id)),
            (54..67, Some(shift_id)) => Some(self.closing(shift_id)),
            (67..78, _) => Some(self.stock_to_move()),
            (78..92, _) => Some(self.count(till)),
            (92..96, _) => self.amendment(till, shift),
            (96..100, _) => {
                Some(Wanted::CloseDay { day: self.day_at(till) - i32::from(chance(&mut self.random, 200)) })
            }
            _ => None,
        }
    }

    /// The open shift of a till, as its agent tells it.
    pub(super) fn shift_open_at(&self, till: usize) -> Option<Uuid> {
        let till = &self.tills[till];
        let running = self.machines[till.agent].running.as_ref()?;
        let shifts = running.books.view().shifts(None).ok()?;
        shifts.into_iter().find(|shift| shift.till_id == till.id).map(|shift| shift.shift_id.uuid())
    }

    pub(super) fn opening(&mut self) -> Wanted {
        Wanted::OpenShift { shift_id: self.uuid(), float_minor: self.minor(50_000) }
    }

    pub(super) fn closing(&mut self, shift_id: Uuid) -> Wanted {
        Wanted::CloseShift { shift_id, counted_minor: self.minor(200_000) }
    }

    /// Something is found out about a shift that this till has closed, or thinks that it has.
    fn amendment(&mut self, till: usize, open: Option<Uuid>) -> Option<Wanted> {
        let closed = self.tills[till].history.iter().rev().find_map(|command| match command.errand {
            Some(Wanted::CloseShift { shift_id, .. }) => Some(shift_id),
            _ => None,
        });
        let shift_id = closed.or(open)?;
        Some(Wanted::AmendShift { shift_id, counted_minor: self.minor(200_000) })
    }

    /// The business date by the clock of a till's agent.
    fn day_at(&self, till: usize) -> i32 {
        let at = self.stamp(self.tills[till].agent);
        day_of(at.utc_ms, at.offset_s, i64::from(CUT_OFF_MIN))
    }

    fn cash_to_move(&mut self, shift_id: Uuid) -> Wanted {
        let kind = pick(&mut self.random, &[CashKind::PaidIn, CashKind::PaidOut, CashKind::Drop, CashKind::NoSale]);
        let amount_minor = if kind == CashKind::NoSale { 0 } else { 1 + self.minor(20_000) };
        Wanted::MoveCash { shift_id, kind, amount_minor }
    }

    fn stock_to_move(&mut self) -> Wanted {
        let kinds = [StockKind::Received, StockKind::TransferredIn, StockKind::Wasted, StockKind::TransferredOut];
        Wanted::MoveStock { kind: pick(&mut self.random, &kinds), items: self.some_items() }
    }

    /// A count begins, or one that began ends.
    fn count(&mut self, till: usize) -> Wanted {
        let counts = self.open_counts(till);
        if counts.is_empty() || chance(&mut self.random, 300) {
            let partial = chance(&mut self.random, 300);
            let items = if partial { self.some_items().into_keys().collect() } else { Default::default() };
            return Wanted::BeginCount { items };
        }
        let count = &counts[below_usize(&mut self.random, counts.len())];
        let mut items = self.some_items();
        // Now and then somebody counts what was not asked for.
        if count.is_partial && !chance(&mut self.random, 100) {
            let named: Vec<String> = count.items.iter().map(|item| item.item_id.to_string()).collect();
            items = named.into_iter().map(|item| (item, self.minor(9_000_000))).collect();
        }
        Wanted::FinishCount { count_id: count.count_id.uuid(), items }
    }

    fn open_counts(&self, till: usize) -> Vec<CountView> {
        let running = self.machines[self.tills[till].agent].running.as_ref();
        let mut counts = running.and_then(|running| running.books.view().stock_counts().ok()).unwrap_or_default();
        counts.retain(|count| count.state == CountState::Open);
        counts
    }

    fn some_items(&mut self) -> BTreeMap<String, i64> {
        let items = 1 + below_usize(&mut self.random, 3);
        (0..items).map(|_| (pick(&mut self.random, &ITEMS).to_owned(), 1 + self.minor(9_000_000))).collect()
    }

    /// Something that some till of the store has sold, comes back to this one.
    fn refund_of_something(&mut self, till: usize) -> Option<Wanted> {
        let store = self.tills[till].store;
        let sold: Vec<&Command> = self
            .tills
            .iter()
            .filter(|other| other.store == store)
            .flat_map(|other| other.history.iter().rev().take(20))
            .filter(|command| matches!(command.errand, None | Some(Wanted::Refund(_))))
            .collect();
        if sold.is_empty() {
            return None;
        }
        let command = sold[below_usize(&mut self.random, sold.len())].clone();
        // Somebody wants a refund of a refund, or of a sale of another chain.
        let Command { id, errand: None, .. } = command else {
            return Some(Wanted::Refund(AskedRefund {
                sale_id: command.id,
                void: true,
                is_restocked: false,
                lines: vec![],
            }));
        };
        let sale_id = if chance(&mut self.random, 20) { self.uuid() } else { id };
        let (void, is_restocked) = (chance(&mut self.random, 250), chance(&mut self.random, 500));
        let lines = if void { Vec::new() } else { self.some_lines(&command) };
        Some(Wanted::Refund(AskedRefund { sale_id, void, is_restocked, lines }))
    }

    fn some_lines(&mut self, command: &Command) -> Vec<AskedReturn> {
        let mut lines = Vec::new();
        for (line, sold) in command.sold_lines().iter().enumerate() {
            if line > 0 && chance(&mut self.random, 400) {
                continue;
            }
            let units = u64::try_from(sold.quantity_micro / 1_000_000).expect("a few").max(1);
            let unit = u32::try_from(self.random.below(units)).expect("a few");
            let units = match self.random.below(3) {
                0 => Units::Rest,
                1 => Units::Count(unit + 1),
                _ => Units::These([unit].into()),
            };
            lines.push(AskedReturn { line, units, is_restocked: chance(&mut self.random, 500) });
        }
        lines
    }

    fn minor(&mut self, below: u64) -> i64 {
        i64::try_from(self.random.below(below)).expect("small")
    }
}
