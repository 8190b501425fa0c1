//! Shifts: opening a till, moving its cash, closing it with a Z report. `shift_view` reads them and adds them up,
//! `shift_report` makes the report.
//!
//! A report adds up the events themselves. Most of them are added up beside the writer, on a read-only connection; the
//! writer adds what came since, within the database transaction that closes the shift. So each sale of a shift is in its
//! one report, and nobody waits for a long sum.

use pos_model::{BusinessDate, Money, MovementId, OperatorId, ShiftId, TillId};
use protocol::latest::local_api::Change;
use protocol::latest::shift_api::{
    AmendShift, CashKind, CloseShift, MoveCash, OpenShift as OpenShiftCommand, ShiftView,
};
use protocol::latest::{CashMoved, CashMovement, ShiftAmended, ShiftClosed, ShiftOpened};
use rusqlite::{OptionalExtension, params};
use till::ShiftSums;
use till::people::Action;

use super::audit::{Noteworthy, word};
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::notice::Notice;
use super::permit::Permit;
use super::shift_report::{Close, report};
use super::shift_view::{PartOfShift, ShiftRow};
use super::store::Store;

/// Cash in a drawer, in minor units: far more than any drawer holds.
pub const CASH_MINOR_MAX: i64 = 1_000_000_000_000;

/// The notices of shifts that were forgotten have keys below this.
const FORGOTTEN: &str = "shift_open";

/// After how long an open shift counts as forgotten, in milliseconds: a day. No drawer goes uncounted for longer.
const FORGOTTEN_MS: i64 = 24 * 60 * 60 * 1000;

/// Shifts that are named at once. Each till has at most one, so more of them say nothing new.
const FORGOTTEN_MAX: u32 = 100;

/// A shift that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenShift {
    pub(super) shift_id: ShiftId,
    pub(super) business_date: BusinessDate,
}

impl Store {
    /// Opens a till. Within a command.
    pub fn open_shift(&mut self, moment: &mut Moment, command: OpenShiftCommand) -> Result<ShiftView, Error> {
        let OpenShiftCommand { till_id, operator_id, shift_id, float_minor: float, .. } = command;
        let subject = shift_id.to_string();
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), None, Action::OpenShift, &subject)?;
        let operator_id = permit.operator;
        check_cash(float, "shift.float")?;
        if let Some(open) = self.shift_of(&till_id)?.flatten() {
            let text = format!("till {till_id} has shift {} open; close it first", open.shift_id);
            return Err(Refused::overtaken("shift.already_open", text).into());
        }
        if self.view().shift_row(shift_id)?.is_some() {
            let text = format!("shift {shift_id} is known already; a new shift needs a new id");
            return Err(Refused::overtaken("shift.id_known", text).into());
        }
        self.make_room_for_till(&till_id)?;
        let at = moment.at();
        let business_date = BusinessDate::of(at, self.rules.cut_off);
        let opened = ShiftOpened {
            shift_id,
            till_id: till_id.clone(),
            operator_id: operator_id.clone(),
            opened_at: at,
            business_date,
            currency: self.currency,
            float_minor: float,
        };
        self.record(moment, opened)?;
        self.connection
            .prepare_cached(
                "INSERT INTO shift (shift_id, till_id, operator_id, opened_position, opened_at, opened_offset_s,
                    business_date, float_minor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    shift_id.as_bytes(),
                    till_id.as_str(),
                    operator_id.as_ref().map(OperatorId::as_str),
                    self.tail.position,
                    at.utc_ms,
                    at.offset_s,
                    business_date.days(),
                    float.minor(),
                ])
            })
            .doing("open the shift")?;
        self.connection
            .execute(
                "INSERT INTO till_book (till_id, z_no, grand_total_minor) VALUES (?1, 0, 0) ON CONFLICT DO NOTHING",
                [till_id.as_str()],
            )
            .doing("open the till's book")?;
        self.tell_of_shift(shift_id)
    }

    /// Notes cash that comes into the drawer of an open shift or leaves it, or that the drawer is opened for nothing; and opens
    /// the till's drawer. No more leaves it than the books have in it: a slip of the finger, or a surplus that somebody has
    /// to book first. `part` is what has been added up of the shift before, if anything was.
    pub fn move_cash(
        &mut self,
        moment: &mut Moment,
        shift_id: ShiftId,
        command: MoveCash,
        part: Option<PartOfShift>,
    ) -> Result<ShiftView, Error> {
        let row = self.open_shift_row(shift_id)?;
        if row.till_id != command.till_id {
            return Err(other_till(&row).into());
        }
        let (till_id, reason) = (command.till_id.clone(), command.reason.clone());
        let action = match command.kind {
            CashKind::PaidIn => Action::PaidIn,
            CashKind::PaidOut => Action::PaidOut,
            CashKind::Drop => Action::Drop,
            CashKind::NoSale => Action::NoSale,
        };
        let operator = command.operator_id.as_ref();
        let subject = format!("{shift_id}/{}", command.amount_minor.minor());
        let permit = self.permit(moment, &till_id, operator, command.approval_id, action, &subject)?;
        if matches!(command.kind, CashKind::PaidOut | CashKind::Drop) {
            let expected = self.sums_of(&row, part)?.expected(row.float);
            // How much there should be is not said: who counts a drawer does not know it.
            if command.amount_minor > expected {
                let text = "there is not so much cash in the drawer by the books; cash that came in besides is booked as \
                            paid in first";
                return Err(Refused::rule("shift.more_than_drawer", text).into());
            }
        }
        let shift = OpenShift { shift_id, business_date: row.business_date };
        self.note_cash(moment, &shift, &permit, command)?;
        self.ask_for_drawer(moment, &till_id, permit.operator.as_ref(), &reason)?;
        self.tell_of_shift(shift_id)
    }

    /// The event and the row of cash that moves, or of a drawer that is opened for nothing.
    pub(super) fn note_cash(
        &mut self,
        moment: &mut Moment,
        shift: &OpenShift,
        permit: &Permit,
        command: MoveCash,
    ) -> Result<(), Error> {
        let MoveCash { command_id, till_id, kind, amount_minor: amount, reason, note, .. } = command;
        let shift_id = shift.shift_id;
        check_cash(amount, "shift.amount")?;
        if (amount == Money::ZERO) != (kind == CashKind::NoSale) {
            let text = "an amount above zero moves; none does if the drawer is only opened";
            return Err(Refused::rule("shift.amount", text).into());
        }
        check_note(&note)?;
        let at = moment.at();
        let moved = |kind| CashMoved {
            movement_id: MovementId::new(command_id.uuid()),
            shift_id,
            till_id: till_id.clone(),
            operator_id: permit.operator.clone(),
            approver_id: permit.approver.clone(),
            kind,
            amount_minor: amount,
            reason: reason.clone(),
            note: note.clone(),
            moved_at: at,
            business_date: shift.business_date,
        };
        let (name, movement) = match kind {
            CashKind::PaidIn => ("paid_in", Some(CashMovement::PaidIn)),
            CashKind::PaidOut => ("paid_out", Some(CashMovement::PaidOut)),
            CashKind::Drop => ("drop", Some(CashMovement::Drop)),
            CashKind::NoSale => ("no_sale", None),
        };
        match movement {
            Some(movement) => self.record(moment, moved(movement))?,
            None => {
                let mark = Noteworthy::new(word::DRAWER_OPENED).at(&till_id).permitted(permit).about(shift_id);
                self.mark(moment, mark.because(Some(reason)).saying(note))?
            }
        };
        self.connection
            .prepare_cached(
                "INSERT INTO cash_movement (position, shift_id, kind, amount_minor) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut insert| {
                insert.execute(params![self.tail.position, shift_id.as_bytes(), name, amount.minor()])
            })
            .doing("note the movement of cash")
            .map(drop)
    }

    /// The sums of an open shift up to this moment.
    fn sums_of(&self, row: &ShiftRow, part: Option<PartOfShift>) -> Result<ShiftSums, Error> {
        let part = part.filter(|part| part.shift_id == row.shift_id && part.through <= self.tail.position);
        let (from, mut sums) = match part {
            Some(part) => (part.through, part.sums),
            None => (row.opened_position, ShiftSums::default()),
        };
        sums.join(self.view().fold(row.shift_id, from, self.tail.position)?);
        Ok(sums)
    }

    /// Closes a till: its Z report. `part` is what has been added up before, if anything was.
    ///
    /// The shift of another till, such as one that has broken, is closed by somebody who may close the shifts of others; in
    /// a store that knows nobody, by its own till or by the owner of the folder, who speaks for it.
    pub fn close_shift(
        &mut self,
        moment: &mut Moment,
        shift_id: ShiftId,
        command: CloseShift,
        part: Option<PartOfShift>,
    ) -> Result<ShiftView, Error> {
        let CloseShift { till_id, operator_id, approval_id, counted_minor: counted, .. } = command;
        let row = self.open_shift_row(shift_id)?;
        let is_elsewhere = row.till_id != till_id;
        if is_elsewhere && !self.view().has_operators()? {
            return Err(other_till(&row).into());
        }
        let is_own = !is_elsewhere && (row.operator_id.is_none() || row.operator_id == operator_id);
        let action = if is_own { Action::CloseShift } else { Action::CloseOthersShift };
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), approval_id, action, &shift_id.to_string())?;
        check_cash(counted, "shift.counted")?;
        let sums = self.sums_of(&row, part)?;
        let (z_no, before): (i64, i64) = self
            .connection
            .query_row(
                "UPDATE till_book SET z_no = z_no + 1 WHERE till_id = ?1 RETURNING z_no, grand_total_minor",
                [row.till_id.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .doing("give the number of the report")?;
        let report = report(
            &row,
            &sums,
            self.currency,
            Close {
                z_no: z_no.unsigned_abs(),
                closed_at: moment.at(),
                counted,
                grand_total_before: Money::from_minor(before),
                history: self.tail.hash,
            },
        );
        let after = report.grand_total_after_minor.minor();
        let json = serde_json::to_vec(&report).expect("numbers and names always encode");
        if is_elsewhere {
            let mark = Noteworthy::new(word::SHIFT_CLOSED_ELSEWHERE).at(&till_id).permitted(&permit).about(shift_id);
            self.mark(moment, mark.saying(format!("the shift of till {}", row.till_id)))?;
        }
        self.settle_notice(&format!("{FORGOTTEN}.{shift_id}"))?;
        self.print_report(moment, shift_id.to_string(), &report)?;
        self.record(moment, ShiftClosed { shift_id, closed_by: permit.operator, report })?;
        self.connection
            .execute(
                "UPDATE till_book SET grand_total_minor = ?2 WHERE till_id = ?1",
                params![row.till_id.as_str(), after],
            )
            .doing("note the grand total")?;
        self.connection
            .execute(
                "UPDATE shift SET closed_position = ?2, z_no = ?3, report = ?4 WHERE shift_id = ?1",
                params![shift_id.as_bytes(), self.tail.position, z_no, json],
            )
            .doing("close the shift")?;
        self.tell_of_shift(shift_id)
    }

    /// Notes what was found out about a closed shift. The report stays as it is.
    pub fn amend_shift(
        &mut self,
        moment: &mut Moment,
        shift_id: ShiftId,
        command: AmendShift,
    ) -> Result<ShiftView, Error> {
        let AmendShift { command_id, till_id, operator_id, approval_id, reason, note, counted_minor: counted } =
            command;
        let subject = shift_id.to_string();
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), approval_id, Action::AmendShift, &subject)?;
        let row = self.view().shift_row(shift_id)?.ok_or_else(|| unknown_shift(shift_id))?;
        let Some(report) = row.report else {
            return Err(Refused::rule("shift.open", format!("shift {shift_id} is open; close it instead")).into());
        };
        if let Some(counted) = counted {
            check_cash(counted, "shift.counted")?;
        }
        check_note(&note)?;
        let amended = ShiftAmended {
            movement_id: MovementId::new(command_id.uuid()),
            shift_id,
            till_id: row.till_id,
            z_no: report.z_no,
            operator_id: permit.operator,
            approver_id: permit.approver,
            reason,
            note,
            counted_minor: counted,
            amended_at: moment.at(),
        };
        self.record(moment, amended)?;
        self.connection
            .execute("UPDATE shift SET amendments = amendments + 1 WHERE shift_id = ?1", [shift_id.as_bytes()])
            .doing("note the amendment")?;
        self.amend_day(row.business_date)?;
        self.tell_of_shift(shift_id)
    }

    /// Raises a notice for each shift that has been open for a day: what it has still to add up is not let go. The notice goes
    /// when the shift is closed.
    pub fn remind_of_shifts(&mut self, now_ms: i64) -> Result<(), Error> {
        let before_ms = now_ms.saturating_sub(FORGOTTEN_MS);
        for (shift_id, till_id, opened_at) in self.view().shifts_open_since(before_ms, FORGOTTEN_MAX)? {
            let hours = now_ms.saturating_sub(opened_at.utc_ms) / (60 * 60 * 1000);
            let text = format!(
                "the shift of till {till_id} has been open for {hours} hours: count its drawer and close it, from another \
                 till if need be; until then the store keeps all that was sold since"
            );
            self.raise_notice(&Notice { key: format!("{FORGOTTEN}.{shift_id}"), at_ms: opened_at.utc_ms, text })?;
        }
        Ok(())
    }

    /// The open shift of a till; the outer `None` if the till has never had one, the inner if none is open.
    pub(super) fn shift_of(&self, till_id: &TillId) -> Result<Option<Option<OpenShift>>, Error> {
        self.connection
            .prepare_cached(
                "SELECT shift.shift_id, shift.business_date FROM till_book
                 LEFT JOIN shift ON shift.till_id = till_book.till_id AND shift.closed_position IS NULL
                 WHERE till_book.till_id = ?1",
            )
            .and_then(|mut select| {
                select
                    .query_row([till_id.as_str()], |row| {
                        let found: (Option<[u8; 16]>, Option<i64>) = (row.get(0)?, row.get(1)?);
                        Ok(found.0.zip(found.1).map(|(id, days)| OpenShift {
                            shift_id: ShiftId::new(uuid::Uuid::from_bytes(id)),
                            business_date: BusinessDate::from_days(days),
                        }))
                    })
                    .optional()
            })
            .doing("look for the till's shift")
    }

    /// The shift in which a sale or refund of a till counts: none if the till does not work by shifts.
    pub(super) fn shift_to_count_in(&self, till_id: &TillId) -> Result<Option<OpenShift>, Error> {
        match self.shift_of(till_id)? {
            None => Ok(None),
            Some(Some(open)) => Ok(Some(open)),
            Some(None) => {
                Err(Refused::rule("till.closed", format!("till {till_id} is closed; open a shift first")).into())
            }
        }
    }

    fn open_shift_row(&self, shift_id: ShiftId) -> Result<ShiftRow, Error> {
        let row = self.view().shift_row(shift_id)?.ok_or_else(|| unknown_shift(shift_id))?;
        if row.closed_position.is_some() {
            return Err(Refused::overtaken("shift.closed", format!("shift {shift_id} is closed")).into());
        }
        Ok(row)
    }

    pub(super) fn tell_of_shift(&mut self, shift_id: ShiftId) -> Result<ShiftView, Error> {
        let row = self.view().shift_row(shift_id)?.ok_or_else(|| unknown_shift(shift_id))?;
        let view = row.view(self.currency);
        self.changed(Change::Shift(Box::new(view.clone())));
        Ok(view)
    }
}

fn other_till(row: &ShiftRow) -> Refused {
    Refused::rule("shift.other_till", format!("shift {} is one of till {}", row.shift_id, row.till_id))
}

fn unknown_shift(shift_id: ShiftId) -> Refused {
    Refused::unknown("shift.unknown", format!("shift {shift_id} is not known here"))
}

fn check_cash(amount: Money, message_key: &'static str) -> Result<(), Refused> {
    if (0..=CASH_MINOR_MAX).contains(&amount.minor()) {
        return Ok(());
    }
    Err(Refused::rule(message_key, format!("cash is 0 to {CASH_MINOR_MAX} minor units")))
}

pub(super) fn check_note(note: &str) -> Result<(), Refused> {
    let max = till::limits::NAME_CHARS_MAX;
    if note.chars().count() > max || note.chars().any(char::is_control) {
        return Err(Refused::rule(
            "request.note",
            format!("a note has at most {max} characters, all of them printable"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::{event_id, open_epoch, stamp, store};
    use pos_model::CommandId;
    use uuid::Uuid;

    #[test]
    fn a_shift_that_is_open_for_a_day_raises_a_notice_until_it_is_closed() {
        let mut store = store();
        open_epoch(&mut store, 1);
        let till_id: TillId = "T1".parse().expect("valid");
        let shift_id = ShiftId::new(Uuid::from_u64_pair(0x7, 1));
        let command_id = CommandId::new(Uuid::from_u64_pair(0xc, 1));
        let open = OpenShiftCommand {
            command_id,
            till_id: till_id.clone(),
            operator_id: None,
            shift_id,
            float_minor: Money::ZERO,
        };
        let mut moment = Moment::new(stamp(0), event_id(100));
        store.act(&mut moment, |store, moment| store.open_shift(moment, open)).expect("works").expect("opens");
        let keys = |store: &mut Store, hours: i64| -> Vec<String> {
            store.remind_of_shifts(stamp(hours * 60 * 60 * 1000).utc_ms).expect("looks");
            store.view().notices().expect("reads").into_iter().map(|notice| notice.key).collect()
        };
        assert_eq!(keys(&mut store, 23), Vec::<String>::new());
        assert_eq!(keys(&mut store, 24), [format!("shift_open.{shift_id}")]);
        assert_eq!(keys(&mut store, 50).len(), 1, "one for each shift");
        let (operator_id, approval_id, counted_minor) = (None, None, Money::ZERO);
        let close = CloseShift { command_id, till_id, operator_id, approval_id, counted_minor };
        let mut moment = Moment::new(stamp(0), event_id(200));
        let closed = store.act(&mut moment, |store, moment| store.close_shift(moment, shift_id, close, None));
        closed.expect("works").expect("closes");
        assert_eq!(keys(&mut store, 60), Vec::<String>::new());
    }
}
