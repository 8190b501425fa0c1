//! What each kind of paper is made from: the names that its template can use.
//!
//! Amounts are whole minor units, quantities millionths, as everywhere; the filters `money` and `quantity` make text of them.
//! Times are text already, because only the store knows its zone. What may be missing is null, never absent: a template that
//! misspells a name is told so.

mod sample;

use serde::{Deserialize, Serialize};

pub use sample::sample;

/// The currency of the amounts, which the filter `money` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Currency {
    /// Its ISO 4217 code.
    pub code: String,
    /// Digits behind the point: 0, 2 or 3.
    pub exponent: u8,
}

/// Who sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// What stands above everything.
    pub name: String,
    /// Address, tax number, telephone: a line each.
    pub lines: Vec<String>,
}

/// A promotion, an override, or a voucher that changed an amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// As the customer reads it.
    pub name: String,
    /// Below zero if it makes the sale cheaper.
    pub amount_minor: i64,
}

/// One line of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What was sold.
    pub name: String,
    /// How much of it, in millionths.
    pub quantity_micro: i64,
    /// What was chosen: size, sugar, ice, toppings.
    pub options: Vec<String>,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// The line before its adjustments.
    pub amount_minor: i64,
    /// What changed the amount.
    pub adjustments: Vec<Adjustment>,
}

/// One tax rate of a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// Such as `VAT`.
    pub name: String,
    /// Such as `6%`.
    pub rate: String,
    /// What it is taken from.
    pub base_minor: i64,
    /// The tax.
    pub amount_minor: i64,
}

/// How a part of the sale was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tender {
    /// Such as `Cash`.
    pub name: String,
    /// Such as the last digits of a card.
    pub detail: Option<String>,
    /// What was handed over.
    pub amount_minor: i64,
}

/// A receipt, and the receipt of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of all amounts.
    pub currency: Currency,
    /// Who sells.
    pub store: Store,
    /// The number on the receipt.
    pub receipt_number: String,
    /// The number that is called.
    pub pickup_number: Option<String>,
    /// Which till.
    pub till: String,
    /// Who sold it.
    pub operator: String,
    /// When, in the store's time.
    pub at: String,
    /// Such as `Takeaway`, or a table.
    pub service: Option<String>,
    /// What was sold or taken back.
    pub lines: Vec<Line>,
    /// The lines with their adjustments, before those of the whole.
    pub subtotal_minor: i64,
    /// What changed the whole.
    pub adjustments: Vec<Adjustment>,
    /// The taxes in the total.
    pub taxes: Vec<Tax>,
    /// What cash rounding added or took away.
    pub rounding_minor: i64,
    /// What was to be paid.
    pub total_minor: i64,
    /// What was paid with.
    pub tenders: Vec<Tender>,
    /// What was given back.
    pub change_minor: i64,
    /// For a QR code at the end, such as a link to an invoice.
    pub qr: Option<String>,
    /// Words at the end, a line each.
    pub footer: Vec<String>,
    /// Whether the drawer opens.
    pub drawer: bool,
    /// Refunds only: the number of the receipt that is refunded.
    pub of_receipt: Option<String>,
    /// Refunds only: why.
    pub reason: Option<String>,
    /// Refunds only: who allowed it.
    pub approver: Option<String>,
}

/// The label of one cup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CupLabel {
    /// Who sells.
    pub store: Store,
    /// The number that is called.
    pub pickup_number: String,
    /// Which cup of the order, from 1.
    pub cup: u32,
    /// How many cups the order has.
    pub cups: u32,
    /// What to make.
    pub name: String,
    /// Size, sugar, ice, toppings.
    pub options: Vec<String>,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// Such as `Takeaway`.
    pub service: Option<String>,
    /// Who gets it.
    pub customer: Option<String>,
    /// When it was ordered.
    pub at: String,
    /// What a scan of the cup says.
    pub qr: Option<String>,
}

/// One line of a kitchen ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitchenLine {
    /// What to make.
    pub name: String,
    /// How much of it, in millionths.
    pub quantity_micro: i64,
    /// How.
    pub options: Vec<String>,
    /// What the customer asked for besides.
    pub note: Option<String>,
    /// Whether it was sent before and need not be made.
    pub voided: bool,
}

/// What a station has to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitchenTicket {
    /// Who makes it.
    pub station: String,
    /// The number that is called.
    pub pickup_number: String,
    /// A table or a name.
    pub table: Option<String>,
    /// Such as `Dine in`.
    pub service: Option<String>,
    /// When it was ordered.
    pub at: String,
    /// Who took the order.
    pub operator: String,
    /// What to make.
    pub lines: Vec<KitchenLine>,
    /// About the whole order.
    pub note: Option<String>,
}

/// One row of a report: a name with a count, an amount or a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// What is told.
    pub name: String,
    /// How many.
    pub count: Option<i64>,
    /// How much.
    pub amount_minor: Option<i64>,
    /// Something that is neither.
    pub text: Option<String>,
}

/// Rows that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSection {
    /// What they are about.
    pub title: String,
    /// The rows.
    pub rows: Vec<ReportRow>,
    /// Their sum, where it means something.
    pub total_minor: Option<i64>,
}

/// An X or Z report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of all amounts.
    pub currency: Currency,
    /// Who sells.
    pub store: Store,
    /// Such as `Z report`.
    pub title: String,
    /// Its number; an X report has none.
    pub number: Option<String>,
    /// The business date.
    pub business_date: String,
    /// Which till; none if it is the whole store.
    pub till: Option<String>,
    /// From when.
    pub opened_at: String,
    /// Until when; an X report is still open.
    pub closed_at: Option<String>,
    /// Who counted.
    pub operator: Option<String>,
    /// Everything that is told, in order.
    pub sections: Vec<ReportSection>,
    /// The hash that proves it.
    pub hash: Option<String>,
    /// When it was printed.
    pub printed_at: String,
}

/// The drawer is opened without a sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawer {
    /// Why.
    pub reason: String,
    /// Who.
    pub operator: String,
    /// When.
    pub at: String,
}

/// The page that shows what a printer can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestPage {
    /// Of the amount on it.
    pub currency: Currency,
    /// The printer's name.
    pub printer: String,
    /// The profile's name.
    pub profile: String,
    /// When.
    pub printed_at: String,
}
