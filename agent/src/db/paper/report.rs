//! Reports of a till that was closed.

use pos_model::{Money, Stamp};
use printing::context::{Report, ReportRow, ReportSection};
use printing::template::Kind;
use protocol::latest::ZReport;

use super::{Goes, PaperPlan, currency_of, percent, words};
use crate::db::command::Moment;
use crate::db::error::Error;
use crate::db::store::Store;
use crate::wall_clock::local_time;

/// The role of the printers of reports.
const REPORT: &str = "report";

impl Store {
    /// A Z report.
    pub(in crate::db) fn print_report(
        &mut self,
        moment: &Moment,
        subject: String,
        report: &ZReport,
    ) -> Result<(), Error> {
        if !self.paper.prints(REPORT, &report.till_id) {
            return Ok(());
        }
        let paper = report_of(report, &self.paper, moment.at());
        self.put_in(moment, Kind::Report, Goes { role: REPORT, till_id: &report.till_id, subject }, paper)
    }
}

/// A row of a report.
fn row(name: impl Into<String>, count: Option<u64>, amount: Option<Money>) -> ReportRow {
    ReportRow {
        name: name.into(),
        count: count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
        amount_minor: amount.map(Money::minor),
        text: None,
    }
}

fn report_of(report: &ZReport, plan: &PaperPlan, printed_at: Stamp) -> Report {
    let section =
        |title: &str, rows: Vec<ReportRow>| ReportSection { title: title.to_owned(), rows, total_minor: None };
    let net = report.sales.gross_minor.minor().saturating_sub(report.refunds.gross_minor.minor());
    let drawer = &report.drawer;
    let numbers = ReportRow {
        text: Some(format!("{} - {}", report.receipt_no_first, report.receipt_no_last)),
        ..row("Receipts", None, None)
    };
    let sections = vec![
        section(
            "Sales",
            vec![
                row("Sales", Some(report.sales.count), Some(report.sales.gross_minor)),
                row("Refunds", Some(report.refunds.count), Some(report.refunds.gross_minor)),
                row("Net of refunds", None, Some(Money::from_minor(net))),
                row("Cash rounding", None, Some(report.cash_rounding_minor)),
                numbers,
            ],
        ),
        section(
            "Taxes",
            report
                .taxes
                .iter()
                .map(|tax| {
                    row(format!("{} {}", words(&tax.tax_group), percent(tax.tax_rate_ppm)), None, Some(tax.tax_minor))
                })
                .collect(),
        ),
        section(
            "Paid by",
            report
                .tenders
                .iter()
                .map(|tender| row(words(&tender.kind), Some(tender.count), Some(tender.amount_minor)))
                .collect(),
        ),
        section(
            "Price changes",
            report
                .adjustments
                .iter()
                .map(|sum| {
                    let name = sum.promotion_id.clone().unwrap_or_else(|| words(&sum.reason));
                    row(name, Some(sum.count), Some(sum.amount_minor))
                })
                .collect(),
        ),
        section(
            "Drawer",
            vec![
                row("Float", None, Some(drawer.float_minor)),
                row("Cash of sales", None, Some(drawer.sales_minor)),
                row("Paid in", None, Some(drawer.paid_in_minor)),
                row("Refunds in cash", None, Some(Money::from_minor(drawer.refunds_minor.minor().saturating_neg()))),
                row("Paid out", None, Some(Money::from_minor(drawer.paid_out_minor.minor().saturating_neg()))),
                row("Dropped", None, Some(Money::from_minor(drawer.drops_minor.minor().saturating_neg()))),
                row("Expected", None, Some(drawer.expected_minor)),
                row("Counted", None, Some(drawer.counted_minor)),
                row("Difference", None, Some(drawer.difference_minor)),
                row("Opened without sale", Some(drawer.opened_without_sale), None),
            ],
        ),
        section(
            "Grand total",
            vec![
                row("Before", None, Some(report.grand_total_before_minor)),
                row("After", None, Some(report.grand_total_after_minor)),
            ],
        ),
    ];
    Report {
        currency: currency_of(report.currency),
        store: plan.shop(),
        title: "Z report".to_owned(),
        number: Some(report.z_no.to_string()),
        business_date: report.business_date.to_string(),
        till: Some(report.till_id.to_string()),
        opened_at: local_time(report.opened_at),
        closed_at: Some(local_time(report.closed_at)),
        operator: report.operator_id.as_ref().map(ToString::to_string),
        sections: sections.into_iter().filter(|section| !section.rows.is_empty()).collect(),
        hash: Some(report.history.to_string()),
        printed_at: local_time(printed_at),
    }
}
