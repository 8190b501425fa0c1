//! What is found out later about a shift, and the end of a business date.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Reference;
use super::expected::{Objections, unless};
use super::facts::{Amended, DayClosed, ShiftOpened, What};
use super::shift::{Report, Turnover};

impl Reference {
    pub(super) fn amended(
        &self,
        agent: usize,
        movement_id: Uuid,
        shift_id: Uuid,
        counted_minor: i64,
    ) -> Result<Amended, Objections> {
        let opened = self.opening(agent, shift_id).ok_or_else(|| Objections::from(["shift.unknown"]))?;
        let report = self.reports(agent).find(|report| report.shift_id == shift_id);
        let report = report.ok_or_else(|| Objections::from(["shift.open"]))?;
        let (till_id, z_no) = (opened.till_id.clone(), report.z_no);
        Ok(Amended { movement_id, shift_id, till_id, z_no, counted_minor: Some(counted_minor) })
    }

    pub(super) fn day_closed(&self, agent: usize, day: i32, today: i32) -> Result<DayClosed, Objections> {
        let mut objections = Objections::new();
        if day > today {
            objections.insert("day.not_begun");
        }
        if self.on_disk(agent).any(|what| matches!(what, What::DayClosed(closed) if closed.day == day)) {
            objections.insert("day.closed");
        }
        let is_open = |opened: &ShiftOpened| self.still_open(agent, opened.shift_id).is_ok();
        let opened = self.on_disk(agent).filter_map(|what| match what {
            What::ShiftOpened(opened) => Some(opened),
            _ => None,
        });
        if opened.into_iter().any(|opened| opened.day <= day && is_open(opened)) {
            objections.insert("day.shift_open");
        }
        let opened = self.on_disk(agent).filter_map(|what| match what {
            What::ShiftOpened(opened) => Some(opened.day),
            _ => None,
        });
        let busy: BTreeSet<i32> = self.local_totals(agent).into_keys().chain(opened).collect();
        let first = busy.first().copied().unwrap_or(today);
        if !busy.contains(&day) && (day < today - 7 || day < first) {
            objections.insert("day.empty");
        }
        unless(objections)?;
        let reports = self.reports(agent).filter(|report| report.day == day);
        let reports: BTreeSet<_> = reports.map(|report| (report.till_id.to_string(), report.z_no)).collect();
        let sums = self.local_totals(agent).remove(&day).unwrap_or_default();
        let turnover =
            |count: i64, gross_minor, tax_minor| Turnover { count: count.unsigned_abs(), gross_minor, tax_minor };
        Ok(DayClosed {
            day,
            reports,
            sales: turnover(sums.sales, sums.gross_minor, sums.tax_minor),
            refunds: turnover(sums.refunds, sums.refund_gross_minor, sums.refund_tax_minor),
        })
    }

    fn reports(&self, agent: usize) -> impl Iterator<Item = &Report> {
        self.on_disk(agent).filter_map(|what| match what {
            What::ShiftClosed(report) => Some(report),
            _ => None,
        })
    }
}
