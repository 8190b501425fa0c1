//! Orders from a price book's own menu, for the agent to price.

use pos_model::{SaleId, TillId};
use pricing::book::{MenuItem, OptionGroup, PriceBook, Variant};
use protocol::latest::PricingMember;
use protocol::latest::local_api::{CompleteSale, QuantityJson};
use protocol::latest::order::{OrderCommand, OrderLine};
use sync_core::Random;

use super::order::{sale_id, tag};

/// One order in so many comes from a gold member.
const GOLD_EVERY: u64 = 5;

/// One line in so many has an option beside those that the menu presets.
const EXTRA_EVERY: u64 = 3;

/// An order of the book's menu with the id of its sale. What it costs is up to whoever prices it.
#[derive(Debug, Clone)]
pub struct BookOrder {
    /// The sale that it becomes.
    pub sale_id: SaleId,
    /// What is ordered.
    pub order: OrderCommand,
}

impl BookOrder {
    /// Makes an order. `at_ms` is the moment in its id (milliseconds since 1970).
    pub(super) fn new(random: &mut Random, at_ms: u64, book: &PriceBook) -> Self {
        let menu: Vec<(&MenuItem, &Variant)> =
            book.items.values().flat_map(|item| item.variants.iter().map(move |variant| (item, variant))).collect();
        let lines = (0..=random.below(3)).map(|_| {
            let (item, variant) = menu[below(random, menu.len())];
            let groups: Vec<&OptionGroup> =
                item.option_groups.iter().filter_map(|group| book.option_groups.get(group)).collect();
            let mut options: Vec<_> = groups.iter().flat_map(|group| group.defaults.iter().cloned()).collect();
            // A group without a preset is one of toppings, of which any may be left out.
            let toppings = groups.iter().find(|group| group.defaults.is_empty() && !group.options.is_empty());
            if let Some(toppings) = toppings.filter(|_| random.below(EXTRA_EVERY) == 0) {
                options.push(toppings.options[below(random, toppings.options.len())].code.clone());
            }
            let quantity = QuantityJson::Whole(1 + i64::from(random.below(4) == 0));
            OrderLine { sku: variant.sku.clone(), options, quantity, note: None }
        });
        let lines = lines.collect();
        let member = (random.below(GOLD_EVERY) == 0)
            .then(|| PricingMember { level: Some(tag("gold")), ..PricingMember::default() });
        let order = OrderCommand { lines, takeaway: random.below(2) == 0, member, coupons: Vec::new() };
        Self { sale_id: sale_id(random, at_ms), order }
    }

    /// The command that sells it for what the customer was shown, in minor units.
    pub fn sell(&self, till_id: &TillId, shown_minor: i64) -> CompleteSale {
        CompleteSale {
            approval_id: None,
            basket_id: None,
            basket_revision: None,
            label: None,
            sale_id: self.sale_id,
            till_id: till_id.clone(),
            operator_id: None,
            channel: tag("counter"),
            member_tag: None,
            lines: Vec::new(),
            order: Some(self.order.clone()),
            tenders: if shown_minor == 0 { Vec::new() } else { vec![super::order::tender("wallet", shown_minor)] },
            expected_total_minor: Some(pos_model::Money::from_minor(shown_minor)),
            price_book_version: None,
            imported: None,
            traceparent: None,
        }
    }
}

fn below(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.below(count.max(1) as u64)).unwrap_or(0)
}
