//! Receipts of sales and refunds.

use pos_model::{Money, SaleId, Tag};
use printing::context::{Adjustment, Line, Receipt, Tax, Tender};
use printing::template::Kind;
use protocol::latest::{RefundCompleted, RefundLine, SaleCompleted, SaleLine};
use till::CASH;

use super::{Goes, PaperPlan, currency_of, name_of, percent, service, words};
use crate::db::command::Moment;
use crate::db::error::Error;
use crate::db::store::Store;
use crate::wall_clock::local_time;

/// The role of the printers of receipts, on which the drawers hang.
pub(in crate::db) const RECEIPT: &str = "receipt";

impl Store {
    /// The receipt of a sale. It opens the drawer if cash was handed over.
    pub(in crate::db) fn print_receipt(&mut self, moment: &Moment, sale: &SaleCompleted) -> Result<(), Error> {
        // What is read from a file had its receipt elsewhere.
        if !self.paper.prints(RECEIPT, &sale.till_id) || sale.imported.is_some() {
            return Ok(());
        }
        let receipt = receipt_of_sale(sale, &self.paper);
        let goes = Goes { role: RECEIPT, till_id: &sale.till_id, subject: sale.sale_id.to_string() };
        self.put_in(moment, Kind::Receipt, goes, receipt)
    }

    /// The receipt of a refund.
    pub(in crate::db) fn print_refund(
        &mut self,
        moment: &Moment,
        refund: &RefundCompleted,
        sale: &SaleCompleted,
    ) -> Result<(), Error> {
        if !self.paper.prints(RECEIPT, &refund.till_id) {
            return Ok(());
        }
        let receipt = receipt_of_refund(refund, sale, &self.paper);
        let goes = Goes { role: RECEIPT, till_id: &refund.till_id, subject: refund.refund_id.to_string() };
        self.put_in(moment, Kind::Refund, goes, receipt)
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
        qr: Some(scanned(sale.sale_id)),
        footer: plan.footer.clone(),
        drawer: has_cash && !plan.is_training,
        of_receipt: None,
        reason: None,
        approver: None,
    }
}

fn receipt_of_refund(refund: &RefundCompleted, sale: &SaleCompleted, plan: &PaperPlan) -> Receipt {
    let line = |line: &RefundLine| Line {
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

/// A sale's id for a QR code: capital hexadecimal digits take the smallest code, and every path of the API reads them.
fn scanned(sale_id: SaleId) -> String {
    sale_id.uuid().simple().to_string().to_uppercase()
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
