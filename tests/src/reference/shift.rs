//! Shifts and their Z reports: a report is the sum of what carries its shift, added up from the beginning each time.

use std::collections::BTreeMap;

use pos_model::{ChainHash, TillId};
use uuid::Uuid;

use super::Reference;
use super::expected::Objections;
use super::facts::{CashKind, ShiftOpened, What};

const CASH: &str = "cash";

/// How many, what they come to, and the tax in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turnover {
    /// How many.
    pub count: u64,
    /// What they come to.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
}

/// A Z report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The shift.
    pub shift_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// Its number.
    pub z_no: u64,
    /// The business date on which it was opened.
    pub day: i32,
    /// The sales.
    pub sales: Turnover,
    /// The refunds.
    pub refunds: Turnover,
    /// What was sold, in millionths.
    pub quantity_micro: i64,
    /// Gross and tax by group and rate, sold less refunded.
    pub taxes: BTreeMap<(String, i64), (i64, i64)>,
    /// How often, and what was paid less what went back, by means.
    pub tenders: BTreeMap<String, (u64, i64)>,
    /// How many lines had another price, and by how much.
    pub adjusted: (u64, i64),
    /// The drawer.
    pub drawer: Drawer,
    /// The lowest and the highest receipt number; zeros if there was none.
    pub receipts: (u64, u64),
    /// What the till has ever sold less what came back, before and after.
    pub grand_total_minor: (i64, i64),
    /// The history before it.
    pub history: ChainHash,
}

/// The cash of a shift, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the lines of a report")]
pub struct Drawer {
    pub float: i64,
    pub sales: i64,
    pub refunds: i64,
    pub paid_in: i64,
    pub paid_out: i64,
    pub drops: i64,
    pub expected: i64,
    pub counted: i64,
    pub difference: i64,
    pub opened_without_sale: u64,
}

impl Reference {
    /// The open shift of a till, if it has one.
    pub fn open_shift(&self, agent: usize, till_id: &TillId) -> Option<&ShiftOpened> {
        let mut open = None;
        for what in self.on_disk(agent) {
            match what {
                What::ShiftOpened(opened) if opened.till_id == *till_id => open = Some(opened),
                What::ShiftClosed(report) if report.till_id == *till_id => open = None,
                _ => {}
            }
        }
        open
    }

    /// The opening of a shift.
    pub(super) fn opening(&self, agent: usize, shift_id: Uuid) -> Option<&ShiftOpened> {
        self.on_disk(agent).find_map(|what| match what {
            What::ShiftOpened(opened) if opened.shift_id == shift_id => Some(opened),
            _ => None,
        })
    }

    /// The shift in which a sale or refund counts; a till that has ever worked by shifts needs an open one.
    pub(super) fn shift_to_count_in(&self, agent: usize, till_id: &TillId) -> Result<Option<ShiftOpened>, Objections> {
        let open = self.open_shift(agent, till_id);
        let by_shifts = self.on_disk(agent).any(|what| matches!(what, What::ShiftOpened(o) if o.till_id == *till_id));
        if by_shifts && open.is_none() { Err(Objections::from(["till.closed"])) } else { Ok(open.cloned()) }
    }

    /// A shift that something is said of which only an open one bears.
    pub(super) fn still_open(&self, agent: usize, shift_id: Uuid) -> Result<&ShiftOpened, Objections> {
        let opened = self.opening(agent, shift_id).ok_or_else(|| Objections::from(["shift.unknown"]))?;
        let open = self.open_shift(agent, &opened.till_id).is_some_and(|open| open.shift_id == shift_id);
        if open { Ok(opened) } else { Err(Objections::from(["shift.closed"])) }
    }

    /// Whether a till of this id was ever closed, on whatever disk.
    pub(super) fn has_reported(&self, till_id: &TillId) -> bool {
        self.facts.values().any(|fact| matches!(&fact.what, What::ShiftClosed(report) if report.till_id == *till_id))
    }

    /// What is expected, with the number and the grand total that the centre has raised: a till whose disk was put back goes
    /// on behind a report that was written before, and that it has forgotten.
    pub fn raised_as(&self, expected: What, written: Option<&What>) -> What {
        let What::ShiftClosed(mut report) = expected else { return expected };
        if let Some(What::ShiftClosed(told)) = written
            && told.z_no > report.z_no
        {
            let goes_on_behind = |what: &What| match what {
                What::ShiftClosed(before) => {
                    let is_before = before.till_id == told.till_id && before.z_no + 1 == told.z_no;
                    is_before && before.grand_total_minor.1 == told.grand_total_minor.0
                }
                _ => false,
            };
            if self.facts.values().any(|fact| goes_on_behind(&fact.what)) {
                let sold = report.grand_total_minor.1 - report.grand_total_minor.0;
                report.z_no = told.z_no;
                report.grand_total_minor = (told.grand_total_minor.0, told.grand_total_minor.0 + sold);
            }
        }
        What::ShiftClosed(report)
    }

    /// The report of a shift that is closed at this moment.
    pub(super) fn report(&self, agent: usize, shift: &ShiftOpened, counted_minor: i64) -> Report {
        let earlier: Vec<&Report> = self
            .on_disk(agent)
            .filter_map(|what| match what {
                What::ShiftClosed(report) if report.till_id == shift.till_id => Some(report),
                _ => None,
            })
            .collect();
        let before = earlier.last().map_or(0, |report| report.grand_total_minor.1);
        let disk = self.disks.get(&agent);
        let history = disk.and_then(|disk| disk.rows.last()).map_or(ChainHash::GENESIS, |row| row.key);
        let mut report = Report {
            shift_id: shift.shift_id,
            till_id: shift.till_id.clone(),
            z_no: earlier.last().map_or(0, |report| report.z_no) + 1,
            day: shift.day,
            sales: Turnover::default(),
            refunds: Turnover::default(),
            quantity_micro: 0,
            taxes: BTreeMap::new(),
            tenders: BTreeMap::new(),
            adjusted: (0, 0),
            drawer: Drawer { float: shift.float_minor, counted: counted_minor, ..Drawer::default() },
            receipts: (0, 0),
            grand_total_minor: (before, before),
            history,
        };
        for what in self.on_disk(agent).filter(|what| what.shift_id() == Some(shift.shift_id)) {
            add(&mut report, what);
        }
        report.grand_total_minor.1 += report.sales.gross_minor - report.refunds.gross_minor;
        let drawer = &mut report.drawer;
        drawer.expected =
            drawer.float + drawer.sales + drawer.paid_in - drawer.refunds - drawer.paid_out - drawer.drops;
        drawer.difference = drawer.counted - drawer.expected;
        report
    }
}

fn add(report: &mut Report, what: &What) {
    if let Some((_, number)) = what.receipt() {
        let (first, last) = if report.receipts == (0, 0) { (number, number) } else { report.receipts };
        report.receipts = (first.min(number), last.max(number));
    }
    match what {
        What::Sale(sold) => {
            let sums = sold.sums();
            count(&mut report.sales, sums.gross_minor, sums.tax_minor);
            report.quantity_micro += sums.quantity_micro;
            for line in &sold.lines {
                let tax = report.taxes.entry((line.tax_group.clone(), line.tax_ppm)).or_default();
                *tax = (tax.0 + line.gross_minor, tax.1 + line.tax_minor);
                if line.adjusted_minor != 0 {
                    report.adjusted = (report.adjusted.0 + 1, report.adjusted.1 + line.adjusted_minor);
                }
            }
            for (kind, minor) in &sold.paid {
                let tender = report.tenders.entry(kind.clone()).or_default();
                *tender = (tender.0 + 1, tender.1 + minor);
            }
            report.drawer.sales += sold.paid.get(CASH).copied().unwrap_or(0);
        }
        What::Refund(refund) => {
            count(&mut report.refunds, refund.gross_minor(), refund.tax_minor());
            for line in &refund.lines {
                let tax = report.taxes.entry((line.tax_group.clone(), line.tax_ppm)).or_default();
                *tax = (tax.0 - line.gross_minor, tax.1 - line.tax_minor);
            }
            for (kind, minor) in &refund.paid_back {
                let tender = report.tenders.entry(kind.clone()).or_default();
                *tender = (tender.0 + 1, tender.1 - minor);
            }
            report.drawer.refunds += refund.paid_back.get(CASH).copied().unwrap_or(0);
        }
        What::Cash(cash) => match cash.kind {
            CashKind::PaidIn => report.drawer.paid_in += cash.amount_minor,
            CashKind::PaidOut => report.drawer.paid_out += cash.amount_minor,
            CashKind::Drop => report.drawer.drops += cash.amount_minor,
            CashKind::NoSale => {}
        },
        What::Mark(_) => report.drawer.opened_without_sale += 1,
        _ => {}
    }
}

fn count(turnover: &mut Turnover, gross_minor: i64, tax_minor: i64) {
    turnover.count += 1;
    turnover.gross_minor += gross_minor;
    turnover.tax_minor += tax_minor;
}
