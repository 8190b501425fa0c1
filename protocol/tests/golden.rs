//! One committed sample for each message and version is decoded for ever, and what is encoded today is what the sample
//! says. A sample is never changed after a release: a message that changes gets a new sample beside the old one.
//! `BREAKWATER_BLESS=1` writes samples that do not exist yet.

use std::path::PathBuf;

use pos_model::{BookHash, ChainHash, Epoch, EventId, Money, Quantity, SaleId, Seq, Stamp, StoreId};
use protocol::digest::FactsDigest;
use protocol::envelope::{open_downlink, open_uplink, seal_downlink, seal_uplink};
use protocol::latest::*;
use protocol::proof::StoreKeys;
use serde_bytes::ByteBuf;
use uuid::Uuid;

const STAMP: Stamp = Stamp { utc_ms: 1_785_000_000_123, offset_s: 28_800 };

fn text<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid sample")
}

fn store() -> StoreId {
    text("SH-0001")
}

fn mark(seq: u64) -> Mark {
    Mark { seq: Seq::new(seq), hash: ChainHash::GENESIS.then(&seq.to_be_bytes()) }
}

fn sale() -> SaleCompleted {
    SaleCompleted {
        sale_id: SaleId::new(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001)),
        till_id: text("T1"),
        shift_id: None,
        basket_id: None,
        label: None,
        operator_id: Some(text("op-7")),
        channel: text("counter"),
        member_tag: Some("m-314".to_owned()),
        receipt_no: 1042,
        pickup_no: 57,
        sold_at: STAMP,
        business_date: text("2026-07-26"),
        currency: text("CNY"),
        lines: vec![SaleLine {
            sku: text("milk-tea-large"),
            name: "\u{5976}\u{8336} large".to_owned(),
            note: None,
            quantity: Quantity::from_micro(2_000_000),
            unit_price_minor: Money::from_minor(1800),
            options: vec![ChosenOption {
                code: text("pearls"),
                name: "Pearls".to_owned(),
                price_minor: Money::from_minor(300),
            }],
            adjustments: vec![Adjustment {
                reason: text("promotion"),
                promotion_id: Some("second-half".to_owned()),
                amount_minor: Money::from_minor(-1050),
            }],
            gross_minor: Money::from_minor(3150),
            tax_group: text("standard"),
            tax_rate_ppm: 60_000,
            tax_on_top: false,
            tax_minor: Money::from_minor(178),
            unit_gross_minor: Vec::new(),
            consumption: vec![Consumption { item_id: text("milk"), quantity: Quantity::from_micro(480_000_000) }],
        }],
        tenders: vec![Tender {
            kind: text("cash"),
            amount_minor: Money::from_minor(4000),
            attempt_id: None,
            reference: None,
        }],
        change_minor: Money::from_minor(850),
        cash_rounding_minor: Money::ZERO,
        totals: SaleTotals {
            gross_minor: Money::from_minor(3150),
            tax_minor: Money::from_minor(178),
            net_minor: Money::from_minor(2972),
            quantity: Quantity::from_micro(2_000_000),
        },
        price_book_version: Some("2026-07-a".to_owned()),
        pricing: None,
        imported: Some(ImportedFrom { source: "receipts.csv".to_owned(), reference: "3|2019-04-01|7".to_owned() }),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

/// A sale that the store priced by its price book.
fn sale_by_the_book() -> SaleCompleted {
    let mut sale = sale();
    sale.imported = None;
    sale.lines[0].tax_on_top = true;
    sale.lines[0].unit_gross_minor = vec![Money::from_minor(2100), Money::from_minor(1050)];
    sale.pricing = Some(Pricing {
        book_hash: BookHash::from_bytes([7; 32]),
        business_date: text("2026-07-26"),
        minute: 750,
        region: Some(text("south")),
        store_groups: vec![text("airport")],
        takeaway: true,
        member: Some(PricingMember {
            level: Some(text("gold")),
            tags: vec![text("staff")],
            order_no: Some(3),
            used: [(text("second-half"), 1)].into(),
        }),
        coupons: vec![text("free-cup")],
        quotas: [(text("million-cups"), 40)].into(),
        coupons_spent: vec![text("free-cup")],
        rights: [(text("million-cups"), 1)].into(),
        points: 31,
    });
    sale
}

fn event(body: EventBody) -> Event {
    Event { id: EventId::new(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_00ff)), at: STAMP, body }
}

fn epoch_opened() -> Event {
    let previous = Some(Predecessor { epoch: Epoch::new(3), seq: Seq::new(99), hash: mark(99).hash });
    event(EventBody::from(EpochOpened {
        epoch: Epoch::new(u64::MAX - 1),
        previous,
        reason: OpenReason::Start,
        agent_version: "0.1.0".to_owned(),
    }))
}

fn health() -> StoreHealth {
    StoreHealth {
        clock: STAMP,
        agent_version: "0.1.0".to_owned(),
        epoch: Epoch::new(5),
        head: Seq::new(12),
        outbox_events: 3,
        outbox_oldest_ms: Some(1_785_000_000_000),
        disk_free_bytes: Some(8_000_000_000),
        receipts: vec![ReceiptHead::new(text("T1"), 1042)],
    }
}

fn credit() -> Credit {
    Credit { events: 500, hold_ms: 250 }
}

fn uplinks() -> Vec<(&'static str, Uplink)> {
    let sale_bytes = encode_event(&event(EventBody::SaleCompleted(Box::new(sale())))).expect("encodes");
    let epochs = vec![EpochReport {
        epoch: Epoch::new(5),
        first_held: Seq::FIRST,
        hash_before: ChainHash::GENESIS,
        head: Seq::new(12),
        acked: Seq::new(9),
    }];
    let batch = Batch {
        epoch: Epoch::new(5),
        first_seq: Seq::new(10),
        prev_hash: mark(9).hash,
        events: vec![ByteBuf::from(sale_bytes.clone()), ByteBuf::from(sale_bytes)],
    };
    let recalled = Batch { events: batch.events[..1].to_vec(), ..batch.clone() };
    vec![
        ("hello", Uplink::Hello(Hello { session: 77, version: VERSION, epochs, health: health() })),
        ("batch", Uplink::Batch(batch)),
        ("heartbeat", Uplink::Heartbeat(Heartbeat { health: health() })),
        ("digests", Uplink::Digests(Digests { dates: vec![day_digest()] })),
        ("recalled", Uplink::Recalled(Recalled { request: 91, batch: Some(recalled) })),
        ("recalled_nothing", Uplink::Recalled(Recalled { request: 92, batch: None })),
    ]
}

fn day_digest() -> DayDigest {
    let mut digest = FactsDigest::default();
    digest.sale(&sale());
    let runs = vec![RunOfDay { epoch: Epoch::new(5), first: Seq::new(10), last: mark(10) }];
    DayDigest { business_date: text("2026-07-26"), runs, sums: digest.sums(), hash: digest.hash(), partial: false }
}

fn downlinks() -> Vec<(&'static str, Downlink)> {
    let welcome = Welcome {
        session: 77,
        server_epoch: 8,
        cursors: vec![Cursor { epoch: Epoch::new(5), applied: Seq::new(14), common: mark(12) }],
        credit: credit(),
        reconnect_spread_ms: 2000,
        receipts: vec![ReceiptHead::new(text("T1"), 1044)],
        server_time_ms: 1_785_000_000_456,
    };
    let ack = Ack {
        server_epoch: 8,
        epoch: Epoch::new(5),
        through: mark(11),
        cursor: mark(12),
        parked: vec![Seq::new(10)],
        rewind: false,
        forked: true,
        credit: credit(),
        server_time_ms: 1_785_000_000_456,
    };
    vec![
        ("welcome", Downlink::Welcome(welcome)),
        ("ack", Downlink::Ack(ack)),
        ("pulse", Downlink::Pulse(Pulse { server_epoch: 8, server_time_ms: 1_785_000_000_456 })),
        ("turn", Downlink::Turn(Turn { server_epoch: 8, credit: credit() })),
        ("compare", Downlink::Compare(Compare { dates: vec![text("2026-07-26")], newest: 7, every_ms: 3_600_000 })),
        (
            "recall",
            Downlink::Recall(Recall { request: 91, epoch: Epoch::new(5), from: Seq::new(10), to: Seq::new(40) }),
        ),
    ]
}

/// Reads the committed sample. With `BREAKWATER_BLESS` a missing one is written first.
fn sample(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(format!("{name}.bin"));
    if !path.exists() && std::env::var_os("BREAKWATER_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("make the folder");
        std::fs::write(&path, encoded).expect("write the sample");
    }
    std::fs::read(&path).expect("a sample is committed; BREAKWATER_BLESS=1 writes one that is missing")
}

#[test]
fn events() {
    let sale = event(EventBody::SaleCompleted(Box::new(sale())));
    let by_the_book = event(EventBody::SaleCompleted(Box::new(sale_by_the_book())));
    for (name, event) in [
        ("event_epoch_opened", epoch_opened()),
        ("event_sale_completed", sale),
        ("event_sale_completed_by_the_book", by_the_book),
    ] {
        let encoded = encode_event(&event).expect("encodes");
        let golden = sample(name, &encoded);
        assert_eq!(decode_event(&golden).expect("decodes"), event, "{name}");
        assert_eq!(encoded, golden, "{name}: the bytes of an event are hashed, so they may not change");
    }
}

#[test]
fn messages_up() {
    for (name, message) in uplinks() {
        let golden = sample(name, &seal_uplink(&store(), &message).expect("seals"));
        assert_eq!(open_uplink(&golden).expect("opens"), (store(), message), "{name}");
    }
}

#[test]
fn proven_messages() {
    let keys = StoreKeys::of_secret(b"4c0ffee0-4c0ffee0-4c0ffee0-4c0ffee0");
    for (name, message) in uplinks() {
        let mut proven = seal_uplink(&store(), &message).expect("seals");
        keys.uplink.prove(&mut proven);
        let golden = sample(&format!("{name}_proven"), &proven);
        assert!(keys.uplink.is_proven(&golden), "{name}");
        assert_eq!(open_uplink(&golden).expect("opens"), (store(), message), "{name}");
    }
    for (name, message) in downlinks() {
        let mut proven = seal_downlink(&store(), &message).expect("seals");
        keys.downlink.prove(&mut proven);
        let golden = sample(&format!("{name}_proven"), &proven);
        assert!(keys.downlink.is_proven(&golden), "{name}");
        assert_eq!(open_downlink(&golden).expect("opens"), (store(), message), "{name}");
    }
    // It stands in the files of brokers.
    assert_eq!(keys.password(), "abae4fbd359c7dd01d97a45b0180e6077e8a6620a5adcf5ab20505ec1bb57851");
}

#[test]
fn messages_down() {
    for (name, message) in downlinks() {
        let golden = sample(name, &seal_downlink(&store(), &message).expect("seals"));
        assert_eq!(open_downlink(&golden).expect("opens"), (store(), message), "{name}");
    }
}

#[test]
fn the_digest_of_a_sale() {
    assert_eq!(
        day_digest().hash.to_string(),
        "99fc26bcb00ed4b88bae1aaabe48297c29250ac67e6dfe3d08914769b3a38057",
        "both ends of a comparison may be of different versions, so the form of what is hashed may not change"
    );
}
