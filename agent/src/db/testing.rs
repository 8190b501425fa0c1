//! What the tests of this crate sell.

use pos_model::{
    BusinessDate, Currency, DayCutOff, Epoch, EventId, LineId, Money, Quantity, SaleId, Sku, Stamp, Tag, TillId,
};
use protocol::latest::OpenReason;
use protocol::latest::local_api::SaleReceipt;
use till::kitchen::{KitchenLine, KitchenOrder};
use till::{CompleteSale, Consumption, Line, SaleDraft, Tender};
use uuid::Uuid;

use super::{CommandDigest, Head, Recorded, Rules, Store};

pub(crate) const RULES: Rules = Rules {
    currency: Some(Currency::CNY),
    cut_off: match DayCutOff::from_minutes(240) {
        Some(cut_off) => cut_off,
        None => panic!("four o'clock is a time"),
    },
};

/// 2026-03-02T10:00:00Z.
pub(crate) const NOON_MS: i64 = 1_772_445_600_000;

pub(crate) fn store() -> Store {
    Store::open_in_memory(RULES).expect("opens")
}

pub(crate) fn reopen(store: Store) -> Store {
    Store::from_connection(store.into_connection(), RULES).expect("opens again")
}

pub(crate) fn stamp(after_ms: i64) -> Stamp {
    Stamp { utc_ms: NOON_MS + after_ms, offset_s: 8 * 3600 }
}

pub(crate) fn event_id(number: u64) -> EventId {
    EventId::new(Uuid::from_u64_pair(0xe, number))
}

pub(crate) fn sale_id(number: u64) -> SaleId {
    SaleId::new(Uuid::from_u64_pair(0x5, number))
}

pub(crate) fn open_epoch(store: &mut Store, epoch: u64) -> Head {
    store
        .open_epoch(Epoch::new(epoch), event_id(epoch << 32), stamp(0), OpenReason::Start, "test")
        .expect("opens an epoch")
}

pub(crate) fn command(number: u64) -> CompleteSale {
    let tag = |text| Tag::new(text).expect("valid");
    CompleteSale {
        sale_id: sale_id(number),
        till_id: TillId::new("T1").expect("valid"),
        operator_id: None,
        channel: tag("counter"),
        approval_id: None,
        basket: None,
        label: None,
        member_tag: None,
        lines: vec![Line {
            sku: Sku::new("milk-tea").expect("valid"),
            name: "Milk tea".to_owned(),
            note: None,
            quantity: Quantity::from_units(2).expect("small"),
            unit_price: Money::from_minor(1800),
            options: Vec::new(),
            adjustments: Vec::new(),
            tax_group: tag("standard"),
            tax_rate_ppm: 60_000,
            tax_on_top: false,
            unit_gross: Vec::new(),
            consumption: vec![Consumption { item_id: "milk".parse().expect("valid"), quantity: Quantity::ONE }],
            station: None,
        }],
        tenders: vec![Tender { kind: tag("cash"), amount: Money::from_minor(4000), attempt_id: None, reference: None }],
        cash_rounding: None,
        expected_total: None,
        price_book_version: None,
        priced_by: None,
        imported: None,
        traceparent: None,
    }
}

pub(crate) fn draft(command: CompleteSale) -> SaleDraft {
    till::complete(command).expect("obeys the rules")
}

pub(crate) fn digest(number: u8) -> CommandDigest {
    [number; 32]
}

/// Sells one, which must be new.
pub(crate) fn sell(store: &mut Store, number: u64) -> SaleReceipt {
    let recorded = store.record_sale(draft(command(number)), &digest(1), event_id(number), stamp(0)).expect("records");
    let Recorded::New(receipt) = recorded else { panic!("sale {number} is not new: {recorded:?}") };
    receipt
}

impl Store {
    /// What a person with a SQLite shell might do.
    pub(crate) fn edit_for_a_test(&mut self, sql: &str) {
        self.connection.execute_batch(sql).expect("works");
    }
}
/// An order with some units of names at stations.
pub(crate) fn kitchen_order(order: u128, pickup_no: u32, lines: &[(&str, i64, &str)]) -> KitchenOrder {
    let line = |(place, &(name, units, station)): (usize, &(&str, i64, &str))| KitchenLine {
        line_id: line_id(place),
        sku: Sku::new(name).expect("valid"),
        name: name.to_owned(),
        options: vec!["Less ice".to_owned(), "Half sugar".to_owned()],
        note: None,
        quantity: Quantity::from_units(units).expect("small"),
        station: (!station.is_empty()).then(|| Tag::new(station).expect("valid")),
    };
    KitchenOrder {
        order_id: Uuid::from_u128(order),
        pickup_no,
        business_date: BusinessDate::of(stamp(0), RULES.cut_off),
        label: Some("Table 4".to_owned()),
        takeaway: false,
        channel: Tag::new("counter").expect("valid"),
        lines: lines.iter().enumerate().map(line).collect(),
    }
}

/// The line of such an order, by its place from zero.
pub(crate) fn line_id(place: usize) -> LineId {
    LineId::new(Uuid::from_u64_pair(0x11, u64::try_from(place).expect("small")))
}
