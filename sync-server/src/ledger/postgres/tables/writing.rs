//! What was kept back, on its way into the database: facts are copied, the rest is one statement for each table.
//!
//! Each statement gets its rows as arrays, one for each column, sorted by key.

use std::error::Error;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::lookups::runs_table;
use super::state::{Health, ParkedOut, State};
use super::upserts::{
    DUPLICATE_RECEIPTS, DUPLICATE_Z, HEADS, HEALTH, LOSSES, PARK, REFUNDED, REFUNDED_LINES, STATES, STOCK_ADDED,
    STOCK_USED, STREAMS, TOTALS, drop_runs, put_runs,
};
use super::{PostgresTables, Table};
use crate::ledger::LedgerError;
use crate::ledger::fault::Fault;
use crate::ledger::group::{Direction, NumberKind};
use crate::ledger::postgres::copy::Copy;
use crate::ledger::postgres::session::{Sent, Session};

const DOING: &str = "write the group";

/// A date, as days since 1970-01-01.
#[derive(Debug, Clone, Copy)]
struct Date(i32);

impl ToSql for Date {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i32(self.0.saturating_sub(10_957));
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::DATE
    }

    to_sql_checked!();
}

/// A statement with its columns.
struct Write {
    statement: Statement,
    columns: Vec<Box<dyn ToSql + Sync>>,
}

impl Write {
    fn send<'a>(self, client: &'a Client) -> Sent<'a, u64> {
        Box::pin(async move {
            let values: Vec<&(dyn ToSql + Sync)> = self.columns.iter().map(|column| &**column).collect();
            client.execute(&self.statement, &values).await
        })
    }
}

/// Boxes columns.
macro_rules! columns {
    ($($column:expr),* $(,)?) => { vec![$(Box::new($column) as Box<dyn ToSql + Sync>),*] };
}

impl PostgresTables<'_, '_> {
    /// Writes all that was kept back.
    pub(super) fn write(&mut self) -> Result<(), Fault> {
        self.copy_facts()?;
        let mut writes = Vec::new();
        self.write_streams(&mut writes)?;
        self.write_states(&mut writes)?;
        self.write_totals(&mut writes)?;
        self.write_stock(&mut writes)?;
        self.write_runs(&mut writes)?;
        self.write_duplicates(&mut writes)?;
        self.write_heads(&mut writes)?;
        self.write_refunded(&mut writes)?;
        self.write_parked(&mut writes)?;
        if writes.is_empty() {
            return Ok(());
        }
        let client = self.session.client();
        let flight = writes.into_iter().map(|write| write.send(client)).collect();
        self.session.flight(DOING, flight)?;
        Ok(())
    }

    fn copy_facts(&mut self) -> Result<(), Fault> {
        let session = self.session;
        copy(session, "batches", &mut self.batches)?;
        copy(session, "fact_ids", &mut self.fact_ids)?;
        copy(session, "sales", &mut self.sales)?;
        copy(session, "sale_lines", &mut self.lines)?;
        for table in Table::ALL {
            copy(session, table.name(), &mut self.rows[table as usize])?;
        }
        Ok(())
    }

    fn statement(&self, sql: &str) -> Result<Statement, LedgerError> {
        self.session.statement(DOING, sql)
    }

    fn write_streams(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        let statement = self.statement(STREAMS)?;
        let changed: Vec<_> = self
            .streams
            .iter_mut()
            .filter_map(|(key, stream)| stream.as_mut().filter(|stream| stream.is_changed).map(|stream| (*key, stream)))
            .map(|(key, stream)| {
                stream.is_changed = false;
                (key, stream.clone())
            })
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let keys = |of: fn(&(i64, i64)) -> i64| changed.iter().map(|(key, _)| of(key)).collect::<Vec<i64>>();
        let numbers =
            |of: fn(&super::Stream) -> i64| changed.iter().map(|(_, stream)| of(stream)).collect::<Vec<i64>>();
        let maybe = |of: &dyn Fn(&super::Stream) -> Option<i64>| -> Vec<Option<i64>> {
            changed.iter().map(|(_, stream)| of(stream)).collect()
        };
        let hashes = |of: &dyn Fn(&super::Stream) -> Option<Vec<u8>>| -> Vec<Option<Vec<u8>>> {
            changed.iter().map(|(_, stream)| of(stream)).collect()
        };
        let why: Vec<Option<String>> =
            changed.iter().map(|(_, stream)| stream.opened.as_ref().map(|(_, why)| why.clone())).collect();
        let columns = columns![
            numbers(|stream| stream.stream_no),
            keys(|(store_no, _)| *store_no),
            keys(|(_, epoch)| *epoch),
            numbers(|stream| stream.applied.seq.to_sql()),
            hashes(&|stream| Some(stream.applied.hash.as_bytes().to_vec())),
            hashes(&|stream| Some(stream.base_hash.as_bytes().to_vec())),
            numbers(|stream| stream.first_seen_ms),
            numbers(|stream| stream.reported_head),
            maybe(&|stream| stream.opened.as_ref().map(|(at_ms, _)| *at_ms)),
            why,
            maybe(&|stream| stream.previous.map(|(epoch, ..)| epoch)),
            maybe(&|stream| stream.previous.map(|(_, seq, _)| seq)),
            hashes(&|stream| stream.previous.map(|(.., hash)| hash.as_bytes().to_vec())),
            numbers(|stream| stream.successors),
            numbers(|stream| stream.continued_at),
        ];
        writes.push(Write { statement, columns });
        if !self.new_losses.is_empty() {
            let statement = self.statement(LOSSES)?;
            let losses = std::mem::take(&mut self.new_losses);
            let columns = columns![
                losses.iter().map(|loss| loss.0).collect::<Vec<i64>>(),
                losses.iter().map(|loss| loss.1).collect::<Vec<i64>>(),
                losses.iter().map(|loss| loss.2).collect::<Vec<i64>>(),
                losses.iter().map(|loss| loss.3).collect::<Vec<i64>>(),
            ];
            writes.push(Write { statement, columns });
        }
        Ok(())
    }

    fn write_states(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        let (counts, health) = (self.statement(STATES)?, self.statement(HEALTH)?);
        let mut changed: Vec<(i64, State)> = Vec::new();
        for (store_no, state) in self.states.iter_mut().filter(|(_, state)| state.is_changed) {
            changed.push((*store_no, state.clone()));
            state.is_changed = false;
            state.health = None;
            state.taken_more = 0;
        }
        if changed.is_empty() {
            return Ok(());
        }
        let numbers = |of: &dyn Fn(&(i64, State)) -> i64| changed.iter().map(of).collect::<Vec<i64>>();
        let last_sale: Vec<Option<i64>> = changed.iter().map(|(_, state)| state.last_sale_at_ms).collect();
        let columns = columns![
            numbers(&|(store_no, _)| *store_no),
            numbers(&|(_, state)| state.last_contact_ms),
            numbers(&|(_, state)| state.applied_events),
            numbers(&|(_, state)| state.applied_sales),
            numbers(&|(_, state)| state.parked_events),
            numbers(&|(_, state)| state.forked_events),
            numbers(&|(_, state)| state.refunds_waiting),
            last_sale,
            numbers(&|(_, state)| state.taken_more),
        ];
        writes.push(Write { statement: counts, columns });
        let said: Vec<(i64, &Health)> =
            changed.iter().filter_map(|(store_no, state)| Some((*store_no, state.health.as_ref()?))).collect();
        if said.is_empty() {
            return Ok(());
        }
        let numbers = |of: &dyn Fn(&Health) -> i64| said.iter().map(|(_, health)| of(health)).collect::<Vec<i64>>();
        let maybe = |of: &dyn Fn(&Health) -> Option<i64>| -> Vec<Option<i64>> {
            said.iter().map(|(_, health)| of(health)).collect()
        };
        let columns = columns![
            said.iter().map(|(store_no, _)| *store_no).collect::<Vec<i64>>(),
            numbers(&|health| health.at_ms),
            numbers(&|health| health.clock_ms),
            numbers(&|health| health.clock_offset_s),
            numbers(&|health| health.clock_ahead_ms),
            maybe(&|health| health.protocol_version),
            said.iter().map(|(_, health)| health.agent_version.clone()).collect::<Vec<String>>(),
            numbers(&|health| health.epoch),
            numbers(&|health| health.head_seq),
            numbers(&|health| health.outbox_events),
            maybe(&|health| health.outbox_oldest_ms),
            maybe(&|health| health.disk_free_bytes),
            numbers(&|health| health.taken),
        ];
        writes.push(Write { statement: health, columns });
        Ok(())
    }

    fn write_totals(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        if self.totals.is_empty() {
            return Ok(());
        }
        let statement = self.statement(TOTALS)?;
        let totals = std::mem::take(&mut self.totals);
        type Entry = ((i64, i32, pos_model::Currency), (super::Totals, super::RefundTotals));
        let totals: Vec<Entry> = totals.into_iter().collect();
        let numbers = |of: &dyn Fn(&Entry) -> i64| totals.iter().map(of).collect::<Vec<i64>>();
        let columns = columns![
            numbers(&|((store_no, ..), _)| *store_no),
            totals.iter().map(|((_, days, _), _)| Date(*days)).collect::<Vec<Date>>(),
            totals.iter().map(|((.., currency), _)| currency.as_str().to_owned()).collect::<Vec<String>>(),
            numbers(&|(_, (sales, _))| sales.sales),
            numbers(&|(_, (sales, _))| sales.lines),
            numbers(&|(_, (sales, _))| sales.quantity_micro),
            numbers(&|(_, (sales, _))| sales.gross_minor),
            numbers(&|(_, (sales, _))| sales.tax_minor),
            numbers(&|(_, (sales, _))| sales.net_minor),
            numbers(&|(_, (_, refunds))| refunds.refunds),
            numbers(&|(_, (_, refunds))| refunds.gross_minor),
            numbers(&|(_, (_, refunds))| refunds.tax_minor),
        ];
        writes.push(Write { statement, columns });
        Ok(())
    }

    fn write_stock(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        let stock = std::mem::take(&mut self.stock);
        for (direction, sql) in [(Direction::Added, STOCK_ADDED), (Direction::Used, STOCK_USED)] {
            let moved: Vec<_> = stock.iter().filter(|((of, ..), _)| *of == direction).collect();
            if moved.is_empty() {
                continue;
            }
            let statement = self.statement(sql)?;
            let columns = columns![
                moved.iter().map(|((_, stream_no, ..), _)| *stream_no).collect::<Vec<i64>>(),
                moved.iter().map(|((_, _, days, _), _)| Date(*days)).collect::<Vec<Date>>(),
                moved.iter().map(|((.., item), _)| (*item).to_owned()).collect::<Vec<String>>(),
                moved.iter().map(|(_, micro)| **micro).collect::<Vec<i64>>(),
            ];
            writes.push(Write { statement, columns });
        }
        Ok(())
    }

    fn write_runs(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        let runs = std::mem::take(&mut self.put_runs);
        for kind in [NumberKind::Receipt, NumberKind::Z] {
            let (mut put, mut gone) = (Vec::new(), Vec::new());
            for ((_, store_no, till, first), last) in runs.iter().filter(|((of, ..), _)| *of == kind) {
                let key = (*store_no, (*till).to_owned(), *first);
                match last {
                    Some(last) => put.push((key, *last)),
                    None => gone.push((key, 0)),
                }
            }
            let table = runs_table(kind);
            if !gone.is_empty() {
                writes.push(Write { statement: self.statement(&drop_runs(table))?, columns: run_keys(&gone) });
            }
            if !put.is_empty() {
                let mut columns = run_keys(&put);
                columns.push(Box::new(put.iter().map(|(_, last)| *last).collect::<Vec<i64>>()));
                writes.push(Write { statement: self.statement(&put_runs(table))?, columns });
            }
        }
        Ok(())
    }

    fn write_duplicates(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        let duplicates = std::mem::take(&mut self.duplicates);
        for (kind, sql) in [(NumberKind::Receipt, DUPLICATE_RECEIPTS), (NumberKind::Z, DUPLICATE_Z)] {
            let rows: Vec<_> = duplicates.iter().filter(|(of, ..)| *of == kind).collect();
            if rows.is_empty() {
                continue;
            }
            let columns = columns![
                rows.iter().map(|row| row.1).collect::<Vec<i64>>(),
                rows.iter().map(|row| row.2.to_owned()).collect::<Vec<String>>(),
                rows.iter().map(|row| row.3).collect::<Vec<i64>>(),
                rows.iter().map(|row| row.4).collect::<Vec<i64>>(),
            ];
            writes.push(Write { statement: self.statement(sql)?, columns });
        }
        Ok(())
    }

    fn write_heads(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let statement = self.statement(HEADS)?;
        let heads = std::mem::take(&mut self.heads);
        let columns = columns![
            heads.keys().map(|(store_no, _)| *store_no).collect::<Vec<i64>>(),
            heads.keys().map(|(_, till)| till.clone()).collect::<Vec<String>>(),
            heads.values().copied().collect::<Vec<i64>>(),
        ];
        writes.push(Write { statement, columns });
        Ok(())
    }

    fn write_refunded(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        if self.put_refunded.is_empty() {
            return Ok(());
        }
        let (sales, lines) = (self.statement(REFUNDED)?, self.statement(REFUNDED_LINES)?);
        let put = std::mem::take(&mut self.put_refunded);
        let rows: Vec<_> =
            put.iter().filter_map(|(key, changed)| Some((*key, changed, self.refunded.get(key)?.as_ref()?))).collect();
        let columns = columns![
            rows.iter().map(|((store_no, _), ..)| *store_no).collect::<Vec<i64>>(),
            rows.iter().map(|((_, sale_id), ..)| sale_id.uuid()).collect::<Vec<uuid::Uuid>>(),
            rows.iter().map(|row| row.2.refunds).collect::<Vec<i64>>(),
            rows.iter().map(|row| row.2.gross_minor).collect::<Vec<i64>>(),
            rows.iter().map(|row| row.2.tax_minor).collect::<Vec<i64>>(),
            rows.iter().map(|row| row.2.sale_event_no).collect::<Vec<Option<i64>>>(),
            rows.iter().map(|row| i16::from(row.2.is_over)).collect::<Vec<i16>>(),
        ];
        writes.push(Write { statement: sales, columns });
        let of_lines: Vec<_> = rows
            .iter()
            .flat_map(|((store_no, sale_id), changed, back)| {
                let line = move |line: &u32| {
                    let (quantity, gross) = back.lines.get(line).copied().unwrap_or_default();
                    (*store_no, sale_id.uuid(), i64::from(*line), quantity, gross)
                };
                changed.iter().map(line)
            })
            .collect();
        if of_lines.is_empty() {
            return Ok(());
        }
        let columns = columns![
            of_lines.iter().map(|line| line.0).collect::<Vec<i64>>(),
            of_lines.iter().map(|line| line.1).collect::<Vec<uuid::Uuid>>(),
            of_lines.iter().map(|line| line.2).collect::<Vec<i64>>(),
            of_lines.iter().map(|line| line.3).collect::<Vec<i64>>(),
            of_lines.iter().map(|line| line.4).collect::<Vec<i64>>(),
        ];
        writes.push(Write { statement: lines, columns });
        Ok(())
    }

    fn write_parked(&mut self, writes: &mut Vec<Write>) -> Result<(), Fault> {
        if self.parked.is_empty() {
            return Ok(());
        }
        let parked = std::mem::take(&mut self.parked);
        writes.push(park(self.session, &parked)?);
        Ok(())
    }
}

/// Store, till and first number of a run, and its last.
type Run = ((i64, String, i64), i64);

/// The columns of the key of runs.
fn run_keys(runs: &[Run]) -> Vec<Box<dyn ToSql + Sync>> {
    columns![
        runs.iter().map(|((store_no, ..), _)| *store_no).collect::<Vec<i64>>(),
        runs.iter().map(|((_, till, _), _)| till.clone()).collect::<Vec<String>>(),
        runs.iter().map(|((.., first), _)| *first).collect::<Vec<i64>>(),
    ]
}

/// Parks one event at once; says whether it was not parked before.
pub(super) fn park_one(session: &Session, parked: &ParkedOut) -> Result<bool, LedgerError> {
    let write = park(session, std::slice::from_ref(parked))?;
    Ok(session.wait("park event", write.send(session.client()))? > 0)
}

fn park(session: &Session, parked: &[ParkedOut]) -> Result<Write, LedgerError> {
    let statement = session.statement("park event", PARK)?;
    let columns = columns![
        parked.iter().map(|one| one.store_no).collect::<Vec<i64>>(),
        parked.iter().map(|one| one.stream_no).collect::<Vec<i64>>(),
        parked.iter().map(|one| one.seq.to_sql()).collect::<Vec<i64>>(),
        parked.iter().map(|one| one.hash.as_bytes().to_vec()).collect::<Vec<Vec<u8>>>(),
        parked.iter().map(|one| one.parked_at_ms).collect::<Vec<i64>>(),
        parked.iter().map(|one| one.reason).collect::<Vec<&'static str>>(),
        parked.iter().map(|one| one.detail.clone()).collect::<Vec<String>>(),
        parked.iter().map(|one| one.event_no).collect::<Vec<Option<i64>>>(),
        parked.iter().map(|one| one.bytes.clone()).collect::<Vec<Option<Vec<u8>>>>(),
        parked.iter().map(|one| one.kind.clone()).collect::<Vec<Option<String>>>(),
    ];
    Ok(Write { statement, columns })
}

/// Copies rows into a table, if there are any.
fn copy(session: &Session, table: &'static str, rows: &mut Copy) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = session.statement(DOING, &format!("COPY {table} FROM STDIN BINARY"))?;
    let bytes = rows.take();
    session.wait(DOING, async {
        let mut sink = std::pin::pin!(session.client().copy_in::<_, Bytes>(&statement).await?);
        sink.send(bytes).await?;
        sink.finish().await
    })?;
    Ok(())
}
