//! Shifts, their Z reports, what was found out later, the days that they make up, and cash that moved without a sale.

use pos_model::OperatorId;
use protocol::latest::{
    CashMoved, CashMovement, DayClosed, EventBody, ShiftAmended, ShiftClosed, ShiftOpened, ZReport,
};

use super::super::Group;
use super::super::numbers;
use super::super::record::{MALFORMED, Place, Refusal, UNKNOWN_KIND};
use super::super::tables::{FactKind, Table, Tables};
use super::{Facts, count};
use crate::ledger::database::cells;
use crate::ledger::fault::Fault;

const OPENS: Facts = Facts {
    what: "shift",
    table: Table::ShiftOpens,
    kind: FactKind::ShiftOpen,
    known: "shift_id_known",
    conflict: "shift_id_conflict",
};

const REPORTS: Facts = Facts {
    what: "report of a shift",
    table: Table::ZReports,
    kind: FactKind::ZReport,
    known: "shift_id_known",
    conflict: "shift_id_conflict",
};

const AMENDMENTS: Facts = Facts {
    what: "amendment",
    table: Table::ShiftAmendments,
    kind: FactKind::ShiftAmendment,
    known: "movement_id_known",
    conflict: "movement_id_conflict",
};

const CASH: Facts = Facts {
    what: "movement of cash",
    table: Table::CashMovements,
    kind: FactKind::CashMovement,
    known: "movement_id_known",
    conflict: "movement_id_conflict",
};

impl<'g, T: Tables<'g>> Group<'_, 'g, T> {
    pub(in super::super) fn shift_opened(
        &mut self,
        place: Place,
        opened: &'g ShiftOpened,
    ) -> Result<Option<Refusal>, Fault> {
        let row = cells![
            place.event_no,
            opened.shift_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            opened.till_id.as_str(),
            opened.operator_id.as_ref().map(OperatorId::as_str),
            opened.business_date.days(),
            opened.opened_at.utc_ms,
            opened.opened_at.offset_s,
            opened.currency.as_str(),
            opened.float_minor.minor(),
        ];
        self.add_fact(&OPENS, place, opened.shift_id.uuid(), row, |held| {
            matches!(held, EventBody::ShiftOpened(held) if held.till_id == opened.till_id
                && held.operator_id == opened.operator_id && held.float_minor == opened.float_minor)
        })
    }

    pub(in super::super) fn shift_closed(
        &mut self,
        place: Place,
        closed: &'g ShiftClosed,
    ) -> Result<Option<Refusal>, Fault> {
        let report = &closed.report;
        let Some(z_no) = numbers::believed(report.z_no) else {
            return Ok(Some((MALFORMED, format!("Z number {}", report.z_no))));
        };
        let drawer = &report.drawer;
        let row = cells![
            place.event_no,
            closed.shift_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            report.till_id.as_str(),
            z_no,
            report.operator_id.as_ref().map(OperatorId::as_str),
            closed.closed_by.as_ref().map(OperatorId::as_str),
            report.business_date.days(),
            report.opened_at.utc_ms,
            report.opened_at.offset_s,
            report.closed_at.utc_ms,
            report.closed_at.offset_s,
            report.currency.as_str(),
            count(report.sales.count)?,
            report.sales.gross_minor.minor(),
            report.sales.tax_minor.minor(),
            count(report.refunds.count)?,
            report.refunds.gross_minor.minor(),
            report.refunds.tax_minor.minor(),
            report.quantity.micro(),
            drawer.float_minor.minor(),
            drawer.sales_minor.minor(),
            drawer.refunds_minor.minor(),
            drawer.paid_in_minor.minor(),
            drawer.paid_out_minor.minor(),
            drawer.drops_minor.minor(),
            drawer.expected_minor.minor(),
            drawer.counted_minor.minor(),
            drawer.difference_minor.minor(),
            count(drawer.opened_without_sale)?,
            count(report.receipt_no_first)?,
            count(report.receipt_no_last)?,
            report.grand_total_before_minor.minor(),
            report.grand_total_after_minor.minor(),
            report.history.as_bytes(),
        ];
        let refused = self.add_fact(&REPORTS, place, closed.shift_id.uuid(), row, |held| {
            matches!(held, EventBody::ShiftClosed(held) if held.closed_by == closed.closed_by
                && held.report.till_id == report.till_id && held.report.sales == report.sales
                && held.report.refunds == report.refunds && held.report.drawer == report.drawer)
        })?;
        if refused.is_some() {
            return Ok(refused);
        }
        self.add_sums(place.event_no, report)?;
        self.effects.counter.z_report(place.store_no, &report.till_id, z_no, place.event_no);
        Ok(None)
    }

    fn add_sums(&mut self, event_no: i64, report: &ZReport) -> Result<(), Fault> {
        for (sum, position) in report.taxes.iter().zip(0i64..) {
            let (group, rate) = (sum.tax_group.as_str(), sum.tax_rate_ppm);
            let row = cells![event_no, position, group, rate, sum.gross_minor.minor(), sum.tax_minor.minor()];
            self.add_row(Table::ZTaxes, row)?;
        }
        for (sum, position) in report.tenders.iter().zip(0i64..) {
            let row = cells![event_no, position, sum.kind.as_str(), count(sum.count)?, sum.amount_minor.minor()];
            self.add_row(Table::ZTenders, row)?;
        }
        for (sum, position) in report.adjustments.iter().zip(0i64..) {
            let (reason, promotion) = (sum.reason.as_str(), sum.promotion_id.as_deref());
            let row = cells![event_no, position, reason, promotion, count(sum.count)?, sum.amount_minor.minor()];
            self.add_row(Table::ZAdjustments, row)?;
        }
        Ok(())
    }

    pub(in super::super) fn shift_amended(
        &mut self,
        place: Place,
        amended: &'g ShiftAmended,
    ) -> Result<Option<Refusal>, Fault> {
        let row = cells![
            place.event_no,
            amended.movement_id.as_bytes(),
            amended.shift_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            amended.till_id.as_str(),
            count(amended.z_no)?,
            amended.operator_id.as_ref().map(OperatorId::as_str),
            amended.approver_id.as_ref().map(OperatorId::as_str),
            amended.amended_at.utc_ms,
            amended.amended_at.offset_s,
            amended.reason.as_str(),
            &amended.note,
            amended.counted_minor.map(|counted| counted.minor()),
        ];
        self.add_fact(&AMENDMENTS, place, amended.movement_id.uuid(), row, |held| {
            matches!(held, EventBody::ShiftAmended(held) if held.shift_id == amended.shift_id
                && held.reason == amended.reason && held.note == amended.note
                && held.counted_minor == amended.counted_minor)
        })
    }

    pub(in super::super) fn cash_moved(
        &mut self,
        place: Place,
        moved: &'g CashMoved,
    ) -> Result<Option<Refusal>, Fault> {
        let kind = match moved.kind {
            CashMovement::PaidIn => "paid_in",
            CashMovement::PaidOut => "paid_out",
            CashMovement::Drop => "drop",
            CashMovement::Other => return Ok(Some((UNKNOWN_KIND, "an unknown kind of cash movement".to_owned()))),
        };
        let row = cells![
            place.event_no,
            moved.movement_id.as_bytes(),
            moved.shift_id.as_bytes(),
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            moved.business_date.days(),
            moved.moved_at.utc_ms,
            moved.moved_at.offset_s,
            moved.till_id.as_str(),
            moved.operator_id.as_ref().map(OperatorId::as_str),
            moved.approver_id.as_ref().map(OperatorId::as_str),
            kind,
            moved.amount_minor.minor(),
            moved.reason.as_str(),
            &moved.note,
        ];
        self.add_fact(&CASH, place, moved.movement_id.uuid(), row, |held| {
            matches!(held, EventBody::CashMoved(held) if held.shift_id == moved.shift_id && held.till_id == moved.till_id
                && held.kind == moved.kind && held.amount_minor == moved.amount_minor && held.reason == moved.reason)
        })
    }

    pub(in super::super) fn day_closed(
        &mut self,
        place: Place,
        closed: &'g DayClosed,
    ) -> Result<Option<Refusal>, Fault> {
        let shifts: Vec<_> = closed.shifts.iter().map(|(till, z_no)| (till.as_str(), z_no)).collect();
        let shifts = serde_json::json!(shifts).to_string();
        let row = cells![
            place.event_no,
            place.store_no,
            place.stream_no,
            place.seq.to_sql(),
            closed.business_date.days(),
            closed.operator_id.as_ref().map(OperatorId::as_str),
            closed.closed_at.utc_ms,
            closed.closed_at.offset_s,
            closed.currency.as_str(),
            count(closed.sales.count)?,
            closed.sales.gross_minor.minor(),
            closed.sales.tax_minor.minor(),
            count(closed.refunds.count)?,
            closed.refunds.gross_minor.minor(),
            closed.refunds.tax_minor.minor(),
            &shifts,
        ];
        self.add_row(Table::DayCloses, row).map(|()| None)
    }
}
