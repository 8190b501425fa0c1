//! A draft and its numbers as the event that the centre gets.

use pos_model::{BusinessDate, Currency, Money, Stamp};
use protocol::latest::{
    Adjustment, ChosenOption, Consumption, ImportedFrom, SaleCompleted, SaleLine, SaleTotals, Tender,
};
use till::{DraftLine, SaleDraft};

/// What the agent adds to a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) receipt_no: u64,
    pub(super) pickup_no: u32,
    pub(super) sold_at: Stamp,
    pub(super) business_date: BusinessDate,
    pub(super) currency: Currency,
}

pub(super) fn sale_completed(draft: SaleDraft, numbers: Numbers) -> SaleCompleted {
    let net = draft.gross.minor() - draft.tax.minor();
    SaleCompleted {
        sale_id: draft.sale_id,
        till_id: draft.till_id,
        operator_id: draft.operator_id,
        channel: draft.channel,
        member_tag: draft.member_tag,
        receipt_no: numbers.receipt_no,
        pickup_no: numbers.pickup_no,
        sold_at: numbers.sold_at,
        business_date: numbers.business_date,
        currency: numbers.currency,
        lines: draft.lines.into_iter().map(sale_line).collect(),
        tenders: draft
            .tenders
            .into_iter()
            .map(|tender| Tender { kind: tender.kind, amount_minor: tender.amount })
            .collect(),
        change_minor: draft.change,
        totals: SaleTotals {
            gross_minor: draft.gross,
            tax_minor: draft.tax,
            net_minor: Money::from_minor(net),
            quantity: draft.quantity,
        },
        price_book_version: draft.price_book_version,
        imported: draft
            .imported
            .map(|imported| ImportedFrom { source: imported.source, reference: imported.reference }),
        traceparent: draft.traceparent,
    }
}

fn sale_line(priced: DraftLine) -> SaleLine {
    let DraftLine { line, gross, tax } = priced;
    SaleLine {
        sku: line.sku,
        name: line.name,
        quantity: line.quantity,
        unit_price_minor: line.unit_price,
        options: line
            .options
            .into_iter()
            .map(|option| ChosenOption { code: option.code, name: option.name, price_minor: option.price })
            .collect(),
        adjustments: line
            .adjustments
            .into_iter()
            .map(|change| Adjustment {
                reason: change.reason,
                promotion_id: change.promotion_id,
                amount_minor: change.amount,
            })
            .collect(),
        gross_minor: gross,
        tax_group: line.tax_group,
        tax_rate_ppm: line.tax_rate_ppm,
        tax_minor: tax,
        consumption: line
            .consumption
            .into_iter()
            .map(|consumed| Consumption { item_id: consumed.item_id, quantity: consumed.quantity })
            .collect(),
    }
}
