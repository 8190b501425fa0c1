//! What is printed of what happens at the counter: put into the queue within the database transaction of what it is about.
//!
//! A store without a printer for a role puts nothing in for it. Texts are those of the books; how they look is the
//! template's business.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::Offset;
use pos_model::{Currency, Money, OperatorId, Stamp, Tag};
use printing::context::{
    Adjustment, Currency as PaperCurrency, Line, Receipt, Report, ReportRow, ReportSection, Store as Shop, Tax, Tender,
};
use printing::template::Kind;
use protocol::latest::{RefundCompleted, SaleCompleted, SaleLine, ZReport};
use serde::Serialize;
use till::CASH;
use till::kitchen::{Cup, CupCode, KitchenOrder};

use super::command::Moment;
use super::error::Error;
use super::print_job::NewPrint;
use super::store::Store;

/// The role of the printers of receipts.
const RECEIPT: &str = "receipt";

/// The role of the printers of reports.
const REPORT: &str = "report";

/// The role of the printers of cup labels.
const LABEL: &str = "label";

/// The role of the printer for every station that has none of its own.
const KITCHEN: &str = "kitchen";

/// What a store prints, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaperPlan {
    /// What stands above everything.
    pub shop_name: String,
    /// Address, tax number, telephone: a line each.
    pub shop_lines: Vec<String>,
    /// Words at the end of a receipt, a line each.
    pub footer: Vec<String>,
    /// The roles for which there is a printer.
    pub roles: BTreeSet<String>,
    /// Whether everything is for training, and says so.
    pub is_training: bool,
}

/// What training papers say before anything else.
const TRAINING: &str = "*** TRAINING - NOT A RECEIPT ***";

impl PaperPlan {
    fn shop(&self) -> Shop {
        let marked = self.is_training.then(|| TRAINING.to_owned());
        Shop {
            name: self.shop_name.clone(),
            lines: marked.into_iter().chain(self.shop_lines.iter().cloned()).collect(),
        }
    }

    fn prints(&self, role: &str) -> bool {
        self.roles.contains(role)
    }
}

impl Store {
    /// Says what is printed from here on.
    pub fn set_paper(&mut self, plan: PaperPlan) {
        self.paper = plan;
    }

    fn put_in(
        &mut self,
        moment: &Moment,
        kind: Kind,
        (role, subject): (&str, String),
        data: impl Serialize,
    ) -> Result<(), Error> {
        let data = serde_json::to_value(data).expect("text and numbers always encode");
        self.enqueue_print(NewPrint { kind, role: role.to_owned(), subject, data }, moment.at()).map(drop)
    }

    /// The receipt of a sale. It opens the drawer if cash was handed over.
    pub(super) fn print_receipt(&mut self, moment: &Moment, sale: &SaleCompleted) -> Result<(), Error> {
        // What is read from a file had its receipt elsewhere.
        if !self.paper.prints(RECEIPT) || sale.imported.is_some() {
            return Ok(());
        }
        let receipt = receipt_of_sale(sale, &self.paper);
        self.put_in(moment, Kind::Receipt, (RECEIPT, sale.sale_id.to_string()), receipt)
    }

    /// The receipt of a refund.
    pub(super) fn print_refund(
        &mut self,
        moment: &Moment,
        refund: &RefundCompleted,
        sale: &SaleCompleted,
    ) -> Result<(), Error> {
        if !self.paper.prints(RECEIPT) {
            return Ok(());
        }
        let receipt = receipt_of_refund(refund, sale, &self.paper);
        self.put_in(moment, Kind::Refund, (RECEIPT, refund.refund_id.to_string()), receipt)
    }

    /// A Z report.
    pub(super) fn print_report(&mut self, moment: &Moment, subject: String, report: &ZReport) -> Result<(), Error> {
        if !self.paper.prints(REPORT) {
            return Ok(());
        }
        let report = report_of(report, &self.paper, moment.at());
        self.put_in(moment, Kind::Report, (REPORT, subject), report)
    }

    /// The labels and tickets of cups that were sent to their stations.
    pub(super) fn print_cups(&mut self, moment: &Moment, order: &KitchenOrder, cups: &[Cup]) -> Result<(), Error> {
        let at = local_time(moment.at());
        if self.paper.prints(LABEL) {
            for cup in cups {
                let label = label_of(cup, order, &self.paper, &at);
                self.put_in(moment, Kind::CupLabel, (LABEL, order.order_id.to_string()), label)?;
            }
        }
        let stations: BTreeSet<&Tag> = cups.iter().map(|cup| &cup.station).collect();
        for station in stations {
            let role = [station.as_str(), KITCHEN].into_iter().find(|role| self.paper.prints(role));
            if let Some(role) = role {
                let ticket = ticket_of(station, cups, order, &at);
                self.put_in(moment, Kind::KitchenTicket, (role, order.order_id.to_string()), ticket)?;
            }
        }
        Ok(())
    }
}

fn currency_of(currency: Currency) -> PaperCurrency {
    PaperCurrency { code: currency.to_string(), exponent: currency.decimals() }
}

/// A moment as the clock on the wall showed it.
fn local_time(at: Stamp) -> String {
    let offset = Offset::from_seconds(at.offset_s).unwrap_or(Offset::UTC);
    Timestamp::from_millisecond(at.utc_ms)
        .map(|moment| offset.to_datetime(moment).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

/// A rate in parts per million as a person reads it: `6%`, `5.5%`.
fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    let decimals = format!("{rest:04}");
    match decimals.trim_end_matches('0') {
        "" => format!("{whole}%"),
        decimals => format!("{whole}.{decimals}%"),
    }
}

/// A word of ours as a person reads it: `paid_in` becomes `Paid in`.
fn words(tag: &Tag) -> String {
    let text = tag.as_str().replace('_', " ");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn name_of(operator: Option<&OperatorId>) -> String {
    operator.map(ToString::to_string).unwrap_or_default()
}

fn service(label: Option<&String>, takeaway: Option<bool>) -> Option<String> {
    let takeaway = takeaway.map(|takeaway| if takeaway { "Takeaway" } else { "Dine in" });
    match (label, takeaway) {
        (Some(label), Some(takeaway)) => Some(format!("{takeaway}, {label}")),
        (Some(label), None) => Some(label.clone()),
        (None, takeaway) => takeaway.map(str::to_owned),
    }
}

fn receipt_of_sale(sale: &SaleCompleted, plan: &PaperPlan) -> Receipt {
    let takeaway = sale.pricing.as_ref().map(|pricing| pricing.takeaway);
    let has_cash = sale.tenders.iter().any(|tender| tender.kind.as_str() == CASH);
    Receipt {
        currency: currency_of(sale.currency),
        store: plan.shop(),
        receipt_number: format!("{}-{}", sale.till_id, sale.receipt_no),
        pickup_number: Some(sale.pickup_no.to_string()),
        till: sale.till_id.to_string(),
        operator: name_of(sale.operator_id.as_ref()),
        at: local_time(sale.sold_at),
        service: service(sale.label.as_ref(), takeaway),
        lines: sale.lines.iter().map(line_of).collect(),
        subtotal_minor: sale.totals.gross_minor.minor(),
        adjustments: Vec::new(),
        taxes: taxes_of(
            sale.lines
                .iter()
                .map(|line| (&line.tax_group, line.tax_rate_ppm, line.gross_minor.minor(), line.tax_minor.minor())),
        ),
        rounding_minor: sale.cash_rounding_minor.minor(),
        total_minor: sale.totals.gross_minor.minor().saturating_add(sale.cash_rounding_minor.minor()),
        tenders: sale.tenders.iter().map(|tender| tender_of(&tender.kind, tender.amount_minor)).collect(),
        change_minor: sale.change_minor.minor(),
        qr: None,
        footer: plan.footer.clone(),
        drawer: has_cash && !plan.is_training,
        of_receipt: None,
        reason: None,
        approver: None,
    }
}

fn receipt_of_refund(refund: &RefundCompleted, sale: &SaleCompleted, plan: &PaperPlan) -> Receipt {
    let line = |line: &protocol::latest::RefundLine| Line {
        name: line.name.clone(),
        quantity_micro: line.quantity.micro(),
        options: Vec::new(),
        note: None,
        amount_minor: line.gross_minor.minor(),
        adjustments: Vec::new(),
    };
    let has_cash = refund.tenders.iter().any(|tender| tender.kind.as_str() == CASH);
    Receipt {
        currency: currency_of(refund.currency),
        store: plan.shop(),
        receipt_number: format!("{}-{}", refund.till_id, refund.receipt_no),
        pickup_number: None,
        till: refund.till_id.to_string(),
        operator: name_of(refund.operator_id.as_ref()),
        at: local_time(refund.refunded_at),
        service: None,
        lines: refund.lines.iter().map(line).collect(),
        subtotal_minor: refund.totals.gross_minor.minor(),
        adjustments: Vec::new(),
        taxes: taxes_of(
            refund
                .lines
                .iter()
                .map(|line| (&line.tax_group, line.tax_rate_ppm, line.gross_minor.minor(), line.tax_minor.minor())),
        ),
        rounding_minor: refund.cash_rounding_minor.minor(),
        total_minor: refund.totals.gross_minor.minor().saturating_add(refund.cash_rounding_minor.minor()),
        tenders: refund.tenders.iter().map(|tender| tender_of(&tender.kind, tender.amount_minor)).collect(),
        change_minor: 0,
        qr: None,
        footer: plan.footer.clone(),
        drawer: has_cash && !plan.is_training,
        of_receipt: Some(format!("{}-{}", sale.till_id, sale.receipt_no)),
        reason: Some(words(&refund.reason)),
        approver: refund.approver_id.as_ref().map(ToString::to_string),
    }
}

fn line_of(line: &SaleLine) -> Line {
    let adjusted = line.adjustments.iter().fold(0, |sum: i64, change| sum.saturating_add(change.amount_minor.minor()));
    let on_top = if line.tax_on_top { line.tax_minor.minor() } else { 0 };
    Line {
        name: line.name.clone(),
        quantity_micro: line.quantity.micro(),
        options: line.options.iter().map(|option| option.name.clone()).collect(),
        note: line.note.clone(),
        amount_minor: line.gross_minor.minor().saturating_sub(on_top).saturating_sub(adjusted),
        adjustments: line
            .adjustments
            .iter()
            .map(|change| Adjustment {
                name: change.promotion_id.clone().unwrap_or_else(|| words(&change.reason)),
                amount_minor: change.amount_minor.minor(),
            })
            .collect(),
    }
}

/// The taxes by rate, in the order in which they come up.
fn taxes_of<'l>(lines: impl Iterator<Item = (&'l Tag, u32, i64, i64)>) -> Vec<Tax> {
    let mut all: Vec<(u32, Tax)> = Vec::new();
    for (_, rate_ppm, gross, tax) in lines {
        match all.iter_mut().find(|(known, _)| *known == rate_ppm) {
            Some((_, sum)) => {
                sum.base_minor = sum.base_minor.saturating_add(gross.saturating_sub(tax));
                sum.amount_minor = sum.amount_minor.saturating_add(tax);
            }
            None => {
                let (base_minor, rate) = (gross.saturating_sub(tax), percent(rate_ppm));
                all.push((rate_ppm, Tax { name: "Tax".to_owned(), rate, base_minor, amount_minor: tax }));
            }
        }
    }
    all.into_iter().map(|(_, tax)| tax).filter(|tax| tax.amount_minor != 0).collect()
}

fn tender_of(kind: &Tag, amount: Money) -> Tender {
    Tender { name: words(kind), detail: None, amount_minor: amount.minor() }
}

fn label_of(cup: &Cup, order: &KitchenOrder, plan: &PaperPlan, at: &str) -> printing::context::CupLabel {
    printing::context::CupLabel {
        store: plan.shop(),
        pickup_number: order.pickup_no.to_string(),
        cup: cup.number,
        cups: cup.of,
        name: cup.name.clone(),
        options: cup.options.clone(),
        note: cup.note.clone(),
        service: service(None, Some(order.takeaway)),
        customer: order.label.clone(),
        at: at.to_owned(),
        qr: Some(CupCode::of(cup.id).to_string()),
    }
}

fn ticket_of(station: &Tag, cups: &[Cup], order: &KitchenOrder, at: &str) -> printing::context::KitchenTicket {
    let mut lines: Vec<printing::context::KitchenLine> = Vec::new();
    for cup in cups.iter().filter(|cup| cup.station == *station) {
        let alike =
            lines.iter_mut().find(|line| line.name == cup.name && line.options == cup.options && line.note == cup.note);
        match alike {
            Some(line) => line.quantity_micro = line.quantity_micro.saturating_add(cup.quantity.micro()),
            None => lines.push(printing::context::KitchenLine {
                name: cup.name.clone(),
                quantity_micro: cup.quantity.micro(),
                options: cup.options.clone(),
                note: cup.note.clone(),
                voided: false,
            }),
        }
    }
    printing::context::KitchenTicket {
        station: words(station),
        pickup_number: order.pickup_no.to_string(),
        table: order.label.clone(),
        service: service(None, Some(order.takeaway)),
        at: at.to_owned(),
        operator: String::new(),
        lines,
        note: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_as_people_read_them() {
        let check = |ppm: u32, text: &str| assert_eq!(percent(ppm), text);
        check(60_000, "6%");
        check(55_000, "5.5%");
        check(0, "0%");
        check(81_250, "8.125%");
        assert_eq!(words(&Tag::new("paid_in").expect("valid")), "Paid in");
        assert_eq!(local_time(Stamp { utc_ms: 1_772_445_600_000, offset_s: 28_800 }), "2026-03-02 18:00");
        assert_eq!(local_time(Stamp { utc_ms: i64::MAX, offset_s: i32::MAX }), "");
    }
}
