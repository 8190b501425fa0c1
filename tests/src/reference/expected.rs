//! What must come of what a till asks for, worked out from the events on the agent's disk and nothing else.

use std::collections::BTreeSet;

use pos_model::TillId;
use uuid::Uuid;

use super::Reference;
use super::asked::{Asked, Wanted};
use super::facts::{CashKind, CashMoved, Marked, ShiftOpened, Sold, StockMoved, What};
use super::sums::lines_of;

/// The rules that a command breaks, by the keys of their messages. Which of several is told is the agent's choice.
pub type Objections = BTreeSet<&'static str>;

/// What must come of a command: an event, or none where only the agent takes note; or a refusal for one of these reasons.
pub type Expected = Result<Option<What>, Objections>;

impl Reference {
    /// What must come of a new command. Numbers on receipts are the agent's to give, and are zero here.
    pub fn expected(&self, agent: usize, asked: &Asked) -> Expected {
        let Asked { id, till_id, day, what } = asked;
        match what {
            Wanted::Sale { lines, paid } => {
                let shift = self.shift_to_count_in(agent, till_id)?;
                let sold = Sold {
                    sale_id: *id,
                    till_id: till_id.clone(),
                    receipt_no: 0,
                    pickup_no: 0,
                    day: date_at_till(*day, shift.as_ref()),
                    shift_id: shift.map(|shift| shift.shift_id),
                    lines: lines_of(lines),
                    paid: paid.clone(),
                };
                Ok(Some(What::Sale(sold)))
            }
            Wanted::Refund(refund) => self.refund(agent, asked, refund),
            Wanted::OpenShift { shift_id, float_minor } => {
                let mut objections = Objections::new();
                if self.open_shift(agent, till_id).is_some() {
                    objections.insert("shift.already_open");
                }
                if self.opening(agent, *shift_id).is_some() {
                    objections.insert("shift.id_known");
                }
                unless(objections)?;
                let (shift_id, till_id) = (*shift_id, till_id.clone());
                Ok(Some(What::ShiftOpened(ShiftOpened { shift_id, till_id, day: *day, float_minor: *float_minor })))
            }
            Wanted::MoveCash { shift_id, kind, amount_minor } => {
                let shift = self.still_open(agent, *shift_id)?;
                let leaves = matches!(kind, CashKind::PaidOut | CashKind::Drop);
                let too_much = leaves && *amount_minor > self.report(agent, shift, 0).drawer.expected;
                unless(too_much.then_some("shift.more_than_drawer").into_iter().collect())?;
                Ok(Some(moved_cash(*id, till_id, shift, (*kind, *amount_minor))))
            }
            Wanted::CloseShift { shift_id, counted_minor } => {
                let shift = self.still_open(agent, *shift_id)?;
                Ok(Some(What::ShiftClosed(self.report(agent, shift, *counted_minor))))
            }
            Wanted::AmendShift { shift_id, counted_minor } => {
                self.amended(agent, *id, *shift_id, *counted_minor).map(|amended| Some(What::Amended(amended)))
            }
            Wanted::CloseDay { day: closes } => {
                self.day_closed(agent, *closes, *day).map(|closed| Some(What::DayClosed(closed)))
            }
            Wanted::MoveStock { kind, items } => {
                let known =
                    self.on_disk(agent).any(|what| matches!(what, What::Stock(moved) if moved.movement_id == *id));
                unless(known.then_some("stock.movement_exists").into_iter().collect())?;
                let (till_id, items) = (till_id.clone(), items.clone());
                Ok(Some(What::Stock(StockMoved { movement_id: *id, till_id, kind: *kind, day: *day, items })))
            }
            Wanted::BeginCount { .. } => unless(self.against_beginning(agent, *id)).map(|()| None),
            Wanted::FinishCount { count_id, items } => self.finished(agent, asked, *count_id, items).map(Some),
        }
    }

    /// The events on an agent's disk, the oldest first, whether they are held or let go.
    pub(super) fn on_disk(&self, agent: usize) -> impl Iterator<Item = &What> {
        let rows = self.disks.get(&agent).into_iter().flat_map(|disk| &disk.rows);
        rows.filter_map(|row| self.facts.get(&row.key)).map(|fact| &fact.what)
    }
}

/// Holds if there are none.
pub(super) fn unless(objections: Objections) -> Result<(), Objections> {
    if objections.is_empty() { Ok(()) } else { Err(objections) }
}

/// A clock that was set back by less than a day or so moves nothing into a date that may be closed.
pub(super) fn date_at_till(day: i32, shift: Option<&ShiftOpened>) -> i32 {
    match shift {
        Some(shift) if shift.day == day + 1 => shift.day,
        _ => day,
    }
}

fn moved_cash(movement_id: Uuid, till_id: &TillId, shift: &ShiftOpened, (kind, amount_minor): (CashKind, i64)) -> What {
    let shift_id = shift.shift_id;
    if kind == CashKind::NoSale {
        return What::Mark(Marked { action: "drawer_opened".to_owned(), subject: shift_id.to_string() });
    }
    What::Cash(CashMoved { movement_id, shift_id, till_id: till_id.clone(), kind, amount_minor, day: shift.day })
}
