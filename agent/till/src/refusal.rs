//! Why a command does not become a sale.

use pos_model::{Money, Nth, Tag};
use pricing::PricingError;

use crate::payment::PaymentRefusal;
use crate::sold_out::{Missing, in_words};

/// A rule that the command breaks. Lines and tenders are counted from one, as on a screen.
///
/// The text names amounts in minor units; a screen that knows its currency makes its own from the key and the numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the numbers in a variant are named as in its text")]
pub enum Refusal {
    /// Nothing, or too much, is sold.
    #[error("a sale has 1 to {max} lines, this one has {count}")]
    LineCount { count: usize, max: usize },
    /// Too many of something on one line.
    #[error("the {} line has {count} {what}, at most {max} are possible", Nth(*line))]
    LineParts { line: usize, what: &'static str, count: usize, max: usize },
    /// Too many tenders.
    #[error("a sale has at most {max} tenders, this one has {count}")]
    TenderCount { count: usize, max: usize },
    /// A text is too long.
    #[error("{field} has {chars} characters, at most {max} are possible")]
    TextTooLong { field: &'static str, chars: usize, max: usize },
    /// A text has control characters, which have no place on a receipt.
    #[error("{field} has a control character")]
    TextUnprintable { field: &'static str },
    /// A quantity that is no number, or has more than six decimals.
    #[error("the {} line has a quantity that is no decimal with at most six places", Nth(*line))]
    QuantityFormat { line: usize },
    /// A quantity of nothing, or of less.
    #[error("the {} line has a quantity that is not above zero", Nth(*line))]
    QuantityNotPositive { line: usize },
    /// A quantity beyond all sense.
    #[error("the {} line has a quantity above {max_units} units", Nth(*line))]
    QuantityTooLarge { line: usize, max_units: i64 },
    /// A line that puts something into stock.
    #[error("the {} line takes a negative quantity of {item} from stock", Nth(*line))]
    ConsumptionNegative { line: usize, item: String },
    /// The adjustments of a line take more than its price.
    #[error("the {} line comes to {} minor units, which is less than nothing", Nth(*line), gross.minor())]
    LineNegative { line: usize, gross: Money },
    /// A tax group with two rates.
    #[error("tax group {group} has the rates {first_ppm} and {second_ppm} in one sale")]
    TaxRatesDiffer { group: Tag, first_ppm: u32, second_ppm: u32 },
    /// An amount beyond all sense.
    #[error("an amount is above {max_minor} minor units")]
    AmountTooLarge { max_minor: i64 },
    /// The till showed another total.
    #[error("the till shows {} minor units, the sale comes to {}", expected.minor(), total.minor())]
    TotalDiffers { expected: Money, total: Money },
    /// A tender of nothing, or of less.
    #[error("the {} tender is not above zero", Nth(*tender))]
    TenderNotPositive { tender: usize },
    /// What was handed over does not cover the total.
    #[error("{} minor units were tendered, the sale comes to {}", tendered.minor(), total.minor())]
    TenderTooSmall { tendered: Money, total: Money },
    /// More was taken by card, wallet or voucher than the sale costs: only cash gives change.
    #[error("{} minor units were tendered without cash, the sale comes to {}", tendered.minor(), total.minor())]
    TenderWithoutChange { tendered: Money, total: Money },
    /// More change than anybody gives.
    #[error("{} minor units of change are more than a sale gives ({max_minor}); look at what was handed over", change.minor())]
    ChangeTooLarge { change: Money, max_minor: i64 },
    /// Of two lines of one tax group one has its tax in the price, and one on top.
    #[error("tax group {group} has its tax in the price and on top")]
    TaxModesDiffer { group: Tag },
    /// The price book does not sell this, or not like this.
    #[error("the price book does not sell this: {problem}")]
    NotByTheBook { problem: String },
    /// More coupons, tags or used promotions than an order may name.
    #[error("the order names {count} {what}, at most {max} are possible")]
    OrderParts { what: &'static str, count: usize, max: usize },
    /// Something of it cannot be had.
    #[error("sold out: {}", in_words(.missing))]
    SoldOut { missing: Vec<Missing> },
    /// The store has no price book by which an order could be priced.
    #[error("the store has no price book: load one, or name prices")]
    NoPriceBook,
    /// Two ways to say what is sold.
    #[error("a sale has lines or an order, not both")]
    LinesAndOrder,
    /// A basket is paid as a till has shown it, so both are named or neither.
    #[error("a sale of a basket names the basket and the revision that was shown to the customer")]
    BasketRevision,
    /// An imported sale of no possible time.
    #[error("the time of the imported sale is outside the years 1970 to 9999, or its offset above a day")]
    SoldAt,
    /// A till that the store does not know, although it has as many as it may have.
    #[error("this store has {max} tills already; a till keeps its id for ever")]
    TooManyTills { max: i64 },
    /// A tender names an attempt at a terminal that does not pay for it.
    #[error(transparent)]
    Payment(#[from] PaymentRefusal),
    /// All is well with each part, but together they are more than one event can carry to the centre.
    #[error("the sale takes {bytes} bytes, at most {max} are possible")]
    TooLarge { bytes: usize, max: usize },
}

impl Refusal {
    /// The key under which a screen finds its own words.
    pub fn message_key(&self) -> &'static str {
        match self {
            Self::LineCount { .. } => "sale.line_count",
            Self::LineParts { .. } => "sale.line_parts",
            Self::TenderCount { .. } => "sale.tender_count",
            Self::TextTooLong { .. } => "sale.text_too_long",
            Self::TextUnprintable { .. } => "sale.text_unprintable",
            Self::QuantityFormat { .. } => "sale.quantity_format",
            Self::QuantityNotPositive { .. } => "sale.quantity_not_positive",
            Self::QuantityTooLarge { .. } => "sale.quantity_too_large",
            Self::ConsumptionNegative { .. } => "sale.consumption_negative",
            Self::LineNegative { .. } => "sale.line_negative",
            Self::TaxRatesDiffer { .. } => "sale.tax_rates_differ",
            Self::TaxModesDiffer { .. } => "sale.tax_modes_differ",
            Self::NotByTheBook { .. } => "sale.not_by_the_book",
            Self::OrderParts { .. } => "sale.order_parts",
            // The first one speaks for all of them.
            Self::SoldOut { missing } => {
                missing.first().map_or("sold_out.sku", |first| first.part.kind().message_key())
            }
            Self::NoPriceBook => "sale.no_price_book",
            Self::LinesAndOrder => "sale.lines_and_order",
            Self::BasketRevision => "sale.basket_revision",
            Self::AmountTooLarge { .. } => "sale.amount_too_large",
            Self::TotalDiffers { .. } => "sale.total_differs",
            Self::TenderNotPositive { .. } => "sale.tender_not_positive",
            Self::TenderTooSmall { .. } => "sale.tender_too_small",
            Self::TenderWithoutChange { .. } => "sale.tender_without_change",
            Self::ChangeTooLarge { .. } => "sale.change_too_large",
            Self::SoldAt => "sale.sold_at",
            Self::TooManyTills { .. } => "sale.too_many_tills",
            Self::Payment(refusal) => refusal.message_key(),
            Self::TooLarge { .. } => "sale.too_large",
        }
    }
}

impl From<PricingError> for Refusal {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::Overflow => Self::AmountTooLarge { max_minor: crate::limits::AMOUNT_MINOR_MAX },
            PricingError::NegativeLine { line, gross } => Self::LineNegative { line: line + 1, gross },
            PricingError::TwoRates { group, first_ppm, second_ppm } => {
                Self::TaxRatesDiffer { group, first_ppm, second_ppm }
            }
            PricingError::TwoModes { group } => Self::TaxModesDiffer { group },
        }
    }
}
