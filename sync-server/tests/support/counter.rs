//! What happens at a counter beside sales, as a store records it.

use pos_model::{
    ChainHash, Currency, Epoch, ItemId, Money, MovementId, OperatorId, Place, Quantity, RefundId, SaleId, Seq, ShiftId,
    Sku, StoreId, Tag, TillId,
};
use protocol::latest::{
    AdjustmentSum, AuditMarked, CashMoved, CashMovement, Consumption, CountAndAmount, CountedItem, DayClosed,
    DecodeError, DrawerSum, Event, EventBody, MovedItem, RefundCompleted, RefundKind, RefundLine, ReturnedGoods,
    SaleTotals, ShiftAmended, ShiftClosed, ShiftOpened, SoldOutChanged, StockCounted, StockMoved, StockMovement,
    TaxSum, Tender, TenderSum, ZReport,
};
use sync_server::ledger::{Job, Message};
use uuid::Uuid;

use super::{History, event_id, stamp};

/// A refund of one line with what matters in a test chosen, and the rest made up.
#[derive(Debug, Clone)]
pub struct RefundSpec {
    pub id: u128,
    pub sale: u128,
    pub till: &'static str,
    pub receipt_no: u64,
    pub date: &'static str,
    /// The line of the sale, from zero.
    pub line: u32,
    pub units: u32,
    pub gross: i64,
    pub goods: ReturnedGoods,
}

impl Default for RefundSpec {
    fn default() -> Self {
        Self {
            id: 1,
            sale: 1,
            till: "t1",
            receipt_no: 2,
            date: "2026-03-01",
            line: 0,
            units: 1,
            gross: 50,
            goods: ReturnedGoods::Restocked,
        }
    }
}

pub fn refund(spec: &RefundSpec) -> RefundCompleted {
    let quantity = Quantity::from_units(spec.units.into()).expect("few");
    let restocked = Consumption { item_id: item("milk"), quantity: Quantity::from_micro(100_000) };
    RefundCompleted {
        refund_id: RefundId::new(Uuid::from_u128(spec.id)),
        sale_id: SaleId::new(Uuid::from_u128(spec.sale)),
        kind: RefundKind::Refund,
        till_id: till(spec.till),
        shift_id: Some(shift_id(1)),
        operator_id: Some(operator("ann")),
        approver_id: Some(operator("bo")),
        reason: tag("wrong_drink"),
        note: "It was \"hot\"".into(),
        receipt_no: spec.receipt_no,
        refunded_at: stamp(),
        business_date: spec.date.parse().expect("valid"),
        currency: Currency::CNY,
        lines: vec![RefundLine {
            line: spec.line,
            sku: Sku::new(format!("tea-{}", spec.line)).expect("valid"),
            name: "Osmanthus \"Oolong\"".into(),
            units: (0..spec.units).collect(),
            quantity,
            gross_minor: Money::from_minor(spec.gross),
            tax_minor: Money::from_minor(1),
            tax_group: tag("standard"),
            tax_rate_ppm: 60_000,
            goods: spec.goods,
            restocked: if spec.goods == ReturnedGoods::Restocked { vec![restocked] } else { vec![] },
        }],
        tenders: vec![Tender {
            kind: tag("cash"),
            amount_minor: Money::from_minor(spec.gross),
            attempt_id: None,
            reference: None,
        }],
        cash_rounding_minor: Money::ZERO,
        totals: SaleTotals {
            gross_minor: Money::from_minor(spec.gross),
            tax_minor: Money::from_minor(1),
            net_minor: Money::from_minor(spec.gross - 1),
            quantity,
        },
        points: 3,
    }
}

pub fn shift_opened(id: u128) -> ShiftOpened {
    ShiftOpened {
        shift_id: shift_id(id),
        till_id: till("t1"),
        operator_id: Some(operator("ann")),
        opened_at: stamp(),
        business_date: "2026-03-01".parse().expect("valid"),
        currency: Currency::CNY,
        float_minor: Money::from_minor(20_000),
    }
}

pub fn cash_moved(id: u128, kind: CashMovement) -> CashMoved {
    CashMoved {
        movement_id: movement_id(id),
        shift_id: shift_id(1),
        till_id: till("t1"),
        operator_id: Some(operator("ann")),
        approver_id: None,
        kind,
        amount_minor: Money::from_minor(1_500),
        reason: tag("milk_run"),
        note: String::new(),
        moved_at: stamp(),
        business_date: "2026-03-01".parse().expect("valid"),
    }
}

/// A Z report of till `t1`.
pub fn shift_closed(id: u128, z_no: u64) -> ShiftClosed {
    let money = Money::from_minor;
    let sums = |count, gross, tax| CountAndAmount { count, gross_minor: money(gross), tax_minor: money(tax) };
    ShiftClosed {
        shift_id: shift_id(id),
        closed_by: Some(operator("bo")),
        report: ZReport {
            cash_rounding_minor: Money::ZERO,
            till_id: till("t1"),
            z_no,
            operator_id: Some(operator("ann")),
            opened_at: stamp(),
            closed_at: stamp(),
            business_date: "2026-03-01".parse().expect("valid"),
            currency: Currency::CNY,
            sales: sums(3, 1_500, 9),
            refunds: sums(1, 50, 1),
            quantity: Quantity::from_units(6).expect("few"),
            taxes: vec![TaxSum {
                tax_group: tag("standard"),
                tax_rate_ppm: 60_000,
                gross_minor: money(1_450),
                tax_minor: money(8),
            }],
            tenders: vec![
                TenderSum { kind: tag("cash"), count: 3, amount_minor: money(950) },
                TenderSum { kind: tag("card"), count: 1, amount_minor: money(500) },
            ],
            adjustments: vec![AdjustmentSum {
                reason: tag("promotion"),
                promotion_id: Some("second-half".into()),
                count: 2,
                amount_minor: money(-100),
            }],
            drawer: DrawerSum {
                float_minor: money(20_000),
                sales_minor: money(1_000),
                refunds_minor: money(50),
                paid_in_minor: money(0),
                paid_out_minor: money(1_500),
                drops_minor: money(0),
                expected_minor: money(19_450),
                counted_minor: money(19_400),
                difference_minor: money(-50),
                opened_without_sale: 2,
            },
            receipt_no_first: 1,
            receipt_no_last: 4,
            grand_total_before_minor: money(0),
            grand_total_after_minor: money(1_450),
            history: ChainHash::GENESIS.then(b"before"),
        },
    }
}

pub fn shift_amended(id: u128) -> ShiftAmended {
    ShiftAmended {
        movement_id: movement_id(id),
        shift_id: shift_id(1),
        till_id: till("t1"),
        z_no: 1,
        operator_id: Some(operator("bo")),
        approver_id: None,
        reason: tag("miscounted"),
        note: "a note lay under the drawer".into(),
        counted_minor: Some(Money::from_minor(19_450)),
        amended_at: stamp(),
    }
}

pub fn day_closed(date: &str) -> DayClosed {
    let sums =
        |count, gross| CountAndAmount { count, gross_minor: Money::from_minor(gross), tax_minor: Money::from_minor(9) };
    DayClosed {
        business_date: date.parse().expect("valid"),
        operator_id: Some(operator("bo")),
        closed_at: stamp(),
        currency: Currency::CNY,
        shifts: vec![(till("t1"), 1), (till("t2"), 7)],
        sales: sums(3, 1_500),
        refunds: sums(1, 50),
    }
}

/// Milk and cups that moved.
pub fn stock_moved(id: u128, kind: StockMovement) -> StockMoved {
    let expected = Some(Quantity::from_units(12).expect("few"));
    StockMoved {
        movement_id: movement_id(id),
        kind,
        till_id: till("t1"),
        operator_id: Some(operator("ann")),
        reason: Some(tag("delivery")),
        reference: "note 77".into(),
        other_store: matches!(kind, StockMovement::TransferredIn | StockMovement::TransferredOut)
            .then(|| StoreId::new("b").expect("valid")),
        note: String::new(),
        items: vec![
            MovedItem { item_id: item("milk"), quantity: Quantity::from_units(10).expect("few"), expected },
            MovedItem { item_id: item("cup"), quantity: Quantity::from_micro(500_000), expected: None },
        ],
        moved_at: stamp(),
        business_date: "2026-03-01".parse().expect("valid"),
    }
}

pub fn stock_counted(id: u128) -> StockCounted {
    StockCounted {
        movement_id: movement_id(id),
        till_id: till("t1"),
        operator_id: Some(operator("ann")),
        frontier: Place { epoch: Epoch::new(1), seq: Seq::new(2) },
        began_at: stamp(),
        counted_at: stamp(),
        business_date: "2026-03-01".parse().expect("valid"),
        items: vec![CountedItem {
            item_id: item("milk"),
            counted: Quantity::from_units(4).expect("few"),
            expected: Some(Quantity::from_micro(4_250_000)),
        }],
        note: String::new(),
    }
}

pub fn sold_out(code: &str, sold_out: bool) -> SoldOutChanged {
    SoldOutChanged {
        what: tag("sku"),
        code: code.to_owned(),
        sold_out,
        remaining: Some(3),
        till_id: Some(till("t1")),
        operator_id: None,
        changed_at: stamp(),
    }
}

pub fn audit_marked(action: &str) -> AuditMarked {
    AuditMarked {
        action: tag(action),
        till_id: Some(till("t1")),
        operator_id: Some(operator("ann")),
        approver_id: None,
        reason: Some(tag("customer_left")),
        subject: "basket 5".into(),
        detail: "2 lines".into(),
        amount_minor: Some(Money::from_minor(700)),
        marked_at: stamp(),
    }
}

/// One event of each kind of the counter, about the sale with id 1.
pub fn one_of_each() -> Vec<EventBody> {
    vec![
        shift_opened(1).into(),
        refund(&RefundSpec::default()).into(),
        cash_moved(1, CashMovement::PaidOut).into(),
        stock_moved(1, StockMovement::Received).into(),
        stock_moved(2, StockMovement::Wasted).into(),
        stock_counted(3).into(),
        sold_out("tea-0", true).into(),
        audit_marked("line_voided").into(),
        shift_closed(1, 1).into(),
        shift_amended(4).into(),
        day_closed("2026-03-01").into(),
    ]
}

impl History {
    /// Records what happened.
    pub fn record(&mut self, body: impl Into<EventBody>) {
        let id = event_id(u128::from(self.epoch.get()) << 64 | 1 << 32 | self.events.len() as u128);
        self.push(&Event { id, at: stamp(), body: body.into() });
    }
}

/// The kinds that the first program knew.
pub const SALES_ONLY: &[&str] = &["epoch_opened", "sale_completed"];

/// The message as a program understands it that knows some kinds of events only.
pub fn as_known_by_older(mut job: Job, known: &[&str]) -> Job {
    let Message::Batch(batch) = &mut job.message else { return job };
    for event in &mut batch.events {
        if let Ok(kind) = event.as_ref().map(|event| event.body.kind())
            && !known.contains(&kind)
        {
            *event = Err(DecodeError::UnknownKind(kind.to_owned()));
        }
    }
    job
}

pub fn till(name: &str) -> TillId {
    TillId::new(name).expect("valid")
}

pub fn operator(name: &str) -> OperatorId {
    OperatorId::new(name).expect("valid")
}

pub fn tag(word: &str) -> Tag {
    Tag::new(word).expect("valid")
}

pub fn item(name: &str) -> ItemId {
    ItemId::new(name).expect("valid")
}

pub fn shift_id(number: u128) -> ShiftId {
    ShiftId::new(Uuid::from_u128(number))
}

pub fn movement_id(number: u128) -> MovementId {
    MovementId::new(Uuid::from_u128(number))
}
