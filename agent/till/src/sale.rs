//! What the till says, and what becomes of it.

use pos_model::{
    ApprovalId, AttemptId, BasketId, BookHash, ItemId, Money, OperatorId, Quantity, SaleId, Sku, Stamp, Tag, TillId,
};
use pricing::book::CashRounding;
use pricing::{Context, Right};

/// The customer has paid; make it a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteSale {
    /// Made by the till, and kept there before it asked.
    pub sale_id: SaleId,
    /// Where.
    pub till_id: TillId,
    /// Who.
    pub operator_id: Option<OperatorId>,
    /// How the order came in.
    pub channel: Tag,
    /// What somebody else has allowed.
    pub approval_id: Option<ApprovalId>,
    /// The basket of which it is made.
    pub basket: Option<BasketAt>,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// The member, by a tag that is no name and no contact.
    pub member_tag: Option<String>,
    /// What is sold.
    pub lines: Vec<Line>,
    /// What was handed over.
    pub tenders: Vec<Tender>,
    /// How what is paid in cash is rounded, where it is.
    pub cash_rounding: Option<CashRounding>,
    /// The total that the till has shown to the customer.
    pub expected_total: Option<Money>,
    /// The version of the price book that the till used.
    pub price_book_version: Option<String>,
    /// Set if the lines were priced here by a price book.
    pub priced_by: Option<PricedBy>,
    /// Set when the sale was made elsewhere and is read from a file.
    pub imported: Option<Imported>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A basket as it was when the sale was priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasketAt {
    /// The basket.
    pub basket_id: BasketId,
    /// Which of its changes was the last.
    pub revision: u64,
}

/// What the prices of a sale followed from, and what else followed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedBy {
    /// The content of the price book.
    pub book_hash: BookHash,
    /// The circumstances.
    pub context: Context,
    /// The coupons that the sale spends, an entry for each.
    pub coupons_spent: Vec<Tag>,
    /// The rights that it takes from campaigns.
    pub rights: Vec<Right>,
    /// The points that the member earns.
    pub points: i64,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is sold.
    pub sku: Sku,
    /// Its name on the receipt.
    pub name: String,
    /// What the customer asked for besides, in words.
    pub note: Option<String>,
    /// How much of it.
    pub quantity: Quantity,
    /// The price of one unit without options.
    pub unit_price: Money,
    /// What the customer chose.
    pub options: Vec<ChosenOption>,
    /// What changes the price.
    pub adjustments: Vec<Adjustment>,
    /// The tax group.
    pub tax_group: Tag,
    /// The rate of the tax, in parts per million of the net amount.
    pub tax_rate_ppm: u32,
    /// Whether the tax comes on top of the prices, and is not in them.
    pub tax_on_top: bool,
    /// What the customer pays for each unit, tax included, where that is not an equal share.
    pub unit_gross: Vec<Money>,
    /// What it takes from stock.
    pub consumption: Vec<Consumption>,
    /// Where it is made; none if it is taken from a shelf.
    pub station: Option<Tag>,
}

/// An option on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenOption {
    /// Its code on the menu.
    pub code: Sku,
    /// Its name.
    pub name: String,
    /// What it adds to one unit.
    pub price: Money,
}

/// A change of a line's price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Why.
    pub reason: Tag,
    /// The promotion, where there is one.
    pub promotion_id: Option<String>,
    /// By how much; negative in the customer's favour.
    pub amount: Money,
}

/// What a line takes from stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumption {
    /// The ingredient or article.
    pub item_id: ItemId,
    /// How much, for the whole line, in the item's base unit.
    pub quantity: Quantity,
}

/// A means of payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tender {
    /// `cash`, `card` and so on.
    pub kind: Tag,
    /// The amount handed over, change included.
    pub amount: Money,
    /// The attempt at a payment terminal that was approved for it.
    pub attempt_id: Option<AttemptId>,
    /// What the terminal calls it.
    pub reference: Option<String>,
}

/// Marks a sale as read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// A name for the file or system.
    pub source: String,
    /// The order's key there.
    pub reference: String,
    /// When it was sold; this decides its business date.
    pub sold_at: Stamp,
}

/// A sale that obeys every rule, is priced, and is paid. Only [`crate::complete`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaleDraft {
    /// Made by the till.
    pub sale_id: SaleId,
    /// Where.
    pub till_id: TillId,
    /// Who.
    pub operator_id: Option<OperatorId>,
    /// How the order came in.
    pub channel: Tag,
    /// What somebody else has allowed.
    pub approval_id: Option<ApprovalId>,
    /// The basket of which it is made.
    pub basket: Option<BasketAt>,
    /// The table, or the name that is called out.
    pub label: Option<String>,
    /// The member's tag.
    pub member_tag: Option<String>,
    /// What is sold; at least one line.
    pub lines: Vec<DraftLine>,
    /// What was handed over.
    pub tenders: Vec<Tender>,
    /// What goes back in cash.
    pub change: Money,
    /// What rounding adds to the part that is paid in cash; negative in the customer's favour. No part of the gross.
    pub cash_rounding: Money,
    /// What the customer pays, tax included.
    pub gross: Money,
    /// The tax in it.
    pub tax: Money,
    /// The sum of the lines' quantities.
    pub quantity: Quantity,
    /// The version of the price book.
    pub price_book_version: Option<String>,
    /// What its prices followed from, if they were computed here.
    pub priced_by: Option<PricedBy>,
    /// Where it was read from, if it was.
    pub imported: Option<Imported>,
    /// Whether its prices are the till's own where the store sells by a book, so that somebody has to allow them.
    pub asks_for_own_prices: bool,
    /// W3C trace context, if it was one.
    pub traceparent: Option<String>,
}

/// A line with its amounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftLine {
    /// As it was said.
    pub line: Line,
    /// What the customer pays for it, tax included.
    pub gross: Money,
    /// Its share of the tax.
    pub tax: Money,
}
