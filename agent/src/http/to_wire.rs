//! From what is recorded to what a till hears.

use protocol::latest::local_api::{
    AdjustmentCommand, ImportedView, LineView, OptionCommand, SaleReceipt, SaleView, TenderCommand,
};
use protocol::latest::{SaleCompleted, SaleLine};

/// A recorded sale.
pub(super) fn sale_view(receipt: SaleReceipt, sale: SaleCompleted, synced: bool) -> SaleView {
    SaleView {
        receipt: SaleReceipt { cash_rounding_minor: sale.cash_rounding_minor, ..receipt },
        channel: sale.channel,
        operator_id: sale.operator_id,
        shift_id: sale.shift_id,
        basket_id: sale.basket_id,
        label: sale.label,
        lines: sale.lines.into_iter().map(line_view).collect(),
        tenders: sale
            .tenders
            .into_iter()
            .map(|tender| TenderCommand {
                kind: tender.kind,
                amount_minor: tender.amount_minor,
                attempt_id: tender.attempt_id,
            })
            .collect(),
        imported: sale.imported.map(|imported| ImportedView { source: imported.source, reference: imported.reference }),
        synced,
    }
}

fn line_view(line: SaleLine) -> LineView {
    LineView {
        sku: line.sku,
        name: line.name,
        note: line.note,
        quantity: line.quantity.into(),
        unit_price_minor: line.unit_price_minor,
        options: line
            .options
            .into_iter()
            .map(|option| OptionCommand { code: option.code, name: Some(option.name), price_minor: option.price_minor })
            .collect(),
        adjustments: line
            .adjustments
            .into_iter()
            .map(|change| AdjustmentCommand {
                reason: change.reason,
                promotion_id: change.promotion_id,
                amount_minor: change.amount_minor,
            })
            .collect(),
        gross_minor: line.gross_minor,
        tax_minor: line.tax_minor,
    }
}
