//! What the sales of a group move, gathered in memory and written once: a busy store's day is one row, not a thousand
//! updates of it. Keys are sorted, so that the writes walk each table in its own order.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use pos_model::TillId;

use super::counter::CounterEffects;
use super::numbers::{self, ParkedNumber};
use super::tables::{DayKey, Direction, NumberKind, SaleRow, StoreCounts, Tables, Totals};
use crate::ledger::fault::Fault;

#[derive(Debug, Default)]
pub(super) struct Effects<'g> {
    stores: Table<i64, StoreCounts>,
    totals: Table<DayKey, Totals>,
    used: Table<(i64, i32, &'g str), i64>,
    /// Receipt number and event of each sale and refund, by store and till.
    receipts: Table<(i64, &'g str), Vec<(i64, i64)>>,
    /// The same of those that are parked.
    parked_receipts: Table<(i64, &'g str), Vec<ParkedNumber>>,
    /// Those of what else happens at the counter.
    pub(super) counter: CounterEffects<'g>,
}

pub(in crate::ledger) type Table<K, V> = HashMap<K, V, Seed>;

/// Several keys are looked up for each sale, so the hash is a few multiplications and no more. It starts from a random
/// number of the process, so that nobody can choose names of items that collide.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Seed(u64);

#[derive(Debug)]
pub(in crate::ledger) struct Mixer(u64);

impl Default for Seed {
    fn default() -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
        Self(*SEED)
    }
}

impl BuildHasher for Seed {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        // The odd number nearest to 2^64 divided by the golden ratio (Fibonacci hashing).
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // The map takes its place from the low bits, and the product is well mixed in the high ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        }
        let rest =
            words.remainder().iter().fold(words.remainder().len() as u64, |rest, byte| rest << 8 | u64::from(*byte));
        self.mix(rest);
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_i32(&mut self, number: i32) {
        self.mix(u64::from(number.cast_unsigned()));
    }

    fn write_i64(&mut self, number: i64) {
        self.mix(number.cast_unsigned());
    }
}

impl<'g> Effects<'g> {
    pub(super) fn contact(&mut self, store_no: i64, now_ms: i64) {
        self.stores.entry(store_no).or_default().contact_ms = now_ms;
    }

    pub(super) fn applied_event(&mut self, store_no: i64) {
        self.stores.entry(store_no).or_default().events += 1;
    }

    /// The counts of a store, to be moved.
    pub(super) fn counts(&mut self, store_no: i64) -> &mut StoreCounts {
        self.stores.entry(store_no).or_default()
    }

    /// Whether something of this store waits to be written that an answer to it depends on.
    pub(super) fn touches(&self, store_no: i64) -> bool {
        self.stores.get(&store_no).is_some_and(|counts| counts.events + counts.parked > 0)
    }

    /// Adds a sale. A sum that leaves 64 bits is the sale's fault.
    pub(super) fn sale(&mut self, row: &SaleRow<'g>, now_ms: i64) -> Result<(), Fault> {
        let sale = row.sale;
        let date = sale.business_date.days();
        let counts = self.stores.entry(row.store_no).or_default();
        counts.sales += 1;
        counts.last_sale_at_ms = Some(now_ms);
        let totals = self.totals.entry((row.store_no, date, sale.currency)).or_default();
        totals.sales += 1;
        add(&mut totals.lines, row.lines)?;
        add(&mut totals.quantity_micro, sale.totals.quantity.micro())?;
        add(&mut totals.gross_minor, sale.totals.gross_minor.minor())?;
        add(&mut totals.tax_minor, sale.totals.tax_minor.minor())?;
        add(&mut totals.net_minor, sale.totals.net_minor.minor())?;
        for consumption in sale.lines.iter().flat_map(|line| &line.consumption) {
            self.used((row.stream_no, date, consumption.item_id.as_str()), consumption.quantity.micro())?;
        }
        Ok(())
    }

    /// Counts stock as used: of a stream, business date and item.
    pub(super) fn used(&mut self, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault> {
        add(self.used.entry(key).or_default(), micro)
    }

    /// Counts a number that a till has given, on the receipt of a sale or a refund.
    pub(super) fn receipt(&mut self, store_no: i64, till_id: &'g TillId, receipt_no: i64, event_no: i64) {
        self.receipts.entry((store_no, till_id.as_str())).or_default().push((receipt_no, event_no));
    }

    /// Counts the number on the receipt of a parked sale or refund.
    pub(super) fn parked_receipt(&mut self, store_no: i64, till_id: &'g TillId, number: ParkedNumber) {
        self.parked_receipts.entry((store_no, till_id.as_str())).or_default().push(number);
    }

    pub(super) fn write<T: Tables<'g>>(&mut self, tables: &mut T) -> Result<(), Fault> {
        for (store_no, counts) in sorted(&mut self.stores) {
            tables.count_store(store_no, &counts)?;
        }
        for (key, totals) in sorted(&mut self.totals) {
            tables.add_totals(key, &totals)?;
        }
        for (key, used) in sorted(&mut self.used) {
            tables.add_stock(Direction::Used, key, used)?;
        }
        let receipts = sorted(&mut self.receipts);
        if self.parked_receipts.is_empty() {
            numbers::note_all(tables, NumberKind::Receipt, receipts)
        } else {
            numbers::note_with_parked(tables, receipts, sorted(&mut self.parked_receipts))
        }
    }
}

pub(super) fn add(sum: &mut i64, more: i64) -> Result<(), Fault> {
    *sum = sum.checked_add(more).ok_or_else(|| Fault::Content("a sum does not fit in 64 bits".to_owned()))?;
    Ok(())
}

pub(super) fn sorted<K: Ord + Hash + Eq, V>(map: &mut Table<K, V>) -> Vec<(K, V)> {
    let mut entries: Vec<_> = map.drain().collect();
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entries
}
