//! A run of messages and the rows that their events have, read together.

use std::collections::{BTreeMap, BTreeSet};

use pos_model::{ChainHash, Epoch};
use protocol::latest::{Batch, SaleCompleted};
use uuid::Uuid;

use super::DOING;
use super::counter::CounterRows;
use crate::ledger::LedgerError;
use crate::ledger::books::VerifyReport;
use crate::ledger::database::{Database, Row, cells};
use crate::ledger::read::frames;

/// Messages that are looked at together: some tens of thousands of events, and some tens of megabytes.
const PAGE_BATCHES: i64 = 64;

/// The numbers of the events that are parked; they have no rows.
pub(in crate::ledger::read) struct Parked(BTreeSet<i64>);

impl Parked {
    pub(in crate::ledger::read) fn of(numbers: BTreeSet<i64>) -> Self {
        Self(numbers)
    }

    pub(super) fn read<D: Database>(database: &D) -> Result<Self, LedgerError> {
        let query = "SELECT event_no FROM parked WHERE event_no IS NOT NULL";
        Ok(Self(database.all(DOING, query, &[], |row| row.number(0))?.into_iter().collect()))
    }

    pub(in crate::ledger::read) fn contains(&self, event_no: i64) -> bool {
        self.0.contains(&event_no)
    }
}

/// A message that is held.
pub(super) struct BatchHead {
    pub(super) first_event_no: i64,
    pub(super) stream_no: i64,
    pub(super) store_no: i64,
    pub(super) first_seq: i64,
    pub(super) count: i64,
    pub(super) epoch: Epoch,
    /// The hash before the first event of its epoch.
    pub(super) base_hash: ChainHash,
    /// Events at its beginning that were there already.
    pub(super) skip: usize,
    pub(super) batch: Batch,
}

/// The columns of a sale that are compared.
struct SaleColumns {
    id: Uuid,
    /// The event that the ledger knows by this id; 0 if it does not know the id, and would apply the sale again. The ids of
    /// dates that are being dropped are not looked at.
    event_of_id: i64,
    gross_minor: i64,
    tax_minor: i64,
    net_minor: i64,
    quantity_micro: i64,
    lines: i64,
    business_date: i64,
}

/// How many rows the lines of a sale have, and the sum of their gross.
#[derive(Default)]
struct LineRows {
    count: i128,
    gross_minor: i128,
}

pub(super) struct Page {
    pub(super) batches: Vec<BatchHead>,
    /// Hashes that are kept beside the messages.
    pub(super) hashes: BTreeMap<i64, ChainHash>,
    pub(super) counter: CounterRows,
    sales: BTreeMap<i64, SaleColumns>,
    lines: BTreeMap<i64, LineRows>,
}

impl Page {
    /// The next messages behind a number; none at the end.
    pub(super) fn read<D: Database>(database: &D, behind: i64) -> Result<Option<Self>, LedgerError> {
        let query =
            "SELECT first_event_no, stream_no, first_seq, batches.events, frame_skip, frame, epoch, base_hash, store_no
            FROM batches JOIN streams USING (stream_no) WHERE first_event_no > ?1 ORDER BY first_event_no LIMIT ?2";
        let batches = database.all(DOING, query, cells![behind, PAGE_BATCHES], |row| {
            Ok(BatchHead {
                first_event_no: row.number(0)?,
                stream_no: row.number(1)?,
                store_no: row.number(8)?,
                first_seq: row.number(2)?,
                count: row.number(3)?,
                epoch: Epoch::from_sql(row.number(6)?),
                base_hash: row.hash(7)?,
                skip: usize::try_from(row.number(4)?).unwrap_or(usize::MAX),
                batch: frames::open(row.bytes(5)?)?,
            })
        })?;
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(None) };
        let (first, last) = (first.first_event_no, last.first_event_no.saturating_add(last.count.max(1) - 1));
        Self::of_events(database, batches, first, last).map(Some)
    }

    /// The rows of the events between two numbers.
    pub(super) fn of_events<D: Database>(
        database: &D,
        batches: Vec<BatchHead>,
        first: i64,
        last: i64,
    ) -> Result<Self, LedgerError> {
        let mut page = Self {
            batches,
            hashes: BTreeMap::new(),
            counter: CounterRows::read(database, first, last)?,
            sales: BTreeMap::new(),
            lines: BTreeMap::new(),
        };
        database.query(DOING, D::DIALECT.hashes, cells![first, last], &mut |row| {
            page.hashes.insert(row.number(0)?, row.hash(1)?);
            Ok(())
        })?;
        let query = format!(
            "SELECT event_no, sale_id, gross_minor, tax_minor, net_minor, quantity_micro, lines, business_date,
                CASE WHEN business_date < (SELECT facts_from FROM rollup_state) THEN event_no ELSE
                    coalesce((SELECT applied.event_no FROM {} WHERE applied.sale_id = sales.sale_id), 0) END
            FROM sales WHERE event_no BETWEEN ?1 AND ?2",
            D::DIALECT.applied_sales
        );
        database.query(DOING, &query, cells![first, last], &mut |row| {
            let columns = SaleColumns {
                id: row.id(1)?,
                gross_minor: row.number(2)?,
                tax_minor: row.number(3)?,
                net_minor: row.number(4)?,
                quantity_micro: row.number(5)?,
                lines: row.number(6)?,
                business_date: row.number(7)?,
                event_of_id: row.number(8)?,
            };
            page.sales.insert(row.number(0)?, columns);
            Ok(())
        })?;
        let query = "SELECT line_no, gross_minor FROM sale_lines WHERE line_no BETWEEN ?1 AND ?2";
        let lines = cells![first.saturating_mul(1024), last.saturating_mul(1024).saturating_add(1023)];
        database.query(DOING, query, lines, &mut |row| {
            let rows = page.lines.entry(row.number(0)?.div_euclid(1024)).or_default();
            rows.count += 1;
            rows.gross_minor += i128::from(row.number(1)?);
            Ok(())
        })?;
        Ok(page)
    }

    /// Whether a sale has its row.
    pub(super) fn has_sale(&self, event_no: i64) -> bool {
        self.sales.contains_key(&event_no)
    }

    /// The number behind which the next page begins.
    pub(super) fn last_first_event_no(&self) -> i64 {
        self.batches.last().map_or(i64::MAX, |last| last.first_event_no)
    }

    /// Compares a sale's columns; says whether the sale is in the tables. One that is parked is not.
    pub(super) fn compare_sale(&self, event_no: i64, sale: &SaleCompleted, report: &mut VerifyReport) -> bool {
        let Some(held) = self.sales.get(&event_no) else { return false };
        let gross_of_lines: i128 = sale.lines.iter().map(|line| i128::from(line.gross_minor.minor())).sum();
        let lines = sale.lines.len() as i128;
        let totals = &sale.totals;
        let what = |column: &str| format!("{column} of sale {}", sale.sale_id);
        report.compare(held.id, sale.sale_id.uuid(), || what("id"));
        report.compare(held.event_of_id, event_no, || what("event of the id"));
        report.compare(held.gross_minor, totals.gross_minor.minor(), || what("gross_minor"));
        report.compare(held.tax_minor, totals.tax_minor.minor(), || what("tax_minor"));
        report.compare(held.net_minor, totals.net_minor.minor(), || what("net_minor"));
        report.compare(held.quantity_micro, totals.quantity.micro(), || what("quantity_micro"));
        report.compare(i128::from(held.lines), lines, || what("lines"));
        report.compare(held.business_date, i64::from(sale.business_date.days()), || what("business_date"));
        let nothing = LineRows::default();
        let rows = self.lines.get(&event_no).unwrap_or(&nothing);
        report.compare(rows.count, lines, || what("number of line rows"));
        report.compare(rows.gross_minor, gross_of_lines, || what("gross_minor of the lines"));
        true
    }
}
