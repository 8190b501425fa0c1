//! Shifts: opening a till, moving its cash, closing it with a Z report.
//!
//! A report adds up the events themselves. Most of them are added up beside the writer, on a read-only connection; the
//! writer adds what came since, within the database transaction that closes the shift. So each sale of a shift is in its
//! one report, and nobody waits for a long sum.

use pos_model::{
    BusinessDate, ChainHash, Currency, Money, MovementId, OperatorId, Quantity, ShiftId, Stamp, Tag, TillId,
};
use protocol::latest::local_api::Change;
use protocol::latest::shift_api::{
    AmendShift, CashKind, CloseShift, MoveCash, OpenShift as OpenShiftCommand, ShiftView,
};
use protocol::latest::{
    AdjustmentSum, AuditMarked, CashMoved, CashMovement, CountAndAmount, DrawerSum, EventBody, RefundCompleted,
    SaleCompleted, ShiftAmended, ShiftClosed, ShiftOpened, TaxSum, TenderSum, ZReport, decode_event,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use till::people::Action;
use till::{CashMove, ShiftSums, Sum, Turnover};

use super::audit::word;
use super::command::{Moment, Refused};
use super::error::{Doing, Error};
use super::permit::Permit;
use super::store::Store;
use super::view::View;

/// Cash in a drawer, in minor units: far more than any drawer holds.
pub const CASH_MINOR_MAX: i64 = 1_000_000_000_000;

/// A shift that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenShift {
    pub(super) shift_id: ShiftId,
    pub(super) business_date: BusinessDate,
}

/// A part of a shift's sums, added up to a place in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOfShift {
    shift_id: ShiftId,
    through: i64,
    sums: ShiftSums,
}

/// A shift as it is stored.
#[derive(Debug, Clone, PartialEq)]
struct ShiftRow {
    shift_id: ShiftId,
    till_id: TillId,
    operator_id: Option<OperatorId>,
    opened_position: i64,
    closed_position: Option<i64>,
    opened_at: Stamp,
    business_date: BusinessDate,
    float: Money,
    report: Option<ZReport>,
    amendments: u32,
}

impl ShiftRow {
    fn view(self, currency: Currency) -> ShiftView {
        ShiftView {
            shift_id: self.shift_id,
            till_id: self.till_id,
            operator_id: self.operator_id,
            opened_at_ms: self.opened_at.utc_ms,
            business_date: self.business_date,
            currency,
            float_minor: self.float,
            report: self.report,
            amendments: self.amendments,
        }
    }
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
    /// the till's drawer.
    pub fn move_cash(&mut self, moment: &mut Moment, shift_id: ShiftId, command: MoveCash) -> Result<ShiftView, Error> {
        let row = self.open_shift_row(shift_id, &command.till_id)?;
        let (till_id, reason) = (command.till_id.clone(), command.reason.clone());
        let action = match command.kind {
            CashKind::PaidIn => Action::PaidIn,
            CashKind::PaidOut => Action::PaidOut,
            CashKind::Drop => Action::Drop,
            CashKind::NoSale => Action::NoSale,
        };
        let (operator, subject) = (command.operator_id.as_ref(), shift_id.to_string());
        let permit = self.permit(moment, &till_id, operator, command.approval_id, action, &subject)?;
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
        let (name, body): (_, EventBody) = match kind {
            CashKind::PaidIn => ("paid_in", moved(CashMovement::PaidIn).into()),
            CashKind::PaidOut => ("paid_out", moved(CashMovement::PaidOut).into()),
            CashKind::Drop => ("drop", moved(CashMovement::Drop).into()),
            CashKind::NoSale => {
                let mark = AuditMarked {
                    action: Tag::new(word::DRAWER_OPENED).expect("a word of small letters is a tag"),
                    till_id: Some(till_id),
                    operator_id: permit.operator.clone(),
                    approver_id: permit.approver.clone(),
                    reason: Some(reason),
                    subject: shift_id.to_string(),
                    detail: note,
                    amount_minor: None,
                    marked_at: at,
                };
                ("no_sale", mark.into())
            }
        };
        self.record(moment, body)?;
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

    /// Closes a till: its Z report. `part` is what has been added up before, if anything was.
    pub fn close_shift(
        &mut self,
        moment: &mut Moment,
        shift_id: ShiftId,
        command: CloseShift,
        part: Option<PartOfShift>,
    ) -> Result<ShiftView, Error> {
        let CloseShift { till_id, operator_id, approval_id, counted_minor: counted, .. } = command;
        let row = self.open_shift_row(shift_id, &till_id)?;
        let is_own = row.operator_id.is_none() || row.operator_id == operator_id;
        let action = if is_own { Action::CloseShift } else { Action::CloseOthersShift };
        let permit = self.permit(moment, &till_id, operator_id.as_ref(), approval_id, action, &shift_id.to_string())?;
        check_cash(counted, "shift.counted")?;
        let (from, mut sums) = match part.filter(|part| part.shift_id == shift_id && part.through <= self.tail.position)
        {
            Some(part) => (part.through, part.sums),
            None => (row.opened_position, ShiftSums::default()),
        };
        sums.join(self.view().fold(shift_id, from, self.tail.position)?);
        let (z_no, before): (i64, i64) = self
            .connection
            .query_row(
                "UPDATE till_book SET z_no = z_no + 1 WHERE till_id = ?1 RETURNING z_no, grand_total_minor",
                [till_id.as_str()],
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
        self.print_report(moment, shift_id.to_string(), &report)?;
        self.record(moment, ShiftClosed { shift_id, closed_by: permit.operator, report })?;
        self.connection
            .execute("UPDATE till_book SET grand_total_minor = ?2 WHERE till_id = ?1", params![till_id.as_str(), after])
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
                Err(Refused::rule("shift.closed", format!("till {till_id} is closed; open a shift first")).into())
            }
        }
    }

    fn open_shift_row(&self, shift_id: ShiftId, till_id: &TillId) -> Result<ShiftRow, Error> {
        let row = self.view().shift_row(shift_id)?.ok_or_else(|| unknown_shift(shift_id))?;
        if row.till_id != *till_id {
            let text = format!("shift {shift_id} is one of till {}", row.till_id);
            return Err(Refused::rule("shift.other_till", text).into());
        }
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

/// What closing adds to the sums.
struct Close {
    z_no: u64,
    closed_at: Stamp,
    counted: Money,
    grand_total_before: Money,
    history: ChainHash,
}

fn report(row: &ShiftRow, sums: &ShiftSums, currency: Currency, close: Close) -> ZReport {
    let money = Money::from_minor;
    let expected = sums.expected(row.float);
    let of = |sum: Sum, tax_minor: i64| CountAndAmount {
        count: sum.count,
        gross_minor: money(sum.minor),
        tax_minor: money(tax_minor),
    };
    let (receipt_no_first, receipt_no_last) = sums.receipts.unwrap_or((0, 0));
    ZReport {
        till_id: row.till_id.clone(),
        z_no: close.z_no,
        operator_id: row.operator_id.clone(),
        opened_at: row.opened_at,
        closed_at: close.closed_at,
        business_date: row.business_date,
        currency,
        sales: of(sums.sales, sums.sales_tax_minor),
        refunds: of(sums.refunds, sums.refunds_tax_minor),
        quantity: Quantity::from_micro(sums.quantity_micro),
        taxes: sums
            .taxes
            .iter()
            .map(|((tax_group, tax_rate_ppm), (gross, tax))| TaxSum {
                tax_group: tax_group.clone(),
                tax_rate_ppm: *tax_rate_ppm,
                gross_minor: money(*gross),
                tax_minor: money(*tax),
            })
            .collect(),
        tenders: sums
            .tenders
            .iter()
            .map(|(kind, sum)| TenderSum { kind: kind.clone(), count: sum.count, amount_minor: money(sum.minor) })
            .collect(),
        adjustments: sums
            .adjustments
            .iter()
            .map(|((reason, promotion_id), sum)| AdjustmentSum {
                reason: reason.clone(),
                promotion_id: promotion_id.clone(),
                count: sum.count,
                amount_minor: money(sum.minor),
            })
            .collect(),
        drawer: DrawerSum {
            float_minor: row.float,
            sales_minor: money(sums.cash_sales_minor),
            refunds_minor: money(sums.cash_refunds_minor),
            paid_in_minor: money(sums.paid_in_minor),
            paid_out_minor: money(sums.paid_out_minor),
            drops_minor: money(sums.drops_minor),
            expected_minor: expected,
            counted_minor: close.counted,
            difference_minor: money(close.counted.minor().saturating_sub(expected.minor())),
            opened_without_sale: sums.opened_without_sale,
        },
        receipt_no_first,
        receipt_no_last,
        grand_total_before_minor: close.grand_total_before,
        grand_total_after_minor: money(close.grand_total_before.minor().saturating_add(sums.net_minor())),
        history: close.history,
    }
}

impl View<'_> {
    /// A shift.
    pub fn shift(&self, shift_id: ShiftId) -> Result<Option<ShiftView>, Error> {
        self.consistent(|view| {
            let row = view.shift_row(shift_id)?;
            row.map(|row| Ok(row.view(view.currency()?))).transpose()
        })
    }

    /// The shifts that are open, and those that were opened on a business date.
    pub fn shifts(&self, date: Option<BusinessDate>) -> Result<Vec<ShiftView>, Error> {
        self.consistent(|view| {
            let currency = view.currency()?;
            let days = date.map(BusinessDate::days);
            let mut select = view
                .connection
                .prepare_cached(
                    "SELECT shift_id, till_id, operator_id, opened_position, closed_position, opened_at, opened_offset_s,
                        business_date, float_minor, report, amendments FROM shift
                     WHERE business_date = ?1 OR (?1 IS NULL AND closed_position IS NULL)
                     ORDER BY opened_position",
                )
                .doing("read the shifts")?;
            let rows = select.query_map([days], |row| Ok(read_shift(row))).doing("read the shifts")?;
            rows.map(|row| Ok(row.doing("read the shifts")??.view(currency))).collect()
        })
    }

    /// Adds a shift up as far as the history goes at this moment.
    pub fn part_of_shift(&self, shift_id: ShiftId) -> Result<Option<PartOfShift>, Error> {
        self.consistent(|view| {
            let Some(row) = view.shift_row(shift_id)?.filter(|row| row.closed_position.is_none()) else {
                return Ok(None);
            };
            let through = view.newest_position()?;
            let sums = view.fold(shift_id, row.opened_position, through)?;
            Ok(Some(PartOfShift { shift_id, through, sums }))
        })
    }

    /// What an open shift would report at this moment, as if the drawer held what it should; the report of a closed one.
    pub fn x_report(&self, shift_id: ShiftId, at: Stamp) -> Result<Option<ZReport>, Error> {
        self.consistent(|view| {
            let Some(row) = view.shift_row(shift_id)? else { return Ok(None) };
            if let Some(report) = row.report {
                return Ok(Some(report));
            }
            let through = view.newest_position()?;
            let sums = view.fold(shift_id, row.opened_position, through)?;
            let before: i64 = view
                .connection
                .query_row(
                    "SELECT grand_total_minor FROM till_book WHERE till_id = ?1",
                    [row.till_id.as_str()],
                    |row| row.get(0),
                )
                .doing("read the grand total")?;
            let close = Close {
                z_no: 0,
                closed_at: at,
                counted: sums.expected(row.float),
                grand_total_before: Money::from_minor(before),
                history: if through > 0 { view.hash_at(through)? } else { ChainHash::GENESIS },
            };
            Ok(Some(report(&row, &sums, view.currency()?, close)))
        })
    }

    fn shift_row(&self, shift_id: ShiftId) -> Result<Option<ShiftRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT shift_id, till_id, operator_id, opened_position, closed_position, opened_at, opened_offset_s,
                    business_date, float_minor, report, amendments FROM shift WHERE shift_id = ?1",
            )
            .and_then(|mut select| select.query_row([shift_id.as_bytes()], |row| Ok(read_shift(row))).optional())
            .doing("read the shift")?
            .transpose()
    }

    /// Adds up what a shift did in the positions after `from` up to `through`.
    fn fold(&self, shift_id: ShiftId, from: i64, through: i64) -> Result<ShiftSums, Error> {
        let mut sums = ShiftSums::default();
        let each = |sql: &'static str, add: &mut dyn FnMut(EventBody)| -> Result<(), Error> {
            let mut select = self.connection.prepare_cached(sql).doing("add the shift up")?;
            let mut rows = select.query(params![shift_id.as_bytes(), from, through]).doing("add the shift up")?;
            while let Some(row) = rows.next().doing("add the shift up")? {
                let bytes = row.get_ref(0).doing("add the shift up")?;
                let bytes = bytes.as_blob().map_err(|error| Error::Damaged(error.to_string()))?;
                let event =
                    decode_event(bytes).map_err(|error| Error::Damaged(format!("an event of a shift: {error}")))?;
                add(event.body);
            }
            Ok(())
        };
        each(
            "SELECT event.bytes FROM sale JOIN event USING (position)
             WHERE sale.position > ?2 AND sale.position <= ?3 AND sale.shift_id = ?1",
            &mut |body| {
                if let EventBody::SaleCompleted(sale) = body {
                    sums.sale(&turnover_of_sale(*sale));
                }
            },
        )?;
        each(
            "SELECT event.bytes FROM refund JOIN event USING (position)
             WHERE refund.position > ?2 AND refund.position <= ?3 AND refund.shift_id = ?1",
            &mut |body| {
                if let EventBody::RefundCompleted(refund) = body {
                    sums.refund(&turnover_of_refund(*refund));
                }
            },
        )?;
        self.fold_cash(shift_id, from, through, &mut sums)?;
        Ok(sums)
    }

    fn fold_cash(&self, shift_id: ShiftId, from: i64, through: i64, sums: &mut ShiftSums) -> Result<(), Error> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT kind, amount_minor FROM cash_movement WHERE shift_id = ?1 AND position > ?2 AND position <= ?3",
            )
            .doing("add the shift's cash up")?;
        let rows = select
            .query_map(params![shift_id.as_bytes(), from, through], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .doing("add the shift's cash up")?;
        for row in rows {
            let (kind, minor) = row.doing("add the shift's cash up")?;
            let kind = match kind.as_str() {
                "paid_in" => CashMove::PaidIn,
                "paid_out" => CashMove::PaidOut,
                "drop" => CashMove::Drop,
                "no_sale" => CashMove::NoSale,
                other => return Err(Error::Damaged(format!("cash moved by {other:?}"))),
            };
            sums.cash(kind, Money::from_minor(minor));
        }
        Ok(())
    }

    fn newest_position(&self) -> Result<i64, Error> {
        self.connection
            .query_row("SELECT coalesce(max(position), 0) FROM event", [], |row| row.get(0))
            .doing("find the newest event")
    }

    pub(super) fn currency(&self) -> Result<Currency, Error> {
        let text: String = self
            .connection
            .query_row("SELECT currency FROM folder", [], |row| row.get(0))
            .doing("read the folder's currency")?;
        text.parse().map_err(|_| Error::Damaged(format!("the folder's currency {text:?} is none")))
    }
}

/// The oldest position that an open shift still has to add up.
pub(super) fn oldest_in_open_shift(connection: &Connection) -> Result<Option<i64>, Error> {
    connection
        .query_row("SELECT min(opened_position) FROM shift WHERE closed_position IS NULL", [], |row| row.get(0))
        .doing("find the oldest open shift")
}

fn read_shift(row: &Row<'_>) -> Result<ShiftRow, Error> {
    let damaged = |what: &str| Error::Damaged(format!("a shift's {what}"));
    let text = |index| row.get::<_, Option<String>>(index).doing("read a shift");
    let number = |index| row.get::<_, i64>(index).doing("read a shift");
    let report: Option<Vec<u8>> = row.get(9).doing("read a shift")?;
    Ok(ShiftRow {
        shift_id: ShiftId::new(uuid::Uuid::from_bytes(row.get(0).doing("read a shift")?)),
        till_id: text(1)?.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("till"))?,
        operator_id: text(2)?.map(|text| text.parse().map_err(|_| damaged("operator"))).transpose()?,
        opened_position: number(3)?,
        closed_position: row.get(4).doing("read a shift")?,
        opened_at: Stamp { utc_ms: number(5)?, offset_s: row.get(6).doing("read a shift")? },
        business_date: BusinessDate::from_days(number(7)?),
        float: Money::from_minor(number(8)?),
        report: report.map(|json| serde_json::from_slice(&json).map_err(|_| damaged("report"))).transpose()?,
        amendments: row.get(10).doing("read a shift")?,
    })
}

fn turnover_of_sale(sale: SaleCompleted) -> Turnover {
    let mut adjustments = Vec::new();
    let mut taxes = Vec::with_capacity(sale.lines.len());
    for line in sale.lines {
        taxes.push((line.tax_group, line.tax_rate_ppm, line.gross_minor, line.tax_minor));
        adjustments.extend(
            line.adjustments.into_iter().map(|change| (change.reason, change.promotion_id, change.amount_minor)),
        );
    }
    Turnover {
        receipt_no: sale.receipt_no,
        gross: sale.totals.gross_minor,
        tax: sale.totals.tax_minor,
        quantity: sale.totals.quantity,
        taxes,
        tenders: sale.tenders.into_iter().map(|tender| (tender.kind, tender.amount_minor)).collect(),
        change: sale.change_minor,
        adjustments,
    }
}

fn turnover_of_refund(refund: RefundCompleted) -> Turnover {
    Turnover {
        receipt_no: refund.receipt_no,
        gross: refund.totals.gross_minor,
        tax: refund.totals.tax_minor,
        quantity: refund.totals.quantity,
        taxes: refund
            .lines
            .into_iter()
            .map(|line| (line.tax_group, line.tax_rate_ppm, line.gross_minor, line.tax_minor))
            .collect(),
        tenders: refund.tenders.into_iter().map(|tender| (tender.kind, tender.amount_minor)).collect(),
        change: Money::ZERO,
        adjustments: Vec::new(),
    }
}
