//! A store as the ledger sees it: histories of events with their hashes, and the messages about them.

#![allow(dead_code, unreachable_pub, clippy::panic, reason = "each test file uses a part of this, and tests may panic")]

pub mod counter;
pub mod parking;
pub mod rollups;

use pos_model::{
    BusinessDate, ChainHash, Currency, Epoch, EventId, ItemId, Money, Quantity, SaleId, Seq, Sku, Stamp, StoreId, Tag,
    TillId,
};
use protocol::latest::{
    Adjustment, Batch, ChosenOption, Consumption, EpochOpened, EpochReport, Event, EventBody, Heartbeat, Hello, Mark,
    OpenReason, Predecessor, ReceiptHead, SaleCompleted, SaleLine, SaleTotals, StoreHealth, Tender, Uplink,
    encode_event,
};
use sync_core::server::{BatchOutcome, HelloOutcome, Outcome};
use sync_server::ledger::{
    Books, CounterBooks, Job, Ledger, PostgresLedger, Registry, RollUps, SqliteLedger, SqliteSettings,
};
use test_postgres::{Durability, TestServer};
use uuid::Uuid;

/// All that a home of the ledger offers.
pub trait Home: Ledger + Books + CounterBooks + Registry + RollUps {}
impl<T: Ledger + Books + CounterBooks + Registry + RollUps> Home for T {}

/// Runs a case against each home of the ledger.
pub fn each_home(case: impl Fn(&mut dyn Home)) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = folder.path().join("ledger.sqlite");
    case(&mut SqliteLedger::open(&path, &SqliteSettings::STANDARD).expect("opens"));
    case(&mut SqliteLedger::in_memory().expect("opens"));
    let server = database_server();
    case(&mut postgres(&server.database()));
}

/// A database server that forgets all in a power cut, and is quick.
pub fn database_server() -> TestServer {
    TestServer::start(Durability::None).expect("PostgreSQL starts")
}

/// A ledger in a database.
pub fn postgres(url: &str) -> PostgresLedger {
    PostgresLedger::open(&url.parse().expect("a connection string")).expect("opens")
}

pub const NOW: i64 = 1_780_000_000_000;

pub fn store_id(name: &str) -> StoreId {
    StoreId::new(name).expect("valid")
}

/// A sale with what matters in a test chosen, and the rest made up.
#[derive(Debug, Clone)]
pub struct SaleSpec {
    pub id: u128,
    pub till: &'static str,
    pub receipt_no: u64,
    pub date: &'static str,
    pub gross: i64,
    pub lines: usize,
}

impl Default for SaleSpec {
    fn default() -> Self {
        Self { id: 1, till: "t1", receipt_no: 1, date: "2026-03-01", gross: 500, lines: 1 }
    }
}

pub fn sale(spec: &SaleSpec) -> SaleCompleted {
    let tax_group = Tag::new("standard").expect("valid");
    let share = spec.gross / i64::try_from(spec.lines.max(1)).expect("few");
    let line = |index: usize| SaleLine {
        sku: Sku::new(format!("tea-{index}")).expect("valid"),
        note: None,
        name: "Osmanthus \"Oolong\"".to_owned(),
        quantity: Quantity::from_units(2).expect("small"),
        unit_price_minor: Money::from_minor(share),
        options: vec![ChosenOption {
            code: Sku::new("size \"L\"").expect("valid"),
            name: "Large".into(),
            price_minor: Money::from_minor(50),
        }],
        adjustments: vec![Adjustment {
            reason: Tag::new("promotion").expect("valid"),
            promotion_id: None,
            amount_minor: Money::from_minor(-50),
        }],
        gross_minor: Money::from_minor(if index == 0 {
            spec.gross - share * i64::try_from(spec.lines.max(1) - 1).expect("few")
        } else {
            share
        }),
        tax_group: tax_group.clone(),
        tax_rate_ppm: 60_000,
        tax_on_top: false,
        unit_gross_minor: Vec::new(),
        tax_minor: Money::from_minor(3),
        consumption: vec![
            Consumption { item_id: ItemId::new("milk").expect("valid"), quantity: Quantity::from_micro(250_000) },
            Consumption { item_id: ItemId::new("cup").expect("valid"), quantity: Quantity::ONE },
        ],
    };
    let lines: Vec<_> = (0..spec.lines).map(line).collect();
    let quantity = Quantity::from_units(2 * i64::try_from(spec.lines).expect("few")).expect("small");
    SaleCompleted {
        sale_id: SaleId::new(Uuid::from_u128(spec.id)),
        till_id: TillId::new(spec.till).expect("valid"),
        shift_id: None,
        basket_id: None,
        label: None,
        operator_id: None,
        channel: Tag::new("counter").expect("valid"),
        member_tag: None,
        receipt_no: spec.receipt_no,
        pickup_no: 7,
        sold_at: Stamp { utc_ms: NOW - 1000, offset_s: 28_800 },
        business_date: spec.date.parse::<BusinessDate>().expect("valid"),
        currency: Currency::CNY,
        lines,
        tenders: vec![Tender {
            kind: Tag::new("cash").expect("valid"),
            amount_minor: Money::from_minor(spec.gross),
            attempt_id: None,
            reference: None,
        }],
        change_minor: Money::ZERO,
        cash_rounding_minor: Money::ZERO,
        totals: SaleTotals {
            gross_minor: Money::from_minor(spec.gross),
            tax_minor: Money::from_minor(3),
            net_minor: Money::from_minor(spec.gross - 3),
            quantity,
        },
        price_book_version: Some("v1".into()),
        pricing: None,
        imported: None,
        traceparent: None,
    }
}

/// One epoch of a store: events from number 1 with the hash after each.
#[derive(Debug, Clone)]
pub struct History {
    pub store: StoreId,
    pub epoch: Epoch,
    pub base: ChainHash,
    pub events: Vec<Vec<u8>>,
    pub hashes: Vec<ChainHash>,
    /// What the store's clock shows in its reports.
    pub clock_ms: i64,
}

impl History {
    /// A new epoch, with its first event.
    pub fn open(store: &str, epoch: u64, previous: Option<&Self>) -> Self {
        let base = previous.map_or(ChainHash::GENESIS, |previous| previous.mark().hash);
        let epoch = Epoch::new(epoch);
        let mut history = Self { store: store_id(store), epoch, base, events: vec![], hashes: vec![], clock_ms: NOW };
        let previous = previous.map(|previous| Predecessor {
            epoch: previous.epoch,
            seq: previous.mark().seq,
            hash: previous.mark().hash,
        });
        let opened = EpochOpened { epoch, previous, reason: OpenReason::Start, agent_version: "0.1.0".into() };
        history.push(&Event { id: event_id(0), at: stamp(), body: opened.into() });
        history
    }

    pub fn push(&mut self, event: &Event) {
        self.push_bytes(encode_event(event).expect("encodes"));
    }

    pub fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.hashes.push(self.mark().hash.then(&bytes));
        self.events.push(bytes);
    }

    pub fn sell(&mut self, spec: &SaleSpec) {
        let id = event_id(spec.id ^ u128::from(self.epoch.get()) << 64);
        self.push(&Event { id, at: stamp(), body: EventBody::SaleCompleted(Box::new(sale(spec))) });
    }

    /// Sells `count` sales with ids and receipt numbers from `first` on.
    pub fn sell_many(&mut self, first: u64, count: u64) {
        for number in first..first + count {
            let id = u128::from(crc(self.store.as_str())) << 64 | u128::from(number);
            self.sell(&SaleSpec { id, receipt_no: number, gross: 100, ..SaleSpec::default() });
        }
    }

    /// Its newest place.
    pub fn mark(&self) -> Mark {
        Mark { seq: Seq::new(self.events.len() as u64), hash: self.hashes.last().copied().unwrap_or(self.base) }
    }

    pub fn mark_at(&self, seq: usize) -> Mark {
        let hash = if seq == 0 { self.base } else { self.hashes[seq - 1] };
        Mark { seq: Seq::new(seq as u64), hash }
    }

    /// Events `from` up to `to`, both included.
    pub fn batch_message(&self, from: usize, to: usize) -> Uplink {
        Uplink::Batch(Batch {
            epoch: self.epoch,
            first_seq: Seq::new(from as u64),
            prev_hash: self.mark_at(from - 1).hash,
            events: self.events[from - 1..to].iter().map(|bytes| bytes.clone().into()).collect(),
        })
    }

    pub fn batch(&self, from: usize, to: usize) -> Job {
        Job::new(self.store.clone(), self.batch_message(from, to)).expect("fit")
    }

    pub fn all(&self) -> Job {
        self.batch(1, self.events.len())
    }

    pub fn report(&self, first_held: usize) -> EpochReport {
        EpochReport {
            epoch: self.epoch,
            first_held: Seq::new(first_held as u64),
            hash_before: self.mark_at(first_held - 1).hash,
            head: self.mark().seq,
            acked: Seq::ZERO,
        }
    }

    pub fn health(&self, outbox_events: u64) -> StoreHealth {
        StoreHealth {
            clock: Stamp { utc_ms: self.clock_ms, offset_s: 28_800 },
            agent_version: "0.1.0".into(),
            epoch: self.epoch,
            head: self.mark().seq,
            outbox_events,
            outbox_oldest_ms: (outbox_events > 0).then_some(NOW - 60_000),
            disk_free_bytes: Some(1 << 30),
            receipts: vec![],
        }
    }

    pub fn heartbeat(&self, outbox_events: u64) -> Job {
        self.heartbeat_with(self.health(outbox_events))
    }

    pub fn heartbeat_with(&self, health: StoreHealth) -> Job {
        Job::new(self.store.clone(), Uplink::Heartbeat(Heartbeat { health })).expect("fit")
    }

    pub fn hello_message(&self, epochs: Vec<EpochReport>, outbox_events: u64) -> Uplink {
        Uplink::Hello(Hello { session: 5, version: 1, epochs, health: self.health(outbox_events) })
    }

    pub fn hello(&self, epochs: Vec<EpochReport>) -> Job {
        Job::new(self.store.clone(), self.hello_message(epochs, 0)).expect("fit")
    }
}

pub fn stamp() -> Stamp {
    Stamp { utc_ms: NOW, offset_s: 28_800 }
}

pub fn event_id(number: u128) -> EventId {
    EventId::new(Uuid::from_u128(number))
}

pub fn receipt_head(till: &str, receipt_no: u64) -> ReceiptHead {
    ReceiptHead::new(TillId::new(till).expect("valid"), receipt_no)
}

fn crc(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Applies one message alone.
#[track_caller]
pub fn apply(ledger: &mut dyn Home, job: Job) -> Outcome {
    let mut outcomes = ledger.apply(&[job], NOW).expect("the database is well");
    assert_eq!(outcomes.len(), 1);
    outcomes.pop().expect("one")
}

#[track_caller]
pub fn apply_batch(ledger: &mut dyn Home, job: Job) -> BatchOutcome {
    match apply(ledger, job) {
        Outcome::Batch(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn apply_hello(ledger: &mut dyn Home, job: Job) -> HelloOutcome {
    match apply(ledger, job) {
        Outcome::Hello(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn books_balance(ledger: &dyn Home) {
    let report = ledger.verify().expect("readable");
    assert_eq!(report.differences, []);
}
