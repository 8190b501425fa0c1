//! A group's tables in SQLite: statements that are prepared once and kept. Nothing is kept back.

use std::collections::{BTreeMap, HashSet};

use pos_model::{ChainHash, Epoch, SaleId, Seq, StoreId, TillId};
use protocol::latest::{Mark, Predecessor};
use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Statement, ToSql, params, params_from_iter};

use super::database::hash_of;
use super::sale_ids::{APPLIED_SALES, Taken};
use super::statements::{
    ADD_DUPLICATE_Z, ADD_REFUND_TOTALS, COUNT_WAITING, DROP_Z_RUN, PUT_REFUNDED, PUT_REFUNDED_LINE, PUT_Z_RUN,
    REFUNDED_LINES, REFUNDED_SALE, SALE_EVENT, SOLD, SOLD_LINES, STOCK_ADDED, Statements, Z_RUNS_AT,
};
use super::{Access, During, is_known_key};
use crate::ledger::LedgerError;
use crate::ledger::database::{Cell, Database};
use crate::ledger::fault::Fault;
use crate::ledger::group::{
    BatchRow, DayKey, Direction, FactKind, FactPlace, HealthNote, KnownHead, NumberKind, ParkedRow, RefundTotals,
    Refunded, SaleRow, Sold, StoreCounts, StreamRow, Table, Tables, Totals,
};
use crate::ledger::read::frames::{self, HeldBatch};
use crate::ledger::read::rollups;
use crate::ledger::text::{adjustment_sum_minor, options_as_json, tenders_as_json};

/// The tables of one database transaction.
pub(super) struct SqliteTables<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    /// Reused for the JSON of tenders and options.
    text: String,
    sale_ids: Taken,
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Nothing => rusqlite::types::Null.to_sql(),
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

impl<'c> SqliteTables<'c> {
    pub(super) fn begin(connection: &'c Connection) -> Result<Self, LedgerError> {
        let mut statements = Statements::prepare(connection)?;
        let sale_ids = Taken::begin(&mut statements)?;
        Ok(Self { connection, statements, text: String::new(), sale_ids })
    }

    /// How many ids of sales were taken.
    pub(super) fn sale_ids_added(&self) -> i64 {
        self.sale_ids.added()
    }

    fn cached(&self, sql: &str, doing: &'static str) -> Result<CachedStatement<'c>, LedgerError> {
        self.connection.prepare_cached(sql).during(doing)
    }

    fn insert(&self, table: Table, row: &[Cell<'_>]) -> Result<rusqlite::Result<usize>, LedgerError> {
        let holes = vec!["?"; row.len()].join(", ");
        let sql = format!("INSERT INTO {} VALUES ({holes})", table.name());
        let mut statement = self.cached(&sql, COUNTER)?;
        Ok(statement.execute(params_from_iter(row)))
    }
}

const COUNTER: &str = "insert what happened at the counter";
const REPAIR: &str = "put right what was lost";
const REFUNDS: &str = "add up what came back of a sale";

/// Where facts of a kind have their ids, and the column.
fn ids(kind: FactKind) -> (&'static str, &'static str) {
    match kind {
        FactKind::Sale => (APPLIED_SALES, "sale_id"),
        FactKind::Refund => ("refunds", "refund_id"),
        FactKind::ShiftOpen => ("shift_opens", "shift_id"),
        FactKind::ZReport => ("z_reports", "shift_id"),
        FactKind::ShiftAmendment => ("shift_amendments", "movement_id"),
        FactKind::CashMovement => ("cash_movements", "movement_id"),
        FactKind::StockMovement => ("stock_movements", "movement_id"),
        FactKind::StockCount => ("stock_counts", "movement_id"),
    }
}

/// The runs of a till that overlap or touch the numbers from `first` to `last`.
fn touching(
    statement: &mut Statement<'_>,
    store_no: i64,
    till_id: &str,
    first: i64,
    last: i64,
) -> Result<Vec<(i64, i64)>, Fault> {
    let doing = "read runs of numbers";
    let mut found = statement.query(params![store_no, till_id, last.saturating_add(1)]).during(doing)?;
    let mut touched = Vec::new();
    while let Some(row) = found.next().during(doing)? {
        let run: (i64, i64) = row.try_into().during(doing)?;
        if run.1 < first.saturating_sub(1) {
            break;
        }
        touched.push(run);
    }
    Ok(touched)
}

impl<'g> Tables<'g> for SqliteTables<'_> {
    fn store_no(&mut self, store: &StoreId, now_ms: i64) -> Result<i64, Fault> {
        let statements = &mut self.statements;
        let found = statements.find_store.query_row([store.as_str()], |row| row.get(0)).optional();
        let store_no = match found.during("find store")? {
            Some(store_no) => store_no,
            None => statements.add_store.insert(params![store.as_str(), now_ms]).during("add store")?,
        };
        statements.add_state.execute(params![store_no, now_ms]).during("add the store's state")?;
        Ok(store_no)
    }

    fn next_event_no(&mut self) -> Result<i64, Fault> {
        let last = self.statements.last_event_no.query_row([], |row| row.get::<_, i64>(0));
        Ok(last.during("read the last event number")? + 1)
    }

    fn stores_waiting(&mut self) -> Result<HashSet<i64>, Fault> {
        let doing = "read the stores with refunds of unknown sales";
        let rows = self.statements.stores_waiting.query_map([], |row| row.get(0)).during(doing)?;
        Ok(rows.collect::<rusqlite::Result<_>>().during(doing)?)
    }

    fn stream(&mut self, store_no: i64, epoch: Epoch) -> Result<Option<StreamRow>, Fault> {
        let read = |row: &Row<'_>| {
            let seq = Seq::from_sql(row.get(1)?);
            Ok((row.get(0)?, seq, hash_of(row.get_ref(2)?), hash_of(row.get_ref(3)?)))
        };
        let found = self.statements.find_stream.query_row(params![store_no, epoch.to_sql()], read).optional();
        let Some((stream_no, seq, hash, base_hash)) = found.during("read cursor")? else { return Ok(None) };
        Ok(Some(StreamRow { stream_no, applied: Mark { seq, hash: hash? }, base_hash: base_hash? }))
    }

    fn add_stream(
        &mut self,
        store_no: i64,
        epoch: Epoch,
        applied: Mark,
        base_hash: ChainHash,
        now_ms: i64,
    ) -> Result<i64, Fault> {
        let Mark { seq, hash } = applied;
        let row = params![store_no, epoch.to_sql(), seq.to_sql(), hash.as_bytes(), base_hash.as_bytes(), now_ms];
        Ok(self.statements.add_stream.insert(row).during("add epoch")?)
    }

    fn move_cursor(&mut self, stream_no: i64, applied: Mark, base_hash: ChainHash) -> Result<(), Fault> {
        let row = params![stream_no, applied.seq.to_sql(), applied.hash.as_bytes(), base_hash.as_bytes()];
        self.statements.move_cursor.execute(row).during("move cursor")?;
        Ok(())
    }

    fn open_stream(
        &mut self,
        stream_no: i64,
        at_ms: i64,
        why: &'static str,
        previous: Option<&Predecessor>,
    ) -> Result<(), Fault> {
        let epoch = previous.map(|previous| previous.epoch.to_sql());
        let seq = previous.map(|previous| previous.seq.to_sql());
        let hash = previous.map(|previous| previous.hash.as_bytes());
        let row = params![stream_no, at_ms, why, epoch, seq, hash];
        self.statements.open_stream.execute(row).during("note epoch")?;
        Ok(())
    }

    fn continue_stream(&mut self, store_no: i64, previous: &Predecessor) -> Result<bool, Fault> {
        let row = params![store_no, previous.epoch.to_sql(), previous.seq.to_sql()];
        let rows = self.statements.continue_stream.execute(row).during("tie epoch to the one before")?;
        Ok(rows > 0)
    }

    fn report_head(&mut self, store_no: i64, epoch: Epoch, head: Seq) -> Result<(), Fault> {
        let row = params![store_no, epoch.to_sql(), head.to_sql()];
        self.statements.report_head.execute(row).during("note head")?;
        Ok(())
    }

    fn held(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let found = self.statements.find_batch.query_row(params![stream_no, seq.to_sql()], read).optional();
        let Some((first_seq, first_event_no, events)) = found.during("find batch")? else { return Ok(None) };
        let offset = seq.to_sql() - first_seq;
        if offset >= events {
            return Ok(None);
        }
        let read = |row: &Row<'_>| row.get_ref(0).map(hash_of);
        let hash = self.statements.event_hash.query_row([first_event_no + offset], read).during("read hash")??;
        Ok(Some(hash))
    }

    fn lost(&mut self, stream_no: i64, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, Fault> {
        let place = params![stream_no, from.to_sql(), to.to_sql()];
        let read = |row: &Row<'_>| Ok((Seq::from_sql(row.get(0)?), Seq::from_sql(row.get(1)?)));
        Ok(self.statements.lost.query_row(place, read).optional().during("look for lost events")?)
    }

    fn found(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, Fault> {
        let doing = "look for a found event";
        let mut rows = self.statements.found.query(params![stream_no, seq.to_sql()]).during(doing)?;
        let Some(row) = rows.next().during(doing)? else { return Ok(None) };
        Ok(Some(hash_of(row.get_ref(0).during(doing)?)?))
    }

    fn add_loss(&mut self, stream_no: i64, from: Seq, to: Seq, now_ms: i64) -> Result<(), Fault> {
        let row = params![stream_no, from.to_sql(), to.to_sql(), now_ms];
        self.statements.add_loss.execute(row).during("note loss")?;
        Ok(())
    }

    fn add_batch(&mut self, row: &BatchRow<'g>) -> Result<(), Fault> {
        let BatchRow { first_event_no, stream_no, first_seq, events, skip, received_at_ms, frame, .. } = *row;
        let small = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (events, skip) = (small(events), small(skip));
        let row = params![first_event_no, stream_no, first_seq.to_sql(), events, received_at_ms, skip, frame];
        self.statements.add_batch.execute(row).during("insert batch")?;
        Ok(())
    }

    fn add_event(&mut self, event_no: i64, hash: &ChainHash) -> Result<(), Fault> {
        self.statements.add_event.execute(params![event_no, hash.as_bytes()]).during("insert event")?;
        Ok(())
    }

    fn add_sale(&mut self, row: &SaleRow<'g>) -> Result<bool, Fault> {
        let id = row.sale.sale_id.as_bytes();
        if !self.sale_ids.take(&mut self.statements, id, row.event_no, row.store_no)? {
            return Ok(false);
        }
        let (sale, text) = (row.sale, &mut self.text);
        tenders_as_json(&sale.tenders, text);
        let imported = sale.imported.as_ref();
        let added = self.statements.add_sale.execute(params![
            row.event_no,
            sale.sale_id.as_bytes(),
            row.store_no,
            row.stream_no,
            row.seq.to_sql(),
            sale.business_date.days(),
            sale.sold_at.utc_ms,
            sale.sold_at.offset_s,
            sale.till_id.as_str(),
            sale.operator_id.as_ref().map(pos_model::OperatorId::as_str),
            sale.channel.as_str(),
            sale.member_tag,
            row.receipt_no,
            sale.pickup_no,
            sale.currency.as_str(),
            row.lines,
            sale.totals.quantity.micro(),
            sale.totals.gross_minor.minor(),
            sale.totals.tax_minor.minor(),
            sale.totals.net_minor.minor(),
            sale.change_minor.minor(),
            text.as_str(),
            sale.price_book_version,
            imported.map(|imported| &imported.source),
            imported.map(|imported| &imported.reference),
        ]);
        added.during("insert sale")?;
        for (line, line_no) in sale.lines.iter().zip(row.event_no * 1024..) {
            options_as_json(line, text);
            let options = (!text.is_empty()).then_some(text.as_str());
            let row = params![
                line_no,
                line.sku.as_str(),
                line.name,
                line.quantity.micro(),
                line.unit_price_minor.minor(),
                line.gross_minor.minor(),
                line.tax_minor.minor(),
                line.tax_group.as_str(),
                line.tax_rate_ppm,
                adjustment_sum_minor(line),
                options,
            ];
            self.statements.add_line.execute(row).during("insert sale line")?;
        }
        Ok(true)
    }

    fn add_fact(
        &mut self,
        _kind: FactKind,
        table: Table,
        _id: &[u8; 16],
        _place: (i64, i64),
        row: &[Cell<'_>],
    ) -> Result<bool, Fault> {
        match self.insert(table, row)? {
            Err(error) if is_known_key(&error) => Ok(false),
            added => Ok(added.during(COUNTER).map(|_| true)?),
        }
    }

    fn add_row(&mut self, table: Table, row: &[Cell<'_>]) -> Result<(), Fault> {
        self.insert(table, row)?.during(COUNTER)?;
        Ok(())
    }

    fn fact_place(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<FactPlace, Fault> {
        let doing = "read the fact with this id";
        let (ids, column) = ids(kind);
        let known = match kind {
            // The row of a sale may have been deleted by hand. Its place is not known then.
            FactKind::Sale => format!(
                "SELECT applied.store_no, event_no, stream_no, seq FROM {ids} LEFT JOIN sales USING (event_no)
                WHERE applied.{column} = ?1"
            ),
            _ => format!("SELECT store_no, event_no, stream_no, seq FROM {ids} WHERE {column} = ?1"),
        };
        let sql = format!(
            "SELECT store_id, ifnull(epoch, 0), ifnull(seq, 0), event_no, stores.store_no
            FROM ({known}) JOIN stores USING (store_no) LEFT JOIN streams USING (stream_no)"
        );
        let read = |row: &Row<'_>| {
            Ok(FactPlace {
                store: row.get(0)?,
                epoch: Epoch::from_sql(row.get(1)?),
                seq: Seq::from_sql(row.get(2)?),
                event_no: row.get(3)?,
                store_no: row.get(4)?,
            })
        };
        let found = self.cached(&sql, doing)?.query_row([id], read).optional().during(doing)?;
        Ok(found.ok_or(LedgerError::Damaged { what: "index of ids" })?)
    }

    fn holding(&mut self, event_no: i64) -> Result<Option<HeldBatch>, Fault> {
        Ok(frames::holding(&Access(self.connection), event_no)?)
    }

    fn park(&mut self, row: &ParkedRow<'_>) -> Result<bool, Fault> {
        let ParkedRow { store_no, stream_no, seq, hash, parked_at_ms, reason, detail, kind, event_no, bytes } = *row;
        let (seq, hash) = (seq.to_sql(), hash.as_bytes());
        let row = params![store_no, stream_no, seq, hash, parked_at_ms, reason, detail, event_no, bytes, kind];
        Ok(self.statements.park.execute(row).during("park event")? > 0)
    }

    fn is_parked(&mut self, stream_no: i64, mark: Mark) -> Result<bool, Fault> {
        let place = params![stream_no, mark.seq.to_sql(), mark.hash.as_bytes()];
        let found = self.statements.is_parked.query_row(place, |row| row.get(0));
        Ok(found.during("look for a parked event")?)
    }

    fn access(&mut self) -> Result<impl Database + '_, Fault> {
        Ok(Access(self.connection))
    }

    fn roll_up_anew(&mut self, store_no: i64, date: i32, event_no: i64) -> Result<(), Fault> {
        Ok(rollups::mark(&Access(self.connection), (store_no, date), event_no)?)
    }

    fn report_receipt(&mut self, store_no: i64, till: &TillId, receipt_no: i64) -> Result<(), Fault> {
        let row = params![store_no, till.as_str(), receipt_no];
        self.statements.report_receipt.execute(row).during("note receipt")?;
        Ok(())
    }

    fn known_receipts(&mut self, store_no: i64) -> Result<Vec<KnownHead>, Fault> {
        let doing = "read known receipts";
        let head = |row: &Row<'_>| {
            let (till_id, receipt_no, z_no, grand_total_minor) = row.try_into()?;
            Ok(KnownHead { till_id, receipt_no, z_no, grand_total_minor })
        };
        let rows = self.statements.known_receipts.query_map([store_no], head).during(doing)?;
        Ok(rows.collect::<rusqlite::Result<_>>().during(doing)?)
    }

    fn note_health(&mut self, store_no: i64, note: &HealthNote<'_>) -> Result<(), Fault> {
        let HealthNote { now_ms, health, version, agent_version } = *note;
        let row = params![
            store_no,
            now_ms,
            health.clock.utc_ms,
            health.clock.offset_s,
            health.clock.utc_ms.saturating_sub(now_ms),
            version,
            agent_version,
            health.epoch.to_sql(),
            health.head.to_sql(),
            i64::try_from(health.outbox_events).unwrap_or(i64::MAX),
            health.outbox_oldest_ms,
            health.disk_free_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ];
        self.statements.note_health.execute(row).during("note the store's state")?;
        Ok(())
    }

    fn count_store(&mut self, store_no: i64, counts: &StoreCounts) -> Result<(), Fault> {
        let StoreCounts { contact_ms, events, sales, parked, forked, taken, last_sale_at_ms } = *counts;
        let row = params![store_no, contact_ms, events, sales, parked, forked, last_sale_at_ms, taken];
        self.statements.count_store.execute(row).during("count the store's events")?;
        Ok(())
    }

    fn add_totals(&mut self, (store_no, date, currency): DayKey, totals: &Totals) -> Result<(), Fault> {
        let Totals { sales, lines, quantity_micro, gross_minor, tax_minor, net_minor } = *totals;
        let key = (store_no, date, currency.as_str());
        let row = params![key.0, key.1, key.2, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor];
        self.statements.add_totals.execute(row).during("add to the day's totals")?;
        Ok(())
    }

    fn add_refund_totals(&mut self, (store_no, date, currency): DayKey, totals: &RefundTotals) -> Result<(), Fault> {
        let doing = "add to the day's refunds";
        let RefundTotals { refunds, gross_minor, tax_minor } = *totals;
        let row = params![store_no, date, currency.as_str(), refunds, gross_minor, tax_minor];
        self.cached(ADD_REFUND_TOTALS, doing)?.execute(row).during(doing)?;
        Ok(())
    }

    fn add_stock(&mut self, direction: Direction, key: (i64, i32, &'g str), micro: i64) -> Result<(), Fault> {
        let row = params![key.0, key.1, key.2, micro];
        match direction {
            Direction::Used => self.statements.add_used.execute(row).during("add to the stock used")?,
            Direction::Added => {
                let doing = "add to the stock added";
                self.cached(STOCK_ADDED, doing)?.execute(row).during(doing)?
            }
        };
        Ok(())
    }

    fn runs(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<Vec<(i64, i64)>, Fault> {
        match kind {
            NumberKind::Receipt => touching(&mut self.statements.receipt_runs_at, store_no, till_id, first, last),
            NumberKind::Z => {
                let mut statement = self.cached(Z_RUNS_AT, "read runs of numbers")?;
                touching(&mut statement, store_no, till_id, first, last)
            }
        }
    }

    fn put_run(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        first: i64,
        last: i64,
    ) -> Result<(), Fault> {
        let doing = "write a run of numbers";
        let row = params![store_no, till_id, first, last];
        match kind {
            NumberKind::Receipt => self.statements.put_receipt_run.execute(row).during(doing)?,
            NumberKind::Z => self.cached(PUT_Z_RUN, doing)?.execute(row).during(doing)?,
        };
        Ok(())
    }

    fn drop_run(&mut self, kind: NumberKind, store_no: i64, till_id: &'g str, first: i64) -> Result<(), Fault> {
        let doing = "join runs of numbers";
        let row = params![store_no, till_id, first];
        match kind {
            NumberKind::Receipt => self.statements.drop_receipt_run.execute(row).during(doing)?,
            NumberKind::Z => self.cached(DROP_Z_RUN, doing)?.execute(row).during(doing)?,
        };
        Ok(())
    }

    fn add_duplicate(
        &mut self,
        kind: NumberKind,
        store_no: i64,
        till_id: &'g str,
        number: i64,
        event_no: i64,
    ) -> Result<(), Fault> {
        let doing = "note a number that was given twice";
        let row = params![store_no, till_id, number, event_no];
        match kind {
            NumberKind::Receipt => self.statements.add_duplicate_receipt.execute(row).during(doing)?,
            NumberKind::Z => self.cached(ADD_DUPLICATE_Z, doing)?.execute(row).during(doing)?,
        };
        Ok(())
    }

    fn refunded(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<Refunded>, Fault> {
        let key = params![store_no, sale_id.as_bytes()];
        let read = |row: &Row<'_>| {
            Ok(Refunded {
                refunds: row.get(0)?,
                gross_minor: row.get(1)?,
                tax_minor: row.get(2)?,
                sale_event_no: row.get(3)?,
                is_over: row.get(4)?,
                lines: BTreeMap::new(),
            })
        };
        let found = self.cached(REFUNDED_SALE, REFUNDS)?.query_row(key, read).optional().during(REFUNDS)?;
        let Some(mut refunded) = found else { return Ok(None) };
        let mut statement = self.cached(REFUNDED_LINES, REFUNDS)?;
        let lines = statement.query_map(key, |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).during(REFUNDS)?;
        refunded.lines = lines.collect::<rusqlite::Result<_>>().during(REFUNDS)?;
        Ok(Some(refunded))
    }

    fn put_refunded(
        &mut self,
        store_no: i64,
        sale_id: SaleId,
        refunded: &Refunded,
        changed: &[u32],
    ) -> Result<(), Fault> {
        let Refunded { refunds, gross_minor, tax_minor, sale_event_no, is_over, lines } = refunded;
        let row = params![store_no, sale_id.as_bytes(), refunds, gross_minor, tax_minor, sale_event_no, is_over];
        self.cached(PUT_REFUNDED, REFUNDS)?.execute(row).during(REFUNDS)?;
        let mut put = self.cached(PUT_REFUNDED_LINE, REFUNDS)?;
        for line in changed {
            let (quantity, gross) = lines.get(line).copied().unwrap_or_default();
            put.execute(params![store_no, sale_id.as_bytes(), line, quantity, gross]).during(REFUNDS)?;
        }
        Ok(())
    }

    fn sale_event(&mut self, store_no: i64, sale_id: SaleId) -> Result<Option<i64>, Fault> {
        let mut statement = self.cached(SALE_EVENT, REFUNDS)?;
        let found = statement.query_row(params![store_no, sale_id.as_bytes()], |row| row.get(0)).optional();
        Ok(found.during(REFUNDS)?)
    }

    fn sold(&mut self, event_no: i64) -> Result<Option<Sold>, Fault> {
        let found = self.cached(SOLD, REFUNDS)?.query_row([event_no], |row| row.get(0)).optional();
        let Some(gross_minor) = found.during(REFUNDS)? else { return Ok(None) };
        let mut statement = self.cached(SOLD_LINES, REFUNDS)?;
        let lines = statement.query_map([event_no], |row| row.try_into()).during(REFUNDS)?;
        let lines = lines.collect::<rusqlite::Result<_>>().during(REFUNDS)?;
        Ok(Some(Sold { gross_minor, lines }))
    }

    fn count_waiting(&mut self, store_no: i64, more: i64) -> Result<(), Fault> {
        self.cached(COUNT_WAITING, REFUNDS)?.execute(params![store_no, more]).during(REFUNDS)?;
        Ok(())
    }

    fn change(&mut self, sql: &str, values: &[Cell<'_>]) -> Result<u64, Fault> {
        Ok(Access(self.connection).execute(REPAIR, sql, values)?)
    }

    fn find_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<Option<(i64, i64)>, Fault> {
        let (ids, column) = ids(kind);
        let sql = format!("SELECT store_no, event_no FROM {ids} WHERE {column} = ?1");
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.cached(&sql, REPAIR)?.query_row([id], read).optional().during(REPAIR)?)
    }

    /// The ids of sales stand in tables of their own, all others in the rows.
    fn forget_fact(&mut self, kind: FactKind, id: &[u8; 16]) -> Result<(), Fault> {
        if kind == FactKind::Sale {
            for delete in ["DELETE FROM new_sale_ids WHERE sale_id = ?1", "DELETE FROM sale_ids WHERE sale_id = ?1"] {
                self.cached(delete, REPAIR)?.execute([id]).during(REPAIR)?;
            }
        }
        Ok(())
    }

    fn put_hash(&mut self, event_no: i64, hash: &ChainHash) -> Result<(), Fault> {
        let sql = "INSERT INTO events VALUES (?1, ?2) ON CONFLICT DO UPDATE SET hash = excluded.hash";
        self.cached(sql, REPAIR)?.execute(params![event_no, hash.as_bytes()]).during(REPAIR)?;
        Ok(())
    }

    fn message_at(&mut self, stream_no: i64, seq: Seq) -> Result<Option<HeldBatch>, Fault> {
        Ok(frames::at(&Access(self.connection), stream_no, seq)?)
    }

    fn begin_step(&mut self) -> Result<(), Fault> {
        Ok(self.connection.execute_batch("SAVEPOINT step").during("open savepoint")?)
    }

    fn undo_step(&mut self) -> Result<(), Fault> {
        Ok(self.connection.execute_batch("ROLLBACK TO step").during("roll back to savepoint")?)
    }

    fn end_step(&mut self) -> Result<(), Fault> {
        Ok(self.connection.execute_batch("RELEASE step").during("release savepoint")?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
