//! A draft and its numbers as the event that the centre gets.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, Currency, Money, ShiftId, Stamp, Tag};
use protocol::latest::{
    Adjustment, ChosenOption, Consumption, ImportedFrom, Pricing, PricingMember, SaleCompleted, SaleLine, SaleTotals,
    Tender,
};
use till::{DraftLine, PricedBy, SaleDraft};

/// What the agent adds to a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) receipt_no: u64,
    pub(super) pickup_no: u32,
    pub(super) sold_at: Stamp,
    pub(super) business_date: BusinessDate,
    pub(super) currency: Currency,
    pub(super) shift_id: Option<ShiftId>,
}

pub(super) fn sale_completed(draft: SaleDraft, numbers: Numbers) -> SaleCompleted {
    let net = draft.gross.minor().saturating_sub(draft.tax.minor());
    SaleCompleted {
        sale_id: draft.sale_id,
        till_id: draft.till_id,
        shift_id: numbers.shift_id,
        basket_id: draft.basket.map(|basket| basket.basket_id),
        label: draft.label,
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
            .map(|tender| Tender {
                kind: tender.kind,
                amount_minor: tender.amount,
                attempt_id: tender.attempt_id,
                reference: tender.reference,
            })
            .collect(),
        change_minor: draft.change,
        cash_rounding_minor: draft.cash_rounding,
        totals: SaleTotals {
            gross_minor: draft.gross,
            tax_minor: draft.tax,
            net_minor: Money::from_minor(net),
            quantity: draft.quantity,
        },
        price_book_version: draft.price_book_version,
        pricing: draft.priced_by.map(pricing),
        imported: draft
            .imported
            .map(|imported| ImportedFrom { source: imported.source, reference: imported.reference }),
        traceparent: draft.traceparent,
    }
}

fn pricing(priced_by: PricedBy) -> Pricing {
    let PricedBy { book_hash, context, coupons_spent, rights, points } = priced_by;
    let mut taken: BTreeMap<Tag, u32> = BTreeMap::new();
    for right in rights {
        let uses = taken.entry(right.quota).or_default();
        *uses = uses.saturating_add(right.uses);
    }
    Pricing {
        book_hash,
        business_date: context.business_date,
        minute: context.minute,
        region: context.region,
        store_groups: context.store_groups,
        takeaway: context.takeaway,
        member: context.member.map(|member| PricingMember {
            level: member.level,
            tags: member.tags,
            order_no: member.order_no,
            used: member.used,
        }),
        coupons: context.coupons,
        quotas: context.quotas,
        coupons_spent,
        rights: taken,
        points,
    }
}

fn sale_line(priced: DraftLine) -> SaleLine {
    let DraftLine { line, gross, tax } = priced;
    SaleLine {
        sku: line.sku,
        name: line.name,
        note: line.note,
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
        tax_on_top: line.tax_on_top,
        tax_minor: tax,
        unit_gross_minor: line.unit_gross,
        consumption: line
            .consumption
            .into_iter()
            .map(|consumed| Consumption { item_id: consumed.item_id, quantity: consumed.quantity })
            .collect(),
    }
}
