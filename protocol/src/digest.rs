//! What a store and the centre compare of a business date: how many sales and refunds there are, what they come to, and a
//! hash over each of them with its lines.
//!
//! The store computes it from the bytes of its events, the centre from the rows of its tables: so a row that is gone or was
//! changed shows, whatever the cursor says. The hash is a sum, so rows may be read in any order, by anybody: each header and
//! each line gives a BLAKE3 hash of what it says, and the four 64-bit lanes of all of them are added up modulo 2^64. That
//! finds accidents. It is no seal against somebody who chooses rows so that the sums agree; the hash chain over the events
//! is.
//!
//! The form of the hashed text never changes: both ends of a comparison may be of different versions.

use std::collections::BTreeMap;

use pos_model::{BusinessDate, Currency, FactsHash};

use crate::latest::{EventBody, FactSums, RefundCompleted, SaleCompleted};

/// Which kind of fact a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKind {
    /// A sale.
    Sale,
    /// A refund.
    Refund,
}

/// A sale or a refund without its lines, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct HeaderRecord<'a> {
    /// Which of the two.
    pub kind: FactKind,
    /// Its id.
    pub id: &'a [u8; 16],
    /// Where it counts.
    pub business_date: BusinessDate,
    /// When, in milliseconds since 1970 (UTC), by the store's clock.
    pub at_ms: i64,
    /// The till.
    pub till_id: &'a str,
    /// The number on its receipt.
    pub receipt_no: u64,
    /// The currency of its amounts.
    pub currency: Currency,
    /// How many lines it has.
    pub lines: u64,
    /// The sum of their quantities, in millionths.
    pub quantity_micro: i64,
    /// What was paid or given back, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// The gross without the tax.
    pub net_minor: i64,
}

/// A line of a sale or of a refund, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct LineRecord<'a> {
    /// Of which kind of fact.
    pub kind: FactKind,
    /// The id of the fact.
    pub id: &'a [u8; 16],
    /// Its place among the lines, from zero.
    pub position: u64,
    /// What was sold.
    pub sku: &'a str,
    /// How much of it, in millionths.
    pub quantity_micro: i64,
    /// What was paid or given back for it, tax included.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// The price of one unit of a sale; of a refund the line of its sale.
    pub reference: i64,
}

/// Sums and hash over any set of facts. Two sets are joined by [`FactsDigest::merge`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactsDigest {
    sums: BTreeMap<Currency, FactSums>,
    hash: FactsHash,
}

impl FactsDigest {
    /// Adds a header.
    pub fn header(&mut self, record: &HeaderRecord<'_>) {
        let sums = self.sums.entry(record.currency).or_insert_with(|| FactSums::nothing(record.currency));
        let (count, gross, tax) = match record.kind {
            FactKind::Sale => (&mut sums.sales, &mut sums.sales_gross_minor, &mut sums.sales_tax_minor),
            FactKind::Refund => (&mut sums.refunds, &mut sums.refunds_gross_minor, &mut sums.refunds_tax_minor),
        };
        *count = count.wrapping_add(1);
        *gross = gross.wrapping_add(record.gross_minor);
        *tax = tax.wrapping_add(record.tax_minor);
        let mut element = Element::new(record.kind, b'h', record.id);
        element.number(record.business_date.days().into()).number(record.at_ms).text(record.till_id);
        element.count(record.receipt_no).text(record.currency.as_str()).count(record.lines);
        element.number(record.quantity_micro).number(record.gross_minor);
        element.number(record.tax_minor).number(record.net_minor);
        self.hash.add(element.finish());
    }

    /// Adds a line.
    pub fn line(&mut self, record: &LineRecord<'_>) {
        let mut element = Element::new(record.kind, b'l', record.id);
        element.count(record.position).text(record.sku).number(record.quantity_micro);
        element.number(record.gross_minor).number(record.tax_minor).number(record.reference);
        self.hash.add(element.finish());
    }

    /// Adds a sale with its lines.
    pub fn sale(&mut self, sale: &SaleCompleted) {
        let (kind, id) = (FactKind::Sale, sale.sale_id.as_bytes());
        self.header(&HeaderRecord {
            kind,
            id,
            business_date: sale.business_date,
            at_ms: sale.sold_at.utc_ms,
            till_id: sale.till_id.as_str(),
            receipt_no: sale.receipt_no,
            currency: sale.currency,
            lines: count(sale.lines.len()),
            quantity_micro: sale.totals.quantity.micro(),
            gross_minor: sale.totals.gross_minor.minor(),
            tax_minor: sale.totals.tax_minor.minor(),
            net_minor: sale.totals.net_minor.minor(),
        });
        for (position, line) in (0..).zip(&sale.lines) {
            self.line(&LineRecord {
                kind,
                id,
                position,
                sku: line.sku.as_str(),
                quantity_micro: line.quantity.micro(),
                gross_minor: line.gross_minor.minor(),
                tax_minor: line.tax_minor.minor(),
                reference: line.unit_price_minor.minor(),
            });
        }
    }

    /// Adds a refund with its lines.
    pub fn refund(&mut self, refund: &RefundCompleted) {
        let (kind, id) = (FactKind::Refund, refund.refund_id.as_bytes());
        self.header(&HeaderRecord {
            kind,
            id,
            business_date: refund.business_date,
            at_ms: refund.refunded_at.utc_ms,
            till_id: refund.till_id.as_str(),
            receipt_no: refund.receipt_no,
            currency: refund.currency,
            lines: count(refund.lines.len()),
            quantity_micro: refund.totals.quantity.micro(),
            gross_minor: refund.totals.gross_minor.minor(),
            tax_minor: refund.totals.tax_minor.minor(),
            net_minor: refund.totals.net_minor.minor(),
        });
        for (position, line) in (0..).zip(&refund.lines) {
            self.line(&LineRecord {
                kind,
                id,
                position,
                sku: line.sku.as_str(),
                quantity_micro: line.quantity.micro(),
                gross_minor: line.gross_minor.minor(),
                tax_minor: line.tax_minor.minor(),
                reference: line.line.into(),
            });
        }
    }

    /// Adds an event, if it is of a kind that is compared.
    pub fn event(&mut self, body: &EventBody) {
        match body {
            EventBody::SaleCompleted(sale) => self.sale(sale),
            EventBody::RefundCompleted(refund) => self.refund(refund),
            _ => {}
        }
    }

    /// Adds all that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (currency, more) in &other.sums {
            let sums = self.sums.entry(*currency).or_insert_with(|| FactSums::nothing(*currency));
            sums.sales = sums.sales.wrapping_add(more.sales);
            sums.sales_gross_minor = sums.sales_gross_minor.wrapping_add(more.sales_gross_minor);
            sums.sales_tax_minor = sums.sales_tax_minor.wrapping_add(more.sales_tax_minor);
            sums.refunds = sums.refunds.wrapping_add(more.refunds);
            sums.refunds_gross_minor = sums.refunds_gross_minor.wrapping_add(more.refunds_gross_minor);
            sums.refunds_tax_minor = sums.refunds_tax_minor.wrapping_add(more.refunds_tax_minor);
        }
        self.hash.add(other.hash);
    }

    /// The sums, a row for each currency, in order of currencies.
    pub fn sums(&self) -> Vec<FactSums> {
        self.sums.values().copied().collect()
    }

    /// The hash over all of it.
    pub fn hash(&self) -> FactsHash {
        self.hash
    }
}

/// The business date on which an event counts, if it moves what is kept by business date: sales, refunds and stock.
pub fn date_of(body: &EventBody) -> Option<BusinessDate> {
    match body {
        EventBody::SaleCompleted(sale) => Some(sale.business_date),
        EventBody::RefundCompleted(refund) => Some(refund.business_date),
        EventBody::StockMoved(moved) => Some(moved.business_date),
        _ => None,
    }
}

/// The kinds of the events that have such a date.
pub const DATED_KINDS: [&str; 3] = [SaleCompleted::KIND, RefundCompleted::KIND, crate::latest::StockMoved::KIND];

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// One record on its way into a hash: numbers with eight bytes, texts with their length before them.
struct Element(blake3::Hasher);

impl Element {
    fn new(kind: FactKind, part: u8, id: &[u8; 16]) -> Self {
        let kind = match kind {
            FactKind::Sale => b's',
            FactKind::Refund => b'r',
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind, part]);
        hasher.update(id);
        Self(hasher)
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn count(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.count(count(text.len()));
        self.0.update(text.as_bytes());
        self
    }

    fn finish(&self) -> FactsHash {
        FactsHash::from_bytes(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(id: &[u8; 16], gross_minor: i64) -> HeaderRecord<'_> {
        HeaderRecord {
            kind: FactKind::Sale,
            id,
            business_date: BusinessDate::from_days(20_000),
            at_ms: 7,
            till_id: "T1",
            receipt_no: 3,
            currency: Currency::CNY,
            lines: 1,
            quantity_micro: 5,
            gross_minor,
            tax_minor: 1,
            net_minor: gross_minor - 1,
        }
    }

    fn line(id: &[u8; 16], position: u64) -> LineRecord<'_> {
        LineRecord {
            kind: FactKind::Sale,
            id,
            position,
            sku: "tea",
            quantity_micro: 5,
            gross_minor: 9,
            tax_minor: 1,
            reference: 4,
        }
    }

    fn digest(work: impl FnOnce(&mut FactsDigest)) -> FactsDigest {
        let mut digest = FactsDigest::default();
        work(&mut digest);
        digest
    }

    #[test]
    fn whatever_differs_shows() {
        let id = [1; 16];
        let base = digest(|digest| {
            digest.header(&header(&id, 900));
            digest.line(&line(&id, 0));
        });
        let check = |what: &str, work: &dyn Fn(&mut FactsDigest)| {
            assert_ne!(base.hash(), digest(|digest| work(digest)).hash(), "{what}");
        };
        check("nothing", &|_| {});
        check("a line is gone", &|digest| digest.header(&header(&id, 900)));
        check("another amount", &|digest| {
            digest.header(&header(&id, 901));
            digest.line(&line(&id, 0));
        });
        check("another place of a line", &|digest| {
            digest.header(&header(&id, 900));
            digest.line(&line(&id, 1));
        });
        check("a line is there twice", &|digest| {
            digest.header(&header(&id, 900));
            digest.line(&line(&id, 0));
            digest.line(&line(&id, 0));
        });
        check("a refund", &|digest| {
            digest.header(&HeaderRecord { kind: FactKind::Refund, ..header(&id, 900) });
            digest.line(&LineRecord { kind: FactKind::Refund, ..line(&id, 0) });
        });
        check("text that moved from one field to the next", &|digest| {
            digest.header(&HeaderRecord { till_id: "T1\u{3}", ..header(&id, 900) });
            digest.line(&line(&id, 0));
        });
    }

    proptest! {
        #[test]
        fn neither_order_nor_grouping_matters(
            ids in prop::collection::vec(any::<[u8; 16]>(), 0..20),
            amounts in prop::collection::vec(any::<i32>(), 20),
            cut in 0_usize..20,
        ) {
            let sales: Vec<_> = ids.iter().zip(&amounts).collect();
            let whole = digest(|digest| sales.iter().for_each(|(id, gross)| digest.header(&header(id, i64::from(**gross)))));
            let cut = cut.min(sales.len());
            let part = |sales: &[(&[u8; 16], &i32)]| {
                digest(|digest| sales.iter().rev().for_each(|(id, gross)| digest.header(&header(id, i64::from(**gross)))))
            };
            let mut joined = part(&sales[cut..]);
            joined.merge(&part(&sales[..cut]));
            prop_assert_eq!(whole, joined);
        }
    }
}
