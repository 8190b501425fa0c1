//! What a till asks for, in plain numbers.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::TillId;
use uuid::Uuid;

use super::facts::{CashKind, StockKind};
use super::sums::AskedLine;

/// A till asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The till's key: the same again is the same.
    pub id: Uuid,
    /// The till.
    pub till_id: TillId,
    /// The business date by the agent's clock, in days since 1970.
    pub day: i32,
    /// What.
    pub what: Wanted,
}

/// What it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// To sell.
    Sale {
        /// What.
        lines: Vec<AskedLine>,
        /// What is paid by each means, change not included.
        paid: BTreeMap<String, i64>,
    },
    /// To give money back.
    Refund(AskedRefund),
    /// To open the till.
    OpenShift {
        /// Made by the till.
        shift_id: Uuid,
        /// The cash in the drawer.
        float_minor: i64,
    },
    /// To move cash.
    MoveCash {
        /// The shift.
        shift_id: Uuid,
        /// How.
        kind: CashKind,
        /// How much.
        amount_minor: i64,
    },
    /// To close the till.
    CloseShift {
        /// The shift.
        shift_id: Uuid,
        /// What is in the drawer.
        counted_minor: i64,
    },
    /// To note what was found out about a closed shift.
    AmendShift {
        /// The shift.
        shift_id: Uuid,
        /// What the count should have been.
        counted_minor: i64,
    },
    /// To close a business date.
    CloseDay {
        /// The date, in days since 1970.
        day: i32,
    },
    /// To move stock.
    MoveStock {
        /// How.
        kind: StockKind,
        /// How much, in millionths.
        items: BTreeMap<String, i64>,
    },
    /// To count stock, some items or all.
    BeginCount {
        /// Which items; nothing is all.
        items: BTreeSet<String>,
    },
    /// To say what was there.
    FinishCount {
        /// The id of the command by which it began.
        count_id: Uuid,
        /// How much, in millionths.
        items: BTreeMap<String, i64>,
    },
}

/// To give money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRefund {
    /// The sale.
    pub sale_id: Uuid,
    /// Whether it is taken back whole, as a mistake; then `lines` are empty.
    pub void: bool,
    /// Whether the goods of a void are in stock again.
    pub is_restocked: bool,
    /// What comes back.
    pub lines: Vec<AskedReturn>,
}

/// Units of a line that come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedReturn {
    /// The line, from zero.
    pub line: usize,
    /// Which units.
    pub units: Units,
    /// Whether the goods are in stock again.
    pub is_restocked: bool,
}

/// Which units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Units {
    /// These, from zero.
    These(BTreeSet<u32>),
    /// So many of those that are left, the cheapest first.
    Count(u32),
    /// All that are left.
    Rest,
}
