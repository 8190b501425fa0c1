//! A sale as what it was before it was priced.

use pos_model::DayCutOff;
use pricing::{Basket, BasketLine, Context, Member};
use protocol::latest::{Pricing, SaleCompleted, SaleLine};

/// What was ordered.
pub(crate) fn basket(sale: &SaleCompleted) -> Basket {
    let line = |line: &SaleLine| BasketLine {
        sku: line.sku.clone(),
        options: line.options.iter().map(|option| option.code.clone()).collect(),
        quantity: line.quantity,
    };
    Basket { lines: sale.lines.iter().map(line).collect() }
}

/// The circumstances under which it was priced.
pub(crate) fn context(sale: &SaleCompleted, pricing: &Pricing) -> Context {
    Context {
        business_date: pricing.business_date,
        minute: pricing.minute,
        channel: sale.channel.clone(),
        region: pricing.region.clone(),
        store_groups: pricing.store_groups.clone(),
        takeaway: pricing.takeaway,
        member: pricing.member.as_ref().map(|member| Member {
            level: member.level.clone(),
            tags: member.tags.clone(),
            order_no: member.order_no,
            used: member.used.clone(),
        }),
        coupons: pricing.coupons.clone(),
        quotas: pricing.quotas.clone(),
    }
}

/// The circumstances of a sale whose store did not price it by a book: its channel, its business date and the time on its
/// clock, by a guest who takes it away.
pub(crate) fn bare_context(sale: &SaleCompleted) -> Context {
    Context {
        business_date: sale.business_date,
        ..Context::at(sale.sold_at, DayCutOff::default(), sale.channel.clone())
    }
}
