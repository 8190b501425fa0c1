//! A group's tables in PostgreSQL: what the group needs is read ahead in one flight, what it changes is kept back and
//! written in a few, sorted by key.
//!
//! A read that was not foreseen writes what is kept back and asks the database. That is how replays of single places,
//! forks and careful steps are done; the path of a sale never does it.

mod acting;
mod ahead;
mod asked;
mod lookups;
mod state;
mod upserts;
mod writing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pos_model::SaleId;
use protocol::latest::SaleCompleted;

pub(super) use self::asked::Reading;
pub(super) use self::lookups::applied_seq;
use self::state::{ParkedOut, State, Stream};
use super::copy::Copy;
use super::months::Month;
use super::session::Session;
use crate::ledger::LedgerError;
use crate::ledger::fault::Fault;
use crate::ledger::group::{
    DayKey, Direction, FactKind, KnownHead, NumberKind, RefundTotals, Refunded, Sold, Table, Tables, Totals,
};

/// A till's runs that were read: all that touch the numbers from the first to the second.
#[derive(Debug, Default)]
struct KnownRuns {
    window: (i64, i64),
    runs: BTreeMap<i64, i64>,
}

type TillKey<'g> = (NumberKind, i64, &'g str);

/// The tables of one database transaction.
pub(super) struct PostgresTables<'s, 'g> {
    session: &'s Session,
    now_ms: i64,
    look_up_sales: bool,

    // Read ahead, and kept as the group changes it.
    stores: HashMap<String, i64>,
    states: BTreeMap<i64, State>,
    streams: BTreeMap<(i64, i64), Option<Stream>>,
    stream_keys: HashMap<i64, (i64, i64)>,
    losses: HashMap<i64, Vec<(i64, i64)>>,
    receipts: HashMap<i64, BTreeMap<String, KnownHead>>,
    facts: HashMap<(FactKind, [u8; 16]), bool>,
    runs: HashMap<TillKey<'g>, KnownRuns>,
    refunded: BTreeMap<(i64, SaleId), Option<Refunded>>,
    sale_events: HashMap<(i64, SaleId), Option<i64>>,
    sold: HashMap<i64, Sold>,
    /// Sales of which something came back in this group.
    watched: HashSet<SaleId>,
    next_event_no: i64,
    stream_numbers: Vec<i64>,
    newest_place: Option<(i64, i64)>,

    // Kept back.
    months: BTreeSet<Month>,
    batches: Copy,
    fact_ids: Copy,
    sales: Copy,
    lines: Copy,
    rows: [Copy; Table::ALL.len()],
    totals: BTreeMap<DayKey, (Totals, RefundTotals)>,
    stock: BTreeMap<(Direction, i64, i32, &'g str), i64>,
    put_runs: BTreeMap<(NumberKind, i64, &'g str, i64), Option<i64>>,
    duplicates: BTreeSet<(NumberKind, i64, &'g str, i64, i64)>,
    heads: BTreeMap<(i64, String), i64>,
    parked: Vec<ParkedOut>,
    put_refunded: BTreeMap<(i64, SaleId), BTreeSet<u32>>,
    new_losses: Vec<(i64, i64, i64, i64)>,
    text: String,
}

impl<'s, 'g> PostgresTables<'s, 'g> {
    /// Begins the transaction, takes the locks of the stores, and reads ahead.
    pub(super) fn begin(
        session: &'s Session,
        asked: &Reading<'_>,
        now_ms: i64,
        look_up_sales: bool,
    ) -> Result<Self, LedgerError> {
        let mut tables = Self {
            session,
            now_ms,
            look_up_sales,
            stores: HashMap::new(),
            states: BTreeMap::new(),
            streams: BTreeMap::new(),
            stream_keys: HashMap::new(),
            losses: HashMap::new(),
            receipts: HashMap::new(),
            facts: HashMap::new(),
            runs: HashMap::new(),
            refunded: BTreeMap::new(),
            sale_events: HashMap::new(),
            sold: HashMap::new(),
            watched: asked.refunded.clone(),
            next_event_no: 0,
            stream_numbers: Vec::new(),
            newest_place: None,
            months: BTreeSet::new(),
            batches: Copy::default(),
            fact_ids: Copy::default(),
            sales: Copy::default(),
            lines: Copy::default(),
            rows: Default::default(),
            totals: BTreeMap::new(),
            stock: BTreeMap::new(),
            put_runs: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            heads: BTreeMap::new(),
            parked: Vec::new(),
            put_refunded: BTreeMap::new(),
            new_losses: Vec::new(),
            text: String::new(),
        };
        tables.read_ahead(asked)?;
        Ok(tables)
    }

    /// The business months of the sales that were written.
    pub(super) fn months_missing(&self) -> &BTreeSet<Month> {
        &self.months
    }

    /// A stream and how far the group has moved its cursor.
    pub(super) fn newest_place(&self) -> Option<(i64, i64)> {
        self.newest_place
    }

    fn state(&mut self, store_no: i64) -> Result<&mut State, Fault> {
        if !self.states.contains_key(&store_no) {
            self.flush()?;
            let state = lookups::state(self.session, store_no)?;
            self.states.insert(store_no, state);
        }
        Ok(self.states.get_mut(&store_no).expect("it was read if it was not there"))
    }

    fn cached_stream(&mut self, store_no: i64, epoch: i64) -> Result<Option<&mut Stream>, Fault> {
        let key = (store_no, epoch);
        if !self.streams.contains_key(&key) {
            self.flush()?;
            let found = lookups::stream(self.session, store_no, epoch)?;
            if let Some((stream, losses)) = found {
                self.stream_keys.insert(stream.stream_no, key);
                self.losses.insert(stream.stream_no, losses);
                self.streams.insert(key, Some(stream));
            } else {
                self.streams.insert(key, None);
            }
        }
        Ok(self.streams.get_mut(&key).and_then(Option::as_mut))
    }

    fn numbered(&mut self, stream_no: i64) -> Result<&mut Stream, Fault> {
        let key = self.stream_keys.get(&stream_no).copied();
        let stream = key.and_then(|key| self.streams.get_mut(&key)).and_then(Option::as_mut);
        stream.ok_or(Fault::Database(LedgerError::Damaged { what: "number of an epoch" }))
    }

    /// Whether a fact's id is known, to the ledger or to this group.
    fn knows(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<bool, Fault> {
        if let Some(known) = self.facts.get(&(kind, *id)) {
            return Ok(*known);
        }
        if kind == FactKind::Sale && !self.look_up_sales {
            return Ok(false);
        }
        self.flush()?;
        let known = lookups::fact(self.session, kind, id)?.is_some();
        self.facts.insert((kind, *id), known);
        Ok(known)
    }

    fn add_fact_id(&mut self, kind: FactKind, id: &[u8; 16], (store_no, event_no): (i64, i64)) {
        self.facts.insert((kind, *id), true);
        self.fact_ids.row(4).bytes(id).smallint(number_of(kind)).bigint(event_no).bigint(store_no);
    }

    fn forget(&mut self) {
        self.states.clear();
        self.streams.clear();
        self.stream_keys.clear();
        self.losses.clear();
        self.receipts.clear();
        self.facts.clear();
        self.runs.clear();
        self.refunded.clear();
        self.sale_events.clear();
        self.sold.clear();
        self.newest_place = None;
        self.batches.clear();
        self.fact_ids.clear();
        self.sales.clear();
        self.lines.clear();
        self.rows.iter_mut().for_each(Copy::clear);
        self.totals.clear();
        self.stock.clear();
        self.put_runs.clear();
        self.duplicates.clear();
        self.heads.clear();
        self.parked.clear();
        self.put_refunded.clear();
        self.new_losses.clear();
    }
}

/// The number of a kind in the database. It never changes.
const fn number_of(kind: FactKind) -> i16 {
    match kind {
        FactKind::Sale => 0,
        FactKind::Refund => 1,
        FactKind::ShiftOpen => 2,
        FactKind::ZReport => 3,
        FactKind::ShiftAmendment => 4,
        FactKind::CashMovement => 5,
        FactKind::StockMovement => 6,
        FactKind::StockCount => 7,
    }
}

fn add(sum: &mut i64, more: i64) -> Result<(), Fault> {
    *sum = sum.checked_add(more).ok_or_else(|| Fault::Content("a sum does not fit in 64 bits".to_owned()))?;
    Ok(())
}

fn sold_of(sale: &SaleCompleted) -> Sold {
    let lines = sale.lines.iter().map(|line| (line.quantity.micro(), line.gross_minor.minor())).collect();
    Sold { gross_minor: sale.totals.gross_minor.minor(), lines }
}

impl PostgresTables<'_, '_> {
    fn note_receipt(&mut self, store_no: i64, till: &str, receipt_no: i64) {
        if let Some(known) = self.receipts.get_mut(&store_no) {
            let head = known.entry(till.to_owned()).or_default();
            till.clone_into(&mut head.till_id);
            head.receipt_no = receipt_no.max(head.receipt_no);
        }
    }
}
