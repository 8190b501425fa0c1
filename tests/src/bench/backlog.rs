//! Encoded events for a load: sales of the generator, with ids of their own.

use std::collections::HashMap;

use pos_model::{Epoch, EventId, SaleId, Stamp};
use protocol::latest::{EpochOpened, Event, EventBody, OpenReason, SaleCompleted, encode_event};
use sync_core::Random;
use uuid::Uuid;

use crate::load::Outbox;

/// The day on which every backlog was sold: 2026-07-26 in UTC.
const DAY_STARTS_MS: i64 = 1_785_024_000_000;

/// How long a store is open, in milliseconds: from nine to ten in the evening.
const OPEN_MS: i64 = 13 * 3_600_000;

/// Makes the backlog of one store: an epoch with `sales` sales over one day, from templates that an agent has priced.
pub fn outbox(store: u64, sales: u64, templates: &[SaleCompleted], seed: u64) -> Outbox {
    let mut random = Random::new(seed ^ store.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let epoch = Epoch::new(random.next_u64());
    let mut outbox = Outbox::new(epoch);
    let opens_ms = DAY_STARTS_MS + 9 * 3_600_000;
    let at = |utc_ms| Stamp { utc_ms, offset_s: 0 };
    let opened = EpochOpened { epoch, previous: None, reason: OpenReason::Start, agent_version: "load".to_owned() };
    let opened = Event { id: EventId::new(uuid_v7(opens_ms, &mut random)), at: at(opens_ms), body: opened.into() };
    outbox.push(encode_event(&opened).expect("a small event"));
    // Each till numbers its own receipts without gaps, as the agent does.
    let mut receipt_heads = HashMap::new();
    let sales_i64 = i64::try_from(sales).unwrap_or(i64::MAX).max(1);
    for number in 0..sales_i64 {
        let template = usize::try_from(random.below(templates.len() as u64)).expect("an index");
        let mut sale = templates[template].clone();
        let sold_ms = opens_ms + OPEN_MS / sales_i64 * number + i64::try_from(random.below(1000)).unwrap_or(0);
        sale.sale_id = SaleId::new(uuid_v7(sold_ms, &mut random));
        let receipt_no = receipt_heads.entry(sale.till_id.clone()).or_insert(0);
        *receipt_no += 1;
        sale.receipt_no = *receipt_no;
        sale.pickup_no = u32::try_from(number % 9_000).unwrap_or(0) + 1;
        sale.sold_at = at(sold_ms);
        sale.business_date = pos_model::BusinessDate::of(sale.sold_at, pos_model::DayCutOff::default());
        let id = EventId::new(uuid_v7(sold_ms, &mut random));
        let event = Event { id, at: at(sold_ms), body: EventBody::SaleCompleted(Box::new(sale)) };
        outbox.push(encode_event(&event).expect("a generated sale is small"));
    }
    outbox
}

/// A version 7 UUID (RFC 9562): 48 bits of time in milliseconds, then random bits.
pub fn uuid_v7(utc_ms: i64, random: &mut Random) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(u64::try_from(utc_ms).unwrap_or(0) << 16 | random.next_u64() & 0xffff).to_be_bytes());
    bytes[8..].copy_from_slice(&random.next_u64().to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}
