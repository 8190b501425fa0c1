//! What an event says, in plain numbers: what the reference expects of it, and what was found in it.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{Place, TillId};
use uuid::Uuid;

use super::shift::{Report, Turnover};
use super::sums::{Sums, sums_of};

/// An event that some agent committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The store.
    pub store: usize,
    /// Where it stands in that store's history.
    pub place: Place,
    /// What it is.
    pub what: What,
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The first of an epoch.
    Opened,
    /// A sale.
    Sale(Sold),
    /// Something came back, or a sale was voided.
    Refund(Refunded),
    /// A till was opened.
    ShiftOpened(ShiftOpened),
    /// Cash moved without a sale.
    Cash(CashMoved),
    /// A till was closed.
    ShiftClosed(Report),
    /// Something was found out about a closed shift.
    Amended(Amended),
    /// A business date was closed.
    DayClosed(DayClosed),
    /// Stock moved without a sale.
    Stock(StockMoved),
    /// Stock was counted.
    Count(Counted),
    /// Something for an auditor.
    Mark(Marked),
    /// Bytes that no centre of this version can apply.
    Poison,
}

/// Of what an id is. The same id says the same once, in each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdOf {
    /// A sale.
    Sale,
    /// A refund.
    Refund,
    /// The opening of a shift.
    Opening,
    /// The Z report of a shift.
    Report,
    /// A movement of cash.
    Cash,
    /// What was found out about a shift.
    Amendment,
    /// A movement of stock.
    Stock,
    /// A count of stock.
    Count,
}

impl What {
    /// The id that makes it happen once.
    pub fn id(&self) -> Option<(IdOf, Uuid)> {
        match self {
            Self::Opened | Self::DayClosed(_) | Self::Mark(_) | Self::Poison => None,
            Self::Amended(amended) => Some((IdOf::Amendment, amended.movement_id)),
            Self::Sale(sold) => Some((IdOf::Sale, sold.sale_id)),
            Self::Refund(refund) => Some((IdOf::Refund, refund.refund_id)),
            Self::ShiftOpened(opened) => Some((IdOf::Opening, opened.shift_id)),
            Self::Cash(cash) => Some((IdOf::Cash, cash.movement_id)),
            Self::ShiftClosed(report) => Some((IdOf::Report, report.shift_id)),
            Self::Stock(moved) => Some((IdOf::Stock, moved.movement_id)),
            Self::Count(counted) => Some((IdOf::Count, counted.count_id)),
        }
    }

    /// The number on its receipt, with the till's name.
    pub fn receipt(&self) -> Option<(&TillId, u64)> {
        match self {
            Self::Sale(sold) => Some((&sold.till_id, sold.receipt_no)),
            Self::Refund(refund) => Some((&refund.till_id, refund.receipt_no)),
            _ => None,
        }
    }

    /// What is on its receipt: the number and the amount.
    pub fn slip(&self) -> Option<(u64, i64)> {
        match self {
            Self::Sale(sold) => Some((sold.receipt_no, sold.sums().gross_minor)),
            Self::Refund(refund) => Some((refund.receipt_no, refund.gross_minor())),
            _ => None,
        }
    }

    /// The same with the numbers for people that are the agent's to give.
    #[must_use]
    pub fn numbered_as(mut self, other: Option<&Self>) -> Self {
        match (&mut self, other) {
            (Self::Sale(sold), Some(Self::Sale(other))) => {
                (sold.receipt_no, sold.pickup_no) = (other.receipt_no, other.pickup_no);
            }
            (Self::Refund(refund), Some(Self::Refund(other))) => refund.receipt_no = other.receipt_no,
            _ => {}
        }
        self
    }

    /// The shift that it counts in.
    pub fn shift_id(&self) -> Option<Uuid> {
        match self {
            Self::Sale(sold) => sold.shift_id,
            Self::Refund(refund) => refund.shift_id,
            Self::Cash(cash) => Some(cash.shift_id),
            Self::Mark(marked) => marked.subject.parse().ok(),
            _ => None,
        }
    }

    /// What it adds to the sums of which date.
    pub fn sums(&self) -> Option<(i32, Sums)> {
        match self {
            Self::Sale(sold) => Some((sold.day, sold.sums())),
            Self::Refund(refund) => {
                let sums = Sums {
                    refunds: 1,
                    refund_gross_minor: refund.gross_minor(),
                    refund_tax_minor: refund.tax_minor(),
                    ..Sums::default()
                };
                Some((refund.day, sums))
            }
            _ => None,
        }
    }

    /// What it takes from stock, or what it brings, in millionths, and on which date.
    pub fn stock(&self) -> Vec<(Way, i32, String, i64)> {
        let all = |way, day, items: &BTreeMap<String, i64>| {
            items.iter().map(|(item, micro)| (way, day, item.clone(), *micro)).collect::<Vec<_>>()
        };
        match self {
            Self::Sale(sold) => sold.lines.iter().flat_map(|line| all(Way::Used, sold.day, &line.used)).collect(),
            Self::Refund(refund) => {
                refund.lines.iter().flat_map(|line| all(Way::Added, refund.day, &line.restocked)).collect()
            }
            Self::Stock(moved) => all(moved.kind.way(), moved.day, &moved.items),
            _ => Vec::new(),
        }
    }
}

/// Which way stock goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// In.
    Added,
    /// Out.
    Used,
}

/// A sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// The till's key.
    pub sale_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// The number that was answered.
    pub receipt_no: u64,
    /// The number that was answered.
    pub pickup_no: u32,
    /// The business date, in days since 1970.
    pub day: i32,
    /// The shift, if the till works by shifts.
    pub shift_id: Option<Uuid>,
    /// What was sold.
    pub lines: Vec<SoldLine>,
    /// What was paid by each means, change not included.
    pub paid: BTreeMap<String, i64>,
}

impl Sold {
    /// Its sums.
    pub fn sums(&self) -> Sums {
        sums_of(&self.lines)
    }
}

/// A line of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldLine {
    /// In millionths.
    pub quantity_micro: i64,
    /// What was paid for it.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// The tax group.
    pub tax_group: String,
    /// Its rate.
    pub tax_ppm: i64,
    /// What changed its price; zero is nothing.
    pub adjusted_minor: i64,
    /// What it takes from stock, in millionths.
    pub used: BTreeMap<String, i64>,
}

/// A refund, or a voided sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// The till's key.
    pub refund_id: Uuid,
    /// The sale of which something came back.
    pub sale_id: Uuid,
    /// Whether the sale was taken back as a mistake.
    pub void: bool,
    /// The till.
    pub till_id: TillId,
    /// The number that was answered.
    pub receipt_no: u64,
    /// The business date.
    pub day: i32,
    /// The shift.
    pub shift_id: Option<Uuid>,
    /// What came back.
    pub lines: Vec<RefundedLine>,
    /// What went back by each means.
    pub paid_back: BTreeMap<String, i64>,
}

impl Refunded {
    /// What went back.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }

    /// The tax in it.
    pub fn tax_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.tax_minor).sum()
    }
}

/// What came back of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundedLine {
    /// The line of the sale, from zero.
    pub line: usize,
    /// Its units, from zero.
    pub units: BTreeSet<u32>,
    /// In millionths.
    pub quantity_micro: i64,
    /// What went back for it.
    pub gross_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// The tax group.
    pub tax_group: String,
    /// Its rate.
    pub tax_ppm: i64,
    /// Whether the goods are in stock again.
    pub is_restocked: bool,
    /// What is in stock again, in millionths.
    pub restocked: BTreeMap<String, i64>,
}

/// A till was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftOpened {
    /// The till's key.
    pub shift_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// The business date.
    pub day: i32,
    /// The cash in the drawer.
    pub float_minor: i64,
}

/// How cash moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CashKind {
    /// Into the drawer.
    PaidIn,
    /// Out of it.
    PaidOut,
    /// Into the safe.
    Drop,
    /// The drawer is opened for nothing.
    NoSale,
}

/// Cash moved without a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashMoved {
    /// The till's key.
    pub movement_id: Uuid,
    /// The shift.
    pub shift_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// How.
    pub kind: CashKind,
    /// How much.
    pub amount_minor: i64,
    /// The business date.
    pub day: i32,
}

/// Something was found out about a closed shift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The till's key.
    pub movement_id: Uuid,
    /// The shift.
    pub shift_id: Uuid,
    /// The till of the shift.
    pub till_id: TillId,
    /// The number of its report.
    pub z_no: u64,
    /// What the count should have been.
    pub counted_minor: Option<i64>,
}

/// A business date was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayClosed {
    /// The date.
    pub day: i32,
    /// Its reports: till and number.
    pub reports: BTreeSet<(String, u64)>,
    /// The sales.
    pub sales: Turnover,
    /// The refunds.
    pub refunds: Turnover,
}

/// How stock moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockKind {
    /// It was delivered.
    Received,
    /// It came from another store.
    TransferredIn,
    /// It went to waste.
    Wasted,
    /// It went to another store.
    TransferredOut,
}

impl StockKind {
    /// Which way.
    pub fn way(self) -> Way {
        match self {
            Self::Received | Self::TransferredIn => Way::Added,
            Self::Wasted | Self::TransferredOut => Way::Used,
        }
    }

    /// Its name in the views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::TransferredIn => "transferred_in",
            Self::Wasted => "wasted",
            Self::TransferredOut => "transferred_out",
        }
    }
}

/// Stock moved without a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockMoved {
    /// The till's key.
    pub movement_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// How.
    pub kind: StockKind,
    /// The business date.
    pub day: i32,
    /// How much, in millionths.
    pub items: BTreeMap<String, i64>,
}

/// Stock was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The till's key.
    pub count_id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// The business date of its end.
    pub day: i32,
    /// The newest event when it began.
    pub frontier: Place,
    /// What was there, and what should have been, in millionths.
    pub items: BTreeMap<String, (i64, Option<i64>)>,
}

/// Something for an auditor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// What happened.
    pub action: String,
    /// What it was about.
    pub subject: String,
}
